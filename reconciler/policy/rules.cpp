#include <algorithm>

#include "reconciler/policy/audit_rules.h"
#include "reconciler/policy/disk_rules.h"
#include "reconciler/policy/guest_rules.h"
#include "reconciler/policy/host_rules.h"
#include "reconciler/policy/rule.h"
#include "reconciler/policy/storage_rules.h"
#include "reconciler/policy/zvol_rules.h"

namespace pvr {
namespace {

constexpr RuleRow kRules[] = {
    {"C1", "cache=none by default", "default",
     "O_DIRECT past the host page cache; on ZFS the ARC is already the cache.", "S0", "disk"},
    {"C2", "no host page cache on storage a guest can migrate across, nor on ZFS", "invariant",
     "The page cache belongs to one node and does not follow a migration; on ZFS it caches everything twice. "
     "directsync uses no page "
     "cache and is allowed as an override.",
     "S0", "disk"},
    {"C3", "cache=writeback for disposable disks of pinned guests on local storage without ZFS", "default + warning",
     "Only where nothing caches below and the last seconds of writes may be lost with the host. Stated on a disk that "
     "is kept, it is flagged.",
     "S0", "disk"},
    {"C4", "cache=unsafe only for disposable scratch", "invariant",
     "It ignores the flushes of the guest; even then it must be stated and the conditions of C3 must hold.", "S0",
     "disk"},
    {"A1", "aio=io_uring everywhere", "default",
     "It never blocks the submitting thread. An unset aio counts as what PVE really does with it, so it is no "
     "difference where it already "
     "means io_uring. Network drivers of QEMU take no aio.",
     "S0, S3, PVE source", "disk"},
    {"A2", "aio=native only on raw block storage with O_DIRECT", "invariant",
     "Native stops the submitting thread whenever something below has to wait.", "S0, S3", "disk"},
    {"A3", "aio=native never on ZFS, qcow2, thin LVM or a volume chain", "invariant",
     "All of them look things up before a request is submitted; a snapshot or a backup puts qcow2 on top of a volume "
     "chain.",
     "S0", "disk"},
    {"A4", "aio=threads only together with a buffered cache mode", "warning",
     "With O_DIRECT it costs a thread switch per request.", "S0, S3", "disk"},
    {"A5", "thick LVM and CIFS: what an unset aio really means", "default + invariant",
     "PVE runs an unset aio as native (or threads) there. Over a volume chain that breaks A3, so io_uring is stated "
     "from PVE 9 on; on thick LVM "
     "without a chain native is right and stays unset; on CIFS io_uring is never stated. A stated io_uring blocks live "
     "moves to these "
     "storages, so a move goes first.",
     "S0, PVE source", "disk"},
    {"I1", "virtio-scsi-single and one I/O thread per disk", "default + invariant",
     "Every disk gets its own controller and thread. An I/O thread without such a controller (or virtio-blk) is an "
     "error.",
     "S0, S3", "disk, guest"},
    {"D1", "discard=on", "default", "Space the guest trims is given back to the storage.", "S0, S4", "disk"},
    {"D2", "ssd=1 on SSD-backed disks", "default",
     "The guest trims instead of defragmenting; virtio-blk has no such option.", "S0, S4", "disk"},
    {"F1", "no qcow2 on ZFS", "invariant + warning",
     "Both copy on write. New disks are refused, existing ones get a finding with a move offered.", "S1", "disk"},
    {"F2", "a raw file on a dataset needs OpenZFS 2.3", "warning",
     "Older versions may refuse O_DIRECT on files; the way out is a zvol, never writeback.", "S0", "disk"},
    {"W1", "Windows needs a driver for its controller", "invariant + warning",
     "It has none for megasas, lsi and lsi53c810; sata, ide and pvscsi boot without; virtio needs virtio-win during "
     "the installation.",
     "S3", "guest"},
    {"B1", "balloon=0 for Windows and for passthrough", "default",
     "A passed-through device pins all memory; Windows services behave poorly under pressure.", "S0", "guest"},
    {"G1", "cpu: baseline", "default + warning + check",
     "The model every node the guest may run on can give it: the lowest of them when they are known, else "
     "x86-64-v2-AES. A guest that already "
     "has a model all of them can give keeps it.",
     "S0, S2", "guest"},
    {"G2", "machine=q35 with PCIe passthrough", "default", "Only q35 has a PCIe bus.", "S0", "guest"},
    {"G3", "an EFI disk for Windows on OVMF", "default + check",
     "Boot entries and Secure Boot keys must survive a restart.", "S0", "guest"},
    {"G4", "a TPM 2.0 for Windows 11", "default + check", "The system asks for one.", "S0", "guest"},
    {"G5", "virtio network devices", "default + check", "The paravirtual device is the fastest.", "S0, S2", "guest"},
    {"G6", "numa for passthrough", "check", "A large pinned guest keeps its memory where its device is.", "S0, S2",
     "guest"},
    {"G7", "firmware and machine of an installed guest", "check",
     "What is installed starts from the firmware and finds the devices it was installed with.", "PVE source", "guest"},
    {"L1", "a lane names the storage", "warning",
     "Disks lie on the storage of the guest's lane, on the block-size class of it where they want another block size, "
     "or where they state it.",
     "S0", "guest"},
    {"M1", "HA needs what it can restart elsewhere", "invariant + warning",
     "A device of one node is an error under HA; local disks without replication are flagged.", "S0, S1", "guest"},
    {"Z1", "volblocksize by purpose", "default + invariant + warning",
     "os and general 16k, database 8k, bulk and media 64k, models 128k. Powers of two from 512 B to 16 MiB, not below "
     "the sector of the pool, "
     "above 128k only when stated on the disk.",
     "S0, S1", "disk"},
    {"Z2", "volblocksize cannot change on a living zvol", "check",
     "A difference is a move to a storage of the right blocksize or a recreate; an OS disk is never copied for a mere "
     "default.",
     "S0, S1", "zvol"},
    {"Z3", "thin zvols", "default + check",
     "sparse 1 on every zfspool; thick zvols are thinned in place by clearing refreservation.", "S0, S1",
     "storage, zvol"},
    {"Z4", "blocksize 16k; another block size is another storage on a child dataset", "default + check",
     "Two storages on one dataset list each other's volumes and do not lock each other out.", "S1", "storage"},
    {"Z5", "sync=standard", "default + invariant + warning + check",
     "disabled loses confirmed writes and is only for disposable scratch; always is flagged.", "S0, S1", "disk, zvol"},
    {"Z6", "logbias, compression, primarycache", "default + warning + check",
     "latency (throughput for bulk and media when stated), lz4 (zstd for backups), all (metadata when stated).",
     "S0, S1", "disk, zvol, dataset"},
    {"Z7", "atime=off, xattr=sa, dnodesize=auto; recordsize by use", "default + check",
     "128k for containers, 1M for backups; zvols do not use recordsize.", "S0, S1", "pool, dataset"},
    {"Z8", "ashift=12", "check", "Immutable, so it can only be told.", "S0, S1", "pool"},
    {"Z9", "mirrors below VM disks", "check",
     "RAIDZ pays parity and padding on small blocks and has the IOPS of one disk per vdev; RAIDZ1 on drives above 2 TB "
     "and single disks are told.",
     "S1", "pool"},
    {"Z10", "capacity", "check", "80 % warn, 85 % strong, 90 % refuses everything that adds data.", "S0, S1", "pool"},
    {"Z11", "SSD pools are trimmed", "default + check", "A monthly zpool trim or autotrim.", "S0", "pool"},
    {"Z12", "log and special devices", "check",
     "A log needs power-loss protection and a mirror, a special vdev a mirror.", "S0, S1", "pool"},
    {"Z13", "ARC and memory", "default + check", "Guests + ARC + system must fit into the memory of the node.", "S1",
     "host"},
    {"Z14", "no swap on ZFS", "check", "It hangs the host when memory is short.", "S1", "host"},
    {"Z15", "volmode default or dev for VM disks", "check", "The device must exist, and whole.", "S1", "zvol"},
    {"Z16", "pools are healthy and scrubbed", "check",
     "Devices work, a scrub ran in the last 40 days, free space is not in crumbs.", "S1", "pool"},
    {"T1", "content fits the type", "check", "PVE refuses content a type cannot hold.", "S1", "storage"},
    {"T2", "LVM on iSCSI is shared", "default + check",
     "snapshot-as-volume-chain is a fact that makes it a chain (A3, A5).", "S0", "storage"},
    {"T3", "no VM disks in a directory on ZFS", "warning + check",
     "A move to a zvol is offered; an unknown file system counts as ZFS, with a notice.", "S0, S1", "disk, storage"},
    {"T4", "replication", "check", "zvols only, to another node that has the same storage id.", "S1", "replication"},
    {"T5", "backups: mode snapshot, compress zstd", "check",
     "A destructive step may ask for a backup not older than some hours.", "S1", "backup"},
    {"T6", "thin LVM to ZFS is a move with a backup and the source kept", "check", "Until the copy is verified.", "S1",
     "conversion"},
    {"P1", "no change waits for ever", "check", "What is stored and not running surprises at the next restart.",
     "PVE source", "guest"},
    {"P2", "no volume is left over", "check", "Detached and orphaned volumes take room and are in no backup.",
     "PVE source", "volume"},
    {"P3", "a volume has one user", "check",
     "What several entries name is written by several guests, and moved or freed by each of them.", "PVE source",
     "volume"},
};

template <class Rows>
void add(std::vector<TableRow>& out, std::string_view table, const Rows& rows) {
  for (const auto& row : rows) out.push_back({row.id, table, row.why, row.source});
}

}  // namespace

std::span<const RuleRow> all_rules() { return kRules; }

const RuleRow* find_rule(std::string_view id) {
  const auto* at = std::ranges::find(kRules, id, &RuleRow::id);
  return at == std::end(kRules) ? nullptr : at;
}

std::vector<TableRow> table_rows() {
  std::vector<TableRow> out;
  add(out, "cache, default", kCacheDefaults);
  add(out, "aio, default", kAioDefaults);
  add(out, "iothread, default", kIothreadDefaults);
  add(out, "discard, default", kDiscardDefaults);
  add(out, "ssd, default", kSsdDefaults);
  add(out, "disk, invariant", kDiskInvariants);
  add(out, "disk, warning", kDiskWarnings);
  add(out, "volblocksize, default", kVolblocksizeDefaults);
  add(out, "provisioning, default", kProvisioningDefaults);
  add(out, "sync, default", kSyncDefaults);
  add(out, "logbias, default", kLogbiasDefaults);
  add(out, "compression, default", kCompressionDefaults);
  add(out, "primarycache, default", kPrimarycacheDefaults);
  add(out, "zvol properties, invariant", kZvolInvariants);
  add(out, "zvol properties, warning", kZvolWarnings);
  add(out, "scsihw, default", kScsihwDefaults);
  add(out, "balloon, default", kBalloonDefaults);
  add(out, "machine, default", kMachineDefaults);
  add(out, "cpu, default", kCpuDefaults);
  add(out, "net model, default", kNetModelDefaults);
  add(out, "EFI disk, default", kEfiDiskDefaults);
  add(out, "TPM, default", kTpmDefaults);
  add(out, "guest, invariant", kGuestInvariants);
  add(out, "guest, warning", kGuestWarnings);
  add(out, "sparse, default", kSparseDefaults);
  add(out, "blocksize, default", kBlocksizeDefaults);
  add(out, "shared, default", kSharedDefaults);
  add(out, "trim of a pool, default", kPoolTrimDefaults);
  add(out, "atime, default", kPoolAtimeDefaults);
  add(out, "xattr, default", kPoolXattrDefaults);
  add(out, "dnodesize, default", kPoolDnodesizeDefaults);
  add(out, "arc_max, default", kArcMaxDefaults);
  add(out, "arc_min, default", kArcMinDefaults);
  add(out, "zvol, check", zvol_checks());
  add(out, "pool, check", pool_checks());
  add(out, "dataset, check", dataset_checks());
  add(out, "host, check", host_checks());
  add(out, "storage, check", storage_checks());
  add(out, "replication, check", replication_checks());
  add(out, "backup, check", backup_checks());
  add(out, "conversion, check", conversion_checks());
  add(out, "firmware, check", firmware_checks());
  add(out, "guest audit, check", guest_audit_checks());
  add(out, "pending changes, check", pending_checks());
  add(out, "leftover volume, check", leftover_checks());
  add(out, "shared volume, check", users_checks());
  add(out, "pool state, check", pool_state_checks());
  add(out, "backup coverage, check", coverage_checks());
  return out;
}

}  // namespace pvr
