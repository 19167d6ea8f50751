#include "providers/host/host_reading.h"

#include <gmock/gmock.h>

#include <string>

#include "providers/host/host_zfs.h"
#include "simulator/simulator.h"
#include "tests/support/simulated_runner.h"
#include "tests/support/simulated_transport.h"

namespace pvr {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// Rows as OpenZFS 2.3.9 printed them.
constexpr std::string_view kRows =
    "tank\ttype\tfilesystem\t-\n"
    "tank\tguid\t11\t-\n"
    "tank\tcompression\tlz4\tlocal\n"
    "tank\tpvereconcile:owner\tfleet\tlocal\n"
    "tank/vm-1-disk-0\ttype\tvolume\t-\n"
    "tank/vm-1-disk-0\tguid\t12\t-\n"
    "tank/vm-1-disk-0\tvolsize\t1073741824\tlocal\n"
    "tank/vm-1-disk-0\tcompression\tlz4\tinherited from tank\n"
    "tank/vm-1-disk-0\trefreservation\t0\treceived\n"
    "tank/vm-1-disk-0\tsnapshots_changed\t-\t-\n"
    "tank/vm-1-disk-0\tpvereconcile:owner\tfleet\tinherited from tank\n"
    "tank/vm-1-disk-0\tpvereconcile:copied\t4096\tlocal\n"
    "tank/vm-1-disk-0\torg.debian:note\ta b\tlocal\n";

TEST(ReadDatasets, KeepsWhatIsSetHereApartFromWhatIsInherited) {
  const auto found = read_datasets(kRows);
  ASSERT_TRUE(found.ok()) << found.error().message;
  ASSERT_EQ(found->size(), 2U);
  const LiveDataset& zvol = (*found)[1];
  EXPECT_TRUE(zvol.is_volume);
  EXPECT_EQ(zvol.bytes("volsize"), 1_GiB);
  EXPECT_EQ(zvol.text("compression"), "lz4");
  EXPECT_THAT(zvol.own, ElementsAre("org.debian:note", "refreservation", "volsize"));
  EXPECT_EQ(zvol.text("org.debian:note"), "a b");
  ASSERT_EQ(zvol.marks.size(), 1U);
  EXPECT_EQ(*zvol.marks.find("copied"), "4096");
  EXPECT_EQ(zvol.text("snapshots_changed"), "");
  EXPECT_EQ(*(*found)[0].marks.find("owner"), "fleet");
}

TEST(ReadDatasets, RefusesRowsOfAnotherShape) {
  for (const char* bad : {"tank\ttype\tfilesystem\n", "tank type filesystem -\n", "tank\ttype\tvolume\t-\textra\n",
                          "\ttype\tvolume\t-\n", "tank\ttype\tbookmark\t-\n", "tank\tcompression\ton\tlocal\n"}) {
    const auto found = read_datasets(bad);
    ASSERT_FALSE(found.ok()) << bad;
    EXPECT_EQ(found.error().kind, ErrorKind::kMalformed);
  }
}

TEST(ReadSnapshots, KeepsTheOrderTheyWereTakenIn) {
  auto found = read_datasets(kRows);
  ASSERT_TRUE(found.ok());
  const Status added = read_snapshots("tank/vm-1-disk-0@z\ntank/vm-1-disk-0@a\ntank/other@x\n", *found);
  ASSERT_TRUE(added.ok());
  EXPECT_THAT((*found)[1].snapshots, ElementsAre("z", "a"));
  EXPECT_FALSE(read_snapshots("tank/vm-1-disk-0\n", *found).ok());
}

TEST(ReadDate, IsUtc) {
  EXPECT_EQ(read_date("Sun Nov  8 00:24:01 2026"), 1794097441);
  EXPECT_EQ(read_date("Thu Jan  1 00:00:00 1970"), 0);
  EXPECT_EQ(read_date("Sun Foo  8 00:24:01 2026"), std::nullopt);
  EXPECT_EQ(read_date("Sun Feb 30 00:24:01 2026"), std::nullopt);
  EXPECT_EQ(read_date("soon"), std::nullopt);
}

constexpr std::string_view kNode =
    "@@ node\npve1.lab\n\n@@= 0\n"
    "@@ kernel\n6.17.9-1-pve\n\n@@= 0\n"
    "@@ zfs-version\n2.3.4-pve1\n\n@@= 0\n"
    "@@ datasets\ntank\ttype\tfilesystem\t-\ntank\tguid\t1\t-\n\n@@= 0\n"
    "@@ snapshots\n\n@@= 0\n"
    "@@ pools\ntank\t1000\t400\t600\t12\t40\tDEGRADED\ngone\t-\t-\t-\t-\t-\tSUSPENDED\n\n@@= 0\n"
    "@@ pool-properties\ntank\tautotrim\ton\ntank\treadonly\toff\n\n@@= 0\n"
    "@@ vdevs\npool\ttank\nroot-0\tashift\t-\nmirror-0\tashift\t12\nsda3\tashift\t12\nsdb3\tashift\t12\n"
    "mirror-1\tashift\t9\nnvme0n1p1\tashift\t9\nnvme1n1p1\tashift\t9\n\n@@= 0\n"
    "@@ status\n  pool: tank\n state: DEGRADED\n  scan: scrub repaired 0 in 00:10:00 with 0 errors on Sun Nov  8 "
    "00:24:01 "
    "2026\nconfig:\n\n\tNAME           STATE     READ WRITE CKSUM\n\ttank           DEGRADED     0     0     0\n"
    "\t  mirror-0     DEGRADED     0     0     0\n"
    "\t    /dev/sda3  ONLINE       0     0     0  (100% trimmed, completed at Sun Nov  8 00:24:02 2026)\n"
    "\t    replacing-1  DEGRADED  0  0  0\n"
    "\t      /dev/old  REMOVED  0  0  0  (100% trimmed, completed at Sun Nov  8 00:24:01 2026)\n"
    "\t      /dev/sdb3  ONLINE  0  0  0  (100% trimmed, completed at Sun Nov  8 00:24:03 2026)\n"
    "\tspecial\n\t  mirror-1     ONLINE       0     0     0\n"
    "\t    /dev/nvme0n1p1  ONLINE  0 0 0  (100% trimmed, completed at Sun Nov  8 00:25:03 2026)\n"
    "\t    /dev/nvme1n1p1  ONLINE  0 0 0  (100% trimmed, completed at Sun Nov  8 00:25:03 2026)\n"
    "\tlogs\n\t  /dev/sdx  ONLINE  0 0 0  (100% trimmed, completed at Sun Nov  8 00:25:03 2026)\n"
    "\tspares\n\t  /dev/sdy  AVAIL\n\nerrors: 2 data errors, use '-v' for a list\n\n@@= 0\n"
    "@@ mounts\n/ rpool/ROOT/pve-1 zfs\n/mnt/a\\x20b /dev/sdz1 ext4\n\n@@= 0\n"
    "@@ swaps\nFilename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/dev/zd0                                "
    "partition\t8388604\t0\t-2\n"
    "/dev/zram0                              partition\t100\t0\t100\n/swapfile file 4 0 -3\n\n@@= 0\n"
    "@@ memory\nMemTotal:       65536000 kB\nMemFree: 1 kB\n\n@@= 0\n"
    "@@ arc\n13 1 0x01 147 39984 1 2\nname type data\nsize                            4    900\nc_min 4 100\nc_max 4 "
    "1000\n\n@@= 0\n"
    "@@ parameters\n/sys/module/zfs/parameters/zfs_arc_max:0\n/sys/module/zfs/parameters/zfs_txg_timeout:5\n\n@@= 0\n"
    "@@ modprobe\n/etc/modprobe.d/a.conf:options zfs zfs_arc_max=1000 zfs_arc_min=1\n/etc/modprobe.d/kvm.conf:options "
    "kvm ignore_msrs=1\n\n@@= 0\n"
    "@@ disks\n/dev/sda disk 1 2000\n/dev/sda3 part 1 1900\n/dev/sdb3 part 1 1800\n/dev/old part 0 "
    "1700\n/dev/nvme0n1p1 part 0 500\n"
    "/dev/nvme1n1p1 part 0 400\n/dev/sdx disk 0 10\n\n@@= 0\n"
    "@@ timers\nfstrim.timer enabled enabled\nlogrotate.timer enabled "
    "enabled\nfstrim.timer\nzfs-trim-weekly@tank.timer\n\n"
    "@@= 0\n"
    "@@ cron\n/etc/cron.d/zfsutils-linux\n\n@@= 0\n"
    "@@ tools\nperl\nzfs\n\n@@= 0\n"
    "@@ end\n@@= 0\n";

TEST(ReadHost, KnowsPoolsVdevsAndTheSystem) {
  const auto host = read_host(kNode);
  ASSERT_TRUE(host.ok()) << host.error().message;
  EXPECT_THAT(host->gaps, IsEmpty());
  EXPECT_EQ(host->node, "pve1");
  EXPECT_EQ(host->zfs_version, "2.3.4");
  EXPECT_EQ(host->memory, 65536000_KiB);
  const LiveZpool* tank = host->zpool("tank");
  ASSERT_NE(tank, nullptr);
  EXPECT_EQ(tank->health, "DEGRADED");
  EXPECT_EQ(tank->capacity, 40U);
  EXPECT_TRUE(tank->autotrim);
  EXPECT_EQ(tank->last_scrub, 1794097441);
  EXPECT_EQ(tank->last_trim, 1794097441) << "the oldest of all devices counts";
  EXPECT_EQ(tank->errors, "2 data errors, use '-v' for a list");
  ASSERT_EQ(tank->vdevs.size(), 4U);
  EXPECT_EQ(tank->vdevs[0].kind, "mirror");
  EXPECT_THAT(tank->vdevs[0].devices, ElementsAre("/dev/sda3", "/dev/old", "/dev/sdb3"));
  EXPECT_EQ(tank->vdevs[0].ashift, 12U);
  EXPECT_EQ(tank->vdevs[0].media, Media::kHdd) << "one slow disk makes the vdev slow";
  EXPECT_EQ(tank->vdevs[0].smallest_device, ByteSize{1700});
  EXPECT_EQ(tank->vdevs[1].role, VdevClass::kSpecial);
  EXPECT_EQ(tank->vdevs[1].ashift, 9U);
  EXPECT_EQ(tank->vdevs[1].media, Media::kSsd);
  EXPECT_EQ(tank->vdevs[2].role, VdevClass::kLog);
  EXPECT_EQ(tank->vdevs[2].kind, "disk");
  EXPECT_EQ(tank->vdevs[3].role, VdevClass::kSpare);
  EXPECT_EQ(tank->vdevs[3].media, Media::kUnknown);
  const LiveZpool* gone = host->zpool("gone");
  ASSERT_NE(gone, nullptr);
  EXPECT_EQ(gone->capacity, std::nullopt);
  EXPECT_EQ(host->arc_max, ByteSize{1000});
  EXPECT_EQ(*host->zfs_parameters.find("zfs_txg_timeout"), "5");
  EXPECT_EQ(host->modprobe_options.size(), 2U);
  EXPECT_THAT(host->trim_timers,
              ElementsAre("/etc/cron.d/zfsutils-linux", "fstrim.timer", "zfs-trim-weekly@tank.timer"))
      << "an instance shows by its link alone";
  ASSERT_EQ(host->modprobe.size(), 2U);
  EXPECT_EQ(host->modprobe[1].file, "/etc/modprobe.d/a.conf");
  EXPECT_EQ(host->modprobe[1].name, "zfs_arc_min");
  ASSERT_EQ(host->swaps.size(), 3U);
  EXPECT_TRUE(host->swaps[0].on_zfs);
  EXPECT_FALSE(host->swaps[1].on_zfs);
  EXPECT_TRUE(host->swaps[2].on_zfs) << "a swap file on a zfs root";
  ASSERT_EQ(host->mounts.size(), 2U);
  EXPECT_EQ(host->mounts[1].target, "/mnt/a b");
}

TEST(ReadHost, TheScriptForSettingsLeavesDatasetsOutAndKeepsTheFunctions) {
  const std::string script = settings_script(kReadHostScript);
  EXPECT_THAT(script, HasSubstr("\nenabled_timers() {\n"));
  EXPECT_THAT(script, HasSubstr("\npart modprobe modprobe_options\n"));
  EXPECT_THAT(script, HasSubstr("@@ end"));
  EXPECT_THAT(script, ::testing::Not(HasSubstr("\npart datasets")));
  EXPECT_THAT(script, ::testing::Not(HasSubstr("\npart snapshots")));
}

TEST(ReadHost, WhatIsMissingIsAGapAndNoFailure) {
  const auto host = read_host(
      "@@ node\npve2\n\n@@= 0\n@@ zfs-version\n2.3.4\n\n@@= 0\n@@ pools\nwhat is this\n\n@@= 0\n"
      "@@ datasets\n\n@@= 1\n@@ memory\nMemTotal: 4 kB\n\n@@= 0\n@@ end\n@@= 0\n");
  ASSERT_TRUE(host.ok()) << host.error().message;
  EXPECT_EQ(host->memory, 4_KiB);
  EXPECT_THAT(host->gaps, Contains(HasSubstr("its datasets could not be read")));
  EXPECT_THAT(host->gaps, Contains(HasSubstr("unexpected row \"what is this\"")));
}

TEST(ReadHost, ANodeWithoutZfsHasNoGapsForIt) {
  const auto host = read_host(
      "@@ node\npve3\n\n@@= 0\n@@ zfs-version\n\n@@= 1\n@@ datasets\n\n@@= 127\n@@ mounts\n/ /dev/sda1 ext4\n\n@@= 0\n"
      "@@ swaps\n\n@@= 0\n@@ memory\nMemTotal: 4 kB\n\n@@= 0\n@@ timers\n\n@@= 0\n@@ cron\n\n@@= 0\n@@ tools\n\n@@= 0\n"
      "@@ end\n@@= 0\n");
  ASSERT_TRUE(host.ok()) << host.error().message;
  EXPECT_THAT(host->gaps, IsEmpty());
  EXPECT_EQ(host->zfs_version, "");
}

TEST(ReadHost, AnAnswerThatWasCutIsRefused) {
  const auto half = read_host(kNode.substr(0, kNode.size() / 2));
  ASSERT_FALSE(half.ok());
  EXPECT_EQ(half.error().kind, ErrorKind::kMalformed);
  EXPECT_FALSE(read_host("Welcome to pve1!\n").ok());
}

}  // namespace
}  // namespace pvr
