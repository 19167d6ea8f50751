#pragma once

#include <string>
#include <vector>

#include "reconciler/model/live_state.h"
#include "reconciler/model/plan.h"
#include "reconciler/model/resolved_fleet.h"
#include "reconciler/planning/make_plan.h"

namespace pvr {

/// What every plan keeps, whatever it was made from. One sentence per violation; an empty answer is the only acceptable
/// one.
///  1 ids count from 1; `after` names earlier operations only (so there are no cycles)
///  2 what destroys comes after everything else, and only where destroying is allowed
///  3 operations on one slot of one guest are ordered by `after`
///  4 no disk is moved while a change of it is pending: a restart or stop lies between
///  5 restarts, stops and offline copies only where they are allowed
///  6 every operation on a guest holds the guest's lock, every allocation its storage's, every copy its node's
///  7 the first operation on an existing guest carries its digest, all carry its uuid
///  8 a storage or pool made by the plan is made before it is used
///  9 nothing touches a guest outside the fleet
/// 10 every operation says what it changes; no move goes to where the volume is already
[[nodiscard]] std::vector<std::string> verify_plan(const Plan& plan, const ResolvedFleet& fleet, const LiveState& live,
                                                   const PlanOptions& options);

}  // namespace pvr
