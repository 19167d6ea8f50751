// What real PVE refuses: rights, preconditions, full targets. Each refusal leaves the world as it was.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "simulator/simulator.h"
#include "simulator/wire/message.h"
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
cluster: {name: lab, seed: 11}
users:
  - {name: root@pam, password: secret, tokens: [{id: ci, secret: 11111111-2222-3333-4444-555555555555, privsep: false}]}
  - {name: op@pve, password: secret, tokens: [{id: ci, secret: 22222222-2222-3333-4444-555555555555, privsep: false}]}
acl:
  - {path: /vms, user: op@pve, role: PVEVMAdmin, propagate: true}
  - {path: /storage, user: op@pve, role: PVEDatastoreAdmin, propagate: true}
datacenter: {registered-tags: "gold;silver"}
nodes:
  pve1: {cpu: 8, memory: 64GiB, pools: {tank: {layout: mirror, size: 40GiB}}, filesystems: {/srv/small: {type: ext4, size: 2GiB}}}
  pve2: {cpu: 8, memory: 64GiB, pools: {tank: {layout: mirror, size: 200GiB}}}
storages:
  local: {type: dir, path: /var/lib/vz, content: "iso,images,import,snippets"}
  files: {type: dir, path: /srv/iso, content: "iso"}
  small: {type: dir, path: /srv/small, content: "images", nodes: pve1}
  z16: {type: zfspool, pool: tank/vbs16k, blocksize: 16k, sparse: 1}
volumes:
  - {storage: local, node: pve1, volume: "iso/debian.iso", size: 700MB}
vms:
  120:
    node: pve1
    status: running
    config: {name: app, memory: 1024, cores: 2, hostpci0: "mapping=gpu0", scsihw: virtio-scsi-single, tags: "gold;web",
             boot: "order=scsi0", scsi0: "z16:vm-120-disk-0,size=8G", tpmstate0: "z16:vm-120-disk-1,size=4M,version=v2.0"}
  130:
    node: pve1
    config: {name: cold, memory: 512, usb0: "host=1234:5678", scsihw: virtio-scsi-single, boot: "order=scsi0",
             scsi0: "z16:vm-130-disk-0,size=4G", unused0: "z16:vm-130-disk-1"}
  140: {node: pve1, config: {name: spare, memory: 512, unused0: "z16:vm-140-disk-0"}}
)";

class WorldRules : public testing::Test {
 protected:
  WorldRules() {
    pvesim::SimulatorOptions options;
    options.manual_clock = true;
    simulator_ = Simulator::from_text(kCluster, options);
  }

  static json parsed(const pvesim::Response& answer) {
    json out = answer.body.empty() ? json::object() : json::parse(answer.body);
    out["status"] = answer.status;
    return out;
  }
  json call(const std::string& verb, const std::string& path, const Fields& fields = {}) {
    return parsed(simulator_->admin_call(verb, "/nodes/pve1" + path, fields));
  }
  /// As a user who may do everything with guests and storages but nothing else.
  json as_operator(const std::string& verb, const std::string& path, const std::string& form) {
    pvesim::Request request;
    request.method = verb;
    request.path = "/api2/json/nodes/pve1" + path;
    request.headers = {{"authorization", "PVEAPIToken=op@pve!ci=22222222-2222-3333-4444-555555555555"},
                       {"content-type", "application/x-www-form-urlencoded"}};
    request.body = form;
    return parsed(simulator_->handle(request));
  }
  std::string run(const std::string& verb, const std::string& path, const Fields& fields = {}) {
    const json answer = call(verb, path, fields);
    if (answer["status"] != 200)
      return answer.contains("errors") ? answer["errors"].dump() : answer["message"].get<std::string>();
    EXPECT_TRUE(simulator_->settle());
    for (const auto& one : simulator_->tasks())
      if (one.upid == answer["data"].get<std::string>()) return one.exit_status;
    return {};
  }
  std::string value(int vmid, const std::string& key) {
    const auto config = simulator_->vm_config(vmid);
    const auto found = config.find(key);
    return found == config.end() ? "" : found->second;
  }

  std::unique_ptr<Simulator> simulator_ = {};
};

TEST_F(WorldRules, RegisteredTagsNeedSysModify) {
  const json refused = as_operator("PUT", "/qemu/120/config", "tags=web");
  EXPECT_EQ(refused["status"], 403);
  EXPECT_THAT(refused["message"].get<std::string>(), HasSubstr("Sys.Modify for modifying tag 'gold'"));
  EXPECT_EQ(value(120, "tags"), "gold;web");
  EXPECT_EQ(as_operator("PUT", "/qemu/120/config", "tags=gold%3Bnew")["status"], 200);
  EXPECT_EQ(value(120, "tags"), "gold;new");
}

TEST_F(WorldRules, DevicesAreAskedAboutWhenTheyGoAsWell) {
  EXPECT_EQ(as_operator("PUT", "/qemu/120/config", "delete=hostpci0")["status"], 403);
  const json real = as_operator("PUT", "/qemu/130/config", "delete=usb0");
  EXPECT_EQ(real["message"], "only root can set 'usb0' config for real devices\n");
  EXPECT_EQ(value(130, "usb0"), "host=1234:5678");
  EXPECT_EQ(as_operator("PUT", "/qemu/130/config", "startup=order%3D1")["status"], 403);
  EXPECT_EQ(as_operator("PUT", "/qemu/130/config", "vmgenid=1")["message"], "only root can set 'vmgenid' config\n");
  EXPECT_EQ(as_operator("PUT", "/qemu/130/config", "cpu=custom-none")["status"], 400);
  simulator_->inspect([](pvesim::World& world) { world.cpu_models.insert("big"); });
  EXPECT_EQ(as_operator("PUT", "/qemu/130/config", "cpu=custom-big")["status"], 403);
  EXPECT_EQ(run("POST", "/qemu/130/config", {{"cpu", "custom-big"}}), "OK");
  EXPECT_EQ(as_operator("PUT", "/qemu/130/config", "cpu=custom-big%2Chidden%3D1")["status"], 200);
}

TEST_F(WorldRules, DriveValuesOfTheWrongKindChangeNothing) {
  const std::string before = simulator_->vm_config_text(130);
  EXPECT_THAT(run("POST", "/qemu/130/config", {{"ide2", "local:iso/debian.iso"}}),
              HasSubstr("explicit 'media=cdrom' is required for iso images"));
  EXPECT_THAT(run("POST", "/qemu/130/config", {{"scsi1", "z16:0,import-from=local:iso/debian.iso"}}),
              HasSubstr("local:iso/debian.iso has wrong type 'iso' - needs to be 'images' or 'import'"));
  EXPECT_EQ(simulator_->vm_config_text(130), before);
  EXPECT_EQ(run("POST", "/qemu/120/config", {{"tpmstate0", "z16:vm-120-disk-1,version=v1.2"}}),
            "cannot change TPM state version after creation");
  EXPECT_THAT(value(120, "tpmstate0"), HasSubstr("version=v2.0"));
}

TEST_F(WorldRules, AnImportOfAVolumeOfAnotherNodeIsRefusedByTheTask) {
  simulator_->inspect([](pvesim::World& world) { world.vms.at(140).node = "pve2"; });
  EXPECT_EQ(run("POST", "/qemu/130/config", {{"scsi1", "z16:0,import-from=z16:vm-140-disk-0"}}),
            "cannot import from 'z16:vm-140-disk-0' - owner VM 140 not on local node");
  EXPECT_EQ(value(130, "scsi1"), "");
}

TEST_F(WorldRules, AnImportIntoAFullDirectoryFailsHalfWayAndLeavesNothing) {
  simulator_->inspect([](pvesim::World& world) {
    for (auto& [key, backing] : world.backings)
      if (const auto disk = backing.volumes.find("vm-120-disk-0"); disk != backing.volumes.end())
        disk->second.used = 6LL << 30;
  });
  EXPECT_EQ(run("POST", "/qemu/130/config", {{"scsi1", "small:0,import-from=z16:vm-120-disk-0,format=raw"}}),
            "cannot import from 'z16:vm-120-disk-0' - copy failed: No space left on device");
  EXPECT_THAT(simulator_->volumes("small"), IsEmpty());
  EXPECT_EQ(value(130, "scsi1"), "");
}

TEST_F(WorldRules, ClonesWaitForTheLockOfTheirStorageAndNeedAnImageStorage) {
  EXPECT_THAT(run("POST", "/qemu/130/clone", {{"newid", "131"}, {"full", "1"}, {"storage", "files"}}),
              HasSubstr("storage 'files' does not support vm images"));
  EXPECT_FALSE(simulator_->vm_exists(131));
  const int other = 0;
  simulator_->inspect(
      [&](pvesim::World& world) { EXPECT_TRUE(world.try_lock("/var/lock/pve-manager/pve-storage-z16", &other)); });
  EXPECT_THAT(run("POST", "/qemu/130/clone", {{"newid", "131"}, {"full", "1"}}), HasSubstr("got timeout"));
  EXPECT_FALSE(simulator_->vm_exists(131));
  EXPECT_EQ(run("POST", "/qemu/130/config", {{"delete", "unused0"}}),
            "can't lock file '/var/lock/pve-manager/pve-storage-z16' - got timeout");
  EXPECT_EQ(value(130, "unused0"), "z16:vm-130-disk-1");
  EXPECT_EQ(
      call("POST", "/storage/z16/content", {{"vmid", "130"}, {"filename", "vm-130-disk-7"}, {"size", "1G"}})["status"],
      500);
  EXPECT_FALSE(simulator_->volume("z16:vm-130-disk-7").has_value());
}

TEST_F(WorldRules, ADiskIsNotGivenToAGuestThatHasItsKey) {
  EXPECT_EQ(run("POST", "/qemu/130/move_disk", {{"disk", "unused0"}, {"target-vmid", "140"}}),
            "Target disk key 'unused0' is already in use for VM '140'\n");
  EXPECT_THAT(run("POST", "/qemu/130/move_disk", {{"disk", "unused0"}, {"target-vmid", "130"}}),
              HasSubstr("must be different than source VMID"));
  EXPECT_EQ(
      run("POST", "/qemu/130/move_disk", {{"disk", "unused0"}, {"target-vmid", "140"}, {"target-disk", "unused1"}}),
      "OK");
  EXPECT_EQ(value(140, "unused1"), "z16:vm-140-disk-1");
}

TEST_F(WorldRules, AGuestThatQemuRefusesStaysOff) {
  simulator_->delete_config(130, "usb0");
  simulator_->set_config(130, "machine", "pc-i440fx-99.0");
  EXPECT_THAT(simulator_->start_vm(130), HasSubstr("is too old to run machine type 'pc-i440fx-99.0'"));
  simulator_->delete_config(130, "machine");
  simulator_->set_config(130, "cores", "64");
  EXPECT_EQ(simulator_->start_vm(130), "MAX 8 vcpus allowed per VM on this node");
  simulator_->delete_config(130, "cores");
  simulator_->set_config(130, "hotplug", "disk,memory");
  EXPECT_EQ(simulator_->start_vm(130), "NUMA needs to be enabled for memory hotplug");
  EXPECT_FALSE(simulator_->vm_running(130));
}

}  // namespace
