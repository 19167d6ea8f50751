#pragma once

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "reconciler/audit/report.h"
#include "reconciler/base/diagnostic.h"
#include "reconciler/base/result.h"
#include "reconciler/execute/executor.h"
#include "reconciler/model/diff.h"
#include "reconciler/model/facts.h"
#include "reconciler/model/fleet_document.h"
#include "reconciler/model/live_state.h"
#include "reconciler/model/plan.h"
#include "reconciler/model/resolved_fleet.h"
#include "reconciler/planning/make_plan.h"
#include "reconciler/ports/clock.h"
#include "reconciler/ports/event_sink.h"
#include "reconciler/ports/pve_api.h"
#include "reconciler/ports/zfs_host.h"

namespace pvr {

// What shells (command line, Terraform, server) call. No I/O of its own but the ports; no state between calls; safe
// from several threads.

/// Where reading finds its cluster and how hard it may knock.
struct EngineOptions {
  PlanOptions plan = {};      // `now` is filled from the clock
  std::uint32_t readers = 6;  // requests at the same time
  bool all_guests = false;    // read guests the fleet does not name, too: audit, adopt
  ZfsReader* zfs = nullptr;   // host access; null: none. Outlives the call
};

/// Everything a plan was made from, and the plan. `plan` is there unless `diagnostics` has errors.
struct PlanResult {
  std::shared_ptr<const FleetDocument> document = {};
  Facts facts = {};
  LiveState live = {};
  ResolvedFleet fleet = {};
  Diff diff = {};
  Plan plan = {};
  Diagnostics diagnostics = {};
  [[nodiscard]] bool ok() const { return !has_errors(diagnostics); }
};

/// Looks at the cluster and plans. Guests that an interrupted restart has left stopped are started by the plan, too.
///
/// Errors: what the cluster answered when nothing at all could be read. A node that is offline is no error:
/// `plan.partial`.
[[nodiscard]] Result<PlanResult> plan(PveReader& pve, Clock& clock, std::shared_ptr<const FleetDocument> document,
                                      EngineOptions options, std::stop_token stop = {});

/// What may go, as a plan: retired volumes past their retention, and block-size classes nobody uses. Reads every guest.
[[nodiscard]] Result<PlanResult> plan_gc(PveReader& pve, Clock& clock, std::shared_ptr<const FleetDocument> document,
                                         EngineOptions options, std::stop_token stop = {});

/// A disk's retired volume put back in the place of the live one, as a plan. `target`: vm/NAME/DISK.
[[nodiscard]] Result<PlanResult> plan_rollback(PveReader& pve, Clock& clock,
                                               std::shared_ptr<const FleetDocument> document, EngineOptions options,
                                               const std::string& target, std::stop_token stop = {});

/// Three truths per declared setting: declared, configured, running. Plans nothing.
struct StatusResult {
  LiveState live = {};
  ResolvedFleet fleet = {};
  Diff diff = {};  // every declared setting, those in sync included
  Diagnostics diagnostics = {};
};
[[nodiscard]] Result<StatusResult> status(PveReader& pve, Clock& clock,
                                          const std::shared_ptr<const FleetDocument>& document,
                                          const EngineOptions& options, std::stop_token stop = {});

/// A look at the whole cluster, judged.
struct AuditResult {
  LiveState live = {};
  AuditReport report = {};
  Diagnostics diagnostics = {};  // of the fleet; one with errors is not used for the judgement
};
/// Judges every guest, storage, pool and node. `document` null: without a fleet. Errors as for plan().
[[nodiscard]] Result<AuditResult> audit_cluster(PveReader& pve, Clock& clock,
                                                std::shared_ptr<const FleetDocument> document, EngineOptions options,
                                                std::stop_token stop = {});

/// What of a saved plan's inputs is not so any more, one sentence each, sorted: another document, changed guests,
/// storages, HA or replication files, another cluster. Empty: the plan may be applied. `document_hash` empty: the
/// document is not at hand and not compared.
[[nodiscard]] Result<std::vector<std::string>> stale_inputs(PveReader& pve, const Plan& plan,
                                                            const std::string& document_hash);

// apply() is in execute/executor.h and takes the plan as it is.

}  // namespace pvr
