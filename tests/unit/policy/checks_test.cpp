#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <set>

#include "reconciler/policy/disk_rules.h"
#include "reconciler/policy/guest_rules.h"
#include "reconciler/policy/storage_rules.h"
#include "reconciler/policy/zvol_rules.h"
#include "tests/unit/policy/fleet_support.h"

// Rules that judge what exists: pools, zvols, hosts, storages, jobs.

namespace pvr::test {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

template <class F>
std::vector<std::string_view> rules_of(std::span<const Check<F>> table, const F& facts) {
  std::vector<std::string_view> out;
  for (const Judgement& found : run_checks(table, facts)) out.push_back(found.rule);
  return out;
}
template <class F>
Judgement only(std::span<const Check<F>> table, const F& facts) {
  const std::vector<Judgement> found = run_checks(table, facts);
  EXPECT_EQ(found.size(), 1U);
  return found.empty() ? Judgement{} : found.front();
}

/// Fails when a row of the table fires on none of the samples, or on the one that is in order.
template <class F>
void expect_each_row_fires(std::span<const Check<F>> table, const F& in_order, const std::vector<F>& samples) {
  EXPECT_THAT(rules_of(table, in_order), IsEmpty());
  for (const Check<F>& row : table) {
    bool fired = false;
    for (const F& facts : samples) {
      if (!row.found(facts)) continue;
      fired = true;
      EXPECT_FALSE(row.say(facts).empty());
      EXPECT_FALSE(row.fix(facts).empty());
    }
    EXPECT_TRUE(fired) << row.id << ": " << row.why;
  }
}

ZvolFacts zvol(void (*change)(ZvolFacts&)) {
  ZvolFacts facts{.name = "tank/vm-101-disk-0",
                  .purpose = Purpose::kData,
                  .volblocksize = 16_KiB,
                  .wanted_volblocksize = 16_KiB,
                  .refreservation = ByteSize{0},
                  .sync = "standard",
                  .logbias = "latency",
                  .compression = "lz4",
                  .primarycache = "all",
                  .volmode = "default"};
  if (change != nullptr) change(facts);
  return facts;
}

TEST(ZvolChecks, EachRowFires) {
  expect_each_row_fires(
      zvol_checks(), zvol(nullptr),
      {zvol([](ZvolFacts& z) { z.volblocksize = 8_KiB; }), zvol([](ZvolFacts& z) {
         z.volblocksize = 8_KiB;
         z.purpose = Purpose::kOs;
       }),
       zvol([](ZvolFacts& z) { z.refreservation = ByteSize{1092616192}; }),
       zvol([](ZvolFacts& z) { z.sync = "disabled"; }), zvol([](ZvolFacts& z) { z.sync = "always"; }),
       zvol([](ZvolFacts& z) { z.logbias = "throughput"; }), zvol([](ZvolFacts& z) { z.compression = "off"; }),
       zvol([](ZvolFacts& z) { z.primarycache = "metadata"; }), zvol([](ZvolFacts& z) { z.volmode = "none"; })});
}

TEST(ZvolChecks, UnobservedIsNoFinding) {
  EXPECT_THAT(rules_of(zvol_checks(), ZvolFacts{.name = "tank/x"}), IsEmpty());
}

TEST(ZvolChecks, AThickZvolThatIsWantedThickIsInOrder) {
  EXPECT_THAT(rules_of(zvol_checks(), zvol([](ZvolFacts& z) {
                         z.refreservation = ByteSize{1092616192};
                         z.thick_wanted = true;
                       })),
              IsEmpty());
}

TEST(ZvolChecks, AnOsDiskIsNeverRecreatedForADefaultButForAStatedSize) {
  ZvolFacts facts = zvol(nullptr);
  facts.purpose = Purpose::kOs;
  facts.volblocksize = 8_KiB;
  EXPECT_EQ(block_size_step(facts), BlockSizeStep::kFinding);
  facts.wanted_by = StatedBy::kShared;
  EXPECT_EQ(block_size_step(facts), BlockSizeStep::kRecreateOrMove);
  facts.purpose = Purpose::kModels;
  facts.wanted_by = StatedBy::kRule;
  EXPECT_EQ(block_size_step(facts), BlockSizeStep::kRecreateOrMove);
  facts.volblocksize = facts.wanted_volblocksize;
  EXPECT_EQ(block_size_step(facts), BlockSizeStep::kNone);
}

PoolFacts pool(void (*change)(PoolFacts&)) {
  PoolFacts facts{.name = "tank",
                  .layout = PoolLayout::kMirror,
                  .shape = {.width = 2, .parity = 0, .ashift = 12},
                  .media = Media::kSsd,
                  .ashift = 12,
                  .used_percent = 79,
                  .autotrim = false,
                  .trim_timer = true,
                  .atime = "off",
                  .xattr = "sa",
                  .dnodesize = "auto",
                  .recordsize = 128_KiB};
  if (change != nullptr) change(facts);
  return facts;
}

TEST(PoolChecks, EachRowFires) {
  expect_each_row_fires(
      pool_checks(), pool(nullptr),
      {pool([](PoolFacts& p) { p.atime = "on"; }), pool([](PoolFacts& p) { p.xattr = "on"; }),
       pool([](PoolFacts& p) { p.dnodesize = "legacy"; }), pool([](PoolFacts& p) { p.recordsize = 16_KiB; }),
       pool([](PoolFacts& p) { p.ashift = 9; }), pool([](PoolFacts& p) {
         p.layout = PoolLayout::kRaidz;
         p.shape = {.width = 6, .parity = 2, .ashift = 12};
       }),
       pool([](PoolFacts& p) {
         p.layout = PoolLayout::kRaidz;
         p.shape = {.width = 3, .parity = 1, .ashift = 12};
         p.drive_size = ByteSize{4'000'000'000'000};
       }),
       pool([](PoolFacts& p) { p.layout = PoolLayout::kSingle; }), pool([](PoolFacts& p) { p.used_percent = 94; }),
       pool([](PoolFacts& p) { p.used_percent = 80; }), pool([](PoolFacts& p) { p.trim_timer = false; }),
       pool([](PoolFacts& p) {
         p.has_slog = true;
         p.slog_plp = false;
       }),
       pool([](PoolFacts& p) {
         p.has_slog = true;
         p.slog_mirrored = false;
       }),
       pool([](PoolFacts& p) {
         p.has_special = true;
         p.special_mirrored = false;
       })});
}

TEST(PoolChecks, RaidzSaysWhatABlockReallyCosts) {
  const Judgement found = only(pool_checks(), pool([](PoolFacts& p) {
                                 p.layout = PoolLayout::kRaidz;
                                 p.shape = {.width = 6, .parity = 2, .ashift = 12};
                                 p.blocksize = 8_KiB;
                               }));
  EXPECT_EQ(found.rule, "Z9");
  EXPECT_THAT(found.what, HasSubstr("2 data + 2 parity + 2 padding sectors, so 33 %"));
  EXPECT_THAT(found.what, HasSubstr("IOPS of one disk"));
}

TEST(PoolChecks, CapacityHasThreeSteps) {
  using enum CapacityVerdict;
  EXPECT_EQ(capacity_verdict(79_GiB, 100_GiB), kFine);
  EXPECT_EQ(capacity_verdict(80_GiB, 100_GiB), kWarn);
  EXPECT_EQ(capacity_verdict(85_GiB, 100_GiB), kStrong);
  EXPECT_EQ(capacity_verdict(85_GiB, 100_GiB, 5_GiB), kRefuse);
  EXPECT_EQ(capacity_verdict(85_GiB, {}, 5_GiB), kFine);
  EXPECT_EQ(only(pool_checks(), pool([](PoolFacts& p) { p.used_percent = 90; })).severity, Severity::kError);
  EXPECT_EQ(only(pool_checks(), pool([](PoolFacts& p) { p.used_percent = 89; })).severity, Severity::kWarning);
  EXPECT_THAT(only(pool_checks(), pool([](PoolFacts& p) { p.used_percent = 85; })).what,
              HasSubstr("85 % full: act now"));
  EXPECT_THAT(only(pool_checks(), pool([](PoolFacts& p) { p.used_percent = 84; })).what, EndsWith("84 % full"));
}

TEST(DatasetChecks, EachRowFires) {
  expect_each_row_fires(dataset_checks(), DatasetFacts{.name = "tank/ct", .recordsize = 128_KiB, .compression = "lz4"},
                        {{.name = "tank/ct", .recordsize = 16_KiB},
                         {.name = "tank/dump", .use = DatasetUse::kBackups, .recordsize = 128_KiB},
                         {.name = "tank/dump", .use = DatasetUse::kBackups, .compression = "lz4"}});
}

TEST(HostChecks, EachRowFires) {
  const HostFacts in_order{.name = "pve1", .memory = 128_GiB, .vm_memory = 90_GiB, .arc_max = 16_GiB, .arc_min = 4_GiB};
  expect_each_row_fires(host_checks(), in_order,
                        {{.name = "pve1", .memory = 64_GiB, .vm_memory = 60_GiB, .arc_max = 8_GiB},
                         {.name = "pve1", .memory = 64_GiB, .arc_max = 32_GiB},
                         {.name = "pve1", .memory = 128_GiB, .arc_max = 16_GiB, .arc_min = 8_GiB},
                         {.name = "pve1", .swap_on_zfs = true}});
}

TEST(HostChecks, GuestsArcAndSystemMustFit) {
  HostFacts host{.name = "pve1", .memory = 100_GiB, .vm_memory = 89_GiB, .arc_max = 8_GiB};
  EXPECT_TRUE(memory_fits(host));  // 89 + 8 + 2 + 1 % = 100
  host.vm_memory = 90_GiB;
  EXPECT_FALSE(memory_fits(host));
}

TEST(HostChecks, ArcByMemory) {
  const auto range = [](ByteSize memory) {
    const ArcRange arc = recommended_arc(memory);
    return std::pair(arc.low.bytes >> 30U, arc.high.bytes >> 30U);
  };
  EXPECT_EQ(range(32_GiB), std::pair(std::uint64_t{4}, std::uint64_t{4}));
  EXPECT_EQ(range(64_GiB), std::pair(std::uint64_t{8}, std::uint64_t{8}));
  EXPECT_EQ(range(125_GiB), std::pair(std::uint64_t{16}, std::uint64_t{32}));  // 128 GB less what the firmware keeps
  EXPECT_EQ(range(251_GiB), std::pair(std::uint64_t{32}, std::uint64_t{64}));
  // Half-way between two lines: 64 / 1.4 = 45.7, 32 / 1.4 = 22.9, 512 * 1.4 = 716.8.
  EXPECT_EQ(range(45_GiB).first, 4U);
  EXPECT_EQ(range(46_GiB).first, 8U);
  EXPECT_EQ(range(23_GiB).first, 4U);
  EXPECT_EQ(range(22_GiB).first, 2U);
  EXPECT_EQ(range(716_GiB).first, 64U);
  EXPECT_EQ(range(717_GiB).first, 89U);
  EXPECT_EQ(range(512_GiB), std::pair(std::uint64_t{64}, std::uint64_t{128}));
  EXPECT_EQ(range(16_GiB), std::pair(std::uint64_t{2}, std::uint64_t{2}));
  EXPECT_EQ(range(1024_GiB), std::pair(std::uint64_t{128}, std::uint64_t{256}));
}

TEST(StorageChecks, EachRowFires) {
  expect_each_row_fires(storage_checks(),
                        StorageRuleFacts{.id = "tank",
                                         .type = "zfspool",
                                         .kind = StorageKind::kZfsZvol,
                                         .content = {"images", "rootdir"},
                                         .sparse = true},
                        {{.id = "a", .type = "zfspool", .content = {"images", "iso"}},
                         {.id = "b", .type = "lvm", .on_iscsi = true, .shared = false},
                         {.id = "c", .type = "dir", .kind = StorageKind::kZfsFile},
                         {.id = "d", .type = "dir", .backing_assumed = true},
                         {.id = "e", .type = "zfspool", .sparse = false},
                         {.id = "f", .type = "zfspool", .shares_dataset_with = "g"}});
}

TEST(ReplicationChecks, EachRowFires) {
  expect_each_row_fires(replication_checks(), ReplicationFacts{.guest = "a", .target = "pve2", .storage = "tank"},
                        {{.guest = "a", .target = "pve2", .storage = "san", .kind = StorageKind::kLvmThick},
                         {.guest = "a", .target = "pve2", .storage = "tank", .storage_on_target = false},
                         {.guest = "a", .target = "pve1", .storage = "tank", .same_node = true}});
}

TEST(BackupChecks, EachRowFires) {
  expect_each_row_fires(backup_checks(), BackupFacts{.job = "nightly"},
                        {{.job = "nightly", .mode = "stop"}, {.job = "nightly", .compress = "gzip"}});
  EXPECT_TRUE(backup_is_fresh(12, 24));
  EXPECT_FALSE(backup_is_fresh(30, 24));
  EXPECT_FALSE(backup_is_fresh(std::nullopt, 24));
  EXPECT_TRUE(backup_is_fresh(std::nullopt, 0));
}

TEST(FirmwareChecks, EachRowFires) {
  expect_each_row_fires(
      firmware_checks(), FirmwareChange{.key = "machine", .from = "pc-q35-9.0", .to = "q35"},
      {{.key = "bios", .from = "unset", .to = "ovmf"}, {.key = "machine", .from = "unset", .to = "q35"}});
}

TEST(ConversionChecks, EachRowFires) {
  expect_each_row_fires(
      conversion_checks(), ConversionFacts{.disk = "scsi0", .backed_up = true},
      {{.disk = "scsi0", .backed_up = false}, {.disk = "scsi0", .backed_up = true, .source_kept = false}});
}

TEST(GuestRules, EachRowIsReachable) {
  std::set<const void*> met;
  std::set<const void*> unmet;
  for (const GuestOs os : {GuestOs::kLinux, GuestOs::kWindows})
    for (const unsigned bits : {0U, 1U, 2U, 4U, 6U, 8U, 16U, 63U})
      for (const std::string_view hardware : {"lsi", "virtio-scsi-single"})
        for (const std::string_view cpu : {"host", "x86-64-v3"}) {
          const GuestFacts guest{.os = os,
                                 .has_role = (bits & 1U) != 0,
                                 .passthrough_pci = (bits & 1U) != 0,
                                 .ha = (bits & 2U) != 0,
                                 .one_node_device = (bits & 4U) != 0,
                                 .local_disks = (bits & 4U) != 0,
                                 .exists = (bits & 8U) != 0,
                                 .has_scsi_disk = (bits & 32U) == 0,
                                 .lane_needs_node = (bits & 16U) != 0};
          const GuestSettings settings{.scsihw = hardware, .cpu = cpu};
          for (const auto& row : kGuestInvariants) (row.broken(guest, settings) ? met : unmet).insert(&row);
          for (const auto& row : kGuestWarnings) (row.applies(guest, settings) ? met : unmet).insert(&row);
          for (const auto* row :
               {choose(kScsihwDefaults, guest), choose(kBalloonDefaults, guest), choose(kMachineDefaults, guest),
                choose(kCpuDefaults, guest), choose(kNetModelDefaults, guest)})
            if (row != nullptr) met.insert(row);
        }
  const auto expect_met = [&](const auto& table) {
    for (const auto& row : table) EXPECT_TRUE(met.contains(&row)) << row.id << ": " << row.why;
  };
  expect_met(kGuestInvariants);
  expect_met(kGuestWarnings);
  expect_met(kScsihwDefaults);
  expect_met(kBalloonDefaults);
  expect_met(kMachineDefaults);
  expect_met(kCpuDefaults);
  expect_met(kNetModelDefaults);
  for (const auto& row : kGuestInvariants) EXPECT_TRUE(unmet.contains(&row)) << row.id;
  for (const auto& row : kGuestWarnings) EXPECT_TRUE(unmet.contains(&row)) << row.id;
}

TEST(AllRules, ThePolicyIsComplete) {
  std::set<std::string_view> ids;
  for (const RuleRow& rule : all_rules()) {
    EXPECT_TRUE(ids.insert(rule.id).second) << rule.id << " twice";
    EXPECT_FALSE(rule.title.empty() || rule.reason.empty() || rule.source.empty() || rule.kind.empty() ||
                 rule.facts.empty())
        << rule.id;
    EXPECT_EQ(find_rule(rule.id), &rule);
  }
  for (const std::string_view id : {"C1",  "C2",  "C3",  "C4",  "A1",  "A2", "A3", "A4", "A5", "I1", "D1", "D2", "F1",
                                    "F2",  "W1",  "B1",  "Z1",  "Z2",  "Z3", "Z4", "Z5", "Z6", "Z7", "Z8", "Z9", "Z10",
                                    "Z11", "Z12", "Z13", "Z14", "Z15", "T1", "T2", "T3", "T4", "T5", "T6"}) {
    EXPECT_TRUE(ids.contains(id)) << id;
  }
  std::set<std::string_view> in_tables;
  for (const TableRow& row : table_rows()) {
    EXPECT_TRUE(ids.contains(row.id)) << row.id << " is in table " << row.table << " and not in the list";
    in_tables.insert(row.id);
  }
  for (const std::string_view id : ids) EXPECT_TRUE(in_tables.contains(id)) << id << " has no row in any table";
}

std::string rules_document() {
  std::string out =
      "# The rules\n\n"
      "Generated from the rule tables in `reconciler/policy/`; run `PVERECONCILE_TEST_ACCEPT=1` with the policy tests "
      "to renew it.\n\n"
      "Strongest first: invariant, disk, VM, role (child before parent), default. A value that breaks an invariant is "
      "an error naming the\n"
      "rule; one that merely differs from a default is an override and shown as such by `explain`.\n\n"
      "Sources: S0 guest-storage best practices (PVE 9.2, OpenZFS 2.4) · S1 ZFS tuning guide for PVE · S2 QEMU how-to "
      "(2016) ·\n"
      "S3 Windows storage on PVE: controllers, AIO, iothreads · S4 disk benchmark of KVM on ZFS.\n\n"
      "| id | rule | kind | judged on | source |\n|---|---|---|---|---|\n";
  for (const RuleRow& rule : all_rules()) {
    out += "| [" + std::string(rule.id) + "](rules/" + std::string(rule.id) + ".md) | " + std::string(rule.title) +
           " | " + std::string(rule.kind) + " | " + std::string(rule.facts) + " | " + std::string(rule.source) + " |\n";
  }
  return out;
}

std::string lower(std::string text) {
  std::ranges::transform(text, text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

/// One rule as a page of its own.
std::string rule_page(const RuleRow& rule) {
  const std::string id(rule.id);
  const auto has = [&rule](std::string_view kind) { return rule.kind.find(kind) != std::string_view::npos; };
  std::string out = "# " + id + ": " + std::string(rule.title) + "\n\n" +
                    "<!-- Made from the rule tables by the policy tests; do not edit. -->\n\n" +
                    std::string(rule.reason) + "\n\n" + "| | |\n|---|---|\n| kind | " + std::string(rule.kind) +
                    " |\n| judged on | " + std::string(rule.facts) + " |\n| source | " + std::string(rule.source) +
                    " ([what these are](../rules.md)) |\n\n## Rows\n\n";
  for (const TableRow& row : table_rows()) {
    if (row.id == rule.id)
      out += "- " + std::string(row.table) + ": " + std::string(row.why) + " [" + std::string(row.source) + "]\n";
  }
  out += "\n## What it does\n\n";
  if (has("default")) {
    out +=
        "- *default*: the value holds where neither disk, VM nor role states one. State another one in the fleet and "
        "it "
        "wins;\n  `pvereconcile explain --chain` then shows what it replaced. `leave:` keeps the setting out of the "
        "plan.\n";
  }
  if (has("invariant"))
    out += "- *invariant*: a fleet that breaks it is refused (`policy." + lower(id) +
           "`), whoever wrote the value; on a living cluster it is a finding.\n";
  if (has("warning")) out += "- *warning*: allowed, and told by `validate`, `plan` and `audit`.\n";
  if (has("check")) out += "- *check*: judges what exists; `plan` and `audit` tell it with its numbers and its fix.\n";
  out += "\nIts findings are called `" + id +
         "@SUBJECT`. One that is accepted is written down with its reason ([audit](../audit.md)):\n\n```yaml\naudit:\n"
         "  suppress:\n    - {rule: " +
         id + ", subject: \"*\", reason: why it is right here}\n```\n";
  return out;
}

TEST(AllRules, TheReferenceIsUpToDate) { expect_matches_file(rules_document(), "docs/rules.md"); }
TEST(AllRules, EveryRuleHasItsPage) {
  for (const RuleRow& rule : all_rules())
    expect_matches_file(rule_page(rule), "docs/rules/" + std::string(rule.id) + ".md");
}

}  // namespace
}  // namespace pvr::test
