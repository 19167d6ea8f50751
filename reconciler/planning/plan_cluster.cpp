#include <fmt/format.h>

#include <algorithm>

#include "reconciler/model/option_codec.h"
#include "reconciler/model/retired.h"
#include "reconciler/planning/plan_builder.h"
#include "reconciler/planning/power_obstacle.h"

namespace pvr {
namespace {

std::string storage_text(std::string_view key, const OptionValue& value) {
  const Setting* setting = find_setting(Home::kStorageOption, key);
  return setting != nullptr ? print_option(*setting, value) : to_text(value);
}

std::string section_text(Home home, std::string_view key, const OptionValue& value) {
  const Setting* setting = find_setting(home, key);
  return setting != nullptr ? print_option(*setting, value) : to_text(value);
}

// A zfspool storage needs its dataset first, and the API cannot make one: host access does, or the user. False: it is
// known to be missing and nobody makes it. `made`: operations that make it.
bool dataset_is_there(PlanBuilder& b, const ResolvedStorage& storage, const StorageView& view,
                      const ResourceAddress& address, std::vector<OperationId>& made) {
  if (!view.has_zvols() || view.dataset.find('/') == std::string::npos) return true;
  std::vector<std::string> nodes = view.nodes;
  if (nodes.empty()) {
    for (const LiveNode& node : b.live.nodes) nodes.push_back(node.name);
  }
  const std::string command = fmt::format("zfs create -p {}", view.dataset);
  std::vector<std::string> missing;
  bool unknown = false;
  for (const std::string& node : nodes) {
    const LiveHost* host = b.storages.host(node);
    const std::optional<bool> there = host != nullptr            ? host->dataset(view.dataset) != nullptr
                                      : b.options.dataset_exists ? b.options.dataset_exists(node, view.dataset)
                                                                 : std::nullopt;
    if (there && !*there && host != nullptr && host->dataset(parent_dataset(view.dataset)) != nullptr) {
      Operation op{.address = address, .procedure = CreateDataset{.node = node, .name = view.dataset}};
      op.locks = {fmt::format("zfs/{}/{}", node, zpool_of(view.dataset))};
      op.node = node;
      op.changes.push_back({.key = "pool",
                            .from = "none",
                            .to = fmt::format("{} on {}", view.dataset, node),
                            .rule = storage.class_of.empty() ? "" : "Z4",
                            .reason = "the storage needs a dataset of its own"});
      made.push_back(b.add(std::move(op)));
      continue;
    }
    if (!there)
      unknown = true;
    else if (!*there)
      missing.push_back(node);
  }
  if (!missing.empty()) {
    const PlanBuilder::Refusal refusal{
        fmt::format("dataset {} does not exist on {}", view.dataset, fmt::join(missing, ", ")),
        fmt::format("on {}: {}", fmt::join(missing, ", "), command)};
    b.unusable_storages.emplace(storage.id, refusal);
    b.block(address, fmt::format("create storage \"{}\"", storage.id), refusal.why, refusal.remedy);
    return false;
  }
  if (unknown) {
    b.note(
        {.severity = Severity::kNotice,
         .rule = storage.class_of.empty() ? std::string_view{} : std::string_view("Z4"),
         .where = address,
         .what = fmt::format("Its dataset {} must exist before the storage is created; that cannot be seen from here.",
                             view.dataset),
         .fix =
             fmt::format("On {}: {}", nodes.empty() ? "each node" : fmt::format("{}", fmt::join(nodes, ", ")), command),
         .span = storage.span});
  }
  return true;
}

void plan_one_storage(PlanBuilder& b, const StorageDiff& diff, const ResolvedStorage& storage,
                      const StorageView& view) {
  for (const std::string& fixed : diff.fixed) {
    b.block(diff.address, fmt::format("change storage \"{}\"", storage.id),
            fixed + "; PVE does not change this of a storage that exists",
            "declare a storage with another id and move the disks there");
  }
  Operation op{.address = diff.address, .locks = {"storage/" + storage.id}};
  FlatMap<std::string> set;
  std::vector<std::string> unset;
  for (const SettingChange& change : diff.properties) {
    if (change.state != SettingState::kDiffers || change.effect == TakesEffect::kFixed) continue;
    if (is_absent(change.desired.value)) {
      if (!diff.missing) unset.push_back(change.key);
    } else {
      set.set(change.key, storage_text(change.key, change.desired.value));
    }
    op.changes.push_back(b.line(change, Home::kStorageOption, Impact::kNone));
  }
  if (diff.missing) {
    std::vector<OperationId> datasets;
    if (!dataset_is_there(b, storage, view, diff.address, datasets)) return;
    op.procedure = CreateStorage{.id = storage.id, .type = storage.type, .properties = std::move(set)};
    if (!storage.class_of.empty()) op.after = b.before_storage(storage.class_of);
    op.after.insert(op.after.end(), datasets.begin(), datasets.end());
  } else {
    if (set.empty() && unset.empty()) return;
    op.procedure = UpdateStorage{.id = storage.id, .set = std::move(set), .unset = std::move(unset)};
  }
  op.guard.section_digest = b.live.storage_digest;
  b.storage_operations[storage.id] = b.add(std::move(op));
}

}  // namespace

void plan_storages(PlanBuilder& b) {
  // Parents before their classes, so that a class may be made on what its parent brings.
  for (const bool classes : {false, true}) {
    for (const StorageDiff& diff : b.diff.storages) {
      const auto at = std::ranges::find(b.fleet.storages, diff.address.name, &ResolvedStorage::id);
      if (at == b.fleet.storages.end() || at->class_of.empty() == classes) continue;
      plan_one_storage(b, diff, *at, *b.storages.find(at->id));
    }
  }
}

void plan_pools(PlanBuilder& b) {
  for (const PoolDiff& pool : b.diff.pools) {
    if (!pool.missing) continue;
    std::string comment;
    if (b.fleet.document) {
      const auto at = std::ranges::find(b.fleet.document->pools, pool.address.name, &WrittenPool::id);
      if (at != b.fleet.document->pools.end() && at->comment) comment = at->comment->value;
    }
    Operation op{.address = pool.address,
                 .procedure = CreatePool{.id = pool.address.name, .comment = comment},
                 .locks = {"pool/" + pool.address.name}};
    // Fact: the parent of a nested pool must exist; the pools come in order of their names.
    if (const auto slash = pool.address.name.rfind('/'); slash != std::string::npos)
      op.after = b.before_pool(pool.address.name.substr(0, slash));
    b.pool_operations[pool.address.name] = b.add(std::move(op));
  }
}

void plan_pool_members(PlanBuilder& b) {
  for (const PoolDiff& pool : b.diff.pools) {
    for (const Vmid vmid : pool.add) {
      Operation op{.address = pool.address,
                   .procedure = AddToPool{.id = pool.address.name, .vmid = vmid},
                   .after = b.before_pool(pool.address.name)};
      op.locks = {"pool/" + pool.address.name};
      op.changes.push_back(
          {.key = "members", .to = fmt::format("{}", vmid.number), .reason = "stated in the fleet file"});
      b.add(std::move(op));
    }
    for (const std::string& blocked : pool.blocked) {
      b.block(pool.address, "add a member", blocked,
              "take it out of that pool first (pvesh set /pools --poolid POOL --vms ID --delete 1)");
    }
  }
}

void plan_ha(PlanBuilder& b) {
  for (const HaDiff& ha : b.diff.ha) {
    const ResolvedVm* vm = b.vm(ha.address.name);
    if (vm == nullptr || ha.action == HaDiff::Action::kNone || vm->state == VmState::kAbsent) continue;
    const bool create = ha.action == HaDiff::Action::kCreate;
    const auto guest = b.guest_operations.find(vm->vmid.number);
    const LiveVm* present = b.live.vm(vm->vmid);
    const bool missing = present == nullptr;
    const auto state = std::ranges::find(ha.settings, "state", &SettingChange::key);
    const bool disables = state != ha.settings.end() && state->desired.value == OptionValue(std::string("disabled"));
    if (ha.action == HaDiff::Action::kUpdate && !missing && !disables) {
      if (const auto obstacle = ha_obstacle(*present)) {
        b.block(ha.address, "change its HA settings", obstacle->why, obstacle->remedy, false);
        continue;
      }
    }
    if (missing && guest == b.guest_operations.end()) {
      b.block(ha.address, "put the guest under HA", "the guest itself cannot be created", "see there");
      continue;
    }
    Operation op{.address = ha.address, .locks = {fmt::format("vm/{}", vm->vmid.number)}};
    // Last of the guest: HA may start it at once.
    if (guest != b.guest_operations.end()) op.after = guest->second;
    if (ha.action == HaDiff::Action::kDelete) {
      op.procedure = RemoveHa{.sid = ha.sid};
      op.changes.push_back({.key = "ha", .from = "managed", .to = "not managed", .reason = "stated in the fleet file"});
    } else {
      SetHa set{.sid = ha.sid, .create = create};
      for (const SettingChange& change : ha.settings) {
        if (change.state != SettingState::kDiffers) continue;
        if (is_absent(change.desired.value))
          set.unset.push_back(change.key);
        else
          set.set.set(change.key, section_text(Home::kHa, change.key, change.desired.value));
        op.changes.push_back(b.line(change, Home::kHa, Impact::kNone));
      }
      if (create && op.changes.empty())
        op.changes.push_back(
            {.key = "ha", .from = "not managed", .to = "managed", .reason = "stated in the fleet file"});
      op.procedure = std::move(set);
    }
    op.guard.section_digest = b.live.ha_digest;
    const LiveVm* live = b.live.vm(vm->vmid);
    if (live != nullptr) op.guard.uuid = live->uuid;
    b.touched.insert(vm->name);
    b.guest_operations[vm->vmid.number].push_back(b.add(std::move(op)));
  }
}

void plan_replication(PlanBuilder& b) {
  for (const ReplicationDiff& job : b.diff.replication) {
    const ResolvedVm* vm = b.vm(job.address.name);
    if (vm == nullptr || job.action == ReplicationDiff::Action::kNone) continue;
    const bool create = job.action == ReplicationDiff::Action::kCreate;
    const LiveVm* live = b.live.vm(vm->vmid);
    const auto guest = b.guest_operations.find(vm->vmid.number);
    if (live == nullptr && guest == b.guest_operations.end()) {
      b.block(job.address, "replicate the guest", "the guest itself cannot be created", "see there");
      continue;
    }
    if (create && live != nullptr) {
      std::string source = live->node;
      if (source == job.address.part) {
        b.block(job.address, fmt::format("replicate to {}", job.address.part), "the guest runs on that node",
                "name another target");
        continue;
      }
      // Fact: only volumes on zfspool storages can be replicated, and the same storage must be on the target.
      std::string bad;
      for (const LiveDrive& drive : live->drives) {
        const Drive* configured = drive.configured();
        if (configured == nullptr || !configured->volume || configured->medium != Drive::Medium::kDisk ||
            drive.slot.bus == Bus::kUnused)
          continue;
        const OptionValue* replicate = configured->options.find("replicate");
        if (replicate != nullptr && *replicate == OptionValue(false)) continue;
        const StorageView* storage = b.storages.find(configured->volume->storage);
        if (storage == nullptr || !storage->has_zvols() || !storage->on_node(job.address.part))
          bad = to_text(drive.slot);
      }
      if (!bad.empty()) {
        b.block(job.address, fmt::format("replicate to {}", job.address.part),
                fmt::format("{} is not on a zfspool storage that both nodes have", bad),
                "move the disk, or state replicate: off on it");
        continue;
      }
    }
    SetReplication set{.id = job.id, .create = create, .target = job.address.part};
    Operation op{.address = job.address, .locks = {fmt::format("vm/{}", vm->vmid.number)}};
    if (guest != b.guest_operations.end()) op.after = guest->second;
    for (const SettingChange& change : job.settings) {
      if (change.state != SettingState::kDiffers) continue;
      set.set.set(change.key, section_text(Home::kReplication, change.key, change.desired.value));
      op.changes.push_back(b.line(change, Home::kReplication, Impact::kNone));
    }
    if (create) op.changes.push_back({.key = "target", .to = job.address.part, .reason = "stated in the fleet file"});
    op.procedure = std::move(set);
    op.guard.section_digest = b.live.replication_digest;
    b.touched.insert(vm->name);
    b.add(std::move(op));
  }
}

}  // namespace pvr
