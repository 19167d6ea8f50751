#include "simulator/wire/faults.h"

#include <array>

namespace pvesim {
namespace {

constexpr std::array<std::pair<FaultAction, std::string_view>, 17> kNames = {{
    {FaultAction::kDelay, "delay"},
    {FaultAction::kStatus, "status"},
    {FaultAction::kDrop, "drop"},
    {FaultAction::kLoseAnswer, "lose-answer"},
    {FaultAction::kRefuse, "refuse"},
    {FaultAction::kProxyError, "proxy-error"},
    {FaultAction::kTaskFail, "task-fail"},
    {FaultAction::kTaskStall, "task-stall"},
    {FaultAction::kHostFail, "host-fail"},
    {FaultAction::kHostRefuse, "host-refuse"},
    {FaultAction::kHostDrop, "host-drop"},
    {FaultAction::kHostLoseAnswer, "host-lose-answer"},
    {FaultAction::kHostCut, "host-cut"},
    {FaultAction::kNodeDown, "node-down"},
    {FaultAction::kNodeUp, "node-up"},
    {FaultAction::kLoseQuorum, "lose-quorum"},
    {FaultAction::kGainQuorum, "gain-quorum"},
}};

}  // namespace

bool glob_match(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = pattern.npos;
  std::size_t resume = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != pattern.npos) {
      p = star + 1;
      t = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

std::string_view fault_name(FaultAction action) {
  for (const auto& [value, name] : kNames)
    if (value == action) return name;
  return {};
}

bool parse_fault_name(std::string_view name, FaultAction& action) {
  for (const auto& [value, known] : kNames)
    if (known == name) {
      action = value;
      return true;
    }
  return false;
}

std::vector<std::string_view> fault_names() {
  std::vector<std::string_view> names;
  names.reserve(std::size(kNames));
  for (const auto& [value, name] : kNames) names.push_back(name);
  return names;
}

void FaultScript::set_random(RandomFaults random) {
  rng_.seed(random.seed);
  random_ = std::move(random);
}

void FaultScript::clear() {
  rules_.clear();
  random_ = {};
}

bool FaultScript::acts(Rule& rule) {
  ++rule.matched;
  if (rule.matched < rule.fault.nth) return false;
  if (rule.fault.times != 0 && rule.acted >= rule.fault.times) return false;
  ++rule.acted;
  ++fired_;
  return true;
}

double FaultScript::chance() {
  // Not std::uniform_real_distribution: its values differ between standard libraries.
  return static_cast<double>(rng_() >> 11U) / 9007199254740992.0;
}

std::vector<Fault> FaultScript::for_request(std::string_view method, std::string_view path) {
  std::vector<Fault> hits;
  for (Rule& rule : rules_) {
    if (rule.fault.for_tasks() || rule.fault.for_host()) continue;
    if (!rule.fault.method.empty() && rule.fault.method != method) continue;
    if (glob_match(rule.fault.path, path) && acts(rule)) hits.push_back(rule.fault);
  }
  if (random_.rate > 0 && !random_.actions.empty() && chance() < random_.rate) {
    Fault fault;
    fault.action = random_.actions[static_cast<std::size_t>(rng_() % random_.actions.size())];
    fault.delay = random_.delay;
    fault.message = "random fault";
    fault.status = fault.action == FaultAction::kProxyError ? 596 : 500;
    ++fired_;
    hits.push_back(std::move(fault));
  }
  return hits;
}

bool FaultScript::for_step(std::string_view task, std::string_view id, std::string_view step, Fault& fault) {
  for (Rule& rule : rules_) {
    if (!rule.fault.for_tasks()) continue;
    if (!glob_match(rule.fault.task, task) || !glob_match(rule.fault.id, id)) continue;
    if (!glob_match(rule.fault.step, step) || !acts(rule)) continue;
    fault = rule.fault;
    return true;
  }
  if (random_.task_rate > 0 && chance() < random_.task_rate) {
    fault = {};
    fault.action = FaultAction::kTaskFail;
    fault.message = "random fault";
    ++fired_;
    return true;
  }
  return false;
}

bool FaultScript::for_command(std::string_view command, Fault& fault) {
  for (Rule& rule : rules_) {
    if (!rule.fault.for_host() || !glob_match(rule.fault.path, command) || !acts(rule)) continue;
    fault = rule.fault;
    return true;
  }
  return false;
}

}  // namespace pvesim
