#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "providers/host/command_runner.h"
#include "providers/pve/http_transport.h"
#include "reconciler/ports/clock.h"
#include "reconciler/ports/event_sink.h"
#include "simulator/simulator.h"
#include "tests/fate/dice.h"
#include "tests/fate/story.h"
#include "tests/fate/weather.h"
#include "tests/support/simulated_runner.h"
#include "tests/support/simulated_transport.h"

namespace pvr::fate {

/// A mistake that is made on purpose, outside of the product: what the checks must find.
enum class Bug : std::uint8_t {
  kNone,
  kBlindRetry,      // a write whose answer was lost is sent again
  kNoDigest,        // writes carry no digest
  kUncheckedCopy,   // a copy counts as complete and verified whatever became of it
  kEarlyRetire,     // the original is put away before its copy is verified
  kHiddenPending,   // pending changes are not shown
  kLeaseUnchecked,  // the lease always seems to be ours
};
inline constexpr Bug kBugs[] = {Bug::kBlindRetry,  Bug::kNoDigest,      Bug::kUncheckedCopy,
                                Bug::kEarlyRetire, Bug::kHiddenPending, Bug::kLeaseUnchecked};
[[nodiscard]] std::string_view to_text(Bug bug);

/// One process of the tool: its ways to the cluster, its clock, and what befalls it. Used by one thread.
class Process {
 public:
  struct Parts {
    pvesim::Simulator& sim;
    Dice& dice;
    Story& story;
    std::string name = {};   // "A1"
    std::string nonce = {};  // of its lease
    Weather weather = {};
    Bug bug = Bug::kNone;
    std::function<void(Process&)> others = {};  // asked before each request and command
  };
  explicit Process(Parts parts) : parts_(std::move(parts)), runner_(parts_.sim) {
    for (const std::string& node : parts_.sim.node_names()) endpoints_["https://" + node + ":8006"] = node;
  }

  [[nodiscard]] Result<HttpResponse> send(const std::string& endpoint, const HttpRequest& request);
  [[nodiscard]] Result<CommandOutput> run(const Command& command);

  [[nodiscard]] const std::string& name() const { return parts_.name; }
  [[nodiscard]] const std::string& nonce() const { return parts_.nonce; }
  [[nodiscard]] const Weather& weather() const { return parts_.weather; }
  [[nodiscard]] Bug bug() const { return parts_.bug; }
  [[nodiscard]] bool dead() const { return dead_; }
  [[nodiscard]] int effects() const { return effects_; }
  [[nodiscard]] int faults() const { return faults_; }
  /// Writes while somebody else held the lease, or nobody. The first may have been on its way already.
  [[nodiscard]] const std::vector<std::string>& unleased() const { return unleased_; }
  /// Writes whose answer was lost and that were sent again without a look at the world in between.
  [[nodiscard]] int blind() const { return blind_; }
  /// The first write to the configuration of a guest that did not say which one it was made for.
  [[nodiscard]] const std::string& undigested() const { return undigested_; }
  std::chrono::seconds clock_error = {};  // of its machine's wall clock
  bool applying = false;                  // the lease counts

 private:
  enum class Verdict : std::uint8_t { kGoOn, kDieBefore, kDieAfter };
  [[nodiscard]] Verdict effect(const std::string& what);
  void judge_lease(const std::string& what);
  [[nodiscard]] bool chance(std::uint32_t permille);
  [[nodiscard]] Result<HttpResponse> pass_on(const std::string& endpoint, const HttpRequest& request);
  [[nodiscard]] Result<HttpResponse> falsify(const HttpRequest& request, Result<HttpResponse> answer);
  [[nodiscard]] std::string fake_task(const HttpRequest& request);

  Parts parts_;
  std::map<std::string, std::string> endpoints_;
  testing::SimulatedRunner runner_;
  bool dead_ = false;
  int effects_ = 0;
  int faults_ = 0;
  std::vector<std::string> unleased_;
  int blind_ = 0;
  std::string undigested_;
  std::string unanswered_;  // the last write, when its answer was lost and nothing was read since
  std::string refused_;     // the last write, when its connection was refused: nothing of it was sent
  std::string own_lease_;   // what it wrote itself; only for Bug::kLeaseUnchecked
};

class ProcessTransport final : public HttpTransport {
 public:
  explicit ProcessTransport(Process& process) : process_(process) {}
  [[nodiscard]] Result<HttpResponse> send(const std::string& endpoint, const HttpRequest& request) override {
    auto answer = process_.send(endpoint, request);
    const bool lost = answer ? answer->status >= 596 : answer.error().effect == Effect::kPossible;
    if (process_.bug() == Bug::kBlindRetry && request.method != "GET" && lost)
      answer = process_.send(endpoint, request);
    return answer;
  }

 private:
  Process& process_;
};

class ProcessRunner final : public CommandRunner {
 public:
  explicit ProcessRunner(Process& process) : process_(process) {}
  [[nodiscard]] Result<CommandOutput> run(const Command& command) override { return process_.run(command); }

 private:
  Process& process_;
};

/// The simulator's time, with the error of one machine's wall clock.
class ProcessClock final : public Clock {
 public:
  ProcessClock(pvesim::Simulator& sim, const Process& process) : inner_(sim), process_(process) {}
  [[nodiscard]] std::chrono::system_clock::time_point wall() const override {
    return inner_.wall() + process_.clock_error;
  }
  [[nodiscard]] std::chrono::steady_clock::time_point steady() const override { return inner_.steady(); }
  bool wait(std::chrono::milliseconds span, std::stop_token stop) override {
    // A dead process does not make the others wait.
    return process_.dead() ? !stop.stop_requested() : inner_.wait(span, std::move(stop));
  }

 private:
  testing::SimulatedClock inner_;
  const Process& process_;
};

}  // namespace pvr::fate
