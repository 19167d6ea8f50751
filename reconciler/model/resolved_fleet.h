#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "reconciler/base/diagnostic.h"
#include "reconciler/base/flat_map.h"
#include "reconciler/base/source_span.h"
#include "reconciler/base/units.h"
#include "reconciler/model/address.h"
#include "reconciler/model/drive.h"
#include "reconciler/model/fleet_document.h"
#include "reconciler/model/option_value.h"
#include "reconciler/model/storage_kind.h"

namespace pvr {

enum class Layer : std::uint8_t { kRole, kVm, kDisk, kStorage, kFleet, kHost };

/// Why a value is what it is. Explains and never decides: nothing may branch on it except Z2 (a mere default recreates
/// nothing) and texts.
struct PveDefault {
  friend bool operator==(const PveDefault&, const PveDefault&) = default;
};
struct FromRule {
  std::string_view rule = {};  // static: "C1"
  friend bool operator==(const FromRule&, const FromRule&) = default;
};
struct FromDocument {
  Layer layer = Layer::kVm;
  std::string holder = {};  // role name for kRole, else ""
  SourceSpan span = {};
  friend bool operator==(const FromDocument&, const FromDocument&) = default;
};
using Origin = std::variant<PveDefault, FromRule, FromDocument>;

struct Shadowed {
  OptionValue value = {};
  Origin origin = {};
};

/// A final value. `value` absent with `effective` set: the option is to stay unset, because unset already means
/// `effective`.
struct Resolved {
  OptionValue value = {};
  Origin origin = PveDefault{};
  std::vector<Shadowed> shadowed = {};       // what it replaced, nearest first
  std::vector<std::string_view> flags = {};  // rule ids that flag it (A4, …)
  /// kOptional: a difference is reported as a finding but nothing is changed for it (Z2: default volblocksize of an os
  /// disk).
  bool finding_only = false;
};
using ResolvedSettings = FlatMap<Resolved>;

/// What the rules may look at for one disk (policy section 1).
struct DiskFacts {
  GuestOs os = GuestOs::kLinux;
  Mobility mobility = Mobility::kMobile;
  bool passthrough = false;  // the VM holds a hostpci device or a raw disk
  StorageKind kind = StorageKind::kUnknown;
  bool shared = false;
  Media media = Media::kUnknown;
  Purpose purpose = Purpose::kOs;
  bool disposable = false;
  Bus bus = Bus::kScsi;
  std::string_view format = "raw";  // static text: raw qcow2 vmdk subvol
  int pve_major = 0;                // 0: unknown (offline)
  int pve_minor = 0;
  int zfs_major = 0;
  int zfs_minor = 0;
  int ashift = 12;
  bool single_controller = true;  // scsihw is virtio-scsi-single
};

/// A value that an invariant forbids where the disk is to lie, of an option nobody declared: what the drive carries
/// along.
struct ForbiddenOption {
  std::string_view key = {};    // static
  std::string_view value = {};  // static, as a drive string has it
  std::string_view rule = {};   // static
  bool left = false;            // `leave:` says that the option stays as it is
};

struct ResolvedDisk {
  std::string name = {};
  SourceSpan span = {};
  DriveSlot slot = {};
  DiskFacts facts = {};
  ResolvedSettings settings =
      {};  // keys of the catalogue's disk homes, always with storage, size (when stated), slot, format …
  std::optional<std::string> import_from = {};
  std::vector<ForbiddenOption> forbidden = {};
  std::vector<ForbiddenOption> forbidden_here = {};  // where the volume lies, when that is another storage
  std::string snapshots = "refuse";                  // when the zvol is made again: refuse, keep, drop
  bool absent = false;
  bool detached = false;
};

/// Something to tell that we may not or should not change. `rule` is static.
struct Finding {
  Severity severity = Severity::kNotice;
  std::string_view rule = {};
  ResourceAddress where = {};
  std::string what = {};  // one sentence
  std::string fix = {};   // what would mend it, a command where there is one
  SourceSpan span = {};
};

struct ResolvedVm {
  std::string name = {};
  SourceSpan span = {};
  Vmid vmid = {};
  std::string role = {};
  std::string lane = {};
  Mobility mobility = Mobility::kMobile;
  std::string mobility_why = {};
  GuestOs os = GuestOs::kLinux;
  std::optional<std::string> node = {};  // declared
  std::optional<std::string> clone = {};
  bool linked_clone = false;
  std::optional<std::string> pool = {};
  std::optional<std::string> uuid = {};
  VmState state = VmState::kPresent;
  std::optional<WrittenHa> ha = {};
  std::vector<WrittenReplication> replication = {};
  ResolvedSettings options = {};
  std::vector<ResolvedDisk> disks = {};  // sorted by name
  Allowance allow = {};
  std::optional<std::string> maintenance = {};
  std::optional<std::string> require_backup = {};  // "24h", "take"
};

struct ResolvedStorage {
  std::string id = {};
  SourceSpan span = {};
  std::string type = {};
  ResolvedSettings properties = {};
  std::string class_of = {};  // id of the storage it is a block-size class of; empty: declared itself
  std::string class_name = {};
  bool reference_only = false;
};

/// A node, a zpool or a dataset of it (`name` empty for the node itself).
struct ResolvedHostPart {
  std::string name = {};
  SourceSpan span = {};
  bool is_pool = false;
  ResolvedSettings settings = {};
};

struct ResolvedHost {
  std::string node = {};
  SourceSpan span = {};
  std::vector<ResolvedHostPart> parts = {};  // the node itself first, then sorted by name
};

struct ResolvedFleet {
  std::shared_ptr<const FleetDocument> document = {};
  std::vector<ResolvedStorage> storages = {};  // sorted by id, classes included
  std::vector<ResolvedVm> vms = {};            // sorted by name
  std::vector<ResolvedHost> hosts = {};        // sorted by node
  std::vector<Finding> findings = {};          // sorted
};

}  // namespace pvr
