#include "cli/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <iostream>

#include "providers/pve/connection_options.h"

namespace pvr::cli {

Terminal process_terminal() {
  Terminal terminal{.in = std::cin, .out = std::cout, .err = std::cerr};
  terminal.in_is_terminal = isatty(STDIN_FILENO) == 1;
  terminal.out_is_terminal = isatty(STDOUT_FILENO) == 1;
  terminal.err_is_terminal = isatty(STDERR_FILENO) == 1;
  winsize size = {};
  if (terminal.out_is_terminal && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0) terminal.columns = size.ws_col;
  terminal.environment = process_environment();
  return terminal;
}

bool wants_colour(const Invocation& invocation, const Terminal& terminal, bool is_terminal) {
  if (invocation.colour != ColourWish::kAuto) return invocation.colour == ColourWish::kAlways;
  const auto no_colour = terminal.environment.find("NO_COLOR");
  if (no_colour != terminal.environment.end() && !no_colour->second.empty()) return false;
  const auto kind = terminal.environment.find("TERM");
  if (kind != terminal.environment.end() && kind->second == "dumb") return false;
  return is_terminal;
}

TextOptions out_options(const Invocation& invocation, const Terminal& terminal) {
  return {.style = Style(wants_colour(invocation, terminal, terminal.out_is_terminal)), .columns = terminal.columns};
}

TextOptions err_options(const Invocation& invocation, const Terminal& terminal) {
  return {.style = Style(wants_colour(invocation, terminal, terminal.err_is_terminal)), .columns = terminal.columns};
}

void tell_error(const Invocation& invocation, Terminal& terminal, const std::string& text) {
  terminal.err << err_options(invocation, terminal).style.red("error") << ": " << printable(text) << '\n';
}

void tell(const Invocation& invocation, Terminal& terminal, const std::string& text) {
  if (!invocation.quiet) terminal.err << text << '\n';
}

}  // namespace pvr::cli
