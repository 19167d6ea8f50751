#include "cli/simulated.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "cli/builtin_cluster.h"
#include "simulator/simulator.h"

namespace pvr::cli {

namespace {

class SimulatedNodes final : public CommandRunner {
 public:
  explicit SimulatedNodes(pvesim::Simulator& simulator) : simulator_(simulator) {}
  Result<CommandOutput> run(const Command& command) override {
    if (command.stop.stop_requested()) return Error{.kind = ErrorKind::kInterrupted, .message = "stopped"};
    pvesim::CommandAnswer answer = simulator_.run_command(command.node, command.argv, command.input);
    if (answer.delivery != pvesim::Delivery::kAnswer)
      return Error{.kind = ErrorKind::kUnreachable,
                   .message = "no connection to node \"" + command.node + "\"",
                   .effect = command.acts && answer.delivery != pvesim::Delivery::kConnectRefused ? Effect::kPossible
                                                                                                  : Effect::kNone};
    return by_lines(command,
                    {.exit_code = answer.exit_code, .out = std::move(answer.out), .err = std::move(answer.err)});
  }

 private:
  pvesim::Simulator& simulator_;
};

}  // namespace

std::unique_ptr<CommandRunner> SimulatedCluster::runner() { return std::make_unique<SimulatedNodes>(*simulator_); }

SimulatedCluster::SimulatedCluster() = default;
SimulatedCluster::~SimulatedCluster() = default;

Result<std::unique_ptr<SimulatedCluster>> SimulatedCluster::start(const SimulatedOptions& options) {
  std::unique_ptr<SimulatedCluster> cluster(new SimulatedCluster());
  pvesim::SimulatorOptions how;
  if (options.clock_scale > 0) how.clock_scale = options.clock_scale;
  try {
    cluster->simulator_ = options.file.empty()
                              ? pvesim::Simulator::from_text(builtin_cluster(), how, "built-in cluster")
                              : pvesim::Simulator::from_file(options.file, how);
    (void)cluster->simulator_->listen({.address = options.address, .port = options.port});
  } catch (const pvesim::ClusterFileError& error) {
    std::string text;
    for (const std::string& problem : error.problems()) text += (text.empty() ? "" : "\n") + problem;
    return Error{.kind = ErrorKind::kRejected, .message = text};
  } catch (const std::exception& error) {
    return Error{.kind = ErrorKind::kRejected, .message = error.what()};
  }
  // A token of our own: the users of a cluster file and their secrets are its author's business.
  const pvesim::Response made =
      cluster->simulator_->admin_call("POST", "/access/users/root@pam/token/pvereconcile", {{"privsep", "0"}});
  const auto json = nlohmann::json::parse(made.body, nullptr, false);
  if (made.status != 200 || !json.is_object() || !json.contains("data") || !json["data"].contains("value")) {
    return Error{.kind = ErrorKind::kRejected, .message = "the simulated cluster gave no token: " + made.reason};
  }
  cluster->token_id_ = "root@pam!pvereconcile";
  cluster->token_secret_ = json["data"]["value"].get<std::string>();
  cluster->url_ = cluster->simulator_->url();
  cluster->fingerprint_ = cluster->simulator_->fingerprint();
  return cluster;
}

}  // namespace pvr::cli
