// The host access and the copy program on real OpenZFS, over real ssh.

#include <gmock/gmock.h>

#include <stop_token>
#include <string>
#include <thread>

#include "tests/lab/lab.h"

namespace pvr::lab {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr ByteSize kSize{64ULL << 20U};

class HostZfsOnLab : public OnLab {
 protected:
  void SetUp() override {
    OnLab::SetUp();
    if (IsSkipped()) return;
    remove();
    ASSERT_TRUE(zfs_.create_dataset(kNode, "tank/host", {}).ok());
  }
  void TearDown() override {
    if (!IsSkipped()) remove();
  }
  /// Whatever an earlier run left. Fact: a volume is busy for a moment while udev looks at it.
  void remove() {
    shell(
        "for n in 1 2 3 4 5 6 7 8 9 10; do udevadm settle; zfs list tank/host >/dev/null 2>&1 || exit 0; "
        "zfs destroy -r tank/host 2>/dev/null && exit 0; sleep 1; done; exit 1");
  }
  void create(const std::string& name, ByteSize block) {
    const Status made = zfs_.create_zvol(kNode, {.name = name, .size = kSize, .volblocksize = block});
    ASSERT_TRUE(made.ok()) << made.error().text();
  }
  LiveDataset dataset(const std::string& name) {
    const auto found = zfs_.dataset(kNode, name);
    EXPECT_TRUE(found.ok()) << found.error().text();
    return found.ok() && *found ? **found : LiveDataset{};
  }
  std::string checksum(const std::string& volume) {
    return shell("dd if=/dev/zvol/" + volume + " bs=1M iflag=direct status=none | sha256sum").substr(0, 64);
  }
};

TEST_F(HostZfsOnLab, ReadsTheNode) {
  create("tank/host/a", 16_KiB);
  const auto host = zfs_.host(kNode);
  ASSERT_TRUE(host.ok()) << host.error().text();
  EXPECT_THAT(host->zfs_version, ::testing::MatchesRegex("2\\.[3-9]\\.[0-9]+.*"));
  EXPECT_GT(host->memory.bytes, 1ULL << 30U);
  ASSERT_NE(host->zpool("tank"), nullptr);
  ASSERT_EQ(host->zpool("tank")->vdevs.size(), 1U);
  EXPECT_EQ(host->zpool("tank")->vdevs[0].kind, "mirror");
  EXPECT_EQ(host->zpool("tank")->vdevs[0].ashift, 12U);
  EXPECT_EQ(host->zpool("tank")->vdevs[0].devices.size(), 2U);
  EXPECT_EQ(host->zpool("tank")->health, "ONLINE");
  ASSERT_NE(host->zpool("rz2"), nullptr);
  EXPECT_EQ(host->zpool("rz2")->vdevs[0].kind, "raidz2");
  EXPECT_EQ(host->zpool("rz2")->vdevs[0].devices.size(), 4U);
  ASSERT_NE(host->dataset("tank/host/a"), nullptr);
  EXPECT_EQ(host->dataset("tank/host/a")->bytes("volblocksize"), 16_KiB);
  EXPECT_EQ(host->dataset("tank/host/a")->bytes("refreservation"), ByteSize{});
  EXPECT_THAT(host->tools, Contains("perl"));
}

TEST_F(HostZfsOnLab, ChangesWhatItIsToldTo) {
  create("tank/host/a", 16_KiB);
  FlatMap<std::string> set;
  set.set("refreservation", "auto");
  set.set("compression", "zstd");
  set.set("pvereconcile:vmid", "701");
  ASSERT_TRUE(zfs_.set_properties(kNode, "tank/host/a", set).ok());
  EXPECT_GT(dataset("tank/host/a").bytes("refreservation").value_or(ByteSize{}), kSize);
  EXPECT_EQ(dataset("tank/host/a").text("compression"), "zstd");
  const std::string* vmid = dataset("tank/host/a").marks.find("vmid");
  ASSERT_NE(vmid, nullptr);
  EXPECT_EQ(*vmid, "701");

  ASSERT_TRUE(zfs_.snapshot(kNode, "tank/host/a", "before").ok());
  EXPECT_THAT(dataset("tank/host/a").snapshots, ElementsAre("before"));
  ASSERT_TRUE(zfs_.rename(kNode, "tank/host/a", "tank/host/b").ok());
  const std::string guid(dataset("tank/host/b").text("guid"));
  EXPECT_EQ(zfs_.destroy(kNode, "tank/host/b", guid).error().kind, ErrorKind::kRejected);  // it has a snapshot
  ASSERT_TRUE(zfs_.destroy_snapshot(kNode, "tank/host/b", "before").ok());
  EXPECT_EQ(zfs_.destroy(kNode, "tank/host/b", "1").error().kind, ErrorKind::kConflict);
  ASSERT_TRUE(zfs_.destroy(kNode, "tank/host/b", guid).ok());
  const auto gone = zfs_.dataset(kNode, "tank/host/b");
  ASSERT_TRUE(gone.ok());
  EXPECT_FALSE(gone->has_value());
}

TEST_F(HostZfsOnLab, AVolumeInUseIsNotRenamed) {
  create("tank/host/a", 16_KiB);
  EXPECT_THAT(*zfs_.holders(kNode, "tank/host/a"), IsEmpty());
  shell("setsid sh -c 'exec 9</dev/zvol/tank/host/a; exec sleep 300' >/dev/null 2>&1 & echo $! > /run/holder; sleep 1");
  const auto held = zfs_.holders(kNode, "tank/host/a");
  ASSERT_TRUE(held.ok()) << held.error().text();
  EXPECT_THAT(*held, Contains(HasSubstr("(sleep)")));
  EXPECT_EQ(zfs_.rename(kNode, "tank/host/a", "tank/host/b").error().kind, ErrorKind::kLocked);
  shell("kill $(cat /run/holder); sleep 1");
  EXPECT_TRUE(zfs_.rename(kNode, "tank/host/a", "tank/host/b").ok());
}

TEST_F(HostZfsOnLab, CopiesAndCompares) {
  create("tank/host/a", 8_KiB);
  create("tank/host/b", 64_KiB);
  shell("dd if=/dev/urandom of=/dev/zvol/tank/host/a bs=1M count=12 seek=7 oflag=direct status=none");
  CopyProgress last;
  const ZvolCopy copy{.source = "tank/host/a", .target = "tank/host/b"};
  const Status copied = zfs_.copy(kNode, copy, [&](const CopyProgress& now) { last = now; }, {});
  ASSERT_TRUE(copied.ok()) << copied.error().text();
  EXPECT_EQ(last.done, last.total);
  EXPECT_GE(last.total, 12_MiB);
  EXPECT_EQ(checksum("tank/host/a"), checksum("tank/host/b"));
  const auto sums = zfs_.compare(kNode, copy, {}, {});
  ASSERT_TRUE(sums.ok()) << sums.error().text();
  EXPECT_TRUE(sums->equal());
  shell("dd if=/dev/urandom of=/dev/zvol/tank/host/b bs=512 count=1 seek=99999 oflag=direct status=none");
  EXPECT_FALSE(zfs_.compare(kNode, copy, {}, {})->equal());
}

TEST_F(HostZfsOnLab, AStoppedCopyEndsOnTheNodeAndGoesOnLater) {
  create("tank/host/a", 8_KiB);
  create("tank/host/b", 64_KiB);
  shell("dd if=/dev/urandom of=/dev/zvol/tank/host/a bs=1M count=32 oflag=direct status=none");
  std::stop_source stop;
  const Status stopped = zfs_.copy(
      kNode, {.source = "tank/host/a", .target = "tank/host/b", .limit = ByteRate{1 << 20}},
      [&](const CopyProgress& now) {
        if (now.done > 2_MiB) stop.request_stop();
      },
      stop.get_token());
  ASSERT_FALSE(stopped.ok());
  EXPECT_EQ(stopped.error().kind, ErrorKind::kInterrupted);
  // The program there notices at its next line at the latest.
  EXPECT_EQ(shell("for n in $(seq 30); do pgrep -f '^perl - copy' >/dev/null || { echo ended; exit; }; sleep 1; done"),
            "ended\n");
  const Status copied = zfs_.copy(kNode, {.source = "tank/host/a", .target = "tank/host/b"}, {}, {});
  ASSERT_TRUE(copied.ok()) << copied.error().text();
  EXPECT_EQ(checksum("tank/host/a"), checksum("tank/host/b"));
}

TEST_F(HostZfsOnLab, RefusalsCarryTheReason) {
  create("tank/host/a", 8_KiB);
  create("tank/host/b", 8_KiB);
  shell("dd if=/dev/urandom of=/dev/zvol/tank/host/b bs=1M count=1 oflag=direct status=none");
  const Status copied = zfs_.copy(kNode, {.source = "tank/host/a", .target = "tank/host/b"}, {}, {});
  ASSERT_FALSE(copied.ok());
  EXPECT_THAT(copied.error().text(), HasSubstr("already holds data"));
  const Status again = zfs_.create_zvol(kNode, {.name = "tank/host/a", .size = kSize, .volblocksize = 16_KiB});
  ASSERT_FALSE(again.ok());
  EXPECT_THAT(again.error().text(), HasSubstr("dataset already exists"));
  EXPECT_EQ(zfs_.rename(kNode, "tank/host/none", "tank/host/c").error().kind, ErrorKind::kNotFound);
  EXPECT_FALSE(zfs_.rename(kNode, "tank/host/a", "tank/host/b").ok());
}

}  // namespace
}  // namespace pvr::lab
