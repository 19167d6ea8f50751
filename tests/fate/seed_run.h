#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/fate/process.h"

namespace pvr::fate {

struct SeedOptions {
  bool story = false;
  Bug bug = Bug::kNone;
};

/// What became of one seed.
struct SeedResult {
  std::uint64_t seed = 0;
  std::vector<std::string> broken = {};  // empty: every promise was kept
  std::uint64_t digest = 0;              // of everything that was sent and that happened
  std::vector<std::string> story = {};
  // For the numbers.
  int plans = 0, applies = 0, operations = 0, effects = 0, faults = 0, kills = 0, blocked = 0, failed = 0;
  bool empty = false;  // nothing was ever to do
};

/// Everything that follows from one seed: a cluster, its history, a fleet, runs of the tool under faults and kills with
/// others at work, then calm, runs to the end, garbage collection; the promises are checked after each. The same seed
/// gives the same result. Safe to call from several threads.
[[nodiscard]] SeedResult run_seed(std::uint64_t seed, const SeedOptions& options = {});

}  // namespace pvr::fate
