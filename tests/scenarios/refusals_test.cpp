// What each procedure refuses, in which words, and what it takes for done already: one row per case. A refusal leaves
// every configuration and every volume as it was.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "simulator/world/world.h"
#include "tests/scenarios/fleet.h"

namespace pvr::scenario {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr Vmid kRuns{120};
constexpr Vmid kStopped{121};
const DriveSlot kScsi0{Bus::kScsi, 0};
const DriveSlot kScsi1{Bus::kScsi, 1};
const DriveSlot kScsi2{Bus::kScsi, 2};
const VolumeId kDisk = volume("z16:vm-121-disk-0");
constexpr const char* kDataset = "tank/vbs16k/vm-121-disk-0";

void change(World& world, int vmid, const std::function<void(pvesim::VmConfig&)>& edit) {
  world.sim().inspect([&](pvesim::World& inside) { edit(inside.vms.at(vmid).config); });
}

/// Everything a refusal must not touch.
std::string state_of(World& world) {
  std::string text = world.sim().storage_cfg();
  for (const int vmid : world.sim().vmids()) {
    text += world.sim().vm_config_text(vmid);
    text += world.sim().vm_running(vmid) ? "runs\n" : "stopped\n";
  }
  for (const pvesim::VolumeInfo& one : world.sim().volumes()) text += one.volid + " " + std::to_string(one.size) + "\n";
  for (const pvesim::ZvolInfo& one : world.sim().zvols()) {
    text += one.name;
    for (const auto& [key, value] : one.properties) text += " " + key + "=" + value;
    text += "\n";
  }
  return text;
}

std::string guid_of(World& world, const std::string& dataset) {
  const auto found = world.zfs().dataset("pve1", dataset);
  return found && found->has_value() ? std::string((*found)->text("guid")) : std::string();
}

struct Case {
  const char* name = "";
  std::function<Procedure(World&)> make = {};  // prepares the world, too
  Outcome outcome = Outcome::kConflict;
  const char* detail = "";  // the whole of it, or with a leading '*' a part
};

void expect_all(const std::vector<Case>& cases) {
  for (const Case& one : cases) {
    SCOPED_TRACE(one.name);
    World world(kLab);
    const Procedure procedure = one.make(world);
    const std::string before = state_of(world);
    const ApplyReport report = world.run_with_host(World::plan_of({procedure}));
    ASSERT_EQ(report.operations.size(), 1U);
    EXPECT_EQ(report.operations[0].outcome, one.outcome) << text_of(report);
    if (one.detail[0] == '*') {
      EXPECT_THAT(report.operations[0].detail, HasSubstr(one.detail + 1));
    } else {
      EXPECT_EQ(report.operations[0].detail, one.detail);
    }
    EXPECT_EQ(state_of(world), before);
  }
}

Procedure attach(VolumeId volume, DriveSlot slot, std::optional<DriveSlot> from = {},
                 std::optional<VolumeId> replaces = {}) {
  return AttachVolume{
      .vmid = kStopped, .slot = slot, .from = from, .volume = std::move(volume), .options = {}, .replaces = replaces};
}

TEST(Refusals, OfDisks) {
  const VolumeId other = volume("z16:vm-121-disk-7");
  const auto keep_unused = [](World& world) {
    change(world, 121, [](pvesim::VmConfig& config) {
      config.values.erase("scsi0");
      config.values["unused0"] = "z16:vm-121-disk-0";
    });
  };
  expect_all({
      {"the slot holds a disk",
       [](World&) { return AddDisk{.vmid = kStopped, .slot = kScsi0, .storage = "z64", .size = 1_GiB}; },
       Outcome::kConflict, "scsi0 of vm 121 is not empty: it holds z16:vm-121-disk-0,discard=on,size=8G."},
      {"a disk of another making on the same storage",
       [](World&) { return AddDisk{.vmid = kStopped, .slot = kScsi0, .storage = "z16", .size = 8_GiB}; },
       Outcome::kConflict, "scsi0 of vm 121 is not empty: it holds z16:vm-121-disk-0,discard=on,size=8G."},
      {"the slot waits to be emptied",
       [](World& world) {
         change(world, 120, [](pvesim::VmConfig& config) { config.pending_delete["scsi1"] = {}; });
         return AddDisk{.vmid = kRuns, .slot = kScsi1, .storage = "z64", .size = 1_GiB};
       },
       Outcome::kConflict, "scsi1 of vm 120 is not empty: it holds a drive that waits for its removal."},
      {"attach into a taken slot", [&](World&) { return attach(other, kScsi0); }, Outcome::kConflict,
       "scsi0 of vm 121 holds another volume."},
      {"attach in place of another one than is there",
       [&](World&) { return attach(other, kScsi0, {}, volume("z16:vm-121-disk-8")); }, Outcome::kConflict,
       "scsi0 of vm 121 holds another volume."},
      {"attach in place of one that waits",
       [&](World& world) {
         change(world, 121, [](pvesim::VmConfig& config) { config.pending["scsi0"] = "z16:vm-121-disk-0,size=8G"; });
         return attach(other, kScsi0, {}, kDisk);
       },
       Outcome::kConflict, "scsi0 of vm 121 holds another volume."},
      {"attach what another slot holds", [](World&) { return attach(kDisk, kScsi2); }, Outcome::kConflict,
       "z16:vm-121-disk-0 is attached to another slot of vm 121."},
      {"attach what another slot is to hold",
       [&](World& world) {
         change(world, 121, [](pvesim::VmConfig& config) { config.pending["scsi1"] = "z16:vm-121-disk-7,size=8G"; });
         return attach(other, kScsi2, kScsi0);
       },
       Outcome::kConflict, "z16:vm-121-disk-7 is attached to another slot of vm 121."},
      {"attach what is attached", [](World&) { return attach(kDisk, kScsi0, kScsi1); }, Outcome::kAlready, ""},
      {"detach another one", [&](World&) { return DetachDisk{.vmid = kStopped, .slot = kScsi0, .volume = other}; },
       Outcome::kConflict, "scsi0 of vm 121 holds another volume than z16:vm-121-disk-7."},
      {"detach what nobody names",
       [&](World&) { return DetachDisk{.vmid = kStopped, .slot = kScsi1, .volume = other}; }, Outcome::kConflict,
       "No key of vm 121 names z16:vm-121-disk-7."},
      {"detached already",
       [&](World& world) {
         keep_unused(world);
         return DetachDisk{.vmid = kStopped, .slot = kScsi0, .volume = kDisk};
       },
       Outcome::kAlready, ""},
      // PVE frees a cloud-init volume, and only drops what belongs to another guest.
      {"a cloud-init volume is not kept",
       [](World&) { return DetachDisk{.vmid = kStopped, .slot = kScsi1, .volume = volume("z16:vm-121-cloudinit")}; },
       Outcome::kAlready, ""},
      {"nor is another guest's",
       [](World&) { return DetachDisk{.vmid = kStopped, .slot = kScsi1, .volume = volume("z16:vm-120-disk-0")}; },
       Outcome::kAlready, ""},
      {"destroy what is in use", [](World&) { return DestroyVolume{.vmid = kStopped, .volume = kDisk}; },
       Outcome::kConflict, "z16:vm-121-disk-0 is in use: scsi0 of vm 121."},
      {"destroy what is in use and unused at once",
       [](World& world) {
         change(world, 121, [](pvesim::VmConfig& config) { config.values["unused0"] = "z16:vm-121-disk-0"; });
         return DestroyVolume{.vmid = kStopped, .volume = kDisk};
       },
       Outcome::kConflict, "z16:vm-121-disk-0 is in use: scsi0 of vm 121."},
      {"destroy what nobody names",
       [](World& world) {
         change(world, 121, [](pvesim::VmConfig& config) { config.values.erase("scsi0"); });
         return DestroyVolume{.vmid = kStopped, .volume = kDisk};
       },
       Outcome::kConflict,
       "z16:vm-121-disk-0 exists, but no key of vm 121 names it. Free it with: pvesm free z16:vm-121-disk-0"},
      {"destroyed already", [&](World&) { return DestroyVolume{.vmid = kStopped, .volume = other}; }, Outcome::kAlready,
       ""},
      {"grow another volume",
       [&](World&) { return ResizeDisk{.vmid = kStopped, .slot = kScsi0, .volume = other, .size = 12_GiB}; },
       Outcome::kConflict, "scsi0 of vm 121 does not hold z16:vm-121-disk-7 (any more)."},
      {"grow an empty slot",
       [](World&) { return ResizeDisk{.vmid = kStopped, .slot = kScsi1, .volume = kDisk, .size = 12_GiB}; },
       Outcome::kConflict, "scsi1 of vm 121 does not hold z16:vm-121-disk-0 (any more)."},
      {"as large as wanted",
       [](World&) { return ResizeDisk{.vmid = kStopped, .slot = kScsi0, .volume = kDisk, .size = 8_GiB}; },
       Outcome::kAlready, ""},
      {"larger than wanted",
       [](World&) { return ResizeDisk{.vmid = kStopped, .slot = kScsi0, .volume = kDisk, .size = 7_GiB}; },
       Outcome::kAlready, ""},
      {"options of another volume",
       [&](World&) {
         return SetDriveOptions{.vmid = kStopped, .slot = kScsi0, .volume = other, .set = map({{"ssd", "1"}})};
       },
       Outcome::kConflict, "scsi0 of vm 121 does not hold z16:vm-121-disk-7 (any more)."},
      // The drive string carries the volume: what waits would be written over, or what is there.
      {"options of a volume that is only there after a restart",
       [&](World& world) {
         change(world, 121, [](pvesim::VmConfig& config) { config.pending["scsi0"] = "z16:vm-121-disk-7,size=8G"; });
         return SetDriveOptions{.vmid = kStopped, .slot = kScsi0, .volume = other, .set = map({{"ssd", "1"}})};
       },
       Outcome::kConflict, "scsi0 of vm 121 does not hold z16:vm-121-disk-7 (any more)."},
  });
}

TEST(Refusals, OfMoves) {
  const auto move = [](const char* slot, const char* volid) {
    return MoveDisk{.vmid = kStopped, .slot = *parse_slot(slot), .volume = volume(volid), .storage = "z64"};
  };
  expect_all({
      {"an empty slot", [&](World&) { return move("scsi5", "z16:vm-121-disk-0"); }, Outcome::kConflict,
       "scsi5 holds no volume any more."},
      {"a slot without a volume",
       [&](World& world) {
         change(world, 121, [](pvesim::VmConfig& config) { config.values["ide2"] = "none,media=cdrom"; });
         return move("ide2", "z16:vm-121-disk-0");
       },
       Outcome::kConflict, "ide2 holds no volume any more."},
      {"another volume", [&](World&) { return move("scsi0", "z16:vm-121-disk-7"); }, Outcome::kConflict,
       "scsi0 holds z16:vm-121-disk-0, which is neither the volume to move (z16:vm-121-disk-7) nor one on storage "
       "\"z64\"."},
      {"moved, and the source is gone",
       [&](World& world) {
         EXPECT_TRUE(world.run({move("scsi0", "z16:vm-121-disk-0")}).all_done());
         world.sim().delete_config(121, "unused0");
         return move("scsi0", "z16:vm-121-disk-0");
       },
       Outcome::kConflict,
       "scsi0 has moved, but the old volume z16:vm-121-disk-0 is not kept as an unused disk: look for it before "
       "anything else."},
      {"moved, and the source was to go",
       [&](World& world) {
         EXPECT_TRUE(world.run({move("scsi0", "z16:vm-121-disk-0")}).all_done());
         world.sim().delete_config(121, "unused0");
         MoveDisk again = move("scsi0", "z16:vm-121-disk-0");
         again.remove_source = true;
         return again;
       },
       Outcome::kAlready, ""},
  });
}

TEST(Refusals, OfGuests) {
  const auto uuid = [](World& world, int vmid) {
    const auto vm = world.client()->guest({.node = "pve1", .vmid = Vmid{static_cast<std::uint32_t>(vmid)}});
    return vm ? vm->uuid : std::string();
  };
  expect_all({
      {"create under a taken number",
       [](World&) {
         return CreateVm{.node = "pve1", .vmid = kStopped, .options = map({{"name", "x"}}), .uuid = "1"};
       },
       Outcome::kConflict, "vm 121 exists already and is not the one to create."},
      {"create what is there",
       [&](World& world) { return CreateVm{.node = "pve1", .vmid = kStopped, .uuid = uuid(world, 121)}; },
       Outcome::kAlready, ""},
      {"clone onto a taken number",
       [](World&) { return CloneVm{.source_node = "pve1", .source = Vmid{900}, .vmid = kStopped, .name = "x"}; },
       Outcome::kConflict, "vm 121 exists already."},
      {"destroy without saying which", [](World&) { return DestroyVm{.vmid = kStopped}; }, Outcome::kConflict,
       "*vm 121 is another machine than the one to destroy (smbios uuid "},
      {"destroy while it runs", [&](World& world) { return DestroyVm{.vmid = kRuns, .uuid = uuid(world, 120)}; },
       Outcome::kConflict, "vm 120 runs."},
      {"destroy what is protected and runs",
       [&](World& world) {
         world.sim().set_config(120, "protection", "1");
         return DestroyVm{.vmid = kRuns, .uuid = uuid(world, 120)};
       },
       Outcome::kConflict, "vm 120 is protected. To allow it: qm set 120 --protection 0"},
      {"start a template", [](World&) { return StartVm{.vmid = Vmid{900}}; }, Outcome::kConflict,
       "vm 900 is a template."},
      {"start what runs", [](World&) { return StartVm{.vmid = kRuns}; }, Outcome::kAlready, ""},
      {"stop what is stopped", [](World&) { return StopVm{.vmid = kStopped}; }, Outcome::kAlready, ""},
      {"stop for a while what is stopped", [](World&) { return StopVm{.vmid = kStopped, .again = true}; },
       Outcome::kAlready, ""},
  });
}

TEST(Refusals, OfTheClustersConfiguration) {
  const auto replicated = [](World& world, const std::string& target, const std::string& schedule) {
    EXPECT_TRUE(
        world.run({SetReplication{.id = "121-0", .create = true, .target = "pve2", .set = map({{"schedule", "*/30"}})}})
            .all_done());
    return SetReplication{.id = "121-0", .create = true, .target = target, .set = map({{"schedule", schedule}})};
  };
  expect_all({
      {"a storage of another type", [](World&) { return CreateStorage{.id = "z16", .type = "dir", .properties = {}}; },
       Outcome::kConflict, "Storage \"z16\" exists already and is another one."},
      {"a storage of another pool",
       [](World&) {
         return CreateStorage{
             .id = "z16", .type = "zfspool", .properties = map({{"pool", "tank/other"}, {"content", "images"}})};
       },
       Outcome::kConflict, "Storage \"z16\" exists already and is another one."},
      {"a storage in other words",
       [](World&) {
         return CreateStorage{
             .id = "z16",
             .type = "zfspool",
             .properties = map({{"pool", "tank/vbs16k"}, {"content", "rootdir,images"}, {"sparse", "yes"}})};
       },
       Outcome::kAlready, ""},
      {"update as it is",
       [](World&) {
         return UpdateStorage{.id = "z16", .set = map({{"content", "rootdir,images"}}), .unset = {"nodes"}};
       },
       Outcome::kAlready, ""},
      {"remove a storage that is not empty", [](World&) { return DeleteStorage{.id = "z16"}; }, Outcome::kConflict,
       "*Storage \"z16\" holds z16:"},
      {"remove a storage that is gone", [](World&) { return DeleteStorage{.id = "gone"}; }, Outcome::kAlready, ""},
      {"a pool that is there",
       [](World& world) {
         EXPECT_TRUE(world.run({CreatePool{.id = "prod"}}).all_done());
         return CreatePool{.id = "prod"};
       },
       Outcome::kAlready, ""},
      {"a member of a pool",
       [](World& world) {
         EXPECT_TRUE(world.run({CreatePool{.id = "prod"}, AddToPool{.id = "prod", .vmid = kRuns}}).all_done());
         return AddToPool{.id = "prod", .vmid = kRuns};
       },
       Outcome::kAlready, ""},
      // What HA takes for granted need not be written.
      {"HA as it is without a word",
       [](World&) {
         return SetHa{
             .sid = "vm:122",
             .create = false,
             .set = map({{"state", "started"}, {"max_restart", "1"}, {"max_relocate", "1"}, {"failback", "1"}}),
             .unset = {"comment"}};
       },
       Outcome::kAlready, ""},
      {"HA in an old word",
       [](World& world) {
         world.sim().inspect(
             [](pvesim::World& inside) { inside.ha_resources.at("vm:122").values["state"] = "enabled"; });
         return SetHa{.sid = "vm:122", .create = false, .set = map({{"state", "started"}})};
       },
       Outcome::kAlready, ""},
      {"no HA resource", [](World&) { return RemoveHa{.sid = "vm:120"}; }, Outcome::kAlready, ""},
      {"replication to another node", [&](World& world) { return replicated(world, "pve3", "*/30"); },
       Outcome::kConflict, "Replication job 121-0 goes to pve2, not pve3; its target cannot be changed."},
      {"replication as it is", [&](World& world) { return replicated(world, "pve2", "*/30"); }, Outcome::kAlready, ""},
      {"replication without a word of its target", [&](World& world) { return replicated(world, "", "*/30"); },
       Outcome::kAlready, ""},
  });
}

TEST(Refusals, OfDatasets) {
  const auto retire = [](World& world, const std::string& volid, const std::string& dataset) {
    return RetireVolume{.vmid = kStopped,
                        .slot = kScsi0,
                        .volume = volume(volid),
                        .node = "pve1",
                        .dataset = dataset,
                        .guid = guid_of(world, dataset)};
  };
  expect_all({
      {"a volume where a file system is wanted", [](World&) { return CreateDataset{.node = "pve1", .name = kDataset}; },
       Outcome::kConflict, "tank/vbs16k/vm-121-disk-0 on pve1 is a volume, not a file system."},
      {"a file system that is there", [](World&) { return CreateDataset{.node = "pve1", .name = "tank/vbs128k"}; },
       Outcome::kAlready, ""},
      {"properties of a disk the slot does not hold",
       [](World&) {
         return SetZvolProperties{.vmid = kStopped,
                                  .slot = kScsi0,
                                  .volume = volume("z16:vm-121-disk-7"),
                                  .node = "pve1",
                                  .set = map({{"sync", "always"}})};
       },
       Outcome::kConflict, "scsi0 of vm 121 does not hold z16:vm-121-disk-7 (any more)."},
      {"properties of a disk that is on no zpool",
       [](World&) {
         return SetZvolProperties{.vmid = Vmid{122},
                                  .slot = kScsi0,
                                  .volume = volume("san:vm-122-disk-0"),
                                  .node = "pve1",
                                  .set = map({{"sync", "always"}})};
       },
       Outcome::kFailed, "Storage \"san\" is of type lvm and holds no zvols."},
      {"properties as they are",
       [](World& world) {
         EXPECT_TRUE(world.zfs().set_properties("pve1", kDataset, map({{"sync", "always"}})));
         return SetZvolProperties{
             .vmid = kStopped, .slot = kScsi0, .volume = kDisk, .node = "pve1", .set = map({{"sync", "always"}})};
       },
       Outcome::kAlready, ""},
      {"retire what a slot names", [&](World& world) { return retire(world, "z16:vm-121-disk-0", kDataset); },
       Outcome::kConflict, "scsi0 of vm 121 names z16:vm-121-disk-0: it is not retired."},
      {"destroy another dataset",
       [](World&) { return DestroyDataset{.node = "pve1", .dataset = kDataset, .guid = "1"}; }, Outcome::kConflict,
       "tank/vbs16k/vm-121-disk-0 on pve1 is another dataset than the planned one."},
      {"destroy what is not retired",
       [](World& world) {
         return DestroyDataset{.node = "pve1", .dataset = kDataset, .guid = guid_of(world, kDataset)};
       },
       Outcome::kConflict, "tank/vbs16k/vm-121-disk-0 on pve1 is not retired."},
      {"destroy what is marked as retired and in sight",
       [](World& world) {
         EXPECT_TRUE(world.zfs().set_properties(
             "pve1", kDataset,
             map({{"pvereconcile:retired", "20260101T000000Z"}, {"pvereconcile:retired-at", "20260101T000000Z"}})));
         return DestroyDataset{.node = "pve1", .dataset = kDataset, .guid = guid_of(world, kDataset)};
       },
       Outcome::kConflict, "tank/vbs16k/vm-121-disk-0 on pve1 is not retired."},
      {"destroy a whole pool",
       [](World& world) { return DestroyDataset{.node = "pve1", .dataset = "tank", .guid = guid_of(world, "tank")}; },
       Outcome::kConflict, "tank on pve1 is not retired."},
      {"destroyed already", [](World&) { return DestroyDataset{.node = "pve1", .dataset = "tank/gone", .guid = "1"}; },
       Outcome::kAlready, ""},
  });
}

TEST(Refusals, OfZvolsMadeAgain) {
  const auto recreate = [](World& world) {
    return RecreateZvol{.vmid = kStopped,
                        .slot = kScsi0,
                        .volume = kDisk,
                        .node = "pve1",
                        .dataset = kDataset,
                        .guid = guid_of(world, kDataset),
                        .volblocksize = 64_KiB};
  };
  const auto back = [](const std::string& guid) {
    return RollBackZvol{
        .vmid = kStopped, .slot = kScsi0, .volume = kDisk, .node = "pve1", .dataset = kDataset, .guid = guid};
  };
  const auto rest = [](World& world, const std::string& name, const std::string& replaces) {
    NewZvol zvol{.name = "tank/vbs16k/" + name, .size = 8_GiB, .volblocksize = 64_KiB};
    if (!replaces.empty()) zvol.properties.set("pvereconcile:replaces", replaces);
    EXPECT_TRUE(world.zfs().create_zvol("pve1", zvol));
  };
  const auto wait_for_restart = [](World& world) {
    change(world, 121, [](pvesim::VmConfig& config) { config.pending["scsi0"] = "z16:vm-121-disk-0,size=8G,ssd=1"; });
  };
  constexpr const char* kNotHeld =
      "scsi0 of vm 121 does not hold z16:vm-121-disk-0 (any more), or has a change that waits.";
  constexpr const char* kElsewhere = "vm 122 is on node pve1 now, its volume is on pve2.";
  expect_all({
      {"another slot",
       [&](World& world) {
         RecreateZvol wanted = recreate(world);
         wanted.slot = kScsi1;
         return wanted;
       },
       Outcome::kConflict, "scsi1 of vm 121 does not hold z16:vm-121-disk-0 (any more), or has a change that waits."},
      {"a change that waits",
       [&](World& world) {
         wait_for_restart(world);
         return recreate(world);
       },
       Outcome::kConflict, kNotHeld},
      {"another node",
       [&](World&) {
         return RecreateZvol{.vmid = Vmid{122},
                             .slot = kScsi0,
                             .volume = volume("san:vm-122-disk-0"),
                             .node = "pve2",
                             .dataset = "tank/x",
                             .guid = "1",
                             .volblocksize = 64_KiB};
       },
       Outcome::kConflict, kElsewhere},
      {"it runs",
       [&](World& world) {
         EXPECT_EQ(world.sim().start_vm(121), "OK");
         return recreate(world);
       },
       Outcome::kConflict, "vm 121 runs."},
      {"another zvol",
       [&](World& world) {
         RecreateZvol wanted = recreate(world);
         wanted.guid = "1";
         return wanted;
       },
       Outcome::kConflict, "tank/vbs16k/vm-121-disk-0 on pve1 is another zvol than the planned one."},
      {"the rest of another work",
       [&](World& world) {
         rest(world, "pvereconcile-new-vm-121-disk-0", "4711");
         return recreate(world);
       },
       Outcome::kConflict,
       "tank/vbs16k/pvereconcile-new-vm-121-disk-0 on pve1 is in the way; it is the rest of another work. Look at it, "
       "then: zfs destroy tank/vbs16k/pvereconcile-new-vm-121-disk-0"},
      {"nothing there",
       [&](World& world) {
         const RecreateZvol wanted = recreate(world);
         world.sim().inspect([](pvesim::World& inside) {
           for (auto& [key, backing] : inside.backings) backing.volumes.erase("vm-121-disk-0");
         });
         return wanted;
       },
       Outcome::kConflict,
       "tank/vbs16k/vm-121-disk-0 on pve1 is missing, and no verified copy waits to take its place."},
      {"snapshots nobody saw",
       [&](World& world) {
         EXPECT_EQ(world.sim().create_snapshot(121, "first"), "OK");
         return recreate(world);
       },
       Outcome::kConflict, "*tank/vbs16k/vm-121-disk-0 has snapshots that the plan did not see (first)"},
      {"put back what is not there", [&](World&) { return back("1"); }, Outcome::kConflict,
       "The retired zvol of tank/vbs16k/vm-121-disk-0 is not there any more."},
      {"put back what is in sight under another name",
       [&](World& world) {
         rest(world, "vm-121-disk-7", {});
         return back(guid_of(world, "tank/vbs16k/vm-121-disk-7"));
       },
       Outcome::kConflict, "The retired zvol of tank/vbs16k/vm-121-disk-0 is not there any more."},
      {"put back while a change waits",
       [&](World& world) {
         wait_for_restart(world);
         return back("1");
       },
       Outcome::kConflict, kNotHeld},
      {"put back already", [&](World& world) { return back(guid_of(world, kDataset)); }, Outcome::kAlready, ""},
  });
}

TEST(Refusals, OfSwaps) {
  const auto moved = [](World& world) {
    EXPECT_TRUE(world.run({MoveDisk{.vmid = kStopped, .slot = kScsi0, .volume = kDisk, .storage = "z64"}}).all_done());
    return swap_of(121);
  };
  expect_all({
      {"never moved", [](World&) { return swap_of(121); }, Outcome::kConflict,
       "scsi0 of vm 121 holds z16:vm-121-disk-0, not a volume on z64."},
      {"an empty slot",
       [&](World& world) {
         SwapZvol swap = moved(world);
         swap.slot = kScsi2;
         return swap;
       },
       Outcome::kConflict, "scsi2 of vm 121 holds nothing, not a volume on z64."},
      {"a change that waits",
       [&](World& world) {
         const SwapZvol swap = moved(world);
         change(world, 121, [](pvesim::VmConfig& config) { config.pending["scsi0"] = "z64:vm-121-disk-0,size=8G"; });
         return swap;
       },
       Outcome::kConflict, "scsi0 has a change that waits for a restart."},
      {"it runs",
       [&](World& world) {
         const SwapZvol swap = moved(world);
         EXPECT_EQ(world.sim().start_vm(121), "OK");
         return swap;
       },
       Outcome::kConflict, "vm 121 runs."},
      {"another node",
       [&](World& world) {
         SwapZvol swap = moved(world);
         swap.node = "pve2";
         return swap;
       },
       Outcome::kConflict, "scsi0 of vm 121 holds z64:vm-121-disk-0, not a volume on z64."},
      {"the volume is gone",
       [&](World& world) {
         const SwapZvol swap = moved(world);
         world.sim().inspect([](pvesim::World& inside) {
           for (auto& [key, backing] : inside.backings)
             if (key.find("vbs64k") != std::string::npos) backing.volumes.clear();
         });
         return swap;
       },
       Outcome::kConflict, "z64:vm-121-disk-0 is not there on pve1."},
      {"swapped already",
       [&](World& world) {
         const SwapZvol swap = moved(world);
         EXPECT_TRUE(world.run_with_host(World::plan_of({swap})).all_done());
         return swap;
       },
       Outcome::kAlready, ""},
  });
}

}  // namespace
}  // namespace pvr::scenario
