// The lease on the simulated cluster: one writer, whoever they are and wherever they run.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/scenarios/world.h"

namespace pvr::scenario {
namespace {

using ::testing::HasSubstr;

/// The clock of one of two runs.
class OwnClock final : public Clock {
 public:
  explicit OwnClock(Clock& inner) : inner_(inner) {}
  [[nodiscard]] std::chrono::system_clock::time_point wall() const override { return inner_.wall() + error; }
  [[nodiscard]] std::chrono::steady_clock::time_point steady() const override { return inner_.steady(); }
  bool wait(std::chrono::milliseconds span, std::stop_token stop) override {
    if (auto act = std::exchange(at_first_wait, {})) act();
    return inner_.wait(span, std::move(stop));
  }
  std::chrono::seconds error = {};  // of its wall clock
  std::function<void()> at_first_wait = {};

 private:
  Clock& inner_;
};

class LeaseOnACluster : public ::testing::Test {
 protected:
  static LeaseOptions as(const std::string& who, bool break_existing = false) {
    return {.holder = who,
            .nonce = "nonce of " + who,
            .lifetime = std::chrono::seconds(300),
            .settle = std::chrono::seconds(3),
            .break_existing = break_existing};
  }
  Result<std::unique_ptr<Lease>> take(const std::string& who, bool break_existing = false) {
    return Lease::acquire(*pve_, world_.clock(), as(who, break_existing));
  }

  World world_{kLab};
  std::unique_ptr<PveClient> pve_ = world_.client();
};

TEST_F(LeaseOnACluster, TheSecondWriterIsToldWhoHoldsIt) {
  const auto first = take("alice");
  ASSERT_TRUE(first) << first.error().text();
  const auto second = take("bob");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().kind, ErrorKind::kLeaseLost);
  EXPECT_THAT(second.error().message, HasSubstr("alice"));
  EXPECT_THAT(second.error().message, HasSubstr("--break-lease"));
}

TEST_F(LeaseOnACluster, ReleasedItIsFree) {
  auto first = take("alice");
  ASSERT_TRUE(first);
  ASSERT_TRUE((*first)->release());
  EXPECT_TRUE(take("bob"));
}

TEST_F(LeaseOnACluster, RenewedItLastsAndForgottenItEnds) {
  auto first = take("alice");
  ASSERT_TRUE(first);
  for (int i = 0; i < 10; ++i) {
    world_.sim().advance(std::chrono::seconds(150));
    ASSERT_TRUE((*first)->keep()) << i;
  }
  EXPECT_FALSE(take("bob"));
  world_.sim().advance(std::chrono::seconds(300) + kClockSkew + std::chrono::seconds(1));
  const auto second = take("bob");
  ASSERT_TRUE(second) << second.error().text();
  const Status late = (*first)->keep();
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().kind, ErrorKind::kLeaseLost);
  EXPECT_TRUE((*second)->check());
}

TEST_F(LeaseOnACluster, ThatRanOutIsNotTakenBackByItsHolder) {
  auto first = take("alice");
  ASSERT_TRUE(first);
  world_.sim().advance(std::chrono::seconds(301));
  const Status late = (*first)->check();
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().kind, ErrorKind::kLeaseLost);
}

TEST_F(LeaseOnACluster, BrokenOnPurposeTheOldHolderStops) {
  auto first = take("alice");
  ASSERT_TRUE(first);
  const auto second = take("bob", true);
  ASSERT_TRUE(second) << second.error().text();
  EXPECT_EQ((*first)->check().error().kind, ErrorKind::kLeaseLost);
  EXPECT_TRUE((*second)->check());
}

// Two breakers at once: whatever the order of their requests, at most one of them believes that it won.
TEST_F(LeaseOnACluster, TwoBreakersCannotBothWin) {
  ASSERT_TRUE(take("dead"));
  // The rival writes while the first breaker waits for the dust to settle.
  std::unique_ptr<Lease> rival;
  OwnClock clock(world_.clock());
  clock.at_first_wait = [&] {
    auto taken = take("bob", true);
    if (taken) rival = std::move(taken).value();
  };
  const auto first = Lease::acquire(*pve_, clock, as("alice", true));
  const int winners = (first && (*first)->check() ? 1 : 0) + (rival && rival->check() ? 1 : 0);
  EXPECT_EQ(winners, 1);
}

// A machine's clock is set right, or wrong, while the run goes on.
TEST_F(LeaseOnACluster, AClockThatIsSetBackDoesNotEndItForTheOthers) {
  OwnClock clock(world_.clock());
  auto first = Lease::acquire(*pve_, clock, as("alice"));
  ASSERT_TRUE(first) << first.error().text();
  clock.error = -std::chrono::hours(2);
  for (int i = 0; i < 3; ++i) {
    world_.sim().advance(std::chrono::seconds(150));
    ASSERT_TRUE((*first)->keep()) << i;
    ASSERT_FALSE(take("bob")) << i;
  }
  // Its own end it still sees.
  world_.sim().advance(std::chrono::seconds(301));
  EXPECT_EQ((*first)->check().error().kind, ErrorKind::kLeaseLost);
  ASSERT_TRUE(take("carol", true));

  // Set forward: whether the machine slept or the clock is wrong cannot be told; it holds nothing any more.
  OwnClock late(world_.clock());
  auto second = Lease::acquire(*pve_, late, as("dave", true));
  ASSERT_TRUE(second) << second.error().text();
  late.error = std::chrono::hours(2);
  EXPECT_EQ((*second)->check().error().kind, ErrorKind::kLeaseLost);
}

// What a killed run leaves is not waited for where its end is known, and only there.
TEST_F(LeaseOnACluster, OfAProcessThatIsKnownToHaveEndedItIsTakenAtOnce) {
  LeaseOptions alice = as("alice");
  alice.process = "mark of alice";
  auto first = Lease::acquire(*pve_, world_.clock(), alice);
  ASSERT_TRUE(first) << first.error().text();
  ASSERT_TRUE((*first)->note_restart(Vmid{120}));
  std::vector<std::string> asked;
  bool ended = false;
  LeaseOptions bob = as("bob");
  bob.has_ended = [&](std::string_view mark) {
    asked.emplace_back(mark);
    return ended;
  };
  const auto early = Lease::acquire(*pve_, world_.clock(), bob);
  ASSERT_FALSE(early);
  EXPECT_EQ(early.error().kind, ErrorKind::kLeaseLost);
  EXPECT_EQ(asked, std::vector<std::string>{"mark of alice"});
  ended = true;
  const auto second = Lease::acquire(*pve_, world_.clock(), bob);
  ASSERT_TRUE(second) << second.error().text();
  EXPECT_TRUE((*second)->restarting().contains(120));
  EXPECT_TRUE((*second)->check());
  EXPECT_EQ((*first)->check().error().kind, ErrorKind::kLeaseLost);
  // bob left no mark: of him nothing can be known, and nobody is asked.
  asked.clear();
  LeaseOptions carol = as("carol");
  carol.has_ended = bob.has_ended;
  EXPECT_FALSE(Lease::acquire(*pve_, world_.clock(), carol));
  EXPECT_THAT(asked, ::testing::IsEmpty());
}

TEST_F(LeaseOnACluster, ALostAnswerToTheCreationIsNotTakenForSomebodyElse) {
  const auto unlucky =
      world_.client({.mishap = Mishap::kLoseAnswer, .nth = 1, .counts = [](const HttpRequest&) { return true; }});
  const auto lease = Lease::acquire(*unlucky, world_.clock(), as("alice"));
  ASSERT_TRUE(lease) << lease.error().text();
}

TEST_F(LeaseOnACluster, ASomebodyElsesPoolIsRespected) {
  ASSERT_TRUE(pve_->create_pool(std::string(kLeasePool), "made by hand"));
  const auto lease = take("alice");
  ASSERT_FALSE(lease);
  EXPECT_THAT(lease.error().message, HasSubstr("not ours"));
  EXPECT_TRUE(take("alice", true));
}

TEST_F(LeaseOnACluster, AnUnfinishedRestartIsInheritedAndKeptAfterRelease) {
  auto first = take("alice");
  ASSERT_TRUE(first);
  ASSERT_TRUE((*first)->note_restart(Vmid{120}));
  ASSERT_TRUE((*first)->release());
  auto second = take("bob");
  ASSERT_TRUE(second) << second.error().text();
  EXPECT_TRUE((*second)->restarting().contains(120));
  ASSERT_TRUE((*second)->forget_restart(Vmid{120}));
  ASSERT_TRUE((*second)->release());
  const auto record = read_lease(*pve_);
  ASSERT_TRUE(record);
  EXPECT_FALSE(record->has_value());
}

// The one request that was on its way when the lease was broken may be the shutdown.
TEST_F(LeaseOnACluster, ANoteOfAHolderThatMayStillActIsNotDropped) {
  auto first = take("alice");
  ASSERT_TRUE(first);
  ASSERT_TRUE((*first)->note_restart(Vmid{120}));
  auto second = take("bob", true);
  ASSERT_TRUE(second) << second.error().text();
  tidy_restarts(**second, *pve_);
  ASSERT_TRUE((*second)->release());
  // Also not by the next one, while alice's lease would have lasted.
  auto third = take("carol");
  ASSERT_TRUE(third) << third.error().text();
  tidy_restarts(**third, *pve_);
  EXPECT_TRUE((*third)->restarting().contains(120));
  ASSERT_TRUE((*third)->release());
  world_.sim().advance(std::chrono::seconds(300) + kClockSkew);
  auto fourth = take("dave");
  ASSERT_TRUE(fourth) << fourth.error().text();
  tidy_restarts(**fourth, *pve_);
  EXPECT_FALSE((*fourth)->restarting().contains(120)) << "120 runs and nobody is left who may stop it";
}

// A third of its life: often enough that one failure does no harm, seldom enough to cost nothing.
TEST_F(LeaseOnACluster, IsRenewedAfterAThirdOfItsLifeAndNotBefore) {
  for (const bool checks : {false, true}) {
    World world(kLab);
    const auto pve = world.client();
    auto mine = Lease::acquire(*pve, world.clock(), as("alice"));
    ASSERT_TRUE(mine);
    const auto end = [&] { return (*read_lease(*pve))->expires; };
    const auto touch = [&] { return checks ? (*mine)->check() : (*mine)->keep(); };
    const auto first = end();
    world.sim().advance(std::chrono::seconds(99));
    ASSERT_TRUE(touch());
    EXPECT_EQ(end(), first) << checks;
    world.sim().advance(std::chrono::seconds(1));
    ASSERT_TRUE(touch());
    EXPECT_GE(end() - first, std::chrono::seconds(100)) << checks;
    EXPECT_LE(end() - first, std::chrono::seconds(101)) << checks;
  }
}

TEST_F(LeaseOnACluster, ARefusalIsToldInPvesWords) {
  world_.sim().add_fault({.action = pvesim::FaultAction::kStatus,
                          .method = "POST",
                          .path = "*pools*",
                          .times = 0,
                          .status = 500,
                          .message = "cluster not ready - no quorum?"});
  const auto refused = take("alice");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().kind, ErrorKind::kLeaseLost);
  EXPECT_THAT(refused.error().text(), ::testing::AllOf(HasSubstr("taking the lease"), HasSubstr("no quorum")));
}

TEST_F(LeaseOnACluster, SurvivesAClusterThatCannotBeAskedUntilItRunsOut) {
  auto mine = take("alice");
  ASSERT_TRUE(mine);
  world_.sim().add_fault(
      {.action = pvesim::FaultAction::kStatus, .method = "GET", .path = "*pools*", .times = 0, .status = 500});
  const Status unknown = (*mine)->check();
  ASSERT_FALSE(unknown);
  EXPECT_NE(unknown.error().kind, ErrorKind::kLeaseLost);
  world_.sim().advance(std::chrono::seconds(150));
  EXPECT_TRUE((*mine)->keep()) << "not renewed, and not lost";
  world_.sim().advance(std::chrono::seconds(151));
  const Status late = (*mine)->keep();
  ASSERT_FALSE(late);
  EXPECT_EQ(late.error().kind, ErrorKind::kLeaseLost);
  EXPECT_THAT(late.error().message, HasSubstr("it ran out while the cluster could not be asked"));
  world_.sim().clear_faults();
  for (const Status& after :
       {(*mine)->keep(), (*mine)->check(), (*mine)->release(), (*mine)->note_restart(Vmid{120})}) {
    ASSERT_FALSE(after);
    EXPECT_THAT(after.error().message, HasSubstr("it was lost before"));
  }
}

TEST_F(LeaseOnACluster, ThatSomebodyRemovedIsLost) {
  auto mine = take("alice");
  ASSERT_TRUE(mine);
  ASSERT_TRUE(pve_->delete_pool(std::string(kLeasePool)));
  const Status gone = (*mine)->check();
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().kind, ErrorKind::kLeaseLost);
  EXPECT_THAT(gone.error().message, HasSubstr("somebody removed it"));
  EXPECT_TRUE(take("bob"));
  EXPECT_FALSE((*mine)->check()) << "and does not come back";
}

// Whether the write landed is looked at.
TEST_F(LeaseOnACluster, ALostAnswerToItsRenewalOrItsReturnIsNoLoss) {
  int writes = 0;
  const auto unlucky =
      world_.client({.mishap = Mishap::kLoseAnswer, .nth = 2, .counts = [&](const HttpRequest& request) {
                       return request.method != "GET";
                     }});
  auto mine = Lease::acquire(*unlucky, world_.clock(), as("alice"));
  ASSERT_TRUE(mine);
  world_.sim().advance(std::chrono::seconds(200));
  ASSERT_TRUE((*mine)->keep());
  world_.sim().advance(std::chrono::seconds(200));
  EXPECT_TRUE((*mine)->check()) << "it was renewed";
  const auto again = world_.client({.mishap = Mishap::kLoseAnswer, .nth = 1, .counts = [&](const HttpRequest& request) {
                                      return request.method == "DELETE" && ++writes == 1;
                                    }});
  ASSERT_TRUE((*mine)->release());
  auto other = Lease::acquire(*again, world_.clock(), as("bob"));
  ASSERT_TRUE(other);
  const Status returned = (*other)->release();
  EXPECT_TRUE(returned) << returned.error().text();
  EXPECT_FALSE(read_lease(*pve_)->has_value());
}

// Whether it was taken over is looked at; what was refused was not.
TEST_F(LeaseOnACluster, ALostAnswerToItsTakeoverIsNoLossAndARefusalIsOne) {
  ASSERT_TRUE(take("dead"));
  world_.sim().add_fault(
      {.action = pvesim::FaultAction::kStatus, .method = "PUT", .path = "*pools*", .status = 403, .message = "no"});
  const auto refused = take("bob", true);
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().text(), HasSubstr("while taking over the lease"));
  const auto unlucky =
      world_.client({.mishap = Mishap::kLoseAnswer, .nth = 1, .counts = [](const HttpRequest& request) {
                       return request.method == "PUT";
                     }});
  auto taken = Lease::acquire(*unlucky, world_.clock(), as("bob", true));
  ASSERT_TRUE(taken) << taken.error().text();
  EXPECT_TRUE((*taken)->check());
}

TEST_F(LeaseOnACluster, ANoteThatCouldNotBeWrittenIsNone) {
  auto mine = take("alice");
  ASSERT_TRUE(mine);
  ASSERT_TRUE((*mine)->note_restart(Vmid{121}));
  world_.sim().add_fault(
      {.action = pvesim::FaultAction::kStatus, .method = "PUT", .path = "*pools*", .times = 0, .status = 500});
  EXPECT_FALSE((*mine)->note_restart(Vmid{120})) << "nobody would know: the guest must not be stopped";
  world_.sim().advance(std::chrono::seconds(1));
  EXPECT_FALSE((*mine)->note_restart(Vmid{121}));
  EXPECT_THAT((*mine)->restarting(), ::testing::ElementsAre(121U)) << "what was noted before is";
  EXPECT_TRUE((*mine)->forget_restart(Vmid{122})) << "nothing to write";
  EXPECT_FALSE((*mine)->forget_restart(Vmid{121}));
}

// Whoever comes next must not drop a note before a request of ours that is on its way has arrived.
TEST_F(LeaseOnACluster, ReturnedWithANoteItSaysHowLongTheNoteStays) {
  auto first = take("alice");
  ASSERT_TRUE(first);
  ASSERT_TRUE((*first)->note_restart(Vmid{120}));
  const auto until = (*read_lease(*pve_))->expires;
  auto second = take("bob", true);
  ASSERT_TRUE(second);
  EXPECT_TRUE((*second)->forget_restart(Vmid{120}));
  EXPECT_THAT((*second)->restarting(), ::testing::ElementsAre(120U));
  ASSERT_TRUE((*second)->release());
  const auto record = *read_lease(*pve_);
  ASSERT_TRUE(record);
  EXPECT_TRUE(record->released);
  EXPECT_EQ(record->expires, until + kClockSkew);
  auto third = take("carol");
  ASSERT_TRUE(third);
  world_.sim().advance(std::chrono::seconds(290));
  ASSERT_TRUE((*third)->keep()) << "or its own end would come first";
  EXPECT_TRUE((*third)->forget_restart(Vmid{120}));
  EXPECT_THAT((*third)->restarting(), ::testing::ElementsAre(120U)) << "not yet";
  world_.sim().advance(std::chrono::seconds(40));
  EXPECT_TRUE((*third)->forget_restart(Vmid{120}));
  EXPECT_THAT((*third)->restarting(), ::testing::IsEmpty());
  // A note of one's own is dropped at once, and of a lease that was returned nothing is on its way.
  ASSERT_TRUE((*third)->note_restart(Vmid{121}));
  ASSERT_TRUE((*third)->release());
  auto fourth = take("dave");
  ASSERT_TRUE(fourth);
  EXPECT_TRUE((*fourth)->forget_restart(Vmid{121}));
  EXPECT_THAT((*fourth)->restarting(), ::testing::IsEmpty());
}

TEST(LeaseWithoutPrivileges, NamesTheOneThatIsMissing) {
  std::string text = kLab;
  const std::string token = "tokens: [{id: ci, secret: s-root, privsep: false}]";
  World world(text.replace(text.find(token), token.size(), "tokens: [{id: ci, secret: s-root}]"));
  const auto pve = world.client();
  const auto lease = Lease::acquire(*pve, world.clock(), {.holder = "me", .nonce = "n"});
  ASSERT_FALSE(lease);
  EXPECT_EQ(lease.error().kind, ErrorKind::kForbidden);
  EXPECT_THAT(lease.error().text(), HasSubstr("grant Pool.Allocate on /pool/pvereconcile-lease"));
  EXPECT_THAT(lease.error().text(), HasSubstr("while taking the lease"));
}

// What happens when the first operation has ended.
struct AfterTheFirst final : EventSink {
  explicit AfterTheFirst(std::function<void()> action) : act(std::move(action)) {}
  void emit(const Event& event) override {
    if (std::holds_alternative<OperationFinished>(event))
      if (auto once = std::exchange(act, {})) once();
  }
  std::function<void()> act;
};

TEST_F(LeaseOnACluster, ARunThatCannotGiveItBackSaysSo) {
  Plan plan;
  plan.operations.push_back({.id = 1,
                             .procedure = SetVmOptions{.vmid = Vmid{121}, .set = map({{"cores", "3"}}), .unset = {}},
                             .node = "pve1"});
  const auto warnings_when = [&](const std::function<void()>& happens) {
    AfterTheFirst sink(happens);
    const auto report = apply(plan, {.pve = *pve_, .clock = world_.clock(), .events = sink}, world_.options(), {});
    EXPECT_EQ(report.operations.at(0).outcome, Outcome::kDone) << text_of(report);
    return report.operations.at(0).warnings;
  };
  EXPECT_THAT(warnings_when([&] { world_.sim().set_quorum(false); }),
              ::testing::ElementsAre(HasSubstr("could not be given back")));
  world_.sim().set_quorum(true);
  world_.sim().set_config(121, "cores", "1");
  world_.sim().advance(std::chrono::hours(1));
  // Whose it is now gives it back.
  EXPECT_THAT(warnings_when([&] { EXPECT_TRUE(take("bob", true)); }), ::testing::IsEmpty());
}

TEST_F(LeaseOnACluster, ARunWhoseLeaseIsBrokenStopsBeforeItsNextOperation) {
  AfterTheFirst breaker([&] { EXPECT_TRUE(take("bob", true)); });
  Plan plan;
  plan.operations.push_back({.id = 1,
                             .procedure = SetVmOptions{.vmid = Vmid{121}, .set = map({{"cores", "3"}}), .unset = {}},
                             .node = "pve1"});
  plan.operations.push_back({.id = 2,
                             .procedure = SetVmOptions{.vmid = Vmid{120}, .set = map({{"onboot", "1"}}), .unset = {}},
                             .node = "pve1"});
  plan.operations.push_back({.id = 3,
                             .procedure = SetVmOptions{.vmid = Vmid{122}, .set = map({{"onboot", "1"}}), .unset = {}},
                             .node = "pve1"});
  const auto report = apply(plan, {.pve = *pve_, .clock = world_.clock(), .events = breaker}, world_.options(), {});
  EXPECT_EQ(report.operations.at(0).outcome, Outcome::kDone);
  EXPECT_EQ(report.operations.at(1).outcome, Outcome::kFailed) << text_of(report);
  EXPECT_EQ(report.operations.at(2).outcome, Outcome::kSkipped);
  EXPECT_THAT(report.stopped_by, HasSubstr("bob"));
  EXPECT_EQ(value_of(world_.sim(), 120, "onboot"), "");
}

}  // namespace
}  // namespace pvr::scenario
