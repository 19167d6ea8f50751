#pragma once

#include <string>

#include "reconciler/base/result.h"
#include "reconciler/execute/work.h"
#include "reconciler/model/live_state.h"

namespace pvr {

/// Right before PVE allocates a volume for `vm` on `storage`: each volume the guest names there is there. Fact: PVE
/// gives a new volume the lowest number that no volume has, whatever configurations name; the entry of one that is gone
/// (or that was renamed for a moment) would name the new one. kConflict: one is missing.
[[nodiscard]] Status check_names(Work& work, const LiveVm& vm, const std::string& storage);

}  // namespace pvr
