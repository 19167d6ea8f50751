#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "reconciler/base/flat_map.h"
#include "reconciler/base/result.h"
#include "reconciler/base/units.h"
#include "reconciler/model/option_value.h"

namespace pvr {

enum class CacheMode : std::uint8_t { kNone, kWritethrough, kWriteback, kUnsafe, kDirectsync };
enum class AioMode : std::uint8_t { kNative, kThreads, kIoUring };
enum class Bus : std::uint8_t { kScsi, kVirtio, kSata, kIde, kEfi, kTpm, kUnused };

/// A drive key of the guest configuration: scsi0, efidisk0, unused3.
struct DriveSlot {
  Bus bus = Bus::kScsi;
  std::uint16_t index = 0;
  friend auto operator<=>(const DriveSlot&, const DriveSlot&) = default;
};
[[nodiscard]] std::string to_text(DriveSlot slot);
/// scsi0–30, virtio0–15, sata0–5, ide0–3, efidisk0, tpmstate0, unused0–255; nothing otherwise.
[[nodiscard]] std::optional<DriveSlot> parse_slot(std::string_view text);

[[nodiscard]] std::string_view to_text(CacheMode mode);
[[nodiscard]] std::string_view to_text(AioMode mode);
[[nodiscard]] std::optional<CacheMode> parse_cache(std::string_view text);
[[nodiscard]] std::optional<AioMode> parse_aio(std::string_view text);
/// O_DIRECT modes: none, directsync.
[[nodiscard]] constexpr bool is_direct(CacheMode mode) {
  return mode == CacheMode::kNone || mode == CacheMode::kDirectsync;
}
/// Modes that use the host's page cache: writeback, writethrough, unsafe.
[[nodiscard]] constexpr bool uses_host_page_cache(CacheMode mode) { return !is_direct(mode); }

/// "STORAGE:NAME". Identity of a volume as PVE writes it.
struct VolumeId {
  std::string storage = {};
  std::string name = {};  // "vm-101-disk-0", "101/vm-101-disk-0.qcow2"
  friend auto operator<=>(const VolumeId&, const VolumeId&) = default;
};
[[nodiscard]] std::string to_text(const VolumeId& volume);
/// raw, qcow2 or vmdk, from the name's ending; raw where there is none.
[[nodiscard]] std::string_view image_format(const VolumeId& volume);
/// The vmid in the name ("vm-101-…", "base-101-…"), if there is one.
[[nodiscard]] std::optional<Vmid> owner_of(const VolumeId& volume);

/// A drive string, decoded. Keys PVE added later than this table survive in `unknown` and are written back untouched.
struct Drive {
  enum class Medium : std::uint8_t { kDisk, kCdrom, kCloudInit };
  Medium medium = Medium::kDisk;
  std::optional<VolumeId> volume = {};  // empty for "none", "cdrom" and paths
  std::string path = {};                // "none", "cdrom" or "/dev/…" where there is no volume
  std::optional<ByteSize> size = {};    // as PVE states it
  FlatMap<OptionValue> options = {};    // catalogue rows of Home::kDriveOption; absent keys are not held
  FlatMap<std::string> unknown = {};
  friend bool operator==(const Drive&, const Drive&) = default;
};
/// Reads a drive string of `slot`. Error: why not.
[[nodiscard]] Result<Drive> parse_drive(DriveSlot slot, std::string_view text);
/// PVE's canonical print: volume first, then keys in alphabetical order.
[[nodiscard]] std::string print_drive(DriveSlot slot, const Drive& drive);

}  // namespace pvr
