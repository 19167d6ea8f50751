#include "tests/support/simulated_runner.h"

#include <string_view>

namespace pvr::testing {

Result<CommandOutput> SimulatedRunner::run(const Command& command) {
  const auto no_way = [&](Effect effect) {
    return Error{.kind = ErrorKind::kUnreachable,
                 .message = "no ssh connection to node \"" + command.node + "\"",
                 .effect = effect};
  };
  HostMishap mishap = HostMishap::kNone;
  {
    const std::scoped_lock lock(mutex_);
    if (dead_) return no_way(Effect::kNone);
    ++round_trips_;
    const bool counts = plan_.counts ? plan_.counts(command) : command.acts;
    if (counts && ++commands_ == plan_.nth) mishap = plan_.mishap;
    if (mishap == HostMishap::kKillBefore || mishap == HostMishap::kKillAfter) dead_ = true;
  }
  if (mishap == HostMishap::kKillBefore) return no_way(Effect::kNone);
  if (plan_.before) plan_.before(command);
  if (command.stop.stop_requested()) return Error{.kind = ErrorKind::kInterrupted, .message = "stopped"};
  pvesim::CommandAnswer answer = simulator_.run_command(command.node, command.argv, command.input);
  const Effect effect = command.acts ? Effect::kPossible : Effect::kNone;
  if (mishap != HostMishap::kNone || answer.delivery == pvesim::Delivery::kLost) return no_way(effect);
  if (answer.delivery != pvesim::Delivery::kAnswer)
    return no_way(answer.delivery == pvesim::Delivery::kConnectRefused ? Effect::kNone : effect);
  return by_lines(command, {.exit_code = answer.exit_code, .out = std::move(answer.out), .err = std::move(answer.err)});
}

int SimulatedRunner::commands() const {
  const std::scoped_lock lock(mutex_);
  return commands_;
}

int SimulatedRunner::round_trips() const {
  const std::scoped_lock lock(mutex_);
  return round_trips_;
}

}  // namespace pvr::testing
