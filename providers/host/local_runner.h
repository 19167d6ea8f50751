#pragma once

#include <string>

#include "providers/host/command_runner.h"

namespace pvr {

/// Commands on the node this program itself runs on; any other node is kUnreachable.
class LocalRunner final : public CommandRunner {
 public:
  explicit LocalRunner(std::string node) : node_(std::move(node)) {}
  [[nodiscard]] Result<CommandOutput> run(const Command& command) override;

 private:
  std::string node_;
};

/// This machine's name up to the first dot, as PVE names nodes.
[[nodiscard]] std::string short_host_name();
/// Whether this machine is a node of a PVE cluster.
[[nodiscard]] bool is_pve_node();

}  // namespace pvr
