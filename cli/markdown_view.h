#pragma once

#include <cstddef>
#include <string>

#include "reconciler/model/plan.h"

namespace pvr::cli {

/// A comment may hold 65,536 characters on the platforms people use.
inline constexpr std::size_t kMarkdownLimit = 60'000;

/// The plan as a comment for a pull request: the summary and the digest, then one collapsed block per resource. Stays
/// at or below `limit` bytes: blocks that do not fit become one line each, lines that do not fit become a table of
/// equal changes with their number, and the text says so. Texts of files and clusters cannot become markup.
[[nodiscard]] std::string plan_markdown(const Plan& plan, std::size_t limit = kMarkdownLimit);

}  // namespace pvr::cli
