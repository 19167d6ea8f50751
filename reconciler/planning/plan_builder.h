#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "reconciler/planning/make_plan.h"
#include "reconciler/planning/power_obstacle.h"
#include "reconciler/planning/space.h"
#include "reconciler/planning/storage_table.h"

namespace pvr {

/// What the parts of the planner share while one plan is being made. The parts run in a fixed order: storages and
/// pools, guests by name, HA, replication, then what cannot be undone.
class PlanBuilder {
 public:
  PlanBuilder(const ResolvedFleet& fleet, const Diff& diff, const LiveState& live, const PlanOptions& options);

  const ResolvedFleet& fleet;
  const Diff& diff;
  const LiveState& live;
  const PlanOptions& options;
  StorageTable storages;
  SpaceBook space;
  MemoryBook memory;
  Plan plan = {};

  /// Appends the operation and gives it its id.
  OperationId add(Operation operation);
  [[nodiscard]] Operation& operation(OperationId id) { return plan.operations[id - 1]; }
  void block(ResourceAddress address, std::string what, std::string why, std::string remedy, bool by_policy = true);
  void note(Finding finding) { plan.findings.push_back(std::move(finding)); }

  /// One line of "live → desired, because". Values of write-only settings are not shown.
  [[nodiscard]] PlannedChange line(const SettingChange& change, Home home, Impact impact) const;

  /// Operations that must have ended before something is put on the storage, or into the pool.
  [[nodiscard]] std::vector<OperationId> before_storage(std::string_view storage) const;
  [[nodiscard]] std::vector<OperationId> before_pool(std::string_view pool) const;
  /// Why nothing can be put on the storage at all; empty: it can.
  using Refusal = PowerObstacle;
  [[nodiscard]] std::optional<Refusal> refuses(std::string_view storage, std::string_view node) const;

  /// A cloud-init volume of the guest that is there already. Fact: it has one name only, and PVE allocates it under no
  /// other.
  [[nodiscard]] const LiveVolume* cloud_init_volume(Vmid vmid, std::string_view storage, std::string_view node) const;

  [[nodiscard]] const ResolvedVm* vm(std::string_view name) const;
  [[nodiscard]] Allowance allowance(const ResolvedVm& vm) const;
  [[nodiscard]] bool ha_managed(Vmid vmid) const;
  [[nodiscard]] CopyCost copy_cost(const StorageView& target, std::string_view node, ByteSize size,
                                   bool guest_waits) const;

  std::map<std::string, OperationId, std::less<>> storage_operations = {};
  std::map<std::string, OperationId, std::less<>> pool_operations = {};
  std::map<std::string, Refusal, std::less<>> unusable_storages = {};       // wanted, but cannot be made
  std::map<std::uint32_t, std::vector<OperationId>> guest_operations = {};  // by vmid
  std::vector<Operation> irreversible = {};                                 // added when everything else is
  std::set<std::string, std::less<>> touched = {};  // VM names with anything to do, wait for or blocked

 private:
  std::map<std::string, const ResolvedVm*, std::less<>> by_name_;
  std::set<std::string, std::less<>> ha_sids_;
};

// The parts.
void plan_storages(PlanBuilder& builder);
void plan_pools(PlanBuilder& builder);
/// Nodes: ARC, trimming, properties of pools and datasets.
void plan_hosts(PlanBuilder& builder);
/// Adds members; after the guests, because creation puts new ones in.
void plan_pool_members(PlanBuilder& builder);
void plan_existing_guest(PlanBuilder& builder, const ResolvedVm& vm, const VmDiff& diff, const LiveVm& guest);
void plan_new_guest(PlanBuilder& builder, const ResolvedVm& vm, const VmDiff& diff);
/// Follows a clone: `guest` is what the clone will look like, `base` the operation that makes it.
void plan_cloned_guest(PlanBuilder& builder, const ResolvedVm& vm, const VmDiff& diff, const LiveVm& guest,
                       OperationId base);
void plan_guest_removal(PlanBuilder& builder, const ResolvedVm& vm, const LiveVm& guest);
void plan_ha(PlanBuilder& builder);
void plan_replication(PlanBuilder& builder);

/// PVE's text of a drive option, "" to remove it.
[[nodiscard]] std::string drive_option_text(std::string_view key, const OptionValue& value);
/// PVE's text of a guest option; a CD medium gets its media=cdrom.
[[nodiscard]] std::string vm_option_text(std::string_view key, const OptionValue& value);
/// Options that PVE gives to root@pam only, in this form.
[[nodiscard]] bool is_root_only(std::string_view key, const OptionValue& value);

}  // namespace pvr
