#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "schema/source_loader.h"
#include "tests/unit/schema/reading.h"

namespace pvr {
namespace {

namespace fs = std::filesystem;

class Loader : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    root = fs::temp_directory_path() / ("pvereconcile-" + std::string(info->name()) + "-" + std::to_string(getpid()));
    fs::create_directories(root);
  }
  void TearDown() override { fs::remove_all(root); }
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((root / name).parent_path());
    std::ofstream(root / name, std::ios::binary) << text;
  }
  static std::string names(const Checked<FleetDocument>& fleet) {
    std::string out;
    for (const WrittenVm& vm : fleet.value->vms) out += vm.name + " ";
    return out;
  }
  fs::path root;
};

TEST_F(Loader, FollowsPathsAndGlobsRelativeToTheFile) {
  write("fleet.yaml", "version: 1\ninclude: [parts/vms.yaml, \"racks/*/*vm-?.yaml\"]\n");
  write("parts/vms.yaml", "include: deeper/more.yaml\nvms: {a: {vmid: 101}}\n");
  write("parts/deeper/more.yaml", "vms: {b: {vmid: 102}}\n");
  write("racks/1/vm-1.yaml", "vms: {c: {vmid: 103}}\n");
  write("racks/2/vm-2.yaml", "vms: {d: {vmid: 104}}\n");
  write("racks/2/vm-20.yaml", "vms: {not: {vmid: 105}}\n");
  write("racks/2/.vm-3.yaml", "vms: {hidden: {vmid: 106}}\n");
  Checked<FleetDocument> fleet = load_fleet_file(root / "fleet.yaml");
  EXPECT_TRUE(fleet.ok()) << said(fleet);
  EXPECT_EQ(names(fleet), "a b c d ");
}

TEST_F(Loader, ReadsEveryFileOnce) {
  write("fleet.yaml", "version: 1\ninclude: [a.yaml, ./a.yaml, \"*.yaml\"]\nvms: {one: {vmid: 101}}\n");
  write("a.yaml", "include: [fleet.yaml, a.yaml]\nvms: {two: {vmid: 102}}\n");
  Checked<FleetDocument> fleet = load_fleet_file(root / "fleet.yaml");
  EXPECT_TRUE(fleet.ok()) << said(fleet);
  EXPECT_EQ(names(fleet), "one two ");
}

TEST_F(Loader, ADirectoryStandsForItsFiles) {
  write("b.yaml", "vms: {b: {vmid: 102}}\n");
  write("a.yml", "version: 1\nvms: {a: {vmid: 101}}\n");
  write("notes.txt", "not yaml: [");
  write("sub/c.yaml", "vms: {c: {vmid: 103}}\n");
  Checked<FleetDocument> fleet = load_fleet_file(root);
  EXPECT_TRUE(fleet.ok()) << said(fleet);
  EXPECT_EQ(names(fleet), "a b ");
}

TEST_F(Loader, ADirectoryWithAFleetFileStandsForThat) {
  write("fleet.yaml", "version: 1\ninclude: [vms/*.yaml]\nvms: {a: {vmid: 101}}\n");
  write("vms/b.yaml", "vms: {b: {vmid: 102}}\n");
  write("cluster.yaml", "nodes: {pve1: {}}\n");  // of a simulated cluster: not the fleet's
  Checked<FleetDocument> fleet = load_fleet_file(root);
  EXPECT_TRUE(fleet.ok()) << said(fleet);
  EXPECT_EQ(names(fleet), "a b ");
}

TEST_F(Loader, TellsTheErrorsOfEveryFile) {
  write("fleet.yaml",
        "version: 1\ninclude: [one.yaml, two.yaml, three.yaml, missing.yaml, \"none-*.yaml\", /etc/hostname]\n");
  write("one.yaml", "vms: {a: {vmid: 101, colour: red}}\n");
  write("two.yaml", "vms: {b: [\n");
  write("three.yaml", "vms: {a: {vmid: 103}}\n");
  Checked<FleetDocument> fleet = load_fleet_file(root / "fleet.yaml");
  std::string text = said(fleet);
  EXPECT_NE(text.find("one.yaml:1:22: error: Unknown key"), std::string::npos) << text;
  EXPECT_NE(text.find("two.yaml:2:1: error: Not valid YAML"), std::string::npos) << text;
  EXPECT_NE(text.find("three.yaml:1:7: error: Given twice"), std::string::npos) << text;
  EXPECT_TRUE(has_code(fleet, "schema.file.unreadable"));
  EXPECT_TRUE(has_code(fleet, "schema.include.none"));
  EXPECT_TRUE(has_code(fleet, "schema.include.absolute"));
}

TEST_F(Loader, DoesNotJudgeReferencesWhenAFileCouldNotBeRead) {
  write("fleet.yaml", "version: 1\ninclude: roles.yaml\nvms: {a: {vmid: 101, role: web}}\n");
  write("roles.yaml", "roles: {web: {extends: generalized-linux}\n");
  Checked<FleetDocument> fleet = load_fleet_file(root / "fleet.yaml");
  EXPECT_FALSE(fleet.ok());
  EXPECT_FALSE(has_code(fleet, "schema.reference.unknown")) << said(fleet);
}

TEST_F(Loader, SaysWhichFileCannotBeRead) {
  Checked<FleetDocument> fleet = load_fleet_file(root / "nothing.yaml");
  EXPECT_FALSE(fleet.ok());
  EXPECT_NE(said(fleet).find("nothing.yaml: error: The file cannot be read"), std::string::npos) << said(fleet);
  EXPECT_TRUE(has_code(load_fleet_file(root), "schema.file.none"));
  EXPECT_TRUE(has_code(load_fleet_file("/dev/zero"), "schema.file.unreadable"));
}

}  // namespace
}  // namespace pvr
