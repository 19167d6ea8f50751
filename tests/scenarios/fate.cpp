#include "tests/scenarios/fate.h"

namespace pvr::scenario {

Fate::Verdict Fate::next() {
  const std::scoped_lock lock(mutex_);
  if (dead_) return Verdict::kDead;
  if (++effects_ != nth_) return Verdict::kGoOn;
  dead_ = true;
  return after_ ? Verdict::kDieAfter : Verdict::kDieBefore;
}

bool Fate::dead() const {
  const std::scoped_lock lock(mutex_);
  return dead_;
}

int Fate::effects() const {
  const std::scoped_lock lock(mutex_);
  return effects_;
}

Result<CommandOutput> FatedRunner::run(const Command& command) {
  // A dead client hears nothing any more; an error that nobody waits for ends it soonest.
  const Error killed{.kind = ErrorKind::kUnauthorized, .message = "killed"};
  if (fate_->dead()) return killed;
  if (before_) before_(command);
  const Fate::Verdict verdict = command.acts ? fate_->next() : Fate::Verdict::kGoOn;
  if (verdict == Fate::Verdict::kDead || verdict == Fate::Verdict::kDieBefore) return killed;
  auto answer = inner_.run(command);
  if (verdict == Fate::Verdict::kDieAfter) return killed;
  return answer;
}

}  // namespace pvr::scenario
