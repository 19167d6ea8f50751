#include "reconciler/execute/move_disk.h"

#include <fmt/format.h>

#include <algorithm>

#include "reconciler/execute/guest_text.h"
#include "reconciler/execute/task_waiter.h"
#include "reconciler/execute/volume_names.h"

namespace pvr {
namespace {

std::string what(const MoveDisk& params) {
  return fmt::format("moving {} of vm {} to storage \"{}\"", to_text(params.slot), params.vmid.number, params.storage);
}

/// Is `volume` where this move wants it? A change of format alone stays on its storage.
bool is_moved(const MoveDisk& params, const VolumeId& volume) {
  if (volume == params.volume || volume.storage != params.storage) return false;
  return params.storage != params.volume.storage || image_format(volume) == params.format;
}

MoveDiskProcedure::Place place_of(const MoveDisk& params, const LiveVm& vm) {
  using Place = MoveDiskProcedure::Place;
  const LiveDrive* drive = find_drive(vm, params.slot);
  if (drive == nullptr || !drive->current || !drive->current->volume) return Place::kEmpty;
  if (is_moved(params, *drive->current->volume)) return Place::kMoved;
  return is_meant(params.volume, drive->current->volume) ? Place::kOriginal : Place::kElsewhere;
}

std::string explain(const MoveDisk& params, const MoveDiskProcedure::Facts& facts) {
  using Place = MoveDiskProcedure::Place;
  const std::string slot = to_text(params.slot);
  if (!facts.seen.exists) return fmt::format("vm {} does not exist.", params.vmid.number);
  if (facts.seen.waits)
    return fmt::format(
        "{} has a change that waits for a restart. It names the volume from before the move and would bring it back: "
        "apply it (restart the "
        "guest) or revert it first.",
        slot);
  switch (facts.seen.place) {
    case Place::kEmpty:
      return fmt::format("{} holds no volume any more.", slot);
    case Place::kElsewhere:
      return fmt::format("{} holds {}, which is neither the volume to move ({}) nor one on storage \"{}\".", slot,
                         to_text(*facts.drive->volume), meant_text(params.volume), params.storage);
    case Place::kMoved:
      return fmt::format(
          "{} has moved, but the old volume {} is not kept as an unused disk: look for it before anything else.", slot,
          meant_text(params.volume));
    case Place::kOriginal:
      break;
  }
  return fmt::format("{} still holds {}.", slot, meant_text(params.volume));
}

std::vector<VolumeId> volumes_on(const MoveDisk& params, Work& work) {
  std::vector<VolumeId> ids;
  const auto listed = work.pve().volumes(work.node(), params.storage, params.vmid);
  if (!listed) return ids;
  for (const LiveVolume& volume : *listed) ids.push_back(volume.id);
  return ids;
}

}  // namespace

Result<MoveDiskProcedure::Facts> MoveDiskProcedure::observe(const Params& params, Work& work,
                                                            const Progress& progress) {
  Facts facts;
  auto vm = work.guest(params.vmid);
  if (!vm) return std::move(vm).error().during(what(params));
  facts.vm = std::move(vm).value();
  facts.seen.exists = facts.vm.has_value();
  if (facts.vm) {
    auto running = running_tasks(work, params.vmid, "qmmove");
    if (!running) return std::move(running).error().during(what(params));
    facts.running = std::move(running).value();
    facts.seen.move_running = !facts.running.empty();
    facts.seen.place = place_of(params, *facts.vm);
    facts.seen.waits = drive_waits(*facts.vm, params.slot);
    // Whoever asked for a move that ran already decided about its source, too.
    facts.seen.old_kept =
        params.remove_source || progress.tried(kSteps[0].name) || unused_slot_of(*facts.vm, params.volume).has_value();
    if (const LiveDrive* drive = find_drive(*facts.vm, params.slot)) facts.drive = drive->current;
    if (!progress.acted()) facts.on_target = volumes_on(params, work);
  }
  facts.conflict = explain(params, facts);
  return facts;
}

Status MoveDiskProcedure::await_running(const Params& params, const Facts& facts, Work& work) {
  for (const Upid& task : facts.running) {
    const Status ended = await_task(work, task);
    // How somebody else's move ended is not our failure: the next look tells where the volume is.
    if (!ended && ended.error().effect == Effect::kPossible) return Error(ended.error()).during(what(params));
  }
  return Done{};
}

Status MoveDiskProcedure::copy(const Params& params, const Facts& facts, Work& work) {
  const Status room = check_space(work);
  if (!room) return Error(room.error()).during(what(params));
  const Status named = check_names(work, *facts.vm, params.storage);
  if (!named) return Error(named.error()).during(what(params));
  auto task = work.pve().move_disk(work.ref(params.vmid), params.slot, params.storage, params.format, params.bandwidth,
                                   params.remove_source, facts.vm->digest);
  if (!task) return std::move(task).error().during(what(params));
  const Status moved = await_task(work, *task);
  if (!moved) return Error(moved.error()).during(what(params));
  return Done{};
}

Status MoveDiskProcedure::verify(const Params& params, const Facts& first, const Facts& last, Work& work) {
  if (!first.drive || !last.drive) return Done{};
  const Drive& before = *first.drive;
  const Drive& after = *last.drive;
  Drive expected = before;
  expected.volume = after.volume;
  expected.size = after.size;
  // Fact: a move drops `format`, which only repeats what the volume's name says.
  expected.options.erase("format");
  Drive found = after;
  found.options.erase("format");
  if (expected != found)
    return Error{
        .kind = ErrorKind::kBroken,
        .message = fmt::format("After {} the options of the drive differ: \"{}\" before, \"{}\" now.", what(params),
                               print_drive(params.slot, before), print_drive(params.slot, after))};
  if (before.size && after.size && *after.size < *before.size)
    return Error{.kind = ErrorKind::kBroken,
                 .message = fmt::format("After {} the volume is smaller: {} before, {} now.", what(params),
                                        to_text(*before.size), to_text(*after.size))};
  const auto on_target = work.pve().volumes(work.node(), after.volume->storage, params.vmid);
  if (on_target && std::ranges::find(*on_target, *after.volume, &LiveVolume::id) == on_target->end())
    return Error{
        .kind = ErrorKind::kBroken,
        .message = fmt::format("After {} the storage does not list {}.", what(params), to_text(*after.volume))};
  if (params.remove_source && before.volume) {
    // Fact: PVE only warns in the task's log when it cannot remove the source, and then nothing names that any more.
    const auto on_source = work.pve().volumes(work.node(), before.volume->storage, params.vmid);
    if (on_source && std::ranges::find(*on_source, *before.volume, &LiveVolume::id) != on_source->end())
      work.warn(fmt::format("The move left its source {}, which no configuration names. Free it with: pvesm free {}",
                            to_text(*before.volume), to_text(*before.volume)));
  }
  return Done{};
}

void MoveDiskProcedure::after_failure(const Params& params, const Facts& first, Work& work) {
  const auto vm = work.guest(params.vmid);
  if (!vm || !vm->has_value()) return;
  for (const VolumeId& volume : volumes_on(params, work)) {
    const bool was_there = std::ranges::find(first.on_target, volume) != first.on_target.end();
    if (was_there || is_referenced(**vm, volume)) continue;
    work.warn(
        fmt::format("The failed move left the volume {}, which no configuration names. Free it with: pvesm free {}",
                    to_text(volume), to_text(volume)));
  }
}

}  // namespace pvr
