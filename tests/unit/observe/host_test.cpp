#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "providers/host/host_zfs.h"
#include "providers/pve/pve_client.h"
#include "reconciler/model/facts.h"
#include "reconciler/observe/observe.h"
#include "tests/support/simulated_runner.h"
#include "tests/support/simulated_transport.h"

namespace pvr {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kCluster = R"(
cluster: {name: lab, seed: 5}
users:
  - {name: root@pam, password: secret, tokens: [{id: ci, secret: s-root, privsep: false}]}
nodes:
  n1:
    zfs: 2.3.9
    pools: {tank: {size: 1TiB, layout: raidz2, disks: 6, media: hdd, datasets: [tank/dir]}}
    filesystems: {/srv/zfs: {type: zfs, dataset: tank/dir}}
  n2: {zfs: 2.2.7, pools: {tank: {size: 1TiB, layout: raidz2, disks: 6, media: hdd}}}
storages:
  tank: {type: zfspool, pool: tank, sparse: 1, content: "images,rootdir", blocksize: 16k}
  plain: {type: dir, path: /srv/plain, content: images, nodes: n1}
  below: {type: dir, path: /srv/zfs/images, content: images, nodes: n1}
  mixed: {type: dir, path: /srv/zfs, content: images}
vms:
  100: {node: n1, config: {name: web, memory: 2048, scsi0: "tank:vm-100-disk-0,size=8G"},
        zvols: {vm-100-disk-0: {volblocksize: 8k, refreservation: auto}}}
  101: {node: n2, config: {name: db, memory: 1024, scsi0: "tank:vm-101-disk-0,size=4G"}}
)";

class ObserveHosts : public ::testing::Test {
 protected:
  ObserveHosts() {
    ConnectionOptions options;
    options.endpoints = {"https://n1:8006"};
    options.token_id = "root@pam!ci";
    options.token_secret = Secret("s-root");
    client_ =
        std::make_unique<PveClient>(std::move(options),
                                    std::make_unique<testing::SimulatedTransport>(
                                        *simulator_, std::map<std::string, std::string>{{"https://n1:8006", "n1"}}),
                                    clock_, std::stop_token());
  }
  LiveState look(ZfsReader* zfs) {
    auto live = observe({.all_guests = true}, *client_, {.now = clock_.wall(), .zfs = zfs});
    EXPECT_TRUE(live.ok()) << live.error().text();
    return live.ok() ? std::move(live).value() : LiveState{};
  }
  static const LiveVolume* volume(const LiveState& live, const std::string& name) {
    const auto at = std::ranges::find(live.volumes, name, [](const LiveVolume& one) { return one.id.name; });
    return at == live.volumes.end() ? nullptr : &*at;
  }

  std::unique_ptr<pvesim::Simulator> simulator_ = pvesim::Simulator::from_text(kCluster, {.manual_clock = true});
  testing::SimulatedClock clock_{*simulator_};
  testing::SimulatedRunner runner_{*simulator_};
  HostZfs zfs_{runner_, clock_, {}};
  std::unique_ptr<PveClient> client_;
};

TEST_F(ObserveHosts, TellWhatTheApiCannot) {
  const LiveState live = look(&zfs_);
  EXPECT_THAT(live.gaps, IsEmpty());
  EXPECT_EQ(runner_.round_trips(), 2) << "one for each node";
  ASSERT_EQ(live.hosts.size(), 2U);
  ASSERT_NE(live.host("n2"), nullptr);
  EXPECT_EQ(live.host("n2")->zfs_version, "2.2.7");
  const LiveVolume* web = volume(live, "vm-100-disk-0");
  ASSERT_NE(web, nullptr);
  EXPECT_EQ(web->volblocksize, 8_KiB);
  EXPECT_GT(web->refreservation, 8_GiB);
  EXPECT_EQ(volume(live, "vm-101-disk-0")->refreservation, ByteSize{0});
  EXPECT_EQ(live.storage("plain")->backing, StorageKind::kFile);
  EXPECT_EQ(live.storage("below")->backing, StorageKind::kZfsFile);
  EXPECT_EQ(live.storage("mixed")->backing, StorageKind::kZfsFile) << "one node has it on ZFS: the safe side";
  EXPECT_EQ(live.storage("tank")->media, Media::kHdd);

  const Facts facts = gather_facts({}, &live);
  EXPECT_EQ(facts.zfs_major, 2);
  EXPECT_EQ(facts.zfs_minor, 2) << "the oldest counts";
  EXPECT_EQ(facts.storages.at("plain").kind, StorageKind::kFile);
  EXPECT_FALSE(facts.storages.at("plain").backing_assumed);
  EXPECT_EQ(facts.storages.at("tank").parity, 2);
}

TEST_F(ObserveHosts, WithoutHostAccessNothingOfItIsThere) {
  const LiveState live = look(nullptr);
  EXPECT_TRUE(live.hosts.empty());
  EXPECT_EQ(volume(live, "vm-100-disk-0")->volblocksize, std::nullopt);
  EXPECT_EQ(live.storage("plain")->backing, std::nullopt);
  EXPECT_EQ(gather_facts({}, &live).zfs_major, 0);
}

TEST_F(ObserveHosts, ANodeThatCannotBeReachedIsAGap) {
  simulator_->add_fault({.action = pvesim::FaultAction::kHostRefuse, .path = "sh", .nth = 2});
  const LiveState live = look(&zfs_);
  ASSERT_EQ(live.gaps.size(), 1U);
  EXPECT_THAT(live.gaps.front(), HasSubstr("is not read over ssh"));
  EXPECT_FALSE(live.partial);
  EXPECT_EQ(live.hosts.size(), 2U);
  EXPECT_EQ((live.host("n1") == nullptr) + (live.host("n2") == nullptr), 1);
  EXPECT_EQ(live.storage("mixed")->backing,
            live.host("n1") != nullptr ? std::optional(StorageKind::kZfsFile) : std::nullopt);
}

TEST_F(ObserveHosts, AStatedFactThatIsNotSoIsTold) {
  const LiveState live = look(&zfs_);
  FleetDocument document;
  WrittenStorage below{.id = "below", .type = {.value = "dir"}, .reference_only = true};
  below.backing = {.value = StorageKind::kFile};
  WrittenStorage tank{.id = "tank", .type = {.value = "zfspool"}, .reference_only = true};
  tank.media = {.value = Media::kHdd};
  document.storages = {below, tank};
  const Facts facts = gather_facts(document, &live);
  ASSERT_EQ(facts.contradictions.size(), 1U);
  EXPECT_EQ(facts.contradictions.front().severity, Severity::kWarning);
  EXPECT_THAT(facts.contradictions.front().detail, HasSubstr("\"below\""));
  EXPECT_EQ(facts.storages.at("below").kind, StorageKind::kFile) << "what is stated is used";
}

}  // namespace
}  // namespace pvr
