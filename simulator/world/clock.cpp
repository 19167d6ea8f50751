#include "simulator/world/clock.h"

#include <algorithm>
#include <thread>

namespace pvesim {

VirtualTime ManualClock::now() const {
  const std::lock_guard lock(mutex_);
  return now_;
}

void ManualClock::sleep_until(VirtualTime until) {
  const std::lock_guard lock(mutex_);
  now_ = std::max(now_, until);
}

void ManualClock::advance(VirtualSpan span) {
  const std::lock_guard lock(mutex_);
  now_ += span;
}

ScaledClock::ScaledClock(VirtualTime start, double scale)
    : start_(start), scale_(scale > 0 ? scale : 1), begun_(std::chrono::steady_clock::now()) {}

VirtualTime ScaledClock::now() const {
  const std::chrono::duration<double, std::milli> real = std::chrono::steady_clock::now() - begun_;
  return start_ + VirtualSpan(static_cast<std::int64_t>(real.count() * scale_));
}

void ScaledClock::sleep_until(VirtualTime until) {
  const VirtualSpan missing = until - now();
  if (missing.count() <= 0) return;
  std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(static_cast<double>(missing.count()) / scale_));
}

}  // namespace pvesim
