#include "reconciler/model/live_state.h"

#include <algorithm>
#include <functional>

namespace pvr {
namespace {

template <class List, class Key, class Projection>
auto find_sorted(const List& list, const Key& key, Projection projection) -> decltype(list.data()) {
  auto at = std::ranges::lower_bound(list, key, {}, projection);
  return at != list.end() && std::invoke(projection, *at) == key ? &*at : nullptr;
}

}  // namespace

const LiveDrive* LiveVm::drive(DriveSlot slot) const { return find_sorted(drives, slot, &LiveDrive::slot); }

const LiveVm* LiveState::vm(Vmid vmid) const { return find_sorted(vms, vmid, &LiveVm::vmid); }

const LiveStorage* LiveState::storage(std::string_view id) const { return find_sorted(storages, id, &LiveStorage::id); }

const LiveNode* LiveState::node(std::string_view name) const { return find_sorted(nodes, name, &LiveNode::name); }

const LiveHost* LiveState::host(std::string_view node) const {
  const LiveHost* found = find_sorted(hosts, node, &LiveHost::node);
  return found != nullptr && found->readable ? found : nullptr;
}

}  // namespace pvr
