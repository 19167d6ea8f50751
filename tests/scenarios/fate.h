#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>

#include "providers/host/command_runner.h"
#include "tests/support/simulated_runner.h"

namespace pvr::scenario {

/// Counts effects (writes of the API and changing commands on nodes together) and lets the client die at one of them.
class Fate {
 public:
  enum class Verdict : std::uint8_t { kGoOn, kDead, kDieBefore, kDieAfter };
  explicit Fate(int nth = 0, bool after = false) : nth_(nth), after_(after) {}
  /// What befalls the next effect.
  [[nodiscard]] Verdict next();
  [[nodiscard]] bool dead() const;
  [[nodiscard]] int effects() const;

 private:
  mutable std::mutex mutex_;
  int nth_ = 0;
  bool after_ = false;
  int effects_ = 0;
  bool dead_ = false;
};

/// Commands into a simulated cluster, for a client whose fate this is.
class FatedRunner final : public CommandRunner {
 public:
  FatedRunner(pvesim::Simulator& simulator, std::shared_ptr<Fate> fate, std::function<void(const Command&)> before = {})
      : inner_(simulator), fate_(std::move(fate)), before_(std::move(before)) {}
  [[nodiscard]] Result<CommandOutput> run(const Command& command) override;

 private:
  testing::SimulatedRunner inner_;
  std::shared_ptr<Fate> fate_;
  std::function<void(const Command&)> before_;
};

}  // namespace pvr::scenario
