#include "simulator/api/broadcast.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "simulator/api/rows.h"
#include "simulator/api/support.h"
#include "simulator/wire/formats.h"
#include "simulator/wire/params.h"
#include "simulator/world/drive.h"
#include "simulator/world/storage.h"
#include "simulator/world/text.h"
#include "simulator/world/vm_config.h"

namespace pvesim {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr VirtualSpan kPeriod = 10s;
constexpr VirtualSpan kStale = 5min;

std::string option(const Section& values, std::string_view key) {
  const auto found = values.find(key);
  return found == values.end() ? std::string{} : found->second;
}

/// `size=` of the first disk in the boot order; 0 when nothing bootable is a disk.
std::int64_t boot_disk_size(const Section& values) {
  for (const std::string& slot : boot_order(values)) {
    const auto found = values.find(slot);
    if (found == values.end() || !is_drive_name(slot)) continue;
    const auto drive = parse_drive(slot, found->second);
    if (!drive || drive->is_cdrom()) continue;
    return std::max<std::int64_t>(0, parse_size(drive->get("size", "0")));
  }
  return 0;
}

/// A load that looks alive and is the same for the same seed.
double small_load(World& world) { return 0.005 + static_cast<double>(world.random() % 1000) / 20000.0; }

}  // namespace

void Broadcast::begin() {
  send("");
  std::int64_t phase = 0;
  for (const auto& [name, node] : world_.nodes) {
    // The daemons of a cluster are not in step.
    const VirtualSpan first = kPeriod - std::chrono::milliseconds((phase++ * 1370) % 10000);
    world_.after(first, [this, node_name = name] { tick(node_name); });
  }
}

void Broadcast::tick(const std::string& node) {
  // When the clock is further already, only the last of the rounds that are due can be seen: a fast clock over a large
  // cluster would do nothing else.
  if (world_.behind() < kPeriod) send(node);
  world_.after(kPeriod, [this, node] { tick(node); });
}

void Broadcast::send(const std::string& wanted) {
  for (const auto& [name, node] : world_.nodes) {
    if ((!wanted.empty() && wanted != name) || !node.online) continue;
    Host host;
    host.sent = world_.now();
    host.cpu = small_load(world_);
    host.maxcpu = node.cpus;
    host.maxmem = node.memory;
    host.mem = node.memory / 20;
    host.disk = node.rootfs_used;
    host.maxdisk = node.rootfs_size;
    host.uptime = std::max<std::int64_t>(0, (world_.now() - node.booted) / 1s);
    for (const StorageDef& def : world_.storages) {
      if (!on_node(def, name) || option(def.values, "disable") == "1") continue;
      const Backing* backing = backing_of(world_, def, name);
      if (backing == nullptr || backing->failing) continue;
      const Space space = space_of(world_, *backing);
      storages_[{name, def.id}] = {world_.now(), space.total, space.used};
    }
    for (const auto& [vmid, vm] : world_.vms) {
      if (vm.node != name) continue;
      const Section& values = vm.config.values;
      Guest guest;
      guest.sent = world_.now();
      guest.name = option(values, "name");
      if (guest.name.empty()) guest.name = "VM " + std::to_string(vmid);
      guest.status = vm.running ? vm.running->qmp_status : "stopped";
      guest.is_template = option(values, "template") == "1";
      const std::int64_t cpus =
          config_number(values, "vcpus", config_number(values, "cores", 1) * config_number(values, "sockets", 1));
      guest.maxcpu = static_cast<int>(cpus);
      guest.maxmem = memory_mib(values) << 20;
      guest.maxdisk = boot_disk_size(values);
      if (vm.running) {
        guest.cpu = small_load(world_);
        guest.mem = guest.maxmem / 2;
        guest.uptime = std::max<std::int64_t>(0, (world_.now() - vm.running->since) / 1s);
        host.mem += guest.mem;
      }
      guests_[vmid] = guest;
    }
    host.mem = std::min(host.mem, host.maxmem);
    hosts_[name] = host;
  }
  std::erase_if(guests_, [&](const auto& row) { return world_.now() - row.second.sent > kStale; });
  std::erase_if(storages_, [&](const auto& row) { return world_.now() - row.second.sent > kStale; });
}

const Broadcast::Guest* Broadcast::guest(int vmid) const {
  const auto found = guests_.find(vmid);
  return found == guests_.end() || world_.now() - found->second.sent > kStale ? nullptr : &found->second;
}

const Broadcast::Storage* Broadcast::storage(const std::string& node, const std::string& id) const {
  const auto found = storages_.find({node, id});
  return found == storages_.end() || world_.now() - found->second.sent > kStale ? nullptr : &found->second;
}

const Broadcast::Host* Broadcast::host(const std::string& node) const {
  const auto found = hosts_.find(node);
  return found == hosts_.end() || world_.now() - found->second.sent > kStale ? nullptr : &found->second;
}

std::string content_text(World& world, const StorageDef& storage) {
  json list = split_list(option(storage.values, "content"));
  if (list.empty())
    if (const StorageType* type = storage_type(storage.type)) list = type->default_content;
  shuffle(world, list);
  std::string out;
  for (const auto& item : list) out += (out.empty() ? "" : ",") + item.get<std::string>();
  return out;
}

json guest_row(const Broadcast& broadcast, const Vm& vm) {
  json row = {{"id", vm.type + "/" + std::to_string(vm.vmid)},
              {"vmid", vm.vmid},
              {"node", vm.node},
              {"type", vm.type},
              {"status", "unknown"}};
  const Broadcast::Guest* guest = broadcast.guest(vm.vmid);
  if (guest == nullptr) return row;
  row["status"] = guest->status;
  row["name"] = guest->name;
  row["template"] = guest->is_template ? 1 : 0;
  row["uptime"] = guest->uptime;
  row["maxcpu"] = guest->maxcpu;
  row["cpu"] = guest->cpu;
  row["maxmem"] = guest->maxmem;
  row["mem"] = guest->mem;
  row["memhost"] = guest->mem;
  row["maxdisk"] = guest->maxdisk;
  for (const char* key : {"disk", "netin", "netout", "diskread", "diskwrite"}) row[key] = 0;
  return row;
}

json storage_row(World& world, const Broadcast& broadcast, const StorageDef& storage, const std::string& node) {
  json row = {{"id", "storage/" + node + "/" + storage.id},
              {"storage", storage.id},
              {"node", node},
              {"type", "storage"},
              {"plugintype", storage.type},
              {"status", "unknown"},
              {"shared", shared_storage(storage) ? 1 : 0},
              {"content", content_text(world, storage)}};
  if (const Broadcast::Storage* numbers = broadcast.storage(node, storage.id)) {
    row["maxdisk"] = numbers->total;
    row["disk"] = numbers->used;
    row["status"] = "available";
  }
  return row;
}

json node_row(const World& world, const Broadcast& broadcast, const Node& node, bool numbers) {
  json row = {{"id", "node/" + node.name}, {"node", node.name}, {"type", "node"}, {"status", "unknown"}};
  if (const Broadcast::Host* host = broadcast.host(node.name)) {
    row["level"] = "";
    if (node.online) {
      row["status"] = "online";
      if (numbers) {
        row["uptime"] = host->uptime;
        row["cpu"] = host->cpu;
        row["mem"] = host->mem;
        row["disk"] = host->disk;
      }
    }
    if (numbers) {
      row["maxcpu"] = host->maxcpu;
      row["maxmem"] = host->maxmem;
      row["maxdisk"] = host->maxdisk;
    }
  }
  if (!world.cluster_name.empty() && !node.online) row["status"] = "offline";
  return row;
}

}  // namespace pvesim
