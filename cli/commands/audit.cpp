#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include "cli/audit_view.h"
#include "cli/commands.h"
#include "cli/interruption.h"
#include "cli/load.h"
#include "cli/outcome.h"
#include "cli/planning.h"

namespace pvr::cli {
namespace {

std::string shown(const AuditReport& report, const Invocation& invocation, const Terminal& terminal) {
  switch (invocation.output) {
    case OutputForm::kJson:
      return audit_json(report);
    case OutputForm::kMarkdown:
      return audit_markdown(report);
    case OutputForm::kText:
      break;
  }
  return audit_text(report, out_options(invocation, terminal));
}

/// Whether something is as bad as --fail-on says.
bool fails(const AuditReport& report, const std::string& limit) {
  if (limit.empty()) return false;
  const Severity least = limit == "error"     ? Severity::kError
                         : limit == "warning" ? Severity::kWarning
                                              : Severity::kNotice;
  return std::ranges::any_of(report.findings, [least](const AuditFinding& f) { return f.severity >= least; });
}

}  // namespace

ExitCode run_audit(const Invocation& invocation, Terminal& terminal) {
  Interruption interruption([&](const std::string&) { tell(invocation, terminal, "Interrupted."); });
  std::shared_ptr<const FleetDocument> document;
  if (!invocation.file.empty()) {
    document = load_or_tell(invocation, terminal);
    if (!document) return ExitCode::kError;
  }
  const auto fail = [&](const Error& error) {
    tell_error(invocation, terminal, error.text());
    return code_of(error);
  };
  const WrittenCluster cluster = document ? document->cluster : WrittenCluster{};
  const auto connection = Connection::open(invocation, terminal, cluster, interruption.token());
  if (!connection) return fail(connection.error());
  const auto options = engine_options(invocation, cluster, **connection);
  if (!options) return fail(options.error());
  const auto found =
      audit_cluster((*connection)->pve(), (*connection)->clock(), document, *options, interruption.token());
  if (!found) return fail(found.error());
  if (document) tell_diagnostics(invocation, terminal, found->diagnostics, *document->sources);
  terminal.out << shown(found->report, invocation, terminal);
  if (found->report.partial) return ExitCode::kPartly;
  return fails(found->report, invocation.fail_on) ? ExitCode::kChanges : ExitCode::kDone;
}

}  // namespace pvr::cli
