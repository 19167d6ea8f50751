#include "reconciler/execute/guest_lifecycle.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <vector>

#include "reconciler/execute/guest_text.h"
#include "reconciler/execute/task_waiter.h"

namespace pvr {
namespace {

/// Waits until the lock a creation holds is gone, with or without the guest. The task may belong to an earlier run,
/// whose UPID nobody knows.
Status await_unlocked(Work& work, Vmid vmid, const std::string& doing) {
  BackOff back_off(work.patience());
  const Deadline deadline = work.clock().steady() + work.patience().silence;
  for (;;) {
    const auto running = running_tasks(work, vmid, {});
    if (running) {
      for (const Upid& task : *running) static_cast<void>(await_task(work, task));
    }
    const auto vm = work.guest(vmid);
    if (!vm) return Error(vm.error()).during(doing);
    if (!vm->has_value() || (*vm)->lock.empty()) return Done{};
    if (work.clock().steady() >= deadline)
      return Error{.kind = ErrorKind::kRejected,
                   .message = fmt::format(
                       "vm {} keeps its lock \"{}\" though nothing works on it. Look at it, then: qm unlock {}",
                       vmid.number, (*vm)->lock, vmid.number)}
          .during(doing);
    work.pause(back_off.next());
  }
}

}  // namespace

// --- create-vm

Result<CreateVmProcedure::Facts> CreateVmProcedure::observe(const Params& params, Work& work,
                                                            const Progress& progress) {
  Facts facts;
  auto vm = work.guest(params.vmid);
  if (!vm) return std::move(vm).error().during(fmt::format("looking for vm {}", params.vmid.number));
  facts.vm = std::move(vm).value();
  facts.seen.exists = facts.vm.has_value();
  if (!facts.vm) return facts;
  facts.seen.locked = facts.vm->lock == "create";
  // With a planned uuid the guest itself says whose it is, but not before PVE is done: at first the file holds only the
  // lock. Without one, only what this run asked for can be ours: the vmid was free before.
  const bool too_early_to_tell = params.uuid.empty() || (facts.seen.locked && facts.vm->uuid.empty());
  facts.seen.ours = too_early_to_tell ? progress.acted() : facts.vm->uuid == params.uuid;
  if (!facts.seen.ours)
    facts.conflict = fmt::format("vm {} exists already and is not the one to create.", params.vmid.number);
  return facts;
}

Status CreateVmProcedure::await_create(const Params& params, const Facts&, Work& work) {
  return await_unlocked(work, params.vmid, fmt::format("waiting for vm {} to be created", params.vmid.number));
}

Status CreateVmProcedure::create(const Params& params, const Facts&, Work& work) {
  const std::string doing = fmt::format("creating vm {}", params.vmid.number);
  FormFields fields = {{"vmid", fmt::format("{}", params.vmid.number)}};
  for (const auto& [key, text] : params.options) fields.emplace_back(key, text);
  for (const auto& [key, text] : params.disks) fields.emplace_back(key, text);
  if (!params.pool.empty()) fields.emplace_back("pool", params.pool);
  if (!params.uuid.empty() && !params.options.contains("smbios1"))
    fields.emplace_back("smbios1", fmt::format("uuid={}", params.uuid));
  const Status room = check_space(work);
  if (!room) return Error(room.error()).during(doing);
  auto task = work.pve().create_guest(params.node, fields);
  if (!task) return std::move(task).error().during(doing);
  const Status created = await_task(work, *task);
  if (!created) return Error(created.error()).during(doing);
  return Done{};
}

Status CreateVmProcedure::verify(const Params& params, const Facts&, const Facts& last, Work& work) {
  for (const auto& [key, text] : params.disks) {
    const auto slot = parse_slot(key);
    if (slot && configured_drive(*last.vm, *slot) == nullptr)
      return Error{.kind = ErrorKind::kBroken,
                   .message = fmt::format("vm {} was created without its disk {}.", params.vmid.number, key)};
  }
  for (const auto& [key, text] : params.options) {
    const auto stored = configured_text(*last.vm, key);
    if (!stored &&
        find_drive(*last.vm, parse_slot(key).value_or(DriveSlot{.bus = Bus::kUnused, .index = 255})) == nullptr)
      work.warn(fmt::format("vm {} was created without the option {}.", params.vmid.number, key));
  }
  return Done{};
}

// --- clone-vm

Result<CloneVmProcedure::Facts> CloneVmProcedure::observe(const Params& params, Work& work, const Progress& progress) {
  Facts facts;
  auto vm = work.guest(params.vmid);
  if (!vm) return std::move(vm).error().during(fmt::format("looking for vm {}", params.vmid.number));
  facts.vm = std::move(vm).value();
  facts.seen.exists = facts.vm.has_value();
  if (!facts.vm) return facts;
  facts.seen.ours = progress.acted();
  facts.seen.locked = facts.vm->lock == "clone";
  if (!facts.seen.ours) facts.conflict = fmt::format("vm {} exists already.", params.vmid.number);
  return facts;
}

Status CloneVmProcedure::await_clone(const Params& params, const Facts&, Work& work) {
  return await_unlocked(work, params.vmid, fmt::format("waiting for vm {} to be cloned", params.vmid.number));
}

Status CloneVmProcedure::clone(const Params& params, const Facts&, Work& work) {
  const std::string doing = fmt::format("cloning vm {} to {}", params.source.number, params.vmid.number);
  FormFields fields = {{"newid", fmt::format("{}", params.vmid.number)}, {"full", params.full ? "1" : "0"}};
  if (!params.name.empty()) fields.emplace_back("name", params.name);
  // Fact: storage is refused for linked clones; target needs shared storage and is refused where it is the source's own
  // node only by storage checks, so it is sent only when it says something.
  if (params.full && !params.storage.empty()) fields.emplace_back("storage", params.storage);
  if (!params.target_node.empty() && params.target_node != params.source_node)
    fields.emplace_back("target", params.target_node);
  if (!params.pool.empty()) fields.emplace_back("pool", params.pool);
  const Status room = check_space(work);
  if (!room) return Error(room.error()).during(doing);
  auto task = work.pve().clone_guest({.node = params.source_node, .vmid = params.source}, fields);
  if (!task) return std::move(task).error().during(doing);
  const Status cloned = await_task(work, *task);
  if (!cloned) return Error(cloned.error()).during(doing);
  return Done{};
}

// --- destroy-vm

Result<DestroyVmProcedure::Facts> DestroyVmProcedure::observe(const Params& params, Work& work,
                                                              const Progress& progress) {
  Facts facts;
  auto vm = work.guest(params.vmid);
  if (!vm) return std::move(vm).error().during(fmt::format("reading vm {}", params.vmid.number));
  facts.vm = std::move(vm).value();
  facts.seen.exists = facts.vm.has_value();
  if (!facts.vm) return facts;
  const LiveVm& live = *facts.vm;
  const std::string uuid = params.uuid.empty() ? work.operation().guard.uuid : params.uuid;
  const bool by_digest = uuid.empty() && !work.operation().guard.digest.empty();
  facts.seen.identified = by_digest || (!uuid.empty() && live.uuid == uuid);
  const auto protection = configured_text(live, "protection");
  facts.seen.is_protected = protection && *protection == "1";
  const auto status = work.pve().guest_status(work.ref(params.vmid));
  // Asked while it goes away, PVE says that there is no such guest.
  if (!status && !progress.acted())
    return Error(status.error()).during(fmt::format("reading vm {}", params.vmid.number));
  facts.seen.running = status && status->power != PowerState::kStopped;
  if (!facts.seen.identified)
    facts.conflict = fmt::format("vm {} is another machine than the one to destroy (smbios uuid {}).",
                                 params.vmid.number, live.uuid.empty() ? "unset" : live.uuid);
  else if (facts.seen.is_protected)
    facts.conflict = fmt::format("vm {} is protected. To allow it: qm set {} --protection 0", params.vmid.number,
                                 params.vmid.number);
  else if (facts.seen.running)
    facts.conflict = fmt::format("vm {} runs.", params.vmid.number);
  return facts;
}

Status DestroyVmProcedure::destroy(const Params& params, const Facts&, Work& work) {
  const std::string doing = fmt::format("destroying vm {}", params.vmid.number);
  // purge: jobs and HA entries that name this vmid would catch the next guest that gets the number.
  constexpr bool kPurge = true;
  auto task = work.pve().destroy_guest(work.ref(params.vmid), kPurge);
  if (!task) return std::move(task).error().during(doing);
  const Status destroyed = await_task(work, *task);
  if (!destroyed) return Error(destroyed.error()).during(doing);
  return Done{};
}

Status DestroyVmProcedure::verify(const Params& params, const Facts& first, const Facts&, Work& work) {
  if (!first.vm) return Done{};
  // Fact: PVE only warns in the task's log when it cannot remove a volume, and then nothing names that any more.
  std::map<std::string, std::vector<VolumeId>> had;
  for (const LiveDrive& drive : first.vm->drives)
    for (const auto* state : {&drive.current, &drive.pending})
      if (*state && (*state)->volume && owner_of(*(*state)->volume) == params.vmid)
        had[(*state)->volume->storage].push_back(*(*state)->volume);
  for (const auto& [storage, volumes] : had) {
    const auto listed = work.pve().volumes(first.vm->node, storage, params.vmid);
    if (!listed) continue;
    for (const LiveVolume& volume : *listed)
      if (std::ranges::find(volumes, volume.id) != volumes.end())
        work.warn(
            fmt::format("PVE could not remove {} of vm {}, and no configuration names it any more. When nothing "
                        "uses it, free it with: pvesm free {}",
                        to_text(volume.id), params.vmid.number, to_text(volume.id)));
  }
  return Done{};
}

}  // namespace pvr
