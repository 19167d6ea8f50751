// start, stop, shutdown, reboot, reset, suspend, resume (qemu-server 9.2).

#include <algorithm>

#include "simulator/api/guest.h"
#include "simulator/api/qemu_actions.h"
#include "simulator/api/spec_text.h"
#include "simulator/api/support.h"
#include "simulator/world/running.h"
#include "simulator/world/text.h"
#include "simulator/world/vm_config.h"

namespace pvesim {

using namespace std::chrono_literals;

namespace {

using nlohmann::json;

/// Checks that QEMU makes when it starts.
void check_startable(World& world, Work& work, const Vm& vm) {
  const Section& values = vm.config.values;
  const double version = machine_version(start_machine(world, vm));
  const std::string& qemu = world.nodes.at(vm.node).qemu_version;
  if (version > machine_version("-" + qemu))
    fail("Installed QEMU version '" + qemu + "' is too old to run machine type '" + start_machine(world, vm) +
         "', please upgrade node '" + vm.node + "'");
  if (hotplug_enabled(values, "memory")) {
    if (config_value(values, "numa") != "1") fail("NUMA needs to be enabled for memory hotplug");
    if (memory_mib(values) < 1024) fail("minimum memory must be 1024MB");
  }
  const std::int64_t cpus = config_number(values, "cores", 1) * config_number(values, "sockets", 1);
  if (const int most = world.nodes.at(vm.node).cpus; cpus > most)
    fail("MAX " + std::to_string(most) + " vcpus allowed per VM on this node");
  for (const Drive& drive : drives_of(values)) {
    if (drive.is_cdrom() || !drive.has_volume()) continue;
    const std::string cache = drive.get("cache", "none");
    const bool buffered = cache != "none" && cache != "directsync";
    if (drive.get("aio") == "native" && buffered) fail("start failed: QEMU exited with code 1");
    if (drive.flag("snapshot") && version >= 10.0)
      fail("drive-" + drive.slot + ": the 'snapshot' option is not supported with machine version >= 10.0");
    const std::string bus = bus_of(drive.slot);
    if (drive.flag("iothread") && bus == "scsi" && config_value(values, "scsihw") != "virtio-scsi-single")
      work.warn("iothread is only valid with virtio disk or virtio-scsi-single controller, ignoring");
  }
  for (const auto& [key, value] : values) {
    if (!starts_with(key, "hostpci") || !all_digits(key.substr(7))) continue;
    const Section device = parse_properties(value, "host");
    if (const std::string id = config_value(device, "mapping"); !id.empty()) {
      const auto mapping = world.pci_mappings.find(id);
      if (mapping == world.pci_mappings.end())
        fail("PCI device mapping invalid (hardware mapping '" + id + "' not found)");
      const bool here = std::any_of(
          mapping->second.map.begin(), mapping->second.map.end(),
          [&](const std::string& one) { return config_value(parse_properties(one, ""), "node") == vm.node; });
      if (!here) fail("PCI device mapping not found for '" + id + "'");
    }
  }
}

std::int64_t used_memory(const World& world, const std::string& node) {
  std::int64_t used = 0;
  for (const auto& [vmid, vm] : world.vms)
    if (vm.node == node && vm.running) used += memory_mib(vm.running->effective) << 20;
  return used;
}

}  // namespace

std::shared_ptr<Work> start_work(World& world, int vmid, StartOptions options) {
  auto work = std::make_shared<Work>(world);
  Work* raw = work.get();
  work->lock(vm_lock_file(vmid), kFlockPatience);
  work->then("check", [raw, vmid, options] {
    World& w = raw->world();
    Vm* vm = w.find_vm(vmid);
    if (vm == nullptr)
      fail("Configuration file 'nodes/" + (raw->task() != nullptr ? raw->task()->node : w.first_node) +
           "/qemu-server/" + std::to_string(vmid) + ".conf' does not exist");
    if (config_value(vm->config.values, "template") == "1") fail("you can't start a vm if it's a template");
    if (!options.skip_lock) require_unlocked(*vm, "suspended");
    if (vm->running) fail("VM " + std::to_string(vmid) + " already running");
    OptionErrors errors;
    cleanup_pending(*vm);
    apply_pending(w, *vm, errors);
    for (const auto& [key, text] : errors) raw->warn(text.substr(0, text.size() - 1));
    for (const Drive& drive : drives_of(vm->config.values)) {
      if (!drive.has_volume()) continue;
      // Fact: PVE writes the cloud-init image anew before each start, and makes its volume again where it is gone.
      if (const auto id = parse_volume_id(drive.file);
          drive.is_cloudinit() && id && !find_volume(w, drive.file, vm->node)) {
        const std::string format = drive.file.ends_with(".qcow2") ? "qcow2" : "raw";
        static_cast<void>(allocate_volume(
            w, vm->node, {.storage = id->storage, .format = format, .vmid = vmid, .size = 4 << 20, .key = "cloudinit"},
            [raw](std::string line) { raw->log(std::move(line)); }));
      }
      if (const auto missing = activation_problem(w, drive.file, vm->node, true)) {
        raw->takes("activate", missing->delay, [text = missing->text] { fail(text); });
        return;
      }
    }
    check_startable(w, *raw, *vm);
    const std::int64_t wanted = memory_mib(vm->config.values) << 20;
    if (used_memory(w, vm->node) + wanted > w.nodes.at(vm->node).memory) fail("start failed: QEMU exited with code 1");
  });
  work->takes("start", 1500ms, [raw, vmid] {
    World& w = raw->world();
    if (Vm* vm = w.find_vm(vmid); vm != nullptr) {
      // Fact: only the lock of a suspended guest ends with its start.
      if (config_value(vm->config.values, "lock") == "suspended") vm->config.values.erase("lock");
      begin_qemu(w, *vm);
    }
  });
  return work;
}

std::shared_ptr<Work> stop_work(World& world, int vmid, StopOptions options) {
  auto work = std::make_shared<Work>(world);
  Work* raw = work.get();
  work->lock(vm_lock_file(vmid), kFlockPatience);
  work->then("check", [raw, vmid, options] {
    World& w = raw->world();
    Vm* vm = w.find_vm(vmid);
    if (vm == nullptr || !vm->running) return;  // nothing to do
    if (!options.skip_lock) require_unlocked(*vm, "suspended");
    const auto off = [raw, vmid, options] {
      World& inner = raw->world();
      Vm* guest = inner.find_vm(vmid);
      if (guest == nullptr) return;
      end_qemu(inner, *guest);
      // Fact: pending changes are applied when the stop task cleans up.
      OptionErrors errors;
      cleanup_pending(*guest);
      apply_pending(inner, *guest, errors);
      if (options.and_start) {
        const std::string node = guest->node;
        const Task* task = raw->task();
        const std::string auth = task == nullptr       ? "root@pam"
                                 : task->token.empty() ? task->user
                                                       : task->user + "!" + task->token;
        // Fact: the start after a reboot runs in a task of its own, started by the clean-up of the old QEMU.
        inner.after(1s, [&inner, vmid, node, auth] {
          if (inner.find_vm(vmid) != nullptr)
            inner.start_task(node, "qmstart", std::to_string(vmid), auth, start_work(inner, vmid));
        });
      }
    };
    if (!options.shutdown) return void(raw->takes("stop", 1s, off));
    if (!vm->ignores_shutdown) {
      if (options.timeout >= 5s) return void(raw->takes("shutdown", 5s, off));
    }
    raw->takes("shutdown", options.timeout, [raw, options, off] {
      if (!options.force_stop) fail("VM quit/powerdown failed - got timeout");
      raw->log("VM still running - terminating now with SIGTERM");
      raw->takes("stop", 1s, off);
    });
  });
  return work;
}

namespace {

bool ha_rules(Call& call) { return call.world.ha_managed(call_vmid(call)); }

json request_ha(Call& call, const char* type, const char* state, bool hard) {
  const std::string id = std::to_string(call_vmid(call));
  HaResource& resource = call.world.ha_resources.at("vm:" + id);
  // Facts: the task only records the request; the declared state follows.
  resource.values["state"] = state;
  resource.hard_stop = hard;
  if (resource.crm_state == "error" && std::string(state) == "started") resource.crm_state = "stopped";
  call.world.ha_changed();
  return call.world.finished_task(
      call.node, type, id, call.session.auth_id(),
      {std::string("Requesting HA ") + (std::string(state) == "started" ? "start" : "stop") + " for VM " + id});
}

json start(Call& call) {
  // Fact: that the guest is missing is found by the task.
  call.world.require_quorum();
  StartOptions options;
  options.skip_lock = root_only_flag(call, "skiplock");
  if (ha_rules(call)) return request_ha(call, "hastart", "started", false);
  return call.world.start_task(call.node, "qmstart", std::to_string(call_vmid(call)), call.session.auth_id(),
                               start_work(call.world, call_vmid(call), options));
}

json stop(Call& call) {
  (void)call_vm(call);
  StopOptions options;
  options.skip_lock = root_only_flag(call, "skiplock");
  if (ha_rules(call)) return request_ha(call, "hastop", "stopped", true);
  const std::string id = std::to_string(call_vmid(call));
  if (flag_or(call.params, "overrule-shutdown", false))
    for (std::size_t i = 0; i < call.world.tasks.size(); ++i)
      if (const Task& task = *call.world.tasks[i]; task.running && task.type == "qmshutdown" && task.id == id)
        call.world.stop_task(std::string(task.upid));
  return call.world.start_task(call.node, "qmstop", id, call.session.auth_id(),
                               stop_work(call.world, call_vmid(call), options));
}

VirtualSpan shutdown_timeout(Call& call, const Vm& vm) {
  const Section startup = parse_properties(config_value(vm.config.values, "startup"), "order");
  return integer_or(call.params, "timeout", config_number(startup, "down", 60)) * 1s;
}

json shutdown(Call& call) {
  const Vm& vm = call_vm(call);
  StopOptions options;
  options.skip_lock = root_only_flag(call, "skiplock");
  options.shutdown = true;
  options.force_stop = flag_or(call.params, "forceStop", false);
  options.timeout = shutdown_timeout(call, vm);
  if (vm.running && vm.running->qmp_status == "paused") {
    if (!options.force_stop) fail("VM is paused - cannot shutdown");
    options.shutdown = false;
  }
  if (ha_rules(call)) return request_ha(call, "hastop", "stopped", false);
  return call.world.start_task(call.node, "qmshutdown", std::to_string(vm.vmid), call.session.auth_id(),
                               stop_work(call.world, vm.vmid, options));
}

json reboot(Call& call) {
  const Vm& vm = call_vm(call);
  if (vm.running && vm.running->qmp_status == "paused") fail("VM is paused - cannot shutdown");
  if (!vm.running) fail("VM " + std::to_string(vm.vmid) + " not running");
  StopOptions options;
  options.shutdown = true;
  options.and_start = true;
  options.timeout = shutdown_timeout(call, vm);
  return call.world.start_task(call.node, "qmreboot", std::to_string(vm.vmid), call.session.auth_id(),
                               stop_work(call.world, vm.vmid, options));
}

json simple(Call& call, const char* type, const std::function<void(Vm&)>& change) {
  const Vm& vm = call_vm(call);
  const int vmid = vm.vmid;
  if (!vm.running) fail("VM " + std::to_string(vmid) + " not running");
  auto work = std::make_shared<Work>(call.world);
  Work* raw = work.get();
  work->lock(vm_lock_file(vmid), kFlockPatience);
  work->then(type, [raw, vmid, change] {
    Vm* guest = raw->world().find_vm(vmid);
    if (guest == nullptr || !guest->running) fail("VM " + std::to_string(vmid) + " not running");
    require_unlocked(*guest);
    change(*guest);
  });
  return call.world.start_task(call.node, type, std::to_string(vmid), call.session.auth_id(), work);
}

}  // namespace

void add_qemu_power_methods(MethodTable& table) {
  const auto add = [&](const char* tail, Handler handler) {
    MethodSpec method = qemu_specs().method("POST", std::string("/nodes/{node}/qemu/{vmid}/status/") + tail);
    method.permission = needs_privilege("/vms/{vmid}", "VM.PowerMgmt");
    method.handler = std::move(handler);
    table.push_back(std::move(method));
  };
  add("start", start);
  add("stop", stop);
  add("shutdown", shutdown);
  add("reboot", reboot);
  // Fact: a reset applies nothing that is pending.
  add("reset", [](Call& call) { return simple(call, "qmreset", [](Vm&) {}); });
  add("suspend",
      [](Call& call) { return simple(call, "qmsuspend", [](Vm& vm) { vm.running->qmp_status = "paused"; }); });
  add("resume",
      [](Call& call) { return simple(call, "qmresume", [](Vm& vm) { vm.running->qmp_status = "running"; }); });
}

}  // namespace pvesim
