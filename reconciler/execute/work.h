#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/base/result.h"
#include "reconciler/execute/lease.h"
#include "reconciler/model/plan.h"
#include "reconciler/ports/clock.h"
#include "reconciler/ports/event_sink.h"
#include "reconciler/ports/pve_api.h"
#include "reconciler/ports/zfs_host.h"

namespace pvr {

/// How long to be patient. All of it is the clock's time.
struct Patience {
  std::chrono::milliseconds poll_first{500};
  std::chrono::milliseconds poll_most{5000};
  std::chrono::seconds lock{900};      // for a guest or storage lock to be released
  std::chrono::seconds quorum{300};    // for the cluster to become quorate again
  std::chrono::seconds silence{1800};  // of a task that neither logs nor ends
  std::chrono::seconds settle{20};     // after a lost answer, until "nothing changed" means that nothing will
  std::chrono::seconds shutdown{300};  // for a guest to shut down
  std::chrono::seconds power{300};     // for HA to start or stop a guest
};

/// What operations of one run leave behind for later ones: the digests after our own writes. Safe to call from several
/// threads.
class RunMemory {
 public:
  /// The digest `key` ("vm/201", "storage") had after our last write to it in this run.
  [[nodiscard]] std::optional<std::string> digest(const std::string& key) const;
  void set_digest(const std::string& key, std::string digest);
  /// Section files are shared by all their entries: whoever reads the digest, writes and reads it again holds this.
  [[nodiscard]] std::mutex& section_mutex() { return section_mutex_; }

 private:
  mutable std::mutex mutex_;
  std::mutex section_mutex_;
  std::map<std::string, std::string> digests_;
};

/// Everything one operation works with. One per operation, used by one thread.
class Work {
 public:
  struct Parts {
    const Operation& operation;
    PveApi& pve;
    Clock& clock;
    EventSink& events;
    RunMemory& memory;
    Lease* lease = nullptr;  // null: the user gave it up
    Patience patience = {};
    std::stop_token stop = {};
    ZfsHost* zfs = nullptr;  // host access; null: none
  };
  explicit Work(const Parts& parts) : parts_(parts), node_(parts.operation.node) {}

  [[nodiscard]] const Operation& operation() const { return parts_.operation; }
  [[nodiscard]] PveApi& pve() { return parts_.pve; }
  /// Host access; null where the fleet has none.
  [[nodiscard]] ZfsHost* zfs() { return parts_.zfs; }
  [[nodiscard]] Clock& clock() { return parts_.clock; }
  [[nodiscard]] RunMemory& memory() { return parts_.memory; }
  [[nodiscard]] Lease* lease() { return parts_.lease; }
  [[nodiscard]] const Patience& patience() const { return parts_.patience; }
  [[nodiscard]] bool stop_requested() const { return parts_.stop.stop_requested(); }
  [[nodiscard]] const std::stop_token& stop() const { return parts_.stop; }

  void step(std::string_view name);
  void waiting(std::string on);
  void emit(const Event& event) { parts_.events.emit(event); }
  void warn(std::string text) { warnings_.push_back(std::move(text)); }
  [[nodiscard]] std::vector<std::string> take_warnings() { return std::move(warnings_); }

  /// Waits, whatever the stop token says: for effects that are under way. Keeps the lease alive meanwhile.
  void pause(std::chrono::milliseconds span);
  /// Renews the lease where that is due: from time to time during an effect that takes long by itself.
  void keep_lease();

  /// The guest as it is now, wherever it lives by now; nothing when it does not exist.
  [[nodiscard]] Result<std::optional<LiveVm>> guest(Vmid vmid);
  /// Where `guest` found it last; the operation's node before that.
  [[nodiscard]] GuestRef ref(Vmid vmid) const { return {.node = node_, .vmid = vmid}; }
  [[nodiscard]] const std::string& node() const { return node_; }

  /// Is this the machine the plan was made for, by its smbios uuid? Empty: yes. Else why not, a full sentence.
  [[nodiscard]] std::string identity_conflict(const LiveVm& vm) const;
  /// Is its configuration the one our own last write left, or the one the plan was made on? Empty: yes. Else why not.
  [[nodiscard]] std::string change_conflict(const LiveVm& vm) const;
  /// Remembers the digest after a write of ours.
  void remember(const LiveVm& vm);

 private:
  Parts parts_;
  std::string node_;
  std::vector<std::string> warnings_;
};

/// Grows from the first to the longest pause.
class BackOff {
 public:
  explicit BackOff(const Patience& patience) : next_(patience.poll_first), most_(patience.poll_most) {}
  [[nodiscard]] std::chrono::milliseconds next();

 private:
  std::chrono::milliseconds next_;
  std::chrono::milliseconds most_;
};

}  // namespace pvr
