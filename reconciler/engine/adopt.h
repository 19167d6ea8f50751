#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "reconciler/audit/report.h"
#include "reconciler/model/fleet_document.h"
#include "reconciler/model/live_state.h"

namespace pvr {

struct AdoptOptions {
  bool improve = false;            // take every fix of the audit that the fleet language can say
  std::set<std::string> fix = {};  // or those of these findings only
  /// This guest alone, as a further guest of the base: its roles, lanes and storages hold and nothing is made up
  /// besides. What the guest has and the fleet language can say is stated, also where no role or rule speaks of it:
  /// network cards, tags, a description.
  std::optional<Vmid> only = {};
};

/// A value that the fleet keeps as it is although a rule would change it, and the finding that says so.
struct AdoptChoice {
  std::string vm = {};       // name in the fleet; empty: a storage or a node
  std::string disk = {};     // name in the fleet; empty: an option of the VM
  std::string storage = {};  // id
  std::string node = {};     // for a node, or the pool or dataset `part` of it
  std::string part = {};
  std::string key = {};
  std::string was = {};      // storage of a disk: where it lies now
  std::string finding = {};  // id
  std::string text = {};     // "D1, warning: no discard: …"
  bool taken = false;        // the fix is part of the fleet: what is live is left out
};

struct Adopted {
  FleetDocument document = {};  // without sources; holds the built-in roles of the base, too
  std::vector<AdoptChoice> choices = {};
  std::map<std::string, std::string> remarks = {};  // "vm/NAME", "storage/ID", "role/NAME" → what was inferred and why
  std::vector<std::string> left_out = {};           // one sentence each
};

/// A fleet that explains a cluster: roles, lanes and storages are chosen so that the fewest values must be stated, and
/// what several guests state alike is said
/// once, in a role of its own; a plan of it against the same cluster is empty (with improve or fix: holds exactly those
/// fixes). What a rule would change stands under `leave:`. Guests for which that cannot be reached are left out and
/// named. `base` gives the built-in roles; with `only` it is the fleet. Pure.
[[nodiscard]] Adopted adopt(const FleetDocument& base, const LiveState& live, const AuditReport& report,
                            const AdoptOptions& options);

}  // namespace pvr
