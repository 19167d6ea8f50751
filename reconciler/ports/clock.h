#pragma once

#include <chrono>
#include <stop_token>

namespace pvr {

using Deadline = std::chrono::steady_clock::time_point;

/// Time as the program sees it. Safe to call from several threads.
class Clock {
 public:
  virtual ~Clock() = default;
  [[nodiscard]] virtual std::chrono::system_clock::time_point wall() const = 0;
  [[nodiscard]] virtual std::chrono::steady_clock::time_point steady() const = 0;
  /// Waits at most `span`; returns early, and false, when `stop` is requested.
  virtual bool wait(std::chrono::milliseconds span, std::stop_token stop) = 0;
};

}  // namespace pvr
