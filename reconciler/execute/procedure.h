#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "reconciler/base/result.h"
#include "reconciler/execute/work.h"
#include "reconciler/model/event.h"

namespace pvr {

// A procedure is a type with
//   Params                                            the alternative of model/plan.h it carries out
//   enum class Phase { …, kFinished, kConflict }      in the order of the work; these two are last
//   struct Seen                                       the little that decides the phase
//   struct Facts { Seen seen; std::string conflict; … }   one look at the world; `vm` where a guest is concerned
//   observe(params, work, progress) -> Result<Facts>  looks, changes nothing
//   locate(seen) -> Phase                             pure and total
//   kSteps                                            one way out of each phase
// and, where it matters, verify(params, first, last) and after_failure(params, first, work).
// The world is the truth: killed anywhere, the next run locates the phase and goes on.

enum class Undo : std::uint8_t {
  kAutomatic,  // PVE cleans up when the step fails; nothing else was touched
  kImpossible  // irreversible
};
enum class Arrival : std::uint8_t {
  kExact,  // the step leads to `to`
  kPast    // somebody else's work was awaited: any later phase, or the same work still to do
};
enum class Urgency : std::uint8_t {
  kMayWait,    // a stop request comes first
  kMustFollow  // the step before left the guest in a state nobody may leave it in
};

/// What this run has tried so far: steps by name.
class Progress {
 public:
  void begin(std::string_view step) { tried_.push_back(step); }
  void succeed(std::string_view step) { succeeded_.push_back(step); }
  [[nodiscard]] bool tried(std::string_view step) const { return std::ranges::find(tried_, step) != tried_.end(); }
  [[nodiscard]] bool succeeded(std::string_view step) const {
    return std::ranges::find(succeeded_, step) != succeeded_.end();
  }
  [[nodiscard]] bool acted() const { return !tried_.empty(); }

 private:
  std::vector<std::string_view> tried_;
  std::vector<std::string_view> succeeded_;
};

template <class Procedure>
struct Step {
  using Phase = typename Procedure::Phase;
  std::string_view name = {};
  Phase from = {};
  Phase to = {};
  Status (*perform)(const typename Procedure::Params&, const typename Procedure::Facts&, Work&) = nullptr;
  Undo undo = Undo::kAutomatic;
  Arrival arrival = Arrival::kExact;
  Urgency urgency = Urgency::kMayWait;
};

/// One way out of each phase, always forward, none missing: for static_assert.
template <class Row>
consteval bool is_chain(std::span<const Row> rows) {
  using Phase = typename Row::Phase;
  const auto last = static_cast<std::size_t>(Phase::kFinished);
  if (rows.size() != last || static_cast<std::size_t>(Phase::kConflict) != last + 1) return false;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (static_cast<std::size_t>(rows[i].from) != i || static_cast<std::size_t>(rows[i].to) <= i) return false;
    if (rows[i].to == Phase::kConflict || rows[i].name.empty() || rows[i].perform == nullptr) return false;
  }
  return true;
}

/// How an operation ended.
struct ProcedureEnd {
  Outcome outcome = Outcome::kDone;
  std::string detail = {};
  ErrorKind kind = ErrorKind::kServer;  // of kFailed and kInterrupted
};

[[nodiscard]] ProcedureEnd failed(const Error& error);

/// The part of the run loop that does not depend on the procedure: decides what an unsuccessful step means.
class StepJudge {
 public:
  enum class Verdict : std::uint8_t {
    kLookAgain,  // waited; look, then decide by the phase
    kConflict,
    kGiveUp
  };
  explicit StepJudge(Work& work) : work_(work), locks_(work.patience()) {}

  /// A lock or missing quorum is a wait, a lost answer a reason to look. `error` becomes what is to be reported. A stop
  /// request ends a wait unless the step must follow.
  [[nodiscard]] Verdict judge(Error& error, Urgency urgency);
  /// Waits for a config lock of the guest ("backup"). False: the patience is at its end.
  [[nodiscard]] bool wait_for_lock(const std::string& lock, Urgency urgency);
  void step_succeeded();

 private:
  [[nodiscard]] bool wait_until(std::optional<Deadline>& deadline, std::chrono::seconds patience, Urgency urgency,
                                const std::string& on);

  Work& work_;
  BackOff locks_;
  std::optional<Deadline> lock_deadline_;
  std::optional<Deadline> quorum_deadline_;
  int lost_answers_ = 0;
};

/// Waits for tasks of a guest that may be the effect of a request whose answer was lost. Zero vmid: just the time a
/// request may take.
void settle_after_lost_answer(Work& work, Vmid vmid);

/// Whether something may be put right after a failure: not when the lease is lost, another writer may be at work.
[[nodiscard]] bool may_still_act(Work& work);

/// Is it our lease still? Waits out a cluster that cannot be asked, up to the lease's end.
[[nodiscard]] Status confirm_lease(Work& work);

template <class Facts>
concept GuestFacts = requires(const Facts& facts) {
  facts.vm->digest;
};

/// Looks; after an effect of ours it keeps trying for a while, because not knowing is worse than waiting.
template <class Procedure>
Result<typename Procedure::Facts> look(const typename Procedure::Params& params, Work& work, const Progress& progress) {
  BackOff back_off(work.patience());
  const Deadline deadline = work.clock().steady() + work.patience().quorum;
  for (;;) {
    auto facts = Procedure::observe(params, work, progress);
    if (facts || !progress.acted() || work.clock().steady() >= deadline) return facts;
    const ErrorKind kind = facts.error().kind;
    if (kind != ErrorKind::kUnreachable && kind != ErrorKind::kTimeout && kind != ErrorKind::kServer) return facts;
    work.waiting("an answer of the cluster");
    work.pause(back_off.next());
  }
}

/// The run loop, the same for every procedure: look, locate, act, look again.
template <class Procedure>
ProcedureEnd run_procedure(const typename Procedure::Params& params, Work& work) {
  using Phase = typename Procedure::Phase;
  using Facts = typename Procedure::Facts;
  Progress progress;
  StepJudge judge(work);
  auto looked = look<Procedure>(params, work, progress);
  if (!looked) return failed(looked.error());
  Facts facts = std::move(looked).value();
  const Facts first = facts;

  const auto give_up = [&](const Error& error) {
    if constexpr (requires { Procedure::after_failure(params, first, work); }) {
      if (may_still_act(work)) Procedure::after_failure(params, first, work);
    }
    return failed(error);
  };
  const auto conflicted = [&](std::string why) -> ProcedureEnd {
    if constexpr (requires { Procedure::after_failure(params, first, work); }) {
      if (progress.acted() && may_still_act(work)) Procedure::after_failure(params, first, work);
    }
    return {Outcome::kConflict, std::move(why), ErrorKind::kConflict};
  };
  // What changed since the last look is ours: the guest's lock and the digest kept everybody else out.
  const auto remember = [&] {
    if constexpr (GuestFacts<Facts>) {
      if (facts.vm) work.remember(*facts.vm);
    }
  };

  for (;;) {
    const Phase here = Procedure::locate(facts.seen);
    if constexpr (GuestFacts<Facts>) {
      if (facts.vm && !progress.acted()) {
        const std::string stranger = work.identity_conflict(*facts.vm);
        if (!stranger.empty()) return {Outcome::kConflict, stranger, ErrorKind::kConflict};
      }
    }
    if (here == Phase::kFinished) {
      if constexpr (requires { Procedure::verify(params, first, facts, work); }) {
        if (progress.acted()) {
          const Status good = Procedure::verify(params, first, facts, work);
          if (!good) return give_up(good.error());
        }
      }
      remember();
      return {progress.acted() ? Outcome::kDone : Outcome::kAlready, {}, {}};
    }
    if (here == Phase::kConflict) {
      const std::string why =
          facts.conflict.empty() ? "The cluster is in a state this operation never makes." : facts.conflict;
      return conflicted(why);
    }
    const auto& step = Procedure::kSteps[static_cast<std::size_t>(here)];

    if (work.stop_requested() && step.urgency == Urgency::kMayWait)
      return {Outcome::kInterrupted, "Stopped before the step \"" + std::string(step.name) + "\".",
              ErrorKind::kInterrupted};
    if constexpr (GuestFacts<Facts>) {
      // An awaiting step is how some locks end; all other steps need them gone.
      if (facts.vm && !facts.vm->lock.empty() && step.arrival == Arrival::kExact) {
        if (!judge.wait_for_lock(facts.vm->lock, step.urgency))
          return give_up({.kind = ErrorKind::kLocked, .message = "VM is locked (" + facts.vm->lock + ")"});
        looked = look<Procedure>(params, work, progress);
        if (!looked) return failed(looked.error());
        facts = std::move(looked).value();
        continue;
      }
      if (facts.vm) {
        const std::string changed = work.change_conflict(*facts.vm);
        if (!changed.empty()) return conflicted(changed);
      }
    }
    const Status lease = confirm_lease(work);
    if (!lease) return failed(lease.error());

    work.step(step.name);
    progress.begin(step.name);
    const Status done = step.perform(params, facts, work);
    std::optional<Error> trouble;
    auto verdict = StepJudge::Verdict::kLookAgain;
    if (done) {
      progress.succeed(step.name);
      judge.step_succeeded();
    } else {
      trouble = done.error();
      verdict = judge.judge(*trouble, step.urgency);
    }
    looked = look<Procedure>(params, work, progress);
    if (!looked) return give_up(trouble ? *trouble : looked.error());
    facts = std::move(looked).value();
    if (trouble && verdict == StepJudge::Verdict::kLookAgain && trouble->effect == Effect::kPossible &&
        Procedure::locate(facts.seen) == here) {
      // Not visible yet is not "not done": the request may still be at work.
      Vmid vmid;
      if constexpr (requires { params.vmid; }) vmid = params.vmid;
      settle_after_lost_answer(work, vmid);
      looked = look<Procedure>(params, work, progress);
      if (!looked) return give_up(*trouble);
      facts = std::move(looked).value();
    }
    const Phase now = Procedure::locate(facts.seen);
    const bool moved_on = now != Phase::kConflict && now > here;
    if (!done && trouble->kind == ErrorKind::kConflict && !moved_on)
      return conflicted("Somebody else changed it at the same time: " + trouble->text());
    if (done || moved_on || (trouble && trouble->kind != ErrorKind::kLocked && trouble->kind != ErrorKind::kNoQuorum))
      remember();
    if (!done && verdict == StepJudge::Verdict::kGiveUp) return give_up(*trouble);
    const bool arrived = now == step.to || (step.arrival == Arrival::kPast && moved_on);
    if (done && !arrived && now != Phase::kConflict)
      return give_up({.kind = ErrorKind::kBroken,
                      .message = "The step \"" + std::string(step.name) +
                                 "\" was reported as done, but the cluster does not show it." +
                                 (facts.conflict.empty() ? std::string() : " " + facts.conflict)});
  }
}

}  // namespace pvr
