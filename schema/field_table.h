#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/model/settings.h"

namespace pvr {

// The fleet language as data. The reader, the JSON Schema and the key reference are made from these tables, so they
// cannot disagree.

/// The forms a value may be written in; a field accepts one or more of them.
enum Form : unsigned {
  kBoolForm = 1U << 0U,
  kIntegerForm = 1U << 1U,
  kNumberForm = 1U << 2U,
  kSizeForm = 1U << 3U,
  kTextForm = 1U << 4U,      // `values` makes it an enumeration
  kTextsForm = 1U << 5U,     // a list of texts
  kTableForm = 1U << 6U,     // a mapping with the keys of `table`
  kTablesForm = 1U << 7U,    // a list of such mappings
  kNamedForm = 1U << 8U,     // a mapping from names to such mappings
  kNamedTextForm = 1U << 9U  // a mapping from names to texts
};

/// Where a field goes. kSetting: to the catalogue key; everything else has a place of its own in the document.
enum class Key : std::uint8_t {
  kSetting,
  kProperty,
  kOwn,
  // file
  kVersion,
  kInclude,
  kCluster,
  kStorages,
  kLanes,
  kRoles,
  kPools,
  kHosts,
  kVms,
  kAudit,
  kSuppress,
  // cluster
  kEndpoints,
  kFingerprint,
  kCaFile,
  kTokenId,
  kTokenFile,
  kSsh,
  kLimits,
  kSshUser,
  kSshSudo,
  kSshPort,
  kSshHosts,
  kSshLocal,
  kLimit,
  // host
  kArcMax,
  kHostPools,
  kHostDatasets,
  // storage, class, lane, pool
  kType,
  kMedia,
  kBacking,
  kLayout,
  kClasses,
  kManage,
  kPlp,
  kId,
  kDataset,
  kStorage,
  kNodes,
  kMobility,
  kComment,
  // role and VM
  kExtends,
  kOs,
  kNote,
  kLane,
  kClone,
  kOptions,
  kDisk,
  kDisks,
  kNets,
  kHostpci,
  kUsb,
  kSerial,
  kVirtiofs,
  kMemory,
  kBalloon,
  kBoot,
  kCloudInit,
  kSlot,
  // VM
  kVmid,
  kRole,
  kNode,
  kLinked,
  kPool,
  kUuid,
  kState,
  kHa,
  kReplication,
  kAllow,
  kMaintenance,
  kRequireBackup,
  kLeave,
  kEfidisk,
  kTpm,
  kIso,
  // disk
  kImport,
  kDevice,
  kDiskState,
  kSnapshots,
  kSize,
  kBlocksize,
  // cloud-init
  kSshKeys,
  kIp,
  kDns,
  kCustom,
  kPasswordFile,
  // replication
  kTarget
};

struct Table;

struct Field {
  std::string_view name = {};
  Key key = Key::kSetting;
  unsigned forms = 0;
  std::string_view help = {};
  const Setting* setting = nullptr;  // what the value is checked against
  std::string_view lowered = {};     // key in the document; the catalogue's name
  std::string_view values = {};      // enumeration: "a|b|c"
  std::int64_t minimum = 0;          // integers; minimum == maximum: unbounded
  std::int64_t maximum = 0;
  const Table* table = nullptr;  // for the forms that hold mappings
  bool required = false;
  std::string_view pattern = {};  // of texts; for the JSON Schema only, the reader says it in words
  std::string_view refused = {};  // known, but not allowed in a fleet file; says what to do instead
};

struct Table {
  std::string_view name = {};  // "vm"; names the definition in the JSON Schema and the section of the reference
  std::string_view help = {};
  std::vector<Field> fields = {};  // sorted by name
  [[nodiscard]] const Field* find(std::string_view field) const;
  [[nodiscard]] std::vector<std::string_view> names() const;  // without the refused ones
};

/// Words of "a|b|c".
[[nodiscard]] std::vector<std::string_view> split_words(std::string_view words, char separator = '|');

struct Tables {
  Table file, cluster, ssh, limits, storage, storage_class, lane, role, vm, pool, disk, disk_defaults, efidisk, tpm,
      iso, net, hostpci, usb, virtiofs, cloud_init, address, dns, custom, ha, replication, audit, suppression, host,
      host_pool, host_dataset;
  std::vector<const Table*> all = {};        // every table, the property tables included, in reading order
  std::vector<std::string_view> types = {};  // storage types
};

/// Built once; pointers and views stay valid.
[[nodiscard]] const Tables& fleet_tables();
/// The keys of a property string option, or null for a setting of another kind.
[[nodiscard]] const Table* property_table(const Setting& setting);

/// Storage properties that a managed storage of this type must state.
[[nodiscard]] std::vector<std::string_view> required_properties(std::string_view storage_type);

}  // namespace pvr
