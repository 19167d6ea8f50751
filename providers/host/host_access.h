#pragma once

#include <memory>

#include "providers/host/command_runner.h"
#include "reconciler/model/fleet_document.h"

namespace pvr {

/// Runs commands on the nodes as the fleet's cluster.ssh says: over ssh, and directly on the node this program itself
/// runs on. Null: the fleet has no cluster.ssh. Connects to nothing yet.
[[nodiscard]] std::unique_ptr<CommandRunner> host_runner(const WrittenCluster& document);

}  // namespace pvr
