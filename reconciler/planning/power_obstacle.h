#pragma once

#include <optional>
#include <string>

#include "reconciler/model/live_state.h"
#include "reconciler/planning/storage_table.h"

namespace pvr {

/// Why something cannot be done to a guest, and the way out: a command line.
struct PowerObstacle {
  std::string why = {};
  std::string remedy = {};
};

/// Fact: HA gives a service up ("error") when starting it failed too often, and then refuses every wish but "disabled".
[[nodiscard]] std::optional<PowerObstacle> ha_obstacle(const LiveVm& guest);

/// Why nothing may be allocated for the guest on a storage now. Fact: PVE gives a new volume the lowest number that no
/// volume has, whatever configurations name: the entry of a volume that is gone would name the new one.
[[nodiscard]] std::optional<PowerObstacle> allocation_obstacle(const LiveVm& guest, const StorageView& target,
                                                               const StorageTable& storages);

/// Started (again), the guest would not come up, or not with the disks it has now: a volume is not there, or a slot
/// waits to be given another one.
[[nodiscard]] std::optional<PowerObstacle> start_obstacle(const LiveVm& guest, const StorageTable& storages);
/// A slot holds one volume, and a change that waits names another. Fact: an entry that waited while its disk was moved
/// names the volume from before, and the next start brings that back.
[[nodiscard]] std::optional<PowerObstacle> exchanged_volume(const LiveVm& guest, const LiveDrive& drive);
/// Two slots name one volume: PVE gave a new volume the name of one that was gone.
[[nodiscard]] std::optional<PowerObstacle> shared_volume(const LiveVm& guest, DriveSlot slot, const VolumeId& volume,
                                                         const StorageTable& storages);
/// Why a volume of the guest may neither move nor go: another guest uses it, too. Fact: PVE frees the source of a move
/// whatever other guests name it, and whosever number its name carries; what is destroyed with its owner likewise.
[[nodiscard]] std::optional<PowerObstacle> foreign_use(const LiveVm& guest, const VolumeId& volume,
                                                       const StorageTable& storages);
/// Why it may not be destroyed: what foreign_use() finds, or a guest that nobody can look at.
[[nodiscard]] std::optional<PowerObstacle> destruction_obstacle(const LiveVm& guest, const VolumeId& volume,
                                                                const StorageTable& storages);
/// What start_obstacle() finds, of one drive's volume.
[[nodiscard]] std::optional<PowerObstacle> missing_volume(const LiveVm& guest, DriveSlot slot, const VolumeId& volume,
                                                          const StorageTable& storages);

}  // namespace pvr
