#pragma once

#include <cstddef>
#include <functional>
#include <iosfwd>
#include <map>
#include <string>

#include "cli/command_line.h"
#include "cli/text_view.h"

namespace pvr::cli {

/// The world around one run of the program. `out` is the result, `err` is for the person in front of it.
struct Terminal {
  std::istream& in;
  std::ostream& out;
  std::ostream& err;
  bool in_is_terminal = false;
  bool out_is_terminal = false;
  bool err_is_terminal = false;
  std::size_t columns = 0;  // 0: unknown
  std::map<std::string, std::string, std::less<>> environment = {};
};

/// Streams, width and environment of this process.
[[nodiscard]] Terminal process_terminal();

/// Whether to colour a stream: what the command line says, else NO_COLOR and TERM=dumb, else whether it is a terminal.
[[nodiscard]] bool wants_colour(const Invocation& invocation, const Terminal& terminal, bool is_terminal);
[[nodiscard]] TextOptions out_options(const Invocation& invocation, const Terminal& terminal);
[[nodiscard]] TextOptions err_options(const Invocation& invocation, const Terminal& terminal);

/// "error: …" on err.
void tell_error(const Invocation& invocation, Terminal& terminal, const std::string& text);
/// A line on err unless --quiet.
void tell(const Invocation& invocation, Terminal& terminal, const std::string& text);

}  // namespace pvr::cli
