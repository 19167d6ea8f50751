#include "reconciler/engine/limits.h"

#include <ctime>
#include <variant>

namespace pvr {

ByteSize size_limit(const WrittenCluster& document, std::string_view name) {
  const auto* written = document.limits.find(name);
  const auto* size = written == nullptr ? nullptr : std::get_if<ByteSize>(&written->value);
  return size == nullptr ? ByteSize{} : *size;
}

std::uint32_t number_limit(const WrittenCluster& document, std::string_view name, std::uint32_t otherwise) {
  const auto* written = document.limits.find(name);
  const auto* number = written == nullptr ? nullptr : std::get_if<std::int64_t>(&written->value);
  return number == nullptr ? otherwise : static_cast<std::uint32_t>(*number);
}

std::chrono::minutes local_utc_offset(std::chrono::system_clock::time_point now) {
  const std::time_t time = std::chrono::system_clock::to_time_t(now);
  std::tm local = {};
  if (localtime_r(&time, &local) == nullptr) return {};
  return std::chrono::duration_cast<std::chrono::minutes>(std::chrono::seconds(local.tm_gmtoff));
}

}  // namespace pvr
