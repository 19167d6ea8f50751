#pragma once

#include <optional>
#include <string>
#include <vector>

#include "reconciler/model/diff.h"
#include "reconciler/model/live_state.h"
#include "reconciler/model/resolved_fleet.h"
#include "reconciler/planning/storage_table.h"

namespace pvr {

/// Where the data of one desired disk is.
struct DiskBinding {
  DiskMatch match = DiskMatch::kMissing;
  std::optional<DriveSlot> live_slot = {};
  std::optional<VolumeId> volume = {};
  const LiveDrive* drive = nullptr;          // kInPlace, kOtherSlot, kUnused (where the volume is an unusedN)
  std::optional<ByteSize> size = {};         // real size where it is listed, else what the drive says
  std::vector<std::string> candidates = {};  // "scsi1 (san:vm-201-disk-1, 32GiB)"
  std::string blocked = {};
  std::string remedy = {};
};

/// Binds each disk of `vm` to a volume, in the order of vm.disks. `guest` null: the guest does not exist. A disk is
/// never taken for missing while a volume of the guest that nobody else claims may hold its data: one candidate is
/// bound, several are named and refused. PVE stores no disk names, so slot, size and owner are all there is to go by.
[[nodiscard]] std::vector<DiskBinding> bind_disks(const ResolvedVm& vm, const LiveVm* guest,
                                                  const StorageTable& storages);

/// The disk with the cloud-init data: PVE makes and remakes its volume.
[[nodiscard]] bool is_cloud_init(const ResolvedDisk& disk);
/// What the fleet says about the disk's size and storage; empty where it says nothing.
[[nodiscard]] std::optional<ByteSize> desired_size(const ResolvedDisk& disk);
[[nodiscard]] std::string desired_text(const ResolvedDisk& disk, std::string_view key);

}  // namespace pvr
