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

/// A volume that is not there: stopped, the guest would not start again.
[[nodiscard]] std::optional<PowerObstacle> start_obstacle(const LiveVm& guest, const StorageTable& storages);
/// The same of one drive's volume.
[[nodiscard]] std::optional<PowerObstacle> missing_volume(const LiveVm& guest, DriveSlot slot, const VolumeId& volume,
                                                          const StorageTable& storages);

}  // namespace pvr
