// A whole fleet: plan, apply, plan again.

#include "tests/scenarios/fleet.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pvr::scenario {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Fleet, AfterApplyThePlanIsEmptyAndEveryContentIsStillThere) {
  World world(kLab);
  const auto document = fleet(kFleet);
  const auto contents = world.referenced_contents();
  const PlanResult first = plan_fleet(world, document);
  ASSERT_FALSE(first.plan.empty());
  EXPECT_THAT(first.plan.blocked, IsEmpty()) << text_of(first.plan);
  const ApplyReport report = world.run_plan(first.plan);
  EXPECT_TRUE(report.all_done()) << text_of(first.plan) << text_of(report);
  const PlanResult second = plan_fleet(world, document);
  EXPECT_TRUE(second.plan.empty()) << text_of(second.plan);
  const auto after = world.referenced_contents();
  for (const auto& [fingerprint, volumes] : contents) EXPECT_TRUE(after.contains(fingerprint)) << volumes.front();
  EXPECT_THAT(world.sim().unreferenced_disks(), IsEmpty());
}

TEST(Fleet, ManyThreadsGiveTheSameWorldAsOne) {
  World world(kLab);
  const auto document = fleet(kFleet);
  const PlanResult first = plan_fleet(world, document);
  const auto pve = world.client();
  auto options = world.options();
  options.limits.parallelism = 8;
  const ApplyReport report =
      apply(first.plan, {.pve = *pve, .clock = world.clock(), .events = world.events()}, options, {});
  EXPECT_TRUE(report.all_done()) << text_of(report);
  EXPECT_TRUE(plan_fleet(world, document).plan.empty());
}

TEST(Fleet, ASavedPlanIsStaleAfterAForeignChange) {
  World world(kLab);
  const auto document = fleet(kFleet);
  const PlanResult first = plan_fleet(world, document);
  const auto pve = world.client();
  auto fresh = stale_inputs(*pve, first.plan, document->hash);
  ASSERT_TRUE(fresh) << fresh.error().text();
  EXPECT_THAT(*fresh, IsEmpty());
  world.sim().set_config(121, "description", "somebody was here");
  const auto stale = stale_inputs(*pve, first.plan, document->hash);
  ASSERT_TRUE(stale);
  EXPECT_THAT(*stale, ::testing::ElementsAre(HasSubstr("vm/121")));
  const auto other = stale_inputs(*pve, first.plan, "another hash");
  ASSERT_TRUE(other);
  EXPECT_THAT(*other, ::testing::SizeIs(2));
}

TEST(Fleet, OneGuestsFailureStopsOnlyWhatDependsOnIt) {
  World world(kLab);
  const auto document = fleet(kFleet);
  const PlanResult first = plan_fleet(world, document);
  world.sim().add_fault(
      {.action = pvesim::FaultAction::kTaskFail, .task = "qmmove", .id = "121", .times = 0, .message = "no luck"});
  const ApplyReport report = world.run_plan(first.plan);
  EXPECT_FALSE(report.all_done());
  for (const OperationReport& operation : report.operations) {
    const bool of_db = first.plan.operations[operation.operation - 1].address.name == "db";
    if (!of_db) {
      EXPECT_TRUE(operation.outcome == Outcome::kDone || operation.outcome == Outcome::kAlready) << text_of(report);
    }
  }
  world.sim().clear_faults();
  const PlanResult second = plan_fleet(world, document);
  EXPECT_TRUE(world.run_plan(second.plan).all_done());
  EXPECT_TRUE(plan_fleet(world, document).plan.empty());
}

}  // namespace
}  // namespace pvr::scenario
