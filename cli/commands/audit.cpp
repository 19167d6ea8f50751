#include <fmt/format.h>

#include <algorithm>
#include <ostream>

#include "cli/adopt_view.h"
#include "cli/audit_view.h"
#include "cli/commands.h"
#include "cli/html_view.h"
#include "cli/interruption.h"
#include "cli/json_view.h"
#include "cli/junit_view.h"
#include "cli/load.h"
#include "cli/markdown_view.h"
#include "cli/outcome.h"
#include "cli/planning.h"
#include "cli/sarif_view.h"
#include "reconciler/audit/audit.h"
#include "reconciler/base/timestamp.h"
#include "reconciler/engine/adopt.h"
#include "schema/fleet_schema.h"

namespace pvr::cli {
namespace {

std::string shown(const AuditReport& report, const Invocation& invocation, const Terminal& terminal,
                  const std::string& written) {
  switch (invocation.output) {
    case OutputForm::kJson:
      return audit_json(report);
    case OutputForm::kMarkdown:
      return audit_markdown(report);
    case OutputForm::kSarif:
      return audit_sarif(report, invocation.file);
    case OutputForm::kHtml:
      return audit_html(report, written);
    case OutputForm::kJunit:
      return audit_junit(report);
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

/// The plan that mends the selected findings: a fleet that keeps everything else as it is, through the same planner.
ExitCode show_fixes(const Invocation& invocation, Terminal& terminal, const Session& session, const AuditResult& found,
                    const std::stop_token& stop) {
  AdoptOptions how;
  for (const std::string& id : invocation.fix) {
    const auto at = std::ranges::find(found.report.findings, id, &AuditFinding::id);
    if (at == found.report.findings.end()) {
      tell_error(invocation, terminal, fmt::format("--fix {}: the audit has no such finding", id));
      return ExitCode::kError;
    }
    if (!at->fix.value) {
      tell_error(
          invocation, terminal,
          fmt::format("--fix {}: a fleet cannot say this{}", id,
                      at->fix.commands.empty() ? std::string() : "; the command is: " + at->fix.commands.front()));
      return ExitCode::kError;
    }
    how.fix.insert(id);
  }
  SourceSet nothing;
  nothing.add("adopted", "version: 1\n");
  const Checked<FleetDocument> base = load_fleet(std::move(nothing));
  const Adopted adopted = adopt(*base.value, found.live, found.report, how);
  for (const std::string& id : how.fix) {
    const bool taken =
        std::ranges::any_of(adopted.choices, [&](const AdoptChoice& c) { return c.taken && c.finding == id; });
    if (taken) continue;
    tell_error(invocation, terminal, fmt::format("--fix {}: its guest cannot be described by a fleet", id));
    return ExitCode::kError;
  }
  SourceSet sources;
  sources.add("(findings)", fleet_text(adopted, found.live.cluster_name));
  Checked<FleetDocument> fleet = load_fleet(std::move(sources));
  if (!fleet.ok()) {
    tell_diagnostics(invocation, terminal, fleet.diagnostics, *fleet.value->sources);
    return ExitCode::kError;
  }
  const auto made = plan(session.pve(), session.clock(), std::make_shared<const FleetDocument>(std::move(*fleet.value)),
                         session.options, stop);
  if (!made) return fail_with(invocation, terminal, made.error());
  terminal.out << (invocation.output == OutputForm::kJson    ? plan_json(made->plan)
                   : invocation.output == OutputForm::kJunit ? plan_junit(made->plan)
                   : invocation.output == OutputForm::kMarkdown
                       ? plan_markdown(made->plan)
                       : plan_text(made->plan, out_options(invocation, terminal)));
  return code_of(made->plan, false);
}

}  // namespace

ExitCode run_audit(const Invocation& invocation, Terminal& terminal) {
  Interruption interruption([&](const std::string&) { tell(invocation, terminal, "Interrupted."); });
  std::shared_ptr<const FleetDocument> document;
  if (!invocation.file.empty()) {
    document = load_or_tell(invocation, terminal);
    if (!document) return ExitCode::kError;
  }
  std::shared_ptr<const FleetDocument> accepted;
  if (!invocation.suppressions.empty()) {
    Invocation other = invocation;
    other.file = invocation.suppressions;
    accepted = load_or_tell(other, terminal);
    if (!accepted) return ExitCode::kError;
  }
  const WrittenCluster cluster = document ? document->cluster : WrittenCluster{};
  const auto session = open_session(invocation, terminal, cluster, interruption.token());
  if (!session) return fail_with(invocation, terminal, session.error());
  auto found = audit_cluster(session->pve(), session->clock(), document, session->options, interruption.token());
  if (!found) return fail_with(invocation, terminal, found.error());
  if (document) tell_diagnostics(invocation, terminal, found->diagnostics, *document->sources);
  if (accepted) suppress(found->report, accepted->suppressions, session->clock().wall());
  if (!invocation.fix.empty()) return show_fixes(invocation, terminal, *session, *found, interruption.token());
  terminal.out << shown(found->report, invocation, terminal, rfc3339(session->clock().wall()));
  if (found->report.partial) return ExitCode::kPartly;
  return fails(found->report, invocation.fail_on) ? ExitCode::kChanges : ExitCode::kDone;
}

}  // namespace pvr::cli
