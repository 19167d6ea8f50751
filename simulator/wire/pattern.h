#pragma once

#include <string>

namespace pvesim {

/// Whether the whole value fits a pattern of PVE's schema (ECMAScript grammar; the common subset of Perl's). Patterns
/// are compiled once. Thread safe.
[[nodiscard]] bool matches_pattern(const std::string& pattern, const std::string& value);

}  // namespace pvesim
