#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "reconciler/model/fleet_document.h"
#include "reconciler/model/live_state.h"

namespace pvr::bench {

/// How many nodes a fleet of `vms` VMs is spread over.
[[nodiscard]] std::size_t node_count(std::size_t vms);

/// A fleet file with `vms` VMs of several roles, two disks each, on local ZFS of every node.
[[nodiscard]] std::string fleet_text(std::size_t vms);
/// The document of fleet_text(). Ends the program when it has errors.
[[nodiscard]] std::shared_ptr<const FleetDocument> document_of(const std::string& text);
/// What observing its cluster would have given: every VM is there, one in three lacks settings on its data disk.
[[nodiscard]] LiveState live_state(std::size_t vms);
/// The same cluster as a file for the simulator.
[[nodiscard]] std::string cluster_text(std::size_t vms);

}  // namespace pvr::bench
