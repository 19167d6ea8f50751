// A run as a whole: what a failure stops and what it does not, what is told, and what stays in the lease. Power, copies
// of guests and backups as the simulated cluster carries them out.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "reconciler/execute/guest_power.h"
#include "simulator/world/world.h"
#include "tests/scenarios/fleet.h"

namespace pvr::scenario {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr Vmid kRuns{120};
constexpr Vmid kStopped{121};

Procedure cores(std::uint32_t vmid, const char* count) {
  return SetVmOptions{.vmid = Vmid{vmid}, .set = map({{"cores", count}})};
}

std::vector<Outcome> outcomes(const ApplyReport& report) {
  std::vector<Outcome> all;
  for (const OperationReport& one : report.operations) all.push_back(one.outcome);
  return all;
}

class ARun : public ::testing::Test {
 protected:
  ApplyReport apply_plan(const Plan& plan, const ApplyOptions& options, EventSink* events = nullptr,
                         std::stop_token stop = {}) {
    const auto pve = world_.client();
    return apply(plan, {.pve = *pve, .clock = world_.clock(), .events = events != nullptr ? *events : world_.events()},
                 options, std::move(stop));
  }
  std::optional<LeaseRecord> lease() {
    const auto record = read_lease(*world_.client());
    EXPECT_TRUE(record);
    return record ? *record : std::nullopt;
  }

  World world_{kLab};
  pvesim::Simulator& sim_ = world_.sim();
};

// --- what a failure stops

TEST_F(ARun, GoesOnAfterAFailureThatConcernsNobodyElse) {
  const ApplyReport report = world_.run({cores(999, "2"), cores(121, "3")});
  EXPECT_THAT(outcomes(report), ElementsAre(Outcome::kConflict, Outcome::kDone)) << text_of(report);
  EXPECT_EQ(report.stopped_by, "");
  EXPECT_FALSE(report.interrupted);
  EXPECT_EQ(value_of(sim_, 121, "cores"), "3");
}

TEST_F(ARun, StopsAfterTooManyFailures) {
  const Plan plan = World::plan_of({cores(998, "2"), cores(999, "2"), cores(121, "3")});
  for (const std::uint32_t most : {2U, 3U, 0U}) {
    sim_.set_config(121, "cores", "1");
    ApplyOptions options = world_.options();
    options.most_failures = most;
    const ApplyReport report = apply_plan(plan, options);
    ASSERT_EQ(report.operations.size(), 3U);
    EXPECT_EQ(report.operations[2].outcome, most == 2 ? Outcome::kSkipped : Outcome::kDone) << most << text_of(report);
    EXPECT_EQ(report.operations[2].detail, most == 2 ? "Not started: too many operations failed." : "") << most;
    EXPECT_EQ(report.stopped_by, most == 2 ? "2 operations failed." : "") << most;
    EXPECT_EQ(value_of(sim_, 121, "cores"), most == 2 ? "1" : "3") << most;
  }
}

TEST_F(ARun, CountsFailuresOnly) {
  ApplyOptions options = world_.options();
  options.most_failures = 1;
  const ApplyReport report = apply_plan(World::plan_of({cores(121, "1"), cores(121, "2"), cores(121, "3")}), options);
  EXPECT_THAT(outcomes(report), ElementsAre(Outcome::kAlready, Outcome::kDone, Outcome::kDone)) << text_of(report);
}

TEST_F(ARun, StopsWhenItsTokenIsRefused) {
  sim_.add_fault({.action = pvesim::FaultAction::kStatus,
                  .method = "PUT",
                  .path = "*/qemu/121/config",
                  .times = 0,
                  .status = 401,
                  .message = "No ticket"});
  const ApplyReport report = world_.run({cores(121, "3"), cores(900, "3")});
  EXPECT_THAT(outcomes(report), ElementsAre(Outcome::kFailed, Outcome::kSkipped)) << text_of(report);
  EXPECT_EQ(report.stopped_by, report.operations.at(0).detail);
  EXPECT_EQ(report.operations.at(1).detail, "Not started: " + report.stopped_by);
  EXPECT_EQ(value_of(sim_, 900, "cores"), "1");
}

TEST_F(ARun, OfOperationsThatWaitForEachOtherEnds) {
  Plan plan = World::plan_of({cores(121, "3"), cores(120, "3")});
  plan.operations[0].after = {2};
  plan.operations[1].after = {1};
  ApplyOptions options = world_.options();
  options.limits.parallelism = 2;
  const ApplyReport report = apply_plan(plan, options);
  EXPECT_THAT(outcomes(report), ElementsAre(Outcome::kSkipped, Outcome::kSkipped));
  EXPECT_THAT(report.stopped_by, HasSubstr("wait for each other"));
  EXPECT_EQ(report.operations.at(1).detail, report.stopped_by);
}

// --- what is told

TEST_F(ARun, ReportsInTheOrderOfThePlanHoweverLongEachTakes) {
  const Plan plan = World::plan_of(
      {MoveDisk{.vmid = kRuns, .slot = {Bus::kScsi, 0}, .volume = volume("z16:vm-120-disk-0"), .storage = "z64"},
       cores(121, "3"), cores(999, "3"), cores(900, "3")});
  for (const std::uint32_t parallelism : {0U, 1U, 2U, 8U}) {
    World world(kLab);
    ApplyOptions options = world.options();
    options.limits.parallelism = parallelism;
    const auto pve = world.client();
    const ApplyReport report =
        apply(plan, {.pve = *pve, .clock = world.clock(), .events = world.events()}, options, {});
    ASSERT_EQ(report.operations.size(), 4U) << parallelism;
    for (OperationId id = 1; id <= 4; ++id) EXPECT_EQ(report.operations[id - 1].operation, id) << parallelism;
    EXPECT_THAT(outcomes(report), ElementsAre(Outcome::kDone, Outcome::kDone, Outcome::kConflict, Outcome::kDone))
        << text_of(report);
  }
}

TEST_F(ARun, TellsOfEachOperationOnceAlsoOfThoseThatNeverRan) {
  Plan plan = World::plan_of({cores(121, "3"), cores(999, "3"), cores(900, "3")});
  plan.operations[2].after = {2};
  ApplyOptions options = world_.options();
  static_cast<void>(apply_plan(plan, options));
  std::vector<std::string> told;
  for (const Event& event : world_.events().take()) {
    if (const auto* one = std::get_if<RunStarted>(&event)) told.push_back("run of " + std::to_string(one->operations));
    if (const auto* one = std::get_if<OperationStarted>(&event))
      told.push_back("start " + std::to_string(one->operation));
    if (const auto* one = std::get_if<StepStarted>(&event)) told.push_back(one->step);
    if (const auto* one = std::get_if<OperationFinished>(&event))
      told.push_back("end " + std::to_string(one->operation) + " " + std::string(to_text(one->outcome)) + " " +
                     one->detail);
    if (const auto* one = std::get_if<RunFinished>(&event)) told.push_back(one->interrupted ? "interrupted" : "over");
  }
  EXPECT_THAT(
      told,
      ElementsAre("run of 3", "start 1", "write-options", "end 1 " + std::string(to_text(Outcome::kDone)) + " ",
                  "start 2", "end 2 " + std::string(to_text(Outcome::kConflict)) + " vm 999 does not exist.",
                  "end 3 " + std::string(to_text(Outcome::kSkipped)) + " It needs operation 2, which did not succeed.",
                  "over"));
}

TEST_F(ARun, IsNotInterruptedByARequestThatComesWhenEverythingIsDone) {
  std::stop_source stop;
  struct AtTheEnd final : EventSink {
    explicit AtTheEnd(std::stop_source& source) : stop(source) {}
    void emit(const Event& event) override {
      if (std::holds_alternative<OperationFinished>(event)) stop.request_stop();
      if (const auto* one = std::get_if<RunFinished>(&event)) told = one->interrupted;
    }
    std::stop_source& stop;
    bool told = true;
  } events(stop);
  const ApplyReport report = apply_plan(World::plan_of({cores(121, "3")}), world_.options(), &events, stop.get_token());
  EXPECT_FALSE(report.interrupted);
  EXPECT_FALSE(events.told);
  EXPECT_TRUE(report.all_done());
}

// A plan read from a file holds no secrets.
TEST_F(ARun, NamesTheValuesThatThePlanFileDoesNotHold) {
  const auto warnings = [&](const Procedure& procedure) { return world_.run({procedure}).operations.at(0).warnings; };
  const auto left = [](const std::string& key) {
    return "The value of " + key + " is not in the plan file; it was left as it is.";
  };
  EXPECT_THAT(warnings(SetVmOptions{.vmid = kStopped, .set = map({{"cores", "2"}}), .withheld = {"cipassword"}}),
              ElementsAre(left("cipassword")));
  EXPECT_THAT(warnings(SetVmOptions{.vmid = kStopped, .set = map({{"cipassword", "x"}}), .withheld = {"cipassword"}}),
              IsEmpty());
  EXPECT_THAT(warnings(UpdateStorage{.id = "z64", .set = map({{"sparse", "0"}}), .withheld = {"password"}}),
              ElementsAre(left("password")));
  EXPECT_THAT(warnings(CreateStorage{.id = "z128",
                                     .type = "zfspool",
                                     .properties = map({{"pool", "tank/vbs128k"}, {"content", "images"}}),
                                     .withheld = {"content", "password"}}),
              ElementsAre(left("password")));
  EXPECT_THAT(warnings(CreateVm{.node = "pve1",
                                .vmid = Vmid{200},
                                .options = map({{"name", "x"}, {"memory", "512"}}),
                                .uuid = "11111111-2222-3333-4444-000000000200",
                                .withheld = {"name", "cipassword"}}),
              ElementsAre(left("cipassword")));
}

// --- the lease

TEST_F(ARun, TakesALeaseUnlessItIsTold) {
  struct Look final : EventSink {
    explicit Look(std::function<void()> look) : act(std::move(look)) {}
    void emit(const Event& event) override {
      if (std::holds_alternative<OperationStarted>(event)) act();
    }
    std::function<void()> act;
  };
  std::optional<LeaseRecord> during;
  Look look([&] { during = lease(); });
  ApplyOptions options = world_.options();
  options.lease.nonce.clear();
  EXPECT_TRUE(apply_plan(World::plan_of({cores(121, "2")}), options, &look).all_done());
  ASSERT_TRUE(during);
  EXPECT_EQ(during->nonce.size(), 32U) << "made up, since none was given";
  EXPECT_FALSE(lease()) << "given back";
  options.with_lease = false;
  EXPECT_TRUE(apply_plan(World::plan_of({cores(121, "3")}), options, &look).all_done());
  EXPECT_FALSE(during);
}

TEST_F(ARun, LeavesALeaseThatIsHeldForItToItsHolder) {
  const auto pve = world_.client();
  auto held = Lease::acquire(*pve, world_.clock(), {.holder = "several runs", .nonce = "n"});
  ASSERT_TRUE(held);
  ApplyOptions options = world_.options();
  options.held = held->get();
  EXPECT_TRUE(apply_plan(World::plan_of({cores(121, "2")}), options).all_done());
  EXPECT_TRUE((*held)->check());
  ASSERT_TRUE((*held)->release());
  const ApplyReport late = apply_plan(World::plan_of({cores(121, "3"), cores(900, "3")}), options);
  EXPECT_THAT(outcomes(late), ElementsAre(Outcome::kFailed, Outcome::kSkipped)) << text_of(late);
  EXPECT_THAT(late.stopped_by, HasSubstr("The lease of this cluster is not ours: it was lost before."));
  EXPECT_EQ(value_of(sim_, 121, "cores"), "2");
}

TEST_F(ARun, DoesNothingWhileSomebodyElseHoldsTheLease) {
  const auto pve = world_.client();
  ASSERT_TRUE(Lease::acquire(*pve, world_.clock(), {.holder = "alice", .nonce = "n"}));
  const ApplyReport report = world_.run({cores(121, "3"), cores(900, "3")});
  EXPECT_THAT(outcomes(report), ElementsAre(Outcome::kSkipped, Outcome::kSkipped));
  EXPECT_THAT(report.stopped_by, HasSubstr("held by alice since"));
  EXPECT_EQ(report.operations.at(1).operation, 2U);
  EXPECT_EQ(report.operations.at(1).detail, "Not started: " + report.stopped_by);
  EXPECT_EQ(value_of(sim_, 121, "cores"), "1");
}

TEST_F(ARun, DropsTheNotesOfRestartsThatAreOverAndNoOthers) {
  const auto pve = world_.client();
  auto held = Lease::acquire(*pve, world_.clock(), {.holder = "me", .nonce = "n"});
  ASSERT_TRUE(held);
  for (const std::uint32_t vmid : {120U, 121U, 122U, 999U}) ASSERT_TRUE((*held)->note_restart(Vmid{vmid}));
  sim_.inspect([](pvesim::World& inside) {
    inside.ha_resources.at("vm:122").values["state"] = "stopped";
    inside.ha_resources.at("vm:122").crm_state = "started";
  });
  ASSERT_TRUE(sim_.vm_running(122));
  sim_.add_fault({.action = pvesim::FaultAction::kTaskStall, .task = "qmmove", .step = "copy*"});
  ASSERT_EQ(sim_.admin_call("POST", "/nodes/pve1/qemu/120/move_disk", {{"disk", "scsi0"}, {"storage", "z64"}}).status,
            200);
  tidy_restarts(**held, *pve);
  EXPECT_THAT((*held)->restarting(), ElementsAre(120U, 121U, 122U)) << "only what is gone is over";
  sim_.inspect([](pvesim::World& inside) { inside.ha_resources.at("vm:122").values["state"] = "started"; });
  tidy_restarts(**held, *pve);
  EXPECT_THAT((*held)->restarting(), ElementsAre(120U, 121U)) << "one has a task, one is stopped";
}

// --- power

TEST(AskedToStop, IsWhomHaIsToldToStop) {
  HaList list;
  const auto with = [&](const char* sid, const char* state) {
    LiveHa one;
    one.sid = sid;
    if (state != nullptr) one.properties.set("state", state);
    list.resources.push_back(one);
  };
  with("vm:1", "stopped");
  with("vm:2", "disabled");
  with("vm:3", "started");
  with("vm:4", nullptr);
  with("vm:5", "ignored");
  with("vm:6", "enabled");
  const bool asked[] = {true, true, false, false, false, false, false};
  for (std::uint32_t vmid = 1; vmid <= 7; ++vmid) EXPECT_EQ(asked_to_stop(list, Vmid{vmid}), asked[vmid - 1]) << vmid;
}

TEST_F(ARun, RemembersAGuestThatIsStoppedForAWhileUntilItIsStarted) {
  EXPECT_TRUE(world_.run({StopVm{.vmid = kRuns}}).all_done());
  EXPECT_FALSE(lease()) << "stopped for good";
  EXPECT_TRUE(world_.run({StartVm{.vmid = kRuns}}).all_done());
  EXPECT_TRUE(world_.run({StopVm{.vmid = kRuns, .again = true}}).all_done());
  ASSERT_TRUE(lease());
  EXPECT_THAT(lease()->restarting, ElementsAre(120U));
  EXPECT_TRUE(lease()->released);
  EXPECT_TRUE(world_.run({StartVm{.vmid = kRuns}}).all_done());
  EXPECT_FALSE(lease());
  EXPECT_TRUE(sim_.vm_running(120));
}

TEST_F(ARun, ForgetsAStopThatTheGuestDidNotHeed) {
  sim_.inspect([](pvesim::World& inside) { inside.vms.at(120).ignores_shutdown = true; });
  for (const Procedure& procedure :
       {Procedure(RestartVm{.vmid = kRuns}), Procedure(StopVm{.vmid = kRuns, .again = true}),
        Procedure(StopVm{.vmid = kRuns})}) {
    const ApplyReport report = world_.run({procedure});
    EXPECT_EQ(report.operations.at(0).outcome, Outcome::kFailed) << text_of(report);
    EXPECT_THAT(report.operations.at(0).detail, HasSubstr("while shutting down vm 120"));
    EXPECT_THAT(report.operations.at(0).warnings, IsEmpty());
    EXPECT_TRUE(sim_.vm_running(120));
    EXPECT_FALSE(lease()) << "nobody needs to start it later";
  }
}

// Without a lease nothing remembers a guest whose shutdown nobody could watch.
TEST_F(ARun, SaysWhichGuestMayBeStoppedWhereNothingRemembersIt) {
  const std::pair<Procedure, bool> rows[] = {
      {RestartVm{.vmid = kRuns}, true}, {StopVm{.vmid = kRuns, .again = true}, true}, {StopVm{.vmid = kRuns}, false}};
  for (const auto& [procedure, warns] : rows) {
    World world(kLab);
    world.sim().add_fault({.action = pvesim::FaultAction::kStatus,
                           .method = "GET",
                           .path = "*/tasks/*/status",
                           .status = 403,
                           .message = "Permission check failed"});
    ApplyOptions options = world.options();
    options.with_lease = false;
    const auto pve = world.client();
    const ApplyReport report = apply(World::plan_of({procedure}),
                                     {.pve = *pve, .clock = world.clock(), .events = world.events()}, options, {});
    EXPECT_EQ(report.operations.at(0).outcome, Outcome::kFailed) << text_of(report);
    if (warns) {
      EXPECT_THAT(report.operations.at(0).warnings, ElementsAre(HasSubstr("vm 120 may be stopped now")))
          << text_of(report);
    } else {
      EXPECT_THAT(report.operations.at(0).warnings, IsEmpty());
    }
  }
}

// Its request to shut down was on its way when the lease ended. The next holder keeps the note, or has dropped it.
TEST_F(ARun, SaysWhichGuestMayBeStoppedWhereItsLeaseIsLost) {
  for (const bool kept : {false, true}) {
    World world(kLab);
    const auto rival = world.client();
    std::unique_ptr<Lease> theirs;
    MishapTransport::Plan hook;
    hook.counts = [&](const HttpRequest& request) {
      if (theirs != nullptr || request.path.find("/status/shutdown") == std::string::npos) return false;
      theirs = break_lease(world, *rival);
      if (theirs != nullptr && !kept) {
        for (int i = 0; i < 3; ++i) {
          world.sim().advance(std::chrono::seconds(150));
          EXPECT_TRUE(theirs->keep());
        }
        EXPECT_TRUE(theirs->forget_restart(kRuns));
      }
      return false;
    };
    const ApplyReport report = world.run({RestartVm{.vmid = kRuns}}, hook);
    ASSERT_NE(theirs, nullptr);
    EXPECT_FALSE(world.sim().vm_running(120));
    ASSERT_EQ(report.operations.at(0).outcome, Outcome::kFailed) << text_of(report);
    if (kept) {
      EXPECT_THAT(report.operations.at(0).warnings, IsEmpty());
    } else {
      EXPECT_THAT(
          report.operations.at(0).warnings,
          ElementsAre(AllOf(HasSubstr("vm 120 may be stopped now: the lease was lost"), HasSubstr("qm start 120"))));
    }
  }
}

TEST_F(ARun, SaysThatHaDidNotActInTime) {
  sim_.add_fault({.action = pvesim::FaultAction::kTaskStall, .task = "qmshutdown"});
  const auto began = world_.clock().steady();
  const ApplyReport report = world_.run({StopVm{.vmid = Vmid{122}, .ha = true}});
  EXPECT_EQ(report.operations.at(0).outcome, Outcome::kFailed);
  EXPECT_THAT(report.operations.at(0).detail, HasSubstr("HA did not make vm:122 stopped within 300 s."));
  EXPECT_GE(world_.clock().steady() - began, std::chrono::seconds(300));
  EXPECT_LE(world_.clock().steady() - began, std::chrono::seconds(400));
}

// Somebody starts it while its restart is under way.
TEST_F(ARun, SaysThatAStoppedGuestRunsAgain) {
  bool done = false;
  MishapTransport::Plan hook;
  hook.counts = [&](const HttpRequest& request) {
    if (!done && request.method == "GET" && request.path.find("/120/") != std::string::npos && !sim_.vm_running(120)) {
      done = true;
      EXPECT_EQ(sim_.start_vm(120), "OK");
    }
    return false;
  };
  const ApplyReport report = world_.run({RestartVm{.vmid = kRuns}}, hook);
  ASSERT_TRUE(done);
  EXPECT_EQ(report.operations.at(0).outcome, Outcome::kFailed) << text_of(report);
  EXPECT_THAT(report.operations.at(0).detail, HasSubstr("It runs again, though nobody asked for it."));
  EXPECT_FALSE(lease());
}

// --- guests that are made

TEST_F(ARun, MakesAGuestInItsPoolWithItsOwnIdentity) {
  ASSERT_TRUE(world_.run({CreatePool{.id = "prod"}}).all_done());
  const std::string uuid = "11111111-2222-3333-4444-000000000200";
  const ApplyReport report = world_.run(
      {CreateVm{
           .node = "pve1",
           .vmid = Vmid{200},
           .options =
               map({{"name", "x"}, {"memory", "512"}, {"smbios1", "uuid=" + uuid + ",manufacturer=QUNNRQ==,base64=1"}}),
           .pool = "prod",
           .uuid = uuid},
       CloneVm{.source_node = "pve1", .source = Vmid{900}, .vmid = Vmid{201}, .name = "y", .pool = "prod"}});
  EXPECT_TRUE(report.all_done()) << text_of(report);
  EXPECT_THAT(value_of(sim_, 200, "smbios1"), HasSubstr("manufacturer=QUNNRQ=="));
  EXPECT_THAT(value_of(sim_, 200, "smbios1"), HasSubstr(uuid));
  const auto members = world_.client()->pool_members("prod");
  ASSERT_TRUE(members);
  EXPECT_THAT(*members, ::testing::UnorderedElementsAre(200U, 201U));
  EXPECT_EQ(value_of(sim_, 201, "name"), "y");
}

TEST_F(ARun, ClonesToWhereTheCloneBelongs) {
  const ApplyReport report = world_.run(
      {CloneVm{.source_node = "pve1", .source = Vmid{122}, .vmid = Vmid{201}, .name = "far", .target_node = "pve2"},
       // Its own node needs no shared storage.
       CloneVm{.source_node = "pve1", .source = Vmid{900}, .vmid = Vmid{202}, .name = "near", .target_node = "pve1"},
       // A linked clone lies where its template does.
       CloneVm{.source_node = "pve1",
               .source = Vmid{900},
               .vmid = Vmid{203},
               .name = "thin",
               .full = false,
               .storage = "z64"}});
  EXPECT_TRUE(report.all_done()) << text_of(report);
  EXPECT_EQ(sim_.vm_node(201), "pve2");
  EXPECT_EQ(sim_.vm_node(202), "pve1");
  const auto linked = sim_.volume(value_of(sim_, 203, "scsi0").substr(0, value_of(sim_, 203, "scsi0").find(',')));
  ASSERT_TRUE(linked) << sim_.vm_config_text(203);
  EXPECT_THAT(linked->origin, HasSubstr("base-900-disk-0"));
  const auto full = sim_.volume("z16:vm-202-disk-0");
  ASSERT_TRUE(full);
  EXPECT_EQ(full->origin, "");
}

// --- backups

TEST_F(ARun, BacksUpWhereNoBackupIsYoungEnough) {
  using std::chrono::seconds;
  const auto made = [&] {
    std::vector<std::int64_t> times;
    const auto listed = world_.client()->volumes("pve1", "local", kStopped);
    EXPECT_TRUE(listed);
    for (const LiveVolume& one : *listed)
      if (one.content == "backup") times.push_back(*one.made);
    std::ranges::sort(times);
    return times;
  };
  const auto run = [&](seconds newer_than) {
    const ApplyReport report = world_.run({BackUpVm{.vmid = kStopped, .storage = "local", .newer_than = newer_than}});
    EXPECT_TRUE(report.all_done()) << text_of(report);
    return report.operations.at(0).outcome;
  };
  const auto age = [&] {
    const auto now = std::chrono::floor<seconds>(world_.clock().wall()).time_since_epoch().count();
    return seconds(now - made().back());
  };
  EXPECT_EQ(run(seconds(3600)), Outcome::kDone);
  EXPECT_EQ(made().size(), 1U);
  EXPECT_EQ(run(seconds(3600)), Outcome::kAlready);
  EXPECT_EQ(run(seconds(0)), Outcome::kDone) << "one anew, however young the last one is";
  ASSERT_EQ(made().size(), 2U);
  EXPECT_EQ(run(age() - seconds(1)), Outcome::kDone) << "too old by a second";
  ASSERT_EQ(made().size(), 3U);
  sim_.advance(seconds(100));
  EXPECT_EQ(run(seconds(3600)), Outcome::kAlready) << "the newest counts";
  EXPECT_EQ(made().size(), 3U);
}

}  // namespace
}  // namespace pvr::scenario
