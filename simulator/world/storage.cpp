// Storages as places: types, nodes, backings, space (PVE storage 9.1; OpenZFS for the accounting of zvols).

#include "simulator/world/storage.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "simulator/api/method.h"
#include "simulator/wire/formats.h"
#include "simulator/world/text.h"
#include "simulator/world/vm_config.h"

namespace pvesim {
namespace {

constexpr std::int64_t kMiB = 1LL << 20;
constexpr std::int64_t kExtent = 4 * kMiB;  // LVM's default extent

std::int64_t round_up(std::int64_t value, std::int64_t grain) { return (value + grain - 1) / grain * grain; }

int parity_of(const ZPool& pool) {
  if (!starts_with(pool.layout, "raidz")) return 0;
  return pool.layout == "raidz2" ? 2 : pool.layout == "raidz3" ? 3 : 1;
}

/// Bytes RAIDZ allocates for one block: parity per stripe, rounded up to parity + 1 sectors.
std::int64_t raidz_size(const ZPool& pool, std::int64_t block) {
  const std::int64_t parity = parity_of(pool);
  const std::int64_t sector = 1LL << pool.ashift;
  const std::int64_t data = std::max<std::int64_t>(pool.disks - parity, 1);
  std::int64_t sectors = (block + sector - 1) / sector;
  sectors += parity * ((sectors + data - 1) / data);
  return round_up(sectors, parity + 1) * sector;
}

/// What RAIDZ really needs for `size` bytes in blocks of this size, in the pool's own unit (128K blocks).
std::int64_t deflated(const ZPool& pool, std::int64_t size, std::int64_t block) {
  if (parity_of(pool) == 0 || block <= 0) return size;
  const std::int64_t blocks = (size + block - 1) / block;
  const std::int64_t unit = raidz_size(pool, 128 << 10) >> 9;
  return blocks * raidz_size(pool, block) / unit * 256;
}

std::int64_t charge(const ZPool& pool, const Volume& volume) {
  const std::int64_t data = deflated(pool, volume.used, volume.volblocksize);
  std::int64_t snapshots = 0;
  for (const auto& [name, snapshot] : volume.snapshots)
    if (snapshot.fingerprint != volume.fingerprint) snapshots += deflated(pool, snapshot.used, volume.volblocksize);
  return std::max(volume.refreservation, data) + snapshots;
}

std::string pool_name(std::string_view dataset) { return std::string(dataset.substr(0, dataset.find('/'))); }

bool lvm_like(const Backing& backing) { return backing.kind == "lvm-vg"; }

const Filesystem* mounted_at(const Node& node, const std::string& path, std::string& mount) {
  const Filesystem* found = nullptr;
  for (const auto& [where, filesystem] : node.filesystems) {
    const bool below = path == where || starts_with(path, where == "/" ? where : where + "/");
    if (below && where.size() >= mount.size()) {
      mount = where;
      found = &filesystem;
    }
  }
  return found;
}

Backing directory_backing(World& world, const StorageDef& storage, const std::string& node_name) {
  const Node& node = world.nodes.at(node_name);
  Backing backing;
  backing.kind = storage.type == "btrfs" ? "btrfs" : "dir";
  backing.node = node_name;
  backing.path = config_value(storage.values, "path");
  std::string mount;
  const Filesystem* filesystem = mounted_at(node, backing.path, mount);
  backing.filesystem = storage.type == "btrfs" ? "btrfs" : filesystem != nullptr ? filesystem->type : "ext4";
  if (filesystem != nullptr && filesystem->type == "zfs") backing.dataset = filesystem->dataset;
  if (filesystem != nullptr && filesystem->size > 0) {
    backing.capacity = filesystem->size;
  } else {
    backing.capacity = node.rootfs_size;
    backing.base_used = node.rootfs_used;
  }
  return backing;
}

void add_backing(World& world, Backing backing) {
  backing.key = backing_key_of(backing.kind, backing.node, backing.path);
  std::string key = backing.key;
  world.backings.emplace(std::move(key), std::move(backing));
}

/// The shared backend a section of this type names.
std::string shared_name(const World& world, const StorageDef& storage) {
  const auto known = [&](const std::string& name) {
    return !name.empty() && std::any_of(world.backings.begin(), world.backings.end(), [&](const auto& entry) {
      return entry.second.node.empty() && entry.second.path == name;
    });
  };
  for (const char* key : {"vgname", "server", "pool", "portal"})
    if (const std::string name = config_value(storage.values, key); known(name)) return name;
  return storage.id;
}

}  // namespace

bool is_file_based(std::string_view type) {
  return type == "dir" || type == "nfs" || type == "cifs" || type == "btrfs" || type == "cephfs";
}

bool volume_chain(const StorageDef& storage) { return config_value(storage.values, "snapshot-as-volume-chain") == "1"; }

bool storage_enabled(const StorageDef& storage) { return config_value(storage.values, "disable") != "1"; }

bool has_content(const StorageDef& storage, std::string_view content) {
  const auto set = storage.values.find("content");
  const StorageType* type = storage_type(storage.type);
  const std::vector<std::string> list = set != storage.values.end() ? split_list(set->second)
                                        : type != nullptr           ? type->default_content
                                                                    : std::vector<std::string>{};
  return std::find(list.begin(), list.end(), content) != list.end();
}

bool shared_storage(const StorageDef& storage) {
  static constexpr std::array kNetwork = {"nfs", "cifs", "rbd", "cephfs", "iscsi", "iscsidirect", "zfs", "pbs"};
  if (std::find(kNetwork.begin(), kNetwork.end(), storage.type) != kNetwork.end()) return true;
  return config_value(storage.values, "shared") == "1";
}

bool on_node(const StorageDef& storage, std::string_view node) {
  const auto nodes = storage.values.find("nodes");
  if (nodes == storage.values.end() || nodes->second.empty()) return true;
  const std::vector<std::string> names = split_list(nodes->second);
  return std::find(names.begin(), names.end(), node) != names.end();
}

StorageDef& require_enabled(World& world, std::string_view id, std::string_view node) {
  StorageDef& storage = world.storage(id);
  if (!storage_enabled(storage)) fail("storage '" + storage.id + "' is disabled");
  if (!on_node(storage, node))
    fail("storage '" + storage.id + "' is not available on node '" + std::string(node) + "'");
  return storage;
}

std::vector<std::string> storage_formats(const StorageDef& storage) {
  const StorageType* type = storage_type(storage.type);
  std::vector<std::string> formats = {default_format(storage)};
  if (type != nullptr)
    for (const std::string& format : type->formats) {
      if (format == formats.front()) continue;
      if (storage.type == "lvm" && format == "qcow2" && !volume_chain(storage)) continue;
      formats.push_back(format);
    }
  return formats;
}

std::string default_format(const StorageDef& storage) {
  if (storage.type == "lvm") return volume_chain(storage) ? "qcow2" : "raw";
  if (const std::string set = config_value(storage.values, "format"); !set.empty() && is_file_based(storage.type))
    return set;
  const StorageType* type = storage_type(storage.type);
  return type != nullptr ? type->default_format : "raw";
}

std::string backing_key_of(const std::string& kind, std::string_view node, std::string_view path) {
  const std::string prefix = kind == "lvm-vg" ? "vg" : kind == "lvm-thin" ? "thin" : kind;
  return prefix + ":" + std::string(node) + ":" + std::string(path);
}

Backing* backing_of(World& world, const StorageDef& storage, std::string_view node) {
  const auto find = [&](const std::string& kind, std::string_view where, const std::string& path) -> Backing* {
    const auto found = world.backings.find(backing_key_of(kind, where, path));
    return found == world.backings.end() || found->second.failing ? nullptr : &found->second;
  };
  const Section& values = storage.values;
  if (storage.type == "zfspool") return find("zfs", node, config_value(values, "pool"));
  if (storage.type == "lvm") {
    Backing* shared = find("lvm-vg", "", config_value(values, "vgname"));
    return shared != nullptr ? shared : find("lvm-vg", node, config_value(values, "vgname"));
  }
  if (storage.type == "lvmthin")
    return find("lvm-thin", node, config_value(values, "vgname") + "/" + config_value(values, "thinpool"));
  if (storage.type == "dir" || storage.type == "btrfs") {
    if (shared_storage(storage))
      if (Backing* shared = find("dir", "", storage.id)) return shared;
    return find(storage.type, node, config_value(values, "path"));
  }
  const std::string kind = storage.type == "iscsidirect" ? "iscsi" : storage.type;
  return find(kind, "", shared_name(world, storage));
}

ZPool* pool_of_dataset(World& world, std::string_view node, std::string_view dataset) {
  const auto host = world.nodes.find(node);
  if (host == world.nodes.end()) return nullptr;
  const auto pool = host->second.pools.find(pool_name(dataset));
  return pool == host->second.pools.end() ? nullptr : &pool->second;
}

std::int64_t parse_blocksize(std::string_view text) {
  if (text.empty()) return 16 << 10;  // Fact: OpenZFS' default since 2.2
  std::int64_t factor = 1;
  std::string digits(text);
  const char unit = static_cast<char>(std::tolower(static_cast<unsigned char>(digits.back())));
  if (unit == 'k' || unit == 'm') {
    factor = unit == 'k' ? 1 << 10 : 1 << 20;
    digits.pop_back();
  }
  return all_digits(digits) ? std::stoll(digits) * factor : 16 << 10;
}

std::int64_t thick_reservation(const ZPool& pool, std::int64_t size, std::int64_t volblocksize) {
  std::int64_t blocks = size / volblocksize;
  std::int64_t indirect = 7;
  while (blocks > 1) {
    blocks = (blocks + 1023) / 1024;
    indirect += blocks;
  }
  return std::max(size, deflated(pool, size, volblocksize)) + indirect * 2 * (128 << 10);
}

Space space_of(World& world, const Backing& backing) {
  Space space;
  const std::string dataset = backing.kind == "zfs" ? backing.path : backing.dataset;
  if (!dataset.empty()) {
    const ZPool* pool = pool_of_dataset(world, backing.node, dataset);
    if (pool == nullptr) return space;
    const std::string own = pool_name(dataset);
    std::int64_t all = pool->base_used;
    std::int64_t here = 0;
    for (const auto& [key, other] : world.backings) {
      if (other.node != backing.node) continue;
      const std::string place = other.kind == "zfs" ? other.path : other.dataset;
      if (place.empty() || pool_name(place) != own) continue;
      std::int64_t sum = 0;
      for (const auto& [name, volume] : other.volumes)
        sum += other.kind == "zfs" ? charge(*pool, volume) : deflated(*pool, volume.used, 128 << 10);
      all += sum;
      if (place == dataset || starts_with(place, dataset + "/")) here += sum;
    }
    // Fact: `used` of the pool's root dataset includes everything in the pool.
    space.used = dataset == own ? all : here;
    space.available = std::max<std::int64_t>(0, pool->size - all);
    space.total = space.used + space.available;
    return space;
  }
  space.total = backing.capacity;
  space.used = backing.base_used;
  for (const auto& [name, volume] : backing.volumes) {
    if (lvm_like(backing)) {
      // Fact: a qcow2 volume on LVM takes a logical volume for the fully allocated image and its metadata.
      const std::int64_t size = volume.format == "qcow2" ? volume.size + volume.size / 8192 + 2 * kMiB : volume.size;
      space.used += round_up(size, kExtent);
      space.used += static_cast<std::int64_t>(volume.snapshots.size()) * round_up(size, kExtent);
    } else {
      space.used += volume.used;
    }
  }
  space.available = std::max<std::int64_t>(0, space.total - space.used);
  return space;
}

bool is_thin(const StorageDef& storage, const Backing& backing) {
  if (backing.kind == "zfs") return config_value(storage.values, "sparse") == "1";
  return !lvm_like(backing);
}

std::string connect_storage(World& world, const StorageDef& storage, std::string_view node_name) {
  const std::string node(node_name);
  const Section& values = storage.values;
  if (storage.type == "zfspool") {
    const std::string dataset = config_value(values, "pool");
    const ZPool* pool = pool_of_dataset(world, node, dataset);
    if (pool == nullptr)
      return "could not activate storage '" + storage.id + "', zfs error: cannot import '" + pool_name(dataset) +
             "': no such pool available";
    if (dataset != pool->name && !pool->datasets.contains(dataset)) return {};  // noticed when it is used
    Backing backing;
    backing.kind = "zfs";
    backing.node = node;
    backing.path = dataset;
    if (pool->media == "hdd") backing.read_rate = backing.write_rate = 150 * kMiB;
    if (pool->media == "nvme") backing.read_rate = backing.write_rate = 1200 * kMiB;
    add_backing(world, std::move(backing));
  } else if (storage.type == "dir" || storage.type == "btrfs") {
    if (shared_storage(storage) && world.backends.contains(storage.id)) {
      Backing backing = world.backends.at(storage.id);
      backing.kind = "dir";
      backing.path = storage.id;
      add_backing(world, std::move(backing));
      return {};
    }
    const std::string path = config_value(values, "path");
    const std::string mount_point = config_value(values, "is_mountpoint", "0");
    if (mount_point != "0" && mount_point != "no") {
      const std::string expected = mount_point.front() == '/' ? mount_point : path;
      if (!world.nodes.at(node).filesystems.contains(expected))
        return "unable to activate storage '" + storage.id +
               "' - directory is expected to be a mount point but is not mounted: '" + expected + "'";
    }
    add_backing(world, directory_backing(world, storage, node));
  } else if (storage.type == "nfs" || storage.type == "cifs" || storage.type == "rbd" || storage.type == "iscsi" ||
             storage.type == "iscsidirect" || storage.type == "lvm") {
    if (backing_of(world, storage, node) != nullptr) return {};
    for (const char* key : {"vgname", "server", "pool", ""}) {
      const std::string name = *key == 0 ? storage.id : config_value(values, key);
      const auto backend = world.backends.find(name);
      if (backend == world.backends.end()) continue;
      Backing backing = backend->second;
      backing.path = name;
      const bool failing = backing.failing;
      add_backing(world, std::move(backing));
      return failing && storage.type != "lvm" ? "storage '" + storage.id + "' is not online" : std::string{};
    }
    // Fact: activating an LVM storage looks at nothing; a server that does not answer makes the others fail.
    if (storage.type != "lvm") return "storage '" + storage.id + "' is not online";
  }
  return {};
}

double copy_rate(const Backing& from, const Backing& to, std::int64_t limit_kib) {
  auto rate = static_cast<double>(std::min(from.read_rate, to.write_rate));
  if (from.key == to.key) rate /= 2;  // one device reads and writes
  if (limit_kib > 0) rate = std::min(rate, static_cast<double>(limit_kib) * 1024.0);
  return std::max(rate, 1024.0);
}

}  // namespace pvesim
