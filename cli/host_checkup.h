#pragma once

#include <span>

#include "providers/host/command_runner.h"
#include "reconciler/engine/doctor.h"
#include "reconciler/model/fleet_document.h"
#include "reconciler/ports/zfs_host.h"

namespace pvr::cli {

/// Tries host access on every node that is online: the connection, what can be read, the rights to change, the programs
/// it takes. Changes nothing on them. Adds to `report` what works, what does not, and what would help.
void examine_hosts(ZfsReader& zfs, CommandRunner& runner, std::span<const LiveNode> nodes,
                   const WrittenCluster& cluster, DoctorReport& report);

}  // namespace pvr::cli
