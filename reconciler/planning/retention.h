#pragma once

#include <chrono>
#include <string>

#include "reconciler/base/diagnostic.h"
#include "reconciler/model/live_state.h"
#include "reconciler/model/plan.h"
#include "reconciler/model/resolved_fleet.h"
#include "reconciler/planning/make_plan.h"

namespace pvr {

/// How long a retired volume is kept where the fleet does not say (cluster.limits.retention).
inline constexpr std::chrono::seconds kRetention{7 * 86400};
[[nodiscard]] std::chrono::seconds retention_of(const ResolvedFleet& fleet);

/// What may go: volumes retired longer ago than the retention, and datasets and entries of block-size classes that
/// nobody uses and nothing lies on. Only what marks of ours say was retired, and only while what took its place is
/// there: a retired volume whose successor is missing stays, and the plan says so. Without `allow.destroy` everything
/// is blocked with that word. Needs host access; nodes without it are named in the plan's gaps. Pure.
[[nodiscard]] Plan make_gc_plan(const ResolvedFleet& fleet, const LiveState& live, const PlanOptions& options);

/// Puts the youngest retired volume of a disk back in the place of the live one, which is retired in its turn: the
/// guest is stopped for it. `target` is vm/NAME/DISK. What was written since is in the volume that goes. Errors: an
/// unknown disk; what is in the way otherwise is a blocked item. Pure.
[[nodiscard]] Checked<Plan> make_rollback_plan(const ResolvedFleet& fleet, const LiveState& live,
                                               const PlanOptions& options, const std::string& target);

}  // namespace pvr
