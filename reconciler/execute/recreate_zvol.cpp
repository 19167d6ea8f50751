#include "reconciler/execute/recreate_zvol.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "reconciler/execute/datasets.h"
#include "reconciler/execute/guest_text.h"
#include "reconciler/execute/task_waiter.h"
#include "reconciler/model/retired.h"

namespace pvr {
namespace {

/// The snapshot that freezes the end of a disk whose older snapshots are replayed.
constexpr std::string_view kHead = "pvereconcile-head";

FlatMap<std::string> marks_of(std::initializer_list<std::pair<std::string_view, std::string>> marks) {
  FlatMap<std::string> set;
  for (const auto& [name, text] : marks) set.set(mark_property(name), text);
  return set;
}

std::string what(const RecreateZvol& params) {
  return fmt::format("giving {} of vm {} volblocksize {}", to_text(params.slot), params.vmid.number,
                     to_text(params.volblocksize));
}

bool is_read_only(const LiveDataset& dataset) { return dataset.text("readonly") == "on"; }

std::string guid_of(const LiveDataset& dataset) { return std::string(dataset.text("guid")); }

/// Snapshots that are the user's.
std::vector<std::string> foreign_snapshots(const LiveDataset& dataset) {
  std::vector<std::string> names;
  for (const std::string& name : dataset.snapshots)
    if (!name.starts_with("pvereconcile-")) names.push_back(name);
  return names;
}

/// What both procedures need to know about the guest.
template <class Facts>
Status look_at_drive(Work& work, Vmid vmid, DriveSlot slot, const VolumeId& volume, const std::string& node,
                     Facts& facts) {
  auto vm = work.guest(vmid);
  if (!vm) return std::move(vm).error().during(fmt::format("reading vm {}", vmid.number));
  facts.vm = std::move(vm).value();
  facts.seen.exists = facts.vm.has_value();
  if (!facts.vm) {
    facts.conflict = fmt::format("vm {} does not exist.", vmid.number);
    return Done{};
  }
  const LiveDrive* drive = find_drive(*facts.vm, slot);
  facts.seen.same_volume = drive != nullptr && !drive_waits(*facts.vm, slot) && drive->current &&
                           drive->current->volume == volume && work.node() == node;
  if (work.node() != node)
    facts.conflict = fmt::format("vm {} is on node {} now, its volume is on {}.", vmid.number, work.node(), node);
  else if (!facts.seen.same_volume)
    facts.conflict = fmt::format("{} of vm {} does not hold {} (any more), or has a change that waits.", to_text(slot),
                                 vmid.number, to_text(volume));
  const auto status = work.pve().guest_status(work.ref(vmid));
  if (!status) return Error(status.error()).during(fmt::format("reading the state of vm {}", vmid.number));
  facts.seen.stopped = status->power == PowerState::kStopped;
  if (facts.seen.same_volume && !facts.seen.stopped) facts.conflict = fmt::format("vm {} runs.", vmid.number);
  return Done{};
}

/// Does the drive string note the volume's real size?
bool notes_size(const LiveVm& vm, DriveSlot slot, const LiveDataset& zvol) {
  const LiveDrive* drive = find_drive(vm, slot);
  const auto real = zvol.bytes("volsize");
  return !real || (drive != nullptr && drive->current && drive->current->size == *real);
}

/// Reports progress and keeps the lease alive while a node works.
std::function<void(const CopyProgress&)> report_to(Work& work, std::string what) {
  return [&work, what = std::move(what)](const CopyProgress& at) {
    work.emit(TaskProgress{.operation = work.operation().id,
                           .upid = what,
                           .fraction = at.total.bytes == 0 ? 0.0
                                                           : std::min(1.0, static_cast<double>(at.done.bytes) /
                                                                               static_cast<double>(at.total.bytes)),
                           .done = at.done,
                           .total = at.total});
    work.keep_lease();
  };
}

Status require_equal(Work& work, const RecreateZvol& params, const ZvolCopy& copy) {
  const auto sums = work.zfs()->compare(params.node, copy, report_to(work, "verify"), work.stop());
  if (!sums) return Error(sums.error()).during(fmt::format("comparing {} with {}", copy.target, copy.source));
  if (sums->equal()) return Done{};
  // Nobody should go on with it: the next run begins anew.
  static_cast<void>(work.zfs()->set_properties(params.node, copy.target, marks_of({{mark::kGuard, "differs"}})));
  return Error{.kind = ErrorKind::kTaskFailed,
               .message = fmt::format("The copy {} differs from {}: SHA-256 {} and {}. The original is untouched.",
                                      copy.target, copy.source, sums->target, sums->source)};
}

}  // namespace

// --- recreate-zvol

Result<RecreateZvolProcedure::Facts> RecreateZvolProcedure::observe(const Params& params, Work& work, const Progress&) {
  auto zfs = need_zfs(work);
  if (!zfs) return std::move(zfs).error().during(what(params));
  Facts facts;
  const Status looked = look_at_drive(work, params.vmid, params.slot, params.volume, params.node, facts);
  if (!looked) return looked.error();
  if (!facts.vm) return facts;
  auto at_name = (*zfs)->dataset(params.node, params.dataset);
  if (!at_name) return std::move(at_name).error().during(what(params));
  const std::string work_name = work_zvol(params.dataset);
  auto at_work = (*zfs)->dataset(params.node, work_name);
  if (!at_work) return std::move(at_work).error().during(what(params));
  const auto judge = [&](const std::optional<LiveDataset>& found) {
    if (!found) return Here::kNothing;
    if (guid_of(*found) == params.guid) return Here::kOld;
    return mark_of(*found, mark::kReplaces) == params.guid ? Here::kNew : Here::kStranger;
  };
  facts.seen.at_name = judge(*at_name);
  facts.seen.at_work = judge(*at_work);
  if (facts.seen.at_name == Here::kOld) {
    facts.old = std::move(*at_name);
  } else {
    auto marked = (*zfs)->marked(params.node, std::string(parent_dataset(params.dataset)));
    if (!marked) return std::move(marked).error().during(what(params));
    const auto at = std::ranges::find(*marked, params.guid, guid_of);
    facts.seen.retired = at != marked->end() && is_hidden_name(at->name);
    if (at != marked->end()) facts.old = std::move(*at);
  }
  if (facts.seen.at_name == Here::kNew)
    facts.made = std::move(*at_name);
  else if (facts.seen.at_work == Here::kNew)
    facts.made = std::move(*at_work);

  if (facts.old) {
    const std::string_view guard = mark_of(*facts.old, mark::kGuard);
    facts.seen.guarded = is_read_only(*facts.old) && !guard.empty();
    if (facts.made && !guard.empty()) {
      facts.seen.fits = mark_of(*facts.made, mark::kGuard) == guard;
      facts.seen.complete = mark_of(*facts.made, mark::kComplete) == guard;
      facts.seen.verified = mark_of(*facts.made, mark::kVerified) == guard;
    }
  }
  if (facts.made) facts.seen.settled = mark_of(*facts.made, mark::kSettled) == "yes";
  if (facts.conflict.empty()) {
    if (facts.seen.at_name == Here::kStranger)
      facts.conflict = fmt::format("{} on {} is another zvol than the planned one.", params.dataset, params.node);
    else if (facts.seen.at_work == Here::kStranger)
      facts.conflict =
          fmt::format("{} on {} is in the way; it is the rest of another work. Look at it, then: zfs destroy {}",
                      work_name, params.node, work_name);
    else if (facts.seen.at_name == Here::kNothing)
      facts.conflict = fmt::format("{} on {} is missing, and no verified copy waits to take its place.", params.dataset,
                                   params.node);
  }
  return facts;
}

Status RecreateZvolProcedure::discard(const Params& params, const Facts& facts, Work& work) {
  const std::string name = work_zvol(params.dataset);
  for (const std::string& snapshot : facts.made->snapshots) {
    const Status gone = work.zfs()->destroy_snapshot(params.node, name, snapshot);
    if (!gone) return Error(gone.error()).during(fmt::format("discarding {}", name));
  }
  const Status gone = work.zfs()->destroy(params.node, name, guid_of(*facts.made));
  if (!gone) return Error(gone.error()).during(fmt::format("discarding {}", name));
  return Done{};
}

Status RecreateZvolProcedure::guard(const Params& params, const Facts& facts, Work& work) {
  const std::vector<std::string> snapshots = foreign_snapshots(*facts.old);
  if (params.snapshots == "refuse" && !snapshots.empty())
    return Error{.kind = ErrorKind::kConflict,
                 .message = fmt::format("{} has snapshots that the plan did not see ({})", params.dataset,
                                        fmt::format("{}", snapshots.front()))};
  const Status room = check_space(work);
  if (!room) return Error(room.error()).during(what(params));
  const Status unused = nobody_uses(work, params.vmid, params.node, std::array{params.dataset});
  if (!unused) return Error(unused.error()).during(what(params));
  // One command, so that neither is there without the other. Fact: `zfs set` returns when everything written before is
  // on the disks.
  FlatMap<std::string> set = marks_of({{mark::kGuard, time_stamp(work.clock().wall())}});
  set.set("readonly", "on");
  const Status held = work.zfs()->set_properties(params.node, params.dataset, set);
  if (!held) return Error(held.error()).during(fmt::format("holding {} read-only", params.dataset));
  return Done{};
}

Status RecreateZvolProcedure::create(const Params& params, const Facts& facts, Work& work) {
  // A device opened for writing before is still open for writing.
  const Status unused = nobody_uses(work, params.vmid, params.node, std::array{params.dataset});
  if (!unused) return Error(unused.error()).during(what(params));
  NewZvol zvol{.name = work_zvol(params.dataset), .volblocksize = params.volblocksize, .properties = params.properties};
  // Fact: a size that is no multiple of the block size is rounded up; the guest's disk may grow by less than a block.
  zvol.size = facts.old->bytes("volsize").value_or(ByteSize{}).padded_to(params.volblocksize);
  if (zvol.size.bytes == 0)
    return Error{.kind = ErrorKind::kMalformed, .message = fmt::format("{} has no size.", params.dataset)};
  for (auto& [key, text] : marks_of({{mark::kVmid, fmt::format("{}", params.vmid.number)},
                                     {mark::kSlot, to_text(params.slot)},
                                     {mark::kReplaces, params.guid},
                                     {mark::kGuard, std::string(mark_of(*facts.old, mark::kGuard))},
                                     {mark::kSettled, "no"}}))
    zvol.properties.set(key, text);
  const Status made = work.zfs()->create_zvol(params.node, zvol);
  if (!made) return Error(made.error()).during(fmt::format("creating {}", zvol.name));
  return Done{};
}

Status RecreateZvolProcedure::copy(const Params& params, const Facts& facts, Work& work) {
  ZfsHost& zfs = *work.zfs();
  const std::string target = work_zvol(params.dataset);
  const std::string doing = fmt::format("copying {} to {}", params.dataset, target);
  const auto run = [&](const std::string& source, const std::string& since) -> Status {
    const Status copied =
        zfs.copy(params.node, {.source = source, .since = since, .target = target, .limit = params.bandwidth},
                 report_to(work, "copy"), work.stop());
    if (!copied) return Error(copied.error()).during(doing);
    return Done{};
  };
  std::string last;
  std::string source = params.dataset;
  if (params.snapshots == "keep") {
    for (const std::string& name : foreign_snapshots(*facts.old)) {
      const std::string snapshot = fmt::format("{}@{}", params.dataset, name);
      if (std::ranges::find(facts.made->snapshots, name) == facts.made->snapshots.end()) {
        const Status copied = run(snapshot, last);
        if (!copied) return copied;
        // A snapshot that differs would be noticed when somebody needs it.
        const Status equal = require_equal(work, params, {.source = snapshot, .target = target});
        if (!equal) return equal;
        const Status taken = zfs.snapshot(params.node, target, name);
        if (!taken) return Error(taken.error()).during(doing);
      }
      last = name;
    }
    if (!last.empty()) {
      // What came after the last snapshot, and only that.
      source = fmt::format("{}@{}", params.dataset, kHead);
      if (std::ranges::find(facts.old->snapshots, kHead) == facts.old->snapshots.end()) {
        const Status taken = zfs.snapshot(params.node, params.dataset, std::string(kHead));
        if (!taken) return Error(taken.error()).during(doing);
      }
    }
  }
  const Status copied = run(source, last);
  if (!copied) return copied;
  const Status noted = zfs.set_properties(
      params.node, target, marks_of({{mark::kComplete, std::string(mark_of(*facts.old, mark::kGuard))}}));
  if (!noted) return Error(noted.error()).during(doing);
  return Done{};
}

Status RecreateZvolProcedure::compare(const Params& params, const Facts& facts, Work& work) {
  const std::string target = work_zvol(params.dataset);
  // Only now: a copy that goes on needs the very snapshot it began with, another of its name is another one to it.
  if (std::ranges::find(facts.old->snapshots, kHead) != facts.old->snapshots.end()) {
    const Status gone = work.zfs()->destroy_snapshot(params.node, params.dataset, std::string(kHead));
    if (!gone) return Error(gone.error()).during(what(params));
  }
  const Status equal = require_equal(work, params, {.source = params.dataset, .target = target});
  if (!equal) return equal;
  const Status noted = work.zfs()->set_properties(
      params.node, target, marks_of({{mark::kVerified, std::string(mark_of(*facts.old, mark::kGuard))}}));
  if (!noted) return Error(noted.error()).during(fmt::format("noting that {} is verified", target));
  return Done{};
}

Status RecreateZvolProcedure::retire(const Params& params, const Facts& facts, Work& work) {
  const Status unused =
      nobody_uses(work, params.vmid, params.node, std::array{params.dataset, work_zvol(params.dataset)});
  if (!unused) return Error(unused.error()).during(what(params));
  const std::string name = retired_zvol(params.dataset, mark_of(*facts.old, mark::kGuard));
  const Status renamed = work.zfs()->rename(params.node, params.dataset, name);
  if (!renamed) return Error(renamed.error()).during(fmt::format("renaming {} to {}", params.dataset, name));
  return Done{};
}

Status RecreateZvolProcedure::promote(const Params& params, const Facts&, Work& work) {
  const std::string name = work_zvol(params.dataset);
  const Status unused = nobody_uses(work, params.vmid, params.node, std::array{name});
  if (!unused) return Error(unused.error()).during(what(params));
  const Status renamed = work.zfs()->rename(params.node, name, params.dataset);
  if (!renamed) return Error(renamed.error()).during(fmt::format("renaming {} to {}", name, params.dataset));
  return Done{};
}

Status RecreateZvolProcedure::settle(const Params& params, const Facts& facts, Work& work) {
  ZfsHost& zfs = *work.zfs();
  if (facts.old) {
    // Its reservation would be in the way of the new one's; and it becomes "retired" only now that it is out of use.
    FlatMap<std::string> marks = marks_of({{mark::kVmid, fmt::format("{}", params.vmid.number)},
                                           {mark::kSlot, to_text(params.slot)},
                                           {mark::kName, std::string(last_component(params.dataset))}});
    if (!is_retired(*facts.old)) marks.set(mark_property(mark::kRetiredAt), time_stamp(work.clock().wall()));
    marks.set("refreservation", "none");
    const Status marked = zfs.set_properties(params.node, facts.old->name, marks);
    if (!marked) return Error(marked.error()).during(fmt::format("marking {} as retired", facts.old->name));
  }
  if (params.thick && facts.made->text("refreservation") == "0") {
    FlatMap<std::string> thick;
    thick.set("refreservation", "auto");
    const Status reserved = zfs.set_properties(params.node, params.dataset, thick);
    // The data is safe either way; a reservation is no reason to leave the guest stopped.
    if (!reserved)
      work.warn(
          fmt::format("{} is thin now, its reservation was refused: {}", params.dataset, reserved.error().text()));
  }
  if (!notes_size(*facts.vm, params.slot, *facts.made)) {
    const Status noted = note_size(work, *facts.vm, params.slot);
    if (!noted) return noted;
  }
  const Status settled = zfs.set_properties(params.node, params.dataset, marks_of({{mark::kSettled, "yes"}}));
  if (!settled) return Error(settled.error()).during(what(params));
  return Done{};
}

void RecreateZvolProcedure::after_failure(const Params& params, const Facts&, Work& work) {
  if (work.stop_requested() || work.zfs() == nullptr) return;
  const auto found = work.zfs()->dataset(params.node, params.dataset);
  if (!found || !found->has_value() || guid_of(**found) != params.guid) return;
  if (!is_read_only(**found) || mark_of(**found, mark::kGuard).empty()) return;
  FlatMap<std::string> set;
  set.set("readonly", "");
  const Status freed = work.zfs()->set_properties(params.node, params.dataset, set);
  if (!freed)
    work.warn(fmt::format("{} is still read-only, and vm {} cannot start: on {}: zfs inherit readonly {}",
                          params.dataset, params.vmid.number, params.node, params.dataset));
}

// --- roll-back-zvol

Result<RollBackZvolProcedure::Facts> RollBackZvolProcedure::observe(const Params& params, Work& work, const Progress&) {
  auto zfs = need_zfs(work);
  if (!zfs) return std::move(zfs).error();
  Facts facts;
  const Status looked = look_at_drive(work, params.vmid, params.slot, params.volume, params.node, facts);
  if (!looked) return looked.error();
  if (!facts.vm) return facts;
  auto at_name = (*zfs)->dataset(params.node, params.dataset);
  if (!at_name) return std::move(at_name).error();
  facts.live = std::move(*at_name);
  if (facts.live && guid_of(*facts.live) == params.guid) {
    facts.seen.at_name = Here::kWanted;
    facts.wanted = facts.live;
    facts.seen.settled =
        !is_read_only(*facts.wanted) && !is_retired(*facts.wanted) && notes_size(*facts.vm, params.slot, *facts.wanted);
    return facts;
  }
  if (facts.live) facts.seen.at_name = Here::kOther;
  auto marked = (*zfs)->marked(params.node, std::string(parent_dataset(params.dataset)));
  if (!marked) return std::move(marked).error();
  const auto at = std::ranges::find(*marked, params.guid, guid_of);
  if (at != marked->end() && is_hidden_name(at->name)) {
    facts.seen.kept = true;
    facts.wanted = std::move(*at);
  } else if (facts.conflict.empty()) {
    facts.conflict = fmt::format("The retired zvol of {} is not there any more.", params.dataset);
  }
  return facts;
}

Status RollBackZvolProcedure::retire(const Params& params, const Facts&, Work& work) {
  const std::string doing = fmt::format("retiring {}", params.dataset);
  const Status unused = nobody_uses(work, params.vmid, params.node, std::array{params.dataset});
  if (!unused) return Error(unused.error()).during(doing);
  // Whose it is must stand on it before it is out of sight; that it is retired, only after that.
  const Status marked = work.zfs()->set_properties(
      params.node, params.dataset,
      marks_of({{mark::kVmid, fmt::format("{}", params.vmid.number)}, {mark::kSlot, to_text(params.slot)}}));
  if (!marked) return Error(marked.error()).during(doing);
  const std::string stamp = time_stamp(work.clock().wall());
  const Status renamed = work.zfs()->rename(params.node, params.dataset, retired_zvol(params.dataset, stamp));
  if (!renamed) return Error(renamed.error()).during(doing);
  return Done{};
}

Status RollBackZvolProcedure::promote(const Params& params, const Facts& facts, Work& work) {
  const std::string doing = fmt::format("putting {} back as {}", facts.wanted->name, params.dataset);
  const Status unused = nobody_uses(work, params.vmid, params.node, std::array{facts.wanted->name});
  if (!unused) return Error(unused.error()).during(doing);
  const Status renamed = work.zfs()->rename(params.node, facts.wanted->name, params.dataset);
  if (!renamed) return Error(renamed.error()).during(doing);
  return Done{};
}

Status RollBackZvolProcedure::settle(const Params& params, const Facts& facts, Work& work) {
  ZfsHost& zfs = *work.zfs();
  const std::string doing = fmt::format("putting {} back", params.dataset);
  // The one that had the name is the retired one now.
  auto marked = zfs.marked(params.node, std::string(parent_dataset(params.dataset)));
  if (!marked) return std::move(marked).error().during(doing);
  const std::string prefix = fmt::format("{}", retired_zvol(params.dataset, ""));
  for (const LiveDataset& other : *marked) {
    if (!other.name.starts_with(prefix) || is_retired(other)) continue;
    FlatMap<std::string> marks = marks_of({{mark::kVmid, fmt::format("{}", params.vmid.number)},
                                           {mark::kSlot, to_text(params.slot)},
                                           {mark::kName, std::string(last_component(params.dataset))},
                                           {mark::kRetiredAt, time_stamp(work.clock().wall())}});
    const Status done = zfs.set_properties(params.node, other.name, marks);
    if (!done) return Error(done.error()).during(doing);
  }
  FlatMap<std::string> set = marks_of({{mark::kRetiredAt, ""}, {mark::kGuard, ""}, {mark::kSettled, "yes"}});
  set.set("readonly", "");
  const Status freed = zfs.set_properties(params.node, params.dataset, set);
  if (!freed) return Error(freed.error()).during(doing);
  if (notes_size(*facts.vm, params.slot, *facts.wanted)) return Done{};
  return note_size(work, *facts.vm, params.slot);
}

// --- swap-zvol

namespace {

constexpr std::string_view kOver = "done";

std::string names_on(std::string_view parent, const VolumeId& volume) {
  return fmt::format("{}/{}", parent, volume.name);
}

}  // namespace

Result<SwapZvolProcedure::Facts> SwapZvolProcedure::observe(const Params& params, Work& work, const Progress&) {
  const std::string doing =
      fmt::format("swapping {} of vm {} to storage \"{}\"", to_text(params.slot), params.vmid.number, params.storage);
  auto zfs = need_zfs(work);
  if (!zfs) return std::move(zfs).error().during(doing);
  Facts facts;
  auto vm = work.guest(params.vmid);
  if (!vm) return std::move(vm).error().during(doing);
  facts.vm = std::move(vm).value();
  facts.seen.exists = facts.vm.has_value();
  if (!facts.vm) {
    facts.conflict = fmt::format("vm {} does not exist.", params.vmid.number);
    return facts;
  }
  facts.seen.waits = drive_waits(*facts.vm, params.slot);
  const auto status = work.pve().guest_status(work.ref(params.vmid));
  if (!status) return Error(status.error()).during(doing);
  facts.seen.stopped = status->power == PowerState::kStopped;
  const LiveDrive* drive = find_drive(*facts.vm, params.slot);
  const std::optional<VolumeId> held = drive != nullptr && drive->current ? drive->current->volume : std::nullopt;
  auto on_target = (*zfs)->marked(params.node, params.to);
  if (!on_target) return std::move(on_target).error().during(doing);
  const auto came_from = [](const LiveDataset& zvol) { return mark_of(zvol, mark::kSwapFrom); };

  if (held && work.node() == params.node && is_meant(params.volume, held) && held->storage == params.volume.storage) {
    facts.seen.drive = Names::kStaged;
    facts.staged = held;
    auto staged = (*zfs)->dataset(params.node, names_on(params.from, *held));
    if (!staged) return std::move(staged).error().during(doing);
    facts.seen.staged = staged->has_value();
    const auto at = std::ranges::find(*on_target, to_text(*held), came_from);
    facts.seen.renamed = at != on_target->end();
    // Pointed already, and the task died before PVE made it the guest's: said again, PVE does.
    if (facts.seen.renamed && facts.seen.stopped && !drive->pending_delete && drive->pending &&
        drive->pending->volume == VolumeId{.storage = params.storage, .name = std::string(last_component(at->name))}) {
      Drive pointed = *drive->current;
      pointed.volume = drive->pending->volume;
      facts.seen.waits = !(pointed == *drive->pending);
    }
    if (facts.seen.renamed)
      facts.zvol = std::move(*at);
    else
      facts.zvol = std::move(*staged);
    const auto taken = work.pve().volumes(params.node, params.storage, params.vmid);
    if (!taken) return Error(taken.error()).during(doing);
    for (const LiveVolume& volume : *taken) facts.taken.push_back(volume.id.name);
    for (const LiveDrive& other : facts.vm->drives) {
      for (const auto* state : {&other.current, &other.pending})
        if (*state && (*state)->volume && (*state)->volume->storage == params.storage)
          facts.taken.push_back((*state)->volume->name);
    }
  } else if (held && held->storage == params.storage && work.node() == params.node) {
    const auto at = std::ranges::find(*on_target, names_on(params.to, *held), &LiveDataset::name);
    const std::string from = at != on_target->end() ? std::string(came_from(*at)) : std::string();
    if (!from.empty()) {
      facts.seen.drive = Names::kWanted;
      facts.seen.noted = from == kOver;
      facts.zvol = std::move(*at);
      const auto colon = from.find(':');
      if (colon != std::string::npos) {
        facts.staged = VolumeId{.storage = from.substr(0, colon), .name = from.substr(colon + 1)};
        facts.seen.dangling = unused_slot_of(*facts.vm, *facts.staged).has_value();
        auto again = (*zfs)->dataset(params.node, names_on(params.from, *facts.staged));
        if (!again) return std::move(again).error().during(doing);
        facts.seen.staged = again->has_value();
      }
    }
  }
  if (facts.seen.waits)
    facts.conflict = fmt::format("{} has a change that waits for a restart.", to_text(params.slot));
  else if (facts.seen.drive == Names::kOther)
    facts.conflict = fmt::format("{} of vm {} holds {}, not {}.", to_text(params.slot), params.vmid.number,
                                 held ? to_text(*held) : std::string("nothing"), meant_text(params.volume));
  else if (facts.seen.drive == Names::kWanted)
    facts.conflict = fmt::format("{} is there again; the unused entry that names it stays.",
                                 facts.staged ? to_text(*facts.staged) : std::string());
  else if (!facts.seen.stopped)
    facts.conflict = fmt::format("vm {} runs.", params.vmid.number);
  else
    facts.conflict = fmt::format("{} is {} on {}.", to_text(*facts.staged),
                                 facts.seen.staged ? "there twice, staged and renamed," : "not there", params.node);
  return facts;
}

Status SwapZvolProcedure::rename(const Params& params, const Facts& facts, Work& work) {
  const std::string from = names_on(params.from, *facts.staged);
  // A snapshot's part of the configuration names the volume, too, and nobody can change it there: going back to it
  // would find nothing, and PVE would keep the entry of the empty place for it.
  if (facts.vm->has_snapshots())
    return Error{
        .kind = ErrorKind::kConflict,
        .message = fmt::format("vm {} has snapshots, which name {}", params.vmid.number, to_text(*facts.staged)),
        .context = {}};
  std::string to;
  // As PVE numbers volumes; if somebody takes the name meanwhile, ZFS refuses the rename and nothing has happened.
  for (int number = 0; to.empty(); ++number) {
    const std::string name = fmt::format("vm-{}-disk-{}", params.vmid.number, number);
    if (std::ranges::find(facts.taken, name) == facts.taken.end()) to = fmt::format("{}/{}", params.to, name);
  }
  const std::string doing = fmt::format("renaming {} to {}", from, to);
  const Status noted =
      work.zfs()->set_properties(params.node, from, marks_of({{mark::kSwapFrom, to_text(*facts.staged)}}));
  if (!noted) return Error(noted.error()).during(doing);
  const Status unused = nobody_uses(work, params.vmid, params.node, std::array{from});
  if (!unused) return Error(unused.error()).during(doing);
  const Status renamed = work.zfs()->rename(params.node, from, to);
  if (!renamed) return Error(renamed.error()).during(doing);
  return Done{};
}

Status SwapZvolProcedure::point(const Params& params, const Facts& facts, Work& work) {
  const LiveDrive* drive = find_drive(*facts.vm, params.slot);
  Drive changed = *drive->current;
  changed.volume = VolumeId{.storage = params.storage, .name = std::string(last_component(facts.zvol->name))};
  return change_config(
      work, params.vmid, {{to_text(params.slot), print_drive(params.slot, changed)}}, {}, facts.vm->digest,
      fmt::format("pointing {} of vm {} at {}", to_text(params.slot), params.vmid.number, to_text(*changed.volume)));
}

Status SwapZvolProcedure::clean(const Params& params, const Facts& facts, Work& work) {
  if (facts.seen.dangling) {
    // Fact E6: PVE frees what the entry names, and there is nothing: the digest says that nobody put anything there
    // since it was looked at.
    const auto slot = unused_slot_of(*facts.vm, *facts.staged);
    const Status removed =
        change_config(work, params.vmid, {}, {to_text(*slot)}, facts.vm->digest,
                      fmt::format("removing the empty entry {} of vm {}", to_text(*slot), params.vmid.number));
    if (!removed) return removed;
  }
  const Status noted =
      work.zfs()->set_properties(params.node, facts.zvol->name, marks_of({{mark::kSwapFrom, std::string(kOver)}}));
  if (!noted) return Error(noted.error()).during(fmt::format("noting the end of the swap at {}", facts.zvol->name));
  return Done{};
}

}  // namespace pvr
