#pragma once

#include <cstdint>

namespace pvr::cli {

/// What the process answers. The numbers are part of the interface (docs/exit-codes.md).
enum class ExitCode : std::uint8_t {
  kDone = 0,     // done, or nothing to do
  kError = 1,    // the fleet, the command line, the connection or a task is at fault
  kChanges = 2,  // plan --detailed-exitcode: changes are pending; audit --fail-on: there are findings
  kPartly = 3,   // applied or read in part: a node is offline, an operation failed
  kBlocked = 4,  // policy, space or a missing --allow stands in the way of everything that is left
  kInterrupted = 130
};

}  // namespace pvr::cli
