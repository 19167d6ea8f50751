#include "reconciler/execute/shared_locks.h"

#include <algorithm>

namespace pvr {

bool SharedLocks::free(const std::vector<std::string>& locks) const {
  return std::ranges::all_of(locks, [this](const std::string& lock) {
    const auto found = held_.find(lock);
    return found == held_.end() || found->second < places_of(lock, limits_);
  });
}

void SharedLocks::enter(const std::vector<std::string>& locks) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return free(locks); });
  for (const std::string& name : locks) ++held_[name];
}

void SharedLocks::leave(const std::vector<std::string>& locks) {
  {
    const std::scoped_lock lock(mutex_);
    for (const std::string& name : locks) {
      if (--held_[name] == 0) held_.erase(name);
    }
  }
  changed_.notify_all();
}

}  // namespace pvr
