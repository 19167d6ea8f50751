#include <fmt/format.h>

#include <algorithm>

#include "reconciler/audit/auditor.h"
#include "reconciler/base/text.h"
#include "reconciler/model/guest_options.h"
#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"

namespace pvr {
namespace {

PropertyString properties(std::string_view key, std::string_view text) {
  const Setting* setting = find_setting(Home::kVmOption, key);
  const OptionValue value = setting != nullptr ? decode_option(*setting, text) : OptionValue{};
  const auto* pairs = std::get_if<PropertyString>(&value);
  return pairs != nullptr ? *pairs : PropertyString{};
}

std::string part(const PropertyString& pairs, std::string_view key) {
  const std::string* found = pairs.find(key);
  return found != nullptr ? *found : std::string();
}

bool flag(std::string_view text) { return text == "1" || text == "on" || text == "yes" || text == "true"; }

std::string cpu_type(const LiveVm& vm) {
  const std::string_view text = option_text(vm, "cpu");
  if (text.empty()) return std::string(find_setting(Home::kVmOption, "cpu")->default_text);
  return part(properties("cpu", text), "cputype");
}

bool has_drive(const LiveVm& vm, Bus bus) {
  return std::ranges::any_of(
      vm.drives, [bus](const LiveDrive& drive) { return drive.slot.bus == bus && drive.configured() != nullptr; });
}

/// The storage of the disk a guest boots from, as far as its order tells; else of its first disk.
std::string boot_storage(const LiveVm& vm) {
  std::string_view order = option_text(vm, "boot");
  if (const auto at = order.find("order="); at != std::string_view::npos) order.remove_prefix(at + 6);
  for (const LiveDrive& drive : vm.drives) {
    if (is_data_disk(drive) && drive.configured()->volume && order.starts_with(to_text(drive.slot)))
      return drive.configured()->volume->storage;
  }
  for (const LiveDrive& drive : vm.drives) {
    if (is_data_disk(drive) && drive.configured()->volume) return drive.configured()->volume->storage;
  }
  return {};
}

/// For guests that nothing is known of; the weakest model where the table has no row for them.
std::string_view default_cpu() {
  const TextDefault* row = choose(kCpuDefaults, GuestFacts{});
  return row != nullptr ? row->value : kCpuLevels[0];
}

}  // namespace

std::string Auditor::baseline_cpu() const {
  // Online or not: a guest may start on any of them.
  int lowest = -1;
  for (const LiveNode& node : live_.nodes) {
    const auto at = facts_.node_cpu.find(node.name);
    const int level = at != facts_.node_cpu.end() ? cpu_level(at->second) : -1;
    if (level < 0) return std::string(default_cpu());
    lowest = lowest < 0 ? level : std::min(lowest, level);
  }
  return std::string(lowest < 0 ? default_cpu() : kCpuLevels[lowest]);
}

std::string Auditor::cpu_with(const LiveVm& vm, std::string_view type) const {
  const Setting* setting = find_setting(Home::kVmOption, "cpu");
  PropertyString pairs = properties("cpu", option_text(vm, "cpu"));
  pairs.set("cputype", std::string(type));
  return print_option(*setting, pairs);
}

Auditor::GuestContext Auditor::context_of(const LiveVm& vm) const {
  GuestContext guest{.vm = &vm, .declared = declared(vm.vmid)};
  GuestFacts& facts = guest.facts;
  facts.os = os_of_type(option_text(vm, "ostype"), GuestOs::kOther);
  facts.has_role = true;  // every guest is judged by what the rules say about its kind
  facts.exists = true;
  bool one_node = false;
  bool tied = false;
  for (const auto& [key, option] : vm.options) {
    const std::string* text = option.configured();
    if (text == nullptr || !is_numbered(key, "hostpci")) continue;
    facts.passthrough = facts.passthrough_pci = true;
    const std::string mapping = part(properties(key, *text), "mapping");
    const auto nodes = facts_.mapping_nodes.find(mapping);
    const auto moves = facts_.mapping_migratable.find(mapping);
    one_node = one_node || mapping.empty() || (nodes != facts_.mapping_nodes.end() && nodes->second.size() < 2);
    tied = tied || moves == facts_.mapping_migratable.end() || !moves->second;
  }
  facts.has_scsi_disk = false;
  for (const LiveDrive& drive : vm.drives) {
    const Drive* held = drive.configured();
    if (held == nullptr || drive.slot.bus == Bus::kUnused || held->medium != Drive::Medium::kDisk) continue;
    if (!held->volume) {
      facts.passthrough = one_node = tied = tied || held->path.starts_with("/dev/");
      continue;
    }
    facts.has_scsi_disk = facts.has_scsi_disk || drive.slot.bus == Bus::kScsi;
    const auto storage = facts_.storages.find(held->volume->storage);
    if (storage != facts_.storages.end() && !storage->second.shared) facts.local_disks = true;
  }
  facts.one_node_device = one_node;
  const auto ha = facts_.vm_ha.find(vm.vmid.number);
  facts.ha = ha != facts_.vm_ha.end() && ha->second;
  facts.replicated =
      std::ranges::any_of(live_.replication, [&](const LiveReplication& job) { return job.guest == vm.vmid; });
  // Nobody said what the guest is for: one on shared storage can move and is meant to, one on storage of its node
  // stays.
  facts.mobility = facts.ha                    ? Mobility::kMobile
                   : guest.declared != nullptr ? guest.declared->mobility
                   : tied || facts.local_disks ? Mobility::kPinned
                   : live_.nodes.size() < 2    ? Mobility::kPinned
                                               : Mobility::kMobile;
  guest.scsihw = option_text(vm, "scsihw");
  if (guest.scsihw.empty() && facts.has_scsi_disk) guest.scsihw = "lsi";  // fact: PVE's default
  guest.controller_wrong = facts.has_scsi_disk && guest.scsihw != choose(kScsihwDefaults, facts)->value;
  guest.effect = vm.power == PowerState::kStopped ? FixEffect::kNow : FixEffect::kRestart;
  return guest;
}

void Auditor::fix_option(AuditFinding& finding, const GuestContext& guest, std::string_view key,
                         const std::string& value) const {
  finding.fix.advice.clear();
  finding.fix.commands = {fmt::format("qm set {} --{} {}", guest.vm->vmid.number, key, shell_word(value))};
  finding.fix.value = FixValue{.vmid = guest.vm->vmid, .key = std::string(key), .value = value};
  const Setting* setting = find_setting(Home::kVmOption, key);
  const bool at_once = setting != nullptr && setting->effect == TakesEffect::kAtOnce;
  finding.fix.effect = at_once ? FixEffect::kNow : guest.effect;
}

void Auditor::audit_guest(const LiveVm& vm) {
  GuestContext guest = context_of(vm);
  audit_disks(guest);
  guest_options(guest);
  guest_pending(guest);
}

void Auditor::guest_options(GuestContext& guest) {
  const LiveVm& vm = *guest.vm;
  const std::string subject = fmt::format("vm/{}", vm.vmid.number);
  const std::string fleet_name = guest.declared != nullptr ? guest.declared->name
                                 : vm.name.empty()         ? fmt::format("vm-{}", vm.vmid.number)
                                                           : vm.name;
  const auto publish = [&](AuditFinding finding, std::string_view key, std::string_view fleet_value) {
    finding.name = vm.name;
    finding.node = vm.node;
    if (!key.empty()) {
      finding.fix.fleet = {"vms:", fmt::format("  {}:", fleet_name)};
      if (guest.declared == nullptr) finding.fix.fleet.push_back(fmt::format("    vmid: {}", vm.vmid.number));
      finding.fix.fleet.push_back(fmt::format("    {}: {}", key, fleet_value));
    }
    add(std::move(finding));
  };
  const auto stated = [&](std::string_view key, std::string_view live) {
    if (guest.declared == nullptr) return false;
    const Resolved* value = guest.declared->options.find(key);
    const Setting* setting = find_setting(Home::kVmOption, key);
    return value != nullptr && setting != nullptr && std::holds_alternative<FromDocument>(value->origin) &&
           value->value == decode_option(*setting, live);
  };
  const auto from_row = [&](std::string_view id, std::string_view why, std::string_view source, Severity severity,
                            std::string what) {
    AuditFinding finding;
    finding.rule = id;
    finding.id = finding_id(id, 1, subject);
    finding.severity = severity;
    finding.subject = subject;
    finding.what = std::move(what);
    finding.why = std::string(why);
    finding.source = std::string(source);
    return finding;
  };

  // Invariants and warnings of the tables.
  const std::string cpu = cpu_type(vm);
  const GuestSettings settings{
      .scsihw = facts_.observed && guest.facts.has_scsi_disk ? guest.scsihw : std::string_view{}, .cpu = cpu};
  bool controller_told = false;
  for (const GuestInvariant& row : kGuestInvariants) {
    if (!row.broken(guest.facts, settings)) continue;
    const bool controller = row.key == "scsihw";
    AuditFinding finding = from_row(
        row.id, row.why, row.source, Severity::kError,
        controller ? fmt::format("scsihw={}: {}", guest.scsihw, row.why) : fmt::format("managed by HA: {}", row.why));
    finding.fix.advice = std::string(row.instead);
    if (controller) {
      controller_told = true;
      finding.fix.commands = {guest.controller_command};
      finding.fix.caution = "the virtio-win drivers must be in the guest first, or it does not boot";
      finding.fix.effect = guest.effect;
      finding.fix.value = FixValue{.vmid = vm.vmid, .key = "scsihw", .value = "virtio-scsi-single"};
    }
    publish(std::move(finding), controller ? "scsihw" : "", "virtio-scsi-single");
  }
  for (const auto& row : kGuestWarnings) {
    if (!row.applies(guest.facts, settings)) continue;
    if (row.key == "cpu" && stated("cpu", option_text(vm, "cpu"))) continue;
    AuditFinding finding = from_row(row.id, row.why, row.source, Severity::kWarning,
                                    row.key == "cpu" ? fmt::format("cpu={}: {}", cpu, row.why) : std::string(row.why));
    finding.fix.advice = std::string(row.instead);
    if (row.key == "cpu") fix_option(finding, guest, "cpu", cpu_with(vm, baseline_cpu()));
    publish(std::move(finding), row.key == "cpu" ? "cpu" : "", "baseline");
  }

  // Defaults of the tables that the guest does not follow.
  if (guest.controller_wrong && !controller_told && !stated("scsihw", option_text(vm, "scsihw"))) {
    const TextDefault* row = choose(kScsihwDefaults, guest.facts);
    AuditFinding finding =
        from_row(row->id, row->why, row->source, Severity::kWarning,
                 fmt::format("scsihw={}: all disks share one controller and one thread", guest.scsihw));
    finding.fix.commands = {guest.controller_command};
    finding.fix.effect = guest.effect;
    finding.fix.value = FixValue{.vmid = vm.vmid, .key = "scsihw", .value = std::string(row->value)};
    if (guest.facts.os == GuestOs::kWindows && !guest.scsihw.starts_with("virtio"))
      finding.fix.caution = "the virtio-win drivers must be in the guest first, or it does not boot";
    publish(std::move(finding), "scsihw", row->value);
  }
  if (const TextDefault* row = choose(kBalloonDefaults, guest.facts); row != nullptr) {
    const std::string_view balloon = option_text(vm, "balloon");
    if (balloon != row->value && !stated("balloon", balloon)) {
      AuditFinding finding = from_row(
          row->id, row->why, row->source, balloon.empty() ? Severity::kNotice : Severity::kWarning,
          balloon.empty() ? std::string("ballooning is on") : fmt::format("ballooning down to {} MiB", balloon));
      fix_option(finding, guest, "balloon", std::string(row->value));
      publish(std::move(finding), "balloon", row->value);
    }
  }
  if (const TextDefault* row = choose(kMachineDefaults, guest.facts); row != nullptr) {
    const std::string_view machine = option_text(vm, "machine");
    if (machine.find(row->value) == std::string_view::npos && !stated("machine", machine)) {
      AuditFinding finding = from_row(row->id, row->why, row->source, Severity::kNotice,
                                      fmt::format("machine={} with a passed-through device",
                                                  machine.empty() ? std::string_view("i440fx") : machine));
      fix_option(finding, guest, "machine", std::string(row->value));
      finding.fix.caution = "the guest finds its devices at other addresses; check names of networks and boot entries";
      publish(std::move(finding), "machine", row->value);
    }
  }

  // What only an existing guest can suffer from.
  GuestAuditFacts audit{.name = vm.name,
                        .os = guest.facts.os,
                        .passthrough_pci = guest.facts.passthrough_pci,
                        .mobility = guest.facts.mobility,
                        .ostype = option_text(vm, "ostype"),
                        .bios = option_text(vm, "bios"),
                        .cpu = cpu,
                        .numa = flag(option_text(vm, "numa")),
                        .has_efi_disk = has_drive(vm, Bus::kEfi),
                        .has_tpm = has_drive(vm, Bus::kTpm),
                        .other_nets = {}};
  std::string net_command = fmt::format("qm set {}", vm.vmid.number);
  for (const auto& [key, option] : vm.options) {
    const std::string* text = option.configured();
    if (text == nullptr || !is_numbered(key, "net")) continue;
    PropertyString pairs = properties(key, *text);
    const std::string model = part(pairs, "model");
    if (model.empty() || model == "virtio") continue;
    audit.other_nets.push_back(fmt::format("{} ({})", key, model));
    pairs.set("model", "virtio");
    net_command += fmt::format(" --{} {}", key, shell_word(print_option(*find_setting(Home::kVmOption, key), pairs)));
  }
  const std::string storage = boot_storage(vm);
  for (AuditFinding& finding : judge(guest_audit_checks(), audit, subject)) {
    const std::string advice = finding.fix.advice;
    const std::size_t colon = advice.find(": ");
    std::string key = advice.substr(0, std::min(colon, advice.size()));
    std::string value = colon == std::string::npos ? std::string() : advice.substr(colon + 2);
    if (stated(key, option_text(vm, key))) continue;
    const bool windows = audit.os == GuestOs::kWindows;
    if (finding.rule != "G5" && !storage.empty()) finding.fix.advice.clear();
    if (finding.rule == "G1") {
      fix_option(finding, guest, "cpu", cpu_with(vm, value == "baseline" ? baseline_cpu() : value));
    } else if (finding.rule == "G6") {
      fix_option(finding, guest, "numa", "1");
    } else if (finding.rule == "G5") {
      finding.fix.commands = {net_command};
      finding.fix.effect = guest.effect;
      if (windows) finding.fix.caution = "the virtio-win network driver must be in the guest first";
      key.clear();
    } else if (finding.rule == "G4" && !storage.empty()) {
      finding.fix.commands = {
          fmt::format("qm set {} --tpmstate0 {}", vm.vmid.number, shell_word(storage + ":1,version=v2.0"))};
      finding.fix.effect = guest.effect;
      finding.fix.value = FixValue{.vmid = vm.vmid, .key = "tpm", .value = "v2.0"};
      if (vm.power != PowerState::kStopped) finding.fix.advice = "PVE adds a TPM only to a guest that is shut down";
    } else if (finding.rule == "G3" && !storage.empty()) {
      const bool has_ovmf = audit.bios == "ovmf";
      std::string command = fmt::format("qm set {}", vm.vmid.number);
      if (!has_ovmf) command += " --bios ovmf";
      if (!audit.has_efi_disk)
        command +=
            fmt::format(" --efidisk0 {}",
                        shell_word(fmt::format("{}:1,efitype=4m,pre-enrolled-keys={}", storage, windows ? 1 : 0)));
      finding.fix.commands = {std::move(command)};
      finding.fix.effect = guest.effect;
      if (!has_ovmf) {
        finding.fix.caution =
            "a system that was installed with SeaBIOS boots only after its disk was converted (mbr2gpt)";
        key = "bios";
        value = "ovmf";
      } else {
        finding.fix.value = FixValue{.vmid = vm.vmid, .key = "efidisk", .value = "1"};
        key = "efidisk";
        value = "true";
      }
    }
    publish(std::move(finding), key.find(' ') == std::string::npos ? key : "", value);
  }
}

void Auditor::guest_pending(const GuestContext& guest) {
  const LiveVm& vm = *guest.vm;
  if (vm.power == PowerState::kStopped) return;
  PendingFacts facts{.name = vm.name, .keys = {}};
  for (const auto& [key, option] : vm.options)
    if (option.has_pending()) facts.keys.push_back(key);
  for (const LiveDrive& drive : vm.drives)
    if (drive.has_pending()) facts.keys.push_back(to_text(drive.slot));
  for (AuditFinding& finding : judge(pending_checks(), facts, fmt::format("vm/{}", vm.vmid.number))) {
    finding.name = vm.name;
    finding.node = vm.node;
    finding.fix.commands = {fmt::format("qm reboot {}", vm.vmid.number)};
    finding.fix.effect = FixEffect::kRestart;
    add(std::move(finding));
  }
}

}  // namespace pvr
