#pragma once

#include <span>
#include <string>
#include <vector>

#include "reconciler/base/diagnostic.h"
#include "reconciler/model/diff.h"
#include "reconciler/model/event.h"
#include "reconciler/model/live_state.h"
#include "reconciler/model/plan.h"
#include "reconciler/model/resolved_fleet.h"

namespace pvr::cli {

// Every text is one record {"format": "pvereconcile.NAME", "version": 1, …} with a line feed at its end; keys are
// sorted, lists keep the order of the text view, a missing value is null. docs/json-formats.md describes the fields. No
// option value of a procedure is in them apart from the changes shown to people.

[[nodiscard]] std::string plan_json(const Plan& plan);
[[nodiscard]] std::string report_json(const Plan& plan, const ApplyReport& report);
[[nodiscard]] std::string status_json(const ResolvedFleet& fleet, const Diff& diff, const LiveState& live);
[[nodiscard]] std::string diagnostics_json(std::span<const Diagnostic> diagnostics, const SourceSet& sources,
                                           bool valid);
/// One line, without a line feed: an event of a run. `time` is RFC 3339.
[[nodiscard]] std::string event_json(const Plan& plan, const Event& event, const std::string& time);

}  // namespace pvr::cli
