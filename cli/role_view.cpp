#include "cli/role_view.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "schema/yaml_text.h"

namespace pvr::cli {
namespace {

using Json = nlohmann::json;

/// A YAML scalar that reads back as the same text.
std::string scalar(std::string_view text) {
  constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./";
  if (!text.empty() && text.find_first_not_of(kPlain) == std::string_view::npos) return std::string(text);
  return yaml_quoted(text);
}

std::string kind_of(const RoleView& role) {
  if (role.builtin) return "built-in";
  return role.chain.empty() ? std::string("own") : "extends " + role.chain.front();
}

Json text_or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

}  // namespace

std::string roles_text(std::span<const RoleView> roles, const TextOptions& options) {
  std::size_t names = 0;
  std::size_t kinds = 0;
  for (const RoleView& role : roles) {
    names = std::max(names, width_of(role.name));
    kinds = std::max(kinds, width_of(kind_of(role)));
  }
  std::string out;
  for (const RoleView& role : roles) {
    std::string line = fmt::format("{}  {}  {}", options.style.bold(padded(role.name, names)),
                                   padded(kind_of(role), kinds), printable(role.note));
    while (line.ends_with(' ')) line.pop_back();
    out += line + '\n';
  }
  return out;
}

std::string role_text(const RoleView& role, const TextOptions& options) {
  const Style& style = options.style;
  std::string out = style.bold(role.name) + ":";
  if (!role.chain.empty()) {
    std::string chain;
    for (const std::string& parent : role.chain) chain += (chain.empty() ? "" : ", ") + parent;
    out += style.dim("  # extends " + chain);
  }
  out += '\n';
  const auto say = [&out](std::string_view key, const std::string& text) {
    if (!text.empty()) out += fmt::format("  {}: {}\n", key, scalar(text));
  };
  say("note", role.note);
  say("os", role.os);
  say("lane", role.lane);
  std::string where;
  for (const RoleSetting& setting : role.settings) {
    std::string indent = "  ";
    if (setting.where == "disk") indent = "    ";
    if (setting.where.starts_with("disks.")) indent = "      ";
    if (setting.where != where) {
      if (setting.where == "disk") out += "  disk:\n";
      if (setting.where.starts_with("disks.")) {
        if (!where.starts_with("disks.")) out += "  disks:\n";
        out += fmt::format("    {}:\n", setting.where.substr(6));
      }
      where = setting.where;
    }
    const std::string from = setting.from == role.name || setting.from.empty() ? "" : style.dim("  # " + setting.from);
    out += fmt::format("{}{}: {}{}\n", indent, setting.key, scalar(setting.value), from);
  }
  return out +
         style.dim("  # Disk settings that are not here come from the rules, which know the storage: see explain.") +
         '\n';
}

std::string roles_json(std::span<const RoleView> roles) {
  Json json = {{"format", "pvereconcile.roles"}, {"version", 1}, {"roles", Json::array()}};
  for (const RoleView& role : roles) {
    Json settings = Json::array();
    for (const RoleSetting& setting : role.settings) {
      settings.push_back({{"where", text_or_null(setting.where)},
                          {"key", setting.key},
                          {"value", setting.value},
                          {"from", text_or_null(setting.from)}});
    }
    json["roles"].push_back({{"name", role.name},
                             {"builtin", role.builtin},
                             {"extends", role.chain},
                             {"note", text_or_null(role.note)},
                             {"os", text_or_null(role.os)},
                             {"lane", text_or_null(role.lane)},
                             {"place", text_or_null(role.place)},
                             {"settings", std::move(settings)}});
  }
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + '\n';
}

}  // namespace pvr::cli
