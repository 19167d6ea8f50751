#pragma once

#include <string>
#include <vector>

#include "cli/exit_code.h"
#include "cli/terminal.h"
#include "reconciler/base/result.h"
#include "reconciler/model/event.h"
#include "reconciler/model/plan.h"

namespace pvr::cli {

/// Exit code of `plan`. Changes that are pending count only with --detailed-exitcode; a plan of a cluster that was read
/// in part is kPartly before anything else, because nobody may take it for the whole truth.
[[nodiscard]] ExitCode code_of(const Plan& plan, bool detailed);
/// Exit code of `apply`: interrupted before failed before partly before blocked.
[[nodiscard]] ExitCode code_of(const Plan& plan, const ApplyReport& report);
/// Exit code of an error from outside.
[[nodiscard]] ExitCode code_of(const Error& error);
/// Says the error and gives its exit code.
[[nodiscard]] ExitCode fail_with(const Invocation& invocation, Terminal& terminal, const Error& error);

/// Whether `text` is a plan file rather than a fleet.
[[nodiscard]] bool is_plan_file(const std::string& text);
/// Options whose values a plan file does not hold ("vm/db-01 cipassword"), sorted; such a plan cannot be applied from
/// the file.
[[nodiscard]] std::vector<std::string> withheld_options(const Plan& plan);

}  // namespace pvr::cli
