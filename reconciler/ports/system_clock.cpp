#include "reconciler/ports/system_clock.h"

#include <fmt/format.h>

#include <condition_variable>
#include <mutex>
#include <random>

namespace pvr {

std::chrono::system_clock::time_point SystemClock::wall() const { return std::chrono::system_clock::now(); }

std::chrono::steady_clock::time_point SystemClock::steady() const { return std::chrono::steady_clock::now(); }

bool SystemClock::wait(std::chrono::milliseconds span, std::stop_token stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, span, [] { return false; });
  return !stop.stop_requested();
}

std::string random_hex(std::size_t bytes) {
  std::random_device source;
  std::string text;
  for (std::size_t i = 0; i < bytes; ++i) text += fmt::format("{:02x}", source() & 0xffU);
  return text;
}

}  // namespace pvr
