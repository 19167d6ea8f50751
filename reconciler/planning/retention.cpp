#include "reconciler/planning/retention.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "reconciler/model/option_codec.h"
#include "reconciler/model/retired.h"
#include "reconciler/planning/compare.h"
#include "reconciler/planning/plan_builder.h"
#include "reconciler/planning/power_obstacle.h"

namespace pvr {
namespace {

bool names(const LiveDrive& drive, const VolumeId& volume) {
  return (drive.current && drive.current->volume == volume) || (drive.pending && drive.pending->volume == volume);
}

const LiveDrive* holder_of(const LiveVm& guest, const VolumeId& volume, bool unused) {
  for (const LiveDrive& drive : guest.drives)
    if ((drive.slot.bus == Bus::kUnused) == unused && names(drive, volume)) return &drive;
  return nullptr;
}

std::string age_text(std::chrono::seconds age) {
  const auto days = std::chrono::duration_cast<std::chrono::days>(age).count();
  return days > 1 ? fmt::format("{} days", days)
                  : fmt::format("{} hours", std::chrono::duration_cast<std::chrono::hours>(age).count());
}

class Collector {
 public:
  Collector(PlanBuilder& builder, std::chrono::seconds retention) : b_(builder), retention_(retention) {}

  void run() {
    for (const LiveHost& host : b_.live.hosts) {
      if (!host.readable) {
        b_.plan.gaps.push_back(fmt::format("Node {} cannot be reached: {}", host.node, host.problem));
        continue;
      }
      for (const LiveDataset& zvol : host.datasets)
        if (zvol.is_volume && is_retired(zvol)) retired(host, zvol);
    }
    if (b_.live.hosts.empty())
      b_.plan.gaps.emplace_back(
          "There is no host access (cluster.ssh), and only that tells which volumes are retired.");
    classes();
  }

 private:
  [[nodiscard]] ResourceAddress address(const LiveVm* guest, Vmid vmid) const {
    const auto vm = std::ranges::find(b_.fleet.vms, vmid, &ResolvedVm::vmid);
    if (vm != b_.fleet.vms.end()) return {.kind = AddressKind::kVm, .name = vm->name};
    return {.kind = AddressKind::kVm,
            .name = guest != nullptr && !guest->name.empty() ? guest->name : fmt::format("{}", vmid.number)};
  }

  void retired(const LiveHost& host, const LiveDataset& zvol) {
    const std::optional<RetiredFrom> from = retired_from(zvol);
    if (!from) return;
    const auto age = std::chrono::floor<std::chrono::seconds>(b_.options.now) - from->at;
    if (age < retention_) return;
    const LiveVm* guest = b_.live.vm(from->vmid);
    const ResourceAddress where = address(guest, from->vmid);
    const std::string what = fmt::format("destroy {} on {}, retired {} ago", zvol.name, host.node, age_text(age));
    if (std::ranges::any_of(
            host.datasets, [&](const LiveDataset& other) { return other.text("origin").starts_with(zvol.name + "@"); }))
      return b_.block(where, what, "other volumes are clones of it", "destroy or promote those first", false);
    Operation op{.address = where, .impact = Impact::kDestroy};
    op.node = host.node;
    if (is_hidden_name(zvol.name)) {
      // Two copies, or none goes.
      const LiveDataset* successor = host.dataset(fmt::format("{}/{}", parent_dataset(zvol.name), from->name));
      if (from->name.empty() || successor == nullptr || !successor->is_volume ||
          mark_of(*successor, mark::kSettled) == "no")
        return b_.block(where, what, "what took its place is not there any more: this may be the last copy",
                        fmt::format("look at it; then on {}: zfs destroy -r {}", host.node, zvol.name), false);
      op.procedure = DestroyDataset{.node = host.node, .dataset = zvol.name, .guid = std::string(zvol.text("guid"))};
      op.locks = {fmt::format("zfs/{}/{}", host.node, zpool_of(zvol.name))};
    } else {
      const std::optional<VolumeId> volume = b_.storages.volume_of(host.node, zvol.name);
      if (!volume || guest == nullptr || !guest->readable || guest->node != host.node) return;
      if (holder_of(*guest, *volume, false) != nullptr) return;  // in use again: the mark is out of date
      if (holder_of(*guest, *volume, true) == nullptr)
        return b_.block(where, what, "no configuration names it",
                        fmt::format("on {}: pvesm free {}", host.node, to_text(*volume)), false);
      const LiveDrive* successor = guest->drive(from->slot);
      if (successor == nullptr || !successor->current || !successor->current->volume)
        return b_.block(where, what,
                        fmt::format("{} of the guest holds nothing: this may be the last copy", to_text(from->slot)),
                        fmt::format("look at it; then: qm set {} --delete {}", from->vmid.number,
                                    to_text(holder_of(*guest, *volume, true)->slot)),
                        false);
      const VolumeId& taken = *successor->current->volume;
      if (b_.storages.volume(taken, guest->node) == nullptr)
        return b_.block(where, what,
                        fmt::format("{} of the guest names {}, which cannot be seen on its storage: this may be the "
                                    "last copy",
                                    to_text(from->slot), to_text(taken)),
                        "find out where that volume is; pvereconcile rollback puts this one in its place", false);
      if (guest->has_snapshots())
        return b_.block(where, what, "snapshots of the guest may need it",
                        fmt::format("qm delsnapshot {} NAME for each", from->vmid.number), false);
      if (const auto used = destruction_obstacle(*guest, *volume, b_.storages))
        return b_.block(where, what, used->why, used->remedy, false);
      op.procedure = DestroyVolume{.vmid = from->vmid, .volume = *volume};
      op.locks = {fmt::format("vm/{}", from->vmid.number), "storage/" + volume->storage};
      if (digests_.insert(from->vmid.number).second) op.guard.digest = guest->digest;
      op.guard.uuid = guest->uuid;
    }
    op.changes.push_back({.key = to_text(from->slot),
                          .from = fmt::format("{}, retired {} ago", zvol.name, age_text(age)),
                          .to = "destroyed",
                          .reason = fmt::format("its retention of {} is over", age_text(retention_)),
                          .impact = Impact::kDestroy});
    give(std::move(op), what);
  }

  void give(Operation op, const std::string& what) {
    if (!b_.options.allow.destroy) return b_.block(op.address, what, "this destroys data", "--allow destroy");
    b_.add(std::move(op));
  }

  // Entries of classes that the fleet declares and no disk wants.
  void classes() {
    if (!b_.fleet.document) return;
    for (const WrittenStorage& storage : b_.fleet.document->storages) {
      for (const WrittenClass& of : storage.classes) {
        const std::string id = of.id ? of.id->value : fmt::format("{}-{}", storage.id, of.name);
        const StorageView* view = b_.storages.find(id);
        const bool wanted = std::ranges::find(b_.fleet.storages, id, &ResolvedStorage::id) != b_.fleet.storages.end();
        if (wanted || view == nullptr || view->live == nullptr || !view->has_zvols()) continue;
        const bool holds =
            std::ranges::any_of(b_.live.volumes, [&](const LiveVolume& v) { return v.id.storage == id; });
        const bool named = std::ranges::any_of(b_.live.vms, [&](const LiveVm& guest) {
          return std::ranges::any_of(guest.drives, [&](const LiveDrive& drive) {
            const auto there = [&](const std::optional<Drive>& d) {
              return d && d->volume && d->volume->storage == id;
            };
            return there(drive.current) || there(drive.pending);
          });
        });
        if (!holds && !named) empty_class(id, *view);
      }
    }
  }

  void empty_class(const std::string& id, const StorageView& view) {
    const ResourceAddress where{.kind = AddressKind::kStorage, .name = id};
    std::vector<std::pair<std::string, const LiveDataset*>> datasets;
    for (const LiveNode& node : b_.live.nodes) {
      if (!view.on_node(node.name)) continue;
      const LiveHost* host = b_.storages.host(node.name);
      // Without a look nobody knows what lies below it.
      if (host == nullptr) return;
      const LiveDataset* dataset = host->dataset(view.dataset);
      if (dataset == nullptr) continue;
      if (std::ranges::any_of(host->datasets,
                              [&](const LiveDataset& other) { return other.name.starts_with(view.dataset + "/"); }))
        return;
      datasets.emplace_back(node.name, dataset);
    }
    const auto line = [](std::string from) {
      return PlannedChange{.key = "storage",
                           .from = std::move(from),
                           .to = "removed",
                           .rule = "Z4",
                           .reason = "a block-size class that no disk uses",
                           .impact = Impact::kDestroy};
    };
    Operation entry{.address = where, .procedure = DeleteStorage{.id = id}, .impact = Impact::kDestroy};
    entry.locks = {"storage/" + id};
    entry.changes.push_back(line(id));
    if (!b_.options.allow.destroy)
      return b_.block(where, fmt::format("remove storage \"{}\" and its dataset", id),
                      "this removes the entry and destroys its empty dataset", "--allow destroy");
    const OperationId removed = b_.add(std::move(entry));
    for (const auto& [node, dataset] : datasets) {
      Operation op{
          .address = where,
          .procedure =
              DestroyDataset{.node = node, .dataset = dataset->name, .guid = std::string(dataset->text("guid"))},
          .impact = Impact::kDestroy,
          .after = {removed}};
      op.node = node;
      op.locks = {fmt::format("zfs/{}/{}", node, zpool_of(dataset->name))};
      op.changes.push_back(line(fmt::format("{} on {}", dataset->name, node)));
      b_.add(std::move(op));
    }
  }

  PlanBuilder& b_;
  std::chrono::seconds retention_;
  std::set<std::uint32_t> digests_;
};

Plan finished(PlanBuilder& b) {
  Plan& plan = b.plan;
  plan.gaps.insert(plan.gaps.end(), b.live.gaps.begin(), b.live.gaps.end());
  plan.partial = b.live.partial;
  if (b.fleet.document) plan.inputs.document_hash = b.fleet.document->hash;
  plan.inputs.cluster_name = b.live.cluster_name;
  return std::move(plan);
}

/// A retired volume of one disk.
struct Kept {
  const LiveDataset* zvol = nullptr;
  RetiredFrom from = {};
};

class RollBack {
 public:
  RollBack(PlanBuilder& builder, const ResolvedVm& vm, const ResolvedDisk& disk, const LiveVm& guest)
      : b_(builder),
        vm_(vm),
        disk_(disk),
        guest_(guest),
        where_{.kind = AddressKind::kVm, .name = vm.name, .part = disk.name},
        what_(fmt::format("put the retired volume of {} back", to_text(disk.slot))) {}

  void run() {
    const LiveHost* host = b_.storages.host(guest_.node);
    if (host == nullptr)
      return refuse("it needs host access (SSH), and there is none", "state cluster.ssh: {user: …} in the fleet file");
    if (!guest_.lock.empty()) return refuse(fmt::format("the guest is locked ({})", guest_.lock), "wait until it ends");
    const LiveDrive* drive = guest_.drive(disk_.slot);
    if (drive == nullptr || !drive->current || !drive->current->volume)
      return refuse(fmt::format("{} holds no volume", to_text(disk_.slot)), "attach one first");
    if (drive->has_pending())
      return refuse("the disk has a change that waits for a restart", "restart the guest first, or revert it");
    live_ = *drive->current->volume;
    if (const auto taken = foreign_use(guest_, live_, b_.storages)) return refuse(taken->why, taken->remedy);
    const Kept kept = youngest(*host);
    if (kept.zvol == nullptr)
      return refuse(fmt::format("no volume is marked as retired from {}", to_text(disk_.slot)), "");
    const bool up = guest_.power != PowerState::kStopped;
    if (up && !b_.allowance(vm_).restart) return refuse("the guest must be stopped for it", "--allow restart");
    if (const auto obstacle = up ? ha_obstacle(guest_) : std::nullopt) return refuse(obstacle->why, obstacle->remedy);
    if (up) power(StopVm{.vmid = vm_.vmid, .ha = b_.ha_managed(vm_.vmid), .again = true}, "running", "stopped");
    if (is_hidden_name(kept.zvol->name))
      exchange(kept);
    else
      attach(*host, kept, *drive->current);
    if (up) {
      power(StartVm{.vmid = vm_.vmid, .ha = b_.ha_managed(vm_.vmid)}, "stopped", "running");
      b_.plan.operations.back().in_any_case = true;
    }
  }

 private:
  void refuse(std::string why, std::string remedy) { b_.block(where_, what_, std::move(why), std::move(remedy)); }

  [[nodiscard]] Kept youngest(const LiveHost& host) const {
    Kept found;
    for (const LiveDataset& zvol : host.datasets) {
      const std::optional<RetiredFrom> from = zvol.is_volume ? retired_from(zvol) : std::nullopt;
      if (!from || from->vmid != vm_.vmid || from->slot != disk_.slot) continue;
      if (is_hidden_name(zvol.name)) {
        // It goes back under its name, so that must be the name of the live one.
        const StorageView* storage = b_.storages.find(live_.storage);
        if (storage == nullptr || storage->dataset != parent_dataset(zvol.name) || from->name != live_.name) continue;
      } else {
        const std::optional<VolumeId> volume = b_.storages.volume_of(host.node, zvol.name);
        if (!volume || holder_of(guest_, *volume, true) == nullptr) continue;
      }
      if (found.zvol == nullptr || found.from.at < from->at) found = {&zvol, *from};
    }
    return found;
  }

  OperationId give(Operation op) {
    op.node = guest_.node;
    op.locks.push_back(fmt::format("vm/{}", vm_.vmid.number));
    op.guard.uuid = guest_.uuid;
    if (last_)
      op.after = {*last_};
    else
      op.guard.digest = guest_.digest;
    last_ = b_.add(std::move(op));
    return *last_;
  }

  void power(Procedure procedure, std::string from, std::string to) {
    Operation op{.address = {.kind = AddressKind::kVm, .name = vm_.name}, .procedure = std::move(procedure)};
    op.impact = to == "stopped" ? Impact::kRestart : Impact::kNone;
    op.changes.push_back({.key = "power",
                          .from = std::move(from),
                          .to = std::move(to),
                          .reason = "what was asked for needs the guest stopped",
                          .impact = op.impact});
    give(std::move(op));
  }

  void exchange(const Kept& kept) {
    const StorageView* storage = b_.storages.find(live_.storage);
    Operation op{.address = where_,
                 .procedure = RollBackZvol{.vmid = vm_.vmid,
                                           .slot = disk_.slot,
                                           .volume = live_,
                                           .node = guest_.node,
                                           .dataset = fmt::format("{}/{}", storage->dataset, live_.name),
                                           .guid = std::string(kept.zvol->text("guid"))}};
    op.impact = guest_.power != PowerState::kStopped ? Impact::kRestart : Impact::kNone;
    op.locks = {"storage/" + live_.storage};
    op.changes.push_back(change(kept, op.impact));
    give(std::move(op));
  }

  void attach(const LiveHost& host, const Kept& kept, const Drive& drive) {
    const VolumeId old = *b_.storages.volume_of(host.node, kept.zvol->name);
    AttachVolume swap{.vmid = vm_.vmid, .slot = disk_.slot, .volume = old, .replaces = live_};
    for (const auto& [key, value] : drive.options) swap.options.set(key, drive_option_text(key, value));
    for (const auto& [key, text] : drive.unknown) swap.options.set(key, text);
    Operation op{.address = where_, .procedure = std::move(swap)};
    op.impact = guest_.power != PowerState::kStopped ? Impact::kRestart : Impact::kNone;
    op.changes.push_back(change(kept, op.impact));
    give(std::move(op));
    Operation clear{.address = where_};
    FlatMap<std::string> set;
    set.set(mark_property(mark::kRetiredAt), "");
    clear.procedure = SetZvolProperties{.vmid = vm_.vmid,
                                        .slot = disk_.slot,
                                        .volume = old,
                                        .node = guest_.node,
                                        .dataset = kept.zvol->name,
                                        .set = set};
    clear.changes.push_back({.key = "mark", .from = "retired", .to = "none", .reason = "it is in use again"});
    give(std::move(clear));
    if (const LiveDataset* live = b_.storages.zvol(live_, guest_.node)) {
      Operation retire{.address = where_,
                       .procedure = RetireVolume{.vmid = vm_.vmid,
                                                 .slot = disk_.slot,
                                                 .volume = live_,
                                                 .node = guest_.node,
                                                 .dataset = live->name,
                                                 .guid = std::string(live->text("guid"))}};
      retire.changes.push_back(
          {.key = "volume", .from = to_text(live_), .to = "retired", .reason = "the older one takes its place"});
      give(std::move(retire));
    }
  }

  [[nodiscard]] PlannedChange change(const Kept& kept, Impact impact) const {
    return {.key = "volume",
            .from = to_text(live_),
            .to = fmt::format("{}, as it was on {}", kept.zvol->name, time_stamp(kept.from.at)),
            .reason = "asked for; what was written since is in the volume that is retired now",
            .impact = impact};
  }

  PlanBuilder& b_;
  const ResolvedVm& vm_;
  const ResolvedDisk& disk_;
  const LiveVm& guest_;
  ResourceAddress where_;
  std::string what_;
  VolumeId live_ = {};
  std::optional<OperationId> last_ = {};
};

}  // namespace

std::chrono::seconds retention_of(const ResolvedFleet& fleet) {
  if (!fleet.document) return kRetention;
  const auto* written = fleet.document->cluster.limits.find("retention");
  const auto* seconds = written != nullptr ? std::get_if<std::int64_t>(&written->value) : nullptr;
  return seconds != nullptr ? std::chrono::seconds(*seconds) : kRetention;
}

Plan make_gc_plan(const ResolvedFleet& fleet, const LiveState& live, const PlanOptions& options) {
  const Diff none;
  PlanBuilder b(fleet, none, live, options);
  Collector(b, retention_of(fleet)).run();
  if (options.allow.destroy) b.plan.inputs.allow.emplace_back("destroy");
  return finished(b);
}

Checked<Plan> make_rollback_plan(const ResolvedFleet& fleet, const LiveState& live, const PlanOptions& options,
                                 const std::string& target) {
  Checked<Plan> out;
  const std::optional<ResourceAddress> address = parse_address(target);
  const Diff none;
  PlanBuilder b(fleet, none, live, options);
  const ResolvedVm* vm = address && address->kind == AddressKind::kVm ? b.vm(address->name) : nullptr;
  const ResolvedDisk* disk = nullptr;
  if (vm != nullptr) {
    const auto at = std::ranges::find_if(
        vm->disks, [&](const ResolvedDisk& d) { return d.name == address->part || to_text(d.slot) == address->part; });
    if (at != vm->disks.end()) disk = &*at;
  }
  if (disk == nullptr) {
    out.diagnostics.push_back(
        {.code = "plan.target.unknown",
         .summary = "Unknown target",
         .detail = fmt::format("\"{}\" is no disk of this fleet. Write vm/NAME and the disk's name.", target)});
    return out;
  }
  const LiveVm* guest = live.vm(vm->vmid);
  if (guest == nullptr || !guest->readable)
    b.block(*address, "put a retired volume back", "the guest cannot be read", "");
  else
    RollBack(b, *vm, *disk, *guest).run();
  if (options.allow.restart) b.plan.inputs.allow.emplace_back("restart");
  out.value = finished(b);
  return out;
}

}  // namespace pvr
