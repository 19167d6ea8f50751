#pragma once

#include <memory>

#include "terraform-plugin/provider/resource.h"

namespace pvr::tf {

// A fleet that is named by `file` or given as `yaml`, with `targets` and `allow`: of the resource and of the data
// source.

void add_source_attributes(Schema& schema);
[[nodiscard]] Messages source_problems(const Value& config);
[[nodiscard]] Loaded load_source(const Session& session, const Value& config);
[[nodiscard]] Wish wish_of(const Value& config, std::shared_ptr<const FleetDocument> document);
/// "vm/ai-01: set-vm-options (live)".
[[nodiscard]] List changes_of(const Plan& plan);

}  // namespace pvr::tf
