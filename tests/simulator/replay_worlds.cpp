#include "tests/simulator/replay_worlds.h"

#include <map>

#include "simulator/wire/faults.h"

namespace pvesim_test {
namespace {

// The recorder's password and token secret are placeholders in the recordings.
constexpr const char* kUsers = R"(
users:
  - name: root@pam
    password: <password>
    tokens: [{id: ci, secret: 11111111-2222-3333-4444-555555555555, privsep: false}]
)";

constexpr const char* kBareNode = R"(
nodes:
  pve: {version: 9.2.11, qemu: 10.0.13, cpu: 2, memory: 4111876096, rootfs: 10464022528, rootfs_used: 1116319744, uptime: 122}
)";

/// The machine after 12: a mirror, a volume group, a thin pool and a directory on a disk of its own.
constexpr const char* kStorageNode = R"(
nodes:
  pve:
    version: 9.2.11
    qemu: 10.0.13
    cpu: 2
    memory: 4111876096
    rootfs: 10464022528
    rootfs_used: 1116319744
    uptime: 400
    pools: {tank: {layout: mirror, size: 16122904576}}
    vgs:
      vg0: {size: 17175674880}
      thin0: {size: 17175674880, thin: {thin0: {size: 14893973504}}}
    filesystems:
      /mnt/pve/dir0: {type: ext4, size: 8349229056}
storages:
  local: {type: dir, path: /var/lib/vz, content: "backup,images,iso,rootdir,snippets,vztmpl", prune-backups: keep-all=1}
  tank: {type: zfspool, pool: tank, mountpoint: /tank, nodes: pve, content: "images,rootdir"}
  vg0: {type: lvm, vgname: vg0, nodes: pve, shared: 0, content: "images,rootdir"}
  thin0: {type: lvmthin, vgname: thin0, thinpool: thin0, nodes: pve, content: "images,rootdir"}
  dir0: {type: dir, path: /mnt/pve/dir0, is_mountpoint: 1, nodes: pve, content: "backup,images,iso,rootdir,snippets,vztmpl"}
)";

constexpr const char* kSecondMachine = R"(
  d1: {type: dir, path: /srv/d1, content: "images,import,iso,snippets", prune-backups: keep-last=3}
)";

/// VM 100 before and after its first disk was moved to the directory (41 ran before 50, 52 and 60).
constexpr const char* kVm100Before = R"(
  100:
    config:
      {name: web1, memory: 128, cores: 1, kvm: 0, ostype: l26, scsihw: virtio-scsi-single, boot: order=scsi0,
       scsi0: "tank:vm-100-disk-0,discard=on,size=2G,ssd=1", scsi1: "d1:100/vm-100-disk-0.raw,size=1G",
       scsi2: "vg0:vm-100-disk-0,size=1536M", scsi3: "thin0:vm-100-disk-0,size=512M", ide2: "none,media=cdrom",
       net0: "virtio=BC:24:11:4A:13:25,bridge=vmbr0"}
    zvols: {vm-100-disk-0: {used: 100%}}
)";
constexpr const char* kVm100Moved = R"(
  100:
    config:
      {name: web1, memory: 128, cores: 1, kvm: 0, ostype: l26, scsihw: virtio-scsi-single, boot: order=scsi0,
       scsi0: "d1:100/vm-100-disk-1.raw,discard=on,size=2G,ssd=1", scsi1: "d1:100/vm-100-disk-0.raw,size=1G",
       scsi2: "vg0:vm-100-disk-0,size=1536M", scsi3: "thin0:vm-100-disk-0,size=512M", unused0: "tank:vm-100-disk-0",
       ide2: "none,media=cdrom", net0: "virtio=BC:24:11:4A:13:25,bridge=vmbr0"}
    zvols: {vm-100-disk-0: {size: 512M}}
)";
constexpr const char* kVm100Detached = R"(
  100:
    config:
      {name: web1, memory: 128, cores: 1, kvm: 0, ostype: l26, scsihw: virtio-scsi-single, boot: order=scsi0,
       scsi0: "d1:100/vm-100-disk-1.raw,discard=on,size=2G,ssd=1", scsi1: "d1:100/vm-100-disk-0.raw,size=1G",
       scsi2: "vg0:vm-100-disk-0,size=1536M", unused0: "tank:vm-100-disk-0", unused1: "thin0:vm-100-disk-0",
       ide2: "none,media=cdrom", net0: "virtio=BC:24:11:4A:13:25,bridge=vmbr0"}
    zvols: {vm-100-disk-0: {size: 512M}}
)";
constexpr const char* kVm102 = R"(
  102:
    config: {name: json, cores: 2, boot: order=scsi0, scsi0: "tank:vm-102-disk-0,size=104858K", scsi3: "tank:vm-102-disk-1,size=104858K"}
)";
constexpr const char* kVm102Locked = R"(
  102:
    config: {name: json, cores: 2, lock: backup, boot: order=scsi0, scsi0: "tank:vm-102-disk-0,size=104858K", scsi3: "tank:vm-102-disk-1,size=104858K"}
)";
constexpr const char* kVm120Running = R"(
  120:
    status: running
    config: {name: renamed, memory: 64, cores: 1, kvm: 0, lock: snapshot, scsihw: virtio-scsi-single, boot: order=scsi0, hotplug: "disk,network,usb",
             scsi0: "tank:vm-120-disk-0,iothread=1,size=320M", net0: "virtio=BC:24:11:49:A2:A7,bridge=vmbr0"}
)";
constexpr const char* kVm120Diskless = R"(
  120:
    config: {name: renamed, memory: 64, cores: 1, kvm: 0, scsihw: virtio-scsi-single}
)";
constexpr const char* kVm140 = R"(
  140:
    config: {name: x, boot: order=scsi0, scsi0: "tank:vm-140-disk-0,size=104858K"}
)";
constexpr const char* kVm140Protected = R"(
  140:
    config: {name: x, protection: 1, boot: order=scsi0, scsi0: "tank:vm-140-disk-0,size=104858K", scsi1: "d1:140/vm-140-disk-0.raw,size=104858K"}
)";

std::string second_machine(const std::vector<std::string>& vms) {
  std::string yaml = std::string(kUsers) + kStorageNode + kSecondMachine + "vms:\n";
  for (const std::string& vm : vms) yaml += vm;
  return yaml;
}

}  // namespace

ReplayWorld world_of(const std::string& transcript) {
  const std::string bare = std::string(kUsers) + kBareNode;
  const std::string first = std::string(kUsers) + kStorageNode;
  static const std::vector<std::string> kFirstMachine = {
      "13-storage-config",   "14-storage-content",        "20-vm-create",
      "21-vm-config-update", "22-disk-add-detach-remove", "30-resize",
      "31-move-disk",        "32-clone-template",         "33-snapshots"};
  std::map<std::string, ReplayWorld> worlds = {
      {"01-version-cluster-node", {bare, {}}},
      {"02-http-errors", {bare, {}}},
      {"10-disks-list", {bare, {}}},
      {"11-zpool-create", {bare, {}}},
      {"12-lvm-lvmthin-directory-create", {first, {}}},
      {"40-running-vm", {second_machine({kVm100Moved, kVm102, kVm140}), {}, {120}}},
      {"41-locks-concurrency", {second_machine({kVm100Before, kVm102Locked, kVm120Running}), {}}},
      {"43-destroy", {second_machine({kVm100Moved, kVm102, kVm120Diskless, kVm140Protected}), {}}},
      {"50-auth-permissions", {second_machine({kVm100Moved}), {}}},
      {"51-tickets", {second_machine({kVm100Moved}), {"50-auth-permissions"}}},
      {"52-pools", {second_machine({kVm100Moved, kVm102, kVm120Diskless, kVm140}), {}}},
      {"60-storage-in-use", {second_machine({kVm100Detached, kVm102, kVm120Diskless, kVm140}), {}}},
  };
  for (std::size_t i = 0; i < kFirstMachine.size(); ++i)
    worlds[kFirstMachine[i]] = {first, {kFirstMachine.begin(), kFirstMachine.begin() + static_cast<std::ptrdiff_t>(i)}};
  return worlds[transcript];
}

const std::vector<Unrecorded>& unrecorded() {
  static const std::vector<Unrecorded> kUnrecorded = {
      {"20-vm-create", 21, "DELETE", "/nodes/pve/qemu/100", {}},
      {"41-locks-concurrency", 16, "PUT", "/nodes/pve/qemu/102/config", {{"delete", "lock"}, {"skiplock", "1"}}},
  };
  return kUnrecorded;
}

const std::vector<Exclusion>& exclusions() {
  static const std::vector<Exclusion> kExclusions = {
      // Work on the host's real disks: the simulator has no partitions, no SMART and no disk formatting.
      {"*", "*", "/nodes/pve/disks/list", -1,
       "rows of an emulator's disks; the simulator shows the disks of its cluster file"},
      {"*", "*", "/nodes/pve/disks/smart", -1, "SMART values of an emulator; not simulated"},
      {"*", "*", "/nodes/pve/disks/zfs", -1, "creating and destroying pools and raw pool sizes belong to real disks"},
      {"*", "*", "/nodes/pve/disks/zfs/*", -1, "vdev trees and zpool errors belong to real disks"},
      {"*", "*", "/nodes/pve/disks/lvm*", -1, "volume groups on real disks are not made through the simulated API"},
      {"*", "*", "/nodes/pve/disks/directory*", -1,
       "file systems on real disks are not made through the simulated API"},
      {"*", "*", "/nodes/pve/disks/initgpt", -1, "partition tables are not simulated"},
      {"*", "*", "/nodes/pve/disks/wipedisk", -1, "partition tables are not simulated"},
      {"*", "*", "/nodes/pve/scan/*", -1, "scanning hosts for storage is not simulated"},
      {"*", "*", "/nodes/pve/hardware/pci", -1, "devices of an emulator"},
      {"*", "*", "/nodes/pve/tasks/*:zfscreate:*", -1, "tasks of calls that are excluded"},
      {"*", "*", "/nodes/pve/tasks/*:lvmcreate:*", -1, "tasks of calls that are excluded"},
      {"*", "*", "/nodes/pve/tasks/*:lvmthincreate:*", -1, "tasks of calls that are excluded"},
      {"*", "*", "/nodes/pve/tasks/*:dircreate:*", -1, "tasks of calls that are excluded"},
      {"*", "*", "/nodes/pve/tasks/*:diskinit:*", -1, "tasks of calls that are excluded"},
      {"*", "*", "/nodes/pve/tasks/*:wipedisk:*", -1, "tasks of calls that are excluded"},
      {"*", "*", "/nodes/pve/tasks/*:lvmremove:*", -1, "tasks of calls that are excluded"},
      {"*", "*", "/nodes/pve/tasks/*:lvmthinremove:*", -1, "tasks of calls that are excluded"},
      {"*", "*", "/nodes/pve/tasks/*:dirremove:*", -1, "tasks of calls that are excluded"},
      {"*", "*", "/nodes/pve/tasks/*:zfsremove:*", -1, "tasks of calls that are excluded"},
      {"01-version-cluster-node", "GET", "/storage", 23,
       "`priority` of the built-in entry, which is gone once storage.cfg is written"},
      {"32-clone-template", "GET", "/cluster/resources", 23,
       "a guest younger than the last broadcast of a slow machine"},
      {"41-locks-concurrency", "GET", "/cluster/tasks", 20, "lists tasks of calls before the recording"},
      {"40-running-vm", "GET", "/nodes/pve/qemu/120/status/current", 9,
       "figures only the vendor's QEMU build reports (running-machine, blockstat, …) are missing in the recording"},
      {"20-vm-create", "GET", "/cluster/resources", 45, "the last broadcast of a guest that was replaced since"},
      {"20-vm-create", "GET", "/nodes/pve/qemu/105/cloudinit/dump", -1, "rendered cloud-init files are not simulated"},
      {"60-storage-in-use", "GET", "/storage/vg0", 37, "an excluded call removed it"},
      {"60-storage-in-use", "GET", "/storage", 44, "excluded calls removed storages"},
      {"60-storage-in-use", "GET", "/nodes/pve/storage", 45, "excluded calls removed storages"},
      {"11-zpool-create", "GET", "/storage/tank", -1, "the storage an excluded call made"},
      {"11-zpool-create", "GET", "/nodes/pve/storage/tank/status", -1, "the storage an excluded call made"},
  };
  return kExclusions;
}

const Exclusion* exclusion_of(const std::string& transcript, int index, const std::string& method,
                              const std::string& path) {
  for (const Exclusion& one : exclusions()) {
    if (std::string(one.transcript) != "*" && transcript != one.transcript) continue;
    if (one.index >= 0 && one.index != index) continue;
    if (std::string(one.method) != "*" && method != one.method) continue;
    if (pvesim::glob_match(one.path, path)) return &one;
  }
  return nullptr;
}

}  // namespace pvesim_test
