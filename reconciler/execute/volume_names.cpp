#include "reconciler/execute/volume_names.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "reconciler/model/retired.h"

namespace pvr {

Status check_names(Work& work, const LiveVm& vm, const std::string& storage) {
  std::vector<VolumeId> named;
  bool elsewhere = false;
  for (const LiveDrive& drive : vm.drives) {
    for (const auto* state : {&drive.current, &drive.pending}) {
      // Fact: a cloud-init volume has a name of its own, and PVE makes it again at the next start.
      if (!*state || !(*state)->volume || (*state)->medium != Drive::Medium::kDisk) continue;
      if (owner_of(*(*state)->volume) != vm.vmid) continue;
      named.push_back(*(*state)->volume);
      elsewhere = elsewhere || named.back().storage != storage;
    }
  }
  if (named.empty()) return Done{};
  const std::string doing = fmt::format("looking at the volumes of vm {}", vm.vmid.number);
  std::vector<std::string> same = {storage};
  if (elsewhere) {
    // Two entries of storage.cfg may show one dataset.
    const auto list = work.pve().storages();
    if (!list) return Error(list.error()).during(doing);
    const auto at = std::ranges::find(list->storages, storage, &LiveStorage::id);
    const std::string* pool = at != list->storages.end() ? at->properties.find("pool") : nullptr;
    for (const LiveStorage& other : list->storages) {
      const std::string* its = other.properties.find("pool");
      if (pool != nullptr && its != nullptr && other.id != storage && other.type == at->type && *its == *pool)
        same.push_back(other.id);
    }
  }
  std::erase_if(named, [&](const VolumeId& volume) { return std::ranges::find(same, volume.storage) == same.end(); });
  if (named.empty()) return Done{};
  const auto listed = work.pve().volumes(vm.node, storage, vm.vmid);
  if (!listed) return Error(listed.error()).during(doing);
  for (const VolumeId& volume : named) {
    const bool there = std::ranges::any_of(
        *listed, [&](const LiveVolume& one) { return last_component(one.id.name) == last_component(volume.name); });
    if (!there)
      return Error{
          .kind = ErrorKind::kConflict,
          .message = fmt::format("vm {} names {}, which is not there: PVE could give that name to a new volume",
                                 vm.vmid.number, to_text(volume))};
  }
  return Done{};
}

}  // namespace pvr
