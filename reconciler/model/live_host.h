#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/base/flat_map.h"
#include "reconciler/base/units.h"
#include "reconciler/model/storage_kind.h"

namespace pvr {

// What only a node itself can tell: its ZFS, its mounts, its memory. Read over host access (SSH, or locally on a node).

/// One file system or volume, as `zfs get -Hp` tells it.
struct LiveDataset {
  std::string name = {};  // "tank/vm-701-disk-1"
  bool is_volume = false;
  /// Native properties in ZFS's words, sizes in bytes, "0" for none; others' user properties where they are set here.
  FlatMap<std::string> properties = {};
  /// Names of properties set on this very dataset (source "local" or "received"), not inherited.
  std::vector<std::string> own = {};
  /// User properties with the prefix "pvereconcile:", the prefix left out: how an interrupted operation is recognised.
  FlatMap<std::string> marks = {};
  std::vector<std::string> snapshots = {};  // names behind the @, in the order they were taken

  [[nodiscard]] std::optional<ByteSize> bytes(std::string_view property) const;
  [[nodiscard]] std::string_view text(std::string_view property) const;  // "" where it does not apply
};

enum class VdevClass : std::uint8_t { kData, kLog, kSpecial, kDedup, kCache, kSpare };

/// One top-level vdev of a pool.
struct LiveVdev {
  VdevClass role = VdevClass::kData;
  std::string kind = {};                  // "mirror", "raidz2", "draid1", "disk"
  std::vector<std::string> devices = {};  // leaf names
  std::optional<std::uint32_t> ashift = {};
  std::string health = {};
  ByteSize smallest_device = {};  // zero: unknown
  Media media = Media::kUnknown;
};

struct LiveZpool {
  std::string name = {};
  std::string health = {};  // ONLINE, DEGRADED, …
  ByteSize size = {};
  ByteSize allocated = {};
  ByteSize free = {};
  std::optional<std::uint32_t> fragmentation = {};  // per cent
  std::optional<std::uint32_t> capacity = {};       // per cent
  bool autotrim = false;
  bool read_only = false;
  std::optional<std::int64_t> last_scrub = {};  // seconds of the epoch, end of the last one
  std::optional<std::int64_t> last_trim = {};
  std::string errors = {};  // "No known data errors"
  std::vector<LiveVdev> vdevs = {};
};

struct LiveMount {
  std::string target = {};
  std::string source = {};
  std::string fstype = {};
};

struct LiveSwap {
  std::string device = {};
  ByteSize size = {};
  bool on_zfs = false;
};

/// The one file of modprobe.d that is written; every other belongs to somebody else.
inline constexpr std::string_view kOwnModprobeFile = "/etc/modprobe.d/pvereconcile-zfs.conf";

/// One parameter of zfs that a file sets for the next boot.
struct ModprobeOption {
  std::string file = {};  // "/etc/modprobe.d/zfs.conf"
  std::string name = {};  // "zfs_arc_max"
  std::string value = {};
};

/// A node as host access found it.
struct LiveHost {
  std::string node = {};
  bool readable = true;
  std::string problem = {};      // why not; then nothing else is set
  std::string zfs_version = {};  // of the module, "2.3.9"; empty: no ZFS
  std::string kernel = {};
  ByteSize memory = {};
  std::optional<ByteSize> arc_min = {}, arc_max = {}, arc_size = {};
  FlatMap<std::string> zfs_parameters = {};    // /sys/module/zfs/parameters that the rules name
  FlatMap<std::string> modprobe_options = {};  // what modprobe.d sets for zfs at the next boot
  std::vector<ModprobeOption> modprobe = {};   // the same with the files, in the order in which they are read
  std::vector<std::string> trim_timers = {};   // enabled units and cron jobs that trim, sorted
  std::vector<LiveZpool> zpools = {};          // sorted by name
  std::vector<LiveDataset> datasets = {};      // sorted by name
  std::vector<LiveMount> mounts = {};
  std::vector<LiveSwap> swaps = {};
  std::vector<std::string> tools = {};  // of those a copy needs: "perl", "qemu-img", …
  std::vector<std::string> gaps = {};   // what of all this could not be read, one sentence each

  [[nodiscard]] const LiveDataset* dataset(std::string_view name) const;
  [[nodiscard]] const LiveZpool* zpool(std::string_view name) const;
};

}  // namespace pvr
