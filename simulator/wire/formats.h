#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace pvesim {

/// Takes PVE's lists apart: items between ',' ';' NUL and white space, empty items dropped.
[[nodiscard]] std::vector<std::string> split_list(std::string_view text);

/// Whether `name` (with its "-list" or "-opt" ending, if any) is a format check_format() knows.
[[nodiscard]] bool is_known_format(std::string_view name);

/// Checks `value` against a registered PVE format. Answers "" when it fits, else PVE's text with its final newline.
/// An unknown format name accepts everything: its check is in ParamSpec::check.
[[nodiscard]] std::string check_format(std::string_view name, std::string_view value);

/// Perl's view of text as a number: optional sign, digits.
[[nodiscard]] bool is_integer_text(std::string_view text);
/// … digits with an optional point and exponent.
[[nodiscard]] bool is_number_text(std::string_view text);
/// `1 on yes true` / `0 off no false` of property strings, any case; nothing else is a boolean.
[[nodiscard]] std::optional<bool> parse_loose_boolean(std::string_view text);

/// Single rules other parts need as well.
[[nodiscard]] bool is_dns_name(std::string_view text);
[[nodiscard]] bool is_node_name(std::string_view text);
[[nodiscard]] bool is_config_id(std::string_view text);
[[nodiscard]] bool is_user_id(std::string_view text);

}  // namespace pvesim
