#include "cli/progress_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <ostream>
#include <variant>

#include "cli/describe.h"

namespace pvr::cli {
namespace {

constexpr std::size_t kBarWidth = 24;
constexpr auto kRedrawEvery = std::chrono::milliseconds(100);

std::string bar(double fraction) {
  const auto full = static_cast<std::size_t>(std::clamp(fraction, 0.0, 1.0) * static_cast<double>(kBarWidth));
  std::string out;
  for (std::size_t i = 0; i < kBarWidth; ++i) out += i < full ? "█" : "░";
  return out;
}

int percent(double fraction) { return static_cast<int>(std::clamp(fraction, 0.0, 1.0) * 100.0); }

}  // namespace

ProgressView::ProgressView(std::ostream& out, const Plan& plan, const Clock& clock, Options options)
    : out_(out), plan_(plan), clock_(clock), options_(options) {}

void ProgressView::emit(const Event& event) {
  const std::lock_guard lock(mutex_);
  std::visit([this](const auto& e) { on(e); }, event);
  out_.flush();
}

std::string ProgressView::name_of(OperationId id) const {
  const auto operation = std::ranges::find(plan_.operations, id, &Operation::id);
  if (operation == plan_.operations.end()) return fmt::format("operation {}", id);
  return fmt::format("{}: {}", to_text(operation->address), printable(describe(*operation)));
}

std::string ProgressView::pace(const Running& running) const {
  const std::chrono::duration<double> span = clock_.steady() - running.first_seen;
  if (running.done <= running.first_done || span.count() < 0.5) return {};
  const double rate = static_cast<double>(running.done.bytes - running.first_done.bytes) / span.count();
  std::string text = to_human(ByteRate{static_cast<std::uint64_t>(rate)});
  if (running.total > running.done) {
    const double left = static_cast<double>(running.total.bytes - running.done.bytes) / rate;
    text += fmt::format(", {} left", to_human(std::chrono::seconds(static_cast<std::int64_t>(left) + 1)));
  }
  return text;
}

std::string ProgressView::bar_line(OperationId id, const Running& running) const {
  const Style& style = options_.style;
  std::string line;
  if (!running.waits_on.empty()) {
    line = fmt::format("  {} {}", style.yellow("waits for " + printable(running.waits_on)), name_of(id));
  } else if (running.has_progress) {
    const std::string speed = pace(running);
    // The name comes last: it is what may be cut on a narrow terminal.
    line = fmt::format("  {} {:>3} %", style.cyan(bar(running.fraction)), percent(running.fraction));
    if (running.total.bytes != 0) line += fmt::format("  {} of {}", to_human(running.done), to_human(running.total));
    if (!speed.empty()) line += "  " + speed;
    line += "  " + name_of(id);
  } else {
    const auto age = std::chrono::duration_cast<std::chrono::seconds>(clock_.steady() - running.started);
    line = fmt::format("  {} {}", style.cyan("…"), name_of(id));
    if (!running.step.empty()) line += style.dim(" (" + printable(running.step) + ")");
    if (age.count() > 2) line += "  " + to_human(age);
  }
  return shortened(line, options_.columns == 0 ? 80 : options_.columns);
}

void ProgressView::note(const std::string& line) {
  const std::lock_guard lock(mutex_);
  say(line);
  draw(true);
  out_ << std::flush;
}

void ProgressView::erase() {
  // The cursor need not be at the start of its line: a terminal echoes ^C.
  if (drawn_ != 0) out_ << fmt::format("\r\x1b[{}A\x1b[J", drawn_);
  drawn_ = 0;
}

void ProgressView::draw(bool now) {
  if (!options_.terminal || options_.quiet) return;
  const auto time = clock_.steady();
  if (!now && time - last_draw_ < kRedrawEvery) return;
  last_draw_ = time;
  erase();
  for (const auto& [id, running] : running_) {
    out_ << bar_line(id, running) << '\n';
    ++drawn_;
  }
}

void ProgressView::say(const std::string& line) {
  erase();
  out_ << line << '\n';
}

void ProgressView::on(const RunStarted& event) {
  if (!options_.quiet && event.operations != 0)
    say(fmt::format("Applying {}.", counted(event.operations, "operation", "operations")));
}

void ProgressView::on(const OperationStarted& event) {
  Running& running = running_[event.operation];
  running.started = clock_.steady();
  if (!options_.terminal && !options_.quiet)
    say(fmt::format("[{}/{}] {}", event.operation, plan_.operations.size(), name_of(event.operation)));
  draw(true);
}

void ProgressView::on(const StepStarted& event) {
  Running& running = running_[event.operation];
  running.step = event.step;
  running.waits_on.clear();
  draw(false);
}

void ProgressView::on(const TaskStarted& event) {
  Running& running = running_[event.operation];
  running.waits_on.clear();
  running.has_progress = false;
  running.told_tenths = 0;
  draw(false);
}

void ProgressView::on(const TaskProgress& event) {
  Running& running = running_[event.operation];
  running.waits_on.clear();
  running.fraction = event.fraction;
  running.done = event.done;
  running.total = event.total;
  if (!running.has_progress) {
    running.has_progress = true;
    running.first_done = event.done;
    running.first_seen = clock_.steady();
  }
  if (options_.terminal) {
    draw(false);
    return;
  }
  const int tenths = percent(event.fraction) / 10;
  if (options_.quiet || tenths <= running.told_tenths) return;
  running.told_tenths = tenths;
  const std::string speed = pace(running);
  std::string line = fmt::format("[{}/{}] {} %", event.operation, plan_.operations.size(), percent(event.fraction));
  if (event.total.bytes != 0) line += fmt::format(", {} of {}", to_human(event.done), to_human(event.total));
  if (!speed.empty()) line += ", " + speed;
  say(line);
}

void ProgressView::on(const Waiting& event) {
  Running& running = running_[event.operation];
  const bool news = running.waits_on != event.on;
  running.waits_on = event.on;
  if (!options_.terminal && !options_.quiet && news) {
    say(fmt::format("[{}/{}] waits for {}", event.operation, plan_.operations.size(), printable(event.on)));
  }
  draw(false);
}

void ProgressView::on(const OperationFinished& event) {
  const auto at = running_.find(event.operation);
  const bool was_running = at != running_.end();
  const auto age = was_running ? std::chrono::duration_cast<std::chrono::seconds>(clock_.steady() - at->second.started)
                               : std::chrono::seconds(0);
  if (was_running) running_.erase(at);
  ++finished_;
  const bool good = event.outcome == Outcome::kDone || event.outcome == Outcome::kAlready;
  if (!good || !options_.quiet) {
    const Style& style = options_.style;
    const std::string word(to_text(event.outcome));
    const std::string counter = fmt::format("[{}/{}]", event.operation, plan_.operations.size());
    const std::string painted = good ? style.green(word)
                                : event.outcome == Outcome::kFailed || event.outcome == Outcome::kConflict
                                    ? style.red(word)
                                    : style.yellow(word);
    std::string line = fmt::format("{} {}  {}", counter, painted, name_of(event.operation));
    if (age.count() > 0) line += style.dim(fmt::format("  {}", to_human(age)));
    if (!event.detail.empty()) line += ": " + printable(event.detail);
    say(line);
  }
  draw(true);
}

void ProgressView::on(const RunFinished&) {
  erase();
  running_.clear();
}

}  // namespace pvr::cli
