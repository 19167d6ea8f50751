#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "reconciler/base/flat_map.h"
#include "reconciler/base/result.h"
#include "reconciler/base/units.h"
#include "reconciler/model/drive.h"
#include "reconciler/model/live_host.h"
#include "reconciler/model/option_value.h"
#include "reconciler/model/storage_kind.h"

namespace pvr {

/// One VM option as PVE reports it: what the running guest was last known to have been started with or hotplugged to is
/// `current`; what waits is `pending` (a text), or `pending_delete`. The configured value is pending where there is
/// one, else current.
struct LiveOption {
  std::string current = {};  // PVE's text; empty with `has_current` off
  bool has_current = true;
  std::optional<std::string> pending = {};
  bool pending_delete = false;
  friend bool operator==(const LiveOption&, const LiveOption&) = default;
  [[nodiscard]] bool has_pending() const { return pending_delete || pending.has_value(); }
  /// The text PVE will use at the next start, or null when the option will be absent.
  [[nodiscard]] const std::string* configured() const {
    return pending_delete ? nullptr : pending ? &*pending : has_current ? &current : nullptr;
  }
};

/// One drive slot of a live guest.
struct LiveDrive {
  DriveSlot slot = {};
  std::optional<Drive> current = {};  // absent: only pending
  std::optional<Drive> pending = {};
  bool pending_delete = false;
  [[nodiscard]] bool has_pending() const { return pending_delete || pending.has_value(); }
  /// What the slot will hold at the next start, or null.
  [[nodiscard]] const Drive* configured() const {
    return pending_delete ? nullptr : pending ? &*pending : current ? &*current : nullptr;
  }
};

enum class PowerState : std::uint8_t { kUnknown, kStopped, kRunning, kPaused };

struct LiveSnapshot {
  std::string name = {};
};

struct LiveVm {
  Vmid vmid = {};
  std::string name = {};
  std::string node = {};
  PowerState power = PowerState::kUnknown;
  bool is_template = false;
  bool is_container = false;  // holds the number, but is no VM
  bool readable = true;       // false: its node is offline or we lack VM.Audit; `problem` says which
  std::string problem = {};
  bool drives_known =
      false;                // though not readable: `drives` is from its file, which host access to another node showed
  std::string digest = {};  // of the guest's file; guards every write
  std::string lock = {};    // config lock: backup, clone, …; empty: none
  std::string pool = {};
  std::string ha_state = {};           // what HA makes of it: "started", "error", …; empty: not managed
  ByteSize memory = {};                // the most it may use, as the cluster's list tells; zero: unknown
  std::string uuid = {};               // smbios1 uuid
  FlatMap<LiveOption> options = {};    // all keys but the drives
  std::vector<LiveDrive> drives = {};  // sorted by slot, unusedN included, cdrom and cloud-init included
  std::vector<LiveSnapshot> snapshots = {};
  bool snapshots_known = false;  // snapshots are asked for only where a plan needs them
  [[nodiscard]] const LiveDrive* drive(DriveSlot slot) const;
  /// Fact: the main section's `parent` names the snapshot the guest descends from, so it tells of snapshots without a
  /// list.
  [[nodiscard]] bool has_snapshots() const { return snapshots_known ? !snapshots.empty() : options.contains("parent"); }
};

struct LiveVolume {
  VolumeId id = {};
  std::string node = {};  // "" on shared storage
  std::string format = {};
  std::string content = {};  // images, iso, import, …
  std::optional<ByteSize> size = {};
  std::optional<Vmid> owner = {};
  std::string parent = {};
  std::optional<std::int64_t> made = {};      // seconds of the epoch, of backups
  std::optional<ByteSize> volblocksize = {};  // host access only
  std::optional<ByteSize> refreservation = {};
};

struct LiveStorageOnNode {
  bool active = false;
  bool enabled = false;
  bool listed = false;  // its volumes were read there: what is not among them is not there
  ByteSize total = {};
  ByteSize used = {};
  ByteSize available = {};
};

struct LiveStorage {
  std::string id = {};
  std::string type = {};
  FlatMap<std::string> properties = {};                   // storage.cfg texts, without storage, type, digest
  std::map<std::string, LiveStorageOnNode> on_node = {};  // by node; only where it is enabled there
  Media media = Media::kUnknown;                          // from the node's disk list, where it can be told
  /// Directories: what the nodes' mounts say lies below; the safe side (ZFS) where nodes differ. Host access only.
  std::optional<StorageKind> backing = {};
};

struct LivePoolLayout {  // from /nodes/N/disks/zfs/NAME
  std::string name = {};
  std::string layout = {};  // "mirror", "raidz1-6", "single", "stripe"
  int data_width = 0;       // disks per raidz vdev
  int parity = 0;
  int vdevs = 0;
  std::string health = {};
  ByteSize size = {};
  ByteSize allocated = {};
  ByteSize free = {};
  Media media = Media::kUnknown;
};

struct LiveNode {
  std::string name = {};
  bool online = true;
  bool readable = true;
  std::string problem = {};
  std::string version = {};  // "9.2.4"; empty: unknown
  std::string cpu_model = {};
  std::string cpu_flags = {};  // as /proc/cpuinfo prints them, blanks between; empty: unknown
  ByteSize memory = {};
  std::vector<LivePoolLayout> zpools = {};
};

struct LiveHa {
  std::string sid = {};  // "vm:201"
  FlatMap<std::string> properties = {};
};

struct LiveReplication {
  std::string id = {};  // "701-0"
  Vmid guest = {};
  std::string target = {};
  FlatMap<std::string> properties = {};
};

struct LivePciMapping {
  std::string id = {};
  std::vector<std::string> nodes = {};  // nodes that hold a device of it
  bool live_migration_capable = false;
};

/// The cluster as one look found it. Values only.
struct LiveState {
  std::string cluster_name = {};  // empty: a standalone node
  bool quorate = true;
  std::chrono::system_clock::time_point observed_at = {};
  std::vector<LiveNode> nodes = {};        // sorted by name
  std::vector<LiveHost> hosts = {};        // sorted by node; nodes that were asked over host access, readable or not
  std::vector<LiveStorage> storages = {};  // sorted by id
  std::string storage_digest = {};
  std::vector<LiveVm> vms =
      {};  // sorted by vmid; guests outside the fleet only with vmid, name, node, pool, is_template
  std::vector<LiveVolume> volumes = {};  // of storages the fleet uses; sorted by id
  std::vector<LiveHa> ha = {};
  std::string ha_digest = {};
  std::vector<LiveReplication> replication = {};
  std::string replication_digest = {};
  std::vector<std::string> pools = {};
  std::vector<LivePciMapping> pci_mappings = {};
  FlatMap<std::string> datacenter = {};  // datacenter.cfg options that are readable
  std::vector<std::string> gaps = {};    // what could not be read and why, one sentence each
  bool partial = false;                  // a node is offline: exit code 3
  [[nodiscard]] const LiveVm* vm(Vmid vmid) const;
  [[nodiscard]] const LiveStorage* storage(std::string_view id) const;
  [[nodiscard]] const LiveNode* node(std::string_view name) const;
  /// What host access found; null: the node was not asked or could not be read.
  [[nodiscard]] const LiveHost* host(std::string_view node) const;
};

/// What an observation must cover: the guests and storages the fleet names.
struct Scope {
  std::vector<Vmid> vmids = {};
  std::vector<std::string> templates = {};  // clone sources: names or vmids
  std::vector<std::string> storages = {};
  bool all_guests = false;  // audit, adopt
};

}  // namespace pvr
