// Time of each pure stage at three sizes. `peak_rss_MB` is the process's, so it tells about the largest size run so
// far.
#include <benchmark/benchmark.h>
#include <sys/resource.h>

#include "bench/sample_fleet.h"
#include "reconciler/model/facts.h"
#include "reconciler/planning/diff.h"
#include "reconciler/planning/make_plan.h"
#include "reconciler/resolve/resolve.h"

namespace pvr::bench {
namespace {

double peak_megabytes() {
  rusage usage = {};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1024.0;
}

std::size_t size_of(const benchmark::State& state) { return static_cast<std::size_t>(state.range(0)); }

void close(benchmark::State& state) { state.counters["peak_rss_MB"] = peak_megabytes(); }

void parse(benchmark::State& state) {
  const std::string text = fleet_text(size_of(state));
  for (auto _ : state) benchmark::DoNotOptimize(document_of(text));
  close(state);
}

void resolve_fleet(benchmark::State& state) {
  const auto document = document_of(fleet_text(size_of(state)));
  const LiveState live = live_state(size_of(state));
  for (auto _ : state) benchmark::DoNotOptimize(resolve(document, gather_facts(*document, &live)));
  close(state);
}

void diff_fleet(benchmark::State& state) {
  const auto document = document_of(fleet_text(size_of(state)));
  const LiveState live = live_state(size_of(state));
  const auto fleet = resolve(document, gather_facts(*document, &live));
  for (auto _ : state) benchmark::DoNotOptimize(diff(*fleet.value, live));
  close(state);
}

void plan_fleet(benchmark::State& state) {
  const auto document = document_of(fleet_text(size_of(state)));
  const LiveState live = live_state(size_of(state));
  const auto fleet = resolve(document, gather_facts(*document, &live));
  const Diff changes = diff(*fleet.value, live);
  std::size_t operations = 0;
  for (auto _ : state) {
    const auto plan = make_plan(*fleet.value, changes, live, {});
    operations = plan.value->operations.size();
  }
  state.counters["operations"] = static_cast<double>(operations);
  close(state);
}

void whole(benchmark::State& state) {
  const std::string text = fleet_text(size_of(state));
  const LiveState live = live_state(size_of(state));
  for (auto _ : state) {
    const auto document = document_of(text);
    const auto fleet = resolve(document, gather_facts(*document, &live));
    const Diff changes = diff(*fleet.value, live);
    benchmark::DoNotOptimize(make_plan(*fleet.value, changes, live, {}));
  }
  close(state);
}

void sizes(benchmark::internal::Benchmark* b) { b->Arg(100)->Arg(1000)->Arg(10000)->Unit(benchmark::kMillisecond); }

BENCHMARK(parse)->Apply(sizes);
BENCHMARK(resolve_fleet)->Apply(sizes);
BENCHMARK(diff_fleet)->Apply(sizes);
BENCHMARK(plan_fleet)->Apply(sizes);
BENCHMARK(whole)->Apply(sizes);

}  // namespace
}  // namespace pvr::bench

BENCHMARK_MAIN();
