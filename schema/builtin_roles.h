#pragma once

#include <string_view>

namespace pvr {

/// The text of schema/builtin_roles.yaml, put in at build time.
extern const std::string_view kBuiltinRoles;

}  // namespace pvr
