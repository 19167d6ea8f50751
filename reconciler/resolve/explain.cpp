#include "reconciler/resolve/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "reconciler/model/guest_options.h"
#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"
#include "reconciler/policy/disk_rules.h"
#include "reconciler/policy/guest_rules.h"
#include "reconciler/policy/host_rules.h"
#include "reconciler/policy/rule.h"
#include "reconciler/policy/storage_rules.h"
#include "reconciler/policy/zvol_rules.h"
#include "reconciler/resolve/layers.h"

namespace pvr {
namespace {

const Setting* find_any(std::initializer_list<Home> homes, std::string_view key) {
  for (const Home home : homes) {
    if (const Setting* setting = find_setting(home, key)) return setting;
  }
  return nullptr;
}
const Setting* disk_setting(std::string_view key) {
  return find_any({Home::kDriveOption, Home::kDiskPlace, Home::kZvolProperty, Home::kFact}, key);
}

std::string text_of(const Setting* setting, const OptionValue& value) {
  if (is_absent(value)) return "unset";
  return setting != nullptr ? print_option(*setting, value) : to_text(value);
}

/// The reason of a rule: of the very row that decided where that is known, else of the rule.
struct Reason {
  std::string_view id = {};
  std::string_view why = {};
  std::string_view source = {};
};

template <class Row>
std::optional<Reason> reason_of(const Row* row) {
  return row != nullptr ? std::optional<Reason>({row->id, row->why, row->source}) : std::nullopt;
}

/// What the rules say by themselves about a key of a disk, and why.
struct RuleChoice {
  std::string value = {};
  Reason reason = {};
};

template <class T>
std::optional<RuleChoice> choice(const Default<T, DiskFacts>* row, std::string value) {
  if (row == nullptr) return std::nullopt;
  return RuleChoice{std::move(value), {row->id, row->why, row->source}};
}
std::optional<RuleChoice> choice(const Default<std::string_view, DiskFacts>* row) {
  return row != nullptr ? choice(row, std::string(row->value)) : std::nullopt;
}

std::string unset_aio_text(const DiskFacts& facts) {
  const std::optional<AioMode> effective = effective_aio(facts.kind, facts.format, CacheMode::kNone);
  return effective ? fmt::format("unset (PVE: {})", to_text(*effective)) : "unset";
}

std::optional<RuleChoice> rule_choice(const DiskFacts& facts, std::string_view key) {
  if (!is_disk_bus(facts.bus)) return std::nullopt;
  if (key == "cache") {
    const auto* row = choose(kCacheDefaults, facts);
    return choice(row, row != nullptr ? std::string(to_text(row->value)) : "");
  }
  if (key == "aio") {
    const AioDefault* row = choose(kAioDefaults, facts);
    return choice(row, row != nullptr && row->value ? std::string(to_text(*row->value)) : unset_aio_text(facts));
  }
  if (key == "iothread") return choice(choose(kIothreadDefaults, facts), "1");
  if (key == "discard") return choice(choose(kDiscardDefaults, facts), "on");
  if (key == "ssd") return choice(choose(kSsdDefaults, facts), "1");
  if (key == "volblocksize") {
    const auto* row = choose(kVolblocksizeDefaults, facts);
    return choice(row, row != nullptr ? text_of(disk_setting(key), row->value) : "");
  }
  if (key == "provisioning") return choice(choose(kProvisioningDefaults, facts));
  if (key == "sync") return choice(choose(kSyncDefaults, facts));
  if (key == "logbias") return choice(choose(kLogbiasDefaults, facts));
  if (key == "compression") return choice(choose(kCompressionDefaults, facts));
  if (key == "primarycache") return choice(choose(kPrimarycacheDefaults, facts));
  return std::nullopt;
}

std::optional<Reason> guest_reason(const ResolvedVm& vm, std::string_view key) {
  GuestFacts facts;
  facts.os = vm.os;
  facts.has_role = !vm.role.empty();
  facts.passthrough_pci =
      std::ranges::any_of(vm.options, [](const auto& entry) { return entry.first.starts_with("hostpci"); });
  if (key == "scsihw") return reason_of(choose(kScsihwDefaults, facts));
  if (key == "balloon") return reason_of(choose(kBalloonDefaults, facts));
  if (key == "machine") return reason_of(choose(kMachineDefaults, facts));
  if (key == "cpu") return reason_of(choose(kCpuDefaults, facts));
  return std::nullopt;
}

std::optional<Reason> storage_reason(const ResolvedStorage& storage, std::string_view key) {
  const StorageRuleFacts facts{.id = storage.id, .type = storage.type, .on_iscsi = storage.properties.contains("base")};
  if (key == "sparse") return reason_of(choose(kSparseDefaults, facts));
  if (key == "blocksize") return reason_of(choose(kBlocksizeDefaults, facts));
  if (key == "shared") return reason_of(choose(kSharedDefaults, facts));
  return std::nullopt;
}

const Setting* host_setting(std::string_view key) {
  return find_any({Home::kHostOption, Home::kPoolProperty, Home::kDatasetProperty}, key);
}

std::optional<Reason> host_reason(std::string_view key) {
  if (key == "arc_max") return reason_of(&kArcMaxDefaults[0]);
  if (key == "arc_min") return reason_of(&kArcMinDefaults[0]);
  if (key == "trim") return reason_of(&kPoolTrimDefaults[0]);
  if (key == "atime") return reason_of(&kPoolAtimeDefaults[0]);
  if (key == "xattr") return reason_of(&kPoolXattrDefaults[0]);
  if (key == "dnodesize") return reason_of(&kPoolDnodesizeDefaults[0]);
  return std::nullopt;
}

std::string_view layer_name(Layer layer) {
  switch (layer) {
    case Layer::kRole:
      return "role";
    case Layer::kVm:
      return "vm";
    case Layer::kDisk:
      return "disk";
    case Layer::kStorage:
      return "storage";
    case Layer::kHost:
      return "host";
    case Layer::kFleet:
      return "lane";
  }
  return "";
}

std::string rule_text(std::string_view id, const std::optional<Reason>& reason) {
  if (reason && reason->id == id) return fmt::format("rule {}: {} [{}]", id, reason->why, reason->source);
  const RuleRow* rule = find_rule(id);
  return rule != nullptr ? fmt::format("rule {}: {} [{}]", id, rule->title, rule->source) : fmt::format("rule {}", id);
}

std::string short_rule(std::string_view id, const std::optional<Reason>& reason) {
  const RuleRow* rule = find_rule(id);
  const std::string_view source = reason && reason->id == id ? reason->source
                                  : rule != nullptr          ? rule->source
                                                             : std::string_view{};
  return fmt::format("rule {} (default) [{}]", id, source);
}

std::string document_text(const FleetDocument& document, const FromDocument& from, bool is_override) {
  const std::string place = from.span.known() && document.sources != nullptr ? document.sources->place(from.span) : "";
  if (from.layer == Layer::kRole) return fmt::format("role {}{}{}", from.holder, place.empty() ? "" : ", ", place);
  if (from.layer == Layer::kFleet) return fmt::format("lane {}{}{}", from.holder, place.empty() ? "" : ", ", place);
  return fmt::format("{}, {} ({})", is_override ? "override" : "stated", place.empty() ? "in the fleet" : place,
                     layer_name(from.layer));
}

Explanation explain_resolved(const FleetDocument& document, const Resolved& resolved, const Setting* setting,
                             const std::optional<Reason>& reason) {
  Explanation out;
  out.value = text_of(setting, resolved.value);
  // A written value is an override when it differs from what a rule would have chosen.
  const bool is_override = std::ranges::any_of(resolved.shadowed, [&](const Shadowed& s) {
    return std::holds_alternative<FromRule>(s.origin) && s.value != resolved.value;
  });
  const auto describe = [&](const Origin& origin, bool winner) -> std::string {
    if (const auto* rule = std::get_if<FromRule>(&origin))
      return winner ? rule_text(rule->rule, reason) : short_rule(rule->rule, reason);
    if (const auto* written = std::get_if<FromDocument>(&origin))
      return document_text(document, *written, winner && is_override);
    return "PVE default";
  };
  out.from = describe(resolved.origin, true);
  for (const Shadowed& shadowed : resolved.shadowed)
    out.instead_of.push_back({text_of(setting, shadowed.value), describe(shadowed.origin, false)});
  if (resolved.finding_only) out.note = "a difference is reported and nothing is changed for it";
  return out;
}

template <class Rows>
void add_flags(Explanation& out, const std::vector<std::string_view>& flags, const Rows& rows) {
  for (const std::string_view flag : flags) {
    const auto row = std::ranges::find_if(rows, [&](const auto& r) { return r.id == flag && r.key == out.key; });
    if (row != std::end(rows))
      out.flagged_by.push_back({{}, fmt::format("rule {}: {} [{}]", flag, row->why, row->source)});
  }
}

template <class Keys, class One>
std::vector<Explanation> explain_keys(const Keys& keys, One one) {
  std::vector<Explanation> out;
  for (const auto& key : keys) {
    if (std::optional<Explanation> explanation = one(key)) out.push_back(std::move(*explanation));
  }
  return out;
}

template <class Settings>
std::set<std::string, std::less<>> keys_of(const Settings& settings) {
  std::set<std::string, std::less<>> keys;
  for (const auto& [key, value] : settings) keys.insert(key);
  return keys;
}

}  // namespace

const ResolvedVm* find_vm(const ResolvedFleet& fleet, std::string_view name) {
  const auto at =
      std::ranges::lower_bound(fleet.vms, name, {}, [](const ResolvedVm& vm) { return std::string_view(vm.name); });
  return at != fleet.vms.end() && at->name == name ? &*at : nullptr;
}

const ResolvedDisk* find_disk(const ResolvedVm& vm, std::string_view name_or_slot) {
  auto at = std::ranges::find(vm.disks, name_or_slot, &ResolvedDisk::name);
  if (at == vm.disks.end()) {
    const std::optional<DriveSlot> slot = parse_slot(name_or_slot);
    if (slot) at = std::ranges::find(vm.disks, *slot, &ResolvedDisk::slot);
  }
  return at == vm.disks.end() ? nullptr : &*at;
}

const ResolvedStorage* find_storage(const ResolvedFleet& fleet, std::string_view id) {
  const auto at = std::ranges::find(fleet.storages, id, &ResolvedStorage::id);
  return at == fleet.storages.end() ? nullptr : &*at;
}

const ResolvedHostPart* find_host_part(const ResolvedFleet& fleet, std::string_view node, std::string_view part) {
  const auto host = std::ranges::find(fleet.hosts, node, &ResolvedHost::node);
  if (host == fleet.hosts.end()) return nullptr;
  const auto at = std::ranges::find(host->parts, part, &ResolvedHostPart::name);
  return at == host->parts.end() ? nullptr : &*at;
}

std::optional<Explanation> explain(const ResolvedFleet& fleet, const ResolvedVm& vm, const ResolvedDisk& disk,
                                   std::string_view key) {
  const Resolved* resolved = disk.settings.find(key);
  // The drive that carries cloud-init data follows no rules of disks.
  const std::optional<RuleChoice> rule = disk.name == "cloudinit" ? std::nullopt : rule_choice(disk.facts, key);
  Explanation out;
  if (resolved != nullptr) {
    out = explain_resolved(*fleet.document, *resolved, disk_setting(key),
                           rule ? std::optional(rule->reason) : std::nullopt);
    out.key = std::string(key);
    add_flags(out, resolved->flags, kDiskWarnings);
    add_flags(out, resolved->flags, kZvolWarnings);
  } else if (rule) {
    out.value = rule->value;
    out.from = fmt::format("rule {}: {} [{}]", rule->reason.id, rule->reason.why, rule->reason.source);
    out.managed = false;
    out.note = key == "aio" ? "nothing is written" : "nothing is written unless somebody states it";
  } else {
    return std::nullopt;
  }
  out.address = {AddressKind::kVm, vm.name, disk.name};
  out.key = std::string(key);
  return out;
}

std::optional<Explanation> explain(const ResolvedFleet& fleet, const ResolvedVm& vm, std::string_view key) {
  const Resolved* resolved = vm.options.find(key);
  if (resolved == nullptr) return std::nullopt;
  Explanation out =
      explain_resolved(*fleet.document, *resolved, find_setting(Home::kVmOption, key), guest_reason(vm, key));
  out.address = {AddressKind::kVm, vm.name, {}};
  out.key = std::string(key);
  add_flags(out, resolved->flags, kGuestWarnings);
  return out;
}

std::optional<Explanation> explain(const ResolvedFleet& fleet, const ResolvedStorage& storage, std::string_view key) {
  const Resolved* resolved = storage.properties.find(key);
  if (resolved == nullptr) return std::nullopt;
  Explanation out = explain_resolved(*fleet.document, *resolved, find_setting(Home::kStorageOption, key),
                                     storage_reason(storage, key));
  out.address = {AddressKind::kStorage, storage.id, {}};
  out.key = std::string(key);
  return out;
}

std::optional<Explanation> explain(const ResolvedFleet& fleet, std::string_view node, const ResolvedHostPart& part,
                                   std::string_view key) {
  const Resolved* resolved = part.settings.find(key);
  if (resolved == nullptr) return std::nullopt;
  Explanation out = explain_resolved(*fleet.document, *resolved, host_setting(key), host_reason(key));
  out.address = {AddressKind::kHost, std::string(node), part.name};
  out.key = std::string(key);
  return out;
}

std::vector<Explanation> explain_all(const ResolvedFleet& fleet, std::string_view node, const ResolvedHostPart& part) {
  return explain_keys(keys_of(part.settings), [&](const std::string& key) { return explain(fleet, node, part, key); });
}

std::vector<Explanation> explain_all(const ResolvedFleet& fleet, const ResolvedVm& vm, const ResolvedDisk& disk) {
  std::set<std::string, std::less<>> keys = keys_of(disk.settings);
  for (const std::string_view key : {"cache", "aio", "iothread", "discard", "ssd", "volblocksize"}) keys.emplace(key);
  return explain_keys(keys, [&](const std::string& key) { return explain(fleet, vm, disk, key); });
}

std::vector<Explanation> explain_all(const ResolvedFleet& fleet, const ResolvedVm& vm) {
  return explain_keys(keys_of(vm.options), [&](const std::string& key) { return explain(fleet, vm, key); });
}

std::vector<Explanation> explain_all(const ResolvedFleet& fleet, const ResolvedStorage& storage) {
  return explain_keys(keys_of(storage.properties),
                      [&](const std::string& key) { return explain(fleet, storage, key); });
}

std::string rule_reason(const ResolvedFleet& fleet, const ResourceAddress& address, std::string_view key,
                        std::string_view rule) {
  std::optional<Reason> reason;
  if (address.kind == AddressKind::kStorage) {
    if (const ResolvedStorage* storage = find_storage(fleet, address.name)) reason = storage_reason(*storage, key);
  } else if (address.kind == AddressKind::kHost) {
    reason = host_reason(key);
  } else if (const ResolvedVm* vm = find_vm(fleet, address.name)) {
    const ResolvedDisk* disk = address.part.empty() ? nullptr : find_disk(*vm, address.part);
    if (disk == nullptr) {
      reason = guest_reason(*vm, key);
    } else if (const auto chosen = rule_choice(disk->facts, key)) {
      reason = chosen->reason;
    }
  }
  if (reason && reason->id == rule) return fmt::format("{} [{}]", reason->why, reason->source);
  const RuleRow* row = find_rule(rule);
  return row == nullptr ? std::string() : fmt::format("{} [{}]", row->reason, row->source);
}

std::string one_line(const Explanation& explanation) {
  const std::string note = explanation.note.empty() ? "" : fmt::format(" ({})", explanation.note);
  if (explanation.value.starts_with("unset"))
    return fmt::format("{} {}  {}{}", explanation.key, explanation.value, explanation.from, note);
  return fmt::format("{}={}  {}{}", explanation.key, explanation.value, explanation.from, note);
}

std::string chain_text(const Explanation& explanation) {
  std::string out = one_line(explanation);
  for (const ExplainedStep& step : explanation.instead_of)
    out += fmt::format("\n  instead of {}, {}", step.value, step.from);
  for (const ExplainedStep& step : explanation.flagged_by) out += fmt::format("\n  flagged by {}", step.from);
  return out;
}

std::optional<RoleView> show_role(const FleetDocument& document, std::string_view name) {
  const std::vector<const WrittenRole*> chain = role_chain(document, name);
  if (chain.empty()) return std::nullopt;
  RoleView view;
  view.name = chain.front()->name;
  view.builtin = chain.front()->builtin;
  if (document.sources != nullptr && chain.front()->span.known())
    view.place = document.sources->place(chain.front()->span);
  std::map<std::tuple<std::string, std::string>, RoleSetting> merged;
  const auto add = [&](const std::string& where, const WrittenSettings& settings, bool of_disk,
                       const WrittenRole& role) {
    for (const auto& [key, value] : settings) {
      const Setting* setting = of_disk ? disk_setting(key) : find_setting(Home::kVmOption, key);
      merged.try_emplace({where, key}, RoleSetting{where, key, text_of(setting, value.value), role.name});
    }
  };
  for (const WrittenRole* role : chain) {
    if (role != chain.front()) view.chain.push_back(role->name);
    if (view.note.empty()) view.note = role->note;
    if (view.os.empty() && role->os) view.os = to_text(role->os->value);
    if (view.lane.empty() && role->lane) view.lane = role->lane->value;
    add("", role->options, false, *role);
    add("disk", role->disk_defaults, true, *role);
    for (const WrittenDisk& disk : role->disks) add("disks." + disk.name, disk.settings, true, *role);
  }
  for (auto& [key, setting] : merged) view.settings.push_back(std::move(setting));
  return view;
}

std::vector<RoleView> list_roles(const FleetDocument& document) {
  std::vector<RoleView> out;
  for (const WrittenRole& role : document.roles) {
    if (std::optional<RoleView> view = show_role(document, role.name)) out.push_back(std::move(*view));
  }
  return out;
}

}  // namespace pvr
