// A share of the simulation for every build: some seconds of seeds, the same seed twice, and mistakes made on purpose.

#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>

#include "tests/fate/seed_run.h"

namespace pvr::fate {
namespace {

constexpr std::uint64_t kFirstSeed = 1;

TEST(Seeds, KeepEveryPromise) {
  // Bounded by time, so that slow builds (sanitizers) do fewer; never fewer than the least.
  constexpr std::uint64_t kLeast = 12;
  const char* wanted = std::getenv("PVERECONCILE_FATE_SECONDS");
  const std::chrono::seconds limit(wanted != nullptr ? std::atoi(wanted) : 20);
  const auto begin = std::chrono::steady_clock::now();
  int kills = 0;
  int faults = 0;
  int operations = 0;
  for (std::uint64_t seed = kFirstSeed;; ++seed) {
    if (seed >= kFirstSeed + kLeast && std::chrono::steady_clock::now() - begin > limit) break;
    const SeedResult result = run_seed(seed);
    ASSERT_TRUE(result.broken.empty()) << "fate --seed " << seed << " --story\n" << result.broken.front();
    kills += result.kills;
    faults += result.faults;
    operations += result.operations;
  }
  EXPECT_GT(kills, 0);
  EXPECT_GT(faults, 0);
  EXPECT_GT(operations, 0);
}

TEST(Seeds, GiveTheSameRunEachTime) {
  for (std::uint64_t seed = 100; seed < 106; ++seed) {
    const SeedResult once = run_seed(seed);
    const SeedResult again = run_seed(seed);
    EXPECT_EQ(once.digest, again.digest) << seed;
    EXPECT_EQ(once.effects, again.effects) << seed;
    // Telling the story changes nothing.
    EXPECT_EQ(run_seed(seed, {.story = true}).digest, once.digest) << seed;
  }
}

TEST(Seeds, DifferFromEachOther) { EXPECT_NE(run_seed(100).digest, run_seed(101).digest); }

class PlantedBug : public ::testing::TestWithParam<Bug> {};

TEST_P(PlantedBug, IsFound) {
  constexpr std::uint64_t kWithin = 2000;
  for (std::uint64_t seed = 1; seed <= kWithin; ++seed) {
    const SeedResult result = run_seed(seed, {.bug = GetParam()});
    if (result.broken.empty()) continue;
    // The seed breaks nothing without the mistake: what was found is the mistake.
    EXPECT_TRUE(run_seed(seed).broken.empty());
    GTEST_LOG_(INFO) << to_text(GetParam()) << " found by seed " << seed << ": " << result.broken.front();
    return;
  }
  ADD_FAILURE() << to_text(GetParam()) << " was not found within " << kWithin << " seeds";
}

INSTANTIATE_TEST_SUITE_P(OfEachKind, PlantedBug, ::testing::ValuesIn(kBugs), [](const auto& which) {
  std::string name;
  for (const char c : to_text(which.param))
    if (c != '-') name += c;
  return name;
});

}  // namespace
}  // namespace pvr::fate
