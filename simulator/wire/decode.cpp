#include "simulator/wire/decode.h"

#include <algorithm>
#include <cctype>

#include <nlohmann/json.hpp>

namespace pvesim {
namespace {

using nlohmann::json;

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string scalar_text(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return {};
  if (value.is_boolean()) return value.get<bool>() ? "1" : "0";
  return value.dump();
}

WireValue to_wire(const json& value) {
  WireValue out;
  if (value.is_boolean()) {
    out.kind = WireValue::Kind::kBoolean;
  } else if (value.is_array()) {
    out.kind = WireValue::Kind::kList;
    for (const json& item : value) out.items.push_back(scalar_text(item));
    return out;
  } else if (value.is_object()) {
    out.kind = WireValue::Kind::kObject;
    return out;
  }
  out.text = scalar_text(value);
  return out;
}

[[noreturn]] void fail_plain(const std::string& text, int line) {
  fail(text + " at /usr/share/perl5/PVE/APIServer/AnyEvent.pm line " + std::to_string(line) + ".");
}

}  // namespace

std::string percent_decode(std::string_view text, bool plus) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && hex_value(text[i + 1]) >= 0 && hex_value(text[i + 2]) >= 0) {
      out += static_cast<char>(hex_value(text[i + 1]) * 16 + hex_value(text[i + 2]));
      i += 2;
    } else {
      out += plus && text[i] == '+' ? ' ' : text[i];
    }
  }
  return out;
}

WireParams decode_form(std::string_view text) {
  WireParams out;
  while (!text.empty()) {
    const auto end = text.find_first_of("&;");
    const std::string_view pair = text.substr(0, end);
    text = end == text.npos ? std::string_view{} : text.substr(end + 1);
    if (pair.empty()) continue;
    const auto equals = pair.find('=');
    const std::string key = percent_decode(pair.substr(0, equals), true);
    std::string_view rest = equals == pair.npos ? std::string_view{} : pair.substr(equals + 1);
    std::string value = percent_decode(rest.substr(0, rest.find('=')), true);
    const auto [entry, fresh] = out.try_emplace(key);
    if (fresh) {
      entry->second.text = std::move(value);
      continue;
    }
    WireValue& old = entry->second;
    if (old.kind != WireValue::Kind::kList) {
      old.items = {std::move(old.text)};
      old.text.clear();
      old.kind = WireValue::Kind::kList;
    }
    old.items.push_back(std::move(value));
  }
  return out;
}

WireParams decode_json_body(std::string_view text) {
  json body;
  try {
    body = json::parse(text);
  } catch (const json::parse_error& error) {
    const std::size_t at = std::min(text.size(), error.byte > 0 ? error.byte - 1 : 0);
    // The parser stops one character into a wrong word; PVE's names the place where the word begins.
    std::size_t begin = at;
    while (begin > 0 && std::isalnum(static_cast<unsigned char>(text[begin - 1])) != 0) --begin;
    std::size_t before = begin;
    while (before > 0 && std::isspace(static_cast<unsigned char>(text[before - 1])) != 0) --before;
    const bool in_object = before > 0 && text[before - 1] == '{';
    const std::string rest = begin < text.size() ? std::string(text.substr(begin)) : "(end of string)";
    fail_plain(std::string(in_object ? "'\"' expected"
                                     : "malformed JSON string, neither tag, array, object, number, "
                                       "string or atom") +
                   ", at character offset " + std::to_string(begin) + " (before \"" + rest + "\")",
               934);
  }
  if (!body.is_object()) fail_plain("Not a HASH reference", 943);
  WireParams out;
  for (const auto& [key, value] : body.items())
    if (!value.is_null()) out.emplace(key, to_wire(value));
  return out;
}

std::string header_of(const Request& request, std::string_view name) {
  const auto same = [](std::string_view a, std::string_view b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
             return std::tolower(static_cast<unsigned char>(x)) == std::tolower(static_cast<unsigned char>(y));
           });
  };
  for (const auto& [key, value] : request.headers)
    if (same(key, name)) return value;
  return {};
}

WireParams request_params(const Request& request) {
  WireParams out;
  if (request.method == "POST" || request.method == "PUT") {
    const std::string type = header_of(request, "Content-Type");
    if (type.substr(0, type.find(';')) == "application/json")
      out = decode_json_body(request.body);
    else
      out = decode_form(request.body);
  }
  for (auto& [key, value] : decode_form(request.query)) out[key] = std::move(value);
  out.erase("_dc");
  return out;
}

}  // namespace pvesim
