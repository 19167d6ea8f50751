#include <fmt/format.h>

#include <algorithm>

#include "reconciler/model/guest_options.h"
#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"
#include "reconciler/policy/storage_rules.h"
#include "reconciler/resolve/resolver.h"

namespace pvr {
namespace {

ResourceAddress address_of(const ResolvedVm& vm) { return {AddressKind::kVm, vm.name, {}}; }

/// A property of a decoded property string, or empty.
std::string_view part(const OptionValue* value, std::string_view key) {
  const auto* pairs = value != nullptr ? std::get_if<PropertyString>(value) : nullptr;
  const std::string* found = pairs != nullptr ? pairs->find(key) : nullptr;
  return found != nullptr ? std::string_view(*found) : std::string_view{};
}

const OptionValue* option(const ResolvedVm& vm, std::string_view key) {
  const Resolved* found = vm.options.find(key);
  return found != nullptr ? &found->value : nullptr;
}

template <class T>
std::optional<T> plain(const std::optional<Spanned<T>>& value) {
  return value ? std::optional<T>(value->value) : std::nullopt;
}

const WrittenLane* find_lane(const FleetDocument& document, std::string_view name) {
  const auto at = std::ranges::find(document.lanes, name, &WrittenLane::name);
  return at == document.lanes.end() ? nullptr : &*at;
}

}  // namespace

void Resolver::resolve_vm(const WrittenVm& written) {
  ResolvedVm& vm = out_.vms.emplace_back();
  VmContext context{.written = &written, .vm = &vm, .roles = &roles_of(written)};
  vm.name = written.name;
  vm.span = written.span;
  vm.vmid = written.vmid.value;
  if (written.role) vm.role = written.role->value;
  vm.node = plain(written.node);
  vm.linked_clone = written.linked_clone;
  vm.clone = plain(written.clone);
  vm.pool = plain(written.pool);
  vm.uuid = plain(written.uuid);
  vm.state = written.state.value;
  vm.ha = written.ha;
  vm.replication = written.replication;
  vm.allow = written.allow;
  vm.maintenance = plain(written.maintenance);
  vm.require_backup = plain(written.require_backup);
  if (written.lane) vm.lane = written.lane->value;
  for (const WrittenRole* role : *context.roles) {
    if (vm.lane.empty() && role->lane) vm.lane = role->lane->value;
    if (!vm.clone) vm.clone = plain(role->clone);
  }
  const auto lives = facts_.vm_node.find(vm.vmid.number);
  context.exists = lives != facts_.vm_node.end();
  if (written.node) {
    context.node = written.node->value;
  } else if (context.exists) {
    context.node = lives->second;
  }
  if (vm.state == VmState::kAbsent) return;  // it is to go: nothing else about it is wanted

  guest_options(context);
  context.lane = choose_lane(context);
  resolve_disks(context);
  cpu_baseline(context);
  check_guest(context);
  check_replication(context);
}

void Resolver::guest_options(VmContext& context) {
  ResolvedVm& vm = *context.vm;
  stack_.clear();
  stack_.add(context.written->options, Layer::kVm);
  for (const WrittenRole* role : *context.roles) stack_.add(role->options, Layer::kRole, role->name);

  GuestFacts& guest = context.facts;
  guest.has_role = context.written->role.has_value();
  guest.exists = context.exists || !facts_.observed;
  guest.replicated = !vm.replication.empty();
  guest.has_scsi_disk = std::ranges::any_of(context.written->disks, [](const WrittenDisk& disk) {
    const auto* slot = disk.settings.find("slot");
    return !disk.absent && (slot == nullptr || text_value(&slot->value).starts_with("scsi"));
  });
  for (const WrittenRole* role : *context.roles) {
    if (role->os) {
      guest.os = role->os->value;
      break;
    }
  }
  const Candidate* ostype = stack_.winner("ostype");
  guest.os = os_of_type(text_value(ostype != nullptr ? ostype->value : nullptr), guest.os);
  vm.os = guest.os;
  find_devices(context);
  derive_mobility(context);

  const auto add = [this](const TextDefault* row, std::string_view key) {
    if (row != nullptr) stack_.add_rule(key, value(Home::kVmOption, key, row->value), row->id);
  };
  add(choose(kScsihwDefaults, guest), "scsihw");
  add(choose(kBalloonDefaults, guest), "balloon");
  add(choose(kMachineDefaults, guest), "machine");
  stack_.drop_if([&](std::string_view key) { return is_left(context.written->leave, key); });
  stack_.emit(vm.options);
  for (auto& [key, resolved] : vm.options) {
    auto* net = is_numbered(key, "net") ? std::get_if<PropertyString>(&resolved.value) : nullptr;
    if (net != nullptr && net->find("model") == nullptr)
      net->set("model", std::string(choose(kNetModelDefaults, guest)->value));
  }
  context.scsihw = text_value(option(vm, "scsihw"));
}

void Resolver::find_devices(VmContext& context) {
  for (const Candidate& candidate : stack_.candidates()) {
    if (stack_.winner(candidate.key) != &candidate) continue;
    if (is_numbered(candidate.key, "hostpci")) {
      context.facts.passthrough = true;
      context.facts.passthrough_pci = true;
      const std::string_view mapping = part(candidate.value, "mapping");
      bool migratable = false;
      bool one_node = mapping.empty();  // an address is that of one node
      if (const auto at = facts_.mapping_migratable.find(mapping); at != facts_.mapping_migratable.end())
        migratable = at->second;
      if (const auto at = facts_.mapping_nodes.find(mapping); at != facts_.mapping_nodes.end())
        one_node = at->second.size() < 2;
      context.has_one_node_device = context.has_one_node_device || one_node;
      if (!migratable && context.device.empty()) {
        context.device = mapping.empty()
                             ? fmt::format("{} passes through a PCI device", candidate.key)
                             : fmt::format("{} passes through a device of mapping {}", candidate.key, mapping);
      }
    } else if (parse_slot(candidate.key) && text_value(candidate.value).starts_with("/dev/")) {
      context.facts.passthrough = true;
      context.has_one_node_device = true;
      if (context.device.empty()) context.device = fmt::format("{} is a disk of the node", candidate.key);
    }
  }
}

void Resolver::derive_mobility(VmContext& context) {
  ResolvedVm& vm = *context.vm;
  const auto live_ha = facts_.vm_ha.find(vm.vmid.number);
  const bool declared = vm.ha.has_value();
  context.facts.ha = declared ? vm.ha->enabled : live_ha != facts_.vm_ha.end() && live_ha->second;
  context.facts.one_node_device = context.has_one_node_device;
  const WrittenLane* lane = find_lane(*document_, vm.lane);
  const Mobility lane_mobility = lane != nullptr       ? lane->mobility
                                 : vm.lane == "pinned" ? Mobility::kPinned
                                                       : Mobility::kMobile;
  if (context.facts.ha) {
    vm.mobility = Mobility::kMobile;
    vm.mobility_why = declared ? "managed by HA" : "managed by HA in the cluster";
  } else if (!context.device.empty()) {
    vm.mobility = Mobility::kPinned;
    vm.mobility_why = context.device;
  } else if (!vm.lane.empty()) {
    vm.mobility = lane_mobility;
    vm.mobility_why = fmt::format("lane {}", vm.lane);
  } else {
    vm.mobility = Mobility::kMobile;
    vm.mobility_why = "nothing ties it to a node";
  }
  context.facts.mobility = vm.mobility;
}

Resolver::LaneChoice Resolver::choose_lane(const VmContext& context) const {
  const WrittenLane* lane = find_lane(*document_, context.vm->lane);
  if (lane == nullptr) return {};
  LaneChoice choice{.name = lane->name};
  if (const auto* here = lane->per_node.find(context.node); here != nullptr && !context.node.empty()) {
    choice.storage = &here->value;
    choice.span = here->span;
  } else if (lane->storage) {
    choice.storage = &lane->storage->value;
    choice.span = lane->storage->span;
  } else {
    choice.needs_node = context.node.empty() && !lane->per_node.empty();
  }
  return choice;
}

void Resolver::cpu_baseline(VmContext& context) {
  Resolved* cpu = context.vm->options.find("cpu");
  if (cpu == nullptr || part(&cpu->value, "cputype") != kCpuBaseline) return;
  const TextDefault* row = choose(kCpuDefaults, context.facts);
  // The nodes it may run on: all that see every storage of its disks; for a pinned guest its own.
  std::vector<std::string_view> nodes(facts_.nodes.begin(), facts_.nodes.end());
  if (context.vm->mobility == Mobility::kPinned && !context.node.empty()) nodes = {context.node};
  for (const ResolvedDisk& disk : context.vm->disks) {
    const Resolved* storage = disk.settings.find("storage");
    const StorageFacts* facts = storage != nullptr ? storage_facts(text_value(&storage->value)) : nullptr;
    if (facts == nullptr || facts->nodes.empty()) continue;
    std::erase_if(nodes,
                  [&](std::string_view node) { return std::ranges::find(facts->nodes, node) == facts->nodes.end(); });
  }
  int lowest = -1;
  bool all_known = !nodes.empty();
  for (const std::string_view node : nodes) {
    const auto at = facts_.node_cpu.find(node);
    const int level = at != facts_.node_cpu.end() ? cpu_level(at->second) : -1;
    all_known = all_known && level >= 0;
    if (level >= 0) lowest = lowest < 0 ? level : std::min(lowest, level);
  }
  std::string model(all_known ? kCpuLevels[lowest] : row->value);
  // A guest that runs with a model all nodes can give it keeps it: the baseline or anything higher is right.
  if (const auto live = facts_.vm_cpu.find(context.vm->vmid.number); live != facts_.vm_cpu.end() && all_known) {
    const int level = cpu_level(live->second);
    if (level >= cpu_level(row->value) && level <= lowest) model = live->second;
  }
  cpu->shadowed.insert(cpu->shadowed.begin(), Shadowed{cpu->value, cpu->origin});
  std::get<PropertyString>(cpu->value).set("cputype", std::move(model));
  cpu->origin = FromRule{row->id};
}

void Resolver::check_guest(VmContext& context) {
  ResolvedVm& vm = *context.vm;
  context.facts.local_disks = std::ranges::any_of(vm.disks, [](const ResolvedDisk& disk) {
    return !disk.absent && !disk.detached && !disk.facts.shared && disk.settings.contains("storage");
  });
  context.facts.lane_needs_node = context.lane.needs_node && std::ranges::any_of(vm.disks, [](const ResolvedDisk& d) {
                                    return !d.settings.contains("storage");
                                  });
  const GuestSettings settings{.scsihw = context.scsihw, .cpu = part(option(vm, "cpu"), "cputype")};
  const auto place = [&](std::string_view key) {
    if (key == "ha" && vm.ha) return vm.ha->span;
    const Resolved* found = vm.options.find(key);
    const SourceSpan span = found != nullptr ? span_of(found->origin) : SourceSpan{};
    return span.known() ? span : vm.span;
  };
  const auto shown = [&](std::string_view key) {
    const OptionValue* value = option(vm, key);
    const Setting* setting = find_setting(Home::kVmOption, key);
    return value != nullptr && setting != nullptr ? fmt::format("{}={}", key, print_option(*setting, *value))
                                                  : std::string(key);
  };
  for (const GuestInvariant& row : kGuestInvariants) {
    if (row.broken(context.facts, settings))
      broken(row, row.key == "ha" ? "ha: true" : shown(row.key), address_of(vm), place(row.key));
  }
  for (const auto& row : kGuestWarnings) {
    if (!row.applies(context.facts, settings)) continue;
    if (Resolved* flagged = vm.options.find(row.key)) flagged->flags.push_back(row.id);
    finding(row.id == "W1" || row.id == "L1" ? Severity::kNotice : Severity::kWarning, row.id, address_of(vm),
            fmt::format("{}: {}", shown(row.key), row.why), std::string(row.instead), place(row.key));
  }
}

void Resolver::check_replication(VmContext& context) {
  for (const WrittenReplication& job : context.vm->replication) {
    for (const ResolvedDisk& disk : context.vm->disks) {
      const Resolved* replicate = disk.settings.find("replicate");
      if (disk.absent || disk.detached || (replicate != nullptr && !bool_value(&replicate->value))) continue;
      const Resolved* storage = disk.settings.find("storage");
      const std::string_view id = storage != nullptr ? text_value(&storage->value) : std::string_view{};
      const StorageFacts* facts = storage_facts(id);
      if (facts == nullptr) continue;
      const ReplicationFacts rules{
          .guest = context.vm->name,
          .target = job.target,
          .storage = id,
          .kind = facts->kind,
          .storage_on_target =
              facts->nodes.empty() || std::ranges::find(facts->nodes, job.target) != facts->nodes.end(),
          .same_node = context.node == job.target};
      for (const Judgement& found : run_checks(replication_checks(), rules)) {
        error(rule_code(found.rule), fmt::format("Rule {} is broken.", found.rule),
              fmt::format("{}/{}: {}. Write {}.", to_text(address_of(*context.vm)), disk.name, found.what, found.fix),
              job.span);
      }
    }
  }
}

}  // namespace pvr
