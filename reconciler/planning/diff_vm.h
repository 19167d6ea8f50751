#pragma once

#include <string>
#include <vector>

#include "reconciler/model/diff.h"
#include "reconciler/model/live_state.h"
#include "reconciler/model/resolved_fleet.h"
#include "reconciler/planning/diff.h"
#include "reconciler/planning/storage_table.h"

namespace pvr {

/// One guest that exists (or, for a clone that is only planned, would exist like `guest`). Findings that only the live
/// state shows are appended.
[[nodiscard]] VmDiff diff_guest(const ResolvedVm& vm, const LiveVm& guest, const StorageTable& storages,
                                DiffDetail detail, std::vector<Finding>& findings);

/// One guest that does not exist yet: everything declared is missing.
[[nodiscard]] VmDiff diff_missing_guest(const ResolvedVm& vm, const StorageTable& storages);

/// Whether drives on this bus know the setting.
[[nodiscard]] bool fits_bus(const Setting& setting, Bus bus);

/// A property of a zvol as it is, in the words of the fleet language; absent: nobody can tell.
[[nodiscard]] OptionValue live_zvol_value(std::string_view key, const LiveVolume* volume, const LiveDataset* zvol);
[[nodiscard]] bool same_zvol_value(std::string_view key, const OptionValue& live, const OptionValue& wanted);

/// "ide2" (or "cdrom", which is PVE's other word for it) as an option names the medium of a CD drive, not a disk.
[[nodiscard]] std::optional<DriveSlot> cd_slot(std::string_view option_key);

/// The medium alone of what a CD drive is to hold: the fleet file's value is read as "VOLUME,media=cdrom".
[[nodiscard]] std::string cd_medium(std::string_view text);

/// What PVE does with an unset drive option on that kind of storage; absent where it has no effect at all.
[[nodiscard]] OptionValue effective_drive_option(std::string_view key, StorageKind kind, Bus bus,
                                                 std::string_view format, const OptionValue& cache);

}  // namespace pvr
