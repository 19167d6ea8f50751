#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "reconciler/execute/procedure.h"

namespace pvr {

/// Creates a guest with its disks in one task of PVE, which removes everything again when a part of it fails.
struct CreateVmProcedure {
  using Params = CreateVm;
  enum class Phase : std::uint8_t { kBusy, kAbsent, kFinished, kConflict };
  struct Seen {
    bool exists = false;
    bool ours = false;    // the planned uuid, or this run created it
    bool locked = false;  // "create": PVE is at it
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
    std::optional<LiveVm> vm = {};
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.exists) return Phase::kAbsent;
    if (!seen.ours) return Phase::kConflict;
    return seen.locked ? Phase::kBusy : Phase::kFinished;
  }
  [[nodiscard]] static Status await_create(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status create(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status verify(const Params& params, const Facts& first, const Facts& last, Work& work);
  static const Step<CreateVmProcedure> kSteps[];
};
inline constexpr Step<CreateVmProcedure> CreateVmProcedure::kSteps[] = {
    {"await-create", Phase::kBusy, Phase::kAbsent, CreateVmProcedure::await_create, Undo::kAutomatic, Arrival::kPast},
    {"create", Phase::kAbsent, Phase::kFinished, CreateVmProcedure::create},
};
static_assert(is_chain(std::span<const Step<CreateVmProcedure>>(CreateVmProcedure::kSteps)));

/// Clones a guest or template. The new guest carries the lock "clone" until all its disks are there.
struct CloneVmProcedure {
  using Params = CloneVm;
  enum class Phase : std::uint8_t { kBusy, kAbsent, kFinished, kConflict };
  struct Seen {
    bool exists = false;
    bool ours = false;    // this run asked for it
    bool locked = false;  // "clone"
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
    std::optional<LiveVm> vm = {};
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.exists) return Phase::kAbsent;
    if (!seen.ours) return Phase::kConflict;
    return seen.locked ? Phase::kBusy : Phase::kFinished;
  }
  [[nodiscard]] static Status await_clone(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status clone(const Params& params, const Facts& facts, Work& work);
  static const Step<CloneVmProcedure> kSteps[];
};
inline constexpr Step<CloneVmProcedure> CloneVmProcedure::kSteps[] = {
    {"await-clone", Phase::kBusy, Phase::kAbsent, CloneVmProcedure::await_clone, Undo::kAutomatic, Arrival::kPast},
    {"clone", Phase::kAbsent, Phase::kFinished, CloneVmProcedure::clone},
};
static_assert(is_chain(std::span<const Step<CloneVmProcedure>>(CloneVmProcedure::kSteps)));

/// Destroys a guest and its disks. Irreversible: needs the identity to fit, a stopped guest, and no protection.
struct DestroyVmProcedure {
  using Params = DestroyVm;
  enum class Phase : std::uint8_t { kPresent, kFinished, kConflict };
  struct Seen {
    bool exists = false;
    bool identified = false;  // by uuid, or by the digest the plan was made on
    bool is_protected = false;
    bool running = false;
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
    std::optional<LiveVm> vm = {};
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.exists) return Phase::kFinished;
    return seen.identified && !seen.is_protected && !seen.running ? Phase::kPresent : Phase::kConflict;
  }
  [[nodiscard]] static Status destroy(const Params& params, const Facts& facts, Work& work);
  /// Warns of each of the guest's volumes that is still there.
  [[nodiscard]] static Status verify(const Params& params, const Facts& first, const Facts& last, Work& work);
  static const Step<DestroyVmProcedure> kSteps[];
};
inline constexpr Step<DestroyVmProcedure> DestroyVmProcedure::kSteps[] = {
    {"destroy", Phase::kPresent, Phase::kFinished, DestroyVmProcedure::destroy, Undo::kImpossible},
};
static_assert(is_chain(std::span<const Step<DestroyVmProcedure>>(DestroyVmProcedure::kSteps)));

}  // namespace pvr
