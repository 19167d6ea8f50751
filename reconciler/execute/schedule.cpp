#include "reconciler/execute/schedule.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace pvr {

Schedule::Schedule(const std::vector<Operation>& operations, ScheduleLimits limits)
    : nodes_(operations.size()), limits_(limits) {
  limits_.parallelism = std::max(1U, limits_.parallelism);
  limits_.copies_per_node = std::max(1U, limits_.copies_per_node);
  for (const Operation& operation : operations) {
    Node& here = node(operation.id);
    here.after = operation.after;
    here.locks = operation.locks;
    here.in_any_case = operation.in_any_case;
    // A lock named twice would wait for itself.
    std::ranges::sort(here.locks);
    here.locks.erase(std::unique(here.locks.begin(), here.locks.end()), here.locks.end());
    for (const OperationId before : operation.after) node(before).before.push_back(operation.id);
  }
}

std::uint32_t places_of(const std::string& lock, const ScheduleLimits& limits) {
  return lock.starts_with("copy/") ? limits.copies_per_node : 1;
}

std::vector<OperationId> Schedule::ready() const {
  std::vector<OperationId> answer;
  if (stopped_) return answer;
  auto held = held_;
  std::size_t running = running_;
  for (OperationId id = 1; id <= nodes_.size() && running < limits_.parallelism; ++id) {
    const Node& here = node(id);
    if (here.state != State::kWaiting) continue;
    const bool before_done = std::ranges::all_of(here.after, [&](OperationId a) {
      const State state = node(a).state;
      const bool ended = state == State::kFailed || state == State::kSkipped;
      return state == State::kSucceeded || (here.in_any_case && ended);
    });
    const bool locks_free = std::ranges::all_of(here.locks, [&](const std::string& lock) {
      const auto at = held.find(lock);
      return at == held.end() || at->second < places_of(lock, limits_);
    });
    if (!before_done || !locks_free) continue;
    for (const std::string& lock : here.locks) ++held[lock];
    ++running;
    answer.push_back(id);
  }
  return answer;
}

void Schedule::started(OperationId id) {
  node(id).state = State::kRunning;
  ++running_;
  for (const std::string& lock : node(id).locks) ++held_[lock];
}

void Schedule::finished(OperationId id, Outcome outcome) {
  const bool good = outcome == Outcome::kDone || outcome == Outcome::kAlready;
  node(id).state = good ? State::kSucceeded : State::kFailed;
  --running_;
  for (const std::string& lock : node(id).locks) {
    if (--held_[lock] == 0) held_.erase(lock);
  }
  if (!good) skip_dependants(id, id);
}

void Schedule::skip_dependants(OperationId id, OperationId blame) {
  std::vector<OperationId> todo = node(id).before;
  while (!todo.empty()) {
    const OperationId next = todo.back();
    todo.pop_back();
    if (node(next).state != State::kWaiting || node(next).in_any_case) continue;
    node(next).state = State::kSkipped;
    node(next).blame = blame;
    todo.insert(todo.end(), node(next).before.begin(), node(next).before.end());
  }
}

void Schedule::stop(Outcome outcome, std::string detail) {
  if (stopped_) return;  // the first reason counts
  stopped_ = true;
  stop_outcome_ = outcome;
  stop_detail_ = std::move(detail);
}

bool Schedule::over() const {
  if (running_ > 0) return false;
  return stopped_ || std::ranges::none_of(nodes_, [](const Node& n) { return n.state == State::kWaiting; });
}

std::vector<OperationReport> Schedule::unstarted() const {
  std::vector<OperationReport> reports;
  for (OperationId id = 1; id <= nodes_.size(); ++id) {
    const Node& here = node(id);
    if (here.state == State::kSkipped)
      reports.push_back({.operation = id,
                         .outcome = Outcome::kSkipped,
                         .detail = fmt::format("It needs operation {}, which did not succeed.", here.blame),
                         .warnings = {}});
    if (here.state == State::kWaiting)
      reports.push_back({.operation = id, .outcome = stop_outcome_, .detail = stop_detail_, .warnings = {}});
  }
  return reports;
}

}  // namespace pvr
