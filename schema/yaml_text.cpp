#include "schema/yaml_text.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

namespace pvr {

using Json = nlohmann::json;

std::string by_number(std::string text) {
  const auto escape = [&](std::string_view character, unsigned code) {
    for (std::size_t at = text.find(character); at != std::string::npos; at = text.find(character, at))
      text.replace(at, character.size(), fmt::format("\\u{:04x}", code));
  };
  escape("\x7f", 0x7f);
  for (unsigned code = 0x80; code < 0xa0; ++code) {
    const char character[] = {'\xc2', static_cast<char>(code)};
    escape({character, 2}, code);
  }
  escape("\u2028", 0x2028);
  escape("\u2029", 0x2029);
  escape("\ufeff", 0xfeff);
  escape("\xef\xbf\xbe", 0xfffe);
  escape("\xef\xbf\xbf", 0xffff);
  return text;
}

std::string yaml_quoted(std::string_view text) {
  // A JSON string is a YAML text.
  return by_number(Json(text).dump(-1, ' ', false, Json::error_handler_t::replace));
}

std::string yaml_scalar(std::string_view text) {
  const auto is_letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); };
  const bool plain =
      !text.empty() && (is_letter(text.front()) || text.front() == '/') && std::ranges::all_of(text, [&](char c) {
        return is_letter(c) || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' || c == '/';
      });
  if (!plain) return yaml_quoted(text);
  static constexpr std::string_view kOther[] = {"true", "false", "yes", "no", "on", "off", "y", "n", "null"};
  std::string lower(text);
  std::ranges::transform(lower, lower.begin(),
                         [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return std::ranges::find(kOther, lower) == std::end(kOther) ? std::string(text) : yaml_quoted(text);
}

}  // namespace pvr
