#pragma once

#include <memory>

#include "providers/pve/connection_options.h"
#include "terraform-plugin/provider/log.h"

namespace pvr::tf {

/// Lines of JSON on standard error, in the form the CLIs read (hclog), as much as TF_LOG_PROVIDER, else TF_LOG, asks
/// for; nothing where neither does. A line is written at once.
[[nodiscard]] std::unique_ptr<Log> hclog(const Environment& environment);

}  // namespace pvr::tf
