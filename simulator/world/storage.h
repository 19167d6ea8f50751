#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/world/drive.h"
#include "simulator/world/world.h"

// Storages: types, places, volumes. Functions throw ApiError with PVE's texts. `node` is where the call runs.
namespace pvesim {

struct StorageType {
  std::string name = {};
  std::vector<std::string> default_content = {}, content = {};
  std::string default_format = "raw";
  std::vector<std::string> formats = {};
  std::vector<std::string> required = {};  // and updatable
  std::vector<std::string> required_fixed = {};
  std::vector<std::string> fixed = {};  // optional
  std::vector<std::string> optional = {};
  [[nodiscard]] bool knows(std::string_view key) const;
};
/// Null for an unknown type.
[[nodiscard]] const StorageType* storage_type(std::string_view name);

[[nodiscard]] bool is_file_based(std::string_view type);  // dir nfs cifs btrfs
[[nodiscard]] bool volume_chain(const StorageDef& storage);
[[nodiscard]] bool storage_enabled(const StorageDef& storage);
[[nodiscard]] bool has_content(const StorageDef& storage, std::string_view content);
[[nodiscard]] bool shared_storage(const StorageDef& storage);
[[nodiscard]] bool on_node(const StorageDef& storage, std::string_view node);
/// "storage 'x' does not exist" / "… is disabled" / "… is not available on node 'n'".
StorageDef& require_enabled(World& world, std::string_view id, std::string_view node);
/// Formats a volume may have there, default first.
[[nodiscard]] std::vector<std::string> storage_formats(const StorageDef& storage);
[[nodiscard]] std::string default_format(const StorageDef& storage);

/// Where the storage's bytes are on this node; null when they are not there (pool missing, server dead, …).
[[nodiscard]] Backing* backing_of(World& world, const StorageDef& storage, std::string_view node);

struct Space {
  std::int64_t total = 0, used = 0, available = 0;
};
[[nodiscard]] Space space_of(World& world, const Backing& backing);
/// Fact (OpenZFS): what `zfs create -V` without -s reserves: the size, the metadata, and the padding of RAIDZ.
[[nodiscard]] std::int64_t thick_reservation(const ZPool& pool, std::int64_t size, std::int64_t volblocksize);
[[nodiscard]] ZPool* pool_of_dataset(World& world, std::string_view node, std::string_view dataset);
/// "16k" -> 16384.
[[nodiscard]] std::int64_t parse_blocksize(std::string_view text);

/// What a volume's name says. Throws "unable to parse … volume name 'x'".
struct VolumeName {
  std::string content = {};  // images iso import vztmpl backup snippets rootdir
  std::string key = {};      // Volume::name inside the backing
  std::string format = "raw";
  int vmid = 0;
  bool is_base = false;
  std::string base = {};  // linked clones: key of the base volume
};
[[nodiscard]] VolumeName parse_volume_name(const StorageDef& storage, std::string_view name);
/// The volid under which a volume is listed.
[[nodiscard]] std::string volume_id(const StorageDef& storage, const Volume& volume);

struct FoundVolume {
  StorageDef* storage = nullptr;
  Backing* backing = nullptr;
  Volume* volume = nullptr;
  VolumeName name = {};
  [[nodiscard]] VolumeRef ref() const { return {backing->key, volume->name}; }
};
/// Looks the volume up; empty when storage or volume is missing. Never throws.
[[nodiscard]] std::optional<FoundVolume> find_volume(World& world, std::string_view volid, std::string_view node);
/// Throws the text PVE gives when it asks for the size of a missing volume.
FoundVolume require_volume(World& world, std::string_view volid, std::string_view node);
/// The text PVE gives when a missing volume is activated, and how long it waits for it before.
struct Missing {
  std::string text = {};
  VirtualSpan delay = {};
};
[[nodiscard]] std::optional<Missing> activation_problem(World& world, std::string_view volid, std::string_view node,
                                                        bool in_task);

using Logger = std::function<void(std::string)>;

struct Allocation {
  std::string storage = {}, format = {};
  int vmid = 0;
  std::int64_t size = 0;  // bytes, rounded up to KiB and the storage's grain
  std::string name = {};  // empty: the lowest free vm-ID-disk-N
  std::string key = {};   // with `name` empty and a key: vm-ID-KEY (cloudinit, state-SNAP)
};
/// Answers the volid.
std::string allocate_volume(World& world, std::string_view node, const Allocation& what, const Logger& log);
void free_volume(World& world, std::string_view node, std::string_view volid, const Logger& log);
/// Answers nothing; the size is padded as the storage does.
void resize_volume(World& world, std::string_view node, std::string_view volid, std::int64_t size, bool running,
                   const Logger& log);
/// Linked clone of a base volume for another guest.
std::string clone_volume(World& world, std::string_view node, std::string_view volid, int vmid, const Logger& log);
/// Turns the volume into a base; storages that cannot keep the name.
std::string make_base(World& world, std::string_view node, std::string_view volid);
/// Renames to the lowest free disk of `vmid`.
std::string rename_volume(World& world, std::string_view node, std::string_view volid, int vmid);
/// Whether other volumes depend on this one.
[[nodiscard]] bool has_clones(World& world, const FoundVolume& volume);
void snapshot_volume(World& world, std::string_view node, std::string_view volid, const std::string& snapshot);
void rollback_volume(World& world, std::string_view node, std::string_view volid, const std::string& snapshot);
void delete_volume_snapshot(World& world, std::string_view node, std::string_view volid, const std::string& snapshot);
/// Fact: feature is snapshot | clone | copy | template | rename | replicate | sparseinit.
[[nodiscard]] bool volume_has_feature(World& world, std::string_view feature, std::string_view volid,
                                      std::string_view node, std::string_view snapshot = {});
/// The whole content becomes that of `from`; `used` follows (thin targets skip zeros).
void copy_content(World& world, const FoundVolume& from, const FoundVolume& to);
/// Bytes/s of a copy between the two.
[[nodiscard]] double copy_rate(const Backing& from, const Backing& to, std::int64_t limit_kib);
[[nodiscard]] std::string volume_path(const StorageDef& storage, const Volume& volume);
/// Whether the storage keeps thin what was thin.
[[nodiscard]] bool is_thin(const StorageDef& storage, const Backing& backing);

/// Attaches a storage created at run time to what exists on the nodes. Answers "" or why it cannot be activated.
[[nodiscard]] std::string connect_storage(World& world, const StorageDef& storage, std::string_view node);
[[nodiscard]] std::string backing_key_of(const std::string& kind, std::string_view node, std::string_view path);

// --- replication
void replicate_volumes(World& world, Vm& vm, const std::string& target);
void remove_replicas(World& world, Vm& vm, const std::string& target);
[[nodiscard]] VirtualSpan replication_period(std::string_view schedule);

}  // namespace pvesim
