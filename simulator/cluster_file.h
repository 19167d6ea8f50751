#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "simulator/wire/faults.h"
#include "simulator/world/world.h"

namespace pvesim {

/// The part of a cluster file that is not the world's content.
struct ClusterSettings {
  std::uint64_t seed = 1;
  double clock_scale = 60;
  std::vector<Fault> faults = {};
  RandomFaults random = {};
};

/// A cluster file that was read but not yet applied: the settings are needed to make the clock and the world first.
/// Format: docs/simulated-cluster.md.
class ClusterFile {
 public:
  /// Parses the YAML. Throws ClusterFileError when it is none, or when `cluster`, `faults` or `random_faults` is wrong.
  ClusterFile(const std::string& yaml, std::string name);
  ~ClusterFile();
  ClusterFile(const ClusterFile&) = delete;
  ClusterFile& operator=(const ClusterFile&) = delete;

  [[nodiscard]] const ClusterSettings& settings() const { return settings_; }
  /// Fills an empty world. Throws ClusterFileError with every problem of the file; the world is unusable then.
  void apply(World& world) const;

 private:
  struct Document;
  std::unique_ptr<Document> document_;
  ClusterSettings settings_ = {};
};

}  // namespace pvesim
