// clone and template (qemu-server 9.2).

#include <algorithm>

#include "simulator/api/guest.h"
#include "simulator/api/qemu_actions.h"
#include "simulator/api/spec_text.h"
#include "simulator/api/support.h"
#include "simulator/world/running.h"
#include "simulator/world/text.h"
#include "simulator/world/vm_config.h"

namespace pvesim {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

struct Clone {
  int source = 0, target = 0;
  std::string node = {}, target_node = {}, snapshot = {}, storage = {}, format = {}, pool = {};
  bool full = false;
  std::int64_t bwlimit = 0;
  Section values = {};  // of the new guest, filled drive by drive
  std::vector<Drive> drives = {};
};

/// The config the new guest starts from: everything but what belongs to the old one.
Section copied_values(World& world, const Clone& clone, const Section& from) {
  Section values;
  for (const auto& [key, value] : from) {
    if (is_unused_name(key) || key == "lock" || key == "parent" || key == "template" || key == "snaptime" ||
        key == "vmstate" || key == "snapstate" || starts_with(key, "running"))
      continue;
    if (is_drive_name(key)) {
      const auto drive = parse_drive(key, value);
      if (drive && drive->has_volume() && (!drive->is_cdrom() || drive->is_cloudinit())) continue;
    }
    values[key] = value;
    if (bus_of(key) == "net" && key != "net")
      if (auto net = parse_net(value)) {
        (*net)["macaddr"] = world.random_mac();
        values[key] = print_net(*net);
      }
  }
  Section smbios = parse_properties(config_value(from, "smbios1"), "uuid");
  std::string text = "uuid=" + world.random_uuid();
  for (const auto& [key, value] : smbios)
    if (key != "uuid") text += "," + key + "=" + value;
  values["smbios1"] = text;
  if (values.contains("vmgenid")) values["vmgenid"] = world.random_uuid();
  (void)clone;
  return values;
}

const Section& source_values(World& world, const Clone& clone) {
  const Vm& vm = world.vm_on(clone.node, clone.source);
  if (clone.snapshot.empty()) return vm.config.values;
  const auto found = vm.config.snapshots.find(clone.snapshot);
  if (found == vm.config.snapshots.end()) fail("snapshot '" + clone.snapshot + "' does not exist");
  return found->second;
}

void clone_drive(const std::shared_ptr<Work>& work, const std::shared_ptr<Clone>& clone, const Drive& drive,
                 const VolumeList& allocated) {
  World& world = work->world();
  const Vm& source = world.vm_on(clone->node, clone->source);
  const bool special = drive.is_cloudinit() || drive.slot == "tpmstate0";
  const auto save = [work, clone, allocated](Drive made, const std::string& volid) {
    World& w = work->world();
    made.file = volid;
    made.options.erase("format");
    if (!made.is_cloudinit()) made.options["size"] = print_size(require_volume(w, volid, clone->node).volume->size);
    Vm* guest = w.find_vm(clone->target);
    if (guest == nullptr)
      fail("Configuration file 'nodes/" + clone->target_node + "/qemu-server/" + std::to_string(clone->target) +
           ".conf' does not exist");
    // Fact: the config is written after every disk.
    clone->values[made.slot] = print_drive(made);
    guest->config.values = clone->values;
    guest->config.values["lock"] = "clone";
    write_config(*guest);
  };
  if (!clone->full && !special) {
    work->log("create linked clone of drive " + drive.slot + " (" + drive.file + ")");
    const std::string volid = clone_volume(world, clone->node, drive.file, clone->target, log_of(work));
    allocated->push_back(volid);
    return save(drive, volid);
  }
  work->log("create full clone of drive " + drive.slot + " (" + drive.file + ")");
  const FoundVolume from = require_volume(world, drive.file, clone->node);
  const auto id = parse_volume_id(drive.file);
  Allocation what;
  what.storage = clone->storage.empty() ? id->storage : clone->storage;
  what.vmid = clone->target;
  const StorageDef& target = require_enabled(world, what.storage, clone->node);
  if (drive.is_cloudinit()) {
    what.key = "cloudinit";
    what.format = target_format(target, "", from.volume->format, [](const std::string&) {});
    what.size = 4 << 20;
    const std::string volid = allocate_volume(world, clone->node, what, log_of(work));
    allocated->push_back(volid);
    return save(drive, volid);
  }
  what.format = target_format(target, clone->format, from.volume->format, log_of(work));
  what.size = drive.slot == "efidisk0" ? 528 << 10 : drive.slot == "tpmstate0" ? 4 << 20 : from.volume->size;
  const std::string volid = allocate_volume(world, clone->node, what, log_of(work));
  allocated->push_back(volid);
  work->log("allocated target volume '" + volid + "'");
  Copy copy;
  copy.from = drive.file;
  copy.to = volid;
  copy.from_node = copy.to_node = clone->node;
  copy.limit_kib = effective_bwlimit(world, {id->storage, what.storage}, "clone", clone->bwlimit);
  if (source.running && clone->snapshot.empty()) {
    copy.mirror = "mirror-" + drive.slot;
    work->log("drive mirror is starting for drive-" + drive.slot);
  }
  if (drive.slot == "efidisk0") copy.size = 528 << 10;
  add_copy_step(work, copy, source.write_rate);
  work->then("disk-done", [save, drive, volid] { save(drive, volid); });
}

std::shared_ptr<Clone> read_clone(Call& call) {
  World& world = call.world;
  auto clone = std::make_shared<Clone>();
  clone->source = call_vmid(call);
  clone->target = static_cast<int>(integer_or(call.params, "newid", 0));
  clone->node = call.node;
  clone->target_node = text_or(call.params, "target", call.node);
  clone->snapshot = text_or(call.params, "snapname", "");
  clone->storage = text_or(call.params, "storage", "");
  clone->format = text_or(call.params, "format", "");
  clone->pool = text_or(call.params, "pool", "");
  clone->bwlimit = integer_or(call.params, "bwlimit", 0);
  world.require_quorum();
  if (!world.nodes.contains(clone->target_node)) fail("no such cluster node '" + clone->target_node + "'");
  const Vm& source = call_vm(call);
  const bool is_template = config_value(source.config.values, "template") == "1";
  clone->full = flag_or(call.params, "full", !is_template);
  if (!clone->storage.empty()) {
    require_privilege(call, "/storage/" + clone->storage, "Datastore.AllocateSpace");
    const StorageDef& storage = require_enabled(world, clone->storage, call.node);
    if (!has_content(storage, "images"))
      fail_param("storage", "storage '" + clone->storage + "' does not support vm images");
    if (clone->target_node != call.node) {
      (void)require_enabled(world, clone->storage, clone->target_node);
      if (!shared_storage(storage)) fail("can't clone to non-shared storage '" + clone->storage + "'");
    }
  }
  require_unlocked(source);
  if (world.find_vm(clone->target) != nullptr)
    fail("unable to create VM " + std::to_string(clone->target) + ": config file already exists");
  if (!clone->full && !clone->storage.empty()) fail("parameter 'storage' not allowed for linked clones");
  if (!clone->full && !clone->format.empty()) fail("parameter 'format' not allowed for linked clones");
  const Section& values = source_values(world, *clone);
  check_cloned_rights(call, values);
  bool shared = true;
  for (const Drive& drive : drives_of(values)) {
    if (!drive.has_volume()) continue;
    const auto id = parse_volume_id(drive.file);
    const StorageDef& storage = world.storage(id->storage);
    shared = shared && shared_storage(storage);
    if (drive.is_cdrom() && !drive.is_cloudinit()) continue;
    const bool special = drive.is_cloudinit() || drive.slot == "tpmstate0";
    if (drive.slot == "tpmstate0" && clone->full && source.running && clone->snapshot.empty())
      fail("cannot clone TPM state while VM is running");
    if (!clone->full && !special && !volume_has_feature(world, "clone", drive.file, call.node, clone->snapshot))
      fail("Linked clone feature is not supported for '" + drive.file + "' (" + drive.slot + ")");
    const std::string target = clone->storage.empty() ? id->storage : clone->storage;
    require_privilege(call, "/storage/" + target, "Datastore.AllocateSpace");
    clone->drives.push_back(drive);
  }
  if (clone->target_node != call.node && !shared)
    fail("can't clone VM to node '" + clone->target_node + "' (VM uses local storage)");
  return clone;
}

json clone_vm(Call& call) {
  World& world = call.world;
  auto clone = read_clone(call);
  const std::string target_id = std::to_string(clone->target);
  clone->values = copied_values(world, *clone, source_values(world, *clone));
  const std::string source_name = config_value(clone->values, "name", std::to_string(clone->source));
  clone->values["name"] = text_or(call.params, "name", "Copy-of-VM-" + source_name);
  if (const std::string* description = find_param(call.params, "description"))
    clone->values["description"] = *description;
  Vm made;
  made.vmid = clone->target;
  made.node = clone->node;
  made.config.values["lock"] = "clone";
  world.vms.emplace(clone->target, std::move(made));
  if (!clone->pool.empty()) world.pools[clone->pool].vms.insert(clone->target);
  const bool running = call_vm(call).running.has_value();
  auto work = std::make_shared<Work>(world);
  Work* raw = work.get();
  auto allocated = std::make_shared<std::vector<std::string>>();
  work->on_failure([&world, clone, allocated](ApiError& error) {
    free_all(world, clone->node, allocated);
    world.vms.erase(clone->target);
    if (!clone->pool.empty()) world.pools[clone->pool].vms.erase(clone->target);
    error.message = "clone failed: " + error.message;
  });
  // Fact: clones of a stopped guest share its lock, so several run at once.
  work->lock(vm_lock_file(clone->source), 1s, !running);
  work->lock(vm_lock_file(clone->target), 1s);
  work->then("begin", [raw, clone, target_id] {
    raw->log("creating a clone of VM " + std::to_string(clone->source) + " with ID " + target_id);
    require_unlocked(raw->world().vm_on(clone->node, clone->source));
  });
  for (const Drive& drive : clone->drives) {
    // Fact: every volume is allocated under the lock of its storage; the copy itself is not.
    const std::string storage = clone->storage.empty() ? parse_volume_id(drive.file)->storage : clone->storage;
    work->lock_storage(storage);
    work->takes("drive-" + drive.slot, 200ms, [raw, clone, drive, allocated, storage] {
      raw->unlock_storage(storage);
      clone_drive(raw->shared_from_this(), clone, drive, allocated);
    });
  }
  work->then("finish", [raw, clone, allocated] {
    World& w = raw->world();
    Vm* vm = w.find_vm(clone->target);
    if (vm == nullptr) fail("the new guest was removed meanwhile");
    vm->config.values = clone->values;
    vm->node = clone->target_node;
    write_config(*vm);
    allocated->clear();
  });
  return world.start_task(call.node, "qmclone", std::to_string(clone->source), call.session.auth_id(), work);
}

void check_clone_permission(Call& call) {
  require_privilege(call, fill_path("/vms/{vmid}", call.params), "VM.Clone");
  const std::string pool = text_or(call.params, "pool", "");
  if (!pool.empty()) {
    if (!call.world.pools.contains(pool))
      throw ApiError{.status = 403, .message = "Permission check failed (pool '" + pool + "' does not exist)"};
    if (has_privilege(call, "/pool/" + pool, "VM.Allocate")) return;
  }
  // Without an id the parameter check tells what is missing.
  if (given(call.params, "newid") && !has_privilege(call, fill_path("/vms/{newid}", call.params), "VM.Allocate"))
    throw ApiError{.status = 403, .message = "Permission check failed"};
}

void check_template(const Vm& vm, const std::string& disk) {
  require_unlocked(vm);
  if (!vm.config.snapshots.empty()) fail("unable to create template, because VM contains snapshots");
  if (config_value(vm.config.values, "template") == "1" && disk.empty())
    fail("you can't convert a template to a template");
  if (vm.running) fail("you can't convert a VM to template if VM is running");
}

json make_template(Call& call) {
  const Vm& vm = call_vm(call);
  const std::string disk = text_or(call.params, "disk", "");
  check_template(vm, disk);
  if (!disk.empty() && !vm.config.values.contains(disk)) fail("disk '" + disk + "' does not exist");
  auto work = std::make_shared<Work>(call.world);
  Work* raw = work.get();
  work->lock(vm_lock_file(vm.vmid), kFlockPatience);
  work->takes("template", 500ms, [raw, vmid = vm.vmid, node = call.node, disk] {
    World& world = raw->world();
    Vm& guest = world.vm_on(node, vmid);
    check_template(guest, disk);
    guest.config.values["template"] = "1";
    for (Drive drive : drives_of(guest.config.values)) {
      if (!disk.empty() && drive.slot != disk) continue;
      if (drive.is_cdrom() || !drive.has_volume() || drive.slot == "tpmstate0") continue;
      if (!volume_has_feature(world, "template", drive.file, node)) continue;
      drive.file = make_base(world, node, drive.file);
      guest.config.values[drive.slot] = print_drive(drive);
    }
    write_config(guest);
  });
  return call.world.start_task(call.node, "qmtemplate", std::to_string(vm.vmid), call.session.auth_id(), work);
}

}  // namespace

void add_qemu_clone_methods(MethodTable& table) {
  const std::string base = "/nodes/{node}/qemu/{vmid}";
  MethodSpec clone = qemu_specs().method("POST", base + "/clone");
  clone.permission = check_clone_permission;
  clone.handler = clone_vm;
  table.push_back(std::move(clone));
  MethodSpec convert = qemu_specs().method("POST", base + "/template");
  convert.permission = needs_privilege("/vms/{vmid}", "VM.Allocate");
  convert.handler = make_template;
  table.push_back(std::move(convert));
}

}  // namespace pvesim
