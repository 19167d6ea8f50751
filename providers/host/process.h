#pragma once

#include "providers/host/command_runner.h"
#include "reconciler/base/result.h"

namespace pvr {

/// Runs `command.argv` as a process of this machine, looked up on PATH; `node` is not looked at.
///
/// The process has a process group of its own, so that Ctrl-C reaches only us, and no signal of ours blocked or
/// ignored. At a limit or a stop its group gets TERM, two seconds later KILL; it is always awaited, never left as a
/// zombie.
[[nodiscard]] Result<CommandOutput> run_process(const Command& command);

}  // namespace pvr
