#include "reconciler/engine/engine.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>
#include <variant>

#include "reconciler/audit/audit.h"
#include "reconciler/execute/lease.h"
#include "reconciler/model/guest_options.h"
#include "reconciler/observe/observe.h"
#include "reconciler/planning/diff.h"
#include "reconciler/planning/power_obstacle.h"
#include "reconciler/planning/retention.h"
#include "reconciler/policy/guest_rules.h"
#include "reconciler/policy/zvol_rules.h"
#include "reconciler/resolve/explain.h"
#include "reconciler/resolve/resolve.h"

namespace pvr {
namespace {

struct Look {
  Facts facts = {};
  LiveState live = {};
  Checked<ResolvedFleet> fleet = {};
};

void append(Diagnostics& to, Diagnostics&& from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

Result<Look> look(PveReader& pve, Clock& clock, const std::shared_ptr<const FleetDocument>& document,
                  const EngineOptions& options, std::stop_token stop) {
  Scope scope = scope_of(*document);
  scope.all_guests = scope.all_guests || options.all_guests;
  auto live = observe(
      scope, pve, {.parallelism = options.readers, .stop = std::move(stop), .now = clock.wall(), .zfs = options.zfs});
  if (!live) return std::move(live).error();
  Look result;
  result.live = std::move(live).value();
  result.facts = gather_facts(*document, &result.live);
  result.fleet = resolve(document, result.facts);
  append(result.fleet.diagnostics, Diagnostics(result.facts.contradictions));
  return result;
}

bool touches_power(const Operation& operation, Vmid vmid) {
  return std::visit(
      [&](const auto& params) {
        using Params = std::remove_cvref_t<decltype(params)>;
        constexpr bool kPower = std::is_same_v<Params, RestartVm> || std::is_same_v<Params, StartVm> ||
                                std::is_same_v<Params, StopVm> || std::is_same_v<Params, DestroyVm>;
        if constexpr (kPower) return params.vmid == vmid;
        return false;
      },
      operation.procedure);
}

/// Whether operations of this plan give a volume of the guest its name back.
bool renames_zvols(const Plan& plan, Vmid vmid) {
  return std::ranges::any_of(plan.operations, [&](const Operation& operation) {
    const auto* swap = std::get_if<SwapZvol>(&operation.procedure);
    const auto* recreate = std::get_if<RecreateZvol>(&operation.procedure);
    return (swap != nullptr && swap->vmid == vmid) || (recreate != nullptr && recreate->vmid == vmid);
  });
}

/// A run that was killed between stopping and starting a guest left a note in the lease. The guest was running and
/// shall run: that is nobody's wish to be read from the document, so it needs an operation of its own.
void start_again(Plan& plan, const ResolvedFleet& fleet, const LiveState& live, const LeaseRecord& lease) {
  for (const std::uint32_t number : lease.restarting) {
    const Vmid vmid{number};
    const LiveVm* vm = live.vm(vmid);
    const auto wanted = std::ranges::find(fleet.vms, vmid, &ResolvedVm::vmid);
    if (vm == nullptr || wanted == fleet.vms.end() || vm->power != PowerState::kStopped) continue;
    if (wanted->state == VmState::kStopped || wanted->state == VmState::kAbsent) continue;
    if (std::ranges::any_of(plan.operations,
                            [&](const Operation& operation) { return touches_power(operation, vmid); }))
      continue;
    const std::string sid = fmt::format("vm:{}", number);
    auto obstacle = ha_obstacle(*vm);
    if (!obstacle && !renames_zvols(plan, vmid)) obstacle = start_obstacle(*vm, StorageTable(fleet, live));
    if (obstacle) {
      const ResourceAddress address{.kind = AddressKind::kVm, .name = wanted->name, .part = {}};
      const auto told = [&](const BlockedItem& item) { return item.address == address && item.why == obstacle->why; };
      if (std::ranges::none_of(plan.blocked, told))
        plan.blocked.push_back({.address = address,
                                .what = "start the guest again, which an interrupted restart has stopped",
                                .why = obstacle->why,
                                .remedy = obstacle->remedy,
                                .by_policy = false});
      continue;
    }
    Operation operation;
    operation.id = static_cast<OperationId>(plan.operations.size() + 1);
    operation.address = {.kind = AddressKind::kVm, .name = wanted->name, .part = {}};
    operation.procedure = StartVm{.vmid = vmid, .ha = std::ranges::find(live.ha, sid, &LiveHa::sid) != live.ha.end()};
    operation.changes = {{.key = "power",
                          .from = "stopped",
                          .to = "running",
                          .rule = {},
                          .reason = "A restart of an earlier run was interrupted after it had stopped the guest.",
                          .place = {},
                          .impact = Impact::kNone}};
    operation.locks = {fmt::format("vm/{}", number)};
    // Changes to the stopped guest come first: it then starts with them, and a copy of its disk needs it stopped. They
    // may fail; the guest is started all the same.
    operation.in_any_case = true;
    for (const Operation& other : plan.operations) {
      if (std::ranges::find(other.locks, operation.locks.front()) != other.locks.end())
        operation.after.push_back(other.id);
    }
    operation.guard = {.digest = vm->digest, .uuid = vm->uuid, .section_digest = {}};
    operation.node = vm->node;
    plan.operations.push_back(std::move(operation));
  }
}

/// Rule G7: a role may want OVMF and q35 where the guest was installed without: right for a new guest, a surprise for
/// this one.
void judge_firmware(Plan& plan, const LiveState& live) {
  for (const Operation& operation : plan.operations) {
    const auto* set = std::get_if<SetVmOptions>(&operation.procedure);
    const LiveVm* guest = set != nullptr ? live.vm(set->vmid) : nullptr;
    if (guest == nullptr || std::ranges::none_of(guest->drives, is_data_disk)) continue;
    for (const PlannedChange& change : operation.changes) {
      const FirmwareChange judged{.key = change.key, .from = change.from, .to = change.to};
      for (Judgement& found : run_checks(firmware_checks(), judged))
        plan.findings.push_back({.severity = found.severity,
                                 .rule = found.rule,
                                 .where = operation.address,
                                 .what = std::move(found.what),
                                 .fix = std::move(found.fix),
                                 .span = {}});
    }
  }
  std::ranges::stable_sort(plan.findings, {}, [](const Finding& f) { return std::tie(f.where, f.rule, f.what); });
}

/// Rule Z13: what system and ARC leave of a node's memory. The ARC counts where its limit is known, or stated: the
/// larger one, because a smaller one holds only when the plan is carried out.
GuestMemoryOf guest_memory_of(const LiveState& live, const ResolvedFleet& fleet) {
  return [&live, &fleet](const std::string& name) -> std::optional<ByteSize> {
    const LiveNode* node = live.node(name);
    if (node == nullptr || node->memory.bytes == 0) return std::nullopt;
    const LiveHost* host = live.host(name);
    ByteSize arc = host != nullptr ? host->arc_max.value_or(ByteSize{}) : ByteSize{};
    const ResolvedHostPart* stated = find_host_part(fleet, name, "");
    const Resolved* most = stated != nullptr ? stated->settings.find("arc_max") : nullptr;
    const auto* wanted = most != nullptr ? std::get_if<ByteSize>(&most->value) : nullptr;
    if (wanted != nullptr && *wanted > arc) arc = *wanted;
    const ByteSize taken = system_memory(node->memory) + arc;
    return ByteSize{node->memory.bytes - std::min(taken.bytes, node->memory.bytes)};
  };
}

/// Planning knows rules by their ids only.
void give_reasons(Plan& plan, const ResolvedFleet& fleet) {
  for (Operation& operation : plan.operations) {
    for (PlannedChange& change : operation.changes) {
      if (change.rule.empty() || !change.reason.empty()) continue;
      ResourceAddress address = operation.address;
      std::string_view key = change.key;
      // Creation brings all disks at once: "scsi0 aio".
      if (const auto blank = key.find(' '); blank != std::string_view::npos) {
        address.part = key.substr(0, blank);
        key.remove_prefix(blank + 1);
      }
      change.reason = rule_reason(fleet, address, key, change.rule);
    }
  }
}

/// "vm/201" → 201.
std::optional<Vmid> guest_of(std::string_view key) {
  if (!key.starts_with("vm/")) return std::nullopt;
  std::uint32_t number = 0;
  for (const char c : key.substr(3)) {
    if (c < '0' || c > '9' || number > 99999999) return std::nullopt;
    number = number * 10 + static_cast<std::uint32_t>(c - '0');
  }
  return Vmid{number};
}

/// The digest an input has now; empty when the thing is not there; nothing when that cannot be asked for (replication
/// lists carry none).
Result<std::optional<std::string>> digest_now(PveReader& pve, const std::vector<GuestRow>& guests,
                                              const std::string& key) {
  if (const auto vmid = guest_of(key)) {
    const auto row = std::ranges::find(guests, *vmid, &GuestRow::vmid);
    if (row == guests.end()) return std::optional(std::string());
    const auto vm = pve.guest({.node = row->node, .vmid = *vmid});
    if (!vm && vm.error().kind == ErrorKind::kNotFound) return std::optional(std::string());
    if (!vm) return Error(vm.error());
    return std::optional(vm->digest);
  }
  if (key == "storage") {
    const auto list = pve.storages();
    if (!list) return Error(list.error());
    return std::optional(list->digest);
  }
  if (key == "ha") {
    const auto list = pve.ha_resources();
    if (!list) return Error(list.error());
    return std::optional(list->digest);
  }
  return std::optional<std::string>();
}

/// Whether operations take a volume away from where it is, or give one to a guest, or would if it were clear which:
/// then it matters who else uses it. So it does where a volume is to grow whose size only the entries note.
bool concerns_other_guests(const Plan& plan, const Diff& diff, const LiveState& live) {
  const auto is_listed = [&](const VolumeId& id) {
    return std::ranges::any_of(live.volumes, [&](const LiveVolume& one) { return one.id == id && one.size; });
  };
  // What is to be destroyed may be blocked already, because of a guest that only the files of a node can tell about.
  const bool unclear = std::ranges::any_of(diff.vms, [](const VmDiff& vm) {
    return vm.presence == Presence::kMustGo || std::ranges::any_of(vm.disks, [](const DiskDiff& disk) {
             return disk.absent || disk.match == DiskMatch::kAmbiguous;
           });
  });
  return unclear || std::ranges::any_of(plan.operations, [&](const Operation& operation) {
           return std::visit(
               [&](const auto& params) {
                 using Params = std::remove_cvref_t<decltype(params)>;
                 if constexpr (std::is_same_v<Params, ResizeDisk>)
                   return !params.volume.name.empty() && !is_listed(params.volume);
                 return std::is_same_v<Params, MoveDisk> || std::is_same_v<Params, AttachVolume> ||
                        std::is_same_v<Params, DestroyVolume> || std::is_same_v<Params, SwapZvol> ||
                        std::is_same_v<Params, RecreateZvol> || std::is_same_v<Params, DestroyVm>;
               },
               operation.procedure);
         });
}

/// Looks and resolves, without a diff. `plan` of the result is empty.
Result<PlanResult> look_only(PveReader& pve, Clock& clock, std::shared_ptr<const FleetDocument> document,
                             EngineOptions& options, std::stop_token stop) {
  auto seen = look(pve, clock, document, options, std::move(stop));
  if (!seen) return std::move(seen).error();
  PlanResult result;
  result.document = std::move(document);
  result.facts = std::move(seen->facts);
  result.live = std::move(seen->live);
  append(result.diagnostics, std::move(seen->fleet.diagnostics));
  if (seen->fleet.value) result.fleet = std::move(*seen->fleet.value);
  options.plan.now = clock.wall();
  return result;
}

}  // namespace

Result<PlanResult> plan(PveReader& pve, Clock& clock, std::shared_ptr<const FleetDocument> document,
                        EngineOptions options, std::stop_token stop) {
  auto seen = look_only(pve, clock, std::move(document), options, stop);
  if (!seen) return seen;
  PlanResult result = std::move(*seen);
  if (has_errors(result.diagnostics)) return result;
  result.diff = diff(result.fleet, result.live);
  if (!options.plan.guest_memory) options.plan.guest_memory = guest_memory_of(result.live, result.fleet);
  auto planned = make_plan(result.fleet, result.diff, result.live, options.plan);
  if (planned.value && concerns_other_guests(*planned.value, result.diff, result.live)) {
    const auto read = read_other_guests(result.live, pve,
                                        {.parallelism = options.readers, .stop = std::move(stop), .zfs = options.zfs});
    if (!read) return Error(read.error());
    if (*read) {
      result.diff = diff(result.fleet, result.live);
      planned = make_plan(result.fleet, result.diff, result.live, options.plan);
    }
  }
  append(result.diagnostics, std::move(planned.diagnostics));
  if (!planned.value) return result;
  result.plan = std::move(*planned.value);
  give_reasons(result.plan, result.fleet);
  judge_firmware(result.plan, result.live);
  const auto lease = read_lease(pve);
  // A target names what the user wants touched; other guests wait for a run without one.
  if (lease && lease->has_value() && options.plan.targets.empty())
    start_again(result.plan, result.fleet, result.live, **lease);
  if (!lease) result.plan.gaps.push_back("The lease could not be read: " + lease.error().text());
  return result;
}

Result<PlanResult> plan_gc(PveReader& pve, Clock& clock, std::shared_ptr<const FleetDocument> document,
                           EngineOptions options, std::stop_token stop) {
  options.all_guests = true;
  auto result = look_only(pve, clock, std::move(document), options, stop);
  if (!result || !result->ok()) return result;
  // Those whose node is offline are in the files of the others.
  const auto read = read_other_guests(result->live, pve,
                                      {.parallelism = options.readers, .stop = std::move(stop), .zfs = options.zfs});
  if (!read) return Error(read.error());
  result->plan = make_gc_plan(result->fleet, result->live, options.plan);
  return result;
}

Result<PlanResult> plan_rollback(PveReader& pve, Clock& clock, std::shared_ptr<const FleetDocument> document,
                                 EngineOptions options, const std::string& target, std::stop_token stop) {
  options.all_guests = true;
  auto result = look_only(pve, clock, std::move(document), options, std::move(stop));
  if (!result || !result->ok()) return result;
  auto made = make_rollback_plan(result->fleet, result->live, options.plan, target);
  append(result->diagnostics, std::move(made.diagnostics));
  if (made.value) result->plan = std::move(*made.value);
  return result;
}

Result<StatusResult> status(PveReader& pve, Clock& clock, const std::shared_ptr<const FleetDocument>& document,
                            const EngineOptions& options, std::stop_token stop) {
  auto seen = look(pve, clock, document, options, std::move(stop));
  if (!seen) return std::move(seen).error();
  StatusResult result;
  result.live = std::move(seen->live);
  append(result.diagnostics, std::move(seen->fleet.diagnostics));
  if (!seen->fleet.value) return result;
  result.fleet = std::move(*seen->fleet.value);
  result.diff = diff(result.fleet, result.live, DiffDetail::kEverything);
  return result;
}

Result<AuditResult> audit_cluster(PveReader& pve, Clock& clock, std::shared_ptr<const FleetDocument> document,
                                  EngineOptions options, std::stop_token stop) {
  const bool has_fleet = document != nullptr;
  if (!has_fleet) document = std::make_shared<const FleetDocument>();
  options.all_guests = true;
  auto seen = look(pve, clock, document, options, std::move(stop));
  if (!seen) return std::move(seen).error();
  AuditResult result;
  result.live = std::move(seen->live);
  AuditInput input{.live = &result.live, .facts = &seen->facts, .hosts = result.live.hosts};
  if (has_fleet) {
    append(result.diagnostics, std::move(seen->fleet.diagnostics));
    if (seen->fleet.value && !has_errors(result.diagnostics)) input.fleet = &*seen->fleet.value;
  }
  const auto jobs = pve.backup_jobs();
  if (jobs)
    input.backup_jobs = &*jobs;
  else
    input.backup_jobs_gap = jobs.error().text();
  result.report = audit(input);
  if (has_fleet) suppress(result.report, document->suppressions, clock.wall());
  return result;
}

Result<std::vector<std::string>> stale_inputs(PveReader& pve, const Plan& plan, const std::string& document_hash) {
  std::vector<std::string> stale;
  if (!document_hash.empty() && document_hash != plan.inputs.document_hash)
    stale.emplace_back("The fleet file is not the one the plan was made from.");
  const auto cluster = pve.cluster_status();
  if (!cluster) return Error(cluster.error());
  if (cluster->name != plan.inputs.cluster_name)
    stale.push_back(fmt::format("The plan was made for cluster \"{}\", this one is \"{}\".", plan.inputs.cluster_name,
                                cluster->name));
  const auto guests = pve.guests();
  if (!guests) return Error(guests.error());
  for (const auto& [key, digest] : plan.inputs.digests) {
    const auto now = digest_now(pve, *guests, key);
    if (!now) return Error(now.error());
    if (!now->has_value() || **now == digest) continue;
    if ((*now)->empty())
      stale.push_back(fmt::format("{} does not exist any more.", key));
    else if (digest.empty())
      stale.push_back(fmt::format("{} did not exist when the plan was made.", key));
    else
      stale.push_back(fmt::format("{} was changed since the plan was made.", key));
  }
  std::ranges::sort(stale);
  return stale;
}

}  // namespace pvr
