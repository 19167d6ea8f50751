// Snapshots: list, create, delete, rollback, their config (qemu-server 9.2, guest-common 6.0).

#include <algorithm>

#include "simulator/api/guest.h"
#include "simulator/api/qemu_actions.h"
#include "simulator/api/spec_text.h"
#include "simulator/api/support.h"
#include "simulator/wire/formats.h"
#include "simulator/world/running.h"
#include "simulator/world/text.h"
#include "simulator/world/vm_config.h"

namespace pvesim {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

/// Drives a snapshot covers.
std::vector<Drive> snapshot_drives(const Section& values) {
  std::vector<Drive> out;
  for (Drive& drive : drives_of(values))
    if (drive.has_volume() && (!drive.is_cdrom() || drive.is_cloudinit())) out.push_back(std::move(drive));
  return out;
}

Section& snapshot_of(Vm& vm, const std::string& name) {
  const auto found = vm.config.snapshots.find(name);
  if (found == vm.config.snapshots.end()) fail("snapshot '" + name + "' does not exist");
  return found->second;
}

json list_snapshots(Call& call) {
  const Vm& vm = call_vm(call);
  json rows = json::array();
  for (const auto& [name, values] : vm.config.snapshots) {
    json row = {{"name", name},
                {"snaptime", config_number(values, "snaptime", 0)},
                {"vmstate", values.contains("vmstate") ? 1 : 0},
                {"description", config_value(values, "description")}};
    if (values.contains("parent")) row["parent"] = values.at("parent");
    if (values.contains("snapstate")) row["snapstate"] = values.at("snapstate");
    rows.push_back(std::move(row));
  }
  json current = {{"name", "current"},
                  {"digest", config_digest(vm)},
                  {"running", vm.running ? 1 : 0},
                  {"description", "You are here!"}};
  if (vm.config.values.contains("parent")) current["parent"] = vm.config.values.at("parent");
  rows.push_back(std::move(current));
  shuffle(call.world, rows);
  return rows;
}

void check_snapshot(World& world, const Vm& vm, const std::string& name, bool with_ram) {
  require_unlocked(vm);
  if (config_value(vm.config.values, "template") == "1") fail("you can't take a snapshot if it's a template");
  if (vm.config.snapshots.contains(name)) fail("snapshot name '" + name + "' already used");
  (void)with_ram;
  for (const Drive& drive : snapshot_drives(vm.config.values))
    if (!volume_has_feature(world, "snapshot", drive.file, vm.node)) fail("snapshot feature is not available");
}

json create_snapshot(Call& call) {
  const Vm& vm = call_vm(call);
  const std::string name = call.params.at("snapname");
  if (name == "current" || lower_case(name) == "pending")
    fail("unable to use snapshot name '" + name + "' (reserved name)");
  const int vmid = vm.vmid;
  const bool ram = flag_or(call.params, "vmstate", false) && vm.running;
  const std::string description = text_or(call.params, "description", "");
  auto work = std::make_shared<Work>(call.world);
  Work* raw = work.get();
  const std::string node = call.node;
  work->lock(vm_lock_file(vmid), kFlockPatience);
  work->then("prepare", [raw, vmid, node, name, ram, description] {
    World& world = raw->world();
    Vm& guest = world.vm_on(node, vmid);
    check_snapshot(world, guest, name, ram);
    guest.config.values["lock"] = "snapshot";
    Section copy;
    for (const auto& [key, value] : guest.config.values)
      if (!is_unused_name(key) && key != "lock" && key != "description") copy[key] = value;
    copy["snaptime"] = std::to_string(world.now_seconds());
    copy["snapstate"] = "prepare";
    if (!description.empty()) copy["description"] = description;
    if (guest.running) copy["runningmachine"] = guest.running->machine;
    guest.config.snapshots[name] = copy;
    write_config(guest);
    // Fact: the prepared section goes when the snapshot fails.
    raw->on_failure([raw, vmid, name](ApiError&) {
      if (Vm* left = raw->world().find_vm(vmid)) {
        for (const Drive& drive : snapshot_drives(left->config.values))
          if (const auto found = find_volume(raw->world(), drive.file, left->node))
            found->volume->snapshots.erase(name);
        left->config.snapshots.erase(name);
        left->config.values.erase("lock");
      }
    });
  });
  work->takes("snapshot", 500ms, [raw, vmid, node, name, ram] {
    World& world = raw->world();
    Vm& guest = world.vm_on(node, vmid);
    if (ram) {
      std::string storage = config_value(guest.config.values, "vmstatestorage");
      const auto drives = snapshot_drives(guest.config.values);
      if (storage.empty() && !drives.empty()) storage = parse_volume_id(drives.front().file)->storage;
      Allocation what;
      what.storage = storage.empty() ? "local" : storage;
      what.vmid = vmid;
      what.format = "raw";
      what.size = (memory_mib(guest.config.values) * 2 + 500) << 20;
      what.key = "state-" + name;
      guest.config.snapshots[name]["vmstate"] =
          allocate_volume(world, node, what, [raw](const std::string& line) { raw->log(line); });
    }
    for (const Drive& drive : snapshot_drives(guest.config.values)) {
      raw->log("snapshotting 'drive-" + drive.slot + "' (" + drive.file + ")");
      snapshot_volume(world, node, drive.file, name);
    }
  });
  work->then("commit", [raw, vmid, node, name] {
    Vm& guest = raw->world().vm_on(node, vmid);
    guest.config.snapshots[name].erase("snapstate");
    guest.config.values.erase("lock");
    guest.config.values["parent"] = name;
    write_config(guest);
  });
  return call.world.start_task(node, "qmsnapshot", std::to_string(vmid), call.session.auth_id(), work);
}

json delete_snapshot(Call& call) {
  const int vmid = call_vm(call).vmid;
  const std::string name = call.params.at("snapname");
  const std::string node = call.node;
  const bool force = flag_or(call.params, "force", false);
  auto work = std::make_shared<Work>(call.world);
  Work* raw = work.get();
  work->lock("/var/lock/pve-manager/pve-migrate-" + std::to_string(vmid), 10s);
  work->lock(vm_lock_file(vmid), kFlockPatience);
  work->then("prepare", [raw, vmid, node, name] {
    Vm& guest = raw->world().vm_on(node, vmid);
    (void)snapshot_of(guest, name);
    require_unlocked(guest);
    guest.config.values["lock"] = "snapshot-delete";
    guest.config.snapshots[name]["snapstate"] = "delete";
  });
  work->takes("delete", 500ms, [raw, vmid, node, name, force] {
    World& world = raw->world();
    Vm& guest = world.vm_on(node, vmid);
    Section snapshot = snapshot_of(guest, name);
    for (const Drive& drive : snapshot_drives(snapshot)) {
      try {
        delete_volume_snapshot(world, node, drive.file, name);
      } catch (const ApiError&) {
        if (!force) throw;
      }
    }
    if (const std::string state = config_value(snapshot, "vmstate"); !state.empty())
      free_volume(world, node, state, [](const std::string&) {});
    // Fact: volumes only the snapshot named become unused.
    const std::string parent = config_value(snapshot, "parent");
    guest.config.snapshots.erase(name);
    for (const Drive& drive : snapshot_drives(snapshot)) {
      const VolumeUse use = volume_use(guest.config, drive.file);
      if (!use.current && !use.snapshot && owns_volume(world, guest, drive.file))
        add_unused(guest.config.values, drive.file);
    }
    const auto reparent = [&](Section& values) {
      if (config_value(values, "parent") != name) return;
      if (parent.empty())
        values.erase("parent");
      else
        values["parent"] = parent;
    };
    for (auto& [other, values] : guest.config.snapshots) reparent(values);
    reparent(guest.config.values);
    guest.config.values.erase("lock");
    write_config(guest);
  });
  return call.world.start_task(node, "qmdelsnapshot", std::to_string(vmid), call.session.auth_id(), work);
}

json rollback(Call& call) {
  const int vmid = call_vm(call).vmid;
  const std::string name = call.params.at("snapname");
  const std::string node = call.node;
  const std::string auth = call.session.auth_id();
  const bool start = flag_or(call.params, "start", false);
  auto work = std::make_shared<Work>(call.world);
  Work* raw = work.get();
  work->lock("/var/lock/pve-manager/pve-migrate-" + std::to_string(vmid), 10s);
  work->lock(vm_lock_file(vmid), kFlockPatience);
  work->then("prepare", [raw, vmid, node, name] {
    Vm& guest = raw->world().vm_on(node, vmid);
    const Section& snapshot = snapshot_of(guest, name);
    require_unlocked(guest);
    if (config_value(guest.config.values, "template") == "1") fail("you can't rollback if vm is a template");
    if (snapshot.contains("snapstate"))
      fail("unable to rollback to incomplete snapshot (snapstate = " + snapshot.at("snapstate") + ")");
    guest.config.values["lock"] = "rollback";
    raw->on_failure([raw, vmid](ApiError&) {
      if (Vm* left = raw->world().find_vm(vmid)) left->config.values.erase("lock");
    });
  });
  work->takes("rollback", 800ms, [raw, vmid, node, name, start, auth] {
    World& world = raw->world();
    Vm& guest = world.vm_on(node, vmid);
    const Section snapshot = snapshot_of(guest, name);
    for (const Drive& drive : snapshot_drives(snapshot)) {
      const FoundVolume found = require_volume(world, drive.file, node);
      if (!found.volume->snapshots.contains(name))
        fail("zfs error: cannot open '" + found.backing->path + "/" + found.volume->name + "@" + name +
             "': dataset does not exist");
    }
    if (guest.running) end_qemu(world, guest);
    for (const Drive& drive : snapshot_drives(snapshot)) rollback_volume(world, node, drive.file, name);
    Section values;
    for (const auto& [key, value] : snapshot)
      if (key != "snaptime" && key != "vmstate" && key != "snapstate" && key != "description" && key != "parent" &&
          !starts_with(key, "running"))
        values[key] = value;
    // Facts: the description and the unused entries of now are kept; disks the snapshot does not know become unused.
    for (const auto& [key, value] : guest.config.values)
      if (is_unused_name(key) || key == "description") values[key] = value;
    const Section before = guest.config.values;
    guest.config.values = values;
    for (const Drive& drive : snapshot_drives(before)) {
      const VolumeUse use = volume_use(guest.config, drive.file);
      if (!use.current && owns_volume(world, guest, drive.file)) add_unused(guest.config.values, drive.file);
    }
    guest.config.values["parent"] = name;
    if (guest.config.values.contains("vmgenid")) guest.config.values["vmgenid"] = world.random_uuid();
    write_config(guest);
    const bool with_ram = snapshot.contains("vmstate");
    if (with_ram)
      begin_qemu(world, guest);
    else if (start)
      world.after(200ms, [&world, vmid, node, auth] {
        if (world.find_vm(vmid) != nullptr)
          world.start_task(node, "qmstart", std::to_string(vmid), auth, start_work(world, vmid));
      });
  });
  return call.world.start_task(node, "qmrollback", std::to_string(vmid), auth, work);
}

json snapshot_index(Call& call) {
  (void)call;
  return json::array({{{"cmd", "rollback"}}, {{"cmd", "config"}}});
}

json get_snapshot_config(Call& call) {
  const Section& values = snapshot_of(call_vm(call), call.params.at("snapname"));
  json out = json::object();
  static const MethodSpec kOptions = qemu_specs().method("PUT", "/nodes/{node}/qemu/{vmid}/config");
  for (const auto& [key, value] : values) {
    const std::string stem = bus_of(key);
    bool number = key == "snaptime";
    for (const ParamSpec& spec : kOptions.params)
      if (spec.name == key) number = number || spec.type == "integer" || spec.type == "boolean";
    if (number && is_integer_text(value))
      out[key] = std::stoll(value);
    else
      out[key] = key == "cipassword" ? "**********" : value;
  }
  return out;
}

json put_snapshot_config(Call& call) {
  Vm& vm = call_vm(call);
  require_unlocked(vm);
  Section& values = snapshot_of(vm, call.params.at("snapname"));
  if (const std::string* description = find_param(call.params, "description")) values["description"] = *description;
  write_config(vm);
  return nullptr;
}

}  // namespace

void add_qemu_snapshot_methods(MethodTable& table) {
  const std::string base = "/nodes/{node}/qemu/{vmid}/snapshot";
  const auto add = [&](const char* verb, const char* tail, const char* privs, Handler handler) {
    MethodSpec method = qemu_specs().method(verb, base + tail);
    if (*privs != 0) method.permission = needs_privilege("/vms/{vmid}", privs);
    method.handler = std::move(handler);
    table.push_back(std::move(method));
  };
  add("GET", "", "VM.Audit", list_snapshots);
  add("POST", "", "VM.Snapshot", create_snapshot);
  add("DELETE", "/{snapname}", "VM.Snapshot", delete_snapshot);
  add("GET", "/{snapname}", "", snapshot_index);
  add("GET", "/{snapname}/config", "VM.Snapshot|VM.Snapshot.Rollback|VM.Audit", get_snapshot_config);
  add("PUT", "/{snapname}/config", "VM.Snapshot", put_snapshot_config);
  add("POST", "/{snapname}/rollback", "VM.Snapshot|VM.Snapshot.Rollback", rollback);
}

}  // namespace pvesim
