#include "reconciler/model/event.h"

#include <algorithm>

namespace pvr {

std::string_view to_text(Outcome outcome) {
  switch (outcome) {
    case Outcome::kDone:
      return "done";
    case Outcome::kAlready:
      return "already so";
    case Outcome::kFailed:
      return "failed";
    case Outcome::kConflict:
      return "conflict";
    case Outcome::kSkipped:
      return "skipped";
    case Outcome::kInterrupted:
      return "interrupted";
  }
  return "unknown";
}

bool ApplyReport::all_done() const {
  return std::ranges::all_of(operations, [](const OperationReport& report) {
    return report.outcome == Outcome::kDone || report.outcome == Outcome::kAlready;
  });
}

}  // namespace pvr
