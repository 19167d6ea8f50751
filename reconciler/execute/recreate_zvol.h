#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "reconciler/execute/procedure.h"
#include "reconciler/model/live_host.h"

namespace pvr {

/// Makes a zvol again with another volblocksize, while its guest is stopped: a new zvol, a copy, a comparison of both
/// from the disks, and an exchange of names. The old zvol is kept, retired.
///
/// While it is copied the old zvol is read-only, so that the guest cannot be started on it and change what was copied
/// already. Until the exchange the old zvol stays under its name, and after it the new one, verified, is there: no
/// moment leaves the disk without a complete copy. What the datasets are called and how they are marked says where the
/// work stands; between the two renames the drive's volume does not exist, and PVE refuses to start the guest.
struct RecreateZvolProcedure {
  using Params = RecreateZvol;
  enum class Phase : std::uint8_t {
    kLeftover,  // a new zvol whose copy cannot be trusted: the old one was not held since
    kOriginal,
    kGuarded,
    kCreated,
    kComplete,
    kVerified,
    kRetired,   // the old one is out of the way
    kPromoted,  // the new one has its name; size note and reservation may be missing
    kFinished,
    kConflict
  };

  enum class Here : std::uint8_t { kNothing, kOld, kNew, kStranger };
  struct Seen {
    bool exists = false;       // the guest
    bool same_volume = false;  // the drive names the volume, nothing waits
    bool stopped = false;
    Here at_name = Here::kNothing;
    Here at_work = Here::kNothing;
    bool retired = false;   // the old one lies under a retired name
    bool guarded = false;   // the old one is read-only by us
    bool fits = false;      // the new one is of this guard
    bool complete = false;  // …and holds everything
    bool verified = false;  // …and was found equal
    bool settled = false;
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
    std::optional<LiveVm> vm = {};
    std::optional<LiveDataset> old = {};   // wherever it lies
    std::optional<LiveDataset> made = {};  // the new one, wherever it lies
  };

  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.exists || !seen.same_volume) return Phase::kConflict;
    if (seen.at_name == Here::kStranger || seen.at_work == Here::kStranger || seen.at_work == Here::kOld)
      return Phase::kConflict;
    if (seen.at_name == Here::kNew) {
      if (seen.at_work == Here::kNew) return Phase::kConflict;
      return seen.settled ? Phase::kFinished : Phase::kPromoted;
    }
    if (!seen.stopped) return Phase::kConflict;
    if (seen.at_name == Here::kNothing) {
      const bool ready = seen.at_work == Here::kNew && seen.retired && seen.guarded && seen.fits && seen.verified;
      return ready ? Phase::kRetired : Phase::kConflict;
    }
    if (seen.retired) return Phase::kConflict;
    if (seen.at_work == Here::kNothing) return seen.guarded ? Phase::kGuarded : Phase::kOriginal;
    if (!seen.guarded || !seen.fits) return Phase::kLeftover;
    if (seen.verified) return Phase::kVerified;
    return seen.complete ? Phase::kComplete : Phase::kCreated;
  }
  [[nodiscard]] static Status discard(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status guard(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status create(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status copy(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status compare(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status retire(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status promote(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status settle(const Params& params, const Facts& facts, Work& work);
  /// Gives the old zvol back to its guest where it still has its name. An interrupted copy stays as it is: the next run
  /// goes on.
  static void after_failure(const Params& params, const Facts& first, Work& work);

  static const Step<RecreateZvolProcedure> kSteps[];
};

inline constexpr Step<RecreateZvolProcedure> RecreateZvolProcedure::kSteps[] = {
    {"discard-old-copy", Phase::kLeftover, Phase::kOriginal, RecreateZvolProcedure::discard, Undo::kAutomatic,
     Arrival::kPast},
    {"hold-original", Phase::kOriginal, Phase::kGuarded, RecreateZvolProcedure::guard},
    {"create-replacement", Phase::kGuarded, Phase::kCreated, RecreateZvolProcedure::create},
    {"copy-data", Phase::kCreated, Phase::kComplete, RecreateZvolProcedure::copy},
    {"verify-copy", Phase::kComplete, Phase::kVerified, RecreateZvolProcedure::compare},
    {"retire-original", Phase::kVerified, Phase::kRetired, RecreateZvolProcedure::retire},
    {"promote-replacement", Phase::kRetired, Phase::kPromoted, RecreateZvolProcedure::promote, Undo::kAutomatic,
     Arrival::kExact, Urgency::kMustFollow},
    {"settle", Phase::kPromoted, Phase::kFinished, RecreateZvolProcedure::settle, Undo::kAutomatic, Arrival::kExact,
     Urgency::kMustFollow},
};
static_assert(is_chain(std::span<const Step<RecreateZvolProcedure>>(RecreateZvolProcedure::kSteps)));

/// Puts a retired zvol back under the name of the live one, which is retired in its turn. The same two renames.
struct RollBackZvolProcedure {
  using Params = RollBackZvol;
  enum class Phase : std::uint8_t { kLive, kRetired, kPromoted, kFinished, kConflict };
  enum class Here : std::uint8_t { kNothing, kWanted, kOther };
  struct Seen {
    bool exists = false;
    bool same_volume = false;
    bool stopped = false;
    Here at_name = Here::kNothing;
    bool kept = false;     // the wanted one lies under a retired name
    bool settled = false;  // the wanted one is writable, unmarked, and the drive notes its size
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
    std::optional<LiveVm> vm = {};
    std::optional<LiveDataset> live = {};    // what has the name
    std::optional<LiveDataset> wanted = {};  // wherever it lies
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.exists || !seen.same_volume) return Phase::kConflict;
    if (seen.at_name == Here::kWanted) {
      if (seen.kept) return Phase::kConflict;
      return seen.settled ? Phase::kFinished : Phase::kPromoted;
    }
    if (!seen.kept || !seen.stopped) return Phase::kConflict;
    return seen.at_name == Here::kOther ? Phase::kLive : Phase::kRetired;
  }
  [[nodiscard]] static Status retire(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status promote(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status settle(const Params& params, const Facts& facts, Work& work);
  static const Step<RollBackZvolProcedure> kSteps[];
};
inline constexpr Step<RollBackZvolProcedure> RollBackZvolProcedure::kSteps[] = {
    {"retire-live", Phase::kLive, Phase::kRetired, RollBackZvolProcedure::retire},
    {"put-back", Phase::kRetired, Phase::kPromoted, RollBackZvolProcedure::promote, Undo::kAutomatic, Arrival::kExact,
     Urgency::kMustFollow},
    {"settle", Phase::kPromoted, Phase::kFinished, RollBackZvolProcedure::settle, Undo::kAutomatic, Arrival::kExact,
     Urgency::kMustFollow},
};
static_assert(is_chain(std::span<const Step<RollBackZvolProcedure>>(RollBackZvolProcedure::kSteps)));

/// Renames a zvol, which a move has put onto a storage of the right block size, to a free name of the disk's own
/// storage and points the drive at it. The name is a new one: the volume from before the move still has the old name as
/// unusedN, and an entry that names data in use would destroy it when somebody removes "the unused disk".
struct SwapZvolProcedure {
  using Params = SwapZvol;
  enum class Phase : std::uint8_t {
    kStaged,   // the drive names the volume on the other storage
    kRenamed,  // it lies on its own storage, the drive still names the place it came from
    kPointed,  // the drive names it; an unusedN names the place, where nothing is any more
    kFinished,
    kConflict
  };
  enum class Names : std::uint8_t { kStaged, kWanted, kOther };
  struct Seen {
    bool exists = false;
    bool waits = false;  // the drive has a pending entry
    bool stopped = false;
    Names drive = Names::kOther;
    bool staged = false;    // the zvol lies on the other storage
    bool renamed = false;   // it lies on its own storage, marked
    bool dangling = false;  // unusedN names the place it came from
    bool noted = false;     // the zvol says that its swap is over
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
    std::optional<LiveVm> vm = {};
    std::optional<VolumeId> staged = {};   // "z64:vm-701-disk-0"
    std::optional<LiveDataset> zvol = {};  // wherever it lies
    std::vector<std::string> taken = {};   // names on the wanted storage
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.exists || seen.waits) return Phase::kConflict;
    if (seen.drive == Names::kWanted) {
      // A volume lies again where the zvol came from: removing the entry would destroy it.
      if (seen.dangling && seen.staged) return Phase::kConflict;
      return seen.dangling || !seen.noted ? Phase::kPointed : Phase::kFinished;
    }
    if (seen.drive != Names::kStaged || !seen.stopped) return Phase::kConflict;
    if (seen.staged) return seen.renamed ? Phase::kConflict : Phase::kStaged;
    return seen.renamed ? Phase::kRenamed : Phase::kConflict;
  }
  [[nodiscard]] static Status rename(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status point(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status clean(const Params& params, const Facts& facts, Work& work);
  static const Step<SwapZvolProcedure> kSteps[];
};
inline constexpr Step<SwapZvolProcedure> SwapZvolProcedure::kSteps[] = {
    {"rename", Phase::kStaged, Phase::kRenamed, SwapZvolProcedure::rename},
    {"point-drive", Phase::kRenamed, Phase::kPointed, SwapZvolProcedure::point, Undo::kAutomatic, Arrival::kPast,
     Urgency::kMustFollow},
    {"remove-empty-entry", Phase::kPointed, Phase::kFinished, SwapZvolProcedure::clean, Undo::kAutomatic,
     Arrival::kExact, Urgency::kMustFollow},
};
static_assert(is_chain(std::span<const Step<SwapZvolProcedure>>(SwapZvolProcedure::kSteps)));

}  // namespace pvr
