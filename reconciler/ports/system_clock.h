#pragma once

#include <cstddef>
#include <string>

#include "reconciler/ports/clock.h"

namespace pvr {

/// The clock of this machine.
class SystemClock final : public Clock {
 public:
  [[nodiscard]] std::chrono::system_clock::time_point wall() const override;
  [[nodiscard]] std::chrono::steady_clock::time_point steady() const override;
  bool wait(std::chrono::milliseconds span, std::stop_token stop) override;
};

/// `bytes` bytes from the system's generator, as hexadecimal digits: the nonce of a lease.
[[nodiscard]] std::string random_hex(std::size_t bytes);

}  // namespace pvr
