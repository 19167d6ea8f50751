#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace pvr {

/// The word as a POSIX shell reads it back, whatever is in it: always in single quotes.
[[nodiscard]] std::string quote_word(std::string_view word);
/// Words, quoted, blanks between.
[[nodiscard]] std::string quote_words(const std::vector<std::string>& words);

}  // namespace pvr
