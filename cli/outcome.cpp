#include "cli/outcome.h"

#include <algorithm>
#include <variant>
#include <vector>

namespace pvr::cli {
namespace {

bool blocked(const Plan& plan) { return std::ranges::any_of(plan.blocked, &BlockedItem::by_policy); }

}  // namespace

ExitCode code_of(const Plan& plan, bool detailed) {
  if (plan.partial) return ExitCode::kPartly;
  if (!plan.empty()) return detailed ? ExitCode::kChanges : ExitCode::kDone;
  return blocked(plan) ? ExitCode::kBlocked : ExitCode::kDone;
}

ExitCode code_of(const Plan& plan, const ApplyReport& report) {
  if (report.interrupted) return ExitCode::kInterrupted;
  if (!report.all_done() || !report.stopped_by.empty()) {
    const bool any_done =
        std::ranges::any_of(report.operations, [](const OperationReport& r) { return r.outcome == Outcome::kDone; });
    return any_done ? ExitCode::kPartly : ExitCode::kError;
  }
  if (plan.partial) return ExitCode::kPartly;
  return blocked(plan) ? ExitCode::kBlocked : ExitCode::kDone;
}

ExitCode code_of(const Error& error) {
  return error.kind == ErrorKind::kInterrupted ? ExitCode::kInterrupted : ExitCode::kError;
}

ExitCode fail_with(const Invocation& invocation, Terminal& terminal, const Error& error) {
  tell_error(invocation, terminal, error.text());
  return code_of(error);
}

bool is_plan_file(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\r\n");
  return first != std::string::npos && text[first] == '{' &&
         text.find("\"pvereconcile.plan-file\"") != std::string::npos;
}

std::vector<std::string> withheld_options(const Plan& plan) {
  std::vector<std::string> names;
  for (const Operation& operation : plan.operations) {
    std::visit(
        [&](const auto& procedure) {
          if constexpr (requires { procedure.withheld; }) {
            for (const std::string& key : procedure.withheld) names.push_back(to_text(operation.address) + " " + key);
          }
        },
        operation.procedure);
  }
  std::ranges::sort(names);
  return names;
}

}  // namespace pvr::cli
