// Counts the API requests of one look at a simulated cluster, and of carrying out one change. Exit code 1 when the look
// takes more than one request per VM + 20 + 3 per node and storage.
#include <fmt/format.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include "bench/sample_fleet.h"
#include "providers/pve/pve_client.h"
#include "reconciler/engine/engine.h"
#include "reconciler/execute/executor.h"
#include "reconciler/observe/observe.h"
#include "reconciler/ports/system_clock.h"
#include "simulator/simulator.h"

namespace pvr::bench {
namespace {

class NoEvents final : public EventSink {
 public:
  void emit(const Event&) override {}
};

void fail(const std::string& what) {
  fmt::print(stderr, "bench_requests: {}\n", what);
  std::exit(1);
}

void print_counts(const pvesim::Simulator& simulator) {
  for (const auto& [call, count] : simulator.request_counts())
    fmt::print("    {:>6}  {} {}\n", count, call.first, call.second);
}

/// Requests of one look; false when they exceed the promise.
bool measure(std::size_t vms) {
  const auto simulator = pvesim::Simulator::from_text(cluster_text(vms));
  simulator->listen();
  SystemClock clock;
  ConnectionOptions options;
  options.endpoints = {simulator->url()};
  options.fingerprints = {simulator->fingerprint()};
  options.token_id = "root@pam!ci";
  options.token_secret = Secret("11111111-2222-3333-4444-555555555555");
  PveClient client(options, clock, {});
  const auto document = document_of(fleet_text(vms));

  simulator->reset_request_counts();
  const auto live = observe(scope_of(*document), client, {});
  if (!live) fail(live.error().text());
  const std::uint64_t look = simulator->request_count();
  const std::size_t nodes = node_count(vms);
  const std::size_t pairs = 2 * nodes;  // each has tank, and local, which PVE always has
  const std::size_t promise = vms + 20 + 3 * pairs;
  fmt::print("observe {} VMs, {} nodes: {} requests, {:.2f} per VM (promise: {})\n", vms, nodes, look,
             static_cast<double>(look) / static_cast<double>(vms), promise);
  print_counts(*simulator);

  simulator->reset_request_counts();
  EngineOptions how;
  how.plan.targets = {"vm/guest-00000"};
  const auto planned = plan(client, clock, document, how);
  if (!planned || !planned->ok()) fail("the plan has errors");
  const std::uint64_t planning = simulator->request_count();
  simulator->reset_request_counts();
  NoEvents silence;
  ApplyOptions apply_options;
  apply_options.lease.holder = "bench";
  const ApplyReport report = apply(planned->plan, {client, clock, silence}, apply_options, {});
  if (!report.all_done()) fail("the change was not made");
  fmt::print("plan + apply of {} operation(s) on one VM: {} + {} requests\n", planned->plan.operations.size(), planning,
             simulator->request_count());
  print_counts(*simulator);
  return look <= promise;
}

}  // namespace
}  // namespace pvr::bench

int main(int argc, char** argv) {
  bool kept = true;
  if (argc < 2) {
    for (const std::size_t vms : {100U, 1000U}) kept = pvr::bench::measure(vms) && kept;
  }
  for (int i = 1; i < argc; ++i) kept = pvr::bench::measure(std::strtoul(argv[i], nullptr, 10)) && kept;
  return kept ? 0 : 1;
}
