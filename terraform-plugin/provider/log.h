#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pvr::tf {

enum class LogLevel : std::uint8_t { kTrace, kDebug, kInfo, kWarn, kError };

/// Where the provider tells what it does. Safe from several threads. Never given a secret.
class Log {
 public:
  using Fields = std::vector<std::pair<std::string, std::string>>;
  virtual ~Log() = default;
  virtual void write(LogLevel level, std::string_view message, const Fields& fields) = 0;
};

}  // namespace pvr::tf
