#include "reconciler/audit/audit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fmt/format.h>

#include <algorithm>
#include <functional>
#include <set>

#include "schema/fleet_schema.h"
#include "tests/unit/audit/lab.h"

namespace pvr::audit_test {
namespace {

using ::testing::Contains;
using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::Pair;
using ::testing::StartsWith;
using ::testing::UnorderedElementsAre;

const std::string kExamples = PVERECONCILE_SOURCE_DIR "/examples/homelab/";

std::shared_ptr<const FleetDocument> fleet_of(const std::string& text) {
  SourceSet sources;
  sources.add("fleet.yaml", text);
  Checked<FleetDocument> loaded = load_fleet(std::move(sources));
  std::string problems;
  for (const Diagnostic& diagnostic : loaded.diagnostics) problems += render(diagnostic, *loaded.value->sources);
  EXPECT_TRUE(loaded.ok()) << problems;
  return std::make_shared<const FleetDocument>(std::move(*loaded.value));
}

// Exactly these: a false alarm on a guest that is right would show as well as one that is missed.
TEST(AuditOfTheHomelab, FindsWhatIsWrongAndNothingElse) {
  Lab lab = Lab::from_file(kExamples + "cluster.yaml");
  const AuditReport report = lab.audit();
  EXPECT_THAT(ids_of(report), UnorderedElementsAre(
                                  // app-01 and app-02 are right, but for what PVE makes of an unset aio there.
                                  "A5@vm/201/scsi0", "A5@vm/202/scsi0",
                                  // dc-01: writeback on shared storage, and what Windows infrastructure wants.
                                  "C2@vm/301/scsi0", "A5@vm/301/scsi0", "B1@vm/301", "G4@vm/301",
                                  // pki-01: the same, and not even UEFI.
                                  "C2@vm/302/scsi0", "A5@vm/302/scsi0", "B1@vm/302", "G3@vm/302", "G4@vm/302",
                                  // ai-01: the disk that was added later; scsi0 is right.
                                  "D1@vm/701/scsi2", "I1@vm/701/scsi2",
                                  // The desktop template: threads and writeback on what may be ZFS.
                                  "C2@vm/1903/scsi0", "A4@vm/1903/scsi0", "I1@vm/1903/scsi0",
                                  // Health and hygiene, as far as the API tells.
                                  "Z10@node/pve1/pool/local-zfs-hdd-3tb-mirror", "Z3@storage/SSD-r10",
                                  "T3.2@storage/local", "T5.3@cluster"));
  EXPECT_EQ(find(report, "Z10@node/pve1/pool/local-zfs-hdd-3tb-mirror")->severity, Severity::kError);
  EXPECT_EQ(report.guests, 6U);
}

TEST(AuditOfTheHomelab, SaysWhatItCouldNotCheckAndWhy) {
  Lab lab = Lab::from_file(kExamples + "cluster.yaml");
  const AuditReport report = lab.audit();
  const auto host = std::ranges::find_if(
      report.not_checked, [](const NotChecked& n) { return n.what.starts_with("nodes pve1, pve2, pve3"); });
  ASSERT_NE(host, report.not_checked.end());
  EXPECT_THAT(host->reason, HasSubstr("SSH"));
  for (const char* rule : {"Z7", "Z8", "Z11", "Z12", "Z13", "Z14", "Z16"}) EXPECT_THAT(host->rules, Contains(rule));
}

// S0's "health and hygiene findings", in its order.
TEST(AuditOfTheHomelab, WithHostAccessFindsTheHygieneFindings) {
  Lab lab = Lab::from_file(kExamples + "cluster.yaml");
  lab.with_host_access();
  Checked<FleetDocument> loaded = load_fleet_file(kExamples + "fleet.yaml");
  ASSERT_TRUE(loaded.ok());
  const AuditReport report = lab.audit(std::make_shared<const FleetDocument>(std::move(*loaded.value)));
  const std::vector<std::string> ids = ids_of(report);
  EXPECT_THAT(ids, Contains("Z10@node/pve1/pool/local-zfs-hdd-3tb-mirror")) << "94 % full";
  for (const char* pool : {"pve1/pool/rpool", "pve1/pool/local-zfs-ssd-8tb-r10", "pve2/pool/rpool", "pve3/pool/rpool"})
    EXPECT_THAT(ids, Contains(std::string("Z11@node/") + pool)) << "no TRIM";
  EXPECT_THAT(ids, Contains("Z3@storage/SSD-r10")) << "no sparse";
  EXPECT_THAT(ids, Contains("Z12@node/pve1/pool/local-zfs-ssd-8tb-r10")) << "SLOG without power-loss protection";
  EXPECT_THAT(ids, Contains("Z7.4@node/pve1/pool/local-zfs-ssd-8tb-r10")) << "recordsize is inert";
  EXPECT_THAT(ids, Contains("Z7.3@node/pve1/pool/local-zfs-ssd-8tb-r10")) << "dnodesize";
  EXPECT_THAT(ids, Not(Contains("Z7.3@node/pve1/pool/rpool"))) << "GRUB may read it";
  EXPECT_EQ(find(report, "Z7.4@node/pve1/pool/local-zfs-ssd-8tb-r10")->severity, Severity::kNotice);
  EXPECT_THAT(ids, Not(Contains(HasSubstr("Z11@node/pve1/pool/local-zfs-hdd")))) << "drives that spin are not trimmed";
  EXPECT_THAT(ids, Contains("Z3@vm/701/scsi0")) << "thick zvols";
  EXPECT_THAT(ids, Contains("Z2@vm/701/scsi2")) << "purpose: models wants another block size";
  EXPECT_THAT(ids, Contains("T3@vm/1903/scsi0"));
  for (const NotChecked& entry : report.not_checked) EXPECT_THAT(entry.what, Not(HasSubstr("properties of zvols")));
}

/// Commands for a shell on a node, executed literally. Answers the rules whose findings were mended.
std::set<std::string, std::less<>> mend_on_nodes(const std::function<Lab()>& make) {
  Lab first = make();
  first.with_host_access();
  std::set<std::string, std::less<>> mended;
  for (const AuditFinding& finding : first.audit().findings) {
    const bool on_node =
        !finding.fix.commands.empty() && !finding.node.empty() &&
        std::ranges::none_of(finding.fix.commands, [](const std::string& command) {
          return command.starts_with("qm ") || command.starts_with("pvesm ") || command.starts_with("pvesh ");
        });
    if (!on_node) continue;
    Lab lab = make();
    lab.with_host_access();
    for (const std::string& command : finding.fix.commands)
      EXPECT_EQ(lab.type(command, finding.node), "") << finding.id << ": " << command;
    EXPECT_EQ(find(lab.audit(), finding.id), nullptr)
        << finding.id << " is still there after " << finding.fix.commands.front();
    mended.emplace(finding.rule);
  }
  return mended;
}

TEST(AuditOfTheHomelab, EveryCommandForANodeMendsItsFinding) {
  const auto mended = mend_on_nodes([] { return Lab::from_file(kExamples + "cluster.yaml"); });
  EXPECT_THAT(mended, ::testing::IsSupersetOf({"Z3", "Z7", "Z11"}));
}

constexpr const char* kHostSins = R"(
cluster: {name: sins, seed: 4}
nodes:
  big:
    memory: 256GiB
    pools: {tank: {size: 1TiB, layout: mirror, media: ssd, scrub_age: 90d, datasets: [tank/dump],
                   properties: {tank: {xattr: dir}, tank/dump: {compression: "off"}}}}
    filesystems: {/dump: {type: zfs, dataset: tank/dump}}
    host: {arc_max: 200GiB, arc_min: 100GiB}
  small: {memory: 64GiB, pools: {tank: {size: 1TiB, layout: mirror, media: ssd}}, host: {arc_max: 1GiB, arc_min: 512MiB}}
storages:
  zz: {type: zfspool, pool: tank/z, blocksize: 16k, sparse: 1, content: images}
  dump: {type: dir, path: /dump, content: backup, nodes: big}
vms:
  100: {node: big, config: {name: a, memory: 512, scsi0: "zz:vm-100-disk-0,size=1G"}}
)";

TEST(Audit, EveryCommandForANodeMendsItsFindingOfTheSins) {
  const auto mended = mend_on_nodes([] { return Lab(kHostSins); });
  EXPECT_THAT(mended, ::testing::IsSupersetOf({"Z6", "Z7", "Z11", "Z13", "Z16"}));
}

// The same through hosts: of a fleet: each finding by itself, planned, carried out by the executor elsewhere tested.
TEST(Audit, WhatAFleetCanSayOfANodeIsItsLines) {
  Lab lab(kHostSins);
  lab.with_host_access();
  std::set<std::string, std::less<>> said;
  for (const AuditFinding& finding : lab.audit().findings) {
    if (!finding.fix.value || finding.fix.value->node.empty()) continue;
    SourceSet sources;
    std::string text = "version: 1\n";
    for (const std::string& line : finding.fix.fleet) text += line + "\n";
    sources.add("fleet.yaml", text);
    const Checked<FleetDocument> loaded = load_fleet(std::move(sources));
    EXPECT_TRUE(loaded.ok()) << text;
    EXPECT_EQ(loaded.value->hosts.size(), 1U) << text;
    said.emplace(finding.rule);
  }
  EXPECT_THAT(said, ::testing::IsSupersetOf({"Z6", "Z7", "Z11", "Z13"}));
}

TEST(AuditOfTheHomelab, AFleetTellsMore) {
  Lab lab = Lab::from_file(kExamples + "cluster.yaml");
  Checked<FleetDocument> loaded = load_fleet_file(kExamples + "fleet.yaml");
  ASSERT_TRUE(loaded.ok());
  const AuditReport report = lab.audit(std::make_shared<const FleetDocument>(std::move(*loaded.value)));
  const std::vector<std::string> ids = ids_of(report);
  EXPECT_THAT(ids, Contains("D2@vm/701/scsi2")) << "media: ssd is stated";
  EXPECT_THAT(ids, Contains("T3@vm/1903/scsi0")) << "backing: zfs is stated";
  EXPECT_THAT(ids, Not(Contains(StartsWith("A5@vm/701")))) << "ai-01 scsi0 is right";
  EXPECT_THAT(find(report, "D2@vm/701/scsi2")->fix.fleet, Contains(HasSubstr("models: {ssd: true}")));
}

constexpr const char* kSins = R"(
cluster: {name: sins, seed: 3}
nodes:
  n1:
    memory: 16GiB
    disks: [{devpath: /dev/sda, type: ssd, serial: tank-0}, {devpath: /dev/sdb, type: ssd, serial: tank-1}]
    pools:
      tank: {layout: mirror, size: 1TiB, media: ssd}
      wide: {layout: raidz2, disks: 6, size: 4TiB, media: hdd, used: 50%}
      lone: {layout: single, size: 1TiB, media: ssd, used: 86%, health: DEGRADED}
  n2:
    memory: 16GiB
    disks: [{devpath: /dev/sda, type: ssd, serial: tank-0}, {devpath: /dev/sdb, type: ssd, serial: tank-1}]
    pools: {tank: {layout: mirror, size: 1TiB, media: ssd}}
backends: {san: {kind: lvm-vg, size: 2TiB}, nas: {kind: nfs, size: 2TiB}}
storages:
  tank: {type: zfspool, pool: tank, content: "images,rootdir", sparse: 1}
  wide: {type: zfspool, pool: wide, nodes: n1, content: images, sparse: 1}
  lone: {type: zfspool, pool: lone, nodes: n1, content: images}
  san: {type: lvm, vgname: san, shared: 1, content: images}
  nas: {type: nfs, server: nas, export: /x, content: "images,backup"}
vms:
  100:
    node: n1
    config: {name: old-linux, memory: 2048, ostype: l26, cpu: kvm64, scsi0: "tank:vm-100-disk-0,size=8G,discard=on", scsi1: "tank:vm-100-disk-1,size=4G,aio=native",
             net0: "e1000=BC:24:11:00:00:01,bridge=vmbr0", unused0: "tank:vm-100-disk-2"}
  101:
    node: n1
    status: running
    config: {name: win-lsi, memory: 9216, ostype: win10, scsihw: megasas, scsi0: "tank:vm-101-disk-0,size=8G,discard=on,ssd=1", balloon: 1024}
  102:
    node: n2
    status: running
    config: {name: ha-host, memory: 2048, ostype: l26, cpu: host, scsihw: virtio-scsi-single, scsi0: "san:vm-102-disk-0,aio=io_uring,cache=unsafe,discard=on,iothread=1,size=8G"}
    pending: {cores: "4"}
  103:
    node: n1
    status: running
    config: {name: file-vm, memory: 8192, ostype: l26, cpu: x86-64-v2-AES, scsihw: virtio-scsi-single, scsi0: "nas:103/vm-103-disk-0.qcow2,aio=threads,discard=on,iothread=1,size=8G,ssd=1"}
  104:
    node: n1
    config: {name: good, memory: 512, ostype: l26, cpu: x86-64-v2-AES, scsihw: virtio-scsi-single, scsi0: "tank:vm-104-disk-0,discard=on,iothread=1,size=8G,ssd=1"}
  105:
    node: n1
    config: {name: uefi, memory: 512, ostype: win11, bios: ovmf, balloon: 0, cpu: x86-64-v2-AES, machine: q35, scsihw: virtio-scsi-single, scsi0: "tank:vm-105-disk-0,discard=on,iothread=1,size=8G,ssd=1"}
volumes:
  - {storage: tank, node: n1, volume: vm-999-disk-0, size: 3GiB}
  - {storage: tank, node: n1, volume: vm-104-disk-7, size: 2GiB}
ha: {resources: {"vm:102": {state: started}}}
)";

TEST(Audit, EverySinHasItsFinding) {
  Lab lab(kSins);
  const AuditReport report = lab.audit();
  const std::vector<std::string> ids = ids_of(report);
  for (const char* id : {"I1@vm/100",
                         "A3@vm/100/scsi1",
                         "D1@vm/100/scsi1",
                         "D2@vm/100/scsi0",
                         "G1@vm/100",
                         "G5@vm/100",
                         "P2@vm/100/unused0",
                         "W1@vm/101",
                         "B1@vm/101",
                         "C4@vm/102/scsi0",
                         "G1@vm/102",
                         "P1@vm/102",
                         "A4@vm/103/scsi0",
                         "G3.2@vm/105",
                         "G4@vm/105",
                         "P2.2@volume/n1/tank:vm-999-disk-0",
                         "P2.2@volume/n1/tank:vm-104-disk-7",
                         "Z13@node/n1",
                         "Z9@node/n1/pool/wide",
                         "Z9.3@node/n1/pool/lone",
                         "Z10.2@node/n1/pool/lone",
                         "Z16@node/n1/pool/lone",
                         "Z3@storage/lone"}) {
    EXPECT_THAT(ids, Contains(id));
  }
  for (const std::string& id : ids) {
    EXPECT_THAT(id, Not(HasSubstr("vm/104"))) << "nothing is wrong with guest 104";
    EXPECT_EQ(std::ranges::count(ids, id), 1) << id;
  }
}

// Whatever name an entry gives it. A detached entry is no invitation to destroy what another guest uses.
TEST(Audit, AVolumeThatSeveralEntriesNameIsTold) {
  Lab lab(R"(
cluster: {name: shared, seed: 3}
nodes:
  n1: {memory: 64GiB, pools: {tank: {layout: mirror, size: 1TiB, media: ssd}}}
  n2: {memory: 64GiB, pools: {tank: {layout: mirror, size: 1TiB, media: ssd}}}
backends: {san: {kind: lvm-vg, size: 2TiB}}
storages:
  tank: {type: zfspool, pool: tank/vms, content: images, sparse: 1}
  again: {type: zfspool, pool: tank/vms, content: images, sparse: 1}
  san: {type: lvm, vgname: san, shared: 1, content: images}
  local: {type: dir, path: /var/lib/vz, content: iso}
vms:
  100:
    node: n1
    config: {memory: 512, scsi0: "tank:vm-100-disk-0,size=4G", scsi1: "san:vm-100-disk-0,size=4G",
             ide2: "local:iso/debian.iso,media=cdrom", unused0: "tank:vm-100-disk-5", unused1: "tank:vm-100-disk-6"}
  101:
    node: n1
    config: {memory: 512, scsi0: "again:vm-100-disk-0,size=4G", scsi1: "tank:vm-100-disk-5,size=1G", ide2: "local:iso/debian.iso,media=cdrom"}
  102: {node: n2, config: {memory: 512, scsi0: "tank:vm-100-disk-0,size=4G", scsi1: "san:vm-100-disk-0,size=4G"}}
)");
  const AuditReport report = lab.audit();
  std::map<std::string, std::string> told;
  for (const AuditFinding& finding : report.findings)
    if (finding.rule == "P3" || finding.subject.find("unused") != std::string::npos) told[finding.id] = finding.what;
  EXPECT_THAT(told, ElementsAre(Pair("P2@vm/100/unused1", HasSubstr("is detached")),
                                Pair("P3@volume/n1/tank:vm-100-disk-0",
                                     "tank:vm-100-disk-0 is named by guest 100 (scsi0), guest 101 (scsi0)"),
                                Pair("P3@volume/n1/tank:vm-100-disk-5",
                                     "tank:vm-100-disk-5 is named by guest 100 (unused0), guest 101 (scsi1)"),
                                Pair("P3@volume/san:vm-100-disk-0",
                                     "san:vm-100-disk-0 is named by guest 100 (scsi1), guest 102 (scsi1)")));
  EXPECT_THAT(find(report, "P3@volume/san:vm-100-disk-0")->fix.commands, IsEmpty());
}

TEST(Audit, CostsAreNumbersThatCanBeChecked) {
  Lab lab(kSins);
  const AuditReport report = lab.audit();
  // 9216 + 8192 MiB run on 16 GiB; 2 GiB and one per cent are the system's.
  const AuditFinding* memory = find(report, "Z13@node/n1");
  ASSERT_NE(memory, nullptr);
  EXPECT_EQ(memory->cost.memory_overcommit,
            (ByteSize{(9216ULL + 8192 + 2048 - 16384) << 20U} + ByteSize{(16_GiB).bytes / 100}));
  // 16k on six disks of RAIDZ2: 4 data, 2 parity sectors; with large blocks the same ratio, so nothing is lost.
  const AuditFinding* raidz = find(report, "Z9@node/n1/pool/wide");
  ASSERT_NE(raidz, nullptr);
  EXPECT_DOUBLE_EQ(*raidz->cost.write_amplification, 1.5);
  EXPECT_EQ(find(report, "P2.2@volume/n1/tank:vm-999-disk-0")->cost.lost_space, 3_GiB);
}

TEST(Audit, AStatedValueIsAcceptedWhereNoInvariantForbidsIt) {
  Lab lab(kSins);
  const AuditReport report = lab.audit(fleet_of(R"(version: 1
storages: {tank: {type: zfspool, pool: tank, content: [images, rootdir]}}
vms:
  old-linux: {vmid: 100, cpu: kvm64, disks: {root: {slot: scsi0}, data: {slot: scsi1, discard: ignore, aio: io_uring}}}
)"));
  const std::vector<std::string> ids = ids_of(report);
  EXPECT_THAT(ids, Not(Contains("D1@vm/100/scsi1")));
  EXPECT_THAT(ids, Not(Contains("G1@vm/100")));
  EXPECT_THAT(ids, Contains("A3@vm/100/scsi1")) << "another value is stated than the one that is there";
}

TEST(Audit, SuppressionsHaveAReasonAndAnEnd) {
  Lab lab(kSins);
  const auto document = fleet_of(R"(version: 1
audit:
  suppress:
    - {rule: P2, subject: "volume/*", reason: "looked at, kept for a while", until: 2999-12-31}
    - {rule: W1, subject: vm/win-lsi, reason: "goes next month"}
    - {rule: Z13, subject: "node/n?", reason: "was so in spring", until: 2020-01-01}
    - {rule: A5, subject: "*", reason: "nothing of it here"}
)");
  const AuditReport report = lab.audit(document);
  const std::vector<std::string> ids = ids_of(report);
  EXPECT_THAT(ids, Not(Contains(HasSubstr("P2.2@volume"))));
  EXPECT_THAT(ids, Contains("P2@vm/100/unused0")) << "another subject";
  EXPECT_THAT(ids, Not(Contains("W1@vm/101"))) << "guests are known by name, too";
  EXPECT_THAT(ids, Contains("Z13@node/n1")) << "its last day is over";
  EXPECT_EQ(report.suppressed.size(), 3U);
  EXPECT_THAT(report.remarks, ElementsAre(HasSubstr("ended on 2020-01-01"), HasSubstr("fits no finding")));
}

TEST(Audit, ASuppressionWithoutReasonOrWithAnImpossibleDayIsRefused) {
  for (const char* entry : {"{rule: A5, subject: \"*\"}", "{rule: A5, subject: \"*\", reason: \" \"}",
                            "{rule: A5, subject: \"*\", reason: x, until: 2027-02-30}", "{subject: x, reason: y}"}) {
    SourceSet sources;
    sources.add("fleet.yaml", fmt::format("version: 1\naudit: {{suppress: [{}]}}\n", entry));
    EXPECT_FALSE(load_fleet(std::move(sources)).ok()) << entry;
  }
}

TEST(Audit, WhoMayNotListVolumesIsToldThatOrphansAreNotSeen) {
  Lab lab(kSins);
  LiveState live = lab.look().live;
  live.volumes.clear();
  const Facts facts = gather_facts({}, &live);
  const AuditReport report = audit({.live = &live, .facts = &facts});
  EXPECT_TRUE(std::ranges::any_of(report.not_checked, [](const NotChecked& n) {
    return n.what.starts_with("orphaned volumes on") && n.reason.find("VM.Config.Disk") != std::string::npos;
  }));
}

/// Executes what is printed and looks again.
void expect_commands_mend(const std::function<Lab()>& make) {
  const AuditReport report = make().audit();
  std::size_t mended = 0;
  for (const AuditFinding& finding : report.findings) {
    if (finding.fix.commands.empty()) continue;
    Lab lab = make();
    bool typed = true;
    for (const std::string& command : finding.fix.commands) {
      const std::optional<std::string> answer = lab.type(command);
      if (!answer) {
        typed = false;
        break;
      }
      EXPECT_EQ(*answer, "") << finding.id << ": " << command;
    }
    if (!typed) continue;
    const AuditReport after = lab.audit();
    EXPECT_EQ(find(after, finding.id), nullptr)
        << finding.id << " is still there after " << finding.fix.commands.front();
    ++mended;
  }
  EXPECT_GT(mended, 10U) << "the commands were not understood";
}

TEST(Audit, EveryCommandRemovesItsFindingOnTheHomelab) {
  expect_commands_mend([] { return Lab::from_file(kExamples + "cluster.yaml"); });
}
TEST(Audit, EveryCommandRemovesItsFindingOfTheSins) {
  expect_commands_mend([] { return Lab(kSins); });
}

TEST(Audit, AllCommandsTogetherLeaveNothingToMend) {
  Lab lab = Lab::from_file(kExamples + "cluster.yaml");
  for (const AuditFinding& finding : lab.audit().findings) {
    for (const std::string& command : finding.fix.commands) EXPECT_EQ(lab.type(command).value_or(""), "") << command;
  }
  for (const AuditFinding& finding : lab.audit().findings) {
    if (finding.rule == "P1") continue;  // what runs is old until the guest restarts
    EXPECT_THAT(finding.fix.commands, IsEmpty()) << finding.id;
  }
}

TEST(Audit, FleetLinesAreFleetLanguage) {
  for (const bool homelab : {true, false}) {
    Lab lab = homelab ? Lab::from_file(kExamples + "cluster.yaml") : Lab(kSins);
    for (const AuditFinding& finding : lab.audit().findings) {
      if (finding.fix.fleet.empty()) continue;
      std::string text = "version: 1\n";
      for (const std::string& line : finding.fix.fleet) text += line + "\n";
      (void)fleet_of(text);
    }
  }
}

// ---- What only a node can tell ----

LiveHost host_of(const std::string& node) {
  LiveHost host{.node = node, .zfs_version = "2.3.9", .kernel = "6.17"};
  host.memory = 256_GiB;
  host.arc_min = 1_GiB;
  host.arc_max = 32_GiB;
  host.trim_timers = {"zfs-trim-monthly@tank.timer"};
  LiveZpool tank{.name = "tank", .health = "ONLINE", .size = 1_TiB, .allocated = 100_GiB, .free = 924_GiB};
  tank.fragmentation = 5;
  tank.capacity = 10;
  tank.last_scrub = 1'799'000'000;
  tank.errors = "No known data errors";
  tank.vdevs = {
      {.kind = "mirror", .devices = {"sda", "sdb"}, .ashift = 12, .smallest_device = 1_TiB, .media = Media::kSsd}};
  host.zpools = {tank};
  LiveDataset root{.name = "tank", .properties = {}};
  root.properties.set("atime", "off");
  root.properties.set("xattr", "sa");
  root.properties.set("dnodesize", "auto");
  root.properties.set("recordsize", "131072");
  LiveDataset zvol{.name = "tank/vm-100-disk-0", .is_volume = true};
  for (const auto& [key, text] :
       std::initializer_list<std::pair<const char*, const char*>>{{"volblocksize", "16384"},
                                                                  {"refreservation", "0"},
                                                                  {"sync", "standard"},
                                                                  {"logbias", "latency"},
                                                                  {"compression", "lz4"},
                                                                  {"primarycache", "all"},
                                                                  {"volmode", "default"},
                                                                  {"referenced", "1073741824"}})
    zvol.properties.set(key, text);
  host.datasets = {root, zvol};
  return host;
}

class HostAudit : public ::testing::Test {
 protected:
  HostAudit() {
    live_.observed_at = std::chrono::system_clock::time_point(std::chrono::seconds(1'800'000'000));
    live_.nodes = {{.name = "n1", .version = "9.2.4", .memory = 256_GiB}};
    LiveStorage tank{.id = "tank", .type = "zfspool"};
    tank.properties.set("pool", "tank");
    tank.properties.set("sparse", "1");
    tank.properties.set("content", "images");
    tank.media = Media::kSsd;
    live_.storages = {tank};
    LiveVm vm{.vmid = {100}, .name = "one", .node = "n1", .power = PowerState::kStopped};
    const auto set = [&vm](const char* key, const char* text) { vm.options[key].current = text; };
    set("cpu", "x86-64-v2-AES");
    set("ostype", "l26");
    set("scsihw", "virtio-scsi-single");
    set("boot", "order=scsi0");
    LiveDrive drive{.slot = {Bus::kScsi, 0}};
    drive.current = *parse_drive(drive.slot, "tank:vm-100-disk-0,discard=on,iothread=1,size=8G,ssd=1");
    vm.drives = {drive};
    live_.vms = {vm};
    hosts_ = {host_of("n1")};
  }
  LiveZpool& pool() { return hosts_[0].zpools[0]; }
  std::string& root(const char* key) { return hosts_[0].datasets[0].properties[key]; }
  std::string& zvol(const char* key) { return hosts_[0].datasets[1].properties[key]; }
  AuditReport report() {
    const FleetDocument none;
    const Facts facts = gather_facts(none, &live_);
    const std::vector<BackupJob> jobs = {{.id = "all", .all = true, .mode = "snapshot", .compress = "zstd"}};
    return audit({.live = &live_, .facts = &facts, .hosts = hosts_, .backup_jobs = &jobs});
  }
  std::vector<std::string> ids() { return ids_of(report()); }

  LiveState live_;
  std::vector<LiveHost> hosts_;
};

TEST_F(HostAudit, AGoodNodeHasNoFindings) {
  const AuditReport found = report();
  EXPECT_THAT(ids_of(found), IsEmpty());
  EXPECT_THAT(found.not_checked, IsEmpty());
}

TEST_F(HostAudit, HygieneOfPools) {
  pool().capacity = 94;
  EXPECT_THAT(ids(), ElementsAre("Z10@node/n1/pool/tank"));
  pool().capacity = 10;
  hosts_[0].trim_timers = {"zfs-trim-monthly@other.timer", "fstrim.timer"};
  EXPECT_THAT(ids(), ElementsAre("Z11@node/n1/pool/tank"));
  EXPECT_THAT(find(report(), "Z11@node/n1/pool/tank")->fix.commands,
              ElementsAre("systemctl enable --now zfs-trim-monthly@tank.timer"));
  pool().autotrim = true;
  EXPECT_THAT(ids(), IsEmpty());
  root("recordsize") = "16384";
  EXPECT_THAT(ids(), ElementsAre("Z7.4@node/n1/pool/tank")) << "inert for zvols, told as a notice";
  EXPECT_EQ(report().findings[0].severity, Severity::kNotice);
  root("recordsize") = "131072";
  root("atime") = "on";
  EXPECT_THAT(find(report(), "Z7@node/n1/pool/tank")->fix.commands, ElementsAre("zfs set atime=off tank"));
}

TEST_F(HostAudit, ShapeOfPools) {
  pool().vdevs[0].ashift = 9;
  EXPECT_THAT(ids(), ElementsAre("Z8@node/n1/pool/tank"));
  pool().vdevs[0].ashift = 12;
  pool().vdevs.push_back({.role = VdevClass::kLog, .kind = "disk", .devices = {"nvme0"}});
  EXPECT_THAT(ids(), ElementsAre("Z12.2@node/n1/pool/tank"));
  pool().vdevs.back() = {.role = VdevClass::kSpecial, .kind = "disk", .devices = {"nvme0"}};
  EXPECT_THAT(ids(), ElementsAre("Z12.3@node/n1/pool/tank"));
  pool().vdevs = {{.kind = "disk", .devices = {"sda"}, .ashift = 12, .media = Media::kSsd}};
  EXPECT_THAT(ids(), ElementsAre("Z9.3@node/n1/pool/tank"));
  pool().vdevs = {
      {.kind = "raidz1", .devices = {"a", "b", "c", "d", "e", "f"}, .ashift = 12, .smallest_device = 4_TiB}};
  EXPECT_THAT(ids(), UnorderedElementsAre("Z9@node/n1/pool/tank", "Z9.2@node/n1/pool/tank"));
  // 16k on six disks of RAIDZ1: 4 data + 1 parity + 1 padding of 4 KiB, 66.7 % against 82.8 % with 1 MiB blocks
  // (256 data, 52 parity, 1 padding... of 310 sectors), of 100 GiB in use.
  const AuditFinding finding = *find(report(), "Z9@node/n1/pool/tank");
  EXPECT_NEAR(static_cast<double>(finding.cost.lost_space->bytes),
              static_cast<double>((100_GiB).bytes) * (1 - (4.0 / 6) / (256.0 / 308)), 1e6);
  EXPECT_DOUBLE_EQ(*finding.cost.write_amplification, 1.5);
}

TEST_F(HostAudit, StateOfPools) {
  pool().last_scrub = 1'800'000'000 - 86400 * 41;
  EXPECT_THAT(ids(), ElementsAre("Z16.3@node/n1/pool/tank"));
  EXPECT_THAT(report().findings[0].fix.commands, ElementsAre("zpool scrub tank"));
  pool().last_scrub = 1'799'000'000;
  pool().fragmentation = 70;
  EXPECT_THAT(ids(), ElementsAre("Z16.4@node/n1/pool/tank"));
  pool().health = "DEGRADED";
  EXPECT_EQ(report().findings[0].severity, Severity::kError);
}

TEST_F(HostAudit, MemoryAndSwap) {
  hosts_[0].arc_max = 128_GiB;
  EXPECT_THAT(ids(), ElementsAre("Z13.2@node/n1"));
  EXPECT_THAT(report().findings[0].fix.commands,
              ElementsAre("echo 34359738368 > /sys/module/zfs/parameters/zfs_arc_max",
                          "echo 'options zfs zfs_arc_max=34359738368' >> /etc/modprobe.d/zfs.conf",
                          "update-initramfs -u -k all"));
  live_.vms[0].options["memory"].current = "200000";
  live_.vms[0].power = PowerState::kRunning;
  EXPECT_THAT(ids(), UnorderedElementsAre("Z13@node/n1", "Z13.2@node/n1")) << "guests + ARC + system are too much";
  hosts_[0].arc_max = 32_GiB;
  EXPECT_THAT(ids(), IsEmpty());
  hosts_[0].arc_min = 16_GiB;
  EXPECT_THAT(ids(), ElementsAre("Z13.3@node/n1"));
  hosts_[0].arc_min = 8_GiB;
  hosts_[0].swaps = {{.device = "/dev/zd0", .size = 8_GiB, .on_zfs = true}};
  EXPECT_THAT(ids(), ElementsAre("Z14@node/n1"));
  EXPECT_EQ(report().findings[0].severity, Severity::kError);
}

TEST_F(HostAudit, Zvols) {
  zvol("refreservation") = "9000000000";
  EXPECT_THAT(ids(), ElementsAre("Z3@vm/100/scsi0"));
  EXPECT_EQ(report().findings[0].cost.lost_space, (ByteSize{9000000000ULL - 1073741824ULL}));
  EXPECT_THAT(report().findings[0].fix.commands, ElementsAre("zfs set refreservation=none tank/vm-100-disk-0"));
  zvol("refreservation") = "0";
  zvol("sync") = "disabled";
  EXPECT_THAT(ids(), ElementsAre("Z5@vm/100/scsi0"));
  zvol("sync") = "standard";
  zvol("volblocksize") = "8192";
  EXPECT_EQ(report().findings[0].severity, Severity::kNotice) << "nobody said what the disk is for";
  zvol("volblocksize") = "16384";
  zvol("compression") = "off";
  EXPECT_THAT(ids(), ElementsAre("Z6.2@vm/100/scsi0"));
}

TEST_F(HostAudit, ANodeThatCannotBeReadIsNamed) {
  hosts_[0].readable = false;
  hosts_[0].problem = "Permission denied (publickey)";
  const AuditReport found = report();
  ASSERT_EQ(found.not_checked.size(), 1U);
  EXPECT_THAT(found.not_checked[0].what, StartsWith("node n1"));
  EXPECT_EQ(found.not_checked[0].reason, "Permission denied (publickey)");
}

TEST_F(HostAudit, Backups) {
  const FleetDocument none;
  const Facts facts = gather_facts(none, &live_);
  LiveStorage store{.id = "pbs", .type = "pbs"};
  store.properties.set("content", "backup");
  store.on_node["n1"] = {.active = true, .enabled = true};
  live_.storages.insert(live_.storages.begin(), store);
  std::vector<BackupJob> jobs = {{.id = "nightly", .vmids = {{999}}, .mode = "stop", .compress = "gzip"}};
  const auto found = [&] {
    return ids_of(audit({.live = &live_, .facts = &facts, .hosts = hosts_, .backup_jobs = &jobs}));
  };
  EXPECT_THAT(found(), UnorderedElementsAre("T5@vm/100", "T5@backup/nightly", "T5.2@backup/nightly"));
  // 1 800 000 000 is 2027-01-15.
  live_.volumes = {{.id = {"pbs", "backup/vm/100/2027-01-14T03:00:00Z"}, .content = "backup", .owner = Vmid{100}}};
  jobs = {{.id = "nightly", .vmids = {{100}}, .storage = "pbs", .mode = "snapshot"}};
  EXPECT_THAT(found(), IsEmpty());
  live_.volumes[0].id.name = "backup/vzdump-qemu-100-2026_12_31-03_00_00.vma.zst";
  EXPECT_THAT(found(), ElementsAre("T5.2@vm/100"));
  jobs[0].enabled = false;
  live_.volumes.clear();
  EXPECT_THAT(found(), ElementsAre("T5.3@cluster")) << "one finding for a cluster PVE does not back up";
}

// A guest whose node is offline may use it.
TEST_F(HostAudit, SharedVolumesAreNobodysOnlyWhereEveryGuestIsRead) {
  const auto found = [&] {
    const FleetDocument none;
    const Facts facts = gather_facts(none, &live_);
    return audit({.live = &live_, .facts = &facts, .hosts = hosts_});
  };
  live_.volumes = {{.id = {"net", "vm-999-disk-3"}, .content = "images", .size = 1_GiB, .owner = Vmid{999}}};
  EXPECT_THAT(ids(), ElementsAre("P2.2@volume/net:vm-999-disk-3"));
  live_.vms.push_back({.vmid = {101}, .node = "n2", .readable = false, .problem = "its node is offline"});
  EXPECT_THAT(ids(), IsEmpty());
  EXPECT_THAT(found().not_checked,
              Contains(::testing::Field(&NotChecked::reason, "what guest 101 uses cannot be read")));
  live_.volumes[0].node = "n1";
  EXPECT_THAT(ids(), ElementsAre("P2.2@volume/n1/net:vm-999-disk-3"));
}

TEST_F(HostAudit, VolumesOfAGuestThatHasSnapshotsAreLeftAlone) {
  live_.volumes = {
      {.id = {"tank", "vm-100-disk-3"}, .node = "n1", .content = "images", .size = 1_GiB, .owner = Vmid{100}}};
  EXPECT_THAT(ids(), ElementsAre("P2.2@volume/n1/tank:vm-100-disk-3"));
  live_.vms[0].options["parent"].current = "before-upgrade";
  EXPECT_THAT(ids(), IsEmpty()) << "a snapshot may hold it";
  live_.vms[0].is_container = true;
  EXPECT_THAT(ids(), IsEmpty());
}

}  // namespace
}  // namespace pvr::audit_test
