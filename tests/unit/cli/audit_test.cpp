#include "cli/audit_view.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/commands.h"
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
