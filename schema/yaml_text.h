#pragma once

#include <string>
#include <string_view>

namespace pvr {

/// Characters from U+007F on that the fleet reader takes only by their numbers ("\u0085") are written so; for comments,
/// and for what is in double quotes.
[[nodiscard]] std::string by_number(std::string text);

/// The text in double quotes, so that every YAML reader, the fleet's own too, reads this very text. Bytes that are no
/// UTF-8 become U+FFFD.
[[nodiscard]] std::string yaml_quoted(std::string_view text);

/// As it stands where every reader takes it for this very text, else yaml_quoted().
[[nodiscard]] std::string yaml_scalar(std::string_view text);

}  // namespace pvr
