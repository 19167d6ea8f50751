#pragma once

#include <map>
#include <string>

#include "terraform-plugin/provider/schema.h"

namespace pvr::tf {

/// The pages of the registry, by path below docs/: "index.md", "resources/vm.md", … Examples come from
/// examples/terraform, by path there; one that is not given is left out.
[[nodiscard]] std::map<std::string, std::string> docs_of(const ProviderSchema& schema,
                                                         const std::map<std::string, std::string>& examples);

/// Writes the pages below a folder, with the examples of `examples/terraform` in the working directory. False: a file
/// cannot be written.
[[nodiscard]] bool write_docs(const std::string& folder);

}  // namespace pvr::tf
