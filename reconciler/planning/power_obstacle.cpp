#include "reconciler/planning/power_obstacle.h"

#include <fmt/format.h>

namespace pvr {

std::optional<PowerObstacle> ha_obstacle(const LiveVm& guest) {
  if (guest.ha_state != "error") return std::nullopt;
  return PowerObstacle{
      .why = "HA has given the guest up (service state \"error\") and refuses to start or stop it",
      .remedy = fmt::format("find out why it did not start, then: ha-manager set vm:{0} --state disabled; ha-manager "
                            "set vm:{0} --state started",
                            guest.vmid.number)};
}

std::optional<PowerObstacle> missing_volume(const LiveVm& guest, DriveSlot slot, const VolumeId& volume,
                                            const StorageTable& storages) {
  // A guest that is still to be cloned has volumes without names.
  if (volume.name.empty() || !storages.is_missing(volume, guest.node)) return std::nullopt;
  const StorageView* storage = storages.find(volume.storage);
  std::string kept;
  for (const LiveDrive& drive : guest.drives)
    if (drive.slot.bus == Bus::kUnused && drive.current && drive.current->volume &&
        !storages.is_missing(*drive.current->volume, guest.node))
      kept += fmt::format("{}{} ({})", kept.empty() ? "" : ", ", to_text(drive.slot), to_text(*drive.current->volume));
  if (!kept.empty()) kept = fmt::format("look first whether its data is in {}; else ", kept);
  return PowerObstacle{
      .why = fmt::format("{} names {}, which is not on the storage{}", to_text(slot), to_text(volume),
                         storage->shared ? "" : fmt::format(" of node {}", guest.node)),
      .remedy = fmt::format("{}bring it back (from a backup, or take the guest to where it is), or give it up: qm set "
                            "{} --delete {}",
                            kept, guest.vmid.number, to_text(slot))};
}

std::optional<PowerObstacle> allocation_obstacle(const LiveVm& guest, const StorageView& target,
                                                 const StorageTable& storages) {
  for (const LiveDrive& drive : guest.drives) {
    for (const std::optional<Drive>* state : {&drive.current, &drive.pending}) {
      // Fact: a cloud-init volume has a name of its own, and PVE makes it again at the next start.
      if (!*state || !(*state)->volume || (*state)->medium == Drive::Medium::kCloudInit) continue;
      const VolumeId& volume = *(*state)->volume;
      const StorageView* storage = storages.find(volume.storage);
      if (storage == nullptr || !storage->shows_volumes_of(target)) continue;
      if (auto missing = missing_volume(guest, drive.slot, volume, storages)) {
        missing->why += ": PVE could give that name to a new volume";
        return missing;
      }
    }
  }
  return std::nullopt;
}

std::optional<PowerObstacle> exchanged_volume(const LiveVm& guest, const LiveDrive& drive) {
  if (drive.slot.bus == Bus::kUnused || !drive.current || !drive.pending || drive.pending_delete) return std::nullopt;
  if (!drive.current->volume || !drive.pending->volume || drive.current->medium != Drive::Medium::kDisk ||
      drive.current->volume == drive.pending->volume)
    return std::nullopt;
  const std::string slot = to_text(drive.slot);
  return PowerObstacle{
      .why = fmt::format("{} holds {}, and a change that waits would put {} in its place at the next start", slot,
                         to_text(*drive.current->volume), to_text(*drive.pending->volume)),
      .remedy = fmt::format("keep what it holds: qm set {} --revert {}; or restart the guest yourself for the other",
                            guest.vmid.number, slot)};
}

std::optional<PowerObstacle> shared_volume(const LiveVm& guest, DriveSlot slot, const VolumeId& volume,
                                           const StorageTable& storages) {
  // A guest that is still to be cloned has volumes without names.
  if (volume.name.empty()) return std::nullopt;
  const auto place = storages.place_of(volume);
  for (const LiveDrive& drive : guest.drives) {
    const Drive* other = drive.configured();
    if (drive.slot == slot || drive.slot.bus == Bus::kUnused || other == nullptr || !other->volume) continue;
    if (storages.place_of(*other->volume) != place) continue;
    const bool same_name = *other->volume == volume;
    return PowerObstacle{
        .why = same_name ? fmt::format("{} and {} both name {}: PVE gave a new volume the name of one that was gone",
                                       to_text(slot), to_text(drive.slot), to_text(volume))
                         : fmt::format("{} names {}, which is the same volume as {} of {}", to_text(slot),
                                       to_text(volume), to_text(*other->volume), to_text(drive.slot)),
        .remedy =
            fmt::format("find out whose data it is, and take the other entry out of the configuration of guest {} "
                        "by hand",
                        guest.vmid.number)};
  }
  return std::nullopt;
}

std::optional<PowerObstacle> foreign_use(const LiveVm& guest, const VolumeId& volume, const StorageTable& storages) {
  const std::string who = storages.other_user(volume, guest.node, guest.vmid);
  if (who.empty()) return std::nullopt;
  return PowerObstacle{.why = fmt::format("{}: {}", to_text(volume), who),
                       .remedy = "find out whose data it is, and take it out of the other one's configuration by hand"};
}

std::optional<PowerObstacle> destruction_obstacle(const LiveVm& guest, const VolumeId& volume,
                                                  const StorageTable& storages) {
  if (auto taken = foreign_use(guest, volume, storages)) return taken;
  const std::string who = storages.unseen_user(volume, guest.node, guest.vmid);
  if (who.empty()) return std::nullopt;
  return PowerObstacle{.why = fmt::format("{}: {}", to_text(volume), who),
                       .remedy =
                           "plan again when it can be read; with host access (cluster.ssh) any node tells what "
                           "the guests of all nodes use"};
}

std::optional<PowerObstacle> start_obstacle(const LiveVm& guest, const StorageTable& storages) {
  for (const LiveDrive& drive : guest.drives) {
    const Drive* configured = drive.configured();
    if (configured == nullptr || !configured->volume || configured->medium != Drive::Medium::kDisk ||
        drive.slot.bus == Bus::kUnused)
      continue;
    if (auto missing = missing_volume(guest, drive.slot, *configured->volume, storages)) return missing;
    if (auto exchanged = exchanged_volume(guest, drive)) return exchanged;
  }
  return std::nullopt;
}

}  // namespace pvr
