#include "providers/host/command_runner.h"

namespace pvr {

CommandOutput by_lines(const Command& command, CommandOutput output) {
  if (!command.on_line) return output;
  std::string_view rest = output.out;
  for (auto end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
    command.on_line(rest.substr(0, end));
    rest.remove_prefix(end + 1);
  }
  if (!rest.empty()) command.on_line(rest);
  output.out.clear();
  return output;
}

}  // namespace pvr
