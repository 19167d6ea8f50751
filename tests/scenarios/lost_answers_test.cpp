// The answer to each write of a scenario gets lost after its effect, one run per write: every run ends as the
// undisturbed one.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scenarios/world.h"

namespace pvr::scenario {
namespace {

const DriveSlot kScsi0{Bus::kScsi, 0};
const DriveSlot kScsi1{Bus::kScsi, 1};
const DriveSlot kScsi3{Bus::kScsi, 3};

/// One of everything that writes, in an order in which each finds what it needs.
std::vector<Procedure> everything() {
  const Vmid runs{120};
  const Vmid stopped{121};
  return {
      CreateStorage{
          .id = "z128", .type = "zfspool", .properties = map({{"pool", "tank/vbs128k"}, {"content", "images"}})},
      UpdateStorage{.id = "z128", .set = map({{"blocksize", "128k"}})},
      CreatePool{.id = "prod", .comment = "production"},
      AddToPool{.id = "prod", .vmid = runs},
      CreateVm{.node = "pve1",
               .vmid = Vmid{200},
               .options = map({{"name", "fresh"}, {"memory", "1024"}}),
               .disks = map({{"scsi0", "z16:4"}}),
               .uuid = "11111111-2222-3333-4444-000000000200"},
      CloneVm{
          .source_node = "pve1", .source = Vmid{900}, .vmid = Vmid{201}, .name = "dns", .full = true, .storage = "z64"},
      SetVmOptions{.vmid = runs, .set = map({{"description", "app"}, {"cores", "4"}})},
      SetDriveOptions{
          .vmid = stopped, .slot = kScsi0, .volume = volume("z16:vm-121-disk-0"), .set = map({{"ssd", "1"}})},
      AddDisk{.vmid = runs, .slot = kScsi3, .storage = "z64", .size = 1_GiB},
      MoveDisk{.vmid = runs, .slot = kScsi0, .volume = volume("z16:vm-120-disk-0"), .storage = "z64"},
      MoveDisk{.vmid = stopped, .slot = kScsi0, .volume = volume("z16:vm-121-disk-0"), .storage = "z64"},
      ResizeDisk{.vmid = runs, .slot = kScsi1, .volume = volume("z16:vm-120-disk-1"), .size = 6_GiB},
      DetachDisk{.vmid = runs, .slot = kScsi1, .volume = volume("z16:vm-120-disk-1")},
      AttachVolume{.vmid = runs, .slot = kScsi1, .from = {}, .volume = volume("z16:vm-120-disk-1")},
      DestroyVolume{.vmid = stopped, .volume = volume("z16:vm-121-disk-0")},
      RestartVm{.vmid = runs},
      RestartVm{.vmid = Vmid{122}, .ha = true},
      StartVm{.vmid = stopped},
      StopVm{.vmid = stopped},
      SetHa{.sid = "vm:121", .create = true, .set = map({{"state", "stopped"}})},
      SetHa{.sid = "vm:121", .create = false, .set = map({{"max_restart", "2"}})},
      RemoveHa{.sid = "vm:121"},
      SetReplication{.id = "121-0", .create = true, .target = "pve2", .set = map({{"schedule", "*/30"}})},
      SetReplication{.id = "121-0", .create = false, .set = map({{"schedule", "*/15"}})},
      DestroyVm{.vmid = Vmid{200}, .uuid = "11111111-2222-3333-4444-000000000200"}};
}

/// What must be the same: configurations without generated values, volumes, power, storages.
std::string summary(World& world) {
  std::string text = world.sim().storage_cfg();
  for (const int vmid : world.sim().vmids()) {
    text += "\n" + std::to_string(vmid) + (world.sim().vm_running(vmid) ? " runs" : " stopped");
    for (const auto& [key, value] : world.sim().vm_config(vmid)) {
      if (key != "meta" && key != "smbios1" && key != "vmgenid" && !key.starts_with("net"))
        text += "\n  " + key + ": " + value;
    }
  }
  for (const pvesim::VolumeInfo& info : world.sim().volumes())
    text += "\n" + info.volid + " " + std::to_string(info.size);
  return text;
}

class LostAnswers : public ::testing::TestWithParam<Mishap> {};

TEST_P(LostAnswers, AfterTheEffectOfAnyWriteChangeNothing) {
  World calm(kLab);
  const ApplyReport undisturbed = calm.run(everything());
  ASSERT_TRUE(undisturbed.all_done()) << text_of(undisturbed);
  const int writes = calm.writes();
  ASSERT_GE(writes, static_cast<int>(everything().size()));
  const std::string expected = summary(calm);
  for (int nth = 1; nth <= writes; ++nth) {
    World world(kLab);
    const ApplyReport report = world.run(everything(), {.mishap = GetParam(), .nth = nth, .counts = {}});
    EXPECT_TRUE(report.all_done()) << "write " << nth << " of " << writes << text_of(report);
    EXPECT_EQ(summary(world), expected) << "write " << nth << " of " << writes;
    EXPECT_THAT(world.sim().unreferenced_disks(), ::testing::IsEmpty());
  }
}

// All storages are in one file with one digest: what this run wrote itself is nobody else's change.
TEST_P(LostAnswers, ToTheFirstOfTwoStoragesDoNotMakeTheSecondAConflict) {
  World world(kLab);
  const auto list = world.client()->storages();
  ASSERT_TRUE(list);
  Plan plan = World::plan_of({UpdateStorage{.id = "z16", .set = map({{"content", "images"}})},
                              UpdateStorage{.id = "z64", .set = map({{"content", "images"}})}});
  for (Operation& operation : plan.operations) operation.guard.section_digest = list->digest;
  const ApplyReport report = world.run_plan(plan, {.mishap = GetParam(), .nth = 1, .counts = {}});
  EXPECT_TRUE(report.all_done()) << text_of(report);
}

INSTANTIATE_TEST_SUITE_P(EveryWrite, LostAnswers, ::testing::Values(Mishap::kLoseAnswer, Mishap::kProxyTimeout),
                         [](const auto& which) {
                           return which.param == Mishap::kLoseAnswer ? "CutConnection" : "ProxyTimeout";
                         });

}  // namespace
}  // namespace pvr::scenario
