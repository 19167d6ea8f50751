// Which of the four ways a disk gets another block size by, and why the others lost.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "reconciler/model/retired.h"
#include "tests/unit/planning/strategy_world.h"

namespace pvr::testing {
namespace {

using ::testing::HasSubstr;

const StrategyOffer& offer(const Plan& plan, Strategy strategy) {
  static const StrategyOffer kNone;
  if (plan.choices.empty()) {
    ADD_FAILURE() << "no choice\n" << show(plan);
    return kNone;
  }
  return plan.choices[0].offers.at(static_cast<std::size_t>(strategy));
}
std::string chosen(const Plan& plan) {
  if (plan.choices.empty()) return "no choice";
  for (const StrategyOffer& one : plan.choices[0].offers)
    if (one.chosen) return std::string(to_text(one.strategy));
  return "none";
}

TEST(Strategy, AClassIsReachedLiveWithOneCopy) {
  const Plan made = plan(fleet({wanting("SSD-r10-models")}), live_with(), allowing(true, true));
  // SSD-r10-models is no declared class here, so this is a plain move and needs no choice.
  EXPECT_EQ(names(made), "move-disk retire-volume") << show(made);
}

// The new zvol takes the place of the old one for everybody who cares for it: tools that snapshot, caches, copies.
TEST(Strategy, WhatWasSetOnTheZvolGoesAlongInPlace) {
  LiveState live = live_with();
  std::erase_if(live.storages, [](const LiveStorage& one) { return one.id == "SSD-r10-models"; });  // no swap
  LiveDataset& zvol = zvol_in(live, "tank/vm-701-disk-1");
  const std::pair<const char*, const char*> own[] = {{"com.sun:auto-snapshot", "false"},
                                                     {"copies", "2"},
                                                     {"sync", "always"},
                                                     {"readonly", "on"},
                                                     {"refreservation", "1073741824"},
                                                     {"reservation", "4096"},
                                                     {"volsize", "1073741824"},
                                                     {"volblocksize", "16384"},
                                                     {"encryption", "aes-256-gcm"},
                                                     {"keyformat", "hex"},
                                                     {"keylocation", "prompt"},
                                                     {"pbkdf2iters", "350000"}};
  for (const auto& [key, text] : own) {
    zvol.properties.set(key, text);
    zvol.own.emplace_back(key);
  }
  const Plan made = plan(fleet({wanting()}), live, allowing(true, true));
  const auto at = std::ranges::find_if(made.operations, [](const Operation& operation) {
    return std::holds_alternative<RecreateZvol>(operation.procedure);
  });
  ASSERT_NE(at, made.operations.end()) << show(made);
  const FlatMap<std::string>& given = std::get<RecreateZvol>(at->procedure).properties;
  std::string all;
  for (const auto& [key, text] : given) all += key + "=" + text + " ";
  EXPECT_EQ(all, "com.sun:auto-snapshot=false copies=2 sync=always ");

  zvol.properties.set("encryptionroot", "tank");
  EXPECT_EQ(chosen(plan(fleet({wanting()}), live, allowing(true, true))), "in place") << "its parent's key";
  zvol.properties.set("encryptionroot", "tank/vm-701-disk-1");
  const Plan secret = plan(fleet({wanting()}), live, allowing(true, true));
  EXPECT_EQ(offer(secret, Strategy::kInPlace).why,
            "the zvol has an encryption key of its own, which a new one would not have");
}

TEST(Strategy, WithRoomElsewhereOutAndBackNeedsNoDowntime) {
  const Plan made = plan(fleet({wanting()}), storage_fixed(), allowing(true, true));
  EXPECT_EQ(chosen(made), "out and back") << show(made);
  EXPECT_EQ(names(made), "move-disk retire-volume move-disk") << show(made);
  EXPECT_THAT(offer(made, Strategy::kSwap).why, HasSubstr("needs no downtime"));
  EXPECT_THAT(offer(made, Strategy::kInPlace).why, HasSubstr("needs no downtime"));
  EXPECT_TRUE(offer(made, Strategy::kSwap).possible);
  EXPECT_TRUE(offer(made, Strategy::kInPlace).possible);
  EXPECT_THAT(offer(made, Strategy::kClassMove).why, HasSubstr("already"));
  EXPECT_EQ(offer(made, Strategy::kOutAndBack).bytes, 512_GiB);
  EXPECT_EQ(offer(made, Strategy::kInPlace).bytes, 64_GiB) << "only what is allocated";
  EXPECT_EQ(all<MoveDisk>(made).at(1).storage, "SSD-r10");
  EXPECT_FALSE(all<MoveDisk>(made).at(0).remove_source) << "the original is kept";
  EXPECT_TRUE(all<MoveDisk>(made).at(1).remove_source) << "of the copy on the way nothing stays";
}

TEST(Strategy, WithoutHostAccessOutAndBackIsTheOnlyOne) {
  const Plan made = plan(fleet({wanting()}), storage_fixed(false), allowing(true, true));
  EXPECT_EQ(chosen(made), "out and back") << show(made);
  for (const Strategy below : {Strategy::kSwap, Strategy::kInPlace}) {
    EXPECT_FALSE(offer(made, below).possible);
    EXPECT_THAT(offer(made, below).why, HasSubstr("host access"));
    EXPECT_THAT(offer(made, below).remedy, HasSubstr("cluster.ssh"));
  }
}

TEST(Strategy, WithoutScratchRoomTheSwapIsNext) {
  LiveState state = storage_fixed();
  // Everything but the pool itself is full.
  for (LiveStorage& storage : state.storages) {
    if (storage.type == "zfspool") continue;
    for (auto& [node, on] : storage.on_node) on.available = 10_GiB;
  }
  ResolvedVm wanted = wanting();
  const Plan made = plan(fleet({wanted}), state, allowing(true, true));
  // The other class on the pool is scratch as well as staging: a swap copies once, out and back needs no downtime.
  EXPECT_EQ(chosen(made), "out and back") << show(made);
  state.storages.erase(state.storages.begin() + 1);
  const Plan without = plan(fleet({wanted}), state, allowing(true, true));
  EXPECT_EQ(chosen(without), "in place") << show(without);
  EXPECT_THAT(offer(without, Strategy::kOutAndBack).why, HasSubstr("scratch"));
  EXPECT_THAT(offer(without, Strategy::kOutAndBack).why, HasSubstr("available"));
  EXPECT_THAT(offer(without, Strategy::kSwap).why, HasSubstr("no other storage"));
}

TEST(Strategy, WhereNewZvolsGetOtherBlocksSwapBeatsInPlaceByDowntime) {
  const Plan made = plan(fleet({wanting()}), live_with(), allowing(true, true));
  EXPECT_FALSE(offer(made, Strategy::kOutAndBack).possible);
  EXPECT_THAT(offer(made, Strategy::kOutAndBack).why, HasSubstr("get 16KiB"));
  // In place reads 64 GiB of data, the move 256 GiB of disk: fewer bytes, and both stop the guest.
  EXPECT_EQ(chosen(made), "in place") << show(made);
  EXPECT_THAT(offer(made, Strategy::kSwap).why, HasSubstr("copies 256 GiB instead of 64 GiB"));
  EXPECT_EQ(names(made), "stop-vm recreate-zvol start-vm") << show(made);
  const Operation& start = made.operations[2];
  EXPECT_TRUE(start.in_any_case);
  EXPECT_TRUE(all<StopVm>(made).at(0).again);
  const RecreateZvol again = all<RecreateZvol>(made).at(0);
  EXPECT_EQ(again.dataset, "tank/vm-701-disk-1");
  EXPECT_EQ(again.guid, "4711");
  EXPECT_EQ(again.volblocksize, 128_KiB);
  EXPECT_EQ(made.operations[1].impact, Impact::kOfflineCopy);
}

TEST(Strategy, WithoutOfflineCopyItIsTheSwap) {
  const Plan made = plan(fleet({wanting()}), live_with(), allowing(true, false));
  EXPECT_EQ(chosen(made), "swap") << show(made);
  EXPECT_EQ(names(made), "move-disk retire-volume stop-vm swap-zvol start-vm") << show(made);
  EXPECT_THAT(offer(made, Strategy::kInPlace).remedy, HasSubstr("--allow offline-copy"));
  const SwapZvol swap = all<SwapZvol>(made).at(0);
  EXPECT_EQ(swap.from, "tank/models");
  EXPECT_EQ(swap.to, "tank");
  EXPECT_EQ(swap.storage, "SSD-r10");
  EXPECT_EQ(swap.volume, (VolumeId{"SSD-r10-models", ""}));
}

TEST(Strategy, WithNothingAllowedItIsBlockedWithTheExactWords) {
  const Plan made = plan(fleet({wanting()}), live_with());
  EXPECT_TRUE(made.empty()) << show(made);
  EXPECT_EQ(chosen(made), "none");
  ASSERT_EQ(made.blocked.size(), 1U);
  EXPECT_THAT(made.blocked[0].remedy, HasSubstr("--allow restart"));
  EXPECT_THAT(made.blocked[0].remedy, HasSubstr("--allow offline-copy"));
  EXPECT_THAT(made.blocked[0].why, HasSubstr("swap: the guest must be stopped"));
}

TEST(Strategy, ADefaultForAnOsDiskIsAFindingOnly) {
  ResolvedVm wanted = wanting();
  Resolved* block = wanted.disks[0].settings.find("volblocksize");
  *block = by_rule(Home::kZvolProperty, "volblocksize", "128k", "Z1");
  block->finding_only = true;
  const Plan made = plan(fleet({wanted}), live_with(), allowing(true, true));
  EXPECT_TRUE(made.empty()) << show(made);
  EXPECT_TRUE(made.choices.empty());
  EXPECT_TRUE(std::ranges::any_of(made.findings, [](const Finding& f) { return f.what.find("volblocksize") == 0; }));
}

TEST(Strategy, UnknownBlocksAreSaidToBeUnknown) {
  const Plan made = plan(fleet({wanting()}), live_with(false), allowing(true, true));
  EXPECT_TRUE(made.empty()) << show(made);
  EXPECT_TRUE(std::ranges::any_of(made.findings, [](const Finding& f) {
    return f.rule == "Z2" && f.fix.find("cluster.ssh") != std::string::npos;
  })) << show(made);
}

// --- what is in the way, one by one

Plan with(const std::function<void(LiveState&, ResolvedVm&)>& change) {
  LiveState state = live_with();
  ResolvedVm wanted = wanting();
  change(state, wanted);
  return plan(fleet({wanted}), state, allowing(true, true));
}

TEST(StrategyBlockers, ReplicationKeepsEverythingBelowPveAway) {
  const Plan made = with([](LiveState& state, ResolvedVm&) {
    state.replication.push_back({.id = "701-0", .guest = Vmid{701}, .target = "pve2"});
  });
  EXPECT_EQ(chosen(made), "none");
  EXPECT_THAT(offer(made, Strategy::kInPlace).why, HasSubstr("replica"));
  EXPECT_THAT(offer(made, Strategy::kSwap).why, HasSubstr("replica"));
}

TEST(StrategyBlockers, ASickPool) {
  const Plan made = with([](LiveState& state, ResolvedVm&) { state.hosts[0].zpools[0].health = "DEGRADED"; });
  EXPECT_EQ(chosen(made), "none");
  EXPECT_THAT(offer(made, Strategy::kInPlace).why, HasSubstr("DEGRADED"));
  EXPECT_THAT(offer(made, Strategy::kSwap).why, HasSubstr("DEGRADED"));
}

TEST(StrategyBlockers, SnapshotsAreRefusedKeptOrDropped) {
  const auto snapshots = [](LiveState& state, ResolvedVm&) {
    zvol_in(state, "tank/vm-701-disk-1").snapshots = {"autosnap_1", "autosnap_2"};
  };
  const Plan refused = with(snapshots);
  EXPECT_THAT(offer(refused, Strategy::kInPlace).why, HasSubstr("2 snapshots"));
  EXPECT_THAT(offer(refused, Strategy::kInPlace).remedy, HasSubstr("snapshots: keep"));
  for (const char* word : {"keep", "drop"}) {
    const Plan made = with([&](LiveState& state, ResolvedVm& wanted) {
      snapshots(state, wanted);
      wanted.disks[0].snapshots = word;
    });
    EXPECT_EQ(chosen(made), "in place") << show(made);
    EXPECT_EQ(all<RecreateZvol>(made).at(0).snapshots, word);
  }
}

TEST(StrategyBlockers, SnapshotsOfPveAreKeptInPlaceAndNeverDropped) {
  const auto snapshots = [](const char* word) {
    return [word](LiveState& state, ResolvedVm& wanted) {
      state.vms[0].snapshots = {{.name = "before"}};
      zvol_in(state, "tank/vm-701-disk-1").snapshots = {"before"};
      wanted.disks[0].snapshots = word;
    };
  };
  const Plan kept = with(snapshots("keep"));
  EXPECT_EQ(chosen(kept), "in place") << show(kept);
  EXPECT_THAT(offer(kept, Strategy::kSwap).why, HasSubstr("snapshots"));
  const Plan dropped = with(snapshots("drop"));
  EXPECT_EQ(chosen(dropped), "none") << show(dropped);
  EXPECT_THAT(offer(dropped, Strategy::kInPlace).remedy, HasSubstr("qm delsnapshot"));
}

TEST(StrategyBlockers, APendingChangeOnTheDiskKeepsItFromMoving) {
  const auto pending = [](LiveState& state, ResolvedVm&) {
    LiveDrive& drive = state.vms[0].drives[0];
    drive.pending = *drive.current;
    drive.pending->options.set("ssd", option(Home::kDriveOption, "ssd", "1"));
  };
  const Plan made = with(pending);
  // The stop before the copy applies it: in place nothing can switch back.
  EXPECT_EQ(chosen(made), "in place") << show(made);
  EXPECT_FALSE(offer(made, Strategy::kSwap).possible);
  const Plan other = with([&](LiveState& state, ResolvedVm& wanted) {
    pending(state, wanted);
    state.vms[0].drives[0].pending->volume = VolumeId{"SSD-r10", "vm-701-disk-9"};
  });
  EXPECT_TRUE(other.empty()) << "which volume will be the disk's is open\n" << show(other);
}

TEST(StrategyBlockers, AProtectedGuestIsNotSwapped) {
  const Plan made = with([](LiveState& state, ResolvedVm&) { set(state.vms[0], "protection", "1"); });
  EXPECT_THAT(offer(made, Strategy::kSwap).why, HasSubstr("protected"));
  EXPECT_EQ(chosen(made), "in place") << "nothing is removed there";
}

TEST(StrategyBlockers, LinkedClones) {
  const Plan parent = with([](LiveState& state, ResolvedVm&) {
    LiveDataset clone = zvol("tank/vm-702-disk-0", 256_GiB, 16_KiB, "5");
    clone.properties.set("origin", "tank/vm-701-disk-1@base");
    state.hosts[0].datasets.push_back(clone);
    std::ranges::sort(state.hosts[0].datasets, {}, &LiveDataset::name);
  });
  EXPECT_EQ(chosen(parent), "none");
  EXPECT_THAT(offer(parent, Strategy::kInPlace).why, HasSubstr("linked clones"));
  const Plan child = with([](LiveState& state, ResolvedVm&) {
    zvol_in(state, "tank/vm-701-disk-1").properties.set("origin", "tank/base-9-disk-0@__base__");
  });
  EXPECT_THAT(offer(child, Strategy::kInPlace).why, HasSubstr("linked clone"));
}

TEST(StrategyBlockers, RoomOnTheWholePoolCounts) {
  const Plan made = with([](LiveState& state, ResolvedVm&) {
    for (LiveStorage& storage : state.storages)
      for (auto& [node, on] : storage.on_node) on.available = 100_GiB;
  });
  EXPECT_EQ(chosen(made), "none");
  EXPECT_THAT(offer(made, Strategy::kInPlace).why, HasSubstr("Z10"));
  EXPECT_THAT(offer(made, Strategy::kSwap).why, HasSubstr("Z10"));
}

TEST(StrategyBlockers, PaddingOfRaidzCounts) {
  LiveState state = live_with();
  state.nodes[0].zpools = {{.name = "tank",
                            .layout = "raidz2-6",
                            .data_width = 6,
                            .parity = 2,
                            .vdevs = 1,
                            .health = "ONLINE",
                            .size = 6_TiB,
                            .allocated = 600_GiB,
                            .free = 5_TiB}};
  ResolvedVm wanted = wanting("SSD-r10", "8k");
  const Plan small = plan(fleet({wanted}), state, allowing(true, true));
  EXPECT_GT(offer(small, Strategy::kInPlace).peak_extra, 256_GiB) << show(small);
  const Plan large = plan(fleet({wanting()}), state, allowing(true, true));
  EXPECT_EQ(offer(large, Strategy::kInPlace).peak_extra, 256_GiB) << show(large);
}

TEST(StrategyBlockers, ALockedGuestIsLeftAlone) {
  const Plan made = with([](LiveState& state, ResolvedVm&) { state.vms[0].lock = "backup"; });
  EXPECT_TRUE(made.empty()) << show(made);
  ASSERT_FALSE(made.blocked.empty());
  EXPECT_THAT(made.blocked[0].why, HasSubstr("locked (backup)"));
}

TEST(StrategyBlockers, UnderHaTheStopGoesThroughHa) {
  const Plan made = with([](LiveState& state, ResolvedVm&) {
    LiveHa ha{.sid = "vm:701"};
    ha.properties.set("state", "started");
    state.ha = {ha};
  });
  EXPECT_EQ(names(made), "stop-vm recreate-zvol start-vm") << show(made);
  EXPECT_TRUE(all<StopVm>(made).at(0).ha);
}

TEST(StrategyBlockers, AMissingToolIsNamed) {
  const Plan made = with([](LiveState& state, ResolvedVm&) { state.hosts[0].tools = {"qemu-img"}; });
  EXPECT_THAT(offer(made, Strategy::kInPlace).why, HasSubstr("perl"));
  EXPECT_EQ(chosen(made), "swap");
}

TEST(StrategyBlockers, ANodeThatCannotBeReachedIsNamed) {
  const Plan made = with([](LiveState& state, ResolvedVm&) {
    state.hosts = {{.node = "pve1", .readable = false, .problem = "Permission denied (publickey)"}};
    state.volumes[0].volblocksize = 16_KiB;
  });
  EXPECT_THAT(offer(made, Strategy::kInPlace).why, HasSubstr("publickey"));
}

// --- backups

TEST(RequireBackup, AFreshOneIsEnoughAndAnOldOneIsNot) {
  ResolvedVm wanted = wanting();
  wanted.require_backup = "24h";
  const Plan fresh = plan(fleet({wanted}), with_backup(1'000'000), at(1'000'000 + 3600));
  EXPECT_EQ(names(fresh), "stop-vm recreate-zvol start-vm") << show(fresh);
  const Plan old = plan(fleet({wanted}), with_backup(1'000'000), at(1'000'000 + 25 * 3600));
  EXPECT_TRUE(old.empty()) << show(old);
  EXPECT_THAT(old.blocked.at(0).why, HasSubstr("25 h old"));
  EXPECT_THAT(old.blocked.at(0).remedy, HasSubstr("vzdump 701 --storage local"));
  const Plan none = plan(fleet({wanted}), with_backup(0), at(1'000'000));
  EXPECT_THAT(none.blocked.at(0).why, HasSubstr("there is none"));
}

TEST(RequireBackup, TakeMakesOneBeforeAnythingElseOfTheGuest) {
  ResolvedVm wanted = wanting();
  wanted.require_backup = "take";
  const Plan made = plan(fleet({wanted}), with_backup(0), at(1'000'000));
  EXPECT_EQ(names(made), "back-up-vm stop-vm recreate-zvol start-vm") << show(made);
  EXPECT_EQ(all<BackUpVm>(made).at(0).storage, "local");
  for (std::size_t i = 1; i < made.operations.size(); ++i)
    EXPECT_THAT(made.operations[i].after, ::testing::Contains(1U)) << i;
  EXPECT_EQ(made.operations[0].guard.digest, "digest-701");
}

// --- properties in place

TEST(ZvolProperties, AThickZvolIsThinnedInPlaceWhenAsked) {
  LiveState state = live_with();
  zvol_in(state, "tank/vm-701-disk-1").properties.set("refreservation", "292057776128");
  ResolvedVm wanted = wanting("SSD-r10", "16k");
  wanted.disks[0].settings.set("provisioning", stated(Home::kZvolProperty, "provisioning", "thin"));
  wanted.disks[0].settings.set("compression", stated(Home::kZvolProperty, "compression", "zstd"));
  const Plan made = plan(fleet({wanted}), state);
  EXPECT_EQ(names(made), "set-zvol-properties") << show(made);
  const SetZvolProperties set = all<SetZvolProperties>(made).at(0);
  EXPECT_EQ(*set.set.find("refreservation"), "none");
  EXPECT_EQ(*set.set.find("compression"), "zstd");
  EXPECT_EQ(made.operations[0].impact, Impact::kLive);
  const auto& changes = made.operations[0].changes;
  const auto compression = std::ranges::find(changes, "compression", &PlannedChange::key);
  EXPECT_THAT(compression->to, HasSubstr("new blocks only"));
}

TEST(ZvolProperties, CompressionOnIsLz4) {
  ResolvedVm wanted = wanting("SSD-r10", "16k");
  wanted.disks[0].settings.set("compression", stated(Home::kZvolProperty, "compression", "lz4"));
  EXPECT_TRUE(plan(fleet({wanted}), live_with()).empty());
}

TEST(ZvolProperties, AMovedDiskGetsWhatIsStatedRightAfterTheMove) {
  ResolvedVm wanted = wanting("SSD-r10-models");
  wanted.disks[0].settings.set("sync", stated(Home::kZvolProperty, "sync", "always"));
  const Plan made = plan(fleet({wanted}), live_with());
  EXPECT_EQ(names(made), "move-disk retire-volume set-zvol-properties") << show(made);
  EXPECT_EQ(all<SetZvolProperties>(made).at(0).volume, (VolumeId{"SSD-r10-models", ""}));
}

// --- what an interrupted run left

TEST(Unfinished, AnExchangeIsEndedWithoutAsking) {
  LiveState state = live_with(true, PowerState::kStopped);
  auto& list = state.hosts[0].datasets;
  LiveDataset& old = zvol_in(state, "tank/vm-701-disk-1");
  old.name = retired_zvol(old.name, "20261121T081500Z");
  old.marks.set(mark::kGuard, "20261121T081500Z");
  LiveDataset made = zvol("tank/pvereconcile-new-vm-701-disk-1", 256_GiB, 128_KiB, "4712");
  made.marks.set(mark::kReplaces, "4711");
  made.marks.set(mark::kVerified, "20261121T081500Z");
  list.push_back(made);
  std::ranges::sort(list, {}, &LiveDataset::name);
  const Plan plan_now = plan(fleet({wanting()}), state);
  EXPECT_EQ(names(plan_now), "recreate-zvol") << show(plan_now);
  EXPECT_EQ(all<RecreateZvol>(plan_now).at(0).guid, "4711");
  // A copy of something else than what was put away does not take its place.
  std::ranges::find(list, made.name, &LiveDataset::name)->marks.set(mark::kVerified, "20261120T081500Z");
  EXPECT_EQ(names(plan(fleet({wanting()}), state)), "");
}

TEST(Unfinished, ABegunCopyIsGoneOnWithOrLetGo) {
  LiveState state = live_with(true, PowerState::kStopped);
  LiveDataset& held = zvol_in(state, "tank/vm-701-disk-1");
  held.properties.set("readonly", "on");
  held.marks.set(mark::kGuard, "20261121T081500Z");
  const Plan on = plan(fleet({wanting()}), state, allowing(true, true));
  EXPECT_EQ(names(on), "recreate-zvol") << show(on);
  const Plan off = plan(fleet({wanting()}), state);
  EXPECT_EQ(names(off), "set-zvol-properties") << show(off);
  EXPECT_EQ(*all<SetZvolProperties>(off).at(0).set.find("readonly"), "");
}

TEST(Unfinished, AStagedSwapIsEndedByARenameAlone) {
  LiveState state = cluster();
  LiveVm present = guest(701, PowerState::kStopped);
  attach(present, "scsi2", "SSD-r10-models:vm-701-disk-0,size=256G");
  put(state, present);
  state.hosts = {zfs_host()};
  state.hosts[0].datasets.push_back(zvol("tank/models/vm-701-disk-0", 256_GiB, 128_KiB, "9"));
  std::ranges::sort(state.hosts[0].datasets, {}, &LiveDataset::name);
  const Plan made = plan(fleet({wanting()}), state, allowing(true, true));
  EXPECT_EQ(chosen(made), "swap") << show(made);
  EXPECT_EQ(names(made), "swap-zvol") << show(made);
  EXPECT_EQ(offer(made, Strategy::kSwap).bytes, ByteSize{});
}

TEST(Retired, AMarkedVolumeIsNoCandidateForANewDisk) {
  LiveState state = live_with();
  attach(state.vms[0], "unused0", "SSD-r10:vm-701-disk-0");
  list_volume(state, "SSD-r10:vm-701-disk-0", 256_GiB);
  ResolvedVm wanted = wanting("SSD-r10", "16k");
  wanted.disks.push_back(disk("more", "scsi3", "SSD-r10", "256GiB"));
  LiveDataset old = zvol("tank/vm-701-disk-0", 256_GiB, 16_KiB, "8");
  const auto plan_with = [&](const LiveDataset& unused) {
    LiveState now = state;
    now.hosts[0].datasets.push_back(unused);
    std::ranges::sort(now.hosts[0].datasets, {}, &LiveDataset::name);
    return plan(fleet({wanted}), now);
  };
  EXPECT_EQ(names(plan_with(old)), "") << "whose data it is, nobody can tell";
  old.marks.set(mark::kRetiredAt, "20261121T081500Z");
  EXPECT_EQ(names(plan_with(old)), "add-disk");
}

TEST(Unfinished, ACopyThatIsGivenUpForAnotherWayLetsTheZvolGoFirst) {
  LiveState state = live_with();
  LiveDataset& held = zvol_in(state, "tank/vm-701-disk-1");
  held.properties.set("readonly", "on");
  held.marks.set(mark::kGuard, "20261121T081500Z");
  const Plan made = plan(fleet({wanting()}), state, allowing(true, false));
  EXPECT_EQ(names(made), "set-zvol-properties move-disk retire-volume stop-vm swap-zvol start-vm") << show(made);
}

TEST(Strategy, WorkInPlaceOnTwoDisksMustFitTogether) {
  ResolvedVm wanted = wanting();
  wanted.disks.push_back(disk("more", "scsi3", "SSD-r10", "500GiB"));
  wanted.disks[0].settings.find("size")->value = 500_GiB;
  wanted.disks[1].settings.set("volblocksize", stated(Home::kZvolProperty, "volblocksize", "128k"));
  LiveState state = cluster();
  std::erase_if(state.storages, [](const LiveStorage& one) { return one.id == "SSD-r10-models"; });
  LiveVm present = guest(701);
  state.hosts = {zfs_host()};
  std::erase_if(state.hosts[0].datasets, [](const LiveDataset& one) { return one.is_volume; });
  for (const auto& [at, name] : {std::pair{"scsi2", "vm-701-disk-1"}, {"scsi3", "vm-701-disk-2"}}) {
    attach(present, at, std::string("SSD-r10:") + name + ",size=500G");
    state.hosts[0].datasets.push_back(zvol(std::string("tank/") + name, 500_GiB, 16_KiB, name));
  }
  std::ranges::sort(state.hosts[0].datasets, {}, &LiveDataset::name);
  put(state, present);
  const Plan made = plan(fleet({wanted}), state, allowing(true, true));
  EXPECT_EQ(all<RecreateZvol>(made).size(), 1U) << show(made);
  EXPECT_EQ(made.blocked.size(), 1U) << show(made);
}

}  // namespace
}  // namespace pvr::testing
