#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "simulator/simulator.h"
#include "tests/fate/draft.h"
#include "tests/fate/wishes.h"

namespace pvr::fate {

/// What must hold of the world whatever happens. Knows the product's promises and none of its code.
class Ledger {
 public:
  Ledger(pvesim::Simulator& sim, const Draft& draft) : sim_(sim), draft_(draft) {}

  /// Takes the world as it is for what must not get worse.
  void open(const Wishes& wishes);
  /// Somebody else does something: what changes meanwhile is theirs.
  void others(const std::function<void()>& act);
  /// A run has ended, or was killed.
  void run_ended() { see(); }
  /// This guest's power is not the tool's responsibility any more: it stays away, or a request to stop it was on its
  /// way when the lease ended, which no lease prevents.
  void forget_power(int vmid) { expected_running_.erase(vmid); }
  void forget_power_of_stopped();

  /// After any run, however it ended. One sentence per broken promise.
  [[nodiscard]] std::vector<std::string> broken() { return broken(false); }
  /// When all faults are over and the runs have ended: besides, everything is in its place. `told`: what the last plan
  /// names as blocked; what a person is told about is not left behind. `audited`: whether the audit names a volume as
  /// nobody's.
  [[nodiscard]] std::vector<std::string> broken_at_rest(const std::string& told,
                                                        const std::function<bool(const std::string&)>& audited);

 private:
  struct View {
    std::map<std::uint64_t, std::string> referenced = {};  // content → where
    std::map<std::uint64_t, std::string> anywhere = {};
    std::map<std::pair<int, std::uint64_t>, std::string> attached = {};      // (guest, content) → slot
    std::map<std::string, std::pair<std::string, std::uint64_t>> held = {};  // "100:scsi0" → volume, content
    std::set<std::pair<int, std::uint64_t>> kept = {};                       // (guest, content) in an unusedN
    std::set<std::string> unreferenced = {};
    std::map<int, std::string> texts = {};
    std::set<std::string> offences = {};             // "100:scsi0 C2 DRIVE"
    std::map<std::string, std::string> drives = {};  // "100:scsi0" -> as configured
    // A running guest has it open, and its configuration names another one: PVE died between the two.
    std::map<std::string, std::uint64_t> adrift = {};
    // (guest, slot) → content of the volume it has open already, while the task of a move has its name still to write.
    std::map<std::pair<int, std::string>, std::uint64_t> ahead = {};
  };
  [[nodiscard]] View look() const;
  /// Looks, and remembers what is adrift: PVE's doing, and nothing anybody could know of later. What guests wrote ahead
  /// of their configuration is precious once that has caught up.
  View see();
  void judge_drives(int vmid, const std::set<std::string>& there, View& view) const;
  /// Content that was in a slot whose disk the fleet wants destroyed, wherever somebody has put it meanwhile.
  void doom(const View& view);
  /// Nothing is expected in these slots ("100:scsi0") any more.
  void forget_homes(const std::set<std::string>& slots);
  /// Slots ("100:scsi0") for which a change waits that names another volume.
  [[nodiscard]] std::set<std::string> replaced() const;
  /// What was in the slot is kept as an unused disk, and the plan says so: the slot names a volume that is gone, or the
  /// disk is one of several that it may be.
  [[nodiscard]] bool is_kept(const View& view, int vmid, const std::string& slot, std::uint64_t content,
                             const std::string& told) const;
  /// `at_rest`: what is only half done is no excuse any more.
  [[nodiscard]] std::vector<std::string> broken(bool at_rest);
  [[nodiscard]] std::map<std::string, std::string> foreign_sections() const;

  pvesim::Simulator& sim_;
  const Draft& draft_;
  Wishes wishes_ = {};
  std::map<std::uint64_t, std::string> precious_ = {};  // content → where it was
  std::map<std::pair<int, std::uint64_t>, std::string> homes_ = {};
  std::map<std::pair<int, std::string>, std::uint64_t> written_ahead_ = {};  // precious when the slot names it
  std::set<std::uint64_t> doomed_ = {};
  std::set<int> taken_from_ = {};  // guests that others took disks out of
  std::set<std::string> tolerated_orphans_ = {};
  std::set<std::uint64_t> adrift_ = {};
  std::set<std::string> tolerated_offences_ = {};
  std::map<std::string, std::string> drives_ = {};  // as others left them
  std::map<int, std::string> foreign_texts_ = {};
  std::map<std::string, std::string> sections_ = {};
  std::set<int> expected_running_ = {};
  std::size_t tasks_seen_ = 0;
};

}  // namespace pvr::fate
