#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "reconciler/base/flat_map.h"
#include "reconciler/model/drive.h"
#include "reconciler/model/live_state.h"

namespace pvr {

/// Is `volume` the one a plan means? A plan cannot know the name of a volume that an earlier operation of it makes:
/// without a name, any volume on that storage is meant; without a storage, too, any volume at all.
[[nodiscard]] bool is_meant(const VolumeId& planned, const std::optional<VolumeId>& volume);
/// For people: "z16:vm-120-disk-0", or "a volume on z16".
[[nodiscard]] std::string meant_text(const VolumeId& planned);

/// The drive entry of a slot; null when the slot is empty in every respect.
[[nodiscard]] const LiveDrive* find_drive(const LiveVm& vm, DriveSlot slot);
/// What the slot holds after the next restart: pending where there is one, else current; null when it is, or will be,
/// empty.
[[nodiscard]] const Drive* configured_drive(const LiveVm& vm, DriveSlot slot);
/// Whether a drive holds the volume an operation was planned for. A planned volume without a name is one that an
/// earlier operation of the plan made on that storage.
[[nodiscard]] bool holds_planned(const Drive& drive, const VolumeId& planned);
/// Current and configured volume differ, or the slot waits to be emptied, or any option waits.
[[nodiscard]] bool drive_waits(const LiveVm& vm, DriveSlot slot);
/// The lowest unusedN that holds the volume.
[[nodiscard]] std::optional<DriveSlot> unused_slot_of(const LiveVm& vm, const VolumeId& volume);
/// The slot, unusedN excluded, that names the volume, current or pending.
[[nodiscard]] std::optional<DriveSlot> attached_slot_of(const LiveVm& vm, const VolumeId& volume);
/// Any key of the guest, unusedN included, names it, current or pending.
[[nodiscard]] bool is_referenced(const LiveVm& vm, const VolumeId& volume);

/// The text an option (or a CD drive, which plans treat as one) has after the next restart; nothing when it is, or will
/// be, unset.
[[nodiscard]] std::optional<std::string> configured_text(const LiveVm& vm, std::string_view key);
/// Does PVE's text mean what was asked for? Compares decoded values; a MAC that was not asked for is PVE's to choose.
[[nodiscard]] bool same_option(std::string_view key, std::string_view asked, std::string_view stored);

/// The drive with these keys changed and everything else kept; an empty text removes a key. Error: a text that is not
/// legal.
[[nodiscard]] Result<Drive> with_options(const Drive& drive, const FlatMap<std::string>& set);
/// Do the drive's options have these texts already? Error as above.
[[nodiscard]] Result<bool> has_options(const Drive& drive, const FlatMap<std::string>& set);

/// "STORAGE:SIZE" as PVE allocates it: GiB, as an exact decimal number. Sizes are rounded up to KiB.
[[nodiscard]] std::string allocation_text(std::string_view storage, ByteSize size);

}  // namespace pvr
