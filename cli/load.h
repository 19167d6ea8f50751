#pragma once

#include <memory>
#include <optional>

#include "cli/command_line.h"
#include "cli/terminal.h"
#include "reconciler/base/diagnostic.h"
#include "reconciler/model/fleet_document.h"

namespace pvr::cli {

/// Reads the fleet of the invocation and prints every diagnostic on err, with a closing count. Nothing when it has
/// errors.
[[nodiscard]] std::shared_ptr<const FleetDocument> load_or_tell(const Invocation& invocation, Terminal& terminal);

/// Prints diagnostics as a compiler does, then "2 errors, 1 warning." Notices are left out with --quiet.
void tell_diagnostics(const Invocation& invocation, Terminal& terminal, const Diagnostics& diagnostics,
                      const SourceSet& sources);

}  // namespace pvr::cli
