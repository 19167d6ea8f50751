#include "schema/terraform_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <fstream>
#include <iterator>

#include "reconciler/model/option_codec.h"
#include "schema/fleet_schema.h"
#include "tests/unit/schema/reading.h"

namespace pvr {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string file(const std::string& name) {
  std::ifstream in(PVERECONCILE_SOURCE_DIR "/tests/unit/schema/terraform/" + name);
  EXPECT_TRUE(in) << name;
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

/// The fleet as the program reads it: whatever is converted must be a legal fleet.
FleetDocument read(const std::string& text) {
  SourceSet sources;
  sources.add("converted", text);
  Checked<FleetDocument> fleet = load_fleet(std::move(sources));
  EXPECT_TRUE(fleet.ok()) << said(fleet) << text;
  return std::move(*fleet.value);
}

const WrittenVm& vm_of(const FleetDocument& fleet, std::string_view name) {
  const auto at = std::ranges::find(fleet.vms, name, &WrittenVm::name);
  EXPECT_NE(at, fleet.vms.end()) << name;
  return *at;
}

std::string option(const WrittenVm& vm, std::string_view key) {
  const auto* value = vm.options.find(key);
  return value == nullptr ? "(none)" : print_option(*find_setting(Home::kVmOption, key), value->value);
}

std::string of_disk(const WrittenVm& vm, std::string_view disk, std::string_view key) {
  const auto at = std::ranges::find(vm.disks, disk, &WrittenDisk::name);
  const auto* value = at == vm.disks.end() ? nullptr : at->settings.find(key);
  return value == nullptr ? "(none)" : to_text(value->value);
}

TEST(FromTerraform, TakesOverWhatBpgManages) {
  const auto converted = fleet_from_terraform(file("bpg.tfstate.json"));
  ASSERT_TRUE(converted) << converted.error().text();
  EXPECT_EQ(converted->vms, 1U);
  const FleetDocument fleet = read(converted->text);
  const WrittenVm& vm = vm_of(fleet, "web-01");
  EXPECT_EQ(vm.vmid.value.number, 110U);
  EXPECT_EQ(vm.node->value, "pve1");
  EXPECT_EQ(vm.pool->value, "prod");
  EXPECT_EQ(vm.role->value, "specialty-linux") << "it has a device of its node";
  EXPECT_EQ(vm.state.value, VmState::kRunning);
  EXPECT_EQ(option(vm, "description"), "serves: \"www\"");
  EXPECT_EQ(option(vm, "tags"), "prod;web");
  EXPECT_EQ(option(vm, "cores"), "4");
  EXPECT_EQ(option(vm, "cpu"), "x86-64-v2-AES,flags=+aes");
  EXPECT_EQ(option(vm, "memory"), "4096");
  EXPECT_EQ(option(vm, "balloon"), "2048");
  EXPECT_EQ(option(vm, "numa"), "1");
  EXPECT_EQ(option(vm, "vcpus"), "(none)");
  EXPECT_EQ(option(vm, "startup"), "2,up=30");
  EXPECT_EQ(option(vm, "boot"), "order=scsi0;net0");
  EXPECT_EQ(option(vm, "hostpci0"), "mapping=gpu0,pcie=1");
  EXPECT_EQ(option(vm, "serial0"), "socket");
  EXPECT_EQ(option(vm, "net0"), "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=20");
  EXPECT_EQ(option(vm, "ciuser"), "admin");
  EXPECT_EQ(option(vm, "ipconfig0"), "gw=192.0.2.1,ip=192.0.2.10/24,ip6=auto");
  EXPECT_EQ(option(vm, "nameserver"), "192.0.2.53");
  EXPECT_EQ(of_disk(vm, "root", "slot"), "scsi0");
  EXPECT_EQ(of_disk(vm, "root", "size"), "32GiB");
  EXPECT_EQ(of_disk(vm, "root", "iothread"), "1");
  EXPECT_EQ(of_disk(vm, "root", "discard"), "on");
  EXPECT_EQ(of_disk(vm, "virtio1", "storage"), "bulk");
  EXPECT_EQ(of_disk(vm, "virtio1", "mbps_rd"), "100");
  EXPECT_EQ(of_disk(vm, "virtio1", "iops_rd"), "(none)");
  EXPECT_EQ(of_disk(vm, "virtio1", "backup"), "0");
  EXPECT_EQ(of_disk(vm, "efidisk", "efitype"), "4m");
  EXPECT_EQ(of_disk(vm, "tpm", "storage"), "local-zfs");
  EXPECT_THAT(converted->remarks, Contains(HasSubstr("golden is a template")));
  EXPECT_THAT(converted->remarks, Contains(HasSubstr("web[0] has a cloud-init password")));
  EXPECT_THAT(converted->text, Not(HasSubstr("never-in-a-fleet")));
}

TEST(FromTerraform, TakesOverWhatTelmateManagesInBothOfItsForms) {
  const auto converted = fleet_from_terraform(file("telmate.tfstate.json"));
  ASSERT_TRUE(converted) << converted.error().text();
  const FleetDocument fleet = read(converted->text);
  const WrittenVm& old = vm_of(fleet, "old-01");
  EXPECT_EQ(old.vmid.value.number, 120U) << "of its id";
  EXPECT_EQ(old.role->value, "generalized-windows");
  EXPECT_EQ(option(old, "cpu"), "host");
  EXPECT_EQ(option(old, "agent"), "1");
  EXPECT_EQ(option(old, "boot"), "(none)") << "the old form has letters";
  EXPECT_EQ(of_disk(old, "root", "slot"), "scsi0");
  EXPECT_EQ(of_disk(old, "scsi1", "size"), "512MiB") << "slots are counted";
  EXPECT_EQ(of_disk(old, "scsi1", "discard"), "(none)");
  const WrittenVm& vm = vm_of(fleet, "new-01");
  EXPECT_EQ(of_disk(vm, "root", "ssd"), "1");
  EXPECT_EQ(of_disk(vm, "root", "aio"), "io_uring");
  EXPECT_EQ(of_disk(vm, "cloudinit", "slot"), "ide2");
  EXPECT_EQ(option(vm, "ipconfig0"), "gw=192.0.2.1,ip=192.0.2.11/24");
  EXPECT_EQ(option(vm, "nameserver"), "192.0.2.53 192.0.2.54");
  EXPECT_THAT(converted->remarks, Contains(HasSubstr("states an address of net5, which it does not have")));
  EXPECT_THAT(converted->text, Not(HasSubstr("never-in-a-fleet")));
}

TEST(FromTerraform, ReadsConfigurationAndNamesExpressions) {
  const auto converted = fleet_from_terraform(file("bpg.tf.json"));
  ASSERT_TRUE(converted) << converted.error().text();
  const FleetDocument fleet = read(converted->text);
  const WrittenVm& vm = vm_of(fleet, "db-01");
  EXPECT_FALSE(vm.node);
  EXPECT_EQ(option(vm, "memory"), "(none)");
  EXPECT_EQ(option(vm, "cores"), "8");
  EXPECT_EQ(of_disk(vm, "root", "size"), "100GiB");
  EXPECT_THAT(converted->remarks, Contains(HasSubstr("memory.dedicated is an expression: ${var.memory}")));
  EXPECT_THAT(converted->remarks, Contains(HasSubstr("node_name is an expression")));
  EXPECT_THAT(converted->remarks, Contains(HasSubstr("unnumbered has no vmid")));
}

TEST(FromTerraform, RefusesWhatItDoesNotKnow) {
  for (const char* text :
       {"", "[]", "no json", "{}", R"({"version": 3, "resources": []})", R"({"version": 4, "resources": []})",
        R"({"resource": {"aws_instance": {"a": {}}}})", R"({"version": 4, "resources": [1, {"mode": 2}]})"}) {
    EXPECT_FALSE(fleet_from_terraform(text)) << text;
  }
}

TEST(FromTerraform, AHostileStateIsAtMostAFleetOfNothing) {
  const auto converted =
      fleet_from_terraform(R"({"version": 4, "resources": [{"type": "proxmox_vm_qemu", "name": "a\nb: c",
    "instances": [{"attributes": {"vmid": 5, "name": "x: {y\n", "target_node": "p\u0000\n- q", "memory": [[1]], "disk": [{"slot": "scsi99", "size": "1e9G"}], "network": 7, "cores": 1e300}}]}]})");
  ASSERT_TRUE(converted);
  SourceSet sources;
  sources.add("converted", converted->text);
  const Checked<FleetDocument> fleet = load_fleet(std::move(sources));
  for (const Diagnostic& diagnostic : fleet.diagnostics)
    EXPECT_NE(diagnostic.code, "schema.yaml.syntax") << converted->text;
}

TEST(FromTerraform, TakesTheFirstOfTwoThatCannotBothBe) {
  const auto converted = fleet_from_terraform(
      R"({"resource": {"proxmox_vm_qemu": {"twice": {"vmid": 105, "name": "twice",
        "disk": [{"slot": "scsi0", "size": "1G"}, {"slot": "scsi1", "size": "2G"}, {"slot": "scsi1", "size": "3G"},
                 {"slot": "ide2", "type": "cdrom", "iso": "local:iso/a.iso"}, {"slot": "ide3", "type": "cdrom", "iso": "local:iso/b.iso"}],
        "network": [{"id": 0, "bridge": "vmbr0"}, {"id": 0, "bridge": "vmbr1"}],
        "tpm_state": [{"storage": "zfs"}, {"storage": "lvm"}], "efidisk": [{"storage": "zfs"}, {"storage": "lvm"}]}}}})");
  ASSERT_TRUE(converted);
  const FleetDocument fleet = read(converted->text);
  EXPECT_EQ(of_disk(vm_of(fleet, "twice"), "scsi1", "size"), "2GiB");
  for (const char* second : {"disk on scsi1", "iso", "net0", "tpm", "efidisk"})
    EXPECT_THAT(converted->remarks, Contains(HasSubstr(std::string("a second ") + second + " is not taken over")));
}

// Comments are read as strictly as the rest.
TEST(FromTerraform, WritesWhatYamlDoesNotTakeByItsNumber) {
  const auto converted = fleet_from_terraform(
      "{\"resource\": {\"proxmox_vm_qemu\": {\"a\\u0085\\u009b\\u007f\\ufeff\\u2028b\": "
      "{\"vmid\": 105, \"name\": \"fine\", \"hostpci\": [{\"device\": \"\\u009b\"}]}}}}");
  ASSERT_TRUE(converted);
  EXPECT_EQ(read(converted->text).vms.size(), 1U);
  EXPECT_THAT(converted->text, HasSubstr(R"(# proxmox_vm_qemu.a\u0085\u009b\u007f\ufeff\u2028b)"));
}

}  // namespace
}  // namespace pvr
