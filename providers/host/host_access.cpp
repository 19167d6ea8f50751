#include "providers/host/host_access.h"

#include <string>
#include <utility>

#include "providers/host/local_runner.h"
#include "providers/host/ssh_runner.h"

namespace pvr {
namespace {

class NodeRunner final : public CommandRunner {
 public:
  NodeRunner(SshOptions ssh, std::string here) : ssh_(std::move(ssh)), here_(std::move(here)), local_(here_) {}
  Result<CommandOutput> run(const Command& command) override {
    return !here_.empty() && command.node == here_ ? local_.run(command) : ssh_.run(command);
  }

 private:
  SshRunner ssh_;
  std::string here_;  // the node this program runs on; empty: none
  LocalRunner local_;
};

}  // namespace

std::unique_ptr<CommandRunner> host_runner(const WrittenCluster& document) {
  if (!document.ssh_user) return nullptr;
  SshOptions ssh;
  ssh.user = document.ssh_user->value;
  ssh.port = document.ssh_port.value_or(0);
  for (const auto& [node, address] : document.ssh_hosts) ssh.addresses.emplace(node, address.value);
  const bool local = document.ssh_local.value_or(is_pve_node());
  return std::make_unique<NodeRunner>(std::move(ssh), local ? short_host_name() : std::string());
}

}  // namespace pvr
