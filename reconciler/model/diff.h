#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/model/address.h"
#include "reconciler/model/live_state.h"
#include "reconciler/model/option_value.h"
#include "reconciler/model/resolved_fleet.h"
#include "reconciler/model/settings.h"

namespace pvr {

/// Where one setting stands.
enum class SettingState : std::uint8_t {
  kInSync,
  kDiffers,          // configured value is another one: must be written
  kWaitsForRestart,  // configured is right, the running guest still has the old value: written already, never sent
                     // twice
  kFindingOnly,      // differs, but rules say to report and not to change
  kCannotTell        // not observable in this set-up; `note` says what would be needed
};

/// One setting of one resource: three truths and how a change takes effect.
struct SettingChange {
  std::string key = {};
  SettingState state = SettingState::kInSync;
  OptionValue running = {};     // what the running guest has (equals configured when it is stopped)
  OptionValue configured = {};  // config + pending
  Resolved desired = {};
  TakesEffect effect = TakesEffect::kAtRestart;  // for this guest in its present state (hotplug classes looked up)
  std::string note = {};
};

/// How a desired disk was found in the live guest.
enum class DiskMatch : std::uint8_t {
  kInPlace,     // at its slot
  kOtherSlot,   // bound to a volume that is attached elsewhere
  kUnused,      // its volume is detached: unusedN
  kMissing,     // no volume of its: will be created
  kAmbiguous,   // several candidates: blocked, both named
  kWrongHolder  // the slot holds another disk's volume
};

/// What an interrupted operation left of a disk's zvol, as its marks tell.
enum class Unfinished : std::uint8_t {
  kNothing,
  kExchange,  // old one renamed away, verified new one not in place; or in place and not settled: go on
  kSwap,      // renamed, and the drive not pointed at it, or an empty entry not removed: go on
  kHeld       // held read-only for a copy that has not ended: go on, or let it go
};

struct DiskDiff {
  std::string name = {};
  DriveSlot desired_slot = {};
  DiskMatch match = DiskMatch::kInPlace;
  std::optional<DriveSlot> live_slot = {};
  std::optional<VolumeId> volume = {};
  std::vector<std::string> candidates = {};
  std::optional<std::string> move_to = {};  // target storage id, when the volume must move
  std::string move_why = {};
  std::optional<std::string> format_to = {};
  std::optional<ByteSize> grow_to = {};
  std::optional<ByteSize> live_size = {};
  std::vector<SettingChange> settings = {};
  std::vector<SettingChange> forbidden_here = {};  // must go as long as the volume is not moved
  std::string blocked = {};                        // why nothing can be done for this disk; empty: it can
  std::string remedy = {};                         // what the user can do about it
  Unfinished unfinished = Unfinished::kNothing;
  bool off_limits = false;  // `blocked` forbids everything, not only what it speaks of
  bool absent = false;      // must go (its volume is `volume`)
  bool detached = false;    // must be kept, but not attached
};

enum class Presence : std::uint8_t { kMissing, kPresent, kMustGo, kUnreadable, kWrongIdentity };

struct VmDiff {
  ResourceAddress address = {};
  Vmid vmid = {};
  std::string node = {};
  Presence presence = Presence::kPresent;
  PowerState power = PowerState::kUnknown;
  std::optional<PowerState> power_to = {};  // declared state, where it differs
  std::vector<SettingChange> options = {};
  std::vector<DiskDiff> disks = {};
  std::vector<std::string> foreign_pending = {};  // pending keys nobody declared: left alone, but they bite moves
  std::string blocked = {};
  std::string remedy = {};
};

struct StorageDiff {
  ResourceAddress address = {};
  bool missing = false;
  std::vector<SettingChange> properties = {};
  std::vector<std::string> fixed = {};  // fixed properties that differ: explained, never "changed"
};

struct HaDiff {
  ResourceAddress address = {};
  std::string sid = {};
  enum class Action : std::uint8_t { kNone, kCreate, kUpdate, kDelete } action = Action::kNone;
  std::vector<SettingChange> settings = {};
};

struct PoolDiff {
  ResourceAddress address = {};
  bool missing = false;
  std::vector<Vmid> add = {};             // members to add
  std::vector<std::string> blocked = {};  // guests that are in another pool, one sentence each
};

struct ReplicationDiff {
  ResourceAddress address = {};
  std::string id = {};
  enum class Action : std::uint8_t { kNone, kCreate, kUpdate } action = Action::kNone;
  std::vector<SettingChange> settings = {};
};

/// A node, or a pool or dataset of it: "host/pve1", "host/pve1/tank". Of the ARC limits `running` is what holds now and
/// `configured` what modprobe.d sets at the next boot; a setting in sync has both.
struct HostDiff {
  ResourceAddress address = {};
  std::vector<SettingChange> settings = {};
  std::string blocked = {};  // why nothing can be done for it; empty: it can
  std::string remedy = {};
  bool by_policy = true;  // false: it cannot be looked at just now
};

struct Diff {
  std::vector<StorageDiff> storages = {};
  std::vector<PoolDiff> pools = {};
  std::vector<VmDiff> vms = {};
  std::vector<HaDiff> ha = {};
  std::vector<ReplicationDiff> replication = {};
  std::vector<HostDiff> hosts = {};
  std::vector<Finding> findings = {};  // from resolve, plus what only the live state shows
};

}  // namespace pvr
