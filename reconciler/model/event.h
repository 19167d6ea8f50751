#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "reconciler/base/result.h"
#include "reconciler/base/units.h"
#include "reconciler/model/plan.h"

namespace pvr {

enum class Outcome : std::uint8_t { kDone, kAlready, kFailed, kConflict, kSkipped, kInterrupted };
[[nodiscard]] std::string_view to_text(Outcome outcome);

struct RunStarted {
  std::uint32_t operations = 0;
};
struct OperationStarted {
  OperationId operation = 0;
};
struct StepStarted {
  OperationId operation = 0;
  std::string step = {};
};
struct TaskStarted {
  OperationId operation = 0;
  std::string upid = {};
};
struct TaskProgress {
  OperationId operation = 0;
  std::string upid = {};
  double fraction = 0.0;
  ByteSize done = {};
  ByteSize total = {};
};
struct Waiting {
  OperationId operation = 0;
  std::string on = {};
};  // a lock, quorum, a node
struct OperationFinished {
  OperationId operation = 0;
  Outcome outcome = Outcome::kDone;
  std::string detail = {};
};
struct RunFinished {
  bool interrupted = false;
};
using Event = std::variant<RunStarted, OperationStarted, StepStarted, TaskStarted, TaskProgress, Waiting,
                           OperationFinished, RunFinished>;

struct OperationReport {
  OperationId operation = 0;
  Outcome outcome = Outcome::kSkipped;
  std::string detail = {};  // error text, or which operation it waited for
  std::vector<std::string> warnings = {};
};

/// How a run ended. `operations` has one entry per operation of the plan, in plan order.
struct ApplyReport {
  std::vector<OperationReport> operations = {};
  bool interrupted = false;
  std::string stopped_by = {};  // run-wide reason: lease lost, unauthorized, …
  [[nodiscard]] bool all_done() const;
};

}  // namespace pvr
