// Zvols made again with another block size, and put back: the state of the simulated cluster afterwards, and after a
// kill at every effect of the API or of host access.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "reconciler/model/retired.h"
#include "simulator/world/world.h"
#include "tests/scenarios/fleet.h"

namespace pvr::scenario {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kDataset = "tank/vbs16k/vm-121-disk-0";
constexpr DriveSlot kScsi0 = {Bus::kScsi, 0};

std::string guid_of(World& world, const std::string& dataset) {
  const auto found = world.zfs().dataset("pve1", dataset);
  EXPECT_TRUE(found && found->has_value()) << dataset;
  return found && found->has_value() ? std::string((*found)->text("guid")) : std::string();
}

RecreateZvol recreate(World& world, ByteSize block) {
  return {.vmid = Vmid{121},
          .slot = kScsi0,
          .volume = volume("z16:vm-121-disk-0"),
          .node = "pve1",
          .dataset = kDataset,
          .guid = guid_of(world, kDataset),
          .volblocksize = block};
}

std::vector<std::string> hidden(World& world) {
  std::vector<std::string> names;
  for (const pvesim::ZvolInfo& one : world.sim().zvols())
    if (is_hidden_name(one.name)) names.push_back(one.name);
  return names;
}

/// Content of all zvols by their names.
std::map<std::string, std::uint64_t> contents(World& world) {
  std::map<std::string, std::uint64_t> all;
  for (const pvesim::ZvolInfo& one : world.sim().zvols()) all.emplace(one.node + ":" + one.name, one.fingerprint);
  return all;
}

std::uint64_t snapshot_fingerprint(World& world, const std::string& zvol, const std::string& snapshot) {
  std::uint64_t found = 0;
  world.sim().inspect([&](pvesim::World& cluster) {
    for (auto& [key, backing] : cluster.backings)
      for (auto& [name, volume] : backing.volumes)
        if (backing.path + "/" + name == zvol && volume.snapshots.contains(snapshot))
          found = volume.snapshots.at(snapshot).fingerprint;
  });
  return found;
}

std::uint64_t fingerprint(World& world, const std::string& volid) {
  const auto info = world.sim().volume(volid);
  EXPECT_TRUE(info) << volid;
  return info ? info->fingerprint : 0;
}

TEST(RecreateZvol, GivesTheDiskItsBlockSizeAndKeepsTheOldOneOutOfSight) {
  World world(kLab);
  const std::uint64_t before = fingerprint(world, "z16:vm-121-disk-0");
  ASSERT_NE(before, 0U);
  const std::string old_guid = guid_of(world, kDataset);
  const auto report = world.run_with_host(World::plan_of({recreate(world, 64_KiB)}));
  ASSERT_TRUE(report.all_done()) << text_of(report);
  const auto now = world.sim().volume("z16:vm-121-disk-0");
  ASSERT_TRUE(now);
  EXPECT_EQ(now->volblocksize, 64 << 10);
  EXPECT_EQ(now->fingerprint, before);
  EXPECT_EQ(now->size, 8LL << 30);
  ASSERT_EQ(hidden(world).size(), 1U);
  const auto retired = world.zfs().dataset("pve1", hidden(world)[0]);
  ASSERT_TRUE(retired && retired->has_value());
  EXPECT_EQ((*retired)->text("guid"), old_guid);
  EXPECT_EQ((*retired)->text("readonly"), "on");
  const auto from = retired_from(**retired);
  ASSERT_TRUE(from);
  EXPECT_EQ(from->vmid, Vmid{121});
  EXPECT_EQ(from->slot, kScsi0);
  EXPECT_EQ(from->name, "vm-121-disk-0");
  // PVE neither lists nor names it.
  const auto pve = world.client();
  const auto listed = pve->volumes("pve1", "z16", std::nullopt);
  ASSERT_TRUE(listed);
  for (const LiveVolume& one : *listed) EXPECT_THAT(one.id.name, ::testing::Not(HasSubstr("pvereconcile")));
  EXPECT_EQ(world.sim().start_vm(121), "OK");
}

// A tool that snapshots every zvol but this one must go on leaving it alone.
TEST(RecreateZvol, WhatWasSetOnTheOldOneIsSetOnTheNewOne) {
  World world(kLab);
  RecreateZvol wanted = recreate(world, 64_KiB);
  FlatMap<std::string> set;
  set.set("com.sun:auto-snapshot", "false");
  set.set("copies", "2");
  ASSERT_TRUE(world.zfs().set_properties("pve1", wanted.dataset, set));
  wanted.properties = set;
  EXPECT_TRUE(world.run_with_host(World::plan_of({wanted})).all_done());
  const auto now = world.zfs().dataset("pve1", wanted.dataset);
  ASSERT_TRUE(now && now->has_value());
  EXPECT_EQ((*now)->bytes("volblocksize"), 64_KiB);
  EXPECT_EQ((*now)->text("com.sun:auto-snapshot"), "false");
  EXPECT_EQ((*now)->text("copies"), "2");
  EXPECT_NE((*now)->text("guid"), wanted.guid);
}

// Somebody broke the lease while it compared, and the copy differs. What a failure would put right is the new holder's
// business now: without the guard the guest could start and change what that one copies.
TEST(RecreateZvol, NothingIsPutRightAfterTheLeaseIsLost) {
  for (const bool broken : {false, true}) {
    World world(kLab);
    const RecreateZvol wanted = recreate(world, 64_KiB);
    const auto rival = world.client();
    std::unique_ptr<Lease> theirs;
    bool compared = false;
    const auto before = [&](const Command& command) {
      if (compared || !runs(command, "compare")) return;
      compared = true;
      spoil_copies(world);
      if (!broken) return;
      theirs = break_lease(world, *rival);
    };
    const ApplyReport report = world.run_with_host(World::plan_of({wanted}), std::make_shared<Fate>(), before);
    ASSERT_TRUE(compared);
    EXPECT_EQ(report.operations.at(0).outcome, Outcome::kFailed) << text_of(report);
    const auto old = world.zfs().dataset("pve1", wanted.dataset);
    ASSERT_TRUE(old && old->has_value());
    EXPECT_EQ((*old)->text("readonly"), broken ? "on" : "off");
    if (theirs != nullptr) {
      EXPECT_TRUE(theirs->release());
    }
    EXPECT_TRUE(world.run_with_host(World::plan_of({wanted})).all_done());
    EXPECT_EQ(world.zfs().dataset("pve1", wanted.dataset)->value().bytes("volblocksize"), 64_KiB);
  }
}

TEST(RecreateZvol, TheDriveNotesTheRoundedSize) {
  World world(kLab);
  ASSERT_EQ(world.sim().admin_call("PUT", "/nodes/pve1/qemu/121/resize", {{"disk", "scsi0"}, {"size", "8193M"}}).status,
            200);
  world.sim().settle();
  const auto report = world.run_with_host(World::plan_of({recreate(world, 16_MiB)}));
  ASSERT_TRUE(report.all_done()) << text_of(report);
  EXPECT_EQ(world.sim().volume("z16:vm-121-disk-0")->size, 8208LL << 20);
  EXPECT_THAT(value_of(world.sim(), 121, "scsi0"), HasSubstr("size=8208M"));
  EXPECT_THAT(value_of(world.sim(), 121, "scsi0"), HasSubstr("discard=on"));
}

TEST(RecreateZvol, ThickBecomesThickAgainAndTheRetiredOneLetsItsReservationGo) {
  World world(kLab);
  RecreateZvol wanted = recreate(world, 64_KiB);
  wanted.thick = true;
  FlatMap<std::string> thick;
  thick.set("refreservation", "auto");
  ASSERT_TRUE(world.zfs().set_properties("pve1", kDataset, thick));
  const auto report = world.run_with_host(World::plan_of({wanted}));
  ASSERT_TRUE(report.all_done()) << text_of(report);
  EXPECT_GT(world.sim().volume("z16:vm-121-disk-0")->refreservation, 0);
  const auto retired = world.zfs().dataset("pve1", hidden(world).at(0));
  EXPECT_EQ((*retired)->text("refreservation"), "0");
}

TEST(RecreateZvol, ARunningGuestIsAConflictAndNothingIsTouched) {
  World world(kLab);
  const RecreateZvol wanted = recreate(world, 64_KiB);
  ASSERT_EQ(world.sim().start_vm(121), "OK");
  const auto before = contents(world);
  const auto report = world.run_with_host(World::plan_of({wanted}));
  ASSERT_FALSE(report.all_done());
  EXPECT_EQ(report.operations[0].outcome, Outcome::kConflict);
  EXPECT_EQ(contents(world), before);
  EXPECT_THAT(hidden(world), IsEmpty());
}

// E5: ZFS would rename below a running guest. Somebody starts it between the look and the rename.
TEST(RecreateZvol, AGuestStartedRightBeforeTheRenameStopsIt) {
  World world(kLab);
  const RecreateZvol wanted = recreate(world, 64_KiB);
  bool started = false;
  const auto report =
      world.run_with_host(World::plan_of({wanted}), std::make_shared<Fate>(), [&](const Command& command) {
        if (!runs(command, "create") || started) return;
        started = true;
        world.sim().start_vm(121);
      });
  ASSERT_TRUE(started);
  ASSERT_FALSE(report.all_done()) << text_of(report);
  EXPECT_EQ(world.sim().volume("z16:vm-121-disk-0")->volblocksize, 16 << 10);
  const auto still = world.zfs().dataset("pve1", kDataset);
  EXPECT_EQ((*still)->text("readonly"), "off");
}

class WrongCopy : public ::testing::TestWithParam<bool> {};

TEST_P(WrongCopy, IsNeverExchangedAndTheNextRunStartsAnew) {
  World world(kLab);
  if (GetParam()) world.sim().create_snapshot(121, "first");
  const std::uint64_t before = fingerprint(world, "z16:vm-121-disk-0");
  RecreateZvol wanted = recreate(world, 64_KiB);
  wanted.snapshots = "keep";
  const auto spoil = [&](const Command& command) {
    if (runs(command, "compare")) spoil_copies(world);
  };
  const auto report = world.run_with_host(World::plan_of({wanted}), std::make_shared<Fate>(), spoil);
  ASSERT_FALSE(report.all_done());
  EXPECT_THAT(report.operations[0].detail, HasSubstr("differs"));
  EXPECT_EQ(world.sim().volume("z16:vm-121-disk-0")->volblocksize, 16 << 10);
  EXPECT_EQ(fingerprint(world, "z16:vm-121-disk-0"), before);
  const auto again = world.run_with_host(World::plan_of({wanted}));
  ASSERT_TRUE(again.all_done()) << text_of(again);
  EXPECT_EQ(fingerprint(world, "z16:vm-121-disk-0"), before);
  EXPECT_EQ(world.sim().volume("z16:vm-121-disk-0")->volblocksize, 64 << 10);
}

INSTANTIATE_TEST_SUITE_P(OfADiskAndOfASnapshot, WrongCopy, ::testing::Bool(),
                         [](const auto& snapshot) { return snapshot.param ? "snapshot" : "disk"; });

// The guard of an interrupted run was taken away, the guest ran and wrote: the half copy must not be gone on with.
TEST(RecreateZvol, ACopyOfContentThatChangedSinceIsThrownAway) {
  World world(kLab);
  const RecreateZvol wanted = recreate(world, 64_KiB);
  const auto killed = world.run_with_host(World::plan_of({wanted}), std::make_shared<Fate>(5));
  ASSERT_FALSE(killed.all_done());
  world.let_time_pass();
  ASSERT_EQ(hidden(world).size(), 1U);
  FlatMap<std::string> inherit;
  inherit.set("readonly", "");
  ASSERT_TRUE(world.zfs().set_properties("pve1", kDataset, inherit));
  ASSERT_EQ(world.sim().start_vm(121), "OK");
  world.sim().guest_write(121, "scsi0");
  world.sim().stop_vm(121);
  const std::uint64_t now = fingerprint(world, "z16:vm-121-disk-0");
  const auto again = world.run_with_host(World::plan_of({wanted}));
  ASSERT_TRUE(again.all_done()) << text_of(again);
  EXPECT_EQ(fingerprint(world, "z16:vm-121-disk-0"), now);
}

TEST(RecreateZvol, SnapshotsAreReplayedInOrder) {
  World world(kLab);
  ASSERT_EQ(world.sim().create_snapshot(121, "first"), "OK");
  world.sim().start_vm(121);
  world.sim().guest_write(121, "scsi0");
  world.sim().stop_vm(121);
  ASSERT_EQ(world.sim().create_snapshot(121, "second"), "OK");
  world.sim().start_vm(121);
  world.sim().guest_write(121, "scsi0");
  world.sim().stop_vm(121);
  const std::uint64_t head = fingerprint(world, "z16:vm-121-disk-0");
  RecreateZvol wanted = recreate(world, 64_KiB);
  const auto refused = world.run_with_host(World::plan_of({wanted}));
  EXPECT_EQ(refused.operations.at(0).outcome, Outcome::kConflict) << "nobody said what becomes of them";
  wanted.snapshots = "keep";
  const auto report = world.run_with_host(World::plan_of({wanted}));
  ASSERT_TRUE(report.all_done()) << text_of(report);
  EXPECT_EQ(fingerprint(world, "z16:vm-121-disk-0"), head);
  const auto now = world.zfs().dataset("pve1", kDataset);
  EXPECT_EQ((*now)->snapshots, (std::vector<std::string>{"first", "second"}));
  const auto retired = world.zfs().dataset("pve1", hidden(world).at(0));
  EXPECT_EQ((*retired)->snapshots, (std::vector<std::string>{"first", "second"})) << "the helper snapshot stayed";
  for (const char* name : {"first", "second"}) {
    EXPECT_NE(snapshot_fingerprint(world, kDataset, name), 0U) << name;
    EXPECT_EQ(snapshot_fingerprint(world, kDataset, name), snapshot_fingerprint(world, (*retired)->name, name)) << name;
  }
}

TEST(RecreateZvol, AnotherZvolUnderTheNameIsNotTouched) {
  World world(kLab);
  RecreateZvol wanted = recreate(world, 64_KiB);
  wanted.guid = "1";
  const auto before = contents(world);
  const auto report = world.run_with_host(World::plan_of({wanted}));
  EXPECT_EQ(report.operations.at(0).outcome, Outcome::kConflict) << text_of(report);
  EXPECT_EQ(contents(world), before);
}

TEST(RecreateZvol, WithoutHostAccessItSaysSo) {
  World world(kLab);
  const auto report = world.run({recreate(world, 64_KiB)});
  ASSERT_FALSE(report.all_done());
  EXPECT_THAT(report.operations.at(0).detail, HasSubstr("host access"));
}

MoveDisk move_of(int vmid) {
  return {.vmid = Vmid{static_cast<std::uint32_t>(vmid)},
          .slot = kScsi0,
          .volume = volume("z16:vm-" + std::to_string(vmid) + "-disk-0"),
          .storage = "z64"};
}

TEST(SwapZvol, PutsTheMovedDataOntoTheDisksOwnStorage) {
  World world(kLab);
  const std::uint64_t before = fingerprint(world, "z16:vm-121-disk-0");
  const auto report = world.run_with_host(World::plan_of({move_of(121), swap_of(121)}));
  ASSERT_TRUE(report.all_done()) << text_of(report);
  const std::string drive = value_of(world.sim(), 121, "scsi0");
  EXPECT_THAT(drive, HasSubstr("z16:vm-121-disk-1,discard=on")) << drive;
  const auto now = world.sim().volume("z16:vm-121-disk-1");
  ASSERT_TRUE(now);
  EXPECT_EQ(now->volblocksize, 64 << 10);
  EXPECT_EQ(now->fingerprint, before);
  // The old volume is kept as unused; no entry names the one in use, and none names nothing.
  EXPECT_EQ(value_of(world.sim(), 121, "unused0"), "z16:vm-121-disk-0");
  EXPECT_EQ(value_of(world.sim(), 121, "unused1"), "");
  EXPECT_THAT(world.sim().unreferenced_disks(), IsEmpty());
  EXPECT_EQ(world.sim().start_vm(121), "OK");
}

TEST(SwapZvol, NeverRenamesBelowARunningGuest) {
  World world(kLab);
  const auto report = world.run_with_host(World::plan_of(
      {MoveDisk{.vmid = Vmid{120}, .slot = kScsi0, .volume = volume("z16:vm-120-disk-0"), .storage = "z64"},
       swap_of(120)}));
  ASSERT_EQ(report.operations.size(), 2U);
  EXPECT_EQ(report.operations[0].outcome, Outcome::kDone) << text_of(report);
  EXPECT_EQ(report.operations[1].outcome, Outcome::kConflict) << text_of(report);
  EXPECT_THAT(value_of(world.sim(), 120, "scsi0"), HasSubstr("z64:"));
  EXPECT_TRUE(world.sim().vm_running(120));
}

TEST(RollBackZvol, PutsTheOldZvolBack) {
  World world(kLab);
  const std::string old_guid = guid_of(world, kDataset);
  ASSERT_TRUE(world.run_with_host(World::plan_of({recreate(world, 64_KiB)})).all_done());
  const std::string new_guid = guid_of(world, kDataset);
  ASSERT_NE(old_guid, new_guid);
  world.sim().advance(std::chrono::hours(1));
  const RollBackZvol back{.vmid = Vmid{121},
                          .slot = kScsi0,
                          .volume = volume("z16:vm-121-disk-0"),
                          .node = "pve1",
                          .dataset = kDataset,
                          .guid = old_guid};
  const auto report = world.run_with_host(World::plan_of({back}));
  ASSERT_TRUE(report.all_done()) << text_of(report);
  EXPECT_EQ(guid_of(world, kDataset), old_guid);
  const auto live = world.zfs().dataset("pve1", kDataset);
  EXPECT_EQ((*live)->text("readonly"), "off");
  EXPECT_FALSE(is_retired(**live));
  ASSERT_EQ(hidden(world).size(), 1U);
  const auto retired = world.zfs().dataset("pve1", hidden(world)[0]);
  EXPECT_EQ((*retired)->text("guid"), new_guid);
  EXPECT_TRUE(retired_from(**retired));
  EXPECT_EQ(world.sim().start_vm(121), "OK");
}

// --- killed at every effect

struct KillCase {
  const char* name = "";
  std::vector<Procedure> (*make)(World&) = nullptr;
  void (*prepare)(World&) = nullptr;
};

void PrintTo(const KillCase& one, std::ostream* out) { *out << one.name; }

class KilledSurgery : public ::testing::TestWithParam<std::tuple<KillCase, bool>> {};

TEST_P(KilledSurgery, TheNextRunEndsWhereAnUndisturbedOneDoes) {
  const auto& [one, after] = GetParam();
  const auto set_up = [&, make = one.make, prepare = one.prepare](World& world) {
    if (prepare != nullptr) prepare(world);
    return make(world);
  };
  World calm(kLab);
  const auto count = std::make_shared<Fate>();
  const auto operations = set_up(calm);
  ASSERT_TRUE(calm.run_with_host(World::plan_of(operations), count).all_done());
  ASSERT_GT(count->effects(), 2);
  for (int nth = 1; nth <= count->effects(); ++nth) {
    const std::string when = "killed " + std::string(after ? "after" : "before") + " effect " + std::to_string(nth);
    World world(kLab);
    const auto wanted = set_up(world);
    const std::uint64_t content = [&] {
      const std::string drive = value_of(world.sim(), 121, "scsi0");
      return fingerprint(world, drive.substr(0, drive.find(',')));
    }();
    const auto intact = [&](const std::string& moment) {
      int copies = 0;
      for (const auto& [name, held] : contents(world)) copies += held == content ? 1 : 0;
      EXPECT_GE(copies, 1) << when << ", " << moment;
    };
    const auto killed = world.run_with_host(World::plan_of(wanted), std::make_shared<Fate>(nth, after));
    EXPECT_FALSE(killed.all_done()) << when;
    intact("at once");
    world.let_time_pass();
    intact("later");
    const auto next = world.run_with_host(World::plan_of(wanted));
    EXPECT_TRUE(next.all_done()) << when << text_of(next);
    const std::string drive = value_of(world.sim(), 121, "scsi0");
    EXPECT_EQ(drive, value_of(calm.sim(), 121, "scsi0")) << when;
    EXPECT_EQ(fingerprint(world, drive.substr(0, drive.find(','))), content) << when;
    EXPECT_EQ(world.sim().leftovers(), calm.sim().leftovers()) << when;
    EXPECT_EQ(hidden(world).size(), hidden(calm).size()) << when;
    EXPECT_EQ(world.sim().start_vm(121), "OK") << when;
  }
}

const KillCase kCases[] = {
    {"InPlace", [](World& world) -> std::vector<Procedure> { return {recreate(world, 64_KiB)}; }},
    {"InPlaceWithSnapshots",
     [](World& world) -> std::vector<Procedure> {
       RecreateZvol wanted = recreate(world, 64_KiB);
       wanted.snapshots = "keep";
       return {wanted};
     },
     [](World& world) {
       world.sim().create_snapshot(121, "first");
       world.sim().start_vm(121);
       world.sim().guest_write(121, "scsi0");
       world.sim().stop_vm(121);
       world.sim().create_snapshot(121, "second");
     }},
    {"Swap", [](World&) -> std::vector<Procedure> { return {swap_of(121)}; },
     [](World& world) { EXPECT_TRUE(world.run_with_host(World::plan_of({move_of(121)})).all_done()); }},
    {"RollBack",
     [](World& world) -> std::vector<Procedure> {
       const auto retired = world.zfs().dataset("pve1", hidden(world).at(0));
       return {RollBackZvol{.vmid = Vmid{121},
                            .slot = kScsi0,
                            .volume = volume("z16:vm-121-disk-0"),
                            .node = "pve1",
                            .dataset = kDataset,
                            .guid = std::string((*retired)->text("guid"))}};
     },
     [](World& world) {
       EXPECT_TRUE(world.run_with_host(World::plan_of({recreate(world, 64_KiB)})).all_done());
       world.sim().advance(std::chrono::hours(1));
     }},
};

INSTANTIATE_TEST_SUITE_P(EveryEffect, KilledSurgery, ::testing::Combine(::testing::ValuesIn(kCases), ::testing::Bool()),
                         [](const auto& which) {
                           return std::string(std::get<0>(which.param).name) +
                                  (std::get<1>(which.param) ? "After" : "Before");
                         });

}  // namespace
}  // namespace pvr::scenario
