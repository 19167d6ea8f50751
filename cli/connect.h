#pragma once

#include <memory>
#include <stop_token>

#include "cli/command_line.h"
#include "cli/simulated.h"
#include "cli/terminal.h"
#include "providers/host/host_zfs.h"
#include "providers/pve/pve_client.h"
#include "reconciler/base/result.h"
#include "reconciler/model/fleet_document.h"
#include "reconciler/ports/system_clock.h"

namespace pvr::cli {

/// The cluster of this run: the real one, or with --simulate one that lives as long as this object; both over HTTPS
/// with the same client.
class Connection {
 public:
  [[nodiscard]] static Result<std::unique_ptr<Connection>> open(const Invocation& invocation, const Terminal& terminal,
                                                                const WrittenCluster& document, std::stop_token stop);
  [[nodiscard]] PveApi& pve() { return *client_; }
  /// Host access: over ssh when the fleet has cluster.ssh, into the simulated nodes with --simulate; null: none.
  [[nodiscard]] ZfsHost* zfs() const { return zfs_.get(); }
  /// What host access runs its commands by; null: none.
  [[nodiscard]] CommandRunner* runner() const { return runner_.get(); }
  [[nodiscard]] Clock& clock() { return clock_; }
  /// The session is root@pam with a ticket.
  [[nodiscard]] bool as_root() const { return as_root_; }
  /// Who we are: "user@realm!token", or "user@realm".
  [[nodiscard]] const std::string& identity() const { return identity_; }
  /// Where we are and how the certificate is verified, in words.
  [[nodiscard]] const std::string& trust() const { return trust_; }

 private:
  SystemClock clock_;
  std::unique_ptr<SimulatedCluster> simulated_;  // outlives the client
  std::unique_ptr<PveClient> client_;
  std::unique_ptr<CommandRunner> runner_;  // outlives zfs_
  std::unique_ptr<ZfsHost> zfs_;
  bool as_root_ = false;
  std::string identity_;
  std::string trust_;
};

}  // namespace pvr::cli
