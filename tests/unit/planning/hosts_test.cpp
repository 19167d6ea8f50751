// Nodes, zpools and datasets: what differs, what is done about it, and what is in the way.

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "tests/unit/planning/world.h"

namespace pvr::testing {
namespace {

struct World {
  LiveState state = cluster(true);
  ResolvedHost host{.node = "pve1"};
  PlanOptions options;
  LiveHost& live() { return state.hosts.at(0); }
  LiveZpool& pool() { return live().zpools.at(0); }
  LiveDataset& dataset(std::string_view name) { return *std::ranges::find(live().datasets, name, &LiveDataset::name); }
  [[nodiscard]] ResolvedFleet wanted() const {
    ResolvedFleet all = fleet({});
    all.hosts = {host};
    return all;
  }
  [[nodiscard]] std::string said() const { return told(plan(wanted(), state, options)); }
};

LiveDataset file_system(std::string name) {
  LiveDataset out{.name = std::move(name)};
  out.properties.set("compression", "on");
  out.properties.set("recordsize", "131072");
  out.properties.set("atime", "on");
  return out;
}

World lab() {
  World world;
  LiveHost host{.node = "pve1", .zfs_version = "2.3.9", .memory = 64_GiB};
  host.arc_max = 8_GiB;
  host.arc_min = 2_GiB;
  host.zpools = {{.name = "tank", .health = "ONLINE", .vdevs = {{.media = Media::kSsd}}}};
  host.datasets = {file_system("tank"), file_system("tank/data"), {.name = "tank/vm-1-disk-0", .is_volume = true}};
  world.state.hosts = {host};
  return world;
}

struct Stated {
  const char* key;
  const char* text;
  const char* rule = "";
};
ResolvedHostPart part(std::string name, bool is_pool, Home home, std::initializer_list<Stated> list) {
  ResolvedHostPart out{.name = std::move(name), .is_pool = is_pool};
  for (const Stated& one : list)
    out.settings.set(one.key,
                     *one.rule != '\0' ? by_rule(home, one.key, one.text, one.rule) : stated(home, one.key, one.text));
  return out;
}

World with_arc(std::initializer_list<Stated> list = {{"arc_max", "16GiB"}, {"arc_min", "4GiB"}}) {
  World world = lab();
  world.host.parts = {part("", false, Home::kHostOption, list)};
  return world;
}

struct Case {
  const char* what;
  std::function<void(World&)> change;
  const char* said;
};
template <class Start>
void expect_each(const Start& start, const std::vector<Case>& cases) {
  for (const Case& one : cases) {
    SCOPED_TRACE(one.what);
    World world = start();
    one.change(world);
    EXPECT_EQ(world.said(), one.said);
  }
}

void boots_with(World& w, const char* file, const char* name, const char* bytes) {
  w.live().modprobe.push_back({.file = file, .name = name, .value = bytes});
  w.live().modprobe_options.set(name, bytes);
}

constexpr const char* kBothLimits = R"(1 host/pve1 [live]
  {"max":17179869184,"min":4294967296,"name":"set-arc-limits","node":"pve1","options":{"zfs_arc_max":"17179869184","zfs_arc_min":"4294967296"}}
  after ; locks host/pve1; node pve1; guard   
  arc_max: 8 GiB, and the system's own choice after a boot -> 16 GiB [live] (stated in the fleet file)
  arc_min: 2 GiB, and the system's own choice after a boot -> 4 GiB [live] (stated in the fleet file)
finding host/pve1 Z13: Where the initramfs loads zfs (root on ZFS), it keeps a copy of modprobe.d: the old limits come back at the next boot until it is made again. => on pve1, after the change: update-initramfs -u -k all
)";

TEST(PlanArc, EveryCaseSaysWhatIsWrittenOrWhyNot) {
  const std::string own(kOwnModprobeFile);
  expect_each(
      [] { return with_arc(); },
      {{"both limits", [](World&) {}, kBothLimits},
       {"one is right now, and not after a boot", [](World& w) { w.live().arc_max = 16_GiB; }, R"(1 host/pve1 [live]
  {"max":17179869184,"min":4294967296,"name":"set-arc-limits","node":"pve1","options":{"zfs_arc_max":"17179869184","zfs_arc_min":"4294967296"}}
  after ; locks host/pve1; node pve1; guard   
  arc_max: 16 GiB, and the system's own choice after a boot -> 16 GiB [live] (stated in the fleet file)
  arc_min: 2 GiB, and the system's own choice after a boot -> 4 GiB [live] (stated in the fleet file)
finding host/pve1 Z13: Where the initramfs loads zfs (root on ZFS), it keeps a copy of modprobe.d: the old limits come back at the next boot until it is made again. => on pve1, after the change: update-initramfs -u -k all
)"},
       {"one is right after a boot, and not now",
        [&](World& w) { boots_with(w, own.c_str(), "zfs_arc_max", "17179869184"); }, R"(1 host/pve1 [live]
  {"max":17179869184,"min":4294967296,"name":"set-arc-limits","node":"pve1","options":{"zfs_arc_max":"17179869184","zfs_arc_min":"4294967296"}}
  after ; locks host/pve1; node pve1; guard   
  arc_max: 8 GiB, and 16 GiB after a boot -> 16 GiB [live] (stated in the fleet file)
  arc_min: 2 GiB, and the system's own choice after a boot -> 4 GiB [live] (stated in the fleet file)
finding host/pve1 Z13: Where the initramfs loads zfs (root on ZFS), it keeps a copy of modprobe.d: the old limits come back at the next boot until it is made again. => on pve1, after the change: update-initramfs -u -k all
)"},
       {"both are right",
        [&](World& w) {
          w.live().arc_max = 16_GiB;
          w.live().arc_min = 4_GiB;
          boots_with(w, own.c_str(), "zfs_arc_max", "17179869184");
          boots_with(w, own.c_str(), "zfs_arc_min", "4294967296");
        },
        ""},
       {"both are right by a file of somebody else",
        [&](World& w) {
          w.live().arc_max = 16_GiB;
          w.live().arc_min = 4_GiB;
          boots_with(w, "/etc/modprobe.d/zfs.conf", "zfs_arc_max", "17179869184");
          boots_with(w, own.c_str(), "zfs_arc_min", "4294967296");
        },
        ""},
       {"what else our file says stays",
        [&](World& w) {
          boots_with(w, own.c_str(), "zfs_txg_timeout", "5");
          boots_with(w, "/etc/modprobe.d/x.conf", "zfs_vdev_max", "7");
        },
        R"(1 host/pve1 [live]
  {"max":17179869184,"min":4294967296,"name":"set-arc-limits","node":"pve1","options":{"zfs_arc_max":"17179869184","zfs_arc_min":"4294967296","zfs_txg_timeout":"5"}}
  after ; locks host/pve1; node pve1; guard   
  arc_max: 8 GiB, and the system's own choice after a boot -> 16 GiB [live] (stated in the fleet file)
  arc_min: 2 GiB, and the system's own choice after a boot -> 4 GiB [live] (stated in the fleet file)
finding host/pve1 Z13: Where the initramfs loads zfs (root on ZFS), it keeps a copy of modprobe.d: the old limits come back at the next boot until it is made again. => on pve1, after the change: update-initramfs -u -k all
)"},
       {"a file of somebody else says otherwise",
        [](World& w) { boots_with(w, "/etc/modprobe.d/zfs.conf", "zfs_arc_max", "1073741824"); },
        "host/pve1: set arc_max, arc_min: /etc/modprobe.d/zfs.conf on pve1 sets zfs_arc_max=1073741824 and is not ours "
        "=> take zfs_arc_max out of /etc/modprobe.d/zfs.conf, or state arc_max as it is there\n"},
       {"a file nobody can read", [&](World& w) { boots_with(w, own.c_str(), "zfs_arc_max", "1073741824x"); },
        kBothLimits},
       {"the ARC cannot be read", [](World& w) { w.live().arc_max.reset(); },
        "host/pve1: set arc_max, arc_min: the ARC of pve1 cannot be read => look whether /proc/spl/kstat/zfs/arcstats "
        "is there\n"},
       {"nothing is known of the memory",
        [](World& w) { w.host.parts[0].settings.set("arc_max", Resolved{.origin = FromRule{.rule = "Z13"}}); },
        "host/pve1: set arc_max, arc_min: the memory of pve1 is not known, so rule Z13 advises nothing => state "
        "arc_max as a size\n"},
       {"as large as the memory", [](World& w) { w.live().memory = 16_GiB; },
        "host/pve1: let the ARC have 16 GiB: pve1 has 16 GiB of memory, and OpenZFS ignores a limit that is not below "
        "it => a smaller arc_max\n"},
       {"a little below the memory", [](World& w) { w.live().memory = ByteSize{(16_GiB).bytes + 1}; }, kBothLimits},
       {"guests have no room beside it",
        [](World& w) {
          LiveVm other = guest(201);
          other.memory = 40_GiB;
          put(w.state, other);
          w.options.guest_memory = [](const std::string&) { return std::optional(32_GiB); };
        },
        "host/pve1: let the ARC have 16 GiB: the guests that run on pve1 have 40 GiB together, and beside such an ARC "
        "and the system there is room for 32 GiB (rule Z13) => a smaller arc_max, or fewer guests there\n"},
       {"guests have exactly the room",
        [](World& w) {
          LiveVm other = guest(201);
          other.memory = 32_GiB;
          put(w.state, other);
          w.options.guest_memory = [](const std::string&) { return std::optional(32_GiB); };
        },
        kBothLimits},
       {"guests have no room, but it shrinks",
        [](World& w) {
          LiveVm other = guest(201);
          other.memory = 40_GiB;
          put(w.state, other);
          w.live().arc_max = 20_GiB;
          w.options.guest_memory = [](const std::string&) { return std::optional(32_GiB); };
        },
        R"(1 host/pve1 [live]
  {"max":17179869184,"min":4294967296,"name":"set-arc-limits","node":"pve1","options":{"zfs_arc_max":"17179869184","zfs_arc_min":"4294967296"}}
  after ; locks host/pve1; node pve1; guard   
  arc_max: 20 GiB, and the system's own choice after a boot -> 16 GiB [live] (stated in the fleet file)
  arc_min: 2 GiB, and the system's own choice after a boot -> 4 GiB [live] (stated in the fleet file)
finding host/pve1 Z13: Where the initramfs loads zfs (root on ZFS), it keeps a copy of modprobe.d: the old limits come back at the next boot until it is made again. => on pve1, after the change: update-initramfs -u -k all
)"}});
  EXPECT_EQ(with_arc({{"arc_min", "2GiB"}}).said().find("zfs_arc_max"), std::string::npos);
}

TEST(PlanHosts, EveryReasonANodeCannotBeAskedIsNamed) {
  expect_each(
      [] {
        return with_arc({{"arc_max", "16GiB"}});
      },
      {{"unknown node", [](World& w) { w.host.node = "pve9"; },
        "host/pve9: set arc_max: there is no node \"pve9\" in the cluster => correct the name under hosts:\n"},
       {"offline", [](World& w) { w.state.nodes[0].online = false; },
        "(!) host/pve1: set arc_max: node \"pve1\" does not answer => plan again when it does\n"},
       {"no host access", [](World& w) { w.state.hosts.clear(); },
        "host/pve1: set arc_max: there is no host access to pve1, and the API of PVE knows nothing of it => state "
        "cluster.ssh in the fleet file; pvereconcile doctor prints what a node needs for it\n"},
       {"cannot be read", [](World& w) { w.live().readable = false, w.live().problem = "no route"; },
        "(!) host/pve1: set arc_max: node \"pve1\" cannot be read over ssh: no route => pvereconcile doctor says what "
        "works and what does not\n"},
       {"without ZFS", [](World& w) { w.live().zfs_version.clear(); },
        "host/pve1: set arc_max: node \"pve1\" has no ZFS => take it out of hosts:\n"},
       {"nothing is asked of it", [](World& w) { w.host.parts[0].settings = {}; }, ""}});
}

World with_a_pool() {
  World world = lab();
  world.host.parts = {part("tank", true, Home::kPoolProperty, {{"autotrim", "on"}, {"trim", "monthly"}})};
  world.host.parts[0].settings.set("atime", by_rule(Home::kDatasetProperty, "atime", "off", "Z7"));
  world.host.parts[0].settings.set("recordsize", stated(Home::kDatasetProperty, "recordsize", "1MiB"));
  world.host.parts[0].settings.set("compression", stated(Home::kDatasetProperty, "compression", "lz4"));
  return world;
}

constexpr const char* kEverything = R"(1 host/pve1/tank [live]
  {"name":"set-trim-timer","node":"pve1","pool":"tank","timer":"monthly"}
  after ; locks zfs/pve1/tank; node pve1; guard   
  trim: none -> monthly [live] (stated in the fleet file)
2 host/pve1/tank [live]
  {"name":"set-pool-properties","node":"pve1","pool":"tank","set":{"autotrim":"on"}}
  after ; locks zfs/pve1/tank; node pve1; guard   
  autotrim: off -> on [live] (stated in the fleet file)
3 host/pve1/tank [live]
  {"dataset":"tank","name":"set-zvol-properties","node":"pve1","set":{"atime":"off","recordsize":"1048576"},"slot":"scsi0","volume":":"}
  after ; locks zfs/pve1/tank; node pve1; guard   
  atime: on -> off [live] rule Z7
  recordsize: 128KiB -> 1MiB (new blocks only) [live] (stated in the fleet file)
)";

TEST(PlanHosts, EveryCaseOfAPoolSaysWhatIsSetOrWhyNot) {
  expect_each(with_a_pool,
              {{"everything", [](World&) {}, kEverything},
               {"zstd instead of lz4",
                [](World& w) {
                  w.host.parts[0] = part("tank", true, Home::kDatasetProperty, {{"compression", "zstd"}});
                },
                R"(1 host/pve1/tank [live]
  {"dataset":"tank","name":"set-zvol-properties","node":"pve1","set":{"compression":"zstd"},"slot":"scsi0","volume":":"}
  after ; locks zfs/pve1/tank; node pve1; guard   
  compression: on -> zstd (new blocks only) [live] (stated in the fleet file)
)"},
               {"it is there already",
                [](World& w) {
                  w.pool().autotrim = true;
                  w.live().trim_timers = {"zfs-trim-monthly@tank.timer"};
                  w.dataset("tank").properties.set("atime", "off");
                  w.dataset("tank").properties.set("recordsize", "1048576");
                },
                ""},
               {"another pool is trimmed", [](World& w) { w.live().trim_timers = {"zfs-trim-monthly@lake.timer"}; },
                kEverything},
               {"trimmed twice",
                [](World& w) {
                  w.live().trim_timers = {"zfs-trim-monthly@tank.timer", "zfs-trim-weekly@tank.timer"};
                },
                R"(1 host/pve1/tank [live]
  {"name":"set-trim-timer","node":"pve1","pool":"tank","timer":"monthly"}
  after ; locks zfs/pve1/tank; node pve1; guard   
  trim: monthly,weekly -> monthly [live] (stated in the fleet file)
2 host/pve1/tank [live]
  {"name":"set-pool-properties","node":"pve1","pool":"tank","set":{"autotrim":"on"}}
  after ; locks zfs/pve1/tank; node pve1; guard   
  autotrim: off -> on [live] (stated in the fleet file)
3 host/pve1/tank [live]
  {"dataset":"tank","name":"set-zvol-properties","node":"pve1","set":{"atime":"off","recordsize":"1048576"},"slot":"scsi0","volume":":"}
  after ; locks zfs/pve1/tank; node pve1; guard   
  atime: on -> off [live] rule Z7
  recordsize: 128KiB -> 1MiB (new blocks only) [live] (stated in the fleet file)
)"},
               {"no such pool", [](World& w) { w.live().zpools.clear(); },
                "host/pve1/tank: set atime, autotrim, compression, recordsize, trim: there is no zpool tank on pve1 => "
                "correct the name; pools are not created\n"},
               {"its file system cannot be seen", [](World& w) { w.live().datasets.clear(); },
                "host/pve1/tank: set atime, autotrim, compression, recordsize, trim: there is no file system tank on "
                "pve1 => on pve1: zfs create -p tank\n"},
               {"read-only", [](World& w) { w.pool().read_only = true; },
                "(!) host/pve1/tank: set atime, autotrim, compression, recordsize, trim: zpool tank on pve1 is "
                "read-only => on pve1: zpool status tank\n"},
               {"suspended", [](World& w) { w.pool().health = "SUSPENDED"; },
                "(!) host/pve1/tank: set atime, autotrim, compression, recordsize, trim: zpool tank on pve1 is "
                "SUSPENDED => on pve1: zpool status tank\n"},
               {"a volume is no file system",
                [](World& w) {
                  w.host.parts = {part("tank/vm-1-disk-0", false, Home::kDatasetProperty, {{"atime", "off"}})};
                },
                "host/pve1/tank/vm-1-disk-0: set atime: there is no file system tank/vm-1-disk-0 on pve1 => on pve1: "
                "zfs create -p tank/vm-1-disk-0\n"},
               {"a dataset",
                [](World& w) {
                  w.host.parts = {part("tank/data", false, Home::kDatasetProperty, {{"atime", "off"}})};
                },
                R"(1 host/pve1/tank/data [live]
  {"dataset":"tank/data","name":"set-zvol-properties","node":"pve1","set":{"atime":"off"},"slot":"scsi0","volume":":"}
  after ; locks zfs/pve1/tank; node pve1; guard   
  atime: on -> off [live] (stated in the fleet file)
)"},
               {"a dataset that has it",
                [](World& w) {
                  w.host.parts = {part("tank/data", false, Home::kDatasetProperty, {{"atime", "on"}})};
                },
                ""}});
}

// Rule Z11 wants SSDs trimmed by some means; a statement wants its own.
TEST(PlanHosts, TrimmingByTheRuleIsContentWithAnyMeans) {
  const auto said = [](const char* rule, const std::function<void(World&)>& change) {
    World world = lab();
    world.host.parts = {part("tank", true, Home::kPoolProperty, {{"trim", "monthly", rule}})};
    change(world);
    return names(plan(world.wanted(), world.state));
  };
  const auto autotrims = [](World& w) { w.pool().autotrim = true; };
  const auto weekly = [](World& w) { w.live().trim_timers = {"zfs-trim-weekly@tank.timer"}; };
  const auto disks = [](World& w) { w.pool().vdevs[0].media = Media::kHdd; };
  const auto nothing = [](World&) {};
  EXPECT_EQ(said("Z11", nothing), "set-trim-timer");
  EXPECT_EQ(said("Z11", autotrims), "");
  EXPECT_EQ(said("Z11", weekly), "");
  EXPECT_EQ(said("Z11", disks), "");
  EXPECT_EQ(said("", autotrims), "set-trim-timer");
  EXPECT_EQ(said("", weekly), "set-trim-timer");
  EXPECT_EQ(said("", disks), "set-trim-timer");
  const auto note = [](const std::function<void(World&)>& change) {
    World world = lab();
    world.host.parts = {part("tank", true, Home::kPoolProperty, {{"trim", "monthly", "Z11"}})};
    change(world);
    return diff(world.wanted(), world.state, DiffDetail::kEverything).hosts.at(0).settings.at(0).note;
  };
  EXPECT_EQ(note(disks), "no SSDs");
  EXPECT_EQ(note(autotrims), "autotrim does it");
  EXPECT_EQ(note(weekly), "trimmed already");
  EXPECT_EQ(note(nothing), "");
}

// GRUB may have to read the pool that the node starts from.
TEST(PlanHosts, DnodesOfThePoolTheNodeStartsFromAreLeftAloneUnlessStated) {
  const auto said = [](const char* rule, const char* target) {
    World world = lab();
    world.host.parts = {part("tank", true, Home::kDatasetProperty, {{"dnodesize", "auto", rule}})};
    world.dataset("tank").properties.set("dnodesize", "legacy");
    world.live().mounts = {{.target = target, .source = "tank/ROOT/pve-1", .fstype = "zfs"}};
    return world.said();
  };
  EXPECT_EQ(said("Z7", "/"),
            "finding host/pve1/tank Z7: dnodesize is legacy; it is left alone, because the node starts from this pool "
            "and GRUB reads no other size. => state dnodesize: auto if the node does not start by GRUB from it\n");
  EXPECT_EQ(said("Z7", "/srv"), R"(1 host/pve1/tank [live]
  {"dataset":"tank","name":"set-zvol-properties","node":"pve1","set":{"dnodesize":"auto"},"slot":"scsi0","volume":":"}
  after ; locks zfs/pve1/tank; node pve1; guard   
  dnodesize: legacy -> auto (new blocks only) [live] rule Z7
)");
  EXPECT_EQ(said("", "/"), R"(1 host/pve1/tank [live]
  {"dataset":"tank","name":"set-zvol-properties","node":"pve1","set":{"dnodesize":"auto"},"slot":"scsi0","volume":":"}
  after ; locks zfs/pve1/tank; node pve1; guard   
  dnodesize: legacy -> auto (new blocks only) [live] (stated in the fleet file)
)");
}

TEST(PlanHosts, WhatIsInSyncIsListedOnDemandAndWhatCannotBeAskedIsNoDifference) {
  World world = with_a_pool();
  world.pool().autotrim = true;
  const auto states = [&](DiffDetail detail) {
    std::string out;
    for (const HostDiff& host : diff(world.wanted(), world.state, detail).hosts)
      for (const SettingChange& change : host.settings)
        out += change.key + (change.state == SettingState::kInSync        ? " "
                             : change.state == SettingState::kCannotTell  ? "? "
                             : change.state == SettingState::kFindingOnly ? "! "
                                                                          : "* ");
    return out;
  };
  EXPECT_EQ(states(DiffDetail::kChanges), "atime* recordsize* trim* ");
  EXPECT_EQ(states(DiffDetail::kEverything), "atime* autotrim compression recordsize* trim* ");
  world.live().zpools.clear();
  EXPECT_EQ(states(DiffDetail::kChanges), "atime? autotrim? compression? recordsize? trim? ");
  EXPECT_TRUE(has_changes(diff(world.wanted(), world.state)));
}

}  // namespace
}  // namespace pvr::testing
