// The program is killed before and after each of its writes. The next run knows nothing but the cluster, and ends where
// an undisturbed one would; at no moment is the content of a disk lost or unreferenced.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scenarios/fleet.h"

namespace pvr::scenario {
namespace {

void expect_contents(World& world, const std::map<std::uint64_t, std::vector<std::string>>& contents,
                     const std::string& when) {
  const auto now = world.referenced_contents();
  for (const auto& [fingerprint, volumes] : contents)
    EXPECT_TRUE(now.contains(fingerprint)) << volumes.front() << " " << when;
}

class Kill : public ::testing::TestWithParam<Mishap> {};

TEST_P(Kill, AtAnyWriteTheNextRunConverges) {
  const auto document = fleet(kFleet);
  World calm(kLab);
  ASSERT_TRUE(calm.run_plan(plan_fleet(calm, document).plan).all_done());
  const int writes = calm.writes();
  ASSERT_GT(writes, 10);
  const bool app_runs = calm.sim().vm_running(120);
  for (int nth = 1; nth <= writes; ++nth) {
    const std::string when = "killed at write " + std::to_string(nth) + " of " + std::to_string(writes);
    World world(kLab);
    const auto contents = world.referenced_contents();
    const ApplyReport killed =
        world.run_plan(plan_fleet(world, document).plan, {.mishap = GetParam(), .nth = nth, .counts = {}});
    ASSERT_FALSE(killed.all_done()) << when;
    expect_contents(world, contents, when);
    world.let_time_pass();
    expect_contents(world, contents, when + ", later");
    // What a first run may have to leave to a second one: nothing here takes more.
    for (int attempt = 0; attempt < 2; ++attempt) {
      const PlanResult next = plan_fleet(world, document);
      if (next.plan.empty()) break;
      const ApplyReport report = world.run_plan(next.plan);
      EXPECT_TRUE(report.all_done()) << when << text_of(next.plan) << text_of(report);
    }
    const PlanResult last = plan_fleet(world, document);
    EXPECT_TRUE(last.plan.empty()) << when << text_of(last.plan);
    EXPECT_EQ(world.sim().vm_running(120), app_runs) << when;
    EXPECT_TRUE(world.sim().vm_running(122)) << when;
    expect_contents(world, contents, when + ", at the end");
    EXPECT_THAT(world.sim().unreferenced_disks(), ::testing::IsEmpty()) << when;
  }
}

INSTANTIATE_TEST_SUITE_P(EveryWrite, Kill, ::testing::Values(Mishap::kKillBefore, Mishap::kKillAfter),
                         [](const auto& which) { return which.param == Mishap::kKillBefore ? "Before" : "After"; });

TEST(KillInTheMiddle, OfAMoveTheNextRunAwaitsTheRunningTask) {
  World world(kLab);
  const auto killed = world.run(
      {MoveDisk{.vmid = Vmid{120}, .slot = {Bus::kScsi, 0}, .volume = volume("z16:vm-120-disk-0"), .storage = "z64"}},
      {.mishap = Mishap::kKillAfter, .nth = 1, .counts = {}});
  ASSERT_FALSE(killed.all_done());
  // The lease of the dead run is broken at once; its task still runs.
  const auto pve = world.client();
  Plan plan;
  plan.operations.push_back(
      {.id = 1,
       .procedure =
           MoveDisk{
               .vmid = Vmid{120}, .slot = {Bus::kScsi, 0}, .volume = volume("z16:vm-120-disk-0"), .storage = "z64"},
       .node = "pve1"});
  auto options = world.options();
  options.lease.break_existing = true;
  const auto report = apply(plan, {.pve = *pve, .clock = world.clock(), .events = world.events()}, options, {});
  EXPECT_TRUE(report.all_done()) << text_of(report);
  int moves = 0;
  for (const auto& task : world.sim().tasks()) moves += task.type == "qmmove" ? 1 : 0;
  EXPECT_EQ(moves, 1);
  EXPECT_THAT(value_of(world.sim(), 120, "scsi0"), ::testing::HasSubstr("z64:"));
}

TEST(KillInTheMiddle, OfARestartTheNextPlanStartsTheGuestAgain) {
  World world(kLab);
  const auto killed = world.run({RestartVm{.vmid = Vmid{120}}}, {.mishap = Mishap::kKillAfter, .nth = 1, .counts = {}});
  ASSERT_FALSE(killed.all_done());
  world.let_time_pass();
  ASSERT_FALSE(world.sim().vm_running(120));
  const auto document = fleet("version: 1\nvms: {app: {vmid: 120}}\n");
  const PlanResult next = plan_fleet(world, document);
  ASSERT_EQ(next.plan.operations.size(), 1U) << text_of(next.plan);
  EXPECT_TRUE(std::holds_alternative<StartVm>(next.plan.operations[0].procedure));
  EXPECT_TRUE(world.run_plan(next.plan).all_done());
  EXPECT_TRUE(world.sim().vm_running(120));
  EXPECT_TRUE(plan_fleet(world, document).plan.empty());
  const auto pve = world.client();
  const auto pools = pve->pools();
  ASSERT_TRUE(pools);
  EXPECT_THAT(*pools, ::testing::IsEmpty());
}

}  // namespace
}  // namespace pvr::scenario
