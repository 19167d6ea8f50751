#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "reconciler/execute/procedure.h"

namespace pvr {

/// What a slot holds, as far as allocating into it is concerned.
enum class SlotUse : std::uint8_t { kEmpty, kOurs, kForeign };

/// Allocates (or imports) a volume into an empty slot. PVE frees the volume when anything goes wrong.
struct AddDiskProcedure {
  using Params = AddDisk;
  enum class Phase : std::uint8_t { kEmpty, kFinished, kConflict };
  struct Seen {
    bool exists = false;
    SlotUse slot = SlotUse::kEmpty;  // kOurs: on the wanted storage, and this run asked for it
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
    std::optional<LiveVm> vm = {};
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.exists || seen.slot == SlotUse::kForeign) return Phase::kConflict;
    return seen.slot == SlotUse::kOurs ? Phase::kFinished : Phase::kEmpty;
  }
  [[nodiscard]] static Status allocate(const Params& params, const Facts& facts, Work& work);
  static const Step<AddDiskProcedure> kSteps[];
};
inline constexpr Step<AddDiskProcedure> AddDiskProcedure::kSteps[] = {
    {"allocate", Phase::kEmpty, Phase::kFinished, AddDiskProcedure::allocate},
};
static_assert(is_chain(std::span<const Step<AddDiskProcedure>>(AddDiskProcedure::kSteps)));

/// Attaches a volume that exists to a slot; from another slot it is detached first, so that no two slots ever name it.
struct AttachVolumeProcedure {
  using Params = AttachVolume;
  enum class Phase : std::uint8_t { kElsewhere, kDetached, kFinished, kConflict };
  struct Seen {
    bool exists = false;
    bool attached_here = false;
    bool attached_elsewhere = false;  // in the slot it is to come from
    bool attached_astray = false;     // in any other slot
    bool slot_taken = false;          // by another volume
    bool in_use = false;              // by a running guest, while a volume is to be taken out of it
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
    std::optional<LiveVm> vm = {};
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.exists || seen.slot_taken || seen.attached_astray) return Phase::kConflict;
    if (seen.in_use && !seen.attached_here) return Phase::kConflict;
    if (seen.attached_here) return seen.attached_elsewhere ? Phase::kConflict : Phase::kFinished;
    return seen.attached_elsewhere ? Phase::kElsewhere : Phase::kDetached;
  }
  [[nodiscard]] static Status detach(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status attach(const Params& params, const Facts& facts, Work& work);
  static const Step<AttachVolumeProcedure> kSteps[];
};
inline constexpr Step<AttachVolumeProcedure> AttachVolumeProcedure::kSteps[] = {
    {"detach-from-old-slot", Phase::kElsewhere, Phase::kDetached, AttachVolumeProcedure::detach},
    {"attach", Phase::kDetached, Phase::kFinished, AttachVolumeProcedure::attach},
};
static_assert(is_chain(std::span<const Step<AttachVolumeProcedure>>(AttachVolumeProcedure::kSteps)));

/// Detaches a volume; it stays as unusedN.
struct DetachDiskProcedure {
  using Params = DetachDisk;
  enum class Phase : std::uint8_t { kAttached, kFinished, kConflict };
  struct Seen {
    bool exists = false;
    bool attached = false;  // the slot holds the planned volume and does not wait to lose it
    bool taken = false;     // the slot holds another volume
    bool kept = false;      // the volume is named somewhere in the configuration
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
    std::optional<LiveVm> vm = {};
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.exists || seen.taken) return Phase::kConflict;
    if (seen.attached) return Phase::kAttached;
    return seen.kept ? Phase::kFinished : Phase::kConflict;
  }
  [[nodiscard]] static Status detach(const Params& params, const Facts& facts, Work& work);
  static const Step<DetachDiskProcedure> kSteps[];
};
inline constexpr Step<DetachDiskProcedure> DetachDiskProcedure::kSteps[] = {
    {"detach", Phase::kAttached, Phase::kFinished, DetachDiskProcedure::detach},
};
static_assert(is_chain(std::span<const Step<DetachDiskProcedure>>(DetachDiskProcedure::kSteps)));

/// Frees a retired volume for good: only as an unusedN entry, never while a slot or a snapshot needs it.
struct DestroyVolumeProcedure {
  using Params = DestroyVolume;
  enum class Phase : std::uint8_t { kUnused, kFinished, kConflict };
  struct Seen {
    bool exists = false;    // the guest
    bool attached = false;  // a slot names the volume
    bool unused = false;    // unusedN names it
    bool listed = false;    // the storage still has it
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
    std::optional<LiveVm> vm = {};
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.exists || seen.attached) return Phase::kConflict;
    if (seen.unused) return Phase::kUnused;
    return seen.listed ? Phase::kConflict : Phase::kFinished;
  }
  [[nodiscard]] static Status free(const Params& params, const Facts& facts, Work& work);
  static const Step<DestroyVolumeProcedure> kSteps[];
};
inline constexpr Step<DestroyVolumeProcedure> DestroyVolumeProcedure::kSteps[] = {
    {"free-volume", Phase::kUnused, Phase::kFinished, DestroyVolumeProcedure::free, Undo::kImpossible},
};
static_assert(is_chain(std::span<const Step<DestroyVolumeProcedure>>(DestroyVolumeProcedure::kSteps)));

/// Grows a volume to an absolute size.
struct ResizeDiskProcedure {
  using Params = ResizeDisk;
  enum class Phase : std::uint8_t { kSmaller, kFinished, kConflict };
  struct Seen {
    bool exists = false;
    bool same_volume = false;
    bool large_enough = false;
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
    std::optional<LiveVm> vm = {};
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.exists || !seen.same_volume) return Phase::kConflict;
    return seen.large_enough ? Phase::kFinished : Phase::kSmaller;
  }
  [[nodiscard]] static Status grow(const Params& params, const Facts& facts, Work& work);
  static const Step<ResizeDiskProcedure> kSteps[];
};
inline constexpr Step<ResizeDiskProcedure> ResizeDiskProcedure::kSteps[] = {
    {"grow", Phase::kSmaller, Phase::kFinished, ResizeDiskProcedure::grow, Undo::kImpossible},
};
static_assert(is_chain(std::span<const Step<ResizeDiskProcedure>>(ResizeDiskProcedure::kSteps)));

}  // namespace pvr
