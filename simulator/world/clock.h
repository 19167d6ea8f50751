#pragma once

#include <chrono>
#include <mutex>

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

/// Time that moves only when somebody waits for it. Thread safe.
class ManualClock final : public SimClock {
 public:
  explicit ManualClock(VirtualTime start) : now_(start) {}
  [[nodiscard]] VirtualTime now() const override;
  void sleep_until(VirtualTime until) override;  // never goes back
  void advance(VirtualSpan span);

 private:
  mutable std::mutex mutex_ = {};
  VirtualTime now_ = {};
};

/// `scale` virtual seconds pass in one real second, beginning with `start` at construction. Thread safe.
class ScaledClock final : public SimClock {
 public:
  ScaledClock(VirtualTime start, double scale);
  [[nodiscard]] VirtualTime now() const override;
  void sleep_until(VirtualTime until) override;

 private:
  VirtualTime start_ = {};
  double scale_ = 1;
  std::chrono::steady_clock::time_point begun_ = {};
};

}  // namespace pvesim
