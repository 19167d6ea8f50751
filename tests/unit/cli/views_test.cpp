#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "cli/describe.h"
#include "cli/json_view.h"
#include "cli/junit_view.h"
#include "cli/markdown_view.h"
#include "cli/status_view.h"
#include "cli/text_view.h"
#include "reconciler/model/plan_digest.h"
#include "tests/unit/cli/golden.h"
#include "tests/unit/cli/sample_plan.h"

namespace pvr::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

TEST(TextView, APlanReadsAsExpected) {
  test::expect_golden("plan.txt", plan_text(test::sample_plan(), {.style = {}, .columns = 100}));
}

TEST(TextView, ColoursAreOnlyAddedNeverNeeded) {
  const std::string plain = plan_text(test::sample_plan(), {.style = Style(false), .columns = 100});
  const std::string coloured = plan_text(test::sample_plan(), {.style = Style(true), .columns = 100});
  EXPECT_THAT(plain, Not(HasSubstr("\x1b")));
  EXPECT_THAT(coloured, HasSubstr("\x1b["));
  std::string stripped;
  for (std::size_t i = 0; i < coloured.size(); ++i) {
    if (coloured[i] == '\x1b') {
      i = coloured.find('m', i);
    } else {
      stripped += coloured[i];
    }
  }
  EXPECT_EQ(stripped, plain);
}

TEST(TextView, AnEmptyPlanIsOneLine) {
  Plan plan;
  plan.unchanged_vms = 6;
  EXPECT_EQ(plan_text(plan, {}), "No changes. 6 VMs unchanged.\n");
}

TEST(TextView, WaitingIsNeverReadAsNoChanges) {
  Plan plan;
  plan.waiting.push_back({{AddressKind::kVm, "app-01", "root"}, "aio", "", "io_uring"});
  const std::string text = plan_text(plan, {});
  EXPECT_THAT(text, HasSubstr("configured, active after a restart:\n    root aio  unset → io_uring\n"));
  EXPECT_THAT(text, HasSubstr("No changes; 1 setting waits for a restart."));
}

TEST(TextView, ControlCharactersOfTheClusterStayVisible) {
  Plan plan = test::sample_plan();
  plan.operations[0].changes[0].to = "a\x1b[2Jb\nc";
  const std::string text = plan_text(plan, {});
  EXPECT_THAT(text, HasSubstr("a\\x1b[2Jb\\nc"));
}

TEST(TextView, AReportNamesWhatFailedAndWhatWasLeftOut) {
  const Plan plan = test::sample_plan();
  ApplyReport report;
  report.operations = {{1, Outcome::kDone, "", {}},
                       {2, Outcome::kFailed, "the task ended with: no space left", {"the copy was removed"}},
                       {3, Outcome::kSkipped, "waits for operation 2, which failed", {}},
                       {4, Outcome::kSkipped, "waits for operation 3", {}}};
  test::expect_golden("report.txt", report_text(plan, report, {}));
}

TEST(JsonView, APlanIsAVersionedRecord) {
  const std::string text = plan_json(test::sample_plan());
  test::expect_golden("plan.json", text);
  const auto json = nlohmann::json::parse(text);
  EXPECT_EQ(json["format"], "pvereconcile.plan");
  EXPECT_EQ(json["version"], 1);
  EXPECT_EQ(json["operations"].size(), 4);
  EXPECT_TRUE(json["operations"][0]["copy"].is_null()) << "a missing value is null, not an absent field";
}

TEST(JsonView, BytesThatAreNoUtf8DoNotBreakTheDocument) {
  Plan plan = test::sample_plan();
  plan.operations[0].changes[0].from = "caf\xE9";
  EXPECT_TRUE(nlohmann::json::accept(plan_json(plan)));
}

TEST(JsonView, EventsCarryTheAddressOfTheirOperation) {
  const Plan plan = test::sample_plan();
  const auto json = nlohmann::json::parse(
      event_json(plan, TaskProgress{2, "UPID:pve1:x", 0.5, 128_GiB, 256_GiB}, "2026-01-02T03:04:05.000Z"));
  EXPECT_EQ(json["event"], "task-progress");
  EXPECT_EQ(json["address"], "vm/ai-01/models");
  EXPECT_EQ(json["fraction"], 0.5);
  EXPECT_EQ(json["total_bytes"], 256ULL << 30U);
}

TEST(MarkdownView, APlanReadsAsExpected) { test::expect_golden("plan.md", plan_markdown(test::sample_plan())); }

TEST(MarkdownView, FiveHundredVmsFitIntoOneComment) {
  const std::string text = plan_markdown(test::wide_plan(500));
  EXPECT_LE(text.size(), kMarkdownLimit);
  EXPECT_THAT(text, HasSubstr("| 500 | aio | <code>io&#95;uring</code> | pending until restart | A5 |"));
  EXPECT_THAT(text, HasSubstr("500 resources"));
  EXPECT_THAT(text, HasSubstr("Too long for one comment"));
}

TEST(MarkdownView, EveryLimitIsKept) {
  for (const unsigned count : {0U, 1U, 5U, 60U, 4000U}) {
    for (const std::size_t limit : {4'000U, 20'000U, 60'000U}) {
      EXPECT_LE(plan_markdown(test::wide_plan(count), limit).size(), limit) << count << " VMs";
    }
  }
}

TEST(MarkdownView, NamesAndValuesCannotBecomeMarkup) {
  Plan plan = test::sample_plan();
  plan.operations[0].changes[0].to = "</code></details><img src=x> | @everyone `x`\n# big";
  const std::string text = plan_markdown(plan);
  EXPECT_THAT(text, Not(HasSubstr("<img")));
  EXPECT_THAT(text, Not(HasSubstr("@everyone")));
  EXPECT_THAT(text, Not(HasSubstr("\n# big")));
}

TEST(Describe, NoOptionValueIsInADescription) {
  Operation operation;
  operation.procedure = SetVmOptions{.vmid = {100}, .set = {}, .unset = {}};
  std::get<SetVmOptions>(operation.procedure).set.set("cipassword", "hunter2");
  EXPECT_THAT(describe(operation), Not(HasSubstr("hunter2")));
}

TEST(Describe, ResourcesAreSortedAndHoldTheirParts) {
  const Plan plan = test::sample_plan();
  const auto resources = by_resource(plan);
  std::vector<std::string> names;
  for (const auto& resource : resources) names.push_back(to_text(resource.address));
  EXPECT_THAT(names, ::testing::ElementsAre("storage/SSD-r10", "vm/ai-01", "vm/app-01", "vm/win11"));
  EXPECT_EQ(resources[1].operations.size(), 3U);
  EXPECT_EQ(whereabouts(resources[1]), "701 on pve1");
}

Diff sample_diff() {
  Diff diff;
  VmDiff vm;
  vm.address = {AddressKind::kVm, "app-01", {}};
  vm.vmid = {201};
  vm.node = "pve2";
  vm.power = PowerState::kRunning;
  SettingChange same{.key = "cores", .running = std::int64_t{4}, .configured = std::int64_t{4}};
  same.desired.value = std::int64_t{4};
  vm.options.push_back(same);
  DiskDiff disk;
  disk.name = "root";
  disk.desired_slot = {Bus::kScsi, 0};
  SettingChange waits{
      .key = "aio", .state = SettingState::kWaitsForRestart, .running = {}, .configured = std::string("io_uring")};
  waits.desired.value = std::string("io_uring");
  SettingChange differs{.key = "discard", .state = SettingState::kDiffers};
  differs.desired.value = std::string("on");
  disk.settings = {waits, differs};
  vm.disks.push_back(disk);
  VmDiff quiet;
  quiet.address = {AddressKind::kVm, "app-02", {}};
  quiet.vmid = {202};
  quiet.node = "pve3";
  quiet.power = PowerState::kStopped;
  quiet.options.push_back(same);
  diff.vms = {vm, quiet};
  return diff;
}

TEST(StatusView, ThreeTruthsPerSetting) {
  test::expect_golden("status.txt", status_text(sample_diff(), {}, false, {}));
}

TEST(StatusView, AllShowsWhatIsInSyncToo) {
  EXPECT_THAT(status_text(sample_diff(), {}, false, {}), Not(HasSubstr("cores")));
  EXPECT_THAT(status_text(sample_diff(), {}, true, {}), HasSubstr("cores"));
}

TEST(StatusView, InSyncMeansNothingWaitsEither) {
  Diff diff = sample_diff();
  EXPECT_FALSE(is_in_sync(diff));
  diff.vms[0].disks[0].settings.pop_back();
  EXPECT_FALSE(is_in_sync(diff)) << "a setting that waits for a restart is not in sync";
  diff.vms[0].disks[0].settings.clear();
  EXPECT_TRUE(is_in_sync(diff));
}

TEST(JunitView, APlanReadsAsExpected) { test::expect_golden("plan.junit.xml", plan_junit(test::sample_plan())); }

TEST(JunitView, NothingToDoIsATestThatPassed) {
  const std::string text = plan_junit({});
  EXPECT_THAT(text, HasSubstr("tests=\"1\" failures=\"0\""));
  EXPECT_THAT(text, HasSubstr("name=\"no changes\"/>"));
}

TEST(JunitView, TextsOfTheClusterAreNoMarkup) {
  Plan plan = test::sample_plan();
  plan.operations[0].changes[0].to = "</failure>&\"\x01\x1b[2J\xff\xed\xa0\x80";
  plan.gaps = {"a \"node\" <down>"};
  const std::string text = plan_junit(plan);
  EXPECT_THAT(text, HasSubstr("&lt;/failure&gt;&amp;&#34;"));
  EXPECT_THAT(text, HasSubstr("message=\"a &#34;node&#34; &lt;down&gt;\""));
  for (const char bad : {'\x01', '\x1b', '\xff'}) EXPECT_EQ(text.find(bad), std::string::npos);
  EXPECT_EQ(text.find("\xed\xa0\x80"), std::string::npos) << "a surrogate is no character";
}

TEST(PlanDigest, CountsWhatIsDoneAndNotWhyOrWhen) {
  const Plan plan = test::sample_plan();
  const std::string digest = plan_digest(plan);
  EXPECT_EQ(digest.size(), 64);
  Plan same = plan;
  same.inputs.made_at = "2027-01-01T00:00:00Z";
  same.inputs.document_hash = "other";
  same.operations[0].changes[0].reason = "another sentence";
  same.operations[0].changes[0].place = "fleet.yaml:99:1";
  same.operations[0].guard.digest = "another";
  same.findings.clear();
  EXPECT_EQ(plan_digest(same), digest);
  std::vector<Plan> others(5, plan);
  others[0].operations[0].changes[0].from = "0";
  others[1].operations[0].changes[0].to = "0";
  others[2].operations.pop_back();
  others[3].inputs.cluster_name = "another";
  std::get<MoveDisk>(others[4].operations[1].procedure).storage = "elsewhere";
  for (const Plan& other : others) EXPECT_NE(plan_digest(other), digest);
}

TEST(StatusView, JsonHoldsEverySetting) {
  ResolvedFleet fleet;
  fleet.vms.push_back({.name = sample_diff().vms.at(0).address.name, .role = "generalized-linux", .lane = "shared"});
  LiveState live;
  LiveVm guest{.vmid = sample_diff().vms.at(0).vmid};
  guest.options.set("tags", LiveOption{.current = "blue", .pending = "blue;green"});
  guest.options.set("cipassword", LiveOption{.current = "**********"});
  live.vms = {guest};
  const auto json = nlohmann::json::parse(status_json(fleet, sample_diff(), live));
  EXPECT_EQ(json["format"], "pvereconcile.status");
  const auto& setting = json["vms"][0]["disks"][0]["settings"][0];
  EXPECT_EQ(setting["declared"], "io_uring");
  EXPECT_EQ(setting["configured"], "io_uring");
  EXPECT_TRUE(setting["running"].is_null());
  EXPECT_EQ(setting["state"], "waits-for-restart");
  EXPECT_EQ(json["vms"][0]["role"], "generalized-linux");
  EXPECT_EQ(json["vms"][0]["lane"], "shared");
  EXPECT_EQ(json["vms"][0]["live"], nlohmann::json({{"tags", "blue;green"}}));
}

}  // namespace
}  // namespace pvr::cli
