#pragma once

#include <string>
#include <vector>

#include "cli/command_line.h"
#include "cli/exit_code.h"
#include "cli/terminal.h"

namespace pvr::cli {

// One function per command; each prints its result to out and everything else to err.
[[nodiscard]] ExitCode run_validate(const Invocation& invocation, Terminal& terminal);
[[nodiscard]] ExitCode run_plan(const Invocation& invocation, Terminal& terminal);
[[nodiscard]] ExitCode run_show(const Invocation& invocation, Terminal& terminal);
[[nodiscard]] ExitCode run_apply(const Invocation& invocation, Terminal& terminal);
[[nodiscard]] ExitCode run_gc(const Invocation& invocation, Terminal& terminal);
[[nodiscard]] ExitCode run_rollback(const Invocation& invocation, Terminal& terminal);
[[nodiscard]] ExitCode run_explain(const Invocation& invocation, Terminal& terminal);
[[nodiscard]] ExitCode run_audit(const Invocation& invocation, Terminal& terminal);
[[nodiscard]] ExitCode run_adopt(const Invocation& invocation, Terminal& terminal);
[[nodiscard]] ExitCode run_convert(const Invocation& invocation, Terminal& terminal);
[[nodiscard]] ExitCode run_doctor(const Invocation& invocation, Terminal& terminal);
[[nodiscard]] ExitCode run_status(const Invocation& invocation, Terminal& terminal);
[[nodiscard]] ExitCode run_role_list(const Invocation& invocation, Terminal& terminal);
[[nodiscard]] ExitCode run_role_show(const Invocation& invocation, Terminal& terminal);
[[nodiscard]] ExitCode run_simulate(const Invocation& invocation, Terminal& terminal);

/// The whole program: parses `arguments` (without the program's name), runs the command, answers the exit code.
[[nodiscard]] ExitCode run(const std::vector<std::string>& arguments, Terminal& terminal);

}  // namespace pvr::cli
