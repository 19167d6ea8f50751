#include "providers/host/zfs_names.h"

#include <fmt/format.h>

#include <algorithm>

namespace pvr {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_character(char c) { return is_letter(c) || is_digit(c) || c == '-' || c == '_' || c == '.' || c == ':'; }

// Fact: a whole dataset name has less than 256 bytes.
constexpr std::size_t kLongestName = 255;
constexpr std::size_t kLongestValue = 8191;  // fact: of a user property

}  // namespace

std::string dataset_problem(std::string_view name) {
  if (name.empty()) return "A dataset's name is missing.";
  if (name.size() > kLongestName) return fmt::format("\"{}\" is longer than {} bytes.", name, kLongestName);
  if (!is_letter(name.front())) return fmt::format("\"{}\": a pool's name begins with a letter.", name);
  std::string_view rest = name;
  for (;;) {
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    const std::string_view part = rest.substr(0, slash);
    if (part.empty() || part == "." || part == ".." || part.front() == '-')
      return fmt::format("\"{}\" is no dataset name: \"{}\" cannot be a part of one.", name, part);
    if (!std::ranges::all_of(part, is_name_character))
      return fmt::format("\"{}\" is no dataset name: letters, digits and - _ . : may stand between the slashes.", name);
    if (slash == rest.size()) return {};
    rest.remove_prefix(slash + 1);
  }
}

std::string snapshot_problem(std::string_view name) {
  if (name.empty() || name.size() > kLongestName || name.front() == '-' ||
      !std::ranges::all_of(name, is_name_character))
    return fmt::format("\"{}\" is no snapshot name: letters, digits and - _ . : may stand in one.", name);
  return {};
}

std::string parameter_problem(std::string_view name, std::string_view value) {
  const auto in_name = [](char c) { return (c >= 'a' && c <= 'z') || is_digit(c) || c == '_'; };
  if (name.empty() || name.size() > 64 || !(name.front() >= 'a' && name.front() <= 'z') ||
      !std::ranges::all_of(name, in_name))
    return fmt::format("\"{}\" is no name of a parameter.", name);
  if (value.empty() || value.size() > 64 || !std::ranges::all_of(value, is_name_character))
    return fmt::format("\"{}\" cannot be the value of the parameter {}.", value, name);
  return {};
}

std::string unit_problem(std::string_view name) {
  const auto legal = [](char c) { return is_name_character(c) || c == '@'; };
  if (name.empty() || name.size() > kLongestName || !is_letter(name.front()) || !std::ranges::all_of(name, legal) ||
      !name.ends_with(".timer"))
    return fmt::format("\"{}\" is no timer.", name);
  return {};
}

std::string property_problem(std::string_view name, std::string_view value) {
  const auto legal = [](char c) {
    return (c >= 'a' && c <= 'z') || is_digit(c) || c == '_' || c == '-' || c == '.' || c == ':';
  };
  if (name.empty() || name.size() > kLongestName || !(name.front() >= 'a' && name.front() <= 'z') ||
      !std::ranges::all_of(name, legal))
    return fmt::format("\"{}\" is no property name.", name);
  const auto control = [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; };
  if (value.size() > kLongestValue || std::ranges::any_of(value, control))
    return fmt::format("The value of \"{}\" is too long or holds control characters.", name);
  return {};
}

}  // namespace pvr
