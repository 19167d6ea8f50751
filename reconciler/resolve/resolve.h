#pragma once

#include <memory>

#include "reconciler/base/diagnostic.h"
#include "reconciler/model/facts.h"
#include "reconciler/model/fleet_document.h"
#include "reconciler/model/resolved_fleet.h"

namespace pvr {

/// What is written, the roles and the rules into one final value per setting. Pure.
/// Precedence: disk > VM > role (child before parent) > rule default; what was replaced stays visible as `shadowed`.
/// Final values that break an invariant are errors naming the rule ("policy.c2"), with the place of the value and what
/// to write instead. There is always a value; it is fit for planning only when ok(). Unknown facts take the safe side:
/// unknown backing counts as ZFS, an unknown PVE or OpenZFS version as the policy's baseline (9, 2.3), an unknown live
/// guest as existing. `document` is kept by the result.
[[nodiscard]] Checked<ResolvedFleet> resolve(std::shared_ptr<const FleetDocument> document, const Facts& facts);

}  // namespace pvr
