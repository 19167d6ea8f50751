#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "reconciler/execute/procedure.h"
#include "reconciler/model/live_host.h"

namespace pvr {

/// Host access, or the error that says that there is none.
[[nodiscard]] Result<ZfsHost*> need_zfs(Work& work);

/// The dataset of a zfspool storage, as storage.cfg has it now. kNotFound: no such storage; kRejected: it has none.
[[nodiscard]] Result<std::string> dataset_of_storage(Work& work, const std::string& storage);

/// Right before something that ZFS would do below a running guest without a question (fact E5): the guest is stopped
/// and nothing is about to start it, neither a task nor HA; and nobody holds the devices.
///
/// Errors: kConflict when the guest runs or HA wants it to run; kLocked while a task of it runs or a process still
/// holds a device, which ends by itself.
[[nodiscard]] Status nobody_uses(Work& work, Vmid vmid, const std::string& node, std::span<const std::string> volumes);

/// Creates a file system for a block-size class.
struct CreateDatasetProcedure {
  using Params = CreateDataset;
  enum class Phase : std::uint8_t { kAbsent, kFinished, kConflict };
  struct Seen {
    bool present = false;
    bool is_volume = false;
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (seen.is_volume) return Phase::kConflict;
    return seen.present ? Phase::kFinished : Phase::kAbsent;
  }
  [[nodiscard]] static Status create(const Params& params, const Facts& facts, Work& work);
  static const Step<CreateDatasetProcedure> kSteps[];
};
inline constexpr Step<CreateDatasetProcedure> CreateDatasetProcedure::kSteps[] = {
    {"create-dataset", Phase::kAbsent, Phase::kFinished, CreateDatasetProcedure::create},
};
static_assert(is_chain(std::span<const Step<CreateDatasetProcedure>>(CreateDatasetProcedure::kSteps)));

/// Sets ZFS properties in place.
struct SetZvolPropertiesProcedure {
  using Params = SetZvolProperties;
  enum class Phase : std::uint8_t { kDiffers, kFinished, kConflict };
  struct Seen {
    bool present = false;
    bool as_wanted = false;
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
    std::string dataset = {};
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.present) return Phase::kConflict;
    return seen.as_wanted ? Phase::kFinished : Phase::kDiffers;
  }
  [[nodiscard]] static Status write(const Params& params, const Facts& facts, Work& work);
  static const Step<SetZvolPropertiesProcedure> kSteps[];
};
inline constexpr Step<SetZvolPropertiesProcedure> SetZvolPropertiesProcedure::kSteps[] = {
    {"set-properties", Phase::kDiffers, Phase::kFinished, SetZvolPropertiesProcedure::write},
};
static_assert(is_chain(std::span<const Step<SetZvolPropertiesProcedure>>(SetZvolPropertiesProcedure::kSteps)));

/// Does the text ZFS shows mean what was asked for? Sizes are compared as bytes; refreservation "auto" is any size.
[[nodiscard]] bool same_property(std::string_view key, std::string_view asked, std::string_view shown);

/// Marks what a move has left behind. Only a volume that no slot names.
struct RetireVolumeProcedure {
  using Params = RetireVolume;
  enum class Phase : std::uint8_t { kUnmarked, kFinished, kConflict };
  struct Seen {
    bool exists = false;    // the guest
    bool attached = false;  // a slot names the volume
    bool present = false;   // the zvol, and it is the planned one
    bool marked = false;
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
    std::optional<LiveVm> vm = {};
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    // Gone already: somebody removed the unused disk, and there is nothing left to note.
    if (seen.exists && !seen.attached && !seen.present) return Phase::kFinished;
    if (!seen.exists || seen.attached) return Phase::kConflict;
    return seen.marked ? Phase::kFinished : Phase::kUnmarked;
  }
  [[nodiscard]] static Status set_marks(const Params& params, const Facts& facts, Work& work);
  static const Step<RetireVolumeProcedure> kSteps[];
};
inline constexpr Step<RetireVolumeProcedure> RetireVolumeProcedure::kSteps[] = {
    {"mark-as-retired", Phase::kUnmarked, Phase::kFinished, RetireVolumeProcedure::set_marks},
};
static_assert(is_chain(std::span<const Step<RetireVolumeProcedure>>(RetireVolumeProcedure::kSteps)));

/// Destroys a retired zvol that PVE does not know, or an empty dataset of a block-size class. The one with the planned
/// guid and no other; never one with a name that PVE takes for a volume.
struct DestroyDatasetProcedure {
  using Params = DestroyDataset;
  enum class Phase : std::uint8_t { kPresent, kFinished, kConflict };
  struct Seen {
    bool present = false;
    bool same = false;    // it has the planned guid
    bool unused = false;  // a retired zvol under a name of ours, or a dataset without children
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
    std::optional<LiveDataset> found = {};
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.present) return Phase::kFinished;
    return seen.same && seen.unused ? Phase::kPresent : Phase::kConflict;
  }
  [[nodiscard]] static Status destroy(const Params& params, const Facts& facts, Work& work);
  static const Step<DestroyDatasetProcedure> kSteps[];
};
inline constexpr Step<DestroyDatasetProcedure> DestroyDatasetProcedure::kSteps[] = {
    {"destroy", Phase::kPresent, Phase::kFinished, DestroyDatasetProcedure::destroy, Undo::kImpossible},
};
static_assert(is_chain(std::span<const Step<DestroyDatasetProcedure>>(DestroyDatasetProcedure::kSteps)));

}  // namespace pvr
