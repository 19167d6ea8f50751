#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "reconciler/ports/zfs_host.h"
#include "simulator/simulator.h"

namespace pvr::scenario {

/// Counts effects (writes of the API and of host access together) and lets the client die at one of them.
class Fate {
 public:
  enum class Verdict : std::uint8_t { kGoOn, kDead, kDieBefore, kDieAfter };
  explicit Fate(int nth = 0, bool after = false) : nth_(nth), after_(after) {}
  /// What befalls the next effect.
  [[nodiscard]] Verdict next();
  [[nodiscard]] bool dead() const;
  [[nodiscard]] int effects() const;

 private:
  mutable std::mutex mutex_;
  int nth_ = 0;
  bool after_ = false;
  int effects_ = 0;
  bool dead_ = false;
};

/// What a simulated cluster does not hold about its zvols: guids, properties, marks. Survives the clients.
struct ZfsMemory {
  struct Extra {
    std::string guid = {};
    std::map<std::string, std::string> own = {};  // properties set on the dataset, marks with their prefix
  };
  std::map<std::string, Extra> of = {};  // by "node/dataset"
  std::uint64_t next_guid = 1000;
};

/// Host access to a simulated cluster without a wire in between: works on the simulator's own volumes, and follows
/// zfs-facts: renames whatever is open (E5), rounds sizes up, refuses to destroy what has snapshots.
class DirectZfs final : public ZfsHost {
 public:
  DirectZfs(pvesim::Simulator& simulator, ZfsMemory& memory, std::shared_ptr<Fate> fate)
      : sim_(simulator), memory_(memory), fate_(std::move(fate)) {}

  [[nodiscard]] Result<LiveHost> host(const std::string& node) override;
  [[nodiscard]] Result<std::optional<LiveDataset>> dataset(const std::string& node, const std::string& name) override;
  [[nodiscard]] Result<std::vector<LiveDataset>> marked(const std::string& node, const std::string& parent) override;
  [[nodiscard]] Result<std::vector<std::string>> holders(const std::string& node, const std::string& volume) override;
  [[nodiscard]] Status set_properties(const std::string& node, const std::string& dataset,
                                      const FlatMap<std::string>& set) override;
  [[nodiscard]] Status create_dataset(const std::string& node, const std::string& name,
                                      const FlatMap<std::string>& properties) override;
  [[nodiscard]] Status create_zvol(const std::string& node, const NewZvol& zvol) override;
  [[nodiscard]] Status rename(const std::string& node, const std::string& from, const std::string& to) override;
  [[nodiscard]] Status destroy(const std::string& node, const std::string& dataset, const std::string& guid) override;
  [[nodiscard]] Status snapshot(const std::string& node, const std::string& dataset, const std::string& name) override;
  [[nodiscard]] Status destroy_snapshot(const std::string& node, const std::string& dataset,
                                        const std::string& name) override;
  [[nodiscard]] Status copy(const std::string& node, const ZvolCopy& copy,
                            const std::function<void(const CopyProgress&)>& progress, std::stop_token stop) override;
  [[nodiscard]] Result<ContentChecksums> compare(const std::string& node, const ZvolCopy& copy,
                                                 const std::function<void(const CopyProgress&)>& progress,
                                                 std::stop_token stop) override;

  /// Runs before each effect, with the name of the call: another admin at work.
  std::function<void(const std::string&)> before = {};
  /// The next copy writes something else than the source holds.
  bool spoil_copy = false;

 private:
  /// Carries out one effect, or dies.
  [[nodiscard]] Status effect(const std::string& name, const std::function<Status()>& act);

  pvesim::Simulator& sim_;
  ZfsMemory& memory_;
  std::shared_ptr<Fate> fate_;
};

}  // namespace pvr::scenario
