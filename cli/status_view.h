#pragma once

#include <string>
#include <vector>

#include "cli/text_view.h"
#include "reconciler/model/diff.h"

namespace pvr::cli {

/// The three truths per VM and storage: declared, configured, running. Only settings where they differ, unless `all`.
/// The last line sums up.
[[nodiscard]] std::string status_text(const Diff& diff, const std::vector<std::string>& gaps, bool all,
                                      const TextOptions& options);

/// True when every managed setting is declared, configured and running the same.
[[nodiscard]] bool is_in_sync(const Diff& diff);

}  // namespace pvr::cli
