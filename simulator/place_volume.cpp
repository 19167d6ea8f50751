#include "simulator/place_volume.h"

#include <algorithm>

#include "simulator/api/method.h"
#include "simulator/world/drive.h"
#include "simulator/world/storage.h"
#include "simulator/world/text.h"
#include "simulator/world/vm_config.h"

namespace pvesim {
namespace {

using namespace std::chrono_literals;

constexpr std::int64_t kDefaultVolblocksize = 16384;  // OpenZFS since 2.2
constexpr std::int64_t kDefaultFileSize = 1LL << 30;
constexpr std::int64_t kDefaultDiskSize = 32LL << 30;

std::string value_of(const Section& values, std::string_view key) {
  const auto found = values.find(key);
  return found == values.end() ? std::string{} : found->second;
}

/// Datasets that only a storage section names are made by themselves.
void make_dataset(World& world, const StorageDef& storage, const std::string& node) {
  if (storage.type != "zfspool") return;
  const std::string dataset = value_of(storage.values, "pool");
  ZPool* pool = pool_of_dataset(world, node, dataset);
  if (pool == nullptr) return;
  for (auto slash = dataset.find('/'); slash != std::string::npos; slash = dataset.find('/', slash + 1))
    pool->datasets.insert(dataset.substr(0, slash));
  pool->datasets.insert(dataset);
}

std::uint64_t fresh_content(World& world) { return world.random() | 1U; }

/// The zvol properties of a volume: what the file says, else what `zfs create` would have given it.
void set_zvol(World& world, const StorageDef& storage, const Backing& backing, Volume& volume,
              const VolumeProperties& properties) {
  volume.volblocksize = kDefaultVolblocksize;
  if (const std::string blocksize = value_of(storage.values, "blocksize"); !blocksize.empty())
    volume.volblocksize = parse_blocksize(blocksize);
  if (properties.volblocksize) volume.volblocksize = *properties.volblocksize;
  const bool sparse = value_of(storage.values, "sparse") == "1";
  const std::int64_t wanted = properties.refreservation.value_or(sparse || !volume.origin.empty() ? 0 : -1);
  volume.refreservation = wanted;
  if (wanted < 0)
    if (const ZPool* pool = pool_of_dataset(world, backing.node, backing.path))
      volume.refreservation = thick_reservation(*pool, volume.size, volume.volblocksize);
}

}  // namespace

std::string attach_storage(World& world, const StorageDef& storage) {
  const bool named = !value_of(storage.values, "nodes").empty();
  std::string problem = "no node has what it names";
  bool connected = false;
  for (const auto& [name, node] : world.nodes) {
    if (!on_node(storage, name)) continue;
    make_dataset(world, storage, name);
    const std::string missing = connect_storage(world, storage, name);
    if (missing.empty()) {
      connected = true;
      continue;
    }
    problem = "node " + name + ": " + missing;
    if (named) return problem;
  }
  return connected ? std::string{} : problem;
}

std::string place_volume(World& world, const std::string& storage, const std::string& node, const std::string& volume,
                         std::int64_t size, const VolumeProperties& properties) {
  StorageDef* def = world.find_storage(storage);
  if (def == nullptr) return "unknown storage '" + storage + "'";
  Backing* backing = backing_of(world, *def, node);
  if (backing == nullptr) return "storage '" + storage + "' has no place on node " + node;
  VolumeName name;
  try {
    name = parse_volume_name(*def, volume);
  } catch (const ApiError& error) {
    return storage + ":" + volume + ": " + error.message;
  }
  if (backing->volumes.contains(name.key)) return "volume " + storage + ":" + volume + " exists twice";
  Volume made;
  made.name = name.key;
  made.format = name.format;
  made.size = size;
  if (!name.base.empty()) made.origin = backing->kind == "zfs" ? name.base + "@__base__" : name.base;
  if (backing->kind == "zfs") set_zvol(world, *def, *backing, made, properties);
  if (properties.used)
    made.used = *properties.used;
  else
    made.used = static_cast<std::int64_t>(static_cast<double>(size) * properties.used_share.value_or(0.5));
  if (name.content != "images" && name.content != "rootdir") made.used = size;
  made.fingerprint = fresh_content(world);
  if (name.is_base && backing->kind == "zfs") made.snapshots["__base__"] = {made.fingerprint, made.used, made.size, 0};
  made.ctime = world.now_seconds();
  made.notes = properties.notes;
  made.is_protected = properties.is_protected;
  made.properties = properties.own;
  backing->volumes.emplace(name.key, std::move(made));
  return {};
}

std::string place_vm_volumes(World& world, Vm& vm, const std::map<std::string, VolumeProperties>& zvols) {
  std::vector<const Section*> sections = {&vm.config.values, &vm.config.pending};
  for (const auto& [name, snapshot] : vm.config.snapshots) sections.push_back(&snapshot);
  for (const Section* section : sections) {
    for (const Drive& drive : drives_of(*section, true)) {
      if (!drive.has_volume() || find_volume(world, drive.file, vm.node)) continue;
      const auto id = parse_volume_id(drive.file);
      if (!id) continue;
      const std::int64_t fallback = drive.is_cdrom() ? kDefaultFileSize : kDefaultDiskSize;
      const std::int64_t stated = parse_size(drive.get("size"));
      const auto known = zvols.find(id->name);
      const VolumeProperties properties = known == zvols.end() ? VolumeProperties{} : known->second;
      const std::int64_t size = stated > 0 ? stated : properties.size.value_or(fallback);
      const std::string problem = place_volume(world, id->storage, vm.node, id->name, size, properties);
      if (!problem.empty()) return drive.slot + ": " + problem;
    }
  }
  // Snapshots of the config exist on the volumes as well.
  for (const auto& [name, snapshot] : vm.config.snapshots)
    for (const Drive& drive : drives_of(snapshot)) {
      const auto found =
          drive.has_volume() && !drive.is_cdrom() ? find_volume(world, drive.file, vm.node) : std::nullopt;
      if (!found) continue;
      found->volume->snapshots[name] = {found->volume->fingerprint, found->volume->used, found->volume->size,
                                        found->volume->snapshots.size()};
    }
  return {};
}

void begin_running(World& world, Vm& vm) {
  RunningVm running;
  running.effective = vm.config.values;
  running.since = world.now() - 1h;
  running.pid = 10000 + vm.vmid % 20000;
  const std::string version = world.nodes.at(vm.node).qemu_version;
  const std::string machine = value_of(vm.config.values, "machine");
  const std::string release = version.substr(0, version.find('.', version.find('.') + 1));
  running.machine = machine.find_first_of("0123456789") != std::string::npos && machine.rfind("pc-", 0) == 0
                        ? machine.substr(0, machine.find(','))
                        : (machine.rfind("q35", 0) == 0 ? "pc-q35-" : "pc-i440fx-") + release + "+pve1";
  for (const Drive& drive : drives_of(vm.config.values))
    if (drive.has_volume())
      if (const auto found = find_volume(world, drive.file, vm.node)) running.open[drive.slot] = found->ref();
  vm.running = std::move(running);
}

}  // namespace pvesim
