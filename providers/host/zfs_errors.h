#pragma once

#include "providers/host/command_runner.h"
#include "reconciler/base/result.h"

namespace pvr {

/// What a command that ended with another code than 0 tells; its last line on stderr is the message. A command that was
/// killed may have acted.
[[nodiscard]] Error classify_command(const Command& command, const CommandOutput& output);

}  // namespace pvr
