#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "providers/host/host_zfs.h"
#include "providers/pve/http_transport.h"
#include "providers/pve/pve_client.h"
#include "reconciler/execute/executor.h"
#include "reconciler/model/plan.h"
#include "simulator/simulator.h"
#include "tests/scenarios/fate.h"
#include "tests/support/simulated_transport.h"

namespace pvr::scenario {

inline constexpr const char* kEndpoint = "https://pve1:8006";

/// What befalls the nth write (counted from 1) of a client.
enum class Mishap : std::uint8_t {
  kNone,
  kLoseAnswer,    // it happens, the answer does not come
  kProxyTimeout,  // it happens, a proxy answers 596
  kKillBefore,    // the client dies before it is sent
  kKillAfter      // the client dies when it has happened
};

/// Hands requests to the simulator in this process. A killed client gets 401 from then on, so that it gives up at once.
class MishapTransport final : public HttpTransport {
 public:
  struct Plan {
    Mishap mishap = Mishap::kNone;
    int nth = 0;
    std::function<bool(const HttpRequest&)> counts = {};  // which writes count; empty: all but the lease's
  };
  /// `fate`, where there is one, is asked about each write that counts, besides `plan`.
  MishapTransport(pvesim::Simulator& simulator, Plan plan, int& writes, std::shared_ptr<Fate> fate = nullptr)
      : inner_(simulator, {{kEndpoint, "pve1"}}), plan_(std::move(plan)), writes_(writes), fate_(std::move(fate)) {}
  [[nodiscard]] Result<HttpResponse> send(const std::string& endpoint, const HttpRequest& request) override;

 private:
  testing::SimulatedTransport inner_;
  Plan plan_;
  std::mutex mutex_;
  int& writes_;
  std::shared_ptr<Fate> fate_;
  bool dead_ = false;
};

/// Collects events.
class Recorder final : public EventSink {
 public:
  void emit(const Event& event) override;
  [[nodiscard]] std::vector<Event> take();

 private:
  std::mutex mutex_;
  std::vector<Event> events_;
};

/// A cluster and clients to it.
class World {
 public:
  explicit World(const std::string& cluster);

  [[nodiscard]] pvesim::Simulator& sim() { return *sim_; }
  [[nodiscard]] testing::SimulatedClock& clock() { return clock_; }
  [[nodiscard]] Recorder& events() { return events_; }

  /// A new client process, as it were.
  [[nodiscard]] std::unique_ptr<PveClient> client(MishapTransport::Plan mishap = {},
                                                  std::shared_ptr<Fate> fate = nullptr);
  /// Writes the last client made sent, the lease's left out.
  [[nodiscard]] int writes() const { return writes_; }

  /// Runs operations, one at a time, with ids, locks and guards filled in. `mishap` befalls this client.
  ApplyReport run(std::vector<Procedure> procedures, MishapTransport::Plan mishap = {}, std::stop_token stop = {});
  ApplyReport run_plan(const Plan& plan, MishapTransport::Plan mishap = {}, std::stop_token stop = {});
  /// With host access. `fate` befalls both ways of writing; `before` runs before each command.
  ApplyReport run_with_host(const Plan& plan, std::shared_ptr<Fate> fate = std::make_shared<Fate>(),
                            std::function<void(const Command&)> before = {}, std::stop_token stop = {});
  /// Host access of the test itself.
  [[nodiscard]] HostZfs& zfs() { return zfs_; }
  /// A plan of these operations, one at a time, with ids, locks and guards filled in.
  [[nodiscard]] static Plan plan_of(std::vector<Procedure> procedures);
  [[nodiscard]] ApplyOptions options();
  /// Lets an abandoned lease run out and tasks end.
  void let_time_pass();

  /// Content of every volume some guest uses, by its fingerprint: what must never get lost.
  [[nodiscard]] std::map<std::uint64_t, std::vector<std::string>> referenced_contents();

 private:
  std::unique_ptr<pvesim::Simulator> sim_;
  testing::SimulatedClock clock_;
  Recorder events_;
  testing::SimulatedRunner runner_;
  HostZfs zfs_;
  int writes_ = 0;
  int runs_ = 0;
};

/// "scsi0" of the active configuration.
[[nodiscard]] std::string value_of(pvesim::Simulator& sim, int vmid, const std::string& key,
                                   const std::string& section = {});
[[nodiscard]] std::string text_of(const ApplyReport& report);
[[nodiscard]] VolumeId volume(const std::string& text);
/// Whether one of the command's words is `word`.
[[nodiscard]] bool runs(const Command& command, std::string_view word);
/// Zvols that are being made anew get another content than what was copied.
void spoil_copies(World& world);
/// Another run, through `rival`, takes the lease from whoever holds it.
[[nodiscard]] std::unique_ptr<Lease> break_lease(World& world, PveApi& rival);
/// The swap that brings scsi0 of a guest of the lab, moved to z64, back onto z16.
[[nodiscard]] SwapZvol swap_of(int vmid);
[[nodiscard]] FlatMap<std::string> map(std::vector<std::pair<std::string, std::string>> pairs);

/// Two nodes, zpools with block-size classes, a thick LVM on a SAN; guests 120 (runs) and 121 (stopped), template 900.
extern const char* const kLab;
/// One node with a thick LVM whose volumes are qcow2, up to the line "vms:": the guests are the test's to add.
extern const char* const kQcow2OnLvm;

}  // namespace pvr::scenario
