#include "schema/fleet_checks.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/model/drive.h"
#include "reconciler/model/settings.h"
#include "schema/field_table.h"

namespace pvr {
namespace {

using Names = std::vector<std::string_view>;

std::string text_of(const WrittenSettings& settings, std::string_view key) {
  const auto* found = settings.find(key);
  const auto* text = found == nullptr ? nullptr : std::get_if<std::string>(&found->value);
  return text == nullptr ? std::string() : *text;
}

std::string_view bus_word(std::string_view slot) { return slot.substr(0, slot.find_first_of("0123456789")); }

const WrittenDisk* find_disk(const std::vector<WrittenDisk>& disks, std::string_view name) {
  auto at = std::ranges::lower_bound(disks, name, {}, [](const WrittenDisk& d) { return std::string_view(d.name); });
  return at != disks.end() && at->name == name ? &*at : nullptr;
}

bool is_device(const OptionValue& drive) {
  const auto* text = std::get_if<std::string>(&drive);
  return text != nullptr && text->starts_with("/dev/");
}

class Checker {
 public:
  Checker(const FleetDocument& document, Diagnostics& out) : doc_(document), out_(out) {
    for (const WrittenRole& role : doc_.roles) role_index_.emplace(role.name, &role);
    for (const WrittenLane& lane : doc_.lanes) lane_index_.emplace(lane.name, &lane);
    for (const WrittenStorage& storage : doc_.storages) {
      storage_index_.emplace(storage.id, &storage);
      for (const WrittenClass& made : storage.classes)
        classes_.push_back(made.id ? made.id->value : storage.id + "-" + made.name);
    }
  }

  void run() {
    storages();
    for (const WrittenLane& lane : doc_.lanes) lane_storages(lane);
    roles();
    vmids();
    for (const WrittenVm& vm : doc_.vms) check(vm);
    shared_hardware();
  }

 private:
  void error(SourceSpan span, std::string code, std::string summary, std::string detail, std::vector<Note> notes = {}) {
    out_.push_back({Severity::kError, std::move(code), std::move(summary), std::move(detail), span, std::move(notes)});
  }

  template <class Index>
  static Names names_of(const Index& index) {
    Names names;
    for (const auto& entry : index) names.push_back(entry.first);
    return names;
  }

  void storages() {
    std::map<std::string, SourceSpan, std::less<>> ids;
    std::map<std::string, SourceSpan, std::less<>> datasets;
    for (const WrittenStorage& storage : doc_.storages) ids.emplace(storage.id, storage.span);
    for (const WrittenStorage& storage : doc_.storages) {
      std::string pool = text_of(storage.properties, "pool");
      for (const WrittenClass& made : storage.classes) {
        std::string id = made.id ? made.id->value : storage.id + "-" + made.name;
        auto [at, added] = ids.try_emplace(id, made.span);
        if (!added) {
          error(made.span, "schema.name.duplicate", "Given twice",
                fmt::format("The storage id of this class is \"{}\", which is taken.", id),
                {{"The other one is here.", at->second}});
        }
        std::string dataset = made.pool ? made.pool->value : pool + "/" + made.name;
        if (!pool.empty() && dataset == pool) {
          error(made.span, "schema.storage.dataset", "Two storages on one dataset",
                fmt::format("A class needs a dataset of its own; \"{}\" is that of the storage itself.", dataset), {});
        }
        auto [place, fresh] = datasets.try_emplace(dataset, made.span);
        if (!pool.empty() && !fresh) {
          error(made.span, "schema.storage.dataset", "Two storages on one dataset",
                fmt::format("Both lie on \"{}\".", dataset), {{"The other one is here.", place->second}});
        }
      }
    }
  }

  void lane_storages(const WrittenLane& lane) {
    auto one = [&](const Spanned<std::string>& storage, std::string_view node) {
      if (!storage_known(storage, "lane", lane.name)) return;
      if (!node.empty()) storage_on_node(storage, node, lane.span, "This lane names it.");
    };
    if (lane.storage) one(*lane.storage, "");
    for (const auto& [node, storage] : lane.per_node) one(storage, node);
  }

  /// A fleet that declares storages must declare those it refers to; without any there is nothing to compare with.
  bool storage_known(const Spanned<std::string>& storage, std::string_view what, std::string_view name) {
    if (doc_.storages.empty() || storage_index_.contains(storage.value)) return true;
    if (std::ranges::find(classes_, storage.value) != classes_.end()) return true;
    Names known = names_of(storage_index_);
    known.insert(known.end(), classes_.begin(), classes_.end());
    error(storage.span, "schema.reference.unknown", "Unknown storage",
          fmt::format("\"{}\", named by {} \"{}\", is not under \"storages:\".{} A storage that the fleet only refers "
                      "to is declared with "
                      "\"manage: false\".",
                      storage.value, what, name, did_you_mean(storage.value, known)));
    return false;
  }

  void storage_on_node(const Spanned<std::string>& storage, std::string_view node, SourceSpan why,
                       std::string_view note) {
    auto at = storage_index_.find(storage.value);
    if (at == storage_index_.end()) return;
    const auto* nodes = at->second->properties.find("nodes");
    const auto* list = nodes == nullptr ? nullptr : std::get_if<StringList>(&nodes->value);
    if (list == nullptr || std::ranges::find(*list, node) != list->end()) return;
    error(storage.span, "schema.storage.node", "The storage is not on this node",
          fmt::format("\"{}\" is restricted to {}, which leaves out {}.", storage.value, fmt::join(*list, ", "), node),
          {{std::string(note), why}, {"The restriction is here.", nodes->span}});
  }

  void roles() {
    for (const WrittenRole& role : doc_.roles) {
      if (role.extends && !role_index_.contains(role.extends->value)) {
        unknown_role(*role.extends);
      }
      if (role.lane) lane_known(*role.lane);
      for (const WrittenDisk& disk : role.disks) disk_options(disk, text_of(disk.settings, "slot"));
      for (const WrittenDisk& disk : role.disks) disk_storage(disk, "role", role.name);
      if (const auto* storage = role.disk_defaults.find("storage")) {
        storage_known({std::get<std::string>(storage->value), storage->span}, "role", role.name);
      }
      cycle(role);
    }
  }

  void cycle(const WrittenRole& role) {
    std::vector<const WrittenRole*> members{&role};
    for (const WrittenRole* at = &role;;) {
      if (!at->extends) return;
      auto next = role_index_.find(at->extends->value);
      if (next == role_index_.end()) return;
      at = next->second;
      if (at == &role) break;
      // Met twice without coming home: the role leads into a cycle and is not part of it.
      if (std::ranges::find(members, at) != members.end()) return;
      members.push_back(at);
    }
    // Told once, at the member whose name sorts first.
    if (std::ranges::any_of(members, [&](const WrittenRole* r) { return r->name < role.name; })) return;
    Names names;
    for (const WrittenRole* member : members) names.push_back(member->name);
    names.push_back(role.name);
    error(role.extends->span, "schema.role.cycle", "Roles extend each other",
          fmt::format("{}: a role cannot be based on itself.", fmt::join(names, " extends ")));
  }

  void unknown_role(const Spanned<std::string>& name) {
    Names known = names_of(role_index_);
    error(name.span, "schema.reference.unknown", "Unknown role",
          fmt::format("There is no role \"{}\".{} Known: {}{}.", name.value, did_you_mean(name.value, known),
                      fmt::join(std::span(known).first(std::min<std::size_t>(known.size(), 12)), ", "),
                      known.size() > 12 ? ", …" : ""));
  }

  void lane_known(const Spanned<std::string>& lane) {
    if (lane.value == "shared" || lane.value == "pinned" || lane_index_.contains(lane.value)) return;
    Names known = names_of(lane_index_);
    for (std::string_view name : {"shared", "pinned"}) {
      if (std::ranges::find(known, name) == known.end()) known.push_back(name);
    }
    error(lane.span, "schema.reference.unknown", "Unknown lane",
          fmt::format("There is no lane \"{}\".{}", lane.value, did_you_mean(lane.value, known)));
  }

  void vmids() {
    std::map<std::uint32_t, const WrittenVm*> seen;
    for (const WrittenVm& vm : doc_.vms) {
      if (vm.vmid.value.number == 0) continue;  // said by the reader
      auto [at, added] = seen.try_emplace(vm.vmid.value.number, &vm);
      if (added) continue;
      const WrittenVm* first = at->second;
      const WrittenVm* second = &vm;
      auto key = [](const WrittenVm* v) { return std::pair(v->vmid.span.file, v->vmid.span.line); };
      if (key(second) < key(first)) std::swap(first, second);
      error(second->vmid.span, "schema.vmid.duplicate", "vmid given twice",
            fmt::format("\"{}\" and \"{}\" both have vmid {}.", first->name, second->name, vm.vmid.value.number),
            {{fmt::format("\"{}\" has it here.", first->name), first->vmid.span}});
    }
  }

  std::vector<const WrittenRole*> chain(const WrittenVm& vm) const {
    std::vector<const WrittenRole*> out;
    if (!vm.role) return out;
    for (auto at = role_index_.find(vm.role->value); at != role_index_.end();) {
      if (std::ranges::find(out, at->second) != out.end()) break;
      out.push_back(at->second);
      if (!at->second->extends) break;
      at = role_index_.find(at->second->extends->value);
    }
    return out;
  }

  /// Two guests cannot have one device of a node, and should not have one network address.
  void shared_hardware() {
    struct Holder {
      std::string_view vm = {};
      std::string_view node = {};
      SourceSpan span = {};
    };
    std::map<std::string, std::vector<Holder>, std::less<>> devices;
    std::map<std::string, Holder, std::less<>> addresses;
    for (const WrittenVm& vm : doc_.vms) {
      if (vm.state.value == VmState::kAbsent) continue;
      std::string_view node = vm.node ? std::string_view(vm.node->value) : std::string_view();
      for (const auto& [key, value] : vm.options) {
        if (parse_slot(key) && is_device(value.value)) {
          const std::string& text = std::get<std::string>(value.value);
          std::string path = text.substr(0, text.find(','));
          std::vector<Holder>& holders = devices[path];
          auto same = std::ranges::find_if(
              holders, [&](const Holder& h) { return node.empty() || h.node.empty() || node == h.node; });
          if (same != holders.end()) {
            error(value.span, "schema.device.shared", "One device for two disks",
                  fmt::format("\"{}\" is given to \"{}\" and to \"{}\".", path, same->vm, vm.name),
                  {{"The other one is here.", same->span}});
          }
          holders.push_back({vm.name, node, value.span});
        }
        const auto* net = key.starts_with("net") ? std::get_if<PropertyString>(&value.value) : nullptr;
        const std::string* address = net == nullptr ? nullptr : net->find("macaddr");
        if (address == nullptr) continue;
        auto [at, added] = addresses.try_emplace(*address, Holder{vm.name, node, value.span});
        if (added) continue;
        out_.push_back({Severity::kWarning,
                        "schema.mac.shared",
                        "One MAC address for two nets",
                        fmt::format("\"{}\" and \"{}\" both have {}.", at->second.vm, vm.name, *address),
                        value.span,
                        {{"The other one is here.", at->second.span}}});
      }
    }
  }

  void check(const WrittenVm& vm) {
    std::vector<const WrittenRole*> roles = chain(vm);
    if (vm.role && roles.empty()) unknown_role(*vm.role);
    if (vm.lane) lane_known(*vm.lane);
    if (vm.pool) pool_known(*vm.pool);
    if (vm.node) lane_on_node(vm, roles);
    disks(vm, roles);
    cloning(vm, roles);
    availability(vm, roles);
    left_alone(vm.leave, vm.options, vm.name);
    for (const WrittenDisk& disk : vm.disks) left_alone(disk.leave, disk.settings, disk.name);
    for (const WrittenReplication& job : vm.replication) {
      if (vm.node && job.target == vm.node->value) {
        error(job.span, "schema.replication.target", "Replication to itself",
              fmt::format("\"{}\" is the node the VM belongs to; replicate to another one.", job.target),
              {{"The node is here.", vm.node->span}});
      }
    }
  }

  void pool_known(const Spanned<std::string>& pool) {
    auto by_id = [](const WrittenPool& p) { return std::string_view(p.id); };
    if (doc_.pools.empty() || std::ranges::find(doc_.pools, pool.value, by_id) != doc_.pools.end()) return;
    Names known;
    for (const WrittenPool& other : doc_.pools) known.push_back(other.id);
    error(pool.span, "schema.reference.unknown", "Unknown pool",
          fmt::format("\"{}\" is not under \"pools:\".{}", pool.value, did_you_mean(pool.value, known)));
  }

  void lane_on_node(const WrittenVm& vm, const std::vector<const WrittenRole*>& roles) {
    const Spanned<std::string>* lane = vm.lane ? &*vm.lane : nullptr;
    for (const WrittenRole* role : roles) {
      if (lane == nullptr && role->lane) lane = &*role->lane;
    }
    if (lane == nullptr) return;
    auto at = lane_index_.find(lane->value);
    if (at == lane_index_.end() || !at->second->storage || at->second->per_node.contains(vm.node->value)) return;
    // Said at the VM: the lane may be right for others.
    auto storage = storage_index_.find(at->second->storage->value);
    if (storage == storage_index_.end()) return;
    bool relies =
        std::ranges::any_of(vm.disks, [&](const WrittenDisk& disk) { return !disk_storage_of(vm, roles, disk); });
    if (!relies) return;
    Spanned<std::string> here{at->second->storage->value, vm.node->span};
    storage_on_node(here, vm.node->value, at->second->span, "The lane of this VM names the storage.");
  }

  static std::optional<Spanned<std::string>> disk_storage_of(const WrittenVm& vm,
                                                             const std::vector<const WrittenRole*>& roles,
                                                             const WrittenDisk& disk) {
    auto from = [](const WrittenSettings& settings) -> std::optional<Spanned<std::string>> {
      const auto* found = settings.find("storage");
      if (found == nullptr) return std::nullopt;
      return Spanned<std::string>{std::get<std::string>(found->value), found->span};
    };
    if (auto storage = from(disk.settings)) return storage;
    if (auto storage = from(vm.disk_defaults)) return storage;
    for (const WrittenRole* role : roles) {
      const WrittenDisk* other = find_disk(role->disks, disk.name);
      if (other != nullptr) {
        if (auto storage = from(other->settings)) return storage;
      }
      if (auto storage = from(role->disk_defaults)) return storage;
    }
    return std::nullopt;
  }

  struct Slot {
    std::string slot = {};
    SourceSpan span = {};
  };

  static std::optional<Slot> slot_of(const WrittenDisk& disk, const std::vector<const WrittenRole*>& roles) {
    auto from = [](const WrittenDisk& d) -> std::optional<Slot> {
      const auto* found = d.settings.find("slot");
      if (found == nullptr) return std::nullopt;
      return Slot{std::get<std::string>(found->value), found->span};
    };
    if (auto slot = from(disk)) return slot;
    for (const WrittenRole* role : roles) {
      if (const WrittenDisk* other = find_disk(role->disks, disk.name)) {
        if (auto slot = from(*other)) return slot;
      }
    }
    return std::nullopt;
  }

  void disks(const WrittenVm& vm, const std::vector<const WrittenRole*>& roles) {
    std::map<std::string, std::pair<std::string_view, SourceSpan>, std::less<>> taken;
    for (const auto& [key, value] : vm.options) {
      if (parse_slot(key))
        taken.emplace(key, std::pair(std::string_view(is_device(value.value) ? "a device" : "iso"), value.span));
    }
    for (const WrittenDisk& disk : vm.disks) {
      std::optional<Slot> slot = slot_of(disk, roles);
      if (!slot) {
        error(disk.span, "schema.key.missing", "A key is missing",
              fmt::format("Disk \"{}\" of \"{}\" needs \"slot\": scsi0, scsi1, …", disk.name, vm.name));
      } else if (!disk.detached && !disk.absent && !slot->slot.empty()) {
        auto [at, added] = taken.try_emplace(slot->slot, std::pair(std::string_view(disk.name), slot->span));
        if (!added) {
          error(slot->span, "schema.slot.clash", "Two disks in one slot",
                fmt::format("\"{}\" and \"{}\" of \"{}\" both take {}.", at->second.first, disk.name, vm.name,
                            slot->slot),
                {{fmt::format("\"{}\" takes it here.", at->second.first), at->second.second},
                 {"The VM is here.", vm.span}});
        }
      }
      disk_options(disk, slot ? slot->slot : "");
      disk_storage(disk, "VM", vm.name);
      std::optional<Spanned<std::string>> storage = disk_storage_of(vm, roles, disk);
      if (vm.node && storage) storage_on_node(*storage, vm.node->value, vm.node->span, "The VM belongs to this node.");
    }
    if (const auto* storage = vm.disk_defaults.find("storage")) {
      storage_known({std::get<std::string>(storage->value), storage->span}, "VM", vm.name);
    }
  }

  void disk_storage(const WrittenDisk& disk, std::string_view what, std::string_view name) {
    if (const auto* storage = disk.settings.find("storage")) {
      storage_known({std::get<std::string>(storage->value), storage->span}, what, name);
    }
  }

  /// Options that the bus of the disk does not have.
  void disk_options(const WrittenDisk& disk, std::string_view slot) {
    if (slot.empty()) return;
    std::string_view bus = bus_word(slot);
    if (bus == "tpmstate" || bus == "efidisk") return;  // their tables hold only what they have
    for (const auto& [key, value] : disk.settings) {
      const Setting* setting = find_setting(Home::kDriveOption, key);
      if (setting == nullptr || setting->buses.empty()) continue;
      Names buses = split_words(setting->buses, ' ');
      if (std::ranges::find(buses, bus) != buses.end()) continue;
      error(value.span, "schema.disk.bus", "The bus does not have this option",
            fmt::format("\"{}\" is for {} disks; \"{}\" is {}.", key, fmt::join(buses, ", "), disk.name, slot));
    }
    std::string serial = text_of(disk.settings, "serial");
    if (serial.size() > 20) {
      error(disk.settings.find("serial")->span, "schema.value.range", "Out of range",
            "A serial number has at most 20 bytes.");
    }
  }

  void cloning(const WrittenVm& vm, const std::vector<const WrittenRole*>& roles) {
    const Spanned<std::string>* clone = vm.clone ? &*vm.clone : nullptr;
    for (const WrittenRole* role : roles) {
      if (clone == nullptr && role->clone) clone = &*role->clone;
    }
    if (vm.linked_clone && clone == nullptr) {
      error(vm.span, "schema.clone.missing", "Linked to nothing",
            fmt::format("\"{}\" is a linked clone; \"clone\" must name its template.", vm.name));
    }
    if (clone == nullptr) return;
    if (clone->value == vm.name || clone->value == fmt::format("{}", vm.vmid.value.number)) {
      error(clone->span, "schema.clone.self", "A clone of itself",
            fmt::format("\"{}\" cannot be made from itself.", vm.name));
    }
    for (const WrittenDisk& disk : vm.disks) {
      if (!disk.import_from) continue;
      error(
          disk.import_from->span, "schema.clone.import", "Cloned and imported",
          fmt::format("\"{}\" is cloned from \"{}\", so its disks come from there; leave \"clone\" or \"import\" out.",
                      vm.name, clone->value),
          {{"The template is named here.", clone->span}});
    }
  }

  /// A setting is either stated or left alone.
  void left_alone(const std::vector<Spanned<std::string>>& leave, const WrittenSettings& settings,
                  std::string_view name) {
    for (const auto& key : leave) {
      const auto* stated = settings.find(key.value);
      if (stated == nullptr) continue;
      error(key.span, "schema.leave.stated", "Stated and left alone",
            fmt::format("\"{}\" of \"{}\" has a value here, so it cannot stay as it is. Leave one of the two out.",
                        key.value, name),
            {{"The value is here.", stated->span}});
    }
  }

  /// HA restarts a guest anywhere; a device of one node is only there. Devices by mapping are judged when the cluster
  /// is known.
  void availability(const WrittenVm& vm, const std::vector<const WrittenRole*>& roles) {
    if (!vm.ha || !vm.ha->enabled) return;
    std::string wanted = text_of(vm.ha->settings, "state");
    if (vm.state.value == VmState::kStopped && (wanted.empty() || wanted == "started" || wanted == "enabled")) {
      error(vm.state.span, "schema.ha.state", "HA would start it again",
            fmt::format("\"{}\" is to be stopped, but HA keeps it started. Write \"ha: {{state: stopped}}\".", vm.name),
            {{"HA is asked for here.", vm.ha->span}});
    }
    auto refuse = [&](SourceSpan span, std::string_view what) {
      error(span, "schema.ha.device", "HA with a device of one node",
            fmt::format("\"{}\" is HA-managed, but {} exists on one node only. Use a cluster mapping (hostpci: "
                        "[{{mapping: …}}]) or leave "
                        "\"ha\" out.",
                        vm.name, what),
            {{"HA is asked for here.", vm.ha->span}});
    };
    auto raw_device = [&](const WrittenSettings& options) {
      for (const auto& [key, value] : options) {
        if (parse_slot(key) && is_device(value.value)) refuse(value.span, fmt::format("the device in {}", key));
        const auto* device = std::get_if<PropertyString>(&value.value);
        if (device == nullptr || device->find("host") == nullptr) continue;
        bool spice = *device->find("host") == "spice";
        if (key.starts_with("hostpci") || (key.starts_with("usb") && !spice))
          refuse(value.span, fmt::format("{} ({})", key, *device->find("host")));
      }
    };
    raw_device(vm.options);
    for (const WrittenRole* role : roles) raw_device(role->options);
  }

  const FleetDocument& doc_;
  Diagnostics& out_;
  std::map<std::string, const WrittenRole*, std::less<>> role_index_ = {};
  std::map<std::string, const WrittenLane*, std::less<>> lane_index_ = {};
  std::map<std::string, const WrittenStorage*, std::less<>> storage_index_ = {};
  std::vector<std::string> classes_ = {};
};

}  // namespace

void check_fleet(const FleetDocument& document, Diagnostics& diagnostics) { Checker(document, diagnostics).run(); }

}  // namespace pvr
