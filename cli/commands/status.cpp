#include "cli/status_view.h"

#include <ostream>

#include "cli/commands.h"
#include "cli/interruption.h"
#include "cli/json_view.h"
#include "cli/load.h"
#include "cli/outcome.h"
#include "cli/planning.h"

namespace pvr::cli {

ExitCode run_status(const Invocation& invocation, Terminal& terminal) {
  Interruption interruption([&](const std::string&) { tell(invocation, terminal, "Interrupted."); });
  const auto document = load_or_tell(invocation, terminal);
  if (!document) return ExitCode::kError;
  const auto fail = [&](const Error& error) {
    tell_error(invocation, terminal, error.text());
    return code_of(error);
  };
  const auto connection = Connection::open(invocation, terminal, document->cluster, interruption.token());
  if (!connection) return fail(connection.error());
  const auto options = engine_options(invocation, document->cluster, **connection);
  if (!options) return fail(options.error());
  const auto found = status((*connection)->pve(), (*connection)->clock(), document, *options, interruption.token());
  if (!found) return fail(found.error());
  tell_diagnostics(invocation, terminal, found->diagnostics, *document->sources);
  if (has_errors(found->diagnostics)) return ExitCode::kError;
  const bool json = invocation.output == OutputForm::kJson;
  terminal.out << (json
                       ? status_json(found->diff, found->live.gaps)
                       : status_text(found->diff, found->live.gaps, invocation.all, out_options(invocation, terminal)));
  return found->live.partial ? ExitCode::kPartly : ExitCode::kDone;
}

}  // namespace pvr::cli
