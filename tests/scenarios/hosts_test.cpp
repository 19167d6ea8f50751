// Nodes as the fleet states them: ARC, trimming, properties of pools and datasets. From the file to the state of the
// simulated nodes, and after a kill at every effect.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "simulator/world/world.h"
#include "tests/scenarios/fleet.h"

namespace pvr::scenario {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::string kHosts = R"(
version: 1
hosts:
  pve1:
    arc_max: 16GiB
    pools:
      tank: {compression: lz4}
    datasets:
      tank/vbs128k: {recordsize: 1MiB, compression: zstd}
)";
const std::string kOwnFile(kOwnModprobeFile);

pvesim::HostFacts facts(World& world) {
  pvesim::HostFacts found;
  world.sim().inspect([&](pvesim::World& cluster) { found = cluster.nodes.at("pve1").host; });
  return found;
}

std::string property(World& world, const std::string& dataset, const std::string& key) {
  const auto found = world.zfs().dataset("pve1", dataset);
  return found && found->has_value() ? std::string((*found)->text(key)) : "(none)";
}

std::vector<std::string> steps_of(const Plan& plan) {
  std::vector<std::string> steps;
  for (const Operation& operation : plan.operations)
    steps.push_back(std::string(procedure_name(operation.procedure)) + " " + to_text(operation.address));
  return steps;
}

void expect_as_stated(World& world, const std::string& when) {
  const pvesim::HostFacts now = facts(world);
  EXPECT_EQ(now.arc_max, 16LL << 30) << when;
  EXPECT_EQ(now.arc_min, 4LL << 30) << when;
  ASSERT_TRUE(now.modprobe.contains(kOwnFile)) << when;
  EXPECT_THAT(now.modprobe.at(kOwnFile), HasSubstr("\noptions zfs zfs_arc_max=17179869184\n")) << when;
  EXPECT_THAT(now.modprobe.at(kOwnFile), HasSubstr("\noptions zfs zfs_arc_min=4294967296\n")) << when;
  EXPECT_EQ(now.modprobe.size(), 1U) << when;
  EXPECT_THAT(now.timers, ElementsAre("zfs-trim-monthly@tank.timer")) << when;
  EXPECT_EQ(property(world, "tank", "atime"), "off") << when;
  EXPECT_EQ(property(world, "tank", "dnodesize"), "auto") << when;
  EXPECT_EQ(property(world, "tank/vbs128k", "recordsize"), "1048576") << when;
  EXPECT_EQ(property(world, "tank/vbs128k", "compression"), "zstd") << when;
}

PlanResult plan_of(World& world, const std::string& text) { return plan_fleet(world, fleet(text), &world.zfs()); }

TEST(Hosts, BecomeAsStatedAndLeaveNothingToDo) {
  World world(kLab);
  const PlanResult first = plan_of(world, kHosts);
  EXPECT_THAT(first.plan.blocked, IsEmpty()) << text_of(first.plan);
  // Compression is on, which is lz4: nothing to write.
  EXPECT_THAT(steps_of(first.plan),
              ElementsAre("set-arc-limits host/pve1", "set-trim-timer host/pve1/tank",
                          "set-zvol-properties host/pve1/tank", "set-zvol-properties host/pve1/tank/vbs128k"))
      << text_of(first.plan);
  const Operation& arc = first.plan.operations.at(0);
  EXPECT_EQ(arc.impact, Impact::kLive);
  ASSERT_EQ(arc.changes.size(), 2U);
  EXPECT_EQ(arc.changes[0].from, "32 GiB, and the system's own choice after a boot");
  EXPECT_THAT(arc.changes[0].place, HasSubstr("fleet.yaml:5"));
  EXPECT_EQ(arc.changes[1].rule, "Z13");
  EXPECT_THAT(arc.changes[1].reason, HasSubstr("quarter"));
  EXPECT_EQ(first.plan.operations.at(1).changes.at(0).rule, "Z11");
  EXPECT_EQ(first.plan.operations.at(2).changes.at(0).rule, "Z7");
  const ApplyReport report = world.run_with_host(first.plan);
  ASSERT_TRUE(report.all_done()) << text_of(first.plan) << text_of(report);
  expect_as_stated(world, "applied");
  const PlanResult second = plan_of(world, kHosts);
  EXPECT_TRUE(second.plan.empty()) << text_of(second.plan);
  EXPECT_THAT(second.plan.blocked, IsEmpty());
  // The other node is not named, so it is not touched.
  world.sim().inspect([](pvesim::World& cluster) {
    EXPECT_THAT(cluster.nodes.at("pve2").host.modprobe, IsEmpty());
    EXPECT_THAT(cluster.nodes.at("pve2").host.timers, IsEmpty());
  });
}

TEST(Hosts, KilledAtAnyEffectTheNextRunConverges) {
  World calm(kLab);
  const auto count = std::make_shared<Fate>();
  ASSERT_TRUE(calm.run_with_host(plan_of(calm, kHosts).plan, count).all_done());
  ASSERT_GE(count->effects(), 7);
  for (const bool after : {false, true}) {
    for (int nth = 1; nth <= count->effects(); ++nth) {
      const std::string when = std::string("killed ") + (after ? "after" : "before") + " effect " + std::to_string(nth);
      World world(kLab);
      EXPECT_FALSE(world.run_with_host(plan_of(world, kHosts).plan, std::make_shared<Fate>(nth, after)).all_done())
          << when;
      // A file with a name modprobe reads is whole at any moment.
      const pvesim::HostFacts torn = facts(world);
      if (torn.modprobe.contains(kOwnFile)) {
        EXPECT_THAT(torn.modprobe.at(kOwnFile), HasSubstr("zfs_arc_min=4294967296\n")) << when;
      }
      world.let_time_pass();
      const PlanResult next = plan_of(world, kHosts);
      if (!next.plan.empty()) {
        const ApplyReport report = world.run_with_host(next.plan);
        EXPECT_TRUE(report.all_done()) << when << text_of(next.plan) << text_of(report);
      }
      EXPECT_TRUE(plan_of(world, kHosts).plan.empty()) << when;
      world.sim().inspect([](pvesim::World& cluster) {
        // What a kill left under a name that nobody reads does no harm and is written over next time.
        cluster.nodes.at("pve1").host.modprobe.erase(kOwnFile + ".new");
      });
      expect_as_stated(world, when);
      if (HasFailure()) return;
    }
  }
}

TEST(Hosts, WithoutHostAccessEverythingIsBlockedWithWhatIsMissing) {
  World world(kLab);
  const PlanResult planned = plan_fleet(world, fleet(kHosts));
  EXPECT_TRUE(planned.plan.empty());
  ASSERT_EQ(planned.plan.blocked.size(), 3U) << text_of(planned.plan);
  EXPECT_EQ(to_text(planned.plan.blocked[0].address), "host/pve1");
  EXPECT_EQ(planned.plan.blocked[0].what, "set arc_max, arc_min");
  EXPECT_THAT(planned.plan.blocked[0].why, HasSubstr("no host access to pve1"));
  EXPECT_THAT(planned.plan.blocked[0].remedy, HasSubstr("cluster.ssh"));
  EXPECT_TRUE(planned.plan.blocked[0].by_policy);
}

std::string lab_with(const std::string& host, const std::string& pool = "") {
  std::string text = kLab;
  const std::string node = "pve1: {cpu: 8, memory: 64GiB, pools: {tank: {size: 1TiB, ";
  return text.replace(text.find(node), node.size(),
                      "pve1: {cpu: 8, memory: 64GiB, host: {" + host + "}, pools: {tank: {size: 1TiB, " + pool);
}

TEST(Hosts, AFileOfSomebodyElseIsNamedAndLeftAlone) {
  World world(lab_with("modprobe: {/etc/modprobe.d/mine.conf: \"options zfs zfs_arc_max=8589934592\\n\"}"));
  const PlanResult planned = plan_of(world, "version: 1\nhosts: {pve1: {arc_max: 16GiB}}\n");
  EXPECT_TRUE(planned.plan.empty()) << text_of(planned.plan);
  ASSERT_EQ(planned.plan.blocked.size(), 1U);
  EXPECT_EQ(planned.plan.blocked[0].why,
            "/etc/modprobe.d/mine.conf on pve1 sets zfs_arc_max=8589934592 and is not ours");
  EXPECT_THAT(planned.plan.blocked[0].remedy, HasSubstr("mine.conf"));
}

TEST(Hosts, AFileOfSomebodyElseThatSaysTheSameIsEnough) {
  World world(lab_with("modprobe: {zfs_arc_max: 17179869184}"));
  const std::string text = "version: 1\nhosts: {pve1: {arc_max: 16GiB}}\n";
  const PlanResult planned = plan_of(world, text);
  const ApplyReport report = world.run_with_host(planned.plan);
  ASSERT_TRUE(report.all_done()) << text_of(planned.plan) << text_of(report);
  EXPECT_EQ(facts(world).arc_max, 16LL << 30);
  EXPECT_THAT(facts(world).modprobe.at(kOwnFile), Not(HasSubstr("zfs_arc_max")));
  EXPECT_EQ(facts(world).modprobe.at("/etc/modprobe.d/zfs.conf"), "options zfs zfs_arc_max=17179869184\n");
  EXPECT_TRUE(plan_of(world, text).plan.empty());
}

TEST(Hosts, AFileThatAppearsAfterPlanningIsAConflict) {
  World world(kLab);
  const PlanResult planned = plan_of(world, "version: 1\nhosts: {pve1: {arc_max: 16GiB}}\n");
  world.sim().inspect([](pvesim::World& cluster) {
    cluster.nodes.at("pve1").host.modprobe["/etc/modprobe.d/late.conf"] = "options zfs zfs_arc_max=1073741824\n";
  });
  const ApplyReport report = world.run_with_host(planned.plan);
  ASSERT_EQ(report.operations.size(), 1U);
  EXPECT_EQ(report.operations[0].outcome, Outcome::kConflict);
  EXPECT_THAT(report.operations[0].detail, HasSubstr("/etc/modprobe.d/late.conf"));
  EXPECT_FALSE(facts(world).modprobe.contains(kOwnFile));
  EXPECT_EQ(facts(world).arc_max, 0);
}

// OpenZFS ignores a limit that does not fit to the other one: the order of the writes decides.
TEST(Hosts, LimitsMoveInBothDirections) {
  World world(lab_with("arc_max: 8GiB, arc_min: 4GiB"));
  for (const auto& [text, most, least] :
       {std::tuple("arc_max: 2GiB, arc_min: 1GiB", 2LL, 1LL), std::tuple("arc_max: 32GiB, arc_min: 16GiB", 32LL, 16LL),
        std::tuple("arc_max: 17GiB, arc_min: 15GiB", 17LL, 15LL)}) {
    const std::string wanted = std::string("version: 1\nhosts: {pve1: {") + text + "}}\n";
    const PlanResult planned = plan_of(world, wanted);
    const ApplyReport report = world.run_with_host(planned.plan);
    EXPECT_TRUE(report.all_done()) << text << text_of(planned.plan) << text_of(report);
    EXPECT_EQ(facts(world).arc_max, most << 30) << text;
    EXPECT_EQ(facts(world).arc_min, least << 30) << text;
    EXPECT_TRUE(plan_of(world, wanted).plan.empty()) << text;
  }
}

TEST(Hosts, AnArcThatLeavesGuestsNoRoomIsRefused) {
  World world(lab_with("arc_max: 8GiB"));
  const PlanResult planned = plan_of(world, "version: 1\nhosts: {pve1: {arc_max: 60GiB}}\n");
  EXPECT_TRUE(planned.plan.empty()) << text_of(planned.plan);
  ASSERT_EQ(planned.plan.blocked.size(), 1U);
  EXPECT_THAT(planned.plan.blocked[0].why, HasSubstr("Z13"));
}

TEST(Hosts, AnArcBeyondTheMemoryIsRefused) {
  World world(kLab);
  const PlanResult planned = plan_of(world, "version: 1\nhosts: {pve1: {arc_max: 64GiB}}\n");
  EXPECT_TRUE(planned.plan.empty()) << text_of(planned.plan);
  ASSERT_EQ(planned.plan.blocked.size(), 1U);
  EXPECT_THAT(planned.plan.blocked[0].why, HasSubstr("OpenZFS ignores"));
}

TEST(Hosts, AutoTakesTheTableOfTheRule) {
  World world(kLab);
  const PlanResult planned = plan_of(world, "version: 1\nhosts: {pve1: {arc_max: auto}}\n");
  ASSERT_TRUE(world.run_with_host(planned.plan).all_done()) << text_of(planned.plan);
  EXPECT_EQ(facts(world).arc_max, 8LL << 30);  // for 64 GiB
  EXPECT_EQ(facts(world).arc_min, 2LL << 30);
  EXPECT_EQ(planned.plan.operations.at(0).changes.at(0).rule, "Z13");
}

TEST(Hosts, TrimmingIsByTheStatedMeansOnly) {
  World world(lab_with("timers: [fstrim.timer, zfs-trim-monthly@tank.timer]"));
  const std::string weekly = "version: 1\nhosts: {pve1: {pools: {tank: {trim: weekly}}}}\n";
  const PlanResult first = plan_of(world, weekly);
  ASSERT_TRUE(world.run_with_host(first.plan).all_done()) << text_of(first.plan);
  EXPECT_THAT(facts(world).timers, ElementsAre("fstrim.timer", "zfs-trim-weekly@tank.timer"));
  EXPECT_TRUE(plan_of(world, weekly).plan.empty());
  const std::string autotrim = "version: 1\nhosts: {pve1: {pools: {tank: {trim: none, autotrim: on}}}}\n";
  const PlanResult second = plan_of(world, autotrim);
  ASSERT_TRUE(world.run_with_host(second.plan).all_done()) << text_of(second.plan);
  EXPECT_THAT(facts(world).timers, ElementsAre("fstrim.timer"));
  world.sim().inspect([](pvesim::World& cluster) { EXPECT_TRUE(cluster.nodes.at("pve1").pools.at("tank").autotrim); });
  EXPECT_TRUE(plan_of(world, autotrim).plan.empty());
  // A pool that is trimmed in some way is left alone by the rule.
  EXPECT_TRUE(plan_of(world, "version: 1\nhosts: {pve1: {pools: {tank: {}}}}\n").plan.empty());
}

TEST(Hosts, APoolIsWrittenToAsLongAsItCanBe) {
  const auto blocked = [](const std::string& health) {
    World world(kLab);
    world.sim().inspect([&](pvesim::World& cluster) { cluster.nodes.at("pve1").pools.at("tank").health = health; });
    const PlanResult planned = plan_of(world, "version: 1\nhosts: {pve1: {pools: {tank: {autotrim: on}}}}\n");
    return planned.plan.blocked.empty() ? std::string() : planned.plan.blocked[0].why;
  };
  EXPECT_EQ(blocked("ONLINE"), "");
  EXPECT_EQ(blocked("DEGRADED"), "");
  EXPECT_EQ(blocked("SUSPENDED"), "zpool tank on pve1 is SUSPENDED");
}

TEST(Hosts, WhatDoesNotExistIsBlockedWithTheCommand) {
  World world(kLab);
  const PlanResult planned = plan_of(world, R"(
version: 1
hosts:
  pve1:
    pools: {lake: {autotrim: on}}
    datasets: {tank/none: {atime: off}}
  pve9: {arc_max: 1GiB}
)");
  ASSERT_EQ(planned.plan.blocked.size(), 3U) << text_of(planned.plan);
  EXPECT_EQ(planned.plan.blocked[0].why, "there is no zpool lake on pve1");
  EXPECT_EQ(planned.plan.blocked[1].remedy, "on pve1: zfs create -p tank/none");
  EXPECT_EQ(planned.plan.blocked[2].why, "there is no node \"pve9\" in the cluster");
}

}  // namespace
}  // namespace pvr::scenario
