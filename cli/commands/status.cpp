#include <fmt/format.h>

#include <algorithm>
#include <ostream>
#include <set>

#include "cli/commands.h"
#include "cli/interruption.h"
#include "cli/json_view.h"
#include "cli/load.h"
#include "cli/outcome.h"
#include "cli/planning.h"
#include "cli/status_view.h"

namespace pvr::cli {
namespace {

/// Leaves only what --target names; the address of a disk stands for its VM.
bool keep_targets(Diff& diff, const std::vector<std::string>& targets, std::string& unknown) {
  if (targets.empty()) return true;
  std::set<ResourceAddress> wanted;
  for (const std::string& target : targets) {
    const auto address = parse_address(target);
    const auto is_it = [&](const auto& entry) {
      return address && entry.address.kind == address->kind && entry.address.name == address->name;
    };
    if (std::ranges::none_of(diff.vms, is_it) && std::ranges::none_of(diff.storages, is_it) &&
        std::ranges::none_of(diff.hosts, is_it)) {
      unknown = target;
      return false;
    }
    wanted.insert({address->kind, address->name, {}});
  }
  const auto other = [&wanted](const auto& entry) {
    return !wanted.contains({entry.address.kind, entry.address.name, {}});
  };
  std::erase_if(diff.vms, other);
  std::erase_if(diff.storages, other);
  std::erase_if(diff.hosts, other);
  return true;
}

}  // namespace

ExitCode run_status(const Invocation& invocation, Terminal& terminal) {
  Interruption interruption([&](const std::string&) { tell(invocation, terminal, "Interrupted."); });
  const auto document = load_or_tell(invocation, terminal);
  if (!document) return ExitCode::kError;
  const auto session = open_session(invocation, terminal, document->cluster, interruption.token());
  if (!session) return fail_with(invocation, terminal, session.error());
  auto found = status(session->pve(), session->clock(), document, session->options, interruption.token());
  if (!found) return fail_with(invocation, terminal, found.error());
  tell_diagnostics(invocation, terminal, found->diagnostics, *document->sources);
  if (has_errors(found->diagnostics)) return ExitCode::kError;
  std::string unknown;
  if (!keep_targets(found->diff, invocation.targets, unknown)) {
    tell_error(invocation, terminal, fmt::format("--target {}: the fleet has no such VM, storage or host", unknown));
    return ExitCode::kError;
  }
  const bool json = invocation.output == OutputForm::kJson;
  terminal.out << (json
                       ? status_json(found->fleet, found->diff, found->live)
                       : status_text(found->diff, found->live.gaps, invocation.all, out_options(invocation, terminal)));
  return found->live.partial ? ExitCode::kPartly : ExitCode::kDone;
}

}  // namespace pvr::cli
