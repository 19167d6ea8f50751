#pragma once

#include <map>
#include <set>
#include <string>

#include "simulator/world/storage.h"
#include "simulator/world/world.h"

// The running QEMU of a guest: what a config change does to it (PVE's hotplug rules).
namespace pvesim {

using OptionErrors = std::map<std::string, std::string, std::less<>>;

/// Fact: machine version of the running process, e.g. 10.2 of pc-i440fx-10.2+pve1.
[[nodiscard]] double machine_version(const std::string& machine);
/// The machine a start of this config gets on that node.
[[nodiscard]] std::string start_machine(const World& world, const Vm& vm);

/// Fact (vmconfig_hotplug_pending): applies the selected pending changes to the running guest where QEMU can; others
/// stay pending. Errors by option.
void hotplug_pending(World& world, Vm& vm, const std::set<std::string>& selection, OptionErrors& errors);
/// Fact (vmconfig_apply_pending): applies all pending changes of a stopped guest.
void apply_pending(World& world, Vm& vm, OptionErrors& errors);
/// Drops pending values equal to the current ones and deletions of keys that are not set.
void cleanup_pending(Vm& vm);

/// Whether the volume's name carries this vmid. False as well when its storage is gone.
[[nodiscard]] bool owns_volume(World& world, const Vm& vm, const std::string& volid);
/// Detached drive: owned disks become unusedN, cloud-init volumes are freed, the rest is forgotten.
void register_unused(World& world, Vm& vm, const Drive& drive);
/// Frees the volume of `key` when the guest owns it. Throws "unable to delete 'V' - volume is still in use
/// (snapshot?)".
void deallocate_drive(World& world, Vm& vm, const std::string& key, const Drive& drive);

/// The QEMU process begins with the present config; volumes must exist.
void begin_qemu(World& world, Vm& vm);
void end_qemu(World& world, Vm& vm);

}  // namespace pvesim
