#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "reconciler/execute/procedure.h"

namespace pvr {

/// Whether HA has been asked to stop this guest, or to leave it stopped. It may run for some time yet.
[[nodiscard]] bool asked_to_stop(const HaList& list, Vmid vmid);

/// Stops a guest gracefully and starts it again, so that pending changes become active. Where HA manages the guest, HA
/// is asked.
///
/// What the world cannot tell after a kill between the two (was it running?) stands in the lease before the guest is
/// stopped; whoever takes the lease next finds it there.
struct RestartVmProcedure {
  using Params = RestartVm;
  enum class Phase : std::uint8_t { kRunning, kStopped, kFinished, kConflict };
  struct Seen {
    bool exists = false;
    bool running = false;
    bool stopped_before = false;  // this run, or the lease, says that a restart has stopped it
    bool started_again = false;   // by this run
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
    std::optional<LiveVm> vm = {};
    bool ha = false;
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.exists) return Phase::kConflict;
    if (seen.running) return seen.started_again ? Phase::kFinished : Phase::kRunning;
    // A guest that nobody stopped for a restart was stopped already: its pending changes apply at its next start by
    // themselves.
    return seen.stopped_before ? Phase::kStopped : Phase::kFinished;
  }
  [[nodiscard]] static Status stop(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status start(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status verify(const Params& params, const Facts& first, const Facts& last, Work& work);
  static void after_failure(const Params& params, const Facts& first, Work& work);
  static const Step<RestartVmProcedure> kSteps[];
};
inline constexpr Step<RestartVmProcedure> RestartVmProcedure::kSteps[] = {
    {"stop", Phase::kRunning, Phase::kStopped, RestartVmProcedure::stop},
    {"start", Phase::kStopped, Phase::kFinished, RestartVmProcedure::start, Undo::kAutomatic, Arrival::kExact,
     Urgency::kMustFollow},
};
static_assert(is_chain(std::span<const Step<RestartVmProcedure>>(RestartVmProcedure::kSteps)));

struct StartVmProcedure {
  using Params = StartVm;
  enum class Phase : std::uint8_t { kStopped, kFinished, kConflict };
  struct Seen {
    bool exists = false;
    bool running = false;
    bool is_template = false;
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
    std::optional<LiveVm> vm = {};
    bool ha = false;
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.exists || seen.is_template) return Phase::kConflict;
    return seen.running ? Phase::kFinished : Phase::kStopped;
  }
  [[nodiscard]] static Status start(const Params& params, const Facts& facts, Work& work);
  [[nodiscard]] static Status verify(const Params& params, const Facts& first, const Facts& last, Work& work);
  static const Step<StartVmProcedure> kSteps[];
};
inline constexpr Step<StartVmProcedure> StartVmProcedure::kSteps[] = {
    {"start", Phase::kStopped, Phase::kFinished, StartVmProcedure::start},
};
static_assert(is_chain(std::span<const Step<StartVmProcedure>>(StartVmProcedure::kSteps)));

/// Graceful: a guest that does not react keeps running, and the operation fails.
struct StopVmProcedure {
  using Params = StopVm;
  enum class Phase : std::uint8_t { kRunning, kFinished, kConflict };
  struct Seen {
    bool exists = false;
    bool running = false;
  };
  struct Facts {
    Seen seen = {};
    std::string conflict = {};
    std::optional<LiveVm> vm = {};
    bool ha = false;
  };
  [[nodiscard]] static Result<Facts> observe(const Params& params, Work& work, const Progress& progress);
  [[nodiscard]] static constexpr Phase locate(const Seen& seen) {
    if (!seen.exists) return Phase::kConflict;
    return seen.running ? Phase::kRunning : Phase::kFinished;
  }
  [[nodiscard]] static Status stop(const Params& params, const Facts& facts, Work& work);
  static void after_failure(const Params& params, const Facts& first, Work& work);
  static const Step<StopVmProcedure> kSteps[];
};
inline constexpr Step<StopVmProcedure> StopVmProcedure::kSteps[] = {
    {"stop", Phase::kRunning, Phase::kFinished, StopVmProcedure::stop},
};
static_assert(is_chain(std::span<const Step<StopVmProcedure>>(StopVmProcedure::kSteps)));

}  // namespace pvr
