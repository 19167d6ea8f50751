// /nodes/N/disks, hardware/pci and the QEMU capabilities of a node.

#include <algorithm>
#include <array>

#include "simulator/api/spec_text.h"
#include "simulator/api/storage_methods.h"
#include "simulator/api/support.h"
#include "simulator/wire/formats.h"
#include "simulator/world/storage.h"
#include "simulator/world/text.h"
#include "simulator/world/work.h"

namespace pvesim {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

json pool_list(Call& call) {
  json rows = json::array();
  for (const auto& [name, pool] : call.world.node(call.node).pools) {
    Backing root;
    root.kind = "zfs";
    root.node = call.node;
    root.path = name;
    const Space space = space_of(call.world, root);
    rows.push_back({{"name", name},
                    {"size", pool.size},
                    {"alloc", space.used},
                    {"free", pool.size - space.used},
                    {"frag", pool.frag},
                    {"dedup", pool.dedup},
                    {"health", pool.health}});
  }
  return rows;
}

int redundancy_group(const ZPool& pool) {
  if (pool.layout == "raid10") return 2;
  return std::max(pool.disks, 1);
}

json leaf(const std::string& name, const std::string& state) {
  return {{"name", name}, {"state", state}, {"leaf", 1}, {"read", 0}, {"write", 0}, {"cksum", 0}, {"msg", ""}};
}

json pool_detail(Call& call) {
  const std::string name = call.params.at("name");
  const auto& pools = call.world.node(call.node).pools;
  const auto found = pools.find(name);
  if (found == pools.end()) fail("command '/sbin/zpool status -P " + name + "' failed: exit code 1");
  const ZPool& pool = found->second;
  json vdevs = json::array();
  int disk = 0;
  const auto disk_name = [&] {
    return "/dev/disk/by-id/" + std::string(pool.media) + "-" + name + "-" + std::to_string(disk++) + "-part1";
  };
  if (pool.layout == "single") {
    for (int i = 0; i < pool.disks; ++i) vdevs.push_back(leaf(disk_name(), pool.health));
  } else {
    const std::string kind = pool.layout == "raid10" ? "mirror" : pool.layout == "raidz" ? "raidz1" : pool.layout;
    const int group = redundancy_group(pool);
    for (int number = 0; disk < pool.disks; ++number) {
      json children = json::array();
      for (int i = 0; i < group && disk < pool.disks; ++i) children.push_back(leaf(disk_name(), pool.health));
      json vdev = leaf(kind + "-" + std::to_string(number), pool.health);
      vdev["leaf"] = 0;
      vdev["children"] = children;
      vdevs.push_back(vdev);
    }
  }
  json root = leaf(name, pool.health);
  root["leaf"] = 0;
  root["children"] = vdevs;
  return {{"name", name},
          {"state", pool.health},
          {"errors", "No known data errors"},
          {"leaf", 0},
          {"children", json::array({root})}};
}

DiskInfo* find_disk(Node& node, const std::string& path) {
  for (DiskInfo& disk : node.disks)
    if (disk.devpath == path) return &disk;
  return nullptr;
}

json create_pool(Call& call) {
  World& world = call.world;
  Node& node = world.node(call.node);
  const std::string name = call.params.at("name");
  const std::string layout = call.params.at("raidlevel");
  const std::vector<std::string> devices = split_list(call.params.at("devices"));
  std::vector<std::string> paths;
  for (const std::string& path : devices) {
    const DiskInfo* disk = find_disk(node, path);
    if (disk == nullptr) fail("not a valid block device");
    if (!disk->used.empty()) fail("device '" + path + "' is already in use");
  }
  static const std::map<std::string, std::size_t> kLeast = {{"mirror", 2}, {"raid10", 4}, {"raidz", 3},  {"raidz2", 4},
                                                            {"raidz3", 5}, {"draid", 3},  {"draid2", 4}, {"draid3", 5}};
  if (layout == "single" && devices.size() != 1) fail("please give only one disk for single disk mode");
  if (const auto least = kLeast.find(layout); least != kLeast.end() && devices.size() < least->second)
    fail(layout + " needs at least " + std::to_string(least->second) + " disks");
  if (node.pools.contains(name)) fail("pool '" + name + "' already exists on node '" + node.name + "'");
  auto work = std::make_shared<Work>(world);
  Work* raw = work.get();
  const int ashift = static_cast<int>(integer_or(call.params, "ashift", 12));
  const std::string compression = text_or(call.params, "compression", "on");
  const bool add = flag_or(call.params, "add_storage", false);
  work->takes("create", 5s, [raw, node_name = node.name, name, layout, devices, ashift, compression, add] {
    World& w = raw->world();
    Node& host = w.node(node_name);
    std::string links;
    std::int64_t size = 0;
    for (const std::string& path : devices) {
      DiskInfo* disk = find_disk(host, path);
      links += " /dev/disk/by-id/" + disk->type + "-" + disk->model + "_" + disk->serial;
      disk->used = "ZFS";
      disk->gpt = true;
      size = size == 0 ? disk->size : std::min(size, disk->size);
    }
    const std::string vdev = layout == "single" || layout == "raid10" ? "" : " " + layout;
    raw->log("# /sbin/zpool create -o ashift=" + std::to_string(ashift) + " " + name + vdev + links);
    static constexpr std::array kReserved = {"mirror", "raidz", "draid", "spare", "log"};
    if (std::find(kReserved.begin(), kReserved.end(), name) != kReserved.end()) {
      raw->log("cannot create '" + name + "': name is reserved");
      raw->log("pool name may have been omitted");
      fail("command '/sbin/zpool create -o 'ashift=" + std::to_string(ashift) + "' " + name + links +
           "' failed: exit code 1");
    }
    raw->log("# /sbin/zfs set compression=" + compression + " " + name);
    const auto count = static_cast<std::int64_t>(devices.size());
    ZPool pool;
    pool.name = name;
    pool.layout = layout;
    pool.disks = static_cast<int>(count);
    pool.ashift = ashift;
    pool.compression = compression;
    pool.datasets.insert(name);
    const std::int64_t data = layout == "single"   ? 1
                              : layout == "mirror" ? 1
                              : layout == "raid10" ? count / 2
                              : layout == "raidz"  ? count - 1
                              : layout == "raidz2" ? count - 2
                                                   : std::max<std::int64_t>(1, count - 3);
    pool.size = size * data / 100 * 96;
    host.pools.emplace(name, pool);
    if (!add) return;
    StorageDef storage{
        name,
        "zfspool",
        {{"pool", name}, {"content", "images,rootdir"}, {"nodes", node_name}, {"mountpoint", "/" + name}}};
    (void)connect_storage(w, storage, node_name);
    w.storages.push_back(std::move(storage));
  });
  return world.start_task(call.node, "zfscreate", name, call.session.auth_id(), work);
}

json disk_list(Call& call) {
  const Node& node = call.world.node(call.node);
  const std::string type = text_or(call.params, "type", "");
  const bool skip = flag_or(call.params, "skipsmart", false);
  json rows = json::array();
  for (const DiskInfo& disk : node.disks) {
    if (type == "unused" && !disk.used.empty()) continue;
    json row = {{"devpath", disk.devpath},
                {"by_id_link", "/dev/disk/by-id/" + disk.type + "-" + disk.model + "_" + disk.serial},
                {"type", disk.type},
                {"rpm", disk.type == "hdd" ? 7200 : 0},
                {"size", disk.size},
                {"model", disk.model},
                {"vendor", disk.vendor.empty() ? "unknown" : disk.vendor},
                {"serial", disk.serial},
                {"wwn", disk.wwn.empty() ? "unknown" : disk.wwn},
                {"health", skip ? "UNKNOWN" : disk.health},
                {"wearout", skip ? json("N/A") : json(disk.wearout)},
                {"gpt", disk.gpt ? 1 : 0},
                {"osdid", -1},
                {"osdid-list", nullptr}};
    if (!disk.used.empty()) row["used"] = disk.used;
    rows.push_back(std::move(row));
  }
  return rows;
}

json pci_list(Call& call) {
  const Node& node = call.world.node(call.node);
  const std::vector<std::string> hidden = split_list(text_or(call.params, "pci-class-blacklist", "05;06;0b"));
  const bool verbose = flag_or(call.params, "verbose", true);
  json rows = json::array();
  for (const PciDevice& device : node.pci) {
    const std::string kind = device.pci_class.substr(device.pci_class.rfind('x') + 1, 2);
    if (std::find(hidden.begin(), hidden.end(), kind) != hidden.end()) continue;
    if (!verbose) {
      rows.push_back({{"id", device.id}});
      continue;
    }
    json row = {{"id", device.id},
                {"class", device.pci_class},
                {"vendor", device.vendor},
                {"device", device.device},
                {"iommugroup", device.iommugroup}};
    if (!device.vendor_name.empty()) row["vendor_name"] = device.vendor_name;
    if (!device.name.empty()) row["device_name"] = device.name;
    if (device.mdev) row["mdev"] = 1;
    rows.push_back(std::move(row));
  }
  return rows;
}

json machines(Call& call) {
  const Node& node = call.world.node(call.node);
  json rows = json::array();
  const std::string newest = node.qemu_version.substr(0, node.qemu_version.find('.', node.qemu_version.find('.') + 1));
  static constexpr std::array kVersions = {"11.0", "10.2", "10.1", "10.0", "9.2", "9.1", "9.0",
                                           "8.2",  "8.1",  "8.0",  "7.2",  "7.1", "7.0", "6.2"};
  const auto number = [](const std::string& version) {
    return std::stoi(version) * 100 + std::stoi(version.substr(version.find('.') + 1));
  };
  for (const char* type : {"i440fx", "q35"})
    for (const std::string version : kVersions) {
      if (number(version) > number(newest)) continue;
      rows.push_back({{"id", std::string("pc-") + type + "-" + version}, {"type", type}, {"version", version}});
    }
  return rows;
}

json cpus(Call&) {
  json rows = json::array();
  for (const char* name : {"host", "kvm64", "max", "qemu64", "x86-64-v2", "x86-64-v2-AES", "x86-64-v3", "x86-64-v4",
                           "EPYC", "EPYC-Genoa", "EPYC-Milan", "EPYC-Rome", "EPYC-Turin", "Skylake-Server",
                           "Cascadelake-Server", "Icelake-Server", "SapphireRapids"})
    rows.push_back({{"name", name},
                    {"vendor", std::string(name).rfind("EPYC", 0) == 0 ? "AuthenticAMD" : "default"},
                    {"custom", 0}});
  return rows;
}

json index_of_names(std::initializer_list<const char*> names, const char* key) {
  json rows = json::array();
  for (const char* name : names) rows.push_back({{key, name}});
  return rows;
}

}  // namespace

void add_disk_methods(MethodTable& table) {
  const auto add = [&](const char* verb, const char* path, std::function<void(Call&)> permission, Handler handler) {
    MethodSpec method = storage_specs().method(verb, path);
    method.permission = std::move(permission);
    method.handler = std::move(handler);
    table.push_back(std::move(method));
  };
  const auto audit = needs_privilege("/", "Sys.Audit");
  add("GET", "/nodes/{node}/disks", {}, [](Call&) {
    return index_of_names({"list", "initgpt", "smart", "lvm", "lvmthin", "directory", "wipedisk", "zfs"}, "name");
  });
  add("GET", "/nodes/{node}/disks/zfs", audit, pool_list);
  add("GET", "/nodes/{node}/disks/zfs/{name}", audit, pool_detail);
  add(
      "POST", "/nodes/{node}/disks/zfs",
      [](Call& call) {
        require_privilege(call, "/", "Sys.Modify");
        if (flag_or(call.params, "add_storage", false)) require_privilege(call, "/storage", "Datastore.Allocate");
      },
      create_pool);
  add(
      "GET", "/nodes/{node}/disks/list",
      [](Call& call) {
        if (!has_privilege(call, fill_path("/nodes/{node}", call.params), "Sys.Audit"))
          require_privilege(call, "/", "Sys.Audit");
      },
      disk_list);
  add("GET", "/nodes/{node}/hardware", {}, [](Call&) { return index_of_names({"pci", "usb"}, "type"); });
  add("GET", "/nodes/{node}/hardware/pci", needs_privilege("/", "Sys.Audit|Sys.Modify"), pci_list);
  for (const auto& [tail, handler] :
       std::initializer_list<std::pair<const char*, Handler>>{{"machines", machines}, {"cpu", cpus}}) {
    MethodSpec method{.verb = "GET",
                      .path = std::string("/nodes/{node}/capabilities/qemu/") + tail,
                      .params = {node_param(), enum_param("arch", {"x86_64", "aarch64"})},
                      .proxy_to_node = true};
    method.handler = handler;
    table.push_back(std::move(method));
  }
}

}  // namespace pvesim
