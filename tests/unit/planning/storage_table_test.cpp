// Storages as diff and plan see them, and the space on them, at the boundaries.

#include "reconciler/planning/storage_table.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <tuple>

#include "reconciler/planning/make_plan.h"
#include "reconciler/planning/space.h"
#include "tests/unit/planning/world.h"

namespace pvr::testing {
namespace {

LiveStorage& storage_of(LiveState& state, std::string_view id) {
  return *std::ranges::find(state.storages, id, &LiveStorage::id);
}

TEST(StorageTable, KnowsEachTypeByWhatItIsBuiltOn) {
  struct Case {
    const char* type;
    const char* flag;
    StorageKind kind;
    bool shared;
    ByteSize grain;
  };
  const Case cases[] = {{"zfspool", "", StorageKind::kZfsZvol, false, 1_MiB},
                        {"lvm", "", StorageKind::kLvmThick, false, 4_MiB},
                        {"lvm", "snapshot-as-volume-chain", StorageKind::kLvmThickChain, false, 4_MiB},
                        {"lvm", "shared", StorageKind::kLvmThick, true, 4_MiB},
                        {"lvmthin", "", StorageKind::kLvmThin, false, 4_MiB},
                        {"nfs", "", StorageKind::kNfs, true, 1_KiB},
                        {"cifs", "", StorageKind::kCifs, true, 1_KiB},
                        {"rbd", "", StorageKind::kRbd, true, 1_KiB},
                        {"rbd", "krbd", StorageKind::kRbdKernel, true, 1_KiB},
                        {"iscsi", "", StorageKind::kIscsiLun, true, 1_KiB},
                        {"zfs", "", StorageKind::kZfsOverIscsi, true, 1_KiB},
                        {"iscsidirect", "", StorageKind::kZfsOverIscsi, true, 1_KiB},
                        {"btrfs", "", StorageKind::kBtrfs, false, 1_KiB},
                        {"btrfs", "nocow", StorageKind::kFile, false, 1_KiB},
                        {"cephfs", "", StorageKind::kFile, true, 1_KiB},
                        {"dir", "", StorageKind::kFile, false, 1_KiB}};
  for (const Case& one : cases) {
    LiveState state = cluster();
    LiveStorage live{.id = "x", .type = one.type};
    if (*one.flag != '\0') live.properties.set(one.flag, "1");
    state.storages.push_back(live);
    const ResolvedFleet none = fleet({});
    const StorageTable table(none, state);
    const StorageView& view = *table.find("x");
    EXPECT_EQ(view.kind, one.kind) << one.type << " " << one.flag;
    EXPECT_EQ(view.shared, one.shared) << one.type << " " << one.flag;
    EXPECT_EQ(view.grain(), one.grain) << one.type << " " << one.flag;
    EXPECT_EQ(view.blocksize, view.has_zvols() ? 16_KiB : ByteSize{}) << one.type;
  }
}

TEST(StorageTable, WhatExistsCountsAndNotWhatIsDeclaredOfIt) {
  LiveState state = cluster();
  ResolvedFleet wanted = fleet({});
  wanted.storages = {{.id = "SSD-r10", .type = "zfspool", .class_of = "x"}, {.id = "new", .type = "zfspool"}};
  for (ResolvedStorage& storage : wanted.storages) {
    storage.properties.set("pool", stated(Home::kStorageOption, "pool", "lake/y"));
    storage.properties.set("blocksize", stated(Home::kStorageOption, "blocksize", "64k"));
    storage.properties.set("sparse", stated(Home::kStorageOption, "sparse", "0"));
  }
  const StorageTable table(wanted, state);
  EXPECT_EQ(table.find("SSD-r10")->dataset, "tank");
  EXPECT_EQ(table.find("SSD-r10")->blocksize, 16_KiB);
  EXPECT_TRUE(table.find("SSD-r10")->sparse);
  EXPECT_EQ(table.find("SSD-r10")->declared->class_of, "x");
  EXPECT_EQ(table.find("new")->dataset, "lake/y");
  EXPECT_EQ(table.find("new")->blocksize, 64_KiB);
  EXPECT_FALSE(table.find("new")->sparse);
  EXPECT_EQ(table.find("new")->live, nullptr);
  EXPECT_TRUE(table.find("new")->on_node("anywhere"));
  EXPECT_EQ(table.find("nowhere"), nullptr);
}

TEST(StorageTable, KnowsWhoElseUsesAVolume) {
  LiveState state = cluster();
  state.vms.clear();
  const auto guest = [&](std::uint32_t vmid, const char* node) -> LiveVm& {
    LiveVm vm;
    vm.vmid = Vmid{vmid};
    vm.node = node;
    state.vms.push_back(std::move(vm));
    return state.vms.back();
  };
  const auto drive = [](DriveSlot slot, VolumeId volume, Drive::Medium medium = Drive::Medium::kDisk) {
    Drive held;
    held.volume = std::move(volume);
    held.medium = medium;
    return LiveDrive{.slot = slot, .current = held};
  };
  const auto zvol = [&](const char* id, const char* pool) {
    LiveStorage storage{.id = id, .type = "zfspool"};
    storage.properties.set("pool", pool);
    state.storages.push_back(std::move(storage));
  };
  zvol("one", "tank/x");
  zvol("two", "tank/x");
  zvol("else", "tank/y");
  state.storages.push_back({.id = "net", .type = "nfs"});
  const VolumeId mine{.storage = "one", .name = "vm-100-disk-0"};
  const VolumeId far{.storage = "net", .name = "100/vm-100-disk-1.raw"};
  const DriveSlot at{Bus::kScsi, 3};
  const auto asked = [&](const VolumeId& volume, Vmid self = Vmid{100}) {
    std::ranges::sort(state.vms, {}, &LiveVm::vmid);
    std::ranges::sort(state.volumes, {}, [](const LiveVolume& one) { return std::tie(one.id, one.node); });
    const ResolvedFleet none = fleet({});
    return StorageTable(none, state).other_user(volume, "a", self);
  };
  guest(100, "a").drives = {drive(at, mine), drive(at, far)};
  EXPECT_EQ(asked(mine), "");
  EXPECT_EQ(asked(VolumeId{.storage = "one"}), "") << "still to be made";

  guest(107, "a").drives = {drive(at, {.storage = "else", .name = mine.name})};
  EXPECT_EQ(asked(mine), "") << "another dataset";
  guest(106, "a").drives = {drive(at, mine, Drive::Medium::kCdrom)};
  EXPECT_EQ(asked(mine), "") << "everybody may read a CD";
  guest(105, "a").drives = {drive(at, {.storage = "two", .name = mine.name})};
  EXPECT_EQ(asked(mine), "guest 105 uses it, too (scsi3)") << "by the other name of the dataset";
  guest(104, "a").drives = {drive({Bus::kUnused, 2}, mine), drive({Bus::kScsi, 1}, mine)};
  EXPECT_EQ(asked(mine), "guest 104 uses it, too (scsi1)") << "the first one of them";
  state.vms.erase(state.vms.begin() + 1, state.vms.end());
  LiveDrive waits{.slot = at};
  waits.pending = drive(at, mine).current;
  guest(103, "a").drives = {waits};
  EXPECT_EQ(asked(mine), "guest 103 uses it, too (scsi3)") << "at its next start";
  state.vms.pop_back();

  // The same name on another node is another volume, where there is one.
  guest(103, "b").drives = {drive(at, mine), drive({Bus::kScsi, 4}, far)};
  EXPECT_EQ(asked(mine), "guest 103 uses it, too (scsi3)");
  state.volumes.push_back({.id = mine, .node = "b"});
  EXPECT_EQ(asked(mine), "");
  EXPECT_EQ(asked(far), "guest 103 uses it, too (scsi4)") << "shared storage";
  state.vms.pop_back();

  // By the number in its name, where that guest cannot be looked at.
  EXPECT_EQ(asked({.storage = "one", .name = "vm-190-disk-0"}), "") << "no such guest";
  LiveVm& owner = guest(190, "a");
  owner.problem = "its node is offline";
  EXPECT_EQ(asked({.storage = "one", .name = "vm-190-disk-0"}), "") << "looked at, and it does not name it";
  state.vms.back().readable = false;
  EXPECT_EQ(asked({.storage = "one", .name = "vm-190-disk-0"}),
            "by its name it is guest 190's, which cannot be read: its node is offline");
  EXPECT_EQ(asked({.storage = "one", .name = "vm-190-disk-0"}, Vmid{190}), "") << "its own";
  state.vms.back().drives_known = true;
  EXPECT_EQ(asked({.storage = "one", .name = "vm-190-disk-0"}), "") << "read from the files of a node";
  state.vms.back().options.set("parent", {});
  EXPECT_EQ(asked({.storage = "one", .name = "vm-190-disk-0"}),
            "by its name it is guest 190's, and snapshots of that one may need it");
  state.vms.back().is_container = true;
  EXPECT_EQ(asked({.storage = "one", .name = "vm-190-disk-0"}), "by its name it is container 190's");
}

TEST(StorageTable, KnowsWhoMightUseAVolumeUnseen) {
  LiveState state;
  state.storages = {{.id = "here", .type = "zfspool"}, {.id = "net", .type = "nfs"}};
  state.vms = {{.vmid = {100}, .node = "a"}, {.vmid = {101}, .node = "b"}};
  const auto asked = [&](const char* storage, std::string_view node = "a") {
    const ResolvedFleet none = fleet({});
    return StorageTable(none, state).unseen_user({.storage = storage, .name = "x"}, node, Vmid{100});
  };
  constexpr const char* kUnseen = "guest 101 may use it, too, and cannot be looked at (its node is offline)";
  LiveVm& other = state.vms.back();
  other.problem = "its node is offline";
  EXPECT_EQ(asked("net"), "");
  other.readable = false;
  EXPECT_EQ(asked("net"), kUnseen);
  EXPECT_EQ(asked("here"), "") << "of another node";
  EXPECT_EQ(asked("here", "b"), kUnseen);
  EXPECT_EQ(asked("unknown"), kUnseen) << "perhaps shared";
  other.drives_known = true;
  EXPECT_EQ(asked("net"), "");
  other.drives_known = false;
  other.is_container = true;
  EXPECT_EQ(asked("net"), "");
  other.is_container = false;
  other.vmid = {100};
  EXPECT_EQ(asked("net"), "") << "itself";
}

// PVE only grows volumes: of two notes the smaller one is old.
TEST(StorageTable, TheLargestNoteOfASizeCounts) {
  LiveState state;
  state.storages = {{.id = "here", .type = "dir"}, {.id = "net", .type = "nfs"}};
  const auto noting = [&](std::uint32_t vmid, const char* node, const char* storage, std::optional<ByteSize> size) {
    LiveDrive one{.slot = {Bus::kScsi, static_cast<std::uint8_t>(state.vms.size())}};
    one.current = Drive{.volume = VolumeId{.storage = storage, .name = "x"}, .size = size};
    state.vms.push_back({.vmid = {vmid}, .node = node, .drives = {one}});
  };
  const auto noted = [&](const char* storage) {
    const ResolvedFleet none = fleet({});
    return StorageTable(none, state).noted_size({.storage = storage, .name = "x"}, "a");
  };
  EXPECT_EQ(noted("net"), std::nullopt);
  noting(100, "a", "net", std::nullopt);
  EXPECT_EQ(noted("net"), std::nullopt);
  noting(100, "a", "net", 2_GiB);
  noting(101, "b", "net", 5_GiB);
  noting(102, "b", "net", 3_GiB);
  EXPECT_EQ(noted("net"), 5_GiB);
  noting(100, "a", "here", 1_GiB);
  noting(101, "b", "here", 5_GiB);
  EXPECT_EQ(noted("here"), 1_GiB) << "another node's is another volume";
}

TEST(StorageTable, AVolumeIsMissingOnlyWhereItsStorageWasRead) {
  const auto missing = [](const char* id, const std::function<void(LiveState&)>& change) {
    LiveState state = cluster(true);
    list_volume(state, "SSD-r10:vm-1-disk-0", 1_GiB, "pve2");
    list_volume(state, "san:vm-1-disk-0", 1_GiB);
    for (LiveStorage& storage : state.storages)
      for (auto& [node, on] : storage.on_node) on.listed = true;
    change(state);
    const ResolvedFleet none = fleet({});
    const StorageTable table(none, state);
    const std::string_view text = id;
    const auto colon = text.find(':');
    return table.is_missing(
        {.storage = std::string(text.substr(0, colon)), .name = std::string(text.substr(colon + 1))}, "pve1");
  };
  const auto nothing = [](LiveState&) {};
  EXPECT_TRUE(missing("SSD-r10:vm-1-disk-0", nothing)) << "it is on the other node";
  EXPECT_TRUE(missing("SSD-r10:vm-1-disk-9", nothing));
  EXPECT_FALSE(
      missing("SSD-r10:vm-1-disk-9", [](LiveState& s) { storage_of(s, "SSD-r10").on_node["pve1"].listed = false; }));
  EXPECT_FALSE(missing("SSD-r10:vm-1-disk-9", [](LiveState& s) { storage_of(s, "SSD-r10").on_node.erase("pve1"); }));
  EXPECT_FALSE(missing("san:vm-1-disk-0", nothing));
  EXPECT_TRUE(missing("san:vm-1-disk-9", nothing));
  EXPECT_TRUE(missing("san:vm-1-disk-9", [](LiveState& s) { storage_of(s, "san").on_node["pve1"].listed = false; }))
      << "any node's listing of shared storage will do";
  EXPECT_FALSE(missing("san:vm-1-disk-9", [](LiveState& s) {
    for (auto& [node, on] : storage_of(s, "san").on_node) on.listed = false;
  }));
  EXPECT_FALSE(missing("san:vm-1-disk-9", [](LiveState& s) { storage_of(s, "san").type = "iscsi"; }));
  EXPECT_FALSE(missing("nowhere:vm-1-disk-9", nothing));
}

TEST(StorageTable, LinkedClonesNameTheirOriginInThreeWays) {
  for (const char* parent : {"base-9-disk-0@__base__", "base-9-disk-0", "SSD-r10:base-9-disk-0"}) {
    LiveState state = cluster();
    list_volume(state, "SSD-r10:base-9-disk-0/vm-1-disk-0", 1_GiB);
    state.volumes[0].parent = parent;
    const ResolvedFleet none = fleet({});
    const StorageTable table(none, state);
    EXPECT_TRUE(table.has_children({"SSD-r10", "base-9-disk-0"})) << parent;
    EXPECT_FALSE(table.has_children({"SSD-r10", "base-9-disk-1"})) << parent;
  }
}

// ---- space ----

TEST(SpaceBook, EveryBoundary) {
  LiveState state = cluster();
  for (LiveStorage& storage : state.storages)
    for (auto& [node, on] : storage.on_node)
      on = {.active = true, .enabled = true, .total = 1000_GiB, .used = 0_GiB, .available = 1000_GiB};
  storage_of(state, "thick").on_node["pve1"].available = 500_GiB;
  const ResolvedFleet none = fleet({});
  const StorageTable table(none, state);
  const auto refused = [&](const char* id, ByteSize bytes, bool force = false) {
    return SpaceBook(state, table, force).reserve(*table.find(id), "pve1", bytes).value_or("");
  };
  EXPECT_EQ(refused("san", ByteSize{(900_GiB).bytes - (1_MiB).bytes}), "");
  EXPECT_EQ(refused("san", 900_GiB), "storage \"san\" would be 90 % full; from 90 % on nothing is added");
  EXPECT_EQ(refused("san", 1000_GiB), "storage \"san\" would be 100 % full; from 90 % on nothing is added");
  EXPECT_EQ(refused("san", ByteSize{(1000_GiB).bytes + (1_GiB).bytes}),
            "storage \"san\" has 1000 GiB available, this plan would add 1001 GiB there");
  EXPECT_EQ(refused("san", 5000_GiB, true), "");
  EXPECT_EQ(refused("thick", 399_GiB), "") << "500 GiB are used already";
  EXPECT_NE(refused("thick", 400_GiB), "");
  EXPECT_EQ(refused("SSD-r10", 900_GiB), "zpool \"tank\" on pve1 would be 90 % full; from 90 % on nothing is added");
  // What is reserved counts, and asking does not reserve.
  SpaceBook book(state, table, false);
  EXPECT_FALSE(book.reserve(*table.find("SSD-r10"), "pve1", 450_GiB));
  EXPECT_FALSE(book.refuses(*table.find("SSD-r10-models"), "pve1", 449_GiB));
  EXPECT_FALSE(book.refuses(*table.find("SSD-r10-models"), "pve1", 449_GiB));
  EXPECT_TRUE(book.refuses(*table.find("SSD-r10-models"), "pve1", 450_GiB));
  EXPECT_FALSE(book.refuses(*table.find("nfs"), "pve1", 450_GiB));
}

TEST(SpaceBook, StoragesOfANodeAreCountedThereSharedOnesOnce) {
  LiveState state = cluster(true);
  const ResolvedFleet none = fleet({});
  const StorageTable table(none, state);
  SpaceBook book(state, table, false);
  EXPECT_FALSE(book.reserve(*table.find("local"), "pve1", 800_GiB));
  EXPECT_FALSE(book.reserve(*table.find("local"), "pve2", 800_GiB));
  EXPECT_FALSE(book.reserve(*table.find("SSD-r10"), "pve1", 800_GiB));
  EXPECT_FALSE(book.reserve(*table.find("SSD-r10"), "pve2", 800_GiB));
  EXPECT_FALSE(book.reserve(*table.find("san"), "pve1", 800_GiB));
  EXPECT_TRUE(book.reserve(*table.find("san"), "pve2", 800_GiB));
  // Where it is not active nothing is known of it.
  for (auto& [node, on] : storage_of(state, "nfs").on_node) on.active = false;
  EXPECT_FALSE(SpaceBook(state, table, false).reserve(*table.find("nfs"), "pve1", 5000_GiB));
}

TEST(SpaceBook, APoolThatOnlyTheNodeKnowsCountsWithoutItsParity) {
  LiveState state = cluster();
  for (LiveStorage& storage : state.storages) storage.on_node["pve1"].active = false;
  state.nodes[0].zpools = {{.name = "tank",
                            .layout = "raidz2-6",
                            .data_width = 6,
                            .parity = 2,
                            .size = 1500_GiB,
                            .allocated = 150_GiB,
                            .free = 1350_GiB}};
  const ResolvedFleet none = fleet({});
  const StorageTable table(none, state);
  const StorageView& models = *table.find("SSD-r10-models");  // 128k blocks: no padding
  // 1000 GiB of data, of which 100 are used.
  EXPECT_FALSE(SpaceBook(state, table, false).reserve(models, "pve1", 799_GiB));
  EXPECT_NE(SpaceBook(state, table, false).reserve(models, "pve1", 800_GiB).value_or("").find("90 % full"),
            std::string::npos);
  EXPECT_NE(SpaceBook(state, table, false).reserve(models, "pve1", 901_GiB).value_or("").find("has 900 GiB available"),
            std::string::npos);
}

// ---- windows ----

TEST(MaintenanceWindow, ToTheMinuteAndOnEveryDay) {
  const std::chrono::sys_days sunday = std::chrono::year(2026) / 11 / 22;
  const auto in = [&](std::string_view text, int day, int hour, int minute) {
    return in_maintenance_window(
        text, sunday + std::chrono::days(day) + std::chrono::hours(hour) + std::chrono::minutes(minute), {});
  };
  EXPECT_FALSE(in("02:30-05:15", 0, 2, 29));
  EXPECT_TRUE(in("02:30-05:15", 0, 2, 30));
  EXPECT_TRUE(in("02:30-05:15", 0, 5, 14));
  EXPECT_FALSE(in("02:30-05:15", 0, 5, 15));
  EXPECT_TRUE(in("22:00-02:00", 0, 1, 59));
  EXPECT_FALSE(in("22:00-02:00", 0, 2, 0));
  EXPECT_FALSE(in("22:00-02:00", 0, 21, 59));
  EXPECT_TRUE(in("22:00-02:00", 0, 22, 0));
  const char* names[] = {"Sun", "Mon", "TUE", "wednesday", "thu", "Friday", "sat"};
  for (int day = 0; day < 7; ++day) {
    for (int other = 0; other < 7; ++other) {
      const std::string name = names[other];
      EXPECT_EQ(in(name + " 02:00-05:00", day, 3, 0), day == other) << name << day;
      EXPECT_EQ(in(name + " 22:00-05:00", day, 23, 0), day == other) << name << day;
      EXPECT_EQ(in(name + " 22:00-05:00", day, 3, 0), day == (other + 1) % 7) << name << day;
    }
  }
  EXPECT_TRUE(in("  Sun   02:00 - 05:00 ", 0, 3, 0));
  EXPECT_TRUE(in("00:00-24:00", 0, 23, 59));
  EXPECT_FALSE(in("00:00-24:01", 0, 3, 0));
  EXPECT_FALSE(in("02:00-05:60", 0, 3, 0));
  EXPECT_FALSE(in("-1:00-05:00", 0, 3, 0));
  EXPECT_FALSE(in("Su 02:00-05:00", 0, 3, 0));
  EXPECT_TRUE(in("02:00-02:30,04:00-05:00", 0, 4, 30));
  EXPECT_FALSE(in("02:00-02:30,", 0, 4, 30));
}

}  // namespace
}  // namespace pvr::testing
