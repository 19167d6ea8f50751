// Whole runs: from a fleet to another volblocksize, on real zvols. PVE's API is the simulator, whose zvols are the
// lab's. What counts at the end is what sha256sum says of the real zvols.

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "tests/lab/lab.h"
#include "tests/lab/lab_cluster.h"

namespace pvr::lab {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kCluster = R"(
cluster: {name: lab, seed: 7}
users:
  - {name: root@pam, password: secret, tokens: [{id: ci, secret: s-root, privsep: false}]}
nodes:
  zfslab: {cpu: 2, memory: 3GiB, pools: {tank: {size: 7GiB, layout: mirror}, rz1: {size: 15GiB, layout: raidz, disks: 3}}}
storages:
  z16: {type: zfspool, pool: tank/pve/z16, blocksize: 16k, sparse: 1, content: "images,rootdir"}
  STAGING
vms:
  120:
    node: zfslab
    status: running
    config: {name: app, cores: 1, memory: 512, scsihw: virtio-scsi-single, boot: "order=scsi0",
             scsi0: "z16:vm-120-disk-0,size=8M", scsi1: "z16:vm-120-disk-1,size=32M"}
  121:
    node: zfslab
    config: {name: db, cores: 1, memory: 512, scsihw: virtio-scsi-single, boot: "order=scsi0",
             scsi0: "z16:vm-121-disk-0,discard=on,size=32M"}
)";
constexpr const char* kFleet = R"(
version: 1
storages:
  z16: {type: zfspool, pool: tank/pve/z16, blocksize: BLOCK, sparse: true, content: [images, rootdir], media: ssd CLASSES}
  STAGING
lanes: {pinned: {zfslab: z16}}
vms:
  GUEST
)";

std::string replaced(std::string text, std::string_view what, std::string_view by) {
  const auto at = text.find(what);
  return at == std::string::npos ? text : text.replace(at, what.size(), by);
}

/// One strategy, and the situation in which it is the cheapest.
struct Way {
  const char* name = "";
  Strategy strategy = {};
  int vmid = 120;
  const char* slot = "scsi1";
  Allowance allow = {};
  const char* staging = "";   // one more storage of the cluster
  const char* declared = "";  // …as the fleet states it
  const char* classes = "";
  const char* guest = "";
  bool storage_changed = false;  // new zvols on z16 get 64k, only the disks are older

  [[nodiscard]] std::string cluster() const { return replaced(kCluster, "STAGING", staging); }
  [[nodiscard]] std::string fleet() const {
    std::string text = replaced(kFleet, "BLOCK", storage_changed ? "64k" : "16k");
    text = replaced(std::move(text), "STAGING", declared);
    return replaced(replaced(std::move(text), "CLASSES", classes), "GUEST", guest);
  }
};
void PrintTo(const Way& way, std::ostream* out) { *out << way.name; }

constexpr const char* kApp =
    "app: {vmid: 120, node: zfslab, disks: {data: {slot: scsi1, size: 32MiB, storage: z16, volblocksize: 64k}}}";
const Way kWays[] = {
    {.name = "InPlace",
     .strategy = Strategy::kInPlace,
     .vmid = 121,
     .slot = "scsi0",
     .allow = {.restart = true, .offline_copy = true},
     .guest =
         "db: {vmid: 121, node: zfslab, disks: {root: {slot: scsi0, size: 32MiB, storage: z16, volblocksize: 64k}}}"},
    {.name = "Swap",
     .strategy = Strategy::kSwap,
     .allow = {.restart = true},
     .staging = R"(z64: {type: zfspool, pool: tank/pve/z64, blocksize: 64k, sparse: 1, content: "images,rootdir"})",
     .guest = kApp},
    {.name = "OutAndBack",
     .strategy = Strategy::kOutAndBack,
     .allow = {},
     .staging = R"(other: {type: zfspool, pool: rz1/pve/other, blocksize: 16k, sparse: 1, content: "images,rootdir"})",
     .declared =
         "other: {type: zfspool, pool: rz1/pve/other, blocksize: 16k, sparse: true, content: [images, rootdir]}",
     .guest = kApp,
     .storage_changed = true},
    {.name = "ClassMove",
     .strategy = Strategy::kClassMove,
     .allow = {},
     .classes = ", classes: {big: {blocksize: 64k}}",
     .guest =
         "app: {vmid: 120, node: zfslab, lane: pinned, disks: {data: {slot: scsi1, size: 32MiB, volblocksize: 64k}}}"},
};

class Strategies : public OnLab, public ::testing::WithParamInterface<Way> {
 protected:
  /// A cluster as it was before anything, and the checksum of the disk that is to change.
  void begin() {
    cluster_ = std::make_unique<LabCluster>(GetParam().cluster(), std::getenv("PVERECONCILE_LAB_SSH"));
    cluster_->set_up();
    if (GetParam().storage_changed) {
      EXPECT_EQ(cluster_->sim().admin_call("PUT", "/storage/z16", {{"blocksize", "64k"}}).status, 200);
    }
    for (const auto& [vmid, slot] : kDisks) sums_[{vmid, slot}] = cluster_->checksum(cluster_->zvol_of(vmid, slot));
  }
  Plan plan(ByteRate copy_rate = {}) { return cluster_->plan(GetParam().fleet(), GetParam().allow, copy_rate); }

  /// Whatever happened: some zvol of the real node holds the whole disk.
  void expect_a_copy(const std::string& when) {
    const std::string& wanted = sums_.at({GetParam().vmid, GetParam().slot});
    std::istringstream all(cluster_->real_zvols());
    for (std::string line; std::getline(all, line);) {
      const std::string name = line.substr(0, line.find('\t'));
      if (line.find("\t33554432\t") != std::string::npos && cluster_->checksum(name) == wanted) return;
    }
    ADD_FAILURE() << when << ": no zvol holds the disk any more\n" << cluster_->real_zvols();
  }
  /// Runs until nothing is left to do, as the next runs of the program would.
  void converge(const std::string& when) {
    cluster_->let_time_pass();
    for (int attempt = 0; attempt < 3; ++attempt) {
      const Plan next = plan();
      if (next.empty()) break;
      const ApplyReport report = cluster_->apply(next);
      for (const OperationReport& one : report.operations)
        EXPECT_TRUE(one.outcome == Outcome::kDone || one.outcome == Outcome::kAlready) << when << ": " << one.detail;
      if (HasFailure()) return;
    }
    const Plan last = plan();
    EXPECT_TRUE(last.empty()) << when << ": " << last.operations.size() << " operations, " << last.blocked.size()
                              << " blocked" << (last.blocked.empty() ? "" : ": " + last.blocked[0].why);
  }
  void expect_finished(const std::string& when) {
    for (const auto& [vmid, slot] : kDisks)
      EXPECT_EQ(cluster_->checksum(cluster_->zvol_of(vmid, slot)), sums_.at({vmid, slot})) << when << ": " << slot;
    const std::string changed = cluster_->zvol_of(GetParam().vmid, GetParam().slot);
    EXPECT_EQ(shell("zfs get -Hp -o value volblocksize,readonly " + changed), "65536\noff\n") << when;
    EXPECT_EQ(cluster_->real_zvols(), cluster_->simulated_zvols()) << when;
    EXPECT_THAT(cluster_->real_zvols(), Not(HasSubstr("pvereconcile-new-"))) << when;
    EXPECT_TRUE(cluster_->sim().vm_running(120)) << when;
    EXPECT_EQ(cluster_->sim().vm_running(121), false) << when;
    EXPECT_THAT(cluster_->sim().unreferenced_disks(), ::testing::IsEmpty()) << when;
  }

  static constexpr std::array<std::pair<int, const char*>, 3> kDisks = {
      {{120, "scsi0"}, {120, "scsi1"}, {121, "scsi0"}}};
  std::unique_ptr<LabCluster> cluster_;
  std::map<std::pair<int, std::string>, std::string> sums_;
};

TEST_P(Strategies, TheDiskHasItsBlocksAndEveryByte) {
  begin();
  const Plan first = plan();
  ASSERT_EQ(first.choices.size(), 1U);
  for (const StrategyOffer& offer : first.choices[0].offers)
    EXPECT_EQ(offer.chosen, offer.strategy == GetParam().strategy) << to_text(offer.strategy) << ": " << offer.why;
  const ApplyReport report = cluster_->apply(first);
  for (const OperationReport& one : report.operations) EXPECT_EQ(one.outcome, Outcome::kDone) << one.detail;
  EXPECT_EQ(report.stopped_by, "");
  expect_finished("at the end");
  const Plan second = plan();
  EXPECT_TRUE(second.empty()) << second.operations.size();
}

// The client is killed right after one of its effects, one after the other. PVERECONCILE_LAB_KILLS=N,M: only after
// these.
TEST_P(Strategies, KilledAfterAnyEffectTheNextRunConverges) {
  begin();
  ASSERT_TRUE(cluster_->apply(plan()).all_done());
  const int effects = cluster_->effects();
  ASSERT_GT(effects, 1);
  const char* only = std::getenv("PVERECONCILE_LAB_KILLS");
  for (int nth = 1; nth <= effects; ++nth) {
    if (only != nullptr && fmt::format(",{},", only).find(fmt::format(",{},", nth)) == std::string::npos) continue;
    const std::string when = fmt::format("killed after effect {} of {}", nth, effects);
    begin();
    static_cast<void>(cluster_->apply(plan(), {.nth = nth}));
    expect_a_copy(when);
    converge(when);
    expect_finished(when);
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Lab, Strategies, ::testing::ValuesIn(kWays),
                         [](const auto& which) { return std::string(which.param.name); });

/// The copy in place, and what may befall the node.
class InPlaceOnLab : public Strategies {
 protected:
  static constexpr ByteRate kSlow{2U << 20U};
  /// As if somebody had pressed the button: scripts/lab reset.
  void reset() {
    const char* command = std::getenv("PVERECONCILE_LAB_RESET");
    ASSERT_NE(command, nullptr);
    ASSERT_EQ(std::system(command), 0);  // NOLINT(cert-env33-c,concurrency-mt-unsafe): the test's own script
  }
  void befall(const Doom& doom, const std::string& when) {
    begin();
    const ApplyReport report = cluster_->apply(plan(kSlow), doom);
    EXPECT_FALSE(report.all_done()) << when;
    expect_a_copy(when);
    converge(when);
    expect_finished(when);
  }
};

TEST_P(InPlaceOnLab, KillOfTheCopyProgram) {
  befall({.in_the_copy = [&] { shell("kill -9 $(pgrep -o -f '^perl - copy')"); }}, "the program was killed");
}

TEST_P(InPlaceOnLab, KillOfTheClientAndItsConnectionDuringTheCopy) {
  befall({.dies_in_the_copy = true}, "the client was killed");
}

TEST_P(InPlaceOnLab, ResetOfTheNodeDuringTheCopy) {
  befall({.in_the_copy = [&] { reset(); }, .dies_in_the_copy = true}, "the node was reset in the copy");
}

// After every effect: a client that was killed and a node that lost its power.
TEST_P(InPlaceOnLab, ResetOfTheNodeAfterAnyEffect) {
  begin();
  ASSERT_TRUE(cluster_->apply(plan()).all_done());
  const int effects = cluster_->effects();
  const char* only = std::getenv("PVERECONCILE_LAB_KILLS");
  for (int nth = 1; nth <= effects; ++nth) {
    if (only != nullptr && fmt::format(",{},", only).find(fmt::format(",{},", nth)) == std::string::npos) continue;
    befall({.nth = nth, .with_it = [&] { reset(); }}, fmt::format("reset after effect {} of {}", nth, effects));
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(Lab, InPlaceOnLab, ::testing::Values(kWays[0]),
                         [](const auto& which) { return std::string(which.param.name); });

}  // namespace
}  // namespace pvr::lab
