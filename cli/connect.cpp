#include "cli/connect.h"

#include <utility>

#include "providers/host/host_access.h"

namespace pvr::cli {

Result<std::unique_ptr<Connection>> Connection::open(const Invocation& invocation, const Terminal& terminal,
                                                     const WrittenCluster& document, std::stop_token stop) {
  auto connection = std::make_unique<Connection>();
  ConnectionOptions options;
  if (invocation.simulate) {
    auto started = SimulatedCluster::start({.file = *invocation.simulate});
    if (!started) return std::move(started).error();
    connection->simulated_ = std::move(started).value();
    const SimulatedCluster& cluster = *connection->simulated_;
    options.endpoints = {cluster.url()};
    options.fingerprints = {cluster.fingerprint()};
    options.token_id = cluster.token_id();
    options.token_secret = Secret(cluster.token_secret());
  } else {
    ConnectionFlags flags;
    flags.endpoints = invocation.endpoints;
    flags.token_file = invocation.token_file.value_or("");
    flags.ca_file = invocation.ca_file.value_or("");
    flags.fingerprint = invocation.fingerprint.value_or("");
    auto found = connection_options(terminal.environment, flags, document);
    if (!found) return std::move(found).error();
    options = std::move(found).value();
  }
  options.user_agent = "pvereconcile/" PVERECONCILE_VERSION;
  connection->as_root_ = options.token_id.empty() && options.user == "root@pam";
  connection->identity_ = options.token_id.empty() ? options.user : options.token_id;
  connection->trust_ = (options.endpoints.empty() ? std::string() : options.endpoints.front()) +
                       (!options.fingerprints.empty() ? ", certificate verified by its fingerprint"
                        : !options.ca_file.empty()    ? ", certificate verified by " + options.ca_file
                                                      : ", certificate verified by the system's authorities");
  connection->client_ = std::make_unique<PveClient>(std::move(options), connection->clock_, std::move(stop));
  connection->runner_ = invocation.simulate ? connection->simulated_->runner() : host_runner(document);
  if (connection->runner_)
    connection->zfs_ =
        std::make_unique<HostZfs>(*connection->runner_, connection->clock_, HostZfsOptions{.sudo = document.ssh_sudo});
  return connection;
}

}  // namespace pvr::cli
