#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/planning/world.h"

namespace pvr::testing {
namespace {

using Flag = Allowance;

// ai-01 of the policy: its models disk belongs on the storage with 128k blocks.
ResolvedVm ai() {
  ResolvedVm wanted = vm("ai-01", 701);
  wanted.disks = {
      disk("models", "scsi2", "SSD-r10-models", "256GiB", "aio=io_uring,cache=none,discard=on,iothread=1,ssd=1"),
      disk("root", "scsi0", "SSD-r10", "64GiB", "aio=io_uring,cache=none,discard=on,iothread=1,ssd=1")};
  return wanted;
}
LiveState ai_live(PowerState power = PowerState::kRunning) {
  LiveState state = cluster();
  LiveVm present = guest(701, power);
  attach(present, "scsi0", "SSD-r10:vm-701-disk-0,discard=on,iothread=1,size=64G,ssd=1");
  attach(present, "scsi2", "SSD-r10:vm-701-disk-1,size=256G");
  put(state, present);
  return state;
}

// Applies the plan and expects that nothing is left to do.
void expect_settled(const ResolvedFleet& fleet, LiveState state, PlanOptions options) {
  const Plan first = plan(fleet, state, options);
  apply(state, first);
  const Plan second = plan(fleet, state, options);
  EXPECT_TRUE(second.empty()) << "first:\n" << show(first) << "then:\n" << show(second);
}

TEST(PlanMove, ModelsDiskMovesFirstAndThenGetsItsOptions) {
  const LiveState state = ai_live();
  const Plan made = plan(fleet({ai()}), state);
  EXPECT_EQ(names(made), "move-disk set-drive-options") << show(made);
  const Operation& move = made.operations[0];
  EXPECT_EQ(move.impact, Impact::kOnlineCopy);
  ASSERT_TRUE(move.copy);
  EXPECT_EQ(move.copy->bytes, 256_GiB);
  EXPECT_EQ(move.copy->peak_extra, 256_GiB);
  EXPECT_EQ(move.copy->downtime.count(), 0);
  EXPECT_EQ(move.copy->estimate.count(), 2622);  // 256 GiB at the assumed 100 MiB/s
  EXPECT_EQ(made.operations[1].impact, Impact::kPendingRestart);
  const SetDriveOptions options = all<SetDriveOptions>(made).at(0);
  EXPECT_EQ(options.slot, slot("scsi2"));
  EXPECT_TRUE(options.volume.name.empty());  // made by the move
  EXPECT_EQ(options.set.size(), 3U);         // unset cache and aio already mean the wanted values
  EXPECT_NE(move.changes.at(0).reason.find("volblocksize 128KiB"), std::string::npos) << move.changes.at(0).reason;
  expect_settled(fleet({ai()}), state, {});
}

TEST(PlanMove, TheOldVolumeStaysAsUnused) {
  LiveState state = ai_live();
  apply(state, plan(fleet({ai()}), state));
  const LiveDrive* unused = state.vm({701})->drive(slot("unused0"));
  ASSERT_NE(unused, nullptr);
  EXPECT_EQ(unused->current->volume, (VolumeId{"SSD-r10", "vm-701-disk-1"}));
}

TEST(PlanMove, WithAllowRestartOneRestartEndsIt) {
  const Plan made = plan(fleet({ai()}), ai_live(), {.allow = {.restart = true}});
  EXPECT_EQ(names(made), "move-disk set-drive-options restart-vm") << show(made);
  EXPECT_EQ(made.operations[2].after, (std::vector<OperationId>{1, 2}));
  expect_settled(fleet({ai()}), ai_live(), {.allow = {.restart = true}});
}

TEST(PlanMove, APendingChangeOnTheDiskBlocksItOrIsRestartedAway) {
  LiveState state = ai_live();
  LiveVm& present = state.vms[0];
  LiveDrive& models = present.drives[1];
  models.pending = *models.current;
  models.pending->options.set("ssd", option(Home::kDriveOption, "ssd", "1"));
  const Plan blocked = plan(fleet({ai()}), state);
  EXPECT_TRUE(all<MoveDisk>(blocked).empty()) << show(blocked);
  ASSERT_EQ(blocked.blocked.size(), 1U);
  EXPECT_NE(blocked.blocked[0].remedy.find("--allow restart"), std::string::npos);
  const Plan made = plan(fleet({ai()}), state, {.allow = {.restart = true}});
  EXPECT_EQ(names(made), "set-drive-options restart-vm move-disk") << show(made);
  expect_settled(fleet({ai()}), state, {.allow = {.restart = true}});
}

// The reason for the rule above, as PVE does it: the model brings the old volume back.
TEST(PlanMove, ThePendingTrapIsReal) {
  LiveState state = ai_live();
  LiveDrive& models = state.vms[0].drives[1];
  models.pending = *models.current;
  Plan wrong;
  wrong.operations.push_back(
      {.id = 1,
       .procedure = MoveDisk{
           .vmid = {701}, .slot = slot("scsi2"), .volume = {"SSD-r10", "vm-701-disk-1"}, .storage = "SSD-r10-models"}});
  wrong.operations.push_back({.id = 2, .procedure = RestartVm{.vmid = {701}}});
  apply(state, wrong);
  EXPECT_EQ(state.vm({701})->drive(slot("scsi2"))->current->volume->storage, "SSD-r10");
}

TEST(PlanMove, SnapshotsStandInTheWay) {
  LiveState state = ai_live();
  state.vms[0].snapshots = {{.name = "before"}};
  const Plan made = plan(fleet({ai()}), state, {.allow = everything()});
  EXPECT_TRUE(all<MoveDisk>(made).empty());
  ASSERT_EQ(made.blocked.size(), 1U);
  EXPECT_NE(made.blocked[0].remedy.find("qm delsnapshot 701"), std::string::npos);
  state.vms[0].snapshots.clear();
  state.vms[0].snapshots_known = false;
  set(state.vms[0], "parent", "before");  // what the config tells without a list
  EXPECT_TRUE(all<MoveDisk>(plan(fleet({ai()}), state)).empty());
}

TEST(PlanMove, AStoppedGuestIsCopiedOfflineOnlyWhenAllowed) {
  const LiveState state = ai_live(PowerState::kStopped);
  const Plan refused = plan(fleet({ai()}), state);
  EXPECT_TRUE(all<MoveDisk>(refused).empty());
  EXPECT_EQ(all<SetDriveOptions>(refused).size(), 1U);  // the rest is done
  const Plan made = plan(fleet({ai()}), state, {.allow = {.offline_copy = true}});
  ASSERT_EQ(all<MoveDisk>(made).size(), 1U);
  EXPECT_EQ(made.operations[0].impact, Impact::kOfflineCopy);
  EXPECT_EQ(made.operations[0].copy->downtime, made.operations[0].copy->estimate);
  expect_settled(fleet({ai()}), state, {.allow = {.offline_copy = true}});
  // 256 GiB at 128 MiB/s, without a remainder.
  const Plan limited =
      plan(fleet({ai()}), state, {.allow = {.offline_copy = true}, .copy_rate = {.bytes_per_second = (128_MiB).bytes}});
  EXPECT_EQ(limited.operations[0].copy->estimate.count(), 2048);
}

// Rule A5: an explicit io_uring must go before a running disk may move to thick LVM, and comes back there.
struct IoUring {
  ResolvedVm wanted = vm("app", 201);
  LiveState state = cluster();
  IoUring() {
    wanted.disks = {disk("root", "scsi0", "san", "32GiB", "aio=io_uring")};
    LiveVm present = guest(201);
    attach(present, "scsi0", "nfs:201/vm-201-disk-0.raw,aio=io_uring,size=32G");
    put(state, present);
  }
};

TEST(PlanMove, ExplicitIoUringBlocksALiveMoveToThickLvm) {
  IoUring world;
  const Plan made = plan(fleet({world.wanted}), world.state);
  EXPECT_TRUE(made.empty()) << show(made);
  ASSERT_EQ(made.blocked.size(), 1U);
  EXPECT_NE(made.blocked[0].why.find("io_uring"), std::string::npos);
}

TEST(PlanMove, WithRestartsIoUringGoesAndComesBack) {
  IoUring world;
  const Plan made = plan(fleet({world.wanted}), world.state, {.allow = {.restart = true}});
  EXPECT_EQ(names(made), "set-drive-options restart-vm move-disk set-drive-options restart-vm") << show(made);
  EXPECT_EQ(*all<SetDriveOptions>(made)[0].set.find("aio"), "");
  EXPECT_EQ(*all<SetDriveOptions>(made)[1].set.find("aio"), "io_uring");
  expect_settled(fleet({world.wanted}), world.state, {.allow = {.restart = true}});
}

TEST(PlanMove, OfflineCopyNeedsNoDetour) {
  IoUring world;
  const Plan made = plan(fleet({world.wanted}), world.state, {.allow = {.offline_copy = true}});
  EXPECT_EQ(names(made), "stop-vm move-disk start-vm") << show(made);
  expect_settled(fleet({world.wanted}), world.state, {.allow = {.offline_copy = true}});
}

TEST(PlanMove, AnUnsetAioMovesFirstAndIsSetThere) {
  ResolvedVm wanted = vm("app", 201);
  wanted.disks = {disk("root", "scsi0", "san", "32GiB", "aio=io_uring")};
  LiveState state = cluster();
  LiveVm present = guest(201);
  attach(present, "scsi0", "nfs:201/vm-201-disk-0.raw,size=32G");
  put(state, present);
  const Plan made = plan(fleet({wanted}), state);
  EXPECT_EQ(names(made), "move-disk set-drive-options") << show(made);
  // Refused, the move leaves nothing to set: unset means io_uring where the disk is.
  state.vms[0].snapshots = {{.name = "s"}};
  EXPECT_TRUE(plan(fleet({wanted}), state).empty());
}

TEST(PlanMove, TpmStateOfARunningGuestWaitsForAStop) {
  ResolvedVm wanted = vm("win", 301);
  wanted.disks = {disk("tpm", "tpmstate0", "SSD-r10", "")};
  LiveState state = cluster();
  LiveVm present = guest(301);
  attach(present, "tpmstate0", "san:vm-301-disk-1,size=4M,version=v2.0");
  put(state, present);
  EXPECT_TRUE(plan(fleet({wanted}), state, {.allow = {.restart = true}}).empty());
  EXPECT_EQ(names(plan(fleet({wanted}), state, {.allow = {.offline_copy = true}})), "stop-vm move-disk start-vm");
}

TEST(PlanMove, ReplicationKeepsDisksOnZfs) {
  ResolvedVm wanted = ai();
  wanted.disks[0].settings.find("storage")->value = std::string("nfs");
  LiveState state = ai_live();
  state.replication.push_back({.id = "701-0", .guest = {701}, .target = "pve2"});
  const Plan made = plan(fleet({wanted}), state);
  EXPECT_TRUE(all<MoveDisk>(made).empty());
  ASSERT_EQ(made.blocked.size(), 1U);
  EXPECT_NE(made.blocked[0].why.find("replicated"), std::string::npos);
}

TEST(PlanMove, AllCopiesOfAPlanTogetherMustFit) {
  // 1 TiB with 100 GiB used: one copy of 500 GiB stays below 90 %, two would not.
  std::vector<ResolvedVm> wanted;
  LiveState state = cluster();
  for (const std::uint32_t id : {801U, 802U}) {
    wanted.push_back(vm("vm-" + std::to_string(id), id));
    wanted.back().disks = {disk("data", "scsi0", "nfs", "500GiB")};
    LiveVm present = guest(id);
    attach(present, "scsi0", "SSD-r10:vm-" + std::to_string(id) + "-disk-0,size=500G");
    put(state, present);
  }
  const Plan made = plan(fleet(wanted), state);
  EXPECT_EQ(all<MoveDisk>(made).size(), 1U);
  ASSERT_EQ(made.blocked.size(), 1U);
  EXPECT_NE(made.blocked[0].why.find("Z10"), std::string::npos) << made.blocked[0].why;
  EXPECT_EQ(all<MoveDisk>(plan(fleet(wanted), state, {.force_capacity = true})).size(), 2U);
}

TEST(PlanMove, ZfsStoragesOnOnePoolShareItsSpace) {
  LiveState state = cluster();
  LiveVm present = guest(701);
  attach(present, "scsi0", "nfs:701/vm-701-disk-0.raw,size=500G");
  attach(present, "scsi1", "nfs:701/vm-701-disk-1.raw,size=500G");
  put(state, present);
  ResolvedVm wanted = vm("ai", 701);
  wanted.disks = {disk("a", "scsi0", "SSD-r10", "500GiB"), disk("b", "scsi1", "SSD-r10-models", "500GiB")};
  EXPECT_EQ(all<MoveDisk>(plan(fleet({wanted}), state)).size(), 1U);
}

// ---- options ----

TEST(PlanOptionsOfVm, LiveAndPendingTravelApart) {
  ResolvedVm wanted = vm("a", 201);
  set(wanted, "cores", "4");
  set(wanted, "onboot", "1");
  LiveState state = cluster();
  put(state, guest(201));
  const Plan made = plan(fleet({wanted}), state);
  const auto writes = all<SetVmOptions>(made);
  ASSERT_EQ(writes.size(), 2U) << show(made);
  EXPECT_TRUE(writes[0].set.contains("onboot"));
  EXPECT_FALSE(writes[0].set.contains("cores"));
  EXPECT_EQ(made.operations[0].impact, Impact::kLive);
  EXPECT_EQ(made.operations[1].impact, Impact::kPendingRestart);
  expect_settled(fleet({wanted}), state, {});
}

TEST(PlanOptionsOfVm, WhatWaitsIsNotSentTwice) {
  ResolvedVm wanted = vm("a", 201);
  set(wanted, "cores", "4");
  LiveState state = cluster();
  put(state, guest(201));
  apply(state, plan(fleet({wanted}), state));
  const Plan second = plan(fleet({wanted}), state);
  EXPECT_TRUE(second.empty());
  ASSERT_EQ(second.waiting.size(), 1U);
  EXPECT_EQ(second.waiting[0].key, "cores");
  EXPECT_EQ(names(plan(fleet({wanted}), state, {.allow = {.restart = true}})), "restart-vm");
}

TEST(PlanOptionsOfVm, TheControllerOfAStoppedGuestIsWrittenOnce) {
  ResolvedVm wanted = vm("a", 201);
  set(wanted, "scsihw", "virtio-scsi-single");
  set(wanted, "cores", "4");
  LiveState state = cluster();
  put(state, guest(201, PowerState::kStopped));
  const Plan made = plan(fleet({wanted}), state);
  const auto writes = all<SetVmOptions>(made);
  EXPECT_EQ(std::ranges::count_if(writes, [](const SetVmOptions& one) { return one.set.contains("scsihw"); }), 1)
      << show(made);
}

TEST(PlanOptionsOfVm, ThrottlesGoWithoutTheRest) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("root", "scsi0", "SSD-r10", "32GiB", "discard=on,mbps_rd=100")};
  LiveState state = cluster();
  LiveVm present = guest(201);
  attach(present, "scsi0", "SSD-r10:vm-201-disk-0,size=32G");
  put(state, present);
  const Plan made = plan(fleet({wanted}), state);
  const auto writes = all<SetDriveOptions>(made);
  ASSERT_EQ(writes.size(), 2U) << show(made);
  EXPECT_TRUE(writes[0].set.contains("mbps_rd"));
  EXPECT_EQ(writes[0].set.size(), 1U);
  EXPECT_EQ(made.operations[0].impact, Impact::kLive);
  EXPECT_EQ(made.operations[1].after, std::vector<OperationId>{1});
}

TEST(PlanOptionsOfVm, RootOnlyOptionsAreNamedWithTheirCommand) {
  ResolvedVm wanted = vm("a", 201);
  set(wanted, "args", "-foo");
  LiveState state = cluster();
  put(state, guest(201));
  const Plan made = plan(fleet({wanted}), state);
  EXPECT_TRUE(made.empty());
  ASSERT_EQ(made.blocked.size(), 1U);
  EXPECT_NE(made.blocked[0].remedy.find("qm set 201 --args '-foo'"), std::string::npos) << made.blocked[0].remedy;
  EXPECT_FALSE(plan(fleet({wanted}), state, {.as_root = true}).empty());
}

TEST(PlanOptionsOfVm, ALockedGuestIsLeftAlone) {
  ResolvedVm wanted = vm("a", 201);
  set(wanted, "cores", "4");
  LiveState state = cluster();
  LiveVm present = guest(201);
  present.lock = "backup";
  put(state, present);
  const Plan made = plan(fleet({wanted}), state);
  EXPECT_TRUE(made.empty());
  ASSERT_EQ(made.blocked.size(), 1U);
  EXPECT_FALSE(made.blocked[0].by_policy);
}

TEST(PlanOptionsOfVm, MaintenanceWindowAllowsTheRestart) {
  ResolvedVm wanted = vm("a", 201);
  set(wanted, "cores", "4");
  wanted.maintenance = "Sat 02:00-05:00";
  LiveState state = cluster();
  put(state, guest(201));
  const std::chrono::sys_days saturday = std::chrono::year(2026) / 11 / 21;
  EXPECT_EQ(all<RestartVm>(plan(fleet({wanted}), state, {.now = saturday + std::chrono::hours(3)})).size(), 1U);
  EXPECT_EQ(all<RestartVm>(plan(fleet({wanted}), state, {.now = saturday + std::chrono::hours(5)})).size(), 0U);
  EXPECT_EQ(all<RestartVm>(plan(fleet({wanted}), state,
                                {.now = saturday + std::chrono::hours(1), .utc_offset = std::chrono::minutes(60)}))
                .size(),
            1U);
}

TEST(MaintenanceWindow, DaysHoursAndNights) {
  const std::chrono::sys_days saturday = std::chrono::year(2026) / 11 / 21;
  const auto in = [&](std::string_view text, int hour) {
    return in_maintenance_window(text, saturday + std::chrono::hours(hour), {});
  };
  EXPECT_TRUE(in("02:00-05:00", 2));
  EXPECT_FALSE(in("Sun 02:00-05:00", 2));
  EXPECT_TRUE(in("Fri 22:00-04:00", 3));  // the night after Friday
  EXPECT_TRUE(in("Sat 22:00-04:00", 23));
  EXPECT_FALSE(in("Sat 22:00-04:00", 3));
  EXPECT_TRUE(in("Mon 01:00-02:00, Sat 02:00-24:00", 23));
  for (const char* bad : {"", "Sat", "Sat 2-5", "Foo 02:00-05:00", "02:00", "25:00-26:00", "02:0-05:00"})
    EXPECT_FALSE(in(bad, 3)) << bad;
}

// ---- creation ----

ResolvedVm new_vm() {
  ResolvedVm wanted = vm("new", 500);
  set(wanted, "cores", "2");
  set(wanted, "memory", "2048");
  set(wanted, "net0", "virtio,bridge=vmbr0");
  set(wanted, "scsihw", "virtio-scsi-single");
  set(wanted, "tags", "b;a");
  wanted.disks = {disk("data", "scsi1", "san", "100GiB", "aio=io_uring,cache=none,discard=on"),
                  disk("root", "scsi0", "SSD-r10", "32GiB", "aio=io_uring,cache=none,discard=on")};
  wanted.state = VmState::kRunning;
  return wanted;
}

TEST(PlanCreate, AnEmptyGuestInOneCallThenStarted) {
  const LiveState state = cluster();
  const Plan made = plan(fleet({new_vm()}), state);
  EXPECT_EQ(names(made), "create-vm start-vm") << show(made);
  const CreateVm create = all<CreateVm>(made).at(0);
  EXPECT_EQ(create.node, "pve1");
  EXPECT_EQ(*create.disks.find("scsi0"), "SSD-r10:32,discard=on");  // unset already means none and io_uring
  EXPECT_EQ(*create.disks.find("scsi1"), "san:100,aio=io_uring,discard=on");
  EXPECT_EQ(*create.options.find("name"), "new");
  expect_settled(fleet({new_vm()}), state, {});
}

TEST(PlanCreate, FirmwareCloudInitIsoAndImport) {
  ResolvedVm wanted = vm("new", 500);
  wanted.options.set("ide2", {.value = std::string("local:iso/d.iso")});
  wanted.disks = {disk("cloudinit", "ide0", "SSD-r10", ""),
                  disk("efidisk", "efidisk0", "SSD-r10", "", "efitype=4m,pre-enrolled-keys=1"),
                  disk("root", "scsi0", "SSD-r10", "20GiB"), disk("tpm", "tpmstate0", "SSD-r10", "", "version=v2.0")};
  wanted.disks[2].import_from = "local:import/debian.qcow2";
  const LiveState state = cluster();
  const Plan made = plan(fleet({wanted}), state);
  EXPECT_EQ(names(made), "create-vm resize-disk") << show(made);
  const CreateVm create = all<CreateVm>(made).at(0);
  EXPECT_EQ(*create.disks.find("ide0"), "SSD-r10:cloudinit");
  EXPECT_EQ(*create.disks.find("ide2"), "local:iso/d.iso,media=cdrom");
  EXPECT_EQ(*create.disks.find("efidisk0"), "SSD-r10:1,efitype=4m,pre-enrolled-keys=1");
  EXPECT_EQ(*create.disks.find("scsi0"), "SSD-r10:0,import-from=local:import/debian.qcow2");
  EXPECT_EQ(*create.disks.find("tpmstate0"), "SSD-r10:1,version=v2.0");
  EXPECT_EQ(all<ResizeDisk>(made).at(0).size, 20_GiB);
  expect_settled(fleet({wanted}), state, {});
}

// The fleet file's medium already says that it is one; PVE refuses a key that stands twice.
TEST(PlanCreate, ACdIsSaidToBeOneOnce) {
  ResolvedVm wanted = vm("new", 500);
  set(wanted, "ide2", "local:iso/d.iso,media=cdrom");
  const Plan made = plan(fleet({wanted}), cluster());
  EXPECT_EQ(*all<CreateVm>(made).at(0).disks.find("ide2"), "local:iso/d.iso,media=cdrom");
}

TEST(PlanCreate, StoragesAndPoolsComeFirst) {
  ResolvedFleet wanted = fleet({new_vm()});
  ResolvedStorage storage{.id = "fast", .type = "zfspool"};
  storage.properties.set("pool", stated(Home::kStorageOption, "pool", "fast"));
  wanted.storages = {storage};
  wanted.vms[0].pool = "prod";
  wanted.vms[0].disks[0].settings.find("storage")->value = std::string("fast");
  const LiveState state = cluster();
  const Plan made = plan(wanted, state);
  EXPECT_EQ(names(made), "create-storage create-pool create-vm start-vm") << show(made);
  EXPECT_EQ(made.operations[2].after, (std::vector<OperationId>{1, 2}));
  expect_settled(wanted, state, {});
}

TEST(PlanCreate, AMissingDatasetIsACommandAndBlocksWhatNeedsIt) {
  ResolvedFleet wanted = fleet({ai()});
  ResolvedStorage storage{.id = "SSD-r10-models", .type = "zfspool", .class_of = "SSD-r10", .class_name = "models"};
  storage.properties.set("pool", stated(Home::kStorageOption, "pool", "tank/models"));
  storage.properties.set("blocksize", stated(Home::kStorageOption, "blocksize", "128k"));
  wanted.storages = {storage};
  LiveState state = ai_live();
  std::erase_if(state.storages, [](const LiveStorage& s) { return s.id == "SSD-r10-models"; });
  PlanOptions options;
  options.dataset_exists = [](std::string_view, std::string_view) { return false; };
  const Plan refused = plan(wanted, state, options);
  EXPECT_TRUE(all<CreateStorage>(refused).empty());
  EXPECT_TRUE(all<MoveDisk>(refused).empty());
  ASSERT_EQ(refused.blocked.size(), 2U) << show(refused);
  EXPECT_NE(refused.blocked[0].remedy.find("zfs create -p tank/models"), std::string::npos);
  // Unknown: the storage is tried (PVE refuses cleanly), the command is told.
  const Plan tried = plan(wanted, state);
  EXPECT_EQ(names(tried), "create-storage move-disk set-drive-options") << show(tried);
  EXPECT_EQ(tried.operations[1].after, std::vector<OperationId>{1});
  EXPECT_FALSE(tried.findings.empty());
  expect_settled(wanted, state, {});
}

LiveVm debian_template() {
  LiveVm source = guest(9000, PowerState::kStopped);
  source.name = "debian-13-template";
  source.is_template = true;
  set(source, "template", "1");
  set(source, "cores", "1");
  set(source, "net0", "virtio=BC:24:11:AA:AA:AA,bridge=vmbr0");
  set(source, "scsihw", "virtio-scsi-single");
  attach(source, "scsi0", "nfs:9000/base-9000-disk-0.raw,discard=on,size=3G");
  return source;
}

TEST(PlanClone, FullCloneIsReconfiguredGrownAndStarted) {
  ResolvedVm wanted = vm("dns-01", 202);
  wanted.clone = "debian-13-template";
  wanted.state = VmState::kRunning;
  set(wanted, "cores", "2");
  set(wanted, "net0", "virtio,bridge=vmbr0");
  wanted.disks = {disk("data", "scsi1", "san", "8GiB", "discard=on"),
                  disk("root", "scsi0", "san", "16GiB", "aio=io_uring,discard=on")};
  LiveState state = cluster();
  put(state, debian_template());
  const Plan made = plan(fleet({wanted}), state);
  EXPECT_EQ(names(made), "clone-vm set-vm-options add-disk resize-disk set-drive-options start-vm") << show(made);
  const CloneVm clone = all<CloneVm>(made).at(0);
  EXPECT_EQ(clone.storage, "san");  // every disk of the template is wanted there
  EXPECT_TRUE(clone.full);
  const SetVmOptions options = all<SetVmOptions>(made).at(0);
  EXPECT_EQ(options.set.size(), 1U);  // the net device came along, with its own address
  EXPECT_TRUE(options.set.contains("cores"));
  expect_settled(fleet({wanted}), state, {});
}

TEST(PlanClone, HaComesAfterItAlsoWhereNothingElseIsToDo) {
  ResolvedVm wanted = vm("dns-01", 202);
  wanted.clone = "debian-13-template";
  wanted.ha = WrittenHa{};
  LiveState state = cluster();
  put(state, debian_template());
  const Plan made = plan(fleet({wanted}), state);
  EXPECT_EQ(names(made), "clone-vm set-ha") << show(made);
  EXPECT_EQ(made.operations.at(1).after, std::vector<OperationId>{1});
}

TEST(PlanClone, DisksOfSeveralStoragesMoveAfterwards) {
  ResolvedVm wanted = vm("dns-01", 202);
  wanted.clone = "9000";
  wanted.disks = {disk("data", "scsi1", "SSD-r10-models", "8GiB"), disk("root", "scsi0", "SSD-r10", "3GiB")};
  LiveState state = cluster();
  LiveVm source = debian_template();
  attach(source, "scsi1", "nfs:9000/base-9000-disk-1.raw,size=8G");
  put(state, source);
  const Plan made = plan(fleet({wanted}), state);
  EXPECT_EQ(names(made), "clone-vm move-disk move-disk") << show(made);
  expect_settled(fleet({wanted}), state, {});
}

TEST(PlanClone, ReasonsItCannotBe) {
  ResolvedVm wanted = vm("dns-01", 202);
  wanted.clone = "nobody";
  LiveState state = cluster(true);
  ASSERT_EQ(plan(fleet({wanted}), state).blocked.size(), 1U);
  EXPECT_TRUE(plan(fleet({wanted}), state).blocked[0].by_policy);
  wanted.clone = "debian-13-template";
  LiveVm source = debian_template();
  {
    // That is not for the fleet file to mend.
    LiveState unread = state;
    LiveVm silent = source;
    silent.readable = false;
    silent.problem = "its node is offline";
    put(unread, silent);
    const Plan made = plan(fleet({wanted}), unread);
    ASSERT_EQ(made.blocked.size(), 1U);
    EXPECT_EQ(made.blocked[0].why, "its node is offline");
    EXPECT_FALSE(made.blocked[0].by_policy);
  }
  source.drives.clear();
  attach(source, "scsi0", "SSD-r10:base-9000-disk-0,size=3G");
  put(state, source);
  EXPECT_TRUE(plan(fleet({wanted}), state).blocked.empty());
  wanted.node = "pve2";  // local disks: PVE clones on the template's node only
  const Plan made = plan(fleet({wanted}), state);
  EXPECT_TRUE(made.empty()) << show(made);
  EXPECT_EQ(made.blocked.size(), 1U);
}

// ---- what a running guest takes over by itself ----

TEST(PlanHotplug, OnlyTheRightBusAndOnlyWhereItIsOn) {
  const auto impact = [](std::string_view at, PowerState power, std::string_view hotplug) {
    ResolvedVm wanted = vm("a", 201);
    wanted.disks = {disk("new", at, "SSD-r10", "8GiB")};
    LiveState state = cluster();
    LiveVm present = guest(201, power);
    if (!hotplug.empty()) set(present, "hotplug", hotplug);
    put(state, present);
    const Plan made = plan(fleet({wanted}), state);
    EXPECT_EQ(names(made), "add-disk") << show(made);
    return made.operations.empty() ? Impact::kDestroy : made.operations[0].impact;
  };
  EXPECT_EQ(impact("scsi1", PowerState::kRunning, ""), Impact::kLive);
  EXPECT_EQ(impact("virtio1", PowerState::kRunning, ""), Impact::kLive);
  EXPECT_EQ(impact("sata1", PowerState::kRunning, ""), Impact::kPendingRestart);
  EXPECT_EQ(impact("scsi1", PowerState::kRunning, "network,usb"), Impact::kPendingRestart);
  EXPECT_EQ(impact("scsi1", PowerState::kRunning, "network,disk"), Impact::kLive);
  EXPECT_EQ(impact("scsi1", PowerState::kStopped, "network,usb"), Impact::kNone);
  EXPECT_EQ(impact("sata1", PowerState::kStopped, ""), Impact::kNone);
}

// PVE lets such a drive go only while the guest is stopped.
TEST(PlanHotplug, ADriveOfAnotherBusIsDestroyedOnlyInAStoppedGuest) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("old", "sata1", "SSD-r10", "8GiB")};
  wanted.disks[0].absent = true;
  for (const PowerState power : {PowerState::kRunning, PowerState::kStopped}) {
    LiveState state = cluster();
    LiveVm present = guest(201, power);
    attach(present, "sata1", "SSD-r10:vm-201-disk-0,size=8G");
    put(state, present);
    const Plan made = plan(fleet({wanted}), state, {.allow = everything()});
    EXPECT_EQ(names(made), power == PowerState::kStopped ? "detach-disk destroy-volume" : "") << show(made);
    EXPECT_EQ(made.blocked.size(), power == PowerState::kStopped ? 0U : 1U);
  }
}

// ---- going away ----

TEST(PlanRemoval, NeedsToBeAllowedAndComesLast) {
  ResolvedVm gone = vm("aa-old", 201);
  gone.state = VmState::kAbsent;
  LiveState state = cluster();
  put(state, guest(201));
  put(state, guest(202));
  state.ha.push_back({.sid = "vm:201"});
  ResolvedVm other = vm("zz", 202);
  set(other, "onboot", "1");
  const Plan refused = plan(fleet({gone, other}), state, {.allow = {.restart = true, .offline_copy = true}});
  EXPECT_EQ(names(refused), "set-vm-options") << show(refused);
  ASSERT_EQ(refused.blocked.size(), 1U);
  const Plan made = plan(fleet({gone, other}), state, {.allow = {.destroy = true}});
  EXPECT_EQ(names(made), "set-vm-options remove-ha stop-vm destroy-vm") << show(made);
  EXPECT_EQ(all<DestroyVm>(made).at(0).uuid, "uuid-201");
  expect_settled(fleet({gone, other}), state, {.allow = {.destroy = true}});
}

TEST(PlanRemoval, ProtectionIsRespected) {
  ResolvedVm gone = vm("old", 201);
  gone.state = VmState::kAbsent;
  LiveState state = cluster();
  LiveVm present = guest(201, PowerState::kStopped);
  set(present, "protection", "1");
  put(state, present);
  EXPECT_TRUE(plan(fleet({gone}), state, {.allow = everything()}).empty());
}

TEST(PlanRemoval, ADiskIsDetachedThenDestroyed) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("old", "scsi1", "san", "32GiB"), disk("root", "scsi0", "san", "32GiB")};
  wanted.disks[0].absent = true;
  LiveState state = cluster();
  LiveVm present = guest(201);
  attach(present, "scsi0", "san:vm-201-disk-0,size=32G");
  attach(present, "scsi1", "san:vm-201-disk-1,size=32G");
  put(state, present);
  EXPECT_TRUE(plan(fleet({wanted}), state).empty());
  const Plan made = plan(fleet({wanted}), state, {.allow = everything()});
  EXPECT_EQ(names(made), "detach-disk destroy-volume") << show(made);
  LiveState after = state;
  apply(after, made);
  EXPECT_EQ(after.volumes.size(), 1U);
  EXPECT_TRUE(plan(fleet({wanted}), after, {.allow = everything()}).empty());
}

TEST(PlanRemoval, ADetachedDiskIsKept) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("data", "scsi1", "san", "32GiB")};
  wanted.disks[0].detached = true;
  LiveState state = cluster();
  LiveVm present = guest(201);
  attach(present, "scsi1", "san:vm-201-disk-1,size=32G");
  put(state, present);
  const Plan made = plan(fleet({wanted}), state);
  EXPECT_EQ(names(made), "detach-disk");
  LiveState after = state;
  apply(after, made);
  EXPECT_EQ(after.volumes.size(), 1U);
  EXPECT_TRUE(plan(fleet({wanted}), after).empty());
}

// ---- HA, replication, pools, power, targets ----

TEST(PlanHa, IsSetAfterTheGuestAndRestartsGoThroughIt) {
  ResolvedVm wanted = new_vm();
  wanted.ha = WrittenHa{};
  wanted.ha->settings.set("state", {.value = option(Home::kHa, "state", "started")});
  LiveState state = cluster();
  const Plan made = plan(fleet({wanted}), state);
  EXPECT_EQ(names(made), "create-vm set-ha") << show(made);  // HA starts it
  EXPECT_EQ(made.operations[1].after, std::vector<OperationId>{1});
  state.ha.push_back({.sid = "vm:201"});
  put(state, guest(201));
  ResolvedVm other = vm("a", 201);
  set(other, "cores", "4");
  EXPECT_TRUE(all<RestartVm>(plan(fleet({other}), state, {.allow = {.restart = true}})).at(0).ha);
}

TEST(PlanHa, FalseTakesTheGuestOut) {
  ResolvedVm wanted = vm("a", 201);
  wanted.ha = WrittenHa{.enabled = false};
  LiveState state = cluster();
  put(state, guest(201));
  state.ha.push_back({.sid = "vm:201"});
  EXPECT_EQ(names(plan(fleet({wanted}), state)), "remove-ha");
  EXPECT_EQ(plan(fleet({wanted}), state).unchanged_vms, 0U);
  expect_settled(fleet({wanted}), state, {});
}

TEST(PlanReplication, OnlyOfZfsDisksAndWithAFreeNumber) {
  ResolvedVm wanted = vm("a", 201);
  wanted.replication = {{.target = "pve2"}};
  LiveState state = cluster(true);
  LiveVm present = guest(201);
  attach(present, "scsi0", "SSD-r10:vm-201-disk-0,size=32G");
  // None of these is a disk that would have to be replicated.
  attach(present, "ide2", "none,media=cdrom");
  attach(present, "ide3", "nfs:iso/debian.iso,media=cdrom");
  attach(present, "scsi5", "san:vm-201-disk-5,replicate=0,size=1G");
  attach(present, "unused0", "san:vm-201-disk-9");
  put(state, present);
  state.replication.push_back({.id = "201-0", .guest = {201}, .target = "pve3"});
  const Plan made = plan(fleet({wanted}), state);
  EXPECT_EQ(all<SetReplication>(made).at(0).id, "201-1");
  EXPECT_EQ(made.unchanged_vms, 0U);
  expect_settled(fleet({wanted}), state, {});
  attach(state.vms[0], "scsi1", "san:vm-201-disk-1,size=32G");
  EXPECT_TRUE(plan(fleet({wanted}), state).empty());
}

TEST(PlanReplication, NeedsAGuestOnAnotherNode) {
  ResolvedVm wanted = vm("a", 201);
  wanted.replication = {{.target = "pve1"}};
  LiveState state = cluster(true);
  put(state, guest(201));
  const Plan same = plan(fleet({wanted}), state);
  EXPECT_TRUE(same.empty()) << show(same);
  ASSERT_EQ(same.blocked.size(), 1U);
  EXPECT_EQ(same.blocked[0].why, "the guest runs on that node");

  wanted.node = "pve9";
  wanted.ha = WrittenHa{};
  wanted.replication = {{.target = "pve2"}};
  const Plan nowhere = plan(fleet({wanted}), cluster(true));
  EXPECT_TRUE(nowhere.empty()) << show(nowhere);
  ASSERT_EQ(nowhere.blocked.size(), 3U) << show(nowhere);
  EXPECT_EQ(nowhere.blocked[0].why, "there is no node \"pve9\"");
  EXPECT_EQ(nowhere.blocked[1].why, "the guest itself cannot be created");
  EXPECT_EQ(nowhere.blocked[2].why, "the guest itself cannot be created");
}

// What is right is not written again, and an absent guest takes its jobs along.
TEST(PlanReplication, AndHaThatAreRightAreLeftAlone) {
  ResolvedVm wanted = vm("a", 201);
  wanted.replication = {{.target = "pve2"}};
  wanted.ha = WrittenHa{};
  LiveState state = cluster(true);
  put(state, guest(201));
  state.ha.push_back({.sid = "vm:201"});
  state.replication.push_back({.id = "201-0", .guest = {201}, .target = "pve2"});
  const Plan made = plan(fleet({wanted}), state);
  EXPECT_TRUE(made.empty()) << show(made);
  EXPECT_EQ(made.unchanged_vms, 1U);
  const Diff whole = diff(fleet({wanted}), state, DiffDetail::kEverything);
  const Checked<Plan> of_all = make_plan(fleet({wanted}), whole, state, {});
  EXPECT_TRUE(of_all.value->empty()) << show(*of_all.value);
}

TEST(PlanPool, MembersAreAddedAndNotTakenFromOthers) {
  ResolvedVm wanted = vm("a", 201);
  wanted.pool = "prod";
  LiveState state = cluster();
  put(state, guest(201));
  EXPECT_EQ(names(plan(fleet({wanted}), state)), "create-pool add-to-pool");
  expect_settled(fleet({wanted}), state, {});
  state.vms[0].pool = "test";
  EXPECT_EQ(plan(fleet({wanted}), state).blocked.size(), 1U);
}

TEST(PlanPower, RunningIsStartedStoppedNeedsPermission) {
  ResolvedVm up = vm("up", 201);
  up.state = VmState::kRunning;
  ResolvedVm down = vm("down", 202);
  down.state = VmState::kStopped;
  LiveState state = cluster();
  put(state, guest(201, PowerState::kStopped));
  put(state, guest(202));
  const Plan made = plan(fleet({up, down}), state);
  EXPECT_EQ(names(made), "start-vm");
  EXPECT_EQ(made.blocked.size(), 1U);
  expect_settled(fleet({up, down}), state, {.allow = everything()});
}

TEST(PlanTargets, TheFirstOperationThatIsLeftIsTheGuarded) {
  ResolvedVm wanted = ai();
  wanted.disks[1] = disk("root", "scsi0", "SSD-r10", "128GiB", "aio=io_uring,cache=none,discard=on,iothread=1,ssd=1");
  const LiveState state = ai_live();
  const Plan whole = plan(fleet({wanted}), state);
  EXPECT_EQ(names(whole), "move-disk set-drive-options resize-disk") << show(whole);
  const Plan part = plan(fleet({wanted}), state, {.targets = {"vm/ai-01/root"}});
  EXPECT_EQ(names(part), "resize-disk") << show(part);
  for (const Plan* made : {&whole, &part}) {
    bool first = true;
    for (const Operation& op : made->operations) {
      EXPECT_EQ(op.guard.digest, first ? "digest-701" : "") << show(*made);
      EXPECT_EQ(op.guard.uuid, "uuid-701") << show(*made);
      first = false;
    }
    EXPECT_EQ(made->inputs.digests.at("vm/701"), "digest-701");
  }
}

TEST(PlanReason, NamesTheRoleThatStatesIt) {
  ResolvedVm wanted = vm("a", 201);
  set(wanted, "cores", "4");
  wanted.options.find("cores")->origin = FromDocument{.layer = Layer::kRole, .holder = "database"};
  LiveState state = cluster();
  put(state, guest(201));
  const Plan made = plan(fleet({wanted}), state);
  ASSERT_EQ(made.operations.size(), 1U);
  EXPECT_EQ(made.operations[0].changes.at(0).reason, "stated by role database");
  EXPECT_EQ(made.operations[0].changes.at(0).place, "role database");
}

TEST(PlanCreate, AStatedUuidGoesIntoTheStatedSmbios) {
  ResolvedVm wanted = vm("new", 203);
  wanted.uuid = "11111111-2222-3333-4444-000000000203";
  set(wanted, "smbios1", "serial=abc");
  const Plan made = plan(fleet({wanted}), cluster());
  const CreateVm create = all<CreateVm>(made).at(0);
  const std::string* text = create.options.find("smbios1");
  ASSERT_NE(text, nullptr);
  EXPECT_NE(text->find("serial=abc"), std::string::npos) << *text;
  EXPECT_NE(text->find("uuid=11111111-2222-3333-4444-000000000203"), std::string::npos) << *text;
}

TEST(PlanTargets, BringWhatTheyNeedAndNothingElse) {
  ResolvedFleet wanted = fleet({ai(), new_vm()});
  ResolvedStorage storage{.id = "SSD-r10-models", .type = "zfspool", .class_of = "SSD-r10"};
  storage.properties.set("pool", stated(Home::kStorageOption, "pool", "tank/models"));
  wanted.storages = {storage};
  LiveState state = ai_live();
  std::erase_if(state.storages, [](const LiveStorage& s) { return s.id == "SSD-r10-models"; });
  const Plan made = plan(wanted, state, {.targets = {"vm/ai-01/models"}});
  EXPECT_EQ(names(made), "create-storage move-disk set-drive-options") << show(made);
  EXPECT_EQ(names(plan(wanted, state, {.targets = {"vm/new"}})), "create-vm start-vm");
  const Checked<Plan> unknown = make_plan(wanted, diff(wanted, state), state, {.targets = {"vm/nobody"}});
  EXPECT_FALSE(unknown.ok());
  EXPECT_EQ(unknown.diagnostics.at(0).code, "plan.target.unknown");
}

TEST(PlanTargets, AGuestComesWithItsHaAndReplicationAPartOfItDoesNot) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("root", "scsi0", "SSD-r10", "32G")};
  set(wanted, "cores", "4");
  wanted.ha = WrittenHa{};
  wanted.replication = {{.target = "pve2"}};
  LiveState state = cluster(true);
  LiveVm present = guest(201);
  attach(present, "scsi0", "SSD-r10:vm-201-disk-0,size=16G");
  put(state, present);
  EXPECT_EQ(names(plan(fleet({wanted}), state, {.targets = {"vm/a"}})),
            "resize-disk set-vm-options set-ha set-replication");
  EXPECT_EQ(names(plan(fleet({wanted}), state, {.targets = {"vm/a/root"}})), "resize-disk");
  // HA takes over a guest that is as it should be.
  EXPECT_EQ(names(plan(fleet({wanted}), state, {.targets = {"ha/a"}})), "resize-disk set-vm-options set-ha");
}

TEST(PlanUnreadable, OfflineGuestsAreBlockedButNotByPolicy) {
  ResolvedVm wanted = vm("a", 201);
  LiveState state = cluster();
  LiveVm present = guest(201);
  present.readable = false;
  present.problem = "its node \"pve1\" is offline";
  put(state, present);
  state.partial = true;
  const Plan made = plan(fleet({wanted}), state);
  EXPECT_TRUE(made.empty());
  EXPECT_TRUE(made.partial);
  ASSERT_EQ(made.blocked.size(), 1U);
  EXPECT_FALSE(made.blocked[0].by_policy);
}

// ---- memory (rule Z13) ----

PlanOptions with_memory(ByteSize size) {
  PlanOptions options;
  options.guest_memory = [size](const std::string&) { return std::optional(size); };
  return options;
}

TEST(PlanMemory, RefusesWhatANodeDoesNotHaveAndKeepsTheRest) {
  ResolvedVm wanted = vm("a", 201);
  set(wanted, "memory", "16384");
  set(wanted, "onboot", "1");
  LiveState state = cluster();
  LiveVm present = guest(201);
  present.memory = 8_GiB;
  set(present, "memory", "8192");
  put(state, present);
  LiveVm other = guest(202);
  other.memory = 20_GiB;
  put(state, other);

  const Plan tight = plan(fleet({wanted}), state, with_memory(32_GiB));
  ASSERT_EQ(tight.blocked.size(), 1U);
  EXPECT_NE(tight.blocked[0].why.find("Z13"), std::string::npos) << tight.blocked[0].why;
  ASSERT_EQ(all<SetVmOptions>(tight).size(), 1U);
  EXPECT_TRUE(all<SetVmOptions>(tight)[0].set.contains("onboot"));
  EXPECT_FALSE(all<SetVmOptions>(tight)[0].set.contains("memory"));

  const Plan roomy = plan(fleet({wanted}), state, with_memory(36_GiB));
  EXPECT_TRUE(roomy.blocked.empty());
  const Plan unknown = plan(fleet({wanted}), state);
  EXPECT_TRUE(unknown.blocked.empty());
}

TEST(PlanMemory, LessIsAlwaysAllowedAndStoppedGuestsDoNotCount) {
  ResolvedVm wanted = vm("a", 201);
  set(wanted, "memory", "4096");
  LiveState state = cluster();
  LiveVm present = guest(201);
  present.memory = 8_GiB;
  set(present, "memory", "8192");
  put(state, present);
  EXPECT_TRUE(plan(fleet({wanted}), state, with_memory(1_GiB)).blocked.empty());

  LiveState quiet = cluster();
  LiveVm stopped = guest(201, PowerState::kStopped);
  stopped.memory = 2_GiB;
  set(stopped, "memory", "2048");
  put(quiet, stopped);
  EXPECT_TRUE(plan(fleet({wanted}), quiet, with_memory(1_GiB)).blocked.empty());
}

TEST(PlanMemory, ANewGuestThatDoesNotFitIsNotMade) {
  ResolvedVm first = vm("a", 201);
  set(first, "memory", "6144");
  ResolvedVm second = vm("b", 202);
  set(second, "memory", "6144");
  const Plan made = plan(fleet({first, second}), cluster(), with_memory(8_GiB));
  EXPECT_EQ(all<CreateVm>(made).size(), 1U) << "the second one does not fit beside the first";
  ASSERT_EQ(made.blocked.size(), 1U);
  EXPECT_EQ(made.blocked[0].address.name, "b");

  // The only node of a cluster need not be named.
  first.node.reset();
  second.node.reset();
  const Plan unnamed = plan(fleet({first, second}), cluster(), with_memory(8_GiB));
  EXPECT_EQ(all<CreateVm>(unnamed).size(), 1U);
  ASSERT_EQ(unnamed.blocked.size(), 1U);
  EXPECT_NE(unnamed.blocked[0].why.find("guests on pve1 would"), std::string::npos) << unnamed.blocked[0].why;
}

TEST(PlanReasons, CarryTheRule) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("root", "scsi0", "SSD-r10", "32GiB", "discard=on")};
  LiveState state = cluster();
  LiveVm present = guest(201);
  attach(present, "scsi0", "SSD-r10:vm-201-disk-0,size=32G");
  put(state, present);
  const Plan made = plan(fleet({wanted}), state);
  const PlannedChange& change = made.operations.at(0).changes.at(0);
  EXPECT_EQ(change.rule, "D1");
  EXPECT_EQ(change.from, "unset");
  EXPECT_EQ(change.to, "on");
}

}  // namespace
}  // namespace pvr::testing
