// Every call of the client against a simulated cluster, without sockets: what was asked for must be the state of the
// world afterwards.
#include "providers/pve/pve_client.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/simulated_transport.h"

namespace pvr {
namespace {

using pvesim::Fault;
using pvesim::FaultAction;
using pvesim::Simulator;
using pvr::testing::SimulatedClock;
using pvr::testing::SimulatedTransport;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr const char* kCluster = R"(
cluster: {name: lab, seed: 3}
users:
  - {name: root@pam, password: secret, tokens: [{id: ci, secret: s-root, privsep: false}]}
  - {name: op@pve, password: operator, tokens: [{id: sep, secret: s-op, privsep: true}]}
acl:
  - {path: /vms/101, user: op@pve, role: PVEVMAdmin}
  - {path: /vms/101, token: "op@pve!sep", role: PVEAuditor}
nodes:
  n1:
    cpu: 8
    memory: 16GiB
    version: 9.2.4
    pools: {tank: {size: 1TiB, layout: mirror, media: ssd}, slow: {size: 4TiB, layout: raidz2, disks: 6, media: hdd}}
    vgs: {vg0: {size: 100GiB}}
    disks:
      - {devpath: /dev/sda, type: ssd, serial: tank-0}
      - {devpath: /dev/sdb, type: ssd, serial: tank-1}
      - {devpath: /dev/sdc, type: hdd, serial: slow-0}
      - {devpath: /dev/sdd, type: hdd, serial: slow-1}
    pci: [{id: "0000:01:00.0", class: "0x030000", vendor: "0x10de", device: "0x2204"}]
  n2: {cpu: 8, memory: 16GiB, pools: {tank: {size: 1TiB}}}
storages:
  tank: {type: zfspool, pool: tank, nodes: "n1,n2", sparse: 1, content: "images,rootdir", blocksize: 16k}
  slow: {type: zfspool, pool: slow, nodes: n1, content: images}
vms:
  100:
    node: n1
    status: running
    config: {name: web, cores: 2, memory: 2048, tags: "a;b", scsihw: virtio-scsi-single, scsi0: "tank:vm-100-disk-0,size=8G", boot: "order=scsi0", net0: "virtio=BC:24:11:00:00:01,bridge=vmbr0"}
    snapshots: {before: {}}
  101: {node: n2, config: {name: db, memory: 1024, scsi0: "tank:vm-101-disk-0,size=4G"}}
  900: {node: n1, template: true, config: {name: tpl, memory: 512, scsi0: "tank:base-900-disk-0,size=2G"}}
ha: {resources: {"vm:100": {state: started, comment: c}}}
pools: {prod: {comment: p, vms: [100]}}
mappings: {pci: {gpu0: {map: ["node=n1,path=0000:01:00.0,id=10de:2204,iommugroup=1"]}}}
datacenter: {bwlimit: "move=1000"}
)";

class ClientTest : public ::testing::Test {
 protected:
  ClientTest()
      : simulator_(Simulator::from_text(kCluster, {.manual_clock = true, .clock_scale = {}, .seed = {}})),
        clock_(*simulator_),
        client_(make("root@pam!ci", "s-root")) {}

  std::unique_ptr<PveClient> make(const std::string& id, const std::string& secret) {
    ConnectionOptions options;
    options.endpoints = {"https://n1:8006", "https://n2:8006"};
    options.token_id = id;
    options.token_secret = Secret(secret);
    auto transport = std::make_unique<SimulatedTransport>(
        *simulator_, std::map<std::string, std::string>{{"https://n1:8006", "n1"}, {"https://n2:8006", "n2"}});
    return std::make_unique<PveClient>(std::move(options), std::move(transport), clock_, std::stop_token());
  }
  /// Lets the task end and expects that it succeeded.
  void finish(const Result<Upid>& task) {
    ASSERT_TRUE(task.ok()) << task.error().text();
    simulator_->settle();
    const auto status = client_->task_status(*task);
    ASSERT_TRUE(status.ok()) << status.error().text();
    EXPECT_FALSE(status->running);
    EXPECT_TRUE(status->succeeded()) << status->exit_text;
  }
  std::string digest(const GuestRef& guest) { return client_->guest(guest)->digest; }

  const GuestRef web_{"n1", {100}};
  const GuestRef db_{"n2", {101}};
  std::unique_ptr<Simulator> simulator_;
  SimulatedClock clock_;
  std::unique_ptr<PveClient> client_;
};

TEST_F(ClientTest, ReadsTheCluster) {
  const auto status = client_->cluster_status();
  ASSERT_TRUE(status.ok()) << status.error().text();
  EXPECT_EQ(status->name, "lab");
  EXPECT_TRUE(status->quorate);
  ASSERT_EQ(status->nodes.size(), 2U);
  EXPECT_EQ(status->nodes[0].name, "n1");
  const auto guests = client_->guests();
  ASSERT_TRUE(guests.ok());
  ASSERT_EQ(guests->size(), 3U);
  EXPECT_EQ((*guests)[0].pool, "prod");
  EXPECT_TRUE((*guests)[2].is_template);
  const auto node = client_->node_facts("n1");
  ASSERT_TRUE(node.ok());
  EXPECT_EQ(node->version, "9.2.4");
  EXPECT_EQ(node->memory, 16_GiB);
  const auto options = client_->datacenter_options();
  ASSERT_TRUE(options.ok());
  EXPECT_EQ(*options->find("bwlimit"), "move=1000");
}

TEST_F(ClientTest, ReadsStoragesVolumesAndWhatLiesBelow) {
  const auto storages = client_->storages();
  ASSERT_TRUE(storages.ok());
  EXPECT_FALSE(storages->digest.empty());
  const auto tank = std::ranges::find(storages->storages, "tank", &LiveStorage::id);
  ASSERT_NE(tank, storages->storages.end());
  EXPECT_EQ(tank->type, "zfspool");
  EXPECT_EQ(*tank->properties.find("blocksize"), "16k");
  EXPECT_FALSE(tank->properties.contains("digest"));
  const auto status = client_->storage_status("n1", "tank");
  ASSERT_TRUE(status.ok());
  EXPECT_TRUE(status->active);
  EXPECT_GT(status->total, 500_GiB);
  const auto volumes = client_->volumes("n1", "tank", Vmid{100});
  ASSERT_TRUE(volumes.ok());
  ASSERT_EQ(volumes->size(), 1U);
  EXPECT_EQ(volumes->front().id, (VolumeId{"tank", "vm-100-disk-0"}));
  EXPECT_EQ(volumes->front().size, 8_GiB);
  EXPECT_EQ(volumes->front().owner, Vmid{100});
  const auto pools = client_->zpools("n1");
  ASSERT_TRUE(pools.ok()) << pools.error().text();
  ASSERT_EQ(pools->size(), 2U);
  EXPECT_EQ((*pools)[0].layout, "raidz2-6");
  EXPECT_EQ((*pools)[0].parity, 2);
  EXPECT_EQ((*pools)[0].media, Media::kHdd);
  EXPECT_EQ((*pools)[1].layout, "mirror");
  EXPECT_EQ((*pools)[1].media, Media::kSsd);
  EXPECT_EQ((*pools)[1].health, "ONLINE");
  EXPECT_EQ(client_->storage_status("n1", "nope").error().kind, ErrorKind::kNotFound);
}

TEST_F(ClientTest, ReadsGuests) {
  const auto vm = client_->guest(web_);
  ASSERT_TRUE(vm.ok()) << vm.error().text();
  EXPECT_EQ(vm->name, "web");
  EXPECT_FALSE(vm->digest.empty());
  EXPECT_EQ(vm->uuid.size(), 36U);
  EXPECT_EQ(vm->options.find("memory")->current, "2048");
  ASSERT_EQ(vm->drives.size(), 1U);
  EXPECT_EQ(vm->drives[0].current->size, 8_GiB);
  const auto status = client_->guest_status(web_);
  ASSERT_TRUE(status.ok());
  EXPECT_EQ(status->power, PowerState::kRunning);
  EXPECT_TRUE(status->ha_managed);
  EXPECT_EQ(client_->guest_status(db_)->power, PowerState::kStopped);
  const auto snapshots = client_->snapshots(web_);
  ASSERT_TRUE(snapshots.ok());
  ASSERT_EQ(snapshots->size(), 1U);
  EXPECT_EQ(snapshots->front().name, "before");
  const auto moved = client_->guest({"n2", {100}});
  ASSERT_FALSE(moved.ok());
  EXPECT_EQ(moved.error().kind, ErrorKind::kNotFound);
  EXPECT_THAT(moved.error().text(), HasSubstr("guest 100 on node n2"));
}

TEST_F(ClientTest, ReadsHaPoolsMappingsAndPermissions) {
  const auto ha = client_->ha_resources();
  ASSERT_TRUE(ha.ok());
  ASSERT_EQ(ha->resources.size(), 1U);
  EXPECT_EQ(ha->resources[0].sid, "vm:100");
  EXPECT_EQ(*ha->resources[0].properties.find("comment"), "c");
  EXPECT_FALSE(ha->digest.empty());
  EXPECT_EQ(client_->pools()->at("prod"), "p");
  EXPECT_THAT(*client_->pool_members("prod"), ElementsAre(100U));
  const auto mappings = client_->pci_mappings();
  ASSERT_TRUE(mappings.ok());
  ASSERT_EQ(mappings->size(), 1U);
  EXPECT_THAT(mappings->front().nodes, ElementsAre("n1"));
  const auto all = client_->permissions("/vms/100");
  ASSERT_TRUE(all.ok());
  EXPECT_THAT(*all, Contains("VM.Config.Disk"));
  const auto few = make("op@pve!sep", "s-op")->permissions("/vms/101");
  ASSERT_TRUE(few.ok());
  EXPECT_THAT(*few, Contains("VM.Audit"));
  EXPECT_THAT(*few, ::testing::Not(Contains("VM.Config.Disk")));
}

TEST_F(ClientTest, ChangesGuestsUnderTheirDigest) {
  const std::string before = digest(web_);
  ASSERT_TRUE(client_->set_config(web_, {{"description", "a=b;c&d +%"}}, {"tags"}, before).ok());
  EXPECT_EQ(client_->guest(web_)->options.find("description")->current, "a=b;c&d +%");
  EXPECT_FALSE(client_->guest(web_)->options.contains("tags"));
  const Status stale = client_->set_config(web_, {{"description", "other"}}, {}, before);
  ASSERT_FALSE(stale.ok());
  EXPECT_EQ(stale.error().kind, ErrorKind::kConflict);
  EXPECT_EQ(client_->guest(web_)->options.find("description")->current, "a=b;c&d +%");

  ASSERT_TRUE(client_->set_config(web_, {{"cores", "4"}}, {}, digest(web_)).ok());
  EXPECT_EQ(client_->guest(web_)->options.find("cores")->pending, "4");
  ASSERT_TRUE(client_->revert_pending(web_, {"cores"}, digest(web_)).ok());
  EXPECT_EQ(client_->guest(web_)->options.find("cores")->pending, std::nullopt);

  finish(client_->start_set_config(web_, {{"scsi1", "tank:2"}}, {}, digest(web_)));
  EXPECT_EQ(client_->guest(web_)->drives.size(), 2U);
  finish(client_->resize(web_, {Bus::kScsi, 1}, 3_GiB, digest(web_)));
  EXPECT_EQ(simulator_->volume("tank:vm-100-disk-1")->size, static_cast<std::int64_t>((3_GiB).bytes));
}

TEST_F(ClientTest, MovesDisksAndKeepsTheOldVolume) {
  finish(client_->move_disk(web_, {Bus::kScsi, 0}, "slow", "", ByteRate{100U << 20U}, false, digest(web_)));
  const auto config = simulator_->vm_config(100);
  EXPECT_THAT(config.at("scsi0"), HasSubstr("slow:"));
  EXPECT_EQ(config.at("unused0"), "tank:vm-100-disk-0");
}

TEST_F(ClientTest, MovesDisksAndRemovesTheOldVolumeWhereItIsTold) {
  // PVE refuses that while a snapshot needs the volume.
  ASSERT_EQ(simulator_->admin_call("DELETE", "/nodes/n1/qemu/100/snapshot/before").status, 200);
  simulator_->settle();
  finish(client_->move_disk(web_, {Bus::kScsi, 0}, "slow", "", {}, true, digest(web_)));
  const auto config = simulator_->vm_config(100);
  EXPECT_THAT(config.at("scsi0"), HasSubstr("slow:"));
  EXPECT_FALSE(config.contains("unused0"));
  EXPECT_FALSE(simulator_->volume("tank:vm-100-disk-0"));
}

TEST_F(ClientTest, MakesStartsStopsAndRemovesGuests) {
  finish(client_->create_guest(
      "n2", {{"vmid", "150"}, {"name", "new"}, {"memory", "512"}, {"scsi0", "tank:1"}, {"pool", "prod"}}));
  EXPECT_THAT(*client_->pool_members("prod"), ElementsAre(100U, 150U));
  const GuestRef made{"n2", {150}};
  finish(client_->start(made));
  EXPECT_TRUE(simulator_->vm_running(150));
  finish(client_->shutdown(made, std::chrono::seconds(60)));
  EXPECT_FALSE(simulator_->vm_running(150));
  finish(client_->destroy_guest(made, true));
  EXPECT_FALSE(simulator_->vm_exists(150));
  finish(client_->clone_guest({"n1", {900}}, {{"newid", "151"}, {"name", "copy"}, {"full", "1"}}));
  EXPECT_EQ(simulator_->vm_config(151).at("name"), "copy");
  const auto tasks = client_->tasks({"n2", {150}}, 1);
  ASSERT_TRUE(tasks.ok()) << tasks.error().text();
  ASSERT_EQ(tasks->size(), 4U);
  EXPECT_EQ(tasks->front().type, "qmdestroy");
  EXPECT_FALSE(tasks->front().running);
  const auto log = client_->task_log(tasks->front().upid, 0);
  ASSERT_TRUE(log.ok());
  ASSERT_FALSE(log->lines.empty());
  EXPECT_EQ(log->lines.back(), "TASK OK");
  EXPECT_EQ(log->next, log->lines.size());
  EXPECT_TRUE(client_->task_log(tasks->front().upid, log->next)->lines.empty());
}

TEST_F(ClientTest, StopsTasks) {
  const auto task = client_->move_disk(web_, {Bus::kScsi, 0}, "slow", "", {}, false, digest(web_));
  ASSERT_TRUE(task.ok());
  EXPECT_TRUE(client_->task_status(*task)->running);
  const auto running = client_->tasks(web_, 0);
  ASSERT_TRUE(running.ok());
  ASSERT_EQ(running->size(), 1U);
  EXPECT_TRUE(running->front().running);
  ASSERT_TRUE(client_->stop_task(*task).ok());
  simulator_->settle();
  EXPECT_FALSE(client_->task_status(*task)->succeeded());
  EXPECT_THAT(simulator_->vm_config(100).at("scsi0"), HasSubstr("tank:"));
}

TEST_F(ClientTest, WritesStoragesPoolsHaAndReplication) {
  FlatMap<std::string> properties;
  properties.set("pool", "tank/models");
  properties.set("blocksize", "128k");
  properties.set("nodes", "n1");
  const Status created = client_->create_storage("models", "zfspool", properties);
  ASSERT_TRUE(created.ok()) << created.error().text();
  EXPECT_THAT(simulator_->storage_cfg(), HasSubstr("zfspool: models"));
  FlatMap<std::string> change;
  change.set("sparse", "1");
  const std::string digest = client_->storages()->digest;
  ASSERT_TRUE(client_->update_storage("models", change, {}, digest).ok());
  EXPECT_EQ(client_->update_storage("models", {}, {"sparse"}, digest).error().kind, ErrorKind::kConflict);
  EXPECT_EQ(client_->create_storage("models", "zfspool", properties).error().kind, ErrorKind::kRejected);

  ASSERT_TRUE(client_->create_pool("lease", "{\"a\": 1}").ok());
  EXPECT_EQ(client_->create_pool("lease", "x").error().kind, ErrorKind::kRejected);
  ASSERT_TRUE(client_->update_pool("lease", "y").ok());
  EXPECT_EQ(client_->pools()->at("lease"), "y");
  ASSERT_TRUE(client_->add_to_pool("lease", {101}).ok());
  EXPECT_FALSE(client_->delete_pool("lease").ok());
  ASSERT_TRUE(client_->create_pool("empty", "").ok());
  ASSERT_TRUE(client_->delete_pool("empty").ok());
  EXPECT_FALSE(client_->pools()->contains("empty"));

  FlatMap<std::string> state;
  state.set("state", "stopped");
  ASSERT_TRUE(client_->create_ha("vm:101", state).ok());
  state.set("state", "started");
  ASSERT_TRUE(client_->update_ha("vm:101", state, {}, client_->ha_resources()->digest).ok());
  EXPECT_EQ(client_->ha_resources()->resources.size(), 2U);
  ASSERT_TRUE(client_->delete_ha("vm:101").ok());
  EXPECT_EQ(client_->ha_resources()->resources.size(), 1U);

  FlatMap<std::string> job;
  job.set("schedule", "*/30");
  const Status replicated = client_->create_replication("100-0", "n2", job);
  ASSERT_TRUE(replicated.ok()) << replicated.error().text();
  job.set("schedule", "*/5");
  ASSERT_TRUE(client_->update_replication("100-0", job, "").ok());
  const auto jobs = client_->replication_jobs();
  ASSERT_TRUE(jobs.ok());
  ASSERT_EQ(jobs->size(), 1U);
  EXPECT_EQ(jobs->front().guest, Vmid{100});
  EXPECT_EQ(*jobs->front().properties.find("schedule"), "*/5");
}

TEST_F(ClientTest, TellsLackingRightsAndLocks) {
  const auto few = make("op@pve!sep", "s-op");
  const auto unseen = few->guest(web_);
  EXPECT_EQ(unseen.error().kind, ErrorKind::kForbidden);
  EXPECT_THAT(unseen.error().message, HasSubstr("VM.Audit"));
  EXPECT_EQ(few->set_config(db_, {{"cores", "2"}}, {}, "").error().kind, ErrorKind::kForbidden);
  EXPECT_EQ(make("op@pve!sep", "wrong")->guests().error().kind, ErrorKind::kUnauthorized);
  simulator_->set_config(101, "lock", "backup");
  const Status locked = client_->set_config(db_, {{"cores", "2"}}, {}, "");
  EXPECT_EQ(locked.error().kind, ErrorKind::kLocked);
  EXPECT_EQ(locked.error().effect, Effect::kNone);
  simulator_->set_quorum(false);
  EXPECT_EQ(client_->create_pool("p2", "").error().kind, ErrorKind::kNoQuorum);
}

TEST_F(ClientTest, ALostAnswerToAWriteIsReportedAndNotRepeated) {
  Fault fault;
  fault.action = FaultAction::kLoseAnswer;
  fault.method = "POST";
  fault.path = "/pools";
  simulator_->add_fault(fault);
  const Status lost = client_->create_pool("once", "c");
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.error().effect, Effect::kPossible);
  EXPECT_TRUE(client_->pools()->contains("once"));
  EXPECT_EQ(client_->request_counts().at({"POST", "/pools"}), 1U);
}

TEST_F(ClientTest, AProxyTimeoutOnAWriteIsReportedAndOnAReadRepeated) {
  for (const char* method : {"PUT", "GET"}) {
    Fault fault;
    fault.action = FaultAction::kProxyError;
    fault.method = method;
    fault.status = 596;
    fault.path = std::string(method) == "PUT" ? "/nodes/n2/qemu/101/config" : "/nodes/n2/qemu/101/pending";
    simulator_->add_fault(fault);
  }
  const Status written = client_->set_config(db_, {{"description", "done"}}, {}, "");
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().kind, ErrorKind::kTimeout);
  EXPECT_EQ(written.error().effect, Effect::kPossible);
  const auto seen = client_->guest(db_);
  ASSERT_TRUE(seen.ok());
  EXPECT_EQ(seen->options.find("description")->current, "done");
  EXPECT_EQ(client_->request_counts().at({"GET", "/nodes/{node}/qemu/{vmid}/pending"}), 2U);
}

TEST_F(ClientTest, AnotherNodeAnswersWhenOneIsDown) {
  simulator_->node_down("n1");
  const auto status = client_->cluster_status();
  ASSERT_TRUE(status.ok()) << status.error().text();
  EXPECT_FALSE(status->nodes[0].online);
  const auto away = client_->guest(web_);
  ASSERT_FALSE(away.ok());
  EXPECT_EQ(away.error().effect, Effect::kNone);
}

/// Answers every request with the same body: for lists that the simulated cluster always has empty.
class Canned final : public HttpTransport {
 public:
  explicit Canned(std::string body) : body_(std::move(body)) {}
  [[nodiscard]] Result<HttpResponse> send(const std::string&, const HttpRequest& request) override {
    if (request.method != "GET" || request.path != "/api2/json/cluster/backup")
      return HttpResponse{.status = 501, .reason = "Method not implemented", .body = "{}"};
    return HttpResponse{.status = 200, .reason = "OK", .body = body_};
  }

 private:
  std::string body_;
};

Result<std::vector<BackupJob>> jobs_of(SimulatedClock& clock, std::string body) {
  ConnectionOptions options;
  options.endpoints = {"https://n1:8006"};
  options.token_id = "root@pam!ci";
  options.token_secret = Secret("s-root");
  PveClient client(std::move(options), std::make_unique<Canned>(std::move(body)), clock, std::stop_token());
  return client.backup_jobs();
}

// Fact: rows of jobs.cfg as GET /cluster/backup shows them; a list of vmids is one text, flags are 0 and 1, and a job
// that is enabled need not say so.
TEST_F(ClientTest, ReadsTheBackupJobs) {
  const auto jobs = jobs_of(clock_, R"({"data": [
    {"id": "backup-b", "type": "vzdump", "enabled": 0, "all": 1, "exclude": "900,901", "node": "n2", "mode": "stop",
     "compress": "zstd", "storage": "pbs", "schedule": "sun 01:00", "notes-template": "{{guestname}}"},
    {"id": "backup-a", "type": "vzdump", "vmid": "100, 101;x,102", "mode": "snapshot", "storage": "local",
     "schedule": "21:00", "prune-backups": {"keep-last": "3"}},
    {"id": "backup-c", "type": "vzdump", "enabled": "1", "pool": "prod", "storage": "pbs"}]})");
  ASSERT_TRUE(jobs.ok()) << jobs.error().text();
  ASSERT_EQ(jobs->size(), 3U);
  const BackupJob& a = jobs->at(0);
  EXPECT_EQ(a.id, "backup-a");
  EXPECT_TRUE(a.enabled);
  EXPECT_FALSE(a.all);
  EXPECT_THAT(a.vmids, ElementsAre(Vmid{100}, Vmid{101}, Vmid{102}));
  EXPECT_EQ(a.mode, "snapshot");
  const BackupJob& b = jobs->at(1);
  EXPECT_FALSE(b.enabled);
  EXPECT_TRUE(b.all);
  EXPECT_THAT(b.exclude, ElementsAre(Vmid{900}, Vmid{901}));
  EXPECT_EQ(b.node, "n2");
  EXPECT_EQ(b.compress, "zstd");
  EXPECT_EQ(b.storage, "pbs");
  EXPECT_TRUE(jobs->at(2).enabled);
  EXPECT_EQ(jobs->at(2).pool, "prod");
  EXPECT_FALSE(jobs_of(clock_, R"({"data": {"id": "backup-a"}})").ok());
}

TEST_F(ClientTest, ReadsTheClockOfANode) {
  const auto time = client_->node_time("n1");
  ASSERT_TRUE(time.ok()) << time.error().text();
  EXPECT_EQ(std::chrono::system_clock::time_point(std::chrono::seconds(*time)),
            std::chrono::floor<std::chrono::seconds>(clock_.wall()));
}

}  // namespace
}  // namespace pvr
