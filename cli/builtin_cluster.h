#pragma once

#include <string>

namespace pvr::cli {

/// The cluster file of the homelab example, compiled in.
[[nodiscard]] std::string builtin_cluster();

}  // namespace pvr::cli
