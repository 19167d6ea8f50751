#include "reconciler/policy/disk_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "reconciler/model/guest_options.h"
#include "reconciler/policy/guest_rules.h"
#include "reconciler/policy/storage_rules.h"
#include "reconciler/policy/zvol_rules.h"

// The rule tables alone, over the whole cross product of facts.

namespace pvr {
namespace {

constexpr StorageKind kKinds[] = {StorageKind::kUnknown,   StorageKind::kZfsZvol,       StorageKind::kZfsFile,
                                  StorageKind::kLvmThick,  StorageKind::kLvmThickChain, StorageKind::kLvmThin,
                                  StorageKind::kFile,      StorageKind::kBtrfs,         StorageKind::kNfs,
                                  StorageKind::kCifs,      StorageKind::kIscsiLun,      StorageKind::kRbd,
                                  StorageKind::kRbdKernel, StorageKind::kZfsOverIscsi,  StorageKind::kDevice};
constexpr Purpose kPurposes[] = {Purpose::kOs,     Purpose::kData,  Purpose::kDatabase, Purpose::kBulk,
                                 Purpose::kModels, Purpose::kMedia, Purpose::kBackup,   Purpose::kScratch};

template <class F>
void for_all_disks(F visit) {
  for (const StorageKind kind : kKinds)
    for (const Purpose purpose : kPurposes)
      for (const Bus bus : {Bus::kScsi, Bus::kVirtio, Bus::kSata, Bus::kIde, Bus::kEfi, Bus::kTpm})
        for (const Mobility mobility : {Mobility::kMobile, Mobility::kPinned})
          for (const GuestOs os : {GuestOs::kLinux, GuestOs::kWindows})
            for (const Media media : {Media::kUnknown, Media::kSsd, Media::kHdd})
              for (const std::string_view format : {"raw", "qcow2"})
                for (const int pve : {0, 8, 9})
                  for (const unsigned bits : {0U, 1U, 2U, 3U, 4U, 5U, 6U, 7U}) {
                    DiskFacts facts;
                    facts.kind = kind;
                    facts.purpose = purpose;
                    facts.bus = bus;
                    facts.mobility = mobility;
                    facts.os = os;
                    facts.media = media;
                    facts.format = format;
                    facts.pve_major = pve;
                    facts.disposable = (bits & 1U) != 0;
                    facts.shared = (bits & 2U) != 0;
                    facts.single_controller = (bits & 4U) != 0;
                    visit(facts);
                  }
}

/// The settings a disk gets when nobody states any.
DiskSettings defaults_for(const DiskFacts& facts) {
  DiskSettings settings;
  if (const auto* row = choose(kCacheDefaults, facts)) settings.cache = row->value;
  if (const auto* row = choose(kAioDefaults, facts)) settings.aio = row->value;
  if (const auto* row = choose(kIothreadDefaults, facts)) settings.iothread = row->value;
  settings.scsihw = facts.single_controller ? "virtio-scsi-single" : "virtio-scsi-pci";
  return settings;
}

TEST(DiskRules, DefaultsNeverBreakAnInvariant) {
  for_all_disks([](const DiskFacts& facts) {
    const DiskSettings settings = defaults_for(facts);
    for (const DiskInvariant& row : kDiskInvariants) {
      ASSERT_FALSE(row.broken(facts, settings)) << row.id << " on " << to_text(facts.kind) << " " << facts.format;
    }
    if (const auto* row = choose(kVolblocksizeDefaults, facts)) {
      for (const auto& invariant : kZvolInvariants) {
        ASSERT_FALSE(invariant.broken(facts, {.volblocksize = row->value, .sync = "standard"})) << invariant.id;
      }
    }
  });
}

TEST(DiskRules, EveryDefaultRowWinsSomewhere) {
  std::set<const void*> winners;
  const auto won = [&winners](const auto* row) {
    if (row != nullptr) winners.insert(row);
  };
  for_all_disks([&](const DiskFacts& facts) {
    won(choose(kCacheDefaults, facts));
    won(choose(kAioDefaults, facts));
    won(choose(kIothreadDefaults, facts));
    won(choose(kDiscardDefaults, facts));
    won(choose(kSsdDefaults, facts));
    won(choose(kVolblocksizeDefaults, facts));
    won(choose(kProvisioningDefaults, facts));
    won(choose(kSyncDefaults, facts));
    won(choose(kLogbiasDefaults, facts));
    won(choose(kCompressionDefaults, facts));
    won(choose(kPrimarycacheDefaults, facts));
  });
  const auto expect_all = [&winners](const auto& table) {
    for (const auto& row : table) EXPECT_TRUE(winners.contains(&row)) << row.id << ": " << row.why;
  };
  expect_all(kCacheDefaults);
  expect_all(kAioDefaults);
  expect_all(kIothreadDefaults);
  expect_all(kDiscardDefaults);
  expect_all(kSsdDefaults);
  expect_all(kVolblocksizeDefaults);
  expect_all(kProvisioningDefaults);
  expect_all(kSyncDefaults);
  expect_all(kLogbiasDefaults);
  expect_all(kCompressionDefaults);
  expect_all(kPrimarycacheDefaults);
}

/// Which rows of a table held and which were broken at least once.
template <class Row, std::size_t N>
class Coverage {
 public:
  explicit Coverage(const Row (&table)[N]) : table_(table) {}
  template <class F, class S>
  void see(const F& facts, const S& settings) {
    for (std::size_t i = 0; i < N; ++i) {
      if constexpr (requires { table_[i].broken; }) {
        (table_[i].broken(facts, settings) ? met_ : unmet_)[i] = true;
      } else {
        (table_[i].applies(facts, settings) ? met_ : unmet_)[i] = true;
      }
    }
  }
  void expect_both() const {
    for (std::size_t i = 0; i < N; ++i) {
      EXPECT_TRUE(met_[i]) << table_[i].id << " can never be met: " << table_[i].why;
      EXPECT_TRUE(unmet_[i]) << table_[i].id << " always is: " << table_[i].why;
    }
  }

 private:
  const Row (&table_)[N];
  bool met_[N] = {};
  bool unmet_[N] = {};
};

TEST(DiskRules, EveryInvariantAndWarningIsMetSomewhereAndNotEverywhere) {
  Coverage invariants(kDiskInvariants);
  Coverage warnings(kDiskWarnings);
  Coverage zvol_invariants(kZvolInvariants);
  Coverage zvol_warnings(kZvolWarnings);
  for_all_disks([&](const DiskFacts& facts) {
    // Facts these tables do not look at are left at one value.
    if (!is_disk_bus(facts.bus) || facts.media != Media::kUnknown || facts.pve_major == 0) return;
    for (const CacheMode cache : {CacheMode::kNone, CacheMode::kWriteback, CacheMode::kUnsafe}) {
      for (const AioMode aio : {AioMode::kNative, AioMode::kThreads, AioMode::kIoUring}) {
        const DiskSettings settings{.cache = cache,
                                    .aio = aio,
                                    .iothread = true,
                                    .new_volume = facts.disposable,
                                    .scsihw = facts.single_controller ? "virtio-scsi-single" : "lsi"};
        invariants.see(facts, settings);
        warnings.see(facts, settings);
      }
    }
    if (facts.kind != StorageKind::kZfsZvol) return;
    for (const ByteSize size : {ByteSize{1000}, ByteSize{512}, 8_KiB, 256_KiB}) {
      for (const StatedBy by : {StatedBy::kShared, StatedBy::kDisk}) {
        for (const std::string_view sync : {"standard", "always", "disabled"}) {
          const bool odd = sync == "always";
          const ZvolSettings settings{.volblocksize = size,
                                      .volblocksize_by = by,
                                      .sync = sync,
                                      .logbias = odd ? "throughput" : "latency",
                                      .primarycache = odd ? "metadata" : "all"};
          zvol_invariants.see(facts, settings);
          zvol_warnings.see(facts, settings);
        }
      }
    }
  });
  invariants.expect_both();
  warnings.expect_both();
  zvol_invariants.expect_both();
  zvol_warnings.expect_both();
}

TEST(DiskRules, PageCacheNeverOnZfsOrForAGuestThatMoves) {
  for_all_disks([](const DiskFacts& facts) {
    const auto* row = choose(kCacheDefaults, facts);
    if (row == nullptr) return;
    if (is_zfs(facts.kind) || facts.shared || facts.mobility == Mobility::kMobile) {
      ASSERT_EQ(row->value, CacheMode::kNone);
    }
  });
}

TEST(DiskRules, NativeOnlyOnRawBlockStorage) {
  // Written out by hand, not computed by the predicate under test.
  const std::set<StorageKind> raw_block = {StorageKind::kIscsiLun, StorageKind::kLvmThick, StorageKind::kDevice,
                                           StorageKind::kRbd, StorageKind::kRbdKernel};
  for (const StorageKind kind : kKinds) {
    for (const CacheMode cache : {CacheMode::kNone, CacheMode::kDirectsync, CacheMode::kWriteback}) {
      DiskFacts facts;
      facts.kind = kind;
      facts.mobility = Mobility::kPinned;
      const DiskSettings settings{.cache = cache, .aio = AioMode::kNative};
      bool refused = false;
      for (const auto& row : kDiskInvariants) refused = refused || (row.key == "aio" && row.broken(facts, settings));
      EXPECT_EQ(refused, !raw_block.contains(kind) || cache == CacheMode::kWriteback)
          << to_text(kind) << " " << to_text(cache);
    }
  }
}

struct UnsetAio {
  StorageKind kind;
  std::optional<AioMode> direct;
  std::optional<AioMode> buffered;
};

TEST(EffectiveAio, IsWhatPveDoes) {
  using enum AioMode;
  using enum StorageKind;
  const UnsetAio table[] = {{kLvmThick, kNative, kThreads},
                            {kLvmThickChain, kNative, kThreads},
                            {kCifs, kNative, kThreads},
                            {kRbdKernel, kIoUring, kThreads},
                            {kRbd, {}, {}},
                            {kZfsOverIscsi, {}, {}},
                            {kZfsZvol, kIoUring, kIoUring},
                            {kLvmThin, kIoUring, kIoUring},
                            {kFile, kIoUring, kIoUring},
                            {kZfsFile, kIoUring, kIoUring},
                            {kNfs, kIoUring, kIoUring},
                            {kBtrfs, kIoUring, kIoUring},
                            {kIscsiLun, kIoUring, kIoUring},
                            {kDevice, kIoUring, kIoUring}};
  for (const UnsetAio& row : table) {
    EXPECT_EQ(effective_aio(row.kind, "raw", CacheMode::kNone), row.direct) << to_text(row.kind);
    EXPECT_EQ(effective_aio(row.kind, "raw", CacheMode::kDirectsync), row.direct) << to_text(row.kind);
    EXPECT_EQ(effective_aio(row.kind, "raw", CacheMode::kWriteback), row.buffered) << to_text(row.kind);
  }
}

TEST(EffectiveAio, AnUnsetAioThatIsWantedUnsetNeverBreaksARule) {
  for_all_disks([](const DiskFacts& facts) {
    const AioDefault* row = choose(kAioDefaults, facts);
    // Old PVE on a volume chain is the one place where neither choice is right; the rule says so.
    if (row == nullptr || row->value || (facts.kind == StorageKind::kLvmThickChain && facts.pve_major == 8)) return;
    if (facts.format != "raw" && facts.kind == StorageKind::kLvmThick)
      return;  // cannot exist: no qcow2 without a chain
    const auto* cache = choose(kCacheDefaults, facts);
    const auto effective = effective_aio(facts.kind, facts.format, cache->value);
    if (facts.kind == StorageKind::kCifs) return;  // PVE's own choice, which nobody can better
    const DiskSettings settings{.cache = cache->value, .aio = effective};
    for (const auto& invariant : kDiskInvariants)
      ASSERT_FALSE(invariant.broken(facts, settings)) << invariant.id << " " << to_text(facts.kind);
  });
}

}  // namespace
}  // namespace pvr
