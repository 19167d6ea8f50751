#include "reconciler/execute/datasets.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "reconciler/execute/guest_text.h"
#include "reconciler/execute/task_waiter.h"
#include "reconciler/model/retired.h"

namespace pvr {
namespace {

std::string text_of(const FlatMap<std::string>& set) {
  std::string text;
  for (const auto& [key, value] : set) text += fmt::format("{}{}={}", text.empty() ? "" : ", ", key, value);
  return text;
}

}  // namespace

Result<ZfsHost*> need_zfs(Work& work) {
  if (work.zfs() != nullptr) return work.zfs();
  return Error{.kind = ErrorKind::kRejected,
               .message = "This needs host access, and there is none: state cluster.ssh in the fleet file."};
}

Result<std::string> dataset_of_storage(Work& work, const std::string& storage) {
  const auto list = work.pve().storages();
  if (!list) return Error(list.error()).during("listing storages");
  const auto at = std::ranges::find(list->storages, storage, &LiveStorage::id);
  if (at == list->storages.end())
    return Error{.kind = ErrorKind::kNotFound, .message = fmt::format("There is no storage \"{}\".", storage)};
  const std::string* pool = at->properties.find("pool");
  if (at->type != "zfspool" || pool == nullptr)
    return Error{.kind = ErrorKind::kRejected,
                 .message = fmt::format("Storage \"{}\" is of type {} and holds no zvols.", storage, at->type)};
  return *pool;
}

Status nobody_uses(Work& work, Vmid vmid, const std::string& node, std::span<const std::string> volumes) {
  auto zfs = need_zfs(work);
  if (!zfs) return std::move(zfs).error();
  const auto status = work.pve().guest_status(work.ref(vmid));
  if (!status) return Error(status.error()).during(fmt::format("reading the state of vm {}", vmid.number));
  if (status->power != PowerState::kStopped)
    return Error{.kind = ErrorKind::kConflict,
                 .message = fmt::format("vm {} is not stopped; ZFS would rename its volume below it.", vmid.number)};
  if (!status->lock.empty())
    return Error{.kind = ErrorKind::kLocked, .message = fmt::format("VM is locked ({})", status->lock)};
  if (status->ha_managed) {
    const auto list = work.pve().ha_resources();
    if (!list) return Error(list.error()).during("reading the HA resources");
    const auto sid = fmt::format("vm:{}", vmid.number);
    const auto at = std::ranges::find(list->resources, sid, &LiveHa::sid);
    const std::string* wanted = at != list->resources.end() ? at->properties.find("state") : nullptr;
    // Fact: without a word HA wants a resource started.
    if (at != list->resources.end() && (wanted == nullptr || *wanted == "started" || *wanted == "enabled"))
      return Error{.kind = ErrorKind::kConflict, .message = fmt::format("HA is about to start {}.", sid)};
  }
  const auto busy = running_tasks(work, vmid, {});
  if (!busy) return Error(busy.error()).during(fmt::format("reading the tasks of vm {}", vmid.number));
  if (!busy->empty())
    return Error{.kind = ErrorKind::kLocked,
                 .message = fmt::format("a task of vm {} runs ({})", vmid.number, busy->front().type())};
  for (const std::string& volume : volumes) {
    const auto holders = (*zfs)->holders(node, volume);
    if (!holders) return Error(holders.error()).during(fmt::format("looking who holds {}", volume));
    if (!holders->empty())
      return Error{.kind = ErrorKind::kLocked,
                   .message = fmt::format("{} is open: {}", volume, fmt::join(*holders, ", "))};
  }
  return Done{};
}

bool same_property(std::string_view key, std::string_view asked, std::string_view shown) {
  if (asked == shown) return true;
  if (key != "refreservation") return false;
  const bool none = shown == "0" || shown == "none" || shown.empty();
  return asked == "auto" ? !none : none;
}

// --- create-dataset

Result<CreateDatasetProcedure::Facts> CreateDatasetProcedure::observe(const Params& params, Work& work,
                                                                      const Progress&) {
  auto zfs = need_zfs(work);
  if (!zfs) return std::move(zfs).error();
  auto found = (*zfs)->dataset(params.node, params.name);
  if (!found) return std::move(found).error().during(fmt::format("reading dataset {} on {}", params.name, params.node));
  Facts facts;
  facts.seen.present = found->has_value();
  facts.seen.is_volume = facts.seen.present && (*found)->is_volume;
  facts.conflict = fmt::format("{} on {} is a volume, not a file system.", params.name, params.node);
  return facts;
}

Status CreateDatasetProcedure::create(const Params& params, const Facts&, Work& work) {
  const Status made = work.zfs()->create_dataset(params.node, params.name, params.properties);
  if (!made) return Error(made.error()).during(fmt::format("creating dataset {} on {}", params.name, params.node));
  return Done{};
}

// --- set-zvol-properties

Result<SetZvolPropertiesProcedure::Facts> SetZvolPropertiesProcedure::observe(const Params& params, Work& work,
                                                                              const Progress&) {
  auto zfs = need_zfs(work);
  if (!zfs) return std::move(zfs).error();
  Facts facts{.dataset = params.dataset};
  std::string node = params.node;
  if (params.vmid.number != 0) {
    const auto vm = work.guest(params.vmid);
    if (!vm) return Error(vm.error()).during(fmt::format("reading vm {}", params.vmid.number));
    const Drive* drive = vm->has_value() ? configured_drive(**vm, params.slot) : nullptr;
    if (drive == nullptr || !holds_planned(*drive, params.volume)) {
      facts.conflict = fmt::format("{} of vm {} does not hold {} (any more).", to_text(params.slot), params.vmid.number,
                                   meant_text(params.volume));
      return facts;
    }
    auto parent = dataset_of_storage(work, drive->volume->storage);
    if (!parent) return std::move(parent).error();
    facts.dataset = fmt::format("{}/{}", *parent, drive->volume->name);
    node = work.node();
  }
  auto found = (*zfs)->dataset(node, facts.dataset);
  if (!found) return std::move(found).error().during(fmt::format("reading {} on {}", facts.dataset, node));
  facts.seen.present = found->has_value();
  facts.conflict = fmt::format("There is no dataset {} on {}.", facts.dataset, node);
  if (!facts.seen.present) return facts;
  facts.seen.as_wanted = std::ranges::all_of(
      params.set, [&](const auto& pair) { return same_property(pair.first, pair.second, (*found)->text(pair.first)); });
  return facts;
}

Status SetZvolPropertiesProcedure::write(const Params& params, const Facts& facts, Work& work) {
  const std::string& node = params.vmid.number != 0 ? work.node() : params.node;
  const Status set = work.zfs()->set_properties(node, facts.dataset, params.set);
  if (!set) return Error(set.error()).during(fmt::format("setting {} of {}", text_of(params.set), facts.dataset));
  return Done{};
}

// --- retire-volume

Result<RetireVolumeProcedure::Facts> RetireVolumeProcedure::observe(const Params& params, Work& work, const Progress&) {
  auto zfs = need_zfs(work);
  if (!zfs) return std::move(zfs).error();
  Facts facts;
  auto vm = work.guest(params.vmid);
  if (!vm) return std::move(vm).error().during(fmt::format("reading vm {}", params.vmid.number));
  facts.vm = std::move(vm).value();
  facts.seen.exists = facts.vm.has_value();
  if (!facts.vm) {
    facts.conflict = fmt::format("vm {} does not exist.", params.vmid.number);
    return facts;
  }
  if (const auto slot = attached_slot_of(*facts.vm, params.volume)) {
    facts.seen.attached = true;
    facts.conflict = fmt::format("{} of vm {} names {}: it is not retired.", to_text(*slot), params.vmid.number,
                                 to_text(params.volume));
  }
  auto found = (*zfs)->dataset(params.node, params.dataset);
  if (!found) return std::move(found).error().during(fmt::format("reading {} on {}", params.dataset, params.node));
  facts.seen.present = found->has_value() && (*found)->text("guid") == params.guid;
  facts.seen.marked = facts.seen.present && retired_from(**found).has_value();
  return facts;
}

Status RetireVolumeProcedure::set_marks(const Params& params, const Facts&, Work& work) {
  FlatMap<std::string> marks;
  marks.set(mark_property(mark::kVmid), fmt::format("{}", params.vmid.number));
  marks.set(mark_property(mark::kSlot), to_text(params.slot));
  marks.set(mark_property(mark::kRetiredAt), time_stamp(work.clock().wall()));
  const Status set = work.zfs()->set_properties(params.node, params.dataset, marks);
  if (!set) return Error(set.error()).during(fmt::format("marking {} as retired", params.dataset));
  return Done{};
}

// --- destroy-dataset

Result<DestroyDatasetProcedure::Facts> DestroyDatasetProcedure::observe(const Params& params, Work& work,
                                                                        const Progress&) {
  auto zfs = need_zfs(work);
  if (!zfs) return std::move(zfs).error();
  Facts facts;
  auto found = (*zfs)->dataset(params.node, params.dataset);
  if (!found) return std::move(found).error().during(fmt::format("reading {} on {}", params.dataset, params.node));
  facts.found = std::move(found).value();
  facts.seen.present = facts.found.has_value();
  if (!facts.found) return facts;
  facts.seen.same = facts.found->text("guid") == params.guid;
  facts.seen.unused = facts.found->is_volume ? is_hidden_name(params.dataset) && is_retired(*facts.found)
                                             : !parent_dataset(params.dataset).empty();
  facts.conflict = !facts.seen.same
                       ? fmt::format("{} on {} is another dataset than the planned one.", params.dataset, params.node)
                       : fmt::format("{} on {} is not retired.", params.dataset, params.node);
  return facts;
}

Status DestroyDatasetProcedure::destroy(const Params& params, const Facts& facts, Work& work) {
  const std::string doing = fmt::format("destroying {} on {}", params.dataset, params.node);
  for (const std::string& snapshot : facts.found->snapshots) {
    const Status gone = work.zfs()->destroy_snapshot(params.node, params.dataset, snapshot);
    if (!gone) return Error(gone.error()).during(doing);
  }
  const Status gone = work.zfs()->destroy(params.node, params.dataset, params.guid);
  if (!gone) return Error(gone.error()).during(doing);
  return Done{};
}

}  // namespace pvr
