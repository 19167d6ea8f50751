#include "reconciler/engine/adopt.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <utility>

#include "reconciler/engine/shared_roles.h"
#include "reconciler/model/facts.h"
#include "reconciler/model/guest_options.h"
#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"
#include "reconciler/planning/diff.h"
#include "reconciler/planning/diff_hosts.h"
#include "reconciler/resolve/resolve.h"

namespace pvr {
namespace {

constexpr std::string_view kShared = "shared";
constexpr std::string_view kPinned = "pinned";

Spanned<OptionValue> said(OptionValue value) { return {std::move(value), {}}; }
Spanned<std::string> word(std::string_view text) { return {std::string(text), {}}; }

/// A data disk on a storage: what a fleet can describe.
bool is_managed_disk(const LiveDrive& drive) { return is_data_disk(drive) && drive.configured()->volume; }

std::string_view text_of(const OptionValue& value) {
  const auto* text = std::get_if<std::string>(&value);
  return text != nullptr ? std::string_view(*text) : std::string_view{};
}

/// What a person may call a guest: DNS labels, as the fleet language asks for.
bool is_guest_name(std::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  while (true) {
    const std::string_view label = name.substr(0, name.find('.'));
    const bool good = !label.empty() && label.size() <= 63 && label.front() != '-' && label.back() != '-' &&
                      std::ranges::all_of(label, [](char c) {
                        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
                      });
    if (!good) return false;
    if (label.size() == name.size()) return true;
    name.remove_prefix(label.size() + 1);
  }
}

struct Trial {
  WrittenVm vm = {};
  std::size_t stated = 0;  // values that had to be stated or left alone
  bool good = false;
  std::string problem = {};
};

class Adopter {
 public:
  Adopter(const FleetDocument& base, const LiveState& live, const AuditReport& report, const AdoptOptions& options)
      : live_(live), report_(report), options_(options) {
    out_.document.roles = base.roles;
    facts_ = gather_facts(FleetDocument{}, &live);
  }

  Adopted run(const FleetDocument& base) {
    infer();
    if (options_.only) return run_alone(base);
    choose_lanes();
    for (const LiveVm& vm : live_.vms) adopt_guest(vm);
    adopt_storages();
    out_.document.storages = storages_;
    drop_what_still_differs();
    for (const AuditFinding& finding : report_.findings) {
      const auto& value = finding.fix.value;
      if (value && !value->node.empty())
        out_.choices.push_back({.node = value->node,
                                .part = value->part,
                                .key = value->key,
                                .finding = finding.id,
                                .text = told(finding)});
    }
    if (options_.improve || !options_.fix.empty()) improve();
    out_.remarks.merge(share_settings(out_.document));
    std::ranges::sort(out_.document.vms, {}, &WrittenVm::name);
    std::ranges::sort(out_.document.storages, {}, &WrittenStorage::id);
    std::ranges::sort(out_.document.lanes, {}, &WrittenLane::name);
    std::ranges::sort(out_.document.hosts, {}, &WrittenHost::node);
    for (WrittenHost& host : out_.document.hosts) std::ranges::sort(host.parts, {}, &WrittenHostPart::name);
    return std::move(out_);
  }

 private:
  struct Inferred {
    bool pinned = false;
    bool windows = false;
    std::string why = {};
  };

  Adopted run_alone(const FleetDocument& base) {
    out_.document.lanes = base.lanes;
    out_.document.storages = base.storages;
    out_.document.pools = base.pools;
    if (const LiveVm* vm = live_.vm(*options_.only)) adopt_guest(*vm);
    drop_what_still_differs();
    return std::move(out_);
  }

  [[nodiscard]] bool is_shared(const std::string& storage) const {
    const auto at = facts_.storages.find(storage);
    return at != facts_.storages.end() && at->second.shared;
  }

  void infer() {
    for (const LiveVm& vm : live_.vms) {
      if (vm.is_container || !vm.readable) continue;
      Inferred& found = inferred_[vm.vmid];
      found.windows = os_of_type(option_text(vm, "ostype"), GuestOs::kOther) == GuestOs::kWindows;
      const auto ha = facts_.vm_ha.find(vm.vmid.number);
      std::string local;
      bool device = false;
      for (const auto& [key, option] : vm.options)
        device = device || (is_numbered(key, "hostpci") && option.configured() != nullptr);
      for (const LiveDrive& drive : vm.drives) {
        const Drive* held = drive.configured();
        if (held != nullptr && !held->volume && held->path.starts_with("/dev/")) device = true;
        if (is_managed_disk(drive) && !is_shared(held->volume->storage) && local.empty()) local = held->volume->storage;
      }
      if (ha != facts_.vm_ha.end() && ha->second) {
        found.why = "can move: managed by HA";
      } else if (device) {
        found.pinned = true;
        found.why = "tied to its node: passes a device of it through";
      } else if (!local.empty()) {
        found.pinned = true;
        found.why = fmt::format("tied to its node: storage {} is local", local);
      } else {
        found.why = "can move: all its disks are on shared storage";
      }
    }
  }

  /// A lane's storage is the one most disks of its guests are on: each of those then needs no word about it.
  void choose_lanes() {
    std::map<std::string, std::size_t> shared;
    std::map<std::string, std::map<std::string, std::size_t>> pinned;  // by node
    for (const LiveVm& vm : live_.vms) {
      const auto at = inferred_.find(vm.vmid);
      if (at == inferred_.end() || vm.is_template) continue;
      for (const LiveDrive& drive : vm.drives) {
        if (!is_managed_disk(drive)) continue;
        const std::string& storage = drive.configured()->volume->storage;
        if (at->second.pinned)
          ++pinned[vm.node][storage];
        else
          ++shared[storage];
      }
    }
    const auto most = [](const std::map<std::string, std::size_t>& counts) {
      return std::ranges::max_element(counts, {}, [](const auto& entry) { return entry.second; })->first;
    };
    if (!shared.empty()) {
      WrittenLane lane{.name = std::string(kShared), .mobility = Mobility::kMobile};
      lane.storage = word(most(shared));
      used_.insert(lane.storage->value);
      out_.document.lanes.push_back(std::move(lane));
    }
    if (!pinned.empty()) {
      WrittenLane lane{.name = std::string(kPinned), .mobility = Mobility::kPinned};
      for (const auto& [node, counts] : pinned) {
        lane.per_node.set(node, word(most(counts)));
        used_.insert(most(counts));
      }
      out_.document.lanes.push_back(std::move(lane));
    }
    std::ranges::sort(out_.document.lanes, {}, &WrittenLane::name);
  }

  [[nodiscard]] std::string lane_storage(std::string_view lane, const std::string& node) const {
    for (const WrittenLane& one : out_.document.lanes) {
      if (one.name != lane) continue;
      if (const auto* here = one.per_node.find(node)) return here->value;
      return one.storage ? one.storage->value : std::string();
    }
    return {};
  }

  [[nodiscard]] std::string_view lane_of_role(std::string_view role) const {
    const auto at = std::ranges::find(out_.document.roles, role, &WrittenRole::name);
    return at != out_.document.roles.end() && at->lane ? std::string_view(at->lane->value) : std::string_view{};
  }

  [[nodiscard]] std::string name_of(const LiveVm& vm) {
    std::string name = is_guest_name(vm.name) ? vm.name : fmt::format("vm-{}", vm.vmid.number);
    if (names_.contains(name)) name += fmt::format("-{}", vm.vmid.number);
    return name;
  }

  // ---- one guest ----
  [[nodiscard]] WrittenVm skeleton(const LiveVm& vm, const std::string& name, std::string_view role,
                                   std::string_view lane) const {
    WrittenVm out{.name = name, .vmid = {vm.vmid, {}}};
    if (!role.empty()) out.role = word(role);
    const bool pinned = inferred_.at(vm.vmid).pinned;
    const std::string_view wanted = lane.empty() ? lane_of_role(role) : lane;
    if (!lane.empty()) out.lane = word(lane);
    if (pinned) out.node = word(vm.node);
    const auto ha = facts_.vm_ha.find(vm.vmid.number);
    if (ha != facts_.vm_ha.end() && ha->second) out.ha = WrittenHa{};
    const auto take = [&](std::string_view key) {
      const std::string_view text = option_text(vm, key);
      const Setting* setting = find_setting(Home::kVmOption, key);
      if (text.empty() || setting == nullptr) return;
      if (const Result<OptionValue> value = parse_option(*setting, text)) out.options.set(key, said(*value));
    };
    take("sockets");
    take("cores");
    take("memory");
    for (const auto& [key, option] : vm.options) {
      // Only a mapping can be written with a token; an address is for root@pam alone.
      if (is_numbered(key, "hostpci") && option_text(vm, key).find("mapping=") != std::string_view::npos) take(key);
    }
    std::string_view order = option_text(vm, "boot");
    if (const auto at = order.find("order="); at != std::string_view::npos) order.remove_prefix(at + 6);
    bool has_root = false;
    const std::string home = wanted.empty() ? std::string() : lane_storage(wanted, vm.node);
    for (const LiveDrive& drive : vm.drives) {
      const Drive* held = drive.configured();
      if (held == nullptr || !held->volume) continue;
      WrittenDisk disk;
      const std::string slot = to_text(drive.slot);
      if (drive.slot.bus == Bus::kEfi) {
        disk.name = "efidisk";
      } else if (drive.slot.bus == Bus::kTpm) {
        const OptionValue* version = held->options.find("version");
        if (version == nullptr || text_of(*version) != "v2.0") continue;
        disk.name = "tpm";
        disk.settings.set("version", said(OptionValue(std::string("v2.0"))));
      } else if (is_managed_disk(drive)) {
        const bool boots = order.empty() ? !has_root : order.substr(0, order.find(';')) == slot;
        disk.name = boots && !has_root ? "root" : slot;
        has_root = has_root || boots;
        if (const auto size = size_of(*held, vm.node); size && size->bytes % 1024 == 0)
          disk.settings.set("size", said(OptionValue(*size)));
      } else {
        continue;
      }
      disk.settings.set("slot", said(OptionValue(slot)));
      if (!wanted.empty() && held->volume->storage != home)
        disk.settings.set("storage", said(OptionValue(held->volume->storage)));
      out.disks.push_back(std::move(disk));
    }
    std::ranges::sort(out.disks, {}, &WrittenDisk::name);
    return out;
  }

  [[nodiscard]] std::optional<ByteSize> size_of(const Drive& drive, const std::string& node) const {
    const auto at = std::ranges::find_if(live_.volumes, [&](const LiveVolume& volume) {
      return volume.id == *drive.volume && (volume.node.empty() || volume.node == node);
    });
    if (at != live_.volumes.end() && at->size) return at->size;
    return drive.size;
  }

  [[nodiscard]] const AuditFinding* finding_of(Vmid vmid, std::optional<DriveSlot> slot, std::string_view key) const {
    const auto at = std::ranges::find_if(report_.findings, [&](const AuditFinding& finding) {
      return finding.fix.value && finding.fix.value->vmid == vmid && finding.fix.value->slot == slot &&
             finding.fix.value->key == key;
    });
    return at == report_.findings.end() ? nullptr : &*at;
  }

  /// The guest's difference, or why there is none to speak of. Only this guest is in the document.
  [[nodiscard]] std::optional<VmDiff> difference(const WrittenVm& vm, std::string& problem, bool& ha_differs) const {
    auto document = std::make_shared<FleetDocument>();
    document->roles = out_.document.roles;
    document->lanes = out_.document.lanes;
    document->storages = out_.document.storages;
    document->pools = out_.document.pools;
    document->vms = {vm};
    const Checked<ResolvedFleet> fleet = resolve(document, gather_facts(*document, &live_));
    for (const Diagnostic& diagnostic : fleet.diagnostics) {
      if (diagnostic.severity != Severity::kError) continue;
      problem = diagnostic.detail.empty() ? diagnostic.summary : diagnostic.detail;
      return std::nullopt;
    }
    Diff found = diff(*fleet.value, live_);
    ha_differs = std::ranges::any_of(found.ha, [](const HaDiff& ha) { return ha.action != HaDiff::Action::kNone; });
    if (found.vms.empty()) return VmDiff{};
    return std::move(found.vms.front());
  }

  /// States or leaves alone what differs, until nothing does.
  [[nodiscard]] Trial attempt(const LiveVm& live, WrittenVm vm) const {
    Trial trial{.vm = std::move(vm)};
    bool unsaid = true;
    constexpr int kRounds = 6;
    for (int round = 0; round < kRounds; ++round) {
      std::string problem;
      bool ha_differs = false;
      const std::optional<VmDiff> found = difference(trial.vm, problem, ha_differs);
      if (!found) {
        // A value that was stated as it is breaks an invariant: then it is left alone.
        if (!unsay(trial)) {
          trial.problem = std::move(problem);
          return trial;
        }
        continue;
      }
      bool differs = options_.only && std::exchange(unsaid, false) && say_the_rest(trial, live, *found);
      if (ha_differs) {
        trial.vm.ha.reset();
        differs = true;
      }
      if (!found->blocked.empty()) {
        trial.problem = found->blocked;
        return trial;
      }
      for (const SettingChange& change : found->options) {
        if (change.state != SettingState::kDiffers) continue;
        differs = true;
        keep_option(trial, live, change);
      }
      for (const DiskDiff& disk : found->disks) differs = keep_disk(trial, live, disk) || differs;
      if (!trial.problem.empty()) return trial;
      if (!differs) {
        trial.good = true;
        return trial;
      }
    }
    trial.problem = "no set of values describes it as it is";
    return trial;
  }

  static void leave(std::vector<Spanned<std::string>>& list, const std::string& key) {
    if (std::ranges::find(list, key, &Spanned<std::string>::value) != list.end()) return;
    list.push_back(word(key));
    std::ranges::sort(list, {}, &Spanned<std::string>::value);
  }

  /// A device that only root@pam may write: of the host, not by a mapping.
  static bool is_of_the_host(std::string_view key, std::string_view text) {
    if (is_numbered(key, "serial")) return text != "socket";
    const bool device = is_numbered(key, "hostpci") || is_numbered(key, "usb");
    return device && text.find("mapping=") == std::string_view::npos;
  }

  /// States the options that neither role nor rule speaks of. Those of cloud-init would make a drive of their own and
  /// are left alone, as is what a token may not write. True: there were any.
  static bool say_the_rest(Trial& trial, const LiveVm& live, const VmDiff& found) {
    static constexpr std::string_view kNot[] = {
        "name",    "template", "smbios1",    "bootdisk", "cdrom",    "autostart", "smp",        "parent",
        "sshkeys", "ciuser",   "cipassword", "citype",   "cicustom", "ciupgrade", "nameserver", "searchdomain"};
    bool any = false;
    for (const auto& [key, option] : live.options) {
      const std::string* text = option.configured();
      const Setting* setting = find_setting(Home::kVmOption, key);
      if (text == nullptr || setting == nullptr || trial.vm.options.contains(key)) continue;
      if (setting->root_only || setting->write_only || setting->server_written || is_numbered(key, "ipconfig"))
        continue;
      if (std::ranges::find(kNot, key) != std::end(kNot) || is_of_the_host(key, *text)) continue;
      if (std::ranges::find(found.options, key, &SettingChange::key) != found.options.end()) continue;
      if (std::ranges::find(trial.vm.leave, key, &Spanned<std::string>::value) != trial.vm.leave.end()) continue;
      const Result<OptionValue> value = parse_option(*setting, *text);
      if (!value || is_absent(*value)) continue;
      trial.vm.options.set(key, said(*value));
      any = true;
    }
    for (WrittenDisk& disk : trial.vm.disks) any = say_the_rest(disk, live, found) || any;
    return any;
  }

  /// The same for the drive options of a disk; those of EFI and TPM disks are fixed when they are made.
  static bool say_the_rest(WrittenDisk& disk, const LiveVm& live, const VmDiff& found) {
    const auto known = std::ranges::find(found.disks, disk.name, &DiskDiff::name);
    if (known == found.disks.end() || !known->live_slot || !is_disk_bus(known->live_slot->bus)) return false;
    const LiveDrive* drive = live.drive(*known->live_slot);
    const Drive* held = drive == nullptr ? nullptr : drive->configured();
    if (held == nullptr) return false;
    bool any = false;
    for (const auto& [key, value] : held->options) {
      const Setting* setting = find_setting(Home::kDriveOption, key);
      if (setting == nullptr || setting->root_only || setting->server_written) continue;
      if (disk.settings.contains(key) ||
          std::ranges::find(known->settings, key, &SettingChange::key) != known->settings.end())
        continue;
      disk.settings.set(key, said(value));
      any = true;
    }
    return any;
  }

  void keep_option(Trial& trial, const LiveVm& live, const SettingChange& change) const {
    const Setting* setting = find_setting(Home::kVmOption, change.key);
    const bool had = trial.vm.options.erase(change.key);
    if (!had) ++trial.stated;
    const bool tolerated = finding_of(live.vmid, std::nullopt, change.key) != nullptr;
    OptionValue value = change.configured;
    if (is_absent(value) && setting != nullptr && !setting->default_text.empty()) {
      if (const Result<OptionValue> read = parse_option(*setting, setting->default_text)) value = *read;
    }
    if (tolerated || had || is_absent(value))
      leave(trial.vm.leave, change.key);
    else
      trial.vm.options.set(change.key, said(std::move(value)));
  }

  bool keep_disk(Trial& trial, const LiveVm& live, const DiskDiff& found) const {
    const auto disk = std::ranges::find(trial.vm.disks, found.name, &WrittenDisk::name);
    if (disk == trial.vm.disks.end()) {
      // One that a rule adds and the guest does not have, whatever volume of the guest could be taken for it.
      if (found.match == DiskMatch::kInPlace) return false;
      const bool small = found.name == "efidisk" || found.name == "tpm";
      if (!small) {
        trial.problem = fmt::format("disk {} is nowhere", found.name);
        return true;
      }
      leave(trial.vm.leave, found.name);
      ++trial.stated;
      return true;
    }
    if (found.match != DiskMatch::kInPlace || !found.blocked.empty()) {
      // Something about this volume cannot be described; the guest is without it.
      trial.vm.disks.erase(disk);
      ++trial.stated;
      return true;
    }
    bool differs = false;
    for (const SettingChange& change : found.settings) {
      if (change.state != SettingState::kDiffers) continue;
      differs = true;
      if (change.key == "storage" || change.key == "format") {
        disk->settings.set(change.key, said(change.configured));
        ++trial.stated;
        continue;
      }
      if (change.key == "size") {
        disk->settings.erase("size");
        continue;
      }
      const bool had = disk->settings.erase(change.key);
      if (!had) ++trial.stated;
      const Setting* setting = find_setting(Home::kDriveOption, change.key);
      const bool tolerated = finding_of(live.vmid, found.desired_slot, change.key) != nullptr;
      OptionValue value = change.configured;
      if (is_absent(value) && setting != nullptr && !setting->default_text.empty()) {
        if (const Result<OptionValue> read = parse_option(*setting, setting->default_text)) value = *read;
      }
      if (tolerated || had || setting == nullptr || is_absent(value))
        leave(disk->leave, change.key);
      else
        disk->settings.set(change.key, said(std::move(value)));
    }
    return differs;
  }

  /// Turns stated drive options and options of the machine into ones that are left alone. False: there were none.
  static bool unsay(Trial& trial) {
    bool any = false;
    for (WrittenDisk& disk : trial.vm.disks) {
      std::vector<std::string> keys;
      for (const auto& [key, value] : disk.settings)
        if (find_setting(Home::kDriveOption, key) != nullptr && key != "version") keys.push_back(key);
      for (const std::string& key : keys) {
        disk.settings.erase(key);
        leave(disk.leave, key);
        any = true;
      }
    }
    for (const char* key : {"scsihw", "cpu", "bios", "machine"}) {
      if (!trial.vm.options.erase(key)) continue;
      leave(trial.vm.leave, key);
      any = true;
    }
    return any;
  }

  void adopt_guest(const LiveVm& vm) {
    if (vm.is_container) return;
    const auto label = [&vm] { return fmt::format("Guest {} ({})", vm.vmid.number, vm.name); };
    if (!vm.readable) return out_.left_out.push_back(fmt::format("{}: {}.", label(), vm.problem));
    if (vm.is_template) return out_.left_out.push_back(fmt::format("{}: a template.", label()));
    const Inferred& inferred = inferred_.at(vm.vmid);
    const std::string name = name_of(vm);
    const std::string_view right_lane = inferred.pinned ? kPinned : kShared;
    std::optional<Trial> best;
    std::string problem;
    const auto consider = [&](std::string_view role, std::string_view lane, std::size_t extra) {
      Trial trial = attempt(vm, skeleton(vm, name, role, lane));
      if (!trial.good) {
        if (problem.empty()) problem = std::move(trial.problem);
        return;
      }
      trial.stated += extra;
      if (!best || trial.stated < best->stated) best = std::move(trial);
    };
    // The likeliest first: of equals it stays.
    const bool specialty = inferred.pinned;
    for (const bool special : {specialty, !specialty}) {
      const std::string role =
          fmt::format("{}-{}", special ? "specialty" : "generalized", inferred.windows ? "windows" : "linux");
      const bool fits = lane_of_role(role) == right_lane;
      consider(role, fits ? std::string_view{} : right_lane, fits ? 0 : 1);
    }
    constexpr std::size_t kNoRole = 8;  // a guest without a role says nothing about what it is for
    consider("", "", kNoRole);
    if (!best) return out_.left_out.push_back(fmt::format("{}: {}", label(), problem));
    names_.insert(name);
    out_.remarks[fmt::format("vm/{}", name)] = inferred.why;
    for (const LiveDrive& drive : vm.drives)
      if (is_managed_disk(drive)) used_.insert(drive.configured()->volume->storage);
    for (const WrittenDisk& disk : best->vm.disks)
      if (const auto* storage = disk.settings.find("storage")) used_.emplace(text_of(storage->value));
    collect_choices(vm, best->vm);
    out_.document.vms.push_back(std::move(best->vm));
  }

  static std::string told(const AuditFinding& finding) {
    const std::string_view severity = finding.severity == Severity::kError     ? "error"
                                      : finding.severity == Severity::kWarning ? "warning"
                                                                               : "notice";
    return fmt::format("{}, {}: {}", finding.rule, severity, finding.what);
  }

  void collect_choices(const LiveVm& live, const WrittenVm& vm) {
    for (const Spanned<std::string>& key : vm.leave) {
      if (const AuditFinding* finding = finding_of(live.vmid, std::nullopt, key.value))
        out_.choices.push_back({.vm = vm.name, .key = key.value, .finding = finding->id, .text = told(*finding)});
    }
    for (const WrittenDisk& disk : vm.disks) {
      const auto* slot_text = disk.settings.find("slot");
      const std::optional<DriveSlot> slot = parse_slot(text_of(slot_text->value));
      for (const Spanned<std::string>& key : disk.leave) {
        if (const AuditFinding* finding = finding_of(live.vmid, slot, key.value))
          out_.choices.push_back(
              {.vm = vm.name, .disk = disk.name, .key = key.value, .finding = finding->id, .text = told(*finding)});
      }
      if (const AuditFinding* finding = finding_of(live.vmid, slot, "storage")) {
        const LiveDrive* drive = slot ? live.drive(*slot) : nullptr;
        out_.choices.push_back({.vm = vm.name,
                                .disk = disk.name,
                                .key = "storage",
                                .was = drive != nullptr ? drive->configured()->volume->storage : std::string(),
                                .finding = finding->id,
                                .text = told(*finding)});
      }
    }
    for (const char* small : {"efidisk", "tpm"}) {
      const AuditFinding* finding = finding_of(live.vmid, std::nullopt, small);
      const bool told_already = std::ranges::find(vm.leave, small, &Spanned<std::string>::value) != vm.leave.end();
      if (finding != nullptr && !told_already)
        out_.choices.push_back({.vm = vm.name, .key = small, .finding = finding->id, .text = told(*finding)});
    }
  }

  // ---- storages ----
  void adopt_storages() {
    for (const std::string& id : used_) {
      const LiveStorage* live = live_.storage(id);
      if (live == nullptr) continue;
      WrittenStorage storage{.id = id, .type = word(live->type)};
      const auto take = [&](std::string_view key) {
        const std::string* text = live->properties.find(key);
        const Setting* setting = find_setting(Home::kStorageOption, key);
        if (text == nullptr || setting == nullptr) return;
        if (const Result<OptionValue> value = parse_option(*setting, *text)) storage.properties.set(key, said(*value));
      };
      const bool zfs = live->type == "zfspool";
      const bool lvm = live->type == "lvm" || live->type == "lvmthin";
      for (const char* key : {"pool", "vgname", "thinpool", "shared", "snapshot-as-volume-chain", "nodes"})
        if (zfs || lvm) take(key);
      if (zfs && !same_as_live(storage, *live)) {
        take("blocksize");
        const std::string* sparse = live->properties.find("sparse");
        if (sparse == nullptr || *sparse != "1") storage.properties.set("sparse", said(OptionValue(false)));
      }
      if ((!zfs && !lvm) || !same_as_live(storage, *live)) {
        storage = WrittenStorage{.id = id, .type = word(live->type), .reference_only = true};
        out_.remarks["storage/" + id] =
            live->type == "dir" ? "what lies below is not known and counts as ZFS; state backing:" : "left as it is";
      } else if (storage.properties.contains("sparse")) {
        for (const AuditFinding& finding : report_.findings) {
          if (finding.fix.value && finding.fix.value->storage == id && finding.fix.value->key == "sparse")
            out_.choices.push_back({.storage = id, .key = "sparse", .finding = finding.id, .text = told(finding)});
        }
      }
      storages_.push_back(std::move(storage));
    }
  }

  [[nodiscard]] bool same_as_live(const WrittenStorage& storage, const LiveStorage& live) const {
    auto document = std::make_shared<FleetDocument>();
    document->roles = out_.document.roles;
    document->storages = {storage};
    const Checked<ResolvedFleet> fleet = resolve(document, gather_facts(*document, &live_));
    if (has_errors(fleet.diagnostics)) return false;
    const Diff found = diff(*fleet.value, live_);
    return std::ranges::none_of(found.storages, [&](const StorageDiff& one) {
      return one.address.name == live.id && (one.missing || !one.fixed.empty() || !one.properties.empty());
    });
  }

  /// Together the parts may say something they do not say alone. What then still differs goes.
  void drop_what_still_differs() {
    const auto document = std::make_shared<FleetDocument>(out_.document);
    const Checked<ResolvedFleet> fleet = resolve(document, gather_facts(*document, &live_));
    if (has_errors(fleet.diagnostics)) {
      for (const Diagnostic& diagnostic : fleet.diagnostics)
        if (diagnostic.severity == Severity::kError) out_.left_out.push_back(diagnostic.detail);
      // Without the storages every part has been tried.
      out_.document.storages.clear();
      return;
    }
    const Diff found = diff(*fleet.value, live_);
    for (const VmDiff& vm : found.vms) {
      const bool differs = !vm.blocked.empty() || std::ranges::any_of(vm.options, [](const SettingChange& c) {
        return c.state == SettingState::kDiffers;
      }) || std::ranges::any_of(vm.disks, [](const DiskDiff& disk) {
        return disk.match != DiskMatch::kInPlace || !disk.blocked.empty() || disk.move_to || disk.grow_to ||
               std::ranges::any_of(disk.settings,
                                   [](const SettingChange& c) { return c.state == SettingState::kDiffers; });
      });
      if (!differs) continue;
      std::erase_if(out_.document.vms, [&](const WrittenVm& one) { return one.name == vm.address.name; });
      std::erase_if(out_.choices, [&](const AdoptChoice& one) { return one.vm == vm.address.name; });
      out_.left_out.push_back(
          fmt::format("Guest {} ({}): no set of values describes it as it is.", vm.vmid.number, vm.address.name));
    }
  }

  [[nodiscard]] std::string root_storage(Vmid vmid) const {
    const LiveVm* vm = live_.vm(vmid);
    if (vm == nullptr) return {};
    const auto disk = std::ranges::find_if(vm->drives, is_managed_disk);
    return disk == vm->drives.end() ? std::string() : disk->configured()->volume->storage;
  }

  // ---- fixes ----
  void improve() {
    for (AdoptChoice& choice : out_.choices) {
      choice.taken = options_.improve || options_.fix.contains(choice.finding);
      if (!choice.taken) continue;
      if (!choice.node.empty()) {
        set_on_host(choice);
        continue;
      }
      if (!choice.storage.empty()) {
        const auto storage = std::ranges::find(out_.document.storages, choice.storage, &WrittenStorage::id);
        if (storage != out_.document.storages.end()) storage->properties.erase(choice.key);
        continue;
      }
      const auto vm = std::ranges::find(out_.document.vms, choice.vm, &WrittenVm::name);
      if (vm == out_.document.vms.end()) continue;
      const auto forget = [&choice](std::vector<Spanned<std::string>>& list) {
        return std::erase_if(list, [&](const Spanned<std::string>& key) { return key.value == choice.key; }) != 0;
      };
      if (choice.disk.empty()) {
        const bool was_left = forget(vm->leave);
        if (!was_left || choice.key == "efidisk" || choice.key == "tpm")
          add_small(*vm, choice.key, root_storage(vm->vmid.value));
        continue;
      }
      const auto disk = std::ranges::find(vm->disks, choice.disk, &WrittenDisk::name);
      if (disk == vm->disks.end()) continue;
      if (choice.key == "storage") {
        const auto finding = std::ranges::find(report_.findings, choice.finding, &AuditFinding::id);
        disk->settings.set("storage", said(OptionValue(finding->fix.value->value)));
        const bool known = std::ranges::find(out_.document.storages, finding->fix.value->value, &WrittenStorage::id) !=
                           out_.document.storages.end();
        if (!known) {
          const LiveStorage* live = live_.storage(finding->fix.value->value);
          out_.document.storages.push_back(
              {.id = finding->fix.value->value, .type = word(live->type), .reference_only = true});
        }
      } else {
        forget(disk->leave);
      }
    }
  }

  // Nothing about a node is stated but what a fix changes, and what a rule would change along with it.
  void set_on_host(const AdoptChoice& choice) {
    const LiveHost* live = live_.host(choice.node);
    const auto finding = std::ranges::find(report_.findings, choice.finding, &AuditFinding::id);
    if (live == nullptr || finding == report_.findings.end()) return;
    const auto state = [](WrittenSettings& settings, Home home, std::string_view key, std::string_view text) {
      const Setting* setting = find_setting(home, key);
      if (setting == nullptr) return;
      if (const Result<OptionValue> value = parse_option(*setting, text)) settings.set(key, said(*value));
    };
    auto host = std::ranges::find(out_.document.hosts, choice.node, &WrittenHost::node);
    if (host == out_.document.hosts.end()) {
      out_.document.hosts.push_back({.node = choice.node});
      host = std::prev(out_.document.hosts.end());
    }
    if (choice.part.empty()) {
      state(host->settings, Home::kHostOption, choice.key, finding->fix.value->value);
      if (choice.key == "arc_min" && !host->settings.contains("arc_max") && live->arc_max)
        host->settings.set("arc_max", said(OptionValue(*live->arc_max)));
      return;
    }
    auto part = std::ranges::find(host->parts, choice.part, &WrittenHostPart::name);
    if (part == host->parts.end()) {
      WrittenHostPart made{.name = choice.part, .is_pool = choice.part.find('/') == std::string::npos};
      if (made.is_pool) {
        if (const LiveDataset* root = live->dataset(choice.part))
          for (const std::string_view key : {"atime", "xattr", "dnodesize"})
            state(made.settings, Home::kDatasetProperty, key, root->text(key));
        state(made.settings, Home::kPoolProperty, "trim", trim_timers_of(*live, choice.part));
      }
      host->parts.push_back(std::move(made));
      part = std::prev(host->parts.end());
    }
    const Home home =
        find_setting(Home::kPoolProperty, choice.key) != nullptr ? Home::kPoolProperty : Home::kDatasetProperty;
    state(part->settings, home, choice.key, finding->fix.value->value);
  }

  static void add_small(WrittenVm& vm, const std::string& key, const std::string& storage) {
    if (key != "efidisk" && key != "tpm") return;
    if (std::ranges::find(vm.disks, key, &WrittenDisk::name) != vm.disks.end()) return;
    WrittenDisk disk{.name = key};
    disk.settings.set("slot", said(OptionValue(std::string(key == "tpm" ? "tpmstate0" : "efidisk0"))));
    // Without a lane somebody must say where it goes: next to the disk the guest boots from.
    if (!vm.role && !vm.lane && !storage.empty()) disk.settings.set("storage", said(OptionValue(storage)));
    if (key == "tpm") disk.settings.set("version", said(OptionValue(std::string("v2.0"))));
    vm.disks.push_back(std::move(disk));
    std::ranges::sort(vm.disks, {}, &WrittenDisk::name);
  }

  const LiveState& live_;
  const AuditReport& report_;
  const AdoptOptions& options_;
  Facts facts_ = {};
  Adopted out_ = {};
  std::map<Vmid, Inferred> inferred_ = {};
  std::set<std::string> used_ = {};
  std::set<std::string> names_ = {};
  std::vector<WrittenStorage> storages_ = {};
};

}  // namespace

Adopted adopt(const FleetDocument& base, const LiveState& live, const AuditReport& report,
              const AdoptOptions& options) {
  return Adopter(base, live, report, options).run(base);
}

}  // namespace pvr
