// What the fault simulation (tests/fate) found, each as small as it gets.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "simulator/world/world.h"
#include "tests/scenarios/fleet.h"

namespace pvr::scenario {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kCluster = R"(
cluster: {name: lab, seed: 5}
users:
  - {name: root@pam, password: secret, tokens: [{id: ci, secret: s-root, privsep: false}]}
nodes:
  pve1: {cpu: 8, memory: 64GiB, pools: {tank: {size: 1TiB, media: ssd}}}
storages:
  z16: {type: zfspool, pool: tank/z16, blocksize: 16k, sparse: 1, content: images}
  files: {type: dir, path: /srv/files, content: images}
vms:
  100:
    node: pve1
    status: running
    config: {name: app, memory: 1024, scsihw: virtio-scsi-pci, boot: "order=scsi0",
             scsi0: "z16:vm-100-disk-0,size=4G", scsi1: "z16:vm-100-disk-1,size=2G"}
  101:
    node: pve1
    config: {name: db, memory: 1024, scsihw: virtio-scsi-single, scsi0: "z16:vm-101-disk-0,size=4G"}
)";

std::string fleet_of(const std::string& vms) {
  return "version: 1\nstorages: {z16: {manage: false}, files: {manage: false, backing: ext4}}\n"
         "lanes: {pinned: {pve1: z16}}\nvms:\n" +
         vms;
}

// A run that ends between two writes must not leave iothread=1 below a controller that has none (rule I1).
TEST(Found, TheControllerComesBeforeTheIothreadsThatNeedIt) {
  World world(kCluster);
  const auto document = fleet(
      fleet_of("  app: {vmid: 100, role: specialty-linux, node: pve1, disks: {root: {slot: scsi0, size: 4GiB}}}\n"));
  const PlanResult planned = plan_fleet(world, document);
  OperationId controller = 0;
  bool drive_seen = false;
  for (const Operation& operation : planned.plan.operations) {
    const auto* options = std::get_if<SetVmOptions>(&operation.procedure);
    if (options != nullptr && options->set.contains("scsihw")) controller = operation.id;
    const auto* drive = std::get_if<SetDriveOptions>(&operation.procedure);
    if (drive == nullptr || !drive->set.contains("iothread")) continue;
    drive_seen = true;
    ASSERT_NE(controller, 0U) << text_of(planned.plan);
    // Not only before it: where the controller cannot be set, the iothread is not either.
    EXPECT_THAT(operation.after, ::testing::Contains(controller)) << text_of(planned.plan);
  }
  EXPECT_TRUE(drive_seen) << text_of(planned.plan);
  EXPECT_TRUE(world.run_plan(planned.plan).all_done());
  EXPECT_TRUE(plan_fleet(world, document).plan.empty());
}

// Somebody took a disk out of a running guest that cannot let it go yet. A new, empty one in its place would be wrong.
TEST(Found, ASlotThatWaitsToBeEmptiedIsNeitherFilledNorForgotten) {
  World world(kCluster);
  const auto answer = world.sim().admin_call("PUT", "/nodes/pve1/qemu/100/config", {{"delete", "scsi0"}});
  ASSERT_THAT(world.sim().vm_config_text(100), HasSubstr("delete: scsi0")) << answer.status << answer.reason;
  const auto expect_blocked = [&](const std::string& disks, const std::string& reason) {
    const auto document = fleet(fleet_of("  app: {vmid: 100, node: pve1, lane: pinned, disks: {" + disks + "}}\n"));
    const PlanResult planned = plan_fleet(world, document);
    for (const Operation& operation : planned.plan.operations)
      EXPECT_FALSE(std::holds_alternative<AddDisk>(operation.procedure)) << text_of(planned.plan);
    EXPECT_THAT(text_of(planned.plan), HasSubstr(reason));
  };
  expect_blocked("root: {slot: scsi0, size: 6GiB}", "scsi0 still holds z16:vm-100-disk-0, which waits for its removal");
  // As large as what is wanted elsewhere: that may be where it is to go.
  expect_blocked("root: {slot: scsi2, size: 4GiB}", "scsi0, which waits to be emptied");
}

// The list of guests shows power as it was up to ten seconds ago.
TEST(Found, APlanRightAfterAGuestWasStoppedKnowsIt) {
  World world(kCluster);
  const auto document = fleet("version: 1\nvms: {app: {vmid: 100, state: stopped}, db: {vmid: 101, state: running}}\n");
  ASSERT_TRUE(world.run_plan(plan_fleet(world, document).plan).all_done());
  const PlanResult next = plan_fleet(world, document);
  EXPECT_TRUE(next.plan.empty()) << text_of(next.plan);
}

// The shutdown was accepted, and then the run may not read how it goes. It still happens, and the guest must come back.
TEST(Found, AShutdownNobodyCouldWatchIsRememberedAsHalfARestart) {
  for (const int ends_at : {0, 1, 2, 3, 4}) {
    World world(kCluster);
    world.sim().add_fault({.action = pvesim::FaultAction::kStatus,
                           .method = "GET",
                           .path = "*/tasks/*/status",
                           .status = 403,
                           .message = "Permission check failed"});
    // It ends between a look at the guest's power and one at its tasks: right after the failure, at the end of the run.
    bool asked = false;
    int looks = 0;
    const auto watch = [&](const HttpRequest& request) {
      asked = asked || request.path.ends_with("/shutdown");
      if (asked && request.method == "GET" && request.path.ends_with("/tasks") && ++looks == ends_at)
        world.sim().advance(std::chrono::minutes(1));
      return true;
    };
    const ApplyReport report = world.run({RestartVm{.vmid = Vmid{100}}}, {.counts = watch});
    EXPECT_FALSE(report.all_done());
    world.let_time_pass();
    ASSERT_FALSE(world.sim().vm_running(100)) << text_of(report);
    const auto document = fleet("version: 1\nvms: {app: {vmid: 100}}\n");
    const PlanResult next = plan_fleet(world, document);
    EXPECT_TRUE(world.run_plan(next.plan).all_done()) << text_of(next.plan);
    EXPECT_TRUE(world.sim().vm_running(100));
    const auto pools = world.client()->pools();
    EXPECT_TRUE(pools && pools->empty()) << "the note is gone with the work";
  }
}

// Host page cache is right on ext4 (rule C3) and forbidden on ZFS (rule C2): while the move waits for a permission, so
// does the cache mode.
TEST(Found, ACacheModeForAnotherStorageWaitsForTheMove) {
  World world(kCluster);
  const auto document = fleet(
      fleet_of("  db: {vmid: 101, node: pve1, lane: pinned, disks: {root: {slot: scsi0, size: 4GiB, storage: files, "
               "disposable: true, cache: writeback}}}\n"));
  const PlanResult refused = plan_fleet(world, document, nullptr, {});
  EXPECT_THAT(text_of(refused.plan), HasSubstr("move scsi0")) << "the move is blocked";
  static_cast<void>(world.run_plan(refused.plan));
  EXPECT_THAT(value_of(world.sim(), 101, "scsi0"), ::testing::Not(HasSubstr("writeback")));
  const PlanResult allowed = plan_fleet(world, document);
  EXPECT_TRUE(world.run_plan(allowed.plan).all_done()) << text_of(allowed.plan);
  EXPECT_THAT(value_of(world.sim(), 101, "scsi0"), HasSubstr("files:"));
  EXPECT_THAT(value_of(world.sim(), 101, "scsi0"), HasSubstr("cache=writeback"));
}

constexpr const char* kTwoNodes = R"(
cluster: {name: lab, seed: 6}
users:
  - {name: root@pam, password: secret, tokens: [{id: ci, secret: s-root, privsep: false}]}
nodes:
  pve1: {cpu: 8, memory: 64GiB, pools: {tank: {size: 1TiB, media: ssd}}}
  pve2: {cpu: 8, memory: 64GiB, pools: {tank: {size: 1TiB, media: ssd}}}
backends: {san: {kind: lvm-vg, size: 1TiB}, smb: {kind: cifs, size: 1TiB}}
storages:
  z16: {type: zfspool, pool: tank/z16, blocksize: 16k, sparse: 1, content: images}
  san: {type: lvm, vgname: san, shared: 1, content: images}
  smb: {type: cifs, server: smb, share: x, content: images}
vms:
  110:
    node: pve1
    status: running
    config: {name: app, memory: 1024, scsihw: virtio-scsi-single, boot: "order=scsi0",
             scsi0: "san:vm-110-disk-0,aio=native,discard=on,iothread=1,size=4G"}
  111:
    node: pve1
    config: {name: ha, memory: 1024, scsihw: virtio-scsi-single, scsi0: "san:vm-111-disk-0,discard=on,iothread=1,size=4G"}
  112:
    node: pve1
    status: running
    config: {name: up, memory: 1024, scsihw: virtio-scsi-single, scsi0: "san:vm-112-disk-0,discard=on,iothread=1,size=4G"}
ha: {resources: {"vm:111": {state: stopped}, "vm:112": {state: started}}}
)";

std::string shared_fleet(const std::string& vms) {
  return "version: 1\nstorages: {san: {manage: false}, smb: {manage: false}, z16: {manage: false}}\n"
         "lanes: {shared: san, pinned: {pve1: z16, pve2: z16}}\nvms:\n" +
         vms;
}

// aio=native is right on thick LVM and forbidden on CIFS (rule A2), where the policy leaves aio unset.
TEST(Found, WhatTheNewStorageForbidsDoesNotComeAlong) {
  World world(kTwoNodes);
  const auto document = fleet(shared_fleet(
      "  app: {vmid: 110, node: pve1, lane: shared, disks: {root: {slot: scsi0, size: 4GiB, storage: smb}}}\n"));
  const PlanResult planned = plan_fleet(world, document);
  bool reason = false;
  for (const Operation& operation : planned.plan.operations)
    for (const PlannedChange& change : operation.changes)
      reason = reason || (change.key == "aio" && change.rule == "A2");
  EXPECT_TRUE(reason) << "and the plan says why" << text_of(planned.plan);
  EXPECT_TRUE(world.run_plan(planned.plan).all_done()) << text_of(planned.plan);
  EXPECT_THAT(value_of(world.sim(), 110, "scsi0"), HasSubstr("smb:"));
  EXPECT_THAT(value_of(world.sim(), 110, "scsi0"), ::testing::Not(HasSubstr("aio=")));
  const PlanResult next = plan_fleet(world, document);
  EXPECT_TRUE(next.plan.empty()) << text_of(next.plan);
}

TEST(Found, WhatMustNotChangeIsNotTakenToAStorageThatForbidsIt) {
  World world(kTwoNodes);
  const auto document =
      fleet(shared_fleet("  app: {vmid: 110, node: pve1, lane: shared, disks: {root: {slot: scsi0, size: 4GiB, "
                         "storage: smb, leave: [aio]}}}\n"));
  const PlanResult planned = plan_fleet(world, document);
  EXPECT_TRUE(planned.plan.operations.empty()) << text_of(planned.plan);
  EXPECT_THAT(text_of(planned.plan), HasSubstr("rule A2 forbids it on storage \"smb\""));
}

// HA refuses every wish but "disabled" for a service it has given up.
TEST(Found, AGuestThatHaHasGivenUpIsNotStartedButNamed) {
  World world(kTwoNodes);
  const auto document = fleet(shared_fleet("  ha: {vmid: 111, state: running}\n"));
  world.sim().inspect([](pvesim::World& inside) { inside.ha_resources.at("vm:111").crm_state = "error"; });
  const PlanResult planned = plan_fleet(world, document);
  EXPECT_TRUE(planned.plan.operations.empty()) << text_of(planned.plan);
  ASSERT_EQ(planned.plan.blocked.size(), 1U) << text_of(planned.plan);
  EXPECT_THAT(planned.plan.blocked[0].why, HasSubstr("error"));
  EXPECT_THAT(planned.plan.blocked[0].remedy, HasSubstr("ha-manager set vm:111 --state disabled"));
  // The way out is one.
  for (const char* state : {"disabled", "started"}) {
    const auto answer = world.sim().admin_call("PUT", "/cluster/ha/resources/vm:111", {{"state", state}});
    ASSERT_EQ(answer.status, 200) << answer.reason;
    world.let_time_pass();
  }
  EXPECT_TRUE(world.sim().vm_running(111));
  EXPECT_TRUE(plan_fleet(world, document).plan.empty());
}

// Restarted, it would not come back.
TEST(Found, AGuestWhoseVolumeIsGoneIsNotRestartedButNamed) {
  World world(kTwoNodes);
  world.sim().inspect([](pvesim::World& inside) {
    for (auto& [key, backing] : inside.backings) backing.volumes.erase("vm-110-disk-0");
  });
  const auto document = fleet(shared_fleet(
      "  app: {vmid: 110, node: pve1, lane: shared, cores: 4, disks: {root: {slot: scsi0, size: 4GiB}}}\n"));
  const PlanResult planned = plan_fleet(world, document);
  for (const Operation& operation : planned.plan.operations)
    EXPECT_FALSE(std::holds_alternative<RestartVm>(operation.procedure)) << text_of(planned.plan);
  EXPECT_THAT(text_of(planned.plan), HasSubstr("scsi0 names san:vm-110-disk-0, which is not on the storage"));
  // What waits for a restart is written all the same.
  EXPECT_TRUE(world.run_plan(planned.plan).all_done()) << text_of(planned.plan);
  EXPECT_THAT(world.sim().vm_config_text(110), HasSubstr("cores: 4"));
  EXPECT_TRUE(world.sim().vm_running(110));
  const PlanResult again = plan_fleet(world, document);
  EXPECT_TRUE(again.plan.operations.empty()) << text_of(again.plan);
  EXPECT_THAT(text_of(again.plan), HasSubstr("restart the guest"));
}

TEST(Found, ANewDiskDoesNotTakeTheNameOfAVolumeThatIsGone) {
  World world(kTwoNodes);
  world.sim().inspect([](pvesim::World& inside) {
    for (auto& [key, backing] : inside.backings) backing.volumes.erase("vm-110-disk-0");
  });
  const auto document = fleet(
      shared_fleet("  app: {vmid: 110, node: pve1, lane: shared, cores: 4, disks: {root: {slot: scsi0, size: 4GiB}, "
                   "data: {slot: scsi1, size: 1GiB}}}\n"));
  const PlanResult planned = plan_fleet(world, document);
  for (const Operation& operation : planned.plan.operations)
    EXPECT_FALSE(std::holds_alternative<AddDisk>(operation.procedure)) << text_of(planned.plan);
  EXPECT_THAT(text_of(planned.plan), HasSubstr("PVE could give that name to a new volume"));
  // Given up, there is nothing in the way any more.
  world.sim().inspect([](pvesim::World& inside) { inside.vms.at(110).config.values.erase("scsi0"); });
  const auto rest = fleet(shared_fleet(
      "  app: {vmid: 110, node: pve1, lane: shared, cores: 4, disks: {data: {slot: scsi1, size: 1GiB}}}\n"));
  const PlanResult again = plan_fleet(world, rest);
  EXPECT_TRUE(std::ranges::any_of(again.plan.operations, [](const Operation& operation) {
    return std::holds_alternative<AddDisk>(operation.procedure);
  })) << text_of(again.plan);
}

// Told to stop the guest, HA does so as soon as it can: also when nobody waits for it any more.
TEST(Found, AStopThatHaDidNotCarryOutIsTakenBack) {
  World world(kTwoNodes);
  world.sim().add_fault({.action = pvesim::FaultAction::kTaskStall, .task = "qmshutdown"});
  const ApplyReport report = world.run({RestartVm{.vmid = Vmid{112}, .ha = true}});
  ASSERT_FALSE(report.all_done());
  std::string wanted;
  world.sim().inspect([&](pvesim::World& inside) { wanted = inside.ha_resources.at("vm:112").values.at("state"); });
  EXPECT_EQ(wanted, "started");
  // The shutdown that hangs may still come through.
  const auto lease = read_lease(*world.client());
  ASSERT_TRUE(lease && lease->has_value());
  EXPECT_TRUE((*lease)->restarting.contains(112));
}

// A copy may be under way for hours before somebody comes and looks.
TEST(Found, AMoveThatBeganLongAgoIsNotBegunAgain) {
  World world(kTwoNodes);
  world.sim().add_fault({.action = pvesim::FaultAction::kTaskStall, .task = "qmmove", .step = "copy*"});
  const auto begun =
      world.sim().admin_call("POST", "/nodes/pve1/qemu/110/move_disk", {{"disk", "scsi0"}, {"storage", "smb"}});
  ASSERT_EQ(begun.status, 200) << begun.reason;
  world.sim().advance(std::chrono::hours(1));
  static_cast<void>(world.run(
      {MoveDisk{.vmid = Vmid{110}, .slot = {Bus::kScsi, 0}, .volume = volume("san:vm-110-disk-0"), .storage = "smb"}}));
  int moves = 0;
  for (const pvesim::TaskInfo& task : world.sim().tasks()) moves += task.type == "qmmove" ? 1 : 0;
  EXPECT_EQ(moves, 1);
}

// Options that the new bus does not know make PVE refuse the whole drive.
TEST(Found, ADiskThatGetsAnotherBusLeavesBehindWhatThatBusDoesNotKnow) {
  World world(kCluster);
  world.sim().set_config(101, "scsi0", "z16:vm-101-disk-0,serial=abc,size=4G,ssd=1");
  const auto document =
      fleet(fleet_of("  db: {vmid: 101, node: pve1, lane: pinned, disks: {root: {slot: virtio0, size: 4GiB}}}\n"));
  const PlanResult planned = plan_fleet(world, document);
  const ApplyReport report = world.run_plan(planned.plan);
  EXPECT_TRUE(report.all_done()) << text_of(planned.plan) << text_of(report);
  EXPECT_THAT(value_of(world.sim(), 101, "virtio0"), HasSubstr("serial=abc"));
}

constexpr const char* kOddities = R"(
cluster: {name: lab, seed: 7}
users:
  - {name: root@pam, password: secret, tokens: [{id: ci, secret: s-root, privsep: false}]}
nodes:
  pve1: {cpu: 8, memory: 64GiB, pools: {tank: {size: 1TiB, media: ssd}}}
  pve2: {cpu: 8, memory: 64GiB, pools: {tank: {size: 1TiB, media: ssd}}}
storages:
  z16: {type: zfspool, pool: tank/z16, blocksize: 16k, sparse: 1, content: images}
  zalias: {type: zfspool, pool: tank/z16, blocksize: 16k, sparse: 1, content: images}
  files: {type: dir, path: /srv/files, content: images}
vms:
  130:
    node: pve1
    config: {name: twin, memory: 1024, scsihw: virtio-scsi-single, scsi0: "z16:vm-130-disk-0,discard=on,iothread=1,size=4G",
             scsi1: "files:130/vm-130-disk-0.raw,iothread=1,size=2G"}
  131:
    node: pve1
    config: {name: ill, memory: 1024, scsihw: virtio-scsi-single, scsi0: "z16:vm-131-disk-0,discard=on,iothread=1,size=4G"}
  132:
    node: pve1
    status: running
    config: {name: other, memory: 1024, scsihw: virtio-scsi-pci, boot: "order=scsi0", scsi0: "zalias:vm-132-disk-0,size=4G"}
  133:
    node: pve1
    config: {name: seeded, memory: 1024, scsihw: virtio-scsi-single, ide2: "z16:vm-133-cloudinit,media=cdrom",
             scsi0: "z16:vm-133-disk-0,discard=on,iothread=1,size=4G"}
  900:
    node: pve1
    template: true
    config: {name: debian, memory: 1024, scsihw: virtio-scsi-single, scsi0: "z16:base-900-disk-0,size=4G"}
replication: {130-0: {target: pve2, schedule: "*/15"}}
ha: {resources: {"vm:131": {state: started}}}
)";

std::string odd_fleet(const std::string& vms) {
  return "version: 1\nstorages: {z16: {manage: false}, zalias: {manage: false}, files: {manage: false, backing: "
         "ext4}}\nlanes: {pinned: {pve1: z16, pve2: z16}}\nvms:\n" +
         vms;
}

void lose_volume(World& world, const std::string& name) {
  int lost = 0;
  world.sim().inspect([&](pvesim::World& inside) {
    for (auto& [key, backing] : inside.backings) lost += static_cast<int>(backing.volumes.erase(name));
  });
  ASSERT_EQ(lost, 1) << name;
}

template <class Kind>
bool plans(const PlanResult& planned) {
  return std::ranges::any_of(planned.plan.operations, [](const Operation& operation) {
    return std::holds_alternative<Kind>(operation.procedure);
  });
}

TEST(Found, ATemplateWhoseVolumeIsGoneIsNotCloned) {
  World world(kOddities);
  lose_volume(world, "base-900-disk-0");
  const auto document = fleet(odd_fleet(
      "  fresh: {vmid: 200, node: pve1, lane: pinned, clone: debian, disks: {root: {slot: scsi0, size: 4GiB}}}\n"));
  const PlanResult planned = plan_fleet(world, document);
  EXPECT_TRUE(planned.plan.operations.empty()) << text_of(planned.plan);
  EXPECT_THAT(text_of(planned.plan), HasSubstr("scsi0 names z16:base-900-disk-0, which is not on the storage"));
}

// PVE refuses each write of such a drive, and says so only then.
TEST(Found, ADriveThatCannotBeReplicatedIsChangedOnlyWhereItIsLeftOut) {
  World world(kOddities);
  const auto with = [](const std::string& more) {
    return fleet(
        odd_fleet("  twin: {vmid: 130, node: pve1, lane: pinned, disks: {data: {slot: scsi1, size: 2GiB, "
                  "storage: files, discard: on" +
                  more + "}}}\n"));
  };
  const PlanResult refused = plan_fleet(world, with(""));
  EXPECT_TRUE(refused.plan.operations.empty()) << text_of(refused.plan);
  EXPECT_THAT(text_of(refused.plan), HasSubstr("replicated to pve2, and PVE refuses every change of a drive on"));
  const PlanResult allowed = plan_fleet(world, with(", replicate: false"));
  const ApplyReport report = world.run_plan(allowed.plan);
  EXPECT_TRUE(report.all_done()) << text_of(allowed.plan) << text_of(report);
  EXPECT_THAT(value_of(world.sim(), 130, "scsi1"), HasSubstr("discard=on"));
  EXPECT_THAT(value_of(world.sim(), 130, "scsi1"), HasSubstr("replicate=0"));
  EXPECT_TRUE(plan_fleet(world, with(", replicate: false")).plan.empty());
}

// With the guest PVE drops its jobs, and the replicas belong to nobody any more.
TEST(Found, AReplicatedGuestIsNotDestroyed) {
  World world(kOddities);
  const auto document = fleet(odd_fleet("  twin: {vmid: 130, state: absent}\n"));
  const PlanResult refused = plan_fleet(world, document);
  EXPECT_TRUE(refused.plan.operations.empty()) << text_of(refused.plan);
  EXPECT_THAT(text_of(refused.plan), HasSubstr("PVE would leave the replicas there"));
  world.sim().advance(std::chrono::minutes(20));  // replicas are made
  ASSERT_EQ(world.sim().admin_call("DELETE", "/cluster/replication/130-0").status, 200);
  world.sim().advance(std::chrono::minutes(5));
  const PlanResult planned = plan_fleet(world, document);
  EXPECT_TRUE(world.run_plan(planned.plan).all_done()) << text_of(planned.plan);
  for (const pvesim::VolumeInfo& one : world.sim().volumes()) EXPECT_NE(one.owner, 130) << one.node << one.volid;
}

// PVE says in the log of its task only that it could not remove a volume.
TEST(Found, AVolumeThatOutlivesItsGuestIsNamed) {
  World world(kCluster);
  world.sim().hold_zvol("pve1", "tank/z16/vm-101-disk-0", "4711 (dd)");
  const ApplyReport report =
      world.run_plan(plan_fleet(world, fleet("version: 1\nvms: {db: {vmid: 101, state: absent}}\n")).plan);
  EXPECT_FALSE(world.sim().vm_exists(101)) << text_of(report);
  ASSERT_TRUE(world.sim().volume("z16:vm-101-disk-0"));
  ASSERT_EQ(report.operations.size(), 1U);
  EXPECT_THAT(report.operations[0].warnings, ::testing::Contains(HasSubstr("pvesm free z16:vm-101-disk-0")));
}

// A drive that a running guest did not take up yet cannot grow.
TEST(Found, ADiskThatWaitsForARestartGrowsAfterIt) {
  World world(kCluster);
  for (const auto& [key, text] : {std::pair("hotplug", "0"), std::pair("scsi5", "files:1")}) {
    const auto answer = world.sim().admin_call("PUT", "/nodes/pve1/qemu/100/config", {{key, text}});
    ASSERT_EQ(answer.status, 200) << answer.reason;
  }
  ASSERT_EQ(value_of(world.sim(), 100, "scsi5"), "");
  const auto document =
      fleet(fleet_of("  app: {vmid: 100, node: pve1, lane: pinned, disks: {extra: {slot: scsi5, size: 3GiB, storage: "
                     "files}}}\n"));
  const PlanResult waits = plan_fleet(world, document, nullptr, {});
  EXPECT_FALSE(plans<ResizeDisk>(waits)) << text_of(waits.plan);
  EXPECT_THAT(text_of(waits.plan), HasSubstr("waits to be put into scsi5"));
  const PlanResult planned = plan_fleet(world, document);
  const ApplyReport report = world.run_plan(planned.plan);
  EXPECT_TRUE(report.all_done()) << text_of(planned.plan) << text_of(report);
  const std::string drive = value_of(world.sim(), 100, "scsi5");
  const auto grown = world.sim().volume(drive.substr(0, drive.find(',')));
  ASSERT_TRUE(grown) << drive;
  EXPECT_EQ(grown->size, 3LL << 30);
  EXPECT_TRUE(plan_fleet(world, document).plan.empty());
}

// Nothing is renamed below a guest that HA may start when somebody takes the error back.
TEST(Found, TheDisksOfAGuestThatHaHasGivenUpAreLeftAlone) {
  World world(kOddities);
  world.sim().inspect([](pvesim::World& inside) { inside.ha_resources.at("vm:131").crm_state = "error"; });
  const auto document = fleet(odd_fleet(
      "  ill: {vmid: 131, node: pve1, lane: pinned, disks: {root: {slot: scsi0, size: 4GiB, volblocksize: 64k}}}\n"));
  const PlanResult planned = plan_fleet(world, document, &world.zfs());
  EXPECT_FALSE(plans<RecreateZvol>(planned)) << text_of(planned.plan);
  EXPECT_THAT(text_of(planned.plan), HasSubstr("HA has given the guest up"));
}

// Two entries of storage.cfg show one dataset: the disk under its other name is no second one.
TEST(Found, ADiskUnderAnotherNameIsNotAttachedTwice) {
  World world(kOddities);
  const auto document = fleet(odd_fleet(
      "  other: {vmid: 132, node: pve1, lane: pinned, disks: {root: {slot: scsi0, size: 4GiB, storage: zalias}, data: "
      "{slot: scsi1, size: 4GiB}}}\n"));
  const PlanResult planned = plan_fleet(world, document);
  EXPECT_TRUE(plans<AddDisk>(planned)) << text_of(planned.plan);
  EXPECT_FALSE(plans<AttachVolume>(planned)) << text_of(planned.plan);
  // Nor does it come back into the slot it is about to leave.
  const auto asked = world.sim().admin_call("PUT", "/nodes/pve1/qemu/132/config", {{"delete", "scsi0"}});
  ASSERT_THAT(world.sim().vm_config_text(132), HasSubstr("delete: scsi0")) << asked.reason;
  const PlanResult leaving = plan_fleet(world, document);
  EXPECT_FALSE(plans<AttachVolume>(leaving)) << text_of(leaving.plan);
  EXPECT_THAT(text_of(leaving.plan), HasSubstr("scsi0 still holds zalias:vm-132-disk-0, which waits for its removal"));
}

TEST(Found, TheAuditKnowsADiskUnderItsOtherName) {
  World world(kOddities);
  const auto pve = world.client();
  const auto audited = audit_cluster(*pve, world.clock(), nullptr, {});
  ASSERT_TRUE(audited) << audited.error().text();
  for (const AuditFinding& finding : audited->report.findings)
    EXPECT_FALSE(finding.rule == "P2" && finding.subject.ends_with("z16:vm-132-disk-0")) << finding.subject;
}

// PVE writes the cloud-init image anew before each start, wherever the old one is.
TEST(Found, ACloudInitVolumeThatIsGoneIsNoObstacle) {
  World world(kOddities);
  lose_volume(world, "vm-133-cloudinit");
  const auto document = fleet(odd_fleet(
      "  seeded: {vmid: 133, node: pve1, lane: pinned, state: running, disks: {root: {slot: scsi0, size: 4GiB}, data: "
      "{slot: scsi1, size: 2GiB}}}\n"));
  const PlanResult planned = plan_fleet(world, document);
  const ApplyReport report = world.run_plan(planned.plan);
  EXPECT_TRUE(report.all_done()) << text_of(planned.plan) << text_of(report);
  EXPECT_TRUE(world.sim().vm_running(133));
  EXPECT_TRUE(world.sim().volume("z16:vm-133-cloudinit"));
  EXPECT_TRUE(plan_fleet(world, document).plan.empty());
}

// Somebody removed the volume that was being copied: what there is of the copy does not take its place.
TEST(Found, ACopyThatWasNotVerifiedIsNoDisk) {
  World world(kOddities);
  lose_volume(world, "vm-133-disk-0");
  NewZvol half{.name = "tank/z16/pvereconcile-new-vm-133-disk-0", .size = 4_GiB, .volblocksize = 64_KiB};
  half.properties.set("pvereconcile:replaces", "4711");
  half.properties.set("pvereconcile:guard", "20260101T000000Z");
  half.properties.set("pvereconcile:settled", "no");
  ASSERT_TRUE(world.zfs().create_zvol("pve1", half));
  const auto document = fleet(odd_fleet(
      "  seeded: {vmid: 133, node: pve1, lane: pinned, state: running, disks: {root: {slot: scsi0, size: 4GiB}}}\n"));
  const PlanResult planned = plan_fleet(world, document, &world.zfs());
  EXPECT_TRUE(planned.plan.operations.empty()) << text_of(planned.plan);
  EXPECT_THAT(text_of(planned.plan), HasSubstr("scsi0 names z16:vm-133-disk-0, which is not on the storage"));
  EXPECT_THAT(text_of(planned.plan), HasSubstr("tank/z16/pvereconcile-new-vm-133-disk-0 is a copy of it"));
}

// The task that points the drive at the renamed zvol died when it had only noted what it was to do.
TEST(Found, ASwapWhoseLastWordOnlyWaitsIsEnded) {
  World world(kLab);
  const Vmid db{121};
  constexpr DriveSlot kScsi0 = {Bus::kScsi, 0};
  const auto before = world.sim().volume("z16:vm-121-disk-0");
  ASSERT_TRUE(before);
  ASSERT_TRUE(world.run({MoveDisk{.vmid = db, .slot = kScsi0, .volume = volume("z16:vm-121-disk-0"), .storage = "z64"}})
                  .all_done());
  const SwapZvol swap = swap_of(121);
  world.sim().add_fault({.action = pvesim::FaultAction::kTaskFail, .task = "qmconfig", .step = "apply*"});
  const ApplyReport cut = world.run_with_host(World::plan_of({swap}));
  ASSERT_FALSE(cut.all_done()) << text_of(cut);
  ASSERT_THAT(world.sim().vm_config_text(121), HasSubstr("[PENDING]"));
  world.sim().clear_faults();
  const ApplyReport report = world.run_with_host(World::plan_of({swap}));
  EXPECT_TRUE(report.all_done()) << text_of(report);
  const std::string drive = value_of(world.sim(), 121, "scsi0");
  const auto now = world.sim().volume(drive.substr(0, drive.find(',')));
  ASSERT_TRUE(now) << drive;
  EXPECT_EQ(now->fingerprint, before->fingerprint);
  EXPECT_THAT(world.sim().vm_config_text(121), ::testing::Not(HasSubstr("[PENDING]")));
  EXPECT_EQ(world.sim().start_vm(121), "OK");
}

// Somebody wrote the drive while it was being moved: what waits names the volume from before.
TEST(Found, AGuestIsNotRestartedIntoTheVolumeFromBeforeAMove) {
  World world(kCluster);
  world.sim().inspect([](pvesim::World& inside) {
    auto& config = inside.vms.at(100).config;
    config.pending["scsi1"] = "z16:vm-101-disk-0,backup=0,size=2G";
    config.pending["cores"] = "4";
  });
  const auto document =
      fleet(fleet_of("  app: {vmid: 100, node: pve1, lane: pinned, cores: 4, disks: {data: {slot: scsi1, size: 2GiB, "
                     "discard: on}}}\n"));
  const PlanResult planned = plan_fleet(world, document);
  EXPECT_FALSE(plans<RestartVm>(planned)) << text_of(planned.plan);
  EXPECT_FALSE(plans<SetDriveOptions>(planned)) << text_of(planned.plan);
  EXPECT_THAT(text_of(planned.plan), HasSubstr("would put z16:vm-101-disk-0 in its place"));
}

TEST(Found, TwoSlotsWithOneVolumeAreNamedAndLeftAlone) {
  World world(kCluster);
  world.sim().set_config(101, "scsi1", "z16:vm-101-disk-0,size=8G");
  const auto document = fleet(fleet_of(
      "  db: {vmid: 101, node: pve1, lane: pinned, disks: {root: {slot: scsi0, size: 6GiB, volblocksize: 8k}, data: "
      "{slot: scsi1, size: 8GiB, volblocksize: 64k}}}\n"));
  const PlanResult planned = plan_fleet(world, document, &world.zfs());
  EXPECT_TRUE(planned.plan.operations.empty()) << text_of(planned.plan);
  EXPECT_THAT(text_of(planned.plan), HasSubstr("scsi0 and scsi1 both name z16:vm-101-disk-0"));
}

// Gone after the plan was made: PVE would give its name to the new volume, and two slots would name that.
TEST(Found, NothingIsAllocatedUnderTheNameOfAVolumeThatHasJustGone) {
  for (const bool move : {false, true}) {
    World world(kCluster);
    lose_volume(world, "vm-100-disk-1");
    const std::string before = value_of(world.sim(), 100, "scsi0");
    const Procedure add = AddDisk{.vmid = Vmid{100}, .slot = {Bus::kScsi, 2}, .storage = "z16", .size = 1_GiB};
    const Procedure back = MoveDisk{
        .vmid = Vmid{100}, .slot = {Bus::kScsi, 4}, .volume = volume("files:100/vm-100-disk-5.raw"), .storage = "z16"};
    if (move) {
      const auto answer = world.sim().admin_call("PUT", "/nodes/pve1/qemu/100/config", {{"scsi4", "files:1"}});
      ASSERT_EQ(answer.status, 200) << answer.reason;
    }
    const std::string moved = value_of(world.sim(), 100, "scsi4");
    Procedure wanted = move ? back : add;
    if (auto* params = std::get_if<MoveDisk>(&wanted)) params->volume = volume(moved.substr(0, moved.find(',')));
    const ApplyReport report = world.run({wanted});
    ASSERT_EQ(report.operations.size(), 1U);
    EXPECT_EQ(report.operations[0].outcome, Outcome::kConflict) << text_of(report);
    EXPECT_THAT(report.operations[0].detail, HasSubstr("vm 100 names z16:vm-100-disk-1, which is not there"));
    EXPECT_FALSE(world.sim().volume("z16:vm-100-disk-1"));
    EXPECT_EQ(value_of(world.sim(), 100, "scsi2"), "");
  }
}

// Host page cache is right on ext4 and forbidden on ZFS: also where the move waits for a restart. What is right on both
// is written before, and needs no second restart.
TEST(Found, ACacheModeForAnotherStorageWaitsForAMoveThatWaits) {
  World world(kCluster);
  world.sim().inspect(
      [](pvesim::World& inside) { inside.vms.at(100).config.pending["scsi1"] = "z16:vm-100-disk-1,size=2G,ssd=1"; });
  const auto document =
      fleet(fleet_of("  app: {vmid: 100, node: pve1, lane: pinned, disks: {data: {slot: scsi1, size: 2GiB, storage: "
                     "files, disposable: true, cache: writeback, aio: threads}}}\n"));
  const PlanResult planned = plan_fleet(world, document);
  std::vector<std::string> order;
  for (const Operation& operation : planned.plan.operations) {
    if (std::holds_alternative<MoveDisk>(operation.procedure)) order.emplace_back("move");
    const auto* set = std::get_if<SetDriveOptions>(&operation.procedure);
    for (const char* key : {"aio", "cache"})
      if (set != nullptr && set->set.contains(key)) order.emplace_back(key);
  }
  EXPECT_THAT(order, ElementsAre("aio", "move", "cache")) << text_of(planned.plan);
  EXPECT_TRUE(world.run_plan(planned.plan).all_done()) << text_of(planned.plan);
  EXPECT_THAT(value_of(world.sim(), 100, "scsi1"), AllOf(HasSubstr("cache=writeback"), HasSubstr("aio=threads")));
  EXPECT_TRUE(plan_fleet(world, document).plan.empty()) << text_of(plan_fleet(world, document).plan);
}

// What a creation that was cut off has left: PVE allocates a cloud-init volume under one name only.
TEST(Found, ACloudInitVolumeThatIsThereAlreadyIsNamed) {
  World world(kOddities);
  world.sim().inspect([](pvesim::World& inside) { inside.vms.at(133).config.values.erase("ide2"); });
  const auto document = fleet(odd_fleet(
      "  seeded: {vmid: 133, node: pve1, lane: pinned, cloud_init: {user: admin}, disks: {root: {slot: scsi0, size: "
      "4GiB}}}\n"));
  const PlanResult planned = plan_fleet(world, document);
  EXPECT_FALSE(plans<AddDisk>(planned)) << text_of(planned.plan);
  EXPECT_THAT(text_of(planned.plan), HasSubstr("z16:vm-133-cloudinit is there already, and no drive names it"));

  world.sim().inspect([](pvesim::World& inside) { inside.vms.erase(133); });
  const PlanResult anew = plan_fleet(world, document);
  EXPECT_FALSE(plans<CreateVm>(anew)) << text_of(anew.plan);
  EXPECT_THAT(text_of(anew.plan), HasSubstr("z16:vm-133-cloudinit is there already, and no guest names it"));
}

// A task of PVE noted the change of a stopped guest's drive and died: it waits for the next start.
TEST(Found, AStoppedGuestsDiskWithAChangeThatWaitsIsNotMoved) {
  World world(kCluster);
  world.sim().inspect([](pvesim::World& inside) {
    inside.vms.at(101).config.pending["scsi0"] = "z16:vm-101-disk-0,discard=on,size=4G";
  });
  const auto document = fleet(fleet_of(
      "  db: {vmid: 101, node: pve1, lane: pinned, disks: {root: {slot: scsi0, size: 4GiB, storage: files}}}\n"));
  const PlanResult planned = plan_fleet(world, document);
  EXPECT_FALSE(plans<MoveDisk>(planned)) << text_of(planned.plan);
  EXPECT_THAT(text_of(planned.plan), HasSubstr("waits for the guest's next start"));
  const auto blocks = fleet(fleet_of(
      "  db: {vmid: 101, node: pve1, lane: pinned, disks: {root: {slot: scsi0, size: 4GiB, volblocksize: 64k}}}\n"));
  const PlanResult in_place = plan_fleet(world, blocks, &world.zfs());
  EXPECT_FALSE(plans<RecreateZvol>(in_place)) << text_of(in_place.plan);
  EXPECT_THAT(text_of(in_place.plan), HasSubstr("in place: the disk has a change that waits for the guest's next"));
  ASSERT_EQ(world.sim().start_vm(101), "OK");
  ASSERT_TRUE(world.run_plan(plan_fleet(world, document).plan).all_done());
  EXPECT_THAT(value_of(world.sim(), 101, "scsi0"), HasSubstr("files:"));
}

// Native aio is right on thick LVM and wrong on CIFS (rule A2); for io_uring it is the other way round (rule A5).
TEST(Found, WhatIsForbiddenWhereADiskLiesGoesAlsoWhileItsMoveIsRefused) {
  World world(kTwoNodes);
  for (const char* drive : {"scsi1", "scsi2"})
    ASSERT_EQ(world.sim().admin_call("POST", "/nodes/pve1/qemu/111/config", {{drive, "smb:1"}}).status, 200);
  world.let_time_pass();
  world.sim().inspect([](pvesim::World& inside) { inside.vms.at(111).config.values.at("scsi1") += ",aio=native"; });
  const auto document = fleet(shared_fleet(
      "  ha: {vmid: 111, node: pve1, lane: shared, disks: {root: {slot: scsi0, size: 4GiB}, data: {slot: scsi1, size: "
      "1GiB, aio: native, mbps_rd: 100}, more: {slot: scsi2, size: 1GiB, storage: z16}}}\n"));
  const PlanResult planned = plan_fleet(world, document, nullptr, {});
  EXPECT_FALSE(plans<MoveDisk>(planned)) << text_of(planned.plan);
  EXPECT_TRUE(world.run_plan(planned.plan).all_done()) << text_of(planned.plan);
  const std::string config = world.sim().vm_config_text(111);
  EXPECT_THAT(value_of(world.sim(), 111, "scsi1"), HasSubstr("mbps_rd=100"));
  EXPECT_EQ(config.find("aio="), std::string::npos) << config;
  const PlanResult again = plan_fleet(world, document, nullptr, {});
  EXPECT_TRUE(again.plan.operations.empty()) << text_of(again.plan);
}

// PVE fails when it is asked to take a boot disk out of a running guest, and does it at the next start.
TEST(Found, ABootDiskIsTakenOutWhileTheGuestIsStopped) {
  World world(kCluster);
  const auto document = fleet(fleet_of(
      "  app: {vmid: 100, node: pve1, lane: pinned, disks: {root: {slot: scsi0, state: detached}, data: {slot: "
      "scsi1, size: 2GiB}}}\n"));
  const PlanResult refused = plan_fleet(world, document, nullptr, {});
  EXPECT_FALSE(plans<DetachDisk>(refused)) << text_of(refused.plan);
  EXPECT_THAT(text_of(refused.plan), HasSubstr("the guest runs and boots from it"));
  const ApplyReport report = world.run_plan(plan_fleet(world, document).plan);
  EXPECT_TRUE(report.all_done()) << text_of(report);
  EXPECT_EQ(value_of(world.sim(), 100, "scsi0"), "");
  EXPECT_EQ(value_of(world.sim(), 100, "unused0"), "z16:vm-100-disk-0");
  EXPECT_TRUE(world.sim().vm_running(100));
  EXPECT_TRUE(plan_fleet(world, document).plan.empty()) << text_of(plan_fleet(world, document).plan);
}

// Rule C2: host page cache is right on the storage the disk belongs on, not where it lies.
TEST(Found, ADiskThatIsAttachedWhereItLiesGetsNoCacheOfAnotherStorage) {
  const auto document = fleet(fleet_of(
      "  db: {vmid: 101, node: pve1, lane: pinned, disks: {root: {slot: scsi0, size: 4GiB, storage: files, cache: "
      "writeback}}}\n"));
  for (const bool may_move : {false, true}) {
    World world(kCluster);
    world.sim().inspect([&](pvesim::World& inside) {
      auto& values = inside.vms.at(101).config.values;
      values["unused0"] = "z16:vm-101-disk-0";
      values.erase("scsi0");
    });
    if (!may_move) {
      ASSERT_EQ(world.sim().admin_call("POST", "/nodes/pve1/qemu/101/snapshot", {{"snapname", "before"}}).status, 200);
      world.let_time_pass();
    }
    const PlanResult planned = plan_fleet(world, document);
    for (const Operation& operation : planned.plan.operations) {
      const auto* attach = std::get_if<AttachVolume>(&operation.procedure);
      EXPECT_TRUE(attach == nullptr || !attach->options.contains("cache")) << text_of(planned.plan);
    }
    EXPECT_TRUE(plans<AttachVolume>(planned)) << text_of(planned.plan);
    EXPECT_TRUE(world.run_plan(planned.plan).all_done()) << text_of(planned.plan);
    const std::string drive = value_of(world.sim(), 101, "scsi0");
    EXPECT_EQ(drive.find("files:") != std::string::npos, may_move) << drive;
    EXPECT_EQ(drive.find("cache=writeback") != std::string::npos, may_move) << drive;
  }
}

}  // namespace
}  // namespace pvr::scenario
