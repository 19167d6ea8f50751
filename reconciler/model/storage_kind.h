#pragma once

#include <cstdint>
#include <string_view>

namespace pvr {

/// What really lies under a disk (policy section 1). Derived from storage.cfg and, for directories, from the file
/// system below.
enum class StorageKind : std::uint8_t {
  kUnknown,
  kZfsZvol,
  kZfsFile,
  kLvmThick,
  kLvmThickChain,
  kLvmThin,
  kFile,
  kBtrfs,
  kNfs,
  kCifs,
  kIscsiLun,
  kRbd,
  kRbdKernel,
  kZfsOverIscsi,
  kDevice
};
[[nodiscard]] std::string_view to_text(StorageKind kind);
/// zvol or file on a ZFS dataset; an unknown backing counts as ZFS, the safe side.
[[nodiscard]] constexpr bool is_zfs(StorageKind kind) {
  return kind == StorageKind::kZfsZvol || kind == StorageKind::kZfsFile || kind == StorageKind::kUnknown;
}
enum class Media : std::uint8_t { kUnknown, kSsd, kHdd };
enum class Mobility : std::uint8_t { kMobile, kPinned };
enum class Purpose : std::uint8_t { kOs, kData, kDatabase, kBulk, kModels, kMedia, kBackup, kScratch };
enum class GuestOs : std::uint8_t { kLinux, kWindows, kOther };
[[nodiscard]] std::string_view to_text(Media media);
[[nodiscard]] std::string_view to_text(Mobility mobility);
[[nodiscard]] std::string_view to_text(Purpose purpose);
[[nodiscard]] std::string_view to_text(GuestOs os);

}  // namespace pvr
