#include "providers/host/node_setup.h"

#include <gmock/gmock.h>

#include <fstream>
#include <iterator>
#include <set>

#include "providers/host/host_zfs.h"
#include "simulator/simulator.h"
#include "simulator/wire/faults.h"
#include "tests/support/simulated_runner.h"
#include "tests/support/simulated_transport.h"

namespace pvr {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

/// The commands of the file as patterns, without paths and escapes.
std::vector<std::string> patterns(const std::string& text) {
  std::vector<std::string> found;
  for (auto at = text.find("    /"); at != std::string::npos; at = text.find("    /", at + 1)) {
    std::string line = text.substr(at + 4, text.find_first_of(",\n", at) - at - 4);
    line.erase(0, line.find_last_of('/', line.find(' ')) + 1);
    std::erase(line, '\\');
    found.push_back(line);
  }
  return found;
}

TEST(Sudoers, TheExampleOfThePackageIsThisText) {
  std::ifstream file(PVERECONCILE_SOURCE_DIR "/packaging/sudoers.example");
  const std::string example{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  EXPECT_THAT(example, ::testing::EndsWith(sudoers_text("pvereconcile").value()));
}

TEST(Sudoers, CoverEveryCommandThatRunsAsRoot) {
  const auto text = sudoers_text("pvereconcile");
  ASSERT_TRUE(text.ok());
  const auto allowed = patterns(*text);
  ASSERT_EQ(allowed.size(), 17U);
  const auto sim = pvesim::Simulator::from_text(R"(
nodes: {pve1: {pools: {tank: {size: 1TiB}}}}
storages: {zz: {type: zfspool, pool: tank/z, content: images}}
vms: {101: {config: {name: a, memory: 512, scsi0: "zz:vm-101-disk-0,size=1G"}}}
)",
                                                {.manual_clock = true});
  testing::SimulatedClock clock(*sim);
  std::set<std::string> used;
  testing::SimulatedRunner runner(*sim, {.before = [&](const Command& command) {
    if (command.argv.front() != "sudo") {
      EXPECT_FALSE(command.acts) << command.argv.front() << " changes the node without root";
      return;
    }
    std::string words;
    for (std::size_t at = 3; at < command.argv.size(); ++at) words += (at == 3 ? "" : " ") + command.argv[at];
    bool covered = false;
    for (const std::string& pattern : allowed) {
      if (!pvesim::glob_match(pattern, words)) continue;
      covered = true;
      used.insert(pattern);
    }
    EXPECT_TRUE(covered) << words;
  }});
  HostZfs zfs(runner, clock, {.sudo = true, .copy_program = "#"});
  FlatMap<std::string> properties;
  properties.set("compression", "lz4");
  properties.set("pvereconcile:x", "");
  FlatMap<std::string> autotrim;
  autotrim.set("autotrim", "on");
  FlatMap<std::string> limits;
  limits.set("zfs_arc_max", "134217728");
  EXPECT_TRUE(zfs.host("pve1").ok());
  EXPECT_TRUE(zfs.guest_files("pve1").ok());
  EXPECT_TRUE(zfs.set_properties("pve1", "tank/z/vm-101-disk-0", properties).ok());
  EXPECT_TRUE(zfs.create_dataset("pve1", "tank/c", {}).ok());
  EXPECT_TRUE(zfs.create_zvol("pve1", {.name = "tank/c/n", .size = 1_GiB, .volblocksize = 16_KiB}).ok());
  EXPECT_TRUE(zfs.copy("pve1", {.source = "tank/z/vm-101-disk-0", .target = "tank/c/n"}, {}, {}).ok());
  EXPECT_TRUE(zfs.compare("pve1", {.source = "tank/z/vm-101-disk-0", .target = "tank/c/n"}, {}, {}).ok());
  EXPECT_TRUE(zfs.snapshot("pve1", "tank/c/n", "s").ok());
  EXPECT_TRUE(zfs.destroy_snapshot("pve1", "tank/c/n", "s").ok());
  EXPECT_TRUE(zfs.rename("pve1", "tank/c/n", "tank/c/m").ok());
  EXPECT_TRUE(zfs.set_pool_properties("pve1", "tank", autotrim).ok());
  EXPECT_TRUE(zfs.set_parameters("pve1", {{"zfs_arc_min", "67108864"}, {"zfs_arc_max", "134217728"}}).ok());
  EXPECT_TRUE(zfs.write_modprobe("pve1", limits).ok());
  EXPECT_TRUE(zfs.set_timer("pve1", "zfs-trim-monthly@tank.timer", true).ok());
  EXPECT_TRUE(zfs.set_timer("pve1", "zfs-trim-monthly@tank.timer", false).ok());
  EXPECT_EQ(used.size(), allowed.size()) << "a line that nothing uses gives rights for nothing";
}

TEST(Sudoers, TakeOnlyNamesOfUsers) {
  for (const char* bad : {"", "root ALL=(ALL) ALL\nx", "a b", "%admin", "-u", "ALL"})
    EXPECT_FALSE(sudoers_text(bad).ok());
}

TEST(NodePackages, NameWhatTheReadingLooksFor) {
  const auto& all = node_packages();
  for (const char* tool : {"zfs", "perl", "udevadm"})
    EXPECT_TRUE(std::ranges::any_of(all, [&](const NodePackage& one) { return one.tool == tool; })) << tool;
}

}  // namespace
}  // namespace pvr
