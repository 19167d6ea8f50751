#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "reconciler/model/option_value.h"

namespace pvr {

/// Where a setting lives.
enum class Home : std::uint8_t {
  kVmOption,        // key of the guest configuration: cores, net0, …
  kDriveOption,     // key inside a drive string: cache, aio, …
  kDiskPlace,       // decided by where the volume lies: storage, size, slot, format
  kZvolProperty,    // volblocksize, refreservation (provisioning), compression, sync, logbias, primarycache
  kStorageOption,   // key of a storage.cfg section
  kFact,            // stated for the policy, never written: purpose, disposable, media
  kHa,              // key of an HA resource: state, max_restart, …
  kReplication,     // key of a replication job: schedule, rate, …
  kHostOption,      // of a node: arc_max, arc_min
  kPoolProperty,    // of a zpool: autotrim, and how it is trimmed
  kDatasetProperty  // of a ZFS file system: compression, recordsize, atime, …
};

enum class ValueKind : std::uint8_t {
  kBool,
  kInteger,
  kNumber,
  kSize,
  kString,
  kEnum,
  kList,       // ordered
  kSet,        // order and repeats mean nothing: tags, content, nodes
  kProperties  // a property string
};

/// How a change reaches a running guest (PVE semantics: hotplug matrix).
enum class TakesEffect : std::uint8_t {
  kAtOnce,          // no running guest affected, or applied live
  kHotplug,         // live when `hotplug` holds the class (and the guest can), else pending
  kAtRestart,       // PVE keeps it in [PENDING] until the next stop/start
  kSilentRestart,   // stored at once, not shown as pending, but the running QEMU keeps the old value
  kByMove,          // only by allocating the volume again elsewhere: storage, format
  kByRecreate,      // volblocksize
  kNewBlocksOnly,   // compression
  kNewVolumesOnly,  // storage blocksize, sparse
  kFixed            // cannot change after creation
};

/// One row of the setting catalogue: everything diff, plan, explain, the schema and the reference need to know.
struct Setting {
  std::string_view name = {};  // "cache"; numbered families as "net" with count > 0 (net0 … net31)
  Home home = Home::kVmOption;
  ValueKind kind = ValueKind::kString;
  int count = 0;                       // size of a numbered family; 0: a single key
  std::string_view values = {};        // kEnum: "none|writethrough|…"
  std::string_view default_text = {};  // what PVE assumes when absent, in PVE's text; empty: nothing / differs
  std::string_view default_key = {};   // kProperties: key that may be left out
  std::string_view properties =
      {};  // kProperties: allowed keys, "model!|bridge|tag:int|firewall:bool=0|old>new|…"; see settings.cpp
  TakesEffect effect = TakesEffect::kAtRestart;
  std::string_view hotplug = {};  // kHotplug: class word: network disk usb cpu memory
  std::string_view buses = {};    // kDriveOption: "scsi virtio sata ide"
  std::string_view types = {};    // kStorageOption: storage types that know it; fixed ones in `fixed_types`
  std::string_view fixed_types = {};
  std::string_view privilege = {};  // on /vms/ID
  bool root_only = false;           // literal root@pam with a ticket
  bool write_only = false;          // never readable: cipassword, password
  bool server_written = false;      // PVE writes it (meta, digest, vmgenid on create): never drift by itself
  std::int64_t minimum = 0;         // kInteger; minimum == maximum: unbounded
  std::int64_t maximum = 0;
  std::string_view since = {};  // "9.1": PVE version
  std::string_view help = {};   // one line, for the JSON Schema and the reference
};

/// Every row, sorted by home and name. The storage is static: views and pointers stay valid.
[[nodiscard]] std::span<const Setting> setting_catalogue();
/// The row of `key` ("cache", "net3") in `home`, or null.
[[nodiscard]] const Setting* find_setting(Home home, std::string_view key);

}  // namespace pvr
