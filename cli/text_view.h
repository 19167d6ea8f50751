#pragma once

#include <cstddef>
#include <string>

#include "cli/layout.h"
#include "reconciler/base/diagnostic.h"
#include "reconciler/model/event.h"
#include "reconciler/model/plan.h"

namespace pvr::cli {

struct TextOptions {
  Style style = {};
  std::size_t columns = 0;  // where reasons are broken; zero: never
};

/// The plan for people: grouped per resource, live → desired, impact and rule in columns, the reason below; then
/// findings, what could not be read, copies, and the summary as the last line.
[[nodiscard]] std::string plan_text(const Plan& plan, const TextOptions& options);
/// Findings alone, one paragraph each; "" when there are none.
[[nodiscard]] std::string findings_text(const std::vector<Finding>& findings, const TextOptions& options);
/// How a run ended: what failed and why, what was not done because of it, warnings; the summary as the last line.
[[nodiscard]] std::string report_text(const Plan& plan, const ApplyReport& report, const TextOptions& options);

}  // namespace pvr::cli
