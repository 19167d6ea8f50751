#include "cli/doctor_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace pvr::cli {
namespace {

using Json = nlohmann::json;

std::string_view word_of(Health health) {
  switch (health) {
    case Health::kGood:
      return "good";
    case Health::kUnknown:
      return "unknown";
    case Health::kWarning:
      return "warning";
    case Health::kBad:
      break;
  }
  return "bad";
}

std::string painted(Health health, const Style& style) {
  const std::string word = padded(word_of(health), 7);
  switch (health) {
    case Health::kGood:
      return style.green(word);
    case Health::kUnknown:
      return style.dim(word);
    case Health::kWarning:
      return style.yellow(word);
    case Health::kBad:
      break;
  }
  return style.red(word);
}

/// What applying needs depends on what can be read (HA, mappings, storages in use), so reading comes first.
bool reading_first(const DoctorReport& report) { return std::ranges::any_of(report.missing, &NeededRight::to_read); }

std::vector<SuggestedRole> roles_for(const DoctorReport& report) {
  std::vector<SuggestedRole> roles = report.roles;
  std::erase_if(roles, [first = reading_first(report)](const SuggestedRole& role) { return role.to_read != first; });
  return roles;
}

std::string printable_lines(const std::string& text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    out += "  " + printable(text.substr(at, end - at)) + '\n';
    at = end + 1;
  }
  return out;
}

}  // namespace

std::string doctor_text(const DoctorReport& report, const std::string& identity, const TextOptions& options) {
  const Style& style = options.style;
  std::string out;
  for (const Checkup& checkup : report.checkups) {
    out += fmt::format("{} {} {}\n", painted(checkup.health, style), padded(checkup.area, 16), printable(checkup.what));
    if (!checkup.remedy.empty()) out += wrapped(printable(checkup.remedy), std::string(25, ' '), options.columns);
  }
  if (!report.missing.empty()) {
    out += '\n' + style.bold("Missing rights") + '\n';
    for (const NeededRight& right : report.missing)
      out += fmt::format("  {} on {}: {}\n", fmt::join(right.privileges, " or "), printable(right.path),
                         printable(right.purpose));
    out += '\n' + style.bold("Least roles that suffice, for a shell on a node") + '\n';
    for (const std::string& command : grant_commands(roles_for(report), identity)) out += "  " + command + '\n';
    if (reading_first(report))
      out += "  then run doctor again: what applying needs shows when the cluster can be read\n";
  }
  if (!report.sudoers.empty())
    out += '\n' + style.bold("What the ssh user needs on the nodes") + '\n' + printable_lines(report.sudoers);
  out += '\n';
  for (const std::string& line : report.works)
    out += wrapped(style.green("works:   ") + printable(line), "", options.columns);
  for (const std::string& line : report.does_not)
    out += wrapped(style.yellow("not yet: ") + printable(line), "", options.columns);
  return out;
}

std::string doctor_json(const DoctorReport& report, const std::string& identity) {
  Json checkups = Json::array();
  for (const Checkup& checkup : report.checkups)
    checkups.push_back({{"health", word_of(checkup.health)},
                        {"area", checkup.area},
                        {"what", checkup.what},
                        {"remedy", checkup.remedy.empty() ? Json(nullptr) : Json(checkup.remedy)}});
  Json missing = Json::array();
  for (const NeededRight& right : report.missing)
    missing.push_back({{"path", right.path},
                       {"privileges", right.privileges},
                       {"purpose", right.purpose},
                       {"needed_for", right.to_read ? "plan" : "apply"}});
  const Json record = {
      {"format", "pvereconcile.doctor"},
      {"version", 1},
      {"health", word_of(report.worst())},
      {"checkups", std::move(checkups)},
      {"missing", std::move(missing)},
      {"grant", report.missing.empty() ? Json::array() : Json(grant_commands(roles_for(report), identity))},
      {"sudoers", report.sudoers.empty() ? Json(nullptr) : Json(report.sudoers)},
      {"works", report.works},
      {"does_not", report.does_not}};
  return record.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace pvr::cli
