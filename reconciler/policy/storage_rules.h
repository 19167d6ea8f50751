#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/model/storage_kind.h"
#include "reconciler/policy/rule.h"

namespace pvr {

/// One storage, written or live, as the rules of storages see it.
struct StorageRuleFacts {
  std::string_view id = {};
  std::string_view type = {};
  StorageKind kind = StorageKind::kUnknown;
  bool backing_assumed = false;
  bool images = true;                     // holds VM disks
  std::vector<std::string> content = {};  // empty: PVE's default
  std::optional<bool> sparse = {};
  bool on_iscsi = false;  // LVM whose volume group lies on a LUN of an iscsi storage
  std::optional<bool> shared = {};
  std::string_view shares_dataset_with = {};  // another storage on the same dataset
  bool chain = false;
};

inline constexpr Default<std::string_view, StorageRuleFacts> kSparseDefaults[] = {
    {.id = "Z3",
     .applies = [](const StorageRuleFacts& s) { return s.type == "zfspool"; },
     .value = "1",
     .why = "new zvols are thin: ZFS allocates when it writes either way",
     .source = "S0, S1"},
};
static_assert(well_formed(kSparseDefaults));

inline constexpr Default<std::string_view, StorageRuleFacts> kBlocksizeDefaults[] = {
    {.id = "Z4",
     .applies = [](const StorageRuleFacts& s) { return s.type == "zfspool"; },
     .value = "16k",
     .why = "the general block size; other sizes get a storage of their own",
     .source = "S1"},
};
static_assert(well_formed(kBlocksizeDefaults));

inline constexpr Default<std::string_view, StorageRuleFacts> kSharedDefaults[] = {
    {.id = "T2",
     .applies = [](const StorageRuleFacts& s) { return s.type == "lvm" && s.on_iscsi; },
     .value = "1",
     .why = "every node sees the volume group on an iSCSI LUN",
     .source = "S0"},
};
static_assert(well_formed(kSharedDefaults));

/// T1: what a type can hold, blanks between; empty for a type we do not know. Fact: plugin data of PVE's storage types.
[[nodiscard]] std::string_view allowed_content(std::string_view type);
/// The first content type the storage cannot hold, or empty.
[[nodiscard]] std::string_view unfit_content(const StorageRuleFacts& storage);

[[nodiscard]] std::span<const Check<StorageRuleFacts>> storage_checks();

/// T4: one replication job and the disks it would carry.
struct ReplicationFacts {
  std::string_view guest = {};
  std::string_view target = {};
  std::string_view storage = {};  // of the disk that is judged
  StorageKind kind = StorageKind::kZfsZvol;
  bool storage_on_target = true;
  bool same_node = false;  // target is the node the guest is on
};
[[nodiscard]] std::span<const Check<ReplicationFacts>> replication_checks();

/// T5: one backup job.
struct BackupFacts {
  std::string_view job = {};
  std::string_view mode = "snapshot";
  std::string_view compress = "zstd";
  bool to_pbs = false;  // a backup server compresses by itself
};
[[nodiscard]] std::span<const Check<BackupFacts>> backup_checks();
/// T5: whether a destructive step may go on with the newest backup this old. `limit_hours` 0: no backup is asked for.
[[nodiscard]] constexpr bool backup_is_fresh(std::optional<int> age_hours, int limit_hours) {
  return limit_hours == 0 || (age_hours.has_value() && *age_hours <= limit_hours);
}

/// T6: a conversion of a thin LVM disk to a zvol.
struct ConversionFacts {
  std::string_view disk = {};
  StorageKind from = StorageKind::kLvmThin;
  StorageKind to = StorageKind::kZfsZvol;
  bool backed_up = false;
  bool source_kept = true;  // until the copy is verified
};
[[nodiscard]] std::span<const Check<ConversionFacts>> conversion_checks();

}  // namespace pvr
