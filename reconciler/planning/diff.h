#pragma once

#include "reconciler/model/diff.h"
#include "reconciler/model/live_state.h"
#include "reconciler/model/resolved_fleet.h"

namespace pvr {

/// kChanges: only settings that are not in sync are listed. kEverything: all declared ones (status, explain).
enum class DiffDetail : std::uint8_t { kChanges, kEverything };

/// What the fleet wants against what the cluster has: three truths per declared setting, and how a change would take
/// effect on each guest as it is now. Pure. Values PVE treats alike are equal; keys nobody declared are not looked at,
/// except that pending ones are named. Every list is sorted by name, whatever order the inputs had.
[[nodiscard]] Diff diff(const ResolvedFleet& fleet, const LiveState& live, DiffDetail detail = DiffDetail::kChanges);

/// Whether anything is to be done or is in the way of being done. Waiting for a restart alone is no change.
[[nodiscard]] bool has_changes(const Diff& diff);

}  // namespace pvr
