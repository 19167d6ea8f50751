#include <fmt/format.h>

#include <memory>
#include <ostream>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/load.h"
#include "cli/role_view.h"
#include "reconciler/resolve/explain.h"
#include "schema/fleet_schema.h"

namespace pvr::cli {
namespace {

std::shared_ptr<const FleetDocument> roles_of(const Invocation& invocation, Terminal& terminal) {
  if (!invocation.file.empty()) return load_or_tell(invocation, terminal);
  Checked<FleetDocument> builtin = load_fleet(SourceSet());
  return std::make_shared<const FleetDocument>(*std::move(builtin.value));
}

}  // namespace

ExitCode run_role_list(const Invocation& invocation, Terminal& terminal) {
  const auto document = roles_of(invocation, terminal);
  if (!document) return ExitCode::kError;
  const std::vector<RoleView> roles = list_roles(*document);
  const bool json = invocation.output == OutputForm::kJson;
  terminal.out << (json ? roles_json(roles) : roles_text(roles, out_options(invocation, terminal)));
  return ExitCode::kDone;
}

ExitCode run_role_show(const Invocation& invocation, Terminal& terminal) {
  const auto document = roles_of(invocation, terminal);
  if (!document) return ExitCode::kError;
  const std::string& name = invocation.words.front();
  const auto role = show_role(*document, name);
  if (!role) {
    std::vector<std::string_view> names;
    for (const WrittenRole& known : document->roles) names.push_back(known.name);
    tell_error(invocation, terminal, fmt::format("there is no role \"{}\".{}", name, did_you_mean(name, names)));
    return ExitCode::kError;
  }
  const bool json = invocation.output == OutputForm::kJson;
  terminal.out << (json ? roles_json(std::span(&*role, 1)) : role_text(*role, out_options(invocation, terminal)));
  return ExitCode::kDone;
}

}  // namespace pvr::cli
