#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "reconciler/base/flat_map.h"
#include "reconciler/base/source_span.h"
#include "reconciler/base/units.h"
#include "reconciler/model/drive.h"
#include "reconciler/model/option_value.h"
#include "reconciler/model/storage_kind.h"

namespace pvr {

// What is written, with its places. The schema layer has checked syntax, types, units, names and references, and has
// lowered every convenience of the language to catalogue keys: `hostpci: [{mapping: gpu0}]` is the option hostpci0,
// `memory: 128GiB` the option memory with 131072, `nets.lan` the option of its slot, `cloud_init:` the ci keys.

using WrittenSettings = FlatMap<Spanned<OptionValue>>;

/// One disk, of a VM or of a role. `settings` holds catalogue keys of homes kDriveOption, kDiskPlace (slot size storage
/// format), kZvolProperty (volblocksize provisioning compression sync logbias primarycache) and kFact (purpose
/// disposable media).
struct WrittenDisk {
  std::string name = {};
  SourceSpan span = {};
  WrittenSettings settings = {};
  std::optional<Spanned<std::string>> import_from = {};  // volume id of an image to start from
  bool absent = false;                                   // state: absent
  bool detached = false;                                 // state: detached (kept as unusedN)
  std::string snapshots = {};                            // refuse (and ""), keep, drop: when the zvol is made again
  std::vector<Spanned<std::string>> leave = {};  // keys nobody manages here: role and rules say nothing about them
};

struct WrittenRole {
  std::string name = {};
  SourceSpan span = {};
  bool builtin = false;
  std::optional<Spanned<std::string>> extends = {};
  std::optional<Spanned<GuestOs>> os = {};
  std::optional<Spanned<std::string>> lane = {};
  std::optional<Spanned<std::string>> clone = {};
  WrittenSettings options = {};         // VM options
  WrittenSettings disk_defaults = {};   // `disk:`: for every disk of the VM
  std::vector<WrittenDisk> disks = {};  // by name: settings for the disk of that name; creates none by itself
  std::string note = {};                // built-ins: what it is for
};

enum class VmState : std::uint8_t { kPresent, kRunning, kStopped, kAbsent };

struct WrittenHa {
  SourceSpan span = {};
  WrittenSettings settings = {};  // state max_restart max_relocate failback comment
  bool enabled = true;            // `ha: false` states: not HA-managed
};

struct WrittenReplication {
  SourceSpan span = {};
  std::string target = {};
  WrittenSettings settings = {};  // schedule rate disable comment
};

/// What may be done to this VM without asking on the command line.
struct Allowance {
  bool restart = false;
  bool offline_copy = false;
  bool destroy = false;
};

struct WrittenVm {
  std::string name = {};
  SourceSpan span = {};
  Spanned<Vmid> vmid = {};
  std::optional<Spanned<std::string>> role = {};
  std::optional<Spanned<std::string>> node = {};
  std::optional<Spanned<std::string>> lane = {};
  std::optional<Spanned<std::string>> clone = {};  // template to start from: VM name of the fleet, guest name, or vmid
  bool linked_clone = false;
  std::optional<Spanned<std::string>> pool = {};
  std::optional<Spanned<std::string>> uuid = {};  // smbios uuid the VM must have (identity)
  Spanned<VmState> state = {};
  std::optional<WrittenHa> ha = {};
  std::vector<WrittenReplication> replication = {};
  WrittenSettings options = {};
  WrittenSettings disk_defaults = {};
  std::vector<WrittenDisk> disks = {};  // sorted by name
  Allowance allow = {};
  std::optional<Spanned<std::string>> require_backup = {};  // "24h", "take"
  std::vector<Spanned<std::string>> leave = {};             // keys nobody manages here; efidisk and tpm: not made
  std::optional<Spanned<std::string>> maintenance = {};  // "Sat 02:00-05:00": restart and offline copy allowed within
};

struct WrittenClass {
  std::string name = {};
  SourceSpan span = {};
  WrittenSettings settings = {};                  // blocksize, sparse, …
  std::optional<Spanned<std::string>> id = {};    // storage id; default "<storage>-<class>"
  std::optional<Spanned<std::string>> pool = {};  // dataset; default "<pool>/<class>"
};

struct WrittenStorage {
  std::string id = {};
  SourceSpan span = {};
  Spanned<std::string> type = {};
  WrittenSettings properties = {};  // storage.cfg keys
  std::optional<Spanned<Media>> media = {};
  std::optional<Spanned<StorageKind>> backing =
      {};  // dir: kZfsFile, kFile, kBtrfs as stated by `backing: zfs|ext4|xfs|btrfs`
  std::optional<Spanned<std::string>> layout =
      {};                        // "mirror", "raidz1", … with disks; only where it cannot be observed
  std::optional<bool> plp = {};  // log devices of the pool below have power-loss protection
  std::vector<WrittenClass> classes = {};
  bool reference_only = false;  // `manage: false`: facts for the policy, never written
};

struct WrittenLane {
  std::string name = {};
  SourceSpan span = {};
  Mobility mobility = Mobility::kMobile;  // lane "shared" is mobile, lane "pinned" is pinned; own lanes state it
  std::optional<Spanned<std::string>> storage = {};  // one for every node
  FlatMap<Spanned<std::string>> per_node = {};
};

struct WrittenPool {
  std::string id = {};
  SourceSpan span = {};
  std::optional<Spanned<std::string>> comment = {};
};

/// A zpool or a dataset of a node. `settings` of a pool holds keys of homes kPoolProperty and, for its root dataset,
/// kDatasetProperty; those of a dataset only the latter.
struct WrittenHostPart {
  std::string name = {};  // "tank", "tank/backup"
  SourceSpan span = {};
  bool is_pool = false;
  WrittenSettings settings = {};
};

/// What a node is to be like. Only what is named here is touched.
struct WrittenHost {
  std::string node = {};
  SourceSpan span = {};
  WrittenSettings settings = {};  // kHostOption
  bool arc_by_rule = false;       // arc_max: auto
  SourceSpan arc_by_rule_span = {};
  std::vector<WrittenHostPart> parts = {};  // sorted by name
};

/// How to reach the cluster. Secrets are never here.
struct WrittenCluster {
  SourceSpan span = {};
  std::vector<Spanned<std::string>> endpoints = {};
  std::optional<Spanned<std::string>> fingerprint = {};
  std::optional<Spanned<std::string>> ca_file = {};
  std::optional<Spanned<std::string>> token_file = {};
  std::optional<Spanned<std::string>> token_id = {};
  std::optional<Spanned<std::string>> ssh_user = {};
  bool ssh_sudo = false;
  std::optional<int> ssh_port = {};
  FlatMap<Spanned<std::string>> ssh_hosts = {};  // node → host name or address
  std::optional<bool> ssh_local = {};            // nothing: commands run directly where the program runs on the node
  FlatMap<Spanned<OptionValue>> limits = {};  // copies_per_node, copy_rate (ByteSize per s), parallelism, retention …
};

/// A finding of the audit that somebody has accepted.
struct WrittenSuppression {
  SourceSpan span = {};
  std::string rule = {};     // id
  std::string subject = {};  // "vm/301/*": '*' stands for any text, '?' for one character
  std::string reason = {};
  std::string until = {};  // "2027-01-31", the last day; empty: no end
};

struct FleetDocument {
  std::shared_ptr<const SourceSet> sources = {};
  std::string hash = {};  // SHA-256 hex of all texts in order
  WrittenCluster cluster = {};
  std::vector<WrittenStorage> storages = {};  // every list sorted by name
  std::vector<WrittenLane> lanes = {};
  std::vector<WrittenRole> roles = {};  // built-ins included
  std::vector<WrittenPool> pools = {};
  std::vector<WrittenHost> hosts = {};
  std::vector<WrittenVm> vms = {};
  std::vector<WrittenSuppression> suppressions = {};  // in the order they are written
};

}  // namespace pvr
