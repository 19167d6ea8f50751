#include "cli/event_log.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "cli/json_view.h"

namespace pvr::cli {

std::string rfc3339(std::chrono::system_clock::time_point time) {
  const auto since = time.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since);
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(since - seconds);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03}Z", fmt::gmtime(static_cast<std::time_t>(seconds.count())),
                     millis.count());
}

EventLog::EventLog(const std::string& file, const Plan& plan, const Clock& clock)
    : file_(file, std::ios::app), plan_(plan), clock_(clock) {}

void EventLog::emit(const Event& event) {
  const std::lock_guard lock(mutex_);
  file_ << event_json(plan_, event, rfc3339(clock_.wall())) << '\n' << std::flush;
}

void EventFan::emit(const Event& event) {
  for (EventSink* sink : sinks_) sink->emit(event);
}

}  // namespace pvr::cli
