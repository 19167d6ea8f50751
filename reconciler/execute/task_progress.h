#pragma once

#include <optional>
#include <string_view>

#include "reconciler/base/units.h"

namespace pvr {

/// How far a copy is, as one line of a task log tells it.
struct LogProgress {
  double fraction = 0.0;  // 0 to 1
  ByteSize done = {};     // zero where the line tells only percent
  ByteSize total = {};
  friend bool operator==(const LogProgress&, const LogProgress&) = default;
};

/// Reads "… transferred 114.0 MiB of 256.0 MiB (44.53%) …" (mirror and offline copy) and qemu-img's "(12.34/100%)".
/// Nothing on other lines.
[[nodiscard]] std::optional<LogProgress> parse_progress(std::string_view line);

}  // namespace pvr
