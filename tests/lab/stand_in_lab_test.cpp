// The simulator's stand-in for a node's commands against the real ones: the same commands, in the same order, on both.

#include <string>
#include <vector>

#include "simulator/simulator.h"
#include "tests/lab/lab.h"

namespace pvr::lab {
namespace {

constexpr const char* kCluster = R"(
cluster: {name: lab}
nodes:
  zfslab:
    memory: 3GiB
    pools: {tank: {size: 8GiB, layout: mirror}, rz1: {size: 24GiB, layout: raidz, disks: 3}}
)";

/// How much of what a command prints has to agree; exit codes always have to.
enum class Agree : std::uint8_t {
  kAll,     // standard output and standard error, to the byte
  kStatus,  // the exit code alone
  kReason,  // the first line of standard error: the rest is a usage text of many lines
};

struct Row {
  std::vector<std::string> argv = {};
  Agree agree = Agree::kAll;
};

std::vector<Row> rows() {
  const std::string a = "tank/cmp/a";
  return {
      {{"zfs", "create", "-o", "canmount=off", "tank/cmp"}},
      {{"zfs", "create", "-s", "-V", "67108864", "-o", "volblocksize=16384", a}},
      {{"udevadm", "settle", "--timeout=30"}},
      {{"zfs", "get", "-Hp", "-o", "name,property,value,source", "type,volsize,volblocksize,refreservation,compression",
        a}},
      {{"zfs", "create", "-s", "-V", "67108864", a}},
      {{"zfs", "create", "-s", "-V", "64M", "tank/none/a"}},
      {{"zfs", "create", "-s", "-V", "64M", "none/a"}},
      {{"zfs", "create", "-V", "1T", "tank/cmp/big"}},
      {{"zfs", "create", "-s", "-V", "1000001", "-o", "volblocksize=16384", "tank/cmp/odd"}},
      {{"udevadm", "settle", "--timeout=30"}},
      {{"zfs", "get", "-Hp", "-o", "value", "volsize", "tank/cmp/odd"}},
      {{"zfs", "create", "-s", "-V", "64M", "-o", "volblocksize=8192", "tank/cmp/small"}},
      {{"udevadm", "settle", "--timeout=30"}},
      {{"zfs", "create", "-s", "-V", "64M", "-o", "volblocksize=3000", "tank/cmp/wrong"}},
      {{"zfs", "set", "volblocksize=8k", a}},
      {{"zfs", "set", "volsize=1000001", a}},
      {{"zfs", "set", "compression=best", a}},
      {{"zfs", "set", "refreservation=auto", a}},
      {{"zfs", "get", "-Hp", "-o", "value,source", "refreservation", a}},
      {{"zfs", "set", "refreservation=none", a}},
      // Its source is "local" afterwards; the stand-in does not tell that from never set.
      {{"zfs", "get", "-Hp", "-o", "value", "refreservation", a}},
      {{"zfs", "set", "refreservation=1T", a}},
      {{"zfs", "set", "volsize=134217728", a}},
      {{"zfs", "get", "-Hp", "-o", "value", "volsize", a}},
      {{"zfs", "set", "compression=zstd", "sync=disabled", "pvereconcile:vmid=701", a}},
      {{"zfs", "get", "-Hp", "-o", "property,value,source", "compression,sync,logbias,primarycache,pvereconcile:vmid",
        a}},
      {{"zfs", "inherit", "pvereconcile:vmid", a}},
      {{"zfs", "inherit", "sync", a}},
      {{"zfs", "get", "-Hp", "-o", "property,value,source", "sync,pvereconcile:vmid", a}},
      {{"zfs", "set", "compression=lz4", "tank/cmp/none"}},
      {{"zfs", "get", "-Hp", "-o", "value", "volsize", "tank/cmp/none"}},
      {{"zfs", "get", "-Hp", "-o", "value", "nothing", a}, Agree::kReason},
      {{"zfs", "snapshot", "tank/cmp/a@one"}},
      {{"zfs", "snapshot", "tank/cmp/a@one"}},
      {{"zfs", "snapshot", "tank/cmp/none@one"}, Agree::kReason},
      {{"zfs", "snapshot", "tank/cmp/a@two"}},
      {{"zfs", "list", "-Hp", "-t", "snapshot", "-o", "name", "-s", "createtxg", "-d", "1", a}},
      {{"zfs", "list", "-Hp", "-o", "name,type,volsize", "-r", "tank/cmp"}},
      {{"zfs", "destroy", a}},
      {{"zfs", "destroy", "tank/cmp/a@two"}},
      {{"zfs", "destroy", "tank/cmp/a@two"}},
      {{"zfs", "destroy", "tank/cmp/a@one"}},
      {{"zfs", "destroy", "tank/cmp"}, Agree::kReason},  // ZFS names the children in an order of its own
      {{"zfs", "rename", a, "tank/cmp/odd"}},
      {{"zfs", "rename", a, "tank/none/a"}},
      {{"zfs", "rename", a, "rz1/a"}},
      {{"zfs", "rename", "tank/cmp/none", "tank/cmp/b"}},
      {{"zfs", "rename", a, "tank/cmp/b"}},
      {{"udevadm", "settle", "--timeout=30"}},
      {{"zfs", "list", "-Hp", "-o", "name", "-r", "tank/cmp"}},
      {{"zfs", "destroy", "tank/cmp/b"}},
      {{"zfs", "destroy", "tank/cmp/none"}},
      {{"zfs", "destroy", "tank/cmp/odd"}},
      {{"zfs", "destroy", "tank/cmp/small"}},
      {{"zfs", "destroy", "tank/cmp"}},
      {{"zpool", "list", "-Hp", "-o", "name,health", "tank"}},
      {{"zpool", "list", "-Hp", "-o", "name,health", "none"}},
      {{"zpool", "get", "-Hp", "-o", "name,property,value", "autotrim", "tank"}},
      // The reason is for people; that it fails is what counts.
      {{"perl", "-", "compare", "tank/none", "tank/nothing"}, Agree::kStatus},
  };
}

class StandIn : public OnLab {};

TEST_F(StandIn, SaysWhatTheRealCommandsSay) {
  shell(
      "for n in 1 2 3 4 5 6 7 8 9 10; do udevadm settle; zfs list tank/cmp >/dev/null 2>&1 || exit 0; "
      "zfs destroy -r tank/cmp 2>/dev/null && exit 0; sleep 1; done; exit 1");
  const auto simulator = pvesim::Simulator::from_text(kCluster, {.manual_clock = true});
  for (const Row& row : rows()) {
    std::string line;
    for (const std::string& word : row.argv) line += (line.empty() ? "" : " ") + word;
    SCOPED_TRACE(line);
    const std::string input(row.argv.front() == "perl" ? kZvolCopyProgram : std::string_view());
    auto real = runner_.run({.node = kNode, .argv = row.argv, .input = input});
    // Fact: udev makes a new volume busy for a moment; the stand-in, too, may say so.
    for (int tries = 0; tries < 20 && real.ok() && real->err.find("dataset is busy") != std::string::npos; ++tries) {
      clock_.wait(std::chrono::milliseconds(500), {});
      real = runner_.run({.node = kNode, .argv = row.argv, .input = input});
    }
    ASSERT_TRUE(real.ok()) << real.error().text();
    simulator->advance(std::chrono::seconds(5));
    const pvesim::CommandAnswer played = simulator->run_command(kNode, row.argv, input);
    // The runner keeps 255 for ssh's own troubles.
    EXPECT_EQ(played.exit_code == 255 ? 254 : played.exit_code, real->exit_code)
        << "real: " << real->out << real->err << "stand-in: " << played.err;
    if (row.agree == Agree::kStatus) continue;
    if (row.agree == Agree::kReason) {
      EXPECT_EQ(played.err.substr(0, played.err.find('\n')), real->err.substr(0, real->err.find('\n')));
      continue;
    }
    EXPECT_EQ(played.out, real->out);
    EXPECT_EQ(played.err, real->err);
  }
}

}  // namespace
}  // namespace pvr::lab
