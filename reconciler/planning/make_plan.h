#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/base/diagnostic.h"
#include "reconciler/model/diff.h"
#include "reconciler/model/live_state.h"
#include "reconciler/model/plan.h"
#include "reconciler/model/resolved_fleet.h"
#include "reconciler/planning/memory_book.h"

namespace pvr {

/// What the user allows and what the surroundings can do.
struct PlanOptions {
  Allowance allow = {};                       // --allow restart,offline-copy,destroy: for every guest
  std::vector<std::string> targets = {};      // --target: addresses; empty: everything
  ByteRate copy_rate = {};                    // limit of each copy; zero: the cluster's own
  ByteRate assumed_rate = {(100_MiB).bytes};  // for estimates where there is no limit
  std::chrono::system_clock::time_point now = {};
  std::chrono::minutes utc_offset = {};  // maintenance windows are in the user's local time
  bool force_capacity = false;           // fill a pool past 90 % (rule Z10)
  bool as_root = false;                  // the session is root@pam with a ticket: root-only options can be written
  GuestMemoryOf guest_memory = {};       // rule Z13; empty: not judged
  /// Whether a dataset exists on a node; empty, or nothing returned: unknown. Only asked for storages that do not exist
  /// yet.
  std::function<std::optional<bool>(std::string_view node, std::string_view dataset)> dataset_exists = {};
};

/// The operations that lead from the live state to the fleet, in an order that is right, and everything that is wanted
/// and not done, with what would help. Pure: the same inputs give the same plan. The plan has no operations when there
/// is nothing (allowed) to do. Errors are unknown targets only. The rules every plan keeps are stated in verify_plan.h.
[[nodiscard]] Checked<Plan> make_plan(const ResolvedFleet& fleet, const Diff& diff, const LiveState& live,
                                      const PlanOptions& options);

/// Whether `now` lies in a window like "Sat 02:00-05:00" (several separated by ','; without a day: every day; an end
/// before the start is the next day). A text that cannot be read is no window.
[[nodiscard]] bool in_maintenance_window(std::string_view windows, std::chrono::system_clock::time_point now,
                                         std::chrono::minutes utc_offset);

}  // namespace pvr
