// What moves, resizes, clones and pending changes leave behind: seen in the world, not in calls.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "simulator/simulator.h"
#include "simulator/world/storage.h"
#include "simulator/world/world.h"

namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using pvesim::Simulator;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using Fields = std::vector<std::pair<std::string, std::string>>;

constexpr const char* kCluster = R"(
cluster: {name: lab, seed: 7}
nodes:
  pve1:
    memory: 64GiB
    pools: {tank: {layout: mirror, size: 200GiB}, wide: {layout: raidz, disks: 3, size: 100GiB}}
    vgs: {vg0: {size: 100GiB}}
  pve2:
    memory: 64GiB
    pools: {tank: {layout: mirror, size: 200GiB}}
storages:
  local: {type: dir, path: /var/lib/vz, content: "iso,images,import,snippets"}
  z8: {type: zfspool, pool: tank/vbs8k, blocksize: 8k, sparse: 1}
  z16: {type: zfspool, pool: tank/vbs16k, blocksize: 16k, sparse: 1}
  z64: {type: zfspool, pool: tank/vbs64k, blocksize: 64k, sparse: 1}
  thick: {type: zfspool, pool: tank/thick}
  wide: {type: zfspool, pool: wide, nodes: pve1, blocksize: 8k}
  vg0: {type: lvm, vgname: vg0, nodes: pve1}
vms:
  120:
    node: pve1
    status: running
    config: {name: app, memory: 1024, scsihw: virtio-scsi-single, boot: "order=scsi0",
             scsi0: "z8:vm-120-disk-0,iothread=1,size=8G", scsi1: "z8:vm-120-disk-1,aio=io_uring,size=4G"}
  130:
    node: pve1
    config: {name: cold, memory: 512, scsihw: virtio-scsi-single, boot: "order=scsi0", scsi0: "z8:vm-130-disk-0,size=4G"}
)";

class WorldDisks : public testing::Test {
 protected:
  WorldDisks() {
    pvesim::SimulatorOptions options;
    options.manual_clock = true;
    simulator_ = Simulator::from_text(kCluster, options);
  }

  json call(const std::string& verb, const std::string& path, const Fields& fields = {}) {
    const pvesim::Response answer = simulator_->admin_call(verb, "/nodes/pve1" + path, fields);
    json out = json::parse(answer.body);
    out["status"] = answer.status;
    return out;
  }
  /// Runs a task-returning call to its end: the exit status, or the error of the call.
  std::string run(const std::string& verb, const std::string& path, const Fields& fields = {}) {
    const json answer = call(verb, path, fields);
    if (answer["status"] != 200) return answer["message"].get<std::string>();
    EXPECT_TRUE(simulator_->settle());
    return task(answer["data"].get<std::string>()).exit_status;
  }
  pvesim::TaskInfo task(const std::string& upid) {
    for (const auto& one : simulator_->tasks())
      if (one.upid == upid) return one;
    return {};
  }
  std::string move(const Fields& fields, int vmid = 120) {
    return run("POST", "/qemu/" + std::to_string(vmid) + "/move_disk", fields);
  }
  std::string value(int vmid, const std::string& key) {
    const auto config = simulator_->vm_config(vmid);
    const auto found = config.find(key);
    return found == config.end() ? "" : found->second;
  }

  std::unique_ptr<Simulator> simulator_ = {};
};

TEST_F(WorldDisks, LiveMoveToAnotherBlockSizeKeepsEveryByteAndTheGuestWritesToTheCopy) {
  simulator_->guest_write(120, "scsi0");
  const auto content = simulator_->volume("z8:vm-120-disk-0")->fingerprint;
  EXPECT_EQ(move({{"disk", "scsi0"}, {"storage", "z16"}}), "OK");
  EXPECT_EQ(value(120, "scsi0"), "z16:vm-120-disk-0,iothread=1,size=8G");
  EXPECT_EQ(value(120, "unused0"), "z8:vm-120-disk-0");
  const auto made = simulator_->volume("z16:vm-120-disk-0");
  EXPECT_EQ(made->volblocksize, 16384);
  EXPECT_EQ(made->refreservation, 0);
  EXPECT_EQ(made->fingerprint, content);
  simulator_->guest_write(120, "scsi0");
  EXPECT_NE(simulator_->volume("z16:vm-120-disk-0")->fingerprint, content);
  EXPECT_EQ(simulator_->volume("z8:vm-120-disk-0")->fingerprint, content);
}

TEST_F(WorldDisks, WritesDuringALiveMoveReachTheCopy) {
  const json answer = call("POST", "/qemu/120/move_disk", {{"disk", "scsi0"}, {"storage", "z16"}, {"delete", "1"}});
  simulator_->advance(5s);
  ASSERT_TRUE(task(answer["data"]).running);
  simulator_->guest_write(120, "scsi0");
  const auto content = simulator_->volume("z8:vm-120-disk-0")->fingerprint;
  ASSERT_TRUE(simulator_->settle());
  EXPECT_EQ(task(answer["data"]).exit_status, "OK");
  EXPECT_EQ(simulator_->volume("z16:vm-120-disk-0")->fingerprint, content);
  EXPECT_FALSE(simulator_->volume("z8:vm-120-disk-0").has_value());
}

TEST_F(WorldDisks, ExplicitIoUringIsNotMovedToThickLvmWhileRunning) {
  const std::string before = simulator_->vm_config_text(120);
  EXPECT_EQ(
      move({{"disk", "scsi1"}, {"storage", "vg0"}}),
      "storage migration failed: target storage is known to cause issues with aio=io_uring (used by current drive)");
  EXPECT_EQ(simulator_->vm_config_text(120), before);
  EXPECT_THAT(simulator_->volumes("vg0"), IsEmpty());
}

TEST_F(WorldDisks, APendingEntryBringsTheOldVolumeBackAndTheNewWritesAreLost) {
  EXPECT_EQ(call("PUT", "/qemu/120/config", {{"scsi0", "z8:vm-120-disk-0,iothread=1,ssd=1"}})["status"], 200);
  EXPECT_EQ(simulator_->vm_config(120, "PENDING").at("scsi0"), "z8:vm-120-disk-0,iothread=1,size=8G,ssd=1");
  EXPECT_EQ(move({{"disk", "scsi0"}, {"storage", "z64"}}), "OK");
  simulator_->guest_write(120, "scsi0");
  const auto newest = simulator_->volume("z64:vm-120-disk-0")->fingerprint;
  EXPECT_EQ(simulator_->stop_vm(120), "OK");
  EXPECT_THAT(value(120, "scsi0"), HasSubstr("z8:vm-120-disk-0"));
  // The entry of the old volume went when the pending value named it again, so this is the lowest free one.
  EXPECT_EQ(value(120, "unused0"), "z64:vm-120-disk-0");
  EXPECT_NE(simulator_->volume("z8:vm-120-disk-0")->fingerprint, newest);
}

TEST_F(WorldDisks, AStoppedMoveLeavesNothingAKilledOneAnOrphan) {
  const std::string before = simulator_->vm_config_text(130);
  json answer = call("POST", "/qemu/130/move_disk", {{"disk", "scsi0"}, {"storage", "vg0"}});
  simulator_->advance(3s);
  simulator_->inspect([&](pvesim::World& world) { EXPECT_TRUE(world.stop_task(answer["data"].get<std::string>())); });
  EXPECT_THAT(task(answer["data"]).exit_status, HasSubstr("failed: interrupted by signal"));
  EXPECT_THAT(simulator_->unreferenced_disks(), IsEmpty());
  EXPECT_EQ(simulator_->vm_config_text(130), before);

  answer = call("POST", "/qemu/130/move_disk", {{"disk", "scsi0"}, {"storage", "vg0"}});
  simulator_->advance(3s);
  simulator_->inspect([&](pvesim::World& world) { world.kill_task(answer["data"].get<std::string>()); });
  EXPECT_EQ(task(answer["data"]).exit_status, "unexpected status");
  EXPECT_THAT(simulator_->unreferenced_disks(), Contains("vg0:vm-130-disk-0"));
  EXPECT_EQ(simulator_->vm_config_text(130), before);
}

TEST_F(WorldDisks, TheGuestLockIsHeldForTheWholeCopy) {
  const json answer =
      call("POST", "/qemu/130/move_disk", {{"disk", "scsi0"}, {"storage", "vg0"}, {"bwlimit", "10240"}});
  simulator_->advance(1s);
  const auto begun = simulator_->now();
  const json refused = call("PUT", "/qemu/130/config", {{"cores", "2"}});
  EXPECT_EQ(refused["status"], 500);
  EXPECT_EQ(refused["message"], "can't lock file '/var/lock/qemu-server/lock-130.conf' - got timeout\n");
  EXPECT_GE(simulator_->now() - begun, 10s);
  EXPECT_TRUE(task(answer["data"]).running);
  EXPECT_EQ(value(130, "cores"), "");
}

TEST_F(WorldDisks, AllocationWaitsForTheLockOfItsStorageOnly) {
  const int other = 0;
  simulator_->inspect(
      [&](pvesim::World& world) { EXPECT_TRUE(world.try_lock("/var/lock/pve-manager/pve-storage-z16", &other)); });
  EXPECT_EQ(run("POST", "/qemu/130/config", {{"scsi1", "z16:1"}}),
            "can't lock file '/var/lock/pve-manager/pve-storage-z16' - got timeout");
  EXPECT_EQ(run("POST", "/qemu/130/config", {{"scsi1", "z64:1"}}), "OK");  // the same pool under another id
}

TEST_F(WorldDisks, ThrottlesAreLiveAndOneOtherOptionMakesTheWholeStringPending) {
  EXPECT_EQ(call("PUT", "/qemu/120/config", {{"scsi0", "z8:vm-120-disk-0,iothread=1,mbps_rd=10"}})["status"], 200);
  EXPECT_THAT(value(120, "scsi0"), HasSubstr("mbps_rd=10"));
  EXPECT_THAT(simulator_->vm_effective(120).at("scsi0"), HasSubstr("mbps_rd=10"));
  EXPECT_EQ(
      call("PUT", "/qemu/120/config", {{"scsi0", "z8:vm-120-disk-0,iothread=1,mbps_rd=20,cache=writeback"}})["status"],
      200);
  EXPECT_THAT(value(120, "scsi0"), HasSubstr("mbps_rd=10"));
  EXPECT_THAT(simulator_->vm_config(120, "PENDING").at("scsi0"), HasSubstr("mbps_rd=20"));
}

TEST_F(WorldDisks, DetectZeroesLooksAppliedButTheRunningGuestKeepsItsOldValue) {
  EXPECT_EQ(call("PUT", "/qemu/120/config", {{"scsi0", "z8:vm-120-disk-0,iothread=1,detect_zeroes=0"}})["status"], 200);
  EXPECT_THAT(value(120, "scsi0"), HasSubstr("detect_zeroes=0"));
  EXPECT_THAT(simulator_->vm_config(120, "PENDING"), IsEmpty());
  EXPECT_THAT(simulator_->vm_effective(120).at("scsi0"), testing::Not(HasSubstr("detect_zeroes")));
}

TEST_F(WorldDisks, AResizeIsPaddedAndNeverShrinks) {
  EXPECT_EQ(run("PUT", "/qemu/130/resize", {{"disk", "scsi0"}, {"size", "+1K"}}), "OK");
  EXPECT_EQ(value(130, "scsi0"), "z8:vm-130-disk-0,size=4194305K");
  EXPECT_EQ(simulator_->volume("z8:vm-130-disk-0")->size, (4097LL << 20));
  EXPECT_EQ(run("PUT", "/qemu/130/resize", {{"disk", "scsi0"}, {"size", "1G"}}), "shrinking disks is not supported");
}

TEST_F(WorldDisks, ThickVolumesReserveTheirMetadataAndTheRaidzPadding) {
  simulator_->inspect([](pvesim::World& world) {
    const auto& mirror = world.nodes.at("pve1").pools.at("tank");
    const auto& raidz = world.nodes.at("pve1").pools.at("wide");
    constexpr std::int64_t kGiB = 1LL << 30;
    EXPECT_EQ(pvesim::thick_reservation(mirror, kGiB, 16384), 1092616192);
    EXPECT_EQ(pvesim::thick_reservation(mirror, 2 * kGiB, 16384), 2183135232);
    EXPECT_EQ(pvesim::thick_reservation(raidz, kGiB, 65536), 1080033280);
    EXPECT_EQ(pvesim::thick_reservation(raidz, kGiB, 16384), 1092616192);
    EXPECT_EQ(pvesim::thick_reservation(raidz, kGiB, 8192), 1467307264);
    EXPECT_EQ(pvesim::thick_reservation(raidz, kGiB, 4096), 1500861696);
  });
  EXPECT_EQ(run("POST", "/qemu/130/config", {{"scsi1", "thick:10"}}), "OK");
  EXPECT_GT(simulator_->volume("thick:vm-130-disk-0")->refreservation, 10LL << 30);
  EXPECT_EQ(run("POST", "/qemu/130/config", {{"scsi2", "thick:900"}}),
            "zfs error: cannot create 'tank/thick/vm-130-disk-1': out of space");
}

TEST_F(WorldDisks, NumbersAreTheLowestFreeOnTheStorageWhateverTheConfigSays) {
  ASSERT_EQ(
      call("POST", "/storage/z16/content", {{"vmid", "130"}, {"filename", "vm-130-disk-0"}, {"size", "1G"}})["status"],
      200);
  EXPECT_EQ(run("POST", "/qemu/130/config", {{"scsi1", "z16:1"}}), "OK");
  EXPECT_EQ(value(130, "scsi1"), "z16:vm-130-disk-1,size=1G");
  EXPECT_THAT(simulator_->unreferenced_disks(), Contains("z16:vm-130-disk-0"));
}

TEST_F(WorldDisks, AFullCloneCopiesContentAndALinkedOneSharesIt) {
  const auto content = simulator_->volume("z8:vm-130-disk-0")->fingerprint;
  EXPECT_EQ(run("POST", "/qemu/130/clone", {{"newid", "131"}, {"full", "1"}, {"storage", "z64"}}), "OK");
  EXPECT_EQ(simulator_->volume("z64:vm-131-disk-0")->fingerprint, content);
  EXPECT_EQ(simulator_->volume("z64:vm-131-disk-0")->volblocksize, 65536);
  EXPECT_EQ(run("POST", "/qemu/130/template"), "OK");
  EXPECT_EQ(run("POST", "/qemu/130/clone", {{"newid", "132"}}), "OK");
  EXPECT_EQ(value(132, "scsi0"), "z8:base-130-disk-0/vm-132-disk-0,size=4G");
  EXPECT_EQ(simulator_->volume("z8:base-130-disk-0/vm-132-disk-0")->fingerprint, content);
  EXPECT_EQ(run("DELETE", "/qemu/130"), "base volume 'z8:base-130-disk-0' is still in use by linked cloned");
}

TEST_F(WorldDisks, RollbackBringsTheContentBack) {
  EXPECT_EQ(run("POST", "/qemu/130/snapshot", {{"snapname", "before"}}), "OK");
  const auto content = simulator_->volume("z8:vm-130-disk-0")->fingerprint;
  EXPECT_EQ(simulator_->start_vm(130), "OK");
  simulator_->guest_write(130, "scsi0");
  EXPECT_NE(simulator_->volume("z8:vm-130-disk-0")->fingerprint, content);
  EXPECT_EQ(run("POST", "/qemu/130/snapshot/before/rollback"), "OK");
  EXPECT_EQ(simulator_->volume("z8:vm-130-disk-0")->fingerprint, content);
  EXPECT_FALSE(simulator_->vm_running(130));
  EXPECT_EQ(value(130, "parent"), "before");
}

TEST_F(WorldDisks, LiveMigrationTakesTargetBlockSizesOfflineKeepsThoseOfTheSource) {
  const auto content = simulator_->volume("z8:vm-120-disk-0")->fingerprint;
  EXPECT_EQ(run("POST", "/qemu/120/migrate",
                {{"target", "pve2"}, {"online", "1"}, {"with-local-disks", "1"}, {"targetstorage", "z64"}}),
            "OK");
  EXPECT_EQ(simulator_->vm_node(120), "pve2");
  EXPECT_TRUE(simulator_->vm_running(120));
  EXPECT_EQ(simulator_->volume("z64:vm-120-disk-0")->volblocksize, 65536);
  EXPECT_EQ(simulator_->volume("z64:vm-120-disk-0")->fingerprint, content);
  EXPECT_EQ(run("POST", "/qemu/130/migrate", {{"target", "pve2"}, {"targetstorage", "z64"}}), "OK");
  EXPECT_EQ(simulator_->volume("z64:vm-130-disk-0")->volblocksize, 8192);
  EXPECT_THAT(simulator_->volumes("z8"), IsEmpty());
}

TEST_F(WorldDisks, AFailedStepGivesTheNewVolumeBack) {
  simulator_->inspect([](pvesim::World& world) {
    world.step_fault = [](const pvesim::Task*, std::string_view step) {
      pvesim::StepFault fault;
      if (step == "copy") fault = {pvesim::StepFault::Kind::kFail, "qemu-img: error while writing"};
      return fault;
    };
  });
  EXPECT_EQ(move({{"disk", "scsi0"}, {"storage", "z64"}}, 130),
            "storage migration failed: qemu-img: error while writing");
  EXPECT_THAT(simulator_->volumes("z64"), IsEmpty());
  EXPECT_EQ(value(130, "scsi0"), "z8:vm-130-disk-0,size=4G");
}

TEST_F(WorldDisks, AnHaGuestIsStoppedByTheManagersAndItsDeclaredStateFollows) {
  const json added = json::parse(simulator_->admin_call("POST", "/cluster/ha/resources", {{"sid", "vm:120"}}).body);
  ASSERT_TRUE(added["data"].is_null());
  EXPECT_EQ(run("POST", "/qemu/120/status/shutdown"), "OK");
  EXPECT_TRUE(simulator_->vm_running(120));  // only requested
  simulator_->advance(60s);
  EXPECT_FALSE(simulator_->vm_running(120));
  simulator_->inspect(
      [](pvesim::World& world) { EXPECT_EQ(world.ha_resources.at("vm:120").values.at("state"), "stopped"); });
}

}  // namespace
