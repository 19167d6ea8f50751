#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "reconciler/model/live_state.h"
#include "reconciler/model/plan.h"
#include "reconciler/model/resolved_fleet.h"
#include "reconciler/planning/diff.h"
#include "reconciler/planning/make_plan.h"

namespace pvr::testing {

/// A value as PVE writes it, decoded by the catalogue row of `key`; fails the test when it is not legal.
OptionValue option(Home home, std::string_view key, std::string_view text);
/// The same with an origin: stated on the VM, or by a rule.
Resolved stated(Home home, std::string_view key, std::string_view text);
Resolved by_rule(Home home, std::string_view key, std::string_view text, std::string_view rule);

/// "scsi0" or the like; fails the test otherwise.
DriveSlot slot(std::string_view text);

/// A desired disk; `settings` as "cache=none,discard=on" are drive options.
ResolvedDisk disk(std::string name, std::string_view at, std::string_view storage, std::string_view size,
                  std::string_view settings = "");
/// A desired VM on node pve1.
ResolvedVm vm(std::string name, std::uint32_t vmid);
void set(ResolvedVm& vm, std::string_view key, std::string_view text);

/// A live guest on pve1 with uuid "uuid-ID" and digest "digest-ID".
LiveVm guest(std::uint32_t vmid, PowerState power = PowerState::kRunning);
void set(LiveVm& guest, std::string_view key, std::string_view text);
/// Attaches a drive; `text` is PVE's drive string.
LiveDrive& attach(LiveVm& guest, std::string_view at, std::string_view text);

/// One node pve1 (pve2 with `two_nodes`), storages: san (shared lvm with chain), thick (shared lvm), SSD-r10 and
/// SSD-r10-models (zfspool, 16k and 128k, sparse), local (dir), nfs. Each has 1 TiB, of which 100 GiB are used.
LiveState cluster(bool two_nodes = false);
/// Puts the guest in, lists its volumes, keeps everything sorted.
void put(LiveState& live, LiveVm guest);
void list_volume(LiveState& live, std::string_view volume, ByteSize size, std::string_view node = "");

ResolvedFleet fleet(std::vector<ResolvedVm> vms);

Allowance everything();
/// diff and plan; fails the test when the plan breaks an invariant.
Plan plan(const ResolvedFleet& fleet, const LiveState& live, PlanOptions options = {});

/// The operations of one kind.
template <class T>
std::vector<T> all(const Plan& plan) {
  std::vector<T> out;
  for (const Operation& op : plan.operations)
    if (const T* p = std::get_if<T>(&op.procedure)) out.push_back(*p);
  return out;
}
/// "move-disk add-disk": the procedures in order.
std::string names(const Plan& plan);
/// For failures: everything the plan says.
std::string show(const Plan& plan);
/// All of it, word by word: what is done with what parameters, in which order, under which locks and guards, and what
/// is not done and why. Fields that are empty are left out.
std::string told(const Plan& plan);
/// Of that only what is not done: "vm/a/root: WHAT: WHY => REMEDY" each; "(!)" before those that are no policy's.
std::string refusals(const Plan& plan);

/// What the plan's operations do to a cluster that behaves as PVE does: pending changes, volume names, unusedN, and the
/// trap of a pending entry on a moved disk, which brings the old volume back at the next stop.
void apply(LiveState& live, const Plan& plan);

}  // namespace pvr::testing
