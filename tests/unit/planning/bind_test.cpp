#include <gtest/gtest.h>

#include "tests/unit/planning/world.h"

namespace pvr::testing {
namespace {

const DiskDiff& the_disk(const Diff& diff, std::string_view name) {
  for (const DiskDiff& disk : diff.vms.at(0).disks)
    if (disk.name == name) return disk;
  throw std::runtime_error("no such disk");
}

TEST(BindDisks, ANewDiskIsMissing) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("root", "scsi0", "san", "32GiB"), disk("data", "scsi1", "san", "64GiB")};
  LiveState state = cluster();
  LiveVm present = guest(201);
  attach(present, "scsi0", "san:vm-201-disk-0,size=32G");
  put(state, present);
  EXPECT_EQ(the_disk(diff(fleet({wanted}), state), "data").match, DiskMatch::kMissing);
}

TEST(BindDisks, ADetachedVolumeOfItsSizeIsTakenAndNotReplacedByAnEmptyOne) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("root", "scsi0", "san", "32GiB"), disk("data", "scsi1", "san", "64GiB")};
  LiveState state = cluster();
  LiveVm present = guest(201);
  attach(present, "scsi0", "san:vm-201-disk-0,size=32G");
  attach(present, "unused0", "san:vm-201-disk-1");
  list_volume(state, "san:vm-201-disk-1", 64_GiB);
  put(state, present);
  const Diff result = diff(fleet({wanted}), state);
  EXPECT_EQ(the_disk(result, "data").match, DiskMatch::kUnused);
  EXPECT_EQ(the_disk(result, "data").volume, (VolumeId{"san", "vm-201-disk-1"}));
  const Plan made = plan(fleet({wanted}), state);
  EXPECT_EQ(names(made), "attach-volume") << show(made);
  LiveState after = state;
  apply(after, made);
  EXPECT_TRUE(plan(fleet({wanted}), after).empty());
}

TEST(BindDisks, AVolumeInNoKeyOfTheGuestCountsToo) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("root", "scsi0", "san", "32GiB"), disk("data", "scsi1", "san", "64GiB")};
  LiveState state = cluster();
  LiveVm present = guest(201);
  attach(present, "scsi0", "san:vm-201-disk-0,size=32G");
  put(state, present);
  list_volume(state, "san:vm-201-disk-7", 64_GiB);
  EXPECT_EQ(the_disk(diff(fleet({wanted}), state), "data").volume, (VolumeId{"san", "vm-201-disk-7"}));
}

TEST(BindDisks, TwoCandidatesAreNamedAndRefused) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("root", "scsi0", "san", "32GiB"), disk("data", "scsi1", "san", "64GiB")};
  LiveState state = cluster();
  LiveVm present = guest(201);
  attach(present, "scsi0", "san:vm-201-disk-0,size=32G");
  attach(present, "unused0", "san:vm-201-disk-1");
  put(state, present);
  list_volume(state, "san:vm-201-disk-1", 64_GiB);
  list_volume(state, "nfs:201/vm-201-disk-3.raw", 64_GiB);
  const Plan made = plan(fleet({wanted}), state, {.allow = everything()});
  EXPECT_TRUE(made.empty()) << show(made);
  ASSERT_EQ(made.blocked.size(), 1U);
  EXPECT_NE(made.blocked[0].why.find("san:vm-201-disk-1"), std::string::npos);
  EXPECT_NE(made.blocked[0].why.find("nfs:201/vm-201-disk-3.raw"), std::string::npos);
}

TEST(BindDisks, ARetiredCopyIsNotTakenForANewDisk) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("root", "scsi0", "SSD-r10", "32GiB"), disk("scratch", "scsi1", "SSD-r10", "32GiB")};
  LiveState state = cluster();
  LiveVm present = guest(201);
  attach(present, "scsi0", "SSD-r10:vm-201-disk-0,size=32G");
  attach(present, "unused0", "san:vm-201-disk-0");
  put(state, present);
  list_volume(state, "san:vm-201-disk-0", 32_GiB);
  const Plan made = plan(fleet({wanted}), state, {.allow = everything()});
  EXPECT_TRUE(made.empty()) << show(made);
  ASSERT_EQ(made.blocked.size(), 1U);
  EXPECT_NE(made.blocked[0].why.find("earlier copy of scsi0"), std::string::npos) << made.blocked[0].why;
}

TEST(BindDisks, AnotherSlotKeepsDataAndOptions) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("data", "scsi3", "san", "64GiB", "discard=on"), disk("root", "scsi0", "san", "32GiB")};
  LiveState state = cluster();
  LiveVm present = guest(201);
  attach(present, "scsi0", "san:vm-201-disk-0,size=32G");
  attach(present, "scsi1", "san:vm-201-disk-1,backup=0,discard=on,size=64G");
  put(state, present);
  const Plan refused = plan(fleet({wanted}), state);
  EXPECT_TRUE(refused.empty());
  ASSERT_EQ(refused.blocked.size(), 1U);
  EXPECT_NE(refused.blocked[0].remedy.find("--allow restart"), std::string::npos);
  const Plan made = plan(fleet({wanted}), state, {.allow = {.restart = true}});
  EXPECT_EQ(names(made), "stop-vm attach-volume start-vm") << show(made);
  const AttachVolume moved = all<AttachVolume>(made).at(0);
  EXPECT_EQ(moved.from, slot("scsi1"));
  ASSERT_NE(moved.options.find("backup"), nullptr);
  EXPECT_EQ(*moved.options.find("backup"), "0");
  LiveState after = state;
  apply(after, made);
  EXPECT_TRUE(plan(fleet({wanted}), after, {.allow = {.restart = true}}).empty());
}

TEST(BindDisks, ExchangedSlotsAreNoticedBeforeTheWrongDiskGrows) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("data", "scsi0", "san", "256GiB"), disk("root", "scsi1", "san", "64GiB")};
  LiveState state = cluster();
  LiveVm present = guest(201);
  attach(present, "scsi0", "san:vm-201-disk-0,size=64G");
  attach(present, "scsi1", "san:vm-201-disk-1,size=256G");
  put(state, present);
  const Plan made = plan(fleet({wanted}), state, {.allow = everything()});
  EXPECT_TRUE(made.empty()) << show(made);
  EXPECT_EQ(made.blocked.size(), 2U);
}

TEST(BindDisks, AnOrphanOfAGuestThatIsGoneStopsItsCreation) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("root", "scsi0", "san", "32GiB")};
  LiveState state = cluster();
  list_volume(state, "san:vm-201-disk-0", 32_GiB);
  const Plan made = plan(fleet({wanted}), state, {.allow = everything()});
  EXPECT_TRUE(made.empty()) << show(made);
  EXPECT_FALSE(made.blocked.empty());
}

TEST(BindDisks, ACdDriveInTheSlotIsNotOverwritten) {
  ResolvedVm wanted = vm("a", 201);
  wanted.disks = {disk("data", "ide2", "san", "32GiB")};
  LiveState state = cluster();
  LiveVm present = guest(201);
  attach(present, "ide2", "local:iso/x.iso,media=cdrom");
  put(state, present);
  const Plan made = plan(fleet({wanted}), state, {.allow = everything()});
  EXPECT_TRUE(made.empty()) << show(made);
  EXPECT_EQ(made.blocked.size(), 1U);
}

}  // namespace
}  // namespace pvr::testing
