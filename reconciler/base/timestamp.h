#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace pvr {

enum class Precision : std::uint8_t { kSeconds, kMilliseconds };

/// RFC 3339 in UTC: "2026-11-21T08:15:00Z", "2026-11-21T08:15:00.250Z".
[[nodiscard]] std::string rfc3339(std::chrono::system_clock::time_point at, Precision precision = Precision::kSeconds);

}  // namespace pvr
