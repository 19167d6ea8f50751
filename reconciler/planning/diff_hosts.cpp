#include "reconciler/planning/diff_hosts.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "reconciler/model/boot_pool.h"
#include "reconciler/planning/compare.h"

namespace pvr {
namespace {

std::optional<ByteSize> bytes_of(std::string_view text) {
  std::uint64_t number = 0;
  const auto read = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || read.ec != std::errc() || read.ptr != text.data() + text.size()) return std::nullopt;
  return ByteSize{number};
}

/// What the fleet would have to be able to ask, and the way to it. Nothing: the node can be asked.
bool cannot_be_asked(HostDiff& out, const std::string& node, const LiveState& live) {
  const LiveNode* known = live.node(node);
  const auto host = std::ranges::find(live.hosts, node, &LiveHost::node);
  if (known == nullptr) {
    out.blocked = fmt::format("there is no node \"{}\" in the cluster", node);
    out.remedy = "correct the name under hosts:";
  } else if (!known->online) {
    out.blocked = fmt::format("node \"{}\" does not answer", node);
    out.remedy = "plan again when it does";
    out.by_policy = false;
  } else if (host == live.hosts.end()) {
    out.blocked = fmt::format("there is no host access to {}, and the API of PVE knows nothing of it", node);
    out.remedy = "state cluster.ssh in the fleet file; pvereconcile doctor prints what a node needs for it";
  } else if (!host->readable) {
    out.blocked = fmt::format("node \"{}\" cannot be read over ssh: {}", node, host->problem);
    out.remedy = "pvereconcile doctor says what works and what does not";
    out.by_policy = false;
  } else if (host->zfs_version.empty()) {
    out.blocked = fmt::format("node \"{}\" has no ZFS", node);
    out.remedy = "take it out of hosts:";
  } else {
    return false;
  }
  return true;
}

void settle(SettingChange& change, bool same) {
  if (!same) change.state = change.desired.finding_only ? SettingState::kFindingOnly : SettingState::kDiffers;
}

SettingChange arc_limit(std::string_view key, const Resolved& desired, const LiveHost& host, HostDiff& out) {
  SettingChange change{.key = std::string(key), .desired = desired, .effect = TakesEffect::kAtOnce};
  const std::optional<ByteSize> now = key == "arc_max" ? host.arc_max : host.arc_min;
  if (now) change.running = *now;
  const std::string* boot = host.modprobe_options.find(arc_parameter(key));
  const std::optional<ByteSize> at_boot = boot != nullptr ? bytes_of(*boot) : std::nullopt;
  if (at_boot) change.configured = *at_boot;
  const auto* wanted = std::get_if<ByteSize>(&desired.value);
  if (wanted == nullptr) {
    out.blocked = fmt::format("the memory of {} is not known, so rule Z13 advises nothing", host.node);
    out.remedy = "state arc_max as a size";
    change.state = SettingState::kCannotTell;
    return change;
  }
  settle(change, now == *wanted && at_boot == *wanted);
  if (!now) {
    out.blocked = fmt::format("the ARC of {} cannot be read", host.node);
    out.remedy = "look whether /proc/spl/kstat/zfs/arcstats is there";
  }
  if (at_boot == *wanted) return change;
  for (const ModprobeOption& option : host.modprobe) {
    if (option.name != arc_parameter(key) || option.file == kOwnModprobeFile) continue;
    out.blocked = fmt::format("{} on {} sets {}={} and is not ours", option.file, host.node, option.name, option.value);
    out.remedy = fmt::format("take {} out of {}, or state {} as it is there", option.name, option.file, key);
  }
  return change;
}

SettingChange pool_setting(std::string_view key, const Resolved& desired, const LiveHost& host, const LiveZpool& pool) {
  SettingChange change{.key = std::string(key), .desired = desired, .effect = TakesEffect::kAtOnce};
  const bool by_rule = std::holds_alternative<FromRule>(desired.origin);
  if (key == "autotrim") {
    change.configured = std::string(pool.autotrim ? "on" : "off");
    settle(change, change.configured == desired.value);
  } else {
    const std::string timers = trim_timers_of(host, pool.name);
    change.configured = timers;
    // Rule Z11 wants SSDs trimmed at all: autotrim, and any timer, will do.
    const bool ssd = std::ranges::any_of(pool.vdevs, [](const LiveVdev& vdev) { return vdev.media == Media::kSsd; });
    const bool rule_is_kept = by_rule && (pool.autotrim || timers != "none" || !ssd);
    settle(change, rule_is_kept || change.configured == desired.value);
    if (rule_is_kept && change.configured != desired.value)
      change.note = !ssd ? "no SSDs" : pool.autotrim ? "autotrim does it" : "trimmed already";
  }
  change.running = change.configured;
  return change;
}

SettingChange dataset_property(std::string_view key, const Resolved& desired, const LiveDataset& dataset) {
  const Setting* setting = find_setting(Home::kDatasetProperty, key);
  SettingChange change{.key = std::string(key), .desired = desired};
  if (setting != nullptr) change.effect = setting->effect;
  const std::string_view shown = dataset.text(key);
  if (setting != nullptr && setting->kind == ValueKind::kSize) {
    if (const auto bytes = bytes_of(shown)) change.configured = *bytes;
  } else if (!shown.empty()) {
    change.configured = std::string(shown);
  }
  // Fact: compression=on is lz4.
  const auto* wanted = std::get_if<std::string>(&desired.value);
  const bool lz4 = key == "compression" && wanted != nullptr && *wanted == "lz4" && shown == "on";
  settle(change, lz4 || change.configured == desired.value);
  change.running = change.configured;
  return change;
}

HostDiff diff_part(const ResolvedHost& host, const ResolvedHostPart& part, const LiveState& live,
                   std::vector<Finding>& findings) {
  HostDiff out{.address = {AddressKind::kHost, host.node, part.name}};
  const auto untold = [&] {
    for (const auto& [key, desired] : part.settings)
      out.settings.push_back({.key = key, .state = SettingState::kCannotTell, .desired = desired, .note = out.blocked});
  };
  if (cannot_be_asked(out, host.node, live)) {
    untold();
    return out;
  }
  const LiveHost& seen = *live.host(host.node);
  if (part.name.empty()) {
    for (const auto& [key, desired] : part.settings) out.settings.push_back(arc_limit(key, desired, seen, out));
    return out;
  }
  const LiveZpool* pool = part.is_pool ? seen.zpool(part.name) : nullptr;
  const LiveDataset* dataset = seen.dataset(part.name);
  if (part.is_pool && pool == nullptr) {
    out.blocked = fmt::format("there is no zpool {} on {}", part.name, host.node);
    out.remedy = "correct the name; pools are not created";
  } else if (dataset == nullptr || dataset->is_volume) {
    out.blocked = fmt::format("there is no file system {} on {}", part.name, host.node);
    out.remedy = fmt::format("on {}: zfs create -p {}", host.node, part.name);
  } else if (pool != nullptr && (pool->read_only || (pool->health != "ONLINE" && pool->health != "DEGRADED"))) {
    out.blocked =
        fmt::format("zpool {} on {} is {}", part.name, host.node, pool->read_only ? "read-only" : pool->health);
    out.remedy = fmt::format("on {}: zpool status {}", host.node, part.name);
    out.by_policy = false;
  }
  if (!out.blocked.empty()) {
    untold();
    return out;
  }
  for (const auto& [key, desired] : part.settings) {
    if (find_setting(Home::kPoolProperty, key) != nullptr) {
      out.settings.push_back(pool_setting(key, desired, seen, *pool));
      continue;
    }
    Resolved wanted = desired;
    if (key == "dnodesize" && std::holds_alternative<FromRule>(desired.origin) && starts_from(seen, part.name))
      wanted.finding_only = true;
    SettingChange change = dataset_property(key, wanted, *dataset);
    if (change.state == SettingState::kFindingOnly)
      findings.push_back(
          {.severity = Severity::kNotice,
           .rule = "Z7",
           .where = out.address,
           .what = fmt::format("{} is {}; it is left alone, because the node starts from this pool and GRUB reads no "
                               "other size.",
                               key, to_text(change.configured)),
           .fix = fmt::format("state {}: auto if the node does not start by GRUB from it", key),
           .span = part.span});
    out.settings.push_back(std::move(change));
  }
  return out;
}

}  // namespace

std::string_view arc_parameter(std::string_view key) {
  return key == "arc_max" ? "zfs_arc_max" : key == "arc_min" ? "zfs_arc_min" : std::string_view();
}

std::string trim_timers_of(const LiveHost& host, std::string_view pool) {
  std::string found;
  for (const std::string_view word : {"monthly", "weekly"}) {
    if (std::ranges::find(host.trim_timers, fmt::format("zfs-trim-{}@{}.timer", word, pool)) == host.trim_timers.end())
      continue;
    found += found.empty() ? "" : ",";
    found += word;
  }
  return found.empty() ? "none" : found;
}

std::vector<HostDiff> diff_hosts(const ResolvedFleet& fleet, const LiveState& live, DiffDetail detail,
                                 std::vector<Finding>& findings) {
  std::vector<HostDiff> list;
  for (const ResolvedHost& host : fleet.hosts) {
    for (const ResolvedHostPart& part : host.parts) {
      if (part.settings.empty()) continue;
      HostDiff entry = diff_part(host, part, live, findings);
      const bool all_well = entry.blocked.empty() && std::ranges::all_of(entry.settings, [](const SettingChange& c) {
                              return c.state == SettingState::kInSync || c.state == SettingState::kFindingOnly;
                            });
      // What stands in the way of nothing is nothing to tell.
      const bool unneeded = !entry.blocked.empty() && std::ranges::all_of(entry.settings, [](const SettingChange& c) {
        return c.state == SettingState::kInSync;
      });
      if (unneeded) entry.blocked.clear();
      if ((all_well || unneeded) && detail == DiffDetail::kChanges) continue;
      if (detail == DiffDetail::kChanges)
        std::erase_if(entry.settings, [](const SettingChange& c) { return c.state == SettingState::kInSync; });
      list.push_back(std::move(entry));
    }
  }
  return list;
}

}  // namespace pvr
