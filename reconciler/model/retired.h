#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "reconciler/model/drive.h"
#include "reconciler/model/live_host.h"

namespace pvr {

// How a zvol tells what it is to us: user properties (marks) and names that PVE does not take for volumes of its own.
// Fact: PVE lists what is called (vm|base|subvol|basevol)-N-…, and frees it with the guest; user properties and guids
// follow a rename.

namespace mark {
inline constexpr std::string_view kVmid = "vmid";             // whose disk it was
inline constexpr std::string_view kSlot = "slot";             // "scsi2"
inline constexpr std::string_view kName = "name";             // the last component it had
inline constexpr std::string_view kRetiredAt = "retired-at";  // a stamp; on whatever is no disk of a guest any more
inline constexpr std::string_view kReplaces = "replaces";     // on the new zvol: guid of the old one
inline constexpr std::string_view kGuard =
    "guard";  // a stamp; on the source: held read-only since then for a copy; on the new one: of that time's content
inline constexpr std::string_view kComplete = "complete";  // on the new zvol: the guard whose content it holds in full
inline constexpr std::string_view kVerified =
    "verified";  // on the new zvol: the guard whose content it was compared with and found equal
inline constexpr std::string_view kSettled = "settled";  // on the new zvol: "no" until nothing is left to do for it
inline constexpr std::string_view kSwapFrom =
    "swap-from";  // on a zvol that a swap renames: the volume id the drive still names
}  // namespace mark

/// The property a mark is set as: "pvereconcile:guard".
[[nodiscard]] std::string mark_property(std::string_view name);
/// "" where it is not set.
[[nodiscard]] std::string_view mark_of(const LiveDataset& dataset, std::string_view name);

/// "20261121T081500Z". Sorts by time.
[[nodiscard]] std::string time_stamp(std::chrono::system_clock::time_point at);
[[nodiscard]] std::optional<std::chrono::sys_seconds> parse_time_stamp(std::string_view text);

/// "tank/vms/vm-701-disk-1" → "tank/vms"; "" for a pool.
[[nodiscard]] std::string_view parent_dataset(std::string_view dataset);
/// → "vm-701-disk-1".
[[nodiscard]] std::string_view last_component(std::string_view dataset);
/// → "tank".
[[nodiscard]] std::string_view zpool_of(std::string_view dataset);

/// Next to `dataset`: "tank/vms/pvereconcile-new-vm-701-disk-1".
[[nodiscard]] std::string work_zvol(std::string_view dataset);
/// Next to `dataset`: "tank/vms/pvereconcile-retired-vm-701-disk-1-20261121T081500Z".
[[nodiscard]] std::string retired_zvol(std::string_view dataset, std::string_view stamp);
/// Whether it carries the mark, whatever it is called.
[[nodiscard]] bool is_retired(const LiveDataset& dataset);
/// Whether it has a name of ours, which PVE does not list.
[[nodiscard]] bool is_hidden_name(std::string_view dataset);

/// A marked zvol's guest and slot; nothing when the marks are missing or make no sense.
struct RetiredFrom {
  Vmid vmid = {};
  DriveSlot slot = {};
  std::string name = {};  // last component it had; empty: it still has it
  std::chrono::sys_seconds at = {};
};
[[nodiscard]] std::optional<RetiredFrom> retired_from(const LiveDataset& dataset);

}  // namespace pvr
