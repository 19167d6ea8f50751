#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "providers/host/command_runner.h"
#include "simulator/simulator.h"

namespace pvr::testing {

/// What befalls the nth command (counted from 1) of a client.
enum class HostMishap : std::uint8_t {
  kNone,
  kLoseAnswer,  // it happens, the connection is lost before its answer
  kKillBefore,  // the client dies before it is sent
  kKillAfter    // the client dies when it has happened
};

/// Commands go straight into a simulated cluster. A client that was killed gets no connection any more. For commands
/// that are killed on their way, and for those that fail, the cluster's own faults (host-cut, host-fail) are there.
class SimulatedRunner final : public CommandRunner {
 public:
  struct Plan {
    HostMishap mishap = HostMishap::kNone;
    int nth = 0;
    std::function<bool(const Command&)> counts = {};  // which commands count; empty: those that act
    std::function<void(const Command&)> before = {};  // called for every command, before it runs
  };
  explicit SimulatedRunner(pvesim::Simulator& simulator) : simulator_(simulator) {}
  SimulatedRunner(pvesim::Simulator& simulator, Plan plan) : simulator_(simulator), plan_(std::move(plan)) {}
  [[nodiscard]] Result<CommandOutput> run(const Command& command) override;
  /// Commands that counted, so far.
  [[nodiscard]] int commands() const;
  [[nodiscard]] int round_trips() const;

 private:
  pvesim::Simulator& simulator_;
  Plan plan_ = {};
  mutable std::mutex mutex_;
  int commands_ = 0;
  int round_trips_ = 0;
  bool dead_ = false;
};

}  // namespace pvr::testing
