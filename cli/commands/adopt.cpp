#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <ostream>

#include "cli/adopt_view.h"
#include "cli/commands.h"
#include "cli/interruption.h"
#include "cli/load.h"
#include "cli/outcome.h"
#include "cli/planning.h"
#include "reconciler/engine/adopt.h"
#include "schema/fleet_schema.h"

namespace pvr::cli {

ExitCode run_adopt(const Invocation& invocation, Terminal& terminal) {
  Interruption interruption([&](const std::string&) { tell(invocation, terminal, "Interrupted."); });
  if (!invocation.fleet_out.empty() && std::filesystem::exists(invocation.fleet_out)) {
    tell_error(invocation, terminal, fmt::format("{} exists already; nothing is overwritten", invocation.fleet_out));
    return ExitCode::kError;
  }
  const auto session = open_session(invocation, terminal, WrittenCluster{}, interruption.token());
  if (!session) return fail_with(invocation, terminal, session.error());
  const auto found = audit_cluster(session->pve(), session->clock(), nullptr, session->options, interruption.token());
  if (!found) return fail_with(invocation, terminal, found.error());
  SourceSet nothing;
  nothing.add("adopted", "version: 1\n");
  const Checked<FleetDocument> base = load_fleet(std::move(nothing));
  const Adopted adopted = adopt(*base.value, found->live, found->report, {.improve = invocation.improve});
  const std::string text = fleet_text(adopted, found->live.cluster_name);
  if (invocation.fleet_out.empty()) {
    terminal.out << text;
  } else {
    std::ofstream file(invocation.fleet_out, std::ios::binary);
    file << text;
    file.close();
    if (!file) {
      tell_error(invocation, terminal, fmt::format("{} cannot be written", invocation.fleet_out));
      return ExitCode::kError;
    }
    tell(invocation, terminal,
         fmt::format("{} in {}. To see what a plan makes of it: pvereconcile plan {}",
                     counted(adopted.document.vms.size(), "VM", "VMs"), invocation.fleet_out, invocation.fleet_out));
  }
  for (const std::string& sentence : adopted.left_out) tell(invocation, terminal, "Left out: " + sentence);
  return found->report.partial ? ExitCode::kPartly : ExitCode::kDone;
}

}  // namespace pvr::cli
