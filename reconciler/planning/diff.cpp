#include "reconciler/planning/diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "reconciler/model/option_codec.h"
#include "reconciler/planning/compare.h"
#include "reconciler/planning/diff_hosts.h"
#include "reconciler/planning/diff_vm.h"

namespace pvr {
namespace {

bool same_text_ignoring_case(std::string_view a, std::string_view b) {
  const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; };
  return std::ranges::equal(a, b, {}, lower, lower);
}

bool lists(std::string_view words, std::string_view word) {
  for (auto at = words.find(word); at != std::string_view::npos; at = words.find(word, at + 1)) {
    const auto end = at + word.size();
    if ((at == 0 || words[at - 1] == ' ') && (end == words.size() || words[end] == ' ')) return true;
  }
  return false;
}

StorageDiff diff_storage(const ResolvedStorage& storage, const LiveStorage* live, DiffDetail detail) {
  StorageDiff out{.address = {.kind = AddressKind::kStorage, .name = storage.id}, .missing = live == nullptr};
  if (live != nullptr && live->type != storage.type) {
    out.fixed.push_back(fmt::format("type is {}, the fleet says {}", live->type, storage.type));
    return out;
  }
  for (const auto& [key, desired] : storage.properties) {
    const Setting* setting = find_setting(Home::kStorageOption, key);
    SettingChange change{
        .key = key, .desired = desired, .effect = setting != nullptr ? setting->effect : TakesEffect::kAtOnce};
    const std::string* text = live != nullptr ? live->properties.find(key) : nullptr;
    if (text != nullptr) change.configured = change.running = value_of_text(setting, *text);
    if (setting != nullptr && setting->write_only && live != nullptr) {
      change.state = SettingState::kCannotTell;
      change.note = "PVE never shows this value.";
    } else if (!same_value(setting, desired.value, change.configured)) {
      change.state = desired.finding_only ? SettingState::kFindingOnly : SettingState::kDiffers;
      if (live != nullptr && setting != nullptr &&
          (setting->effect == TakesEffect::kFixed || lists(setting->fixed_types, storage.type))) {
        change.effect = TakesEffect::kFixed;
        out.fixed.push_back(
            fmt::format("{} is {}, the fleet says {}", key, to_text(change.configured), to_text(desired.value)));
      }
    }
    const bool interesting = change.state != SettingState::kInSync && change.state != SettingState::kCannotTell;
    if (interesting || detail == DiffDetail::kEverything) out.properties.push_back(std::move(change));
  }
  return out;
}

// HA and replication entries are compared as texts of their catalogue rows.
std::vector<SettingChange> diff_section(Home home, const WrittenSettings& wanted, const FlatMap<std::string>* live,
                                        DiffDetail detail) {
  std::vector<SettingChange> out;
  for (const auto& [name, written] : wanted) {
    const std::string& key = name;
    const Setting* setting = find_setting(home, key);
    SettingChange change{
        .key = key,
        .desired = {.value = written.value, .origin = FromDocument{.layer = Layer::kVm, .span = written.span}},
        .effect = TakesEffect::kAtOnce};
    const std::string* text = live != nullptr ? live->find(key) : nullptr;
    if (text != nullptr) change.configured = change.running = value_of_text(setting, *text);
    const auto canonical = [&](OptionValue value) {
      // Fact: HA's "enabled" is another word for "started".
      auto* word = std::get_if<std::string>(&value);
      if (home == Home::kHa && key == "state" && word != nullptr && *word == "enabled") *word = "started";
      return value;
    };
    if (!same_value(setting, canonical(written.value), canonical(change.configured)))
      change.state = SettingState::kDiffers;
    if (change.state != SettingState::kInSync || detail == DiffDetail::kEverything) out.push_back(std::move(change));
  }
  return out;
}

std::optional<HaDiff> diff_ha(const ResolvedVm& vm, const LiveState& live, DiffDetail detail) {
  if (!vm.ha) return std::nullopt;
  HaDiff out{.address = {.kind = AddressKind::kHa, .name = vm.name}, .sid = fmt::format("vm:{}", vm.vmid.number)};
  const auto at = std::ranges::find(live.ha, out.sid, &LiveHa::sid);
  const LiveHa* present = at != live.ha.end() ? &*at : nullptr;
  const bool wanted = vm.ha->enabled && vm.state != VmState::kAbsent;
  if (!wanted) {
    if (present == nullptr) return std::nullopt;
    out.action = HaDiff::Action::kDelete;
    return out;
  }
  out.settings = diff_section(Home::kHa, vm.ha->settings, present != nullptr ? &present->properties : nullptr, detail);
  const bool differs =
      std::ranges::any_of(out.settings, [](const SettingChange& c) { return c.state == SettingState::kDiffers; });
  if (present == nullptr)
    out.action = HaDiff::Action::kCreate;
  else if (differs)
    out.action = HaDiff::Action::kUpdate;
  else if (detail == DiffDetail::kChanges)
    return std::nullopt;
  return out;
}

void diff_replication(const ResolvedVm& vm, const LiveState& live, DiffDetail detail,
                      std::vector<ReplicationDiff>& list) {
  if (vm.state == VmState::kAbsent || vm.replication.empty()) return;
  std::set<std::string> taken;
  for (const LiveReplication& job : live.replication)
    if (job.guest == vm.vmid) taken.insert(job.id);
  for (const WrittenReplication& wanted : vm.replication) {
    ReplicationDiff out{.address = {.kind = AddressKind::kReplication, .name = vm.name, .part = wanted.target}};
    const auto at = std::ranges::find_if(live.replication, [&](const LiveReplication& job) {
      return job.guest == vm.vmid && job.target == wanted.target;
    });
    const LiveReplication* present = at != live.replication.end() ? &*at : nullptr;
    out.settings =
        diff_section(Home::kReplication, wanted.settings, present != nullptr ? &present->properties : nullptr, detail);
    if (present != nullptr) {
      out.id = present->id;
      const bool differs =
          std::ranges::any_of(out.settings, [](const SettingChange& c) { return c.state == SettingState::kDiffers; });
      if (!differs && detail == DiffDetail::kChanges) continue;
      if (differs) out.action = ReplicationDiff::Action::kUpdate;
    } else {
      for (int number = 0; out.id.empty(); ++number) {
        std::string id = fmt::format("{}-{}", vm.vmid.number, number);
        if (taken.insert(id).second) out.id = std::move(id);
      }
      out.action = ReplicationDiff::Action::kCreate;
    }
    list.push_back(std::move(out));
  }
}

std::vector<PoolDiff> diff_pools(const ResolvedFleet& fleet, const LiveState& live) {
  std::map<std::string, PoolDiff> pools;
  const auto pool = [&](const std::string& id) -> PoolDiff& {
    PoolDiff& entry = pools[id];
    entry.address = {.kind = AddressKind::kPool, .name = id};
    entry.missing = std::ranges::find(live.pools, id) == live.pools.end();
    return entry;
  };
  if (fleet.document) {
    for (const WrittenPool& written : fleet.document->pools) pool(written.id);
  }
  for (const ResolvedVm& vm : fleet.vms) {
    if (!vm.pool || vm.state == VmState::kAbsent) continue;
    PoolDiff& entry = pool(*vm.pool);
    const LiveVm* guest = live.vm(vm.vmid);
    if (guest == nullptr) continue;  // creation puts it into the pool
    if (guest->pool == *vm.pool) continue;
    if (guest->pool.empty())
      entry.add.push_back(vm.vmid);
    else
      entry.blocked.push_back(fmt::format("vm/{} is in pool \"{}\"", vm.name, guest->pool));
  }
  std::vector<PoolDiff> list;
  for (auto& [id, entry] : pools) {
    std::ranges::sort(entry.add);
    std::ranges::sort(entry.blocked);
    if (entry.missing || !entry.add.empty() || !entry.blocked.empty()) list.push_back(std::move(entry));
  }
  return list;
}

void note_node(const ResolvedVm& vm, const LiveVm& guest, const LiveState& live, std::vector<Finding>& findings) {
  if (!vm.node || *vm.node == guest.node) return;
  // A guest that may move is expected to: only one that is bound to its node is worth a warning.
  const bool pinned = vm.mobility == Mobility::kPinned;
  const LiveNode* wanted = live.node(*vm.node);
  findings.push_back({.severity = pinned ? Severity::kWarning : Severity::kNotice,
                      .where = {.kind = AddressKind::kVm, .name = vm.name},
                      .what = fmt::format("It is on node \"{}\", the fleet says \"{}\"; guests are not migrated.",
                                          guest.node, *vm.node),
                      .fix = wanted == nullptr ? fmt::format("There is no node \"{}\" in the cluster.", *vm.node)
                                               : fmt::format("qm migrate {} {}{}", vm.vmid.number, *vm.node,
                                                             guest.power == PowerState::kRunning ? " --online" : ""),
                      .span = vm.span});
}

}  // namespace

Diff diff(const ResolvedFleet& fleet, const LiveState& live, DiffDetail detail) {
  Diff out;
  out.findings = fleet.findings;
  const StorageTable storages(fleet, live);
  for (const ResolvedStorage& storage : fleet.storages) {
    if (storage.reference_only) continue;
    StorageDiff entry = diff_storage(storage, live.storage(storage.id), detail);
    if (entry.missing || !entry.properties.empty() || !entry.fixed.empty()) out.storages.push_back(std::move(entry));
  }
  out.pools = diff_pools(fleet, live);
  for (const ResolvedVm& vm : fleet.vms) {
    const LiveVm* guest = live.vm(vm.vmid);
    VmDiff entry{.address = {.kind = AddressKind::kVm, .name = vm.name}, .vmid = vm.vmid};
    if (guest == nullptr) {
      if (vm.state == VmState::kAbsent) continue;
      out.vms.push_back(diff_missing_guest(vm, storages));
    } else {
      entry.node = guest->node;
      entry.power = guest->power;
      if (guest->is_container) {
        entry.presence = Presence::kWrongIdentity;
        entry.blocked = fmt::format("number {} belongs to a container", vm.vmid.number);
        entry.remedy = "give the VM another vmid";
      } else if (!guest->readable) {
        entry.presence = Presence::kUnreadable;
        entry.blocked =
            guest->problem.empty() ? fmt::format("its node \"{}\" does not answer", guest->node) : guest->problem;
        entry.remedy = "plan again when it can be read";
      } else if (vm.uuid && !same_text_ignoring_case(*vm.uuid, guest->uuid)) {
        entry.presence = Presence::kWrongIdentity;
        entry.blocked = fmt::format("the guest with number {} has uuid {}, the fleet says {}: it is another machine",
                                    vm.vmid.number, guest->uuid.empty() ? "(none)" : guest->uuid, *vm.uuid);
        entry.remedy = "give the VM another vmid, or correct uuid: if this really is the machine";
      } else if (vm.state == VmState::kAbsent) {
        entry.presence = Presence::kMustGo;
      } else {
        note_node(vm, *guest, live, out.findings);
        entry = diff_guest(vm, *guest, storages, detail, out.findings);
        const bool running = guest->power == PowerState::kRunning || guest->power == PowerState::kPaused;
        if (vm.state == VmState::kRunning && !running && !guest->is_template) entry.power_to = PowerState::kRunning;
        if (vm.state == VmState::kStopped && running) entry.power_to = PowerState::kStopped;
        const bool nothing =
            entry.options.empty() && entry.disks.empty() && entry.foreign_pending.empty() && !entry.power_to;
        if (nothing && detail == DiffDetail::kChanges) continue;
      }
      out.vms.push_back(std::move(entry));
    }
  }
  for (const ResolvedVm& vm : fleet.vms) {
    if (std::optional<HaDiff> ha = diff_ha(vm, live, detail)) out.ha.push_back(std::move(*ha));
    diff_replication(vm, live, detail, out.replication);
  }
  out.hosts = diff_hosts(fleet, live, detail, out.findings);
  const auto by_address = [](const auto& entry) -> const ResourceAddress& { return entry.address; };
  std::ranges::stable_sort(out.storages, {}, by_address);
  std::ranges::stable_sort(out.vms, {}, by_address);
  std::ranges::stable_sort(out.ha, {}, by_address);
  std::ranges::stable_sort(out.replication, {}, by_address);
  std::ranges::stable_sort(out.findings, {}, [](const Finding& f) { return std::tie(f.where, f.rule, f.what); });
  return out;
}

bool has_changes(const Diff& diff) {
  const auto is_change = [](const SettingChange& c) { return c.state == SettingState::kDiffers; };
  const auto vm_changes = [&](const VmDiff& vm) {
    if (vm.presence != Presence::kPresent || !vm.blocked.empty() || vm.power_to ||
        std::ranges::any_of(vm.options, is_change))
      return true;
    return std::ranges::any_of(vm.disks, [&](const DiskDiff& disk) {
      if (disk.absent || disk.detached) return disk.match != DiskMatch::kMissing;
      if (disk.unfinished != Unfinished::kNothing) return true;
      const bool moved = disk.match != DiskMatch::kInPlace || disk.move_to || disk.format_to || disk.grow_to;
      return moved || !disk.blocked.empty() || std::ranges::any_of(disk.settings, is_change);
    });
  };
  return std::ranges::any_of(diff.vms, vm_changes) || !diff.pools.empty() ||
         std::ranges::any_of(diff.storages,
                             [&](const StorageDiff& s) {
                               return s.missing || !s.fixed.empty() || std::ranges::any_of(s.properties, is_change);
                             }) ||
         std::ranges::any_of(diff.hosts,
                             [&](const HostDiff& host) {
                               return !host.blocked.empty() || std::ranges::any_of(host.settings, is_change);
                             }) ||
         std::ranges::any_of(diff.ha, [](const HaDiff& ha) { return ha.action != HaDiff::Action::kNone; }) ||
         std::ranges::any_of(diff.replication,
                             [](const ReplicationDiff& r) { return r.action != ReplicationDiff::Action::kNone; });
}

}  // namespace pvr
