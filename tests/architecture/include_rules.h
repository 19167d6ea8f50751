#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pvr::architecture {

/// Checks one source text against the rules of docs/architecture.md: who may include whom, which third-party headers a
/// folder owns, that none of them is in a header, and which parts of the standard library the pure folders do without.
/// `path` is relative to the root of the repository. Each answer is "path:line: what is wrong"; none means the file
/// obeys.
[[nodiscard]] std::vector<std::string> violations(std::string_view path, std::string_view text);

/// The folder whose rules hold for `path` ("reconciler/policy", "cli"), or "" when none do.
[[nodiscard]] std::string layer_of(std::string_view path);

/// Every folder that has rules.
[[nodiscard]] std::vector<std::string> layers();

}  // namespace pvr::architecture
