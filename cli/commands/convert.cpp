#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <ostream>
#include <utility>

#include "cli/commands.h"
#include "cli/layout.h"
#include "cli/load.h"
#include "cli/outcome.h"
#include "schema/terraform_source.h"

namespace pvr::cli {

ExitCode run_convert(const Invocation& invocation, Terminal& terminal) {
  const auto refuse = [&](const std::string& text) {
    tell_error(invocation, terminal, text);
    return ExitCode::kError;
  };
  if (!invocation.fleet_out.empty() && std::filesystem::exists(invocation.fleet_out))
    return refuse(fmt::format("{} exists already; nothing is overwritten", invocation.fleet_out));
  const auto text = text_of_file(invocation.file);
  if (!text) return fail_with(invocation, terminal, text.error());
  auto fleet = fleet_from_terraform(*text);
  if (!fleet) return fail_with(invocation, terminal, std::move(fleet).error().during("reading " + invocation.file));
  if (invocation.fleet_out.empty()) {
    terminal.out << fleet->text;
  } else {
    std::ofstream file(invocation.fleet_out, std::ios::binary);
    file << fleet->text;
    file.close();
    if (!file) return refuse(fmt::format("{} cannot be written", invocation.fleet_out));
    tell(invocation, terminal,
         fmt::format("{} in {}. To see what differs: pvereconcile plan {}", counted(fleet->vms, "VM", "VMs"),
                     invocation.fleet_out, invocation.fleet_out));
  }
  for (const std::string& remark : fleet->remarks) tell(invocation, terminal, "Not taken over: " + printable(remark));
  return ExitCode::kDone;
}

}  // namespace pvr::cli
