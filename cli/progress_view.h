#pragma once

#include <chrono>
#include <cstddef>
#include <iosfwd>
#include <map>
#include <mutex>
#include <string>

#include "cli/layout.h"
#include "reconciler/model/plan.h"
#include "reconciler/ports/clock.h"
#include "reconciler/ports/event_sink.h"

namespace pvr::cli {

/// Shows a run while it goes on: on a terminal one bar per running operation with rate and remaining time, redrawn in
/// place; elsewhere plain lines, at most one per operation and ten percent. Safe from several threads.
class ProgressView final : public EventSink {
 public:
  struct Options {
    bool terminal = false;
    std::size_t columns = 80;
    Style style = {};
    bool quiet = false;  // only failures
  };
  /// All three must outlive the view.
  ProgressView(std::ostream& out, const Plan& plan, const Clock& clock, Options options);
  void emit(const Event& event) override;
  /// A line of its own, above the bars.
  void note(const std::string& line);

 private:
  struct Running {
    std::string step = {};
    std::string waits_on = {};
    double fraction = 0.0;
    ByteSize done = {};
    ByteSize total = {};
    ByteSize first_done = {};  // at the first progress seen: rates count from there
    std::chrono::steady_clock::time_point first_seen = {};
    std::chrono::steady_clock::time_point started = {};
    bool has_progress = false;
    int told_tenths = 0;
  };

  void on(const RunStarted& event);
  void on(const OperationStarted& event);
  void on(const StepStarted& event);
  void on(const TaskStarted& event);
  void on(const TaskProgress& event);
  void on(const Waiting& event);
  void on(const OperationFinished& event);
  void on(const RunFinished& event);

  [[nodiscard]] std::string name_of(OperationId id) const;
  /// "412 MiB/s, 6 min left", as far as it can be told.
  [[nodiscard]] std::string pace(const Running& running) const;
  [[nodiscard]] std::string bar_line(OperationId id, const Running& running) const;
  void say(const std::string& line);
  void draw(bool now);
  void erase();

  std::mutex mutex_;
  std::ostream& out_;
  const Plan& plan_;
  const Clock& clock_;
  Options options_;
  std::map<OperationId, Running> running_;
  std::size_t finished_ = 0;
  std::size_t drawn_ = 0;  // lines of bars on the screen now
  std::chrono::steady_clock::time_point last_draw_ = {};
};

}  // namespace pvr::cli
