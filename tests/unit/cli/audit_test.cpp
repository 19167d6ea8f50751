#include "cli/audit_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "cli/commands.h"
#include "cli/html_view.h"
#include "cli/junit_view.h"
#include "cli/sarif_view.h"
#include "tests/unit/cli/golden.h"

namespace pvr::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Ran {
  ExitCode code = ExitCode::kError;
  std::string out = {};
  std::string err = {};
};

/// Against the built-in homelab.
Ran audit_homelab(std::vector<std::string> more) {
  std::vector<std::string> arguments = {"audit", "--simulate"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  std::istringstream in;
  std::ostringstream out;
  std::ostringstream err;
  Terminal terminal{.in = in, .out = out, .err = err};
  const ExitCode code = run(arguments, terminal);
  return {code, out.str(), err.str()};
}

AuditReport sample() {
  AuditReport report{.cluster_name = "lab", .guests = 2, .disks = 3, .storages = 1, .pools = 1, .nodes = 1};
  AuditFinding cache{.id = "C2@vm/301/scsi0",
                     .severity = Severity::kError,
                     .rule = "C2",
                     .subject = "vm/301/scsi0",
                     .name = "dc-01",
                     .node = "pve2",
                     .what = "cache=writeback on lvm-thick-chain (shared), guest mobile",
                     .why = "page caches of two nodes do not agree",
                     .source = "S0"};
  cache.fix = {.commands = {"qm set 301 --scsi0 san:vm-301-disk-1.qcow2,cache=none,size=80G"},
               .fleet = {"vms:", "  dc-01:", "    vmid: 301", "    disks: {scsi0: {slot: scsi0, cache: none}}"},
               .value = FixValue{.vmid = Vmid{301}, .slot = DriveSlot{Bus::kScsi, 0}, .key = "cache", .value = "none"},
               .effect = FixEffect::kRestart};
  AuditFinding aio = cache;
  aio.id = "A5@vm/301/scsi0";
  aio.severity = Severity::kWarning;
  aio.rule = "A5";
  aio.what = "aio unset, which runs as native";
  aio.fix.fleet.back() = "    disks: {scsi0: {slot: scsi0, aio: io_uring}}";
  AuditFinding raidz{.id = "Z9@node/pve1/pool/tank",
                     .severity = Severity::kWarning,
                     .rule = "Z9",
                     .subject = "node/pve1/pool/tank",
                     .name = "tank",
                     .node = "pve1",
                     .what = "VM disks on tank | with a | in its name",
                     .why = "small blocks pay",
                     .source = "S1",
                     .cost = {.lost_space = 20_GiB, .write_amplification = 1.5}};
  raidz.fix.advice = "mirrors for VM disks";
  report.findings = {cache, aio, raidz};
  report.suppressed = {{.finding = raidz, .reason = "bulk data only", .until = "2027-01-01"}};
  report.not_checked = {{{"Z8", "Z14"}, "node pve1", "no SSH"}};
  return report;
}

TEST(AuditViews, Text) { test::expect_golden("audit.txt", audit_text(sample(), {.columns = 100})); }
TEST(AuditViews, Markdown) { test::expect_golden("audit.md", audit_markdown(sample())); }
TEST(AuditViews, Junit) { test::expect_golden("audit.junit.xml", audit_junit(sample())); }
TEST(AuditViews, Json) { test::expect_golden("audit.json", audit_json(sample())); }

TEST(AuditViews, CommandsOfADriveAreShownOnce) {
  const std::string text = audit_text(sample(), {});
  const std::string command = "qm set 301 --scsi0";
  EXPECT_EQ(text.find(command), text.rfind(command));
}

TEST(AuditViews, TextsOfTheClusterCannotMoveTheCursor) {
  AuditReport report = sample();
  report.findings[0].name = "dc\x1b[2J";
  report.findings[0].what = "a\x1b[2Jb";
  for (const std::string& text : {audit_text(report, {}), audit_markdown(report)})
    EXPECT_THAT(text, Not(HasSubstr("\x1b[2J")));
}

TEST(AuditViews, SarifHasWhatTheStandardAsksFor) {
  const auto sarif = nlohmann::json::parse(audit_sarif(sample(), ""));
  EXPECT_EQ(sarif["version"], "2.1.0");
  ASSERT_EQ(sarif["runs"].size(), 1U);
  const auto& run = sarif["runs"][0];
  const auto& rules = run["tool"]["driver"]["rules"];
  EXPECT_EQ(run["tool"]["driver"]["name"], "pvereconcile");
  EXPECT_EQ(run["invocations"][0]["executionSuccessful"], true);
  ASSERT_EQ(run["results"].size(), 4U) << "suppressed ones are results, too";
  std::set<std::string> fingerprints;
  for (const auto& result : run["results"]) {
    EXPECT_EQ(rules[result["ruleIndex"].get<std::size_t>()]["id"], result["ruleId"]);
    EXPECT_FALSE(result["message"]["text"].get<std::string>().empty());
    EXPECT_THAT((std::set<std::string>{"error", "warning", "note"}),
                ::testing::Contains(result["level"].get<std::string>()));
    const auto& place = result["locations"][0]["physicalLocation"];
    EXPECT_EQ(place["artifactLocation"]["uri"].get<std::string>().rfind("cluster/", 0), 0U);
    EXPECT_GE(place["region"]["startLine"].get<int>(), 1);
  }
  EXPECT_EQ(run["results"][3]["suppressions"][0]["kind"], "external");
  const auto with_fleet = nlohmann::json::parse(audit_sarif(sample(), "fleets/my fleet.yaml"));
  EXPECT_EQ(with_fleet["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"],
            "fleets/my%20fleet.yaml");
}

TEST(AuditViews, HtmlNeedsNothingFromElsewhereAndTextIsNoMarkup) {
  AuditReport report = sample();
  report.findings[0].what = "<script>alert(1)</script> & \"more\"";
  report.findings[0].name = "<img src=x>";
  const std::string page = audit_html(report, "2027-01-15T08:00:00Z");
  for (const char* never : {"<script", "<img", "http://", "https://", "src=\"", "@import", "url("})
    EXPECT_THAT(page, Not(HasSubstr(never)));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &#34;more&#34;"));
  EXPECT_THAT(page, HasSubstr("prefers-color-scheme: dark"));
  EXPECT_THAT(page, HasSubstr("qm set 301 --scsi0"));
}

TEST(AuditCommand, FixShowsThePlanOfTheSelectedFindings) {
  const Ran ran = audit_homelab({"--fix", "C2@vm/301/scsi0,A5@vm/201/scsi0"});
  EXPECT_EQ(ran.code, ExitCode::kDone) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("vm/app-01"));
  EXPECT_THAT(ran.out, HasSubstr("vm/dc-01"));
  EXPECT_THAT(ran.out, HasSubstr("writeback → none"));
  EXPECT_THAT(ran.out, Not(HasSubstr("vm/pki-01")));
  EXPECT_THAT(ran.out, Not(HasSubstr("balloon")));
  EXPECT_EQ(audit_homelab({"--fix", "C2@vm/999/scsi0"}).code, ExitCode::kError);
  const Ran by_hand = audit_homelab({"--fix", "Z10@node/pve1/pool/local-zfs-hdd-3tb-mirror"});
  EXPECT_EQ(by_hand.code, ExitCode::kError);
  EXPECT_THAT(by_hand.err, HasSubstr("a fleet cannot say this"));
}

TEST(AuditCommand, FixOfANodeIsAPlanOfItsSettings) {
  const Ran ran = audit_homelab({"--fix", "Z11@node/pve1/pool/rpool"});
  EXPECT_EQ(ran.code, ExitCode::kDone) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("host/pve1"));
  EXPECT_THAT(ran.out, HasSubstr("none → monthly"));
  EXPECT_THAT(ran.out, Not(HasSubstr("atime")));
  EXPECT_THAT(ran.out, Not(HasSubstr("host/pve2")));
}

TEST(AuditCommand, NeedsNoFleet) {
  const Ran ran = audit_homelab({});
  EXPECT_EQ(ran.code, ExitCode::kDone) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("vm/301/scsi0  dc-01 on pve2"));
  EXPECT_THAT(ran.out, HasSubstr("Not checked"));
  EXPECT_THAT(ran.out, HasSubstr("qm set 201 --scsi0 san:vm-201-disk-0.qcow2,aio=io_uring,discard=on"));
}

TEST(AuditCommand, FailsOnWhatIsBadEnough) {
  EXPECT_EQ(audit_homelab({"--fail-on", "error"}).code, ExitCode::kChanges);
  EXPECT_EQ(audit_homelab({"--fail-on", "fatal"}).code, ExitCode::kError);
}

TEST(AuditCommand, JsonIsOneRecord) {
  const auto json = nlohmann::json::parse(audit_homelab({"-o", "json"}).out);
  EXPECT_EQ(json["format"], "pvereconcile.audit");
  EXPECT_EQ(json["totals"]["guests"], 6);
  EXPECT_EQ(json["findings"].size(), json["totals"]["errors"].get<std::size_t>() +
                                         json["totals"]["warnings"].get<std::size_t>() +
                                         json["totals"]["notices"].get<std::size_t>());
  for (const auto& finding : json["findings"]) {
    EXPECT_FALSE(finding["why"].get<std::string>().empty());
    EXPECT_FALSE(finding["source"].get<std::string>().empty());
    EXPECT_FALSE(finding["fix"]["commands"].empty() && finding["fix"]["advice"].is_null()) << finding["id"];
  }
}

}  // namespace
}  // namespace pvr::cli
