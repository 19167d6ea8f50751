#include <fmt/format.h>

#include <algorithm>

#include "schema/fleet_reader.h"

namespace pvr {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_word(char c) { return is_letter(c) || (c >= '0' && c <= '9'); }
bool only(std::string_view text, std::string_view further) {
  return std::ranges::all_of(text, [&](char c) { return is_word(c) || further.find(c) != std::string_view::npos; });
}
bool is_label(std::string_view text) {
  return !text.empty() && text.size() <= 63 && only(text, "-") && text.front() != '-' && text.back() != '-';
}

}  // namespace

std::string name_problem(std::string_view name) {
  if (!name.empty() && name.size() <= 60 && is_word(name.front()) && only(name, "._-")) return {};
  return "A name has at most 60 letters, digits, \".\", \"_\" and \"-\", and starts with a letter or digit.";
}

std::string guest_name_problem(std::string_view name) {
  std::string_view rest = name;
  bool ok = !name.empty() && name.size() <= 253;
  while (ok) {
    std::size_t dot = rest.find('.');
    ok = is_label(rest.substr(0, dot));
    if (dot == std::string_view::npos) break;
    rest.remove_prefix(dot + 1);
  }
  if (ok) return {};
  return "PVE takes DNS names for guests: letters, digits and \"-\", parts joined by \".\", no \"_\", no \"-\" at an "
         "end of a part.";
}

std::string node_problem(std::string_view name) {
  if (is_label(name)) return {};
  return "A node name has letters, digits and \"-\", and neither starts nor ends with \"-\".";
}

std::string storage_id_problem(std::string_view name) {
  if (name.size() >= 2 && name.size() <= 100 && is_letter(name.front()) && is_word(name.back()) && only(name, "._-"))
    return {};
  return "A storage id has at least two letters, digits, \".\", \"_\" and \"-\", starts with a letter and ends with a "
         "letter or digit.";
}

std::string pool_id_problem(std::string_view name) {
  std::string_view rest = name;
  bool ok = !name.empty() && name.size() <= 128 && std::ranges::count(name, '/') <= 2;
  while (ok) {
    std::size_t slash = rest.find('/');
    std::string_view part = rest.substr(0, slash);
    ok = !part.empty() && only(part, "._-");
    if (slash == std::string_view::npos) break;
    rest.remove_prefix(slash + 1);
  }
  if (ok) return {};
  return "A pool id has letters, digits, \".\", \"_\" and \"-\"; up to three levels are joined by \"/\".";
}

std::string tag_problem(std::string_view name) {
  if (!name.empty() && name.size() <= 124 && (is_word(name.front()) || name.front() == '_') && only(name, "_-+."))
    return {};
  return "A tag has letters, digits, \"_\", \"-\", \"+\" and \".\", and starts with a letter, digit or \"_\".";
}

std::string volume_id_problem(std::string_view name) {
  std::size_t colon = name.find(':');
  bool ok = colon != std::string_view::npos && colon + 1 < name.size() &&
            storage_id_problem(name.substr(0, colon)).empty() &&
            std::ranges::none_of(
                name, [](char c) { return c == ',' || c == ' ' || static_cast<unsigned char>(c) < 0x20U; }) &&
            name.find("..") == std::string_view::npos;
  if (ok) return {};
  return "A volume id is STORAGE:NAME, such as local:import/debian-13.qcow2.";
}

}  // namespace pvr
