// What a plan does not do, word by word: what it would have been, why not, and the way out. One table for each kind of
// work; each line is one thing that is in the way.

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>

#include "tests/unit/planning/world.h"

namespace pvr::testing {
namespace {

struct World {
  ResolvedVm wanted = vm("a", 201);
  LiveState state = cluster(true);
  PlanOptions options;
  std::vector<ResolvedVm> others = {};
  std::vector<ResolvedStorage> storages = {};
  LiveVm& present() { return *std::ranges::find(state.vms, Vmid{201}, &LiveVm::vmid); }
  LiveStorage& storage(std::string_view id) { return *std::ranges::find(state.storages, id, &LiveStorage::id); }
  Plan plan() const {
    std::vector<ResolvedVm> vms = others;
    vms.push_back(wanted);
    ResolvedFleet all = fleet(vms);
    all.storages = storages;
    return testing::plan(all, state, options);
  }
};

struct Case {
  const char* what;
  std::function<void(World&)> change;
  const char* operations;
  const char* refusals;
};

template <class Start>
void expect_each(const Start& start, const std::vector<Case>& cases) {
  for (const Case& one : cases) {
    SCOPED_TRACE(one.what);
    World world = start();
    one.change(world);
    const Plan made = world.plan();
    EXPECT_EQ(names(made), one.operations);
    EXPECT_EQ(refusals(made), one.refusals);
  }
}

void full(World& world, std::string_view storage) {
  for (auto& [node, on] : world.storage(storage).on_node) on.available = 1_GiB;
}
void replicated(World& world) { world.state.replication.push_back({.id = "201-0", .guest = {201}, .target = "pve2"}); }

// ---- a guest that does not exist ----

World with_a_new_guest() {
  World world;
  world.wanted.disks = {disk("root", "scsi0", "san", "32GiB")};
  return world;
}

TEST(RefusedCreation, EveryReasonIsNamed) {
  expect_each(
      with_a_new_guest,
      {{"nothing", [](World&) {}, "create-vm", ""},
       {"no node", [](World& w) { w.wanted.node.reset(); }, "",
        "vm/a: create the guest: nothing says on which node => state node: for the VM\n"},
       {"the only node", [](World& w) { w.wanted.node.reset(), w.state = cluster(); }, "create-vm", ""},
       {"unknown node", [](World& w) { w.wanted.node = "pve7"; }, "",
        "vm/a: create the guest: there is no node \"pve7\" => correct node:\n"},
       {"node offline", [](World& w) { w.state.nodes[0].online = false; }, "",
        "(!) vm/a: create the guest: node \"pve1\" is offline => plan again when it is back\n"},
       {"no storage", [](World& w) { w.wanted.disks[0] = disk("root", "scsi0", "", "32GiB"); }, "",
        "vm/a: create the guest: one of its disks cannot be made => see the disk\n"
        "vm/a/root: create scsi0: nothing says on which storage => give the VM's lane a storage, or state storage: on "
        "the disk\n"},
       {"no size", [](World& w) { w.wanted.disks[0] = disk("root", "scsi0", "san", ""); }, "",
        "vm/a: create the guest: one of its disks cannot be made => see the disk\n"
        "vm/a/root: create scsi0: nothing says how large => state size: on the disk\n"},
       {"unknown storage", [](World& w) { w.wanted.disks[0] = disk("root", "scsi0", "x", "1GiB"); }, "",
        "vm/a: create the guest: one of its disks cannot be made => see the disk\n"
        "vm/a/root: create scsi0: there is no storage \"x\" => declare it under storages:, or name another one\n"},
       {"storage without images", [](World& w) { w.storage("san").properties.set("content", "iso"); }, "",
        "vm/a: create the guest: one of its disks cannot be made => see the disk\n"
        "vm/a/root: create scsi0: storage \"san\" does not take disk images => add images to its content:\n"},
       {"storage not on the node", [](World& w) { w.storage("san").properties.set("nodes", "pve2"); }, "",
        "vm/a: create the guest: one of its disks cannot be made => see the disk\n"
        "vm/a/root: create scsi0: storage \"san\" is not available on node \"pve1\" => add pve1 to its nodes:\n"},
       {"storage disabled there", [](World& w) { w.storage("san").on_node["pve1"].enabled = false; }, "",
        "vm/a: create the guest: one of its disks cannot be made => see the disk\n"
        "vm/a/root: create scsi0: storage \"san\" is not available on node \"pve1\" => add pve1 to its nodes:\n"},
       {"storage of LUNs", [](World& w) { w.storage("san").type = "iscsi"; }, "",
        "vm/a: create the guest: one of its disks cannot be made => see the disk\n"
        "vm/a/root: create scsi0: storage \"san\" is of type iscsi, where nothing can be allocated => name a storage "
        "on top of it\n"},
       {"storage of LUNs by QEMU", [](World& w) { w.storage("san").type = "iscsidirect"; }, "",
        "vm/a: create the guest: one of its disks cannot be made => see the disk\n"
        "vm/a/root: create scsi0: storage \"san\" is of type iscsidirect, where nothing can be allocated => name a "
        "storage on top of it\n"},
       {"storage declared and not managed",
        [](World& w) {
          w.storages = {{.id = "new", .type = "dir", .reference_only = true}};
          w.wanted.disks[0] = disk("root", "scsi0", "new", "1GiB");
        },
        "",
        "vm/a: create the guest: one of its disks cannot be made => see the disk\n"
        "vm/a/root: create scsi0: storage \"new\" does not exist => make it, or let the fleet manage it (manage: "
        "true)\n"},
       {"no room", [](World& w) { full(w, "san"); }, "",
        "vm/a: create the guest: one of its disks cannot be made => see the disk\n"
        "vm/a/root: create scsi0: storage \"san\" has 1 GiB available, this plan would add 32 GiB there (rule Z10) => "
        "make room, or --force-capacity\n"},
       {"cloud-init volume is there",
        [](World& w) {
          w.wanted.disks.push_back(disk("cloudinit", "ide2", "san", ""));
          list_volume(w.state, "san:vm-201-cloudinit", 4_MiB);
        },
        "",
        "vm/a: create the guest: one of its disks cannot be made => see the disk\n"
        "vm/a/cloudinit: create ide2: san:vm-201-cloudinit is there already, and no guest names it => on pve1: pvesm "
        "free san:vm-201-cloudinit\n"},
       {"cloud-init volume on another node",
        [](World& w) {
          w.wanted.disks.push_back(disk("cloudinit", "ide2", "san", ""));
          list_volume(w.state, "san:vm-201-cloudinit", 4_MiB, "pve2");
        },
        "create-vm", ""},
       {"a volume of its number", [](World& w) { list_volume(w.state, "san:vm-201-disk-4", 32_GiB); }, "",
        "vm/a: create the guest: one of its disks cannot be made => see the disk\n"
        "vm/a/root: create scsi0: its data may already be in not attached (san:vm-201-disk-4, 32GiB) => attach the "
        "right volume yourself (qm set 201 --scsi0 VOLUME), or remove those that are not needed; then plan again\n"},
       {"an option for root only", [](World& w) { set(w.wanted, "args", "-foo"); }, "create-vm",
        "vm/a: set args to -foo: only root@pam with a password may set it, no API token => after the creation, on "
        "pve1: qm set 201 --args '-foo'\n"},
       {"the same as root", [](World& w) { set(w.wanted, "args", "-foo"), w.options.as_root = true; }, "create-vm", ""},
       {"no memory",
        [](World& w) { w.options.guest_memory = [](const std::string&) { return std::optional(256_MiB); }; }, "",
        "vm/a: create the guest: guests on pve1 would have 512 MiB of memory together, and what the system and the ARC "
        "leave is 256 MiB (rule Z13) => less memory for it or for others there, another node, or a smaller "
        "zfs_arc_max\n"},
       {"no memory, but it is to stay stopped",
        [](World& w) {
          w.wanted.state = VmState::kStopped;
          w.options.guest_memory = [](const std::string&) { return std::optional(256_MiB); };
        },
        "create-vm", ""},
       {"HA and a pool of a guest that cannot be",
        [](World& w) {
          full(w, "san");
          w.wanted.ha = WrittenHa{};
          w.wanted.pool = "prod";
        },
        "create-pool",
        "vm/a: create the guest: one of its disks cannot be made => see the disk\n"
        "vm/a/root: create scsi0: storage \"san\" has 1 GiB available, this plan would add 32 GiB there (rule Z10) => "
        "make room, or --force-capacity\n"
        "ha/a: put the guest under HA: the guest itself cannot be created => see there\n"}});
}

// What a device is passed through by decides who may write it.
TEST(RefusedCreation, DevicesByAddressAreForRootByMappingTheyAreNot) {
  const auto refused = [](std::string_view key, std::string_view text) {
    World world;
    set(world.wanted, key, text);
    const Plan made = world.plan();
    EXPECT_EQ(names(made), "create-vm");
    return !made.blocked.empty();
  };
  EXPECT_TRUE(refused("hostpci0", "host=0000:01:00.0"));
  EXPECT_FALSE(refused("hostpci0", "mapping=gpu"));
  EXPECT_TRUE(refused("usb0", "host=1234:5678"));
  EXPECT_FALSE(refused("usb0", "host=spice"));
  EXPECT_FALSE(refused("usb0", "mapping=key"));
  EXPECT_FALSE(refused("vmgenid", "1"));
  EXPECT_TRUE(refused("vmgenid", "11111111-2222-3333-4444-555555555555"));
  EXPECT_FALSE(refused("net0", "virtio,bridge=vmbr0"));
}

// ---- a clone ----

World with_a_clone() {
  World world;
  world.wanted.clone = "tpl";
  LiveVm source = guest(9000, PowerState::kStopped);
  source.name = "tpl";
  source.is_template = true;
  attach(source, "scsi0", "san:base-9000-disk-0,size=3G");
  attach(source, "unused0", "nowhere:base-9000-disk-7");
  attach(source, "ide2", "gone:iso/x.iso,media=cdrom");
  put(world.state, source);
  return world;
}

TEST(RefusedClone, EveryReasonIsNamed) {
  const auto source = [](World& w) -> LiveVm& { return *std::ranges::find(w.state.vms, Vmid{9000}, &LiveVm::vmid); };
  expect_each(
      with_a_clone,
      {{"nothing", [](World&) {}, "clone-vm", ""},
       {"by number", [](World& w) { w.wanted.clone = "9000"; }, "clone-vm", ""},
       {"no such number", [](World& w) { w.wanted.clone = "9001"; }, "",
        "vm/a: create the guest: there is no guest 9001 to clone => correct clone:\n"},
       {"no such name", [](World& w) { w.wanted.clone = "9000x"; }, "",
        "vm/a: create the guest: there is no guest \"9000x\" to clone => correct clone:\n"},
       {"two of that name",
        [](World& w) {
          LiveVm other = guest(9002);
          other.name = "tpl";
          put(w.state, other);
        },
        "", "vm/a: create the guest: guests 9000 and 9002 are both named \"tpl\" => correct clone:\n"},
       {"a container of that name",
        [](World& w) {
          LiveVm other = guest(9002);
          other.name = "tpl";
          other.is_container = true;
          put(w.state, other);
        },
        "clone-vm", ""},
       {"a declared guest of that name comes first",
        [](World& w) {
          LiveVm other = guest(9002);
          other.name = "tpl";
          put(w.state, other);
          w.others = {vm("tpl", 9002)};
        },
        "clone-vm", ""},
       {"unreadable", [&](World& w) { source(w).readable = false, source(w).problem = "its node is off"; }, "",
        "(!) vm/a: create the guest: its node is off => plan again when it can be read\n"},
       {"linked of no template", [&](World& w) { source(w).is_template = false, w.wanted.linked_clone = true; }, "",
        "vm/a: create the guest: guest 9000 is no template, so it cannot be cloned linked => linked: false, or make it "
        "a template\n"},
       {"linked of a template", [&](World& w) { w.wanted.linked_clone = true, full(w, "san"); }, "clone-vm", ""},
       {"locked", [&](World& w) { source(w).lock = "backup"; }, "",
        "(!) vm/a: create the guest: guest 9000 is locked (backup) => plan again when that is over\n"},
       {"its volume is gone",
        [&](World& w) {
          for (auto& [node, on] : w.storage("san").on_node) on.listed = true;
          w.state.volumes.clear();
        },
        "",
        "(!) vm/a: create the guest: of guest 9000, scsi0 names san:base-9000-disk-0, which is not on the storage => "
        "look first whether its data is in unused0 (nowhere:base-9000-disk-7); else bring it back (from a backup, or "
        "take the guest to where it is), or give it up: qm set 9000 --delete scsi0\n"},
       {"its storage takes no images", [&](World& w) { w.storage("san").properties.set("content", "iso"); }, "",
        "vm/a: create the guest: storage \"san\" does not take disk images => add images to its content:\n"},
       {"local disks", [&](World& w) { w.wanted.node = "pve2", w.storage("san").properties.erase("shared"); }, "",
        "vm/a: create the guest: guest 9000 has local disks on pve1, so PVE clones it on that node only => state node: "
        "pve1, or keep the template on shared storage\n"},
       {"shared disks", [&](World& w) { w.wanted.node = "pve2"; }, "clone-vm", ""},
       {"to a local storage on another node",
        [&](World& w) {
          w.wanted.node = "pve2";
          w.wanted.disks = {disk("root", "scsi0", "local", "3GiB")};
        },
        "",
        "vm/a: create the guest: guest 9000 has local disks on pve1, so PVE clones it on that node only => state node: "
        "pve1, or keep the template on shared storage\n"},
       {"no room", [&](World& w) { full(w, "san"); }, "",
        "vm/a: create the guest: storage \"san\" has 1 GiB available, this plan would add 3 GiB there (rule Z10) => "
        "make room, or --force-capacity\n"},
       {"no room for both of its disks",
        [&](World& w) {
          attach(source(w), "scsi1", "san:base-9000-disk-1,size=700G");
          attach(source(w), "scsi2", "san:base-9000-disk-2,size=700G");
        },
        "",
        "vm/a: create the guest: storage \"san\" has 924 GiB available, this plan would add 1.37 TiB there (rule Z10) "
        "=> make room, or --force-capacity\n"}});
}

// ---- a guest that must go ----

World with_a_guest_to_remove() {
  World world;
  world.wanted.state = VmState::kAbsent;
  LiveVm present = guest(201);
  attach(present, "scsi0", "san:vm-201-disk-0,size=32G");
  put(world.state, present);
  world.options.allow.destroy = true;
  return world;
}

TEST(RefusedRemoval, EveryReasonIsNamed) {
  expect_each(
      with_a_guest_to_remove,
      {{"nothing", [](World&) {}, "stop-vm destroy-vm", ""},
       {"paused", [](World& w) { w.present().power = PowerState::kPaused; }, "stop-vm destroy-vm", ""},
       {"stopped", [](World& w) { w.present().power = PowerState::kStopped; }, "destroy-vm", ""},
       {"not there", [](World& w) { w.state.vms.clear(); }, "", ""},
       {"not allowed", [](World& w) { w.options.allow = {.restart = true, .offline_copy = true}; }, "",
        "vm/a: destroy guest 201 and its disks: this destroys data => --allow destroy\n"},
       {"allowed in the file", [](World& w) { w.options.allow = {}, w.wanted.allow.destroy = true; },
        "stop-vm destroy-vm", ""},
       {"protected", [](World& w) { set(w.present(), "protection", "1"); }, "",
        "vm/a: destroy guest 201 and its disks: the guest is protected => qm set 201 --protection 0\n"},
       {"locked", [](World& w) { w.present().lock = "backup"; }, "",
        "(!) vm/a: destroy guest 201 and its disks: it is locked (backup) => plan again when that is over\n"},
       {"replicated", [](World& w) { replicated(w); }, "",
        "vm/a: destroy guest 201 and its disks: it is replicated to pve2, and PVE would leave the replicas there => "
        "pvesh delete /cluster/replication/201-0; plan again when PVE has removed the replicas\n"},
       {"another guest is replicated",
        [](World& w) { w.state.replication.push_back({.id = "202-0", .guest = {202}, .target = "pve2"}); },
        "stop-vm destroy-vm", ""},
       {"has linked clones",
        [](World& w) {
          w.present().is_template = true;
          w.state.volumes[0].parent = "vm-201-disk-0";
        },
        "",
        "vm/a: destroy guest 201 and its disks: other guests are linked clones of it => destroy them, or move their "
        "disks, first\n"},
       {"no template", [](World& w) { w.state.volumes[0].parent = "vm-201-disk-0"; }, "stop-vm destroy-vm", ""},
       {"another machine", [](World& w) { w.wanted.uuid = "other"; }, "",
        "vm/a: reconcile the guest: the guest with number 201 has uuid uuid-201, the fleet says other: it is another "
        "machine => give the VM another vmid, or correct uuid: if this really is the machine\n"},
       {"another machine without a uuid", [](World& w) { w.wanted.uuid = "other", w.present().uuid = ""; }, "",
        "vm/a: reconcile the guest: the guest with number 201 has uuid (none), the fleet says other: it is another "
        "machine => give the VM another vmid, or correct uuid: if this really is the machine\n"},
       {"a container", [](World& w) { w.present().is_container = true; }, "",
        "vm/a: reconcile the guest: number 201 belongs to a container => give the VM another vmid\n"},
       {"unreadable", [](World& w) { w.present().readable = false; }, "",
        "(!) vm/a: reconcile the guest: its node \"pve1\" does not answer => plan again when it can be read\n"},
       {"unreadable for a reason", [](World& w) { w.present().readable = false, w.present().problem = "no VM.Audit"; },
        "", "(!) vm/a: reconcile the guest: no VM.Audit => plan again when it can be read\n"}});
}

// ---- disks of a guest that runs ----

World with_a_disk_to_add() {
  World world;
  world.wanted.disks = {disk("data", "scsi1", "SSD-r10", "8GiB")};
  LiveVm present = guest(201);
  put(world.state, present);
  return world;
}

TEST(RefusedNewDisk, EveryReasonIsNamed) {
  expect_each(
      with_a_disk_to_add,
      {{"nothing", [](World&) {}, "add-disk", ""},
       {"no storage", [](World& w) { w.wanted.disks[0] = disk("data", "scsi1", "", "8GiB"); }, "",
        "vm/a/data: create scsi1: nothing says on which storage => give the VM's lane a storage, or state storage: on "
        "the disk\n"},
       {"no size", [](World& w) { w.wanted.disks[0] = disk("data", "scsi1", "SSD-r10", ""); }, "",
        "vm/a/data: create scsi1: nothing says how large => state size: on the disk\n"},
       {"the size of an image",
        [](World& w) {
          w.wanted.disks[0] = disk("data", "scsi1", "SSD-r10", "");
          w.wanted.disks[0].import_from = "local:import/x.qcow2";
        },
        "add-disk", ""},
       {"unknown storage", [](World& w) { w.wanted.disks[0] = disk("data", "scsi1", "x", "8GiB"); }, "",
        "vm/a/data: create scsi1: there is no storage \"x\" => declare it under storages:, or name another one\n"},
       {"no room", [](World& w) { full(w, "SSD-r10"), full(w, "SSD-r10-models"); }, "",
        "vm/a/data: create scsi1: zpool \"tank\" on pve1 has 1 GiB available, this plan would add 8 GiB there (rule "
        "Z10) => make room, or --force-capacity\n"},
       {"replicated and on zfs", [](World& w) { replicated(w); }, "add-disk", ""},
       {"replicated and not on zfs",
        [](World& w) {
          replicated(w);
          w.wanted.disks[0] = disk("data", "scsi1", "san", "8GiB");
        },
        "",
        "vm/a/data: create scsi1: the guest is replicated to pve2, and storage \"san\" cannot be replicated there => "
        "state replicate: off on the disk, or remove the replication job\n"},
       {"replicated to where the storage is not",
        [](World& w) { replicated(w), w.storage("SSD-r10").properties.set("nodes", "pve1"); }, "",
        "vm/a/data: create scsi1: the guest is replicated to pve2, and storage \"SSD-r10\" cannot be replicated there "
        "=> state replicate: off on the disk, or remove the replication job\n"},
       {"left out of replication",
        [](World& w) {
          replicated(w);
          w.wanted.disks[0] = disk("data", "scsi1", "san", "8GiB", "replicate=0");
        },
        "add-disk", ""},
       {"another volume there is gone",
        [](World& w) {
          w.storage("SSD-r10").on_node["pve1"].listed = true;
          attach(w.present(), "scsi5", "SSD-r10:vm-201-disk-9,size=9G");
        },
        "",
        "(!) vm/a/data: create scsi1: scsi5 names SSD-r10:vm-201-disk-9, which is not on the storage of node pve1: PVE "
        "could give that name to a new volume => bring it back (from a backup, or take the guest to where it is), or "
        "give it up: qm set 201 --delete scsi5\n"},
       {"cloud-init volume is there",
        [](World& w) {
          w.wanted.disks = {disk("cloudinit", "ide2", "san", "")};
          list_volume(w.state, "san:vm-201-cloudinit", 4_MiB);
        },
        "",
        "vm/a/cloudinit: create ide2: san:vm-201-cloudinit is there already, and no drive names it => take it: qm set "
        "201 --ide2 san:vm-201-cloudinit,media=cdrom\n"},
       {"another number's",
        [](World& w) {
          w.wanted.disks = {disk("cloudinit", "ide2", "san", "")};
          list_volume(w.state, "san:vm-202-cloudinit", 4_MiB);
        },
        "add-disk", ""},
       {"on another storage",
        [](World& w) {
          w.wanted.disks = {disk("cloudinit", "ide2", "san", "")};
          list_volume(w.state, "thick:vm-201-cloudinit", 4_MiB);
        },
        "add-disk", ""},
       {"locked", [](World& w) { w.present().lock = "backup"; }, "",
        "(!) vm/a: change the guest: it is locked (backup) => wait until it ends; a lock that a crashed task left "
        "behind is removed on pve1 with: qm unlock 201\n"}});
}

World with_a_disk_to_take() {
  World world;
  world.wanted.disks = {disk("data", "scsi1", "san", "8GiB")};
  world.wanted.disks[0].absent = true;
  LiveVm present = guest(201);
  attach(present, "scsi1", "san:vm-201-disk-1,size=8G");
  put(world.state, present);
  world.options.allow.destroy = true;
  return world;
}

TEST(RefusedTakingAway, EveryReasonIsNamed) {
  const auto detached = [](World& w) {
    w.wanted.disks[0].absent = false;
    w.wanted.disks[0].detached = true;
    w.options.allow = {};
  };
  expect_each(
      with_a_disk_to_take,
      {{"nothing", [](World&) {}, "detach-disk destroy-volume", ""},
       {"not allowed", [](World& w) { w.options.allow = {.restart = true}; }, "",
        "vm/a/data: remove scsi1 and destroy its volume: this destroys data => --allow destroy\n"},
       {"protected", [](World& w) { set(w.present(), "protection", "1"); }, "",
        "vm/a/data: remove scsi1 and destroy its volume: the guest is protected => state protection: off first\n"},
       {"protection goes in the same plan",
        [](World& w) { set(w.present(), "protection", "1"), set(w.wanted, "protection", "0"); },
        "set-vm-options detach-disk destroy-volume", ""},
       {"a path",
        [](World& w) {
          w.present().drives.clear();
          attach(w.present(), "scsi1", "/dev/sdb");
        },
        "",
        "vm/a/data: remove scsi1 and destroy its volume: it is a device of the host, not a volume => qm set 201 "
        "--delete scsi1\n"},
       {"snapshots", [](World& w) { w.present().snapshots = {{.name = "s"}}; }, "",
        "vm/a/data: remove scsi1 and destroy its volume: snapshots of the guest may need the volume => qm delsnapshot "
        "201 NAME for each\n"},
       {"snapshots, but it is kept",
        [&](World& w) {
          detached(w);
          w.present().snapshots = {{.name = "s"}};
        },
        "detach-disk", ""},
       {"protected, and it is kept", [&](World& w) { detached(w), set(w.present(), "protection", "1"); }, "",
        "vm/a/data: detach scsi1: the guest is protected => state protection: off first\n"},
       {"booted from", [](World& w) { set(w.present(), "boot", "order=scsi1;net0"); }, "",
        "vm/a/data: remove scsi1 and destroy its volume: the guest runs and boots from it => --allow restart, or stop "
        "the guest\n"},
       {"booted from and stopped",
        [](World& w) {
          set(w.present(), "boot", "order=scsi1;net0");
          w.present().power = PowerState::kStopped;
        },
        "detach-disk destroy-volume", ""},
       {"booted from, and a restart is allowed",
        [](World& w) {
          set(w.present(), "boot", "order=scsi1;net0");
          w.options.allow.restart = true;
        },
        "stop-vm detach-disk start-vm destroy-volume", ""},
       {"another is booted from", [](World& w) { set(w.present(), "boot", "order=scsi10;net0"); },
        "detach-disk destroy-volume", ""},
       {"no backup", [](World& w) { w.wanted.require_backup = "24h"; }, "",
        "vm/a/data: remove scsi1 and destroy its volume: the fleet requires a backup first, and no storage of the node "
        "that takes backups could be read => name one in the fleet: storages: {ID: {manage: false}}\n"},
       {"no backup, but it is kept", [&](World& w) { detached(w), w.wanted.require_backup = "24h"; }, "detach-disk",
        ""},
       {"HA has given up", [](World& w) { w.present().ha_state = "error"; }, "detach-disk destroy-volume", ""}});
}

World with_a_disk_to_attach() {
  World world;
  world.wanted.disks = {disk("data", "scsi3", "san", "64GiB"), disk("root", "scsi0", "san", "32GiB")};
  LiveVm present = guest(201);
  attach(present, "scsi0", "san:vm-201-disk-0,size=32G");
  attach(present, "scsi1", "san:vm-201-disk-1,size=64G");
  put(world.state, present);
  return world;
}

TEST(RefusedAttaching, EveryReasonIsNamed) {
  const auto unused = [](World& w) {
    w.present().drives.pop_back();
    attach(w.present(), "unused0", "san:vm-201-disk-1");
  };
  expect_each(with_a_disk_to_attach,
              {{"runs", [](World&) {}, "",
                "vm/a/data: attach san:vm-201-disk-1 as scsi3: the guest runs and would lose the device for a moment "
                "=> --allow restart, or stop the guest\n"},
               {"stopped", [](World& w) { w.present().power = PowerState::kStopped; }, "attach-volume", ""},
               {"to be stopped",
                [](World& w) {
                  w.wanted.state = VmState::kStopped;
                  w.options.allow.offline_copy = true;
                },
                "stop-vm attach-volume", ""},
               {"unused", unused, "attach-volume", ""},
               {"unused, for a bus without hotplug",
                [&](World& w) {
                  unused(w);
                  w.wanted.disks[0].slot = slot("sata1");
                },
                "",
                "vm/a/data: attach san:vm-201-disk-1 as sata1: the guest runs and would lose the device for a moment "
                "=> --allow restart, or stop the guest\n"},
               {"unused, without hotplug", [&](World& w) { unused(w), set(w.present(), "hotplug", "0"); }, "",
                "vm/a/data: attach san:vm-201-disk-1 as scsi3: the guest runs and would lose the device for a moment "
                "=> --allow restart, or stop the guest\n"},
               {"replicated", [&](World& w) { unused(w), replicated(w); }, "attach-volume", ""},
               {"replicated and on a storage of the node alone",
                [&](World& w) {
                  w.storage("san").properties.erase("shared");
                  unused(w);
                  replicated(w);
                },
                "",
                "vm/a/data: attach san:vm-201-disk-1 as scsi3: the guest is replicated to pve2, and PVE refuses every "
                "change of a drive on storage \"san\", which it cannot replicate => state replicate: off on the disk, "
                "put it on a zfspool storage, or remove the replication job\n"},
               {"HA has given up",
                [](World& w) {
                  w.state.ha = {{.sid = "vm:201"}};
                  w.present().ha_state = "error";
                  w.options.allow.restart = true;
                },
                "",
                "vm/a/data: attach san:vm-201-disk-1 as scsi3: the guest runs and would lose the device for a moment "
                "=> find out why it did not start, then: ha-manager set vm:201 --state disabled; ha-manager set vm:201 "
                "--state started\n"}});
}

// ---- moves ----

World with_a_move(std::string_view from = "nfs:201/vm-201-disk-1.raw,size=8G", std::string_view to = "san") {
  World world;
  world.wanted.disks = {disk("data", "scsi1", to, "8GiB")};
  LiveVm present = guest(201);
  attach(present, "scsi1", from);
  put(world.state, present);
  return world;
}

TEST(RefusedMove, EveryReasonIsNamed) {
  const auto pending = [](World& w) {
    LiveVm after = guest(201);
    w.present().drives[0].pending = attach(after, "scsi1", "nfs:201/vm-201-disk-1.raw,size=8G,ssd=1").current;
  };
  const auto with_kernel_rbd = [](World& w) {
    LiveStorage ceph{.id = "zbd", .type = "rbd"};
    ceph.properties.set("krbd", "1");
    ceph.on_node = w.storage("nfs").on_node;
    w.state.storages.push_back(ceph);
  };
  expect_each(
      [] { return with_a_move(); },
      {{"nothing", [](World&) {}, "move-disk", ""},
       {"no room", [](World& w) { full(w, "san"); }, "",
        "vm/a/data: move scsi1 to storage \"san\": storage \"san\" has 1 GiB available, this plan would add 8 GiB "
        "there (rule Z10) => make room, or --force-capacity\n"},
       {"snapshots", [](World& w) { w.present().snapshots = {{.name = "s"}}; }, "",
        "vm/a/data: move scsi1 to storage \"san\": the guest has snapshots, which would stay on the old volume => qm "
        "listsnapshot 201, then qm delsnapshot 201 NAME for each\n"},
       {"a template with clones",
        [](World& w) {
          w.present().power = PowerState::kStopped;
          w.present().is_template = true;
          w.options.allow.offline_copy = true;
          w.state.volumes[0].parent = "nfs:201/vm-201-disk-1.raw";
        },
        "",
        "vm/a/data: move scsi1 to storage \"san\": other guests are linked clones of this volume => move those guests' "
        "disks first, which makes them full copies\n"},
       {"a template without clones",
        [](World& w) {
          w.present().power = PowerState::kStopped;
          w.present().is_template = true;
          w.options.allow.offline_copy = true;
        },
        "move-disk", ""},
       {"stopped", [](World& w) { w.present().power = PowerState::kStopped; }, "",
        "vm/a/data: move scsi1 to storage \"san\": the guest is stopped, and could not be started while the copy runs "
        "=> --allow offline-copy, or start the guest\n"},
       {"stopped, and it will be started",
        [](World& w) {
          w.present().power = PowerState::kStopped;
          w.wanted.state = VmState::kRunning;
        },
        "start-vm move-disk", ""},
       {"stopped, with a change that waits",
        [&](World& w) {
          pending(w);
          w.present().power = PowerState::kStopped;
          w.options.allow = everything();
        },
        "",
        "vm/a/data: move scsi1 to storage \"san\": the disk has a change that waits for the guest's next start; moved "
        "now, PVE would switch back to the old volume then => start the guest, or: qm set 201 --revert scsi1\n"},
       {"a change that waits", pending, "",
        "vm/a/data: move scsi1 to storage \"san\": the disk has a change that waits for a restart; moved now, PVE "
        "would switch back to the old volume at that restart => --allow restart, restart the guest yourself, or qm set "
        "with --revert\n"},
       {"a change that waits for the stop",
        [&](World& w) {
          pending(w);
          w.wanted.state = VmState::kStopped;
          w.options.allow.restart = true;
        },
        "stop-vm",
        "vm/a/data: move scsi1 to storage \"san\": it can only be moved when the guest is stopped, as the fleet wants "
        "it => --allow offline-copy, once it is stopped\n"},
       {"a change that waits for the stop, and offline copies are allowed",
        [&](World& w) {
          pending(w);
          w.wanted.state = VmState::kStopped;
          w.options.allow.offline_copy = true;
        },
        "stop-vm move-disk", ""},
       {"a change that waits, under an HA that has given up",
        [&](World& w) {
          pending(w);
          w.state.ha = {{.sid = "vm:201"}};
          w.present().ha_state = "error";
          w.options.allow = everything();
        },
        "",
        "vm/a/data: move scsi1 to storage \"san\": the disk has a change that waits for a restart; moved now, PVE "
        "would switch back to the old volume at that restart => find out why it did not start, then: ha-manager set "
        "vm:201 --state disabled; ha-manager set vm:201 --state started\n"},
       {"io_uring", [](World& w) { w = with_a_move("nfs:201/vm-201-disk-1.raw,aio=io_uring,size=8G"); }, "",
        "vm/a/data: move scsi1 to storage \"san\": PVE refuses to move a running disk with aio=io_uring to that kind "
        "of storage (rule A5); aio must go first, which takes a restart => --allow restart (or --allow "
        "offline-copy)\n"},
       {"io_uring below a cache, to Ceph by the kernel",
        [&](World& w) {
          w = with_a_move("nfs:201/vm-201-disk-1.raw,aio=io_uring,cache=writeback,size=8G", "zbd");
          with_kernel_rbd(w);
        },
        "",
        "vm/a/data: move scsi1 to storage \"zbd\": PVE refuses to move a running disk with aio=io_uring to that kind "
        "of storage (rule A5); aio must go first, which takes a restart => --allow restart (or --allow "
        "offline-copy)\n"},
       {"io_uring past the cache, to Ceph by the kernel",
        [&](World& w) {
          w = with_a_move("nfs:201/vm-201-disk-1.raw,aio=io_uring,cache=none,size=8G", "zbd");
          with_kernel_rbd(w);
        },
        "move-disk", ""},
       {"replicated", [](World& w) { replicated(w); }, "",
        "vm/a/data: move scsi1 to storage \"san\": the guest is replicated to pve2, and storage \"san\" cannot be "
        "replicated there => state replicate: off on the disk, or remove the replication job\n"},
       {"left out of replication by the drive",
        [](World& w) {
          w = with_a_move("nfs:201/vm-201-disk-1.raw,replicate=0,size=8G");
          replicated(w);
        },
        "move-disk", ""},
       {"left out by the drive, and the fleet says otherwise",
        [](World& w) {
          w = with_a_move("nfs:201/vm-201-disk-1.raw,replicate=0,size=8G");
          w.wanted.disks[0].settings.set("replicate", stated(Home::kDriveOption, "replicate", "1"));
          replicated(w);
        },
        "set-drive-options",
        "vm/a/data: move scsi1 to storage \"san\": the guest is replicated to pve2, and storage \"san\" cannot be "
        "replicated there => state replicate: off on the disk, or remove the replication job\n"},
       {"left out by the drive, and the rules would advise otherwise",
        [](World& w) {
          w = with_a_move("nfs:201/vm-201-disk-1.raw,replicate=0,size=8G");
          w.wanted.disks[0].settings.set("replicate", by_rule(Home::kDriveOption, "replicate", "1", "R1"));
          w.wanted.disks[0].settings.find("replicate")->finding_only = true;
          replicated(w);
        },
        "move-disk", ""},
       {"TPM state",
        [](World& w) {
          w.wanted.disks = {disk("tpm", "tpmstate0", "SSD-r10", "")};
          attach(w.present(), "tpmstate0", "san:vm-201-disk-5,size=4M,version=v2.0");
          w.options.allow.restart = true;
        },
        "",
        "vm/a/tpm: move tpmstate0 to storage \"SSD-r10\": PVE does not move the TPM state of a running guest => "
        "--allow offline-copy, or stop the guest\n"},
       {"another format",
        [](World& w) {
          w.wanted.disks[0] = disk("data", "scsi1", "nfs", "8GiB");
          w.wanted.disks[0].settings.set("format", {.value = std::string("qcow2")});
          w.present().snapshots = {{.name = "s"}};
        },
        "",
        "vm/a/data: convert scsi1 to qcow2: the guest has snapshots, which would stay on the old volume => qm "
        "listsnapshot 201, then qm delsnapshot 201 NAME for each\n"},
       {"smaller", [](World& w) { w.wanted.disks[0] = disk("data", "scsi1", "nfs", "4GiB"); }, "",
        "vm/a/data: change scsi1: the volume has 8GiB, the fleet says 4GiB, and PVE does not shrink disks => state "
        "size: 8GiB or make a smaller disk and copy inside the guest\n"},
       {"larger without room",
        [](World& w) {
          w.wanted.disks[0] = disk("data", "scsi1", "nfs", "16GiB");
          full(w, "nfs");
        },
        "",
        "vm/a/data: grow scsi1 to 16GiB: storage \"nfs\" has 1 GiB available, this plan would add 8 GiB there (rule "
        "Z10) => make room, or --force-capacity\n"},
       {"larger by no more than there is",
        [](World& w) {
          w.wanted.disks[0] = disk("data", "scsi1", "nfs", "9GiB");
          for (auto& [node, on] : w.storage("nfs").on_node) on.available = 110_GiB;
        },
        "resize-disk", ""}});
}

TEST(RefusedDriveOptions, EveryReasonIsNamed) {
  const auto start = [] {
    World world = with_a_move("nfs:201/vm-201-disk-1.raw,size=8G", "nfs");
    world.wanted.disks = {disk("data", "scsi1", "nfs", "8GiB", "discard=on")};
    return world;
  };
  expect_each(start,
              {{"nothing", [](World&) {}, "set-drive-options", ""},
               {"replicated, on shared storage", replicated, "set-drive-options", ""},
               {"replicated, on a storage of the node alone",
                [](World& w) {
                  w = with_a_move("local:201/vm-201-disk-1.raw,size=8G", "local");
                  w.wanted.disks = {disk("data", "scsi1", "local", "8GiB", "discard=on")};
                  replicated(w);
                },
                "",
                "vm/a/data: change scsi1: the guest is replicated to pve2, and PVE refuses every change of a drive on "
                "storage \"local\", which it cannot replicate => state replicate: off on the disk, put it on a zfspool "
                "storage, or remove the replication job\n"},
               {"another guest is replicated",
                [](World& w) {
                  w = with_a_move("local:201/vm-201-disk-1.raw,size=8G", "local");
                  w.wanted.disks = {disk("data", "scsi1", "local", "8GiB", "discard=on")};
                  w.state.replication.push_back({.id = "202-0", .guest = {202}, .target = "pve2"});
                },
                "set-drive-options", ""},
               {"what is decided when the volume is made",
                [](World& w) {
                  w.wanted.disks = {disk("efidisk", "efidisk0", "san", "", "pre-enrolled-keys=1")};
                  attach(w.present(), "efidisk0", "san:vm-201-disk-5,efitype=4m,size=4M");
                },
                "",
                "vm/a/efidisk: set pre-enrolled-keys of efidisk0: it is decided when the volume is made => remove "
                "efidisk0 and let it be made again; what the guest stored there is lost\n"},
               {"a CD drive in its slot",
                [](World& w) {
                  w.present().drives.clear();
                  attach(w.present(), "scsi1", "local:iso/x.iso,media=cdrom");
                },
                "", "vm/a/data: reconcile scsi1: scsi1 holds a CD drive => give the disk another slot\n"},
               {"the cloud-init drive in its slot",
                [](World& w) {
                  w.present().drives.clear();
                  attach(w.present(), "scsi1", "san:vm-201-cloudinit,media=cdrom");
                },
                "", "vm/a/data: reconcile scsi1: scsi1 holds the cloud-init drive => give the disk another slot\n"},
               {"a disk in the slot of the cloud-init drive",
                [](World& w) { w.wanted.disks = {disk("cloudinit", "scsi1", "san", "")}; }, "",
                "vm/a/cloudinit: reconcile scsi1: scsi1 holds a disk => give the disk another slot\n"},
               {"waits for its removal", [](World& w) { w.present().drives[0].pending_delete = true; }, "",
                "vm/a/data: reconcile scsi1: scsi1 still holds nfs:201/vm-201-disk-1.raw, which waits for its removal "
                "=> restart the guest, or take the removal back: qm set 201 --revert scsi1; then plan again\n"},
               {"its volume is gone",
                [](World& w) {
                  for (auto& [node, on] : w.storage("nfs").on_node) on.listed = true;
                  w.state.volumes.clear();
                  attach(w.present(), "unused0", "san:vm-201-disk-3");
                  attach(w.present(), "unused1", "san:vm-201-disk-4");
                },
                "",
                "vm/a/data: change scsi1: scsi1 names nfs:201/vm-201-disk-1.raw, which is not on the storage => look "
                "first whether its data is in unused0 (san:vm-201-disk-3), unused1 (san:vm-201-disk-4); else bring it "
                "back (from a backup, or take the guest to where it is), or give it up: qm set 201 --delete scsi1\n"},
               {"another volume takes its place",
                [](World& w) {
                  LiveVm after = guest(201);
                  w.present().drives[0].pending = attach(after, "scsi1", "nfs:201/vm-201-disk-2.raw,size=8G").current;
                },
                "",
                "vm/a/data: change scsi1: scsi1 holds nfs:201/vm-201-disk-1.raw, and a change that waits would put "
                "nfs:201/vm-201-disk-2.raw in its place at the next start => keep what it holds: qm set 201 --revert "
                "scsi1; or restart the guest yourself for the other\n"},
               {"another slot has the same volume",
                [](World& w) { attach(w.present(), "scsi7", "nfs:201/vm-201-disk-1.raw,size=8G"); }, "",
                "vm/a/data: change scsi1: scsi1 and scsi7 both name nfs:201/vm-201-disk-1.raw: PVE gave a new volume "
                "the name of one that was gone => find out whose data it is, and take the other entry out of the "
                "configuration of guest 201 by hand\n"}});
}

// ---- options, power, HA, pools, replication, storages ----

World with_a_guest() {
  World world;
  put(world.state, guest(201));
  return world;
}

TEST(RefusedRest, EveryReasonIsNamed) {
  const auto under_ha = [](World& w, const char* state) {
    LiveHa ha{.sid = "vm:201"};
    ha.properties.set("state", state);
    w.state.ha = {ha};
  };
  const auto wants_ha = [](World& w, const char* key, const char* text) {
    if (!w.wanted.ha) w.wanted.ha = WrittenHa{};
    w.wanted.ha->settings.set(key, {.value = option(Home::kHa, key, text)});
  };
  expect_each(
      with_a_guest,
      {{"nothing", [](World&) {}, "", ""},
       {"an option for root is to go",
        [](World& w) {
          set(w.present(), "args", "-foo");
          w.wanted.options.set("args", Resolved{.origin = FromDocument{.layer = Layer::kVm}});
        },
        "",
        "vm/a: set args to unset: only root@pam with a password may change it, no API token => on pve1: qm set 201 "
        "--delete args\n"},
       {"the same as root",
        [](World& w) {
          set(w.present(), "args", "-foo");
          w.wanted.options.set("args", Resolved{.origin = FromDocument{.layer = Layer::kVm}});
          w.options.as_root = true;
        },
        "set-vm-options", ""},
       {"a stop that is not allowed", [](World& w) { w.wanted.state = VmState::kStopped; }, "",
        "vm/a: stop the guest: its users would notice => --allow restart, or stop it yourself\n"},
       {"a start that memory does not allow",
        [](World& w) {
          w.present().power = PowerState::kStopped;
          w.wanted.state = VmState::kRunning;
          set(w.wanted, "onboot", "1");
          w.options.guest_memory = [](const std::string&) { return std::optional(256_MiB); };
        },
        "set-vm-options",
        "vm/a: start the guest: guests on pve1 would have 512 MiB of memory together, and what the system and the ARC "
        "leave is 256 MiB (rule Z13) => less memory for it or for others there, another node, or a smaller "
        "zfs_arc_max\n"},
       {"a restart below an HA that has given up",
        [&](World& w) {
          under_ha(w, "started");
          w.present().ha_state = "error";
          set(w.wanted, "cores", "4");
          w.options.allow = everything();
        },
        "set-vm-options",
        "(!) vm/a: restart the guest: HA has given the guest up (service state \"error\") and refuses to start or stop "
        "it => find out why it did not start, then: ha-manager set vm:201 --state disabled; ha-manager set vm:201 "
        "--state started\n"},
       {"a stop below it",
        [&](World& w) {
          under_ha(w, "started");
          w.present().ha_state = "error";
          w.wanted.state = VmState::kStopped;
          w.options.allow = everything();
        },
        "",
        "(!) vm/a: stop the guest: HA has given the guest up (service state \"error\") and refuses to start or stop it "
        "=> find out why it did not start, then: ha-manager set vm:201 --state disabled; ha-manager set vm:201 --state "
        "started\n"},
       {"a stop below it that is not allowed either",
        [&](World& w) {
          under_ha(w, "started");
          w.present().ha_state = "error";
          w.wanted.state = VmState::kStopped;
        },
        "", "vm/a: stop the guest: its users would notice => --allow restart, or stop it yourself\n"},
       {"a start below it",
        [&](World& w) {
          under_ha(w, "started");
          w.present().ha_state = "error";
          w.present().power = PowerState::kStopped;
          w.wanted.state = VmState::kRunning;
        },
        "",
        "(!) vm/a: start the guest: HA has given the guest up (service state \"error\") and refuses to start or stop "
        "it => find out why it did not start, then: ha-manager set vm:201 --state disabled; ha-manager set vm:201 "
        "--state started\n"},
       {"HA settings below it",
        [&](World& w) {
          under_ha(w, "started");
          w.present().ha_state = "error";
          wants_ha(w, "max_restart", "3");
        },
        "",
        "(!) ha/a: change its HA settings: HA has given the guest up (service state \"error\") and refuses to start or "
        "stop it => find out why it did not start, then: ha-manager set vm:201 --state disabled; ha-manager set vm:201 "
        "--state started\n"},
       {"the state that lets HA forget it",
        [&](World& w) {
          under_ha(w, "started");
          w.present().ha_state = "error";
          wants_ha(w, "state", "disabled");
        },
        "set-ha", ""},
       {"another pool",
        [](World& w) {
          w.wanted.pool = "prod", w.present().pool = "test", w.state.pools = {"prod", "test"};
        },
        "",
        "pool/prod: add a member: vm/a is in pool \"test\" => take it out of that pool first (pvesh set /pools "
        "--poolid POOL --vms ID --delete 1)\n"},
       {"its own pool", [](World& w) { w.wanted.pool = w.present().pool = "prod", w.state.pools = {"prod"}; }, "", ""},
       {"a replication to its own node", [](World& w) { w.wanted.replication = {{.target = "pve1"}}; }, "",
        "replication/a/pve1: replicate to pve1: the guest runs on that node => name another target\n"},
       {"a replication of what is not on zfs",
        [](World& w) {
          w.wanted.replication = {{.target = "pve2"}};
          attach(w.present(), "scsi0", "san:vm-201-disk-0,size=1G");
        },
        "",
        "replication/a/pve2: replicate to pve2: scsi0 is not on a zfspool storage that both nodes have => move the "
        "disk, or state replicate: off on it\n"},
       {"a replication to where the storage is not",
        [](World& w) {
          w.wanted.replication = {{.target = "pve2"}};
          attach(w.present(), "scsi0", "SSD-r10:vm-201-disk-0,size=1G");
          w.storage("SSD-r10").properties.set("nodes", "pve1");
        },
        "",
        "replication/a/pve2: replicate to pve2: scsi0 is not on a zfspool storage that both nodes have => move the "
        "disk, or state replicate: off on it\n"},
       {"a replication of what no storage is known of",
        [](World& w) {
          w.wanted.replication = {{.target = "pve2"}};
          attach(w.present(), "scsi0", "nowhere:vm-201-disk-0,size=1G");
        },
        "",
        "replication/a/pve2: replicate to pve2: scsi0 is not on a zfspool storage that both nodes have => move the "
        "disk, or state replicate: off on it\n"},
       {"a replication without what is left out, unused, a CD or a path",
        [](World& w) {
          w.wanted.replication = {{.target = "pve2"}};
          attach(w.present(), "scsi0", "san:vm-201-disk-0,replicate=0,size=1G");
          attach(w.present(), "scsi1", "/dev/sdb");
          attach(w.present(), "ide2", "local:iso/x.iso,media=cdrom");
          attach(w.present(), "unused0", "san:vm-201-disk-9");
        },
        "set-replication", ""},
       {"a replication that is there already",
        [](World& w) {
          w.wanted.replication = {{.target = "pve2"}};
          w.wanted.replication[0].settings.set("rate", {.value = option(Home::kReplication, "rate", "10")});
          replicated(w);
          attach(w.present(), "scsi0", "san:vm-201-disk-0,size=1G");
        },
        "set-replication", ""},
       {"a storage of another type", [](World& w) { w.storages = {{.id = "san", .type = "dir"}}; }, "",
        "storage/san: change storage \"san\": type is lvm, the fleet says dir; PVE does not change this of a storage "
        "that exists => declare a storage with another id and move the disks there\n"},
       {"a property that is fixed",
        [](World& w) {
          w.storages = {{.id = "SSD-r10", .type = "zfspool"}};
          w.storages[0].properties.set("pool", stated(Home::kStorageOption, "pool", "lake"));
          w.storages[0].properties.set("sparse", stated(Home::kStorageOption, "sparse", "0"));
        },
        "update-storage",
        "storage/SSD-r10: change storage \"SSD-r10\": pool is tank, the fleet says lake; PVE does not change this of a "
        "storage that exists => declare a storage with another id and move the disks there\n"}});
}

}  // namespace
}  // namespace pvr::testing
