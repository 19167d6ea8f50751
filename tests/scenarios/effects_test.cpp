// What single operations do beyond the plain case: what PVE makes of a request, what somebody does meanwhile, and what
// is said about it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "reconciler/model/retired.h"
#include "simulator/world/world.h"
#include "tests/scenarios/fleet.h"

namespace pvr::scenario {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

constexpr Vmid kRuns{120};
constexpr Vmid kStopped{121};
const DriveSlot kScsi0{Bus::kScsi, 0};
const DriveSlot kScsi1{Bus::kScsi, 1};
constexpr const char* kDataset = "tank/vbs16k/vm-121-disk-0";

OperationReport run_one(World& world, const Procedure& procedure, MishapTransport::Plan hook = {}) {
  return world.run({procedure}, std::move(hook)).operations.at(0);
}
OperationReport run_on_host(World& world, const Procedure& procedure) {
  return world.run_with_host(World::plan_of({procedure})).operations.at(0);
}

/// Once, before a request that reads, as soon as `when` holds.
MishapTransport::Plan meanwhile(std::function<bool()> when, std::function<void()> act) {
  auto done = std::make_shared<bool>(false);
  return {.counts = [done, when = std::move(when), act = std::move(act)](const HttpRequest& request) {
    if (!*done && request.method == "GET" && when()) {
      *done = true;
      act();
    }
    return false;
  }};
}

int tasks_of(World& world, const std::string& type) {
  const auto all = world.sim().tasks();
  return static_cast<int>(std::ranges::count(all, type, &pvesim::TaskInfo::type));
}

// --- options

TEST(Effects, WhatCannotBeReadBackIsWrittenOncePerRun) {
  World world(kLab);
  const SetVmOptions secret{.vmid = kStopped, .set = map({{"cipassword", "x"}})};
  for (int run = 0; run < 2; ++run) EXPECT_EQ(run_one(world, secret).outcome, Outcome::kDone) << run;
  EXPECT_NE(value_of(world.sim(), 121, "cipassword"), "");
  const SetVmOptions gone{.vmid = kStopped, .set = {}, .unset = {"cipassword"}};
  EXPECT_EQ(run_one(world, gone).outcome, Outcome::kDone);
  EXPECT_EQ(value_of(world.sim(), 121, "cipassword"), "");
  EXPECT_EQ(run_one(world, gone).outcome, Outcome::kAlready);
}

// A request must not take longer than its proxy waits.
TEST(Effects, WhatIsHotpluggedTravelsInATask) {
  World world(kLab);
  EXPECT_EQ(run_one(world, SetVmOptions{.vmid = kRuns, .set = map({{"description", "x"}})}).outcome, Outcome::kDone);
  EXPECT_EQ(run_one(world, SetVmOptions{.vmid = kStopped, .set = map({{"memory", "2048"}})}).outcome, Outcome::kDone);
  EXPECT_EQ(tasks_of(world, "qmconfig"), 0);
  EXPECT_EQ(run_one(world, SetVmOptions{.vmid = kRuns, .set = map({{"memory", "4096"}})}).outcome, Outcome::kDone);
  EXPECT_EQ(tasks_of(world, "qmconfig"), 1);
  EXPECT_EQ(run_one(world, SetVmOptions{.vmid = kRuns, .set = {}, .unset = {"memory"}}).outcome, Outcome::kDone);
  EXPECT_EQ(tasks_of(world, "qmconfig"), 2);
}

TEST(Effects, AValueThatBecameAnotherIsToldAndOneThatStayedIsAFailure) {
  const auto when_it_reads = [](World& world, const char* value) {
    return meanwhile([&world] { return value_of(world.sim(), 121, "cores") == "4"; },
                     [&world, value] { world.sim().set_config(121, "cores", value); });
  };
  const SetVmOptions change{.vmid = kStopped, .set = map({{"cores", "4"}})};
  World other(kLab);
  const OperationReport told = run_one(other, change, when_it_reads(other, "7"));
  EXPECT_EQ(told.outcome, Outcome::kDone) << told.detail;
  EXPECT_THAT(told.warnings, ElementsAre("PVE stored cores=7 for vm 121 instead of 4."));
  World old(kLab);
  const OperationReport failed = run_one(old, change, when_it_reads(old, "1"));
  EXPECT_EQ(failed.outcome, Outcome::kFailed);
  EXPECT_THAT(failed.detail, HasSubstr("Option cores of vm 121 was accepted but has its old value."));
  World gone(kLab);
  const OperationReport undone = run_one(gone, change,
                                         meanwhile([&gone] { return value_of(gone.sim(), 121, "cores") == "4"; },
                                                   [&gone] { gone.sim().delete_config(121, "cores"); }));
  EXPECT_EQ(undone.outcome, Outcome::kFailed);
  EXPECT_THAT(undone.detail, HasSubstr("the cluster does not show it. Options that differ: cores."));
}

TEST(Effects, AGuestIsFoundWhereverItLives) {
  for (const char* node : {"pve2", ""}) {
    World world(kLab);
    Plan plan = World::plan_of({SetVmOptions{.vmid = kStopped, .set = map({{"cores", "4"}})}});
    plan.operations[0].node = node;
    EXPECT_TRUE(world.run_plan(plan).all_done()) << node;
    EXPECT_EQ(value_of(world.sim(), 121, "cores"), "4") << node;
  }
  World world(kLab);
  world.sim().inspect([](pvesim::World& inside) { inside.vms.at(121).type = "lxc"; });
  Plan plan = World::plan_of({SetVmOptions{.vmid = kStopped, .set = map({{"cores", "4"}})}});
  plan.operations[0].node = "";
  const ApplyReport report = world.run_plan(plan);
  EXPECT_THAT(report.operations.at(0).detail, HasSubstr("121 is a container."));
}

TEST(Effects, WarningsOfATaskAreTold) {
  const auto start = [](bool with_log) {
    World world(kLab);
    world.sim().set_config(121, "scsihw", "virtio-scsi-pci");
    world.sim().set_config(121, "scsi0", "z16:vm-121-disk-0,iothread=1,size=8G");
    if (!with_log)
      world.sim().add_fault({.action = pvesim::FaultAction::kStatus, .method = "GET", .path = "*/log", .times = 0});
    const OperationReport report = run_one(world, StartVm{.vmid = kStopped});
    EXPECT_EQ(report.outcome, Outcome::kDone) << report.detail;
    return report.warnings;
  };
  EXPECT_THAT(start(true), ElementsAre(StartsWith("iothread is only valid with")));
  EXPECT_THAT(start(false), ElementsAre("qmstart ended with WARNINGS: 1."));
}

// --- disks

TEST(Effects, ANewDiskHasTheFormatThatWasAskedFor) {
  World world(kLab);
  ASSERT_EQ(world.sim()
                .admin_call("POST", "/storage",
                            {{"storage", "files"}, {"type", "dir"}, {"path", "/srv/files"}, {"content", "images"}})
                .status,
            200);
  EXPECT_EQ(
      run_one(world, AddDisk{.vmid = kStopped, .slot = kScsi1, .storage = "files", .size = 1_GiB, .format = "qcow2"})
          .outcome,
      Outcome::kDone);
  EXPECT_THAT(value_of(world.sim(), 121, "scsi1"), HasSubstr(".qcow2"));
  EXPECT_EQ(
      run_one(world, AddDisk{.vmid = kStopped, .slot = {Bus::kScsi, 2}, .storage = "files", .size = 1_GiB}).outcome,
      Outcome::kDone);
  EXPECT_THAT(value_of(world.sim(), 121, "scsi2"), HasSubstr(".raw"));
  // A move within the storage changes the format alone.
  const std::string drive = value_of(world.sim(), 121, "scsi1");
  const MoveDisk convert{.vmid = kStopped,
                         .slot = kScsi1,
                         .volume = volume(drive.substr(0, drive.find(','))),
                         .storage = "files",
                         .format = "raw"};
  EXPECT_EQ(run_one(world, convert).outcome, Outcome::kDone);
  EXPECT_THAT(value_of(world.sim(), 121, "scsi1"), HasSubstr(".raw"));
  EXPECT_EQ(run_one(world, convert).outcome, Outcome::kAlready);
}

// What the configuration notes of a size may be old: less than there is, or more.
TEST(Effects, TheSizeOfTheVolumeCountsAndNotItsNote) {
  World world(kLab);
  ResizeDisk grow{.vmid = kStopped, .slot = kScsi0, .volume = volume("z16:vm-121-disk-0"), .size = 8_GiB};
  world.sim().set_config(121, "scsi0", "z16:vm-121-disk-0,discard=on,size=4G");
  EXPECT_EQ(run_one(world, grow).outcome, Outcome::kAlready);
  EXPECT_EQ(world.sim().volume("z16:vm-121-disk-0")->size, 8LL << 30);
  world.sim().set_config(121, "scsi0", "z16:vm-121-disk-0,discard=on,size=32G");
  grow.size = 10_GiB;
  EXPECT_EQ(run_one(world, grow).outcome, Outcome::kDone);
  EXPECT_EQ(world.sim().volume("z16:vm-121-disk-0")->size, 10LL << 30);
  EXPECT_THAT(value_of(world.sim(), 121, "scsi0"), HasSubstr("size=10G"));
}

MoveDisk move_out() {
  return {.vmid = kStopped, .slot = kScsi0, .volume = volume("z16:vm-121-disk-0"), .storage = "z64"};
}

TEST(Effects, AMoveThatLeavesAnotherDriveBehindIsAFailure) {
  const auto report = [](const std::function<void(World&)>& act) {
    World world(kLab);
    return run_one(world, move_out(),
                   meanwhile(
                       [&world] {
                         const auto all = world.sim().tasks();
                         return value_of(world.sim(), 121, "scsi0").starts_with("z64:") &&
                                std::ranges::none_of(all, &pvesim::TaskInfo::running);
                       },
                       [&world, &act] { act(world); }));
  };
  const OperationReport options =
      report([](World& world) { world.sim().set_config(121, "scsi0", "z64:vm-121-disk-0,size=8G"); });
  EXPECT_EQ(options.outcome, Outcome::kFailed);
  EXPECT_THAT(options.detail,
              HasSubstr("the options of the drive differ: \"z16:vm-121-disk-0,discard=on,size=8G\" before, "
                        "\"z64:vm-121-disk-0,size=8G\" now."));
  const OperationReport smaller =
      report([](World& world) { world.sim().set_config(121, "scsi0", "z64:vm-121-disk-0,discard=on,size=7G"); });
  EXPECT_EQ(smaller.outcome, Outcome::kFailed);
  EXPECT_THAT(smaller.detail, HasSubstr("the volume is smaller: 8GiB before, 7GiB now."));
  const OperationReport larger =
      report([](World& world) { world.sim().set_config(121, "scsi0", "z64:vm-121-disk-0,discard=on,size=9G"); });
  EXPECT_EQ(larger.outcome, Outcome::kDone) << larger.detail;
  const OperationReport lost = report([](World& world) {
    world.sim().inspect([](pvesim::World& inside) {
      for (auto& [key, backing] : inside.backings)
        if (key.find("vbs64k") != std::string::npos) backing.volumes.erase("vm-121-disk-0");
    });
  });
  EXPECT_EQ(lost.outcome, Outcome::kFailed);
  EXPECT_THAT(lost.detail, HasSubstr("the storage does not list z64:vm-121-disk-0."));
}

TEST(Effects, WhatAFailedMoveLeavesIsNamed) {
  World world(kLab);
  const auto leave = [&world](const std::string& name) {
    ASSERT_TRUE(
        world.zfs().create_zvol("pve1", {.name = "tank/vbs64k/" + name, .size = 8_GiB, .volblocksize = 64_KiB}));
  };
  leave("vm-121-disk-4");
  world.sim().add_fault({.action = pvesim::FaultAction::kTaskFail, .task = "qmmove", .message = "no luck"});
  bool left = false;
  MishapTransport::Plan hook;
  hook.counts = [&](const HttpRequest& request) {
    if (!left && request.method == "POST" && request.path.ends_with("move_disk")) {
      left = true;
      leave("vm-121-disk-5");
    }
    return false;
  };
  const OperationReport report = run_one(world, move_out(), hook);
  ASSERT_TRUE(left);
  EXPECT_EQ(report.outcome, Outcome::kFailed);
  EXPECT_THAT(report.warnings, ElementsAre("The failed move left the volume z64:vm-121-disk-5, which no configuration "
                                           "names. Free it with: pvesm free z64:vm-121-disk-5"));
}

// --- guests

TEST(Effects, ALockThatACreationLeftIsNamed) {
  World world(kLab);
  const CreateVm create{.node = "pve1",
                        .vmid = Vmid{200},
                        .options = map({{"name", "x"}, {"memory", "512"}}),
                        .uuid = "11111111-2222-3333-4444-000000000200"};
  ASSERT_EQ(run_one(world, create).outcome, Outcome::kDone);
  world.sim().set_config(200, "lock", "create");
  const OperationReport report = run_one(world, create);
  EXPECT_EQ(report.outcome, Outcome::kFailed);
  EXPECT_THAT(report.detail,
              HasSubstr("while waiting for vm 200 to be created: vm 200 keeps its lock \"create\" though "
                        "nothing works on it. Look at it, then: qm unlock 200"));
  EXPECT_TRUE(world.sim().vm_exists(200));
}

TEST(Effects, AGuestIsDestroyedByTheDigestOfThePlanWhereItHasNoUuid) {
  World world(kLab);
  world.sim().delete_config(121, "smbios1");
  const auto vm = world.client()->guest({.node = "pve1", .vmid = kStopped});
  ASSERT_TRUE(vm);
  Plan plan = World::plan_of({DestroyVm{.vmid = kStopped}});
  plan.operations[0].guard.digest = vm->digest + "0";
  EXPECT_EQ(world.run_plan(plan).operations.at(0).outcome, Outcome::kConflict);
  EXPECT_TRUE(world.sim().vm_exists(121));
  plan.operations[0].guard.digest = vm->digest;
  EXPECT_EQ(world.run_plan(plan).operations.at(0).outcome, Outcome::kDone);
  EXPECT_FALSE(world.sim().vm_exists(121));
}

// --- the cluster's configuration

TEST(Effects, AStorageFileThatSomebodyChangedIsAConflictAndOurOwnChangeIsNone) {
  World world(kLab);
  const auto storages = world.client()->storages();
  ASSERT_TRUE(storages);
  Plan plan = World::plan_of(
      {UpdateStorage{.id = "z16", .set = map({{"blocksize", "8k"}})},
       CreateStorage{
           .id = "z128", .type = "zfspool", .properties = map({{"pool", "tank/vbs128k"}, {"content", "images"}})},
       UpdateStorage{.id = "z64", .set = map({{"blocksize", "128k"}}), .unset = {"sparse"}},
       DeleteStorage{.id = "z128"}, UpdateStorage{.id = "z16", .set = map({{"blocksize", "4k"}})}});
  for (Operation& operation : plan.operations) operation.guard.section_digest = storages->digest;
  const ApplyReport report = world.run_plan(plan);
  EXPECT_TRUE(report.all_done()) << text_of(report);
  EXPECT_THAT(world.sim().storage_cfg(), HasSubstr("blocksize 4k"));
  EXPECT_THAT(world.sim().storage_cfg(), Not(HasSubstr("z128")));

  Plan late = World::plan_of({UpdateStorage{.id = "z16", .set = map({{"blocksize", "16k"}})}});
  late.operations[0].guard.section_digest = storages->digest;
  const ApplyReport refused = world.run_plan(late);
  EXPECT_EQ(refused.operations.at(0).outcome, Outcome::kConflict);
  EXPECT_THAT(refused.operations.at(0).detail,
              HasSubstr("the storage configuration is not the one the plan was made on"));
  EXPECT_THAT(world.sim().storage_cfg(), HasSubstr("blocksize 4k"));
}

TEST(Effects, AStorageIsRemovedWhenItIsEmptyWhereItIs) {
  World world(kLab);
  ASSERT_EQ(run_one(world, move_out()).outcome, Outcome::kDone);
  const OperationReport full = run_one(world, DeleteStorage{.id = "z64"});
  EXPECT_EQ(full.outcome, Outcome::kConflict);
  EXPECT_EQ(full.detail, "Storage \"z64\" holds z64:vm-121-disk-0 on pve1.");
  // Only a node that has it is asked.
  ASSERT_EQ(world.sim().admin_call("PUT", "/storage/z64", {{"nodes", "pve2"}}).status, 200);
  EXPECT_EQ(run_one(world, DeleteStorage{.id = "z64"}).outcome, Outcome::kDone);
  EXPECT_THAT(world.sim().storage_cfg(), Not(HasSubstr("zfspool: z64")));
}

TEST(Effects, HaIsSetUnsetAndMadeWhereItIsMissing) {
  World world(kLab);
  const auto value = [&world](const std::string& sid, const std::string& key) {
    std::string found = "-";
    world.sim().inspect([&](pvesim::World& inside) {
      const auto at = inside.ha_resources.find(sid);
      if (at == inside.ha_resources.end()) return;
      const auto text = at->second.values.find(key);
      found = text == at->second.values.end() ? "" : text->second;
    });
    return found;
  };
  EXPECT_EQ(run_one(world, SetHa{.sid = "vm:122", .set = map({{"max_restart", "3"}, {"comment", "x"}})}).outcome,
            Outcome::kDone);
  EXPECT_EQ(value("vm:122", "max_restart"), "3");
  EXPECT_EQ(run_one(world, SetHa{.sid = "vm:122", .set = map({{"max_restart", "3"}}), .unset = {"comment"}}).outcome,
            Outcome::kDone);
  EXPECT_EQ(value("vm:122", "comment"), "");
  EXPECT_EQ(run_one(world, SetHa{.sid = "vm:122", .set = map({{"comment", "y"}})}).outcome, Outcome::kDone)
      << "what has no default is not there";
  EXPECT_EQ(value("vm:122", "comment"), "y");
  EXPECT_EQ(run_one(world, SetHa{.sid = "vm:120", .set = map({{"max_restart", "1"}})}).outcome, Outcome::kDone);
  EXPECT_NE(value("vm:120", "state"), "-") << "made, though a default was all there was to say";
}

// --- nodes

TEST(Effects, OneLimitOfTheArcIsSetWithoutTheOther) {
  World world(kLab);
  const auto facts = [&world] {
    pvesim::HostFacts found;
    world.sim().inspect([&](pvesim::World& inside) { found = inside.nodes.at("pve1").host; });
    return found;
  };
  const SetArcLimits least{.node = "pve1", .min = 1_GiB, .options = map({{"zfs_arc_min", "1073741824"}})};
  EXPECT_EQ(run_on_host(world, least).outcome, Outcome::kDone);
  EXPECT_EQ(facts().arc_min, 1LL << 30);
  EXPECT_EQ(run_on_host(world, least).outcome, Outcome::kAlready);
  const SetArcLimits most{.node = "pve1", .max = 8_GiB, .options = map({{"zfs_arc_max", "8589934592"}})};
  EXPECT_EQ(run_on_host(world, most).outcome, Outcome::kDone);
  EXPECT_EQ(facts().arc_max, 8LL << 30);
  EXPECT_EQ(facts().arc_min, 1LL << 30);
  EXPECT_EQ(run_on_host(world, most).outcome, Outcome::kAlready);
}

TEST(Effects, PoolsAndTimersAreSetOnce) {
  World world(kLab);
  const SetPoolProperties trim{.node = "pve1", .pool = "tank", .set = map({{"autotrim", "on"}})};
  EXPECT_EQ(run_on_host(world, trim).outcome, Outcome::kDone);
  EXPECT_EQ(run_on_host(world, trim).outcome, Outcome::kAlready);
  EXPECT_EQ(
      run_on_host(world, SetPoolProperties{.node = "pve1", .pool = "tank", .set = map({{"autotrim", "off"}})}).outcome,
      Outcome::kDone);
  const auto timer = [&world](const char* which) {
    return run_on_host(world, SetTrimTimer{.node = "pve1", .pool = "tank", .timer = which}).outcome;
  };
  EXPECT_EQ(timer("none"), Outcome::kAlready);
  EXPECT_EQ(timer("weekly"), Outcome::kDone);
  EXPECT_EQ(timer("weekly"), Outcome::kAlready);
  EXPECT_EQ(timer("monthly"), Outcome::kDone);
  EXPECT_EQ(timer("none"), Outcome::kDone);
  EXPECT_EQ(timer("none"), Outcome::kAlready);
}

// --- zvols

std::string guid_of(World& world, const std::string& dataset) {
  const auto found = world.zfs().dataset("pve1", dataset);
  return found && found->has_value() ? std::string((*found)->text("guid")) : std::string();
}
RecreateZvol recreate(World& world) {
  return {.vmid = kStopped,
          .slot = kScsi0,
          .volume = volume("z16:vm-121-disk-0"),
          .node = "pve1",
          .dataset = kDataset,
          .guid = guid_of(world, kDataset),
          .volblocksize = 64_KiB};
}

TEST(Effects, AReservationThatIsRefusedIsToldAndTheDiskIsThin) {
  World world(kLab);
  RecreateZvol wanted = recreate(world);
  wanted.thick = true;
  world.sim().add_fault({.action = pvesim::FaultAction::kHostFail,
                         .path = "zfs set*refreservation=auto*",
                         .times = 0,
                         .message = "out of space"});
  const OperationReport report = run_on_host(world, wanted);
  EXPECT_EQ(report.outcome, Outcome::kDone) << report.detail;
  EXPECT_THAT(report.warnings, ElementsAre(HasSubstr("is thin now, its reservation was refused")));
  EXPECT_EQ(world.sim().volume("z16:vm-121-disk-0")->volblocksize, 64 << 10);
}

TEST(Effects, ADiskThatStaysReadOnlyIsNamedWithTheCommand) {
  World world(kLab);
  world.sim().add_fault(
      {.action = pvesim::FaultAction::kHostFail, .path = "zfs inherit*readonly*", .times = 0, .message = "no"});
  const ApplyReport report =
      world.run_with_host(World::plan_of({recreate(world)}), std::make_shared<Fate>(), [&](const Command& command) {
        if (runs(command, "compare")) spoil_copies(world);
      });
  ASSERT_EQ(report.operations.size(), 1U);
  EXPECT_EQ(report.operations[0].outcome, Outcome::kFailed);
  EXPECT_THAT(report.operations[0].warnings,
              ElementsAre("tank/vbs16k/vm-121-disk-0 is still read-only, and vm 121 cannot start: on pve1: zfs inherit "
                          "readonly tank/vbs16k/vm-121-disk-0"));
}

TEST(Effects, DroppedSnapshotsStayWithTheOldZvolAndGoWithIt) {
  World world(kLab);
  ASSERT_EQ(world.sim().create_snapshot(121, "first"), "OK");
  RecreateZvol wanted = recreate(world);
  wanted.snapshots = "drop";
  ASSERT_EQ(run_on_host(world, wanted).outcome, Outcome::kDone);
  EXPECT_THAT((*world.zfs().dataset("pve1", kDataset))->snapshots, IsEmpty());
  std::string hidden;
  for (const pvesim::ZvolInfo& one : world.sim().zvols())
    if (is_hidden_name(one.name)) hidden = one.name;
  EXPECT_THAT((*world.zfs().dataset("pve1", hidden))->snapshots, ElementsAre("first"));
  const OperationReport gone =
      run_on_host(world, DestroyDataset{.node = "pve1", .dataset = hidden, .guid = guid_of(world, hidden)});
  EXPECT_EQ(gone.outcome, Outcome::kDone) << gone.detail;
  EXPECT_EQ(guid_of(world, hidden), "");
  EXPECT_NE(guid_of(world, kDataset), "");
}

// What was retired before, and what belongs to another disk, keeps its marks.
TEST(Effects, ARollbackRetiresOnlyWhatItTakesOutOfUse) {
  World world(kLab);
  const std::string first = guid_of(world, kDataset);
  ASSERT_EQ(run_on_host(world, recreate(world)).outcome, Outcome::kDone);
  world.sim().advance(std::chrono::hours(1));
  RecreateZvol again = recreate(world);
  again.volblocksize = 32_KiB;
  ASSERT_EQ(run_on_host(world, again).outcome, Outcome::kDone);
  world.sim().advance(std::chrono::hours(1));
  NewZvol other{
      .name = "tank/vbs16k/pvereconcile-retired-vm-120-disk-0-20260101T000000Z", .size = 1_GiB, .volblocksize = 16_KiB};
  other.properties.set(mark_property(mark::kVmid), "120");
  ASSERT_TRUE(world.zfs().create_zvol("pve1", other));
  const auto marks = [&world](const std::string& guid) {
    for (const pvesim::ZvolInfo& one : world.sim().zvols())
      if (std::to_string(one.guid) == guid && one.properties.contains("pvereconcile:retired-at"))
        return one.properties.at("pvereconcile:retired-at");
    return std::string();
  };
  const std::string second = again.guid;
  const std::string third = guid_of(world, kDataset);
  const std::string before = marks(second);
  ASSERT_NE(before, "");
  EXPECT_EQ(marks(third), "");
  const OperationReport report = run_on_host(world, RollBackZvol{.vmid = kStopped,
                                                                 .slot = kScsi0,
                                                                 .volume = volume("z16:vm-121-disk-0"),
                                                                 .node = "pve1",
                                                                 .dataset = kDataset,
                                                                 .guid = first});
  ASSERT_EQ(report.outcome, Outcome::kDone) << report.detail;
  EXPECT_EQ(marks(first), "");
  EXPECT_EQ(marks(second), before) << "its retention began earlier";
  EXPECT_GT(marks(third), before);
  EXPECT_EQ(marks(guid_of(world, other.name)), "") << "another disk's";
}

// Somebody makes a volume where the swapped one came from, while the swap is half done.
TEST(Effects, ASwapNeverFreesAVolumeThatTookTheEmptyPlace) {
  World calm(kLab);
  ASSERT_EQ(run_one(calm, move_out()).outcome, Outcome::kDone);
  const auto count = std::make_shared<Fate>();
  ASSERT_TRUE(calm.run_with_host(World::plan_of({swap_of(121)}), count).all_done());
  std::vector<std::string> details;
  for (int nth = 1; nth <= count->effects(); ++nth) {
    World world(kLab);
    ASSERT_EQ(run_one(world, move_out()).outcome, Outcome::kDone);
    static_cast<void>(world.run_with_host(World::plan_of({swap_of(121)}), std::make_shared<Fate>(nth, true)));
    world.let_time_pass();
    const std::string before = "tank/vbs64k/vm-121-disk-0";
    const bool entry = world.sim().vm_config_text(121).find("z64:vm-121-disk-0") != std::string::npos;
    if (!entry || !guid_of(world, before).empty()) continue;
    ASSERT_TRUE(world.zfs().create_zvol("pve1", {.name = before, .size = 1_GiB, .volblocksize = 64_KiB}));
    const OperationReport report = run_on_host(world, swap_of(121));
    EXPECT_EQ(report.outcome, Outcome::kConflict) << nth << report.detail;
    EXPECT_NE(guid_of(world, before), "") << nth;
    details.push_back(report.detail);
  }
  EXPECT_THAT(details, ElementsAre("z64:vm-121-disk-0 is there twice, staged and renamed, on pve1.",
                                   "z64:vm-121-disk-0 is there again; the unused entry that names it stays."));
}

TEST(Effects, ASwapOfAGuestWithSnapshotsIsRefused) {
  World world(kLab);
  ASSERT_EQ(run_one(world, move_out()).outcome, Outcome::kDone);
  ASSERT_EQ(world.sim().create_snapshot(121, "first"), "OK");
  const OperationReport report = run_on_host(world, swap_of(121));
  EXPECT_EQ(report.outcome, Outcome::kConflict);
  EXPECT_THAT(report.detail, HasSubstr("vm 121 has snapshots, which name z64:vm-121-disk-0"));
  EXPECT_THAT(value_of(world.sim(), 121, "scsi0"), StartsWith("z64:vm-121-disk-0"));
}

}  // namespace
}  // namespace pvr::scenario
