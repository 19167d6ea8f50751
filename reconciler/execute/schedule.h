#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "reconciler/model/event.h"
#include "reconciler/model/plan.h"

namespace pvr {

struct ScheduleLimits {
  std::uint32_t parallelism = 8;      // operations at the same time; at least 1
  std::uint32_t copies_per_node = 2;  // holders of one "copy/…" lock at the same time; at least 1
};

/// How many may hold the lock at the same time: `copies_per_node` for one named "copy/…", else one.
[[nodiscard]] std::uint32_t places_of(const std::string& lock, const ScheduleLimits& limits);

/// Decides which operations may run now. Pure: no threads, no clock; the caller brings both.
///
/// An operation is ready when everything in `after` succeeded, nobody holds one of its locks, and there is room. A lock
/// named "copy/…" has `copies_per_node` places, any other one. The same calls give the same answers. A failure skips
/// what depends on it, directly or not, and nothing else; an operation with `in_any_case` runs when what comes before
/// has ended, however.
class Schedule {
 public:
  /// `after` of every operation names operations of the plan; ids are position + 1 (verify_plan's promise).
  Schedule(const std::vector<Operation>& operations, ScheduleLimits limits);

  /// Operations that may start now, all of them together, in plan order.
  [[nodiscard]] std::vector<OperationId> ready() const;
  void started(OperationId id);
  void finished(OperationId id, Outcome outcome);
  /// From now on nothing is ready; what runs may finish. `outcome` is what the rest gets.
  void stop(Outcome outcome, std::string detail);

  /// Nothing runs, and nothing will.
  [[nodiscard]] bool over() const;
  [[nodiscard]] std::size_t running() const { return running_; }
  /// Of operations that never ran: kSkipped with the operation that failed before, or what stop() said.
  [[nodiscard]] std::vector<OperationReport> unstarted() const;

 private:
  enum class State : std::uint8_t { kWaiting, kRunning, kSucceeded, kFailed, kSkipped };
  struct Node {
    State state = State::kWaiting;
    std::vector<OperationId> after = {};
    std::vector<OperationId> before = {};
    std::vector<std::string> locks = {};
    OperationId blame = 0;
    bool in_any_case = false;
  };
  [[nodiscard]] Node& node(OperationId id) { return nodes_[id - 1]; }
  [[nodiscard]] const Node& node(OperationId id) const { return nodes_[id - 1]; }
  void skip_dependants(OperationId id, OperationId blame);

  std::vector<Node> nodes_;
  ScheduleLimits limits_;
  std::map<std::string, std::uint32_t> held_;
  std::size_t running_ = 0;
  bool stopped_ = false;
  Outcome stop_outcome_ = Outcome::kSkipped;
  std::string stop_detail_;
};

}  // namespace pvr
