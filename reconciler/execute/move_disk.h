#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "reconciler/execute/procedure.h"

namespace pvr {

/// Moves one volume to another storage or format. The old volume stays as unusedN, unless PVE is to remove it: that is
/// a part of the task, which goes on without us. A restart of the program in the middle finds the move either still
/// running (and waits for it), not done, or done.
struct MoveDiskProcedure {
  using Params = MoveDisk;
  enum class Phase : std::uint8_t { kBusy, kOriginal, kFinished, kConflict };

  enum class Place : std::uint8_t { kOriginal, kMoved, kElsewhere, kEmpty };
  struct Seen {
    bool exists = false;
    bool move_running = false;  // a qmmove task of this guest
    Place place = Place::kEmpty;
    bool waits = false;     // the slot has a pending entry
    bool old_kept = false;  // the old volume is unusedN, or is not to be kept
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
    std::optional<LiveVm> vm = {};
    std::optional<Drive> drive = {};  // what the slot holds now
    std::vector<Upid> running = {};
    std::vector<VolumeId> on_target = {};  // of this guest, before anything was done
  };

  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.exists) return Phase::kConflict;
    if (seen.move_running) return Phase::kBusy;
    // Fact: a pending entry keeps the old volume's name and brings it back at the next start. True before the move and
    // after it.
    if (seen.waits) return Phase::kConflict;
    if (seen.place == Place::kOriginal) return Phase::kOriginal;
    if (seen.place == Place::kMoved && seen.old_kept) return Phase::kFinished;
    return Phase::kConflict;
  }
  [[nodiscard]] static Status await_running(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status copy(const Params& params, const Facts& facts, Work& work);
  /// Size and options survived the move.
  [[nodiscard]] static Status verify(const Params& params, const Facts& first, const Facts& last, Work& work);
  /// Names volumes the failed move left on the target that no configuration mentions.
  static void after_failure(const Params& params, const Facts& first, Work& work);

  static const Step<MoveDiskProcedure> kSteps[];
};

inline constexpr Step<MoveDiskProcedure> MoveDiskProcedure::kSteps[] = {
    {"await-running-move", Phase::kBusy, Phase::kOriginal, MoveDiskProcedure::await_running, Undo::kAutomatic,
     Arrival::kPast},
    {"copy-and-switch", Phase::kOriginal, Phase::kFinished, MoveDiskProcedure::copy, Undo::kAutomatic},
};
static_assert(is_chain(std::span<const Step<MoveDiskProcedure>>(MoveDiskProcedure::kSteps)));

}  // namespace pvr
