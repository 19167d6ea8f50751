#pragma once

#include <optional>
#include <string_view>

#include "reconciler/model/effective.h"
#include "reconciler/model/guest_options.h"
#include "reconciler/model/resolved_fleet.h"
#include "reconciler/policy/rule.h"

namespace pvr {

/// Final drive settings of one disk, as the guest will run with them (unset ones at their effective value).
struct DiskSettings {
  CacheMode cache = CacheMode::kNone;
  std::optional<AioMode> aio = {};  // nothing: the driver takes none
  bool iothread = false;
  bool new_volume = false;  // the disk does not exist yet
  std::string_view scsihw = "virtio-scsi-single";
};

/// The conditions of C3: pinned, disposable, local and not on ZFS.
[[nodiscard]] constexpr bool may_lose_page_cache(const DiskFacts& d) {
  return d.mobility == Mobility::kPinned && d.disposable && !d.shared && !is_zfs(d.kind);
}
/// An unknown PVE version counts as the baseline of the policy, 9.
[[nodiscard]] constexpr bool has_pve9(const DiskFacts& d) { return d.pve_major == 0 || d.pve_major >= 9; }
/// O_DIRECT on files of a dataset: OpenZFS 2.3. Unknown: what this PVE ships (9 and unknown: 2.3 or newer).
[[nodiscard]] constexpr bool has_zfs_direct_io(const DiskFacts& d) {
  if (d.zfs_major == 0) return has_pve9(d);
  return d.zfs_major > 2 || (d.zfs_major == 2 && d.zfs_minor >= 3);
}

using CacheDefault = Default<CacheMode, DiskFacts>;
/// Value nothing: leave `aio` unset, and say why.
using AioDefault = Default<std::optional<AioMode>, DiskFacts>;
using FlagDefault = Default<bool, DiskFacts>;
using DiskInvariant = Invariant<DiskFacts, DiskSettings>;
using DiskWarning = Warning<DiskFacts, DiskSettings>;

// First match wins: special cases stand above the general row.
inline constexpr CacheDefault kCacheDefaults[] = {
    {.id = "C3",
     .applies = [](const DiskFacts& d) { return is_disk_bus(d.bus) && may_lose_page_cache(d); },
     .value = CacheMode::kWriteback,
     .why = "pinned, disposable, local and not on ZFS: nothing is cached twice, nothing that is kept is at risk",
     .source = "S0"},
    {.id = "C1",
     .applies = [](const DiskFacts& d) { return is_disk_bus(d.bus); },
     .value = CacheMode::kNone,
     .why = "past the host page cache; on ZFS the ARC is already the cache",
     .source = "S0"},
};
static_assert(well_formed(kCacheDefaults));

inline constexpr AioDefault kAioDefaults[] = {
    {.id = "A5",
     .applies =
         [](const DiskFacts& d) { return is_disk_bus(d.bus) && d.kind == StorageKind::kLvmThickChain && has_pve9(d); },
     .value = AioMode::kIoUring,
     .why = "PVE runs an unset aio as native on thick LVM, which blocks over the qcow2 of a volume chain",
     .source = "S0, PVE source"},
    {.id = "A5",
     .applies = [](const DiskFacts& d) { return is_disk_bus(d.bus) && d.kind == StorageKind::kLvmThickChain; },
     .value = std::nullopt,
     .why = "before PVE 9 io_uring hangs on thick LVM: aio stays unset until the nodes are upgraded",
     .source = "S0, PVE source"},
    {.id = "A5",
     .applies = [](const DiskFacts& d) { return is_disk_bus(d.bus) && d.kind == StorageKind::kLvmThick; },
     .value = std::nullopt,
     .why =
         "PVE runs an unset aio as native on thick LVM, which is right for raw volumes and keeps live moves possible",
     .source = "S0, PVE source"},
    {.id = "A5",
     .applies = [](const DiskFacts& d) { return is_disk_bus(d.bus) && d.kind == StorageKind::kCifs; },
     .value = std::nullopt,
     .why = "PVE avoids io_uring on CIFS because of hangs: aio stays unset",
     .source = "PVE source"},
    {.id = "A1",
     .applies =
         [](const DiskFacts& d) {
           return is_disk_bus(d.bus) && (d.kind == StorageKind::kRbd || d.kind == StorageKind::kZfsOverIscsi);
         },
     .value = std::nullopt,
     .why = "QEMU's own network driver takes no aio setting",
     .source = "PVE source"},
    {.id = "A1",
     .applies = [](const DiskFacts& d) { return is_disk_bus(d.bus); },
     .value = AioMode::kIoUring,
     .why = "io_uring never blocks the submitting thread, whatever lies below",
     .source = "S0, S3"},
};
static_assert(well_formed(kAioDefaults));

inline constexpr FlagDefault kIothreadDefaults[] = {
    {.id = "I1",
     .applies = [](const DiskFacts& d) { return d.bus == Bus::kScsi && d.single_controller; },
     .value = true,
     .why = "its own I/O thread and controller for every disk",
     .source = "S0, S3"},
};
static_assert(well_formed(kIothreadDefaults));

inline constexpr FlagDefault kDiscardDefaults[] = {
    {.id = "D1",
     .applies = [](const DiskFacts& d) { return is_disk_bus(d.bus); },
     .value = true,
     .why = "what the guest trims is given back to the storage",
     .source = "S0, S4"},
};
static_assert(well_formed(kDiscardDefaults));

inline constexpr FlagDefault kSsdDefaults[] = {
    {.id = "D2",
     .applies =
         [](const DiskFacts& d) {
           return d.media == Media::kSsd && (d.bus == Bus::kScsi || d.bus == Bus::kSata || d.bus == Bus::kIde);
         },
     .value = true,
     .why = "the guest sees an SSD: trims instead of defragmenting",
     .source = "S0, S4"},
};
static_assert(well_formed(kSsdDefaults));

/// A2: raw block that QEMU reaches without a layer that can block.
[[nodiscard]] constexpr bool is_direct_block(const DiskFacts& d) {
  return (d.kind == StorageKind::kIscsiLun || d.kind == StorageKind::kLvmThick || d.kind == StorageKind::kDevice ||
          d.kind == StorageKind::kRbd || d.kind == StorageKind::kRbdKernel) &&
         d.format == "raw";
}

// The most telling rule stands first: of several broken ones for one key it is the one reported, the others are its
// notes.
inline constexpr DiskInvariant kDiskInvariants[] = {
    {.id = "C4",
     .key = "cache",
     .broken =
         [](const DiskFacts& d, const DiskSettings& s) {
           return s.cache == CacheMode::kUnsafe && !(d.purpose == Purpose::kScratch && may_lose_page_cache(d));
         },
     .why = "unsafe ignores the flushes of the guest: only for a disposable scratch disk of a pinned VM on local "
            "storage without ZFS",
     .instead = "cache=none",
     .source = "S0"},
    {.id = "C2",
     .key = "cache",
     .broken =
         [](const DiskFacts& d, const DiskSettings& s) {
           return uses_host_page_cache(s.cache) && is_disk_bus(d.bus) &&
                  (d.mobility == Mobility::kMobile || d.shared || is_zfs(d.kind));
         },
     .why = "page caches of two nodes do not agree after a migration; on ZFS the data is cached twice",
     .instead = "cache=none or cache=directsync",
     .source = "S0"},
    {.id = "A3",
     .key = "aio",
     .broken =
         [](const DiskFacts& d, const DiskSettings& s) {
           return s.aio == AioMode::kNative &&
                  (is_zfs(d.kind) || d.format == "qcow2" || d.kind == StorageKind::kLvmThin ||
                   d.kind == StorageKind::kLvmThickChain);
         },
     .why = "ZFS, qcow2 and thin LVM can block when a request is submitted, and native then stops the whole guest; a "
            "volume chain puts "
            "qcow2 on top as soon as there is a snapshot or a backup runs",
     .instead = "aio=io_uring",
     .source = "S0"},
    {.id = "A2",
     .key = "aio",
     .broken =
         [](const DiskFacts& d, const DiskSettings& s) {
           return s.aio == AioMode::kNative && !(is_direct_block(d) && is_direct(s.cache));
         },
     .why = "native needs raw block storage without a layer that can block, and O_DIRECT",
     .instead = "aio=io_uring, or cache=none on raw block storage",
     .source = "S0, S3"},
    {.id = "A5",
     .key = "aio",
     .broken =
         [](const DiskFacts& d, const DiskSettings& s) {
           return s.aio == AioMode::kIoUring && d.kind == StorageKind::kCifs && is_disk_bus(d.bus);
         },
     .why = "PVE avoids io_uring on CIFS because of hangs",
     .instead = "no aio at all",
     .source = "PVE source"},
    {.id = "I1",
     .key = "iothread",
     .broken =
         [](const DiskFacts& d, const DiskSettings& s) {
           return s.iothread && !(d.bus == Bus::kVirtio || (d.bus == Bus::kScsi && s.scsihw == "virtio-scsi-single"));
         },
     .why = "an I/O thread needs scsihw=virtio-scsi-single, or a virtio-blk disk; elsewhere QEMU ignores it with a "
            "warning",
     .instead = "scsihw: virtio-scsi-single",
     .source = "S0, S3"},
    {.id = "F1",
     .key = "format",
     .broken = [](const DiskFacts& d,
                  const DiskSettings& s) { return s.new_volume && d.format == "qcow2" && is_zfs(d.kind); },
     .why = "qcow2 and ZFS both copy on write: every write is amplified twice",
     .instead = "format: raw on a zfspool storage",
     .source = "S1"},
};
static_assert(well_formed(kDiskInvariants));

inline constexpr DiskWarning kDiskWarnings[] = {
    {.id = "A4",
     .key = "aio",
     .applies =
         [](const DiskFacts& d, const DiskSettings& s) {
           return is_disk_bus(d.bus) && s.aio == AioMode::kThreads && is_direct(s.cache);
         },
     .why = "threads together with an O_DIRECT cache mode costs a thread switch per request and gains nothing",
     .instead = "aio=io_uring",
     .source = "S0, S3"},
    {.id = "C3",
     .key = "cache",
     .applies =
         [](const DiskFacts& d, const DiskSettings& s) {
           return is_disk_bus(d.bus) && uses_host_page_cache(s.cache) && !d.disposable;
         },
     .why = "writes of the last seconds are lost with the host, and this disk is not disposable",
     .instead = "cache=none, or disposable: true where that is so",
     .source = "S0"},
    {.id = "F1",
     .key = "format",
     .applies = [](const DiskFacts& d,
                   const DiskSettings& s) { return !s.new_volume && d.format == "qcow2" && is_zfs(d.kind); },
     .why = "qcow2 and ZFS both copy on write: every write is amplified twice",
     .instead = "a move to a zfspool storage",
     .source = "S1"},
    {.id = "F2",
     .key = "storage",
     .applies =
         [](const DiskFacts& d, const DiskSettings&) {
           return is_disk_bus(d.bus) && d.kind == StorageKind::kZfsFile && !has_zfs_direct_io(d);
         },
     .why = "before OpenZFS 2.3 a file on a dataset may refuse O_DIRECT, and the guest then does not start",
     .instead = "a move to a zfspool storage, never writeback",
     .source = "S0"},
    {.id = "T3",
     .key = "storage",
     .applies = [](const DiskFacts& d,
                   const DiskSettings&) { return is_disk_bus(d.bus) && d.kind == StorageKind::kZfsFile; },
     .why = "the disk is a file on a ZFS dataset: a zvol saves the file system in between",
     .instead = "a move to a zfspool storage",
     .source = "S1"},
};
static_assert(well_formed(kDiskWarnings));

}  // namespace pvr
