#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

#include "reconciler/base/units.h"
#include "reconciler/model/fleet_document.h"

namespace pvr {

/// A size limit of the fleet file, or zero.
[[nodiscard]] ByteSize size_limit(const WrittenCluster& document, std::string_view name);
/// A number of the fleet file, or `otherwise`.
[[nodiscard]] std::uint32_t number_limit(const WrittenCluster& document, std::string_view name,
                                         std::uint32_t otherwise);
/// How far this machine's local time is ahead of UTC: maintenance windows are written in local time.
[[nodiscard]] std::chrono::minutes local_utc_offset(std::chrono::system_clock::time_point now);

}  // namespace pvr
