#include "reconciler/execute/guest_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pvr {
namespace {

constexpr DriveSlot kScsi0{Bus::kScsi, 0};
constexpr DriveSlot kScsi1{Bus::kScsi, 1};
constexpr DriveSlot kScsi2{Bus::kScsi, 2};
constexpr DriveSlot kUnused0{Bus::kUnused, 0};
constexpr DriveSlot kUnused1{Bus::kUnused, 1};

VolumeId z16(const std::string& name) { return {.storage = "z16", .name = name}; }

Drive drive(const std::string& text, DriveSlot slot = kScsi0) {
  auto parsed = parse_drive(slot, text);
  EXPECT_TRUE(parsed) << text;
  return parsed ? *parsed : Drive{};
}

/// scsi0 holds disk-0 and is to hold disk-9; scsi1 is to be emptied; scsi2 is only wanted; unused0 waits for its
/// removal.
LiveVm guest() {
  LiveVm vm;
  vm.vmid = Vmid{100};
  vm.drives = {
      {.slot = kScsi0, .current = drive("z16:vm-100-disk-0,size=4G"), .pending = drive("z16:vm-100-disk-9,size=4G")},
      {.slot = kScsi1, .current = drive("z16:vm-100-disk-1,size=4G"), .pending_delete = true},
      {.slot = kScsi2, .pending = drive("z16:vm-100-disk-2,size=4G")},
      {.slot = kUnused0, .current = drive("z16:vm-100-disk-3", kUnused0), .pending_delete = true},
      {.slot = kUnused1, .current = drive("z16:vm-100-disk-4", kUnused1)}};
  vm.options.set("cores", {.current = "2", .pending = "4"});
  vm.options.set("memory", {.current = "1024"});
  vm.options.set("balloon", {.current = "512", .pending_delete = true});
  vm.options.set("cpu", {.has_current = false, .pending = "host"});
  vm.options.set("tags", {.has_current = false});
  return vm;
}

// A plan knows a volume by its name, only by its storage where an earlier operation makes it, or not at all.
TEST(PlannedVolume, IsTheOneThatWasMeant) {
  const VolumeId whole = z16("vm-100-disk-0");
  const VolumeId storage = {.storage = "z16"};
  const std::tuple<VolumeId, std::optional<VolumeId>, bool> cases[] = {
      {whole, whole, true},
      {whole, z16("vm-100-disk-1"), false},
      {whole, VolumeId{.storage = "z64", .name = "vm-100-disk-0"}, false},
      {whole, std::nullopt, false},
      {storage, whole, true},
      {storage, VolumeId{.storage = "z64", .name = "vm-100-disk-0"}, false},
      {storage, std::nullopt, false},
      {VolumeId{}, whole, true},
      {VolumeId{}, std::nullopt, false},
  };
  for (const auto& [planned, found, meant] : cases)
    EXPECT_EQ(is_meant(planned, found), meant) << meant_text(planned) << " and " << (found ? to_text(*found) : "none");
  EXPECT_EQ(meant_text(whole), "z16:vm-100-disk-0");
  EXPECT_EQ(meant_text(storage), "a volume on z16");
  EXPECT_EQ(meant_text({}), "a volume");
}

// For writes nothing is taken for granted: no storage named is no storage.
TEST(PlannedVolume, IsHeldByADriveThatNamesIt) {
  const Drive holds = drive("z16:vm-100-disk-0,size=4G");
  EXPECT_TRUE(holds_planned(holds, z16("vm-100-disk-0")));
  EXPECT_FALSE(holds_planned(holds, z16("vm-100-disk-1")));
  EXPECT_TRUE(holds_planned(holds, {.storage = "z16"}));
  EXPECT_FALSE(holds_planned(holds, {.storage = "z64"}));
  EXPECT_FALSE(holds_planned(holds, {}));
  EXPECT_FALSE(holds_planned(drive("none,media=cdrom"), {}));
  EXPECT_FALSE(holds_planned(drive("none,media=cdrom"), z16("vm-100-disk-0")));
}

TEST(GuestText, TellsWhatASlotWillHoldAtTheNextStart) {
  const LiveVm vm = guest();
  EXPECT_EQ(find_drive(vm, {Bus::kScsi, 7}), nullptr);
  ASSERT_NE(find_drive(vm, kScsi1), nullptr);
  EXPECT_EQ(find_drive(vm, kScsi1)->slot, kScsi1);
  ASSERT_NE(configured_drive(vm, kScsi0), nullptr);
  EXPECT_EQ(configured_drive(vm, kScsi0)->volume, z16("vm-100-disk-9"));
  EXPECT_EQ(configured_drive(vm, kScsi1), nullptr);
  ASSERT_NE(configured_drive(vm, kScsi2), nullptr);
  EXPECT_EQ(configured_drive(vm, kScsi2)->volume, z16("vm-100-disk-2"));
  ASSERT_NE(configured_drive(vm, kUnused1), nullptr);
  EXPECT_EQ(configured_drive(vm, kUnused1)->volume, z16("vm-100-disk-4"));
  EXPECT_EQ(configured_drive(vm, {Bus::kScsi, 7}), nullptr);
  for (const DriveSlot slot : {kScsi0, kScsi1, kScsi2}) EXPECT_TRUE(drive_waits(vm, slot)) << to_text(slot);
  for (const DriveSlot slot : {kUnused1, DriveSlot{Bus::kScsi, 7}})
    EXPECT_FALSE(drive_waits(vm, slot)) << to_text(slot);
}

TEST(GuestText, TellsWhichKeyNamesAVolume) {
  const LiveVm vm = guest();
  const std::tuple<const char*, std::optional<DriveSlot>, std::optional<DriveSlot>, bool> cases[] = {
      {"vm-100-disk-0", kScsi0, {}, true}, {"vm-100-disk-9", kScsi0, {}, true}, {"vm-100-disk-1", kScsi1, {}, true},
      {"vm-100-disk-2", kScsi2, {}, true}, {"vm-100-disk-3", {}, {}, true},     {"vm-100-disk-4", {}, kUnused1, true},
      {"vm-100-disk-5", {}, {}, false},
  };
  for (const auto& [name, attached, unused, referenced] : cases) {
    EXPECT_EQ(attached_slot_of(vm, z16(name)), attached) << name;
    EXPECT_EQ(unused_slot_of(vm, z16(name)), unused) << name;
    EXPECT_EQ(is_referenced(vm, z16(name)), referenced) << name;
  }
}

TEST(GuestText, TellsWhatAKeyWillSayAtTheNextStart) {
  const LiveVm vm = guest();
  const std::pair<const char*, std::optional<std::string>> cases[] = {
      {"cores", "4"},
      {"memory", "1024"},
      {"balloon", std::nullopt},
      {"cpu", "host"},
      {"tags", std::nullopt},
      {"agent", std::nullopt},
      {"scsi0", "z16:vm-100-disk-9,size=4G"},
      {"scsi1", std::nullopt},
      {"scsi7", std::nullopt},
  };
  for (const auto& [key, text] : cases) EXPECT_EQ(configured_text(vm, key), text) << key;
}

// What PVE stores is read, not compared by its letters.
TEST(SameOption, GoesByTheMeaning) {
  const std::tuple<const char*, const char*, const char*, bool> cases[] = {
      {"cores", "2", "2", true},
      {"cores", "2", "4", false},
      {"onboot", "1", "yes", true},
      {"onboot", "1", "0", false},
      {"tags", "b;a", "a;b", true},
      {"tags", "b;a", "a;c", false},
      {"agent", "1", "enabled=1", true},
      {"agent", "1", "enabled=0", false},
      {"cores", "2", "many", false},
      {"cores", "many", "2", false},
      {"nobody-knows", "1", "1", true},
      {"nobody-knows", "1", "01", false},
      // A MAC that nobody asked for is PVE's; one that was asked for is not.
      {"net0", "virtio,bridge=vmbr0", "virtio=BC:24:11:00:00:01,bridge=vmbr0", true},
      {"net0", "virtio,bridge=vmbr0", "virtio=BC:24:11:00:00:01,bridge=vmbr1", false},
      {"net0", "virtio=BC:24:11:00:00:02,bridge=vmbr0", "virtio=BC:24:11:00:00:01,bridge=vmbr0", false},
      {"net0", "virtio=BC:24:11:00:00:02,bridge=vmbr0", "virtio,bridge=vmbr0", false},
      // The size of an image is PVE's to tell.
      {"ide2", "local:iso/a.iso,media=cdrom", "local:iso/a.iso,media=cdrom,size=600M", true},
      {"ide2", "local:iso/b.iso,media=cdrom", "local:iso/a.iso,media=cdrom,size=600M", false},
      {"ide2", "local:iso/a.iso,media=cdrom", "no drive", false},
      {"ide2", "no drive", "local:iso/a.iso,media=cdrom", false},
  };
  for (const auto& [key, asked, stored, same] : cases)
    EXPECT_EQ(same_option(key, asked, stored), same) << key << ": " << asked << " and " << stored;
}

FlatMap<std::string> keys(std::vector<std::pair<std::string, std::string>> pairs) {
  FlatMap<std::string> result;
  for (auto& [key, text] : pairs) result.set(key, std::move(text));
  return result;
}

TEST(DriveOptions, AreSetAndTakenAwayByKey) {
  const Drive before = drive("z16:vm-100-disk-0,discard=on,new-key=7,size=4G,ssd=1");
  const std::pair<FlatMap<std::string>, const char*> cases[] = {
      {{}, "z16:vm-100-disk-0,discard=on,new-key=7,size=4G,ssd=1"},
      {keys({{"discard", "on"}, {"new-key", "7"}}), "z16:vm-100-disk-0,discard=on,new-key=7,size=4G,ssd=1"},
      {keys({{"iothread", "1"}}), "z16:vm-100-disk-0,discard=on,iothread=1,new-key=7,size=4G,ssd=1"},
      {keys({{"discard", ""}}), "z16:vm-100-disk-0,new-key=7,size=4G,ssd=1"},
      {keys({{"discard", ""}, {"ssd", "0"}}), "z16:vm-100-disk-0,new-key=7,size=4G,ssd=0"},
      {keys({{"new-key", "8"}}), "z16:vm-100-disk-0,discard=on,new-key=8,size=4G,ssd=1"},
      {keys({{"new-key", ""}}), "z16:vm-100-disk-0,discard=on,size=4G,ssd=1"},
      {keys({{"aio", ""}, {"other-key", ""}}), "z16:vm-100-disk-0,discard=on,new-key=7,size=4G,ssd=1"},
  };
  for (const auto& [set, text] : cases) {
    const auto changed = with_options(before, set);
    ASSERT_TRUE(changed) << text;
    EXPECT_EQ(print_drive(kScsi0, *changed), text);
    const auto has = has_options(before, set);
    ASSERT_TRUE(has) << text;
    EXPECT_EQ(*has, print_drive(kScsi0, before) == text) << text;
  }
  const auto wrong = with_options(before, keys({{"iothread", "maybe"}}));
  ASSERT_FALSE(wrong);
  EXPECT_THAT(wrong.error().text(), ::testing::HasSubstr("reading iothread=maybe"));
  EXPECT_FALSE(has_options(before, keys({{"iothread", "maybe"}})));
}

TEST(AllocationText, RoundsUpToAWholeKibibyte) {
  const std::pair<ByteSize, const char*> cases[] = {
      {1_GiB, "s:1"},
      {ByteSize{(1ULL << 30U) - 1023}, "s:1"},
      {ByteSize{(1ULL << 30U) - 1024}, "s:0.99999904632568359375"},
      {ByteSize{(3ULL << 30U) / 2}, "s:1.5"},
      {ByteSize{1}, "s:0.00000095367431640625"},
      {100_GiB, "s:100"},
  };
  for (const auto& [size, text] : cases) EXPECT_EQ(allocation_text("s", size), text);
}

}  // namespace
}  // namespace pvr
