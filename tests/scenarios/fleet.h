#pragma once

#include <memory>
#include <string>

#include "reconciler/engine/engine.h"
#include "tests/scenarios/world.h"

namespace pvr::scenario {

/// Reads a fleet text; fails the test where it has errors.
[[nodiscard]] std::shared_ptr<const FleetDocument> fleet(const std::string& text);

/// Plans with everything allowed; fails the test where planning fails.
[[nodiscard]] PlanResult plan_fleet(World& world, const std::shared_ptr<const FleetDocument>& document,
                                    ZfsReader* zfs = nullptr,
                                    Allowance allow = {.restart = true, .offline_copy = true, .destroy = true});
[[nodiscard]] std::string text_of(const Plan& plan);

/// For the lab: moves to other block sizes, options live and pending, a new guest, a clone, a grown disk, a restart, a
/// pool and HA.
extern const char* const kFleet;

}  // namespace pvr::scenario
