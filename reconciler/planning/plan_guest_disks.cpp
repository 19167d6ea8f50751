#include <fmt/format.h>

#include <algorithm>

#include "reconciler/planning/diff_vm.h"
#include "reconciler/planning/guest_planner.h"

namespace pvr {

namespace {

constexpr const char* kMakeReplicable =
    "state replicate: off on the disk, put it on a zfspool storage, or remove the replication job";

/// Rules C2 and A2: host page cache and native aio are right on some storages and forbidden on others. They were judged
/// for the storage the disk belongs on, so they wait until it lies there.
bool only_right_somewhere(const SettingChange& change) {
  const auto* text = std::get_if<std::string>(&change.desired.value);
  if (text == nullptr) return false;
  if (change.key == "aio") return *text == "native";
  return change.key == "cache" && *text != "none" && *text != "directsync";
}

}  // namespace

bool GuestPlanner::plugs(DriveSlot slot) const {
  // Fact: scsi and virtio drives come and go in a running guest with hotplug disk; the other buses wait for a
  // restart.
  if (!mode_.running) return true;
  return (slot.bus == Bus::kScsi || slot.bus == Bus::kVirtio) &&
         std::ranges::find(mode_.hotplug, "disk") != mode_.hotplug.end();
}

bool GuestPlanner::boots_from(DriveSlot slot) const {
  const LiveOption* boot = guest_.options.find("boot");
  if (boot == nullptr || !boot->has_current) return false;
  const OptionValue order = value_of_text(find_setting(Home::kVmOption, "boot"), boot->current);
  const auto* words = std::get_if<StringList>(&order);
  return words != nullptr && std::ranges::find(*words, to_text(slot)) != words->end();
}

Impact GuestPlanner::written_impact(bool live) const {
  if (!mode_.running) return Impact::kNone;
  if (live) return Impact::kLive;
  return allow_.restart || !stopped_.empty() ? Impact::kRestart : Impact::kPendingRestart;
}

void GuestPlanner::put(Moment moment, Operation op, std::vector<DriveSlot> slots) {
  auto& list = moment == Moment::kNow ? now_ : moment == Moment::kAfterRestart ? restarted_ : stopped_;
  list.push_back({std::move(op), std::move(slots)});
}

void GuestPlanner::expect_restart(Moment moment) {
  if (!mode_.running && moment != Moment::kAfterRestart) return;
  if (moment == Moment::kNow) pending_now_ = true;
  if (moment == Moment::kAfterRestart) pending_restarted_ = true;
}

void GuestPlanner::plan_disk(const DiskDiff& disk) {
  const std::string slot = to_text(disk.desired_slot);
  if (disk.match == DiskMatch::kAmbiguous || disk.match == DiskMatch::kWrongHolder) {
    const std::string what =
        disk.match == DiskMatch::kAmbiguous ? fmt::format("create {}", slot) : fmt::format("reconcile {}", slot);
    b_.block(address(disk), what, disk.blocked, disk.remedy);
    return;
  }
  if (disk.absent || disk.detached) {
    if (disk.match == DiskMatch::kInPlace) take_away(disk);
    return;
  }
  if (!disk.blocked.empty()) b_.block(address(disk), fmt::format("change {}", slot), disk.blocked, disk.remedy);
  if (disk.off_limits) return;
  if (disk.unfinished == Unfinished::kExchange || disk.unfinished == Unfinished::kSwap) return go_on(disk);
  switch (disk.match) {
    case DiskMatch::kMissing:
      add_disk(disk);
      break;
    case DiskMatch::kUnused:
    case DiskMatch::kOtherSlot:
      attach(disk);
      break;
    default: {
      const Choice choice = choose_strategy(disk);
      if (choice == Choice::kPlanned) return;
      if (disk.unfinished == Unfinished::kHeld) go_on(disk);
      Decision decision{.refused = disk.move_to.has_value()};
      if (choice != Choice::kRefused)
        decision = decide(disk, disk.desired_slot, mode_.running ? std::nullopt : std::optional(Moment::kNow));
      const bool refused = decision.refused;
      carry_out(disk, disk.desired_slot, Moment::kNow, std::move(decision), drive_changes(disk, refused), false);
    }
  }
}

Operation GuestPlanner::disk_operation(const DiskDiff& disk, Procedure procedure) const {
  Operation op{.address = address(disk)};
  op.procedure = std::move(procedure);
  return op;
}

const StorageView* GuestPlanner::target_storage(const DiskDiff& disk, const std::string& storage,
                                                const std::string& what) {
  if (std::optional<PlanBuilder::Refusal> refusal = b_.refuses(storage, guest_.node)) {
    b_.block(address(disk), what, refusal->why, refusal->remedy);
    return nullptr;
  }
  const StorageView* view = b_.storages.find(storage);
  if (const auto obstacle = allocation_obstacle(guest_, *view, b_.storages)) {
    b_.block(address(disk), what, obstacle->why, obstacle->remedy, false);
    return nullptr;
  }
  if (const std::string why = replication_refuses(disk, *view); !why.empty()) {
    b_.block(address(disk), what, why, "state replicate: off on the disk, or remove the replication job");
    return nullptr;
  }
  return view;
}

bool GuestPlanner::left_out_of_replication(const DiskDiff& disk) const {
  const Resolved* wish = desired(disk).settings.find("replicate");
  const LiveDrive* drive = guest_.drive(disk.live_slot.value_or(disk.desired_slot));
  const Drive* configured = drive != nullptr ? drive->configured() : nullptr;
  const OptionValue* present = configured != nullptr ? configured->options.find("replicate") : nullptr;
  const OptionValue* counts = wish != nullptr && !wish->finding_only ? &wish->value : present;
  return counts != nullptr && *counts == OptionValue(false);
}

std::string GuestPlanner::replication_refuses_write(const DiskDiff& disk, const VolumeId& volume) const {
  const StorageView* storage = b_.storages.find(volume.storage);
  if (storage == nullptr || storage->shared || storage->has_zvols() || left_out_of_replication(disk)) return {};
  const auto job = std::ranges::find(b_.live.replication, vm_.vmid, &LiveReplication::guest);
  if (job == b_.live.replication.end()) return {};
  return fmt::format(
      "the guest is replicated to {}, and PVE refuses every change of a drive on storage \"{}\", which it "
      "cannot replicate",
      job->target, storage->id);
}

std::string GuestPlanner::replication_refuses(const DiskDiff& disk, const StorageView& target) const {
  if (left_out_of_replication(disk)) return {};
  const auto refuses = [&](const std::string& node) { return !target.has_zvols() || !target.on_node(node); };
  for (const LiveReplication& job : b_.live.replication) {
    if (job.guest == vm_.vmid && refuses(job.target)) {
      return fmt::format("the guest is replicated to {}, and storage \"{}\" cannot be replicated there", job.target,
                         target.id);
    }
  }
  return {};
}

void GuestPlanner::add_disk(const DiskDiff& disk) {
  const ResolvedDisk& wish = desired(disk);
  const std::string storage = desired_text(wish, "storage");
  const std::string what = fmt::format("create {}", to_text(disk.desired_slot));
  if (storage.empty()) {
    b_.block(address(disk), what, "nothing says on which storage",
             "give the VM's lane a storage, or state storage: on the disk");
    return;
  }
  const StorageView* view = target_storage(disk, storage, what);
  if (view == nullptr) return;
  AddDisk add{.vmid = vm_.vmid, .slot = disk.desired_slot, .storage = storage, .cloud_init = is_cloud_init(wish)};
  if (add.cloud_init) {
    if (const LiveVolume* there = b_.cloud_init_volume(vm_.vmid, storage, guest_.node)) {
      b_.block(address(disk), what, fmt::format("{} is there already, and no drive names it", to_text(there->id)),
               fmt::format("take it: qm set {} --{} {},media=cdrom", vm_.vmid.number, to_text(disk.desired_slot),
                           to_text(there->id)));
      return;
    }
  }
  const bool sized_by_pve = add.cloud_init || disk.desired_slot.bus == Bus::kEfi || disk.desired_slot.bus == Bus::kTpm;
  const std::optional<ByteSize> size = desired_size(wish);
  if (!sized_by_pve && !size && !wish.import_from) {
    b_.block(address(disk), what, "nothing says how large", "state size: on the disk");
    return;
  }
  const ByteSize bytes = size.value_or(4_MiB);  // the largest that PVE makes by itself
  if (const std::optional<std::string> full =
          b_.space.reserve(*view, guest_.node, b_.space.taken(*view, guest_.node, bytes))) {
    b_.block(address(disk), what, *full + " (rule Z10)", "make room, or --force-capacity");
    return;
  }
  const bool live = plugs(disk.desired_slot);
  Operation op{.address = address(disk),
               .impact = written_impact(live),
               .after = b_.before_storage(storage),
               .locks = {"storage/" + storage}};
  op.changes.push_back({.key = "volume",
                        .from = "none",
                        .to = fmt::format("new on {}", storage),
                        .reason = "the disk has no volume yet",
                        .impact = op.impact});
  if (wish.import_from) {
    add.import_from = *wish.import_from;
    op.changes.back().to = fmt::format("import of {} on {}", add.import_from, storage);
    op.copy = b_.copy_cost(*view, guest_.node, bytes, false);
    op.locks.push_back("copy/" + guest_.node);
  } else if (size) {
    add.size = *size;
    op.changes.back().to += fmt::format(", {}", to_text(*size));
  }
  if (!view->has_zvols()) add.format = desired_text(wish, "format");
  for (const SettingChange& change : disk.settings) {
    if (!is_change(change) || find_setting(Home::kDriveOption, change.key) == nullptr ||
        is_absent(change.desired.value))
      continue;
    add.options.set(change.key, drive_option_text(change.key, change.desired.value));
    op.changes.push_back(b_.line(change, Home::kDriveOption, op.impact));
  }
  op.procedure = std::move(add);
  if (!live) expect_restart(Moment::kNow);
  put(Moment::kNow, std::move(op), {disk.desired_slot});
  if (wish.import_from && size) {
    // The import has the source's size; PVE refuses to state another one with it.
    Operation grow = disk_operation(
        disk, ResizeDisk{.vmid = vm_.vmid, .slot = disk.desired_slot, .volume = {.storage = storage}, .size = *size});
    grow.impact = mode_.running ? Impact::kLive : Impact::kNone;
    grow.changes.push_back({.key = "size",
                            .from = "size of the image",
                            .to = to_text(*size),
                            .reason = "stated in the fleet file",
                            .impact = grow.impact});
    put(Moment::kNow, std::move(grow), {disk.desired_slot});
  }
}

void GuestPlanner::attach(const DiskDiff& disk) {
  const bool other_slot = disk.match == DiskMatch::kOtherSlot;
  const std::string what = fmt::format("attach {} as {}", to_text(*disk.volume), to_text(disk.desired_slot));
  if (const std::string why = replication_refuses_write(disk, *disk.volume); !why.empty()) {
    b_.block(address(disk), what, why, kMakeReplicable);
    return;
  }
  Moment moment = Moment::kNow;
  if (mode_.running && (other_slot || !plugs(disk.desired_slot))) {
    // Another slot is another device for the guest, so it is changed while nobody looks.
    if (!allow_.restart && !stops_) {
      b_.block(address(disk), what, "the guest runs and would lose the device for a moment",
               way_out("--allow restart, or stop the guest"));
      return;
    }
    moment = Moment::kWhileStopped;
  }
  AttachVolume procedure{.vmid = vm_.vmid, .slot = disk.desired_slot, .from = disk.live_slot, .volume = *disk.volume};
  const LiveDrive* from = disk.live_slot ? guest_.drive(*disk.live_slot) : nullptr;
  if (const Drive* kept = from != nullptr ? from->configured() : nullptr; kept != nullptr && other_slot) {
    for (const auto& [key, value] : kept->options) {
      const Setting* setting = find_setting(Home::kDriveOption, key);
      // Fact: PVE refuses the whole drive when one option does not exist on its bus.
      if (setting == nullptr || fits_bus(*setting, disk.desired_slot.bus))
        procedure.options.set(key, drive_option_text(key, value));
    }
  }
  const bool offline = moment == Moment::kWhileStopped;
  Decision decision = decide(disk, disk.desired_slot, offline || !mode_.running ? std::optional(moment) : std::nullopt);
  // io_uring would be in the way of a move that follows while the guest runs.
  const bool aio_waits = decision.move && runs_at(*decision.way.moment) && target_refuses_io_uring(disk);
  if (aio_waits) procedure.options.erase("aio");
  Operation op{.address = address(disk),
               .impact = !mode_.running           ? Impact::kNone
                         : moment == Moment::kNow ? Impact::kLive
                                                  : Impact::kRestart};
  op.changes.push_back({.key = "slot",
                        .from = disk.live_slot ? to_text(*disk.live_slot) : "not attached",
                        .to = to_text(disk.desired_slot),
                        .reason = fmt::format("the disk's data is in {}", to_text(*disk.volume)),
                        .impact = op.impact});
  std::vector<const SettingChange*> later;
  for (const SettingChange* change : drive_changes(disk, decision.refused)) {
    if (change->key == "aio" && aio_waits) continue;
    if (decision.move && only_right_somewhere(*change)) {
      later.push_back(change);
      continue;
    }
    if (is_absent(change->desired.value))
      procedure.options.erase(change->key);
    else
      procedure.options.set(change->key, drive_option_text(change->key, change->desired.value));
    op.changes.push_back(b_.line(*change, Home::kDriveOption, op.impact));
  }
  op.procedure = std::move(procedure);
  std::vector<DriveSlot> slots = {disk.desired_slot};
  if (disk.live_slot) slots.push_back(*disk.live_slot);
  put(moment, std::move(op), std::move(slots));
  carry_out(disk, disk.desired_slot, moment, std::move(decision), std::move(later), aio_waits);
}

void GuestPlanner::take_away(const DiskDiff& disk) {
  const std::string slot = to_text(disk.desired_slot);
  const std::string what =
      disk.absent ? fmt::format("remove {} and destroy its volume", slot) : fmt::format("detach {}", slot);
  if (disk.absent && !allow_.destroy) {
    b_.block(address(disk), what, "this destroys data", "--allow destroy");
    return;
  }
  if (protected_) {
    b_.block(address(disk), what, "the guest is protected", "state protection: off first");
    return;
  }
  if (!disk.volume) {
    b_.block(address(disk), what, "it is a device of the host, not a volume",
             fmt::format("qm set {} --delete {}", vm_.vmid.number, slot));
    return;
  }
  if (!plugs(disk.desired_slot) && disk.absent) {
    b_.block(address(disk), what, "this bus lets a drive go only while the guest is stopped",
             "stop the guest, then plan again");
    return;
  }
  if (disk.absent) {
    if (const auto taken = destruction_obstacle(guest_, *disk.volume, b_.storages)) {
      b_.block(address(disk), what, taken->why, "state: detached, which leaves the volume; or " + taken->remedy);
      return;
    }
  }
  if (disk.absent && guest_.has_snapshots()) {
    b_.block(address(disk), what, "snapshots of the guest may need the volume",
             fmt::format("qm delsnapshot {} NAME for each", vm_.vmid.number));
    return;
  }
  if (disk.absent) {
    if (const std::optional<PlanBuilder::Refusal> refusal = backup_refuses()) {
      b_.block(address(disk), what, refusal->why, refusal->remedy);
      return;
    }
  }
  // Fact: asked to take a boot disk out of a running guest PVE fails, and does it at the next start.
  const bool boot = mode_.running && boots_from(disk.desired_slot);
  if (boot && !allow_.restart && !stops_) {
    b_.block(address(disk), what, "the guest runs and boots from it", way_out("--allow restart, or stop the guest"));
    return;
  }
  const bool live = boot || plugs(disk.desired_slot);
  Operation op = disk_operation(disk, DetachDisk{.vmid = vm_.vmid, .slot = disk.desired_slot, .volume = *disk.volume});
  op.impact = boot ? Impact::kRestart : written_impact(live);
  op.changes.push_back({.key = slot,
                        .from = to_text(*disk.volume),
                        .to = "not attached",
                        .reason = "stated in the fleet file",
                        .impact = op.impact});
  if (!live) expect_restart(Moment::kNow);
  put(boot ? Moment::kWhileStopped : Moment::kNow, std::move(op), {disk.desired_slot});
  // PVE frees a cloud-init volume when its drive goes.
  if (!disk.absent || is_cloud_init(desired(disk))) return;
  Operation destroy = disk_operation(disk, DestroyVolume{.vmid = vm_.vmid, .volume = *disk.volume});
  destroy.impact = Impact::kDestroy;
  destroy.locks = {"storage/" + disk.volume->storage};
  destroy.changes.push_back({.key = "volume",
                             .from = to_text(*disk.volume),
                             .to = "destroyed",
                             .reason = "stated in the fleet file",
                             .impact = Impact::kDestroy});
  destroy_.push_back({std::move(destroy), {disk.desired_slot}});
}

std::vector<const SettingChange*> GuestPlanner::drive_changes(const DiskDiff& disk, bool move_refused) const {
  std::vector<const SettingChange*> list;
  const StorageView* here = disk.volume ? b_.storages.find(disk.volume->storage) : nullptr;
  for (const SettingChange& change : disk.settings) {
    if (!is_change(change) || find_setting(Home::kDriveOption, change.key) == nullptr) continue;
    // Of an option that only has to go for the storage it does not get to, the same holds.
    if (move_refused && (only_right_somewhere(change) || is_absent(change.desired.value))) continue;
    if (move_refused && std::ranges::any_of(desired(disk).forbidden_here, [&](const ForbiddenOption& one) {
          return one.key == change.key && one.value == drive_option_text(change.key, change.desired.value);
        }))
      continue;
    if (move_refused && here != nullptr && is_absent(change.configured)) {
      const Resolved* cache = desired(disk).settings.find("cache");
      const OptionValue unset =
          effective_drive_option(change.key, here->kind, disk.desired_slot.bus, image_format(*disk.volume),
                                 cache != nullptr ? cache->value : OptionValue{});
      if (unset == change.desired.value) continue;
    }
    list.push_back(&change);
  }
  for (const SettingChange& change : disk.forbidden_here) {
    const bool written = std::ranges::find(list, change.key, &SettingChange::key) != list.end();
    if (move_refused && !written) list.push_back(&change);
  }
  return list;
}

void GuestPlanner::write_drive(const DiskDiff& disk, DriveSlot slot, const VolumeId& volume,
                               const std::vector<const SettingChange*>& changes, bool live, Moment moment) {
  if (changes.empty()) return;
  SetDriveOptions set{.vmid = vm_.vmid, .slot = slot, .volume = volume};
  Operation op{.address = address(disk)};
  op.impact = moment == Moment::kWhileStopped ? Impact::kRestart : written_impact(live);
  for (const SettingChange* change : changes) {
    set.set.set(change->key, drive_option_text(change->key, change->desired.value));
    op.changes.push_back(b_.line(*change, Home::kDriveOption, op.impact));
  }
  op.procedure = std::move(set);
  if (!live) expect_restart(moment);
  put(moment, std::move(op), {slot});
}

void GuestPlanner::carry_out(const DiskDiff& disk, DriveSlot slot, Moment moment, Decision decision,
                             std::vector<const SettingChange*> changes, bool aio_waits) {
  VolumeId volume = disk.volume.value_or(VolumeId{});
  const Route& way = decision.way;
  std::optional<Operation>& move = decision.move;
  const Moment copy_moment = move ? *way.moment : moment;
  if (way.moment == Moment::kAfterRestart) {
    // The restart that the move waits for makes these active as well; but io_uring would be in the move's way.
    const bool later = way.drop_aio_first || holds_back_aio(disk, changes) || aio_waits;
    if (way.drop_aio_first) drop_aio(disk, slot, volume);
    if (later) {
      std::erase_if(changes, [&](const SettingChange* change) {
        return change->key == "aio" && (way.drop_aio_first || !is_absent(change->desired.value));
      });
      set_aio_after_move(disk, slot, volume);
    }
    const auto after = std::stable_partition(
        changes.begin(), changes.end(), [](const SettingChange* change) { return !only_right_somewhere(*change); });
    write_all(disk, slot, volume, {changes.begin(), after}, Moment::kNow);
    changes.erase(changes.begin(), after);
  }
  if (move) {
    const VolumeId old = volume;
    volume = {.storage = std::get<MoveDisk>(move->procedure).storage};
    put(copy_moment, std::move(*move), {slot});
    retire_after_move(disk, slot, old, copy_moment);
  }
  zvol_properties(disk, slot, volume, copy_moment);
  if (disk.grow_to) grow(disk, slot, volume, copy_moment);
  write_all(disk, slot, volume, changes, copy_moment);
  const Resolved* aio = desired(disk).settings.find("aio");
  if (aio_waits && way.moment != Moment::kAfterRestart && aio != nullptr && !is_absent(aio->value)) {
    const SettingChange held{.key = "aio", .state = SettingState::kDiffers, .desired = *aio};
    write_drive(disk, slot, volume, {&held}, false, copy_moment);
  }
  report_unchangeable(disk);
}

void GuestPlanner::write_all(const DiskDiff& disk, DriveSlot slot, const VolumeId& volume,
                             const std::vector<const SettingChange*>& changes, Moment moment) {
  if (changes.empty()) return;
  if (const std::string why = replication_refuses_write(disk, volume); !why.empty()) {
    b_.block(address(disk), fmt::format("change {}", to_text(slot)), why, kMakeReplicable);
    return;
  }
  std::vector<const SettingChange*> live;
  std::vector<const SettingChange*> pending;
  const LiveDrive* drive = guest_.drive(slot);
  // Fact: one pending option makes the whole drive string pending, so live ones travel alone, and not at all while
  // something waits.
  const bool waits = mode_.running && moment == Moment::kNow && drive != nullptr && drive->has_pending();
  for (const SettingChange* change : changes) {
    if (change->effect == TakesEffect::kFixed) {
      b_.block(address(disk), fmt::format("set {} of {}", change->key, to_text(slot)),
               "it is decided when the volume is made",
               fmt::format("remove {} and let it be made again; what the guest stored there is lost", to_text(slot)));
      continue;
    }
    const bool at_once = is_live(*change) && !waits;
    (at_once || moment == Moment::kWhileStopped || !mode_.running ? live : pending).push_back(change);
  }
  write_drive(disk, slot, volume, live, true, moment);
  write_drive(disk, slot, volume, pending, false, moment);
}

void GuestPlanner::grow(const DiskDiff& disk, DriveSlot slot, const VolumeId& volume, Moment moment) {
  const StorageView* view = b_.storages.find(volume.storage);
  const std::string what = fmt::format("grow {} to {}", to_text(slot), to_text(*disk.grow_to));
  // Fact: PVE resizes what a slot holds, not what waits to get into it.
  const LiveDrive* drive = guest_.drive(slot);
  const bool waits = moment == Moment::kNow && drive != nullptr && !volume.name.empty() && volume == disk.volume &&
                     (!drive->current || drive->current->volume != volume);
  if (waits && mode_.running && allow_.restart) {
    expect_restart(Moment::kNow);
    moment = Moment::kAfterRestart;
  } else if (waits) {
    b_.block(
        address(disk), what, fmt::format("{} waits to be put into {}", to_text(volume), to_text(slot)),
        way_out(mode_.running ? "--allow restart, or restart the guest yourself" : "start the guest, then plan again"));
    return;
  }
  if (view != nullptr) {
    const ByteSize more{disk.grow_to->bytes - disk.live_size.value_or(ByteSize{}).bytes};
    if (const std::optional<std::string> full =
            b_.space.reserve(*view, guest_.node, b_.space.taken(*view, guest_.node, more))) {
      b_.block(address(disk), what, *full + " (rule Z10)", "make room, or --force-capacity");
      return;
    }
  }
  Operation op =
      disk_operation(disk, ResizeDisk{.vmid = vm_.vmid, .slot = slot, .volume = volume, .size = *disk.grow_to});
  const bool up = mode_.running ? moment != Moment::kWhileStopped : moment == Moment::kAfterRestart;
  op.impact = up ? Impact::kLive : Impact::kNone;
  op.locks = {"storage/" + volume.storage};
  for (const SettingChange& change : disk.settings)
    if (change.key == "size") op.changes.push_back(b_.line(change, Home::kDiskPlace, op.impact));
  put(moment, std::move(op), {slot});
}

void GuestPlanner::report_unchangeable(const DiskDiff& disk) {
  for (const SettingChange& change : disk.settings) {
    if (!is_change(change) || change.key != "volblocksize") continue;
    // In its slot, the ways are weighed; elsewhere it is put into its slot first.
    if (disk.match == DiskMatch::kInPlace) continue;
    b_.block(address(disk),
             fmt::format("give {} volblocksize {}", to_text(disk.desired_slot), to_text(change.desired.value)),
             fmt::format("the zvol has {}, and the disk is not in its slot yet", to_text(change.configured)),
             "apply this plan, then plan again");
  }
}

}  // namespace pvr
