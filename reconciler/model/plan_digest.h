#pragma once

#include <string>

#include "reconciler/model/plan.h"

namespace pvr {

/// What a plan does, as 64 hex digits (SHA-256): equal for plans that do the same operations in the same order, from
/// the same values to the same values. The time it was made, reasons, places in files, estimates, and what else is in
/// the guests' configuration do not count. Values of write-only options are not in it, only that they are set.
[[nodiscard]] std::string plan_digest(const Plan& plan);

}  // namespace pvr
