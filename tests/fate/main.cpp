// fate: simulated runs with faults, each from one seed. Exit code 1 when a promise was broken.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <mutex>
#include <thread>
#include <vector>

#include "tests/fate/seed_run.h"

namespace {

struct Totals {
  std::uint64_t seeds = 0, idle = 0, plans = 0, applies = 0, operations = 0, effects = 0, faults = 0, kills = 0,
                failed = 0;
  void add(const pvr::fate::SeedResult& one) {
    ++seeds;
    idle += one.empty ? 1 : 0;
    plans += static_cast<std::uint64_t>(one.plans);
    applies += static_cast<std::uint64_t>(one.applies);
    operations += static_cast<std::uint64_t>(one.operations);
    effects += static_cast<std::uint64_t>(one.effects);
    faults += static_cast<std::uint64_t>(one.faults);
    kills += static_cast<std::uint64_t>(one.kills);
    failed += static_cast<std::uint64_t>(one.failed);
  }
};

pvr::fate::Bug bug_of(const std::string& name) {
  using pvr::fate::Bug;
  for (const Bug bug : pvr::fate::kBugs)
    if (to_text(bug) == name) return bug;
  return Bug::kNone;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Simulated runs with faults; every seed is one story that can be told again.");
  std::uint64_t seed = 0;
  std::uint64_t from = 1;
  std::uint64_t runs = 1000;
  unsigned jobs = 1;
  double minutes = 0;
  std::uint64_t most_broken = 1;
  bool story = false;
  std::string bug;
  auto* one = app.add_option("--seed", seed, "One seed only");
  app.add_option("--from", from, "First seed")->capture_default_str();
  app.add_option("--runs", runs, "How many seeds")->capture_default_str();
  app.add_option("--jobs", jobs, "Threads")->capture_default_str()->check(CLI::Range(1, 64));
  app.add_option("--minutes", minutes, "Go on for so long, whatever --runs says");
  app.add_option("--until", most_broken, "End after so many seeds that broke a promise")->capture_default_str();
  app.add_flag("--story", story, "Tell what happened");
  std::vector<std::string> bugs;
  for (const pvr::fate::Bug each : pvr::fate::kBugs) bugs.emplace_back(to_text(each));
  app.add_option("--bug", bug, "Make a mistake on purpose")->check(CLI::IsMember(bugs));
  CLI11_PARSE(app, argc, argv);
  if (one->count() != 0) {
    from = seed;
    runs = 1;
  }
  const auto begin = std::chrono::steady_clock::now();
  const auto over = [&] {
    return minutes > 0 && std::chrono::steady_clock::now() - begin > std::chrono::duration<double>(minutes * 60);
  };
  std::atomic<std::uint64_t> next = from;
  std::atomic<std::uint64_t> broken = 0;
  std::mutex mutex;
  Totals totals;
  const auto work = [&] {
    while (broken < most_broken && !over()) {
      const std::uint64_t mine = next++;
      if (minutes <= 0 && mine >= from + runs) return;
      const auto result = pvr::fate::run_seed(mine, {.story = story, .bug = bug_of(bug)});
      const std::scoped_lock lock(mutex);
      totals.add(result);
      for (const std::string& line : result.story) fmt::print("{}\n", line);
      if (story) fmt::print("digest {:016x}\n", result.digest);
      if (result.broken.empty()) continue;
      ++broken;
      fmt::print("seed {}: {}\n", mine, result.broken.front());
      fmt::print("  again: fate --seed {} --story{}\n", mine, bug.empty() ? "" : " --bug " + bug);
      std::fflush(stdout);
    }
  };
  std::vector<std::thread> threads;
  for (unsigned i = 1; i < jobs; ++i) threads.emplace_back(work);
  work();
  for (std::thread& thread : threads) thread.join();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  fmt::print(
      "{} seeds from {} ({} with nothing to do), {} plans, {} apply runs, {} operations ({} failed), {} effects, {} "
      "faults, {} kills; {} broken; {:.1f} s, {:.0f} apply runs a minute\n",
      totals.seeds, from, totals.idle, totals.plans, totals.applies, totals.operations, totals.failed, totals.effects,
      totals.faults, totals.kills, broken.load(), seconds,
      seconds > 0 ? static_cast<double>(totals.applies) / seconds * 60 : 0.0);
  return broken == 0 ? 0 : 1;
}
