#include <fmt/format.h>
#include <algorithm>

#include "reconciler/observe/observe.h"

namespace pvr {
namespace {

template <class T>
void sort_unique(std::vector<T>& list) {
  std::ranges::sort(list);
  list.erase(std::unique(list.begin(), list.end()), list.end());
}

void add_storages(const WrittenSettings& settings, std::vector<std::string>& list) {
  const auto* storage = settings.find("storage");
  const auto* text = storage != nullptr ? std::get_if<std::string>(&storage->value) : nullptr;
  if (text != nullptr) list.push_back(*text);
}

}  // namespace

Scope scope_of(const FleetDocument& document) {
  Scope scope;
  for (const WrittenStorage& storage : document.storages) {
    scope.storages.push_back(storage.id);
    for (const WrittenClass& entry : storage.classes)
      scope.storages.push_back(entry.id ? entry.id->value : fmt::format("{}-{}", storage.id, entry.name));
  }
  for (const WrittenLane& lane : document.lanes) {
    if (lane.storage) scope.storages.push_back(lane.storage->value);
    for (const auto& [node, storage] : lane.per_node) scope.storages.push_back(storage.value);
  }
  for (const WrittenRole& role : document.roles) {
    if (role.clone) scope.templates.push_back(role.clone->value);
    add_storages(role.disk_defaults, scope.storages);
    for (const WrittenDisk& disk : role.disks) add_storages(disk.settings, scope.storages);
  }
  for (const WrittenVm& vm : document.vms) {
    scope.vmids.push_back(vm.vmid.value);
    if (vm.clone) scope.templates.push_back(vm.clone->value);
    add_storages(vm.disk_defaults, scope.storages);
    for (const WrittenDisk& disk : vm.disks) add_storages(disk.settings, scope.storages);
  }
  sort_unique(scope.vmids);
  sort_unique(scope.templates);
  sort_unique(scope.storages);
  return scope;
}

}  // namespace pvr
