#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "reconciler/model/option_codec.h"
#include "tests/unit/schema/reading.h"

namespace pvr {
namespace {

template <class List>
const auto& named(const List& list, std::string_view name) {
  for (const auto& entry : list) {
    if (entry.name == name) return entry;
  }
  throw std::out_of_range(std::string(name));
}

/// The text PVE would get for an option of a guest.
std::string pve_text(const WrittenSettings& options, std::string_view key) {
  const auto* found = options.find(key);
  return found == nullptr ? "unset" : print_option(*find_setting(Home::kVmOption, key), found->value);
}

template <class T>
T held(const WrittenSettings& settings, std::string_view key) {
  const auto* found = settings.find(key);
  if (found == nullptr) throw std::out_of_range(std::string(key));
  return std::get<T>(found->value);
}

class Accepted : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    std::ifstream stream(std::filesystem::path(PVERECONCILE_SOURCE_DIR) / "tests/unit/schema/cases/accepted.yaml");
    fleet = load_text({std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()});
    ASSERT_TRUE(fleet.ok()) << said(fleet);
  }
  static Checked<FleetDocument> fleet;
  const FleetDocument& doc = *fleet.value;
  const WrittenVm& ai = named(doc.vms, "ai-01");
};
Checked<FleetDocument> Accepted::fleet = {};

TEST_F(Accepted, ClusterSaysHowToReachIt) {
  EXPECT_EQ(doc.cluster.endpoints.size(), 2U);
  EXPECT_EQ(doc.cluster.token_id->value, "ci@pve!plan");
  EXPECT_EQ(doc.cluster.ssh_user->value, "pvereconcile");
  EXPECT_TRUE(doc.cluster.ssh_sudo);
  EXPECT_EQ(doc.cluster.ssh_port, 2222);
  EXPECT_EQ(doc.cluster.ssh_hosts.find("pve1")->value, "10.0.0.1");
  EXPECT_EQ(doc.cluster.ssh_hosts.find("pve2")->value, "fd00::2");
  EXPECT_EQ(doc.cluster.ssh_local, std::nullopt);
  EXPECT_EQ(std::get<ByteSize>(doc.cluster.limits.find("copy_rate")->value), 200_MiB);
  EXPECT_EQ(std::get<std::int64_t>(doc.cluster.limits.find("retention")->value), 7 * 86400);
  EXPECT_EQ(doc.hash.size(), 64U);
}

TEST_F(Accepted, StoragesAndLanes) {
  const WrittenStorage* tank = nullptr;
  const WrittenStorage* local = nullptr;
  for (const auto& storage : doc.storages) {
    if (storage.id == "tank") tank = &storage;
    if (storage.id == "local") local = &storage;
  }
  ASSERT_TRUE(tank != nullptr && local != nullptr);
  EXPECT_EQ(held<StringList>(tank->properties, "nodes"), (StringList{"pve1", "pve2"}));
  EXPECT_EQ(held<ByteSize>(tank->properties, "blocksize"), 16_KiB);
  EXPECT_TRUE(held<bool>(tank->properties, "sparse"));
  EXPECT_EQ(tank->media->value, Media::kSsd);
  ASSERT_EQ(tank->classes.size(), 2U);
  EXPECT_EQ(tank->classes[0].name, "db");
  EXPECT_EQ(tank->classes[0].id->value, "tank-8k");
  EXPECT_EQ(held<ByteSize>(tank->classes[1].settings, "blocksize"), 128_KiB);
  EXPECT_TRUE(local->reference_only);
  EXPECT_EQ(local->backing->value, StorageKind::kZfsFile);
  EXPECT_EQ(named(doc.lanes, "shared").storage->value, "san");
  EXPECT_EQ(named(doc.lanes, "pinned").mobility, Mobility::kPinned);
  EXPECT_EQ(named(doc.lanes, "pinned").per_node.find("pve2")->value, "tank");
  EXPECT_EQ(named(doc.lanes, "archive").mobility, Mobility::kPinned);
}

TEST_F(Accepted, RolesAreThereWithTheBuiltIns) {
  EXPECT_TRUE(named(doc.roles, "specialty-linux").builtin);
  EXPECT_EQ(named(doc.roles, "specialty-linux").span.file, 0U);
  const WrittenRole& db = named(doc.roles, "db");
  EXPECT_EQ(db.os->value, GuestOs::kLinux);
  EXPECT_EQ(db.clone->value, "9000");
  EXPECT_EQ(held<std::string>(db.disk_defaults, "storage"), "tank-8k");
  EXPECT_EQ(pve_text(db.options, "boot"), "order=scsi0");
}

TEST_F(Accepted, OptionsBecomePveTexts) {
  EXPECT_EQ(pve_text(ai.options, "memory"), "131072");
  EXPECT_EQ(pve_text(ai.options, "balloon"), "0");
  EXPECT_EQ(pve_text(ai.options, "cpu"), "host,flags=+aes;-pcid");
  EXPECT_EQ(pve_text(ai.options, "cpulimit"), "3.5");
  EXPECT_EQ(pve_text(ai.options, "numa"), "1");
  EXPECT_EQ(pve_text(ai.options, "machine"), "q35,viommu=virtio");
  EXPECT_EQ(pve_text(ai.options, "agent"), "1,fstrim_cloned_disks=1");
  EXPECT_EQ(pve_text(ai.options, "tags"), "ai;ai-2;lab");
  EXPECT_EQ(pve_text(ai.options, "description"), "Two lines,\nwith a comma.");
  EXPECT_EQ(pve_text(ai.options, "hostpci0"), "mapping=gpu0,pcie=1,x-vga=1");
  EXPECT_EQ(pve_text(ai.options, "hostpci3"), "41:00.0");
  EXPECT_EQ(pve_text(ai.options, "usb0"), "mapping=dongle,usb3=1");
  EXPECT_EQ(pve_text(ai.options, "serial1"), "socket");
  EXPECT_EQ(pve_text(ai.options, "rng0"), "/dev/urandom");
  EXPECT_EQ(pve_text(ai.options, "startup"), "2,up=30");
  EXPECT_EQ(pve_text(ai.options, "hotplug"), "disk,network");
  EXPECT_EQ(pve_text(ai.options, "tdf"), "1");
  EXPECT_EQ(pve_text(ai.options, "numa0"), "cpus=0-7,memory=65536");
  EXPECT_EQ(pve_text(ai.options, "boot"), "order=scsi0;net0;ide2");
  EXPECT_EQ(pve_text(ai.options, "ide2"), "local:iso/debian-13.iso,media=cdrom");
}

TEST_F(Accepted, NetsTakeOverTheNetOfTheirRoleAndLeaveTheModelOpen) {
  auto net0 = held<PropertyString>(ai.options, "net0");
  EXPECT_EQ(*net0.find("bridge"), "vmbr0");
  EXPECT_EQ(*net0.find("tag"), "20");
  EXPECT_EQ(*net0.find("macaddr"), "BC:24:11:00:00:01");
  EXPECT_EQ(*net0.find("trunks"), "30;40");
  EXPECT_EQ(net0.find("model"), nullptr);
  EXPECT_EQ(*held<PropertyString>(ai.options, "net1").find("mtu"), "9000");
}

TEST_F(Accepted, DisksAreSortedByNameAndHoldCatalogueKeys) {
  std::string names;
  for (const WrittenDisk& disk : ai.disks) names += disk.name + " ";
  EXPECT_EQ(names, "cloudinit efidisk gone models old root tpm ");
  const WrittenDisk& root = named(ai.disks, "root");
  EXPECT_EQ(held<std::string>(root.settings, "slot"), "scsi0");
  EXPECT_EQ(held<ByteSize>(root.settings, "size"), 64_GiB);
  EXPECT_EQ(held<std::int64_t>(root.settings, "iops_rd"), 5000);
  EXPECT_EQ(held<double>(root.settings, "mbps"), 100.5);
  EXPECT_TRUE(held<bool>(root.settings, "backup"));
  const WrittenDisk& models = named(ai.disks, "models");
  EXPECT_EQ(held<ByteSize>(models.settings, "size"), 1536_GiB);
  EXPECT_EQ(held<ByteSize>(models.settings, "volblocksize"), 128_KiB);
  EXPECT_EQ(models.snapshots, "keep");
  EXPECT_TRUE(named(ai.disks, "old").detached);
  EXPECT_TRUE(named(ai.disks, "gone").absent);
  EXPECT_EQ(held<std::string>(named(ai.disks, "efidisk").settings, "slot"), "efidisk0");
  EXPECT_TRUE(held<bool>(named(ai.disks, "efidisk").settings, "pre-enrolled-keys"));
  EXPECT_EQ(held<std::string>(named(ai.disks, "tpm").settings, "version"), "v2.0");
  EXPECT_EQ(held<std::string>(named(ai.disks, "cloudinit").settings, "slot"), "ide0");
  EXPECT_EQ(held<std::string>(ai.disk_defaults, "discard"), "on");
  EXPECT_EQ(pve_text(ai.options, "scsi7"), "/dev/disk/by-id/nvme-1,discard=on");
}

TEST_F(Accepted, CloudInitBecomesItsKeys) {
  EXPECT_EQ(pve_text(ai.options, "ciuser"), "admin");
  EXPECT_EQ(held<std::string>(ai.options, "sshkeys"), "ssh-ed25519 AAAAC3 admin@lab");
  EXPECT_EQ(pve_text(ai.options, "ipconfig0"), "gw=192.0.2.1,ip=192.0.2.10/24,ip6=auto");
  EXPECT_EQ(pve_text(ai.options, "ipconfig1"), "ip=dhcp");
  EXPECT_EQ(pve_text(ai.options, "nameserver"), "192.0.2.53 192.0.2.54");
  EXPECT_EQ(pve_text(ai.options, "searchdomain"), "lab.example");
  EXPECT_EQ(pve_text(ai.options, "ciupgrade"), "0");
  EXPECT_EQ(pve_text(ai.options, "cicustom"), "user=local:snippets/user.yaml");
}

TEST_F(Accepted, TheRestOfAVm) {
  EXPECT_EQ(ai.vmid.value.number, 701U);
  EXPECT_EQ(ai.state.value, VmState::kRunning);
  EXPECT_EQ(ai.uuid->value, "8d2c9c1e-7a5b-4b62-9f0c-0d6a4c1f2b3e");
  EXPECT_TRUE(ai.allow.restart && ai.allow.offline_copy && !ai.allow.destroy);
  EXPECT_EQ(ai.maintenance->value, "Sat 02:00-05:00, Sun 22:00-04:00");
  ASSERT_EQ(ai.replication.size(), 1U);
  EXPECT_EQ(ai.replication[0].target, "pve2");
  EXPECT_FALSE(ai.ha.has_value());
  const WrittenVm& db = named(doc.vms, "db-01");
  EXPECT_TRUE(db.ha->enabled);
  EXPECT_EQ(held<std::int64_t>(db.ha->settings, "max_restart"), 2);
  EXPECT_FALSE(held<bool>(db.ha->settings, "failback"));
  const WrittenVm& gone = named(doc.vms, "gone-01");
  EXPECT_EQ(gone.state.value, VmState::kAbsent);
  EXPECT_TRUE(gone.linked_clone);
  EXPECT_EQ(pve_text(gone.options, "sata1"), "none,media=cdrom");
  EXPECT_EQ(held<std::string>(named(gone.disks, "tpm").settings, "version"), "v1.2");
}

TEST_F(Accepted, EverySettingKnowsItsPlace) {
  const auto* memory = ai.options.find("memory");
  EXPECT_EQ(
      doc.sources->line(memory->span.file, memory->span.line).substr(memory->span.column - 1, memory->span.length),
      "128GiB");
}

TEST(Lowering, DoesNotDependOnTheOrderOfKeys) {
  Checked<FleetDocument> one = load_text(
      "version: 1\nvms: {a: {vmid: 100, boot: [root], disks: {root: {slot: scsi0, size: 1GiB}}}, b: {vmid: 101}}\n");
  Checked<FleetDocument> two = load_text(
      "vms: {b: {vmid: 101}, a: {disks: {root: {size: 1GiB, slot: scsi0}}, boot: [root], vmid: 100}}\nversion: 1\n");
  ASSERT_TRUE(one.ok() && two.ok()) << said(one) << said(two);
  ASSERT_EQ(one.value->vms.size(), two.value->vms.size());
  for (std::size_t i = 0; i < one.value->vms.size(); ++i) {
    EXPECT_EQ(one.value->vms[i].name, two.value->vms[i].name);
    EXPECT_EQ(pve_text(one.value->vms[i].options, "boot"), pve_text(two.value->vms[i].options, "boot"));
  }
  EXPECT_NE(one.value->hash, two.value->hash);
}

TEST(Lowering, PlainTextsThatLookLikeSomethingElseStayTexts) {
  Checked<FleetDocument> fleet =
      load_text("version: 1\nvms: {a: {vmid: 100, description: no, tags: [1, yes], keyboard: no, clone: 9000}}\n");
  ASSERT_TRUE(fleet.ok()) << said(fleet);
  EXPECT_EQ(pve_text(fleet.value->vms[0].options, "description"), "no");
  EXPECT_EQ(pve_text(fleet.value->vms[0].options, "keyboard"), "no");
  EXPECT_EQ(pve_text(fleet.value->vms[0].options, "tags"), "1;yes");
}

TEST(Lowering, MaintenanceWindowsAreThoseThePlannerKnows) {
  auto accepted = [](const std::string& text) {
    return load_text("version: 1\nvms: {a: {vmid: 100, maintenance: \"" + text + "\"}}\n").ok();
  };
  EXPECT_TRUE(accepted("02:00-05:00"));
  EXPECT_TRUE(accepted("Sat 22:00-04:00"));
  EXPECT_TRUE(accepted("Sat 02:00-05:00,Sun 01:00-02:00"));
  for (const char* text : {"", "Sat", "Sat,Sun 02:00-05:00", "Mon-Fri 02:00-05:00", "24:00-05:00", "02:00-02:00",
                           "2:00-5:00", "02:60-05:00", "02:00-05:00,", "Caturday 02:00-05:00"}) {
    EXPECT_FALSE(accepted(text)) << text;
  }
}

TEST(Lowering, TheCloudInitDriveTakesAFreeSlot) {
  Checked<FleetDocument> fleet = load_text(
      "version: 1\nvms:\n  a: {vmid: 100, cloud_init: {user: x}, iso: {volume: none, slot: ide1}, disks: {root: {slot: "
      "ide0, size: 1GiB}}}\n"
      "  b: {vmid: 101, cloud_init: {slot: scsi9}}\n");
  ASSERT_TRUE(fleet.ok()) << said(fleet);
  EXPECT_EQ(held<std::string>(named(fleet.value->vms[0].disks, "cloudinit").settings, "slot"), "ide2");
  EXPECT_EQ(held<std::string>(named(fleet.value->vms[1].disks, "cloudinit").settings, "slot"), "scsi9");
}

}  // namespace
}  // namespace pvr
