#include "reconciler/engine/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <utility>
#include <variant>

#include "reconciler/execute/lease.h"
#include "reconciler/model/settings.h"
#include "reconciler/observe/observe.h"

namespace pvr {
namespace {

constexpr const char* kNetworks = "/sdn/zones/localnetwork";

std::string vm_path(Vmid vmid) { return fmt::format("/vms/{}", vmid.number); }
std::string storage_path(std::string_view id) { return fmt::format("/storage/{}", id); }

/// The privileges that options of a guest need. Fact: qemu-server's option table; the catalogue holds it.
void add_option_rights(std::vector<NeededRight>& out, Vmid vmid, const FlatMap<std::string>& set,
                       const std::vector<std::string>& unset, const std::string& purpose) {
  const auto add = [&](const std::string& key) {
    const Setting* setting = find_setting(Home::kVmOption, key);
    const std::string privilege(
        setting != nullptr && !setting->privilege.empty() ? setting->privilege : std::string_view("VM.Config.Options"));
    out.push_back({vm_path(vmid), {privilege}, purpose});
    if (key.starts_with("net")) out.push_back({kNetworks, {"SDN.Use"}, purpose});
    if (key.starts_with("hostpci")) out.push_back({"/mapping/pci", {"Mapping.Use"}, purpose});
  };
  for (const auto& [key, text] : set) add(key);
  for (const std::string& key : unset) add(key);
}

struct RightsOf {
  std::vector<NeededRight>& out;
  const LiveState& live;
  std::string purpose;

  void need(std::string path, std::string privilege) const {
    out.push_back({std::move(path), {std::move(privilege)}, purpose});
  }
  void disk(Vmid vmid, const std::string& storage) const {
    need(vm_path(vmid), "VM.Config.Disk");
    if (!storage.empty()) need(storage_path(storage), "Datastore.AllocateSpace");
  }

  void operator()(const CreateStorage&) const { need("/storage", "Datastore.Allocate"); }
  void operator()(const UpdateStorage&) const { need("/storage", "Datastore.Allocate"); }
  void operator()(const CreatePool& p) const { need("/pool/" + p.id, "Pool.Allocate"); }
  void operator()(const AddToPool& p) const {
    need("/pool/" + p.id, "Pool.Allocate");
    need(vm_path(p.vmid), "VM.Allocate");
  }
  void operator()(const CreateVm& p) const {
    need(p.pool.empty() ? vm_path(p.vmid) : "/pool/" + p.pool, "VM.Allocate");
    add_option_rights(out, p.vmid, p.options, {}, purpose);
    for (const auto& [slot, text] : p.disks) disk(p.vmid, text.substr(0, text.find(':')));
  }
  void operator()(const CloneVm& p) const {
    need(vm_path(p.source), "VM.Clone");
    need(p.pool.empty() ? vm_path(p.vmid) : "/pool/" + p.pool, "VM.Allocate");
    if (!p.storage.empty()) need(storage_path(p.storage), "Datastore.AllocateSpace");
  }
  void operator()(const SetVmOptions& p) const { add_option_rights(out, p.vmid, p.set, p.unset, purpose); }
  void operator()(const SetDriveOptions& p) const { disk(p.vmid, {}); }
  void operator()(const AddDisk& p) const {
    disk(p.vmid, p.storage);
    if (p.cloud_init) need(vm_path(p.vmid), "VM.Config.Cloudinit");
  }
  void operator()(const AttachVolume& p) const { disk(p.vmid, {}); }
  void operator()(const DetachDisk& p) const { disk(p.vmid, {}); }
  void operator()(const DestroyVolume& p) const { disk(p.vmid, p.volume.storage); }
  void operator()(const ResizeDisk& p) const { disk(p.vmid, p.volume.storage); }
  void operator()(const MoveDisk& p) const { disk(p.vmid, p.storage); }
  void operator()(const RestartVm& p) const { need(vm_path(p.vmid), "VM.PowerMgmt"); }
  void operator()(const StartVm& p) const { need(vm_path(p.vmid), "VM.PowerMgmt"); }
  void operator()(const StopVm& p) const { need(vm_path(p.vmid), "VM.PowerMgmt"); }
  void operator()(const DestroyVm& p) const { need(vm_path(p.vmid), "VM.Allocate"); }
  void operator()(const SetHa&) const { need("/", "Sys.Console"); }
  void operator()(const RemoveHa&) const { need("/", "Sys.Console"); }
  void operator()(const SetReplication& p) const {
    std::uint32_t number = 0;
    std::from_chars(p.id.data(), p.id.data() + p.id.size(), number);
    need(vm_path({number}), "VM.Replicate");
  }
  void operator()(const DeleteStorage&) const { need("/storage", "Datastore.Allocate"); }
  void operator()(const BackUpVm& p) const {
    need(vm_path(p.vmid), "VM.Backup");
    need(storage_path(p.storage), "Datastore.AllocateSpace");
  }
  /// Procedures that need host access ask PVE for nothing that is not listed above.
  template <class Other>
  void operator()(const Other&) const {}
};

std::vector<std::string> image_storages(const LiveState& live) {
  std::set<std::string> used;
  for (const LiveVm& vm : live.vms) {
    for (const LiveDrive& drive : vm.drives)
      if (drive.current && drive.current->volume) used.insert(drive.current->volume->storage);
  }
  return {used.begin(), used.end()};
}

bool uses_mappings(const LiveState& live) { return !live.pci_mappings.empty(); }

/// Rights any plan may need on this cluster.
std::vector<NeededRight> rights_to_apply(const LiveState& live, bool manages_storages) {
  std::vector<NeededRight> out;
  for (const char* privilege : {"VM.Config.Disk", "VM.Config.CPU", "VM.Config.Memory", "VM.Config.HWType",
                                "VM.Config.Options", "VM.Config.Network", "VM.PowerMgmt", "VM.Allocate"})
    out.push_back({"/vms", {privilege}, "changes of guests"});
  for (const std::string& id : image_storages(live))
    out.push_back(
        {storage_path(id), {"Datastore.AllocateSpace"}, fmt::format("new, larger and moved disks on {}", id)});
  out.push_back({kNetworks, {"SDN.Use"}, "network devices"});
  if (uses_mappings(live)) out.push_back({"/mapping/pci", {"Mapping.Use"}, "passed-through devices"});
  if (!live.ha.empty()) out.push_back({"/", {"Sys.Console"}, "HA resources"});
  if (manages_storages) out.push_back({"/storage", {"Datastore.Allocate"}, "storage definitions"});
  return out;
}

/// Compares what is needed with what the session has; every path is asked for once.
class RightsBook {
 public:
  explicit RightsBook(PveReader& pve) : pve_(pve) {}
  [[nodiscard]] bool has(const NeededRight& right) {
    const auto at = known_.find(right.path);
    const std::set<std::string>& held = at != known_.end() ? at->second : ask(right.path);
    return std::ranges::any_of(right.privileges, [&](const std::string& name) { return held.contains(name); });
  }
  [[nodiscard]] const std::optional<Error>& failed() const { return failed_; }

 private:
  const std::set<std::string>& ask(const std::string& path) {
    std::set<std::string>& held = known_[path];
    const Result<std::vector<std::string>> names = pve_.permissions(path);
    if (names)
      held.insert(names->begin(), names->end());
    else
      failed_ = names.error();
    return held;
  }
  PveReader& pve_;
  std::map<std::string, std::set<std::string>> known_ = {};
  std::optional<Error> failed_ = {};
};

void examine_nodes(const LiveState& live, DoctorReport& report) {
  std::map<std::string, std::vector<std::string>> versions;
  for (const LiveNode& node : live.nodes) {
    if (!node.online) {
      report.checkups.push_back({Health::kWarning, "nodes", fmt::format("node {} is offline", node.name),
                                 "its guests are neither read nor changed until it is back"});
      continue;
    }
    if (!node.version.empty()) versions[node.version].push_back(node.name);
    if (!node.readable)
      report.checkups.push_back({Health::kWarning, "nodes", fmt::format("node {}: {}", node.name, node.problem), ""});
  }
  for (const auto& [version, nodes] : versions) {
    int major = 0;
    std::from_chars(version.data(), version.data() + version.size(), major);
    const std::string names = fmt::format("{}", fmt::join(nodes, ", "));
    if (major != 0 && major < 8) {
      report.checkups.push_back({Health::kBad, "versions", fmt::format("PVE {} on {}", version, names),
                                 "PVE 8 and 9 are supported; upgrade the node"});
    } else {
      report.checkups.push_back({Health::kGood, "versions", fmt::format("PVE {} on {}", version, names), ""});
    }
  }
  if (versions.size() > 1) {
    report.checkups.push_back({Health::kWarning, "versions", "the nodes have different versions",
                               "finish the upgrade; settings are judged by the oldest one"});
  }
  report.checkups.push_back(
      live.quorate ? Checkup{Health::kGood, "quorum",
                             live.cluster_name.empty() ? "a standalone node" : "the cluster is quorate", ""}
                   : Checkup{Health::kBad, "quorum", "the cluster has no quorum: nothing can be written",
                             "bring nodes back, or set expected votes with pvecm on purpose"});
  for (const LiveStorage& storage : live.storages) {
    for (const auto& [node, at] : storage.on_node) {
      if (at.enabled && !at.active)
        report.checkups.push_back({Health::kWarning, "storages",
                                   fmt::format("storage {} is not active on {}", storage.id, node),
                                   "see its log on the node"});
    }
  }
}

}  // namespace

Health DoctorReport::worst() const {
  Health worst = Health::kGood;
  for (const Checkup& checkup : checkups) worst = std::max(worst, checkup.health);
  return worst;
}

std::vector<NeededRight> rights_of(const Operation& operation, const LiveState& live) {
  std::vector<NeededRight> out;
  std::visit(RightsOf{out, live, fmt::format("operation {}: {}", operation.id, to_text(operation.address))},
             operation.procedure);
  return out;
}

std::vector<NeededRight> rights_to_read(const LiveState& live) {
  std::vector<NeededRight> out = {{"/vms", {"VM.Audit"}, "configurations of guests", true},
                                  {"/storage", {"Datastore.Audit"}, "storages and their space", true},
                                  {"/", {"Sys.Audit"}, "HA, pools of ZFS, datacenter options", true},
                                  {"/pool", {"Pool.Audit"}, "resource pools", true},
                                  {"/mapping", {"Mapping.Audit"}, "device mappings", true}};
  for (const LiveNode& node : live.nodes)
    out.push_back({"/nodes/" + node.name, {"Sys.Audit"}, fmt::format("version and memory of {}", node.name), true});
  return out;
}

std::vector<SuggestedRole> suggested_roles(const LiveState& live, bool manages_storages) {
  // Fact: a role on a deeper path replaces the inherited one, so each repeats what reading needs there.
  std::vector<SuggestedRole> roles = {
      {.name = "ReconcileRead",
       .privileges = {"VM.Audit", "VM.GuestAgent.Audit", "Datastore.Audit", "Sys.Audit", "Pool.Audit", "Mapping.Audit",
                      "SDN.Audit"},
       .paths = {"/"},
       .to_read = true},
      {.name = "ReconcileVM",
       .privileges = {"VM.Audit", "VM.Allocate", "VM.Clone", "VM.Config.CDROM", "VM.Config.CPU", "VM.Config.Cloudinit",
                      "VM.Config.Disk", "VM.Config.HWType", "VM.Config.Memory", "VM.Config.Network",
                      "VM.Config.Options", "VM.Migrate", "VM.PowerMgmt", "VM.Snapshot", "VM.GuestAgent.Audit",
                      "VM.Replicate", "VM.Backup"},
       .paths = {"/vms"}}};
  SuggestedRole store{.name = "ReconcileStore", .privileges = {"Datastore.Audit", "Datastore.AllocateSpace"}};
  for (const std::string& id : image_storages(live)) store.paths.push_back(storage_path(id));
  if (!store.paths.empty()) roles.push_back(std::move(store));
  if (manages_storages) {
    roles.push_back({.name = "ReconcileStoreCfg",
                     .privileges = {"Datastore.Audit", "Datastore.AllocateSpace", "Datastore.Allocate"},
                     .paths = {"/storage"}});
  }
  roles.push_back({.name = "ReconcileNet", .privileges = {"SDN.Use", "SDN.Audit"}, .paths = {kNetworks}});
  if (uses_mappings(live))
    roles.push_back(
        {.name = "ReconcileMap", .privileges = {"Mapping.Use", "Mapping.Audit"}, .paths = {"/mapping/pci"}});
  // Sys.Console opens shells on nodes, too: on / alone, and only where HA is managed.
  if (!live.ha.empty())
    roles.push_back(
        {.name = "ReconcileHA", .privileges = {"Sys.Audit", "Sys.Console"}, .paths = {"/"}, .propagate = false});
  roles.push_back({.name = "ReconcileLease",
                   .privileges = {"Pool.Allocate", "Pool.Audit"},
                   .paths = {fmt::format("/pool/{}", kLeasePool)}});
  return roles;
}

std::vector<std::string> grant_commands(const std::vector<SuggestedRole>& roles, const std::string& token_id) {
  std::vector<std::string> out;
  const std::string user = token_id.substr(0, token_id.find('!'));
  const bool is_token = token_id.find('!') != std::string::npos;
  for (const SuggestedRole& role : roles) {
    out.push_back(fmt::format("pveum role add {} --privs '{}'", role.name, fmt::join(role.privileges, " ")));
    for (const std::string& path : role.paths) {
      const std::string tail = role.propagate ? "" : " --propagate 0";
      out.push_back(fmt::format("pveum acl modify {} --users {} --roles {}{}", path, user, role.name, tail));
      if (is_token)
        out.push_back(fmt::format("pveum acl modify {} --tokens '{}' --roles {}{}", path, token_id, role.name, tail));
    }
  }
  return out;
}

std::vector<Checkup> judge_clocks(const std::map<std::string, std::chrono::sys_seconds>& times,
                                  std::chrono::system_clock::time_point now) {
  std::vector<Checkup> out;
  for (const auto& [node, time] : times) {
    const auto skew = std::chrono::duration_cast<std::chrono::seconds>(time - now);
    if (skew >= -kToldClockSkew && skew <= kToldClockSkew) continue;
    out.push_back({Health::kWarning, "clocks",
                   fmt::format("the clock of {} is {} s {} ours", node, std::abs(skew.count()),
                               skew.count() > 0 ? "ahead of" : "behind"),
                   "chronyc tracking, on the node and here"});
  }
  if (out.empty() && !times.empty()) out.push_back({Health::kGood, "clocks", "the nodes' clocks agree with ours", ""});
  return out;
}

Result<DoctorReport> examine(PveReader& pve, Clock& clock, const Plan* plan, bool manages_storages,
                             std::stop_token stop) {
  Result<LiveState> seen = observe({.all_guests = true}, pve, {.stop = std::move(stop), .now = clock.wall()});
  if (!seen) return std::move(seen).error();
  const LiveState& live = *seen;
  DoctorReport report;
  examine_nodes(live, report);

  std::map<std::string, std::chrono::sys_seconds> times;
  for (const LiveNode& node : live.nodes) {
    if (!node.online) continue;
    if (const Result<std::int64_t> time = pve.node_time(node.name))
      times[node.name] = std::chrono::sys_seconds(std::chrono::seconds(*time));
  }
  if (times.empty())
    report.checkups.push_back(
        {Health::kUnknown, "clocks", "no node tells its time", "it takes Sys.Audit on the nodes"});
  for (Checkup& checkup : judge_clocks(times, clock.wall())) report.checkups.push_back(std::move(checkup));

  RightsBook book(pve);
  std::vector<NeededRight> needed = rights_to_read(live);
  if (plan != nullptr) {
    for (const Operation& operation : plan->operations)
      for (NeededRight& right : rights_of(operation, live)) needed.push_back(std::move(right));
    if (!plan->operations.empty())
      needed.push_back(
          {fmt::format("/pool/{}", kLeasePool), {"Pool.Allocate"}, "the lease that keeps a second writer away"});
  } else {
    for (NeededRight& right : rights_to_apply(live, manages_storages)) needed.push_back(std::move(right));
    needed.push_back(
        {fmt::format("/pool/{}", kLeasePool), {"Pool.Allocate"}, "the lease that keeps a second writer away"});
  }
  for (NeededRight& right : needed)
    if (!book.has(right)) report.missing.push_back(std::move(right));
  if (book.failed()) {
    report.checkups.push_back({Health::kUnknown, "rights", book.failed()->text(), ""});
    report.missing.clear();
  } else {
    for (const bool reading : {true, false}) {
      const auto count = std::ranges::count(report.missing, reading, &NeededRight::to_read);
      const std::string area = reading ? "rights to read" : "rights to apply";
      if (count == 0)
        report.checkups.push_back({Health::kGood, area, "nothing is missing", ""});
      else
        report.checkups.push_back({reading ? Health::kBad : Health::kWarning, area,
                                   fmt::format("{} of {} rights are missing", count,
                                               std::ranges::count(needed, reading, &NeededRight::to_read)),
                                   "the commands below grant them"});
    }
  }
  report.roles = suggested_roles(live, manages_storages);

  const bool reads = std::ranges::none_of(report.missing, &NeededRight::to_read);
  const bool applies = std::ranges::all_of(report.missing, &NeededRight::to_read);
  if (reads)
    report.works.emplace_back("plan, status, explain, audit and adopt");
  else
    report.does_not.emplace_back("plan and audit see only a part: rights to read are missing");
  if (reads && applies && live.quorate)
    report.works.emplace_back(plan != nullptr ? "apply: every operation of the plan" : "apply");
  else
    report.does_not.emplace_back(live.quorate ? "apply: rights are missing" : "apply: there is no quorum");
  const NeededRight volumes{"/vms", {"VM.Config.Disk"}, "the list of guest volumes", true};
  if (!book.has(volumes))
    report.does_not.emplace_back(
        "orphaned volumes and real sizes: the list of guest volumes takes VM.Config.Disk on /vms");
  return report;
}

}  // namespace pvr
