#pragma once

#include "reconciler/model/plan.h"

namespace pvr::test {

/// A plan with one of everything people meet: a storage, plain changes, a move, a restart, blocked and waiting items,
/// findings, a gap.
[[nodiscard]] Plan sample_plan();

/// `count` VMs with the same two changes each, as a fleet-wide change of a role makes them.
[[nodiscard]] Plan wide_plan(unsigned count);

}  // namespace pvr::test
