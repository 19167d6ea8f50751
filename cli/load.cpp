#include "cli/load.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <ostream>
#include <system_error>
#include <utility>

#include "schema/fleet_schema.h"

namespace pvr::cli {

void tell_diagnostics(const Invocation& invocation, Terminal& terminal, const Diagnostics& diagnostics,
                      const SourceSet& sources) {
  const Colour colour = wants_colour(invocation, terminal, terminal.err_is_terminal) ? Colour::kOn : Colour::kOff;
  for (const Diagnostic& diagnostic : diagnostics) {
    if (invocation.quiet && diagnostic.severity == Severity::kNotice) continue;
    terminal.err << render(diagnostic, sources, colour);
  }
  const auto count = [&diagnostics](Severity severity) {
    return static_cast<std::size_t>(std::ranges::count(diagnostics, severity, &Diagnostic::severity));
  };
  const std::size_t errors = count(Severity::kError);
  const std::size_t warnings = count(Severity::kWarning);
  if (errors == 0 && warnings == 0) return;
  std::string line;
  if (errors != 0) line = counted(errors, "error", "errors");
  if (warnings != 0) line += (line.empty() ? "" : ", ") + counted(warnings, "warning", "warnings");
  tell(invocation, terminal, line + ".");
}

Result<std::string> text_of_file(const std::string& name) {
  std::error_code ignored;
  if (std::filesystem::is_directory(name, ignored))  // it can be opened, and throws when it is read
    return Error{.kind = ErrorKind::kRejected, .message = fmt::format("{} is a directory", name)};
  std::ifstream file(name, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file) return Error{.kind = ErrorKind::kRejected, .message = fmt::format("{} cannot be read", name)};
  return text;
}

std::shared_ptr<const FleetDocument> load_or_tell(const Invocation& invocation, Terminal& terminal) {
  Checked<FleetDocument> loaded = load_fleet_file(invocation.file);
  if (loaded.value && loaded.value->sources)
    tell_diagnostics(invocation, terminal, loaded.diagnostics, *loaded.value->sources);
  if (!loaded.ok()) return nullptr;
  return std::make_shared<const FleetDocument>(*std::move(loaded.value));
}

}  // namespace pvr::cli
