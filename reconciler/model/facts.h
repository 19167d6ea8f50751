#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/base/diagnostic.h"
#include "reconciler/model/fleet_document.h"
#include "reconciler/model/live_state.h"
#include "reconciler/model/storage_kind.h"

namespace pvr {

struct StorageFacts {
  std::string type = {};
  StorageKind kind = StorageKind::kUnknown;
  bool shared = false;
  Media media = Media::kUnknown;
  bool backing_assumed = false;  // dir whose file system nobody told: treated as ZFS, with a notice
  ByteSize blocksize = {};       // zfspool: what new zvols get (16k when unset)
  bool sparse = false;
  std::string pool_layout = {};  // "mirror", "raidz1", …; empty: unknown
  int raidz_width = 0;
  std::optional<int> used_percent = {};  // of the zpool below, the fullest of its nodes
  int parity = 0;
  std::vector<std::string> nodes = {};  // empty: all
  bool exists = false;                  // in the live cluster
};

/// Everything rules may look at: observed where it can be, stated in the document where it cannot.
struct Facts {
  std::map<std::string, StorageFacts, std::less<>> storages = {};
  bool observed = false;  // false: offline (validate, explain without a cluster)
  int pve_major = 0;      // lowest of the nodes; 0: unknown
  int pve_minor = 0;
  int zfs_major = 0;
  int zfs_minor = 0;
  Diagnostics contradictions = {};  // what the document states and a node says otherwise; warnings
  std::vector<std::string> nodes = {};
  std::map<std::string, std::vector<std::string>, std::less<>> mapping_nodes = {};  // PCI mapping → nodes
  std::map<std::string, bool, std::less<>> mapping_migratable = {};
  std::map<std::uint32_t, std::string> vm_node = {};                             // where a guest lives now
  std::map<std::uint32_t, bool> vm_ha = {};                                      // HA-managed now
  std::map<std::uint32_t, std::map<std::string, std::string>> disk_format = {};  // vmid → slot → live image format
  std::map<std::uint32_t, std::map<std::string, std::string>> disk_storage =
      {};                                            // vmid → slot → storage id it lies on now
  std::map<std::uint32_t, std::string> vm_cpu = {};  // configured CPU type of a guest ("host", "x86-64-v3")
  std::map<std::string, ByteSize, std::less<>> node_memory = {};  // absent: unknown
  std::map<std::string, std::string, std::less<>> node_cpu =
      {};  // node → highest baseline model it can run ("x86-64-v3"); absent: unknown
};

/// Pure. Prefers the live state; takes the document's word where the API cannot tell; document storages that do not
/// exist yet count, too.
[[nodiscard]] Facts gather_facts(const FleetDocument& document, const LiveState* live);

/// Storage id of a block-size class: as stated, else "<storage>-<class>".
[[nodiscard]] std::string class_storage_id(const WrittenStorage& storage, const WrittenClass& written);
/// Dataset of a block-size class: as stated, else "<pool of the storage>/<class>".
[[nodiscard]] std::string class_dataset(const WrittenStorage& storage, const WrittenClass& written);

}  // namespace pvr
