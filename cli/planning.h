#pragma once

#include "cli/command_line.h"
#include "cli/connect.h"
#include "cli/terminal.h"
#include "reconciler/base/result.h"
#include "reconciler/engine/engine.h"
#include "reconciler/engine/limits.h"

namespace pvr::cli {

/// What the command line and the fleet say about planning. Error: a word that cannot be read.
[[nodiscard]] Result<EngineOptions> engine_options(const Invocation& invocation, const WrittenCluster& document,
                                                   const Connection& connection);

}  // namespace pvr::cli
