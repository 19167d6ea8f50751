#include <fmt/format.h>

#include <fstream>
#include <ostream>
#include <utility>

#include "cli/commands.h"
#include "cli/interruption.h"
#include "cli/json_view.h"
#include "cli/junit_view.h"
#include "cli/load.h"
#include "cli/markdown_view.h"
#include "cli/outcome.h"
#include "cli/planning.h"

namespace pvr::cli {
namespace {

std::string shown(const Plan& plan, const Invocation& invocation, const Terminal& terminal) {
  switch (invocation.output) {
    case OutputForm::kJson:
      return plan_json(plan);
    case OutputForm::kMarkdown:
      return plan_markdown(plan);
    case OutputForm::kJunit:
      return plan_junit(plan);
    default:
      break;
  }
  return plan_text(plan, out_options(invocation, terminal));
}

}  // namespace

ExitCode run_plan(const Invocation& invocation, Terminal& terminal) {
  Interruption interruption([&](const std::string&) { tell(invocation, terminal, "Interrupted."); });
  const auto document = load_or_tell(invocation, terminal);
  if (!document) return ExitCode::kError;

  const auto session = open_session(invocation, terminal, document->cluster, interruption.token());
  if (!session) return fail_with(invocation, terminal, session.error());
  const auto made = plan(session->pve(), session->clock(), document, session->options, interruption.token());
  if (!made) return fail_with(invocation, terminal, made.error());
  tell_diagnostics(invocation, terminal, made->diagnostics, *document->sources);
  if (!made->ok()) return ExitCode::kError;

  terminal.out << shown(made->plan, invocation, terminal);
  if (!invocation.plan_out.empty()) {
    std::ofstream file(invocation.plan_out, std::ios::trunc);
    file << print_plan(made->plan);
    file.close();
    if (!file) {
      tell_error(invocation, terminal, fmt::format("{} cannot be written", invocation.plan_out));
      return ExitCode::kError;
    }
    tell(invocation, terminal,
         fmt::format("Saved to {0}. To carry it out: pvereconcile apply {0}", invocation.plan_out));
  }
  return code_of(made->plan, invocation.detailed_exitcode);
}

ExitCode run_show(const Invocation& invocation, Terminal& terminal) {
  const auto text = text_of_file(invocation.file);
  if (!text) return fail_with(invocation, terminal, text.error());
  if (!is_plan_file(*text)) {
    tell_error(invocation, terminal, fmt::format("{} is no saved plan; plan --out makes one", invocation.file));
    return ExitCode::kError;
  }
  auto plan = parse_plan(*text);
  if (!plan) return fail_with(invocation, terminal, std::move(plan).error().during("reading " + invocation.file));
  terminal.out << shown(*plan, invocation, terminal);
  return code_of(*plan, invocation.detailed_exitcode);
}

}  // namespace pvr::cli
