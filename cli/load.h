#pragma once

#include <memory>
#include <string>

#include "cli/command_line.h"
#include "cli/terminal.h"
#include "reconciler/base/diagnostic.h"
#include "reconciler/base/result.h"
#include "reconciler/model/fleet_document.h"

namespace pvr::cli {

/// Reads the fleet of the invocation and prints every diagnostic on err, with a closing count. Nothing when it has
/// errors.
[[nodiscard]] std::shared_ptr<const FleetDocument> load_or_tell(const Invocation& invocation, Terminal& terminal);

/// The bytes of a file. A directory is an error, as is a file that cannot be read.
[[nodiscard]] Result<std::string> text_of_file(const std::string& name);

/// Prints diagnostics as a compiler does, then "2 errors, 1 warning." Notices are left out with --quiet.
void tell_diagnostics(const Invocation& invocation, Terminal& terminal, const Diagnostics& diagnostics,
                      const SourceSet& sources);

}  // namespace pvr::cli
