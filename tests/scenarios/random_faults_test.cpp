// Everything that can go wrong on the way goes wrong by chance: slow answers, cut connections, lost answers, failing
// tasks. Nothing is ever lost, and as soon as the weather is better one run ends where an undisturbed one would.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scenarios/fleet.h"

namespace pvr::scenario {
namespace {

class RandomFaults : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(RandomFaults, LoseNothingAndEndWhereACalmRunWould) {
  World world(kLab);
  const auto document = fleet(kFleet);
  const auto contents = world.referenced_contents();
  const auto expect_contents = [&](const std::string& when) {
    const auto now = world.referenced_contents();
    for (const auto& [fingerprint, volumes] : contents)
      EXPECT_TRUE(now.contains(fingerprint)) << volumes.front() << " " << when;
  };
  std::uint64_t fired = 0;
  for (std::uint64_t run = 0; run < 3; ++run) {
    const PlanResult planned = plan_fleet(world, document);
    pvesim::RandomFaults faults;
    faults.seed = GetParam() * 100 + run;
    faults.rate = 0.06;
    faults.task_rate = 0.03;
    world.sim().set_random_faults(faults);
    world.run_plan(planned.plan);
    fired += world.sim().faults_fired();
    world.sim().clear_faults();
    world.let_time_pass();
    expect_contents("after run " + std::to_string(run));
  }
  EXPECT_GT(fired, 0U);
  const PlanResult calm = plan_fleet(world, document);
  const ApplyReport report = world.run_plan(calm.plan);
  EXPECT_TRUE(report.all_done()) << text_of(calm.plan) << text_of(report);
  const PlanResult last = plan_fleet(world, document);
  EXPECT_TRUE(last.plan.empty()) << text_of(last.plan);
  EXPECT_TRUE(world.sim().vm_running(120));
  // Fact: HA gives a guest up whose start failed again and again. That is told.
  EXPECT_TRUE(world.sim().vm_running(122) || text_of(last.plan).find("HA has given the guest up") != std::string::npos)
      << text_of(last.plan);
  expect_contents("at the end");
}

INSTANTIATE_TEST_SUITE_P(Seeds, RandomFaults, ::testing::Range(std::uint64_t{1}, std::uint64_t{16}));

}  // namespace
}  // namespace pvr::scenario
