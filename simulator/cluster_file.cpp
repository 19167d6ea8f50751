#include "simulator/cluster_file.h"

#include <algorithm>
#include <array>
#include <cctype>

#include "simulator/api/method.h"
#include "simulator/place_volume.h"
#include "simulator/simulator.h"
#include "simulator/wire/access.h"
#include "simulator/wire/formats.h"
#include "simulator/wire/params.h"
#include "simulator/wire/service.h"
#include "simulator/world/storage.h"
#include "simulator/world/text.h"
#include "simulator/yaml_reader.h"

namespace pvesim {
namespace {

constexpr std::int64_t kMuch = 1LL << 60;

std::string join(const std::vector<std::string>& items) {
  std::string out;
  for (const std::string& item : items) out += (out.empty() ? "" : ", ") + item;
  return out;
}

// ---------------------------------------------------------------------------------------------- faults

FaultAction read_action(Problems& problems, const YAML::Node& node, const std::string& what) {
  FaultAction action = FaultAction::kStatus;
  if (node.IsScalar() && parse_fault_name(node.Scalar(), action)) return action;
  std::vector<std::string> names;
  for (const std::string_view name : fault_names()) names.emplace_back(name);
  problems.add(node.Mark(), what + " must be one of " + join(names));
  return action;
}

Fault read_fault(Problems& problems, const YAML::Node& node, const std::string& what) {
  const MapReader map(problems, node, what,
                      {"match", "nth", "times", "action", "status", "message", "delay", "node", "task", "id", "step"});
  Fault fault;
  if (!map.has("action"))
    problems.add(map.mark(), what + " needs 'action'");
  else
    fault.action = read_action(problems, map.node("action"), map.path_of("action"));
  if (const std::string match = map.text("match"); !match.empty() && fault.for_host()) {
    fault.path = match;
  } else if (!match.empty()) {  // "PUT /nodes/*/qemu/*/config" or only a path
    const auto space = match.find(' ');
    if (space != std::string::npos) fault.method = match.substr(0, space);
    fault.path = space == std::string::npos ? match : match.substr(space + 1);
    static constexpr std::array kVerbs = {"", "GET", "POST", "PUT", "DELETE"};
    if (std::find(kVerbs.begin(), kVerbs.end(), fault.method) == kVerbs.end())
      problems.add(map.mark_of("match"), map.path_of("match") + " must be 'VERB /path' with GET, POST, PUT or DELETE");
  }
  if (fault.for_tasks() && map.has("match"))
    problems.add(map.mark_of("match"), what + ": task faults use task, id and step instead of match");
  if (!fault.for_tasks())
    for (const char* key : {"task", "id", "step"})
      if (map.has(key)) problems.add(map.mark_of(key), what + ": '" + key + "' is only for task-fail and task-stall");
  fault.nth = static_cast<int>(map.integer("nth", 1, 1, 1000000));
  fault.times = static_cast<int>(map.integer("times", 1, 0, 1000000));
  const int status = fault.action == FaultAction::kProxyError ? 596 : 500;
  fault.status = static_cast<int>(map.integer("status", status, 400, 599));
  fault.message = map.text("message", fault.message);
  fault.delay = std::chrono::milliseconds(map.duration("delay", 0));
  fault.node = map.text("node");
  fault.task = map.text("task", "*");
  fault.id = map.text("id", "*");
  fault.step = map.text("step", "*");
  return fault;
}

RandomFaults read_random(Problems& problems, const YAML::Node& node) {
  const MapReader map(problems, node, "random_faults", {"seed", "rate", "actions", "delay", "task_rate"});
  RandomFaults random;
  random.seed = static_cast<std::uint64_t>(map.integer("seed", 1, 0, kMuch));
  random.rate = map.number("rate", 0, 0, 1);
  random.task_rate = map.number("task_rate", 0, 0, 1);
  random.delay = std::chrono::milliseconds(map.duration("delay", 2000));
  if (map.has("actions")) {
    random.actions.clear();
    for (const YAML::Node& item : sequence(problems, map.node("actions"), "random_faults.actions"))
      random.actions.push_back(read_action(problems, item, "random_faults.actions"));
  }
  return random;
}

// ---------------------------------------------------------------------------------------------- the loader

class Loader {
 public:
  Loader(Problems& problems, const YAML::Node& root, World& world)
      : problems_(problems),
        file_(problems, root, "",
              {"cluster", "users", "groups", "roles", "acl", "nodes", "backends", "storages", "volumes", "vms", "ha",
               "replication", "pools", "mappings", "datacenter", "faults", "random_faults"}),
        world_(world) {}

  void run() {
    read_cluster();
    read_nodes();
    read_access();
    read_backends();
    read_storages();
    read_vms();
    read_volumes();
    read_ha();
    read_replication();
    read_pools();
    read_mappings();
    read_datacenter();
  }

 private:
  void read_cluster() {
    const MapReader map(problems_, file_.node("cluster"), "cluster", {"name", "seed", "clock_scale"});
    world_.cluster_name = map.text("name");
  }

  // --- nodes
  void read_nodes() {
    const MapReader map(problems_, file_.node("nodes"), "nodes");
    if (map.entries().empty()) problems_.add(file_.mark(), "the file needs 'nodes' with at least one node");
    int id = 0;
    for (const auto& [name, node] : map.entries()) {
      if (!is_node_name(name)) problems_.add(node.Mark(), "'" + name + "' is no valid node name");
      read_node(name, node, ++id);
      if (world_.first_node.empty()) world_.first_node = name;
    }
    if (world_.nodes.size() > 1 && world_.cluster_name.empty())
      problems_.add(file_.mark(), "several nodes need a cluster name: cluster: {name: …}");
  }

  void read_node(const std::string& name, const YAML::Node& yaml, int id) {
    const MapReader map(problems_, yaml, "nodes." + name,
                        {"version", "qemu", "zfs", "kernel", "cpu", "sockets", "cpu_model", "memory", "rootfs",
                         "rootfs_used", "uptime", "online", "pools", "vgs", "pci", "disks", "filesystems", "host"});
    Node node;
    node.name = name;
    node.id = id;
    node.online = map.flag("online", true);
    node.version = map.text("version", node.version);
    node.qemu_version = map.text("qemu", node.qemu_version);
    node.zfs_version = map.text("zfs", node.zfs_version);
    node.kernel = map.text("kernel", node.kernel);
    node.cpus = static_cast<int>(map.integer("cpu", node.cpus, 1, 8192));
    node.sockets = static_cast<int>(map.integer("sockets", 1, 1, 64));
    node.cpu_model = map.text("cpu_model", node.cpu_model);
    node.memory = map.size("memory", node.memory);
    node.rootfs_size = map.size("rootfs", node.rootfs_size);
    node.rootfs_used = map.share("rootfs_used", node.rootfs_size, node.rootfs_used);
    read_host(map, node);
    node.booted = world_.now() - std::chrono::milliseconds(map.duration("uptime", 86400000));
    const MapReader pools(problems_, map.node("pools"), map.path_of("pools"));
    for (const auto& [pool, what] : pools.entries())
      node.pools.emplace(pool, read_pool(pool, what, pools.path_of(pool)));
    const MapReader filesystems(problems_, map.node("filesystems"), map.path_of("filesystems"));
    for (const auto& [path, what] : filesystems.entries()) {
      const MapReader one(problems_, what, filesystems.path_of(path), {"type", "dataset", "size"});
      Filesystem filesystem;
      filesystem.type = one.one_of("type", {"ext4", "xfs", "zfs", "btrfs"}, "ext4");
      filesystem.dataset = one.text("dataset");
      filesystem.size = one.size("size", node.rootfs_size);
      if (filesystem.type == "zfs") {
        ZPool* pool = pool_of_dataset(node, filesystem.dataset);
        if (pool == nullptr)
          problems_.add(one.mark(), one.path_of("dataset") + " must name a dataset in one of the pools of " + name);
        else
          pool->datasets.insert(filesystem.dataset);
      }
      node.filesystems.emplace(path, std::move(filesystem));
    }
    for (const YAML::Node& item : sequence(problems_, map.node("pci"), map.path_of("pci")))
      node.pci.push_back(read_pci(item, map.path_of("pci")));
    for (const YAML::Node& item : sequence(problems_, map.node("disks"), map.path_of("disks")))
      node.disks.push_back(read_disk(item, map.path_of("disks")));
    world_.nodes.emplace(name, std::move(node));
    const MapReader vgs(problems_, map.node("vgs"), map.path_of("vgs"));
    for (const auto& [vg, what] : vgs.entries()) read_vg(name, vg, what, vgs.path_of(vg));
  }

  static Section texts_of(const std::vector<std::pair<std::string, YAML::Node>>& entries) {
    Section section;
    for (const auto& [key, value] : entries)
      if (value.IsScalar()) section[key] = value.Scalar();
    return section;
  }

  void read_host(const MapReader& node_map, Node& node) {
    const MapReader map(problems_, node_map.node("host"), node_map.path_of("host"),
                        {"arc_max", "arc_min", "swaps", "timers", "trim_cron", "parameters", "modprobe", "tools"});
    HostFacts& host = node.host;
    host.arc_max = map.size("arc_max", 0);
    host.arc_min = map.size("arc_min", 0);
    for (const YAML::Node& item : sequence(problems_, map.node("swaps"), map.path_of("swaps"))) {
      const MapReader one(problems_, item, map.path_of("swaps"), {"device", "size"});
      host.swaps.push_back({one.required_text("device"), one.size("size", 8LL << 30)});
    }
    for (const YAML::Node& item : sequence(problems_, map.node("timers"), map.path_of("timers")))
      if (item.IsScalar()) host.timers.push_back(item.Scalar());
    host.trim_cron = map.flag("trim_cron", false);
    host.parameters = texts_of(MapReader(problems_, map.node("parameters"), map.path_of("parameters")).entries());
    // A parameter stands in zfs.conf; a path is a file of its own, with its text.
    for (const auto& [key, value] :
         texts_of(MapReader(problems_, map.node("modprobe"), map.path_of("modprobe")).entries())) {
      if (starts_with(key, "/"))
        host.modprobe[key] = value;
      else
        host.modprobe["/etc/modprobe.d/zfs.conf"] += "options zfs " + key + "=" + value + "\n";
    }
    if (!map.has("tools")) return;
    host.tools.clear();
    for (const YAML::Node& item : sequence(problems_, map.node("tools"), map.path_of("tools")))
      if (item.IsScalar()) host.tools.push_back(item.Scalar());
  }

  PoolVdev read_vdev(const YAML::Node& yaml, const std::string& what) {
    const MapReader map(problems_, yaml, what, {"class", "layout", "disks", "ashift", "disk_size", "media"});
    PoolVdev vdev;
    vdev.role = map.one_of("class", {"logs", "special", "dedup", "cache", "spares"}, "special");
    vdev.layout = map.one_of("layout", {"single", "mirror"}, "single");
    vdev.disks = static_cast<int>(map.integer("disks", vdev.layout == "mirror" ? 2 : 1, 1, 255));
    vdev.ashift = static_cast<int>(map.integer("ashift", 12, 9, 16));
    vdev.disk_size = map.size("disk_size", 100LL << 30);
    vdev.media = map.one_of("media", {"ssd", "nvme", "hdd"}, "ssd");
    return vdev;
  }

  ZPool read_pool(const std::string& name, const YAML::Node& yaml, const std::string& what) {
    const MapReader map(
        problems_, yaml, what,
        {"layout", "disks", "size", "ashift", "media", "used", "frag", "autotrim", "health", "dedup", "compression",
         "datasets", "properties", "vdevs", "disk_size", "scrub_age", "trim_age", "errors"});
    ZPool pool;
    pool.name = name;
    pool.layout = map.one_of("layout", {"single", "mirror", "raid10", "raidz", "raidz2", "raidz3", "draid"}, "mirror");
    const int least = pool.layout == "single"   ? 1
                      : pool.layout == "mirror" ? 2
                      : pool.layout == "raidz2" ? 4
                      : pool.layout == "raidz3" ? 5
                                                : 3;
    pool.disks = static_cast<int>(map.integer("disks", pool.layout == "raid10" ? 4 : least, 1, 255));
    pool.ashift = static_cast<int>(map.integer("ashift", 12, 9, 16));
    pool.media = map.one_of("media", {"ssd", "nvme", "hdd"}, "ssd");
    pool.size = map.size("size", 1LL << 40);
    pool.base_used = map.share("used", pool.size, 0);
    pool.frag = static_cast<int>(map.integer("frag", 0, 0, 100));
    pool.autotrim = map.flag("autotrim", false);
    pool.health = map.one_of("health", {"ONLINE", "DEGRADED", "FAULTED", "SUSPENDED"}, "ONLINE");
    pool.dedup = map.number("dedup", 1, 1, 1000);
    pool.compression = map.text("compression", "on");
    pool.disk_size = map.size("disk_size", 0);
    if (map.text("scrub_age", "7d") != "never")
      pool.scrub_age = map.has("scrub_age") ? map.duration("scrub_age", 0) / 1000 : std::int64_t{7} * 86400;
    if (map.has("trim_age")) pool.trim_age = map.duration("trim_age", 0) / 1000;
    pool.errors = static_cast<int>(map.integer("errors", 0, 0, 1000000));
    for (const YAML::Node& item : sequence(problems_, map.node("vdevs"), map.path_of("vdevs")))
      pool.vdevs.push_back(read_vdev(item, map.path_of("vdevs")));
    const MapReader properties(problems_, map.node("properties"), map.path_of("properties"));
    for (const auto& [dataset, values] : properties.entries())
      pool.properties[dataset] = texts_of(MapReader(problems_, values, properties.path_of(dataset)).entries());
    pool.datasets.insert(name);
    for (const YAML::Node& item : sequence(problems_, map.node("datasets"), map.path_of("datasets"))) {
      if (!item.IsScalar() || item.Scalar().rfind(name + "/", 0) != 0)
        problems_.add(item.Mark(), map.path_of("datasets") + " must list full names like " + name + "/data");
      else
        add_dataset(pool, item.Scalar());
    }
    return pool;
  }

  static void add_dataset(ZPool& pool, const std::string& dataset) {
    for (auto slash = dataset.find('/'); slash != std::string::npos; slash = dataset.find('/', slash + 1))
      pool.datasets.insert(dataset.substr(0, slash));
    pool.datasets.insert(dataset);
  }

  static ZPool* pool_of_dataset(Node& node, const std::string& dataset) {
    const auto found = node.pools.find(dataset.substr(0, dataset.find('/')));
    return found == node.pools.end() ? nullptr : &found->second;
  }

  PciDevice read_pci(const YAML::Node& yaml, const std::string& what) {
    const MapReader map(problems_, yaml, what,
                        {"id", "class", "vendor", "device", "vendor_name", "name", "iommugroup", "mdev"});
    PciDevice device;
    device.id = map.required_text("id");
    device.pci_class = map.text("class", device.pci_class);
    device.vendor = map.required_text("vendor");
    device.device = map.required_text("device");
    device.vendor_name = map.text("vendor_name");
    device.name = map.text("name");
    device.iommugroup = static_cast<int>(map.integer("iommugroup", -1, -1, 4096));
    device.mdev = map.flag("mdev", false);
    return device;
  }

  DiskInfo read_disk(const YAML::Node& yaml, const std::string& what) {
    const MapReader map(
        problems_, yaml, what,
        {"devpath", "type", "model", "serial", "vendor", "wwn", "used", "health", "size", "wearout", "gpt"});
    DiskInfo disk;
    disk.devpath = map.required_text("devpath");
    disk.type = map.one_of("type", {"ssd", "nvme", "hdd"}, "ssd");
    disk.model = map.text("model", "SIMULATED");
    disk.serial = map.text("serial", "S" + std::to_string(disks_++));
    disk.vendor = map.text("vendor", "ATA");
    disk.wwn = map.text("wwn", "unknown");
    disk.used = map.text("used");
    disk.health = map.text("health", "PASSED");
    disk.size = map.size("size", 1LL << 40);
    disk.wearout = static_cast<int>(map.integer("wearout", 100, 0, 100));
    disk.gpt = map.flag("gpt", false);
    return disk;
  }

  void read_vg(const std::string& node, const std::string& vg, const YAML::Node& yaml, const std::string& what) {
    const MapReader map(problems_, yaml, what, {"size", "used", "thin", "read_rate", "write_rate"});
    Backing backing;
    backing.kind = "lvm-vg";
    backing.node = node;
    backing.path = vg;
    backing.capacity = map.size("size", 500LL << 30);
    backing.base_used = map.share("used", backing.capacity, 0);
    read_rates(map, backing);
    const MapReader thin(problems_, map.node("thin"), map.path_of("thin"));
    for (const auto& [name, what_thin] : thin.entries()) {
      const MapReader one(problems_, what_thin, thin.path_of(name), {"size", "used"});
      Backing pool = backing;
      pool.kind = "lvm-thin";
      pool.path = vg + "/" + name;
      pool.capacity = one.size("size", backing.capacity / 2);
      pool.base_used = one.share("used", pool.capacity, 0);
      backing.base_used += pool.capacity;
      add_backing(std::move(pool));
    }
    add_backing(std::move(backing));
  }

  static void read_rates(const MapReader& map, Backing& backing) {
    backing.read_rate = map.size("read_rate", backing.read_rate);
    backing.write_rate = map.size("write_rate", backing.write_rate);
  }

  void add_backing(Backing backing) {
    backing.key = backing_key_of(backing.kind, backing.node, backing.path);
    world_.backings.emplace(backing.key, std::move(backing));
  }

  // --- shared places
  void read_backends() {
    const MapReader map(problems_, file_.node("backends"), "backends");
    for (const auto& [name, yaml] : map.entries()) {
      const MapReader one(problems_, yaml, map.path_of(name),
                          {"kind", "size", "used", "shared", "read_rate", "write_rate", "failing"});
      Backing backing;
      backing.kind = one.one_of("kind", {"lvm-vg", "nfs", "cifs", "rbd", "iscsi", "dir"}, "");
      if (backing.kind.empty() && !one.has("kind")) problems_.add(one.mark(), map.path_of(name) + " needs 'kind'");
      backing.path = name;
      backing.capacity = one.size("size", 1LL << 40);
      backing.base_used = one.share("used", backing.capacity, 0);
      backing.failing = one.flag("failing", false);
      if (!one.flag("shared", true))
        problems_.add(one.mark_of("shared"), "backends are shared; local places belong to a node");
      if (backing.kind == "nfs" || backing.kind == "cifs" || backing.kind == "dir")
        backing.filesystem = backing.kind == "dir" ? "ext4" : backing.kind;
      read_rates(one, backing);
      world_.backends.emplace(name, std::move(backing));
    }
  }

  // --- storage.cfg
  void read_storages() {
    const MapReader map(problems_, file_.node("storages"), "storages");
    for (const auto& [id, yaml] : map.entries()) {
      if (!check_format("pve-storage-id", id).empty())
        problems_.add(yaml.Mark(), "'" + id + "' is no valid storage id");
      const MapReader one(problems_, yaml, map.path_of(id));
      StorageDef def;
      def.id = id;
      def.type = one.required_text("type");
      for (const auto& [key, value] : one.entries()) {
        if (key == "type") continue;
        if (auto text = stored_text(problems_, value, one.path_of(key))) def.values[key] = *text;
      }
      for (const char* key : {"content", "nodes"})
        if (const auto list = def.values.find(key); list != def.values.end()) {
          std::vector<std::string> items = split_list(list->second);
          std::sort(items.begin(), items.end());
          list->second.clear();
          for (const std::string& item : items) list->second += (list->second.empty() ? "" : ",") + item;
          if (std::string_view(key) == "nodes")
            for (const std::string& node : items)
              if (!world_.nodes.contains(node))
                problems_.add(one.mark_of(key), one.path_of(key) + " names unknown node '" + node + "'");
        }
      check_storage(one, def);
      // Fact: PVE writes the mount point of network file systems into the section.
      if (def.type == "nfs" || def.type == "cifs") def.values.try_emplace("path", "/mnt/pve/" + id);
      world_.storages.push_back(def);
      if (const std::string problem = attach_storage(world_, def); !problem.empty())
        problems_.add(one.mark(), map.path_of(id) + ": " + problem);
    }
    const bool has_local = std::any_of(world_.storages.begin(), world_.storages.end(),
                                       [](const StorageDef& def) { return def.id == "local"; });
    if (has_local) return;
    // Fact: `local` exists even when storage.cfg does not have it.
    StorageDef local{"local",
                     "dir",
                     {{"path", "/var/lib/vz"},
                      {"content", "backup,images,iso,rootdir,snippets,vztmpl"},
                      {"prune-backups", "keep-all=1"}}};
    world_.storages.insert(world_.storages.begin(), local);
    (void)attach_storage(world_, local);
  }

  /// The section is checked as POST /storage would check it.
  void check_storage(const MapReader& map, const StorageDef& def) {
    WireParams given;
    given["storage"].text = def.id;
    given["type"].text = def.type;
    for (const auto& [key, value] : def.values) given[key].text = value;
    check_against("POST", "/storage", given, map, {});
  }

  void check_against(const std::string& verb, const std::string& path, const WireParams& given, const MapReader& map,
                     const std::vector<std::string>& extra) {
    const MethodTable& methods = all_methods();
    const auto method = std::find_if(methods.begin(), methods.end(),
                                     [&](const MethodSpec& one) { return one.verb == verb && one.path == path; });
    if (method == methods.end()) return;
    WireParams checked = given;
    for (const std::string& key : extra) checked.erase(key);
    ParamErrors errors;
    (void)check_params(*method, checked, errors);
    for (const auto& [key, text] : errors) {
      std::string problem = text.substr(0, text.find_last_not_of('\n') + 1);
      std::replace(problem.begin(), problem.end(), '\n', ' ');
      if (problem.rfind("property is not defined", 0) == 0) {
        std::vector<std::string> known;
        for (const ParamSpec& spec : method->params) known.push_back(spec.name.substr(0, spec.name.find('[')));
        if (const std::string hint = nearest(key, known); !hint.empty()) problem += "; did you mean '" + hint + "'?";
      }
      problems_.add(map.mark_of(key), map.path_of(key) + ": " + problem);
    }
  }

  // --- guests
  void read_vms() {
    const MapReader map(problems_, file_.node("vms"), "vms");
    for (const auto& [id, yaml] : map.entries()) {
      if (!check_format("pve-vmid", id).empty()) {
        problems_.add(yaml.Mark(), "'" + id + "' is no valid VM id (100 … 999999999)");
        continue;
      }
      read_vm(std::stoi(id), yaml, map.path_of(id));
    }
  }

  Section read_section(const YAML::Node& yaml, const std::string& what) {
    Section section;
    const MapReader map(problems_, yaml, what);
    for (const auto& [key, value] : map.entries())
      if (auto text = stored_text(problems_, value, map.path_of(key))) section[key] = *text;
    return section;
  }

  void check_section(const YAML::Node& yaml, const std::string& what, const Section& section) {
    const MapReader map(problems_, yaml, what);
    WireParams given;
    std::vector<std::string> extra = {"meta",           "parent",     "lock",       "snaptime", "vmstate",
                                      "runningmachine", "runningcpu", "cipassword", "template"};
    for (const auto& [key, value] : section) {
      given[key].text = value;
      // Fact: PVE itself writes a blank boot order where nothing can be booted from, and would not take one.
      if (key.rfind("unused", 0) == 0 || (key == "boot" && value == " ")) extra.push_back(key);
    }
    given["node"].text = world_.first_node;
    given["vmid"].text = "100";
    check_against("PUT", "/nodes/{node}/qemu/{vmid}/config", given, map, extra);
  }

  void read_vm(int vmid, const YAML::Node& yaml, const std::string& what) {
    const MapReader map(problems_, yaml, what,
                        {"node", "status", "config", "pending", "pending_delete", "snapshots", "zvols", "template",
                         "agent_runs", "ignores_shutdown", "write_rate"});
    Vm vm;
    vm.vmid = vmid;
    vm.node = map.text("node", world_.first_node);
    if (!world_.nodes.contains(vm.node)) {
      problems_.add(map.mark_of("node"), map.path_of("node") + " names unknown node '" + vm.node + "'");
      return;
    }
    vm.guest_agent = map.flag("agent_runs", true);
    vm.ignores_shutdown = map.flag("ignores_shutdown", false);
    vm.write_rate = static_cast<double>(map.size("write_rate", 0));
    vm.config.values = read_section(map.node("config"), map.path_of("config"));
    check_section(map.node("config"), map.path_of("config"), vm.config.values);
    if (map.flag("template", false)) vm.config.values["template"] = "1";
    fill_in(vm);
    vm.config.pending = read_section(map.node("pending"), map.path_of("pending"));
    check_section(map.node("pending"), map.path_of("pending"), vm.config.pending);
    for (const YAML::Node& item : sequence(problems_, map.node("pending_delete"), map.path_of("pending_delete")))
      if (item.IsScalar()) {
        const std::string key = item.Scalar();
        const bool force = key.rfind('!', 0) == 0;
        vm.config.pending_delete[force ? key.substr(1) : key] = force;
      }
    const MapReader snapshots(problems_, map.node("snapshots"), map.path_of("snapshots"));
    for (const auto& [name, snapshot] : snapshots.entries()) {
      const MapReader one(problems_, snapshot, snapshots.path_of(name),
                          {"snaptime", "parent", "description", "config"});
      if (!is_config_id(name)) problems_.add(one.mark(), "'" + name + "' is no valid snapshot name");
      Section section = one.has("config") ? read_section(one.node("config"), one.path_of("config")) : vm.config.values;
      section.erase("parent");
      section["snaptime"] = std::to_string(one.integer("snaptime", world_.now_seconds() - 3600, 0, kMuch));
      for (const char* key : {"parent", "description"})
        if (one.has(key)) section[key] = one.text(key);
      vm.config.snapshots.emplace(name, std::move(section));
    }
    read_zvols(map, vm);
    const std::string status = map.one_of("status", {"running", "stopped"}, "stopped");
    if (status == "running" && vm.config.values.contains("template"))
      problems_.add(map.mark_of("status"), what + ": a template cannot run");
    const auto placed = world_.vms.emplace(vmid, std::move(vm)).first;
    if (const std::string problem = place_vm_volumes(world_, placed->second, zvols_); !problem.empty())
      problems_.add(map.mark(), what + ": " + problem);
    if (status == "running") begin_running(world_, placed->second);
  }

  /// What PVE adds to every guest at creation.
  void fill_in(Vm& vm) {
    Section& values = vm.config.values;
    if (!values.contains("smbios1")) values["smbios1"] = "uuid=" + world_.random_uuid();
    if (!values.contains("vmgenid")) values["vmgenid"] = world_.random_uuid();
    if (!values.contains("meta"))
      values["meta"] = "creation-qemu=" + world_.nodes.at(vm.node).qemu_version +
                       ",ctime=" + std::to_string(world_.now_seconds() - std::int64_t{30} * 86400);
    for (auto& [key, value] : values) {
      if (key.rfind("net", 0) != 0 || key.size() < 4 || std::isdigit(static_cast<unsigned char>(key[3])) == 0) continue;
      const auto comma = std::min(value.find(','), value.size());
      std::string model = value.substr(0, comma);
      if (model.rfind("model=", 0) == 0) model = model.substr(6);
      if (model.find('=') == std::string::npos) value = model + "=" + world_.random_mac() + value.substr(comma);
    }
  }

  void read_zvols(const MapReader& vm, const Vm& guest) {
    zvols_.clear();
    const MapReader map(problems_, vm.node("zvols"), vm.path_of("zvols"));
    for (const auto& [name, yaml] : map.entries()) {
      const MapReader one(problems_, yaml, map.path_of(name),
                          {"size", "volblocksize", "refreservation", "used", "properties"});
      const std::string text = render_vm_config(guest.config);
      if (text.find(name) == std::string::npos)
        problems_.add(one.mark(), map.path_of(name) + " is no volume of this VM");
      VolumeProperties properties = read_properties(one, 0);
      if (one.has("size")) properties.size = one.size("size", 0);
      properties.own = texts_of(MapReader(problems_, one.node("properties"), one.path_of("properties")).entries());
      zvols_.emplace(name, std::move(properties));
    }
  }

  VolumeProperties read_properties(const MapReader& map, std::int64_t size) {
    VolumeProperties properties;
    if (map.has("volblocksize")) properties.volblocksize = map.size("volblocksize", 0);
    if (map.has("refreservation")) {
      const std::string text = map.text("refreservation");
      if (text == "auto")
        properties.refreservation = -1;
      else if (text == "none")
        properties.refreservation = 0;
      else
        properties.refreservation = map.size("refreservation", 0);
    }
    if (map.has("used")) {
      const std::string text = map.text("used");
      if (!text.empty() && text.back() == '%')
        properties.used_share = static_cast<double>(map.share("used", 1000000, 0)) / 1000000.0;
      else
        properties.used = map.share("used", size, 0);
    }
    return properties;
  }

  void read_volumes() {
    for (const YAML::Node& item : sequence(problems_, file_.node("volumes"), "volumes")) {
      const MapReader map(
          problems_, item, "volumes",
          {"storage", "node", "volume", "size", "used", "volblocksize", "refreservation", "notes", "protected"});
      const std::string storage = map.required_text("storage");
      const std::string name = map.required_text("volume");
      const std::string node = map.text("node", world_.first_node);
      const std::int64_t size = map.size("size", 1LL << 30);
      if (!world_.nodes.contains(node)) {
        problems_.add(map.mark_of("node"), "volumes.node names unknown node '" + node + "'");
        continue;
      }
      VolumeProperties properties = read_properties(map, size);
      properties.notes = map.text("notes");
      properties.is_protected = map.flag("protected", false);
      if (storage.empty() || name.empty()) continue;
      if (const std::string problem = place_volume(world_, storage, node, name, size, properties); !problem.empty())
        problems_.add(map.mark(), "volumes: " + problem);
    }
  }

  // --- users and rights
  void read_access() {
    AccessTables& tables = world_.access;
    if (!file_.has("users")) {
      User& root = tables.users["root@pam"];
      root.password = "secret";
      ApiToken token;
      token.secret = "11111111-2222-3333-4444-555555555555";
      token.privsep = false;
      root.tokens.emplace("ci", std::move(token));
    }
    for (const YAML::Node& item : sequence(problems_, file_.node("users"), "users")) {
      const MapReader map(problems_, item, "users",
                          {"name", "password", "comment", "email", "enable", "expire", "tokens"});
      const std::string name = map.required_text("name");
      if (const std::string error = check_format("pve-userid", name); !name.empty() && !error.empty())
        problems_.add(map.mark_of("name"), "users.name: " + error.substr(0, error.size() - 1));
      User& user = tables.users[name];
      user.password = map.text("password");
      user.enable = map.flag("enable", true);
      user.expire = map.integer("expire", 0, 0, kMuch);
      for (const char* key : {"comment", "email"})
        if (map.has(key)) user.texts[key] = map.text(key);
      for (const YAML::Node& one : sequence(problems_, map.node("tokens"), "users.tokens")) {
        const MapReader token_map(problems_, one, "users.tokens", {"id", "secret", "privsep", "comment", "expire"});
        ApiToken token;
        token.secret = token_map.required_text("secret");
        token.privsep = token_map.flag("privsep", true);
        token.comment = token_map.text("comment");
        token.expire = token_map.integer("expire", 0, 0, kMuch);
        user.tokens[token_map.required_text("id")] = std::move(token);
      }
    }
    const MapReader groups(problems_, file_.node("groups"), "groups");
    for (const auto& [name, yaml] : groups.entries()) {
      const MapReader map(problems_, yaml, groups.path_of(name), {"comment", "users"});
      Group& group = tables.groups[name];
      group.comment = map.text("comment");
      for (const YAML::Node& item : sequence(problems_, map.node("users"), map.path_of("users"))) {
        if (!item.IsScalar() || !tables.users.contains(item.Scalar()))
          problems_.add(item.Mark(), map.path_of("users") + " names an unknown user");
        else
          group.users.insert(item.Scalar());
      }
    }
    const MapReader roles(problems_, file_.node("roles"), "roles");
    for (const auto& [name, yaml] : roles.entries()) {
      const auto text = stored_text(problems_, yaml, roles.path_of(name));
      if (is_builtin_role(name)) problems_.add(yaml.Mark(), "'" + name + "' is a built-in role");
      for (const std::string& privilege : split_list(text.value_or(""))) {
        if (!is_privilege(privilege))
          problems_.add(yaml.Mark(), roles.path_of(name) + ": unknown privilege '" + privilege + "'");
        tables.roles[name].insert(privilege);
      }
    }
    for (const YAML::Node& item : sequence(problems_, file_.node("acl"), "acl")) read_acl(item);
  }

  void read_acl(const YAML::Node& item) {
    const MapReader map(problems_, item, "acl", {"path", "user", "group", "token", "role", "propagate"});
    AccessTables& tables = world_.access;
    const std::string path = normalize_acl_path(map.required_text("path"));
    if (map.has("path") && (path.empty() || !is_acl_path(path)))
      problems_.add(map.mark_of("path"), "acl.path is no path an ACL can be set on");
    const std::string role = map.required_text("role");
    if (!role.empty() && !tables.roles.contains(role)) {
      std::vector<std::string> known;
      for (const auto& [name, privileges] : tables.roles) known.push_back(name);
      const std::string hint = nearest(role, known);
      problems_.add(map.mark_of("role"),
                    "unknown role '" + role + "'" + (hint.empty() ? "" : "; did you mean '" + hint + "'?"));
    }
    const int subjects = int{map.has("user")} + int{map.has("group")} + int{map.has("token")};
    if (subjects != 1) problems_.add(map.mark(), "acl needs exactly one of user, group and token");
    const bool propagate = map.flag("propagate", true);
    AclNode& node = tables.acl[path];
    if (const std::string user = map.text("user"); !user.empty()) {
      if (!tables.users.contains(user))
        problems_.add(map.mark_of("user"), "acl.user names unknown user '" + user + "'");
      node.users[user][role] = propagate;
    }
    if (const std::string group = map.text("group"); !group.empty()) {
      if (!tables.groups.contains(group))
        problems_.add(map.mark_of("group"), "acl.group names unknown group '" + group + "'");
      node.groups[group][role] = propagate;
    }
    if (const std::string token = map.text("token"); !token.empty()) {
      const auto mark = token.rfind('!');
      const auto owner = tables.users.find(token.substr(0, mark));
      if (mark == std::string::npos || owner == tables.users.end() ||
          !owner->second.tokens.contains(token.substr(mark + 1)))
        problems_.add(map.mark_of("token"), "acl.token names unknown token '" + token + "'");
      node.tokens[token][role] = propagate;
    }
  }

  // --- HA, replication, pools, mappings, datacenter
  void read_ha() {
    const MapReader map(problems_, file_.node("ha"), "ha", {"resources", "rules", "disarmed"});
    world_.ha_disarmed = map.flag("disarmed", false);
    const MapReader resources(problems_, map.node("resources"), "ha.resources");
    for (const auto& [sid, yaml] : resources.entries()) {
      const MapReader one(problems_, yaml, resources.path_of(sid),
                          {"state", "max_restart", "max_relocate", "failback", "comment"});
      HaResource resource;
      resource.sid = sid;
      const std::string number = sid.rfind("vm:", 0) == 0 ? sid.substr(3) : std::string{};
      if (!is_integer_text(number) || number.size() > 9 || !world_.vms.contains(std::stoi(number)))
        problems_.add(one.mark(), "ha.resources: '" + sid + "' is no VM of this file (vm:ID)");
      for (const auto& [key, value] : one.entries())
        if (auto text = stored_text(problems_, value, one.path_of(key))) resource.values[key] = *text;
      (void)one.one_of("state", {"started", "stopped", "disabled", "ignored"}, "started");
      world_.ha_resources.emplace(sid, std::move(resource));
    }
    const MapReader rules(problems_, map.node("rules"), "ha.rules");
    for (const auto& [id, yaml] : rules.entries()) {
      const MapReader one(problems_, yaml, rules.path_of(id),
                          {"type", "resources", "nodes", "strict", "affinity", "disable", "comment"});
      HaRule rule;
      rule.id = id;
      rule.type = one.one_of("type", {"node-affinity", "resource-affinity"}, "node-affinity");
      for (const auto& [key, value] : one.entries())
        if (key != "type")
          if (auto text = stored_text(problems_, value, one.path_of(key))) rule.values[key] = *text;
      for (const std::string& sid : split_list(rule.values["resources"]))
        if (!world_.ha_resources.contains(sid))
          problems_.add(one.mark_of("resources"),
                        one.path_of("resources") + " names '" + sid + "', which is not HA managed");
      world_.ha_rules.push_back(std::move(rule));
    }
    if (!world_.ha_resources.empty()) world_.ha_changed();
  }

  void read_replication() {
    const MapReader map(problems_, file_.node("replication"), "replication");
    for (const auto& [id, yaml] : map.entries()) {
      const MapReader one(problems_, yaml, map.path_of(id),
                          {"target", "schedule", "rate", "disable", "comment", "source"});
      if (!check_format("pve-replication-job-id", id).empty()) {
        problems_.add(one.mark(), "'" + id + "' is no replication job id (VMID-N)");
        continue;
      }
      ReplicationJob job;
      job.id = id;
      job.vmid = std::stoi(id.substr(0, id.find('-')));
      const auto vm = world_.vms.find(job.vmid);
      if (vm == world_.vms.end()) {
        problems_.add(one.mark(), map.path_of(id) + " belongs to no VM of this file");
        continue;
      }
      for (const auto& [key, value] : one.entries())
        if (auto text = stored_text(problems_, value, one.path_of(key))) job.values[key] = *text;
      const std::string target = one.required_text("target");
      if (!target.empty() && !world_.nodes.contains(target))
        problems_.add(one.mark_of("target"), one.path_of("target") + " names unknown node '" + target + "'");
      job.values.try_emplace("source", vm->second.node);
      world_.replication.emplace(id, std::move(job));
    }
  }

  void read_pools() {
    const MapReader map(problems_, file_.node("pools"), "pools");
    for (const auto& [id, yaml] : map.entries()) {
      const MapReader one(problems_, yaml, map.path_of(id), {"comment", "vms", "storages"});
      Pool pool;
      pool.id = id;
      pool.comment = one.text("comment");
      for (const YAML::Node& item : sequence(problems_, one.node("vms"), one.path_of("vms"))) {
        if (!item.IsScalar() || !is_integer_text(item.Scalar()) || item.Scalar().size() > 9)
          problems_.add(item.Mark(), one.path_of("vms") + " must list VM ids");
        else
          pool.vms.insert(std::stoi(item.Scalar()));
      }
      for (const YAML::Node& item : sequence(problems_, one.node("storages"), one.path_of("storages")))
        if (item.IsScalar()) pool.storages.insert(item.Scalar());
      world_.pools.emplace(id, std::move(pool));
    }
  }

  void read_mappings() {
    const MapReader map(problems_, file_.node("mappings"), "mappings", {"pci"});
    const MapReader pci(problems_, map.node("pci"), "mappings.pci");
    for (const auto& [id, yaml] : pci.entries()) {
      const MapReader one(problems_, yaml, pci.path_of(id), {"map", "description", "live-migration-capable", "mdev"});
      Mapping mapping;
      mapping.id = id;
      for (const auto& [key, value] : one.entries())
        if (key != "map")
          if (auto text = stored_text(problems_, value, one.path_of(key))) mapping.values[key] = *text;
      for (const YAML::Node& item : sequence(problems_, one.node("map"), one.path_of("map")))
        if (item.IsScalar()) mapping.map.push_back(item.Scalar());
      if (mapping.map.empty()) problems_.add(one.mark(), pci.path_of(id) + " needs 'map' with at least one device");
      world_.pci_mappings.emplace(id, std::move(mapping));
    }
  }

  void read_datacenter() {
    const MapReader map(problems_, file_.node("datacenter"), "datacenter");
    WireParams given;
    for (const auto& [key, value] : map.entries())
      if (auto text = stored_text(problems_, value, map.path_of(key))) {
        world_.datacenter[key] = *text;
        given[key].text = *text;
      }
    MethodTable table;
    add_cluster_methods(table);
    for (const MethodSpec& method : table) {
      if (method.verb != "PUT" || method.path != "/cluster/options") continue;
      ParamErrors errors;
      (void)check_params(method, given, errors);
      for (const auto& [key, text] : errors)
        problems_.add(map.mark_of(key), map.path_of(key) + ": " + text.substr(0, text.find_last_not_of('\n') + 1));
    }
  }

  Problems& problems_;
  MapReader file_;
  World& world_;
  std::map<std::string, VolumeProperties> zvols_ = {};  // of the VM being read
  int disks_ = 1;
};

}  // namespace

struct ClusterFile::Document {
  std::string name = {};
  YAML::Node root = {};
};

ClusterFile::ClusterFile(const std::string& yaml, std::string name) : document_(std::make_unique<Document>()) {
  document_->name = std::move(name);
  Problems problems(document_->name);
  try {
    document_->root = YAML::Load(yaml);
  } catch (const YAML::ParserException& error) {
    problems.add(error.mark, error.msg);
    throw ClusterFileError(problems.all());
  }
  if (!document_->root.IsMap()) {
    problems.add(document_->root.Mark(), "a cluster file is a mapping");
    throw ClusterFileError(problems.all());
  }
  const YAML::Node cluster = document_->root["cluster"];
  const MapReader map(problems, cluster ? cluster : YAML::Node(), "cluster", {"name", "seed", "clock_scale"});
  settings_.seed = static_cast<std::uint64_t>(map.integer("seed", 1, 0, kMuch));
  settings_.clock_scale = map.number("clock_scale", 60, 0.001, 1e6);
  if (const YAML::Node faults = document_->root["faults"])
    for (const YAML::Node& item : sequence(problems, faults, "faults"))
      settings_.faults.push_back(read_fault(problems, item, "faults"));
  if (const YAML::Node random = document_->root["random_faults"]) settings_.random = read_random(problems, random);
  if (!problems.all().empty()) throw ClusterFileError(problems.all());
}

ClusterFile::~ClusterFile() = default;

void ClusterFile::apply(World& world) const {
  Problems problems(document_->name);
  Loader(problems, document_->root, world).run();
  if (!problems.all().empty()) throw ClusterFileError(problems.all());
}

}  // namespace pvesim
