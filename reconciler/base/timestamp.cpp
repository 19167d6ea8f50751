#include "reconciler/base/timestamp.h"

#include <fmt/format.h>

namespace pvr {

std::string rfc3339(std::chrono::system_clock::time_point at, Precision precision) {
  const auto millis = std::chrono::floor<std::chrono::milliseconds>(at);
  const auto day = std::chrono::floor<std::chrono::days>(millis);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss time(millis - day);
  const std::string seconds = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", static_cast<int>(date.year()),
                                          static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                                          time.hours().count(), time.minutes().count(), time.seconds().count());
  return precision == Precision::kSeconds ? seconds + "Z"
                                          : fmt::format("{}.{:03}Z", seconds, time.subseconds().count());
}

}  // namespace pvr
