#pragma once

#include <fstream>
#include <mutex>
#include <string>
#include <vector>

#include "reconciler/model/plan.h"
#include "reconciler/ports/clock.h"
#include "reconciler/ports/event_sink.h"

namespace pvr::cli {

/// Writes one JSON record per line and event (docs/json-formats.md), flushed at once. Safe from several threads.
class EventLog final : public EventSink {
 public:
  /// Appends to `file`. `plan` and `clock` must outlive the log. Check good() afterwards.
  EventLog(const std::string& file, const Plan& plan, const Clock& clock);
  [[nodiscard]] bool good() const { return file_.good(); }
  void emit(const Event& event) override;

 private:
  std::mutex mutex_;
  std::ofstream file_;
  const Plan& plan_;
  const Clock& clock_;
};

/// Hands every event to several sinks, which must outlive it.
class EventFan final : public EventSink {
 public:
  void add(EventSink& sink) { sinks_.push_back(&sink); }
  void emit(const Event& event) override;

 private:
  std::vector<EventSink*> sinks_;
};

}  // namespace pvr::cli
