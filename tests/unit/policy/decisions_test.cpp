// What the resolver decides about single guests, disks and storages, and what it says: small fleets, one fact apart.

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"
#include "reconciler/resolve/explain.h"
#include "tests/unit/policy/fleet_support.h"

namespace pvr::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using Change = std::function<void(Facts&)>;

/// Every error as "policy.t4 vm/a: …" and every finding as "Z4 vm/a: … -> …", in their order.
std::vector<std::string> said(const Checked<ResolvedFleet>& fleet) {
  std::vector<std::string> out;
  for (const Diagnostic& one : fleet.diagnostics) out.push_back(one.code + " " + one.detail);
  for (const Finding& one : fleet.value->findings)
    out.push_back(std::string(one.rule) + " " + to_text(one.where) + ": " + one.what +
                  (one.fix.empty() ? std::string() : " -> " + one.fix));
  return out;
}
Checked<ResolvedFleet> resolved(const std::string& text, const Change& change = {}) {
  Facts facts = observed_facts(text);
  if (change) change(facts);
  return resolve_text(text, facts);
}
std::vector<std::string> told(const std::string& text, const Change& change = {}) {
  return said(resolved(text, change));
}

std::string text_of(const Resolved* found) {
  if (found == nullptr) return "-";
  const auto* text = std::get_if<std::string>(&found->value);
  return text != nullptr ? *text : to_text(found->value);
}
std::string of_disk(const Checked<ResolvedFleet>& fleet, std::string_view disk, std::string_view key) {
  return text_of(find_disk(fleet.value->vms.front(), disk)->settings.find(key));
}
std::string of_guest(const Checked<ResolvedFleet>& fleet, std::string_view key) {
  return text_of(fleet.value->vms.front().options.find(key));
}

// --- disks

TEST(Decisions, ASlotMayStandInTheRole) {
  const Checked<ResolvedFleet> by_role = resolved(
      "roles: {r: {disks: {x: {slot: scsi3}}}}\n"
      "vms: {a: {vmid: 100, role: r, disks: {x: {size: 1GiB}, y: {slot: scsi0}}}}");
  EXPECT_THAT(said(by_role), IsEmpty());
  EXPECT_EQ(to_text(find_disk(by_role.value->vms.front(), "x")->slot), "scsi3");
}

TEST(Decisions, AStorageNobodyKnowsIsAnErrorOnceTheClusterIsKnown) {
  const std::string by_disk = "vms: {a: {vmid: 100, disks: {x: {slot: scsi0, storage: gone}}}}";
  EXPECT_THAT(told(by_disk),
              ElementsAre("resolve.storage.unknown vm/a/x: storage \"gone\" is neither in the fleet nor in "
                          "the cluster."));
  EXPECT_THAT(said(resolve_text(by_disk)), IsEmpty());
  EXPECT_THAT(told(by_disk, [](Facts& facts) { facts.storages["gone"] = {.type = "dir"}; }), IsEmpty());
}

std::string on_storage(const std::string& storage, const std::string& disk,
                       const std::string& guest = "role: specialty-linux") {
  return "storages: {st: {" + storage + "}}\nlanes: {shared: st, pinned: st}\nvms: {a: {vmid: 100, " + guest +
         ", disks: {x: {slot: scsi0, size: 8GiB, " + disk + "}}}}\n";
}
constexpr const char* kZvol = "type: zfspool, pool: t/v";
constexpr const char* kExt4 = "type: dir, path: /a, backing: ext4";

// What speaks about zvols goes where there is none; stated on the disk itself, it is told.
TEST(Decisions, PropertiesOfZvolsNeedAZvol) {
  const Checked<ResolvedFleet> file = resolved(on_storage(kExt4, "volblocksize: 64k, compression: lz4"));
  EXPECT_THAT(said(file), ElementsAre(HasSubstr("Z1 vm/a/x: volblocksize has no meaning here: the disk is no zvol"),
                                      HasSubstr("Z6 vm/a/x: compression has no meaning here: the disk is no zvol")));
  EXPECT_EQ(of_disk(file, "x", "volblocksize"), "-");
  const Checked<ResolvedFleet> by_role = resolved("roles: {r: {extends: specialty-linux, disk: {compression: lz4}}}\n" +
                                                  on_storage(kExt4, "cache: none", "role: r"));
  EXPECT_THAT(said(by_role), IsEmpty()) << "of all disks";
  EXPECT_EQ(of_disk(by_role, "x", "compression"), "-");
  const Checked<ResolvedFleet> zvol = resolved(on_storage(kZvol, "compression: zstd, primarycache: all"));
  EXPECT_EQ(of_disk(zvol, "x", "compression"), "zstd");
  // Where nothing is known of the storage, nothing is known to be wrong.
  const Checked<ResolvedFleet> unknown =
      resolve_text("vms: {a: {vmid: 100, disks: {x: {slot: scsi0, compression: lz4}}}}");
  EXPECT_THAT(said(unknown), IsEmpty());
}

// The reader refuses these where it can; a document may come from elsewhere.
TEST(Decisions, ADocumentIsJudgedWhoeverMadeIt) {
  const auto with_slot = [](const char* slot, const char* option) {
    auto document = std::make_shared<FleetDocument>(
        *load_or_die(fmt::format("vms: {{a: {{vmid: 100, disks: {{x: {{slot: scsi0, {}}}}}}}}}", option)));
    auto& settings = document->vms.front().disks.front().settings;
    if (slot == nullptr)
      settings.erase("slot");
    else
      settings.find("slot")->value = std::string(slot);
    return said(resolve(document, {}));
  };
  EXPECT_THAT(
      with_slot(nullptr, "size: 1GiB"),
      ElementsAre("resolve.disk.slot_missing vm/a/x: write slot: scsi0 … scsi30, virtio0 … virtio15, sata0 … sata5 "
                  "or ide0 … ide3."));
  EXPECT_THAT(
      with_slot("sata0", "iothread: true"),
      ElementsAre("resolve.disk.option_of_other_bus vm/a/x: iothread does not exist on sata0. Leave it out, or use "
                  "another slot."));
  EXPECT_THAT(with_slot("virtio0", "ssd: true"), ElementsAre(HasSubstr("ssd does not exist on virtio0")));
  EXPECT_THAT(with_slot("ide0", "iothread: true"), ElementsAre(HasSubstr("iothread does not exist on ide0")));
  EXPECT_THAT(with_slot("virtio0", "iothread: true"), IsEmpty());
  EXPECT_THAT(with_slot("ide0", "ssd: true"), IsEmpty());
  EXPECT_THAT(with_slot("scsi0", "ssd: true"), IsEmpty());
}

// A block size decides about the class, and the class about the storage.
TEST(Decisions, ADiskGoesToTheClassOfItsBlockSize) {
  const auto fleet = [](const std::string& storage, const std::string& disk) {
    return "storages: {tank: {type: zfspool, pool: tank/vms, blocksize: 16k, " + storage +
           "}, other: {type: zfspool, pool: other/vms, classes: {wide: {blocksize: 64k}}}}\nlanes: {pinned: tank}\n"
           "vms: {a: {vmid: 100, role: specialty-linux, disks: {x: {slot: scsi0, size: 8GiB, " +
           disk + "}}}}\n";
  };
  const std::string wide = "classes: {models: {blocksize: 128k}, wide: {blocksize: 64k}}";
  const auto storage = [&](const std::string& classes, const std::string& disk) {
    return of_disk(resolved(fleet(classes, disk)), "x", "storage");
  };
  EXPECT_EQ(storage(wide, "purpose: data, volblocksize: 64k"), "tank-wide");
  EXPECT_EQ(storage(wide, "purpose: models, volblocksize: 128k"), "tank-models");
  EXPECT_EQ(storage(wide, "purpose: data, volblocksize: 16k"), "tank") << "the storage itself has it";
  EXPECT_EQ(storage(wide, "purpose: data, volblocksize: 32k"), "tank") << "no class has it";
  EXPECT_EQ(storage(wide, "purpose: data, volblocksize: 64k, storage: tank"), "tank") << "stated";
  EXPECT_EQ(storage(wide, "purpose: data, volblocksize: 64k, state: detached"), "tank");
  EXPECT_EQ(storage("classes: {models: {blocksize: 128k}}", "purpose: data, volblocksize: 64k"), "tank");
  EXPECT_THAT(told(fleet(wide, "purpose: data, volblocksize: 32k")),
              ElementsAre("Z4 vm/a/x: new zvols on tank get blocks of 16KiB, this disk wants 32KiB -> a class of the "
                          "storage with blocksize 32KiB"));
  EXPECT_THAT(told(fleet(wide, "purpose: data, volblocksize: 64k, storage: tank")),
              ElementsAre(HasSubstr("Z4 vm/a/x: new zvols on tank get blocks of 16KiB, this disk wants 64KiB")));
  EXPECT_THAT(told(fleet(wide, "purpose: data, volblocksize: 64k")), IsEmpty());
  EXPECT_THAT(told(fleet(wide, "purpose: data, volblocksize: 16k")), IsEmpty());
  // The class becomes a storage with what its parent says.
  const Checked<ResolvedFleet> made =
      resolved(fleet(wide + ", nodes: [pve1], content: [images], sparse: false", "purpose: data, volblocksize: 64k"));
  const ResolvedStorage* one = find_storage(*made.value, "tank-wide");
  ASSERT_NE(one, nullptr);
  EXPECT_EQ(one->type, "zfspool");
  EXPECT_EQ(one->class_of, "tank");
  EXPECT_EQ(one->class_name, "wide");
  EXPECT_EQ(text_of(one->properties.find("pool")), "tank/vms/wide");
  EXPECT_EQ(one->properties.find("blocksize")->value, OptionValue(64_KiB));
  for (const char* key : {"nodes", "content", "sparse"}) {
    ASSERT_TRUE(one->properties.contains(key)) << key;
    EXPECT_EQ(one->properties.find(key)->value, find_storage(*made.value, "tank")->properties.find(key)->value) << key;
  }
  EXPECT_EQ(find_storage(*made.value, "tank-models"), nullptr);
  // By default a storage is sparse, and so is its class, by the same rule.
  const Checked<ResolvedFleet> sparse = resolved(fleet(wide, "purpose: data, volblocksize: 64k"));
  const Resolved* inherited = find_storage(*sparse.value, "tank-wide")->properties.find("sparse");
  ASSERT_NE(inherited, nullptr);
  ASSERT_TRUE(std::holds_alternative<FromRule>(inherited->origin));
  EXPECT_EQ(std::get<FromRule>(inherited->origin).rule, "Z3");
}

TEST(Decisions, TheBlocksOfAnOsDiskAreAFindingUnlessTheyAreStated) {
  const auto only = [](const std::string& disk) {
    const Checked<ResolvedFleet> fleet = resolved(on_storage(kZvol, disk));
    return find_disk(fleet.value->vms.front(), "x")->settings.find("volblocksize")->finding_only;
  };
  EXPECT_TRUE(only("purpose: os"));
  EXPECT_FALSE(only("purpose: data"));
  EXPECT_FALSE(only("purpose: os, volblocksize: 16k"));
}

// A lane alone does not ask for a cloud-init drive to be made anew elsewhere.
TEST(Decisions, TheStorageOfACloudInitDriveIsAFindingUnlessItIsStated) {
  const auto only = [](const std::string& cloud_init) {
    const ResolvedFleet fleet = resolve_or_die(
        "storages: {tank: {type: zfspool, pool: tank/vms}, other: {type: zfspool, pool: tank/other}}\nlanes: {pinned: "
        "tank}\nvms: {a: {vmid: 100, role: specialty-linux, cloud_init: " +
        cloud_init + ", disks: {root: {slot: scsi0}}}}\n");
    return find_disk(*find_vm(fleet, "a"), "cloudinit")->settings.find("storage")->finding_only;
  };
  EXPECT_TRUE(only("true"));
  EXPECT_FALSE(only("{storage: other}"));
}

// The image format decides what may be done with it, so one that is there counts.
TEST(Decisions, TheFormatIsTheStatedOneOrTheStoragesOrTheOneThatIsThere) {
  const auto format = [](const std::string& storage, const std::string& disk, const char* live,
                         const char* live_storage = "st") {
    const Checked<ResolvedFleet> fleet = resolved(on_storage(storage, disk), [&](Facts& facts) {
      if (live == nullptr) return;
      facts.vm_node[100] = "pve1";
      facts.disk_storage[100] = {{"scsi0", live_storage}};
      facts.disk_format[100] = {{"scsi0", live}};
    });
    return std::string(find_disk(fleet.value->vms.front(), "x")->facts.format);
  };
  const std::string chain = "type: lvm, vgname: v, shared: true, snapshot-as-volume-chain: true";
  EXPECT_EQ(format(kExt4, "cache: none", nullptr), "raw");
  EXPECT_EQ(format(kExt4, "format: vmdk", nullptr), "vmdk");
  EXPECT_EQ(format(kExt4, "format: vmdk", "qcow2"), "vmdk");
  EXPECT_EQ(format(kExt4, "cache: none", "qcow2"), "qcow2");
  EXPECT_EQ(format(kExt4, "cache: none", "qcow2", "elsewhere"), "qcow2") << "a move keeps it";
  EXPECT_EQ(format(kZvol, "cache: none", "qcow2", "elsewhere"), "raw") << "a zvol is raw";
  EXPECT_EQ(format(chain, "cache: none", nullptr), "qcow2") << "PVE's own choice there";
  EXPECT_EQ(format(chain, "cache: none", "raw"), "raw");
  EXPECT_EQ(format(chain, "cache: none", "raw", "elsewhere"), "qcow2") << "it becomes a new volume";
}

// --- firmware disks

TEST(Decisions, WindowsGetsTheSmallDisksItNeeds) {
  const auto names = [](const std::string& guest) {
    std::string all;
    const Checked<ResolvedFleet> fleet =
        resolved("storages: {st: {type: zfspool, pool: t/v}}\nlanes: {shared: st, pinned: st}\nvms: {a: {vmid: 100, " +
                 guest + "}}");
    for (const ResolvedDisk& disk : fleet.value->vms.front().disks)
      all += (all.empty() ? "" : " ") + disk.name + "=" + to_text(disk.slot);
    return all;
  };
  EXPECT_EQ(names("role: generalized-windows, bios: ovmf, ostype: win11"), "efidisk=efidisk0 tpm=tpmstate0");
  EXPECT_EQ(names("role: generalized-windows, bios: ovmf, ostype: win10"), "efidisk=efidisk0");
  EXPECT_EQ(names("role: generalized-windows, bios: seabios, ostype: win11"), "tpm=tpmstate0");
  EXPECT_EQ(names("role: generalized-linux, bios: ovmf, ostype: l26"), "");
  EXPECT_EQ(names("role: generalized-windows, bios: ovmf, ostype: win11, leave: [efidisk]"), "tpm=tpmstate0");
  EXPECT_EQ(names("role: generalized-windows, bios: ovmf, ostype: win11, leave: [tpm]"), "efidisk=efidisk0");
  EXPECT_EQ(names("role: generalized-windows, bios: ovmf, ostype: win11, efidisk: true, tpm: true"),
            "efidisk=efidisk0 tpm=tpmstate0")
      << "stated, they are there once";
}

// How a new one is made; fixed afterwards.
TEST(Decisions, OnlyANewFirmwareDiskIsToldHowItIsMade) {
  const std::string text =
      "storages: {st: {type: zfspool, pool: t/v}}\nlanes: {shared: st, pinned: st}\n"
      "vms: {a: {vmid: 100, role: generalized-windows, bios: ovmf, ostype: win11";
  const auto made = [](const Checked<ResolvedFleet>& fleet) {
    return of_disk(fleet, "efidisk", "efitype") + " " + of_disk(fleet, "efidisk", "pre-enrolled-keys") + " " +
           of_disk(fleet, "tpm", "version");
  };
  EXPECT_EQ(made(resolved(text + "}}")), "4m 1 v2.0");
  EXPECT_EQ(made(resolve_text(text + "}}")), "- - -") << "whether they are new is not known";
  EXPECT_EQ(made(resolved(text + ", clone: template}}")), "- - -") << "the template's come along";
  EXPECT_EQ(made(resolved(text + "}}",
                          [](Facts& facts) {
                            facts.vm_node[100] = "pve1";
                            facts.disk_storage[100] = {{"efidisk0", "st"}};
                          })),
            "- - v2.0");
}

// --- guests

TEST(Decisions, HaWantsDisksThatOtherNodesSee) {
  const auto with = [](const std::string& storage, const std::string& guest) {
    return told(on_storage(storage, "cache: none", "role: specialty-linux, cpu: x86-64-v3, node: pve1, " + guest));
  };
  const std::string local =
      "M1 vm/a: ha: HA cannot start the guest on another node without its disks -> disks on shared "
      "storage, or replication";
  EXPECT_THAT(with(kZvol, "ha: true"), ElementsAre(local));
  EXPECT_THAT(with(kZvol, "ha: false"), IsEmpty());
  EXPECT_THAT(with(kZvol, "ha: true, replication: [{target: pve2}]"), IsEmpty());
  EXPECT_THAT(with("type: rbd, pool: a", "ha: true"), IsEmpty());
}

TEST(Decisions, ADeviceTiesAGuestToItsNode) {
  const auto why = [](const std::string& guest, const Change& change = {}) {
    const Checked<ResolvedFleet> fleet = resolved("vms: {a: {vmid: 100, " + guest + "}}", change);
    const ResolvedVm& vm = fleet.value->vms.front();
    return std::string(to_text(vm.mobility)) + ": " + vm.mobility_why;
  };
  const std::string pinned(to_text(Mobility::kPinned));
  const std::string mobile(to_text(Mobility::kMobile));
  EXPECT_EQ(why("hostpci: [{host: \"0000:01:00.0\"}]"), pinned + ": hostpci0 passes through a PCI device");
  EXPECT_EQ(why("hostpci: [{mapping: gpu}]"), pinned + ": hostpci0 passes through a device of mapping gpu");
  EXPECT_EQ(why("hostpci: [{mapping: gpu}]", [](Facts& facts) { facts.mapping_migratable["gpu"] = true; }),
            mobile + ": nothing ties it to a node");
  EXPECT_EQ(why("lane: pinned"), pinned + ": lane pinned");
  EXPECT_EQ(why("lane: pinned, ha: true"), mobile + ": managed by HA");
  EXPECT_EQ(why("ha: false", [](Facts& facts) { facts.vm_ha[100] = true; }), mobile + ": nothing ties it to a node")
      << "the file decides";
  EXPECT_EQ(why("cores: 1", [](Facts& facts) { facts.vm_ha[100] = false; }), mobile + ": nothing ties it to a node");
}

TEST(Decisions, APassedThroughDeviceChangesMemoryAndMachine) {
  const Checked<ResolvedFleet> device =
      resolved("roles: {r: {os: linux}}\nvms: {a: {vmid: 100, role: r, hostpci: [{mapping: gpu}]}}");
  EXPECT_EQ(of_guest(device, "balloon"), "0");
  EXPECT_EQ(of_guest(device, "machine"), "type=q35");
  const Checked<ResolvedFleet> plain = resolved("roles: {r: {os: linux}}\nvms: {a: {vmid: 100, role: r}}");
  EXPECT_EQ(of_guest(plain, "balloon"), "-");
  EXPECT_EQ(of_guest(plain, "machine"), "-");
}

TEST(Decisions, LeaveKeepsRolesAndRulesAway) {
  const Checked<ResolvedFleet> guest = resolved(
      "vms: {a: {vmid: 100, role: generalized-windows, leave: [balloon], disks: {x: {slot: scsi0, leave: [discard, "
      "cache]}}}}");
  EXPECT_EQ(of_guest(guest, "balloon"), "-");
  EXPECT_EQ(of_guest(guest, "scsihw"), "virtio-scsi-single");
  EXPECT_EQ(of_disk(guest, "x", "discard"), "-");
  EXPECT_EQ(of_disk(guest, "x", "cache"), "-");
  EXPECT_EQ(of_disk(guest, "x", "iothread"), "1");
  const Checked<ResolvedFleet> role = resolved(
      "roles: {r: {disks: {x: {leave: [discard]}}}}\n"
      "vms: {a: {vmid: 100, role: r, disks: {x: {slot: scsi0}, y: {slot: scsi1}}}}");
  EXPECT_EQ(of_disk(role, "x", "discard"), "-");
  EXPECT_EQ(of_disk(role, "y", "discard"), "on") << "of that disk only";
}

TEST(Decisions, ANetworkDeviceIsVirtioUnlessItIsStated) {
  const auto net = [](const std::string& text) {
    const Checked<ResolvedFleet> fleet = resolved("vms: {a: {vmid: 100, nets: {lan: {slot: net0, " + text + "}}}}");
    return print_option(*find_setting(Home::kVmOption, "net0"), fleet.value->vms.front().options.find("net0")->value);
  };
  EXPECT_THAT(net("bridge: vmbr0"), ::testing::StartsWith("virtio"));
  EXPECT_THAT(net("bridge: vmbr0, model: e1000"), ::testing::StartsWith("e1000"));
}

TEST(Decisions, AWindowsInstallerIsTold) {
  const std::string text = "vms: {a: {vmid: 100, role: generalized-windows, disks: {x: {slot: scsi0}}}}";
  const auto w1 = [](const std::vector<std::string>& all) {
    return std::ranges::count_if(all, [](const std::string& one) { return one.starts_with("W1 vm/a: scsihw="); });
  };
  EXPECT_EQ(w1(told(text)), 1);
  EXPECT_EQ(w1(told(text, [](Facts& facts) { facts.vm_node[100] = "pve1"; })), 0) << "it is installed";
  EXPECT_EQ(w1(said(resolve_text(text))), 0) << "nobody knows";
  EXPECT_EQ(w1(told("vms: {a: {vmid: 100, role: generalized-windows, disks: {x: {slot: sata0}}}}")), 0);
}

TEST(Decisions, TheBaselineIsThatOfTheNodesThatSeeItsDisks) {
  const auto cpu = [](const std::string& guest, const Change& change) {
    const std::string text =
        "storages: {st: {type: zfspool, pool: t/v, nodes: [pve1, pve2]}}\nvms: {a: {vmid: 100, cpu: baseline, " +
        guest + "}}";
    const Checked<ResolvedFleet> fleet = resolved(text, [&](Facts& facts) {
      facts.nodes = {"pve1", "pve2", "pve3"};
      facts.node_cpu = {{"pve1", "x86-64-v4"}, {"pve2", "x86-64-v3"}, {"pve3", "x86-64-v2"}};
      if (change) change(facts);
    });
    return print_option(*find_setting(Home::kVmOption, "cpu"), fleet.value->vms.front().options.find("cpu")->value);
  };
  EXPECT_EQ(cpu("cores: 1", {}), "x86-64-v2");
  EXPECT_EQ(cpu("disks: {x: {slot: scsi0, storage: st}}", {}), "x86-64-v3") << "pve3 does not see it";
  EXPECT_EQ(cpu("node: pve1, lane: pinned", {}), "x86-64-v4");
  EXPECT_EQ(cpu("lane: pinned", {}), "x86-64-v2") << "its node is not known";
  EXPECT_EQ(cpu("cores: 1", [](Facts& facts) { facts.nodes.clear(); }), "x86-64-v2-AES") << "no node is known";
  EXPECT_EQ(cpu("cores: 1", [](Facts& facts) { facts.node_cpu["pve2"] = "unheard-of"; }), "x86-64-v2-AES");
  EXPECT_EQ(cpu("disks: {x: {slot: scsi0, storage: st}}", [](Facts& facts) { facts.vm_cpu[100] = "x86-64-v2"; }),
            "x86-64-v3")
      << "below the baseline of the rule";
}

TEST(Decisions, ReplicationIsJudgedForEachDiskThatTakesPart) {
  const auto codes = [](const std::string& guest) {
    std::vector<std::string> out;
    for (const std::string& one :
         told("storages: {zv: {type: zfspool, pool: t/v}, lt: {type: lvmthin, vgname: a, thinpool: b}}\n"
              "vms: {a: {vmid: 100, node: pve1, " +
              guest + "}}"))
      if (one.starts_with("policy.")) out.push_back(one);
    return out;
  };
  const std::string job = "replication: [{target: pve2}], disks: ";
  EXPECT_THAT(codes(job + "{x: {slot: scsi0, storage: zv}}"), IsEmpty());
  EXPECT_THAT(
      codes(job + "{x: {slot: scsi0, storage: lt}, y: {slot: scsi1, storage: zv}}"),
      ElementsAre("policy.t4 vm/a/x: a declares replication, but storage lt is no zfspool. Write disks on a zfspool "
                  "storage, or replicate: false on this disk."));
  EXPECT_THAT(codes(job + "{x: {slot: scsi0, storage: lt, replicate: false}}"), IsEmpty());
  EXPECT_THAT(codes(job + "{x: {slot: scsi0, storage: lt, replicate: true}}"), ElementsAre(HasSubstr("vm/a/x")));
  EXPECT_THAT(codes(job + "{x: {slot: scsi0, storage: lt, state: detached}}"), IsEmpty());
  EXPECT_THAT(codes(job + "{x: {slot: scsi0, storage: lt, state: absent}}"), IsEmpty());
  // It lives there, though the file names no node.
  const std::string unnamed =
      "storages: {zv: {type: zfspool, pool: t/v}}\n"
      "vms: {a: {vmid: 100, replication: [{target: pve1}], disks: {x: {slot: scsi0, storage: zv}}}}";
  EXPECT_THAT(told(unnamed, [](Facts& facts) { facts.vm_node[100] = "pve1"; }),
              ElementsAre(HasSubstr("a replicates to pve1, the node it is on")));
  EXPECT_THAT(told(unnamed, [](Facts& facts) { facts.vm_node[100] = "pve2"; }), IsEmpty());
}

// --- storages

TEST(Decisions, TwoStoragesOnOneDatasetAreAnErrorWhereANodeSeesBoth) {
  const auto codes = [](const std::string& first, const std::string& second) {
    return told("storages: {sa: {type: zfspool, pool: t/v" + first + "}, sb: {type: zfspool, pool: t/" + second + "}}");
  };
  EXPECT_THAT(
      codes("", "v"),
      ElementsAre("policy.z4 storages sb and sa lie on one dataset (t/v): write a child dataset for each block size."));
  EXPECT_THAT(codes("", "v, nodes: [pve1]"), ElementsAre(HasSubstr("lie on one dataset")));
  EXPECT_THAT(codes(", nodes: [pve1, pve2]", "v, nodes: [pve2]"), ElementsAre(HasSubstr("lie on one dataset")));
  EXPECT_THAT(codes(", nodes: [pve1]", "v, nodes: [pve2]"), IsEmpty());
  EXPECT_THAT(codes("", "w"), IsEmpty());
}

TEST(Decisions, ADirectoryNobodyKnowsIsToldWhereDisksLieOnIt) {
  const std::string use = "vms: {a: {vmid: 100, disks: {x: {slot: scsi0, storage: dd}}}}\n";
  const std::string known = "T3 storage/dd: what lies below the directory of storage dd is not known";
  const auto count = [&](const std::vector<std::string>& all) {
    return std::ranges::count_if(all, [&](const std::string& one) { return one.starts_with(known); });
  };
  EXPECT_EQ(count(told("storages: {dd: {type: dir, path: /a}}\n" + use)), 1);
  EXPECT_EQ(count(told("storages: {dd: {type: dir, path: /a, backing: ext4}}\n" + use)), 0);
  EXPECT_EQ(count(told("storages: {dd: {type: dir, path: /a}}\n")), 0) << "nothing lies there";
  // Also one the fleet only uses.
  const auto live = [](bool assumed) {
    return [assumed](Facts& facts) {
      facts.storages["dd"] = {.type = "dir", .kind = StorageKind::kZfsFile, .backing_assumed = assumed, .exists = true};
    };
  };
  EXPECT_EQ(count(told(use, live(true))), 1);
  EXPECT_EQ(count(told(use, live(false))), 0);
}

TEST(Decisions, StoragesGetWhatTheirTypeWants) {
  const auto properties = [](const std::string& storage) {
    const Checked<ResolvedFleet> fleet = resolved("storages: {st: {" + storage + "}}");
    std::string out;
    for (const char* key : {"sparse", "blocksize", "shared"})
      out += std::string(out.empty() ? "" : " ") + text_of(find_storage(*fleet.value, "st")->properties.find(key));
    return out;
  };
  EXPECT_EQ(properties("type: zfspool, pool: t/v"), "1 16KiB -");
  EXPECT_EQ(properties("type: zfspool, pool: t/v, sparse: false, blocksize: 8k"), "0 8KiB -");
  EXPECT_EQ(properties("type: lvm, vgname: v, base: \"iscsi:0.0.1.x\""), "- - 1");
  EXPECT_EQ(properties("type: lvm, vgname: v"), "- - -");
  EXPECT_EQ(properties("type: dir, path: /a"), "- - -");
}

TEST(Decisions, WhatLiesBelowAStorageIsJudgedByItsLayout) {
  const auto rules = [](const std::string& layout, std::optional<int> used = {}) {
    std::vector<std::string> out;
    for (const std::string& one : told("storages: {st: {type: zfspool, pool: t/v" + layout + "}}",
                                       [&](Facts& facts) { facts.storages["st"].used_percent = used; }))
      out.push_back(one.substr(0, one.find(' ')));
    return out;
  };
  EXPECT_THAT(rules(", layout: mirror"), IsEmpty());
  EXPECT_THAT(rules(", layout: single"), ElementsAre("Z9"));
  EXPECT_THAT(rules(", layout: raidz2 of 6"), ElementsAre("Z9"));
  EXPECT_THAT(rules(""), IsEmpty());
  EXPECT_THAT(rules("", 79), IsEmpty());
  EXPECT_THAT(rules("", 80), ElementsAre("Z10"));
  EXPECT_THAT(
      told("storages: {st: {type: zfspool, pool: t/v}}", [](Facts& facts) { facts.storages["st"].used_percent = 90; }),
      ElementsAre(::testing::StartsWith("Z10 storage/st: t/v is 90 % full")));
}

TEST(Decisions, AnUnsetAioIsToldOnceForEachStorage) {
  const auto notices = [](const std::string& disks) {
    std::vector<std::string> out;
    for (const std::string& one : told("storages: {ll: {type: lvm, vgname: v}}\nlanes: {pinned: ll}\nvms: {a: {vmid: "
                                       "100, role: specialty-linux, disks: {" +
                                       disks + "}}}"))
      if (one.starts_with("A5")) out.push_back(one.substr(0, one.find(": PVE")));
    return out;
  };
  EXPECT_THAT(notices("x: {slot: scsi0}"), ElementsAre("A5 storage/ll: aio is left unset on 1 disk"));
  EXPECT_THAT(notices("x: {slot: scsi0}, y: {slot: scsi1}"),
              ElementsAre("A5 storage/ll: aio is left unset on 2 disks"));
  EXPECT_THAT(notices("x: {slot: scsi0, aio: native}"), IsEmpty());
}

// --- hosts

TEST(Decisions, HostsGetWhatTheRulesWant) {
  const auto host = [](const std::string& text, std::optional<ByteSize> memory = {}) {
    return resolved("hosts: {pve1: {" + text + "}}", [&](Facts& facts) {
      facts.nodes = {"pve1"};
      if (memory) facts.node_memory["pve1"] = *memory;
    });
  };
  const auto limit = [](const Checked<ResolvedFleet>& fleet, const char* key) -> std::string {
    return text_of(fleet.value->hosts.front().parts.front().settings.find(key));
  };
  const Checked<ResolvedFleet> stated = host("arc_max: 10GiB");
  EXPECT_EQ(limit(stated, "arc_max"), "10GiB");
  EXPECT_EQ(limit(stated, "arc_min"), "2.5GiB") << "a quarter";
  const Checked<ResolvedFleet> by_rule = host("arc_max: auto", 64_GiB);
  EXPECT_EQ(limit(by_rule, "arc_max"), "8GiB");
  EXPECT_EQ(limit(by_rule, "arc_min"), "2GiB");
  const Checked<ResolvedFleet> odd = host("arc_max: 1025MiB");
  EXPECT_EQ(limit(odd, "arc_min"), "256MiB") << "in whole mebibytes";
  const Checked<ResolvedFleet> unknown = host("arc_max: auto");
  EXPECT_TRUE(unknown.value->hosts.front().parts.front().settings.contains("arc_max")) << "so that the plan can tell";
  EXPECT_EQ(limit(unknown, "arc_min"), "-");
  EXPECT_THAT(
      said(host("arc_max: 8GiB, arc_min: 8GiB")),
      ElementsAre(
          "policy.z13 host/pve1: arc_min 8 GiB is not smaller than arc_max 8 GiB; OpenZFS ignores such limits."));

  const auto part = [&](const std::string& text, const char* key) {
    return text_of(host(text).value->hosts.front().parts.at(1).settings.find(key));
  };
  EXPECT_EQ(part("pools: {tank: {}}", "trim"), "monthly");
  EXPECT_EQ(part("pools: {tank: {autotrim: off}}", "trim"), "monthly");
  EXPECT_EQ(part("pools: {tank: {autotrim: on}}", "trim"), "-") << "one of the two is enough";
  EXPECT_EQ(part("pools: {tank: {autotrim: on, trim: weekly}}", "trim"), "weekly");
  EXPECT_EQ(part("pools: {tank: {}}", "atime"), "off");
  EXPECT_EQ(part("pools: {tank: {}}", "xattr"), "sa");
  EXPECT_EQ(part("pools: {tank: {}}", "dnodesize"), "auto");
  EXPECT_EQ(part("datasets: {tank/a: {recordsize: 1MiB}}", "atime"), "-") << "a dataset is not a pool";
  EXPECT_THAT(told("hosts: {pve9: {}}", [](Facts& facts) { facts.nodes = {"pve1"}; }),
              ElementsAre(" host/pve9: There is no node \"pve9\" in the cluster."));
  EXPECT_THAT(said(resolve_text("hosts: {pve9: {}}")), IsEmpty());
}

}  // namespace
}  // namespace pvr::test
