#pragma once

#include <string>

#include "schema/fleet_schema.h"

namespace pvr {

inline Checked<FleetDocument> load_text(std::string text) {
  SourceSet sources;
  sources.add("fleet.yaml", std::move(text));
  return load_fleet(std::move(sources));
}

/// Everything said, in the form the user sees.
inline std::string said(const Checked<FleetDocument>& fleet) {
  std::string out;
  for (const Diagnostic& diagnostic : fleet.diagnostics) out += render(diagnostic, *fleet.value->sources);
  return out;
}

inline bool has_code(const Checked<FleetDocument>& fleet, std::string_view code) {
  for (const Diagnostic& diagnostic : fleet.diagnostics) {
    if (diagnostic.code == code) return true;
  }
  return false;
}

}  // namespace pvr
