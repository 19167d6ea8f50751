#pragma once

#include <string>

#include "reconciler/engine/adopt.h"

namespace pvr::cli {

/// The fleet as a file for people: what was inferred stands beside it as comments, every choice the audit would take
/// as a line of its own: kept ones in force, taken ones commented out, ready to be put back.
[[nodiscard]] std::string fleet_text(const Adopted& adopted, const std::string& cluster_name);

}  // namespace pvr::cli
