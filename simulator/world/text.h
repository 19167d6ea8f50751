#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace pvesim {

/// Parts between `mark`; empty parts are kept, an empty text has none.
[[nodiscard]] std::vector<std::string> split_at(std::string_view text, char mark);
[[nodiscard]] bool starts_with(std::string_view text, std::string_view start);
[[nodiscard]] bool ends_with(std::string_view text, std::string_view end);
[[nodiscard]] bool all_digits(std::string_view text);
[[nodiscard]] std::string lower_case(std::string_view text);

/// "1G", "512M", "104858K", "1.5T"; no unit: bytes. -1 when it is not a size.
[[nodiscard]] std::int64_t parse_size(std::string_view text);
/// Fact (drive strings): the largest unit that divides the size exactly; odd bytes stay plain.
[[nodiscard]] std::string print_size(std::int64_t bytes);
/// Fact (task logs): "1.5 GiB", "103.0 MiB", "0.0 B", "528.0 KiB".
[[nodiscard]] std::string human_size(double bytes);
/// "12.34"
[[nodiscard]] std::string fixed_2(double value);

/// Fact (guest files): every byte that is not printable ASCII, '%' and ':' become %XX.
[[nodiscard]] std::string encode_text(std::string_view text);
[[nodiscard]] std::string decode_text(std::string_view text);

}  // namespace pvesim
