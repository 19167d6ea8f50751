#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/model/effective.h"
#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"
#include "reconciler/resolve/explain.h"
#include "schema/fleet_schema.h"
#include "tests/unit/policy/fleet_support.h"

// The real cases of the policy: what each must become, and what must not happen. Facts are built by hand.

namespace pvr::test {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;

const ResolvedDisk& disk_of(const ResolvedFleet& fleet, std::string_view vm, std::string_view disk) {
  const ResolvedVm* found = find_vm(fleet, vm);
  EXPECT_NE(found, nullptr) << vm;
  const ResolvedDisk* result = find_disk(*found, disk);
  EXPECT_NE(result, nullptr) << disk;
  return *result;
}

/// "cache=none" for every setting of the disk.
std::vector<std::string> settings_of(const ResolvedDisk& disk) {
  std::vector<std::string> out;
  for (const auto& [key, value] : disk.settings) {
    const Setting* setting = find_setting(Home::kDriveOption, key);
    if (setting == nullptr) setting = find_setting(Home::kDiskPlace, key);
    if (setting == nullptr) setting = find_setting(Home::kZvolProperty, key);
    out.push_back(key + "=" + print_option(*setting, value.value));
  }
  return out;
}

std::string option_of(const ResolvedFleet& fleet, std::string_view vm, std::string_view key) {
  const Resolved* found = find_vm(fleet, vm)->options.find(key);
  return found != nullptr ? print_option(*find_setting(Home::kVmOption, key), found->value) : "unset";
}

std::vector<std::string_view> finding_rules(const ResolvedFleet& fleet) {
  std::vector<std::string_view> out;
  for (const Finding& finding : fleet.findings) out.push_back(finding.rule);
  return out;
}

constexpr std::string_view kSan = R"(
storages:
  san: {type: lvm, vgname: vg_san, shared: true, snapshot-as-volume-chain: true, content: [images]}
lanes: {shared: san}
)";

std::string app_01(std::string_view storages) {
  return std::string(storages) + R"(
vms:
  app-01:
    vmid: 201
    role: generalized-linux
    disks: {root: {slot: scsi0, size: 64GiB}}
)";
}

TEST(GoldenCases, SharedThickLvmWithAVolumeChainGetsAnExplicitIoUring) {
  const std::string text = app_01(kSan);
  const ResolvedFleet fleet = resolve_or_die(text, observed_facts(text));
  EXPECT_THAT(
      settings_of(disk_of(fleet, "app-01", "root")),
      ElementsAre("aio=io_uring", "cache=none", "discard=on", "iothread=1", "size=64G", "slot=scsi0", "storage=san"));
  EXPECT_EQ(std::get<FromRule>(disk_of(fleet, "app-01", "root").settings.find("aio")->origin).rule, "A5");
}

TEST(GoldenCases, BeforePveNineTheChainKeepsAioUnsetAndSaysWhy) {
  const std::string text = app_01(kSan);
  Facts facts = observed_facts(text);
  facts.pve_major = 8;
  const ResolvedFleet fleet = resolve_or_die(text, facts);
  EXPECT_FALSE(disk_of(fleet, "app-01", "root").settings.contains("aio"));
  EXPECT_THAT(fleet.findings, Contains(Field(&Finding::what, HasSubstr("aio is left unset on 1 disk: before PVE 9"))));
}

TEST(GoldenCases, ThickLvmWithoutAChainLeavesAioUnset) {
  const std::string text = app_01(R"(
storages: {san: {type: lvm, vgname: vg_san, shared: true, content: [images]}}
lanes: {shared: san}
)");
  const ResolvedFleet fleet = resolve_or_die(text, observed_facts(text));
  EXPECT_FALSE(disk_of(fleet, "app-01", "root").settings.contains("aio"));
  EXPECT_THAT(finding_rules(fleet), Contains("A5"));
}

TEST(GoldenCases, WherePveAlreadyUsesIoUringTheUnsetOptionsMeanTheSame) {
  for (const std::string_view storage :
       {"{type: zfspool, pool: tank/vms, content: [images]}", "{type: dir, path: /srv, backing: ext4, shared: true}",
        "{type: lvmthin, vgname: a, thinpool: b}", "{type: nfs, server: a, export: /b}"}) {
    const std::string text = app_01("storages: {st: " + std::string(storage) + "}\nlanes: {shared: st}\n");
    const ResolvedFleet fleet = resolve_or_die(text, observed_facts(text));
    const ResolvedDisk& disk = disk_of(fleet, "app-01", "root");
    EXPECT_EQ(to_text(effective_aio(disk.facts.kind, disk.facts.format, CacheMode::kNone).value()),
              std::get<std::string>(disk.settings.find("aio")->value))
        << storage;
    EXPECT_EQ(to_text(effective_cache(disk.facts.kind)), std::get<std::string>(disk.settings.find("cache")->value))
        << storage;
  }
}

constexpr std::string_view kAi = R"(
storages:
  SSD-r10:
    type: zfspool
    pool: local-zfs-ssd-8tb-r10
    nodes: [pve1]
    content: [images, rootdir]
    media: ssd
    classes: {models: {blocksize: 128k}}
lanes:
  pinned: {pve1: SSD-r10}
vms:
  ai-01:
    vmid: 701
    role: specialty-linux
    node: pve1
    memory: 128GiB
    hostpci: [{mapping: gpu0, pcie: true}]
    disks:
      root: {slot: scsi0, size: 64GiB}
      models: {slot: scsi2, size: 256GiB, purpose: models}
)";

TEST(GoldenCases, TheModelsDiskMovesToTheClassOfItsBlockSize) {
  const ResolvedFleet fleet = resolve_or_die(kAi, observed_facts(kAi));
  EXPECT_THAT(settings_of(disk_of(fleet, "ai-01", "models")),
              ElementsAre("aio=io_uring", "cache=none", "discard=on", "iothread=1", "size=256G", "slot=scsi2", "ssd=1",
                          "storage=SSD-r10-models", "volblocksize=128k"));
  const ResolvedStorage* models = find_storage(fleet, "SSD-r10-models");
  ASSERT_NE(models, nullptr);
  EXPECT_EQ(models->class_of, "SSD-r10");
  EXPECT_EQ(std::get<std::string>(models->properties.find("pool")->value), "local-zfs-ssd-8tb-r10/models");
  EXPECT_EQ(std::get<ByteSize>(models->properties.find("blocksize")->value), 128_KiB);
  EXPECT_EQ(models->properties.find("nodes")->value, find_storage(fleet, "SSD-r10")->properties.find("nodes")->value);
}

TEST(GoldenCases, TheRootDiskStaysWhereItIs) {
  const ResolvedFleet fleet = resolve_or_die(kAi, observed_facts(kAi));
  const ResolvedDisk& root = disk_of(fleet, "ai-01", "root");
  EXPECT_THAT(settings_of(root), IsSupersetOf({"storage=SSD-r10", "volblocksize=16k", "ssd=1", "cache=none"}));
  EXPECT_TRUE(root.settings.find("volblocksize")->finding_only);
  EXPECT_FALSE(disk_of(fleet, "ai-01", "models").settings.find("volblocksize")->finding_only);
}

TEST(GoldenCases, PassthroughFixesMemoryAndMachine) {
  const ResolvedFleet fleet = resolve_or_die(kAi, observed_facts(kAi));
  EXPECT_EQ(option_of(fleet, "ai-01", "balloon"), "0");
  EXPECT_EQ(option_of(fleet, "ai-01", "machine"), "q35");
  EXPECT_EQ(option_of(fleet, "ai-01", "cpu"), "host");
  EXPECT_EQ(option_of(fleet, "ai-01", "numa"), "1");
  EXPECT_EQ(option_of(fleet, "ai-01", "scsihw"), "virtio-scsi-single");
  const ResolvedVm& vm = *find_vm(fleet, "ai-01");
  EXPECT_EQ(vm.mobility, Mobility::kPinned);
  EXPECT_THAT(vm.mobility_why, HasSubstr("gpu0"));
}

TEST(GoldenCases, AZfspoolWithoutSparseBecomesSparse) {
  const ResolvedFleet fleet = resolve_or_die(kAi, observed_facts(kAi));
  const Resolved* sparse = find_storage(fleet, "SSD-r10")->properties.find("sparse");
  ASSERT_NE(sparse, nullptr);
  EXPECT_EQ(sparse->value, OptionValue(true));
  EXPECT_EQ(std::get<FromRule>(sparse->origin).rule, "Z3");
}

std::string windows_desktop(std::string_view backing) {
  return R"(
storages:
  local: {type: dir, path: /var/lib/vz, content: [images], manage: false)" +
         (backing.empty() ? std::string() : ", backing: " + std::string(backing)) + R"(}
vms:
  win11-gpu-template:
    vmid: 1903
    role: specialty-windows
    node: pve2
    ostype: win11
    hostpci: [{mapping: gpu1, pcie: true}]
    disks: {root: {slot: scsi0, size: 128GiB, storage: local, disposable: true, media: ssd}}
)";
}

TEST(GoldenCases, AFileOnADatasetGetsNoWritebackHoweverDisposable) {
  const std::string text = windows_desktop("zfs");
  const ResolvedFleet fleet = resolve_or_die(text, observed_facts(text));
  EXPECT_THAT(settings_of(disk_of(fleet, "win11-gpu-template", "root")),
              ElementsAre("aio=io_uring", "cache=none", "discard=on", "iothread=1", "size=128G", "slot=scsi0", "ssd=1",
                          "storage=local"));
  EXPECT_THAT(fleet.findings, Contains(Field(&Finding::fix, "a move to a zfspool storage")));
}

TEST(GoldenCases, AnUnknownBackingIsTreatedAsZfsWithANotice) {
  const std::string text = windows_desktop("");
  const ResolvedFleet fleet = resolve_or_die(text, observed_facts(text));
  EXPECT_THAT(settings_of(disk_of(fleet, "win11-gpu-template", "root")), Contains("cache=none"));
  EXPECT_THAT(fleet.findings, Contains(Field(&Finding::what, HasSubstr("treated as ZFS"))));
}

TEST(GoldenCases, OnExt4TheDisposableDiskGetsWriteback) {
  const std::string text = windows_desktop("ext4");
  const ResolvedFleet fleet = resolve_or_die(text, observed_facts(text));
  const ResolvedDisk& root = disk_of(fleet, "win11-gpu-template", "root");
  EXPECT_THAT(settings_of(root), IsSupersetOf({"cache=writeback", "aio=io_uring"}));
  EXPECT_EQ(std::get<FromRule>(root.settings.find("cache")->origin).rule, "C3");
}

TEST(GoldenCases, OlderOpenZfsIsWarnedAboutFilesAndNeverOfferedWriteback) {
  const std::string text = windows_desktop("zfs");
  Facts facts = observed_facts(text);
  facts.zfs_major = 2;
  facts.zfs_minor = 2;
  const ResolvedFleet fleet = resolve_or_die(text, facts);
  EXPECT_THAT(fleet.findings, Contains(Field(&Finding::rule, "F2")));
  EXPECT_THAT(settings_of(disk_of(fleet, "win11-gpu-template", "root")), Contains("cache=none"));
}

std::string domain_controller(std::string_view disk) {
  return std::string(kSan) + R"(
vms:
  dc-01:
    vmid: 301
    role: generalized-windows
    ostype: win11
    ha: true
    disks: {root: {slot: scsi0, size: 80GiB)" +
         std::string(disk) + "}}\n";
}

TEST(GoldenCases, ADomainControllerGetsFirmwareFixedMemoryAndNoPageCache) {
  const std::string text = domain_controller("");
  const ResolvedFleet fleet = resolve_or_die(text, observed_facts(text));
  EXPECT_EQ(option_of(fleet, "dc-01", "bios"), "ovmf");
  EXPECT_EQ(option_of(fleet, "dc-01", "machine"), "q35");
  EXPECT_EQ(option_of(fleet, "dc-01", "balloon"), "0");
  EXPECT_EQ(option_of(fleet, "dc-01", "agent"), "1");
  EXPECT_EQ(option_of(fleet, "dc-01", "cpu"), "x86-64-v2-AES");
  EXPECT_THAT(settings_of(disk_of(fleet, "dc-01", "root")), Contains("cache=none"));
  EXPECT_THAT(settings_of(disk_of(fleet, "dc-01", "efidisk0")),
              ElementsAre("efitype=4m", "pre-enrolled-keys=1", "slot=efidisk0", "storage=san"));
  EXPECT_THAT(settings_of(disk_of(fleet, "dc-01", "tpmstate0")),
              ElementsAre("slot=tpmstate0", "storage=san", "version=v2.0"));
}

TEST(GoldenCases, WritebackForADomainControllerIsRefused) {
  const std::string text = domain_controller(", cache: writeback");
  const Checked<ResolvedFleet> fleet = resolve_text(text, observed_facts(text));
  EXPECT_FALSE(fleet.ok());
  ASSERT_EQ(fleet.diagnostics.size(), 1U);
  const Diagnostic& error = fleet.diagnostics.front();
  EXPECT_EQ(error.code, "policy.c2");
  EXPECT_THAT(error.detail, HasSubstr("cache=writeback is not allowed"));
  EXPECT_THAT(error.detail, HasSubstr("cache=none or cache=directsync"));
  EXPECT_TRUE(error.span.known());
}

TEST(GoldenCases, AnEfiDiskThatExistsIsNotRemade) {
  const std::string text = domain_controller("");
  Facts facts = observed_facts(text);
  facts.vm_node[301] = "pve1";
  facts.disk_storage[301] = {{"efidisk0", "san"}, {"scsi0", "san"}};
  const ResolvedFleet fleet = resolve_or_die(text, facts);
  EXPECT_THAT(settings_of(disk_of(fleet, "dc-01", "efidisk0")), ElementsAre("slot=efidisk0", "storage=san"));
}

TEST(GoldenCases, TheExampleFleetsResolveFromTheirTextAlone) {
  for (const std::string_view example : {"minimal", "homelab"}) {
    Checked<FleetDocument> loaded =
        load_fleet_file(std::string(PVERECONCILE_SOURCE_DIR "/examples/") + std::string(example) + "/fleet.yaml");
    ASSERT_TRUE(loaded.ok()) << rendered(loaded.diagnostics, *loaded.value);
    const auto document = std::make_shared<const FleetDocument>(std::move(*loaded.value));
    const Checked<ResolvedFleet> fleet = resolve(document, gather_facts(*document, nullptr));
    EXPECT_TRUE(fleet.ok()) << rendered(fleet.diagnostics, *document);
    EXPECT_THAT(fleet.value->vms, Not(IsEmpty()));
    for (const ResolvedVm& vm : fleet.value->vms) {
      EXPECT_FALSE(vm.mobility_why.empty()) << vm.name;
      for (const ResolvedDisk& disk : vm.disks) {
        if (disk.slot.bus != Bus::kScsi) continue;
        EXPECT_THAT(settings_of(disk), Contains("iothread=1")) << vm.name << "/" << disk.name;
      }
    }
  }
}

}  // namespace
}  // namespace pvr::test
