#pragma once

#include <optional>
#include <string_view>

#include "reconciler/model/drive.h"
#include "reconciler/model/storage_kind.h"

namespace pvr {

// What PVE really does with a drive option that is not set. Fact: qemu-server Drive.pm and Blockdev.pm; the table of
// aio by storage type is confirmed by its cfg2cmd tests.

/// The cache mode of a disk without `cache`: O_DIRECT everywhere, except on btrfs storages without `nocow` (given as
/// `kind` kBtrfs), whose volumes go through the page cache. EFI variables are always written back.
[[nodiscard]] constexpr CacheMode effective_cache(StorageKind kind, Bus bus = Bus::kScsi) {
  return kind == StorageKind::kBtrfs || bus == Bus::kEfi ? CacheMode::kWriteback : CacheMode::kNone;
}

/// The aio mode of a disk without `aio`, given its cache mode. Nothing where the driver takes no aio setting.
/// `format` does not matter to PVE's choice: qcow2 on a thick LVM volume gets the same mode as a raw one.
[[nodiscard]] constexpr std::optional<AioMode> effective_aio(StorageKind kind, [[maybe_unused]] std::string_view format,
                                                             CacheMode cache) {
  switch (kind) {
    case StorageKind::kLvmThick:
    case StorageKind::kLvmThickChain:
    case StorageKind::kCifs:
      return is_direct(cache) ? AioMode::kNative : AioMode::kThreads;
    case StorageKind::kRbdKernel:
      return is_direct(cache) ? AioMode::kIoUring : AioMode::kThreads;
    case StorageKind::kRbd:
    case StorageKind::kZfsOverIscsi:
      return std::nullopt;
    default:
      return AioMode::kIoUring;
  }
}

/// Whether a running guest's disk cannot be moved to a storage of this kind while its drive says aio=io_uring.
/// Fact: qemu-server clone_disk_check_io_uring.
[[nodiscard]] constexpr bool refuses_io_uring_move(StorageKind target, CacheMode cache) {
  return target == StorageKind::kLvmThick || target == StorageKind::kLvmThickChain || target == StorageKind::kCifs ||
         (target == StorageKind::kRbdKernel && uses_host_page_cache(cache));
}

}  // namespace pvr
