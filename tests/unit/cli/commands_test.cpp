#include "cli/commands.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <sstream>

#include "cli/outcome.h"
#include "cli/simulated.h"
#include "tests/unit/cli/sample_plan.h"

namespace pvr::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kCluster = R"(
cluster: {name: small, seed: 1, clock_scale: 1000}
nodes:
  pve1: {version: 9.2.4, pools: {tank: {size: 1TiB, media: ssd}}}
storages:
  tank: {type: zfspool, pool: tank, content: "images,rootdir", sparse: 1}
vms:
  100: {config: {name: one, cores: 2, memory: 2048, scsihw: virtio-scsi-single, scsi0: "tank:vm-100-disk-0,size=8G"}}
)";
constexpr const char* kFleet = R"(version: 1
storages:
  tank: {type: zfspool, pool: tank, content: [images, rootdir], media: ssd}
lanes: {pinned: tank}
vms:
  one: {vmid: 100, role: specialty-linux, cores: 4, memory: 2GiB, disks: {root: {slot: scsi0, size: 8GiB}}}
)";

struct Ran {
  ExitCode code = ExitCode::kError;
  std::string out = {};
  std::string err = {};
};

/// A directory with a fleet, and a simulated cluster that outlives single commands.
class Commands : public ::testing::Test {
 protected:
  Commands() {
    directory_ = std::filesystem::temp_directory_path() /
                 ("pvereconcile-" + std::string(::testing::UnitTest::GetInstance()->current_test_info()->name()));
    std::filesystem::create_directories(directory_);
    write("fleet.yaml", kFleet);
    write("cluster.yaml", kCluster);
  }
  ~Commands() override { std::filesystem::remove_all(directory_); }

  [[nodiscard]] std::string path(const std::string& name) const { return (directory_ / name).string(); }
  void write(const std::string& name, const std::string& text) const { std::ofstream(directory_ / name) << text; }

  void start_cluster() {
    auto started = SimulatedCluster::start({.file = path("cluster.yaml")});
    ASSERT_TRUE(started.ok()) << started.error().text();
    cluster_ = std::move(started).value();
  }

  Ran run_with(const std::vector<std::string>& arguments) {
    std::istringstream in;
    std::ostringstream out;
    std::ostringstream err;
    Terminal terminal{.in = in, .out = out, .err = err};
    if (cluster_) {
      terminal.environment = {{"PVERECONCILE_ENDPOINT", cluster_->url()},
                              {"PVERECONCILE_FINGERPRINT", cluster_->fingerprint()},
                              {"PVERECONCILE_TOKEN", cluster_->token_id() + "=" + cluster_->token_secret()}};
    }
    const ExitCode code = run(arguments, terminal);
    return {code, out.str(), err.str()};
  }

  std::filesystem::path directory_;
  std::unique_ptr<SimulatedCluster> cluster_;
};

TEST_F(Commands, ValidateTellsEveryErrorWithItsPlace) {
  EXPECT_EQ(run_with({"validate", path("fleet.yaml")}).code, ExitCode::kDone);
  write("bad.yaml", "version: 1\nvms:\n  a: {vmid: 100, rolle: x}\n  b: {vmid: 101, memory: 12}\n");
  const Ran bad = run_with({"validate", path("bad.yaml")});
  EXPECT_EQ(bad.code, ExitCode::kError);
  EXPECT_THAT(bad.err, HasSubstr("bad.yaml:3:"));
  EXPECT_THAT(bad.err, HasSubstr("Did you mean \"role\"?"));
  EXPECT_THAT(bad.err, HasSubstr("bad.yaml:4:"));
  const auto json = nlohmann::json::parse(run_with({"validate", path("bad.yaml"), "-o", "json"}).out);
  EXPECT_EQ(json["valid"], false);
  EXPECT_GE(json["diagnostics"].size(), 2U);
}

TEST_F(Commands, PlanApplyAndNothingIsLeft) {
  start_cluster();
  const Ran planned = run_with({"plan", path("fleet.yaml"), "--detailed-exitcode"});
  EXPECT_EQ(planned.code, ExitCode::kChanges) << planned.err;
  EXPECT_THAT(planned.out, HasSubstr("discard"));
  EXPECT_THAT(planned.out, HasSubstr("D1"));
  EXPECT_EQ(run_with({"plan", path("fleet.yaml")}).code, ExitCode::kDone);

  const Ran applied =
      run_with({"apply", path("fleet.yaml"), "--auto-approve", "-o", "json", "--events", path("events")});
  EXPECT_EQ(applied.code, ExitCode::kDone) << applied.err;
  EXPECT_EQ(nlohmann::json::parse(applied.out)["all_done"], true);
  std::ifstream events(path("events"));
  std::string line;
  std::vector<std::string> names;
  while (std::getline(events, line)) names.push_back(nlohmann::json::parse(line)["event"]);
  ASSERT_FALSE(names.empty());
  EXPECT_EQ(names.front(), "run-started");
  EXPECT_EQ(names.back(), "run-finished");

  const Ran again = run_with({"plan", path("fleet.yaml"), "--detailed-exitcode", "-o", "json"});
  EXPECT_EQ(again.code, ExitCode::kDone);
  EXPECT_EQ(nlohmann::json::parse(again.out)["empty"], true) << again.out;
  // A directory stands for the fleet file in it.
  const Ran directory = run_with({"apply", path(""), "--auto-approve"});
  EXPECT_EQ(directory.code, ExitCode::kDone) << directory.err;
  EXPECT_THAT(directory.out, HasSubstr("No changes"));
}

TEST_F(Commands, ApplyDoesNothingWhenNobodyCanConfirm) {
  start_cluster();
  const Ran refused = run_with({"apply", path("fleet.yaml")});
  EXPECT_EQ(refused.code, ExitCode::kError);
  EXPECT_THAT(refused.err, HasSubstr("--auto-approve"));
  EXPECT_EQ(run_with({"plan", path("fleet.yaml"), "--detailed-exitcode"}).code, ExitCode::kChanges)
      << "something was changed";
}

TEST_F(Commands, ASavedPlanIsCarriedOutOnceAndThenStale) {
  start_cluster();
  ASSERT_EQ(run_with({"plan", path("fleet.yaml"), "--out", path("plan.pvr")}).code, ExitCode::kDone);
  const Ran first = run_with({"apply", path("plan.pvr"), "--auto-approve"});
  EXPECT_EQ(first.code, ExitCode::kDone) << first.err;
  const Ran second = run_with({"apply", path("plan.pvr"), "--auto-approve"});
  EXPECT_EQ(second.code, ExitCode::kError);
  EXPECT_THAT(second.err, HasSubstr("stale"));
}

TEST_F(Commands, ASavedPlanIsShownWithoutACluster) {
  start_cluster();
  const Ran planned = run_with({"plan", path("fleet.yaml"), "--out", path("plan.pvr"), "-o", "json"});
  ASSERT_EQ(planned.code, ExitCode::kDone) << planned.err;
  cluster_.reset();
  const Ran shown = run_with({"show", path("plan.pvr"), "-o", "json", "--detailed-exitcode"});
  EXPECT_EQ(shown.code, ExitCode::kChanges) << shown.err;
  EXPECT_EQ(shown.out, planned.out);
  EXPECT_THAT(run_with({"show", path("plan.pvr"), "-o", "junit"}).out, HasSubstr("<testcase"));
  EXPECT_THAT(run_with({"show", path("fleet.yaml")}).err, HasSubstr("no saved plan"));
  EXPECT_THAT(run_with({"show", path("")}).err, HasSubstr("is a directory"));
  EXPECT_EQ(run_with({"show", path("none")}).code, ExitCode::kError);
}

TEST_F(Commands, OnlyThePlanThatWasReviewedIsCarriedOut) {
  start_cluster();
  const auto digest = [&] {
    const std::string text = run_with({"plan", path("fleet.yaml"), "-o", "json"}).out;
    return nlohmann::json::parse(text)["digest"].get<std::string>();
  };
  const std::string reviewed = digest();
  write("fleet.yaml", std::string(kFleet) + "  # a comment changes no plan\n");
  EXPECT_EQ(digest(), reviewed);

  write("other.yaml", std::string(kFleet).replace(std::string(kFleet).find("cores: 4"), 8, "cores: 8"));
  const Ran refused = run_with({"apply", path("other.yaml"), "--auto-approve", "--expect", reviewed});
  EXPECT_EQ(refused.code, ExitCode::kError);
  EXPECT_THAT(refused.err, HasSubstr("not the plan that was reviewed"));
  EXPECT_EQ(digest(), reviewed) << "something was changed";

  const Ran applied = run_with({"apply", path("fleet.yaml"), "--auto-approve", "--expect", reviewed});
  EXPECT_EQ(applied.code, ExitCode::kDone) << applied.err;
  const Ran again = run_with({"apply", path("fleet.yaml"), "--auto-approve", "--expect", reviewed});
  EXPECT_EQ(again.code, ExitCode::kDone) << "nothing is left to do: " << again.err;
}

TEST_F(Commands, ExplainAnswersInOneLineAndRefusesWhatItDoesNotKnow) {
  start_cluster();
  const Ran known = run_with({"explain", path("fleet.yaml"), "vm/one", "root", "cache"});
  EXPECT_EQ(known.code, ExitCode::kDone) << known.err;
  EXPECT_THAT(known.out, HasSubstr("cache=none  rule C1"));
  EXPECT_EQ(run_with({"explain", path("fleet.yaml"), "vm/two"}).code, ExitCode::kError);
  EXPECT_EQ(run_with({"explain", path("fleet.yaml"), "one", "scsi0", "frobnicate"}).code, ExitCode::kError);
}

TEST_F(Commands, StatusShowsTheThreeTruths) {
  start_cluster();
  const Ran status = run_with({"status", path("fleet.yaml")});
  EXPECT_EQ(status.code, ExitCode::kDone) << status.err;
  EXPECT_THAT(status.out, HasSubstr("declared"));
  EXPECT_THAT(status.out, HasSubstr("root discard"));
  const Ran other = run_with({"status", path("fleet.yaml"), "--target", "storage/tank"});
  EXPECT_THAT(other.out, Not(HasSubstr("vm/one")));
  EXPECT_THAT(other.out, HasSubstr("storage/tank"));
}

TEST_F(Commands, ASimulatedClusterLivesAsLongAsItsCommand) {
  const std::string simulate = "--simulate=" + path("cluster.yaml");
  EXPECT_EQ(run_with({"apply", path("fleet.yaml"), simulate, "--auto-approve"}).code, ExitCode::kDone);
  EXPECT_EQ(run_with({"plan", path("fleet.yaml"), simulate, "--detailed-exitcode"}).code, ExitCode::kChanges);
  write("broken.yaml", "nodes: {pve1: {colour: blue}}\n");
  const Ran broken = run_with({"plan", path("fleet.yaml"), "--simulate=" + path("broken.yaml")});
  EXPECT_EQ(broken.code, ExitCode::kError);
  EXPECT_THAT(broken.err, HasSubstr("colour"));
}

TEST_F(Commands, TheTokenIsNeverShown) {
  start_cluster();
  const Ran ran = run_with({"plan", path("fleet.yaml"), "--out", path("plan.pvr")});
  std::ifstream file(path("plan.pvr"));
  const std::string saved((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  for (const std::string& text : {ran.out, ran.err, saved}) EXPECT_THAT(text, Not(HasSubstr(cluster_->token_secret())));
}

TEST_F(Commands, RolesAndTextsNeedNoCluster) {
  EXPECT_THAT(run_with({"role", "list"}).out, HasSubstr("specialty-windows"));
  const Ran role = run_with({"role", "show", "speciality-linux"});
  EXPECT_EQ(role.code, ExitCode::kError);
  EXPECT_THAT(role.err, HasSubstr("Did you mean \"specialty-linux\"?"));
  EXPECT_TRUE(nlohmann::json::accept(run_with({"schema"}).out));
  EXPECT_THAT(run_with({"version"}).out, HasSubstr("pvereconcile "));
  EXPECT_EQ(run_with({"--version"}).out, run_with({"version"}).out);
}

TEST(Outcome, CodesFollowTheTable) {
  Plan plan;
  EXPECT_EQ(code_of(plan, true), ExitCode::kDone);
  plan.blocked.push_back({{}, "x", "y", "z", true});
  EXPECT_EQ(code_of(plan, true), ExitCode::kBlocked);
  plan.operations.resize(2);
  plan.operations[0].id = 1;
  plan.operations[1].id = 2;
  EXPECT_EQ(code_of(plan, true), ExitCode::kChanges);
  EXPECT_EQ(code_of(plan, false), ExitCode::kDone);

  ApplyReport report;
  report.operations = {{1, Outcome::kDone, "", {}}, {2, Outcome::kAlready, "", {}}};
  EXPECT_EQ(code_of(plan, report), ExitCode::kBlocked);
  plan.blocked.clear();
  EXPECT_EQ(code_of(plan, report), ExitCode::kDone);
  report.operations[1].outcome = Outcome::kFailed;
  EXPECT_EQ(code_of(plan, report), ExitCode::kPartly);
  report.operations[0].outcome = Outcome::kSkipped;
  EXPECT_EQ(code_of(plan, report), ExitCode::kError);
  report.interrupted = true;
  EXPECT_EQ(code_of(plan, report), ExitCode::kInterrupted);
  plan.partial = true;
  EXPECT_EQ(code_of(plan, true), ExitCode::kPartly);
}

TEST(Outcome, APlanFileIsToldFromAFleetAndSecretsAreNamed) {
  Plan plan = test::sample_plan();
  EXPECT_TRUE(is_plan_file(print_plan(plan)));
  EXPECT_FALSE(is_plan_file(kFleet));
  EXPECT_TRUE(withheld_options(plan).empty());
  plan.operations[2].procedure = SetVmOptions{.vmid = {701}, .withheld = {"cipassword"}};
  EXPECT_THAT(withheld_options(plan), ::testing::ElementsAre("vm/ai-01/models cipassword"));
}

}  // namespace
}  // namespace pvr::cli
