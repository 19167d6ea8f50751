// move_disk (to another storage, to another guest) and resize (qemu-server 9.2).

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

constexpr const char* kModified = "detected modified configuration - file changed by other user? Try again.";

struct Move {
  int vmid = 0;
  std::string node = {}, disk = {}, storage = {}, format = {}, digest = {};
  bool remove = false;
  std::int64_t bwlimit = 0;
  // found out on the way
  std::string source = {}, target = {};
  bool live = false;
  bool switched = false;  // QEMU uses the new volume
};

Drive checked_source(World& world, const Move& move) {
  const Vm& vm = world.vm_on(move.node, move.vmid);
  require_unlocked(vm);
  if (!move.digest.empty() && move.digest != config_digest(vm)) fail(kModified);
  const auto value = vm.config.values.find(move.disk);
  if (value == vm.config.values.end()) fail("disk '" + move.disk + "' does not exist");
  const auto drive = parse_drive(move.disk, value->second);
  if (!drive) fail("disk '" + move.disk + "' has no associated volume");
  if (drive->is_cdrom() && !drive->is_cloudinit()) fail("you can't move a cdrom");
  const auto id = parse_volume_id(drive->file);
  if (!id) fail("unable to parse volume ID '" + drive->file + "'");
  StorageDef& target = world.storage(move.storage);
  std::string format = "raw";
  if (const StorageDef* source = world.find_storage(id->storage)) format = parse_volume_name(*source, id->name).format;
  if (id->storage == move.storage && (move.format.empty() || move.format == format))
    fail("you can't move to the same storage with same format");
  if (volume_use(vm.config, drive->file, move.disk).snapshot && move.remove)
    fail("you can't move a disk with snapshots and delete the source");
  (void)require_enabled(world, move.storage, move.node);
  if (!has_content(target, "images"))
    fail_param("storage", "storage '" + move.storage + "' does not support vm images");
  return *drive;
}

/// Fact: io_uring hangs on thick LVM, CIFS and buffered krbd; a live move would keep the running aio.
void check_io_uring(World& world, const Vm& vm, const Drive& drive, const Move& move) {
  const StorageDef& target = world.storage(move.storage);
  const std::string cache = drive.get("cache", "none");
  const bool direct = cache == "none" || cache == "directsync";
  const bool hangs = target.type == "lvm" || target.type == "cifs" ||
                     (target.type == "rbd" && config_value(target.values, "krbd") == "1" && !direct);
  if (!hangs) return;
  const std::string aio = drive.get("aio");
  bool uring = aio == "io_uring";
  if (aio.empty() && machine_version(vm.running->machine) < 10.0) {
    const auto id = parse_volume_id(drive.file);
    const std::string& type = world.storage(id->storage).type;
    uring = type != "lvm" && type != "cifs" && type != "rbd" && type != "iscsidirect" && type != "zfs";
  }
  if (uring) fail("target storage is known to cause issues with aio=io_uring (used by current drive)");
}

void finish_move(Work& work, Move& move) {
  World& world = work.world();
  Vm& vm = world.vm_on(move.node, move.vmid);
  auto drive = parse_drive(move.disk, vm.config.values.at(move.disk));
  const FoundVolume made = require_volume(world, move.target, move.node);
  const bool is_template = config_value(vm.config.values, "template") == "1";
  if (is_template && !drive->is_cloudinit()) move.target = make_base(world, move.node, move.target);
  drive->file = move.target;
  drive->options.erase("format");
  if (is_unused_name(move.disk))
    drive->options.clear();
  else
    drive->options["size"] = print_size(made.volume->size);
  vm.config.values[move.disk] = print_drive(*drive);
  if (!move.remove || drive->is_cloudinit()) {
    if (!drive->is_cloudinit()) {
      const std::string key = add_unused(vm.config.values, move.source);
      work.log("adding source volume '" + move.source + "' as '" + key + "' to config");
    }
  }
  write_config(vm);
  const std::string source = move.source;
  if (move.remove || drive->is_cloudinit()) {
    work.log("removing source volume '" + source + "' after successful copy");
    try {
      free_volume(world, move.node, source, [&](const std::string& line) { work.log(line); });
    } catch (const ApiError& error) {
      work.log(error.message);  // Fact: only printed; the task ends OK and the volume stays
    }
  }
}

void switch_running(World& world, Move& move) {
  Vm& vm = world.vm_on(move.node, move.vmid);
  if (!vm.running) fail("VM " + std::to_string(move.vmid) + " not running");
  const FoundVolume made = require_volume(world, move.target, move.node);
  // What the guest wrote while the mirror ran went to both sides.
  if (const auto source = find_volume(world, move.source, move.node)) copy_content(world, *source, made);
  vm.running->open[move.disk] = made.ref();
  if (auto drive = parse_drive(move.disk, vm.running->effective[move.disk])) {
    drive->file = move.target;
    drive->options["size"] = print_size(made.volume->size);
    vm.running->effective[move.disk] = print_drive(*drive);
  }
  move.switched = true;
}

void copy_for_move(const std::shared_ptr<Work>& work, const std::shared_ptr<Move>& move) {
  World& world = work->world();
  const Drive drive = checked_source(world, *move);
  Vm& vm = world.vm_on(move->node, move->vmid);
  move->source = drive.file;
  const auto id = parse_volume_id(drive.file);
  move->live = vm.running && !is_unused_name(move->disk) && !drive.is_cloudinit();
  work->log("copying volume '" + move->source + "' from current storage '" + id->storage + "' to target storage '" +
            move->storage + "'");
  if (volume_use(vm.config, drive.file, move->disk).snapshot)
    work->log("moving disk with snapshots, snapshots will not be moved!");
  if (const auto missing = activation_problem(world, drive.file, move->node, true)) fail(missing->text);
  const FoundVolume source = require_volume(world, drive.file, move->node);
  work->log("create full clone of drive " + move->disk + " (" + drive.file + ")");
  if (move->live && move->disk == "tpmstate0") fail("cannot move TPM state while VM is running");
  if (move->live) check_io_uring(world, vm, drive, *move);
  const StorageDef& target = world.storage(move->storage);
  Allocation what;
  what.storage = move->storage;
  what.vmid = move->vmid;
  what.format = target_format(target, move->format, source.volume->format, log_of(work));
  what.size = move->disk == "efidisk0" ? 528 << 10 : move->disk == "tpmstate0" ? 4 << 20 : source.volume->size;
  if (drive.is_cloudinit()) what.key = "cloudinit";
  move->target = allocate_volume(world, move->node, what, log_of(work));
  work->log("allocated target volume '" + move->target + "'");
  if (drive.is_cloudinit()) return;  // Fact: its content is not copied
  Copy copy;
  copy.from = move->source;
  copy.to = move->target;
  copy.from_node = copy.to_node = move->node;
  copy.limit_kib = effective_bwlimit(world, {id->storage, move->storage}, "move", move->bwlimit);
  if (move->disk == "efidisk0") copy.size = 528 << 10;
  if (!move->live) return add_copy_step(work, copy, 0);
  const std::string job = "mirror-" + move->disk;
  copy.mirror = job;
  work->log("drive mirror is starting for drive-" + move->disk);
  add_copy_step(work, copy, vm.write_rate);
  work->takes("complete", 500ms, [work, move, job] {
    if (const Vm* guest = work->world().find_vm(move->vmid); guest == nullptr || !guest->running)
      fail("mirroring error: " + job + ": mirroring has been cancelled");
    work->log("all 'mirror' jobs are ready");
    work->log(job + ": Completing block job...");
    switch_running(work->world(), *move);
    work->log(job + ": Completed successfully.");
    work->log(job + ": mirror-job finished");
  });
  // Fact: between the end of the block job and the write of the config QEMU already uses the new volume.
  work->takes("switched", 50ms, {});
}

json move_to_storage(Call& call) {
  auto move = std::make_shared<Move>();
  move->vmid = call_vmid(call);
  move->node = call.node;
  move->disk = call.params.at("disk");
  move->storage = call.params.at("storage");
  move->format = text_or(call.params, "format", "");
  move->digest = text_or(call.params, "digest", "");
  move->remove = flag_or(call.params, "delete", false);
  move->bwlimit = integer_or(call.params, "bwlimit", 0);
  require_privilege(call, "/vms/" + std::to_string(move->vmid), "VM.Config.Disk");
  require_privilege(call, "/storage/" + move->storage, "Datastore.AllocateSpace");
  (void)checked_source(call.world, *move);
  auto work = std::make_shared<Work>(call.world);
  Work* raw = work.get();
  work->lock(vm_lock_file(move->vmid), kFlockPatience);
  work->lock_storage(move->storage);
  work->takes("prepare", 200ms, [raw, move] {
    const auto self = raw->shared_from_this();
    raw->unlock_storage(move->storage);
    raw->on_failure([raw, move](ApiError& error) {
      World& world = raw->world();
      if (!move->target.empty() && !move->switched) {
        try {
          free_volume(world, move->node, move->target, [](const std::string&) {});
        } catch (const ApiError&) {
          // stays behind
        }
      }
      if (!starts_with(error.message, "storage migration failed: "))
        error.message = "storage migration failed: " + error.message;
    });
    copy_for_move(self, move);
  });
  work->then("config", [raw, move] { finish_move(*raw, *move); });
  work->then("trim", [raw, move] {
    const Vm* vm = raw->world().find_vm(move->vmid);
    if (vm == nullptr || !move->live || !vm->guest_agent) return;
    const Section agent = parse_properties(config_value(vm->config.values, "agent"), "enabled");
    if (config_value(agent, "enabled") != "1" || config_value(agent, "fstrim_cloned_disks") != "1") return;
    raw->takes("fstrim", 2s, {});
  });
  return call.world.start_task(call.node, "qmmove", std::to_string(move->vmid), call.session.auth_id(), work);
}

// ------------------------------------------------------------------------------------------------ reassign

struct Reassign {
  int source = 0, target = 0;
  std::string node = {}, disk = {}, target_disk = {}, digest = {}, target_digest = {};
};

void check_reassign(World& world, Reassign& move) {
  Vm& source = world.vm_on(move.node, move.source);
  Vm* target = world.find_vm(move.target);
  const std::string target_id = std::to_string(move.target);
  if (target == nullptr) fail("could not find target VM " + target_id);
  if (target->node != move.node)
    fail("Both VMs need to be on the same node (" + move.node + " != " + target->node + ")");
  require_unlocked(source);
  require_unlocked(*target);
  if (config_value(source.config.values, "template") == "1" || config_value(target->config.values, "template") == "1")
    fail("Can't move disks from or to template VMs");
  if (!move.digest.empty() && move.digest != config_digest(source))
    fail("VM " + std::to_string(move.source) + ": " + kModified);
  if (!move.target_digest.empty() && move.target_digest != config_digest(*target))
    fail("VM " + target_id + ": " + kModified);
  const auto value = source.config.values.find(move.disk);
  if (value == source.config.values.end())
    fail("Disk '" + move.disk + "' for VM '" + std::to_string(move.source) + "' does not exist");
  if (move.target_disk.empty()) move.target_disk = move.disk;
  if (target->config.values.contains(move.target_disk))
    fail("Target disk key '" + move.target_disk + "' is already in use for VM '" + target_id + "'");
  const auto drive = parse_drive(move.disk, value->second);
  if (!drive || !drive->has_volume()) fail("Disk '" + move.disk + "' has no associated volume");
  if (drive->is_cloudinit()) fail("cannot move cloud-init volume");
  if (drive->is_cdrom()) fail("CD drive contents can't be moved to another VM");
  if (volume_use(source.config, drive->file, move.disk).snapshot)
    fail("Can't move disk used by a snapshot to another VM");
  const auto id = parse_volume_id(drive->file);
  if (!volume_has_feature(world, "rename", drive->file, move.node))
    fail("Storage does not support moving of this disk to another VM");
  if (source.running && !is_unused_name(move.disk))
    fail("Cannot move disk to another VM while the source VM is running - detach first");
  // The options must exist on the new bus.
  if (!is_unused_name(move.target_disk) && !is_unused_name(move.disk) && !parse_drive(move.target_disk, value->second))
    fail("failed to parse source disk for target disk format - unable to parse drive options");
  if (const StorageDef* storage = world.find_storage(id->storage);
      world.replicated(move.target) && (storage == nullptr || storage->type != "zfspool"))
    fail("Cannot move disk to a replicated VM. Storage does not support replication!");
}

json reassign(Call& call) {
  auto move = std::make_shared<Reassign>();
  move->source = call_vmid(call);
  move->target = static_cast<int>(integer_or(call.params, "target-vmid", 0));
  move->node = call.node;
  move->disk = call.params.at("disk");
  move->target_disk = text_or(call.params, "target-disk", "");
  move->digest = text_or(call.params, "digest", "");
  move->target_digest = text_or(call.params, "target-digest", "");
  const std::string source_id = std::to_string(move->source);
  const std::string target_id = std::to_string(move->target);
  require_privilege(call, "/vms/" + source_id, "VM.Config.Disk");
  require_privilege(call, "/vms/" + target_id, "VM.Config.Disk");
  if (move->source == move->target) fail_param("target-vmid", "must be different than source VMID to reassign disk");
  check_reassign(call.world, *move);
  if (const auto drive = parse_drive(move->disk, config_value(call_vm(call).config.values, move->disk)))
    require_privilege(call, "/storage/" + parse_volume_id(drive->file)->storage, "Datastore.AllocateSpace");
  auto work = std::make_shared<Work>(call.world);
  Work* raw = work.get();
  work->lock(vm_lock_file(move->source), kFlockPatience);
  work->lock(vm_lock_file(move->target), kFlockPatience);
  work->takes("reassign", 300ms, [raw, move, source_id, target_id] {
    World& world = raw->world();
    check_reassign(world, *move);
    Vm& source = world.vm_on(move->node, move->source);
    Vm& target = *world.find_vm(move->target);
    raw->log("reassign disk '" + move->disk + "' from VM '" + source_id + "' as '" + move->target_disk + "' to VM '" +
             target_id + "'");
    auto drive = parse_drive(move->disk, source.config.values.at(move->disk));
    const std::string renamed = rename_volume(world, move->node, drive->file, move->target);
    auto order = boot_order(source.config.values);
    const auto place = std::find(order.begin(), order.end(), move->disk);
    if (place != order.end() && starts_with(config_value(source.config.values, "boot"), "order=")) {
      raw->log("removing disk '" + move->disk + "' from boot order config");
      order.erase(place);
      std::string text;
      for (const std::string& device : order) text += (text.empty() ? "order=" : ";") + device;
      source.config.values["boot"] = text.empty() ? " " : text;
    }
    raw->log("removing disk '" + move->disk + "' from VM '" + source_id + "' config");
    source.config.values.erase(move->disk);
    write_config(source);
    drive->file = renamed;
    drive->slot = move->target_disk;
    if (is_unused_name(move->target_disk)) {
      target.config.values[move->target_disk] = renamed;
    } else {
      if (const auto found = find_volume(world, renamed, move->node))
        drive->options["size"] = print_size(found->volume->size);
      const std::string text = print_drive(*drive);
      raw->log("update VM " + target_id + ": -" + move->target_disk + " " + text);
      target.config.pending[move->target_disk] = text;
      OptionErrors errors;
      if (target.running)
        hotplug_pending(world, target, {move->target_disk}, errors);
      else
        apply_pending(world, target, errors);
      if (!errors.empty()) throw ApiError{.status = 400, .message = "Parameter verification failed.", .errors = errors};
    }
    write_config(target);
  });
  return call.world.start_task(call.node, "qmmove",
                               source_id + "-" + move->disk + ">" + target_id + "-" + move->target_disk,
                               call.session.auth_id(), work);
}

json move_disk(Call& call) {
  (void)call_vm(call);
  const bool storage = given(call.params, "storage");
  const bool target = given(call.params, "target-vmid");
  if (storage == target) {
    const std::string text = storage ? "either set 'storage' or 'target-vmid', but not both"
                                     : "both 'storage' and 'target-vmid' missing, either needs to be set";
    throw ApiError{.status = 400,
                   .message = "Parameter verification failed.",
                   .errors = {{"target-vmid", text}, {"storage", text}}};
  }
  return storage ? move_to_storage(call) : reassign(call);
}

// ------------------------------------------------------------------------------------------------ resize

struct Resize {
  int vmid = 0;
  std::string node = {}, disk = {}, size = {}, digest = {};
  bool skip_lock = false;
  std::string storage_error = {};
};

void resize_now(Work& work, const Resize& resize) {
  World& world = work.world();
  Vm& vm = world.vm_on(resize.node, resize.vmid);
  if (!resize.digest.empty() && resize.digest != config_digest(vm))
    fail("checksum mismatch (file change by other user?)");
  if (!resize.skip_lock) require_unlocked(vm);
  const auto value = vm.config.values.find(resize.disk);
  if (value == vm.config.values.end()) fail("disk '" + resize.disk + "' does not exist");
  auto drive = parse_drive(resize.disk, value->second);
  if (!drive) fail("unable to parse drive options");
  const auto id = parse_volume_id(drive->file);
  if (!id) fail("unable to parse volume ID '" + drive->file + "'");
  if (drive->is_cdrom()) fail("you can't resize a cdrom");
  if (!resize.storage_error.empty()) fail(resize.storage_error);
  if (const auto missing = activation_problem(world, drive->file, vm.node, true)) {
    work.takes("activate", missing->delay, [text = missing->text] { fail(text); });
    return;
  }
  const FoundVolume found = require_volume(world, drive->file, vm.node);
  const bool add = resize.size.front() == '+';
  const std::int64_t amount = parse_size(add ? std::string_view(resize.size).substr(1) : std::string_view(resize.size));
  const std::int64_t before = found.volume->size;
  const std::int64_t wanted = add ? before + amount : amount;
  if (wanted < before) fail("shrinking disks is not supported");
  if (wanted == before) return;
  resize_volume(world, vm.node, drive->file, wanted, vm.running.has_value(),
                [&](const std::string& line) { work.log(line); });
  drive->options["size"] = print_size((wanted + 1023) / 1024 * 1024);
  vm.config.values[resize.disk] = print_drive(*drive);
  if (vm.running)
    if (auto real = parse_drive(resize.disk, config_value(vm.running->effective, resize.disk))) {
      real->options["size"] = drive->get("size");
      vm.running->effective[resize.disk] = print_drive(*real);
    }
  write_config(vm);
}

json resize_disk(Call& call) {
  const Vm& vm = call_vm(call);
  Resize resize;
  resize.vmid = vm.vmid;
  resize.node = call.node;
  resize.disk = call.params.at("disk");
  resize.size = call.params.at("size");
  resize.digest = text_or(call.params, "digest", "");
  resize.skip_lock = root_only_flag(call, "skiplock");
  // Fact: the right on the storage is asked for inside the task.
  if (const auto value = vm.config.values.find(resize.disk); value != vm.config.values.end())
    if (const auto drive = parse_drive(resize.disk, value->second))
      if (const auto id = parse_volume_id(drive->file))
        if (!has_privilege(call, "/storage/" + id->storage, "Datastore.AllocateSpace"))
          resize.storage_error = "Permission check failed (/storage/" + id->storage + ", Datastore.AllocateSpace)";
  auto work = std::make_shared<Work>(call.world);
  Work* raw = work.get();
  work->lock(vm_lock_file(resize.vmid), kFlockPatience);
  work->takes("resize", 200ms, [raw, resize] { resize_now(*raw, resize); });
  return call.world.start_task(call.node, "resize", std::to_string(resize.vmid), call.session.auth_id(), work);
}

}  // namespace

void add_qemu_disk_methods(MethodTable& table) {
  const std::string base = "/nodes/{node}/qemu/{vmid}";
  MethodSpec move = qemu_specs().method("POST", base + "/move_disk");
  move.permission = needs_privilege("/vms/{vmid}", "VM.Config.Disk");
  move.handler = move_disk;
  table.push_back(std::move(move));
  MethodSpec resize = qemu_specs().method("PUT", base + "/resize");
  resize.permission = needs_privilege("/vms/{vmid}", "VM.Config.Disk");
  resize.handler = resize_disk;
  table.push_back(std::move(resize));
}

}  // namespace pvesim
