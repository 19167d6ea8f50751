#pragma once

#include <filesystem>
#include <vector>

#include "reconciler/base/diagnostic.h"
#include "reconciler/base/source_span.h"
#include "schema/yaml_reader.h"

namespace pvr {

/// The texts of a fleet and their trees, in the same order; file 0 is the built-in roles.
struct LoadedSources {
  SourceSet sources = {};
  std::vector<YamlFile> files = {};
  Diagnostics diagnostics = {};
};

/// Reads `path` and what it includes. Included paths and globs (`*` and `?`, not across directories) are relative to
/// the file that names them and must stay regular files; a file is read once however often it is named, so circles end.
/// A directory stands for its fleet.yaml (or fleet.yml), without one for all its *.yaml and *.yml.
[[nodiscard]] LoadedSources load_sources(const std::filesystem::path& path);

/// Parses the texts of a set that was put together elsewhere, after giving file 0 the built-in roles.
[[nodiscard]] LoadedSources parse_sources(SourceSet sources);

}  // namespace pvr
