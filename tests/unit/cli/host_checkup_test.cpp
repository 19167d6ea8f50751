#include "cli/host_checkup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "providers/host/host_zfs.h"
#include "tests/support/simulated_runner.h"
#include "tests/support/simulated_transport.h"

namespace pvr::cli {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr const char* kCluster = R"(
cluster: {name: lab, seed: 3}
nodes:
  pve1: {memory: 64GiB, pools: {tank: {size: 1TiB}}}
  pve2: {memory: 64GiB, pools: {tank: {size: 1TiB}}, host: {tools: [zfs, zpool, udevadm]}}
)";

/// A node whose sudo lets this user run only what is listed.
class Choosy final : public CommandRunner {
 public:
  explicit Choosy(CommandRunner& inner) : inner_(inner) {}
  [[nodiscard]] Result<CommandOutput> run(const Command& command) override {
    if (command.node == "pve2" && unreachable)
      return Error{.kind = ErrorKind::kUnreachable, .message = "Host key verification failed."};
    const bool asks = command.argv.size() > 4 && command.argv[0] == "sudo" && command.argv[2] == "-l";
    if (asks && command.argv[4] == "zpool")
      return CommandOutput{.exit_code = 1, .err = "sudo: a password is required\n"};
    if (command.argv.front() == "id") return CommandOutput{.out = "1000\n"};
    return inner_.run(command);
  }
  bool unreachable = false;

 private:
  CommandRunner& inner_;
};

class HostCheckup : public ::testing::Test {
 protected:
  DoctorReport examine(CommandRunner& runner, bool sudo) {
    HostZfs zfs(runner, clock_, {.sudo = sudo});
    WrittenCluster cluster;
    cluster.ssh_user = {.value = "pvereconcile"};
    cluster.ssh_sudo = sudo;
    DoctorReport report;
    const std::vector<LiveNode> nodes = {{.name = "pve1"}, {.name = "pve2"}, {.name = "pve3", .online = false}};
    examine_hosts(zfs, runner, nodes, cluster, report);
    return report;
  }
  static std::vector<std::string> said(const DoctorReport& report, const std::string& area, Health health) {
    std::vector<std::string> list;
    for (const Checkup& checkup : report.checkups)
      if (checkup.area == area && checkup.health == health) list.push_back(checkup.what);
    return list;
  }
  std::unique_ptr<pvesim::Simulator> sim_ = pvesim::Simulator::from_text(kCluster, {.manual_clock = true});
  testing::SimulatedClock clock_{*sim_};
  testing::SimulatedRunner runner_{*sim_};
};

TEST_F(HostCheckup, SaysPerNodeWhatWorks) {
  const DoctorReport report = examine(runner_, true);
  EXPECT_THAT(said(report, "ssh", Health::kGood), ::testing::SizeIs(2));
  EXPECT_THAT(said(report, "sudo", Health::kGood), ::testing::SizeIs(2));
  EXPECT_THAT(said(report, "ssh", Health::kWarning), Contains(HasSubstr("pve2 has no perl")));
  EXPECT_THAT(report.sudoers, IsEmpty());
  EXPECT_THAT(report.works, Contains(HasSubstr("changing the nodes")));
  EXPECT_EQ(runner_.commands(), 0) << "looking changes nothing";
}

TEST_F(HostCheckup, ARightThatIsMissingIsNamedAndTheLinesArePrinted) {
  Choosy choosy(runner_);
  const DoctorReport report = examine(choosy, true);
  EXPECT_THAT(said(report, "sudo", Health::kWarning),
              Contains("pve1: may not be run as root: zpool set autotrim=on pool"));
  EXPECT_THAT(report.sudoers, HasSubstr("pvereconcile ALL=(root) NOPASSWD:"));
  EXPECT_THAT(report.sudoers, HasSubstr("/usr/sbin/zpool set *"));
  EXPECT_THAT(report.does_not, Contains(HasSubstr("changing the nodes")));
}

TEST_F(HostCheckup, WithoutSudoAUserThatIsNotRootMayChangeNothing) {
  Choosy choosy(runner_);
  const DoctorReport report = examine(choosy, false);
  EXPECT_THAT(said(report, "sudo", Health::kWarning), Contains(HasSubstr("zfs set")));
  EXPECT_THAT(report.checkups.back().remedy, HasSubstr("sudo: true"));
}

TEST_F(HostCheckup, ANodeThatIsNotReachedHasItsRemedy) {
  Choosy choosy(runner_);
  choosy.unreachable = true;
  const DoctorReport report = examine(choosy, true);
  const auto bad = std::ranges::find(report.checkups, Health::kBad, &Checkup::health);
  ASSERT_NE(bad, report.checkups.end());
  EXPECT_THAT(bad->what, HasSubstr("pve2: "));
  EXPECT_THAT(bad->what, HasSubstr("Host key verification failed."));
  EXPECT_THAT(bad->remedy, HasSubstr("ssh pvereconcile@pve2"));
  EXPECT_THAT(report.does_not, Contains(HasSubstr("pve2")));
}

}  // namespace
}  // namespace pvr::cli
