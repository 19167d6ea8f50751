// Where each check begins and ends: one fact changed at a time, on both sides of its boundary, and what is then said.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/policy/audit_rules.h"
#include "reconciler/policy/guest_rules.h"
#include "reconciler/policy/storage_rules.h"
#include "reconciler/policy/zvol_rules.h"

namespace pvr::test {
namespace {

template <class F>
struct Row {
  F facts = {};
  std::string found = {};  // "Z5 ! tank/x has sync=always…": rule, severity, words; one line per finding
};

template <class F>
void expect_rows(std::span<const Check<F>> table, const std::vector<Row<F>>& rows) {
  for (std::size_t at = 0; at < rows.size(); ++at) {
    std::string found;
    for (const Judgement& one : run_checks(table, rows[at].facts)) {
      const char* weight = one.severity == Severity::kError ? "E" : one.severity == Severity::kWarning ? "W" : "N";
      found += (found.empty() ? "" : "\n") + std::string(one.rule) + " " + weight + " " + one.what + " -> " + one.fix;
    }
    EXPECT_EQ(found, rows[at].found) << "row " << at;
  }
}

TEST(Boundaries, OfZvols) {
  const std::string no_recreation = "move the disk to a storage of that blocksize, or recreate the zvol";
  expect_rows<ZvolFacts>(
      zvol_checks(),
      {
          {{.name = "z", .refreservation = ByteSize{1}},
           "Z3 N z is thick: 1 B are set aside for it -> zfs set refreservation=none z"},
          {{.name = "z", .refreservation = ByteSize{0}}, ""},
          {{.name = "z", .thick_wanted = true, .refreservation = ByteSize{1}}, ""},
          {{.name = "z", .purpose = Purpose::kScratch, .sync = "disabled"},
           "Z5 E z has sync=disabled: writes the guest was told are safe can be lost -> zfs set sync=standard z"},
          {{.name = "z", .purpose = Purpose::kData, .disposable = true, .sync = "disabled"},
           "Z5 E z has sync=disabled: writes the guest was told are safe can be lost -> zfs set sync=standard z"},
          {{.name = "z", .purpose = Purpose::kScratch, .disposable = true, .sync = "disabled"}, ""},
          {{.name = "z", .sync = "standard"}, ""},
          {{.name = "z", .sync = "always"},
           "Z5 W z has sync=always: every write waits for the log -> zfs set sync=standard z"},
          {{.name = "z", .purpose = Purpose::kData, .logbias = "throughput"},
           "Z6 N z has logbias=throughput -> zfs set logbias=latency z"},
          {{.name = "z", .purpose = Purpose::kBulk, .logbias = "throughput"}, ""},
          {{.name = "z", .purpose = Purpose::kMedia, .logbias = "throughput"}, ""},
          {{.name = "z", .compression = "off"}, "Z6 N z is not compressed -> zfs set compression=lz4 z"},
          {{.name = "z", .compression = "zstd"}, ""},
          {{.name = "z", .primarycache = "metadata"},
           "Z6 N z has primarycache=metadata: reads do not come from the ARC -> zfs set primarycache=all z"},
          {{.name = "z", .primarycache = "none"},
           "Z6 N z has primarycache=none: reads do not come from the ARC -> zfs set primarycache=all z"},
          {{.name = "z", .primarycache = "all"}, ""},
          {{.name = "z", .volmode = "geom"}, "Z15 W z has volmode=geom -> zfs set volmode=default z"},
          {{.name = "z", .volmode = "dev"}, ""},
          {{.name = "z", .volmode = "default"}, ""},
          {{.name = "z", .purpose = Purpose::kData, .volblocksize = 8_KiB, .wanted_volblocksize = 16_KiB},
           "Z2 W z has volblocksize 8KiB, wanted is 16KiB; it cannot change on a living zvol -> " + no_recreation},
          {{.name = "z", .purpose = Purpose::kOs, .volblocksize = 8_KiB, .wanted_volblocksize = 16_KiB},
           "Z2 N z has volblocksize 8KiB, the default for it is 16KiB -> state volblocksize: 16KiB on the disk if it "
           "is "
           "worth a copy"},
      });
}

TEST(Boundaries, OfPools) {
  const auto raidz1 = [](std::uint64_t drive) {
    PoolFacts facts{.name = "p", .layout = PoolLayout::kRaidz, .shape = {.width = 3, .parity = 1, .ashift = 12}};
    facts.holds_vm_disks = false;
    facts.drive_size = ByteSize{drive};
    return facts;
  };
  PoolFacts raidz2 = raidz1(4'000'000'000'000);
  raidz2.shape = {.width = 6, .parity = 2, .ashift = 12};
  PoolFacts mirror = raidz1(4'000'000'000'000);
  mirror.layout = PoolLayout::kMirror;
  const auto full = [](int percent) { return PoolFacts{.name = "p", .used_percent = percent}; };
  const auto trim = [](Media media, std::optional<bool> autotrim, std::optional<bool> timer) {
    return PoolFacts{.name = "p", .media = media, .autotrim = autotrim, .trim_timer = timer};
  };
  const std::string untrimmed =
      "Z11 W nothing trims the SSDs of p: autotrim is off and there is no timer -> systemctl enable --now "
      "zfs-trim-monthly@p.timer";
  expect_rows<PoolFacts>(
      pool_checks(),
      {
          {{.name = "p"}, ""},
          {{.name = "p", .atime = "on"}, "Z7 N p writes access times -> zfs set atime=off p"},
          {{.name = "p", .xattr = "on"}, "Z7 N p has xattr=on -> zfs set xattr=sa p"},
          {{.name = "p", .dnodesize = "legacy"}, "Z7 N p has dnodesize=legacy -> zfs set dnodesize=auto p"},
          {{.name = "p", .holds_vm_disks = true, .recordsize = 64_KiB},
           "Z7 N p has recordsize 64KiB, which zvols do not use -> nothing to do for VM disks: their block size is "
           "volblocksize"},
          {{.name = "p", .holds_vm_disks = false, .recordsize = 64_KiB}, ""},
          {{.name = "p", .ashift = 13},
           "Z8 W p has ashift 13, expected is 12 -> ashift never changes: only a new pool can have another one"},
          {raidz1(2'000'000'000'000), ""},
          {raidz1(2'000'000'000'001), "Z9 W p is RAIDZ1 on drives of 1.82 TiB -> mirrors or RAIDZ2"},
          {raidz2, ""},
          {mirror, ""},
          {{.name = "p", .layout = PoolLayout::kSingle},
           "Z9 W p has a vdev of a single disk: its loss is the loss of the pool -> zpool attach p DISK NEW-DISK"},
          {full(79), ""},
          {full(80), "Z10 W p is 80 % full -> free space or move disks away"},
          {full(84), "Z10 W p is 84 % full -> free space or move disks away"},
          {full(85), "Z10 W p is 85 % full: act now -> free space or move disks away"},
          {full(89), "Z10 W p is 89 % full: act now -> free space or move disks away"},
          {full(90),
           "Z10 E p is 90 % full: nothing that adds data is done there unless forced -> free space or move "
           "disks away first"},
          {trim(Media::kSsd, false, false), untrimmed},
          {trim(Media::kSsd, true, false), ""},
          {trim(Media::kSsd, false, true), ""},
          {trim(Media::kSsd, {}, false), ""},
          {trim(Media::kSsd, false, {}), ""},
          {trim(Media::kHdd, false, false), ""},
          {{.name = "p", .has_slog = true, .slog_mirrored = true, .slog_plp = true}, ""},
          {{.name = "p", .has_slog = true}, ""},
          {{.name = "p", .has_slog = false, .slog_mirrored = false, .slog_plp = false}, ""},
          {{.name = "p", .has_slog = true, .slog_plp = false},
           "Z12 W the log device of p has no power-loss protection -> an SSD with power-loss protection, or no log "
           "device"},
          {{.name = "p", .has_slog = true, .slog_mirrored = false},
           "Z12 W the log device of p is not mirrored -> zpool attach p LOG NEW-LOG"},
          {{.name = "p", .has_special = false, .special_mirrored = false}, ""},
          {{.name = "p", .has_special = true, .special_mirrored = true}, ""},
          {{.name = "p", .has_special = true, .special_mirrored = false},
           "Z12 E the special vdev of p is not mirrored: its loss is the loss of the pool -> zpool attach p SPECIAL "
           "NEW-SPECIAL"},
      });
}

TEST(Boundaries, OfDatasets) {
  expect_rows<DatasetFacts>(dataset_checks(),
                            {
                                {{.name = "d", .use = DatasetUse::kContainers, .recordsize = 128_KiB}, ""},
                                {{.name = "d", .use = DatasetUse::kContainers, .recordsize = 1_MiB},
                                 "Z7 N d holds containers and has recordsize 1MiB -> zfs set recordsize=128K d"},
                                {{.name = "d", .use = DatasetUse::kBackups, .recordsize = 1_MiB}, ""},
                                {{.name = "d", .use = DatasetUse::kBackups, .recordsize = 128_KiB},
                                 "Z7 N d holds backups and has recordsize 128KiB -> zfs set recordsize=1M d"},
                                {{.name = "d", .use = DatasetUse::kBackups, .compression = "zstd-3"}, ""},
                                {{.name = "d", .use = DatasetUse::kBackups}, ""},
                                {{.name = "d", .use = DatasetUse::kContainers, .compression = "lz4"}, ""},
                                {{.name = "d", .use = DatasetUse::kBackups, .compression = "lz4"},
                                 "Z6 N d holds backups and has compression=lz4 -> zfs set compression=zstd d"},
                            });
}

TEST(Boundaries, OfHosts) {
  const auto limits = [](ByteSize most, std::optional<ByteSize> least) {
    return HostFacts{.name = "n", .memory = 128_GiB, .arc_max = most, .arc_min = least};
  };
  const auto advised = [](const char* has) {
    return std::string("Z13 N n: zfs_arc_max is ") + has +
           " GiB, for 128 GiB of memory 16 GiB to 32 GiB is advised -> options zfs zfs_arc_max=17179869184 in "
           "/etc/modprobe.d/zfs.conf";
  };
  expect_rows<HostFacts>(
      host_checks(),
      {
          {limits(16_GiB, {}), ""},
          {limits(32_GiB, {}), ""},
          {limits(15_GiB, {}), advised("15")},
          {limits(33_GiB, {}), advised("33")},
          {{.name = "n", .arc_max = 1_GiB}, ""},
          {{.name = "n", .memory = 128_GiB}, ""},
          {limits(16_GiB, 4_GiB), ""},
          {limits(16_GiB, ByteSize{(4ULL << 30U) + 1}),
           "Z13 N n: zfs_arc_min is 4 GiB, more than a quarter of zfs_arc_max -> options zfs zfs_arc_min=4294967296 in "
           "/etc/modprobe.d/zfs.conf"},
          {{.name = "n", .memory = 64_GiB, .vm_memory = 60_GiB, .arc_max = 8_GiB},
           "Z13 W n: guests 60 GiB + ARC 8 GiB + system 3 GiB exceed the 64 GiB of memory -> zfs_arc_max=8589934592 or "
           "fewer guests"},
          {{.name = "n", .memory = 64_GiB, .arc_max = 16_GiB},
           "Z13 N n: zfs_arc_max is 16 GiB, for 64 GiB of memory 8 GiB is advised -> options zfs "
           "zfs_arc_max=8589934592 in /etc/modprobe.d/zfs.conf"},
          {{.name = "n", .swap_on_zfs = true}, "Z14 E n swaps to ZFS -> swap on a partition of its own, or none"},
      });
}

TEST(Boundaries, OfStorages) {
  const std::string thick = "Z3 N new disks on s are thick: their whole size is set aside -> pvesm set s --sparse 1";
  expect_rows<StorageRuleFacts>(
      storage_checks(),
      {
          {{.id = "s", .type = "lvm", .on_iscsi = true, .shared = false},
           "T2 W storage s lies on an iSCSI LUN but is not declared shared -> pvesm set s --shared 1"},
          {{.id = "s", .type = "lvm", .on_iscsi = true, .shared = true}, ""},
          {{.id = "s", .type = "lvm", .on_iscsi = false, .shared = false}, ""},
          {{.id = "s", .type = "lvmthin", .on_iscsi = true, .shared = false}, ""},
          {{.id = "s", .type = "zfspool", .sparse = false}, thick},
          {{.id = "s", .type = "zfspool", .sparse = true}, ""},
          {{.id = "s", .type = "dir", .sparse = false}, ""},
          {{.id = "s", .type = "dir", .kind = StorageKind::kZfsFile, .images = false}, ""},
          {{.id = "s", .type = "dir", .kind = StorageKind::kZfsFile, .images = true},
           "T3 W VM disks on s are files on a ZFS dataset -> move them to a zfspool storage"},
          {{.id = "s", .type = "dir", .backing_assumed = true, .images = false}, ""},
          {{.id = "s", .type = "zfspool", .shares_dataset_with = "t"},
           "Z4 E storages s and t lie on one dataset -> a child dataset for each block size"},
      });
}

TEST(Boundaries, OfContent) {
  const auto unfit = [](std::string_view type, std::vector<std::string> content) {
    return std::string(unfit_content({.id = "s", .type = type, .content = std::move(content)}));
  };
  EXPECT_EQ(unfit("zfspool", {"images", "rootdir"}), "");
  EXPECT_EQ(unfit("zfspool", {"rootdir", "iso", "backup"}), "iso") << "the first one is named";
  EXPECT_EQ(unfit("zfspool", {"image"}), "image") << "a part of a word is none";
  EXPECT_EQ(unfit("pbs", {"backup", "none"}), "");
  EXPECT_EQ(unfit("pbs", {"images"}), "images");
  EXPECT_EQ(unfit("esxi", {"import"}), "");
  EXPECT_EQ(unfit("iscsi", {"images", "none"}), "");
  EXPECT_EQ(unfit("nobody-knows", {"anything"}), "") << "PVE may know more types";
  EXPECT_EQ(allowed_content("zfs"), "images");
  EXPECT_EQ(allowed_content("nobody-knows"), "");
}

TEST(Boundaries, OfReplicationBackupsAndConversions) {
  const auto zvol = StorageKind::kZfsZvol;
  expect_rows<ReplicationFacts>(
      replication_checks(),
      {
          {{.guest = "a", .target = "n", .storage = "s", .kind = zvol, .storage_on_target = true}, ""},
          {{.guest = "a", .target = "n", .storage = "s", .kind = zvol, .storage_on_target = false},
           "T4 E a replicates to n, where storage s does not exist -> a pool and the storage id s on n"},
          {{.guest = "a", .target = "n", .storage = "s", .kind = StorageKind::kLvmThin, .storage_on_target = false},
           "T4 E a declares replication, but storage s is no zfspool -> disks on a zfspool storage, or replicate: "
           "false "
           "on this disk"},
          {{.guest = "a", .target = "n", .storage = "s", .kind = zvol, .storage_on_target = true, .same_node = true},
           "T4 E a replicates to n, the node it is on -> another node as target"},
      });
  expect_rows<BackupFacts>(backup_checks(),
                           {
                               {{.job = "j", .mode = "snapshot", .compress = "zstd"}, ""},
                               {{.job = "j", .mode = "suspend", .compress = "zstd"},
                                "T5 W backup job j uses mode suspend: guests pause or stop -> mode snapshot"},
                               {{.job = "j", .mode = "snapshot", .compress = "lzo"},
                                "T5 N backup job j compresses with lzo -> compress zstd"},
                               {{.job = "j", .mode = "snapshot", .compress = "lzo", .to_pbs = true}, ""},
                           });
  const auto thin = StorageKind::kLvmThin;
  expect_rows<ConversionFacts>(
      conversion_checks(),
      {
          {{.disk = "d", .from = thin, .to = zvol, .backed_up = true, .source_kept = true}, ""},
          {{.disk = "d", .from = thin, .to = zvol, .backed_up = false, .source_kept = true},
           "T6 E d would be converted from thin LVM to ZFS without a backup -> take a backup first"},
          {{.disk = "d", .from = thin, .to = zvol, .backed_up = true, .source_kept = false},
           "T6 E d would be converted from thin LVM to ZFS without keeping the source -> keep the old volume until the "
           "new one is verified"},
          {{.disk = "d", .from = thin, .to = StorageKind::kLvmThick, .backed_up = false, .source_kept = false}, ""},
          {{.disk = "d", .from = zvol, .to = zvol, .backed_up = false, .source_kept = false}, ""},
      });
}

TEST(Boundaries, OfFirmware) {
  const auto found = [](std::string_view key, std::string_view from, std::string_view to) {
    return run_checks(firmware_checks(), FirmwareChange{.key = key, .from = from, .to = to}).size();
  };
  EXPECT_EQ(found("bios", "seabios", "ovmf"), 1U);
  EXPECT_EQ(found("bios", "ovmf", "ovmf"), 0U);
  EXPECT_EQ(found("machine", "q35", "pc"), 1U);
  EXPECT_EQ(found("machine", "pc", "pc-q35-9.0"), 1U);
  EXPECT_EQ(found("machine", "pc-q35-8.0", "pc-q35-9.0"), 0U);
  EXPECT_EQ(found("machine", "pc-i440fx-8.0", "pc"), 0U);
  EXPECT_EQ(found("cores", "1", "q35"), 0U);
  EXPECT_EQ(found("machine", "seabios", "ovmf"), 0U);
}

TEST(Boundaries, OfLivingGuests) {
  const auto pinned = [](const char* cpu) {
    return GuestAuditFacts{
        .name = "g", .passthrough_pci = true, .mobility = Mobility::kPinned, .cpu = cpu, .numa = true};
  };
  GuestAuditFacts roams = pinned("x86-64-v2");
  roams.mobility = Mobility::kMobile;
  std::vector<Row<GuestAuditFacts>> rows;
  for (const char* old : {"kvm64", "qemu64", "kvm32", "qemu32"})
    rows.push_back({{.name = "g", .cpu = old},
                    std::string("G1 W cpu=") + old + ": no AES, no SSE4, no AVX for the guest -> cpu: baseline"});
  rows.push_back({pinned("host"), ""});
  rows.push_back({pinned("max"), ""});
  rows.push_back({pinned("EPYC"), "G1 N cpu=EPYC on a guest that cannot leave its node -> cpu: host"});
  rows.push_back({pinned("kvm64"),
                  "G1 W cpu=kvm64: no AES, no SSE4, no AVX for the guest -> cpu: host\n"
                  "G1 N cpu=kvm64 on a guest that cannot leave its node -> cpu: host"});
  rows.push_back({roams, ""});
  expect_rows<GuestAuditFacts>(guest_audit_checks(), rows);
  expect_rows<LeftoverFacts>(
      leftover_checks(),
      {
          {{.volume = "v", .attached = true},
           "P2 N v is detached and takes room -> remove it once nobody needs its data"},
          {{.volume = "v", .size = 2_GiB, .attached = true},
           "P2 N v (2 GiB) is detached and takes room -> remove it once nobody needs its data"},
          {{.volume = "v"},
           "P2 W no guest refers to v -> look what it holds, then attach it with qm disk rescan or remove it"},
      });
  expect_rows<UsersFacts>(
      users_checks(), {
                          {{.volume = "v", .users = {"guest 100 (scsi0)"}}, ""},
                          {{.volume = "v", .users = {"guest 100 (scsi0)", "guest 101 (scsi1)"}},
                           "P3 W v is named by guest 100 (scsi0), guest 101 (scsi1) -> unless it holds a cluster file "
                           "system, find out whose data it is, and take the other entry out by hand"},
                      });
  expect_rows<PoolStateFacts>(pool_state_checks(),
                              {
                                  {{.name = "p", .scrub_known = true, .scrub_age_days = 40}, ""},
                                  {{.name = "p", .scrub_known = true, .scrub_age_days = 41},
                                   "Z16 W p was scrubbed 41 days ago -> zpool scrub p"},
                                  {{.name = "p", .scrub_known = true}, "Z16 W p was never scrubbed -> zpool scrub p"},
                                  {{.name = "p", .scrub_known = false, .scrub_age_days = 41}, ""},
                              });
  expect_rows<CoverageFacts>(
      coverage_checks(),
      {
          {{.guest = "g", .jobs_known = true, .backups_known = false}, ""},
          {{.guest = "g", .jobs_known = true, .backups_known = true},
           "T5 W no backup job covers the guest, and no backup of it is there -> put it into a backup job"},
          {{.guest = "g", .in_a_job = true, .jobs_known = true, .newest_age_days = 400, .backups_known = true},
           "T5 W the newest backup is 400 days old -> see why the job does not run, or take one now"},
          {{.guest = "g", .newest_age_days = 400, .backups_known = false}, ""},
          {{.guest = "g", .unprotected = 3}, ""},
          {{.jobs_known = true, .newest_age_days = 400, .backups_known = true}, ""},
          {{.unprotected = 1},
           "T5 N no backup job of the cluster and no backup on its storages; 1 guests are concerned -> a backup job "
           "(Datacenter, Backup), unless something outside PVE makes the backups"},
      });
}

}  // namespace
}  // namespace pvr::test
