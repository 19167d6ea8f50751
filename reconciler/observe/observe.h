#pragma once

#include <chrono>
#include <stop_token>

#include "reconciler/base/result.h"
#include "reconciler/model/fleet_document.h"
#include "reconciler/model/live_state.h"
#include "reconciler/ports/pve_api.h"
#include "reconciler/ports/zfs_host.h"

namespace pvr {

struct ObserveOptions {
  unsigned parallelism = 8;  // calls in flight at once; PVE has three synchronous workers per node
  std::stop_token stop = {};
  std::chrono::system_clock::time_point now = {};  // becomes observed_at
  ZfsReader* zfs = nullptr;                        // asks each node that is online once; null: only the API is asked
};

/// Looks at what `scope` names, once: about twenty calls for the cluster and its nodes, one per guest in the scope, one
/// for the power of the guests of each of their nodes, and two per storage and node. Guests outside the scope are only
/// listed. What cannot be read is no error: an offline node makes the result partial and its guests unreadable, a
/// missing privilege becomes a gap that names it, and so does a node that host access cannot read. Errors: no way to
/// the cluster, not logged in, stopped, or one of the lists that everything rests on (nodes, guests, storages,
/// replication) cannot be read. Calls `reader` from several threads.
[[nodiscard]] Result<LiveState> observe(const Scope& scope, PveReader& reader, const ObserveOptions& options);

/// Reads which volumes the guests use that `live` only lists, because the scope did not name them: for whoever moves or
/// destroys a volume, which another guest may name as well. By one command where a node can be asked for the files of
/// /etc/pve (then with their snapshots), else by one call per guest. One that cannot be read gets `problem`. Answers
/// whether there was anything to read. Errors: stopped.
[[nodiscard]] Result<bool> read_other_guests(LiveState& live, PveReader& reader, const ObserveOptions& options);

/// What a fleet needs to be looked at: its guests, the sources of its clones, and the storages it names.
[[nodiscard]] Scope scope_of(const FleetDocument& document);

}  // namespace pvr
