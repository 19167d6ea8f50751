#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "reconciler/base/result.h"
#include "reconciler/model/live_state.h"
#include "reconciler/model/plan.h"
#include "reconciler/ports/clock.h"
#include "reconciler/ports/pve_api.h"

namespace pvr {

enum class Health : std::uint8_t { kGood, kUnknown, kWarning, kBad };

/// One thing that was looked at.
struct Checkup {
  Health health = Health::kGood;
  std::string area =
      {};  // "connection", "versions", "quorum", "clocks", "ssh", "sudo", "rights to read", "rights to apply"
  std::string what = {};
  std::string remedy = {};
};

/// A right somebody needs: any one of `privileges` on `path`.
struct NeededRight {
  std::string path = {};
  std::vector<std::string> privileges = {};
  std::string purpose = {};
  bool to_read = false;  // plan, audit; else apply
  friend bool operator==(const NeededRight&, const NeededRight&) = default;
};

/// One `pveum` role and where it is granted.
struct SuggestedRole {
  std::string name = {};
  std::vector<std::string> privileges = {};
  std::vector<std::string> paths = {};
  bool propagate = true;
  bool to_read = false;
};

struct DoctorReport {
  std::vector<Checkup> checkups = {};
  std::vector<NeededRight> missing = {};
  std::vector<SuggestedRole> roles = {};   // the least that suffices here; those for reading first
  std::string sudoers = {};                // file that lets the ssh user run what it may not run; empty: not needed
  std::vector<std::string> works = {};     // what can be done in this set-up
  std::vector<std::string> does_not = {};  // what cannot, and what it would take
  [[nodiscard]] Health worst() const;
};

/// What an operation needs on which paths. Fact: the privilege checks of PVE's API methods.
[[nodiscard]] std::vector<NeededRight> rights_of(const Operation& operation, const LiveState& live);
/// What reading needs: plan, status, audit.
[[nodiscard]] std::vector<NeededRight> rights_to_read(const LiveState& live);
/// The least roles for reading and for carrying out plans on this cluster. `manages_storages`: storage.cfg is written.
[[nodiscard]] std::vector<SuggestedRole> suggested_roles(const LiveState& live, bool manages_storages);
/// The lines for a shell on a node that make these roles and grant them to a user and to its token ("u@pve!t"; a token
/// with privilege separation needs both).
[[nodiscard]] std::vector<std::string> grant_commands(const std::vector<SuggestedRole>& roles,
                                                      const std::string& token_id);
/// Nodes whose clocks differ from ours by more than this are told.
inline constexpr std::chrono::seconds kToldClockSkew{5};
/// `times`: node → its clock when ours showed `now`.
[[nodiscard]] std::vector<Checkup> judge_clocks(const std::map<std::string, std::chrono::sys_seconds>& times,
                                                std::chrono::system_clock::time_point now);

/// Looks at a cluster and at what this session may do there. `plan` null: no fleet, so the rights are those any plan
/// may need. Errors: nothing at all could be read.
[[nodiscard]] Result<DoctorReport> examine(PveReader& pve, Clock& clock, const Plan* plan, bool manages_storages,
                                           std::stop_token stop = {});

}  // namespace pvr
