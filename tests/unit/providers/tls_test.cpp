// The client over real TLS against a simulated cluster on loopback.
#include <gtest/gtest.h>

#include <unistd.h>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "providers/pve/pve_client.h"
#include "reconciler/ports/system_clock.h"
#include "simulator/simulator.h"

namespace pvr {
namespace {

using pvesim::Fault;
using pvesim::FaultAction;
using pvesim::Simulator;

constexpr const char* kCluster = R"(
cluster: {name: lab, seed: 3, clock_scale: 1000}
users:
  - {name: root@pam, password: "se=cr;et&+", tokens: [{id: ci, secret: s-root, privsep: false}]}
nodes: {n1: {pools: {tank: {size: 1TiB}}}, n2: {}}
storages: {tank: {type: zfspool, pool: tank, nodes: n1, sparse: 1, content: "images,rootdir"}}
vms:
  100: {node: n1, config: {name: web, cores: 2, memory: 2048, scsi0: "tank:vm-100-disk-0,size=8G"}}
)";

class TlsTest : public ::testing::Test {
 protected:
  TlsTest() : simulator_(Simulator::from_text(kCluster)) { simulator_->listen({.per_node = true}); }
  ~TlsTest() override {
    client_.reset();
    simulator_->stop();
  }
  ConnectionOptions options(const std::vector<std::string>& nodes = {"n1"}) {
    ConnectionOptions made;
    for (const std::string& node : nodes) {
      made.endpoints.push_back(simulator_->url(node));
      made.fingerprints.push_back(*normal_fingerprint(simulator_->fingerprint(node)));
    }
    made.token_id = "root@pam!ci";
    made.token_secret = Secret("s-root");
    made.read_timeout = std::chrono::seconds(20);
    return made;
  }
  PveClient& connect(ConnectionOptions made) {
    client_ = std::make_unique<PveClient>(std::move(made), clock_, stop_.get_token());
    return *client_;
  }
  std::unique_ptr<Simulator> simulator_;
  SystemClock clock_;
  std::stop_source stop_;
  std::unique_ptr<PveClient> client_;
};

TEST_F(TlsTest, ATokenReadsAndWritesOverKeptConnections) {
  PveClient& pve = connect(options());
  const auto vm = pve.guest({"n1", {100}});
  ASSERT_TRUE(vm.ok()) << vm.error().text();
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(pve.guests().ok());
  EXPECT_EQ(simulator_->accepted_connections(), 1U);
  ASSERT_TRUE(pve.set_config({"n1", {100}}, {{"description", "a=b;c+d&e %"}}, {}, vm->digest).ok());
  EXPECT_EQ(pve.guest({"n1", {100}})->options.find("description")->current, "a=b;c+d&e %");
  EXPECT_FALSE(pve.set_config({"n1", {100}}, {{"cores", "4"}}, {}, vm->digest).ok());
  ASSERT_TRUE(pve.create_pool("p", "").ok());
  ASSERT_TRUE(pve.delete_pool("p").ok());
}

TEST_F(TlsTest, ConnectionsEndBeforeTheServerEndsThem) {
  PveClient& pve = connect(options());
  for (int i = 0; i < 95; ++i) ASSERT_TRUE(pve.cluster_status().ok());
  EXPECT_EQ(simulator_->accepted_connections(), 2U);
}

TEST_F(TlsTest, APasswordLogsInAndProtectsWrites) {
  ConnectionOptions made = options();
  made.token_id.clear();
  made.user = "root@pam";
  made.password = Secret("se=cr;et&+");
  PveClient& pve = connect(std::move(made));
  ASSERT_TRUE(pve.cluster_status().ok());
  const Status created = pve.create_pool("by-ticket", "");
  ASSERT_TRUE(created.ok()) << created.error().text();
  EXPECT_EQ(pve.request_counts().at({"POST", "/access/ticket"}), 1U);
}

TEST_F(TlsTest, AWrongTokenIsUnauthorizedAndNotNamed) {
  ConnectionOptions made = options();
  made.token_secret = Secret("s-wrong");
  const auto answer = connect(std::move(made)).guests();
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().kind, ErrorKind::kUnauthorized);
  EXPECT_EQ(answer.error().text().find("s-wrong"), std::string::npos);
}

TEST_F(TlsTest, AnUnknownCertificateIsRefusedAndNamed) {
  ConnectionOptions made = options();
  made.fingerprints = {*normal_fingerprint(std::string(64, '0'))};
  const Status written = connect(std::move(made)).create_pool("never", "");
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().kind, ErrorKind::kTls);
  EXPECT_EQ(written.error().effect, Effect::kNone);
  EXPECT_NE(written.error().message.find(*normal_fingerprint(simulator_->fingerprint("n1"))), std::string::npos);
  EXPECT_EQ(simulator_->request_count(), 0U);
}

TEST_F(TlsTest, WithoutAPinTheCertificateMustBeKnown) {
  ConnectionOptions made = options();
  made.fingerprints.clear();
  const auto stranger = connect(made).guests();
  ASSERT_FALSE(stranger.ok());
  EXPECT_EQ(stranger.error().kind, ErrorKind::kTls);
  EXPECT_EQ(simulator_->request_count(), 0U);

  const auto file = std::filesystem::temp_directory_path() / ("pvr-ca-" + std::to_string(::getpid()) + ".pem");
  std::ofstream(file) << simulator_->certificate("n1");
  made.ca_file = file.string();
  const auto known = connect(made).guests();
  EXPECT_TRUE(known.ok()) << known.error().text();
  std::filesystem::remove(file);

  made.ca_file.clear();
  made.insecure = true;
  EXPECT_TRUE(connect(made).guests().ok());
}

TEST_F(TlsTest, AnotherEndpointTakesOver) {
  ConnectionOptions made = options({"n1", "n2"});
  made.endpoints.insert(made.endpoints.begin(), "https://127.0.0.1:1");
  PveClient& pve = connect(std::move(made));
  EXPECT_TRUE(pve.guests().ok());
  const Status created = pve.create_pool("p", "");
  EXPECT_TRUE(created.ok());
  EXPECT_EQ(simulator_->request_counts().at({"POST", "/pools"}), 1U);
}

TEST_F(TlsTest, NobodyThereIsUnreachableWithoutEffect) {
  ConnectionOptions made = options();
  made.endpoints = {"https://127.0.0.1:1"};
  const Status written = connect(std::move(made)).create_pool("p", "");
  EXPECT_EQ(written.error().kind, ErrorKind::kUnreachable);
  EXPECT_EQ(written.error().effect, Effect::kNone);
}

TEST_F(TlsTest, ALostAnswerToAWriteIsPossibleAndSentOnce) {
  Fault fault;
  fault.action = FaultAction::kLoseAnswer;
  fault.method = "POST";
  fault.path = "/pools";
  simulator_->add_fault(fault);
  PveClient& pve = connect(options({"n1", "n2"}));
  ASSERT_TRUE(pve.guests().ok());  // a kept connection is there, and must not be the one that is repeated on
  const Status written = pve.create_pool("once", "");
  ASSERT_FALSE(written.ok());
  EXPECT_EQ(written.error().effect, Effect::kPossible);
  EXPECT_TRUE(pve.pools()->contains("once"));
  EXPECT_EQ(simulator_->request_counts().at({"POST", "/pools"}), 1U);
}

TEST_F(TlsTest, ALostAnswerToAReadIsAskedForAgain) {
  Fault fault;
  fault.action = FaultAction::kLoseAnswer;
  fault.path = "/pools";
  simulator_->add_fault(fault);
  const auto pools = connect(options()).pools();
  EXPECT_TRUE(pools.ok()) << pools.error().text();
}

TEST_F(TlsTest, ManyThreadsShareFewConnections) {
  ConnectionOptions made = options();
  made.connections_per_endpoint = 3;
  PveClient& pve = connect(std::move(made));
  std::atomic<int> good = 0;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] {
        for (int n = 0; n < 10; ++n) good += pve.guest({"n1", {100}}).ok() ? 1 : 0;
      });
    }
  }
  EXPECT_EQ(good, 80);
  EXPECT_LE(simulator_->accepted_connections(), 3U);
}

TEST_F(TlsTest, StoppingSendsNothingMore) {
  PveClient& pve = connect(options());
  stop_.request_stop();
  const Status written = pve.create_pool("p", "");
  EXPECT_EQ(written.error().kind, ErrorKind::kInterrupted);
  EXPECT_EQ(written.error().effect, Effect::kNone);
  EXPECT_EQ(simulator_->request_count(), 0U);
}

}  // namespace
}  // namespace pvr
