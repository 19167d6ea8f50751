#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "reconciler/execute/procedure.h"

namespace pvr {

/// Takes a backup of a guest, unless one that is new enough is on the storage already. What follows in the plan waits
/// for it and is not done when it fails.
struct BackUpVmProcedure {
  using Params = BackUpVm;
  enum class Phase : std::uint8_t { kStale, kFinished, kConflict };
  struct Seen {
    bool exists = false;
    bool fresh = false;
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
    std::optional<LiveVm> vm = {};
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.exists) return Phase::kConflict;
    return seen.fresh ? Phase::kFinished : Phase::kStale;
  }
  [[nodiscard]] static Status back_up(const Params& params, const Facts& facts, Work& work);
  static const Step<BackUpVmProcedure> kSteps[];
};
inline constexpr Step<BackUpVmProcedure> BackUpVmProcedure::kSteps[] = {
    {"back-up", Phase::kStale, Phase::kFinished, BackUpVmProcedure::back_up},
};
static_assert(is_chain(std::span<const Step<BackUpVmProcedure>>(BackUpVmProcedure::kSteps)));

}  // namespace pvr
