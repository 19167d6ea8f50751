#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "reconciler/audit/report.h"
#include "reconciler/model/backup_job.h"
#include "reconciler/model/facts.h"
#include "reconciler/model/live_host.h"
#include "reconciler/model/live_state.h"
#include "reconciler/model/resolved_fleet.h"

namespace pvr {

/// Everything an audit may look at. Pointers may be null where somebody did not ask or could not.
struct AuditInput {
  const LiveState* live = nullptr;  // of every guest; never null
  const Facts* facts = nullptr;     // gathered from the same look; never null
  std::span<const LiveHost> hosts = {};
  const ResolvedFleet* fleet = nullptr;  // what is known of purposes and accepted values
  const std::vector<BackupJob>* backup_jobs = nullptr;
  std::string backup_jobs_gap = {};  // why they are not there
};

/// Takes findings that somebody accepted out of the list. One whose last day is over no longer counts; that, and one
/// that fits no finding, becomes a remark.
void suppress(AuditReport& report, std::span<const WrittenSuppression> entries,
              std::chrono::system_clock::time_point now);

/// Judges a cluster by every rule that can be told from what was seen. Pure: the same input gives the same report.
/// Rules that could not be judged are listed with the reason, never left out silently. Judged is the configured state,
/// what the guest will have at its next start; that something still waits for one is a finding of its own (P1).
[[nodiscard]] AuditReport audit(const AuditInput& input);

}  // namespace pvr
