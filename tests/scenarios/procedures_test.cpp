// Each procedure once on the simulated cluster, its refusals, and what it leaves alone.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "simulator/world/world.h"
#include "tests/scenarios/world.h"

namespace pvr::scenario {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

constexpr Vmid kRuns{120};
constexpr Vmid kStopped{121};
const DriveSlot kScsi0{Bus::kScsi, 0};
const DriveSlot kScsi1{Bus::kScsi, 1};
const DriveSlot kScsi2{Bus::kScsi, 2};

class Procedures : public ::testing::Test {
 protected:
  World world_{kLab};
  pvesim::Simulator& sim_ = world_.sim();

  /// As another admin through the API: what a running guest cannot take goes to [PENDING].
  void admin_sets(int vmid, const std::string& key, const std::string& text) {
    const auto answer = sim_.admin_call("PUT", "/nodes/pve1/qemu/" + std::to_string(vmid) + "/config", {{key, text}});
    ASSERT_EQ(answer.status, 200) << answer.body;
  }
  void expect_done(const ApplyReport& report) { EXPECT_TRUE(report.all_done()) << text_of(report); }
};

TEST_F(Procedures, MoveDiskMovesARunningGuestsDiskAndKeepsTheOldVolume) {
  const auto before = sim_.volume("z16:vm-120-disk-0");
  ASSERT_TRUE(before);
  expect_done(
      world_.run({MoveDisk{.vmid = kRuns, .slot = kScsi0, .volume = volume("z16:vm-120-disk-0"), .storage = "z64"}}));
  const auto after = sim_.volume("z64:vm-120-disk-0");
  ASSERT_TRUE(after) << sim_.vm_config_text(120);
  EXPECT_EQ(after->volblocksize, 65536);
  EXPECT_EQ(after->fingerprint, before->fingerprint);
  EXPECT_THAT(value_of(sim_, 120, "scsi0"), HasSubstr("z64:vm-120-disk-0,iothread=1"));
  EXPECT_EQ(value_of(sim_, 120, "unused0"), "z16:vm-120-disk-0");
  EXPECT_TRUE(sim_.vm_running(120));
}

TEST_F(Procedures, MoveDiskReportsProgress) {
  expect_done(
      world_.run({MoveDisk{.vmid = kRuns, .slot = kScsi0, .volume = volume("z16:vm-120-disk-0"), .storage = "z64"}}));
  double last = -1;
  for (const Event& event : world_.events().take()) {
    const auto* progress = std::get_if<TaskProgress>(&event);
    if (progress == nullptr) continue;
    EXPECT_GT(progress->fraction, last) << "the same is told once";
    last = progress->fraction;
  }
  EXPECT_DOUBLE_EQ(last, 1.0);
}

TEST_F(Procedures, MoveDiskTwiceIsAlreadySo) {
  const MoveDisk move{.vmid = kStopped, .slot = kScsi0, .volume = volume("z16:vm-121-disk-0"), .storage = "z64"};
  expect_done(world_.run({move}));
  const auto again = world_.run({move});
  EXPECT_EQ(again.operations.at(0).outcome, Outcome::kAlready) << text_of(again);
}

TEST_F(Procedures, MoveDiskRemovesASourceThatWasAStopOnTheWay) {
  const auto before = sim_.volume("z16:vm-120-disk-0");
  const MoveDisk out{.vmid = kRuns, .slot = kScsi0, .volume = volume("z16:vm-120-disk-0"), .storage = "z64"};
  const MoveDisk back{
      .vmid = kRuns, .slot = kScsi0, .volume = {.storage = "z64"}, .storage = "z16", .remove_source = true};
  const auto report = world_.run({out, back});
  expect_done(report);
  EXPECT_THAT(value_of(sim_, 120, "scsi0"), HasSubstr("z16:vm-120-disk-2"));
  EXPECT_EQ(sim_.volume("z16:vm-120-disk-2")->fingerprint, before->fingerprint);
  EXPECT_EQ(value_of(sim_, 120, "unused0"), "z16:vm-120-disk-0");
  EXPECT_EQ(value_of(sim_, 120, "unused1"), "");
  EXPECT_THAT(sim_.volumes("z64"), IsEmpty());
  EXPECT_TRUE(report.operations.at(1).warnings.empty()) << text_of(report);
}

// The task ends OK all the same, and no configuration names the volume.
TEST_F(Procedures, MoveDiskTellsOfASourceThatPveCouldNotRemove) {
  const MoveDisk move{
      .vmid = kStopped, .slot = kScsi0, .volume = volume("z16:vm-121-disk-0"), .storage = "z64", .remove_source = true};
  sim_.hold_zvol("pve1", "tank/vbs16k/vm-121-disk-0", "4711 (dd)");
  const auto report = world_.run({move});
  expect_done(report);
  ASSERT_TRUE(sim_.volume("z16:vm-121-disk-0"));
  ASSERT_EQ(report.operations.at(0).warnings.size(), 1U) << text_of(report);
  EXPECT_THAT(report.operations.at(0).warnings[0], HasSubstr("pvesm free z16:vm-121-disk-0"));
}

TEST_F(Procedures, MoveDiskRefusesADiskWithAPendingEntry) {
  admin_sets(120, "scsi0", "z16:vm-120-disk-0,iothread=1,size=8G,ssd=1");
  ASSERT_THAT(value_of(sim_, 120, "scsi0", "PENDING"), HasSubstr("ssd=1"));
  const auto report =
      world_.run({MoveDisk{.vmid = kRuns, .slot = kScsi0, .volume = volume("z16:vm-120-disk-0"), .storage = "z64"}});
  EXPECT_EQ(report.operations.at(0).outcome, Outcome::kConflict) << text_of(report);
  EXPECT_THAT(report.operations.at(0).detail, HasSubstr("restart"));
  EXPECT_THAT(sim_.volumes("z64"), IsEmpty());
}

TEST_F(Procedures, MoveDiskRefusesAFullTarget) {
  Plan plan;
  Operation operation;
  operation.id = 1;
  operation.node = "pve1";
  operation.procedure =
      MoveDisk{.vmid = kRuns, .slot = kScsi0, .volume = volume("z16:vm-120-disk-0"), .storage = "z64"};
  operation.copy = CopyCost{.bytes = 8_GiB, .target_storage = "z64", .target_node = "pve1", .peak_extra = 100_TiB};
  plan.operations.push_back(operation);
  const auto report = world_.run_plan(plan);
  EXPECT_EQ(report.operations.at(0).outcome, Outcome::kFailed);
  EXPECT_THAT(report.operations.at(0).detail, HasSubstr("free"));
  EXPECT_THAT(sim_.volumes("z64"), IsEmpty());
}

TEST_F(Procedures, AFailedMoveLeavesConfigurationAndVolumeAsTheyWere) {
  const std::string before = sim_.vm_config_text(120);
  sim_.add_fault(
      {.action = pvesim::FaultAction::kTaskFail, .task = "qmmove", .message = "storage migration failed: no luck"});
  const auto report =
      world_.run({MoveDisk{.vmid = kRuns, .slot = kScsi0, .volume = volume("z16:vm-120-disk-0"), .storage = "z64"}});
  EXPECT_EQ(report.operations.at(0).outcome, Outcome::kFailed) << text_of(report);
  EXPECT_THAT(report.operations.at(0).detail, HasSubstr("no luck"));
  EXPECT_EQ(sim_.vm_config_text(120), before);
  EXPECT_THAT(sim_.unreferenced_disks(), IsEmpty());
}

TEST_F(Procedures, LocksInsideATaskAreWaitedFor) {
  sim_.add_fault({.action = pvesim::FaultAction::kTaskFail,
                  .task = "qmmove",
                  .times = 2,
                  .message = "can't lock file '/var/lock/qemu-server/lock-120.conf' - got timeout"});
  expect_done(
      world_.run({MoveDisk{.vmid = kRuns, .slot = kScsi0, .volume = volume("z16:vm-120-disk-0"), .storage = "z64"}}));
  EXPECT_THAT(value_of(sim_, 120, "scsi0"), HasSubstr("z64:"));
}

TEST_F(Procedures, SetDriveOptionsChangesItsKeysAndKeepsTheRest) {
  expect_done(world_.run({SetDriveOptions{.vmid = kStopped,
                                          .slot = kScsi0,
                                          .volume = volume("z16:vm-121-disk-0"),
                                          .set = map({{"discard", ""}, {"iothread", "1"}, {"ssd", "1"}})}}));
  EXPECT_EQ(value_of(sim_, 121, "scsi0"), "z16:vm-121-disk-0,iothread=1,size=8G,ssd=1");
}

TEST_F(Procedures, SetDriveOptionsOnARunningGuestWaitsForItsRestartAndIsNotSentTwice) {
  const SetDriveOptions change{
      .vmid = kRuns, .slot = kScsi0, .volume = volume("z16:vm-120-disk-0"), .set = map({{"discard", "on"}})};
  expect_done(world_.run({change}));
  EXPECT_THAT(value_of(sim_, 120, "scsi0", "PENDING"), HasSubstr("discard=on"));
  const auto again = world_.run({change});
  EXPECT_EQ(again.operations.at(0).outcome, Outcome::kAlready) << text_of(again);
}

TEST_F(Procedures, SetDriveOptionsNeverWritesAnotherVolume) {
  const auto report = world_.run({SetDriveOptions{
      .vmid = kStopped, .slot = kScsi0, .volume = volume("z16:vm-121-disk-7"), .set = map({{"ssd", "1"}})}});
  EXPECT_EQ(report.operations.at(0).outcome, Outcome::kConflict) << text_of(report);
  EXPECT_EQ(value_of(sim_, 121, "scsi0"), "z16:vm-121-disk-0,discard=on,size=8G");
}

TEST_F(Procedures, SetVmOptionsSetsAndUnsets) {
  expect_done(
      world_.run({SetVmOptions{.vmid = kStopped, .set = map({{"cores", "4"}, {"tags", "b;a"}}), .unset = {"scsihw"}}}));
  EXPECT_EQ(value_of(sim_, 121, "cores"), "4");
  EXPECT_EQ(value_of(sim_, 121, "tags"), "a;b");
  EXPECT_EQ(value_of(sim_, 121, "scsihw"), "");
}

TEST_F(Procedures, SetVmOptionsPutsAMediumIntoACdDriveAndTakesItOut) {
  const SetVmOptions insert{
      .vmid = kStopped, .set = map({{"ide2", "local:iso/debian-13.iso,media=cdrom"}}), .unset = {}};
  expect_done(world_.run({insert}));
  EXPECT_THAT(value_of(sim_, 121, "ide2"), HasSubstr("local:iso/debian-13.iso"));
  EXPECT_EQ(world_.run({insert}).operations.at(0).outcome, Outcome::kAlready);
  expect_done(world_.run({SetVmOptions{.vmid = kStopped, .set = {}, .unset = {"ide2"}}}));
  EXPECT_EQ(value_of(sim_, 121, "ide2"), "");
}

TEST_F(Procedures, AForeignChangeAfterThePlanIsAConflict) {
  const auto pve = world_.client();
  const auto vm = pve->guest({.node = "pve1", .vmid = kStopped});
  ASSERT_TRUE(vm) << vm.error().text();
  sim_.set_config(121, "description", "somebody was here");
  Plan plan;
  Operation operation;
  operation.id = 1;
  operation.node = "pve1";
  operation.procedure = SetVmOptions{.vmid = kStopped, .set = map({{"cores", "4"}}), .unset = {}};
  operation.guard.digest = vm->digest;
  plan.operations.push_back(operation);
  const auto report = world_.run_plan(plan);
  EXPECT_EQ(report.operations.at(0).outcome, Outcome::kConflict) << text_of(report);
  EXPECT_EQ(value_of(sim_, 121, "cores"), "1");
}

TEST_F(Procedures, OwnEarlierWritesAreNoConflict) {
  const auto pve = world_.client();
  const auto vm = pve->guest({.node = "pve1", .vmid = kStopped});
  ASSERT_TRUE(vm);
  Plan plan;
  for (const Procedure& procedure :
       std::vector<Procedure>{SetVmOptions{.vmid = kStopped, .set = map({{"cores", "4"}}), .unset = {}},
                              SetVmOptions{.vmid = kStopped, .set = map({{"memory", "2048"}}), .unset = {}}}) {
    Operation operation;
    operation.id = static_cast<OperationId>(plan.operations.size() + 1);
    operation.node = "pve1";
    operation.locks = {"vm/121"};
    operation.procedure = procedure;
    operation.guard.digest = vm->digest;
    plan.operations.push_back(operation);
  }
  expect_done(world_.run_plan(plan));
  EXPECT_EQ(value_of(sim_, 121, "memory"), "2048");
}

TEST_F(Procedures, ARecycledVmidIsAHardStop) {
  Plan plan;
  Operation operation;
  operation.id = 1;
  operation.node = "pve1";
  operation.procedure = SetVmOptions{.vmid = kStopped, .set = map({{"cores", "4"}}), .unset = {}};
  operation.guard.uuid = "00000000-0000-0000-0000-000000000001";
  plan.operations.push_back(operation);
  const auto report = world_.run_plan(plan);
  EXPECT_EQ(report.operations.at(0).outcome, Outcome::kConflict);
  EXPECT_THAT(report.operations.at(0).detail, HasSubstr("another machine"));
  EXPECT_EQ(value_of(sim_, 121, "cores"), "1");
}

TEST_F(Procedures, AddDiskAllocatesIntoAnEmptySlotOnly) {
  const AddDisk add{
      .vmid = kStopped, .slot = kScsi1, .storage = "z64", .size = 2_GiB, .options = map({{"discard", "on"}})};
  expect_done(world_.run({add}));
  EXPECT_EQ(value_of(sim_, 121, "scsi1"), "z64:vm-121-disk-0,discard=on,size=2G");
  const auto again = world_.run({add});
  EXPECT_EQ(again.operations.at(0).outcome, Outcome::kConflict) << text_of(again);
  EXPECT_THAT(sim_.volumes("z64"), SizeIs(1));
}

TEST_F(Procedures, AddDiskMakesEfiTpmAndCloudInitVolumes) {
  expect_done(world_.run(
      {AddDisk{.vmid = kStopped,
               .slot = {Bus::kEfi, 0},
               .storage = "z64",
               .options = map({{"efitype", "4m"}, {"pre-enrolled-keys", "1"}})},
       AddDisk{.vmid = kStopped, .slot = {Bus::kTpm, 0}, .storage = "z64", .options = map({{"version", "v2.0"}})},
       AddDisk{.vmid = kStopped, .slot = {Bus::kIde, 0}, .storage = "z64", .cloud_init = true}}));
  EXPECT_THAT(value_of(sim_, 121, "efidisk0"), HasSubstr("efitype=4m"));
  EXPECT_THAT(value_of(sim_, 121, "tpmstate0"), HasSubstr("version=v2.0"));
  EXPECT_THAT(value_of(sim_, 121, "ide0"), HasSubstr("cloudinit"));
}

TEST_F(Procedures, DetachThenAttachElsewhereThenDestroy) {
  const VolumeId disk = volume("z16:vm-120-disk-1");
  expect_done(world_.run({DetachDisk{.vmid = kRuns, .slot = kScsi1, .volume = disk}}));
  EXPECT_EQ(value_of(sim_, 120, "unused0"), "z16:vm-120-disk-1");
  expect_done(world_.run(
      {AttachVolume{.vmid = kRuns, .slot = kScsi2, .from = {}, .volume = disk, .options = map({{"ssd", "1"}})}}));
  EXPECT_EQ(value_of(sim_, 120, "scsi2"), "z16:vm-120-disk-1,size=4G,ssd=1");
  EXPECT_EQ(value_of(sim_, 120, "unused0"), "");
  const auto refused = world_.run({DestroyVolume{.vmid = kRuns, .volume = disk}});
  EXPECT_EQ(refused.operations.at(0).outcome, Outcome::kConflict) << text_of(refused);
  expect_done(world_.run(
      {DetachDisk{.vmid = kRuns, .slot = kScsi2, .volume = disk}, DestroyVolume{.vmid = kRuns, .volume = disk}}));
  EXPECT_FALSE(sim_.volume("z16:vm-120-disk-1"));
}

TEST_F(Procedures, AttachFromAnotherSlotNeverNamesTheVolumeTwice) {
  const VolumeId disk = volume("z16:vm-121-disk-0");
  const AttachVolume attach{.vmid = kStopped, .slot = kScsi2, .from = kScsi0, .volume = disk, .options = {}};
  expect_done(world_.run({attach}));
  EXPECT_EQ(value_of(sim_, 121, "scsi0"), "");
  EXPECT_THAT(value_of(sim_, 121, "scsi2"), HasSubstr("z16:vm-121-disk-0"));
}

// Somebody has started the guest since the plan was made.
TEST_F(Procedures, AttachTakesNothingOutOfAGuestThatRuns) {
  for (const auto& [from, disk] : {std::pair(kScsi0, "z16:vm-120-disk-0"), std::pair(kScsi1, "z16:vm-120-disk-1")}) {
    const std::string before = sim_.vm_config_text(120);
    const auto refused =
        world_.run({AttachVolume{.vmid = kRuns, .slot = kScsi2, .from = from, .volume = volume(disk), .options = {}}});
    EXPECT_EQ(refused.operations.at(0).outcome, Outcome::kConflict) << text_of(refused);
    EXPECT_EQ(sim_.vm_config_text(120), before) << "nothing waits, either";
  }
}

// Somebody starts it right before the request: PVE refuses, and would do it at the next start.
TEST_F(Procedures, AttachTakesBackARemovalThatPveOnlyNoted) {
  MishapTransport::Plan started;
  started.counts = [this](const HttpRequest& request) {
    if (request.method == "POST" && request.path.ends_with("/121/config") && !sim_.vm_running(121)) {
      EXPECT_EQ(sim_.start_vm(121), "OK");
    }
    return false;
  };
  const AttachVolume attach{
      .vmid = kStopped, .slot = kScsi2, .from = kScsi0, .volume = volume("z16:vm-121-disk-0"), .options = {}};
  const auto failed = world_.run({attach}, started);
  EXPECT_EQ(failed.operations.at(0).outcome, Outcome::kFailed) << text_of(failed);
  EXPECT_THAT(failed.operations.at(0).detail, HasSubstr("can't unplug bootdisk"));
  EXPECT_THAT(value_of(sim_, 121, "scsi0"), HasSubstr("z16:vm-121-disk-0"));
  EXPECT_THAT(sim_.vm_config_text(121), Not(HasSubstr("PENDING")));
}

// The request failed before it noted anything; what waits for that drive since then is somebody else's.
TEST_F(Procedures, AttachTakesBackNoChangeOfOthers) {
  constexpr const char* kTheirs = "z16:vm-121-disk-0,cache=none,size=8G";
  sim_.add_fault({.action = pvesim::FaultAction::kTaskFail, .task = "qmconfig", .message = "no luck"});
  bool edited = false;
  MishapTransport::Plan others;
  others.counts = [&](const HttpRequest& request) {
    if (edited || request.path.find("/tasks/UPID") == std::string::npos) return false;
    edited = true;
    sim_.inspect([&](pvesim::World& inside) { inside.vms.at(121).config.pending["scsi0"] = kTheirs; });
    return false;
  };
  const AttachVolume attach{
      .vmid = kStopped, .slot = kScsi2, .from = kScsi0, .volume = volume("z16:vm-121-disk-0"), .options = {}};
  const auto failed = world_.run({attach}, others);
  EXPECT_EQ(failed.operations.at(0).outcome, Outcome::kFailed) << text_of(failed);
  EXPECT_THAT(failed.operations.at(0).detail, AllOf(HasSubstr("no luck"), Not(HasSubstr("--revert"))));
  ASSERT_TRUE(edited);
  EXPECT_EQ(value_of(sim_, 121, "scsi0", "PENDING"), kTheirs);
}

TEST_F(Procedures, ResizeGrowsAndDoesNothingTwice) {
  const ResizeDisk grow{.vmid = kRuns, .slot = kScsi0, .volume = volume("z16:vm-120-disk-0"), .size = 12_GiB};
  expect_done(world_.run({grow}));
  EXPECT_THAT(value_of(sim_, 120, "scsi0"), HasSubstr("size=12G"));
  EXPECT_EQ(world_.run({grow}).operations.at(0).outcome, Outcome::kAlready);
}

// Grown behind the back of its entry. Of a stopped guest's qcow2 on LVM the entry's note is all that can be read.
TEST(ResizeDisk, AnOldNoteOfTheSizeIsPutRight) {
  World world(
      std::string(kQcow2OnLvm) +
      R"(  120: {node: pve1, config: {name: a, memory: 512, scsihw: virtio-scsi-single, scsi0: "san:vm-120-disk-0.qcow2,size=6G"}}
)");
  world.sim().set_config(120, "scsi0", "san:vm-120-disk-0.qcow2,size=5G");
  const ApplyReport report = world.run(
      {ResizeDisk{.vmid = Vmid{120}, .slot = kScsi0, .volume = volume("san:vm-120-disk-0.qcow2"), .size = 6_GiB}});
  EXPECT_EQ(report.operations.at(0).outcome, Outcome::kDone) << text_of(report);
  EXPECT_EQ(value_of(world.sim(), 120, "scsi0"), "san:vm-120-disk-0.qcow2,size=6G");
}

TEST_F(Procedures, CreateMakesTheGuestOnce) {
  const CreateVm create{.node = "pve1",
                        .vmid = Vmid{200},
                        .options = map({{"name", "fresh"}, {"memory", "1024"}, {"scsihw", "virtio-scsi-single"}}),
                        .disks = map({{"scsi0", "z16:4,iothread=1"}}),
                        .uuid = "11111111-2222-3333-4444-000000000200"};
  expect_done(world_.run({create}));
  ASSERT_TRUE(sim_.vm_exists(200));
  EXPECT_THAT(value_of(sim_, 200, "smbios1"), HasSubstr("11111111-2222-3333-4444-000000000200"));
  EXPECT_EQ(world_.run({create}).operations.at(0).outcome, Outcome::kAlready);
}

TEST_F(Procedures, CreateRefusesATakenVmid) {
  const auto report = world_.run({CreateVm{.node = "pve1", .vmid = kStopped, .options = map({{"name", "x"}})}});
  EXPECT_EQ(report.operations.at(0).outcome, Outcome::kConflict) << text_of(report);
  EXPECT_EQ(value_of(sim_, 121, "name"), "db");
}

TEST_F(Procedures, AFailedCreateLeavesNothing) {
  sim_.add_fault({.action = pvesim::FaultAction::kTaskFail, .task = "qmcreate", .nth = 2, .message = "out of luck"});
  const auto report = world_.run({CreateVm{.node = "pve1",
                                           .vmid = Vmid{200},
                                           .options = map({{"name", "fresh"}, {"memory", "1024"}}),
                                           .disks = map({{"scsi0", "z16:4"}, {"scsi1", "z16:4"}})}});
  EXPECT_EQ(report.operations.at(0).outcome, Outcome::kFailed) << text_of(report);
  EXPECT_FALSE(sim_.vm_exists(200));
  EXPECT_THAT(sim_.unreferenced_disks(), IsEmpty());
}

TEST_F(Procedures, CloneFromATemplate) {
  expect_done(world_.run({CloneVm{
      .source_node = "pve1", .source = Vmid{900}, .vmid = Vmid{201}, .name = "dns", .full = true, .storage = "z64"}}));
  EXPECT_EQ(value_of(sim_, 201, "name"), "dns");
  EXPECT_EQ(value_of(sim_, 201, "lock"), "");
  EXPECT_THAT(value_of(sim_, 201, "scsi0"), HasSubstr("z64:vm-201-disk-0"));
}

// Between plan and apply somebody may have removed anything.
TEST_F(Procedures, EveryOneSaysWhatIsNotThereAndDoesNothing) {
  const Vmid gone{999};
  const VolumeId lost = volume("z16:vm-999-disk-0");
  const std::string zvol = "tank/vbs16k/vm-999-disk-0";
  const std::pair<Procedure, std::string> sweep[] = {
      {UpdateStorage{.id = "gone", .set = map({{"sparse", "1"}})}, "gone"},
      {AddToPool{.id = "gone", .vmid = kStopped}, "gone"},
      {CloneVm{.source_node = "pve1", .source = gone, .vmid = Vmid{200}, .name = "x"}, "999"},
      {SetVmOptions{.vmid = gone, .set = map({{"cores", "2"}})}, "999"},
      {SetDriveOptions{.vmid = gone, .slot = kScsi0, .volume = lost, .set = map({{"ssd", "1"}})}, "999"},
      {AddDisk{.vmid = gone, .slot = kScsi0, .storage = "z16", .size = 1_GiB}, "999"},
      {AttachVolume{.vmid = gone, .slot = kScsi0, .volume = lost}, "999"},
      {DetachDisk{.vmid = gone, .slot = kScsi0, .volume = lost}, "999"},
      {ResizeDisk{.vmid = gone, .slot = kScsi0, .volume = lost, .size = 9_GiB}, "999"},
      {MoveDisk{.vmid = gone, .slot = kScsi0, .volume = lost, .storage = "z64"}, "999"},
      {RestartVm{.vmid = gone}, "999"},
      {StartVm{.vmid = gone}, "999"},
      {StopVm{.vmid = gone}, "999"},
      {RetireVolume{.vmid = gone, .slot = kScsi0, .volume = lost, .node = "pve1", .dataset = zvol, .guid = "1"}, "999"},
      {SetZvolProperties{
           .vmid = gone, .slot = kScsi0, .volume = lost, .node = "pve1", .set = map({{"sync", "always"}})},
       "999"},
      {SetZvolProperties{.node = "pve1", .dataset = "tank/gone", .set = map({{"sync", "always"}})}, "tank/gone"},
      {SwapZvol{.vmid = gone,
                .slot = kScsi0,
                .volume = lost,
                .storage = "z64",
                .node = "pve1",
                .from = "tank/vbs16k",
                .to = "tank/vbs64k"},
       "999"},
      {RecreateZvol{.vmid = gone,
                    .slot = kScsi0,
                    .volume = lost,
                    .node = "pve1",
                    .dataset = zvol,
                    .guid = "1",
                    .volblocksize = 64_KiB},
       "999"},
      {RollBackZvol{.vmid = gone, .slot = kScsi0, .volume = lost, .node = "pve1", .dataset = zvol, .guid = "1"}, "999"},
      {BackUpVm{.vmid = gone, .storage = "local"}, "999"},
      {SetPoolProperties{.node = "pve1", .pool = "gone", .set = map({{"autotrim", "on"}})},
       "There is no zpool gone on pve1"},
      {SetTrimTimer{.node = "pve1", .pool = "gone", .timer = "weekly"}, "There is no zpool gone on pve1"},
  };
  const auto before = world_.referenced_contents();
  for (const auto& [procedure, word] : sweep) {
    const ApplyReport report = world_.run_with_host(World::plan_of({procedure}));
    EXPECT_FALSE(report.all_done()) << procedure_name(procedure);
    EXPECT_THAT(text_of(report), HasSubstr(word)) << procedure_name(procedure);
  }
  EXPECT_EQ(world_.referenced_contents(), before);
}

TEST_F(Procedures, CloneRefusesATakenVmid) {
  const auto report =
      world_.run({CloneVm{.source_node = "pve1", .source = Vmid{900}, .vmid = kStopped, .name = "x", .full = true}});
  EXPECT_EQ(report.operations.at(0).outcome, Outcome::kConflict) << text_of(report);
  EXPECT_THAT(report.operations.at(0).detail, HasSubstr("vm 121 exists already"));
  EXPECT_EQ(value_of(sim_, 121, "name"), "db");
}

TEST_F(Procedures, DestroyNeedsTheRightMachineUnprotectedAndStopped) {
  const auto stranger = world_.run({DestroyVm{.vmid = kStopped, .uuid = "00000000-0000-0000-0000-000000000001"}});
  EXPECT_EQ(stranger.operations.at(0).outcome, Outcome::kConflict);
  const auto pve = world_.client();
  const auto vm = pve->guest({.node = "pve1", .vmid = kStopped});
  ASSERT_TRUE(vm);
  sim_.set_config(121, "protection", "1");
  const auto is_protected = world_.run({DestroyVm{.vmid = kStopped, .uuid = vm->uuid}});
  EXPECT_THAT(is_protected.operations.at(0).detail, HasSubstr("protected"));
  ASSERT_TRUE(sim_.vm_exists(121));
  sim_.set_config(121, "protection", "0");
  expect_done(world_.run({DestroyVm{.vmid = kStopped, .uuid = vm->uuid}}));
  EXPECT_FALSE(sim_.vm_exists(121));
  EXPECT_EQ(world_.run({DestroyVm{.vmid = kStopped, .uuid = vm->uuid}}).operations.at(0).outcome, Outcome::kAlready);
}

// Whether it runs cannot be read: then it is not destroyed.
TEST_F(Procedures, DestroyNeedsToKnowThatItIsStopped) {
  sim_.add_fault({.action = pvesim::FaultAction::kStatus,
                  .method = "GET",
                  .path = "*/121/status/current",
                  .times = 0,
                  .status = 500,
                  .message = "got no answer"});
  const auto vm = world_.client()->guest({.node = "pve1", .vmid = kStopped});
  ASSERT_TRUE(vm);
  const auto report = world_.run({DestroyVm{.vmid = kStopped, .uuid = vm->uuid}});
  EXPECT_EQ(report.operations.at(0).outcome, Outcome::kFailed) << text_of(report);
  EXPECT_THAT(report.operations.at(0).detail, AllOf(HasSubstr("reading vm 121"), HasSubstr("got no answer")));
  EXPECT_TRUE(sim_.vm_exists(121));
}

TEST_F(Procedures, RestartMakesPendingChangesActive) {
  admin_sets(120, "cores", "4");
  ASSERT_EQ(value_of(sim_, 120, "cores"), "2");
  expect_done(world_.run({RestartVm{.vmid = kRuns}}));
  EXPECT_TRUE(sim_.vm_running(120));
  EXPECT_EQ(value_of(sim_, 120, "cores"), "4");
}

TEST_F(Procedures, RestartLeavesAStoppedGuestStopped) {
  const auto report = world_.run({RestartVm{.vmid = kStopped}});
  EXPECT_EQ(report.operations.at(0).outcome, Outcome::kAlready);
  EXPECT_FALSE(sim_.vm_running(121));
}

TEST_F(Procedures, RestartOfAnHaGuestGoesThroughHa) {
  admin_sets(122, "cores", "2");
  expect_done(world_.run({RestartVm{.vmid = Vmid{122}, .ha = true}}));
  EXPECT_TRUE(sim_.vm_running(122));
  EXPECT_EQ(value_of(sim_, 122, "cores"), "2");
}

TEST_F(Procedures, StopAndStart) {
  expect_done(world_.run({StopVm{.vmid = kRuns}, StartVm{.vmid = kStopped}}));
  EXPECT_FALSE(sim_.vm_running(120));
  EXPECT_TRUE(sim_.vm_running(121));
}

TEST_F(Procedures, StoragesPoolsHaAndReplication) {
  expect_done(world_.run(
      {CreateStorage{
           .id = "z16-b", .type = "zfspool", .properties = map({{"pool", "tank/vbs16k"}, {"content", "images"}})},
       UpdateStorage{.id = "z64", .set = map({{"blocksize", "128k"}}), .unset = {"sparse"}},
       CreatePool{.id = "prod", .comment = "production"}, AddToPool{.id = "prod", .vmid = kRuns},
       SetHa{.sid = "vm:120", .create = true, .set = map({{"max_restart", "2"}}), .unset = {}},
       SetHa{.sid = "vm:122", .create = false, .set = map({{"comment", "dns"}}), .unset = {}},
       SetReplication{.id = "121-0", .create = true, .target = "pve2", .set = map({{"schedule", "*/30"}})}}));
  EXPECT_THAT(sim_.storage_cfg(), HasSubstr("z16-b"));
  EXPECT_THAT(sim_.storage_cfg(), HasSubstr("128k"));
  expect_done(world_.run({RemoveHa{.sid = "vm:120"}}));
  const auto pve = world_.client();
  const auto ha = pve->ha_resources();
  ASSERT_TRUE(ha);
  EXPECT_THAT(ha->resources, SizeIs(1));
  const auto members = pve->pool_members("prod");
  ASSERT_TRUE(members);
  EXPECT_THAT(*members, ::testing::Contains(120U));
}

TEST_F(Procedures, ConfigLocksAreWaitedFor) {
  sim_.set_config(121, "lock", "backup");
  world_.sim().add_fault({.action = pvesim::FaultAction::kDelay, .method = "GET", .path = "*", .nth = 1, .times = 1});
  ApplyReport report;
  // The backup ends while we wait: another admin's call, triggered by the waiting itself.
  struct Unlock final : EventSink {
    explicit Unlock(pvesim::Simulator& s) : sim(s) {}
    void emit(const Event& event) override {
      if (std::holds_alternative<Waiting>(event)) sim.delete_config(121, "lock");
    }
    pvesim::Simulator& sim;
  } unlock(sim_);
  const auto pve = world_.client();
  Plan plan;
  plan.operations.push_back({.id = 1,
                             .procedure = SetVmOptions{.vmid = kStopped, .set = map({{"cores", "3"}}), .unset = {}},
                             .node = "pve1"});
  report = apply(plan, {.pve = *pve, .clock = world_.clock(), .events = unlock}, world_.options(), {});
  EXPECT_TRUE(report.all_done()) << text_of(report);
  EXPECT_EQ(value_of(sim_, 121, "cores"), "3");
}

TEST_F(Procedures, WithoutQuorumNothingIsWrittenAndTheRunWaits) {
  sim_.set_quorum(false);
  struct Regain final : EventSink {
    explicit Regain(pvesim::Simulator& s) : sim(s) {}
    void emit(const Event& event) override {
      if (const auto* waiting = std::get_if<Waiting>(&event); waiting != nullptr && waiting->on == "quorum")
        sim.set_quorum(true);
    }
    pvesim::Simulator& sim;
  } regain(sim_);
  const auto pve = world_.client();
  Plan plan;
  plan.operations.push_back({.id = 1,
                             .procedure = SetVmOptions{.vmid = kStopped, .set = map({{"cores", "3"}}), .unset = {}},
                             .node = "pve1"});
  auto options = world_.options();
  options.with_lease = false;  // the lease is a write, too
  const auto report = apply(plan, {.pve = *pve, .clock = world_.clock(), .events = regain}, options, {});
  EXPECT_TRUE(report.all_done()) << text_of(report);
  EXPECT_EQ(value_of(sim_, 121, "cores"), "3");
}

TEST_F(Procedures, AStopRequestStartsNothing) {
  std::stop_source stop;
  stop.request_stop();
  const std::string before = sim_.vm_config_text(121);
  const auto report =
      world_.run({SetVmOptions{.vmid = kStopped, .set = map({{"cores", "3"}}), .unset = {}}}, {}, stop.get_token());
  EXPECT_TRUE(report.interrupted);
  EXPECT_EQ(report.operations.at(0).outcome, Outcome::kInterrupted);
  EXPECT_EQ(sim_.vm_config_text(121), before);
}

TEST_F(Procedures, AStopRequestInTheMiddleOfAMoveAwaitsIt) {
  std::stop_source stop;
  struct Stopper final : EventSink {
    explicit Stopper(std::stop_source& s) : source(s) {}
    void emit(const Event& event) override {
      if (std::holds_alternative<TaskStarted>(event)) source.request_stop();
    }
    std::stop_source& source;
  } stopper(stop);
  const auto pve = world_.client();
  Plan plan;
  plan.operations.push_back(
      {.id = 1,
       .procedure = MoveDisk{.vmid = kRuns, .slot = kScsi0, .volume = volume("z16:vm-120-disk-0"), .storage = "z64"},
       .node = "pve1"});
  plan.operations.push_back({.id = 2,
                             .procedure = SetVmOptions{.vmid = kStopped, .set = map({{"cores", "3"}}), .unset = {}},
                             .after = {1},
                             .node = "pve1"});
  const auto report =
      apply(plan, {.pve = *pve, .clock = world_.clock(), .events = stopper}, world_.options(), stop.get_token());
  EXPECT_TRUE(report.interrupted);
  EXPECT_EQ(report.operations.at(0).outcome, Outcome::kDone) << text_of(report);
  EXPECT_EQ(report.operations.at(1).outcome, Outcome::kInterrupted);
  EXPECT_EQ(value_of(sim_, 121, "cores"), "1");
  const auto leftover = pve->pools();
  ASSERT_TRUE(leftover);
  EXPECT_THAT(*leftover, IsEmpty());
}

}  // namespace
}  // namespace pvr::scenario
