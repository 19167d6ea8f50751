#pragma once

#include <string>
#include <string_view>
#include <vector>

// Small readings of texts that several layers need. All functions are pure.
namespace pvr {

/// '*' stands for any text, '?' for one character. Linear in the lengths for patterns with one '*', never exponential.
[[nodiscard]] bool glob_matches(std::string_view pattern, std::string_view text);

/// The words of a PVE list, in order. Fact: PVE separates by commas, semicolons or blanks, and so do its own parsers.
[[nodiscard]] std::vector<std::string_view> list_words(std::string_view list);
/// Whether the list names the word.
[[nodiscard]] bool list_holds(std::string_view list, std::string_view word);

/// The word as a POSIX shell reads it back, whatever is in it: always in single quotes.
[[nodiscard]] std::string quote_word(std::string_view word);
/// Words, quoted, blanks between.
[[nodiscard]] std::string quote_words(const std::vector<std::string>& words);
/// For commands people read: in quotes only where the shell asks for them.
[[nodiscard]] std::string shell_word(std::string_view word);

}  // namespace pvr
