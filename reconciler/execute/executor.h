#pragma once

#include <cstdint>
#include <stop_token>
#include <string>

#include "reconciler/execute/lease.h"
#include "reconciler/execute/schedule.h"
#include "reconciler/execute/shared_locks.h"
#include "reconciler/execute/work.h"
#include "reconciler/model/event.h"
#include "reconciler/model/plan.h"
#include "reconciler/ports/clock.h"
#include "reconciler/ports/event_sink.h"
#include "reconciler/ports/pve_api.h"
#include "reconciler/ports/zfs_host.h"

namespace pvr {

struct ApplyPorts {
  PveApi& pve;
  Clock& clock;
  EventSink& events;
  ZfsHost* zfs = nullptr;  // host access; null: none
};

struct ApplyOptions {
  ScheduleLimits limits = {};
  std::uint32_t most_failures = 10;  // after that nothing new is started; 0: no limit
  Patience patience = {};
  bool with_lease = true;   // off: two runs may work at once, and a killed restart leaves its guest stopped
  LeaseOptions lease = {};  // nonce empty: one is made up
  /// For several runs of one process on one cluster at the same time: the lease they share, taken and given back by the
  /// caller (tidy_restarts first), instead of one of their own; and the locks they share. Both outlive the run.
  Lease* held = nullptr;
  SharedLocks* locks = nullptr;
};

/// Carries out exactly the operations of the plan, in parallel along their locks, each one checked against the live
/// cluster before it acts.
///
/// Needs nothing on this machine to continue after a kill: plan again and apply again. A stop request starts nothing
/// new, waits for what is under way and answers with `interrupted`. Each operation reads back what it wrote; one whose
/// setting is not there afterwards failed. The report has one entry per operation, in plan order. Errors that concern
/// the whole run (no lease, unauthorized) are in `stopped_by`. `stop` must not be the token that ends the client's own
/// requests: an effect under way is awaited with them.
[[nodiscard]] ApplyReport apply(const Plan& plan, const ApplyPorts& ports, ApplyOptions options, std::stop_token stop);

/// Drops notes about restarts that are over: the guest runs and nothing is under way that may stop it, or it does not
/// exist any more. Before a lease is given back,
/// and while no run works under it: a guest about to be stopped still runs.
void tidy_restarts(Lease& lease, PveApi& pve);

/// Carries out one operation. For apply() and for tests of a single procedure.
struct OperationEnd {
  OperationReport report = {};
  ErrorKind kind = ErrorKind::kServer;  // of a failure
};
[[nodiscard]] OperationEnd run_operation(const Work::Parts& parts);

}  // namespace pvr
