#include "reconciler/planning/diff.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/planning/world.h"

namespace pvr::testing {
namespace {

const VmDiff* of(const Diff& diff, std::string_view name) {
  const auto at = std::ranges::find_if(diff.vms, [&](const VmDiff& vm) { return vm.address.name == name; });
  return at != diff.vms.end() ? &*at : nullptr;
}
const SettingChange* change(const std::vector<SettingChange>& list, std::string_view key) {
  const auto at = std::ranges::find(list, key, &SettingChange::key);
  return at != list.end() ? &*at : nullptr;
}

// One option, declared as `desired`, live as `live` text.
std::optional<SettingChange> compare(std::string_view key, std::string_view desired, std::string_view live,
                                     PowerState power = PowerState::kRunning) {
  ResolvedVm wanted = vm("a", 201);
  set(wanted, key, desired);
  LiveState state = cluster();
  LiveVm present = guest(201, power);
  if (!live.empty()) set(present, key, live);
  put(state, present);
  const Diff result = diff(fleet({wanted}), state);
  const VmDiff* found = of(result, "a");
  const SettingChange* entry = found != nullptr ? change(found->options, key) : nullptr;
  return entry != nullptr ? std::optional(*entry) : std::nullopt;
}

TEST(DiffOption, PveWritesItsOwnWay) {
  EXPECT_FALSE(compare("memory", "2048", "current=2048"));
  EXPECT_FALSE(compare("tags", "Web;db", "db;web"));
  EXPECT_FALSE(compare("net0", "virtio,bridge=vmbr0", "virtio=BC:24:11:00:00:09,bridge=vmbr0"));
  EXPECT_FALSE(compare("machine", "q35", "pc-q35-9.0"));
  EXPECT_FALSE(compare("description", "hello", "hello\n"));
  EXPECT_FALSE(compare("cpuunits", "50000", "10000"));
  EXPECT_FALSE(compare("agent", "1", "enabled=1,fstrim_cloned_disks=1"));
  EXPECT_FALSE(compare("onboot", "0", ""));
  EXPECT_FALSE(compare("bios", "seabios", ""));
}

TEST(DiffReplication, AJobThatIsRightIsListedOnlyOnDemand) {
  ResolvedVm wanted = vm("a", 201);
  wanted.replication = {{.target = "pve2"}};
  LiveState state = cluster(true);
  put(state, guest(201));
  state.replication.push_back({.id = "201-0", .guest = {201}, .target = "pve2"});
  EXPECT_TRUE(diff(fleet({wanted}), state).replication.empty());
  const Diff whole = diff(fleet({wanted}), state, DiffDetail::kEverything);
  ASSERT_EQ(whole.replication.size(), 1U);
  EXPECT_EQ(whole.replication[0].id, "201-0");
  EXPECT_EQ(whole.replication[0].action, ReplicationDiff::Action::kNone);
}

TEST(DiffOption, RealDifferencesAreSeen) {
  EXPECT_TRUE(compare("memory", "4096", "2048"));
  EXPECT_TRUE(compare("machine", "q35", ""));
  EXPECT_TRUE(compare("machine", "q35", "pc-i440fx-9.0"));
  EXPECT_TRUE(compare("machine", "pc-q35-9.1", "pc-q35-9.0"));
  EXPECT_TRUE(compare("agent", "1", "0"));
  EXPECT_TRUE(compare("net0", "virtio,bridge=vmbr1", "virtio=BC:24:11:00:00:09,bridge=vmbr0"));
}

TEST(DiffOption, AKnownMacIsSentAgain) {
  const auto entry = compare("net0", "virtio,bridge=vmbr1", "virtio=BC:24:11:00:00:09,bridge=vmbr0");
  ASSERT_TRUE(entry);
  const auto* parts = std::get_if<PropertyString>(&entry->desired.value);
  ASSERT_NE(parts, nullptr);
  ASSERT_NE(parts->find("macaddr"), nullptr);
  EXPECT_EQ(*parts->find("macaddr"), "BC:24:11:00:00:09");
}

TEST(DiffOption, EffectDependsOnTheGuest) {
  EXPECT_EQ(compare("cores", "4", "2")->effect, TakesEffect::kAtRestart);
  EXPECT_EQ(compare("cores", "4", "2", PowerState::kStopped)->effect, TakesEffect::kAtOnce);
  EXPECT_EQ(compare("onboot", "1", "0")->effect, TakesEffect::kAtOnce);
  EXPECT_EQ(compare("net0", "virtio,bridge=vmbr1", "virtio=BC:24:11:00:00:09,bridge=vmbr0")->effect,
            TakesEffect::kHotplug);
  EXPECT_EQ(compare("memory", "4096", "2048")->effect, TakesEffect::kAtRestart);  // needs hotplug memory and numa
  EXPECT_EQ(compare("balloon", "0", "1024")->effect, TakesEffect::kAtRestart);
  EXPECT_EQ(compare("balloon", "512", "1024")->effect, TakesEffect::kAtOnce);
}

TEST(DiffOption, HotplugClassesAreReadFromTheGuest) {
  ResolvedVm wanted = vm("a", 201);
  set(wanted, "memory", "8192");
  set(wanted, "net0", "virtio,bridge=vmbr1");
  LiveState state = cluster();
  LiveVm present = guest(201);
  set(present, "memory", "4096");
  set(present, "net0", "virtio=BC:24:11:00:00:09,bridge=vmbr0");
  set(present, "numa", "1");
  set(present, "hotplug", "disk,memory");
  put(state, present);
  const Diff result = diff(fleet({wanted}), state);
  ASSERT_EQ(result.vms.size(), 1U);
  EXPECT_EQ(change(result.vms[0].options, "memory")->effect, TakesEffect::kHotplug);
  EXPECT_EQ(change(result.vms[0].options, "net0")->effect, TakesEffect::kAtRestart);
}

TEST(DiffOption, WrittenButNotActiveIsAStateOfItsOwn) {
  ResolvedVm wanted = vm("a", 201);
  set(wanted, "cores", "4");
  LiveState state = cluster();
  LiveVm present = guest(201);
  present.options.set("cores", LiveOption{.current = "2", .pending = "4"});
  put(state, present);
  const Diff result = diff(fleet({wanted}), state);
  ASSERT_EQ(result.vms.size(), 1U);
  const SettingChange* cores = change(result.vms[0].options, "cores");
  ASSERT_NE(cores, nullptr);
  EXPECT_EQ(cores->state, SettingState::kWaitsForRestart);
  EXPECT_EQ(cores->running, OptionValue(std::int64_t{2}));
  EXPECT_FALSE(has_changes(result));
}

TEST(DiffOption, AForeignPendingChangeIsNamedAndADeclaredOneIsCorrected) {
  ResolvedVm wanted = vm("a", 201);
  set(wanted, "cores", "4");
  LiveState state = cluster();
  LiveVm present = guest(201);
  present.options.set("cores", LiveOption{.current = "4", .pending = "8"});
  present.options.set("sockets", LiveOption{.current = "1", .pending = "2"});
  put(state, present);
  const Diff result = diff(fleet({wanted}), state);
  ASSERT_EQ(result.vms.size(), 1U);
  EXPECT_EQ(result.vms[0].foreign_pending, std::vector<std::string>{"sockets"});
  EXPECT_EQ(change(result.vms[0].options, "cores")->state, SettingState::kDiffers);
}

TEST(DiffDisk, OfADeclaredDiskOnlyWhatNobodyDeclaredIsForeign) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("root", "scsi0", "SSD-r10", "32G", "cache=none,discard=on")};
  const auto foreign = [&](std::string_view pending) {
    LiveState state = cluster();
    LiveVm present = guest(201);
    LiveDrive& drive = attach(present, "scsi0", "SSD-r10:vm-201-disk-0,backup=0,cache=none,size=32G");
    LiveVm after = guest(201);
    drive.pending = attach(after, "scsi0", pending).current;
    put(state, present);
    return diff(fleet({wanted}), state, DiffDetail::kEverything).vms.at(0).foreign_pending;
  };
  using Slots = std::vector<std::string>;
  EXPECT_EQ(foreign("SSD-r10:vm-201-disk-0,backup=0,cache=none,discard=on,size=32G"), Slots{});
  EXPECT_EQ(foreign("SSD-r10:vm-201-disk-0,backup=0,cache=none,size=32G,ssd=1"), Slots{"scsi0"});
  EXPECT_EQ(foreign("SSD-r10:vm-201-disk-0,cache=none,size=32G"), Slots{"scsi0"});
  EXPECT_EQ(foreign("SSD-r10:vm-201-disk-0,backup=1,cache=none,size=32G"), Slots{"scsi0"});
  EXPECT_EQ(foreign("SSD-r10:vm-201-disk-7,backup=0,cache=none,size=32G"), Slots{"scsi0"});
}

TEST(DiffOption, UndeclaredKeysAreLeftAlone) {
  LiveState state = cluster();
  LiveVm present = guest(201);
  set(present, "cores", "2");
  set(present, "meta", "creation-qemu=10.1");
  put(state, present);
  EXPECT_TRUE(diff(fleet({vm("a", 201)}), state).vms.empty());
}

TEST(DiffOption, AServerAppendedCdDriveIsNoBootOrderDrift) {
  ResolvedVm wanted = vm("a", 201);
  set(wanted, "boot", "order=scsi0");
  wanted.disks = {disk("root", "scsi0", "san", "32GiB")};
  LiveState state = cluster();
  LiveVm present = guest(201);
  set(present, "boot", "order=scsi0;ide2");
  attach(present, "scsi0", "san:vm-201-disk-0,size=32G");
  attach(present, "ide2", "local:iso/x.iso,media=cdrom");
  put(state, present);
  EXPECT_TRUE(diff(fleet({wanted}), state).vms.empty());
  set(*std::ranges::find(state.vms, Vmid{201}, &LiveVm::vmid), "boot", "order=net0;scsi0");
  EXPECT_FALSE(diff(fleet({wanted}), state).vms.empty());
}

// ---- the real cases of the policy: what unset means ----

struct UnsetCase {
  const char* storage;
  const char* size;
  bool aio_differs;
};

class UnsetAio : public ::testing::TestWithParam<UnsetCase> {};

TEST_P(UnsetAio, IsComparedByWhatPveDoesWithIt) {
  ResolvedVm wanted = vm("app-01", 201);
  set(wanted, "scsihw", "virtio-scsi-single");
  wanted.disks = {
      disk("root", "scsi0", GetParam().storage, "32GiB", "cache=none,aio=io_uring,iothread=1,discard=on,ssd=1")};
  LiveState state = cluster();
  LiveVm present = guest(201);
  set(present, "scsihw", "virtio-scsi-single");
  attach(present, "scsi0", std::string(GetParam().storage) + ":vm-201-disk-0,discard=on,iothread=1,size=32G,ssd=1");
  put(state, present);
  const Diff result = diff(fleet({wanted}), state);
  if (!GetParam().aio_differs) {
    EXPECT_TRUE(result.vms.empty());
    return;
  }
  ASSERT_EQ(result.vms.size(), 1U);
  ASSERT_EQ(result.vms[0].disks.size(), 1U);
  ASSERT_EQ(result.vms[0].disks[0].settings.size(), 1U);  // nothing else on the line, least of all cache
  const SettingChange& aio = result.vms[0].disks[0].settings[0];
  EXPECT_EQ(aio.key, "aio");
  EXPECT_EQ(aio.note, "unset (= native here)");
  EXPECT_EQ(aio.effect, TakesEffect::kAtRestart);
}

INSTANTIATE_TEST_SUITE_P(Storages, UnsetAio,
                         ::testing::Values(UnsetCase{"san", "32G", true}, UnsetCase{"SSD-r10", "32G", false},
                                           UnsetCase{"local", "32G", false}, UnsetCase{"nfs", "32G", false}),
                         [](const auto& p) { return std::string(p.param.storage).substr(0, 3); });

TEST(DiffDisk, TheGpuTemplateOnADirectoryOfADataset) {
  ResolvedVm wanted = vm("win11", 1903);
  wanted.disks = {disk("root", "scsi0", "", "128GiB", "cache=none,aio=io_uring,discard=on,ssd=1,iothread=1")};
  LiveState state = cluster();
  LiveVm present = guest(1903, PowerState::kStopped);
  attach(present, "scsi0", "local:1903/vm-1903-disk-1.raw,aio=threads,cache=writeback,discard=on,size=128G,ssd=1");
  put(state, present);
  const Diff result = diff(fleet({wanted}), state);
  ASSERT_EQ(result.vms.size(), 1U);
  const auto& settings = result.vms[0].disks.at(0).settings;
  std::vector<std::string> keys;
  for (const SettingChange& entry : settings) keys.push_back(entry.key);
  EXPECT_EQ(keys, (std::vector<std::string>{"aio", "cache", "iothread"}));
  EXPECT_FALSE(result.vms[0].disks[0].move_to);
}

TEST(DiffDisk, AnUnlistedOptionOfTheLineIsNoDifference) {
  ResolvedVm wanted = vm("ai-01", 701);
  wanted.disks = {disk("models", "scsi2", "SSD-r10-models", "256GiB", "discard=on,ssd=1,iothread=1")};
  LiveState state = cluster();
  LiveVm present = guest(701);
  attach(present, "scsi2", "SSD-r10:vm-701-disk-1,backup=0,size=256G");
  put(state, present);
  const Diff result = diff(fleet({wanted}), state);
  const DiskDiff& models = result.vms.at(0).disks.at(0);
  EXPECT_EQ(models.move_to, "SSD-r10-models");
  EXPECT_EQ(change(models.settings, "backup"), nullptr);
  EXPECT_NE(change(models.settings, "discard"), nullptr);
}

TEST(DiffDisk, SizesArePaddedAsTheStorageDoes) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("root", "scsi0", "SSD-r10", "10000000KiB")};
  LiveState state = cluster();
  LiveVm present = guest(201);
  attach(present, "scsi0", "SSD-r10:vm-201-disk-0,size=9766M");  // 10000000 KiB padded to 1 MiB
  put(state, present);
  EXPECT_TRUE(diff(fleet({wanted}), state).vms.empty());
}

TEST(DiffDisk, TheListedSizeCountsAndNotTheOneOnTheLine) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("root", "scsi0", "SSD-r10", "64GiB")};
  LiveState state = cluster();
  LiveVm present = guest(201);
  attach(present, "scsi0", "SSD-r10:vm-201-disk-0,size=32G");
  list_volume(state, "SSD-r10:vm-201-disk-0", 64_GiB, "pve1");
  put(state, present);
  EXPECT_TRUE(diff(fleet({wanted}), state).vms.empty());
}

TEST(DiffDisk, ShrinkingIsRefused) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("root", "scsi0", "SSD-r10", "16GiB")};
  LiveState state = cluster();
  LiveVm present = guest(201);
  attach(present, "scsi0", "SSD-r10:vm-201-disk-0,size=32G");
  put(state, present);
  const Diff result = diff(fleet({wanted}), state);
  EXPECT_NE(result.vms.at(0).disks.at(0).blocked.find("does not shrink"), std::string::npos);
  EXPECT_FALSE(result.vms.at(0).disks.at(0).grow_to);
}

TEST(DiffDisk, VolblocksizeThatNobodySeesIsNotInvented) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("data", "scsi1", "SSD-r10", "32GiB")};
  wanted.disks[0].settings.set("volblocksize", by_rule(Home::kZvolProperty, "volblocksize", "8k", "Z1"));
  LiveState state = cluster();
  LiveVm present = guest(201);
  attach(present, "scsi1", "SSD-r10:vm-201-disk-0,size=32G");
  put(state, present);
  EXPECT_TRUE(diff(fleet({wanted}), state).vms.empty());
  const Diff all = diff(fleet({wanted}), state, DiffDetail::kEverything);
  EXPECT_EQ(change(all.vms.at(0).disks.at(0).settings, "volblocksize")->state, SettingState::kCannotTell);
  state.volumes.at(0).volblocksize = 16_KiB;
  EXPECT_EQ(change(diff(fleet({wanted}), state).vms.at(0).disks.at(0).settings, "volblocksize")->state,
            SettingState::kDiffers);
  wanted.disks[0].settings.find("volblocksize")->finding_only = true;
  const Diff reported = diff(fleet({wanted}), state);
  EXPECT_FALSE(has_changes(reported));
  ASSERT_EQ(reported.findings.size(), 1U);
  EXPECT_EQ(reported.findings[0].rule, "Z1");
}

// ---- who a guest is ----

TEST(DiffGuest, AnotherUuidIsAnotherMachine) {
  ResolvedVm wanted = vm("a", 201);
  wanted.uuid = "11111111-2222-3333-4444-555555555555";
  LiveState state = cluster();
  put(state, guest(201));
  const Diff result = diff(fleet({wanted}), state);
  EXPECT_EQ(result.vms.at(0).presence, Presence::kWrongIdentity);
  wanted.uuid = "UUID-201";
  EXPECT_TRUE(diff(fleet({wanted}), state).vms.empty());
}

TEST(DiffGuest, AContainerHoldsTheNumber) {
  LiveState state = cluster();
  LiveVm present = guest(201);
  present.is_container = true;
  put(state, present);
  EXPECT_EQ(diff(fleet({vm("a", 201)}), state).vms.at(0).presence, Presence::kWrongIdentity);
}

TEST(DiffGuest, AnotherNodeIsAFinding) {
  LiveState state = cluster(true);
  LiveVm present = guest(201);
  present.node = "pve2";
  put(state, present);
  ResolvedVm wanted = vm("a", 201);
  wanted.mobility = Mobility::kPinned;
  const Diff result = diff(fleet({wanted}), state);
  EXPECT_FALSE(has_changes(result));
  ASSERT_EQ(result.findings.size(), 1U);
  EXPECT_EQ(result.findings[0].severity, Severity::kWarning);
}

TEST(DiffStorage, PropertiesAreComparedByMeaning) {
  ResolvedFleet wanted = fleet({});
  ResolvedStorage storage{.id = "SSD-r10", .type = "zfspool"};
  storage.properties.set("content", stated(Home::kStorageOption, "content", "rootdir,images"));
  storage.properties.set("sparse", stated(Home::kStorageOption, "sparse", "1"));
  storage.properties.set("blocksize", stated(Home::kStorageOption, "blocksize", "16K"));
  wanted.storages = {storage};
  LiveState state = cluster();
  EXPECT_FALSE(has_changes(diff(wanted, state)));
  std::ranges::find(state.storages, "SSD-r10", &LiveStorage::id)->properties.erase("sparse");
  const Diff result = diff(wanted, state);
  ASSERT_EQ(result.storages.size(), 1U);
  EXPECT_EQ(result.storages[0].properties.at(0).key, "sparse");
  EXPECT_EQ(result.storages[0].properties.at(0).effect, TakesEffect::kNewVolumesOnly);
}

TEST(DiffStorage, AFixedPropertyIsExplainedAndNeverWritten) {
  ResolvedFleet wanted = fleet({});
  ResolvedStorage storage{.id = "SSD-r10", .type = "zfspool"};
  storage.properties.set("pool", stated(Home::kStorageOption, "pool", "other"));
  wanted.storages = {storage};
  const LiveState state = cluster();
  const Plan made = plan(wanted, state);
  EXPECT_TRUE(made.empty());
  ASSERT_EQ(made.blocked.size(), 1U);
  EXPECT_NE(made.blocked[0].why.find("pool is tank"), std::string::npos) << made.blocked[0].why;
}

// Its jobs go with it.
TEST(DiffReplication, AGuestThatIsToGoWantsNone) {
  ResolvedVm gone = vm("a", 201);
  gone.state = VmState::kAbsent;
  gone.replication = {{.target = "pve2"}};
  LiveState state = cluster(true);
  put(state, guest(201));
  EXPECT_TRUE(diff(fleet({gone}), state).replication.empty());
  EXPECT_EQ(names(plan(fleet({gone}), state, {.allow = everything()})), "stop-vm destroy-vm");
}

}  // namespace
}  // namespace pvr::testing
