#pragma once

#include <memory>
#include <string>

#include "providers/host/command_runner.h"
#include "reconciler/base/result.h"

namespace pvesim {
class Simulator;
}

namespace pvr::cli {

struct SimulatedOptions {
  std::string file = {};  // empty: the built-in cluster
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;    // 0: any free one
  double clock_scale = 0.0;  // 0: the file's
};

/// A simulated cluster that listens on loopback, and how to reach it.
class SimulatedCluster {
 public:
  /// Error: every problem of the cluster file, one per line, or why the address cannot be bound.
  [[nodiscard]] static Result<std::unique_ptr<SimulatedCluster>> start(const SimulatedOptions& options);
  ~SimulatedCluster();
  SimulatedCluster(const SimulatedCluster&) = delete;
  SimulatedCluster& operator=(const SimulatedCluster&) = delete;

  [[nodiscard]] const std::string& url() const { return url_; }
  [[nodiscard]] const std::string& fingerprint() const { return fingerprint_; }
  [[nodiscard]] const std::string& token_id() const { return token_id_; }
  [[nodiscard]] const std::string& token_secret() const { return token_secret_; }
  /// Commands on its nodes: what ssh is for a real cluster. The cluster outlives it.
  [[nodiscard]] std::unique_ptr<CommandRunner> runner();

 private:
  SimulatedCluster();
  std::unique_ptr<pvesim::Simulator> simulator_;
  std::string url_;
  std::string fingerprint_;
  std::string token_id_;
  std::string token_secret_;
};

}  // namespace pvr::cli
