#include "reconciler/execute/procedure.h"

#include <fmt/format.h>

#include "reconciler/execute/task_waiter.h"

namespace pvr {

ProcedureEnd failed(const Error& error) {
  const bool interrupted = error.kind == ErrorKind::kInterrupted;
  std::string text = error.text();
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  if (error.kind == ErrorKind::kBroken) text += " This is a bug in pvereconcile or in the cluster.";
  return {interrupted ? Outcome::kInterrupted : Outcome::kFailed, std::move(text), error.kind};
}

bool StepJudge::wait_until(std::optional<Deadline>& deadline, std::chrono::seconds patience, Urgency urgency,
                           const std::string& on) {
  const Deadline now = work_.clock().steady();
  if (!deadline) deadline = now + patience;
  // Nothing is under way while we wait for others: a stop request ends it.
  if (now >= *deadline || (urgency == Urgency::kMayWait && work_.stop_requested())) return false;
  work_.waiting(on);
  work_.pause(locks_.next());
  return true;
}

bool StepJudge::wait_for_lock(const std::string& lock, Urgency urgency) {
  return wait_until(lock_deadline_, work_.patience().lock, urgency, fmt::format("the lock \"{}\" of the guest", lock));
}

StepJudge::Verdict StepJudge::judge(Error& error, Urgency urgency) {
  constexpr int kMostLostAnswers = 5;
  switch (error.kind) {
    case ErrorKind::kLocked:
      return wait_until(lock_deadline_, work_.patience().lock, urgency, "a lock: " + error.message)
                 ? Verdict::kLookAgain
                 : Verdict::kGiveUp;
    case ErrorKind::kNoQuorum:
      return wait_until(quorum_deadline_, work_.patience().quorum, urgency, "quorum") ? Verdict::kLookAgain
                                                                                      : Verdict::kGiveUp;
    case ErrorKind::kConflict:
      return Verdict::kConflict;
    case ErrorKind::kTimeout:
    case ErrorKind::kUnreachable:
    case ErrorKind::kServer:
    case ErrorKind::kMalformed:
      if (error.effect == Effect::kNone) break;
      // PVE answered, only with a text nobody knows: what it left is looked at, but asking again would get the same
      // answer.
      if (error.kind == ErrorKind::kServer && error.http_status != 0) break;
      if (++lost_answers_ > kMostLostAnswers) {
        error.message += " (the answer was lost again and again; look at the cluster before the next run)";
        return Verdict::kGiveUp;
      }
      work_.waiting("the effect of a request whose answer was lost");
      return Verdict::kLookAgain;
    default:
      break;
  }
  // The connection was never made: nothing happened, and trying again in a while is harmless.
  if (error.kind == ErrorKind::kUnreachable &&
      wait_until(quorum_deadline_, work_.patience().quorum, urgency, "an endpoint of the cluster"))
    return Verdict::kLookAgain;
  return Verdict::kGiveUp;
}

void StepJudge::step_succeeded() {
  lock_deadline_.reset();
  quorum_deadline_.reset();
}

void settle_after_lost_answer(Work& work, Vmid vmid) {
  const Deadline deadline = work.clock().steady() + work.patience().settle;
  BackOff back_off(work.patience());
  while (work.clock().steady() < deadline) {
    work.pause(back_off.next());
    if (vmid.number == 0) continue;
    const auto running = running_tasks(work, vmid, {});
    if (!running || running->empty()) continue;
    // How it ended is the world's to tell.
    for (const Upid& task : *running) static_cast<void>(await_task(work, task));
    return;
  }
}

bool may_still_act(Work& work) { return work.lease() == nullptr || !work.lease()->is_lost(); }

Status confirm_lease(Work& work) {
  if (work.lease() == nullptr) return Done{};
  BackOff back_off(work.patience());
  for (;;) {
    Status mine = work.lease()->check();
    if (mine || mine.error().kind == ErrorKind::kLeaseLost || work.stop_requested()) return mine;
    work.waiting("the cluster, to confirm the lease");
    work.clock().wait(back_off.next(), {});
  }
}

}  // namespace pvr
