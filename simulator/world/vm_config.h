#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "simulator/world/drive.h"
#include "simulator/world/world.h"

namespace pvesim {

/// What PVE does whenever it writes a guest's file: an unusedN whose volume became a drive goes, pending values equal
/// to nothing vanish, trailing white space of the description is cut.
void write_config(Vm& vm);

[[nodiscard]] std::string config_digest(const Vm& vm);
/// A value of the main section, or the fallback.
[[nodiscard]] std::string config_value(const Section& values, std::string_view key, std::string_view fallback = {});
[[nodiscard]] std::int64_t config_number(const Section& values, std::string_view key, std::int64_t fallback);

/// The main section with the pending values and deletions applied (GET config without `current`).
[[nodiscard]] Section with_pending(const VmConfig& config);

/// Slots in the order PVE walks drives: disks by name, then efidisk0, tpmstate0. With `unused` those as well.
[[nodiscard]] std::vector<Drive> drives_of(const Section& values, bool unused = false);

/// Puts a volume into the lowest free unusedN, unless an entry names it already. Answers the key.
std::string add_unused(Section& values, const std::string& volid);

/// Whether a volume is named by the config: main section except `skip`, pending, snapshots.
struct VolumeUse {
  bool current = false, pending = false, snapshot = false;
};
[[nodiscard]] VolumeUse volume_use(const VmConfig& config, const std::string& volid, std::string_view skip = {});

/// The boot devices: those of `boot: order=…`, or the legacy order's first disk.
[[nodiscard]] std::vector<std::string> boot_order(const Section& values);
/// Fact: first disk by (ide, scsi, virtio, sata), first cdrom, first net make the order of a new guest.
[[nodiscard]] std::string default_boot(const Section& values);

/// memory in MiB (default 512); `current=` accepted.
[[nodiscard]] std::int64_t memory_mib(const Section& values);
/// The features of `hotplug` (default network,disk,usb).
[[nodiscard]] bool hotplug_enabled(const Section& values, std::string_view feature);

/// Throws "VM is locked (x)" unless the config has no lock or `except` names it.
void require_unlocked(const Vm& vm, std::string_view except = {});

}  // namespace pvesim
