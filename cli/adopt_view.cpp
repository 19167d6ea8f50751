#include "cli/adopt_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "cli/layout.h"
#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"
#include "schema/yaml_text.h"

namespace pvr::cli {
namespace {

/// Names of the fleet's own words ("on", "ignore") are texts by their key and need no quotes.
std::string value_text(const Setting* setting, std::string_view key, const OptionValue& value) {
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* size = std::get_if<ByteSize>(&value)) return to_text(*size);
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    if (key == "memory" || (key == "balloon" && *number != 0))
      return to_text(ByteSize{static_cast<std::uint64_t>(*number) << 20U});
    return fmt::format("{}", *number);
  }
  if (const auto* list = std::get_if<StringList>(&value)) {
    std::string text;
    for (const std::string& word : *list) text += (text.empty() ? "" : ", ") + yaml_scalar(word);
    return "[" + text + "]";
  }
  if (const auto* pairs = std::get_if<PropertyString>(&value)) {
    if (pairs->pairs.size() == 1 && setting != nullptr && pairs->pairs.front().first == setting->default_key) {
      const std::string& only = pairs->pairs.front().second;
      if (key == "agent") return only == "0" ? "false" : "true";
      return yaml_scalar(only);
    }
    std::string text;
    for (const auto& [name, part] : pairs->pairs) {
      const bool flag = name == "pcie" || name == "x-vga" || name == "rombar";
      text += fmt::format("{}{}: {}", text.empty() ? "" : ", ", name,
                          flag ? (part == "1" ? "true" : "false") : yaml_scalar(part));
    }
    return "{" + text + "}";
  }
  std::string text = to_text(value);
  if (setting != nullptr && setting->kind == ValueKind::kEnum) return text;
  return yaml_scalar(text);
}

class Writer {
 public:
  explicit Writer(const Adopted& adopted) : adopted_(adopted) {}

  std::string run(const std::string& cluster) {
    line(0, fmt::format("# Adopted from {}. A plan of this file {}.",
                        cluster.empty() ? "a standalone node" : printable(cluster),
                        std::ranges::any_of(adopted_.choices, &AdoptChoice::taken)
                            ? "makes the changes that are commented out below, and no others"
                            : "changes nothing"));
    line(0,
         "# Roles give what is not stated; \"leave\" keeps what a rule would change. Check what each disk is for "
         "(purpose:).");
    for (const std::string& sentence : adopted_.left_out) line(0, "# Left out: " + printable(sentence));
    line(0, "version: 1");
    storages();
    hosts();
    lanes();
    roles();
    if (!adopted_.document.vms.empty()) line(0, "\nvms:");
    for (const WrittenVm& vm : adopted_.document.vms) guest(vm);
    return std::move(out_);
  }

 private:
  void line(std::size_t indent, const std::string& text) { out_ += std::string(indent, ' ') + text + '\n'; }

  [[nodiscard]] std::string remark(const std::string& where) const {
    const auto at = adopted_.remarks.find(where);
    return at == adopted_.remarks.end() ? std::string() : "  # " + printable(at->second);
  }
  template <class F>
  [[nodiscard]] const AdoptChoice* choice(F which) const {
    const auto at = std::ranges::find_if(adopted_.choices, which);
    return at == adopted_.choices.end() ? nullptr : &*at;
  }

  void storages() {
    if (adopted_.document.storages.empty()) return;
    line(0, "\nstorages:");
    for (const WrittenStorage& storage : adopted_.document.storages) {
      line(2, fmt::format("{}:{}", storage.id, remark("storage/" + storage.id)));
      line(4, "type: " + storage.type.value);
      if (storage.reference_only) line(4, "manage: false");
      for (const auto& [key, value] : storage.properties)
        line(4, fmt::format("{}: {}{}", key, value_text(find_setting(Home::kStorageOption, key), key, value.value),
                            storage_choice(storage.id, key, false)));
      const std::string taken = storage_choice(storage.id, "sparse", true);
      if (!taken.empty()) line(4, "# sparse: false" + taken);
    }
  }
  [[nodiscard]] std::string storage_choice(const std::string& id, const std::string& key, bool taken) const {
    const AdoptChoice* found =
        choice([&](const AdoptChoice& c) { return c.storage == id && c.key == key && c.taken == taken; });
    return found == nullptr ? std::string() : "  # " + printable(found->text);
  }

  void hosts() {
    const auto settings = [this](std::size_t indent, const std::string& node, const std::string& part,
                                 const WrittenSettings& list) {
      for (const auto& [name, value] : list) {
        const std::string& key = name;  // clang refuses to capture a structured binding
        const Setting* setting = nullptr;
        for (const Home home : {Home::kHostOption, Home::kPoolProperty, Home::kDatasetProperty})
          if (setting == nullptr) setting = find_setting(home, key);
        const AdoptChoice* taken =
            choice([&](const AdoptChoice& c) { return c.node == node && c.part == part && c.key == key && c.taken; });
        line(indent, fmt::format("{}: {}{}", key, value_text(setting, key, value.value),
                                 taken == nullptr ? "" : "  # " + printable(taken->text)));
      }
    };
    if (!adopted_.document.hosts.empty()) line(0, "\nhosts:");
    for (const WrittenHost& host : adopted_.document.hosts) {
      line(2, host.node + ":");
      settings(4, host.node, "", host.settings);
      for (const bool pools : {true, false}) {
        bool headed = false;
        for (const WrittenHostPart& part : host.parts) {
          if (part.is_pool != pools) continue;
          if (!std::exchange(headed, true)) line(4, pools ? "pools:" : "datasets:");
          line(6, part.name + ":");
          settings(8, host.node, part.name, part.settings);
        }
      }
    }
    for (const AdoptChoice& c : adopted_.choices)
      if (!c.node.empty() && !c.taken)
        line(0, fmt::format("# hosts: {}{}{}: {}  # {}", c.node, c.part.empty() ? "" : " ", c.part, c.key,
                            printable(c.text)));
  }

  void lanes() {
    if (adopted_.document.lanes.empty()) return;
    line(0, "\nlanes:  # the storage most disks of their guests are on");
    for (const WrittenLane& lane : adopted_.document.lanes) {
      if (lane.storage) {
        line(2, fmt::format("{}: {}", lane.name, yaml_scalar(lane.storage->value)));
        continue;
      }
      line(2, lane.name + ":");
      for (const auto& [node, storage] : lane.per_node)
        line(4, fmt::format("{}: {}", yaml_scalar(node), yaml_scalar(storage.value)));
    }
  }

  void roles() {
    bool headed = false;
    for (const WrittenRole& role : adopted_.document.roles) {
      if (role.builtin) continue;
      if (!std::exchange(headed, true)) line(0, "\nroles:");
      line(2, fmt::format("{}:{}", yaml_scalar(role.name), remark("role/" + role.name)));
      line(4, "extends: " + role.extends->value);
      for (const auto& [key, value] : role.options)
        line(4, fmt::format("{}: {}", key, value_text(find_setting(Home::kVmOption, key), key, value.value)));
      if (!role.disks.empty()) line(4, "disks:");
      for (const WrittenDisk& disk : role.disks) {
        line(6, yaml_scalar(disk.name) + ":");
        for (const auto& [key, value] : disk.settings)
          line(8, fmt::format("{}: {}", key, value_text(find_setting(Home::kDriveOption, key), key, value.value)));
      }
    }
  }

  void guest(const WrittenVm& vm) {
    line(2, fmt::format("{}:{}", yaml_scalar(vm.name), remark("vm/" + vm.name)));
    line(4, fmt::format("vmid: {}", vm.vmid.value.number));
    if (vm.role) line(4, "role: " + vm.role->value);
    if (vm.lane) line(4, "lane: " + vm.lane->value);
    if (vm.node) line(4, "node: " + yaml_scalar(vm.node->value));
    if (vm.ha) line(4, "ha: true");
    std::vector<std::string> devices;
    std::vector<std::pair<std::string, std::string>> further;
    for (const auto& [key, value] : vm.options) {
      const Setting* setting = find_setting(Home::kVmOption, key);
      if (setting != nullptr && setting->name == "hostpci") {
        std::string text = value_text(setting, "", value.value);
        if (!text.starts_with('{')) text = fmt::format("{{host: {}}}", text);
        devices.push_back(text.insert(1, fmt::format("slot: {}, ", key)));
        continue;
      }
      if (setting != nullptr && setting->count > 0)
        further.emplace_back(key, print_option(*setting, value.value));
      else
        line(4, fmt::format("{}: {}", key, value_text(setting, key, value.value)));
    }
    if (!devices.empty()) line(4, "hostpci:");
    for (const std::string& device : devices) line(6, "- " + device);
    if (!further.empty()) line(4, "options:");
    for (const auto& [key, text] : further) line(6, fmt::format("{}: {}", key, yaml_scalar(text)));
    leave(4, vm.leave, vm.name, "");
    small_disks(vm);
    std::vector<const WrittenDisk*> disks;
    for (const WrittenDisk& disk : vm.disks)
      if (disk.name != "efidisk" && disk.name != "tpm") disks.push_back(&disk);
    if (!disks.empty()) line(4, "disks:");
    for (const WrittenDisk* disk : disks) this->disk(vm, *disk);
  }

  void small_disks(const WrittenVm& vm) {
    for (const WrittenDisk& disk : vm.disks) {
      if (disk.name != "efidisk" && disk.name != "tpm") continue;
      const AdoptChoice* added = choice(
          [&](const AdoptChoice& c) { return c.vm == vm.name && c.disk.empty() && c.key == disk.name && c.taken; });
      const std::string why = added == nullptr ? "" : fmt::format("  # new; {}", printable(added->text));
      const auto* storage = disk.settings.find("storage");
      line(4, fmt::format(
                  "{}: {}{}", disk.name,
                  storage == nullptr ? "true" : fmt::format("{{storage: {}}}", yaml_scalar(to_text(storage->value))),
                  why));
    }
    for (const char* small : {"efidisk", "tpm"}) {
      const AdoptChoice* offered =
          choice([&](const AdoptChoice& c) { return c.vm == vm.name && c.disk.empty() && c.key == small && !c.taken; });
      const bool left = std::ranges::find(vm.leave, small, &Spanned<std::string>::value) != vm.leave.end();
      if (offered != nullptr && !left) line(4, fmt::format("# {}: true  # {}", small, printable(offered->text)));
    }
  }

  void disk(const WrittenVm& vm, const WrittenDisk& disk) {
    line(6, yaml_scalar(disk.name) + ":");
    const auto put = [&](std::string_view key) {
      const auto* value = disk.settings.find(key);
      if (value == nullptr) return;
      const Setting* setting = find_setting(Home::kDriveOption, key);
      if (setting == nullptr) setting = find_setting(Home::kDiskPlace, key);
      std::string beside;
      if (key == "storage") {
        const AdoptChoice* moved = choice([&](const AdoptChoice& c) {
          return c.vm == vm.name && c.disk == disk.name && c.key == "storage" && c.taken;
        });
        if (moved != nullptr) beside = fmt::format("  # was {}; {}", printable(moved->was), printable(moved->text));
      }
      line(8, fmt::format("{}: {}{}", key, value_text(setting, key, value->value), beside));
    };
    for (const char* first : {"slot", "size", "storage"}) put(first);
    for (const auto& [key, value] : disk.settings)
      if (key != "slot" && key != "size" && key != "storage") put(key);
    const AdoptChoice* move = choice(
        [&](const AdoptChoice& c) { return c.vm == vm.name && c.disk == disk.name && c.key == "storage" && !c.taken; });
    if (move != nullptr) line(8, "# storage: another one  # " + printable(move->text));
    leave(8, disk.leave, vm.name, disk.name);
  }

  void leave(std::size_t indent, const std::vector<Spanned<std::string>>& kept, const std::string& vm,
             const std::string& disk) {
    std::vector<const AdoptChoice*> taken;
    for (const AdoptChoice& c : adopted_.choices) {
      const bool in_list = c.key != "storage" && c.key != "efidisk" && c.key != "tpm";
      if (c.vm == vm && c.disk == disk && c.storage.empty() && c.taken && in_list) taken.push_back(&c);
    }
    if (kept.empty() && taken.empty()) return;
    line(indent, kept.empty() ? "# leave:" : "leave:");
    for (const Spanned<std::string>& key : kept) {
      const AdoptChoice* why =
          choice([&](const AdoptChoice& c) { return c.vm == vm && c.disk == disk && c.key == key.value; });
      line(indent,
           fmt::format("  - {}{}", yaml_scalar(key.value), why == nullptr ? "" : "  # " + printable(why->text)));
    }
    for (const AdoptChoice* c : taken)
      line(indent, fmt::format("#   - {}  # {}", yaml_scalar(c->key), printable(c->text)));
  }

  const Adopted& adopted_;
  std::string out_;
};

}  // namespace

std::string fleet_text(const Adopted& adopted, const std::string& cluster_name) {
  return Writer(adopted).run(cluster_name);
}

}  // namespace pvr::cli
