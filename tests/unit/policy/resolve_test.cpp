#include "reconciler/resolve/resolve.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"
#include "reconciler/policy/disk_rules.h"
#include "reconciler/policy/zvol_rules.h"
#include "reconciler/resolve/explain.h"
#include "tests/unit/policy/fleet_support.h"

namespace pvr::test {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

std::string text_of(const Resolved& resolved) {
  const auto* text = std::get_if<std::string>(&resolved.value);
  return text != nullptr ? *text : to_text(resolved.value);
}

/// "disk", "vm", "role ai", "C1" for the winner and everything it replaced.
std::vector<std::string> layers(const Resolved& resolved) {
  const auto name = [](const Origin& origin) -> std::string {
    if (const auto* rule = std::get_if<FromRule>(&origin)) return std::string(rule->rule);
    const auto& from = std::get<FromDocument>(origin);
    return from.layer == Layer::kDisk ? "disk" : from.layer == Layer::kVm ? "vm" : "role " + from.holder;
  };
  std::vector<std::string> out{name(resolved.origin)};
  for (const Shadowed& shadowed : resolved.shadowed) out.push_back(name(shadowed.origin));
  return out;
}

const Resolved& setting(const ResolvedFleet& fleet, std::string_view vm, std::string_view disk, std::string_view key) {
  const Resolved* found = find_disk(*find_vm(fleet, vm), disk)->settings.find(key);
  EXPECT_NE(found, nullptr) << key;
  static const Resolved kNone;
  return found != nullptr ? *found : kNone;
}

TEST(Resolve, EveryLayerBeatsTheOneBelowAndAllStayVisible) {
  const ResolvedFleet fleet = resolve_or_die(R"(
storages: {tank: {type: zfspool, pool: tank/vms}}
roles:
  parent: {disk: {cache: directsync}, disks: {data: {cache: none}}}
  child: {extends: parent, disks: {data: {cache: directsync}}}
vms:
  a:
    vmid: 100
    role: child
    disk: {cache: none}
    disks: {data: {slot: scsi0, storage: tank, cache: directsync}}
)");
  const Resolved& cache = setting(fleet, "a", "data", "cache");
  EXPECT_EQ(text_of(cache), "directsync");
  EXPECT_THAT(layers(cache), ElementsAre("disk", "vm", "role child", "role parent", "role parent", "C1"));
}

TEST(Resolve, AVmOptionBeatsTheRoleAndTheRoleBeatsTheRule) {
  const ResolvedFleet fleet = resolve_or_die(R"(
roles: {fixed: {extends: generalized-windows, balloon: 1GiB}}
vms:
  a: {vmid: 100, role: fixed, numa: true}
  b: {vmid: 101, role: fixed, balloon: 2GiB}
)");
  const Resolved& of_role = *find_vm(fleet, "a")->options.find("balloon");
  EXPECT_THAT(layers(of_role), ElementsAre("role fixed", "role generalized-windows", "B1"));
  const Resolved& of_vm = *find_vm(fleet, "b")->options.find("balloon");
  EXPECT_THAT(layers(of_vm), ElementsAre("vm", "role fixed", "role generalized-windows", "B1"));
  EXPECT_EQ(of_vm.value, OptionValue(std::int64_t{2048}));
}

TEST(Resolve, WhatNobodyDeclaredIsNotThere) {
  const ResolvedFleet fleet = resolve_or_die("vms: {a: {vmid: 100, cores: 2}}");
  const ResolvedVm& vm = *find_vm(fleet, "a");
  ASSERT_EQ(vm.options.size(), 1U);
  EXPECT_EQ(vm.options.begin()->first, "cores");
}

TEST(Resolve, FactsOfADiskAreNeverSettings) {
  const ResolvedFleet fleet = resolve_or_die(R"(
storages: {fast: {type: dir, path: /srv, backing: ext4}}
lanes: {pinned: fast}
vms: {a: {vmid: 100, role: specialty-linux, disks: {x: {slot: scsi0, purpose: scratch, disposable: true, media: ssd}}}}
)");
  const ResolvedDisk& disk = *find_disk(*find_vm(fleet, "a"), "x");
  for (const std::string_view key : {"purpose", "disposable", "media", "volblocksize"})
    EXPECT_FALSE(disk.settings.contains(key)) << key;
  EXPECT_EQ(disk.facts.purpose, Purpose::kScratch);
  EXPECT_TRUE(disk.facts.disposable);
  EXPECT_EQ(text_of(setting(fleet, "a", "x", "cache")), "writeback");
}

struct Refused {
  std::string_view name;
  std::string_view storage;
  std::string_view disk;
  std::string_view role;
  std::string_view code;
};
void PrintTo(const Refused& refused, std::ostream* out) { *out << refused.name; }

class ResolveRefuses : public ::testing::TestWithParam<Refused> {};

TEST_P(ResolveRefuses, AnOverrideThatBreaksAnInvariantNamingTheRule) {
  const std::string text = fmt::format(R"(
storages: {{st: {{{}}}}}
lanes: {{shared: st, pinned: st}}
vms:
  a:
    vmid: 100
    role: {}
    disks: {{root: {{slot: scsi0, size: 8GiB, {}}}}}
)",
                                       GetParam().storage, GetParam().role, GetParam().disk);
  const Checked<ResolvedFleet> fleet = resolve_text(text, observed_facts(text));
  EXPECT_FALSE(fleet.ok());
  ASSERT_EQ(fleet.diagnostics.size(), 1U) << rendered(fleet.diagnostics, *fleet.value->document);
  EXPECT_EQ(fleet.diagnostics.front().code, GetParam().code);
  EXPECT_TRUE(fleet.diagnostics.front().span.known());
  EXPECT_THAT(fleet.diagnostics.front().detail,
              AllOf(HasSubstr("vm/a/root"), HasSubstr("is not allowed"), HasSubstr(" Write ")));
}

constexpr std::string_view kZvol = "type: zfspool, pool: tank/vms";
constexpr std::string_view kChain = "type: lvm, vgname: v, shared: true, snapshot-as-volume-chain: true";
constexpr std::string_view kExt4 = "type: dir, path: /srv, backing: ext4";

INSTANTIATE_TEST_SUITE_P(
    Cases, ResolveRefuses,
    ::testing::Values(
        Refused{"writeback_on_zvol", kZvol, "cache: writeback", "specialty-linux", "policy.c2"},
        Refused{"writethrough_of_a_mobile_vm", kExt4, "cache: writethrough", "generalized-linux", "policy.c2"},
        Refused{"writeback_on_shared_storage", "type: nfs, server: a, export: /b", "cache: writeback, disposable: true",
                "specialty-linux", "policy.c2"},
        Refused{"unsafe_without_scratch", kExt4, "cache: unsafe, disposable: true", "specialty-linux", "policy.c4"},
        Refused{"unsafe_on_zfs", kZvol, "cache: unsafe, disposable: true, purpose: scratch", "specialty-linux",
                "policy.c4"},
        Refused{"native_on_zvol", kZvol, "aio: native", "specialty-linux", "policy.a3"},
        Refused{"native_on_chain", kChain, "aio: native", "generalized-linux", "policy.a3"},
        Refused{"native_on_thin", "type: lvmthin, vgname: v, thinpool: t", "aio: native", "specialty-linux",
                "policy.a3"},
        Refused{"native_on_a_file", kExt4, "aio: native", "specialty-linux", "policy.a2"},
        Refused{"native_with_writeback", "type: lvm, vgname: v", "aio: native, cache: writeback", "specialty-linux",
                "policy.a2"},
        Refused{"io_uring_on_cifs", "type: cifs, server: a, share: b", "aio: io_uring", "generalized-linux",
                "policy.a5"},
        Refused{"qcow2_on_zfs", "type: dir, path: /srv, backing: zfs", "format: qcow2", "specialty-linux", "policy.f1"},
        Refused{"block_below_the_sector", kZvol, "volblocksize: 2k", "specialty-linux", "policy.z1"},
        Refused{"sync_disabled", kZvol, "sync: disabled", "specialty-linux", "policy.z5"}),
    [](const auto& one) { return std::string(one.param.name); });

TEST(Resolve, WhatTheRulesAllowAsAnOverrideIsUsed) {
  const ResolvedFleet fleet = resolve_or_die(R"(
storages:
  lun: {type: lvm, vgname: v}
  fast: {type: dir, path: /srv, backing: ext4}
  tank: {type: zfspool, pool: tank/vms}
vms:
  a:
    vmid: 100
    role: specialty-linux
    disks:
      lun: {slot: scsi0, storage: lun, aio: native}
      scratch: {slot: scsi1, storage: fast, purpose: scratch, disposable: true, cache: unsafe}
      sync: {slot: scsi2, storage: tank, purpose: scratch, disposable: true, sync: disabled}
      wide: {slot: scsi3, storage: tank, purpose: data, volblocksize: 256k}
)");
  EXPECT_EQ(text_of(setting(fleet, "a", "lun", "aio")), "native");
  EXPECT_EQ(text_of(setting(fleet, "a", "scratch", "cache")), "unsafe");
  EXPECT_EQ(text_of(setting(fleet, "a", "sync", "sync")), "disabled");
  EXPECT_EQ(setting(fleet, "a", "wide", "volblocksize").value, OptionValue(256_KiB));
}

TEST(Resolve, TheLeastOfTheArcIsBelowItsMost) {
  const auto codes = [](const std::string& limits) {
    const Checked<ResolvedFleet> fleet = resolve_text("hosts: {pve1: {" + limits + "}}\n");
    return fleet.diagnostics.empty() ? std::string() : std::string(fleet.diagnostics.front().code);
  };
  EXPECT_EQ(codes("arc_max: 8GiB, arc_min: 8GiB"), "policy.z13");
  EXPECT_EQ(codes("arc_max: 8GiB, arc_min: 9GiB"), "policy.z13");
  EXPECT_EQ(codes("arc_max: 8GiB, arc_min: 7GiB"), "");
  EXPECT_EQ(codes("arc_max: 8GiB"), "");
}

TEST(Resolve, ABlockSizeAbove128kMustBeStatedOnTheDiskItself) {
  const Checked<ResolvedFleet> fleet = resolve_text(R"(
storages: {tank: {type: zfspool, pool: tank/vms}}
roles: {wide: {disk: {volblocksize: 1M}}}
vms: {a: {vmid: 100, role: wide, disks: {x: {slot: scsi0, storage: tank}}}}
)");
  ASSERT_EQ(fleet.diagnostics.size(), 1U);
  EXPECT_EQ(fleet.diagnostics.front().code, "policy.z1");
}

TEST(Resolve, ThreadsWithoutABufferedCacheIsFlagged) {
  const ResolvedFleet fleet = resolve_or_die(R"(
storages: {tank: {type: zfspool, pool: tank/vms}}
vms: {a: {vmid: 100, disks: {x: {slot: scsi0, storage: tank, aio: threads}}}}
)");
  EXPECT_THAT(setting(fleet, "a", "x", "aio").flags, ElementsAre("A4"));
  EXPECT_THAT(fleet.findings, Contains(Field(&Finding::rule, "A4")));
}

TEST(Resolve, AnotherControllerTakesTheIothreadsAway) {
  const ResolvedFleet fleet = resolve_or_die(R"(
vms: {a: {vmid: 100, scsihw: virtio-scsi-pci, disks: {x: {slot: scsi0}}}}
)");
  EXPECT_FALSE(find_disk(*find_vm(fleet, "a"), "x")->settings.contains("iothread"));
  const Checked<ResolvedFleet> stated = resolve_text(R"(
vms: {a: {vmid: 100, scsihw: virtio-scsi-pci, disks: {x: {slot: scsi0, iothread: true}}}}
)");
  ASSERT_EQ(stated.diagnostics.size(), 1U);
  EXPECT_EQ(stated.diagnostics.front().code, "policy.i1");
}

TEST(Resolve, DefaultsForAllDisksLeaveOutWhatABusDoesNotHave) {
  const ResolvedFleet fleet = resolve_or_die(R"(
vms: {a: {vmid: 100, disk: {ssd: true, iothread: true}, disks: {x: {slot: virtio0}, y: {slot: sata0}}}}
)");
  EXPECT_FALSE(find_disk(*find_vm(fleet, "a"), "x")->settings.contains("ssd"));
  EXPECT_TRUE(find_disk(*find_vm(fleet, "a"), "x")->settings.contains("iothread"));
  EXPECT_FALSE(find_disk(*find_vm(fleet, "a"), "y")->settings.contains("iothread"));
  EXPECT_TRUE(find_disk(*find_vm(fleet, "a"), "y")->settings.contains("ssd"));
}

TEST(Resolve, WindowsWithoutADriverForItsControllerIsRefused) {
  const Checked<ResolvedFleet> fleet =
      resolve_text("vms: {a: {vmid: 100, role: generalized-windows, scsihw: megasas, disks: {x: {slot: sata0}}}}");
  ASSERT_EQ(fleet.diagnostics.size(), 1U);
  EXPECT_EQ(fleet.diagnostics.front().code, "policy.w1");
  EXPECT_TRUE(
      resolve_text("vms: {a: {vmid: 100, role: generalized-windows, scsihw: pvscsi, disks: {x: {slot: scsi0}}}}").ok());
}

TEST(Resolve, HaWithADeviceOfOneNodeIsAnError) {
  const std::string_view text = "vms: {a: {vmid: 100, role: specialty-linux, ha: true, hostpci: [{mapping: gpu0}]}}";
  Facts facts = observed_facts(text);
  facts.mapping_nodes["gpu0"] = {"pve1"};
  const Checked<ResolvedFleet> one = resolve_text(text, facts);
  ASSERT_EQ(one.diagnostics.size(), 1U);
  EXPECT_EQ(one.diagnostics.front().code, "policy.m1");
  facts.mapping_nodes["gpu0"] = {"pve1", "pve2"};
  const Checked<ResolvedFleet> two = resolve_text(text, facts);
  EXPECT_TRUE(two.ok());
  EXPECT_EQ(two.value->vms.front().mobility, Mobility::kMobile);
}

TEST(Resolve, MobilityIsDerivedWithItsReason) {
  const std::string_view text = R"(
lanes: {fast: {mobility: pinned, storage: tank}}
storages: {tank: {type: zfspool, pool: tank/vms}}
vms:
  by-device: {vmid: 100, hostpci: [{mapping: gpu0}]}
  by-lane: {vmid: 101, lane: fast}
  by-nothing: {vmid: 102}
  by-role: {vmid: 103, role: generalized-linux}
  in-ha: {vmid: 104, role: specialty-linux}
  movable-device: {vmid: 105, hostpci: [{mapping: vgpu}]}
)";
  Facts facts = observed_facts(text);
  facts.mapping_nodes["gpu0"] = {"pve1", "pve2"};
  facts.mapping_nodes["vgpu"] = {"pve1", "pve2"};
  facts.mapping_migratable["vgpu"] = true;
  facts.vm_ha[104] = true;
  const ResolvedFleet fleet = resolve_or_die(text, facts);
  const auto is = [&fleet](std::string_view vm, Mobility mobility, std::string_view why) {
    EXPECT_EQ(find_vm(fleet, vm)->mobility, mobility) << vm;
    EXPECT_THAT(find_vm(fleet, vm)->mobility_why, HasSubstr(std::string(why))) << vm;
  };
  is("by-device", Mobility::kPinned, "mapping gpu0");
  is("by-lane", Mobility::kPinned, "lane fast");
  is("by-nothing", Mobility::kMobile, "nothing ties it");
  is("by-role", Mobility::kMobile, "lane shared");
  is("in-ha", Mobility::kMobile, "managed by HA in the cluster");
  is("movable-device", Mobility::kMobile, "nothing ties it");
}

TEST(Resolve, TheLaneNamesTheStorageOfTheNode) {
  const std::string_view text = R"(
storages: {one: {type: zfspool, pool: a/vms, nodes: [pve1]}, two: {type: zfspool, pool: b/vms, nodes: [pve2]}}
lanes: {pinned: {pve1: one, pve2: two}}
vms:
  lives-there: {vmid: 100, role: specialty-linux, disks: {x: {slot: scsi0}}}
  nowhere: {vmid: 101, role: specialty-linux, disks: {x: {slot: scsi0}}}
  stated: {vmid: 102, role: specialty-linux, node: pve1, disks: {x: {slot: scsi0}}}
)";
  Facts facts = observed_facts(text);
  facts.vm_node[100] = "pve2";
  const ResolvedFleet fleet = resolve_or_die(text, facts);
  EXPECT_EQ(text_of(setting(fleet, "lives-there", "x", "storage")), "two");
  EXPECT_EQ(text_of(setting(fleet, "stated", "x", "storage")), "one");
  EXPECT_FALSE(find_disk(*find_vm(fleet, "nowhere"), "x")->settings.contains("storage"));
  EXPECT_THAT(fleet.findings, Contains(Field(&Finding::rule, "L1")));
}

TEST(Resolve, WithoutALaneADiskIsJudgedWhereItLies) {
  const std::string_view text = "vms: {a: {vmid: 100, disks: {x: {slot: scsi0, cache: writeback}}}}";
  Facts facts = observed_facts(text);
  facts.vm_node[100] = "pve1";
  facts.storages["tank"] = {.type = "zfspool", .kind = StorageKind::kZfsZvol, .blocksize = 16_KiB, .exists = true};
  facts.disk_storage[100] = {{"scsi0", "tank"}};
  const Checked<ResolvedFleet> fleet = resolve_text(text, facts);
  ASSERT_EQ(fleet.diagnostics.size(), 1U);
  EXPECT_EQ(fleet.diagnostics.front().code, "policy.c2");
  EXPECT_FALSE(fleet.value->vms.front().disks.front().settings.contains("storage"));
}

TEST(Resolve, AClassIsOnlyMadeWhenADiskUsesIt) {
  const std::string_view text = R"(
storages: {tank: {type: zfspool, pool: tank/vms, classes: {db: {blocksize: 8k}, models: {blocksize: 128k, id: big}}}}
lanes: {pinned: tank}
vms: {a: {vmid: 100, role: specialty-linux, disks: {pg: {slot: scsi1, purpose: database}, root: {slot: scsi0}}}}
)";
  const ResolvedFleet fleet = resolve_or_die(text, observed_facts(text));
  EXPECT_EQ(text_of(setting(fleet, "a", "pg", "storage")), "tank-db");
  EXPECT_EQ(text_of(setting(fleet, "a", "root", "storage")), "tank");
  EXPECT_NE(find_storage(fleet, "tank-db"), nullptr);
  EXPECT_EQ(find_storage(fleet, "big"), nullptr);
}

TEST(Resolve, AStatedBlockSizeOfAnOsDiskIsWorthAMove) {
  const std::string_view text = R"(
storages: {tank: {type: zfspool, pool: tank/vms, classes: {big: {blocksize: 64k}}}}
lanes: {pinned: tank}
roles: {wide: {extends: specialty-linux, disks: {root: {volblocksize: 64k}}}}
vms: {a: {vmid: 100, role: wide, disks: {root: {slot: scsi0}}}}
)";
  const ResolvedFleet fleet = resolve_or_die(text, observed_facts(text));
  EXPECT_EQ(text_of(setting(fleet, "a", "root", "storage")), "tank-big");
  EXPECT_FALSE(setting(fleet, "a", "root", "volblocksize").finding_only);
}

TEST(Resolve, ABlockSizeWithoutAClassIsTold) {
  const std::string_view text = R"(
storages: {tank: {type: zfspool, pool: tank/vms}}
lanes: {pinned: tank}
vms: {a: {vmid: 100, role: specialty-linux, disks: {m: {slot: scsi0, purpose: models}}}}
)";
  const ResolvedFleet fleet = resolve_or_die(text, observed_facts(text));
  EXPECT_THAT(fleet.findings, Contains(Field(&Finding::rule, "Z4")));
}

TEST(Resolve, TheBaselineIsTheLowestOfTheNodes) {
  const std::string_view text = "vms: {a: {vmid: 100, role: generalized-linux}}";
  const auto cpu = [&text](const Facts& facts) {
    const ResolvedFleet fleet = resolve_or_die(text, facts);
    return print_option(*find_setting(Home::kVmOption, "cpu"), fleet.vms.front().options.find("cpu")->value);
  };
  Facts facts = observed_facts(text);
  facts.nodes = {"pve1", "pve2"};
  EXPECT_EQ(cpu(facts), "x86-64-v2-AES");
  facts.node_cpu = {{"pve1", "x86-64-v4"}};
  EXPECT_EQ(cpu(facts), "x86-64-v2-AES");  // nobody knows about pve2
  facts.node_cpu = {{"pve1", "x86-64-v4"}, {"pve2", "x86-64-v3"}};
  EXPECT_EQ(cpu(facts), "x86-64-v3");
  facts.vm_cpu[100] = "x86-64-v2-AES";
  EXPECT_EQ(cpu(facts), "x86-64-v2-AES");  // right already: not raised
  facts.vm_cpu[100] = "x86-64-v4";
  EXPECT_EQ(cpu(facts), "x86-64-v3");  // cannot move to pve2
  facts.node_cpu["pve2"] = "x86-64-v2";
  EXPECT_EQ(cpu(facts), "x86-64-v2");
}

TEST(Resolve, TheBaselineOfAPinnedGuestIsThatOfItsNode) {
  const std::string text =
      "storages: {tank: {type: zfspool, pool: tank/vms}}\nlanes: {pinned: {pve1: tank, pve2: tank}}\n"
      "vms: {a: {vmid: 100, role: generalized-linux, lane: pinned, node: pve1, disks: {x: {slot: scsi0}}}}";
  Facts facts = observed_facts(text);
  facts.nodes = {"pve1", "pve2"};
  facts.node_cpu = {{"pve1", "x86-64-v4"}, {"pve2", "x86-64-v2"}};
  const ResolvedFleet fleet = resolve_or_die(text, facts);
  EXPECT_EQ(print_option(*find_setting(Home::kVmOption, "cpu"), fleet.vms.front().options.find("cpu")->value),
            "x86-64-v4");
}

TEST(Resolve, TheBlocksOfAWindowsDataDiskWantLargerClusters) {
  const auto findings = [](std::string_view role) {
    const std::string text = fmt::format(
        "storages: {{tank: {{type: zfspool, pool: tank/vms}}}}\nlanes: {{pinned: tank}}\nvms: {{a: {{vmid: 100, role: "
        "{}, lane: pinned, disks: {{x: {{slot: scsi1, size: 9GiB, purpose: data}}}}}}}}",
        role);
    const ResolvedFleet fleet = resolve_or_die(text);
    return std::ranges::count_if(fleet.findings, [](const Finding& one) {
      return one.rule == "Z1" && one.what.find("NTFS writes clusters of 4k") != std::string::npos;
    });
  };
  EXPECT_EQ(findings("specialty-windows"), 1);
  EXPECT_EQ(findings("specialty-linux"), 0);
}

TEST(Resolve, ReplicationNeedsZvolsAndTheSameStorageOnTheTarget) {
  const auto codes = [](std::string_view storage) {
    const std::string text = fmt::format(R"(
storages: {{st: {{{}}}}}
lanes: {{pinned: st}}
vms:
  a:
    vmid: 100
    role: specialty-linux
    node: pve1
    replication: [{{target: pve2}}]
    disks: {{x: {{slot: scsi0}}}}
)",
                                         storage);
    std::vector<std::string> out;
    for (const Diagnostic& d : resolve_text(text, observed_facts(text)).diagnostics) out.push_back(d.code);
    return out;
  };
  EXPECT_THAT(codes("type: zfspool, pool: t/v"), IsEmpty());
  EXPECT_THAT(codes("type: zfspool, pool: t/v, nodes: [pve1]"), ElementsAre("policy.t4"));
  EXPECT_THAT(codes("type: lvmthin, vgname: a, thinpool: b"), ElementsAre("policy.t4"));
}

TEST(Resolve, ContentATypeCannotHoldIsRefused) {
  const Checked<ResolvedFleet> fleet =
      resolve_text("storages:\n  tank:\n    type: zfspool\n    pool: tank/vms\n    content: [images, iso]\n");
  ASSERT_EQ(fleet.diagnostics.size(), 1U);
  EXPECT_EQ(fleet.diagnostics.front().code, "policy.t1");
  EXPECT_THAT(rendered(fleet.diagnostics, *fleet.value->document), HasSubstr("    content: [images, iso]\n"));
}

TEST(Resolve, RaidzBelowVmDisksIsAFindingWithItsRealEfficiency) {
  const ResolvedFleet fleet =
      resolve_or_die("storages: {tank: {type: zfspool, pool: tank/vms, blocksize: 8k, layout: raidz2 of 6}}");
  EXPECT_THAT(fleet.findings, Contains(AllOf(Field(&Finding::rule, "Z9"), Field(&Finding::what, HasSubstr("33 %")))));
}

TEST(Resolve, AVmThatIsToGoWantsNothingElse) {
  const ResolvedFleet fleet =
      resolve_or_die("vms: {a: {vmid: 100, role: generalized-linux, state: absent, disks: {x: {slot: scsi0}}}}");
  EXPECT_EQ(fleet.vms.front().state, VmState::kAbsent);
  EXPECT_TRUE(fleet.vms.front().options.empty());
  EXPECT_THAT(fleet.vms.front().disks, IsEmpty());
}

TEST(Resolve, TheResultDoesNotDependOnTheOrderInTheFile) {
  const auto lines = [](std::string_view text) {
    std::string out;
    const ResolvedFleet fleet = resolve_or_die(text);
    for (const ResolvedVm& vm : fleet.vms) {
      for (const ResolvedDisk& disk : vm.disks) {
        for (const Explanation& e : explain_all(fleet, vm, disk))
          out += to_text(e.address) + " " + e.key + "=" + e.value + "\n";
      }
    }
    return out;
  };
  EXPECT_EQ(lines("vms: {a: {vmid: 100, disks: {x: {slot: scsi1}, y: {slot: scsi0}}}, b: {vmid: 101, disks: {z: {slot: "
                  "scsi0}}}}"),
            lines("vms: {b: {disks: {z: {slot: scsi0}}, vmid: 101}, a: {disks: {y: {slot: scsi0}, x: {slot: scsi1}}, "
                  "vmid: 100}}"));
}

// ---- Every combination a fleet can state, checked on the result ----

struct StorageCase {
  std::string_view name;
  std::string_view text;
};
constexpr StorageCase kStorages[] = {
    {"zvol", "type: zfspool, pool: t/v"},
    {"zfs-file", "type: dir, path: /a, backing: zfs"},
    {"unknown", "type: dir, path: /a"},
    {"ext4", "type: dir, path: /a, backing: ext4"},
    {"ext4-shared", "type: dir, path: /a, backing: ext4, shared: true"},
    {"thick", "type: lvm, vgname: v"},
    {"thick-shared", "type: lvm, vgname: v, shared: true"},
    {"chain", "type: lvm, vgname: v, shared: true, snapshot-as-volume-chain: true"},
    {"thin", "type: lvmthin, vgname: v, thinpool: t"},
    {"btrfs", "type: btrfs, path: /a"},
    {"nfs", "type: nfs, server: a, export: /b"},
    {"cifs", "type: cifs, server: a, share: b"},
    {"rbd", "type: rbd, pool: a"},
    {"krbd", "type: rbd, pool: a, krbd: true"},
};

TEST(ResolveEverything, NoResultBreaksAnInvariantUnlessItIsAnError) {
  std::size_t results = 0;
  std::size_t refused = 0;
  for (const StorageCase& storage : kStorages) {
    // One fleet per storage: every role, purpose, disposable, format and override on it, a VM each.
    std::string text = fmt::format("storages: {{st: {{{}}}}}\nlanes: {{shared: st, pinned: st}}\nvms:\n", storage.text);
    int vmid = 1000;
    for (const std::string_view role :
         {"generalized-linux", "specialty-linux", "generalized-windows", "specialty-windows"}) {
      for (const std::string_view purpose : {"os", "data", "models", "scratch"}) {
        for (const std::string_view disposable : {"false", "true"}) {
          for (const std::string_view format : {"", ", format: qcow2"}) {
            for (const std::string_view written :
                 {"", ", cache: none", ", cache: writeback", ", cache: unsafe", ", cache: directsync", ", aio: native",
                  ", aio: threads", ", aio: io_uring", ", cache: writeback, aio: threads"}) {
              text += fmt::format(
                  "  v{}: {{vmid: {}, role: {}, disks: {{d: {{slot: scsi0, purpose: {}, disposable: {}{}{}}}}}}}\n",
                  vmid, vmid, role, purpose, disposable, format, written);
              ++vmid;
            }
          }
        }
      }
    }
    const Checked<ResolvedFleet> fleet = resolve_text(text, observed_facts(text));
    std::map<std::uint32_t, int> errors;  // by line of the document: one VM each
    for (const Diagnostic& d : fleet.diagnostics) ++errors[d.span.line];
    for (const ResolvedVm& vm : fleet.value->vms) {
      const ResolvedDisk& disk = *find_disk(vm, "d");
      const auto word = [&disk](std::string_view key) {
        const Resolved* found = disk.settings.find(key);
        return found != nullptr ? text_of(*found) : std::string();
      };
      DiskSettings settings;
      settings.cache = parse_cache(word("cache")).value();
      settings.aio = parse_aio(word("aio"));
      settings.iothread = disk.settings.contains("iothread");
      settings.new_volume = true;
      bool broken = false;
      for (const DiskInvariant& row : kDiskInvariants) broken = broken || row.broken(disk.facts, settings);
      EXPECT_EQ(broken, errors.contains(vm.span.line))
          << storage.name << " " << vm.name << " cache=" << word("cache") << " aio=" << word("aio");
      // The heart of the policy, said once more without its predicates.
      if (!broken) {
        const bool page_cache = word("cache") == "writeback" || word("cache") == "unsafe";
        if (page_cache) {
          EXPECT_EQ(vm.mobility, Mobility::kPinned);
          EXPECT_TRUE(storage.name == "ext4" || storage.name == "thick" || storage.name == "thin" ||
                      storage.name == "btrfs")
              << storage.name;
        }
        if (word("aio") == "native") {
          EXPECT_TRUE(storage.name == "thick" || storage.name == "thick-shared" || storage.name == "rbd" ||
                      storage.name == "krbd");
        }
        EXPECT_FALSE(storage.name == "cifs" && word("aio") == "io_uring");
      }
      ++(broken ? refused : results);
    }
  }
  EXPECT_GT(results, 3000U);
  EXPECT_GT(refused, 2000U);
}

}  // namespace
}  // namespace pvr::test
