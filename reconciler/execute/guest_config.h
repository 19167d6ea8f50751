#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "reconciler/execute/procedure.h"

namespace pvr {

/// Sets and unsets guest options that are no drives.
struct SetVmOptionsProcedure {
  using Params = SetVmOptions;
  enum class Phase : std::uint8_t { kDiffers, kFinished, kConflict };
  struct Seen {
    bool exists = false;
    bool as_wanted = false;  // every option has the wanted value, or one PVE made of it
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
    std::optional<LiveVm> vm = {};
    std::vector<std::string> differing = {};  // keys
    bool running = false;
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.exists) return Phase::kConflict;
    return seen.as_wanted ? Phase::kFinished : Phase::kDiffers;
  }
  [[nodiscard]] static Status write(const Params& params, const Facts& facts, Work& work);
  /// Tells where PVE stored another value than the one sent (steps of memory hotplug, pinned machine versions).
  [[nodiscard]] static Status verify(const Params& params, const Facts& first, const Facts& last, Work& work);
  static const Step<SetVmOptionsProcedure> kSteps[];
};
inline constexpr Step<SetVmOptionsProcedure> SetVmOptionsProcedure::kSteps[] = {
    {"write-options", Phase::kDiffers, Phase::kFinished, SetVmOptionsProcedure::write},
};
static_assert(is_chain(std::span<const Step<SetVmOptionsProcedure>>(SetVmOptionsProcedure::kSteps)));

/// Changes keys of one drive string and keeps all others. The volume must be the planned one: a drive string carries
/// the volume, and writing a stale one would switch the guest to another disk.
struct SetDriveOptionsProcedure {
  using Params = SetDriveOptions;
  enum class Phase : std::uint8_t { kDiffers, kFinished, kConflict };
  struct Seen {
    bool exists = false;
    bool same_volume = false;  // current and configured
    bool as_wanted = false;
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
    std::optional<LiveVm> vm = {};
    std::string text = {};  // the whole drive string to write
    bool running = false;
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.exists || !seen.same_volume) return Phase::kConflict;
    return seen.as_wanted ? Phase::kFinished : Phase::kDiffers;
  }
  [[nodiscard]] static Status write(const Params& params, const Facts& facts, Work& work);
  static const Step<SetDriveOptionsProcedure> kSteps[];
};
inline constexpr Step<SetDriveOptionsProcedure> SetDriveOptionsProcedure::kSteps[] = {
    {"write-drive", Phase::kDiffers, Phase::kFinished, SetDriveOptionsProcedure::write},
};
static_assert(is_chain(std::span<const Step<SetDriveOptionsProcedure>>(SetDriveOptionsProcedure::kSteps)));

}  // namespace pvr
