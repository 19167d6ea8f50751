#include "reconciler/policy/audit_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

// Rules about what lives: each row has a case that it finds and one that it leaves alone.

namespace pvr::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

template <class F>
std::vector<std::string> rules_of(std::span<const Check<F>> table, const F& facts) {
  std::vector<std::string> out;
  for (const Judgement& found : run_checks(table, facts)) {
    EXPECT_FALSE(found.what.empty());
    EXPECT_FALSE(found.fix.empty());
    out.emplace_back(found.rule);
  }
  return out;
}

GuestAuditFacts guest(void (*change)(GuestAuditFacts&)) {
  GuestAuditFacts facts{.name = "one", .cpu = "x86-64-v2-AES"};
  change(facts);
  return facts;
}
std::vector<std::string> of_guest(void (*change)(GuestAuditFacts&)) {
  return rules_of(guest_audit_checks(), guest(change));
}

TEST(AuditRules, Guests) {
  EXPECT_THAT(of_guest([](GuestAuditFacts&) {}), IsEmpty());
  EXPECT_THAT(of_guest([](GuestAuditFacts& g) { g.cpu = "kvm64"; }), ElementsAre("G1"));
  EXPECT_THAT(of_guest([](GuestAuditFacts& g) { g.cpu = "host"; }), IsEmpty());
  const auto pinned = [](GuestAuditFacts& g) {
    g.passthrough_pci = true;
    g.mobility = Mobility::kPinned;
    g.numa = true;
  };
  EXPECT_THAT(of_guest(pinned), ElementsAre("G1"));
  EXPECT_THAT(of_guest([](GuestAuditFacts& g) {
                g.passthrough_pci = true;
                g.mobility = Mobility::kPinned;
                g.cpu = "host";
              }),
              ElementsAre("G6"));
  EXPECT_THAT(of_guest([](GuestAuditFacts& g) { g.ostype = "win11"; }), ElementsAre("G3", "G4"));
  EXPECT_THAT(of_guest([](GuestAuditFacts& g) {
                g.ostype = "win11";
                g.bios = "ovmf";
                g.has_efi_disk = g.has_tpm = true;
              }),
              IsEmpty());
  EXPECT_THAT(of_guest([](GuestAuditFacts& g) { g.ostype = "win10"; }), IsEmpty());
  EXPECT_THAT(of_guest([](GuestAuditFacts& g) { g.bios = "ovmf"; }), ElementsAre("G3"));
  EXPECT_THAT(of_guest([](GuestAuditFacts& g) { g.other_nets = {"net0 (e1000)"}; }), ElementsAre("G5"));
}

TEST(AuditRules, PendingAndLeftovers) {
  EXPECT_THAT(rules_of(pending_checks(), PendingFacts{.name = "one"}), IsEmpty());
  EXPECT_THAT(rules_of(pending_checks(), PendingFacts{.name = "one", .keys = {"scsi0"}}), ElementsAre("P1"));
  const auto orphan = run_checks(leftover_checks(), LeftoverFacts{.volume = "tank:vm-9-disk-0", .size = 1_GiB});
  ASSERT_EQ(orphan.size(), 1U);
  EXPECT_EQ(orphan[0].severity, Severity::kWarning);
  EXPECT_THAT(orphan[0].what, ::testing::HasSubstr("1 GiB"));
  EXPECT_THAT(rules_of(leftover_checks(), LeftoverFacts{.volume = "tank:vm-9-disk-0", .attached = true}),
              ElementsAre("P2"));
}

std::vector<std::string> of_pool(PoolStateFacts facts) {
  facts.name = "tank";
  return rules_of(pool_state_checks(), facts);
}

TEST(AuditRules, StateOfPools) {
  EXPECT_THAT(of_pool({}), IsEmpty()) << "what was not observed is not judged";
  EXPECT_THAT(of_pool({.health = "ONLINE",
                       .errors = "No known data errors",
                       .scrub_known = true,
                       .scrub_age_days = kScrubDays,
                       .fragmentation = kFragmentationNotice - 1}),
              IsEmpty());
  EXPECT_THAT(of_pool({.health = "DEGRADED"}), ElementsAre("Z16"));
  EXPECT_THAT(of_pool({.errors = "2 data errors, use '-v' for a list"}), ElementsAre("Z16"));
  EXPECT_THAT(of_pool({.scrub_known = true}), ElementsAre("Z16"));
  EXPECT_THAT(of_pool({.scrub_known = true, .scrub_age_days = kScrubDays + 1}), ElementsAre("Z16"));
  EXPECT_THAT(of_pool({.fragmentation = kFragmentationNotice}), ElementsAre("Z16"));
}

std::vector<std::string> of_backup(const CoverageFacts& facts) { return rules_of(coverage_checks(), facts); }

TEST(AuditRules, Backups) {
  const CoverageFacts fresh{.guest = "one", .jobs_known = true, .newest_age_days = kBackupDays, .backups_known = true};
  EXPECT_THAT(of_backup(fresh), IsEmpty());
  CoverageFacts facts = fresh;
  facts.newest_age_days = kBackupDays + 1;
  EXPECT_THAT(of_backup(facts), ElementsAre("T5"));
  facts.newest_age_days.reset();
  EXPECT_THAT(of_backup(facts), ElementsAre("T5"));
  facts.in_a_job = true;
  EXPECT_THAT(of_backup(facts), IsEmpty()) << "the job's first run may be to come";
  facts = {.guest = "one", .jobs_known = false, .backups_known = true};
  EXPECT_THAT(of_backup(facts), IsEmpty()) << "jobs that cannot be read may cover it";
  EXPECT_THAT(of_backup({.unprotected = 3}), ElementsAre("T5"));
  EXPECT_THAT(of_backup({.unprotected = 0}), IsEmpty());
}

}  // namespace
}  // namespace pvr::test
