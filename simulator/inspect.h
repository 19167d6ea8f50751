#pragma once

#include <string>
#include <utility>
#include <vector>

#include "simulator/simulator.h"
#include "simulator/world/world.h"

// What the facade looks up in a world. Callers hold World::guard().
namespace pvesim {

/// Throws std::out_of_range for an unknown vmid.
[[nodiscard]] Vm& existing_vm(World& world, int vmid);

/// Every volume under every storage id that shows it, sorted by volid and node.
[[nodiscard]] std::vector<VolumeInfo> all_volumes(World& world);

/// Changes the content of what the running QEMU of `vmid` has open in `slot`; throws std::logic_error otherwise.
void write_as_guest(World& world, int vmid, const std::string& slot);

/// Runs a task-returning call below /nodes/N/qemu/VMID as root@pam to its end; answers the exit status, or the error of
/// the call itself.
[[nodiscard]] std::string run_admin_task(Simulator& simulator, int vmid, const std::string& path,
                                         const std::vector<std::pair<std::string, std::string>>& params);

}  // namespace pvesim
