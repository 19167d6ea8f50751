#pragma once

#include "reconciler/base/diagnostic.h"
#include "reconciler/model/fleet_document.h"

namespace pvr {

/// What only the whole document can show: references, cycles, clashes of vmids and slots, combinations that cannot
/// work. Pure.
void check_fleet(const FleetDocument& document, Diagnostics& diagnostics);

}  // namespace pvr
