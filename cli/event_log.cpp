#include "cli/event_log.h"

#include "cli/json_view.h"
#include "reconciler/base/timestamp.h"

namespace pvr::cli {

EventLog::EventLog(const std::string& file, const Plan& plan, const Clock& clock)
    : file_(file, std::ios::app), plan_(plan), clock_(clock) {}

void EventLog::emit(const Event& event) {
  const std::lock_guard lock(mutex_);
  file_ << event_json(plan_, event, rfc3339(clock_.wall(), Precision::kMilliseconds)) << '\n' << std::flush;
}

void EventFan::emit(const Event& event) {
  for (EventSink* sink : sinks_) sink->emit(event);
}

}  // namespace pvr::cli
