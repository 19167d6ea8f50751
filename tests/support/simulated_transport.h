#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <string>

#include "providers/pve/http_transport.h"
#include "reconciler/ports/clock.h"
#include "simulator/simulator.h"

namespace pvr::testing {

/// Requests go straight into a simulated cluster: no socket, no thread. With a manual clock nothing ever waits, and the
/// same requests give the same answers. Both must outlive the transport.
class SimulatedTransport final : public HttpTransport {
 public:
  /// `nodes`: endpoint → the node whose proxy answers there. An endpoint that is not in it refuses connections.
  SimulatedTransport(pvesim::Simulator& simulator, std::map<std::string, std::string> nodes)
      : simulator_(simulator), nodes_(std::move(nodes)) {}
  [[nodiscard]] Result<HttpResponse> send(const std::string& endpoint, const HttpRequest& request) override;

 private:
  pvesim::Simulator& simulator_;
  std::map<std::string, std::string> nodes_;
};

/// The simulator's time. Waiting lets it pass.
class SimulatedClock final : public Clock {
 public:
  explicit SimulatedClock(pvesim::Simulator& simulator) : simulator_(simulator) {}
  [[nodiscard]] std::chrono::system_clock::time_point wall() const override;
  [[nodiscard]] std::chrono::steady_clock::time_point steady() const override;
  bool wait(std::chrono::milliseconds span, std::stop_token stop) override;

 private:
  pvesim::Simulator& simulator_;
};

/// A clock that stands still but for what is waited for.
class ManualClock final : public Clock {
 public:
  [[nodiscard]] std::chrono::system_clock::time_point wall() const override;
  [[nodiscard]] std::chrono::steady_clock::time_point steady() const override;
  bool wait(std::chrono::milliseconds span, std::stop_token stop) override;
  void advance(std::chrono::milliseconds span);
  [[nodiscard]] std::chrono::milliseconds passed() const;

 private:
  mutable std::mutex mutex_;
  std::chrono::milliseconds passed_{0};
};

}  // namespace pvr::testing
