#pragma once

#include <vector>

#include "reconciler/model/diff.h"
#include "reconciler/planning/diff.h"

namespace pvr {

/// Three truths of everything the fleet states about nodes, their pools and datasets; a node without host access is
/// blocked with what it would need. `findings` gets what is told and not changed.
[[nodiscard]] std::vector<HostDiff> diff_hosts(const ResolvedFleet& fleet, const LiveState& live, DiffDetail detail,
                                               std::vector<Finding>& findings);

/// The parameters of zfs by which a limit of the ARC is set: "zfs_arc_max". Empty: the key is none of them.
[[nodiscard]] std::string_view arc_parameter(std::string_view key);
/// Which timers trim this pool by themselves: "monthly", "weekly", "monthly,weekly", "none".
[[nodiscard]] std::string trim_timers_of(const LiveHost& host, std::string_view pool);

}  // namespace pvr
