#pragma once

#include <string_view>

#include "reconciler/base/result.h"

namespace pvr {

/// What kind of failure an error text of PVE tells; kServer for one nobody knows. Fact: PVE answers nearly every
/// failure with status 500, so the text is all there is.
[[nodiscard]] ErrorKind kind_of_text(std::string_view text);
/// The same for the text a task ended with: locks, digests and quorum are met inside tasks, too; everything else is
/// kTaskFailed, because the task may have got far before it failed.
[[nodiscard]] ErrorKind kind_of_task_text(std::string_view text);

}  // namespace pvr
