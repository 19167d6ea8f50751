#pragma once

#include <memory>
#include <string>
#include <vector>

#include "simulator/simulator.h"
#include "terraform-plugin/provider/provider.h"
#include "tests/support/simulated_transport.h"

namespace pvr::tf {

/// A log that keeps what it is told.
class KeptLog final : public Log {
 public:
  void write(LogLevel level, std::string_view message, const Fields& fields) override;
  [[nodiscard]] std::string text() const;

 private:
  mutable std::mutex mutex_;
  std::string text_;
};

/// A simulated cluster and a provider that works on it; a further provider is a further process.
class Lab {
 public:
  /// `node` answers its API.
  explicit Lab(const std::string& cluster, std::string node = "pve1");
  [[nodiscard]] pvesim::Simulator& sim() { return *sim_; }
  [[nodiscard]] std::unique_ptr<Provider> provider(const Map& config = {});
  [[nodiscard]] KeptLog& log() { return log_; }

 private:
  std::unique_ptr<pvesim::Simulator> sim_;
  std::string node_;
  KeptLog log_;
};

/// The user the providers of a lab log in as, as a part of a cluster's text.
extern const char* const kUsers;
/// One node, one zpool, one bridge.
extern const char* const kSmall;

/// What Core checks of a provider's answers. One sentence for each break of a rule.
[[nodiscard]] std::vector<std::string> plan_breaks(const std::vector<Attribute>& schema, const Value& prior,
                                                   const Value& config, const Value& planned);
/// The plan made again while applying, with fewer unknowns.
[[nodiscard]] std::vector<std::string> replan_breaks(const Value& first, const Value& second);
[[nodiscard]] std::vector<std::string> apply_breaks(const Value& planned, const Value& applied);

[[nodiscard]] std::string text_of(const Messages& messages);

}  // namespace pvr::tf
