#include "cli/load.h"

#include <algorithm>
#include <ostream>
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

std::shared_ptr<const FleetDocument> load_or_tell(const Invocation& invocation, Terminal& terminal) {
  Checked<FleetDocument> loaded = load_fleet_file(invocation.file);
  if (loaded.value && loaded.value->sources)
    tell_diagnostics(invocation, terminal, loaded.diagnostics, *loaded.value->sources);
  if (!loaded.ok()) return nullptr;
  return std::make_shared<const FleetDocument>(*std::move(loaded.value));
}

}  // namespace pvr::cli
