#include "simulator/world/text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>

namespace pvesim {

std::vector<std::string> split_at(std::string_view text, char mark) {
  std::vector<std::string> out;
  if (text.empty()) return out;
  while (true) {
    const auto end = text.find(mark);
    out.emplace_back(text.substr(0, end));
    if (end == text.npos) return out;
    text.remove_prefix(end + 1);
  }
}

bool starts_with(std::string_view text, std::string_view start) { return text.substr(0, start.size()) == start; }

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() >= end.size() && text.substr(text.size() - end.size()) == end;
}

bool all_digits(std::string_view text) { return !text.empty() && text.find_first_not_of("0123456789") == text.npos; }

std::string lower_case(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return out;
}

std::int64_t parse_size(std::string_view text) {
  const std::string copy(text);
  char* end = nullptr;
  if (copy.empty() || std::isdigit(static_cast<unsigned char>(copy.front())) == 0) return -1;
  const double number = std::strtod(copy.c_str(), &end);
  std::string unit(end);
  if (ends_with(unit, "iB")) unit.resize(unit.size() - 2);
  double factor = 1;
  if (unit == "K")
    factor = 1024.0;
  else if (unit == "M")
    factor = 1024.0 * 1024;
  else if (unit == "G")
    factor = 1024.0 * 1024 * 1024;
  else if (unit == "T")
    factor = 1024.0 * 1024 * 1024 * 1024;
  else if (!unit.empty())
    return -1;
  return static_cast<std::int64_t>(number * factor);
}

std::string print_size(std::int64_t bytes) {
  if (bytes % 1024 != 0 || bytes == 0) return std::to_string(bytes);
  static constexpr std::array<const char*, 4> kUnits = {"K", "M", "G", "T"};
  std::size_t unit = 0;
  std::int64_t value = bytes / 1024;
  while (unit + 1 < kUnits.size() && value % 1024 == 0) {
    value /= 1024;
    ++unit;
  }
  return std::to_string(value) + kUnits[unit];
}

std::string human_size(double bytes) {
  static constexpr std::array<const char*, 5> kUnits = {"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (unit + 1 < kUnits.size() && bytes >= 1024) {
    bytes /= 1024;
    ++unit;
  }
  std::array<char, 48> out{};
  const int size = std::snprintf(out.data(), out.size(), "%.1f %s", bytes, kUnits[unit]);
  return {out.data(), static_cast<std::size_t>(size)};
}

std::string fixed_2(double value) {
  std::array<char, 48> out{};
  const int size = std::snprintf(out.data(), out.size(), "%.2f", value);
  return {out.data(), static_cast<std::size_t>(size)};
}

std::string encode_text(std::string_view text) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte <= 0x7e && c != '%' && c != ':') {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4U];
      out += kHex[byte & 15U];
    }
  }
  return out;
}

std::string decode_text(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '%' && i + 2 < text.size() && std::isxdigit(static_cast<unsigned char>(text[i + 1])) != 0 &&
        std::isxdigit(static_cast<unsigned char>(text[i + 2])) != 0) {
      out += static_cast<char>(std::stoi(std::string(text.substr(i + 1, 2)), nullptr, 16));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

}  // namespace pvesim
