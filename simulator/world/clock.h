#pragma once

#include <chrono>

namespace pvesim {

/// Virtual time since the Unix epoch, in milliseconds.
using VirtualTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::milliseconds>;
using VirtualSpan = std::chrono::milliseconds;

/// Where virtual time comes from. The world never reads another clock.
class SimClock {
 public:
  virtual ~SimClock() = default;
  [[nodiscard]] virtual VirtualTime now() const = 0;
  /// Blocks until virtual time `until`. A manual clock jumps there; a scaled clock waits span/scale of real time.
  virtual void sleep_until(VirtualTime until) = 0;
};

}  // namespace pvesim
