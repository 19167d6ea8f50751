// GET lists, status, the index calls and the feature query of guests (qemu-server 9.2).

#include <algorithm>

#include "simulator/api/guest.h"
#include "simulator/api/qemu_actions.h"
#include "simulator/api/spec_text.h"
#include "simulator/api/support.h"
#include "simulator/wire/formats.h"
#include "simulator/world/text.h"
#include "simulator/world/vm_config.h"

namespace pvesim {
namespace {

using nlohmann::json;

std::int64_t boot_disk_size(const Section& values) {
  for (const std::string& slot : boot_order(values))
    if (const auto found = values.find(slot); found != values.end() && is_drive_name(slot))
      if (const auto drive = parse_drive(slot, found->second); drive && !drive->is_cdrom())
        return std::max<std::int64_t>(0, parse_size(drive->get("size", "0")));
  return 0;
}

json status_row(const World& world, const Vm& vm) {
  const Section& values = vm.config.values;
  const std::int64_t cpus = config_number(values, "cores", 1) * config_number(values, "sockets", 1);
  json row = {{"vmid", vm.vmid},
              {"name", config_value(values, "name", "VM " + std::to_string(vm.vmid))},
              {"status", vm.running ? "running" : "stopped"},
              {"cpus", config_number(values, "vcpus", cpus)},
              {"maxmem", memory_mib(values) << 20},
              {"maxdisk", boot_disk_size(values)},
              {"disk", 0},
              {"mem", 0},
              {"memhost", 0},
              {"cpu", 0},
              {"uptime", 0},
              {"netin", 0},
              {"netout", 0}};
  if (vm.running) {
    const std::int64_t memory = memory_mib(vm.running->effective) << 20;
    row["pid"] = vm.running->pid;
    row["uptime"] = std::chrono::duration_cast<std::chrono::seconds>(world.now() - vm.running->since).count();
    row["mem"] = memory / 2;
    row["memhost"] = memory / 2 + (64 << 20);
    row["cpu"] = 0.01;
    for (const char* key : {"pressurecpusome", "pressurecpufull", "pressureiosome", "pressureiofull",
                            "pressurememorysome", "pressurememoryfull"})
      row[key] = 0;
  }
  if (const std::string tags = config_value(values, "tags"); !tags.empty()) row["tags"] = tags;
  if (const std::string lock = config_value(values, "lock"); !lock.empty()) row["lock"] = lock;
  if (config_value(values, "template") == "1") row["template"] = 1;
  if (values.contains("serial0")) row["serial"] = 1;
  return row;
}

json list_vms(Call& call) {
  json rows = json::array();
  const bool full = flag_or(call.params, "full", false);
  for (const auto& [vmid, vm] : call.world.vms) {
    if (vm.node != call.node || vm.type != "qemu") continue;
    if (!has_privilege(call, "/vms/" + std::to_string(vmid), "VM.Audit")) continue;
    json row = status_row(call.world, vm);
    if (full) row["qmpstatus"] = vm.running ? vm.running->qmp_status : "stopped";
    rows.push_back(std::move(row));
  }
  shuffle(call.world, rows);
  return rows;
}

json vm_index(Call& call) {
  (void)call;
  json rows = json::array();
  for (const char* name : {"config",   "cloudinit",  "pending", "status",   "unlink",  "vncproxy",      "termproxy",
                           "migrate",  "resize",     "move",    "rrd",      "rrddata", "monitor",       "agent",
                           "snapshot", "spiceproxy", "sendkey", "firewall", "mtunnel", "remote_migrate"})
    rows.push_back({{"subdir", name}});
  return rows;
}

json status_index(Call&) {
  json rows = json::array();
  for (const char* name : {"current", "start", "stop", "reset", "shutdown", "suspend", "reboot", "resume"})
    rows.push_back({{"subdir", name}});
  return rows;
}

json status_current(Call& call) {
  const Vm& vm = call_vm(call);
  json row = status_row(call.world, vm);
  row["qmpstatus"] = vm.running ? vm.running->qmp_status : "stopped";
  json ha = {{"managed", 0}};
  if (const auto resource = call.world.ha_resources.find("vm:" + std::to_string(vm.vmid));
      resource != call.world.ha_resources.end()) {
    ha = {{"managed", 1}, {"state", config_value(resource->second.values, "state", "started")}};
  }
  row["ha"] = ha;
  const Section agent = parse_properties(config_value(vm.config.values, "agent"), "enabled");
  if (config_value(agent, "enabled", "0") == "1") row["agent"] = 1;
  if (!vm.running) return row;
  row["running-machine"] = vm.running->machine;
  row["running-qemu"] = call.world.nodes.at(vm.node).qemu_version;
  json nics = json::object();
  json blocks = json::object();
  for (const auto& [key, value] : vm.running->effective) {
    if (starts_with(key, "net") && all_digits(key.substr(3)))
      nics["tap" + std::to_string(vm.vmid) + "i" + key.substr(3)] = {{"netin", 0}, {"netout", 0}};
    if (is_drive_name(key) && key != "tpmstate0") blocks[key] = json::object();
  }
  row["nics"] = nics;
  row["blockstat"] = blocks;
  row["proxmox-support"] = {{"pbs-dirty-bitmap", true}};
  return row;
}

json feature(Call& call) {
  const Vm& vm = call_vm(call);
  const std::string wanted = call.params.at("feature");
  const std::string snapshot = text_or(call.params, "snapname", "");
  const Section* values = &vm.config.values;
  if (!snapshot.empty()) {
    const auto found = vm.config.snapshots.find(snapshot);
    if (found == vm.config.snapshots.end()) fail("snapshot '" + snapshot + "' does not exist");
    values = &found->second;
  }
  bool has = true;
  bool shared = true;
  for (const Drive& drive : drives_of(*values)) {
    if (drive.is_cdrom() && !drive.is_cloudinit()) continue;
    if (!drive.has_volume()) continue;
    has = has && volume_has_feature(call.world, wanted, drive.file, vm.node, snapshot);
    const auto id = parse_volume_id(drive.file);
    const StorageDef* storage = call.world.find_storage(id->storage);
    shared = shared && storage != nullptr && shared_storage(*storage);
  }
  json nodes = json::array();
  for (const auto& [name, node] : call.world.nodes)
    if (shared || name == vm.node) nodes.push_back(name);
  return {{"hasFeature", has ? 1 : 0}, {"nodes", nodes}};
}

json cloudinit_values(Call& call) {
  const Vm& vm = call_vm(call);
  json rows = json::array();
  const bool running = vm.running.has_value();
  for (const auto& [key, value] : vm.config.values) {
    const bool one = key == "ciuser" || key == "cipassword" || key == "sshkeys" || key == "nameserver" ||
                     key == "searchdomain" || key == "citype" || (starts_with(key, "ipconfig") && running);
    if (!one) continue;
    json row = {{"key", key}, {"value", key == "cipassword" ? "**********" : value}};
    if (running && config_value(vm.running->effective, key) != value) {
      row["value"] = config_value(vm.running->effective, key);
      row["pending"] = key == "cipassword" ? "**********" : value;
    }
    rows.push_back(std::move(row));
  }
  shuffle(call.world, rows);
  return rows;
}

json regenerate_cloudinit(Call& call) {
  Vm& vm = call_vm(call);
  require_unlocked(vm);
  for (const Drive& drive : drives_of(vm.config.values))
    if (drive.is_cloudinit())
      if (const auto found = find_volume(call.world, drive.file, vm.node)) {
        found->volume->fingerprint = call.world.random() | 1U;
        if (vm.running)
          for (const auto& [key, value] : vm.config.values)
            if (starts_with(key, "ci") || starts_with(key, "ipconfig") || key == "sshkeys" || key == "nameserver" ||
                key == "searchdomain")
              vm.running->effective[key] = value;
      }
  return nullptr;
}

}  // namespace

void add_qemu_list_methods(MethodTable& table) {
  const std::string base = "/nodes/{node}/qemu";
  const auto add = [&](const char* verb, const char* tail, std::string privs, Handler handler) {
    MethodSpec method = qemu_specs().method(verb, base + tail);
    if (!privs.empty()) method.permission = needs_privilege("/vms/{vmid}", std::move(privs));
    method.handler = std::move(handler);
    table.push_back(std::move(method));
  };
  add("GET", "", "", list_vms);
  add("GET", "/{vmid}", "", vm_index);
  add("GET", "/{vmid}/status", "", status_index);
  add("GET", "/{vmid}/status/current", "VM.Audit", status_current);
  add("GET", "/{vmid}/feature", "VM.Audit", feature);
  add("GET", "/{vmid}/cloudinit", "VM.Audit", cloudinit_values);
  add("PUT", "/{vmid}/cloudinit", "VM.Config.Cloudinit", regenerate_cloudinit);
}

void add_qemu_methods(MethodTable& table) {
  add_qemu_list_methods(table);
  add_qemu_create_methods(table);
  add_qemu_config_methods(table);
  add_qemu_disk_methods(table);
  add_qemu_clone_methods(table);
  add_qemu_power_methods(table);
  add_qemu_snapshot_methods(table);
  add_qemu_migrate_methods(table);
  add_qemu_agent_methods(table);
}

}  // namespace pvesim
