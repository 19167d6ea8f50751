#include "reconciler/policy/zvol_rules.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace pvr {
namespace {

using enum Severity;

constexpr Check<ZvolFacts> kZvolChecks[] = {
    {.id = "Z2",
     .severity = kWarning,
     .found = [](const ZvolFacts& z) { return block_size_step(z) == BlockSizeStep::kRecreateOrMove; },
     .say =
         [](const ZvolFacts& z) {
           return fmt::format("{} has volblocksize {}, wanted is {}; it cannot change on a living zvol", z.name,
                              to_text(*z.volblocksize), to_text(*z.wanted_volblocksize));
         },
     .fix = [](const ZvolFacts&) -> std::string {
       return "move the disk to a storage of that blocksize, or recreate the zvol";
     },
     .why = "volblocksize is fixed when the zvol is made",
     .source = "S0, S1"},
    {.id = "Z2",
     .severity = kNotice,
     .found = [](const ZvolFacts& z) { return block_size_step(z) == BlockSizeStep::kFinding; },
     .say =
         [](const ZvolFacts& z) {
           return fmt::format("{} has volblocksize {}, the default for it is {}", z.name, to_text(*z.volblocksize),
                              to_text(*z.wanted_volblocksize));
         },
     .fix =
         [](const ZvolFacts& z) {
           return fmt::format("state volblocksize: {} on the disk if it is worth a copy",
                              to_text(*z.wanted_volblocksize));
         },
     .why = "an OS disk is not copied for a mere default",
     .source = "S0, S1"},
    {.id = "Z3",
     .severity = kNotice,
     .found = [](const ZvolFacts& z) { return z.refreservation && z.refreservation->bytes != 0 && !z.thick_wanted; },
     .say =
         [](const ZvolFacts& z) {
           return fmt::format("{} is thick: {} are set aside for it", z.name, to_human(*z.refreservation));
         },
     .fix = [](const ZvolFacts& z) { return fmt::format("zfs set refreservation=none {}", z.name); },
     .why = "a reservation only takes room from others; clearing it copies nothing",
     .source = "S0, S1"},
    {.id = "Z5",
     .severity = kError,
     .found =
         [](const ZvolFacts& z) { return z.sync == "disabled" && !(z.purpose == Purpose::kScratch && z.disposable); },
     .say =
         [](const ZvolFacts& z) {
           return fmt::format("{} has sync=disabled: writes the guest was told are safe can be lost", z.name);
         },
     .fix = [](const ZvolFacts& z) { return fmt::format("zfs set sync=standard {}", z.name); },
     .why = "only a disposable scratch disk may lose what it confirmed",
     .source = "S0, S1"},
    {.id = "Z5",
     .severity = kWarning,
     .found = [](const ZvolFacts& z) { return z.sync == "always"; },
     .say = [](const ZvolFacts& z) { return fmt::format("{} has sync=always: every write waits for the log", z.name); },
     .fix = [](const ZvolFacts& z) { return fmt::format("zfs set sync=standard {}", z.name); },
     .why = "guests flush where it matters",
     .source = "S0, S1"},
    {.id = "Z6",
     .severity = kNotice,
     .found =
         [](const ZvolFacts& z) {
           return z.logbias == "throughput" && z.purpose != Purpose::kBulk && z.purpose != Purpose::kMedia;
         },
     .say = [](const ZvolFacts& z) { return fmt::format("{} has logbias=throughput", z.name); },
     .fix = [](const ZvolFacts& z) { return fmt::format("zfs set logbias=latency {}", z.name); },
     .why = "throughput passes the log device; it is for bulk and media",
     .source = "S1"},
    {.id = "Z6",
     .severity = kNotice,
     .found = [](const ZvolFacts& z) { return z.compression == "off"; },
     .say = [](const ZvolFacts& z) { return fmt::format("{} is not compressed", z.name); },
     .fix = [](const ZvolFacts& z) { return fmt::format("zfs set compression=lz4 {}", z.name); },
     .why = "lz4 costs next to nothing; without compression zeroes are stored, too",
     .source = "S0, S1"},
    {.id = "Z6",
     .severity = kNotice,
     .found = [](const ZvolFacts& z) { return z.primarycache == "metadata" || z.primarycache == "none"; },
     .say =
         [](const ZvolFacts& z) {
           return fmt::format("{} has primarycache={}: reads do not come from the ARC", z.name, z.primarycache);
         },
     .fix = [](const ZvolFacts& z) { return fmt::format("zfs set primarycache=all {}", z.name); },
     .why = "the ARC is the read cache of a disk with cache=none",
     .source = "S0, S1"},
    {.id = "Z15",
     .severity = kWarning,
     .found = [](const ZvolFacts& z) { return !z.volmode.empty() && z.volmode != "default" && z.volmode != "dev"; },
     .say = [](const ZvolFacts& z) { return fmt::format("{} has volmode={}", z.name, z.volmode); },
     .fix = [](const ZvolFacts& z) { return fmt::format("zfs set volmode=default {}", z.name); },
     .why = "VM disks are whole devices: the host must neither hide them nor look for partitions in them",
     .source = "S1"},
};
static_assert(well_formed(kZvolChecks));

int efficiency_percent(const PoolFacts& p, ByteSize block) {
  return static_cast<int>(std::lround(space_efficiency(block, p.shape) * 100.0));
}
std::string raidz_name(const PoolFacts& p) { return fmt::format("RAIDZ{} of {} disks", p.shape.parity, p.shape.width); }

constexpr Check<PoolFacts> kPoolChecks[] = {
    {.id = "Z7",
     .severity = kNotice,
     .found = [](const PoolFacts& p) { return p.atime == "on"; },
     .say = [](const PoolFacts& p) { return fmt::format("{} writes access times", p.name); },
     .fix = [](const PoolFacts& p) { return fmt::format("zfs set atime=off {}", p.name); },
     .why = "every read of a file costs a write",
     .source = "S1"},
    {.id = "Z7",
     .severity = kNotice,
     .found = [](const PoolFacts& p) { return !p.xattr.empty() && p.xattr != "sa"; },
     .say = [](const PoolFacts& p) { return fmt::format("{} has xattr={}", p.name, p.xattr); },
     .fix = [](const PoolFacts& p) { return fmt::format("zfs set xattr=sa {}", p.name); },
     .why = "extended attributes in the inode save a seek each",
     .source = "S1"},
    {.id = "Z7",
     .severity = kNotice,
     .found = [](const PoolFacts& p) { return !p.dnodesize.empty() && p.dnodesize != "auto"; },
     .say = [](const PoolFacts& p) { return fmt::format("{} has dnodesize={}", p.name, p.dnodesize); },
     .fix = [](const PoolFacts& p) { return fmt::format("zfs set dnodesize=auto {}", p.name); },
     .why = "attributes in the inode need room there",
     .source = "S1"},
    {.id = "Z7",
     .severity = kNotice,
     .found = [](const PoolFacts& p) { return p.holds_vm_disks && p.recordsize && *p.recordsize != 128_KiB; },
     .say =
         [](const PoolFacts& p) {
           return fmt::format("{} has recordsize {}, which zvols do not use", p.name, to_text(*p.recordsize));
         },
     .fix = [](const PoolFacts&) -> std::string {
       return "nothing to do for VM disks: their block size is volblocksize";
     },
     .why = "recordsize is about files, not about volumes",
     .source = "S0"},
    {.id = "Z8",
     .severity = kWarning,
     .found = [](const PoolFacts& p) { return p.ashift && *p.ashift != 12; },
     .say = [](const PoolFacts& p) { return fmt::format("{} has ashift {}, expected is 12", p.name, *p.ashift); },
     .fix = [](const PoolFacts&) -> std::string {
       return "ashift never changes: only a new pool can have another one";
     },
     .why = "drives write sectors of 4 KiB, whatever they report",
     .source = "S0, S1"},
    {.id = "Z9",
     .severity = kWarning,
     .found =
         [](const PoolFacts& p) { return p.holds_vm_disks && p.layout == PoolLayout::kRaidz && p.shape.parity > 0; },
     .say =
         [](const PoolFacts& p) {
           const RaidzBlock block = raidz_block(p.blocksize, p.shape);
           return fmt::format(
               "VM disks on {} ({}): a {} block takes {} data + {} parity + {} padding sectors, so {} % of the raw "
               "space "
               "holds data ({} % with large blocks), and each vdev has the IOPS of one disk",
               p.name, raidz_name(p), to_text(p.blocksize), block.data, block.parity, block.padding,
               efficiency_percent(p, p.blocksize), efficiency_percent(p, 1_MiB));
         },
     .fix = [](const PoolFacts&) -> std::string { return "mirrors for VM disks; larger blocks for bulk data"; },
     .why = "small blocks pay parity and padding, and a raidz vdev seeks like one disk",
     .source = "S1"},
    {.id = "Z9",
     .severity = kWarning,
     .found =
         [](const PoolFacts& p) {
           return p.layout == PoolLayout::kRaidz && p.shape.parity == 1 && p.drive_size &&
                  p.drive_size->bytes > 2'000'000'000'000ULL;
         },
     .say =
         [](const PoolFacts& p) {
           return fmt::format("{} is RAIDZ1 on drives of {}", p.name, to_human(*p.drive_size));
         },
     .fix = [](const PoolFacts&) -> std::string { return "mirrors or RAIDZ2"; },
     .why = "a second drive fails too often while such a drive is rebuilt",
     .source = "S1"},
    {.id = "Z9",
     .severity = kWarning,
     .found = [](const PoolFacts& p) { return p.layout == PoolLayout::kSingle; },
     .say =
         [](const PoolFacts& p) {
           return fmt::format("{} has a vdev of a single disk: its loss is the loss of the pool", p.name);
         },
     .fix = [](const PoolFacts& p) { return fmt::format("zpool attach {} DISK NEW-DISK", p.name); },
     .why = "no redundancy",
     .source = "S1"},
    {.id = "Z10",
     .severity = kError,
     .found = [](const PoolFacts& p) { return p.used_percent && *p.used_percent >= kCapacityRefuse; },
     .say =
         [](const PoolFacts& p) {
           return fmt::format("{} is {} % full: nothing that adds data is done there unless forced", p.name,
                              *p.used_percent);
         },
     .fix = [](const PoolFacts&) -> std::string { return "free space or move disks away first"; },
     .why = "ZFS writes slow down sharply and fragment on a full pool",
     .source = "S0, S1"},
    {.id = "Z10",
     .severity = kWarning,
     .found =
         [](const PoolFacts& p) {
           return p.used_percent && *p.used_percent >= kCapacityWarn && *p.used_percent < kCapacityRefuse;
         },
     .say =
         [](const PoolFacts& p) {
           return fmt::format("{} is {} % full{}", p.name, *p.used_percent,
                              *p.used_percent >= kCapacityStrong ? ": act now" : "");
         },
     .fix = [](const PoolFacts&) -> std::string { return "free space or move disks away"; },
     .why = "from 80 % on free space is fragmented",
     .source = "S0, S1"},
    {.id = "Z11",
     .severity = kWarning,
     .found = [](const PoolFacts& p) { return p.media == Media::kSsd && p.autotrim == false && p.trim_timer == false; },
     .say =
         [](const PoolFacts& p) {
           return fmt::format("nothing trims the SSDs of {}: autotrim is off and there is no timer", p.name);
         },
     .fix = [](const PoolFacts& p) { return fmt::format("systemctl enable --now zfs-trim-monthly@{}.timer", p.name); },
     .why = "the guest's discards end inside ZFS",
     .source = "S0"},
    {.id = "Z12",
     .severity = kWarning,
     .found = [](const PoolFacts& p) { return p.has_slog && p.slog_plp == false; },
     .say = [](const PoolFacts& p) { return fmt::format("the log device of {} has no power-loss protection", p.name); },
     .fix = [](const PoolFacts&) -> std::string { return "an SSD with power-loss protection, or no log device"; },
     .why = "it can lose the very writes it is there for",
     .source = "S0"},
    {.id = "Z12",
     .severity = kWarning,
     .found = [](const PoolFacts& p) { return p.has_slog && p.slog_mirrored == false; },
     .say = [](const PoolFacts& p) { return fmt::format("the log device of {} is not mirrored", p.name); },
     .fix = [](const PoolFacts& p) { return fmt::format("zpool attach {} LOG NEW-LOG", p.name); },
     .why = "a log that dies together with the host loses confirmed writes",
     .source = "S1"},
    {.id = "Z12",
     .severity = kError,
     .found = [](const PoolFacts& p) { return p.has_special && p.special_mirrored == false; },
     .say =
         [](const PoolFacts& p) {
           return fmt::format("the special vdev of {} is not mirrored: its loss is the loss of the pool", p.name);
         },
     .fix = [](const PoolFacts& p) { return fmt::format("zpool attach {} SPECIAL NEW-SPECIAL", p.name); },
     .why = "all metadata lies there",
     .source = "S1"},
};
static_assert(well_formed(kPoolChecks));

constexpr Check<DatasetFacts> kDatasetChecks[] = {
    {.id = "Z7",
     .severity = kNotice,
     .found =
         [](const DatasetFacts& d) {
           return d.use == DatasetUse::kContainers && d.recordsize && *d.recordsize != 128_KiB;
         },
     .say =
         [](const DatasetFacts& d) {
           return fmt::format("{} holds containers and has recordsize {}", d.name, to_text(*d.recordsize));
         },
     .fix = [](const DatasetFacts& d) { return fmt::format("zfs set recordsize=128K {}", d.name); },
     .why = "128k suits the files of a container",
     .source = "S1"},
    {.id = "Z7",
     .severity = kNotice,
     .found =
         [](const DatasetFacts& d) { return d.use == DatasetUse::kBackups && d.recordsize && *d.recordsize != 1_MiB; },
     .say =
         [](const DatasetFacts& d) {
           return fmt::format("{} holds backups and has recordsize {}", d.name, to_text(*d.recordsize));
         },
     .fix = [](const DatasetFacts& d) { return fmt::format("zfs set recordsize=1M {}", d.name); },
     .why = "backups are written and read in one go",
     .source = "S1"},
    {.id = "Z6",
     .severity = kNotice,
     .found =
         [](const DatasetFacts& d) {
           return d.use == DatasetUse::kBackups && !d.compression.empty() && !d.compression.starts_with("zstd");
         },
     .say =
         [](const DatasetFacts& d) {
           return fmt::format("{} holds backups and has compression={}", d.name, d.compression);
         },
     .fix = [](const DatasetFacts& d) { return fmt::format("zfs set compression=zstd {}", d.name); },
     .why = "backups are written once: the better ratio is worth the time",
     .source = "S1"},
};
static_assert(well_formed(kDatasetChecks));

std::string gib(ByteSize size) { return fmt::format("{} GiB", (size.bytes + (1U << 29U)) >> 30U); }

constexpr Check<HostFacts> kHostChecks[] = {
    {.id = "Z13",
     .severity = kWarning,
     .found = [](const HostFacts& h) { return !memory_fits(h); },
     .say =
         [](const HostFacts& h) {
           return fmt::format("{}: guests {} + ARC {} + system {} exceed the {} of memory", h.name, gib(h.vm_memory),
                              gib(h.arc_max.value_or(ByteSize{})), gib(system_memory(h.memory)), gib(h.memory));
         },
     .fix =
         [](const HostFacts& h) {
           return fmt::format("zfs_arc_max={} or fewer guests", recommended_arc(h.memory).low.bytes);
         },
     .why = "what does not fit ends with the kernel killing guests",
     .source = "S1"},
    {.id = "Z13",
     .severity = kNotice,
     .found =
         [](const HostFacts& h) {
           return h.arc_max && h.memory.bytes != 0 &&
                  (*h.arc_max > recommended_arc(h.memory).high || *h.arc_max < recommended_arc(h.memory).low);
         },
     .say =
         [](const HostFacts& h) {
           const ArcRange range = recommended_arc(h.memory);
           return fmt::format(
               "{}: zfs_arc_max is {}, for {} of memory {} is advised", h.name, gib(*h.arc_max), gib(h.memory),
               range.low == range.high ? gib(range.low) : fmt::format("{} to {}", gib(range.low), gib(range.high)));
         },
     .fix =
         [](const HostFacts& h) {
           return fmt::format("options zfs zfs_arc_max={} in /etc/modprobe.d/zfs.conf",
                              recommended_arc(h.memory).low.bytes);
         },
     .why = "a cache that is too large starves guests, one that is too small the disks",
     .source = "S1"},
    {.id = "Z13",
     .severity = kNotice,
     .found = [](const HostFacts& h) { return h.arc_max && h.arc_min && h.arc_min->bytes > h.arc_max->bytes / 4; },
     .say =
         [](const HostFacts& h) {
           return fmt::format("{}: zfs_arc_min is {}, more than a quarter of zfs_arc_max", h.name, gib(*h.arc_min));
         },
     .fix =
         [](const HostFacts& h) {
           return fmt::format("options zfs zfs_arc_min={} in /etc/modprobe.d/zfs.conf", h.arc_max->bytes / 4);
         },
     .why = "the kernel cannot take back what lies below the minimum",
     .source = "S1"},
    {.id = "Z14",
     .severity = kError,
     .found = [](const HostFacts& h) { return h.swap_on_zfs; },
     .say = [](const HostFacts& h) { return fmt::format("{} swaps to ZFS", h.name); },
     .fix = [](const HostFacts&) -> std::string { return "swap on a partition of its own, or none"; },
     .why = "ZFS needs memory to write, just when there is none: the host hangs",
     .source = "S1"},
};
static_assert(well_formed(kHostChecks));

}  // namespace

std::span<const Check<ZvolFacts>> zvol_checks() { return kZvolChecks; }
std::span<const Check<PoolFacts>> pool_checks() { return kPoolChecks; }
std::span<const Check<DatasetFacts>> dataset_checks() { return kDatasetChecks; }
std::span<const Check<HostFacts>> host_checks() { return kHostChecks; }

ArcRange recommended_arc(ByteSize memory) {
  const ArcRange& first = kArcTable[0];
  const ArcRange& last = kArcTable[std::size(kArcTable) - 1];
  const auto scaled = [memory](const ArcRange& row) {
    const double factor = static_cast<double>(memory.bytes) / static_cast<double>(row.memory.bytes);
    const auto times = [factor](ByteSize size) {
      return ByteSize{static_cast<std::uint64_t>(static_cast<double>(size.bytes) * factor)};
    };
    return ArcRange{memory, times(row.low), times(row.high)};
  };
  // "Nearest" by ratio: half-way between two lines lies their geometric mean, 1.41 times the lower one.
  if (memory.bytes * 7 < first.memory.bytes * 5) return scaled(first);
  if (memory.bytes * 5 > last.memory.bytes * 7) return scaled(last);
  const ArcRange* best = &first;
  for (const ArcRange& row : kArcTable) {
    if (memory.bytes * 7 >= row.memory.bytes * 5) best = &row;
  }
  return {memory, best->low, best->high};
}

}  // namespace pvr
