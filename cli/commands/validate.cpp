#include <fmt/format.h>

#include <memory>
#include <ostream>
#include <utility>

#include "cli/commands.h"
#include "cli/json_view.h"
#include "cli/load.h"
#include "reconciler/model/facts.h"
#include "reconciler/resolve/resolve.h"
#include "schema/fleet_schema.h"

namespace pvr::cli {

ExitCode run_validate(const Invocation& invocation, Terminal& terminal) {
  Checked<FleetDocument> loaded = load_fleet_file(invocation.file);
  Diagnostics diagnostics = std::move(loaded.diagnostics);
  const auto document = std::make_shared<const FleetDocument>(*std::move(loaded.value));
  bool valid = !has_errors(diagnostics);
  if (valid) {
    // The rules can only be asked about a document that reads without errors.
    const Checked<ResolvedFleet> resolved = resolve(document, gather_facts(*document, nullptr));
    valid = resolved.ok();
    diagnostics.insert(diagnostics.end(), resolved.diagnostics.begin(), resolved.diagnostics.end());
    sort_diagnostics(diagnostics);
  }
  if (invocation.output == OutputForm::kJson) {
    terminal.out << diagnostics_json(diagnostics, *document->sources, valid);
  } else {
    tell_diagnostics(invocation, terminal, diagnostics, *document->sources);
    if (valid && !invocation.quiet) {
      terminal.out << fmt::format("{} is valid: {}, {}.\n", invocation.file, counted(document->vms.size(), "VM", "VMs"),
                                  counted(document->storages.size(), "storage", "storages"));
    }
  }
  return valid ? ExitCode::kDone : ExitCode::kError;
}

}  // namespace pvr::cli
