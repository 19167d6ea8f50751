#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "reconciler/execute/procedure.h"
#include "reconciler/model/live_host.h"

namespace pvr {

/// Limits of the ARC: first in the file for the next boot, so that a kill in between leaves nothing that a boot undoes,
/// then in the running module. A parameter that another file of modprobe.d sets is a conflict that names the file.
struct SetArcLimitsProcedure {
  using Params = SetArcLimits;
  enum class Phase : std::uint8_t { kFileDiffers, kLimitsDiffer, kFinished, kConflict };
  struct Seen {
    bool zfs = false;      // the module is loaded
    bool foreign = false;  // another file sets one of the parameters
    bool file_as_wanted = false;
    bool limits_as_wanted = false;
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
    std::optional<ByteSize> max = {};  // as they hold now
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.zfs || seen.foreign) return Phase::kConflict;
    if (!seen.file_as_wanted) return Phase::kFileDiffers;
    return seen.limits_as_wanted ? Phase::kFinished : Phase::kLimitsDiffer;
  }
  [[nodiscard]] static Status write_file(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status set_limits(const Params& params, const Facts& facts, Work& work);
  static const Step<SetArcLimitsProcedure> kSteps[];
};
inline constexpr Step<SetArcLimitsProcedure> SetArcLimitsProcedure::kSteps[] = {
    {"write-modprobe-file", Phase::kFileDiffers, Phase::kLimitsDiffer, SetArcLimitsProcedure::write_file,
     Undo::kAutomatic, Arrival::kPast},
    {"set-arc-limits", Phase::kLimitsDiffer, Phase::kFinished, SetArcLimitsProcedure::set_limits},
};
static_assert(is_chain(std::span<const Step<SetArcLimitsProcedure>>(SetArcLimitsProcedure::kSteps)));

struct SetPoolPropertiesProcedure {
  using Params = SetPoolProperties;
  enum class Phase : std::uint8_t { kDiffers, kFinished, kConflict };
  struct Seen {
    bool present = false;
    bool as_wanted = false;
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.present) return Phase::kConflict;
    return seen.as_wanted ? Phase::kFinished : Phase::kDiffers;
  }
  [[nodiscard]] static Status write(const Params& params, const Facts& facts, Work& work);
  static const Step<SetPoolPropertiesProcedure> kSteps[];
};
inline constexpr Step<SetPoolPropertiesProcedure> SetPoolPropertiesProcedure::kSteps[] = {
    {"set-pool-properties", Phase::kDiffers, Phase::kFinished, SetPoolPropertiesProcedure::write},
};
static_assert(is_chain(std::span<const Step<SetPoolPropertiesProcedure>>(SetPoolPropertiesProcedure::kSteps)));

/// Enables the wanted timer of a pool first and disables the other one then: at no moment is there none.
struct SetTrimTimerProcedure {
  using Params = SetTrimTimer;
  enum class Phase : std::uint8_t { kMissing, kAnotherToo, kFinished, kConflict };
  struct Seen {
    bool present = false;  // the pool
    bool wanted = false;   // its wanted timer is enabled, or none is wanted
    bool others = false;   // another one is enabled
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.present) return Phase::kConflict;
    if (!seen.wanted) return Phase::kMissing;
    return seen.others ? Phase::kAnotherToo : Phase::kFinished;
  }
  [[nodiscard]] static Status enable(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status disable_others(const Params& params, const Facts& facts, Work& work);
  static const Step<SetTrimTimerProcedure> kSteps[];
};
inline constexpr Step<SetTrimTimerProcedure> SetTrimTimerProcedure::kSteps[] = {
    {"enable-timer", Phase::kMissing, Phase::kFinished, SetTrimTimerProcedure::enable, Undo::kAutomatic,
     Arrival::kPast},
    {"disable-other-timer", Phase::kAnotherToo, Phase::kFinished, SetTrimTimerProcedure::disable_others},
};
static_assert(is_chain(std::span<const Step<SetTrimTimerProcedure>>(SetTrimTimerProcedure::kSteps)));

}  // namespace pvr
