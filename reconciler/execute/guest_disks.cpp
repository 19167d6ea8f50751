#include "reconciler/execute/guest_disks.h"

#include <fmt/format.h>

#include <algorithm>

#include "reconciler/execute/guest_text.h"
#include "reconciler/execute/task_waiter.h"
#include "reconciler/execute/volume_names.h"

namespace pvr {
namespace {

/// The beginning all observations share: the guest, and the conflict when there is none.
template <class Facts>
Result<Facts> look_at_guest(Work& work, Vmid vmid) {
  Facts facts;
  auto vm = work.guest(vmid);
  if (!vm) return std::move(vm).error().during(fmt::format("reading vm {}", vmid.number));
  facts.vm = std::move(vm).value();
  facts.seen.exists = facts.vm.has_value();
  if (!facts.vm) facts.conflict = fmt::format("vm {} does not exist.", vmid.number);
  return facts;
}

std::string with_keys(std::string text, const FlatMap<std::string>& options) {
  for (const auto& [key, value] : options) text += fmt::format(",{}={}", key, value);
  return text;
}

Result<bool> is_listed(Work& work, Vmid owner, const VolumeId& volume) {
  const auto listed = work.pve().volumes(work.node(), volume.storage, owner);
  if (!listed) return Error(listed.error()).during(fmt::format("listing storage \"{}\"", volume.storage));
  return std::ranges::find(*listed, volume, &LiveVolume::id) != listed->end();
}

}  // namespace

// --- add-disk

Result<AddDiskProcedure::Facts> AddDiskProcedure::observe(const Params& params, Work& work, const Progress& progress) {
  auto facts = look_at_guest<Facts>(work, params.vmid);
  if (!facts || !facts->vm) return facts;
  const LiveDrive* entry = find_drive(*facts->vm, params.slot);
  if (entry == nullptr) return facts;
  const Drive* drive = configured_drive(*facts->vm, params.slot);
  const bool ours = progress.acted() && drive != nullptr && drive->volume && drive->volume->storage == params.storage;
  facts->seen.slot = ours ? SlotUse::kOurs : SlotUse::kForeign;
  if (!ours)
    facts->conflict =
        fmt::format("{} of vm {} is not empty: it holds {}.", to_text(params.slot), params.vmid.number,
                    drive == nullptr ? "a drive that waits for its removal" : print_drive(params.slot, *drive));
  return facts;
}

Status AddDiskProcedure::allocate(const Params& params, const Facts& facts, Work& work) {
  const std::string doing = fmt::format("adding {} to vm {}", to_text(params.slot), params.vmid.number);
  const Status room = check_space(work);
  if (!room) return Error(room.error()).during(doing);
  const Status named = check_names(work, *facts.vm, params.storage);
  if (!named) return Error(named.error()).during(doing);
  std::string text;
  if (!params.import_from.empty()) {
    // Fact: with import-from the size must be 0; the volume gets the image's size.
    text = fmt::format("{}:0,import-from={}", params.storage, params.import_from);
  } else if (params.cloud_init) {
    text = fmt::format("{}:cloudinit", params.storage);
  } else if (params.size.bytes == 0) {
    // Fact: EFI and TPM volumes have sizes of their own; the number only has to be there.
    text = fmt::format("{}:1", params.storage);
  } else {
    text = allocation_text(params.storage, params.size);
  }
  if (!params.format.empty() && !params.cloud_init) text += fmt::format(",format={}", params.format);
  return change_config(work, params.vmid, {{to_text(params.slot), with_keys(std::move(text), params.options)}}, {},
                       facts.vm->digest, doing);
}

// --- attach-volume

Result<AttachVolumeProcedure::Facts> AttachVolumeProcedure::observe(const Params& params, Work& work, const Progress&) {
  auto facts = look_at_guest<Facts>(work, params.vmid);
  if (!facts || !facts->vm) return facts;
  const LiveVm& vm = *facts->vm;
  const Drive* here = configured_drive(vm, params.slot);
  facts->seen.attached_here = here != nullptr && is_meant(params.volume, here->volume);
  const bool to_be_replaced =
      params.replaces && here != nullptr && here->volume == params.replaces && !drive_waits(vm, params.slot);
  facts->seen.slot_taken = !facts->seen.attached_here && !to_be_replaced && find_drive(vm, params.slot) != nullptr;
  for (const LiveDrive& drive : vm.drives) {
    if (drive.slot == params.slot || drive.slot.bus == Bus::kUnused) continue;
    const bool names = (drive.current && drive.current->volume == params.volume) ||
                       (drive.pending && drive.pending->volume == params.volume);
    if (names && drive.slot == params.from) facts->seen.attached_elsewhere = true;
    if (names && drive.slot != params.from) facts->seen.attached_astray = true;
  }
  if (to_be_replaced || facts->seen.attached_elsewhere) {
    // Another disk under a running system would be the end of its file systems, and so would none. Fact: PVE refuses to
    // take a boot disk out of a running guest, and does so at its next start.
    const auto status = work.pve().guest_status(work.ref(params.vmid));
    if (!status) return Error(status.error()).during(fmt::format("reading the state of vm {}", params.vmid.number));
    facts->seen.in_use = status->power != PowerState::kStopped;
  }
  if (facts->seen.in_use)
    facts->conflict = fmt::format("vm {} runs.", params.vmid.number);
  else if (facts->seen.slot_taken)
    facts->conflict = fmt::format("{} of vm {} holds another volume.", to_text(params.slot), params.vmid.number);
  else if (facts->seen.attached_astray)
    facts->conflict =
        fmt::format("{} is attached to another slot of vm {}.", meant_text(params.volume), params.vmid.number);
  else if (facts->seen.attached_elsewhere)
    facts->conflict = fmt::format("{} still holds {}; detaching it may wait for a restart of the guest.",
                                  to_text(*params.from), meant_text(params.volume));
  return facts;
}

Status AttachVolumeProcedure::detach(const Params& params, const Facts& facts, Work& work) {
  const std::string from = to_text(*params.from);
  Status done = change_config(work, params.vmid, {}, {from}, facts.vm->digest,
                              fmt::format("detaching {} of vm {}", from, params.vmid.number));
  if (done || done.error().kind != ErrorKind::kTaskFailed) return done;
  // Fact: where a guest that was just being started keeps its drive, PVE keeps the wish, and the boot order without the
  // drive: it would be gone at the next start. Nobody but this step has asked for that.
  const auto boot_waits = [](const LiveVm& vm) {
    const LiveOption* boot = vm.options.find("boot");
    return boot != nullptr && boot->has_pending();
  };
  constexpr int kTries = 3;
  for (int attempt = 0; attempt < kTries; ++attempt) {
    const auto now = work.guest(params.vmid);
    if (!now) continue;
    const LiveDrive* left = *now ? find_drive(**now, *params.from) : nullptr;
    if (left == nullptr || !left->pending_delete) return done;
    std::vector<std::string> keys = {from};
    if (boot_waits(**now) && !boot_waits(*facts.vm)) keys.emplace_back("boot");
    if (work.pve().revert_pending(work.ref(params.vmid), keys, (*now)->digest)) return done;
  }
  return Error(done.error())
      .during(fmt::format("its removal may wait for the next start (to take it back: qm set {} --revert {})",
                          params.vmid.number, from));
}

Status AttachVolumeProcedure::attach(const Params& params, const Facts& facts, Work& work) {
  const std::string text = with_keys(meant_text(params.volume), params.options);
  return change_config(
      work, params.vmid, {{to_text(params.slot), text}}, {}, facts.vm->digest,
      fmt::format("attaching {} to {} of vm {}", meant_text(params.volume), to_text(params.slot), params.vmid.number));
}

// --- detach-disk

Result<DetachDiskProcedure::Facts> DetachDiskProcedure::observe(const Params& params, Work& work, const Progress&) {
  auto facts = look_at_guest<Facts>(work, params.vmid);
  if (!facts || !facts->vm) return facts;
  const Drive* here = configured_drive(*facts->vm, params.slot);
  facts->seen.attached = here != nullptr && is_meant(params.volume, here->volume);
  facts->seen.taken = here != nullptr && !facts->seen.attached;
  // Fact: detached cloud-init volumes are freed, and volumes of other guests only dropped.
  const bool not_kept_by_pve =
      params.volume.name.find("cloudinit") != std::string::npos || owner_of(params.volume) != params.vmid;
  facts->seen.kept = is_referenced(*facts->vm, params.volume) || not_kept_by_pve;
  if (facts->seen.taken)
    facts->conflict = fmt::format("{} of vm {} holds another volume than {}.", to_text(params.slot), params.vmid.number,
                                  meant_text(params.volume));
  else if (!facts->seen.kept)
    facts->conflict = fmt::format("No key of vm {} names {}.", params.vmid.number, meant_text(params.volume));
  return facts;
}

Status DetachDiskProcedure::detach(const Params& params, const Facts& facts, Work& work) {
  return change_config(work, params.vmid, {}, {to_text(params.slot)}, facts.vm->digest,
                       fmt::format("detaching {} of vm {}", to_text(params.slot), params.vmid.number));
}

// --- destroy-volume

Result<DestroyVolumeProcedure::Facts> DestroyVolumeProcedure::observe(const Params& params, Work& work,
                                                                      const Progress&) {
  auto facts = look_at_guest<Facts>(work, params.vmid);
  if (!facts || !facts->vm) return facts;
  const auto slot = attached_slot_of(*facts->vm, params.volume);
  facts->seen.attached = slot.has_value();
  facts->seen.unused = unused_slot_of(*facts->vm, params.volume).has_value();
  if (!facts->seen.unused && !facts->seen.attached) {
    auto listed = is_listed(work, params.vmid, params.volume);
    if (!listed) return std::move(listed).error();
    facts->seen.listed = *listed;
  }
  if (slot)
    facts->conflict =
        fmt::format("{} is in use: {} of vm {}.", meant_text(params.volume), to_text(*slot), params.vmid.number);
  else if (facts->seen.listed)
    facts->conflict = fmt::format("{} exists, but no key of vm {} names it. Free it with: pvesm free {}",
                                  meant_text(params.volume), params.vmid.number, meant_text(params.volume));
  return facts;
}

Status DestroyVolumeProcedure::free(const Params& params, const Facts& facts, Work& work) {
  const auto slot = unused_slot_of(*facts.vm, params.volume);
  return change_config(work, params.vmid, {}, {to_text(*slot)}, facts.vm->digest,
                       fmt::format("freeing {} of vm {}", meant_text(params.volume), params.vmid.number));
}

// --- resize-disk

Result<ResizeDiskProcedure::Facts> ResizeDiskProcedure::observe(const Params& params, Work& work, const Progress&) {
  auto facts = look_at_guest<Facts>(work, params.vmid);
  if (!facts || !facts->vm) return facts;
  const LiveDrive* entry = find_drive(*facts->vm, params.slot);
  const bool current = entry != nullptr && entry->current && holds_planned(*entry->current, params.volume);
  facts->seen.same_volume = current;
  if (!current) {
    facts->conflict = fmt::format("{} of vm {} does not hold {} (any more).", to_text(params.slot), params.vmid.number,
                                  meant_text(params.volume));
    return facts;
  }
  // `size=` in the drive string is only a note, and may be an old one. The volume is listed by whosever number it
  // carries.
  ByteSize size = entry->current->size.value_or(ByteSize{});
  const auto listed = work.pve().volumes(work.node(), entry->current->volume->storage,
                                         owner_of(*entry->current->volume).value_or(params.vmid));
  if (!listed) return Error(listed.error()).during("listing volumes");
  const auto volume = std::ranges::find(*listed, *entry->current->volume, &LiveVolume::id);
  if (volume != listed->end() && volume->size) size = *volume->size;
  facts->seen.large_enough = size >= params.size;
  facts->conflict = fmt::format("{} has {}, not {}.", to_text(params.slot), to_text(size), to_text(params.size));
  return facts;
}

Status ResizeDiskProcedure::grow(const Params& params, const Facts& facts, Work& work) {
  const std::string doing =
      fmt::format("growing {} of vm {} to {}", to_text(params.slot), params.vmid.number, to_text(params.size));
  auto task = work.pve().resize(work.ref(params.vmid), params.slot, params.size, facts.vm->digest);
  if (!task) return std::move(task).error().during(doing);
  const Status grown = await_task(work, *task);
  if (!grown) return Error(grown.error()).during(doing);
  // Fact: asked for the size it has already, PVE leaves an old note alone, and of a stopped guest's qcow2 on LVM the
  // note is all that can be read.
  const auto now = work.guest(params.vmid);
  if (!now || !now->has_value()) return Done{};  // the next look tells
  const LiveDrive* entry = find_drive(**now, params.slot);
  const bool old = entry != nullptr && entry->current && !entry->has_pending() &&
                   entry->current->size.value_or(ByteSize{}) < params.size;
  return old ? note_size(work, **now, params.slot) : Status(Done{});
}

}  // namespace pvr
