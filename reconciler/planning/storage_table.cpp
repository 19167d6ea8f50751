#include "reconciler/planning/storage_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>

#include "reconciler/model/option_codec.h"
#include "reconciler/model/retired.h"
#include "reconciler/model/settings.h"

namespace pvr {
namespace {

const OptionValue* value_of(const ResolvedSettings& settings, std::string_view key) {
  const Resolved* found = settings.find(key);
  return found != nullptr && !is_absent(found->value) ? &found->value : nullptr;
}

OptionValue property(const StorageView& view, std::string_view key) {
  if (view.live != nullptr) {
    const std::string* text = view.live->properties.find(key);
    const Setting* setting = find_setting(Home::kStorageOption, key);
    if (text == nullptr || setting == nullptr) return {};
    Result<OptionValue> parsed = parse_option(*setting, *text);
    return parsed ? *parsed : OptionValue(*text);
  }
  const OptionValue* declared = value_of(view.declared->properties, key);
  return declared != nullptr ? *declared : OptionValue{};
}

bool flag(const StorageView& view, std::string_view key) {
  const OptionValue value = property(view, key);
  const bool* set = std::get_if<bool>(&value);
  return set != nullptr && *set;
}

StorageKind kind_of(const StorageView& view) {
  const std::string_view type = view.type;
  if (type == "zfspool") return StorageKind::kZfsZvol;
  if (type == "lvm")
    return flag(view, "snapshot-as-volume-chain") ? StorageKind::kLvmThickChain : StorageKind::kLvmThick;
  if (type == "lvmthin") return StorageKind::kLvmThin;
  if (type == "nfs") return StorageKind::kNfs;
  if (type == "cifs") return StorageKind::kCifs;
  if (type == "rbd") return flag(view, "krbd") ? StorageKind::kRbdKernel : StorageKind::kRbd;
  if (type == "iscsi") return StorageKind::kIscsiLun;
  // Both speak to the target through QEMU's own network driver, which takes no aio setting.
  if (type == "zfs" || type == "iscsidirect") return StorageKind::kZfsOverIscsi;
  // Only without nocow does an unset cache go through the page cache.
  if (type == "btrfs") return flag(view, "nocow") ? StorageKind::kFile : StorageKind::kBtrfs;
  return StorageKind::kFile;
}

StorageView view_of(std::string id, const LiveStorage* live, const ResolvedStorage* declared) {
  StorageView view{.id = std::move(id), .live = live, .declared = declared};
  view.type = live != nullptr ? live->type : declared->type;
  view.kind = kind_of(view);
  static constexpr std::string_view kNetworkTypes[] = {"iscsi",  "nfs",         "cifs", "rbd",
                                                       "cephfs", "iscsidirect", "zfs",  "pbs"};
  view.shared = flag(view, "shared") || std::ranges::find(kNetworkTypes, view.type) != std::end(kNetworkTypes);
  if (const OptionValue nodes = property(view, "nodes"); const auto* list = std::get_if<StringList>(&nodes))
    view.nodes = *list;
  if (const OptionValue pool = property(view, "pool"); const auto* text = std::get_if<std::string>(&pool))
    view.dataset = *text;
  view.sparse = flag(view, "sparse");
  if (view.has_zvols()) {
    const OptionValue blocksize = property(view, "blocksize");
    const auto* size = std::get_if<ByteSize>(&blocksize);
    view.blocksize = size != nullptr ? *size : ByteSize{16_KiB};  // Fact: OpenZFS's default since 2.2
  }
  return view;
}

}  // namespace

bool StorageView::on_node(std::string_view node) const {
  if (!nodes.empty() && std::ranges::find(nodes, node) == nodes.end()) return false;
  if (live == nullptr || live->on_node.empty()) return true;
  const auto found = live->on_node.find(std::string(node));
  return found != live->on_node.end() && found->second.enabled;
}

ByteSize StorageView::grain() const {
  switch (kind) {
    case StorageKind::kZfsZvol:
      return 1_MiB;
    case StorageKind::kLvmThick:
    case StorageKind::kLvmThickChain:
    case StorageKind::kLvmThin:
      return 4_MiB;
    default:
      return 1_KiB;
  }
}

StorageTable::StorageTable(const ResolvedFleet& fleet, const LiveState& live) : live_(live) {
  for (const LiveStorage& storage : live.storages)
    storages_.emplace(storage.id, view_of(storage.id, &storage, nullptr));
  for (const ResolvedStorage& storage : fleet.storages) {
    auto at = storages_.find(storage.id);
    if (at == storages_.end()) {
      storages_.emplace(storage.id, view_of(storage.id, nullptr, &storage));
    } else {
      at->second.declared = &storage;
    }
  }
  for (const LiveVolume& volume : live.volumes) {
    if (!volume.parent.empty()) parents_.push_back(volume.parent);
    std::optional<Vmid> owner = volume.owner ? volume.owner : owner_of(volume.id);
    if (owner) owned_[owner->number].push_back(&volume);
  }
  for (const LiveVm& guest : live.vms) {
    for (const LiveDrive& drive : guest.drives) {
      for (const auto* state : {&drive.current, &drive.pending})
        if (*state && (*state)->volume && (*state)->medium != Drive::Medium::kCdrom)
          uses_.emplace(place_of(*(*state)->volume),
                        Use{guest.vmid, drive.slot, guest.node, *(*state)->volume, (*state)->size});
    }
  }
}

const StorageView* StorageTable::find(std::string_view id) const {
  auto at = storages_.find(id);
  return at != storages_.end() ? &at->second : nullptr;
}

const LiveVolume* StorageTable::volume(const VolumeId& id, std::string_view node) const {
  auto at = std::ranges::lower_bound(live_.volumes, id, {}, &LiveVolume::id);
  for (; at != live_.volumes.end() && at->id == id; ++at) {
    if (at->node.empty() || at->node == node) return &*at;
  }
  return nullptr;
}

bool StorageTable::is_missing(const VolumeId& id, std::string_view node) const {
  const StorageView* storage = find(id.storage);
  if (storage == nullptr || storage->live == nullptr || volume(id, node) != nullptr) return false;
  // LUNs come and go with the target's own listing, and the others with the cluster's.
  if (storage->kind == StorageKind::kIscsiLun || storage->kind == StorageKind::kUnknown) return false;
  const auto& on_node = storage->live->on_node;
  if (storage->shared) return std::ranges::any_of(on_node, [](const auto& one) { return one.second.listed; });
  const auto at = on_node.find(std::string(node));
  return at != on_node.end() && at->second.listed;
}

std::optional<VolumeId> StorageTable::volume_of(std::string_view node, std::string_view dataset) const {
  for (const auto& [id, view] : storages_)
    if (view.has_zvols() && view.on_node(node) && view.dataset == parent_dataset(dataset))
      return VolumeId{.storage = id, .name = std::string(last_component(dataset))};
  return std::nullopt;
}

const LiveHost* StorageTable::host(std::string_view node) const {
  const LiveHost* host = live_.host(node);
  return host != nullptr && host->readable ? host : nullptr;
}

const LiveDataset* StorageTable::zvol(const VolumeId& id, std::string_view node) const {
  const StorageView* view = find(id.storage);
  const LiveHost* at = host(node);
  if (view == nullptr || !view->has_zvols() || at == nullptr) return nullptr;
  // Fact: a linked clone is listed as "base-9-disk-0/vm-1-disk-0"; its dataset is the last part.
  return at->dataset(fmt::format("{}/{}", view->dataset, last_component(id.name)));
}

const std::vector<const LiveVolume*>& StorageTable::owned_by(Vmid vmid) const {
  static const std::vector<const LiveVolume*> kNone;
  auto at = owned_.find(vmid.number);
  return at != owned_.end() ? at->second : kNone;
}

std::string StorageTable::place_of(const VolumeId& id) const {
  const StorageView* view = find(id.storage);
  if (view == nullptr || !view->has_zvols()) return to_text(id);
  return fmt::format("{}/{}", view->dataset, last_component(id.name));
}

std::string StorageTable::other_user(const VolumeId& id, std::string_view node, Vmid self) const {
  if (id.name.empty()) return {};  // still to be made
  const StorageView* view = find(id.storage);
  const bool shared = view != nullptr && view->shared;
  const Use* found = nullptr;
  for (auto [at, end] = uses_.equal_range(place_of(id)); at != end; ++at) {
    const Use& use = at->second;
    if (use.vmid == self) continue;
    // On another node it means that node's volume; where there is none, HA has taken the guest away from this one.
    if (!shared && use.node != node && volume(use.volume, use.node) != nullptr) continue;
    if (found == nullptr || std::tie(use.vmid, use.slot) < std::tie(found->vmid, found->slot)) found = &use;
  }
  if (found != nullptr) return fmt::format("guest {} uses it, too ({})", found->vmid.number, to_text(found->slot));
  const std::optional<Vmid> owner = owner_of(id);
  const LiveVm* other = owner && *owner != self ? live_.vm(*owner) : nullptr;
  if (other == nullptr) return {};
  if (other->is_container) return fmt::format("by its name it is container {}'s", owner->number);
  if (!other->readable && !other->drives_known)
    return fmt::format("by its name it is guest {}'s, which cannot be read: {}", owner->number, other->problem);
  if (other->has_snapshots())
    return fmt::format("by its name it is guest {}'s, and snapshots of that one may need it", owner->number);
  return {};
}

std::string StorageTable::unseen_user(const VolumeId& id, std::string_view node, Vmid self) const {
  const StorageView* view = find(id.storage);
  const bool shared = view == nullptr || view->shared;
  for (const LiveVm& other : live_.vms) {
    if (other.vmid == self || other.is_container || other.readable || other.drives_known) continue;
    if (!shared && other.node != node) continue;
    return fmt::format("guest {} may use it, too, and cannot be looked at ({})", other.vmid.number, other.problem);
  }
  return {};
}

std::optional<ByteSize> StorageTable::noted_size(const VolumeId& id, std::string_view node) const {
  const StorageView* view = find(id.storage);
  const bool shared = view != nullptr && view->shared;
  std::optional<ByteSize> largest;
  for (auto [at, end] = uses_.equal_range(place_of(id)); at != end; ++at) {
    const Use& use = at->second;
    if (shared || use.node == node) largest = std::max(largest, use.noted);
  }
  return largest;
}

bool StorageTable::has_children(const VolumeId& id) const {
  // Fact: listings name a linked clone's origin as "NAME@__base__" or as a volume id, depending on the storage type.
  return std::ranges::any_of(parents_, [&](const std::string& parent) {
    return parent == to_text(id) || parent == id.name || parent == id.name + "@__base__";
  });
}

}  // namespace pvr
