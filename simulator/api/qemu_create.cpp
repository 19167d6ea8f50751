// POST /nodes/N/qemu and DELETE /nodes/N/qemu/ID (qemu-server 9.2).

#include <algorithm>

#include "simulator/api/guest.h"
#include "simulator/api/qemu_actions.h"
#include "simulator/api/spec_text.h"
#include "simulator/api/support.h"
#include "simulator/wire/access.h"
#include "simulator/wire/formats.h"
#include "simulator/world/running.h"
#include "simulator/world/text.h"
#include "simulator/world/vm_config.h"

namespace pvesim {
namespace {

using nlohmann::json;

bool is_create_key(std::string_view key) {
  static constexpr std::string_view kOther[] = {"node",  "vmid",    "storage",      "pool",
                                                "start", "bwlimit", "ha-managed",   "archive",
                                                "force", "unique",  "live-restore", "import-working-storage"};
  return std::find(std::begin(kOther), std::end(kOther), key) == std::end(kOther);
}

struct Create {
  int vmid = 0;
  std::string node = {}, storage = {}, pool = {}, auth_id = {};
  Section set = {};
  bool start = false, ha = false;
  std::int64_t bwlimit = 0;
};

void check_create_permission(Call& call) {
  const std::string vmid = text_or(call.params, "vmid", "");
  const std::string pool = text_or(call.params, "pool", "");
  // Fact: without rights on the guest the right on the pool is enough.
  if (!pool.empty()) {
    if (!call.world.pools.contains(pool))
      throw ApiError{.status = 403, .message = "Permission check failed (pool '" + pool + "' does not exist)"};
    if (has_privilege(call, "/pool/" + pool, "VM.Allocate")) return;
  }
  // Fact: which of the two rights is missing is not said.
  if (!has_privilege(call, "/vms/" + vmid, "VM.Allocate"))
    throw ApiError{.status = 403, .message = "Permission check failed"};
}

bool is_windows(const std::string& os) {
  return os == "wxp" || os == "w2k" || os == "w2k3" || os == "w2k8" || os == "wvista" || starts_with(os, "win");
}

/// What PVE adds to every new guest.
void add_defaults(World& world, const std::string& node, Section& values) {
  const std::string version = world.nodes.at(node).qemu_version;
  if (!values.contains("vmgenid")) values["vmgenid"] = world.random_uuid();
  if (config_value(values, "vmgenid") == "1") values["vmgenid"] = world.random_uuid();
  // Fact: only an absent smbios1 is made up; one without uuid stays without.
  if (!values.contains("smbios1")) values["smbios1"] = "uuid=" + world.random_uuid();
  values["meta"] = "creation-qemu=" + version + ",ctime=" + std::to_string(world.now_seconds());
  const std::string machine = config_value(values, "machine", "pc");
  // Fact: Windows guests are pinned to the present machine version.
  if (is_windows(config_value(values, "ostype")) && (machine == "pc" || machine == "q35")) {
    const std::string release = version.substr(0, version.find('.', version.find('.') + 1));
    values["machine"] = (machine == "q35" ? "pc-q35-" : "pc-i440fx-") + release;
  }
}

std::shared_ptr<Create> read_create(Call& call) {
  World& world = call.world;
  check_create_permission(call);
  auto create = std::make_shared<Create>();
  create->vmid = call_vmid(call);
  create->node = call.node;
  create->storage = text_or(call.params, "storage", "");
  create->pool = text_or(call.params, "pool", "");
  create->auth_id = call.session.auth_id();
  create->start = flag_or(call.params, "start", false);
  create->ha = flag_or(call.params, "ha-managed", false);
  create->bwlimit = integer_or(call.params, "bwlimit", 0);
  if (given(call.params, "archive")) {
    for (const auto& [key, value] : call.params)
      if (is_drive_name(key)) fail_param("archive", "option conflicts with option '" + key + "'");
    fail("can't find archive file '" + call.params.at("archive") + "'");
  }
  for (const auto& [key, value] : call.params)
    if (is_create_key(key)) create->set[key] = value;
  auto& set = create->set;
  if (const auto keys = set.find("sshkeys"); keys != set.end() && !valid_ssh_keys(keys->second))
    fail("SSH public key validation error");
  world.require_quorum();
  if (!create->storage.empty()) require_privilege(call, "/storage/" + create->storage, "Datastore.AllocateSpace");
  // Fact: the start is asked about here because its own check does not run.
  if (create->start && (create->pool.empty() || !has_privilege(call, "/pool/" + create->pool, "VM.PowerMgmt")))
    require_privilege(call, "/vms/" + std::to_string(create->vmid), "VM.PowerMgmt");
  if (create->ha) require_privilege(call, "/", "Sys.Console");
  if (const auto cdrom = set.find("cdrom"); cdrom != set.end()) {
    set["ide2"] = cdrom->second;
    set.erase("cdrom");
  }
  for (auto& [key, value] : set) {
    check_option_rights(call, create->vmid, key, value, {.creates = true, .pool = create->pool});
    if (key == "cpu") check_cpu_model(call, value, "");
    if (is_drive_name(key)) {
      check_drive_access(call, create->vmid, key, value, create->storage);
      value = checked_drive(world, create->vmid, key, value);
    }
    if (bus_of(key) == "net" && key != "net")
      if (auto net = parse_net(value)) {
        if (!net->contains("macaddr")) (*net)["macaddr"] = world.random_mac();
        value = print_net(*net);
      }
    if (key == "tags") value = stored_tags(world, value);
    if (key == "cipassword" && !starts_with(value, "$")) value = "$5$" + world.random_hex(8) + "$" + digest_of(value);
    if (key == "cpuunits") value = std::to_string(std::min<std::int64_t>(std::stoll(value), 10000));
  }
  if (set.contains("balloon") && config_number(set, "balloon", 0) > memory_mib(set))
    fail("balloon value too large (must be smaller than assigned memory)");
  return create;
}

std::shared_ptr<Work> create_work(World& world, const std::shared_ptr<Create>& create) {
  auto work = std::make_shared<Work>(world);
  Work* raw = work.get();
  auto allocated = std::make_shared<std::vector<std::string>>();
  const std::string prefix = "unable to create VM " + std::to_string(create->vmid) + " - ";
  work->on_failure([&world, create, allocated, prefix](ApiError& error) {
    free_all(world, create->node, allocated);
    world.vms.erase(create->vmid);
    if (!create->pool.empty()) world.pools[create->pool].vms.erase(create->vmid);
    error.message = prefix + error.message;
  });
  work->lock(vm_lock_file(create->vmid), std::chrono::seconds(1));
  // Fact: drives are made in the order of their keys.
  for (const auto& [key, value] : create->set)
    if (is_drive_name(key)) {
      DiskRequest request;
      request.vmid = create->vmid;
      request.node = create->node;
      request.slot = key;
      request.value = value;
      request.default_storage = create->storage;
      request.bwlimit = create->bwlimit;
      add_disk_steps(work, request, allocated,
                     [create, slot = key](const std::string& stored) { create->set[slot] = stored; });
    }
  work->takes("finish", std::chrono::milliseconds(300), [raw, create, allocated] {
    World& w = raw->world();
    Vm& vm = w.vm_on(create->node, create->vmid);
    Section values = create->set;
    add_defaults(w, create->node, values);
    if (!values.contains("boot")) values["boot"] = default_boot(values);
    for (const std::string& device : boot_order(values))
      if (starts_with(values.at("boot"), "order=") && !values.contains(device))
        fail("invalid bootorder: device '" + device + "' does not exist'");
    vm.config.values = std::move(values);
    write_config(vm);
    allocated->clear();
    if (create->ha) {
      HaResource resource;
      resource.sid = "vm:" + std::to_string(create->vmid);
      resource.values["state"] = create->start ? "started" : "stopped";
      w.ha_resources.emplace(resource.sid, resource);
      w.ha_changed();
    }
    // Fact: the start is a task of its own; this one ends OK whatever becomes of it.
    if (create->start && !create->ha)
      w.after(std::chrono::milliseconds(100), [&w, create] {
        if (w.find_vm(create->vmid) != nullptr)
          w.start_task(create->node, "qmstart", std::to_string(create->vmid), create->auth_id,
                       start_work(w, create->vmid));
      });
  });
  return work;
}

json create_vm(Call& call) {
  World& world = call.world;
  auto create = read_create(call);
  if (const Vm* other = world.find_vm(create->vmid))
    fail("unable to create VM " + std::to_string(create->vmid) + " - VM " + std::to_string(create->vmid) +
         " already exists on node '" + other->node + "'");
  // Fact: the file with the lock exists before the task starts.
  Vm vm;
  vm.vmid = create->vmid;
  vm.node = create->node;
  vm.config.values["lock"] = "create";
  world.vms.emplace(create->vmid, std::move(vm));
  if (!create->pool.empty()) world.pools[create->pool].vms.insert(create->vmid);
  return world.start_task(call.node, "qmcreate", std::to_string(create->vmid), call.session.auth_id(),
                          create_work(world, create));
}

struct Destroy {
  int vmid = 0;
  std::string node = {};
  bool purge = false, unreferenced = false, skip_lock = false;
};

void check_destroy(World& world, const Destroy& destroy) {
  Vm& vm = world.vm_on(destroy.node, destroy.vmid);
  const std::string id = std::to_string(destroy.vmid);
  if (config_value(vm.config.values, "protection") == "1") fail("can't remove VM " + id + " - protection mode enabled");
  if (world.ha_resources.contains("vm:" + id) && !destroy.purge)
    fail("unable to remove VM " + id + " - used in HA resources and purge parameter not set.");
  if (world.replicated(destroy.vmid) && !destroy.purge)
    fail("unable to remove VM " + id + " - replication job exists and purge parameter not set.");
  if (vm.running) fail("VM " + id + " is running - destroy failed");
}

void destroy_volumes(Work& work, const Destroy& destroy) {
  World& world = work.world();
  Vm& vm = world.vm_on(destroy.node, destroy.vmid);
  const Logger log = [&](const std::string& line) { work.log(line); };
  std::vector<std::string> volids;
  const auto collect = [&](const Section& section) {
    for (const Drive& drive : drives_of(section, true)) {
      if (drive.is_cdrom() && !drive.is_cloudinit()) continue;
      if (drive.has_volume() && std::find(volids.begin(), volids.end(), drive.file) == volids.end())
        volids.push_back(drive.file);
    }
    if (const std::string state = config_value(section, "vmstate"); !state.empty()) volids.push_back(state);
  };
  collect(vm.config.values);
  collect(vm.config.pending);
  for (const auto& [name, section] : vm.config.snapshots) collect(section);
  if (config_value(vm.config.values, "template") == "1")
    for (const std::string& volid : volids)
      if (const auto found = find_volume(world, volid, vm.node); found && has_clones(world, *found))
        fail("base volume '" + volid + "' is still in use by linked cloned");
  for (const std::string& volid : volids) {
    const auto id = parse_volume_id(volid);
    if (world.find_storage(id->storage) == nullptr) {
      work.warn("failed to get path and owner of volume '" + volid + "': storage '" + id->storage + "' does not exist");
      continue;
    }
    if (!owns_volume(world, vm, volid)) continue;
    try {
      free_volume(world, vm.node, volid, log);
    } catch (const ApiError& error) {
      work.warn("Could not remove disk '" + volid + "': " + error.message);
    }
  }
  if (!destroy.unreferenced) return;
  for (const StorageDef& storage : world.storages) {
    if (!storage_enabled(storage) || !on_node(storage, vm.node) || !has_content(storage, "images")) continue;
    const Backing* backing = backing_of(world, storage, vm.node);
    if (backing == nullptr) continue;
    std::vector<std::string> mine;
    for (const auto& [key, volume] : backing->volumes)
      if (const std::string volid = volume_id(storage, volume); owns_volume(world, vm, volid)) mine.push_back(volid);
    for (const std::string& volid : mine) {
      try {
        free_volume(world, vm.node, volid, log);
      } catch (const ApiError& error) {
        work.warn("Could not remove disk '" + volid + "': " + error.message);
      }
    }
  }
}

json destroy_vm(Call& call) {
  Destroy destroy;
  destroy.vmid = call_vmid(call);
  destroy.node = call.node;
  destroy.purge = flag_or(call.params, "purge", false);
  destroy.unreferenced = flag_or(call.params, "destroy-unreferenced-disks", false);
  destroy.skip_lock = root_only_flag(call, "skiplock");
  World& world = call.world;
  (void)call_vm(call);
  check_destroy(world, destroy);
  auto work = std::make_shared<Work>(world);
  Work* raw = work.get();
  work->lock(vm_lock_file(destroy.vmid), kFlockPatience);
  work->then("check", [raw, destroy] {
    World& w = raw->world();
    check_destroy(w, destroy);
    if (!destroy.skip_lock) require_unlocked(w.vm_on(destroy.node, destroy.vmid), "suspended");
  });
  work->takes("destroy", std::chrono::milliseconds(800), [raw, destroy] {
    World& w = raw->world();
    destroy_volumes(*raw, destroy);
    const std::string id = std::to_string(destroy.vmid);
    if (destroy.purge) {
      raw->log("purging VM " + id + " from related configurations..");
      const std::string sid = "vm:" + id;
      if (w.ha_resources.erase(sid) > 0) {
        for (HaRule& rule : w.ha_rules) {
          std::string left;
          for (const std::string& one : split_at(config_value(rule.values, "resources"), ','))
            if (one != sid) left += (left.empty() ? "" : ",") + one;
          rule.values["resources"] = left;
        }
        std::erase_if(w.ha_rules, [](const HaRule& rule) { return config_value(rule.values, "resources").empty(); });
      }
      for (auto& [job, one] : w.replication)
        if (one.vmid == destroy.vmid) one.values["remove_job"] = "full";
    }
    forget_vm(w, destroy.vmid);
    w.vms.erase(destroy.vmid);
  });
  return world.start_task(call.node, "qmdestroy", std::to_string(destroy.vmid), call.session.auth_id(), work);
}

}  // namespace

void add_qemu_create_methods(MethodTable& table) {
  MethodSpec create = qemu_specs().method("POST", "/nodes/{node}/qemu");
  create.handler = create_vm;
  table.push_back(std::move(create));
  MethodSpec destroy = qemu_specs().method("DELETE", "/nodes/{node}/qemu/{vmid}");
  destroy.permission = needs_privilege("/vms/{vmid}", "VM.Allocate");
  destroy.handler = destroy_vm;
  table.push_back(std::move(destroy));
}

}  // namespace pvesim
