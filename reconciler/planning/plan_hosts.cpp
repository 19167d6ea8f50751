#include <fmt/format.h>

#include <algorithm>

#include "reconciler/planning/diff_hosts.h"
#include "reconciler/planning/plan_builder.h"

namespace pvr {
namespace {

bool differs(const SettingChange& change) { return change.state == SettingState::kDiffers; }

std::string keys_text(const HostDiff& diff) {
  std::string text;
  for (const SettingChange& change : diff.settings) {
    if (change.state == SettingState::kInSync || change.state == SettingState::kFindingOnly) continue;
    text += (text.empty() ? "" : ", ") + change.key;
  }
  return text;
}

/// What ZFS takes: sizes in bytes, words as they are.
std::string zfs_text(const OptionValue& value) {
  const auto* size = std::get_if<ByteSize>(&value);
  return size != nullptr ? std::to_string(size->bytes) : to_text(value);
}

PlannedChange arc_line(const PlanBuilder& b, const SettingChange& change) {
  PlannedChange line = b.line(change, Home::kHostOption, Impact::kLive);
  const auto human = [](const OptionValue& value, const char* otherwise) {
    const auto* size = std::get_if<ByteSize>(&value);
    return size != nullptr ? to_human(*size) : std::string(otherwise);
  };
  line.from = human(change.running, "unknown");
  if (change.configured != change.running)
    line.from += fmt::format(", and {} after a boot", human(change.configured, "the system's own choice"));
  line.to = human(change.desired.value, "");
  return line;
}

void plan_arc(PlanBuilder& b, const HostDiff& diff, const LiveHost& host) {
  SetArcLimits limits{.node = host.node};
  Operation op{.address = diff.address, .impact = Impact::kLive, .locks = {"host/" + host.node}, .node = host.node};
  bool file = false;
  for (const SettingChange& change : diff.settings) {
    if (!differs(change)) continue;
    const ByteSize wanted = std::get<ByteSize>(change.desired.value);
    (change.key == "arc_max" ? limits.max : limits.min) = wanted;
    if (change.configured != change.desired.value) {
      file = true;
      limits.options.set(arc_parameter(change.key), std::to_string(wanted.bytes));
    }
    op.changes.push_back(arc_line(b, change));
  }
  if (op.changes.empty()) return;
  if (limits.max.bytes != 0 && host.memory.bytes != 0 && limits.max >= host.memory) {
    b.block(diff.address, fmt::format("let the ARC have {}", to_human(limits.max)),
            fmt::format("{} has {} of memory, and OpenZFS ignores a limit that is not below it", host.node,
                        to_human(host.memory)),
            "a smaller arc_max");
    return;
  }
  if (limits.max.bytes != 0 && host.arc_max && limits.max > *host.arc_max) {
    const std::optional<ByteSize> room = b.memory.room(host.node);
    const ByteSize given = b.memory.given(host.node);
    if (room && given > *room) {
      b.block(diff.address, fmt::format("let the ARC have {}", to_human(limits.max)),
              fmt::format("the guests that run on {} have {} together, and beside such an ARC and the system there is "
                          "room for {} (rule Z13)",
                          host.node, to_human(given), to_human(*room)),
              "a smaller arc_max, or fewer guests there");
      return;
    }
  }
  // What else our file says stays; one parameter of both may be there already.
  if (file) {
    for (const ModprobeOption& option : host.modprobe)
      if (option.file == kOwnModprobeFile && !limits.options.contains(option.name))
        limits.options.set(option.name, option.value);
    b.note({.severity = Severity::kNotice,
            .rule = "Z13",
            .where = diff.address,
            .what = "Where the initramfs loads zfs (root on ZFS), it keeps a copy of modprobe.d: the old limits come "
                    "back at the next boot until it is made again.",
            .fix = fmt::format("on {}, after the change: update-initramfs -u -k all", host.node),
            .span = {}});
  }
  op.procedure = std::move(limits);
  b.add(std::move(op));
}

void plan_part(PlanBuilder& b, const HostDiff& diff, const LiveHost& host) {
  const std::string& name = diff.address.part;
  const auto operation = [&](Procedure procedure) {
    Operation op{.address = diff.address, .procedure = std::move(procedure), .impact = Impact::kLive};
    op.locks = {fmt::format("zfs/{}/{}", host.node, name.substr(0, name.find('/')))};
    op.node = host.node;
    return op;
  };
  Operation timer = operation(SetTrimTimer{.node = host.node, .pool = name});
  Operation pool = operation(SetPoolProperties{.node = host.node, .pool = name});
  Operation dataset = operation(SetZvolProperties{.node = host.node, .dataset = name});
  for (const SettingChange& change : diff.settings) {
    if (!differs(change)) continue;
    const std::string text = zfs_text(change.desired.value);
    if (change.key == "trim") {
      std::get<SetTrimTimer>(timer.procedure).timer = text;
      timer.changes.push_back(b.line(change, Home::kPoolProperty, Impact::kLive));
    } else if (find_setting(Home::kPoolProperty, change.key) != nullptr) {
      std::get<SetPoolProperties>(pool.procedure).set.set(change.key, text);
      pool.changes.push_back(b.line(change, Home::kPoolProperty, Impact::kLive));
    } else {
      std::get<SetZvolProperties>(dataset.procedure).set.set(change.key, text);
      PlannedChange line = b.line(change, Home::kDatasetProperty, Impact::kLive);
      if (change.effect == TakesEffect::kNewBlocksOnly) line.to += " (new blocks only)";
      dataset.changes.push_back(std::move(line));
    }
  }
  for (Operation* op : {&timer, &pool, &dataset})
    if (!op->changes.empty()) b.add(std::move(*op));
}

}  // namespace

void plan_hosts(PlanBuilder& b) {
  for (const HostDiff& diff : b.diff.hosts) {
    if (!diff.blocked.empty()) {
      b.block(diff.address, fmt::format("set {}", keys_text(diff)), diff.blocked, diff.remedy, diff.by_policy);
      continue;
    }
    const LiveHost* host = b.live.host(diff.address.name);
    if (host == nullptr) continue;
    if (diff.address.part.empty())
      plan_arc(b, diff, *host);
    else
      plan_part(b, diff, *host);
  }
}

}  // namespace pvr
