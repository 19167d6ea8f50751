#include <fmt/format.h>

#include <algorithm>

#include "reconciler/model/effective.h"
#include "reconciler/planning/diff_vm.h"
#include "reconciler/planning/guest_planner.h"
#include "reconciler/planning/power_obstacle.h"

namespace pvr {

std::optional<PlanBuilder::Refusal> GuestPlanner::waits_for_start(const DiskDiff& disk) const {
  const LiveDrive* drive = disk.live_slot ? guest_.drive(*disk.live_slot) : nullptr;
  if (mode_.running || drive == nullptr || !drive->has_pending()) return std::nullopt;
  return PlanBuilder::Refusal{
      "the disk has a change that waits for the guest's next start",
      fmt::format("start the guest, or: qm set {} --revert {}", vm_.vmid.number, to_text(drive->slot))};
}

GuestPlanner::Route GuestPlanner::route(const DiskDiff& disk, const StorageView& target,
                                        std::optional<Moment> decided) const {
  const LiveDrive* drive = disk.live_slot ? guest_.drive(*disk.live_slot) : nullptr;
  const Drive* running = drive != nullptr && drive->current ? &*drive->current : nullptr;
  if (auto taken = foreign_use(guest_, *disk.volume, b_.storages))
    return {.why = std::move(taken->why), .remedy = std::move(taken->remedy)};
  if (guest_.has_snapshots()) {
    return {.why = "the guest has snapshots, which would stay on the old volume",
            .remedy = fmt::format("qm listsnapshot {0}, then qm delsnapshot {0} NAME for each", vm_.vmid.number)};
  }
  if (guest_.is_template && b_.storages.has_children(*disk.volume)) {
    return {.why = "other guests are linked clones of this volume",
            .remedy = "move those guests' disks first, which makes them full copies"};
  }
  if (is_new()) return {.moment = decided};
  const bool will_stop = diff_.power_to == PowerState::kStopped;
  const bool tpm = disk.desired_slot.bus == Bus::kTpm;
  if (decided == Moment::kWhileStopped) {
    if (allow_.offline_copy) return {.moment = decided};
    if (!will_stop && !tpm) return {.moment = Moment::kAfterRestart};  // once it runs again
    return {.why = "it would be copied while the guest is stopped", .remedy = "--allow offline-copy"};
  }
  if (std::optional<PlanBuilder::Refusal> waits = waits_for_start(disk)) {
    if (starts_) return {.moment = Moment::kAfterRestart};
    return {.why = waits->why + "; moved now, PVE would switch back to the old volume then", .remedy = waits->remedy};
  }
  if (!mode_.running && (allow_.offline_copy || !starts_)) {
    if (allow_.offline_copy) return {.moment = Moment::kNow};
    return {.why = "the guest is stopped, and could not be started while the copy runs",
            .remedy = "--allow offline-copy, or start the guest"};
  }
  if (tpm) {
    if (allow_.offline_copy) return {.moment = Moment::kWhileStopped};
    return {.why = "PVE does not move the TPM state of a running guest",
            .remedy = way_out("--allow offline-copy, or stop the guest")};
  }
  const auto text_of = [&](std::string_view key) -> std::string {
    const OptionValue* value = running != nullptr ? running->options.find(key) : nullptr;
    const auto* text = value != nullptr ? std::get_if<std::string>(value) : nullptr;
    return text != nullptr ? *text : std::string();
  };
  const CacheMode cache = parse_cache(text_of("cache")).value_or(effective_cache(target.kind));
  const bool io_uring = text_of("aio") == "io_uring" && refuses_io_uring_move(target.kind, cache);
  const bool pending = drive != nullptr && drive->has_pending();
  if (!mode_.running && !io_uring) return {.moment = Moment::kAfterRestart};  // right after its start
  if (!io_uring && !pending) return {.moment = Moment::kNow};
  if (will_stop) {
    // No restart will come that this could wait for; the stop does.
    if (allow_.offline_copy) return {.moment = Moment::kWhileStopped};
    return {.why = "it can only be moved when the guest is stopped, as the fleet wants it",
            .remedy = way_out("--allow offline-copy, once it is stopped")};
  }
  if (allow_.restart) return {.moment = Moment::kAfterRestart, .drop_aio_first = io_uring};
  if (allow_.offline_copy) return {.moment = Moment::kWhileStopped};
  if (io_uring) {
    return {.why =
                "PVE refuses to move a running disk with aio=io_uring to that kind of storage (rule A5); aio must go "
                "first, which takes a restart",
            .remedy = way_out("--allow restart (or --allow offline-copy)")};
  }
  return {.why =
              "the disk has a change that waits for a restart; moved now, PVE would switch back to the old volume at "
              "that restart",
          .remedy = way_out("--allow restart, restart the guest yourself, or qm set with --revert")};
}

GuestPlanner::Decision GuestPlanner::decide(const DiskDiff& disk, DriveSlot slot, std::optional<Moment> decided) {
  Decision out;
  if (!disk.move_to && !disk.format_to) return out;
  out.move = move_operation(disk, slot, decided, out.way);
  out.refused = !out.move;
  return out;
}

std::optional<Operation> GuestPlanner::move_operation(const DiskDiff& disk, DriveSlot slot,
                                                      std::optional<Moment> decided, Route& way) {
  const std::string storage = disk.move_to.value_or(disk.volume ? disk.volume->storage : "");
  const std::string what = disk.move_to ? fmt::format("move {} to storage \"{}\"", to_text(slot), storage)
                                        : fmt::format("convert {} to {}", to_text(slot), disk.format_to.value_or(""));
  const StorageView* view = target_storage(disk, storage, what);
  if (view == nullptr) return std::nullopt;
  way = route(disk, *view, decided);
  if (!way.moment) {
    b_.block(address(disk), what, way.why, way.remedy);
    return std::nullopt;
  }
  const ByteSize size = disk.live_size.value_or(ByteSize{});
  const bool after_start = !mode_.running && *way.moment == Moment::kAfterRestart;
  const bool offline = !after_start && (!mode_.running || *way.moment == Moment::kWhileStopped);
  CopyCost cost = b_.copy_cost(*view, guest_.node, size, offline && !is_new());
  if (const std::optional<std::string> full = b_.space.reserve(*view, guest_.node, cost.peak_extra)) {
    b_.block(address(disk), what, *full + " (rule Z10)", "make room, or --force-capacity");
    way = {};
    return std::nullopt;
  }
  MoveDisk procedure{.vmid = vm_.vmid,
                     .slot = slot,
                     .volume = disk.volume.value_or(VolumeId{}),
                     .storage = storage,
                     .bandwidth = b_.options.copy_rate};
  if (disk.format_to)
    procedure.format = *disk.format_to;
  else if (!view->has_zvols())
    procedure.format = desired_text(desired(disk), "format");
  Operation op{.address = address(disk),
               .impact = is_new()  ? Impact::kNone
                         : offline ? Impact::kOfflineCopy
                                   : Impact::kOnlineCopy};
  op.after = b_.before_storage(storage);
  op.locks = {"storage/" + storage, "copy/" + guest_.node};
  op.copy = std::move(cost);
  for (const SettingChange& change : disk.settings) {
    if (change.key != "storage" && change.key != "format") continue;
    PlannedChange line = b_.line(change, Home::kDiskPlace, op.impact);
    if (!disk.move_why.empty()) line.reason = line.reason.empty() ? disk.move_why : line.reason + "; " + disk.move_why;
    op.changes.push_back(std::move(line));
  }
  op.procedure = std::move(procedure);
  return op;
}

bool GuestPlanner::target_refuses_io_uring(const DiskDiff& disk) const {
  const StorageView* target = disk.move_to ? b_.storages.find(*disk.move_to) : nullptr;
  return target != nullptr && refuses_io_uring_move(target->kind, CacheMode::kWriteback);
}

bool GuestPlanner::holds_back_aio(const DiskDiff& disk, const std::vector<const SettingChange*>& changes) const {
  return target_refuses_io_uring(disk) && std::ranges::any_of(changes, [](const SettingChange* change) {
           return change->key == "aio" && !is_absent(change->desired.value);
         });
}

void GuestPlanner::drop_aio(const DiskDiff& disk, DriveSlot slot, const VolumeId& volume) {
  SetDriveOptions set{.vmid = vm_.vmid, .slot = slot, .volume = volume};
  set.set.set("aio", "");
  Operation op = disk_operation(disk, std::move(set));
  op.impact = written_impact(false);
  op.changes.push_back({.key = "aio",
                        .from = "io_uring",
                        .to = "unset, for the move",
                        .rule = "A5",
                        .reason = "PVE refuses a live move to this storage while io_uring is stated",
                        .impact = op.impact});
  expect_restart(Moment::kNow);
  put(Moment::kNow, std::move(op), {slot});
}

void GuestPlanner::set_aio_after_move(const DiskDiff& disk, DriveSlot slot, const VolumeId& volume) {
  const Resolved* aio = desired(disk).settings.find("aio");
  const StorageView* target = disk.move_to ? b_.storages.find(*disk.move_to) : nullptr;
  if (aio == nullptr || target == nullptr) return;
  const Resolved* cache = desired(disk).settings.find("cache");
  const OptionValue unset = effective_drive_option("aio", target->kind, slot.bus, image_format(volume),
                                                   cache != nullptr ? cache->value : OptionValue{});
  if (is_absent(aio->value) || aio->value == unset) return;
  SetDriveOptions again{.vmid = vm_.vmid, .slot = slot, .volume = {.storage = target->id}};
  again.set.set("aio", drive_option_text("aio", aio->value));
  Operation later = disk_operation(disk, std::move(again));
  later.impact = Impact::kRestart;
  SettingChange change{.key = "aio", .state = SettingState::kDiffers, .desired = *aio};
  later.changes.push_back(b_.line(change, Home::kDriveOption, Impact::kRestart));
  expect_restart(Moment::kAfterRestart);
  final_.push_back({std::move(later), {slot}});
}

}  // namespace pvr
