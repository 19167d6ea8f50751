#include "reconciler/planning/make_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "reconciler/base/timestamp.h"
#include "reconciler/planning/plan_builder.h"

namespace pvr {
namespace {

std::string lock_remedy(const LiveVm& guest) {
  return fmt::format("wait until it ends; a lock that a crashed task left behind is removed on {} with: qm unlock {}",
                     guest.node, guest.vmid.number);
}

constexpr const char* kLessMemory = "less memory for it or for others there, another node, or a smaller zfs_arc_max";

// The difference without what the memory of the node does not allow (to grow, to start); nothing when all is allowed.
std::optional<VmDiff> without_what_exceeds_memory(PlanBuilder& b, const VmDiff& diff, const LiveVm& guest) {
  const MemoryWish wish = memory_wish(diff, &guest);
  const bool runs = guest.power == PowerState::kRunning || guest.power == PowerState::kPaused;
  if (!wish.starts && !(wish.grows && runs)) return std::nullopt;
  const auto full = b.memory.give(guest.node, guest.vmid, wish.memory);
  if (!full) return std::nullopt;
  VmDiff rest = diff;
  if (wish.grows) {
    b.block(diff.address, fmt::format("give it {} of memory", to_human(wish.memory)), *full, kLessMemory);
    std::erase_if(rest.options, [](const SettingChange& change) { return change.key == "memory"; });
  }
  if (wish.starts) {
    b.block(diff.address, "start the guest", *full, kLessMemory);
    rest.power_to.reset();
  }
  return rest;
}

void plan_guest(PlanBuilder& b, const VmDiff& diff) {
  const ResolvedVm* vm = b.vm(diff.address.name);
  if (vm == nullptr || diff.presence == Presence::kMustGo) return;
  if (diff.presence == Presence::kUnreadable || diff.presence == Presence::kWrongIdentity) {
    b.block(diff.address, "reconcile the guest", diff.blocked, diff.remedy, diff.presence == Presence::kWrongIdentity);
    return;
  }
  if (diff.presence == Presence::kMissing) {
    const std::string node = vm->node.value_or(b.live.nodes.size() == 1 ? b.live.nodes.front().name : "");
    if (vm->state != VmState::kStopped) {
      if (const auto full = b.memory.give(node, vm->vmid, memory_wish(diff, nullptr).memory))
        return b.block(diff.address, "create the guest", *full, kLessMemory);
    }
    return plan_new_guest(b, *vm, diff);
  }
  const LiveVm* guest = b.live.vm(diff.vmid);
  if (guest == nullptr) return;
  const bool foreign_only = diff.options.empty() && diff.disks.empty() && !diff.power_to;
  if (!guest->lock.empty() && !foreign_only) {
    b.block(diff.address, "change the guest", fmt::format("it is locked ({})", guest->lock), lock_remedy(*guest),
            false);
    return;
  }
  const std::optional<VmDiff> affordable = without_what_exceeds_memory(b, diff, *guest);
  plan_existing_guest(b, *vm, affordable ? *affordable : diff, *guest);
}

// ---- targets ----

bool matches(const ResourceAddress& target, const ResourceAddress& address) {
  if (target.name != address.name) return false;
  if (target.kind == address.kind) return target.part.empty() || target.part == address.part;
  // "vm/NAME" means the guest with all that belongs to it.
  return target.kind == AddressKind::kVm && target.part.empty() &&
         (address.kind == AddressKind::kHa || address.kind == AddressKind::kReplication);
}

bool exists(const ResolvedFleet& fleet, const ResourceAddress& target) {
  switch (target.kind) {
    case AddressKind::kStorage:
      return std::ranges::find(fleet.storages, target.name, &ResolvedStorage::id) != fleet.storages.end();
    case AddressKind::kPool:
      return fleet.document &&
             std::ranges::find(fleet.document->pools, target.name, &WrittenPool::id) != fleet.document->pools.end();
    case AddressKind::kCluster:
      return true;
    case AddressKind::kHost: {
      const auto host = std::ranges::find(fleet.hosts, target.name, &ResolvedHost::node);
      return host != fleet.hosts.end() &&
             std::ranges::find(host->parts, target.part, &ResolvedHostPart::name) != host->parts.end();
    }
    default:
      break;
  }
  const auto vm = std::ranges::find(fleet.vms, target.name, &ResolvedVm::name);
  if (vm == fleet.vms.end()) return false;
  return target.kind != AddressKind::kVm || target.part.empty() ||
         std::ranges::find(vm->disks, target.part, &ResolvedDisk::name) != vm->disks.end();
}

template <class List, class Wanted>
void keep_only(List& list, Wanted wanted) {
  std::erase_if(list, [&](const auto& item) { return !wanted(item); });
}

// Keeps what the targets name and everything that must come before it.
void keep_targets(Plan& plan, const std::vector<ResourceAddress>& targets) {
  const auto wanted = [&](const ResourceAddress& address) {
    return std::ranges::any_of(targets, [&](const ResourceAddress& t) { return matches(t, address); });
  };
  std::vector<bool> keep(plan.operations.size() + 1, false);
  for (std::size_t i = plan.operations.size(); i-- > 0;) {
    Operation& op = plan.operations[i];
    if (!keep[op.id] && !wanted(op.address)) continue;
    keep[op.id] = true;
    for (const OperationId before : op.after) keep[before] = true;  // dependencies have smaller ids
  }
  std::vector<OperationId> renamed(plan.operations.size() + 1, 0);
  std::vector<Operation> kept;
  for (Operation& op : plan.operations) {
    if (!keep[op.id]) continue;
    renamed[op.id] = static_cast<OperationId>(kept.size() + 1);
    op.id = renamed[op.id];
    for (OperationId& before : op.after) before = renamed[before];
    kept.push_back(std::move(op));
  }
  plan.operations = std::move(kept);
  keep_only(plan.blocked, [&](const BlockedItem& item) { return wanted(item.address); });
  keep_only(plan.waiting, [&](const WaitingItem& item) { return wanted(item.address); });
  keep_only(plan.findings, [&](const Finding& item) { return wanted(item.where); });
}

// The first operation of a guest carries the digest; a target may have left that one out.
void guard_first_operations(Plan& plan, const LiveState& live) {
  std::map<std::string, bool> guarded;
  for (Operation& op : plan.operations) {
    for (const std::string& lock : op.locks) {
      if (!lock.starts_with("vm/")) continue;
      const bool first = guarded.emplace(lock, true).second;
      if (op.guard.uuid.empty() && op.guard.digest.empty()) continue;
      const LiveVm* guest = live.vm(Vmid{static_cast<std::uint32_t>(std::stoul(lock.substr(3)))});
      op.guard.digest = first && guest != nullptr ? guest->digest : "";
      if (guest != nullptr && !guest->digest.empty()) plan.inputs.digests[lock] = guest->digest;
    }
    if (op.guard.section_digest.empty()) continue;
    const char* section = op.address.kind == AddressKind::kStorage ? "storage"
                          : op.address.kind == AddressKind::kHa    ? "ha"
                                                                   : "replication";
    plan.inputs.digests[section] = op.guard.section_digest;
  }
}

}  // namespace

Checked<Plan> make_plan(const ResolvedFleet& fleet, const Diff& diff, const LiveState& live,
                        const PlanOptions& options) {
  Checked<Plan> out;
  std::vector<ResourceAddress> targets;
  for (const std::string& text : options.targets) {
    const std::optional<ResourceAddress> target = parse_address(text);
    if (!target || !exists(fleet, *target)) {
      out.diagnostics.push_back({.code = "plan.target.unknown",
                                 .summary = "Unknown target",
                                 .detail = fmt::format("\"{}\" is nothing in this fleet. Write vm/NAME, vm/NAME/DISK, "
                                                       "storage/ID, pool/ID, host/NODE or host/NODE/DATASET.",
                                                       text)});
      continue;
    }
    targets.push_back(*target);
  }
  if (has_errors(out.diagnostics)) return out;

  PlanBuilder b(fleet, diff, live, options);
  b.plan.findings = diff.findings;
  plan_storages(b);
  plan_pools(b);
  plan_hosts(b);
  for (const VmDiff& vm : diff.vms) plan_guest(b, vm);
  plan_pool_members(b);
  plan_ha(b);
  plan_replication(b);
  // What cannot be undone comes last.
  for (Operation& op : b.irreversible) b.add(std::move(op));
  for (const VmDiff& vm : diff.vms) {
    const ResolvedVm* wanted = b.vm(vm.address.name);
    const LiveVm* guest = live.vm(vm.vmid);
    if (vm.presence == Presence::kMustGo && wanted != nullptr && guest != nullptr)
      plan_guest_removal(b, *wanted, *guest);
  }

  Plan& plan = b.plan;
  plan.gaps = live.gaps;
  plan.partial = live.partial;
  if (!live.quorate) plan.gaps.insert(plan.gaps.begin(), "The cluster has no quorum, so nothing can be changed now.");
  plan.unchanged_vms = static_cast<std::uint32_t>(
      std::ranges::count_if(fleet.vms, [&](const ResolvedVm& vm) { return !b.touched.contains(vm.name); }));
  if (!targets.empty()) keep_targets(plan, targets);
  if (fleet.document) plan.inputs.document_hash = fleet.document->hash;
  if (fleet.document && fleet.document->cluster.ssh_user) {
    const WrittenCluster& cluster = fleet.document->cluster;
    NodeAccess access{.user = cluster.ssh_user->value,
                      .sudo = cluster.ssh_sudo,
                      .port = static_cast<std::uint32_t>(cluster.ssh_port.value_or(0)),
                      .local = cluster.ssh_local};
    for (const auto& [node, address] : cluster.ssh_hosts) access.hosts.set(node, address.value);
    plan.inputs.ssh = std::move(access);
  }
  plan.inputs.cluster_name = live.cluster_name;
  plan.inputs.made_at = rfc3339(options.now);
  if (options.allow.restart) plan.inputs.allow.emplace_back("restart");
  if (options.allow.offline_copy) plan.inputs.allow.emplace_back("offline-copy");
  if (options.allow.destroy) plan.inputs.allow.emplace_back("destroy");
  guard_first_operations(plan, live);
  std::ranges::stable_sort(plan.blocked, {}, &BlockedItem::address);
  std::ranges::stable_sort(plan.waiting, {}, &WaitingItem::address);
  std::ranges::stable_sort(plan.findings, {}, [](const Finding& f) { return std::tie(f.where, f.rule, f.what); });
  out.value = std::move(plan);
  return out;
}

}  // namespace pvr
