#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/base/units.h"
#include "reconciler/model/resolved_fleet.h"
#include "reconciler/model/storage_kind.h"
#include "reconciler/policy/raidz.h"
#include "reconciler/policy/rule.h"

namespace pvr {

// ---- Defaults for zvols (judged on the facts of the disk) ----

inline constexpr Default<ByteSize, DiskFacts> kVolblocksizeDefaults[] = {
    {.id = "Z1",
     .applies = [](const DiskFacts& d) { return d.kind == StorageKind::kZfsZvol && d.purpose == Purpose::kDatabase; },
     .value = 8_KiB,
     .why = "database: the page size of PostgreSQL (state 16k for InnoDB)",
     .source = "S1"},
    {.id = "Z1",
     .applies =
         [](const DiskFacts& d) {
           return d.kind == StorageKind::kZfsZvol && (d.purpose == Purpose::kBulk || d.purpose == Purpose::kMedia);
         },
     .value = 64_KiB,
     .why = "bulk and media: sequential access compresses better and streams faster in large blocks",
     .source = "S0, S1"},
    {.id = "Z1",
     .applies = [](const DiskFacts& d) { return d.kind == StorageKind::kZfsZvol && d.purpose == Purpose::kModels; },
     .value = 128_KiB,
     .why = "models: large sequential reads want the largest common block",
     .source = "S0"},
    {.id = "Z1",
     .applies = [](const DiskFacts& d) { return d.kind == StorageKind::kZfsZvol && d.os == GuestOs::kWindows; },
     .value = 16_KiB,
     .why = "Windows: 16k, with NTFS clusters of 16k or 64k on data volumes",
     .source = "S0"},
    {.id = "Z1",
     .applies = [](const DiskFacts& d) { return d.kind == StorageKind::kZfsZvol; },
     .value = 16_KiB,
     .why = "general use: little amplification at a good compression ratio",
     .source = "S0, S1"},
};
static_assert(well_formed(kVolblocksizeDefaults));

// What a zvol should have. They are inherited from the parent dataset and only managed where somebody states them;
// audit compares with these.
inline constexpr Default<std::string_view, DiskFacts> kProvisioningDefaults[] = {
    {.id = "Z3",
     .applies = [](const DiskFacts& d) { return d.kind == StorageKind::kZfsZvol; },
     .value = "thin",
     .why = "ZFS allocates when it writes either way; a reservation only takes room from others",
     .source = "S0, S1"},
};
static_assert(well_formed(kProvisioningDefaults));

inline constexpr Default<std::string_view, DiskFacts> kSyncDefaults[] = {
    {.id = "Z5",
     .applies = [](const DiskFacts& d) { return d.kind == StorageKind::kZfsZvol; },
     .value = "standard",
     .why = "honours the flushes of the guest and batches everything else",
     .source = "S0, S1"},
};
static_assert(well_formed(kSyncDefaults));

inline constexpr Default<std::string_view, DiskFacts> kLogbiasDefaults[] = {
    {.id = "Z6",
     .applies = [](const DiskFacts& d) { return d.kind == StorageKind::kZfsZvol; },
     .value = "latency",
     .why = "synchronous writes answer as soon as the log holds them",
     .source = "S0, S1"},
};
static_assert(well_formed(kLogbiasDefaults));

inline constexpr Default<std::string_view, DiskFacts> kCompressionDefaults[] = {
    {.id = "Z6",
     .applies = [](const DiskFacts& d) { return d.kind == StorageKind::kZfsZvol && d.purpose == Purpose::kBackup; },
     .value = "zstd",
     .why = "backups are written once and read rarely: the better ratio is worth the time",
     .source = "S1"},
    {.id = "Z6",
     .applies = [](const DiskFacts& d) { return d.kind == StorageKind::kZfsZvol; },
     .value = "lz4",
     .why = "costs next to nothing and often gains throughput",
     .source = "S0, S1"},
};
static_assert(well_formed(kCompressionDefaults));

inline constexpr Default<std::string_view, DiskFacts> kPrimarycacheDefaults[] = {
    {.id = "Z6",
     .applies = [](const DiskFacts& d) { return d.kind == StorageKind::kZfsZvol; },
     .value = "all",
     .why = "the ARC is the read cache of a disk with cache=none",
     .source = "S0, S1"},
};
static_assert(well_formed(kPrimarycacheDefaults));

// ---- What is written about a zvol ----

/// Who stated a block size, as far as Z1 and Z2 ask.
enum class StatedBy : std::uint8_t { kRule, kShared, kDisk };  // kShared: a role or the VM, for several disks

/// Final zvol properties of one disk; empty texts: not stated.
struct ZvolSettings {
  ByteSize volblocksize = {};  // zero: none
  StatedBy volblocksize_by = StatedBy::kRule;
  std::string_view sync = {};
  std::string_view logbias = {};
  std::string_view primarycache = {};
};

/// Z1: a power of two, 512 B … 16 MiB (fact: the range OpenZFS 2.3 takes).
[[nodiscard]] constexpr bool is_legal_volblocksize(ByteSize size) {
  return size.bytes >= 512 && size <= 16_MiB && (size.bytes & (size.bytes - 1)) == 0;
}

inline constexpr Invariant<DiskFacts, ZvolSettings> kZvolInvariants[] = {
    {.id = "Z1",
     .key = "volblocksize",
     .broken =
         [](const DiskFacts&, const ZvolSettings& s) {
           return s.volblocksize.bytes != 0 && !is_legal_volblocksize(s.volblocksize);
         },
     .why = "OpenZFS takes powers of two from 512 B to 16 MiB",
     .instead = "volblocksize: 16k",
     .source = "S0, S1"},
    {.id = "Z1",
     .key = "volblocksize",
     .broken =
         [](const DiskFacts& d, const ZvolSettings& s) {
           return s.volblocksize.bytes != 0 && is_legal_volblocksize(s.volblocksize) &&
                  s.volblocksize.bytes < (1ULL << d.ashift);
         },
     .why = "a block smaller than a sector of the pool (ashift) is padded to one",
     .instead = "volblocksize: 16k",
     .source = "S1"},
    {.id = "Z1",
     .key = "volblocksize",
     .broken =
         [](const DiskFacts&, const ZvolSettings& s) {
           return s.volblocksize > 128_KiB && is_legal_volblocksize(s.volblocksize) &&
                  s.volblocksize_by != StatedBy::kDisk;
         },
     .why = "above 128k every small write rewrites a very large block",
     .instead = "128k, or the size stated on this very disk",
     .source = "S0, S1"},
    {.id = "Z5",
     .key = "sync",
     .broken =
         [](const DiskFacts& d, const ZvolSettings& s) {
           return s.sync == "disabled" && !(d.purpose == Purpose::kScratch && d.disposable);
         },
     .why = "sync=disabled loses writes the guest was told are safe; only for a disposable scratch disk",
     .instead = "sync: standard",
     .source = "S0, S1"},
};
static_assert(well_formed(kZvolInvariants));

inline constexpr Warning<DiskFacts, ZvolSettings> kZvolWarnings[] = {
    {.id = "Z5",
     .key = "sync",
     .applies = [](const DiskFacts&, const ZvolSettings& s) { return s.sync == "always"; },
     .why = "sync=always turns every write into a synchronous one",
     .instead = "sync: standard",
     .source = "S0, S1"},
    {.id = "Z6",
     .key = "logbias",
     .applies =
         [](const DiskFacts& d, const ZvolSettings& s) {
           return s.logbias == "throughput" && d.purpose != Purpose::kBulk && d.purpose != Purpose::kMedia;
         },
     .why = "logbias=throughput is for bulk and media: it passes the log device and makes every flush slower",
     .instead = "logbias: latency",
     .source = "S1"},
    {.id = "Z6",
     .key = "primarycache",
     .applies = [](const DiskFacts&,
                   const ZvolSettings& s) { return s.primarycache == "metadata" || s.primarycache == "none"; },
     .why = "reads no longer come from the ARC: only for data far larger than it",
     .instead = "primarycache: all",
     .source = "S1"},
    {.id = "Z1",
     .key = "volblocksize",
     .applies =
         [](const DiskFacts& d, const ZvolSettings& s) {
           return d.os == GuestOs::kWindows && d.purpose != Purpose::kOs && s.volblocksize > 4_KiB;
         },
     .why = "NTFS writes clusters of 4k by default, and each then rewrites a whole block",
     .instead = "NTFS formatted with 16k or 64k clusters",
     .source = "S0"},
};
static_assert(well_formed(kZvolWarnings));

// ---- Living zvols, pools and hosts: judged where the host can be asked ----

/// One zvol as it is. Empty texts and absent values: not observed.
struct ZvolFacts {
  std::string_view name = {};
  Purpose purpose = Purpose::kOs;
  bool disposable = false;
  bool thick_wanted = false;
  std::optional<ByteSize> volblocksize = {};
  std::optional<ByteSize> wanted_volblocksize = {};
  StatedBy wanted_by = StatedBy::kRule;
  std::optional<ByteSize> refreservation = {};  // zero: thin
  std::string_view sync = {};
  std::string_view logbias = {};
  std::string_view compression = {};
  std::string_view primarycache = {};
  std::string_view volmode = {};
};
[[nodiscard]] std::span<const Check<ZvolFacts>> zvol_checks();

/// Z2: what a difference of block sizes means for a living zvol.
enum class BlockSizeStep : std::uint8_t { kNone, kFinding, kRecreateOrMove };
[[nodiscard]] constexpr BlockSizeStep block_size_step(const ZvolFacts& z) {
  if (!z.volblocksize || !z.wanted_volblocksize || *z.volblocksize == *z.wanted_volblocksize)
    return BlockSizeStep::kNone;
  return z.purpose == Purpose::kOs && z.wanted_by == StatedBy::kRule ? BlockSizeStep::kFinding
                                                                     : BlockSizeStep::kRecreateOrMove;
}

enum class PoolLayout : std::uint8_t { kUnknown, kMirror, kRaidz, kSingle };

/// One pool as it is. Absent: not observed.
struct PoolFacts {
  std::string_view name = {};
  PoolLayout layout = PoolLayout::kUnknown;
  VdevShape shape = {};
  bool holds_vm_disks = true;
  ByteSize blocksize = 16_KiB;  // of new zvols on it
  Media media = Media::kUnknown;
  std::optional<int> ashift = {};
  std::optional<ByteSize> drive_size = {};
  std::optional<int> used_percent = {};
  std::optional<bool> autotrim = {};
  std::optional<bool> trim_timer = {};
  bool has_slog = false;
  std::optional<bool> slog_mirrored = {};
  std::optional<bool> slog_plp = {};  // power-loss protection, stated as `plp:`
  bool has_special = false;
  std::optional<bool> special_mirrored = {};
  std::string_view atime = {};  // of the root dataset, as all below
  std::string_view xattr = {};
  std::string_view dnodesize = {};  // empty where nobody may change it: the node starts from the pool
  std::optional<ByteSize> recordsize = {};
};
[[nodiscard]] std::span<const Check<PoolFacts>> pool_checks();

/// Z10: how full a pool may be. Numbers in percent.
inline constexpr int kCapacityWarn = 80;
inline constexpr int kCapacityStrong = 85;
inline constexpr int kCapacityRefuse = 90;
enum class CapacityVerdict : std::uint8_t { kFine, kWarn, kStrong, kRefuse };
/// Where a pool stands after `adding` bytes more. A pool of unknown size is fine.
[[nodiscard]] constexpr CapacityVerdict capacity_verdict(ByteSize used, ByteSize total, ByteSize adding = {}) {
  if (total.bytes == 0) return CapacityVerdict::kFine;
  const auto percent =
      static_cast<int>(static_cast<double>(used.bytes + adding.bytes) * 100.0 / static_cast<double>(total.bytes));
  return percent >= kCapacityRefuse   ? CapacityVerdict::kRefuse
         : percent >= kCapacityStrong ? CapacityVerdict::kStrong
         : percent >= kCapacityWarn   ? CapacityVerdict::kWarn
                                      : CapacityVerdict::kFine;
}

/// One dataset that is no zvol.
enum class DatasetUse : std::uint8_t { kContainers, kBackups };
struct DatasetFacts {
  std::string_view name = {};
  DatasetUse use = DatasetUse::kContainers;
  std::optional<ByteSize> recordsize = {};
  std::string_view compression = {};
};
[[nodiscard]] std::span<const Check<DatasetFacts>> dataset_checks();

/// Memory of one node. Absent: not observed.
struct HostFacts {
  std::string_view name = {};
  ByteSize memory = {};
  ByteSize vm_memory = {};  // sum of the guests that run or are to run there
  std::optional<ByteSize> arc_max = {};
  std::optional<ByteSize> arc_min = {};
  bool swap_on_zfs = false;
};
[[nodiscard]] std::span<const Check<HostFacts>> host_checks();

/// Z13: one line of the ARC table.
struct ArcRange {
  ByteSize memory = {};
  ByteSize low = {};
  ByteSize high = {};
};
inline constexpr ArcRange kArcTable[] = {
    {32_GiB, 4_GiB, 4_GiB},    {64_GiB, 8_GiB, 8_GiB},     {128_GiB, 16_GiB, 32_GiB},
    {256_GiB, 32_GiB, 64_GiB}, {512_GiB, 64_GiB, 128_GiB},
};
/// zfs_arc_max for a node: the line of the table for the nearest size (firmware keeps a few GiB, so "256 GB" reads as
/// 251); beyond the table in proportion to its nearest end.
[[nodiscard]] ArcRange recommended_arc(ByteSize memory);
/// What the system itself needs: 2 GiB and one percent.
[[nodiscard]] constexpr ByteSize system_memory(ByteSize memory) { return 2_GiB + ByteSize{memory.bytes / 100}; }
/// Whether guests, ARC and system fit.
[[nodiscard]] constexpr bool memory_fits(const HostFacts& h) {
  if (h.memory.bytes == 0) return true;
  const ByteSize arc = h.arc_max.value_or(ByteSize{});
  return h.vm_memory + arc + system_memory(h.memory) <= h.memory;
}

}  // namespace pvr
