#pragma once

#include <cstdint>

#include "reconciler/base/units.h"

namespace pvr {

/// Shape of the vdevs below a zvol. `parity` 0: a mirror or single disks, where a block takes its own size (per copy).
struct VdevShape {
  int width = 1;  // disks per raidz vdev; copies of a mirror
  int parity = 0;
  int ashift = 12;
  friend bool operator==(const VdevShape&, const VdevShape&) = default;
};

/// Sectors one block takes on a raidz vdev. Fact (OpenZFS vdev_raidz): data sectors, one parity sector per row and
/// parity disk, and the sum padded to a multiple of parity + 1, so that no gap is left that nothing fits into.
struct RaidzBlock {
  std::uint64_t data = 0;
  std::uint64_t parity = 0;
  std::uint64_t padding = 0;
  [[nodiscard]] constexpr std::uint64_t total() const { return data + parity + padding; }
};

[[nodiscard]] constexpr RaidzBlock raidz_block(ByteSize block, VdevShape shape) {
  const auto nparity = static_cast<std::uint64_t>(shape.parity);
  const auto ndata = static_cast<std::uint64_t>(shape.width > shape.parity ? shape.width - shape.parity : 1);
  RaidzBlock out;
  out.data = block.bytes == 0 ? 0 : ((block.bytes - 1) >> shape.ashift) + 1;
  out.parity = nparity * ((out.data + ndata - 1) / ndata);
  const std::uint64_t used = out.data + out.parity;
  out.padding = (nparity + 1 - used % (nparity + 1)) % (nparity + 1);
  return out;
}

/// Bytes one block takes on the disks of a raidz vdev, parity and padding included.
[[nodiscard]] constexpr ByteSize raidz_allocated(ByteSize block, VdevShape shape) {
  return {raidz_block(block, shape).total() << shape.ashift};
}

/// Share of raw disk space that holds data, 0…1. Mirrors: 1 / copies.
[[nodiscard]] constexpr double space_efficiency(ByteSize block, VdevShape shape) {
  if (shape.parity == 0) return shape.width > 0 ? 1.0 / static_cast<double>(shape.width) : 1.0;
  const ByteSize taken = raidz_allocated(block, shape);
  return taken.bytes == 0 ? 0.0 : static_cast<double>(block.bytes) / static_cast<double>(taken.bytes);
}

/// What ZFS reckons a fully written volume takes from the pool's `available`: on raidz that counter assumes 128 KiB
/// blocks, so smaller blocks take more than their size. Metadata not included. Fact: checked against refreservation on
/// OpenZFS 2.3.
[[nodiscard]] constexpr ByteSize zvol_data_space(ByteSize volume, ByteSize block, VdevShape shape) {
  if (block.bytes == 0) return volume;
  if (shape.parity == 0) return volume.padded_to(block);
  constexpr std::uint64_t kReckoned = 128U << 10U;
  constexpr unsigned kUnit = 9;  // ZFS reckons the ratio in units of 512 bytes
  const std::uint64_t blocks = (volume.bytes + block.bytes - 1) / block.bytes;
  const std::uint64_t taken = blocks * raidz_allocated(block, shape).bytes;
  const std::uint64_t full = raidz_allocated({kReckoned}, shape).bytes >> kUnit;
  return {taken / full * (kReckoned >> kUnit)};
}

/// Metadata ZFS sets aside for a thick volume: indirect blocks of 128 KiB with 1024 pointers each, two copies.
[[nodiscard]] constexpr ByteSize zvol_metadata_space(ByteSize volume, ByteSize block) {
  if (block.bytes == 0) return {};
  constexpr std::uint64_t kPointers = 1024;
  constexpr std::uint64_t kIndirect = 128U << 10U;
  std::uint64_t count = 7;
  std::uint64_t blocks = volume.bytes / block.bytes;
  while (blocks > 1) {
    blocks = (blocks + kPointers - 1) / kPointers;
    count += blocks;
  }
  return {count * 2 * kIndirect};
}

/// The refreservation of a thick volume; also the most a thin one can take.
[[nodiscard]] constexpr ByteSize zvol_refreservation(ByteSize volume, ByteSize block, VdevShape shape) {
  return zvol_data_space(volume, block, shape) + zvol_metadata_space(volume, block);
}

}  // namespace pvr
