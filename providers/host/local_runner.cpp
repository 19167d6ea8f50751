#include "providers/host/local_runner.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <string_view>
#include <system_error>

#include "providers/host/process.h"

namespace pvr {

Result<CommandOutput> LocalRunner::run(const Command& command) {
  if (command.node != node_)
    return Error{.kind = ErrorKind::kUnreachable,
                 .message = fmt::format("node \"{}\" is not this machine (\"{}\")", command.node, node_)};
  Command local = command;
  local.argv.insert(local.argv.begin(), {"/usr/bin/env", "LC_ALL=C", "PATH=/usr/sbin:/usr/bin:/sbin:/bin"});
  return run_process(local);
}

std::string short_host_name() {
  std::array<char, 256> name{};
  if (::gethostname(name.data(), name.size() - 1) != 0) return {};
  const std::string_view text(name.data());
  return std::string(text.substr(0, text.find('.')));
}

bool is_pve_node() {
  std::error_code ignored;
  return std::filesystem::exists("/etc/pve/local", ignored);
}

}  // namespace pvr
