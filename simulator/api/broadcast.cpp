#include "simulator/api/broadcast.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "simulator/api/rows.h"
#include "simulator/api/support.h"
#include "simulator/wire/formats.h"
#include "simulator/wire/params.h"

namespace pvesim {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr VirtualSpan kPeriod = 10s;
constexpr VirtualSpan kStale = 5min;

std::int64_t parse_size(std::string_view text) {
  double value = 0;
  std::size_t at = 0;
  double scale = 1;
  bool fraction = false;
  for (; at < text.size() && (std::isdigit(static_cast<unsigned char>(text[at])) != 0 || text[at] == '.'); ++at) {
    if (text[at] == '.') {
      fraction = true;
      continue;
    }
    value = value * 10 + (text[at] - '0');
    if (fraction) scale *= 10;
  }
  static constexpr std::string_view kUnits = "KMGT";
  value /= scale;
  if (at < text.size())
    if (const auto unit = kUnits.find(text[at]); unit != kUnits.npos)
      for (std::size_t i = 0; i <= unit; ++i) value *= 1024;
  return static_cast<std::int64_t>(value);
}

std::string option(const Section& values, std::string_view key) {
  const auto found = values.find(key);
  return found == values.end() ? std::string{} : found->second;
}

std::int64_t integer_option(const Section& values, std::string_view key, std::int64_t fallback) {
  std::string text = option(values, key);
  if (text.rfind("current=", 0) == 0) text = text.substr(8);
  return is_integer_text(text) ? std::stoll(text) : fallback;
}

/// `size=` of the first disk in the boot order; 0 when nothing bootable is a disk.
std::int64_t boot_disk_size(const Section& values) {
  std::string order = option(values, "boot");
  if (order.rfind("order=", 0) != 0) return 0;
  for (const std::string& key : split_list(order.substr(6))) {
    const std::string drive = option(values, key);
    if (drive.empty() || key.rfind("net", 0) == 0 || drive.find("media=cdrom") != std::string::npos) continue;
    if (const auto at = drive.find(",size="); at != std::string::npos) return parse_size(drive.substr(at + 6));
    return 0;
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
  send(node);
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
      if (!storage_on_node(def, name) || option(def.values, "disable") == "1") continue;
      if (const auto usage = storage_usage(world_, name, def.id))
        storages_[{name, def.id}] = {world_.now(), usage->total, usage->used};
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
          integer_option(values, "vcpus", integer_option(values, "cores", 1) * integer_option(values, "sockets", 1));
      guest.maxcpu = static_cast<int>(cpus);
      guest.maxmem = integer_option(values, "memory", 512) << 20;
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

bool storage_on_node(const StorageDef& storage, const std::string& node) {
  const auto nodes = storage.values.find("nodes");
  if (nodes == storage.values.end() || nodes->second.empty()) return true;
  const std::vector<std::string> names = split_list(nodes->second);
  return std::find(names.begin(), names.end(), node) != names.end();
}

bool is_shared(const StorageDef& storage) {
  static constexpr std::array kNetwork = {"nfs", "cifs", "rbd", "cephfs", "iscsi", "iscsidirect", "zfs", "pbs", "esxi"};
  if (std::find(kNetwork.begin(), kNetwork.end(), storage.type) != kNetwork.end()) return true;
  return option(storage.values, "shared") == "1";
}

std::string default_content(const std::string& type) {
  if (type == "zfspool" || type == "dir" || type == "lvmthin" || type == "btrfs") return "images,rootdir";
  if (type == "pbs") return "backup";
  if (type == "cephfs") return "backup,iso,vztmpl";
  if (type == "esxi") return "import";
  return "images";
}

std::string content_text(World& world, const StorageDef& storage) {
  std::string text = option(storage.values, "content");
  if (text.empty()) text = default_content(storage.type);
  json list = split_list(text);
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
              {"shared", is_shared(storage) ? 1 : 0},
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
