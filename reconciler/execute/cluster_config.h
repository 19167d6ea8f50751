#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "reconciler/execute/procedure.h"

namespace pvr {

/// What the entries of section files and pools have in common: present or not, as wanted or not, changed by somebody
/// else or not.
struct EntrySeen {
  bool present = false;
  bool as_wanted = false;
  bool changed = false;  // the file is neither the planned one nor our own last write
};

/// One observation of an entry of a section file.
struct EntryFacts {
  EntrySeen seen = {};
  std::string conflict = {};
  std::string digest = {};
};

/// Creates a storage entry.
struct CreateStorageProcedure {
  using Params = CreateStorage;
  using Seen = EntrySeen;
  using Facts = EntryFacts;
  enum class Phase : std::uint8_t { kAbsent, kFinished, kConflict };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.present) return Phase::kAbsent;
    return seen.as_wanted ? Phase::kFinished : Phase::kConflict;
  }
  [[nodiscard]] static Status create(const Params& params, const Facts& facts, Work& work);
  static const Step<CreateStorageProcedure> kSteps[];
};
inline constexpr Step<CreateStorageProcedure> CreateStorageProcedure::kSteps[] = {
    {"create-storage", Phase::kAbsent, Phase::kFinished, CreateStorageProcedure::create},
};
static_assert(is_chain(std::span<const Step<CreateStorageProcedure>>(CreateStorageProcedure::kSteps)));

/// Changes properties of a storage entry.
struct UpdateStorageProcedure {
  using Params = UpdateStorage;
  using Seen = EntrySeen;
  using Facts = EntryFacts;
  enum class Phase : std::uint8_t { kDiffers, kFinished, kConflict };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.present) return Phase::kConflict;
    if (seen.as_wanted) return Phase::kFinished;
    return seen.changed ? Phase::kConflict : Phase::kDiffers;
  }
  [[nodiscard]] static Status update(const Params& params, const Facts& facts, Work& work);
  static const Step<UpdateStorageProcedure> kSteps[];
};
inline constexpr Step<UpdateStorageProcedure> UpdateStorageProcedure::kSteps[] = {
    {"update-storage", Phase::kDiffers, Phase::kFinished, UpdateStorageProcedure::update},
};
static_assert(is_chain(std::span<const Step<UpdateStorageProcedure>>(UpdateStorageProcedure::kSteps)));

/// Removes a storage entry. What lies on the storage stays, so only an empty one.
struct DeleteStorageProcedure {
  using Params = DeleteStorage;
  struct Seen {
    bool present = false;
    bool empty = false;  // nothing of any guest is listed on it, on any node
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
  };
  enum class Phase : std::uint8_t { kPresent, kFinished, kConflict };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.present) return Phase::kFinished;
    return seen.empty ? Phase::kPresent : Phase::kConflict;
  }
  [[nodiscard]] static Status remove(const Params& params, const Facts& facts, Work& work);
  static const Step<DeleteStorageProcedure> kSteps[];
};
inline constexpr Step<DeleteStorageProcedure> DeleteStorageProcedure::kSteps[] = {
    {"delete-storage", Phase::kPresent, Phase::kFinished, DeleteStorageProcedure::remove, Undo::kImpossible},
};
static_assert(is_chain(std::span<const Step<DeleteStorageProcedure>>(DeleteStorageProcedure::kSteps)));

struct CreatePoolProcedure {
  using Params = CreatePool;
  using Seen = EntrySeen;
  using Facts = EntryFacts;
  enum class Phase : std::uint8_t { kAbsent, kFinished, kConflict };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    return seen.present ? Phase::kFinished : Phase::kAbsent;
  }
  [[nodiscard]] static Status create(const Params& params, const Facts& facts, Work& work);
  static const Step<CreatePoolProcedure> kSteps[];
};
inline constexpr Step<CreatePoolProcedure> CreatePoolProcedure::kSteps[] = {
    {"create-pool", Phase::kAbsent, Phase::kFinished, CreatePoolProcedure::create},
};
static_assert(is_chain(std::span<const Step<CreatePoolProcedure>>(CreatePoolProcedure::kSteps)));

struct AddToPoolProcedure {
  using Params = AddToPool;
  using Seen = EntrySeen;
  using Facts = EntryFacts;
  enum class Phase : std::uint8_t { kOutside, kFinished, kConflict };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.present) return Phase::kConflict;
    return seen.as_wanted ? Phase::kFinished : Phase::kOutside;
  }
  [[nodiscard]] static Status add(const Params& params, const Facts& facts, Work& work);
  static const Step<AddToPoolProcedure> kSteps[];
};
inline constexpr Step<AddToPoolProcedure> AddToPoolProcedure::kSteps[] = {
    {"add-to-pool", Phase::kOutside, Phase::kFinished, AddToPoolProcedure::add},
};
static_assert(is_chain(std::span<const Step<AddToPoolProcedure>>(AddToPoolProcedure::kSteps)));

/// Creates or changes the HA resource of a guest.
struct SetHaProcedure {
  using Params = SetHa;
  using Seen = EntrySeen;
  using Facts = EntryFacts;
  enum class Phase : std::uint8_t { kAbsent, kDiffers, kFinished, kConflict };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  /// The HA managers write this file, too: a changed file alone is no conflict, the entry itself is compared.
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.present) return Phase::kAbsent;
    return seen.as_wanted ? Phase::kFinished : Phase::kDiffers;
  }
  [[nodiscard]] static Status create(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status update(const Params& params, const Facts& facts, Work& work);
  static const Step<SetHaProcedure> kSteps[];
};
inline constexpr Step<SetHaProcedure> SetHaProcedure::kSteps[] = {
    {"create-ha-resource", Phase::kAbsent, Phase::kFinished, SetHaProcedure::create},
    {"update-ha-resource", Phase::kDiffers, Phase::kFinished, SetHaProcedure::update},
};
static_assert(is_chain(std::span<const Step<SetHaProcedure>>(SetHaProcedure::kSteps)));

struct RemoveHaProcedure {
  using Params = RemoveHa;
  using Seen = EntrySeen;
  using Facts = EntryFacts;
  enum class Phase : std::uint8_t { kPresent, kFinished, kConflict };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    return seen.present ? Phase::kPresent : Phase::kFinished;
  }
  [[nodiscard]] static Status remove(const Params& params, const Facts& facts, Work& work);
  static const Step<RemoveHaProcedure> kSteps[];
};
inline constexpr Step<RemoveHaProcedure> RemoveHaProcedure::kSteps[] = {
    {"remove-ha-resource", Phase::kPresent, Phase::kFinished, RemoveHaProcedure::remove, Undo::kAutomatic},
};
static_assert(is_chain(std::span<const Step<RemoveHaProcedure>>(RemoveHaProcedure::kSteps)));

/// Creates or changes a replication job. Its target is fixed after creation.
struct SetReplicationProcedure {
  using Params = SetReplication;
  using Seen = EntrySeen;
  using Facts = EntryFacts;
  enum class Phase : std::uint8_t { kAbsent, kDiffers, kFinished, kConflict };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.present) return Phase::kAbsent;
    if (seen.changed) return Phase::kConflict;
    return seen.as_wanted ? Phase::kFinished : Phase::kDiffers;
  }
  [[nodiscard]] static Status create(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status update(const Params& params, const Facts& facts, Work& work);
  static const Step<SetReplicationProcedure> kSteps[];
};
inline constexpr Step<SetReplicationProcedure> SetReplicationProcedure::kSteps[] = {
    {"create-replication", Phase::kAbsent, Phase::kFinished, SetReplicationProcedure::create},
    {"update-replication", Phase::kDiffers, Phase::kFinished, SetReplicationProcedure::update},
};
static_assert(is_chain(std::span<const Step<SetReplicationProcedure>>(SetReplicationProcedure::kSteps)));

}  // namespace pvr
