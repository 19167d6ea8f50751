#include "cli/progress_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/unit/cli/golden.h"
#include "tests/unit/cli/sample_plan.h"

namespace pvr::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class HandClock final : public Clock {
 public:
  [[nodiscard]] std::chrono::system_clock::time_point wall() const override {
    return std::chrono::system_clock::time_point(time);
  }
  [[nodiscard]] std::chrono::steady_clock::time_point steady() const override {
    return std::chrono::steady_clock::time_point(time);
  }
  bool wait(std::chrono::milliseconds span, std::stop_token) override {
    time += span;
    return true;
  }
  std::chrono::milliseconds time = std::chrono::hours(1);
};

std::string shown(ProgressView::Options options) {
  const Plan plan = test::sample_plan();
  HandClock clock;
  std::ostringstream out;
  ProgressView view(out, plan, clock, options);
  const auto pass = [&clock](int seconds) { clock.time += std::chrono::seconds(seconds); };
  view.emit(RunStarted{4});
  view.emit(OperationStarted{1});
  view.emit(OperationFinished{1, Outcome::kDone, ""});
  view.emit(OperationStarted{2});
  view.emit(Waiting{2, "lock of storage SSD-r10-models"});
  pass(5);
  view.emit(TaskStarted{2, "UPID:x"});
  view.emit(TaskProgress{2, "UPID:x", 0.0, 0_GiB, 256_GiB});
  pass(60);
  view.emit(TaskProgress{2, "UPID:x", 0.25, 64_GiB, 256_GiB});
  view.emit(TaskProgress{2, "UPID:x", 0.25, 64_GiB, 256_GiB});
  pass(60);
  view.emit(TaskProgress{2, "UPID:x", 0.5, 128_GiB, 256_GiB});
  view.emit(OperationFinished{2, Outcome::kFailed, "no space left"});
  view.emit(OperationFinished{3, Outcome::kSkipped, "waits for operation 2"});
  view.emit(RunFinished{false});
  return out.str();
}

TEST(ProgressView, WithoutATerminalThereArePlainLines) {
  const std::string text = shown({.terminal = false, .columns = 80, .style = {}, .quiet = false});
  EXPECT_THAT(text, Not(HasSubstr("\x1b")));
  test::expect_golden("progress.txt", text);
}

TEST(ProgressView, ATerminalShowsRateAndRemainingTime) {
  const std::string text = shown({.terminal = true, .columns = 160, .style = {}, .quiet = false});
  EXPECT_THAT(text, HasSubstr("██████░░░░░░░░░░░░░░░░░░  25 %"));
  EXPECT_THAT(text, HasSubstr("64 GiB of 256 GiB"));
  EXPECT_THAT(text, HasSubstr("1.07 GiB/s, 3 min left"));
}

TEST(ProgressView, ANoteStaysAboveTheBars) {
  const Plan plan = test::sample_plan();
  HandClock clock;
  std::ostringstream out;
  ProgressView view(out, plan, clock, {.terminal = true, .columns = 80, .style = {}, .quiet = false});
  view.emit(OperationStarted{2});
  view.emit(TaskProgress{2, "UPID:x", 0.25, 64_GiB, 256_GiB});
  out.str("^C");  // echoed by the terminal behind the bar
  out.seekp(0, std::ios::end);
  view.note("Interrupted.");
  const std::string text = out.str();
  EXPECT_TRUE(text.starts_with("^C\r\x1b[1A\x1b[JInterrupted.\n")) << text;
  EXPECT_THAT(text, HasSubstr("25 %")) << "the bar is drawn again, below";
}

TEST(ProgressView, NoLineIsWiderThanTheTerminal) {
  std::istringstream lines(shown({.terminal = true, .columns = 50, .style = {}, .quiet = false}));
  std::string line;
  int bars = 0;
  while (std::getline(lines, line)) {
    if (line.find("█") == std::string::npos && line.find("░") == std::string::npos) continue;
    ++bars;
    EXPECT_LE(width_of(line.substr(line.find_last_of('J') + 1)), 50U) << line;
  }
  EXPECT_GT(bars, 0);
}

TEST(ProgressView, QuietTellsOnlyOfFailures) {
  const std::string text = shown({.terminal = false, .columns = 80, .style = {}, .quiet = true});
  EXPECT_THAT(text, HasSubstr("no space left"));
  EXPECT_THAT(text, Not(HasSubstr("SSD-r10 ")));
}

}  // namespace
}  // namespace pvr::cli
