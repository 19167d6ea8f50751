#include "reconciler/execute/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace pvr {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<Operation> operations(std::vector<std::pair<std::vector<OperationId>, std::vector<std::string>>> rows) {
  std::vector<Operation> list;
  for (auto& [after, locks] : rows) {
    Operation operation;
    operation.id = static_cast<OperationId>(list.size() + 1);
    operation.after = std::move(after);
    operation.locks = std::move(locks);
    list.push_back(std::move(operation));
  }
  return list;
}

TEST(Schedule, StartsWhatDependsOnNothingInPlanOrder) {
  Schedule schedule(operations({{{}, {}}, {{1}, {}}, {{}, {}}}), {.parallelism = 8, .copies_per_node = 2});
  EXPECT_THAT(schedule.ready(), ElementsAre(1, 3));
}

TEST(Schedule, ADependantWaitsForSuccess) {
  Schedule schedule(operations({{{}, {}}, {{1}, {}}}), {});
  schedule.started(1);
  EXPECT_THAT(schedule.ready(), IsEmpty());
  schedule.finished(1, Outcome::kAlready);
  EXPECT_THAT(schedule.ready(), ElementsAre(2));
}

TEST(Schedule, AFailureSkipsDependantsOfDependantsAndNothingElse) {
  Schedule schedule(operations({{{}, {}}, {{1}, {}}, {{2}, {}}, {{}, {}}}), {});
  schedule.started(1);
  schedule.finished(1, Outcome::kFailed);
  EXPECT_THAT(schedule.ready(), ElementsAre(4));
  const auto unstarted = schedule.unstarted();
  ASSERT_EQ(unstarted.size(), 3U);
  EXPECT_EQ(unstarted[0].operation, 2U);
  EXPECT_EQ(unstarted[0].outcome, Outcome::kSkipped);
  EXPECT_EQ(unstarted[1].operation, 3U);
  EXPECT_NE(unstarted[1].detail.find("operation 1"), std::string::npos);
}

// A guest that was stopped is started again, whatever became of what it was stopped for.
TEST(Schedule, WhatRunsInAnyCaseWaitsForTheEndAndNotForSuccess) {
  auto list = operations({{{}, {}}, {{1}, {}}, {{1, 2}, {}}, {{3}, {}}});
  list[2].in_any_case = true;
  Schedule schedule(list, {});
  schedule.started(1);
  EXPECT_THAT(schedule.ready(), IsEmpty()) << "it may still be at work";
  schedule.finished(1, Outcome::kFailed);
  EXPECT_THAT(schedule.ready(), ElementsAre(3)) << "2 was skipped, 3 is not";
  schedule.started(3);
  schedule.finished(3, Outcome::kDone);
  EXPECT_THAT(schedule.ready(), ElementsAre(4));
}

TEST(Schedule, OneHolderPerLockAndAsManyCopiesAsTheNodeMay) {
  Schedule schedule(operations({{{}, {"vm/1"}},
                                {{}, {"vm/1"}},
                                {{}, {"copy/pve1", "vm/2"}},
                                {{}, {"copy/pve1", "vm/3"}},
                                {{}, {"copy/pve1", "vm/4"}},
                                {{}, {"copy/pve2", "vm/5"}}}),
                    {.parallelism = 8, .copies_per_node = 2});
  EXPECT_THAT(schedule.ready(), ElementsAre(1, 3, 4, 6));
  for (const OperationId id : schedule.ready()) schedule.started(id);
  EXPECT_THAT(schedule.ready(), IsEmpty());
  schedule.finished(3, Outcome::kDone);
  EXPECT_THAT(schedule.ready(), ElementsAre(5));
}

TEST(Schedule, ALockNamedTwiceIsOneLock) {
  Schedule schedule(operations({{{}, {"vm/1", "vm/1"}}}), {});
  EXPECT_THAT(schedule.ready(), ElementsAre(1));
}

TEST(Schedule, ParallelismIsALimit) {
  Schedule schedule(operations({{{}, {}}, {{}, {}}, {{}, {}}}), {.parallelism = 2, .copies_per_node = 1});
  EXPECT_THAT(schedule.ready(), ElementsAre(1, 2));
  schedule.started(1);
  EXPECT_THAT(schedule.ready(), ElementsAre(2));
}

TEST(Schedule, AfterAStopNothingStartsAndTheRunIsOverWhenTheLastOneEnds) {
  Schedule schedule(operations({{{}, {}}, {{}, {}}}), {});
  schedule.started(1);
  schedule.stop(Outcome::kInterrupted, "interrupted");
  EXPECT_THAT(schedule.ready(), IsEmpty());
  EXPECT_FALSE(schedule.over());
  schedule.finished(1, Outcome::kDone);
  EXPECT_TRUE(schedule.over());
  ASSERT_EQ(schedule.unstarted().size(), 1U);
  EXPECT_EQ(schedule.unstarted()[0].outcome, Outcome::kInterrupted);
}

// Nothing would ever start, or a node never copy.
TEST(Schedule, ALimitOfNoneIsALimitOfOne) {
  Schedule schedule(operations({{{}, {"copy/pve1"}}, {{}, {"copy/pve1"}}}), {.parallelism = 0, .copies_per_node = 0});
  EXPECT_THAT(schedule.ready(), ElementsAre(1));
  Schedule copies(operations({{{}, {"copy/pve1"}}, {{}, {"copy/pve1"}}}), {.parallelism = 8, .copies_per_node = 0});
  EXPECT_THAT(copies.ready(), ElementsAre(1));
}

TEST(Schedule, TheFirstReasonToStopIsTheOneThatIsTold) {
  Schedule schedule(operations({{{}, {}}, {{1}, {}}, {{}, {}}}), {});
  schedule.started(1);
  schedule.finished(1, Outcome::kConflict);
  EXPECT_FALSE(schedule.over());
  schedule.stop(Outcome::kSkipped, "the first");
  schedule.stop(Outcome::kInterrupted, "the second");
  const auto unstarted = schedule.unstarted();
  ASSERT_EQ(unstarted.size(), 2U);
  EXPECT_EQ(unstarted[0].detail, "It needs operation 1, which did not succeed.");
  EXPECT_EQ(unstarted[1].operation, 3U);
  EXPECT_EQ(unstarted[1].outcome, Outcome::kSkipped);
  EXPECT_EQ(unstarted[1].detail, "the first");
}

TEST(Schedule, NothingStartsTwice) {
  Schedule schedule(operations({{{}, {}}, {{}, {}}}), {});
  schedule.started(1);
  EXPECT_EQ(schedule.running(), 1U);
  EXPECT_THAT(schedule.ready(), ElementsAre(2));
  schedule.finished(1, Outcome::kDone);
  EXPECT_EQ(schedule.running(), 0U);
  EXPECT_THAT(schedule.ready(), ElementsAre(2));
}

// Random graphs: whatever the order of completions, no lock is ever held twice, nothing runs before what it needs,
// everything ends.
TEST(Schedule, KeepsItsPromisesOnRandomPlans) {
  for (std::uint32_t seed = 1; seed <= 200; ++seed) {
    std::uint32_t state = seed;
    const auto next = [&](std::uint32_t below) {
      state = state * 1664525U + 1013904223U;
      return (state >> 8U) % below;
    };
    std::vector<std::pair<std::vector<OperationId>, std::vector<std::string>>> rows;
    for (OperationId id = 1; id <= 30; ++id) {
      std::vector<OperationId> after;
      if (id > 1 && next(2) == 0) after.push_back(1 + next(id - 1));
      rows.push_back({std::move(after), {"vm/" + std::to_string(next(6)), "copy/pve" + std::to_string(next(2))}});
    }
    const auto plan = operations(std::move(rows));
    Schedule schedule(plan, {.parallelism = 5, .copies_per_node = 2});
    std::set<OperationId> running;
    std::set<OperationId> succeeded;
    std::set<OperationId> ended;
    while (!schedule.over()) {
      for (const OperationId id : schedule.ready()) {
        for (const OperationId before : plan[id - 1].after) ASSERT_TRUE(succeeded.contains(before)) << "seed " << seed;
        schedule.started(id);
        running.insert(id);
      }
      ASSERT_FALSE(running.empty()) << "stuck, seed " << seed;
      ASSERT_LE(running.size(), 5U);
      std::multiset<std::string> held;
      for (const OperationId id : running) held.insert(plan[id - 1].locks.begin(), plan[id - 1].locks.end());
      for (const std::string& lock : held)
        ASSERT_LE(held.count(lock), lock.starts_with("copy/") ? 2U : 1U) << "seed " << seed;
      auto at = running.begin();
      std::advance(at, next(static_cast<std::uint32_t>(running.size())));
      const OperationId done = *at;
      const bool good = next(5) != 0;
      running.erase(at);
      ended.insert(done);
      if (good) succeeded.insert(done);
      schedule.finished(done, good ? Outcome::kDone : Outcome::kFailed);
    }
    EXPECT_EQ(ended.size() + schedule.unstarted().size(), plan.size()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace pvr
