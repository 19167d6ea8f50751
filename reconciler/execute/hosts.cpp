#include "reconciler/execute/hosts.h"

#include <fmt/format.h>

#include <algorithm>

#include "reconciler/execute/datasets.h"

namespace pvr {
namespace {

constexpr std::string_view kTimers[] = {"monthly", "weekly"};

// Fact: Debian's zfsutils-linux has these two templates.
std::string trim_unit(std::string_view timer, const std::string& pool) {
  return fmt::format("zfs-trim-{}@{}.timer", timer, pool);
}

Result<LiveHost> settings_of(const std::string& node, Work& work) {
  const auto zfs = need_zfs(work);
  if (!zfs) return Error(zfs.error());
  auto host = (*zfs)->settings(node);
  if (!host) return std::move(host).error().during(fmt::format("reading the settings of node {}", node));
  return host;
}

bool is_enabled(const LiveHost& host, const std::string& unit) {
  return std::ranges::find(host.trim_timers, unit) != host.trim_timers.end();
}

}  // namespace

// --- set-arc-limits

Result<SetArcLimitsProcedure::Facts> SetArcLimitsProcedure::observe(const Params& params, Work& work, const Progress&) {
  const auto host = settings_of(params.node, work);
  if (!host) return Error(host.error());
  Facts facts{.max = host->arc_max};
  facts.seen.zfs = host->arc_max && host->arc_min;
  if (!facts.seen.zfs) facts.conflict = fmt::format("There is no ARC on {}.", params.node);
  FlatMap<std::string> ours;
  for (const ModprobeOption& option : host->modprobe) {
    if (option.file == kOwnModprobeFile) {
      ours.set(option.name, option.value);
    } else if (params.options.contains(option.name)) {
      facts.seen.foreign = true;
      facts.conflict =
          fmt::format("{} on {} sets {}={} and is not ours.", option.file, params.node, option.name, option.value);
    }
  }
  facts.seen.file_as_wanted = std::ranges::all_of(params.options, [&ours](const auto& option) {
    const std::string* there = ours.find(option.first);
    return there != nullptr && *there == option.second;
  });
  facts.seen.limits_as_wanted =
      (params.max.bytes == 0 || host->arc_max == params.max) && (params.min.bytes == 0 || host->arc_min == params.min);
  return facts;
}

Status SetArcLimitsProcedure::write_file(const Params& params, const Facts&, Work& work) {
  const Status done = work.zfs()->write_modprobe(params.node, params.options);
  if (!done) return Error(done.error()).during(fmt::format("writing {} on {}", kOwnModprobeFile, params.node));
  return Done{};
}

Status SetArcLimitsProcedure::set_limits(const Params& params, const Facts& facts, Work& work) {
  std::vector<std::pair<std::string, std::string>> set;
  if (params.max.bytes != 0) set.emplace_back("zfs_arc_max", std::to_string(params.max.bytes));
  // Fact: a minimum above the maximum is ignored, and so is a maximum that is not above the minimum. A minimum that
  // fits below the present maximum goes first, so that the maximum may come down to it; any other goes last.
  const bool first = facts.max && params.min <= *facts.max;
  if (params.min.bytes != 0)
    set.emplace(first ? set.begin() : set.end(), "zfs_arc_min", std::to_string(params.min.bytes));
  const Status done = work.zfs()->set_parameters(params.node, set);
  if (!done) return Error(done.error()).during(fmt::format("setting the limits of the ARC of {}", params.node));
  return Done{};
}

// --- set-pool-properties

Result<SetPoolPropertiesProcedure::Facts> SetPoolPropertiesProcedure::observe(const Params& params, Work& work,
                                                                              const Progress&) {
  const auto host = settings_of(params.node, work);
  if (!host) return Error(host.error());
  Facts facts;
  const LiveZpool* pool = host->zpool(params.pool);
  facts.seen.present = pool != nullptr;
  facts.conflict = fmt::format("There is no zpool {} on {}.", params.pool, params.node);
  if (pool == nullptr) return facts;
  facts.seen.as_wanted = std::ranges::all_of(params.set, [pool](const auto& property) {
    return property.first == "autotrim" && property.second == (pool->autotrim ? "on" : "off");
  });
  return facts;
}

Status SetPoolPropertiesProcedure::write(const Params& params, const Facts&, Work& work) {
  const Status done = work.zfs()->set_pool_properties(params.node, params.pool, params.set);
  if (!done) return Error(done.error()).during(fmt::format("setting properties of zpool {}", params.pool));
  return Done{};
}

// --- set-trim-timer

Result<SetTrimTimerProcedure::Facts> SetTrimTimerProcedure::observe(const Params& params, Work& work, const Progress&) {
  const auto host = settings_of(params.node, work);
  if (!host) return Error(host.error());
  Facts facts;
  facts.seen.present = host->zpool(params.pool) != nullptr;
  facts.conflict = fmt::format("There is no zpool {} on {}.", params.pool, params.node);
  facts.seen.wanted = params.timer == "none" || is_enabled(*host, trim_unit(params.timer, params.pool));
  for (const std::string_view timer : kTimers)
    facts.seen.others =
        facts.seen.others || (timer != params.timer && is_enabled(*host, trim_unit(timer, params.pool)));
  return facts;
}

Status SetTrimTimerProcedure::enable(const Params& params, const Facts&, Work& work) {
  const std::string unit = trim_unit(params.timer, params.pool);
  const Status done = work.zfs()->set_timer(params.node, unit, true);
  if (!done) return Error(done.error()).during(fmt::format("enabling {} on {}", unit, params.node));
  return Done{};
}

Status SetTrimTimerProcedure::disable_others(const Params& params, const Facts&, Work& work) {
  for (const std::string_view timer : kTimers) {
    if (timer == params.timer) continue;
    const std::string unit = trim_unit(timer, params.pool);
    const Status done = work.zfs()->set_timer(params.node, unit, false);
    if (!done) return Error(done.error()).during(fmt::format("disabling {} on {}", unit, params.node));
  }
  return Done{};
}

}  // namespace pvr
