#include "cli/status_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"

namespace pvr::cli {
namespace {

struct Counts {
  std::size_t differ = 0;
  std::size_t wait = 0;
  std::size_t unknown = 0;
  std::size_t resources = 0;
  std::size_t in_sync = 0;
};

struct Line {
  std::array<std::string, 5> cells = {};  // setting, declared, configured, running, state
};

/// A property string reads best as PVE prints it: "q35", not "type=q35".
std::string shown(const std::string& key, const OptionValue& value) {
  const Setting* setting = std::holds_alternative<PropertyString>(value) ? find_setting(Home::kVmOption, key) : nullptr;
  return shortened(printable(setting == nullptr ? to_text(value) : print_option(*setting, value)), 40);
}

std::string state_text(SettingState state, const Style& style) {
  switch (state) {
    case SettingState::kInSync:
      return style.green("in sync");
    case SettingState::kDiffers:
      return style.yellow("to change");
    case SettingState::kWaitsForRestart:
      return style.yellow("waits for a restart");
    case SettingState::kFindingOnly:
      return style.cyan("finding only");
    case SettingState::kCannotTell:
      break;
  }
  return style.dim("cannot tell");
}

void collect(const std::vector<SettingChange>& settings, const std::string& part, bool all, const Style& style,
             std::vector<Line>& lines, Counts& counts) {
  for (const SettingChange& setting : settings) {
    if (setting.state == SettingState::kDiffers) ++counts.differ;
    if (setting.state == SettingState::kWaitsForRestart) ++counts.wait;
    if (setting.state == SettingState::kCannotTell) ++counts.unknown;
    if (!all && (setting.state == SettingState::kInSync || setting.state == SettingState::kCannotTell)) continue;
    lines.push_back(
        {{part + setting.key, shown(setting.key, setting.desired.value), shown(setting.key, setting.configured),
          shown(setting.key, setting.running), state_text(setting.state, style)}});
  }
}

void print_lines(std::string& out, const std::vector<Line>& lines, const Style& style) {
  if (lines.empty()) return;
  const Line head = {{"setting", "declared", "configured", "running", ""}};
  std::array<std::size_t, 4> widths = {};
  for (std::size_t i = 0; i < widths.size(); ++i) {
    widths[i] = head.cells[i].size();
    for (const Line& line : lines) widths[i] = std::max(widths[i], width_of(line.cells[i]));
  }
  const auto print = [&](const Line& line, bool dim) {
    std::string text = "  ";
    for (std::size_t i = 0; i < widths.size(); ++i) text += padded(line.cells[i], widths[i]) + "  ";
    text += line.cells[4];
    while (text.ends_with(' ')) text.pop_back();
    out += (dim ? style.dim(text) : text) + '\n';
  };
  print(head, true);
  for (const Line& line : lines) print(line, false);
}

std::string presence_text(const VmDiff& vm, const Style& style) {
  switch (vm.presence) {
    case Presence::kMissing:
      return style.yellow("missing: will be created");
    case Presence::kMustGo:
      return style.red("declared absent, still there");
    case Presence::kUnreadable:
      return style.red("not readable");
    case Presence::kWrongIdentity:
      return style.red("another VM holds this number");
    case Presence::kPresent:
      break;
  }
  switch (vm.power) {
    case PowerState::kRunning:
      return "running";
    case PowerState::kStopped:
      return "stopped";
    case PowerState::kPaused:
      return "paused";
    case PowerState::kUnknown:
      break;
  }
  return "power unknown";
}

std::string disk_news(const DiskDiff& disk) {
  if (!disk.blocked.empty()) return "blocked: " + printable(disk.blocked);
  if (disk.move_to) return fmt::format("to move to storage {}", *disk.move_to);
  if (disk.grow_to) return fmt::format("to grow to {}", to_human(*disk.grow_to));
  switch (disk.match) {
    case DiskMatch::kMissing:
      return "missing: will be created";
    case DiskMatch::kOtherSlot:
    case DiskMatch::kUnused:
      return fmt::format("to attach as {}", to_text(disk.desired_slot));
    case DiskMatch::kAmbiguous:
      return "several volumes could be it";
    case DiskMatch::kWrongHolder:
      return "its slot holds another disk";
    case DiskMatch::kInPlace:
      break;
  }
  return {};
}

}  // namespace

bool is_in_sync(const Diff& diff) {
  const auto settled = [](const std::vector<SettingChange>& settings) {
    return std::ranges::none_of(settings, [](const SettingChange& s) {
      return s.state == SettingState::kDiffers || s.state == SettingState::kWaitsForRestart;
    });
  };
  return std::ranges::all_of(diff.hosts, [&](const HostDiff& h) { return h.blocked.empty() && settled(h.settings); }) &&
         std::ranges::all_of(diff.storages,
                             [&](const StorageDiff& s) { return !s.missing && settled(s.properties); }) &&
         std::ranges::all_of(diff.pools, [](const PoolDiff& p) { return !p.missing && p.add.empty(); }) &&
         std::ranges::all_of(diff.ha, [](const HaDiff& h) { return h.action == HaDiff::Action::kNone; }) &&
         std::ranges::all_of(diff.replication,
                             [](const ReplicationDiff& r) { return r.action == ReplicationDiff::Action::kNone; }) &&
         std::ranges::all_of(diff.vms, [&](const VmDiff& vm) {
           return vm.presence == Presence::kPresent && vm.blocked.empty() && settled(vm.options) &&
                  std::ranges::all_of(vm.disks,
                                      [&](const DiskDiff& d) { return disk_news(d).empty() && settled(d.settings); });
         });
}

std::string status_text(const Diff& diff, const std::vector<std::string>& gaps, bool all, const TextOptions& options) {
  const Style& style = options.style;
  std::string out;
  Counts counts;
  for (const StorageDiff& storage : diff.storages) {
    std::vector<Line> lines;
    collect(storage.properties, "", all, style, lines, counts);
    ++counts.resources;
    const bool quiet = lines.empty() && !storage.missing && storage.fixed.empty();
    if (quiet) ++counts.in_sync;
    const std::string state = storage.missing ? style.yellow("missing: will be created")
                              : quiet         ? style.green("in sync")
                                              : "";
    out += fmt::format("{}{}{}\n", style.bold(to_text(storage.address)), state.empty() ? "" : "  ", state);
    print_lines(out, lines, style);
    for (const std::string& fixed : storage.fixed) out += wrapped("fixed: " + printable(fixed), "  ", options.columns);
  }
  for (const HostDiff& host : diff.hosts) {
    std::vector<Line> lines;
    collect(host.settings, "", all, style, lines, counts);
    ++counts.resources;
    const bool quiet = lines.empty() && host.blocked.empty();
    if (quiet) ++counts.in_sync;
    out += fmt::format("{}{}\n", style.bold(to_text(host.address)), quiet ? "  " + style.green("in sync") : "");
    print_lines(out, lines, style);
    if (!host.blocked.empty()) out += wrapped("blocked: " + printable(host.blocked), "  ", options.columns);
  }
  for (const VmDiff& vm : diff.vms) {
    std::vector<Line> lines;
    std::string news;
    collect(vm.options, "", all, style, lines, counts);
    for (const DiskDiff& disk : vm.disks) {
      collect(disk.settings, disk.name + " ", all, style, lines, counts);
      const std::string text = disk_news(disk);
      if (!text.empty())
        news += fmt::format("  {} ({}): {}\n", disk.name, to_text(disk.desired_slot), style.yellow(text));
    }
    ++counts.resources;
    const bool quiet = lines.empty() && news.empty() && vm.presence == Presence::kPresent && vm.blocked.empty();
    if (quiet) ++counts.in_sync;
    out += fmt::format("{}  {}{}  {}{}\n", style.bold(to_text(vm.address)), vm.vmid.number,
                       vm.node.empty() ? "" : " on " + vm.node, presence_text(vm, style),
                       quiet ? "  " + style.green("in sync") : "");
    print_lines(out, lines, style);
    out += news;
    if (!vm.blocked.empty()) out += wrapped("blocked: " + printable(vm.blocked), "  ", options.columns);
  }
  for (const std::string& gap : gaps) out += wrapped("not readable: " + printable(gap), "", options.columns);
  std::string sum =
      fmt::format("{} of {} in sync; {} to change, {} for a restart", counts.in_sync,
                  counted(counts.resources, "resource", "resources"), counted(counts.differ, "setting", "settings"),
                  counts.wait == 1 ? "1 waits" : fmt::format("{} wait", counts.wait));
  if (counts.unknown != 0) sum += fmt::format("; {} cannot be told without host access", counts.unknown);
  return out + style.bold(sum + ".") + '\n';
}

}  // namespace pvr::cli
