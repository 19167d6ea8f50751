#include "reconciler/policy/storage_rules.h"

#include <fmt/format.h>

#include <algorithm>

namespace pvr {
namespace {

using enum Severity;

struct TypeContent {
  std::string_view type = {};
  std::string_view content = {};
};
constexpr TypeContent kContent[] = {
    {"zfspool", "images rootdir"},
    {"dir", "images rootdir vztmpl iso backup snippets import none"},
    {"nfs", "images rootdir vztmpl iso backup snippets import none"},
    {"cifs", "images rootdir vztmpl iso backup snippets import none"},
    {"btrfs", "images rootdir vztmpl iso backup snippets import none"},
    {"cephfs", "vztmpl iso backup snippets import none"},
    {"lvm", "images rootdir"},
    {"lvmthin", "images rootdir"},
    {"rbd", "images rootdir"},
    {"iscsi", "images none"},
    {"iscsidirect", "images none"},
    {"zfs", "images"},
    {"pbs", "backup none"},
    {"esxi", "import"},
};

bool holds(std::string_view words, std::string_view word) {
  while (!words.empty()) {
    const std::size_t blank = std::min(words.find(' '), words.size());
    if (words.substr(0, blank) == word) return true;
    words.remove_prefix(std::min(blank + 1, words.size()));
  }
  return false;
}

constexpr Check<StorageRuleFacts> kStorageChecks[] = {
    {.id = "T1",
     .severity = kError,
     .found = [](const StorageRuleFacts& s) { return !unfit_content(s).empty(); },
     .say =
         [](const StorageRuleFacts& s) {
           return fmt::format("storage type {} cannot hold content \"{}\"", s.type, unfit_content(s));
         },
     .fix = [](const StorageRuleFacts& s) { return fmt::format("content of {}: {}", s.type, allowed_content(s.type)); },
     .why = "PVE refuses content the type cannot hold",
     .source = "S1"},
    {.id = "T2",
     .severity = kWarning,
     .found = [](const StorageRuleFacts& s) { return s.type == "lvm" && s.on_iscsi && s.shared == false; },
     .say =
         [](const StorageRuleFacts& s) {
           return fmt::format("storage {} lies on an iSCSI LUN but is not declared shared", s.id);
         },
     .fix = [](const StorageRuleFacts& s) { return fmt::format("pvesm set {} --shared 1", s.id); },
     .why = "PVE then copies disks over the network instead of handing them over",
     .source = "S0"},
    {.id = "T3",
     .severity = kWarning,
     .found = [](const StorageRuleFacts& s) { return s.images && s.kind == StorageKind::kZfsFile; },
     .say = [](const StorageRuleFacts& s) { return fmt::format("VM disks on {} are files on a ZFS dataset", s.id); },
     .fix = [](const StorageRuleFacts&) -> std::string { return "move them to a zfspool storage"; },
     .why = "a zvol saves the file system in between",
     .source = "S1"},
    {.id = "T3",
     .severity = kNotice,
     .found = [](const StorageRuleFacts& s) { return s.images && s.backing_assumed; },
     .say =
         [](const StorageRuleFacts& s) {
           return fmt::format(
               "what lies below the directory of storage {} is not known: it is treated as ZFS, the safe side", s.id);
         },
     .fix = [](const StorageRuleFacts&) -> std::string {
       return "state backing: zfs, ext4, xfs or btrfs on the storage, or give host access";
     },
     .why = "the API does not tell the file system of a directory",
     .source = "S0"},
    {.id = "Z3",
     .severity = kNotice,
     .found = [](const StorageRuleFacts& s) { return s.type == "zfspool" && s.sparse == false; },
     .say =
         [](const StorageRuleFacts& s) {
           return fmt::format("new disks on {} are thick: their whole size is set aside", s.id);
         },
     .fix = [](const StorageRuleFacts& s) { return fmt::format("pvesm set {} --sparse 1", s.id); },
     .why = "a reservation blunts thin provisioning and discard",
     .source = "S0, S1"},
    {.id = "Z4",
     .severity = kError,
     .found = [](const StorageRuleFacts& s) { return !s.shares_dataset_with.empty(); },
     .say =
         [](const StorageRuleFacts& s) {
           return fmt::format("storages {} and {} lie on one dataset", s.id, s.shares_dataset_with);
         },
     .fix = [](const StorageRuleFacts&) -> std::string { return "a child dataset for each block size"; },
     .why = "each lists the other's volumes, and their locks do not exclude each other",
     .source = "S1, PVE source"},
};
static_assert(well_formed(kStorageChecks));

constexpr Check<ReplicationFacts> kReplicationChecks[] = {
    {.id = "T4",
     .severity = kError,
     .found = [](const ReplicationFacts& r) { return r.kind != StorageKind::kZfsZvol; },
     .say =
         [](const ReplicationFacts& r) {
           return fmt::format("{} declares replication, but storage {} is no zfspool", r.guest, r.storage);
         },
     .fix = [](const ReplicationFacts&) -> std::string {
       return "disks on a zfspool storage, or replicate: false on this disk";
     },
     .why = "PVE replicates zvols only",
     .source = "S1, PVE source"},
    {.id = "T4",
     .severity = kError,
     .found = [](const ReplicationFacts& r) { return r.kind == StorageKind::kZfsZvol && !r.storage_on_target; },
     .say =
         [](const ReplicationFacts& r) {
           return fmt::format("{} replicates to {}, where storage {} does not exist", r.guest, r.target, r.storage);
         },
     .fix =
         [](const ReplicationFacts& r) {
           return fmt::format("a pool and the storage id {} on {}", r.storage, r.target);
         },
     .why = "the copy is written to the same storage id",
     .source = "S1, PVE source"},
    {.id = "T4",
     .severity = kError,
     .found = [](const ReplicationFacts& r) { return r.same_node; },
     .say =
         [](const ReplicationFacts& r) {
           return fmt::format("{} replicates to {}, the node it is on", r.guest, r.target);
         },
     .fix = [](const ReplicationFacts&) -> std::string { return "another node as target"; },
     .why = "a copy on the same node saves nothing",
     .source = "S1"},
};
static_assert(well_formed(kReplicationChecks));

constexpr Check<BackupFacts> kBackupChecks[] = {
    {.id = "T5",
     .severity = kWarning,
     .found = [](const BackupFacts& b) { return b.mode != "snapshot"; },
     .say =
         [](const BackupFacts& b) {
           return fmt::format("backup job {} uses mode {}: guests pause or stop", b.job, b.mode);
         },
     .fix = [](const BackupFacts&) -> std::string { return "mode snapshot"; },
     .why = "a snapshot lets the guest run on",
     .source = "S1"},
    {.id = "T5",
     .severity = kNotice,
     .found = [](const BackupFacts& b) { return !b.to_pbs && b.compress != "zstd"; },
     .say = [](const BackupFacts& b) { return fmt::format("backup job {} compresses with {}", b.job, b.compress); },
     .fix = [](const BackupFacts&) -> std::string { return "compress zstd"; },
     .why = "zstd is faster and smaller than gzip and lzo",
     .source = "S1"},
};
static_assert(well_formed(kBackupChecks));

bool is_conversion(const ConversionFacts& c) {
  return c.from == StorageKind::kLvmThin && c.to == StorageKind::kZfsZvol;
}

constexpr Check<ConversionFacts> kConversionChecks[] = {
    {.id = "T6",
     .severity = kError,
     .found = [](const ConversionFacts& c) { return is_conversion(c) && !c.backed_up; },
     .say =
         [](const ConversionFacts& c) {
           return fmt::format("{} would be converted from thin LVM to ZFS without a backup", c.disk);
         },
     .fix = [](const ConversionFacts&) -> std::string { return "take a backup first"; },
     .why = "the pool is usually built from the very drives that held the data",
     .source = "S1"},
    {.id = "T6",
     .severity = kError,
     .found = [](const ConversionFacts& c) { return is_conversion(c) && !c.source_kept; },
     .say =
         [](const ConversionFacts& c) {
           return fmt::format("{} would be converted from thin LVM to ZFS without keeping the source", c.disk);
         },
     .fix = [](const ConversionFacts&) -> std::string { return "keep the old volume until the new one is verified"; },
     .why = "a copy counts when it has been verified",
     .source = "S1"},
};
static_assert(well_formed(kConversionChecks));

}  // namespace

std::string_view allowed_content(std::string_view type) {
  const auto* at = std::ranges::find(kContent, type, &TypeContent::type);
  return at == std::end(kContent) ? std::string_view{} : at->content;
}

std::string_view unfit_content(const StorageRuleFacts& storage) {
  const std::string_view allowed = allowed_content(storage.type);
  if (allowed.empty()) return {};
  for (const std::string& word : storage.content) {
    if (!holds(allowed, word)) return word;
  }
  return {};
}

std::span<const Check<StorageRuleFacts>> storage_checks() { return kStorageChecks; }
std::span<const Check<ReplicationFacts>> replication_checks() { return kReplicationChecks; }
std::span<const Check<BackupFacts>> backup_checks() { return kBackupChecks; }
std::span<const Check<ConversionFacts>> conversion_checks() { return kConversionChecks; }

}  // namespace pvr
