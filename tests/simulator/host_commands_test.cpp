#include <gmock/gmock.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "simulator/simulator.h"

namespace pvesim {
namespace {

using ::testing::HasSubstr;

constexpr const char* kCluster = R"(
cluster: {name: lab, seed: 9}
nodes:
  n1:
    pools: {pool: {size: 10GiB, datasets: [pool/sub]}, other: {size: 10GiB}, wide: {size: 10GiB, layout: raidz, disks: 3}}
  n2: {}
storages:
  zz: {type: zfspool, pool: pool, sparse: 1, content: images, nodes: n1}
  thick: {type: zfspool, pool: pool/thick, content: images, nodes: n1}
vms:
  100:
    status: running
    config: {name: a, memory: 512, scsi0: "zz:vm-100-disk-0,size=1G"}
  101: {config: {name: b, memory: 512, scsi0: "thick:vm-101-disk-0,size=1G"}}
)";

std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> found;
  std::string word;
  for (const char c : text + " ") {
    if (c != ' ') {
      word += c;
    } else if (!word.empty()) {
      found.push_back(std::exchange(word, {}));
    }
  }
  return found;
}

class HostCommands : public ::testing::Test {
 protected:
  CommandAnswer run(const std::string& command, const std::string& input = {}) {
    return sim_->run_command("n1", words(command), input);
  }
  std::string value(const std::string& property, const std::string& dataset) {
    std::string text = run("zfs get -Hp -o value " + property + " " + dataset).out;
    if (!text.empty()) text.pop_back();
    return text;
  }
  std::unique_ptr<Simulator> sim_ = Simulator::from_text(kCluster, {.manual_clock = true});
};

struct Refusal {
  const char* command;
  int exit_code;
  const char* text;
};

// Texts and codes as real pools gave them.
TEST_F(HostCommands, RefuseAsOpenZfsDoes) {
  for (const Refusal& one : std::vector<Refusal>{
           {"zfs set volblocksize=8k pool/vm-100-disk-0", 255,
            "cannot set property for 'pool/vm-100-disk-0': 'volblocksize' is readonly\n"},
           {"zfs set volsize=1000001 pool/vm-100-disk-0", 255,
            "cannot set property for 'pool/vm-100-disk-0': 'volsize' must be a multiple of volume block size (16K)\n"},
           {"zfs set refreservation=20G pool/vm-100-disk-0", 255,
            "cannot set property for 'pool/vm-100-disk-0': size is greater than available space\n"},
           {"zfs set sync=maybe pool", 255,
            "cannot set property for 'pool': 'sync' must be one of 'standard | always | disabled'\n"},
           {"zfs rename pool/vm-100-disk-0 pool/sub", 1,
            "cannot rename 'pool/vm-100-disk-0': dataset already exists\n"},
           {"zfs rename pool/vm-100-disk-0 other/a", 1,
            "cannot rename to 'other/a': datasets must be within same pool\n"},
           {"zfs rename pool/vm-100-disk-0 pool/x/y", 1, "cannot create 'pool/x/y': parent does not exist\n"},
           {"zfs rename pool/no pool/y", 1, "cannot open 'pool/no': dataset does not exist\n"},
           {"zfs destroy pool/vm-100-disk-0", 1, "cannot destroy 'pool/vm-100-disk-0': dataset is busy\n"},
           {"zfs create -V 1G pool/sub", 1, "cannot create 'pool/sub': dataset already exists\n"},
           {"zfs create -V 20G pool/big", 1, "cannot create 'pool/big': out of space\n"},
           {"zfs create -s -V 1G -o volblocksize=3000 pool/odd", 1,
            "cannot create 'pool/odd': 'volblocksize' must be power of 2 from 512B to 16M\n"},
           {"zfs create -s -V 1G pool/a+b", 1, "cannot create 'pool/a+b': invalid character '+' in name\n"},
           {"zfs destroy pool/vm-100-disk-0@no", 1, "could not find any snapshots to destroy; check snapshot names.\n"},
           {"zfs list -Hp -o name pool/no", 1, "cannot open 'pool/no': dataset does not exist\n"}}) {
    const CommandAnswer answer = run(one.command);
    EXPECT_EQ(answer.exit_code, one.exit_code) << one.command;
    EXPECT_EQ(answer.err, one.text) << one.command;
    EXPECT_EQ(answer.out, "") << one.command;
  }
  const CommandAnswer unknown = run("zfs get -Hp -o name,value volsize,nonsense");
  EXPECT_EQ(unknown.exit_code, 2);
  EXPECT_EQ(unknown.out, "") << "one unknown property fails the whole call";
}

TEST_F(HostCommands, RoundASizeUpWithoutAWord) {
  const CommandAnswer made = run("zfs create -s -V 1000001 pool/odd");
  EXPECT_EQ(made.exit_code, 0);
  EXPECT_EQ(made.err, "");
  EXPECT_EQ(value("volsize", "pool/odd"), "1015808");
}

TEST_F(HostCommands, WarnOfSmallBlocksAndSucceed) {
  const CommandAnswer made = run("zfs create -s -V 1G -o volblocksize=8k pool/small");
  EXPECT_EQ(made.exit_code, 0);
  EXPECT_THAT(made.err, HasSubstr("Warning: volblocksize (8192) is less than the default minimum block size (16384)"));
  EXPECT_EQ(value("volblocksize", "pool/small"), "8192");
}

TEST_F(HostCommands, ReserveWhatOpenZfsReserves) {
  ASSERT_EQ(run("zfs create -V 1G pool/m16").exit_code, 0);
  ASSERT_EQ(run("zfs create -V 1G -o volblocksize=64k wide/r64").exit_code, 0);
  ASSERT_EQ(run("zfs create -V 1G -o volblocksize=8k wide/r8").exit_code, 0);
  EXPECT_EQ(value("refreservation", "pool/m16"), "1092616192");
  EXPECT_EQ(value("refreservation", "wide/r64"), "1080033280");
  EXPECT_EQ(value("refreservation", "wide/r8"), "1467307264");
  EXPECT_EQ(run("zfs set refreservation=none pool/m16").exit_code, 0);
  EXPECT_EQ(value("refreservation", "pool/m16"), "0");
  EXPECT_EQ(run("zfs set refreservation=auto pool/m16").exit_code, 0);
  EXPECT_EQ(value("refreservation", "pool/m16"), "1092616192");
}

TEST_F(HostCommands, RenameAVolumeThatIsOpenAndTheGuestKeepsIt) {
  const std::vector<ZvolInfo> at_first = sim_->zvols();
  const auto found = std::find_if(at_first.begin(), at_first.end(),
                                  [](const ZvolInfo& one) { return one.name == "pool/vm-100-disk-0"; });
  ASSERT_NE(found, at_first.end());
  const std::uint64_t before = found->fingerprint;
  EXPECT_EQ(run("zfs rename pool/vm-100-disk-0 pool/sub/elsewhere").exit_code, 0);
  sim_->guest_write(100, "scsi0");
  const std::vector<ZvolInfo> all = sim_->zvols();
  const auto moved =
      std::find_if(all.begin(), all.end(), [](const ZvolInfo& one) { return one.name == "pool/sub/elsewhere"; });
  ASSERT_NE(moved, all.end());
  EXPECT_NE(moved->fingerprint, before);
  EXPECT_EQ(run("zfs destroy pool/sub/elsewhere").err, "cannot destroy 'pool/sub/elsewhere': dataset is busy\n");
}

TEST_F(HostCommands, NameWhatStandsInTheWayOfADestroy) {
  ASSERT_EQ(run("zfs snapshot pool/thick/vm-101-disk-0@one").exit_code, 0);
  EXPECT_EQ(run("zfs snapshot pool/thick/vm-101-disk-0@one").err,
            "cannot create snapshot 'pool/thick/vm-101-disk-0@one': dataset already exists\n");
  EXPECT_THAT(run("zfs destroy pool/thick/vm-101-disk-0").err, HasSubstr("volume has children\nuse '-r'"));
  EXPECT_THAT(run("zfs destroy pool/thick").err, HasSubstr("filesystem has children"));
  EXPECT_EQ(run("zfs destroy pool/thick/vm-101-disk-0@one").exit_code, 0);
  EXPECT_EQ(run("zfs destroy pool/thick/vm-101-disk-0").exit_code, 0);
}

TEST_F(HostCommands, PropertiesAreInheritedUserPropertiesToo) {
  ASSERT_EQ(run("zfs set compression=zstd org.example:x=1 pool").exit_code, 0);
  EXPECT_EQ(value("compression", "pool/sub"), "zstd");
  EXPECT_EQ(run("zfs get -Hp -o property,source compression pool/vm-100-disk-0").out,
            "compression\tinherited from pool\n");
  EXPECT_EQ(value("org.example:x", "pool/vm-100-disk-0"), "1");
  ASSERT_EQ(run("zfs inherit compression pool").exit_code, 0);
  EXPECT_EQ(value("compression", "pool/sub"), "on");
}

TEST_F(HostCommands, LinksFollowAfterAMoment) {
  ASSERT_EQ(run("zfs create -s -V 1G pool/fresh").exit_code, 0);
  EXPECT_EQ(run("perl - device pool/fresh", "#").out, "absent\tpool/fresh\n");
  EXPECT_EQ(run("udevadm settle").exit_code, 0);
  EXPECT_THAT(run("perl - device pool/fresh", "#").out, HasSubstr("size\t1073741824\nblock\t16384\n"));
}

TEST_F(HostCommands, FaultsBefallCommandsByTheirWords) {
  sim_->add_fault({.action = FaultAction::kHostFail, .path = "zfs rename *", .message = "cannot rename: injected"});
  sim_->add_fault({.action = FaultAction::kHostLoseAnswer, .path = "zfs create *"});
  sim_->add_fault({.action = FaultAction::kHostDrop, .path = "zfs create *", .nth = 1});
  const CommandAnswer failed = run("sudo -n -- zfs rename pool/vm-100-disk-0 pool/b");
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_EQ(failed.err, "cannot rename: injected\n");
  EXPECT_EQ(run("zfs create pool/lost").delivery, Delivery::kLost);
  EXPECT_EQ(run("zfs create pool/dropped").delivery, Delivery::kReset);
  EXPECT_EQ(run("zfs list -Hp -o name pool/lost").exit_code, 0);
  EXPECT_EQ(run("zfs list -Hp -o name pool/dropped").exit_code, 1);
  sim_->node_down("n1");
  EXPECT_EQ(run("uname -n").delivery, Delivery::kConnectRefused);
}

TEST_F(HostCommands, ANodeWithoutZfsHasNoZfs) {
  EXPECT_EQ(sim_->run_command("n2", {"zfs", "list"}).exit_code, 127);
  EXPECT_EQ(sim_->run_command("n2", {"cat", "/sys/module/zfs/version"}).exit_code, 1);
}

TEST(HostKeys, AreReadFromTheClusterFile) {
  try {
    (void)Simulator::from_text("nodes: {n1: {host: {arc_mx: 1}, pools: {p: {vdevs: [{class: cash}]}}}}\n");
    FAIL() << "unknown keys are errors";
  } catch (const ClusterFileError& error) {
    ASSERT_EQ(error.problems().size(), 2U);
    EXPECT_THAT(error.problems()[0], HasSubstr("arc_max"));
    EXPECT_THAT(error.problems()[1], HasSubstr("special"));
  }
}

}  // namespace
}  // namespace pvesim
