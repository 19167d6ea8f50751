#include "reconciler/planning/bind_disks.h"

#include <fmt/format.h>

#include <algorithm>

#include "reconciler/model/retired.h"

namespace pvr {
namespace {

struct Candidate {
  std::optional<DriveSlot> slot = {};  // empty: listed on the storage, in no key of the guest
  const LiveDrive* drive = nullptr;
  VolumeId volume = {};
  std::optional<ByteSize> size = {};
  bool leaving = false;      // still in its slot, which waits to be emptied
  std::string renamed = {};  // under which name it is now, when a swap was interrupted after its rename
};

/// A disk somebody took away below a running guest that still has it: neither is it there to be changed nor is its
/// slot free.
const Drive* waits_for_removal(const LiveDrive* drive) {
  if (drive == nullptr || !drive->pending_delete || !drive->current || !drive->current->volume) return nullptr;
  return drive->current->medium == Drive::Medium::kDisk ? &*drive->current : nullptr;
}

std::string describe(const Candidate& candidate) {
  std::string where = candidate.slot ? to_text(*candidate.slot) : std::string("not attached");
  if (candidate.leaving) where += ", which waits to be emptied";
  const std::string size = !candidate.renamed.empty() ? "which an interrupted swap has renamed to " + candidate.renamed
                           : candidate.size           ? to_text(*candidate.size)
                                                      : std::string("size unknown");
  return fmt::format("{} ({}, {})", where, to_text(candidate.volume), size);
}

std::optional<ByteSize> real_size(const VolumeId& volume, const Drive* drive, std::string_view node,
                                  const StorageTable& storages) {
  const LiveVolume* listed = storages.volume(volume, node);
  if (listed != nullptr && listed->size) return listed->size;
  const std::optional<ByteSize> own = drive != nullptr ? drive->size : std::nullopt;
  // What others note of one that is gone tells nothing.
  return listed != nullptr ? std::max(own, storages.noted_size(volume, node)) : own;
}

bool is_guest_disk(const VolumeId& volume) {
  // Fact: memory of snapshots, fleecing and cloud-init volumes carry the guest's number, too.
  for (const std::string_view other : {"-state-", "-fleece-", "-cloudinit"})
    if (volume.name.find(other) != std::string::npos) return false;
  return true;
}

ByteSize grain_of(const VolumeId& volume, const StorageTable& storages) {
  const StorageView* storage = storages.find(volume.storage);
  return storage != nullptr ? storage->grain() : 1_KiB;
}

bool fits(const ResolvedDisk& disk, const Candidate& candidate, const StorageTable& storages) {
  constexpr ByteSize kLargestFirmwareDisk = 4_MiB;
  if (!candidate.size) return true;
  if (disk.slot.bus == Bus::kEfi || disk.slot.bus == Bus::kTpm) return *candidate.size <= kLargestFirmwareDisk;
  const std::optional<ByteSize> wanted = desired_size(disk);
  if (!wanted) return true;
  const ByteSize grain = grain_of(candidate.volume, storages);
  return wanted->padded_to(grain) == candidate.size->padded_to(grain);
}

// A mark of ours says that a move has left it behind: it is an earlier copy of a disk and no disk of its own.
bool is_known_retired(const VolumeId& volume, std::string_view node, const StorageTable& storages) {
  const LiveDataset* zvol = storages.zvol(volume, node);
  return zvol != nullptr && is_retired(*zvol);
}

// The name that an interrupted swap has given to the zvol of this volume; empty: none.
std::string renamed_by_swap(const VolumeId& volume, std::string_view node, const StorageTable& storages) {
  const LiveHost* host = storages.host(node);
  if (host == nullptr || storages.volume(volume, node) != nullptr) return {};
  for (const LiveDataset& dataset : host->datasets) {
    if (mark_of(dataset, mark::kSwapFrom) != to_text(volume)) continue;
    if (const auto now = storages.volume_of(node, dataset.name)) return to_text(*now);
  }
  return {};
}

// Volumes that no slot of a desired disk holds: other slots, unusedN, and volumes in no key at all.
std::vector<Candidate> unclaimed(const ResolvedVm& vm, const LiveVm* guest, const StorageTable& storages) {
  std::vector<Candidate> list;
  std::vector<std::string> referenced;
  std::string_view node;  // not one expression of both, which would be a view of a temporary
  if (guest != nullptr)
    node = guest->node;
  else if (vm.node)
    node = *vm.node;
  if (guest != nullptr) {
    for (const LiveDrive& drive : guest->drives) {
      for (const auto* state : {&drive.current, &drive.pending})
        if (*state && (*state)->volume) referenced.push_back(storages.place_of(*(*state)->volume));
      const Drive* leaving = waits_for_removal(&drive);
      const Drive* configured = leaving != nullptr ? leaving : drive.configured();
      if (configured == nullptr || !configured->volume || configured->medium != Drive::Medium::kDisk) continue;
      const bool claimed =
          std::ranges::any_of(vm.disks, [&](const ResolvedDisk& disk) { return disk.slot == drive.slot; });
      if (claimed || !is_guest_disk(*configured->volume)) continue;
      if (drive.slot.bus == Bus::kUnused && is_known_retired(*configured->volume, node, storages)) continue;
      list.push_back({drive.slot, &drive, *configured->volume,
                      real_size(*configured->volume, configured, node, storages), leaving != nullptr,
                      renamed_by_swap(*configured->volume, node, storages)});
    }
    std::ranges::sort(referenced);
  }
  for (const LiveVolume* volume : storages.owned_by(vm.vmid)) {
    if (!is_guest_disk(volume->id) || std::ranges::binary_search(referenced, storages.place_of(volume->id))) continue;
    if (!volume->node.empty() && !node.empty() && volume->node != node) continue;
    if (!volume->content.empty() && volume->content != "images") continue;
    if (is_known_retired(volume->id, node, storages)) continue;
    if (!storages.other_user(volume->id, node, vm.vmid).empty()) continue;
    list.push_back({std::nullopt, nullptr, volume->id, volume->size, false, {}});
  }
  return list;
}

DiskBinding in_place(const LiveDrive& drive, const Drive& configured, std::string_view node,
                     const StorageTable& storages) {
  DiskBinding binding{
      .match = DiskMatch::kInPlace, .live_slot = drive.slot, .volume = configured.volume, .drive = &drive};
  if (configured.volume) binding.size = real_size(*configured.volume, &configured, node, storages);
  return binding;
}

// Two disks whose sizes fit crosswise were exchanged in the file: growing or refusing them one by one would hit the
// wrong data.
void find_exchanged(const ResolvedVm& vm, std::vector<DiskBinding>& bindings, const StorageTable& storages) {
  for (std::size_t i = 0; i < bindings.size(); ++i) {
    const std::optional<ByteSize> wanted = desired_size(vm.disks[i]);
    DiskBinding& mine = bindings[i];
    if (mine.match != DiskMatch::kInPlace || !wanted || !mine.size || !mine.volume) continue;
    if (wanted->padded_to(grain_of(*mine.volume, storages)) >= *mine.size) continue;
    for (std::size_t j = 0; j < bindings.size(); ++j) {
      DiskBinding& other = bindings[j];
      const std::optional<ByteSize> their_wish = desired_size(vm.disks[j]);
      if (j == i || other.match != DiskMatch::kInPlace || !their_wish || !other.size || !other.volume) continue;
      if (their_wish->padded_to(grain_of(*mine.volume, storages)) != *mine.size || *their_wish <= *other.size) continue;
      for (auto [holder, disk, rival] : {std::tuple(&mine, i, j), std::tuple(&other, j, i)}) {
        holder->match = DiskMatch::kWrongHolder;
        holder->candidates = {fmt::format("{} ({})", to_text(vm.disks[i].slot), to_text(*bindings[i].volume)),
                              fmt::format("{} ({})", to_text(vm.disks[j].slot), to_text(*bindings[j].volume))};
        holder->blocked = fmt::format("the sizes say that {} holds the data of disk \"{}\"",
                                      to_text(vm.disks[disk].slot), vm.disks[rival].name);
        holder->remedy = "state each disk's slot as it is on the guest";
      }
      break;
    }
  }
}

}  // namespace

bool is_cloud_init(const ResolvedDisk& disk) { return disk.name == "cloudinit"; }

std::optional<ByteSize> desired_size(const ResolvedDisk& disk) {
  if (disk.slot.bus == Bus::kEfi || disk.slot.bus == Bus::kTpm || is_cloud_init(disk)) return std::nullopt;
  const Resolved* size = disk.settings.find("size");
  const auto* bytes = size != nullptr ? std::get_if<ByteSize>(&size->value) : nullptr;
  return bytes != nullptr ? std::optional(*bytes) : std::nullopt;
}

std::string desired_text(const ResolvedDisk& disk, std::string_view key) {
  const Resolved* found = disk.settings.find(key);
  const auto* text = found != nullptr ? std::get_if<std::string>(&found->value) : nullptr;
  return text != nullptr ? *text : std::string();
}

std::vector<DiskBinding> bind_disks(const ResolvedVm& vm, const LiveVm* guest, const StorageTable& storages) {
  std::vector<DiskBinding> bindings(vm.disks.size());
  bool any_missing = false;
  for (std::size_t i = 0; i < vm.disks.size(); ++i) {
    const ResolvedDisk& disk = vm.disks[i];
    const LiveDrive* drive = guest != nullptr ? guest->drive(disk.slot) : nullptr;
    const Drive* configured = drive != nullptr ? drive->configured() : nullptr;
    if (const Drive* leaving = waits_for_removal(drive); leaving != nullptr && !disk.absent && !disk.detached) {
      bindings[i].match = DiskMatch::kWrongHolder;
      bindings[i].blocked =
          fmt::format("{} still holds {}, which waits for its removal", to_text(disk.slot), to_text(*leaving->volume));
      bindings[i].remedy =
          fmt::format("restart the guest, or take the removal back: qm set {} --revert {}; then plan again",
                      vm.vmid.number, to_text(disk.slot));
      continue;
    }
    if (configured == nullptr) {
      any_missing = any_missing || (!disk.absent && !disk.detached && !is_cloud_init(disk));
      continue;
    }
    bindings[i] = in_place(*drive, *configured, guest->node, storages);
    const bool wants_cloud_init = is_cloud_init(disk);
    const bool is_one = configured->medium == Drive::Medium::kCloudInit;
    if (configured->medium == Drive::Medium::kCdrom || wants_cloud_init != is_one) {
      bindings[i].match = DiskMatch::kWrongHolder;
      bindings[i].blocked = fmt::format("{} holds {}", to_text(disk.slot),
                                        is_one                                        ? "the cloud-init drive"
                                        : configured->medium == Drive::Medium::kCdrom ? "a CD drive"
                                                                                      : "a disk");
      bindings[i].remedy = "give the disk another slot";
    }
  }
  if (guest != nullptr) find_exchanged(vm, bindings, storages);
  if (!any_missing) return bindings;

  const std::vector<Candidate> free = unclaimed(vm, guest, storages);
  if (free.empty()) return bindings;
  std::vector<int> wanted_by(free.size(), 0);
  std::vector<std::vector<std::size_t>> fitting(vm.disks.size());
  for (std::size_t i = 0; i < vm.disks.size(); ++i) {
    const ResolvedDisk& disk = vm.disks[i];
    // A slot that waits to be emptied takes nothing yet.
    const bool free_slot = bindings[i].match == DiskMatch::kMissing;
    if (!free_slot || disk.absent || disk.detached || is_cloud_init(disk)) continue;
    for (std::size_t c = 0; c < free.size(); ++c) {
      if (!fits(disk, free[c], storages)) continue;
      fitting[i].push_back(c);
      ++wanted_by[c];
    }
  }
  // A detached volume as large as an attached disk may be that disk's earlier copy (a move keeps it) or the rest of a
  // broken move.
  const auto may_be_a_copy = [&](const Candidate& candidate) -> std::string {
    if (candidate.slot && candidate.slot->bus != Bus::kUnused) return {};
    if (guest == nullptr || !candidate.size) return {};
    for (const LiveDrive& drive : guest->drives) {
      const Drive* configured = drive.configured();
      if (drive.slot.bus == Bus::kUnused || configured == nullptr || !configured->volume) continue;
      if (configured->medium != Drive::Medium::kDisk) continue;
      const std::optional<ByteSize> size = real_size(*configured->volume, configured, guest->node, storages);
      const ByteSize grain = grain_of(candidate.volume, storages);
      if (size && size->padded_to(grain) == candidate.size->padded_to(grain)) return to_text(drive.slot);
    }
    return {};
  };
  for (std::size_t i = 0; i < vm.disks.size(); ++i) {
    if (fitting[i].empty()) continue;
    DiskBinding& binding = bindings[i];
    for (const std::size_t c : fitting[i]) binding.candidates.push_back(describe(free[c]));
    const Candidate& first = free[fitting[i].front()];
    const std::string twin = may_be_a_copy(first);
    const Bus bus = vm.disks[i].slot.bus;
    const bool firmware = bus == Bus::kEfi || bus == Bus::kTpm;
    const bool sure = fitting[i].size() == 1 && wanted_by[fitting[i].front()] == 1 && twin.empty() && !firmware &&
                      !first.leaving && guest != nullptr && first.size;
    if (sure) {
      binding.match = first.slot && first.slot->bus != Bus::kUnused ? DiskMatch::kOtherSlot : DiskMatch::kUnused;
      binding.live_slot = first.slot;
      binding.volume = first.volume;
      binding.drive = first.drive;
      binding.size = first.size;
      continue;
    }
    binding.match = DiskMatch::kAmbiguous;
    binding.blocked = fmt::format("its data may already be in {}", fmt::join(binding.candidates, " or in "));
    if (!twin.empty()) {
      binding.blocked += fmt::format(", or that is an earlier copy of {}", twin);
      if (guest != nullptr && storages.host(guest->node) == nullptr)
        binding.blocked += "; with host access (cluster.ssh) marks on the zvols would tell";
    }
    binding.remedy = fmt::format(
        "attach the right volume yourself (qm set {} --{} VOLUME), or remove those that are not needed; then plan "
        "again",
        vm.vmid.number, to_text(vm.disks[i].slot));
  }
  return bindings;
}

}  // namespace pvr
