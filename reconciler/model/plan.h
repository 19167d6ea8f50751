#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "reconciler/base/flat_map.h"
#include "reconciler/base/result.h"
#include "reconciler/base/units.h"
#include "reconciler/model/address.h"
#include "reconciler/model/drive.h"
#include "reconciler/model/resolved_fleet.h"

namespace pvr {

/// What an operation costs the users of the guest, mildest first.
enum class Impact : std::uint8_t {
  kNone,  // nobody notices: stopped guest, storage entry, metadata
  kLive,
  kPendingRestart,  // written now, active after a restart that this plan does not do
  kRestart,
  kOnlineCopy,
  kOfflineCopy,
  kDestroy
};
[[nodiscard]] std::string_view to_text(Impact impact);

/// One line of "live → desired, because".
struct PlannedChange {
  std::string key = {};
  std::string from = {};  // "unset (= native here)"
  std::string to = {};
  std::string rule = {};    // rule id, "" for a plain declaration
  std::string reason = {};  // why, one sentence; of rules the planner names only the id
  std::string place = {};   // "fleet.yaml:14:9", "role specialty-linux"
  Impact impact = Impact::kNone;
};

// A VolumeId with an empty name means that an earlier operation of the plan makes the volume, so its name is not known
// yet: the slot says which. Parameters of the procedures. Texts are PVE's own (option name → text), ready for the wire.
struct CreateStorage {
  std::string id = {};
  std::string type = {};
  FlatMap<std::string> properties = {};
  std::vector<std::string> withheld = {};
};
struct UpdateStorage {
  std::string id = {};
  FlatMap<std::string> set = {};
  std::vector<std::string> unset = {};
  std::vector<std::string> withheld = {};
};
struct CreatePool {
  std::string id = {};
  std::string comment = {};
};
struct AddToPool {
  std::string id = {};
  Vmid vmid = {};
};
/// Creates the guest with all options; disks are created by it, too: `disks` in key order ("scsi0" → allocation
/// syntax).
struct CreateVm {
  std::string node = {};
  Vmid vmid = {};
  FlatMap<std::string> options = {};
  FlatMap<std::string> disks = {};
  std::string pool = {};
  std::string uuid = {};
  std::vector<std::string> withheld = {};
};
struct CloneVm {
  std::string source_node = {};
  Vmid source = {};
  Vmid vmid = {};
  std::string name = {};
  bool full = true;
  std::string storage = {};
  std::string target_node = {};
  std::string pool = {};
};
/// Sets and deletes guest options that are not drives. `live_only`: the request holds only options that take effect at
/// once. `withheld` (here, in CreateVm and for storages): write-only keys whose values a plan file does not hold;
/// whoever runs a plan read from a file fills them in `set` or leaves them alone.
struct SetVmOptions {
  Vmid vmid = {};
  FlatMap<std::string> set = {};
  std::vector<std::string> unset = {};
  std::vector<std::string> withheld = {};
};
/// Changes options of one drive; the executor reads the drive string again, changes exactly these keys and keeps the
/// rest verbatim. An empty text removes the key.
struct SetDriveOptions {
  Vmid vmid = {};
  DriveSlot slot = {};
  VolumeId volume = {};
  FlatMap<std::string> set = {};
};
/// Allocates a new volume (or imports) and attaches it. `options` are drive keys. size is zero for efidisk0, tpmstate0
/// and cloud-init drives: PVE decides it.
struct AddDisk {
  Vmid vmid = {};
  DriveSlot slot = {};
  std::string storage = {};
  ByteSize size = {};
  std::string format = {};
  std::string import_from = {};
  FlatMap<std::string> options = {};
  bool cloud_init = false;
};
/// Attaches a volume that exists (unusedN, or another slot, which is emptied first). `replaces`: the volume the slot
/// holds now, which becomes unusedN in the same step, so that the boot order keeps the slot.
struct AttachVolume {
  Vmid vmid = {};
  DriveSlot slot = {};
  std::optional<DriveSlot> from = {};
  VolumeId volume = {};
  FlatMap<std::string> options = {};
  std::optional<VolumeId> replaces = {};
};
struct DetachDisk {
  Vmid vmid = {};
  DriveSlot slot = {};
  VolumeId volume = {};
};
/// Frees a volume for good. Only with --allow destroy; last of everything.
struct DestroyVolume {
  Vmid vmid = {};
  VolumeId volume = {};
};
struct ResizeDisk {
  Vmid vmid = {};
  DriveSlot slot = {};
  VolumeId volume = {};
  ByteSize size = {};
};
/// Moves a volume to another storage (or format); the old one is kept as unusedN (retired), or removed by the same task
/// where it was only a stop on the way. `bandwidth` zero: the cluster's own limit.
struct MoveDisk {
  Vmid vmid = {};
  DriveSlot slot = {};
  VolumeId volume = {};
  std::string storage = {};
  std::string format = {};
  ByteRate bandwidth = {};
  bool remove_source = false;
};
/// Marks a zvol that a move has left behind (as unusedN) as retired: whose it was and since when, in properties of its
/// own. Nothing else about it changes. `dataset` is the zvol, `guid` the only one that is touched.
struct RetireVolume {
  Vmid vmid = {};
  DriveSlot slot = {};
  VolumeId volume = {};
  std::string node = {};
  std::string dataset = {};
  std::string guid = {};
};
/// A file system below which the zvols of one block-size class lie; never mounted.
struct CreateDataset {
  std::string node = {};
  std::string name = {};
  FlatMap<std::string> properties = {};
};
/// Native ZFS properties in place, nothing is copied. For the zvol of a guest's disk (`vmid` and `slot`; `volume` as
/// everywhere, and the zvol is found by it when the operation runs), or for `dataset` on `node`. The text of
/// refreservation is "none" or "auto".
struct SetZvolProperties {
  Vmid vmid = {};
  DriveSlot slot = {};
  VolumeId volume = {};
  std::string node = {};
  std::string dataset = {};
  FlatMap<std::string> set = {};
};
/// The last part of the strategy "swap": a zvol that a move has put onto a storage of the right block size (`volume`)
/// is renamed, while the guest is stopped, to a free name of `storage`, and the drive is pointed at it. No data is
/// copied. `from` and `to` are the datasets of the two storages, of one zpool.
struct SwapZvol {
  Vmid vmid = {};
  DriveSlot slot = {};
  VolumeId volume = {};
  std::string storage = {};
  std::string node = {};
  std::string from = {};
  std::string to = {};
};
/// The strategy "in place": a new zvol, a verified copy, and an exchange of names while the guest is stopped. The old
/// zvol is retired. `guid` is the old zvol's: nothing else is ever taken for it.
struct RecreateZvol {
  Vmid vmid = {};
  DriveSlot slot = {};
  VolumeId volume = {};
  std::string node = {};
  std::string dataset = {};
  std::string guid = {};
  ByteSize volblocksize = {};
  bool thick = false;                    // the new one gets refreservation=auto when it is in place
  FlatMap<std::string> properties = {};  // set on the new zvol
  /// "keep": replayed onto the new one; "drop": they stay with the old one and go with it; "refuse": there are none.
  std::string snapshots = "refuse";
  ByteRate bandwidth = {};
};
/// Puts a retired zvol back under the name of the live one, which is retired in its turn. While the guest is stopped.
struct RollBackZvol {
  Vmid vmid = {};
  DriveSlot slot = {};
  VolumeId volume = {};  // what the slot names
  std::string node = {};
  std::string dataset = {};
  std::string guid = {};  // of the zvol to put back
};
/// Destroys a dataset nobody uses any more. Only with --allow destroy; last of everything. Only the one with this guid.
struct DestroyDataset {
  std::string node = {};
  std::string dataset = {};
  std::string guid = {};
};
/// Limits of the ARC, zero for one that is left alone: the module's parameters now, and `options`, the parameters of
/// zfs in the file of modprobe.d that is ours (kOwnModprobeFile), for the next boot.
struct SetArcLimits {
  std::string node = {};
  ByteSize max = {};
  ByteSize min = {};
  FlatMap<std::string> options = {};
};
/// Native properties of a zpool.
struct SetPoolProperties {
  std::string node = {};
  std::string pool = {};
  FlatMap<std::string> set = {};
};
/// The timer that trims a pool: "monthly", "weekly" or "none". The other one is disabled.
struct SetTrimTimer {
  std::string node = {};
  std::string pool = {};
  std::string timer = {};
};
/// Removes a storage entry; what lies on the storage stays.
struct DeleteStorage {
  std::string id = {};
};
/// A fresh backup (vzdump) before something irreversible. `newer_than` zero: always; else a backup that was made in the
/// last so many seconds will do.
struct BackUpVm {
  Vmid vmid = {};
  std::string storage = {};
  std::chrono::seconds newer_than = {};
};
/// Graceful, HA-aware stop and start so that pending changes become active.
struct RestartVm {
  Vmid vmid = {};
  bool ha = false;
};
struct StartVm {
  Vmid vmid = {};
  bool ha = false;
};
/// `again`: the plan starts it again later. That is noted in the cluster first, so that a run after a kill does it.
struct StopVm {
  Vmid vmid = {};
  bool ha = false;
  bool again = false;
};
struct DestroyVm {
  Vmid vmid = {};
  std::string uuid = {};
};
struct SetHa {
  std::string sid = {};
  bool create = false;
  FlatMap<std::string> set = {};
  std::vector<std::string> unset = {};
};
struct RemoveHa {
  std::string sid = {};
};
struct SetReplication {
  std::string id = {};
  bool create = false;
  std::string target = {};
  FlatMap<std::string> set = {};
};

using Procedure = std::variant<CreateStorage, UpdateStorage, CreatePool, AddToPool, CreateVm, CloneVm, SetVmOptions,
                               SetDriveOptions, AddDisk, AttachVolume, DetachDisk, DestroyVolume, ResizeDisk, MoveDisk,
                               RestartVm, StartVm, StopVm, DestroyVm, SetHa, RemoveHa, SetReplication, RetireVolume,
                               CreateDataset, SetZvolProperties, SwapZvol, RecreateZvol, RollBackZvol, DestroyDataset,
                               DeleteStorage, BackUpVm, SetArcLimits, SetPoolProperties, SetTrimTimer>;
/// "move-disk", "set-vm-options": the name in plans, events and reports.
[[nodiscard]] std::string_view procedure_name(const Procedure& procedure);

using OperationId = std::uint32_t;

/// What must still hold when the operation starts; else it stops as a conflict and asks for a new plan.
struct Guard {
  std::string digest =
      {};  // guest file digest the *first* operation of a guest was planned on; later ones follow our own writes
  std::string uuid = {};            // smbios uuid: a recycled vmid is a hard stop
  std::string section_digest = {};  // storage/HA/replication file
};

struct CopyCost {
  ByteSize bytes = {};  // read and written once
  std::string target_storage = {};
  std::string target_node = {};
  ByteSize peak_extra = {};            // on the target while both copies exist, padding included
  std::chrono::seconds estimate = {};  // at the configured or assumed rate
  std::chrono::seconds downtime = {};
};

/// One unit of the plan.
struct Operation {
  OperationId id = 0;  // position + 1
  ResourceAddress address = {};
  Procedure procedure = CreatePool{};
  Impact impact = Impact::kNone;
  std::vector<PlannedChange> changes = {};  // what it brings about, for readers
  std::vector<OperationId> after = {};      // must have succeeded before
  std::vector<std::string> locks = {};      // "vm/201", "storage/san", "copy/pve1": scheduling along PVE's real locks
  Guard guard = {};
  std::optional<CopyCost> copy = {};
  std::string node = {};     // where the guest lives
  bool in_any_case = false;  // what comes before must have ended, however: a guest that was stopped is started again
};

/// How a disk can get another volblocksize.
enum class Strategy : std::uint8_t { kClassMove, kOutAndBack, kSwap, kInPlace };
[[nodiscard]] std::string_view to_text(Strategy strategy);

/// One way, priced, or why it is none.
struct StrategyOffer {
  Strategy strategy = Strategy::kClassMove;
  bool possible = false;
  bool chosen = false;
  std::string why = {};      // why it was chosen, why it lost, or why it cannot be done
  std::string remedy = {};   // what would make it possible
  std::string needs = {};    // "API", "API and host access", …
  ByteSize bytes = {};       // copied altogether
  ByteSize peak_extra = {};  // on the fullest pool while it runs
  std::chrono::seconds estimate = {};
  std::chrono::seconds downtime = {};
};
/// The ways for one disk, all four, in the order of Strategy.
struct StrategyChoice {
  ResourceAddress address = {};
  std::string what = {};  // "give scsi2 volblocksize 128KiB"
  std::vector<StrategyOffer> offers = {};
};

/// Wanted, but not done: shown, never left out.
struct BlockedItem {
  ResourceAddress address = {};
  std::string what = {};  // "move scsi2 to storage \"SSD-r10-models\""
  std::string why = {};
  std::string remedy = {};  // "--allow restart", a command, …
  bool by_policy = true;    // counts for exit code 4
};

/// Configured, not active yet: needs nothing written, only a restart.
struct WaitingItem {
  ResourceAddress address = {};
  std::string key = {};
  std::string running = {};
  std::string configured = {};
};

struct PlanTotals {
  std::uint32_t create = 0, change = 0, move = 0, restart = 0, destroy = 0, blocked = 0, waiting = 0, findings = 0;
  ByteSize copy_bytes = {};
  std::chrono::seconds copy_estimate = {};
};

/// How the nodes are reached over SSH, as the fleet states it: whoever applies a saved plan has no fleet at hand.
struct NodeAccess {
  std::string user = {};
  bool sudo = false;
  std::uint32_t port = 0;           // 0: as the user's ssh configuration says
  FlatMap<std::string> hosts = {};  // node → host name or address
  std::optional<bool> local = {};
};

/// The inputs a saved plan was made from; apply refuses when they changed.
struct PlanInputs {
  std::string document_hash = {};
  std::string cluster_name = {};
  std::string made_at = {};                         // RFC 3339, UTC
  std::map<std::string, std::string> digests = {};  // "vm/201" → digest, "storage" → digest, …
  std::vector<std::string> allow = {};
  std::optional<NodeAccess> ssh = {};
};

struct Plan {
  PlanInputs inputs = {};
  std::vector<Operation> operations = {};
  std::vector<StrategyChoice> choices = {};
  std::vector<BlockedItem> blocked = {};
  std::vector<WaitingItem> waiting = {};
  std::vector<Finding> findings = {};
  std::vector<std::string> gaps = {};
  bool partial = false;
  std::uint32_t unchanged_vms = 0;
  [[nodiscard]] bool empty() const { return operations.empty(); }
};
[[nodiscard]] PlanTotals totals(const Plan& plan);

/// The plan file: versioned JSON with a checksum. Holds no secret (values of write-only options are left out and asked
/// for again at apply).
[[nodiscard]] std::string print_plan(const Plan& plan);
[[nodiscard]] Result<Plan> parse_plan(std::string_view text);

}  // namespace pvr
