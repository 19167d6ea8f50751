#pragma once

#include <string>
#include <string_view>

namespace pvr::cli {

/// The completion script of "bash", "zsh" or "fish", made from the command line's own description; empty for another
/// shell.
[[nodiscard]] std::string completion_script(std::string_view shell);

/// The manual page pvereconcile(1) as troff, made from the same description.
[[nodiscard]] std::string manual_page();

}  // namespace pvr::cli
