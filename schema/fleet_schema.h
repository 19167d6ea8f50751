#pragma once

#include <filesystem>
#include <string>

#include "reconciler/base/diagnostic.h"
#include "reconciler/base/source_span.h"
#include "reconciler/model/fleet_document.h"

namespace pvr {

/// Reads the texts of a fleet: file 0 is replaced by the built-in roles, every further file is one part of the fleet.
/// Syntax, types, units, names and references of all files are checked in one run. There is always a value, whose
/// `sources` render the diagnostics; it is a fleet to work with only when ok(). `include:` is not followed here:
/// whoever made the set has read those files (load_fleet_file).
[[nodiscard]] Checked<FleetDocument> load_fleet(SourceSet sources);

/// Reads a fleet from disk: a file with whatever it includes, or a directory, which stands for all *.yaml and *.yml
/// files in it, sorted by name (sub-directories are not searched). Promises the same as load_fleet.
[[nodiscard]] Checked<FleetDocument> load_fleet_file(const std::filesystem::path& path);

/// The JSON Schema (draft 2020-12) of a fleet file, made from the tables the reader uses. Ends with a line feed.
[[nodiscard]] std::string json_schema();

/// The key reference as Markdown, made from the same tables.
[[nodiscard]] std::string language_reference();

}  // namespace pvr
