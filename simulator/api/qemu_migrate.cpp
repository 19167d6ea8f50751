// Migration: preconditions, live and offline, with local disks (qemu-server 9.2).

#include <algorithm>
#include <set>

#include "simulator/api/guest.h"
#include "simulator/api/qemu_actions.h"
#include "simulator/api/spec_text.h"
#include "simulator/api/support.h"
#include "simulator/wire/formats.h"
#include "simulator/world/running.h"
#include "simulator/world/text.h"
#include "simulator/world/vm_config.h"

namespace pvesim {

using namespace std::chrono_literals;

namespace {

using nlohmann::json;

constexpr const char* kCheckLog = "can't migrate VM - check log";

struct Migration {
  int vmid = 0;
  MigrateOptions options = {};
  std::string source = {};
  std::vector<std::pair<Drive, std::string>> moved = {};  // drive -> new volid
  VolumeList allocated = std::make_shared<std::vector<std::string>>();
};

std::string target_storage(const std::string& mapping, const std::string& storage) {
  if (mapping.empty() || mapping == "1") return storage;
  std::string fallback = storage;
  for (const std::string& pair : split_list(mapping)) {
    const auto colon = pair.find(':');
    if (colon == std::string::npos)
      fallback = pair;
    else if (pair.substr(0, colon) == storage)
      return pair.substr(colon + 1);
  }
  return fallback;
}

/// Volumes that have to be copied, unused and snapshot-only ones included.
std::vector<Drive> local_drives(World& world, const Vm& vm) {
  std::vector<Drive> out;
  std::set<std::string> seen;
  const auto collect = [&](const Section& section, bool unused) {
    for (Drive& drive : drives_of(section, unused)) {
      if (!drive.has_volume() || (drive.is_cdrom() && !drive.is_cloudinit())) continue;
      const StorageDef* storage = world.find_storage(parse_volume_id(drive.file)->storage);
      if (storage == nullptr || shared_storage(*storage) || !seen.insert(drive.file).second) continue;
      out.push_back(std::move(drive));
    }
  };
  collect(vm.config.values, true);
  for (const auto& [name, section] : vm.config.snapshots) collect(section, false);
  return out;
}

/// Devices that keep a guest on its node.
std::vector<std::string> local_resources(const Section& values) {
  std::vector<std::string> out;
  for (const auto& [key, value] : values) {
    const std::string stem = bus_of(key);
    if (stem == key) continue;
    const bool mapped = value.find("mapping=") != std::string::npos;
    if (((stem == "usb" && lower_case(value).find("spice") == std::string::npos) || stem == "hostpci") && !mapped)
      out.push_back(key);
    if (stem == "serial" && value != "socket") out.push_back(key);
    if (stem == "parallel") out.push_back(key);
  }
  return out;
}

/// Everything that refuses a migration; lines for the log.
std::vector<std::string> blockers(World& world, const Vm& vm, const MigrateOptions& options) {
  std::vector<std::string> out;
  for (const std::string& key : local_resources(vm.config.values))
    out.push_back("can't migrate VM which uses local devices: " + key);
  for (const Drive& drive : drives_of(vm.config.values)) {
    if (!drive.has_volume()) continue;
    const auto id = parse_volume_id(drive.file);
    const StorageDef* storage = world.find_storage(id->storage);
    if (storage == nullptr) continue;
    if (drive.is_cdrom() && !drive.is_cloudinit() && !shared_storage(*storage))
      out.push_back("can't migrate local cdrom '" + drive.file + "'");
  }
  for (const auto& [key, value] : vm.config.values) {
    if (!starts_with(key, "hostpci") || !vm.running) continue;
    const std::string id = config_value(parse_properties(value, "host"), "mapping");
    const auto mapping = world.pci_mappings.find(id);
    if (mapping != world.pci_mappings.end() && config_value(mapping->second.values, "live-migration-capable") != "1")
      out.push_back("can't live migrate VM which uses following mapped devices: " + key +
                    " (not marked as live-migration-capable)");
  }
  for (const Drive& drive : local_drives(world, vm)) {
    const auto found = find_volume(world, drive.file, vm.node);
    if (!found) {
      out.push_back("can't migrate local disk '" + drive.file + "': volume does not exist");
      continue;
    }
    if (vm.running && !options.with_local_disks && !drive.is_cloudinit())
      out.push_back("can't live migrate attached local disks without with-local-disks option");
    if (!found->volume->origin.empty())
      out.push_back("can't migrate '" + drive.file + "' as it's a clone of '" + found->volume->origin + "'");
    if (found->name.is_base && has_clones(world, *found))
      out.push_back("can't migrate '" + drive.file + "': base volume with linked clones");
    const bool in_snapshot = volume_use(vm.config, drive.file).snapshot;
    if (in_snapshot && vm.running && !world.replicated(vm.vmid))
      out.push_back("online storage migration not possible if non-replicated snapshot exists");
    if (in_snapshot && found->storage->type != "zfspool" && found->volume->format != "qcow2")
      out.push_back("non-migratable snapshot exists on '" + drive.file + "'");
    const std::string to = target_storage(options.target_storage, found->storage->id);
    const StorageDef* target = world.find_storage(to);
    if (target == nullptr || !on_node(*target, options.target) || !storage_enabled(*target) ||
        backing_of(world, *target, options.target) == nullptr)
      out.push_back("storage '" + to + "' is not available on node '" + options.target + "'");
    else if (!vm.running && (found->storage->type == "zfspool") != (target->type == "zfspool"))
      out.push_back("cannot migrate from storage type '" + found->storage->type + "' to '" + target->type + "'");
  }
  return out;
}

void copy_volume(const std::shared_ptr<Work>& work, const std::shared_ptr<Migration>& migration, const Drive& drive) {
  World& world = work->world();
  const Vm& vm = *world.find_vm(migration->vmid);
  const bool live = vm.running && !is_unused_name(drive.slot) && is_drive_name(drive.slot);
  const FoundVolume from = require_volume(world, drive.file, migration->source);
  const std::string storage = target_storage(migration->options.target_storage, from.storage->id);
  StorageDef& target = require_enabled(world, storage, migration->options.target);
  Backing* backing = backing_of(world, target, migration->options.target);
  if (backing == nullptr)
    fail("storage '" + storage + "' is not available on node '" + migration->options.target + "'");
  work->log("copying local disk image '" + drive.file + "'");
  std::string volid;
  // Fact: a replicated volume is there already.
  if (world.replicated(migration->vmid) &&
      find_volume(world, storage + ":" + parse_volume_id(drive.file)->name, migration->options.target)) {
    volid = drive.file;
  } else {
    Allocation what;
    what.storage = storage;
    what.vmid = migration->vmid;
    what.size = from.volume->size;
    what.format = target_format(target, "", from.volume->format, log_of(work));
    if (drive.is_cloudinit()) what.key = "cloudinit";
    volid = allocate_volume(world, migration->options.target, what, log_of(work));
    migration->allocated->push_back(volid);
    if (!live && from.backing->kind == "zfs") {
      // Fact: send and receive keep block size, reservation and snapshots.
      const FoundVolume made = require_volume(world, volid, migration->options.target);
      made.volume->volblocksize = from.volume->volblocksize;
      made.volume->refreservation = from.volume->refreservation;
      made.volume->size = from.volume->size;
      made.volume->snapshots = from.volume->snapshots;
    }
  }
  Copy copy;
  copy.from = drive.file;
  copy.to = volid;
  copy.from_node = migration->source;
  copy.to_node = migration->options.target;
  copy.limit_kib = effective_bwlimit(world, {from.storage->id, storage}, "migration", migration->options.bwlimit);
  if (live) {
    copy.mirror = "mirror-" + drive.slot;
    work->log("drive mirror is starting for drive-" + drive.slot);
  }
  add_copy_step(work, copy, vm.write_rate);
  migration->moved.emplace_back(drive, volid);
}

void switch_node(Work& work, Migration& migration) {
  World& world = work.world();
  Vm* vm = world.find_vm(migration.vmid);
  if (vm == nullptr) fail("guest is gone");
  const auto rename = [&](Section& section) {
    for (const auto& [drive, volid] : migration.moved)
      for (auto& [key, value] : section) {
        if (is_unused_name(key) && value == drive.file) value = volid;
        if (!is_drive_name(key)) continue;
        auto parsed = parse_drive(key, value);
        if (!parsed || parsed->file != drive.file) continue;
        parsed->file = volid;
        value = print_drive(*parsed);
      }
  };
  std::vector<std::string> sources;
  for (const auto& [drive, volid] : migration.moved) {
    const auto from = find_volume(world, drive.file, migration.source);
    const auto to = find_volume(world, volid, migration.options.target);
    if (from && to) copy_content(world, *from, *to);  // the last blocks of a running guest
    if (!world.replicated(migration.vmid)) sources.push_back(drive.file);
  }
  rename(vm->config.values);
  rename(vm->config.pending);
  for (auto& [name, section] : vm->config.snapshots) rename(section);
  vm->node = migration.options.target;
  vm->config.values.erase("lock");
  if (vm->running) {
    rename(vm->running->effective);
    vm->running->open.clear();
    for (const Drive& drive : drives_of(vm->running->effective))
      if (const auto found = find_volume(world, drive.file, vm->node)) vm->running->open[drive.slot] = found->ref();
  }
  write_config(*vm);
  migration.allocated->clear();
  for (const std::string& volid : sources) {
    try {
      free_volume(world, migration.source, volid, [&](const std::string& line) { work.log(line); });
    } catch (const ApiError& error) {
      work.log(error.message);
    }
  }
  // Fact: replication turns around with the guest.
  for (auto& [id, job] : world.replication)
    if (job.vmid == migration.vmid && config_value(job.values, "target") == migration.options.target)
      job.values["target"] = migration.source;
}

}  // namespace

std::shared_ptr<Work> migrate_work(World& world, int vmid, MigrateOptions options) {
  auto work = std::make_shared<Work>(world);
  Work* raw = work.get();
  auto migration = std::make_shared<Migration>();
  migration->vmid = vmid;
  migration->options = std::move(options);
  work->lock("/var/lock/pve-manager/pve-migrate-" + std::to_string(vmid), 10s);
  work->then("check", [raw, migration] {
    World& w = raw->world();
    Vm* vm = w.find_vm(migration->vmid);
    if (vm == nullptr) fail("no such VM");
    require_unlocked(*vm);
    migration->source = vm->node;
    if (!w.nodes.at(migration->options.target).online) fail("Can't connect to destination address using public key");
    const std::string vm_id = std::to_string(migration->vmid);
    raw->log("starting migration of VM " + vm_id + " to node '" + migration->options.target + "'");
    if (vm->running && !migration->options.online) fail("can't migrate running VM without --online");
    const auto reasons = blockers(w, *vm, migration->options);
    for (const std::string& reason : reasons) raw->log("ERROR: " + reason);
    // Fact: the sizes are refreshed and the lock set before anything is copied, and that stays after a failure.
    for (Drive drive : local_drives(w, *vm))
      if (is_drive_name(drive.slot) && vm->config.values.contains(drive.slot) && !drive.is_cloudinit())
        if (const auto found = find_volume(w, drive.file, vm->node)) {
          drive.options["size"] = print_size(found->volume->size);
          vm->config.values[drive.slot] = print_drive(drive);
        }
    if (!reasons.empty()) fail(kCheckLog);
    vm->config.values["lock"] = "migrate";
    write_config(*vm);
    raw->on_failure([raw, migration](ApiError& error) {
      World& inner = raw->world();
      free_all(inner, migration->options.target, migration->allocated);
      if (Vm* left = inner.find_vm(migration->vmid); left != nullptr && left->node == migration->source)
        left->config.values.erase("lock");
      if (error.message != kCheckLog) error.message = "migration aborted";
    });
    for (const Drive& drive : local_drives(w, *vm))
      raw->then("copy-" + drive.slot,
                [raw, migration, drive] { copy_volume(raw->shared_from_this(), migration, drive); });
    if (vm->running) {
      const double bytes = static_cast<double>(memory_mib(vm->running->effective) << 20);
      raw->takes("memory", VirtualSpan(static_cast<std::int64_t>(bytes / (600.0 * 1024 * 1024) * 1000) + 1000), {});
    }
  });
  work->takes("switch", 500ms, [raw, migration] {
    switch_node(*raw, *migration);
    raw->log("migration finished successfully");
  });
  return work;
}

namespace {

json preconditions(Call& call) {
  World& world = call.world;
  const Vm& vm = call_vm(call);
  json allowed = json::array();
  json refused = json::object();
  json disks = json::array();
  const std::string ha_sid = "vm:" + std::to_string(vm.vmid);
  for (const auto& [name, node] : world.nodes) {
    if (name == vm.node) continue;
    json missing = json::array();
    for (const Drive& drive : drives_of(vm.config.values)) {
      if (!drive.has_volume()) continue;
      const std::string id = parse_volume_id(drive.file)->storage;
      const StorageDef* storage = world.find_storage(id);
      if (storage == nullptr || !on_node(*storage, name))
        if (std::find(missing.begin(), missing.end(), id) == missing.end()) missing.push_back(id);
    }
    if (missing.empty() && node.online)
      allowed.push_back(name);
    else
      refused[name] = {{"unavailable_storages", missing}};
  }
  for (const Drive& drive : local_drives(world, vm)) {
    const auto found = find_volume(world, drive.file, vm.node);
    json row = {{"volid", drive.file},
                {"size", found ? found->volume->size : 0},
                {"cdrom", drive.is_cdrom() ? 1 : 0},
                {"is_unused", is_unused_name(drive.slot) ? 1 : 0},
                {"is_attached", is_drive_name(drive.slot) ? 1 : 0},
                {"drivename", drive.slot}};
    disks.push_back(std::move(row));
  }
  json mapped = json::array();
  json mapped_info = json::object();
  for (const auto& [key, value] : vm.config.values)
    if ((starts_with(key, "hostpci") || starts_with(key, "usb")) && value.find("mapping=") != std::string::npos) {
      mapped.push_back(key);
      mapped_info[key] = {{"name", config_value(parse_properties(value, "host"), "mapping")}};
    }
  return {{"running", vm.running ? 1 : 0},
          {"allowed_nodes", allowed},
          {"not_allowed_nodes", refused},
          {"local_disks", disks},
          {"local_resources", local_resources(vm.config.values)},
          {"mapped-resources", mapped},
          {"mapped-resource-info", mapped_info},
          {"has-dbus-vmstate", true}};
}

json migrate(Call& call) {
  World& world = call.world;
  MigrateOptions options;
  options.target = call.params.at("target");
  options.online = flag_or(call.params, "online", false);
  options.with_local_disks = flag_or(call.params, "with-local-disks", false);
  options.target_storage = text_or(call.params, "targetstorage", "");
  options.bwlimit = integer_or(call.params, "bwlimit", 0);
  world.require_quorum();
  if (options.target == call.node) fail_param("target", "target is local node.");
  for (const char* key : {"force", "migration_type", "migration_network"}) {
    if (!given(call.params, key)) continue;
    if (!call.session.is_root_ticket()) fail_param(key, "Only root may use this option.");
  }
  if (!world.nodes.contains(options.target)) fail("no such cluster node '" + options.target + "'");
  const Vm& vm = call_vm(call);
  if (!options.target_storage.empty() && options.target_storage != "1") {
    require_privilege(call, "/vms/" + std::to_string(vm.vmid), "VM.Config.Disk");
    for (const std::string& pair : split_list(options.target_storage)) {
      const auto colon = pair.find(':');
      const std::string id = colon == std::string::npos ? pair : pair.substr(colon + 1);
      require_privilege(call, "/storage/" + id, "Datastore.AllocateSpace");
      if (!has_content(require_enabled(world, id, options.target), "images"))
        fail("storage '" + id + "' does not support vm images");
    }
  }
  require_unlocked(vm);
  if (vm.running) {
    if (!options.online) fail("can't migrate running VM without --online");
    if (world.replicated(vm.vmid) && !flag_or(call.params, "force", false)) {
      const bool known = std::any_of(world.replication.begin(), world.replication.end(), [&](const auto& entry) {
        return entry.second.vmid == vm.vmid && config_value(entry.second.values, "target") == options.target;
      });
      if (!known)
        fail("Cannot live-migrate replicated VM to node '" + options.target +
             "' - not a replication target. Use 'force' to override.");
    }
  }
  if (options.target_storage.empty() || options.target_storage == "1") {
    for (const Drive& drive : drives_of(vm.config.values)) {
      if (!drive.has_volume()) continue;
      const auto id = parse_volume_id(drive.file);
      (void)require_enabled(world, id->storage, call.node);
      const StorageDef& storage = require_enabled(world, id->storage, options.target);
      const std::string content = parse_volume_name(storage, id->name).content;
      if (!has_content(storage, content))
        fail(drive.file + ": content type '" + content + "' is not available on storage '" + id->storage + "'");
    }
  }
  const std::string id = std::to_string(vm.vmid);
  if (world.ha_managed(vm.vmid)) {
    world.ha_resources.at("vm:" + id).migrate_target = options.target;
    world.ha_resources.at("vm:" + id).migrate_online = options.online;
    world.ha_changed();
    return world.finished_task(call.node, "hamigrate", id, call.session.auth_id(),
                               {"Requesting HA migration for VM " + id + " to node " + options.target});
  }
  return world.start_task(call.node, "qmigrate", id, call.session.auth_id(), migrate_work(world, vm.vmid, options));
}

}  // namespace

void add_qemu_migrate_methods(MethodTable& table) {
  const std::string path = "/nodes/{node}/qemu/{vmid}/migrate";
  for (const auto& [verb, handler] :
       std::initializer_list<std::pair<const char*, Handler>>{{"GET", preconditions}, {"POST", migrate}}) {
    MethodSpec method = qemu_specs().method(verb, path);
    method.permission = needs_privilege("/vms/{vmid}", "VM.Migrate");
    method.handler = handler;
    table.push_back(std::move(method));
  }
}

}  // namespace pvesim
