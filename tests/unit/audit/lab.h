#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "providers/host/host_zfs.h"
#include "providers/pve/pve_client.h"
#include "reconciler/engine/engine.h"
#include "simulator/simulator.h"
#include "tests/support/simulated_runner.h"
#include "tests/support/simulated_transport.h"

namespace pvr::audit_test {

/// A simulated cluster, its client, and an administrator who types commands on a node.
class Lab {
 public:
  explicit Lab(const std::string& cluster);
  [[nodiscard]] static Lab from_file(const std::string& path);

  [[nodiscard]] pvesim::Simulator& sim() { return *sim_; }
  [[nodiscard]] PveClient& client() { return *client_; }
  [[nodiscard]] testing::SimulatedClock& clock() { return *clock_; }
  /// Nodes are asked, too, from now on.
  void with_host_access() { options_.zfs = &*zfs_; }
  [[nodiscard]] const EngineOptions& options() const { return options_; }
  [[nodiscard]] AuditResult look(std::shared_ptr<const FleetDocument> fleet = nullptr);
  [[nodiscard]] AuditReport audit(std::shared_ptr<const FleetDocument> fleet = nullptr) {
    return look(std::move(fleet)).report;
  }

  /// Runs one command as an administrator would: qm, pvesm and pvesh as the API calls they stand for, to the end of
  /// their task; zfs on `node` itself. Nothing for a command the simulated nodes do not know; else "" or the refusal.
  [[nodiscard]] std::optional<std::string> type(const std::string& command, const std::string& node = {});

 private:
  explicit Lab(std::unique_ptr<pvesim::Simulator> sim);
  std::string call(const std::string& method, const std::string& path,
                   const std::vector<std::pair<std::string, std::string>>& params = {});
  std::unique_ptr<pvesim::Simulator> sim_;
  std::unique_ptr<testing::SimulatedClock> clock_;
  std::unique_ptr<PveClient> client_;
  std::unique_ptr<testing::SimulatedRunner> runner_;
  std::unique_ptr<HostZfs> zfs_;
  EngineOptions options_ = {};
};

/// The words of a command as a POSIX shell sees them: blanks part, single quotes hold together.
[[nodiscard]] std::vector<std::string> shell_words(const std::string& command);
[[nodiscard]] std::vector<std::string> ids_of(const AuditReport& report);
[[nodiscard]] const AuditFinding* find(const AuditReport& report, const std::string& id);

}  // namespace pvr::audit_test
