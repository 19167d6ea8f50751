#include "reconciler/engine/shared_roles.h"

#include <fmt/format.h>

#include <algorithm>
#include <compare>
#include <iterator>
#include <set>
#include <utility>
#include <vector>

#include "reconciler/model/option_value.h"
#include "reconciler/model/settings.h"

namespace pvr {
namespace {

constexpr std::size_t kFewest = 3;     // guests a role is worth having for
constexpr std::size_t kGroups = 200;   // different guests that are compared with each other: the work is its square
constexpr std::size_t kRoleLines = 2;  // its name, and what it extends

/// One stated value. Two are equal when they stand for the same line of a fleet.
struct Line {
  std::string disk = {};  // name; empty: an option of the guest
  std::string key = {};
  std::string text = {};
  friend auto operator<=>(const Line&, const Line&) = default;
};
using Lines = std::set<Line>;

Line line_of(const std::string& disk, const std::string& key, const OptionValue& value) {
  return {disk, key, fmt::format("{} {}", value.index(), to_text(value))};
}

Lines lines_of(const WrittenVm& vm) {
  Lines lines;
  for (const auto& [key, value] : vm.options) {
    const Setting* setting = find_setting(Home::kVmOption, key);
    if (setting != nullptr && setting->count == 0 && key != "description") lines.insert(line_of("", key, value.value));
  }
  for (const WrittenDisk& disk : vm.disks) {
    if (disk.name == "efidisk" || disk.name == "tpm") continue;
    for (const auto& [key, value] : disk.settings)
      if (find_setting(Home::kDiskPlace, key) == nullptr) lines.insert(line_of(disk.name, key, value.value));
  }
  return lines;
}

std::size_t cost(const Lines& lines) {
  std::set<std::string> disks;
  for (const Line& line : lines)
    if (!line.disk.empty()) disks.insert(line.disk);
  return kRoleLines + lines.size() + disks.size() + (disks.empty() ? 0 : 1);
}

/// Guests of one built-in role that state the same.
struct Group {
  Lines lines = {};
  std::vector<WrittenVm*> guests = {};
};

std::vector<Group> groups_of(FleetDocument& document, const std::string& role) {
  std::vector<Group> groups;
  std::map<Lines, std::size_t> known;
  for (WrittenVm& vm : document.vms) {
    if (!vm.role || vm.role->value != role) continue;
    Lines lines = lines_of(vm);
    if (lines.empty()) continue;
    const auto [at, added] = known.emplace(lines, groups.size());
    if (added) groups.push_back({.lines = std::move(lines)});
    groups[at->second].guests.push_back(&vm);
  }
  std::ranges::stable_sort(groups, std::greater<>{}, [](const Group& group) { return group.guests.size(); });
  if (groups.size() > kGroups) groups.resize(kGroups);
  return groups;
}

/// The set of lines that saves most when it is said once; empty where none saves any.
Lines best_of(const std::vector<Group>& groups) {
  Lines best;
  std::size_t best_saved = 0;
  std::set<Lines> seen;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    for (std::size_t k = i; k < groups.size(); ++k) {
      Lines both;
      std::ranges::set_intersection(groups[i].lines, groups[k].lines, std::inserter(both, both.end()));
      if (both.empty() || !seen.insert(both).second) continue;
      std::size_t guests = 0;
      for (const Group& group : groups)
        if (std::ranges::includes(group.lines, both)) guests += group.guests.size();
      const std::size_t before = guests * both.size();
      if (guests < kFewest || before <= cost(both) || before - cost(both) <= best_saved) continue;
      best_saved = before - cost(both);
      best = std::move(both);
    }
  }
  return best;
}

/// "web" for web-1, web-2 and web-17; else the built-in role with a number behind it.
std::string name_for(const FleetDocument& document, const std::string& base, const std::vector<WrittenVm*>& guests) {
  std::string common = guests.front()->name;
  for (const WrittenVm* vm : guests) common.erase(std::ranges::mismatch(common, vm->name).in1, common.end());
  const auto at_end = common.find_last_not_of("0123456789-._");
  common.erase(at_end == std::string::npos ? 0 : at_end + 1);
  const bool word =
      common.size() > 1 && common.front() >= 'a' && common.front() <= 'z' &&
      std::ranges::all_of(common, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; });
  const auto taken = [&](const std::string& name) {
    return std::ranges::find(document.roles, name, &WrittenRole::name) != document.roles.end();
  };
  if (word && !taken(common)) return common;
  for (int number = 2;; ++number)
    if (std::string name = fmt::format("{}-{}", base, number); !taken(name)) return name;
}

void move_to(WrittenRole& role, const Lines& lines, WrittenVm& vm) {
  for (const Line& line : lines) {
    if (line.disk.empty()) {
      role.options.set(line.key, *vm.options.find(line.key));
      vm.options.erase(line.key);
      continue;
    }
    const auto held = std::ranges::find(vm.disks, line.disk, &WrittenDisk::name);
    auto shared = std::ranges::find(role.disks, line.disk, &WrittenDisk::name);
    if (shared == role.disks.end()) shared = role.disks.insert(shared, WrittenDisk{.name = line.disk});
    shared->settings.set(line.key, *held->settings.find(line.key));
    held->settings.erase(line.key);
  }
  vm.role->value = role.name;
}

}  // namespace

std::map<std::string, std::string> share_settings(FleetDocument& document) {
  std::map<std::string, std::string> remarks;
  std::vector<std::string> bases;
  for (const WrittenRole& role : document.roles)
    if (role.builtin) bases.push_back(role.name);
  for (const std::string& base : bases) {
    while (true) {
      const std::vector<Group> groups = groups_of(document, base);
      const Lines lines = best_of(groups);
      if (lines.empty()) break;
      std::vector<WrittenVm*> guests;
      for (const Group& group : groups)
        if (std::ranges::includes(group.lines, lines))
          guests.insert(guests.end(), group.guests.begin(), group.guests.end());
      WrittenRole role{.name = name_for(document, base, guests), .extends = Spanned<std::string>{base, {}}};
      for (WrittenVm* vm : guests) move_to(role, lines, *vm);
      remarks["role/" + role.name] = fmt::format("what {} guests state alike", guests.size());
      document.roles.push_back(std::move(role));
      std::ranges::sort(document.roles, {}, &WrittenRole::name);
    }
  }
  return remarks;
}

}  // namespace pvr
