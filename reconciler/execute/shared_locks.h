#pragma once

#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "reconciler/execute/schedule.h"

namespace pvr {

/// The locks of operations ("vm/201", "storage/san", "copy/pve1"), shared by several runs of one process that work on
/// one cluster at the same time. Within a run the schedule keeps them. Safe from several threads.
class SharedLocks {
 public:
  explicit SharedLocks(ScheduleLimits limits) : limits_(limits) {}
  /// Waits until every lock has a place, then takes all of them at once: nobody waits while holding one.
  void enter(const std::vector<std::string>& locks);
  void leave(const std::vector<std::string>& locks);

 private:
  [[nodiscard]] bool free(const std::vector<std::string>& locks) const;
  ScheduleLimits limits_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::uint32_t> held_;
};

}  // namespace pvr
