#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "providers/host/command_runner.h"
#include "reconciler/base/result.h"

namespace pvr {

/// A file for /etc/sudoers.d that lets `user` run what host access runs as root, and nothing else. Error (kRejected):
/// not a user name. Who may feed programs to perl as root is root in all but name, and the text says so.
[[nodiscard]] Result<std::string> sudoers_text(std::string_view user);

/// Commands of those that need root which this user may not run on the node, as it would be typed; empty: all may be
/// run. Nothing is run for it but `sudo -n -l`, or `id -u` without sudo. Errors: as CommandRunner::run.
[[nodiscard]] Result<std::vector<std::string>> refused_commands(CommandRunner& runner, const std::string& node,
                                                                bool sudo);

/// A Debian package a node needs for host access, and what for.
struct NodePackage {
  std::string_view name = {};
  std::string_view what_for = {};
  std::string_view tool = {};  // of LiveHost::tools, where the reading looks for it; empty: it is not looked for
};
[[nodiscard]] const std::vector<NodePackage>& node_packages();

}  // namespace pvr
