#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

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

// What becomes of the disk "data" (scsi1, 64 GiB on san), which its slot does not hold.
TEST(BindDisks, ATableOfWhatMayHoldTheDataOfADisk) {
  struct Case {
    const char* what;
    std::function<void(ResolvedVm&, LiveVm&, LiveState&)> change;
    const char* match;
    const char* blocked = "";
  };
  const auto unused = [](LiveVm& g, LiveState& s, const char* volume, ByteSize size) {
    attach(g, "unused0", volume);
    list_volume(s, volume, size);
  };
  const auto marked = [](LiveState& s, const char* name, bool retired) {
    LiveHost host{.node = "pve1", .zfs_version = "2.3.9"};
    LiveDataset zvol{.name = name, .is_volume = true};
    if (retired) zvol.marks.set("retired-at", "20261121T081500Z");
    host.datasets = {zvol};
    s.hosts = {host};
  };
  const Case cases[] = {
      {"nothing", [](ResolvedVm&, LiveVm&, LiveState&) {}, "missing"},
      {"unused, of its size", [&](ResolvedVm&, LiveVm& g, LiveState& s) { unused(g, s, "san:vm-201-disk-1", 64_GiB); },
       "unused san:vm-201-disk-1"},
      {"unused, padded to its size",
       [&](ResolvedVm&, LiveVm& g, LiveState& s) {
         unused(g, s, "san:vm-201-disk-1", ByteSize{(64_GiB).bytes - (4_MiB).bytes + 1});
       },
       "unused san:vm-201-disk-1"},
      {"unused, of another size",
       [&](ResolvedVm&, LiveVm& g, LiveState& s) {
         unused(g, s, "san:vm-201-disk-1", ByteSize{(64_GiB).bytes - (4_MiB).bytes});
       },
       "missing"},
      {"unused, of the size of another disk, and no size is stated",
       [&](ResolvedVm& w, LiveVm& g, LiveState& s) {
         w.disks[1] = disk("data", "scsi1", "san", "");
         unused(g, s, "san:vm-201-disk-1", 32_GiB);
       },
       "ambiguous",
       "its data may already be in unused0 (san:vm-201-disk-1, 32GiB), or that is an earlier copy of scsi0; with host "
       "access (cluster.ssh) marks on the zvols would tell"},
      {"unused, of unknown size", [](ResolvedVm&, LiveVm& g, LiveState&) { attach(g, "unused0", "san:vm-201-disk-1"); },
       "ambiguous", "its data may already be in unused0 (san:vm-201-disk-1, size unknown)"},
      {"unused and gone, and another guest notes what size it had",
       [](ResolvedVm&, LiveVm& g, LiveState& s) {
         attach(g, "unused0", "san:vm-201-disk-1");
         LiveVm other = guest(202);
         attach(other, "scsi1", "san:vm-201-disk-1,size=64G");
         s.vms.push_back(std::move(other));
       },
       "ambiguous", "its data may already be in unused0 (san:vm-201-disk-1, size unknown)"},
      {"in another slot", [](ResolvedVm&, LiveVm& g, LiveState&) { attach(g, "scsi5", "san:vm-201-disk-1,size=64G"); },
       "other slot san:vm-201-disk-1"},
      {"in another slot that waits to be emptied",
       [](ResolvedVm&, LiveVm& g, LiveState&) {
         attach(g, "scsi5", "san:vm-201-disk-1,size=64G").pending_delete = true;
       },
       "ambiguous", "its data may already be in scsi5, which waits to be emptied (san:vm-201-disk-1, 64GiB)"},
      {"in the slot of another desired disk",
       [](ResolvedVm& w, LiveVm& g, LiveState&) {
         w.disks.push_back(disk("more", "scsi5", "san", "64GiB"));
         attach(g, "scsi5", "san:vm-201-disk-1,size=64G");
       },
       "missing"},
      {"a CD", [](ResolvedVm&, LiveVm& g, LiveState&) { attach(g, "ide2", "san:vm-201-disk-1,media=cdrom"); },
       "missing"},
      {"listed only", [](ResolvedVm&, LiveVm&, LiveState& s) { list_volume(s, "san:vm-201-disk-1", 64_GiB); },
       "unused san:vm-201-disk-1"},
      {"listed only, and of another guest",
       [](ResolvedVm&, LiveVm&, LiveState& s) { list_volume(s, "san:vm-202-disk-1", 64_GiB); }, "missing"},
      {"listed on this node",
       [](ResolvedVm&, LiveVm&, LiveState& s) { list_volume(s, "SSD-r10:vm-201-disk-1", 64_GiB, "pve1"); },
       "unused SSD-r10:vm-201-disk-1"},
      {"listed on another node",
       [](ResolvedVm&, LiveVm&, LiveState& s) { list_volume(s, "SSD-r10:vm-201-disk-1", 64_GiB, "pve2"); }, "missing"},
      {"listed as a backup",
       [](ResolvedVm&, LiveVm&, LiveState& s) {
         list_volume(s, "san:vm-201-disk-1", 64_GiB);
         std::ranges::find(s.volumes, "vm-201-disk-1", [](const LiveVolume& v) { return v.id.name; })->content =
             "backup";
       },
       "missing"},
      {"memory of a snapshot", [](ResolvedVm&, LiveVm&, LiveState& s) { list_volume(s, "san:vm-201-state-x", 64_GiB); },
       "missing"},
      {"fleecing", [](ResolvedVm&, LiveVm&, LiveState& s) { list_volume(s, "san:vm-201-fleece-0", 64_GiB); },
       "missing"},
      {"cloud-init", [](ResolvedVm&, LiveVm&, LiveState& s) { list_volume(s, "san:vm-201-cloudinit", 64_GiB); },
       "missing"},
      {"the volume the guest has pending",
       [](ResolvedVm& w, LiveVm& g, LiveState& s) {
         w.disks.push_back(disk("more", "scsi5", "san", "8GiB"));
         LiveDrive& drive = attach(g, "scsi5", "san:vm-201-disk-5,size=8G");
         LiveVm after = guest(201);
         drive.pending = attach(after, "scsi5", "san:vm-201-disk-1,size=64G").current;
         list_volume(s, "san:vm-201-disk-1", 64_GiB);
       },
       "missing"},
      {"two that fit",
       [](ResolvedVm&, LiveVm&, LiveState& s) {
         list_volume(s, "san:vm-201-disk-1", 64_GiB);
         list_volume(s, "san:vm-201-disk-2", 64_GiB);
       },
       "ambiguous",
       "its data may already be in not attached (san:vm-201-disk-1, 64GiB) or in not attached (san:vm-201-disk-2, "
       "64GiB)"},
      {"one that two disks may want",
       [](ResolvedVm& w, LiveVm&, LiveState& s) {
         w.disks.push_back(disk("more", "scsi5", "san", "64GiB"));
         list_volume(s, "san:vm-201-disk-1", 64_GiB);
       },
       "ambiguous", "its data may already be in not attached (san:vm-201-disk-1, 64GiB)"},
      {"one that another disk wants, which is to go",
       [](ResolvedVm& w, LiveVm&, LiveState& s) {
         w.disks.push_back(disk("more", "scsi5", "san", "64GiB"));
         w.disks.back().absent = true;
         list_volume(s, "san:vm-201-disk-1", 64_GiB);
       },
       "unused san:vm-201-disk-1"},
      {"its own slot waits to be emptied",
       [](ResolvedVm&, LiveVm& g, LiveState&) {
         attach(g, "scsi1", "san:vm-201-disk-1,size=64G").pending_delete = true;
       },
       "wrong holder", "scsi1 still holds san:vm-201-disk-1, which waits for its removal"},
      {"retired, as a mark says",
       [&](ResolvedVm&, LiveVm& g, LiveState& s) {
         unused(g, s, "SSD-r10:vm-201-disk-1", 64_GiB);
         marked(s, "tank/vm-201-disk-1", true);
       },
       "missing"},
      {"no mark",
       [&](ResolvedVm&, LiveVm& g, LiveState& s) {
         unused(g, s, "SSD-r10:vm-201-disk-1", 64_GiB);
         marked(s, "tank/vm-201-disk-1", false);
       },
       "unused SSD-r10:vm-201-disk-1"},
      {"retired and in no key",
       [&](ResolvedVm&, LiveVm&, LiveState& s) {
         list_volume(s, "SSD-r10:vm-201-disk-1", 64_GiB, "pve1");
         marked(s, "tank/vm-201-disk-1", true);
       },
       "missing"},
      {"a firmware disk is never sure of its volume",
       [&](ResolvedVm& w, LiveVm& g, LiveState& s) {
         w.disks[1] = disk("data", "efidisk0", "san", "");
         unused(g, s, "san:vm-201-disk-1", 4_MiB);
       },
       "ambiguous", "its data may already be in unused0 (san:vm-201-disk-1, 4MiB)"},
      {"larger than any firmware disk",
       [&](ResolvedVm& w, LiveVm& g, LiveState& s) {
         w.disks[1] = disk("data", "efidisk0", "san", "");
         unused(g, s, "san:vm-201-disk-1", 5_MiB);
       },
       "missing"}};
  for (const Case& one : cases) {
    SCOPED_TRACE(one.what);
    ResolvedVm wanted = vm("a", 201);
    wanted.disks = {disk("root", "scsi0", "san", "32GiB"), disk("data", "scsi1", "san", "64GiB")};
    LiveState state = cluster(true);
    LiveVm present = guest(201);
    attach(present, "scsi0", "san:vm-201-disk-0,size=32G");
    one.change(wanted, present, state);
    put(state, present);
    const DiskDiff found = the_disk(diff(fleet({wanted}), state, DiffDetail::kEverything), "data");
    const char* match = found.match == DiskMatch::kMissing       ? "missing"
                        : found.match == DiskMatch::kUnused      ? "unused "
                        : found.match == DiskMatch::kOtherSlot   ? "other slot "
                        : found.match == DiskMatch::kAmbiguous   ? "ambiguous"
                        : found.match == DiskMatch::kWrongHolder ? "wrong holder"
                                                                 : "in place";
    const bool bound = found.match == DiskMatch::kUnused || found.match == DiskMatch::kOtherSlot;
    EXPECT_EQ(match + (bound ? to_text(*found.volume) : ""), one.match);
    EXPECT_EQ(found.blocked, one.blocked);
  }
}

TEST(BindDisks, SizesThatFitCrosswiseAndNoOthersAreAnExchange) {
  const auto exchanged = [](const char* first, const char* second, const char* first_has, const char* second_has) {
    ResolvedVm wanted = vm("a", 201);
    wanted.disks = {disk("data", "scsi0", "san", first), disk("root", "scsi1", "san", second)};
    LiveState state = cluster();
    LiveVm present = guest(201);
    attach(present, "scsi0", std::string("san:vm-201-disk-0,size=") + first_has);
    attach(present, "scsi1", std::string("san:vm-201-disk-1,size=") + second_has);
    put(state, present);
    const Diff all = diff(fleet({wanted}), state, DiffDetail::kEverything);
    return the_disk(all, "data").match == DiskMatch::kWrongHolder
               ? the_disk(all, "data").blocked + "; " + the_disk(all, "root").blocked
               : "";
  };
  const std::string both =
      "the sizes say that scsi0 holds the data of disk \"root\"; the sizes say that scsi1 holds the data of disk "
      "\"data\"";
  EXPECT_EQ(exchanged("64GiB", "256GiB", "256G", "64G"), both);
  EXPECT_EQ(exchanged("256GiB", "64GiB", "64G", "256G"), both);
  EXPECT_EQ(exchanged("96GiB", "256GiB", "256G", "64G"), both) << "one of them grew besides";
  EXPECT_EQ(exchanged("64GiB", "256GiB", "64G", "256G"), "");
  EXPECT_EQ(exchanged("64GiB", "256GiB", "128G", "64G"), "") << "a smaller wish alone is none";
  EXPECT_EQ(exchanged("64GiB", "256GiB", "256G", "256G"), "") << "the other one is as it should be";
}

}  // namespace
}  // namespace pvr::testing
