// What an unsuccessful step means, how long is waited for what, and what is looked at right before an effect.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>

#include "providers/host/host_zfs.h"
#include "providers/pve/pve_client.h"
#include "reconciler/execute/datasets.h"
#include "reconciler/execute/procedure.h"
#include "reconciler/execute/shared_locks.h"
#include "reconciler/execute/task_waiter.h"
#include "reconciler/execute/volume_names.h"
#include "simulator/world/world.h"
#include "tests/support/simulated_runner.h"
#include "tests/support/simulated_transport.h"

namespace pvr {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using Verdict = StepJudge::Verdict;

constexpr const char* kCluster = R"(
cluster: {name: lab, seed: 3}
users:
  - {name: root@pam, password: secret, tokens: [{id: ci, secret: s-root, privsep: false}]}
nodes:
  pve1: {cpu: 8, memory: 64GiB, pools: {tank: {size: 1TiB, media: ssd}}}
storages:
  z16: {type: zfspool, pool: tank/z16, blocksize: 16k, sparse: 1, content: images}
  zalias: {type: zfspool, pool: tank/z16, blocksize: 16k, sparse: 1, content: images}
  z64: {type: zfspool, pool: tank/z64, blocksize: 64k, sparse: 1, content: images}
  files: {type: dir, path: /srv/files, content: images}
vms:
  120:
    node: pve1
    status: running
    config: {name: app, memory: 1024, scsihw: virtio-scsi-single, scsi0: "z16:vm-120-disk-0,size=8G"}
  121:
    node: pve1
    config: {name: db, memory: 1024, scsihw: virtio-scsi-single, scsi0: "z16:vm-121-disk-0,size=8G"}
ha: {resources: {"vm:121": {state: ignored}}}
)";

class Sink final : public EventSink {
 public:
  void emit(const Event& event) override {
    if (const auto* one = std::get_if<Waiting>(&event)) waits.push_back(one->on);
    if (std::holds_alternative<TaskStarted>(event)) ++tasks;
  }
  std::vector<std::string> waits;
  int tasks = 0;
};

class Steps : public ::testing::Test {
 protected:
  [[nodiscard]] Work work(std::stop_token stop = {}) {
    return Work({.operation = operation_,
                 .pve = *pve_,
                 .clock = clock_,
                 .events = events_,
                 .memory = memory_,
                 .stop = std::move(stop),
                 .zfs = &zfs_});
  }
  [[nodiscard]] seconds passed() const {
    return std::chrono::duration_cast<seconds>(clock_.steady().time_since_epoch()) - began_;
  }
  void begin() { began_ = std::chrono::duration_cast<seconds>(clock_.steady().time_since_epoch()); }
  /// A copy that never ends.
  Upid stalled_move(int vmid) {
    sim_->add_fault({.action = pvesim::FaultAction::kTaskStall, .task = "qmmove", .step = "copy*"});
    return begun_move(vmid);
  }
  Upid begun_move(int vmid) {
    const auto begun = sim_->admin_call("POST", "/nodes/pve1/qemu/" + std::to_string(vmid) + "/move_disk",
                                        {{"disk", "scsi0"}, {"storage", "z64"}});
    EXPECT_EQ(begun.status, 200) << begun.reason;
    return {sim_->tasks().back().upid};
  }

  std::unique_ptr<pvesim::Simulator> sim_ = pvesim::Simulator::from_text(kCluster, {.manual_clock = true});
  testing::SimulatedClock clock_{*sim_};
  testing::SimulatedRunner runner_{*sim_};
  HostZfs zfs_{runner_, clock_, {}};
  Sink events_;
  RunMemory memory_;
  Operation operation_ = {.id = 1, .node = "pve1"};
  seconds began_{0};
  std::unique_ptr<PveClient> pve_ = [this] {
    ConnectionOptions options;
    options.endpoints = {"https://pve1:8006"};
    options.token_id = "root@pam!ci";
    options.token_secret = Secret("s-root");
    return std::make_unique<PveClient>(std::move(options),
                                       std::make_unique<testing::SimulatedTransport>(
                                           *sim_, std::map<std::string, std::string>{{"https://pve1:8006", "pve1"}}),
                                       clock_, std::stop_token{});
  }();
};

// --- what an error means

TEST_F(Steps, AnErrorIsWaitedOutLookedAtOrTheEnd) {
  struct Row {
    Error error = {};
    Verdict verdict = Verdict::kGiveUp;
    const char* waits = "";
  };
  constexpr auto kLost = "the effect of a request whose answer was lost";
  const Row rows[] = {
      {{.kind = ErrorKind::kLocked, .message = "VM is locked"}, Verdict::kLookAgain, "a lock: VM is locked"},
      {{.kind = ErrorKind::kNoQuorum}, Verdict::kLookAgain, "quorum"},
      {{.kind = ErrorKind::kConflict}, Verdict::kConflict},
      {{.kind = ErrorKind::kTimeout, .effect = Effect::kPossible}, Verdict::kLookAgain, kLost},
      {{.kind = ErrorKind::kTimeout, .effect = Effect::kPossible, .http_status = 596}, Verdict::kLookAgain, kLost},
      {{.kind = ErrorKind::kUnreachable, .effect = Effect::kPossible}, Verdict::kLookAgain, kLost},
      {{.kind = ErrorKind::kMalformed, .effect = Effect::kPossible}, Verdict::kLookAgain, kLost},
      {{.kind = ErrorKind::kServer, .effect = Effect::kPossible}, Verdict::kLookAgain, kLost},
      // PVE answered.
      {{.kind = ErrorKind::kServer, .effect = Effect::kPossible, .http_status = 500}, Verdict::kGiveUp},
      // Nothing happened.
      {{.kind = ErrorKind::kTimeout}, Verdict::kGiveUp},
      {{.kind = ErrorKind::kMalformed}, Verdict::kGiveUp},
      {{.kind = ErrorKind::kServer}, Verdict::kGiveUp},
      {{.kind = ErrorKind::kUnreachable}, Verdict::kLookAgain, "an endpoint of the cluster"},
      {{.kind = ErrorKind::kForbidden}, Verdict::kGiveUp},
      {{.kind = ErrorKind::kNotFound}, Verdict::kGiveUp},
      {{.kind = ErrorKind::kRejected}, Verdict::kGiveUp},
      {{.kind = ErrorKind::kTaskFailed}, Verdict::kGiveUp},
      {{.kind = ErrorKind::kTaskFailed, .effect = Effect::kPossible}, Verdict::kGiveUp},
      {{.kind = ErrorKind::kUnauthorized, .effect = Effect::kPossible}, Verdict::kGiveUp},
  };
  for (const Row& row : rows) {
    Work here = work();
    StepJudge judge(here);
    events_.waits.clear();
    Error error = row.error;
    EXPECT_EQ(judge.judge(error, Urgency::kMayWait), row.verdict) << static_cast<int>(error.kind) << row.waits;
    if (*row.waits == '\0')
      EXPECT_THAT(events_.waits, IsEmpty());
    else
      EXPECT_THAT(events_.waits, ElementsAre(row.waits));
    EXPECT_EQ(error.message, row.error.message);
  }
}

TEST_F(Steps, AWaitLastsAsLongAsThePatienceAndBeginsAnewAfterASuccess) {
  const std::tuple<ErrorKind, int> rows[] = {
      {ErrorKind::kLocked, 900}, {ErrorKind::kNoQuorum, 300}, {ErrorKind::kUnreachable, 300}};
  for (const auto& [kind, patience] : rows) {
    Work here = work();
    StepJudge judge(here);
    for (const bool again : {false, true}) {
      begin();
      Error error{.kind = kind, .message = "no"};
      while (passed() < seconds(2 * patience) && judge.judge(error, Urgency::kMayWait) == Verdict::kLookAgain) {
      }
      EXPECT_GE(passed(), seconds(patience)) << again;
      EXPECT_LE(passed(), seconds(patience + 6)) << again;
      EXPECT_EQ(judge.judge(error, Urgency::kMustFollow), Verdict::kGiveUp) << "however urgent";
      judge.step_succeeded();
    }
  }
}

TEST_F(Steps, AStopRequestEndsAWaitUnlessTheStepMustFollow) {
  std::stop_source stop;
  stop.request_stop();
  for (const ErrorKind kind : {ErrorKind::kLocked, ErrorKind::kNoQuorum, ErrorKind::kUnreachable}) {
    Work here = work(stop.get_token());
    StepJudge judge(here);
    Error error{.kind = kind};
    EXPECT_EQ(judge.judge(error, Urgency::kMayWait), Verdict::kGiveUp);
    EXPECT_EQ(judge.judge(error, Urgency::kMustFollow), Verdict::kLookAgain);
  }
  Work here = work(stop.get_token());
  StepJudge judge(here);
  EXPECT_FALSE(judge.wait_for_lock("backup", Urgency::kMayWait));
  events_.waits.clear();
  EXPECT_TRUE(judge.wait_for_lock("backup", Urgency::kMustFollow));
  EXPECT_THAT(events_.waits, ElementsAre("the lock \"backup\" of the guest"));
}

TEST_F(Steps, TheSixthLostAnswerIsTheEnd) {
  Work here = work();
  StepJudge judge(here);
  Error error{.kind = ErrorKind::kTimeout, .message = "gone", .effect = Effect::kPossible};
  for (int nth = 1; nth <= 5; ++nth) {
    EXPECT_EQ(judge.judge(error, Urgency::kMayWait), Verdict::kLookAgain) << nth;
    EXPECT_EQ(error.message, "gone");
  }
  EXPECT_EQ(judge.judge(error, Urgency::kMayWait), Verdict::kGiveUp);
  EXPECT_EQ(error.message, "gone (the answer was lost again and again; look at the cluster before the next run)");
}

TEST(Failed, TellsTheErrorWithoutBlanksAtItsEnd) {
  const ProcedureEnd plain = failed({.kind = ErrorKind::kTaskFailed, .message = "no luck \n\n ", .context = "moving"});
  EXPECT_EQ(plain.outcome, Outcome::kFailed);
  EXPECT_EQ(plain.detail, "while moving: no luck");
  EXPECT_EQ(plain.kind, ErrorKind::kTaskFailed);
  EXPECT_EQ(failed({.kind = ErrorKind::kInterrupted, .message = "x"}).outcome, Outcome::kInterrupted);
  EXPECT_EQ(failed({.kind = ErrorKind::kBroken, .message = "x\n"}).detail,
            "x This is a bug in pvereconcile or in the cluster.");
  EXPECT_EQ(failed({.kind = ErrorKind::kServer, .message = "\n"}).detail, "");
}

// --- what is under way

TEST_F(Steps, AfterALostAnswerTheGuestsTasksAreAwaited) {
  begun_move(120);
  Work here = work();
  settle_after_lost_answer(here, Vmid{120});
  for (const pvesim::TaskInfo& task : sim_->tasks()) EXPECT_FALSE(task.running) << task.type;
}

TEST_F(Steps, AfterALostAnswerNothingIsWaitedForLongerThanARequestTakes) {
  for (const Vmid vmid : {Vmid{}, Vmid{121}}) {
    Work here = work();
    begin();
    settle_after_lost_answer(here, vmid);
    EXPECT_GE(passed(), seconds(20));
    EXPECT_LE(passed(), seconds(26));
  }
}

TEST_F(Steps, ATaskThatNeitherLogsNorEndsIsGivenUpAfterAWhile) {
  const Upid task = stalled_move(120);
  Work here = work();
  begin();
  const Status ended = await_task(here, task);
  ASSERT_FALSE(ended);
  EXPECT_EQ(ended.error().kind, ErrorKind::kTimeout);
  EXPECT_EQ(ended.error().effect, Effect::kPossible) << "it may still run";
  EXPECT_THAT(ended.error().message, HasSubstr("neither logged nor ended for 1800 s"));
  EXPECT_GE(passed(), seconds(1800));
  EXPECT_LE(passed(), seconds(1900));
}

TEST_F(Steps, ATaskThatLogsIsWaitedForHoweverLong) {
  sim_->inspect([](pvesim::World& inside) {
    for (auto& [key, backing] : inside.backings) backing.write_rate = 1 << 20;  // 8192 s for the disk
  });
  const Upid task = begun_move(120);
  Work here = work();
  begin();
  EXPECT_TRUE(await_task(here, task));
  EXPECT_GT(passed(), seconds(1800));
  EXPECT_THAT(here.take_warnings(), IsEmpty());
}

TEST_F(Steps, ATaskOfARestartedNodeIsNoFailure) {
  Work here = work();
  const Upid gone{"UPID:pve1:0000AB12:00C0FFEE:6740A1B2:qmmove:120:root@pam!ci:"};
  EXPECT_TRUE(await_task(here, gone));
  EXPECT_THAT(here.take_warnings(), ElementsAre(HasSubstr("vanished; the result was read from the cluster")));
  EXPECT_EQ(events_.tasks, 1);
  EXPECT_TRUE(await_task(here, {}));
  EXPECT_EQ(events_.tasks, 1) << "PVE was done at once: there is none";
}

TEST_F(Steps, RunningTasksAreThoseOfTheGuestAndTheType) {
  Work here = work();
  const auto count = [&](Vmid vmid, std::string_view type) {
    const auto found = running_tasks(here, vmid, type);
    EXPECT_TRUE(found);
    return found ? found->size() : 99;
  };
  begun_move(120);
  EXPECT_EQ(count(Vmid{120}, "qmmove"), 1U);
  EXPECT_EQ(count(Vmid{120}, {}), 1U);
  EXPECT_EQ(count(Vmid{120}, "qmstart"), 0U);
  EXPECT_EQ(count(Vmid{121}, {}), 0U);
  sim_->settle();
  EXPECT_EQ(count(Vmid{120}, {}), 0U);
}

TEST(EndOfWaiting, IsARefusalOrTheEndOfTheClient) {
  for (const ErrorKind kind : {ErrorKind::kForbidden, ErrorKind::kUnauthorized, ErrorKind::kInterrupted}) {
    const auto end = end_of_waiting({.kind = kind, .message = "no"});
    ASSERT_TRUE(end);
    EXPECT_EQ(end->kind, kind);
    EXPECT_EQ(end->message, "no");
    EXPECT_EQ(end->effect, Effect::kPossible);
  }
  for (const ErrorKind kind : {ErrorKind::kTimeout, ErrorKind::kUnreachable, ErrorKind::kServer, ErrorKind::kNotFound})
    EXPECT_FALSE(end_of_waiting({.kind = kind}));
}

// --- right before an effect

TEST_F(Steps, ACopyNeedsRoomWhereItGoes) {
  const auto ask = [&](CopyCost copy) {
    operation_.copy = std::move(copy);
    Work here = work();
    const Status room = check_space(here);
    return room ? std::string() : room.error().text();
  };
  const auto status = pve_->storage_status("pve1", "z64");
  ASSERT_TRUE(status);
  const ByteSize all = status->available;
  EXPECT_EQ(ask({.target_storage = "z64", .target_node = "pve1", .peak_extra = all}), "");
  EXPECT_EQ(ask({.target_storage = "z64", .peak_extra = all}), "") << "on the guest's own node";
  EXPECT_THAT(ask({.target_storage = "z64", .peak_extra = ByteSize{all.bytes + 1}}),
              HasSubstr("Storage \"z64\" has " + to_human(all) + " free on node pve1; the copy needs"));
  EXPECT_EQ(ask({.peak_extra = ByteSize{all.bytes + 1}}), "") << "nothing is copied anywhere";
  EXPECT_THAT(ask({.target_storage = "z64", .target_node = "pve7"}), HasSubstr("checking the space for the copy"));
  operation_.copy.reset();
  Work here = work();
  EXPECT_TRUE(check_space(here));
}

// PVE gives a new volume the lowest number no volume has, whatever configurations name.
TEST_F(Steps, NothingIsAllocatedWhereAGuestNamesWhatIsNotThere) {
  const auto found = [&](const std::vector<std::string>& drives, const std::string& storage, bool pending = false) {
    LiveVm vm;
    vm.vmid = Vmid{120};
    vm.node = "pve1";
    for (const std::string& text : drives) {
      const DriveSlot slot{Bus::kScsi, static_cast<std::uint8_t>(vm.drives.size())};
      const auto drive = parse_drive(slot, text);
      EXPECT_TRUE(drive) << text;
      LiveDrive live{.slot = slot};
      (pending ? live.pending : live.current) = *drive;
      vm.drives.push_back(live);
    }
    Work here = work();
    const Status checked = check_names(here, vm, storage);
    if (checked) return std::string();
    EXPECT_EQ(checked.error().kind, ErrorKind::kConflict);
    return checked.error().message;
  };
  const std::string lost =
      "vm 120 names z16:vm-120-disk-5, which is not there: PVE could give that name to a new volume";
  EXPECT_EQ(found({}, "z16"), "");
  EXPECT_EQ(found({"z16:vm-120-disk-0"}, "z16"), "");
  EXPECT_EQ(found({"z16:vm-120-disk-5"}, "z16"), lost);
  EXPECT_EQ(found({"z16:vm-120-disk-0", "z16:vm-120-disk-5"}, "z16"), lost);
  EXPECT_EQ(found({"z16:vm-120-disk-5"}, "z16", true), lost) << "also what only waits";
  EXPECT_EQ(found({"z16:vm-120-disk-5"}, "z64"), "") << "another dataset has names of its own";
  EXPECT_EQ(found({"z64:vm-120-disk-5", "z16:vm-120-disk-0"}, "z16"), "");
  EXPECT_EQ(found({"z16:vm-120-disk-5"}, "zalias"), lost) << "two entries of storage.cfg, one dataset";
  EXPECT_EQ(found({"z16:vm-120-disk-0"}, "zalias"), "");
  EXPECT_EQ(found({"files:120/vm-120-disk-5.raw"}, "z16"), "");
  EXPECT_EQ(found({"z16:vm-120-disk-5"}, "files"), "");
  EXPECT_EQ(found({"files:120/vm-120-disk-5.raw"}, "files"),
            "vm 120 names files:120/vm-120-disk-5.raw, which is not there: PVE could give that name to a new volume");
  EXPECT_EQ(found({"z16:vm-121-disk-5"}, "z16"), "") << "another guest's";
  EXPECT_EQ(found({"z16:vm-120-cloudinit,media=cdrom", "none,media=cdrom"}, "z16"), "") << "PVE makes it again";
}

TEST_F(Steps, AZvolIsRenamedOnlyBelowAGuestThatNothingWillStart) {
  const std::string zvol = "tank/z16/vm-121-disk-0";
  const auto ask = [&](Vmid vmid, std::span<const std::string> volumes) -> std::pair<std::string, ErrorKind> {
    Work here = work();
    const Status unused = nobody_uses(here, vmid, "pve1", volumes);
    if (unused) return {"", {}};
    return {unused.error().message, unused.error().kind};
  };
  const auto one = std::array{zvol};
  const auto wish = [&](const char* state) {
    sim_->inspect([&](pvesim::World& inside) {
      auto& values = inside.ha_resources.at("vm:121").values;
      if (state == nullptr)
        values.erase("state");
      else
        values["state"] = state;
    });
  };
  EXPECT_EQ(ask(Vmid{121}, one).first, "");
  EXPECT_EQ(
      ask(Vmid{120}, std::array{std::string("tank/z16/vm-120-disk-0")}),
      std::pair(std::string("vm 120 is not stopped; ZFS would rename its volume below it."), ErrorKind::kConflict));
  for (const char* state : {"started", "enabled", static_cast<const char*>(nullptr)}) {
    wish(state);
    EXPECT_EQ(ask(Vmid{121}, one), std::pair(std::string("HA is about to start vm:121."), ErrorKind::kConflict))
        << (state == nullptr ? "no word" : state);
  }
  for (const char* state : {"stopped", "disabled"}) {
    wish(state);
    EXPECT_EQ(ask(Vmid{121}, one).first, "") << state;
  }
  sim_->set_config(121, "lock", "backup");
  EXPECT_EQ(ask(Vmid{121}, one), std::pair(std::string("VM is locked (backup)"), ErrorKind::kLocked));
  sim_->delete_config(121, "lock");

  sim_->hold_zvol("pve1", zvol, "4711 (dd)");
  EXPECT_EQ(ask(Vmid{121}, one), std::pair(zvol + " is open: 4711 (dd)", ErrorKind::kLocked));
  const std::string other = "tank/z16/vm-120-disk-0";
  EXPECT_EQ(ask(Vmid{121}, {}).first, "") << "nobody asked about it";
  sim_->release_zvol("pve1", zvol, "4711 (dd)");
  sim_->hold_zvol("pve1", other, "4712 (dd)");
  EXPECT_THAT(ask(Vmid{121}, std::array{zvol, other}).first, HasSubstr("4712 (dd)")) << "each of them is looked at";

  stalled_move(121);
  EXPECT_EQ(ask(Vmid{121}, one), std::pair(std::string("a task of vm 121 runs (qmmove)"), ErrorKind::kLocked));
}

TEST_F(Steps, TheDatasetOfAStorageIsKnownForZpoolsOnly) {
  Work here = work();
  const auto known = dataset_of_storage(here, "z64");
  ASSERT_TRUE(known);
  EXPECT_EQ(*known, "tank/z64");
  const auto other = dataset_of_storage(here, "files");
  ASSERT_FALSE(other);
  EXPECT_EQ(other.error().message, "Storage \"files\" is of type dir and holds no zvols.");
  const auto gone = dataset_of_storage(here, "gone");
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().kind, ErrorKind::kNotFound);
}

TEST(SameProperty, KnowsThatAReservationIsShownInBytes) {
  const std::tuple<const char*, const char*, const char*, bool> rows[] = {
      {"compression", "lz4", "lz4", true},    {"compression", "lz4", "off", false},
      {"compression", "auto", "lz4", false},  {"refreservation", "auto", "8724152320", true},
      {"refreservation", "auto", "0", false}, {"refreservation", "auto", "none", false},
      {"refreservation", "auto", "", false},  {"refreservation", "none", "0", true},
      {"refreservation", "none", "", true},   {"refreservation", "none", "8724152320", false},
  };
  for (const auto& [key, asked, shown, same] : rows)
    EXPECT_EQ(same_property(key, asked, shown), same) << key << " " << asked << " " << shown;
}

// --- locks that runs of one process share

TEST(SharedLocks, HaveAsManyPlacesAsTheScheduleGivesThem) {
  SharedLocks locks({.parallelism = 8, .copies_per_node = 2});
  const std::vector<std::string> first = {"copy/pve1", "vm/1"};
  const std::vector<std::string> second = {"copy/pve1", "vm/2"};
  // None of these may wait.
  locks.enter(first);
  locks.enter(second);
  locks.leave(first);
  locks.enter({"copy/pve1", "vm/1"});
  locks.leave(first);
  locks.leave(second);
  std::array<std::atomic<int>, 2> inside = {};
  std::array<std::atomic<int>, 2> most = {};
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&, thread] {
        const std::size_t kind = thread % 2 == 0 ? 0 : 1;
        const std::vector<std::string> wanted =
            kind == 0 ? std::vector<std::string>{"vm/1", "copy/pve1"} : std::vector<std::string>{"copy/pve1"};
        for (int turn = 0; turn < 500; ++turn) {
          locks.enter(wanted);
          const int vm = kind == 0 ? ++inside[0] : 0;
          const int copies = ++inside[1];
          if (vm > most[0]) most[0] = vm;
          if (copies > most[1]) most[1] = copies;
          std::this_thread::yield();
          if (kind == 0) --inside[0];
          --inside[1];
          locks.leave(wanted);
        }
      });
    }
  }
  EXPECT_EQ(most[0], 1);
  EXPECT_LE(most[1], 2);
  // All of it was given back.
  locks.enter({"vm/1", "copy/pve1"});
  locks.enter({"copy/pve1"});
}

}  // namespace
}  // namespace pvr
