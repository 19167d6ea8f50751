#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "reconciler/model/guest_options.h"
#include "reconciler/model/option_codec.h"
#include "reconciler/planning/bind_disks.h"
#include "reconciler/planning/compare.h"
#include "reconciler/planning/diff_vm.h"
#include "reconciler/planning/plan_builder.h"
#include "reconciler/planning/power_obstacle.h"

namespace pvr {
namespace {

// "32" or "0.5": PVE takes sizes of new volumes in GiB, with decimals.
std::string gib_text(ByteSize size) {
  std::string text = fmt::format("{:.10f}", static_cast<double>(size.bytes) / static_cast<double>((1_GiB).bytes));
  text.erase(text.find_last_not_of('0') + 1);
  if (text.ends_with('.')) text.pop_back();
  return text;
}

std::string joined_options(const FlatMap<std::string>& options) {
  std::string text;
  for (const auto& [key, value] : options) text += fmt::format(",{}={}", key, value);
  return text;
}

struct NewDisk {
  std::string text = {};  // PVE's allocation syntax
  std::string storage = {};
  ByteSize bytes = {};
  std::optional<ByteSize> grow_to = {};  // after an import
};

// How `vm` gets the disk when PVE creates it; blocks and returns nothing where it cannot.
std::optional<NewDisk> new_disk(PlanBuilder& b, const ResolvedVm& vm, const DiskDiff& disk, const std::string& node) {
  const ResolvedDisk& wish = *std::ranges::find(vm.disks, disk.name, &ResolvedDisk::name);
  const ResourceAddress address{.kind = AddressKind::kVm, .name = vm.name, .part = disk.name};
  const std::string what = fmt::format("create {}", to_text(disk.desired_slot));
  const auto refuse = [&](std::string why, std::string remedy) {
    b.block(address, what, std::move(why), std::move(remedy));
    return std::optional<NewDisk>{};
  };
  if (disk.match == DiskMatch::kAmbiguous) return refuse(disk.blocked, disk.remedy);
  NewDisk out{.storage = desired_text(wish, "storage")};
  if (out.storage.empty())
    return refuse("nothing says on which storage", "give the VM's lane a storage, or state storage: on the disk");
  if (std::optional<PlanBuilder::Refusal> refusal = b.refuses(out.storage, node))
    return refuse(refusal->why, refusal->remedy);
  const StorageView* view = b.storages.find(out.storage);
  const std::optional<ByteSize> size = desired_size(wish);
  FlatMap<std::string> options;
  for (const SettingChange& change : disk.settings)
    options.set(change.key, drive_option_text(change.key, change.desired.value));
  const std::string format = view->has_zvols() ? std::string() : desired_text(wish, "format");
  if (!format.empty() && !is_cloud_init(wish)) options.set("format", format);
  out.bytes = size.value_or(4_MiB);
  if (is_cloud_init(wish)) {
    if (const LiveVolume* there = b.cloud_init_volume(vm.vmid, out.storage, node))
      return refuse(fmt::format("{} is there already, and no guest names it", to_text(there->id)),
                    fmt::format("on {}: pvesm free {}", node, to_text(there->id)));
    out.text = out.storage + ":cloudinit";
  } else if (disk.desired_slot.bus == Bus::kEfi || disk.desired_slot.bus == Bus::kTpm) {
    out.text = out.storage + ":1";  // Fact: PVE ignores the number and takes the size these need
  } else if (wish.import_from) {
    out.text = out.storage + ":0";
    options.set("import-from", *wish.import_from);
    out.grow_to = size;
  } else if (size) {
    out.text = fmt::format("{}:{}", out.storage, gib_text(*size));
  } else {
    return refuse("nothing says how large", "state size: on the disk");
  }
  out.text += joined_options(options);
  if (const std::optional<std::string> full = b.space.reserve(*view, node, b.space.taken(*view, node, out.bytes))) {
    return refuse(*full + " (rule Z10)", "make room, or --force-capacity");
  }
  return out;
}

void block_vm(PlanBuilder& b, const ResolvedVm& vm, std::string why, std::string remedy, bool by_policy = true) {
  b.block({.kind = AddressKind::kVm, .name = vm.name}, "create the guest", std::move(why), std::move(remedy),
          by_policy);
}

// The node a new guest goes to, or a block.
std::optional<std::string> node_for(PlanBuilder& b, const ResolvedVm& vm, const std::string& fallback) {
  std::string name = vm.node.value_or(fallback);
  if (name.empty() && b.live.nodes.size() == 1) name = b.live.nodes.front().name;
  if (name.empty()) {
    block_vm(b, vm, "nothing says on which node", "state node: for the VM");
    return std::nullopt;
  }
  const LiveNode* node = b.live.node(name);
  if (node == nullptr) {
    block_vm(b, vm, fmt::format("there is no node \"{}\"", name), "correct node:");
    return std::nullopt;
  }
  if (!node->online) {
    block_vm(b, vm, fmt::format("node \"{}\" is offline", name), "plan again when it is back", false);
    return std::nullopt;
  }
  return name;
}

// ---- create ----

void plan_created(PlanBuilder& b, const ResolvedVm& vm, const VmDiff& diff) {
  const std::optional<std::string> node = node_for(b, vm, "");
  if (!node) return;
  const ResourceAddress address{.kind = AddressKind::kVm, .name = vm.name};
  CreateVm create{.node = *node, .vmid = vm.vmid, .pool = vm.pool.value_or(""), .uuid = vm.uuid.value_or("")};
  Operation op{.address = address, .locks = {fmt::format("vm/{}", vm.vmid.number)}, .node = *node};
  op.changes.push_back({.key = "vm",
                        .from = "none",
                        .to = fmt::format("{} on {}", vm.vmid.number, *node),
                        .reason = "the guest does not exist yet"});
  for (const SettingChange& change : diff.options) {
    if (is_root_only(change.key, change.desired.value) && !b.options.as_root) {
      b.block(address, fmt::format("set {} to {}", change.key, to_text(change.desired.value)),
              "only root@pam with a password may set it, no API token",
              fmt::format("after the creation, on {}: qm set {} --{} '{}'", *node, vm.vmid.number, change.key,
                          vm_option_text(change.key, change.desired.value)));
      continue;
    }
    const std::string key = change.key == "cdrom" ? "ide2" : change.key;
    (cd_slot(key) ? create.disks : create.options).set(key, vm_option_text(key, change.desired.value));
    op.changes.push_back(b.line(change, Home::kVmOption, Impact::kNone));
  }
  if (!create.options.contains("name")) create.options.set("name", vm.name);
  if (vm.uuid) {
    PropertyString smbios;
    if (const Resolved* stated = vm.options.find("smbios1");
        stated != nullptr && std::holds_alternative<PropertyString>(stated->value)) {
      smbios = std::get<PropertyString>(stated->value);
    }
    smbios.set("uuid", *vm.uuid);
    create.options.set("smbios1", vm_option_text("smbios1", smbios));
  }
  std::vector<Operation> grow;
  bool whole = true;
  for (const DiskDiff& disk : diff.disks) {
    const std::optional<NewDisk> made = new_disk(b, vm, disk, *node);
    if (!made) {
      whole = false;
      continue;
    }
    const std::string slot = to_text(disk.desired_slot);
    create.disks.set(slot, made->text);
    op.changes.push_back({.key = slot, .from = "none", .to = made->text, .reason = "stated in the fleet file"});
    for (const SettingChange& change : disk.settings) {
      PlannedChange line = b.line(change, Home::kDriveOption, Impact::kNone);
      line.key = slot + " " + line.key;
      op.changes.push_back(std::move(line));
    }
    op.locks.push_back("storage/" + made->storage);
    for (const OperationId id : b.before_storage(made->storage)) op.after.push_back(id);
    if (made->grow_to) {
      Operation resize{.address = {.kind = AddressKind::kVm, .name = vm.name, .part = disk.name},
                       .locks = {fmt::format("vm/{}", vm.vmid.number)},
                       .node = *node};
      resize.procedure = ResizeDisk{
          .vmid = vm.vmid, .slot = disk.desired_slot, .volume = {.storage = made->storage}, .size = *made->grow_to};
      resize.changes.push_back({.key = "size",
                                .from = "size of the image",
                                .to = to_text(*made->grow_to),
                                .reason = "stated in the fleet file"});
      grow.push_back(std::move(resize));
      op.locks.push_back("copy/" + *node);
    }
  }
  // A guest without one of its disks is not what was asked for, and what refused the disk is named already.
  if (!whole) {
    block_vm(b, vm, "one of its disks cannot be made", "see the disk");
    return;
  }
  for (const OperationId id : b.before_pool(create.pool)) op.after.push_back(id);
  op.procedure = std::move(create);
  const OperationId made = b.add(std::move(op));
  std::vector<OperationId> all = {made};
  for (Operation& resize : grow) {
    resize.after = {made};
    all.push_back(b.add(std::move(resize)));
  }
  const bool ha_starts_it = vm.ha && vm.ha->enabled;
  if (vm.state == VmState::kRunning && !ha_starts_it) {
    Operation start{.address = address,
                    .procedure = StartVm{.vmid = vm.vmid},
                    .after = all,
                    .locks = {fmt::format("vm/{}", vm.vmid.number)},
                    .node = *node};
    start.changes.push_back({.key = "power", .from = "stopped", .to = "running", .reason = "stated in the fleet file"});
    all.push_back(b.add(std::move(start)));
  }
  b.guest_operations[vm.vmid.number] = std::move(all);
}

// ---- clone ----

const LiveVm* clone_source(PlanBuilder& b, const ResolvedVm& vm, std::string& why) {
  const std::string& wanted = *vm.clone;
  std::uint32_t number = 0;
  const auto parsed = std::from_chars(wanted.data(), wanted.data() + wanted.size(), number);
  if (parsed.ec == std::errc{} && parsed.ptr == wanted.data() + wanted.size()) {
    const LiveVm* found = b.live.vm(Vmid{number});
    if (found == nullptr) why = fmt::format("there is no guest {} to clone", wanted);
    return found;
  }
  if (const ResolvedVm* declared = b.vm(wanted)) {
    if (const LiveVm* found = b.live.vm(declared->vmid)) return found;
  }
  const LiveVm* found = nullptr;
  for (const LiveVm& guest : b.live.vms) {
    if (guest.name != wanted || guest.is_container) continue;
    if (found != nullptr) {
      why = fmt::format("guests {} and {} are both named \"{}\"", found->vmid.number, guest.vmid.number, wanted);
      return nullptr;
    }
    found = &guest;
  }
  if (found == nullptr) why = fmt::format("there is no guest \"{}\" to clone", wanted);
  return found;
}

// The one storage a full clone can put everything on at once: what every declared disk of the source wants, when some
// disk is elsewhere.
std::string common_storage(const ResolvedVm& vm, const LiveVm& source) {
  std::string common;
  bool elsewhere = false;
  for (const LiveDrive& drive : source.drives) {
    if (!drive.current || !drive.current->volume || drive.slot.bus == Bus::kUnused ||
        drive.current->medium == Drive::Medium::kCdrom)
      continue;
    const auto wish = std::ranges::find(vm.disks, drive.slot, &ResolvedDisk::slot);
    if (wish == vm.disks.end()) return {};
    const std::string storage = desired_text(*wish, "storage");
    if (storage.empty() || (!common.empty() && storage != common)) return {};
    common = storage;
    elsewhere = elsewhere || drive.current->volume->storage != storage;
  }
  return elsewhere ? common : std::string();
}

// What the clone will look like. Fact: everything is copied except MAC addresses, uuid, generation id, unused disks,
// snapshots and pending changes.
LiveVm cloned_guest(const ResolvedVm& vm, const LiveVm& source, const std::string& node, const std::string& storage) {
  LiveVm guest{.vmid = vm.vmid, .name = vm.name, .node = node, .power = PowerState::kStopped};
  guest.snapshots_known = true;
  for (const auto& [key, option] : source.options) {
    static constexpr std::string_view kLeftOut[] = {"parent", "template", "smbios1", "vmgenid", "lock", "digest"};
    if (!option.has_current || std::ranges::find(kLeftOut, key) != std::end(kLeftOut)) continue;
    LiveOption copy{.current = option.current};
    const Setting* setting = find_setting(Home::kVmOption, key);
    if (setting != nullptr && setting->name == "net") {
      OptionValue value = value_of_text(setting, option.current);
      if (auto* parts = std::get_if<PropertyString>(&value)) parts->erase("macaddr");
      copy.current = print_option(*setting, value);
    }
    guest.options.set(key, std::move(copy));
  }
  guest.options.set("name", LiveOption{.current = vm.name});
  for (const LiveDrive& drive : source.drives) {
    if (drive.slot.bus == Bus::kUnused || !drive.current) continue;
    LiveDrive copy{.slot = drive.slot, .current = drive.current};
    const bool copied = copy.current->volume && copy.current->medium != Drive::Medium::kCdrom;
    if (copied) copy.current->volume = VolumeId{.storage = storage.empty() ? copy.current->volume->storage : storage};
    guest.drives.push_back(std::move(copy));
  }
  return guest;
}

void plan_clone(PlanBuilder& b, const ResolvedVm& vm, const StorageTable& storages) {
  std::string why;
  const LiveVm* source = clone_source(b, vm, why);
  if (source == nullptr) {
    block_vm(b, vm, why, "correct clone:");
    return;
  }
  if (!source->readable) {
    block_vm(b, vm, source->problem, "plan again when it can be read", false);
    return;
  }
  const std::optional<std::string> node = node_for(b, vm, source->node);
  if (!node) return;
  if (vm.linked_clone && !source->is_template) {
    block_vm(b, vm, fmt::format("guest {} is no template, so it cannot be cloned linked", source->vmid.number),
             "linked: false, or make it a template");
    return;
  }
  if (!source->lock.empty()) {
    block_vm(b, vm, fmt::format("guest {} is locked ({})", source->vmid.number, source->lock),
             "plan again when that is over", false);
    return;
  }
  if (const auto missing = start_obstacle(*source, storages))
    return block_vm(b, vm, fmt::format("of guest {}, {}", source->vmid.number, missing->why), missing->remedy, false);
  const std::string storage = vm.linked_clone ? std::string() : common_storage(vm, *source);
  ByteSize bytes{};
  for (const LiveDrive& drive : source->drives) {
    if (!drive.current || !drive.current->volume || drive.slot.bus == Bus::kUnused ||
        drive.current->medium == Drive::Medium::kCdrom)
      continue;
    const std::string& target = storage.empty() ? drive.current->volume->storage : storage;
    if (std::optional<PlanBuilder::Refusal> refusal = b.refuses(target, *node))
      return block_vm(b, vm, refusal->why, refusal->remedy);
    const StorageView* to = b.storages.find(target);
    const StorageView* from = b.storages.find(drive.current->volume->storage);
    if (*node != source->node && (!to->shared || from == nullptr || !from->shared)) {
      block_vm(b, vm,
               fmt::format("guest {} has local disks on {}, so PVE clones it on that node only", source->vmid.number,
                           source->node),
               fmt::format("state node: {}, or keep the template on shared storage", source->node));
      return;
    }
    if (vm.linked_clone) continue;
    const ByteSize size = drive.current->size.value_or(ByteSize{});
    bytes = bytes + size;
    if (const std::optional<std::string> full = b.space.reserve(*to, *node, b.space.taken(*to, *node, size))) {
      return block_vm(b, vm, *full + " (rule Z10)", "make room, or --force-capacity");
    }
  }
  const LiveVm guest = cloned_guest(vm, *source, *node, storage);
  std::vector<Finding> findings;
  const VmDiff diff = diff_guest(vm, guest, storages, DiffDetail::kChanges, findings);
  Operation op{.address = {.kind = AddressKind::kVm, .name = vm.name},
               .locks = {fmt::format("vm/{}", vm.vmid.number)},
               .node = source->node};
  op.changes.push_back(
      {.key = "vm",
       .from = "none",
       .to = fmt::format("{} clone of {} on {}", vm.linked_clone ? "linked" : "full", source->vmid.number, *node),
       .reason = "the guest does not exist yet"});
  if (!storage.empty()) {
    op.locks.push_back("storage/" + storage);
    op.after = b.before_storage(storage);
  }
  if (!vm.linked_clone) {
    op.locks.push_back("copy/" + source->node);
    const LiveDrive* first = source->drives.empty() ? nullptr : &source->drives.front();
    const std::string target = !storage.empty() ? storage
                               : first != nullptr && first->current && first->current->volume
                                   ? first->current->volume->storage
                                   : "";
    if (const StorageView* view = b.storages.find(target)) op.copy = b.copy_cost(*view, *node, bytes, false);
  }
  for (const OperationId id : b.before_pool(vm.pool.value_or(""))) op.after.push_back(id);
  op.procedure = CloneVm{.source_node = source->node,
                         .source = source->vmid,
                         .vmid = vm.vmid,
                         .name = vm.name,
                         .full = !vm.linked_clone,
                         .storage = storage,
                         .target_node = *node == source->node ? "" : *node,
                         .pool = vm.pool.value_or("")};
  const OperationId base = b.add(std::move(op));
  b.guest_operations[vm.vmid.number].push_back(base);
  for (Finding& finding : findings) b.note(std::move(finding));
  plan_cloned_guest(b, vm, diff, guest, base);
}

}  // namespace

void plan_new_guest(PlanBuilder& b, const ResolvedVm& vm, const VmDiff& diff) {
  if (vm.clone)
    plan_clone(b, vm, b.storages);
  else
    plan_created(b, vm, diff);
}

void plan_guest_removal(PlanBuilder& b, const ResolvedVm& vm, const LiveVm& guest) {
  const ResourceAddress address{.kind = AddressKind::kVm, .name = vm.name};
  const std::string what = fmt::format("destroy guest {} and its disks", vm.vmid.number);
  if (!b.allowance(vm).destroy) return b.block(address, what, "this destroys data", "--allow destroy");
  if (option_text(guest, "protection") == "1") {
    return b.block(address, what, "the guest is protected", fmt::format("qm set {} --protection 0", vm.vmid.number));
  }
  if (!guest.lock.empty())
    return b.block(address, what, fmt::format("it is locked ({})", guest.lock), "plan again when that is over", false);
  // Fact: with the guest PVE drops its replication jobs, and with those the knowledge of the replicas: those stay.
  const auto job = std::ranges::find(b.live.replication, vm.vmid, &LiveReplication::guest);
  if (job != b.live.replication.end())
    return b.block(
        address, what, fmt::format("it is replicated to {}, and PVE would leave the replicas there", job->target),
        fmt::format("pvesh delete /cluster/replication/{}; plan again when PVE has removed the replicas", job->id));
  if (guest.is_template) {
    for (const LiveDrive& drive : guest.drives) {
      if (drive.current && drive.current->volume && b.storages.has_children(*drive.current->volume)) {
        return b.block(address, what, "other guests are linked clones of it",
                       "destroy them, or move their disks, first");
      }
    }
  }
  // Fact: PVE destroys what carries the guest's number, whoever else names it, and leaves the rest.
  for (const LiveDrive& drive : guest.drives) {
    for (const auto* state : {&drive.current, &drive.pending}) {
      if (!*state || !(*state)->volume || owner_of(*(*state)->volume) != vm.vmid) continue;
      if (const auto taken = destruction_obstacle(guest, *(*state)->volume, b.storages))
        return b.block(address, what, taken->why, taken->remedy);
    }
  }
  const std::string lock = fmt::format("vm/{}", vm.vmid.number);
  std::vector<OperationId> before;
  const bool ha = b.ha_managed(vm.vmid);
  const auto give = [&](Procedure procedure, Impact impact, PlannedChange change) {
    Operation op{.address = address, .impact = impact, .after = before, .locks = {lock}, .node = guest.node};
    op.procedure = std::move(procedure);
    change.reason = "state: absent in the fleet file";
    change.impact = impact;
    op.changes.push_back(std::move(change));
    if (before.empty()) op.guard.digest = guest.digest;
    op.guard.uuid = guest.uuid;
    before = {b.add(std::move(op))};
  };
  const bool running = guest.power == PowerState::kRunning || guest.power == PowerState::kPaused;
  if (ha)
    give(RemoveHa{.sid = fmt::format("vm:{}", vm.vmid.number)}, Impact::kNone,
         {.key = "ha", .from = "managed", .to = "not managed"});
  if (running) give(StopVm{.vmid = vm.vmid}, Impact::kRestart, {.key = "power", .from = "running", .to = "stopped"});
  give(DestroyVm{.vmid = vm.vmid, .uuid = guest.uuid}, Impact::kDestroy,
       {.key = "vm", .from = fmt::format("{}", vm.vmid.number), .to = "destroyed"});
}

}  // namespace pvr
