#include "reconciler/observe/observe.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "providers/pve/pve_client.h"
#include "reconciler/observe/parallel.h"
#include "tests/support/simulated_transport.h"

namespace pvr {
namespace {

using pvesim::Fault;
using pvesim::FaultAction;
using pvesim::Simulator;
using pvr::testing::SimulatedClock;
using pvr::testing::SimulatedTransport;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kCluster = R"(
cluster: {name: lab, seed: 5}
users:
  - {name: root@pam, password: secret, tokens: [{id: ci, secret: s-root, privsep: false}]}
  - {name: op@pve, password: operator, tokens: [{id: few, secret: s-op, privsep: false}]}
acl:
  - {path: /, user: op@pve, role: PVEAuditor}
  - {path: /vms/101, user: op@pve, role: NoAccess}
nodes:
  n1:
    cpu: 8
    memory: 16GiB
    pools: {tank: {size: 1TiB, layout: mirror, media: ssd}}
    disks: [{devpath: /dev/sda, type: ssd, serial: tank-0}, {devpath: /dev/sdb, type: ssd, serial: tank-1}]
  n2: {cpu: 8, memory: 16GiB, pools: {tank: {size: 1TiB, layout: mirror, media: ssd}}}
storages:
  tank: {type: zfspool, pool: tank, nodes: "n1,n2", sparse: 1, content: "images,rootdir", blocksize: 16k}
  other: {type: dir, path: /srv/other, content: images}
vms:
  100:
    node: n1
    status: running
    config: {name: web, cores: 2, memory: 2048, scsihw: virtio-scsi-single, scsi0: "tank:vm-100-disk-0,size=8G", net0: "virtio=BC:24:11:00:00:01,bridge=vmbr0"}
  101: {node: n2, config: {name: db, memory: 1024, scsi0: "tank:vm-101-disk-0,size=4G"}}
  102: {node: n1, config: {name: foreign, memory: 512, scsi0: "other:102/vm-102-disk-0.raw,size=1G"}}
  900: {node: n1, template: true, config: {name: tpl, memory: 512, scsi0: "tank:base-900-disk-0,size=2G"}}
ha: {resources: {"vm:100": {state: started}}}
pools: {prod: {comment: p, vms: [100]}}
)";

class ObserveTest : public ::testing::Test {
 protected:
  ObserveTest()
      : simulator_(Simulator::from_text(kCluster, {.manual_clock = true, .clock_scale = {}, .seed = {}})),
        clock_(*simulator_) {}

  std::unique_ptr<PveClient> client(const std::string& id = "root@pam!ci", const std::string& secret = "s-root") {
    ConnectionOptions options;
    options.endpoints = {"https://n1:8006"};
    options.token_id = id;
    options.token_secret = Secret(secret);
    auto transport = std::make_unique<SimulatedTransport>(
        *simulator_, std::map<std::string, std::string>{{"https://n1:8006", "n1"}});
    return std::make_unique<PveClient>(std::move(options), std::move(transport), clock_, std::stop_token());
  }
  LiveState look(const Scope& scope, PveClient& client) {
    Result<LiveState> state = observe(scope, client, {.parallelism = 4});
    if (!state) throw std::runtime_error(state.error().text());
    return std::move(state).value();
  }
  LiveState look(const Scope& scope) {
    const auto reader = client();
    return look(scope, *reader);
  }

  std::unique_ptr<Simulator> simulator_;
  SimulatedClock clock_;
};

const Scope kFleet{.vmids = {{100}, {101}}, .templates = {"tpl"}, .storages = {"tank"}};

TEST_F(ObserveTest, SeesWhatTheFleetNames) {
  const LiveState state = look(kFleet);
  EXPECT_EQ(state.cluster_name, "lab");
  EXPECT_FALSE(state.partial);
  EXPECT_THAT(state.gaps, IsEmpty());
  const LiveVm* web = state.vm({100});
  ASSERT_NE(web, nullptr);
  EXPECT_EQ(web->power, PowerState::kRunning);
  EXPECT_EQ(web->pool, "prod");
  EXPECT_FALSE(web->digest.empty());
  ASSERT_NE(web->drive({Bus::kScsi, 0}), nullptr);
  EXPECT_EQ(web->drive({Bus::kScsi, 0})->current->volume, (VolumeId{"tank", "vm-100-disk-0"}));
  EXPECT_EQ(web->options.find("cores")->current, "2");
  EXPECT_EQ(state.vm({101})->power, PowerState::kStopped);
  EXPECT_TRUE(state.vm({900})->is_template);
  EXPECT_FALSE(state.vm({900})->drives.empty());  // a clone's source is read in full
  ASSERT_EQ(state.ha.size(), 1U);
  EXPECT_EQ(state.ha[0].sid, "vm:100");
  const LiveStorage* tank = state.storage("tank");
  ASSERT_NE(tank, nullptr);
  EXPECT_EQ(tank->on_node.size(), 2U);
  EXPECT_GT(tank->on_node.at("n1").available.bytes, 0U);
  EXPECT_EQ(tank->media, Media::kSsd);
  ASSERT_EQ(state.node("n1")->zpools.size(), 1U);
  // Both nodes have a pool of that name, so their volumes are told apart.
  EXPECT_EQ(state.volumes.size(), 3U);
  for (const LiveVolume& volume : state.volumes)
    EXPECT_EQ(volume.node, volume.id.name == "vm-101-disk-0" ? "n2" : "n1") << volume.id.name;
}

TEST_F(ObserveTest, LeavesTheRestAlone) {
  const LiveState state = look(kFleet);
  const LiveVm* foreign = state.vm({102});
  ASSERT_NE(foreign, nullptr);  // its number is taken
  EXPECT_TRUE(foreign->options.empty());
  EXPECT_TRUE(state.storage("other")->on_node.empty());
  for (const auto& [request, count] : simulator_->request_counts()) EXPECT_EQ(request.first, "GET") << request.second;
}

TEST_F(ObserveTest, CostsOneRequestPerGuestAndAConstant) {
  const auto reader = client();
  simulator_->reset_request_counts();
  look(kFleet, *reader);
  const std::uint64_t two_guests = simulator_->request_count();
  simulator_->reset_request_counts();
  Scope one = kFleet;
  one.vmids.pop_back();
  look(one, *reader);
  // The guest, and, because no other of its node is asked for, who runs there.
  EXPECT_EQ(two_guests - simulator_->request_count(), 2U);
  EXPECT_LE(two_guests, 3U + 20U + 3U * 2U);
}

TEST_F(ObserveTest, StoragesOfTheGuestsCountEvenWhenTheFleetDoesNotNameThem) {
  const LiveState state = look({.vmids = {{102}}});
  EXPECT_FALSE(state.storage("other")->on_node.empty());
  EXPECT_TRUE(std::ranges::any_of(state.volumes, [](const LiveVolume& v) { return v.id.storage == "other"; }));
}

TEST_F(ObserveTest, EverythingForAudit) {
  const LiveState state = look({.all_guests = true});
  EXPECT_FALSE(state.vm({102})->options.empty());
  EXPECT_FALSE(state.storage("other")->on_node.empty());
}

TEST_F(ObserveTest, AnOfflineNodeMakesItPartial) {
  simulator_->node_down("n2");
  const LiveState state = look(kFleet);
  EXPECT_TRUE(state.partial);
  EXPECT_FALSE(state.node("n2")->online);
  EXPECT_FALSE(state.vm({101})->readable);
  EXPECT_THAT(state.vm({101})->problem, HasSubstr("n2"));
  EXPECT_TRUE(state.vm({100})->readable);
  EXPECT_THAT(state.gaps, ::testing::Contains(HasSubstr("\"n2\" is offline")));
  EXPECT_EQ(state.storage("tank")->on_node.count("n2"), 0U);
}

TEST_F(ObserveTest, AMissingPrivilegeIsAGapThatNamesIt) {
  simulator_->add_fault({.action = FaultAction::kStatus,
                         .path = "/nodes/n2/qemu/101/*",
                         .times = 0,
                         .status = 403,
                         .message = "Permission check failed (/vms/101, VM.Audit)"});
  const LiveState state = look(kFleet);
  EXPECT_FALSE(state.vm({101})->readable);
  EXPECT_THAT(state.vm({101})->problem, HasSubstr("VM.Audit"));
  EXPECT_THAT(state.gaps, ::testing::Contains(HasSubstr("VM.Audit")));
  EXPECT_TRUE(state.vm({100})->readable);
  EXPECT_FALSE(state.partial);
}

TEST_F(ObserveTest, AGuestThatIsHiddenIsNotThere) {
  const auto few = client("op@pve!few", "s-op");
  const LiveState state = look(kFleet, *few);
  EXPECT_EQ(state.vm({101}), nullptr);
  EXPECT_NE(state.vm({100}), nullptr);
}

TEST_F(ObserveTest, WithoutTheListsThereIsNoState) {
  const auto nobody = client("root@pam!ci", "wrong");
  const Result<LiveState> state = observe(kFleet, *nobody, {});
  ASSERT_FALSE(state);
  EXPECT_EQ(state.error().kind, ErrorKind::kUnauthorized);
}

TEST_F(ObserveTest, StopsWhenAsked) {
  std::stop_source stop;
  stop.request_stop();
  const auto reader = client();
  simulator_->reset_request_counts();
  const Result<LiveState> state = observe(kFleet, *reader, {.stop = stop.get_token()});
  ASSERT_FALSE(state);
  EXPECT_EQ(state.error().kind, ErrorKind::kInterrupted);
  EXPECT_EQ(simulator_->request_count(), 0U);
}

TEST_F(ObserveTest, TheSameWorldLooksTheSame) {
  const LiveState once = look(kFleet);
  const LiveState again = look(kFleet);
  ASSERT_EQ(once.vms.size(), again.vms.size());
  for (std::size_t i = 0; i < once.vms.size(); ++i) {
    EXPECT_EQ(once.vms[i].digest, again.vms[i].digest);
    EXPECT_EQ(once.vms[i].options, again.vms[i].options);
  }
  EXPECT_EQ(once.gaps, again.gaps);
}

TEST(RunParallel, RunsEveryJobOnceAndNeverMoreThanAllowed) {
  std::atomic<int> done = 0;
  std::atomic<int> now = 0;
  std::atomic<int> most = 0;
  std::vector<std::function<void()>> jobs;
  for (int i = 0; i < 200; ++i) {
    jobs.emplace_back([&] {
      const int running = ++now;
      int seen = most.load();
      while (running > seen && !most.compare_exchange_weak(seen, running)) {
      }
      std::this_thread::yield();
      --now;
      ++done;
    });
  }
  EXPECT_TRUE(run_parallel(jobs, 3, {}));
  EXPECT_EQ(done, 200);
  EXPECT_LE(most, 3);
}

TEST(ScopeOf, NamesGuestsSourcesAndStorages) {
  FleetDocument document;
  document.storages.push_back(
      {.id = "SSD-r10", .classes = {{.name = "models"}, {.name = "db", .id = Spanned<std::string>{"db-store"}}}});
  WrittenLane lane{.name = "pinned"};
  lane.per_node.set("n1", {"local-fast"});
  document.lanes.push_back(lane);
  WrittenVm vm{.name = "a", .vmid = {{201}}, .clone = Spanned<std::string>{"tpl"}};
  WrittenDisk disk{.name = "root"};
  disk.settings.set("storage", {std::string("san")});
  vm.disks.push_back(disk);
  document.vms.push_back(vm);
  const Scope scope = scope_of(document);
  EXPECT_EQ(scope.vmids, std::vector<Vmid>{{201}});
  EXPECT_EQ(scope.templates, std::vector<std::string>{"tpl"});
  EXPECT_EQ(scope.storages, (std::vector<std::string>{"SSD-r10", "SSD-r10-models", "db-store", "local-fast", "san"}));
  EXPECT_FALSE(scope.all_guests);
}

}  // namespace
}  // namespace pvr
