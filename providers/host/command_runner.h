#pragma once

#include <chrono>
#include <functional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/base/result.h"

namespace pvr {

/// One command on one node.
struct Command {
  std::string node = {};
  std::vector<std::string> argv = {};       // passed word by word; no shell ever splits or expands it
  std::string input = {};                   // its whole standard input
  std::chrono::milliseconds limit{60'000};  // for the whole command; zero: none
  std::chrono::milliseconds silence{0};     // longest time without a line on standard output; zero: any
  /// Gets each line of standard output (without its end) as it comes, from the calling thread; `out` stays empty then.
  std::function<void(std::string_view)> on_line = {};
  std::stop_token stop = {};  // ends the command
  bool acts = false;          // it may change the node: an end nobody saw is Effect::kPossible
};

struct CommandOutput {
  int exit_code = 0;  // 128 + N when signal N ended it
  std::string out = {};
  std::string err = {};
};

/// For a runner that has the whole output at once: gives the lines to `on_line`, where the command has one.
[[nodiscard]] CommandOutput by_lines(const Command& command, CommandOutput output);

/// Runs commands on nodes. Safe from several threads. A command that ran and failed is no error here, its exit code
/// tells. Errors: kUnreachable (no connection, host key refused, connection lost on the way), kForbidden (the node
/// refuses this user), kTimeout, kInterrupted (by `stop`), kMalformed (more output than can be meant). `effect` is
/// kPossible for a command that `acts` and may have begun.
class CommandRunner {
 public:
  virtual ~CommandRunner() = default;
  [[nodiscard]] virtual Result<CommandOutput> run(const Command& command) = 0;
};

}  // namespace pvr
