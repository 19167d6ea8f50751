#pragma once

#include <span>
#include <string>

#include "cli/text_view.h"
#include "reconciler/resolve/explain.h"

namespace pvr::cli {

/// One line per role: name, where it comes from, what it is for.
[[nodiscard]] std::string roles_text(std::span<const RoleView> roles, const TextOptions& options);
/// One role with everything its parents give it, as the YAML that would declare it; inherited settings name their role
/// in a comment.
[[nodiscard]] std::string role_text(const RoleView& role, const TextOptions& options);
/// {"format": "pvereconcile.roles", "version": 1, "roles": […]}
[[nodiscard]] std::string roles_json(std::span<const RoleView> roles);

}  // namespace pvr::cli
