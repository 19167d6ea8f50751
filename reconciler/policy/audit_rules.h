#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/base/units.h"
#include "reconciler/model/storage_kind.h"
#include "reconciler/policy/rule.h"

namespace pvr {

// Checks that only make sense on a cluster that lives: the tables of defaults and invariants say what a fleet must
// become, these say what an existing guest, pool or volume suffers from.

/// One existing guest.
struct GuestAuditFacts {
  std::string_view name = {};  // "dc-01 (301)"
  GuestOs os = GuestOs::kLinux;
  bool passthrough_pci = false;
  Mobility mobility = Mobility::kMobile;
  std::string_view ostype = {};
  std::string_view bios = {};
  std::string_view cpu = {};  // type; what PVE takes when unset is filled in
  bool numa = false;
  bool has_efi_disk = false;
  bool has_tpm = false;
  std::vector<std::string> other_nets = {};  // "net0 (e1000)": devices that are not virtio
};
[[nodiscard]] std::span<const Check<GuestAuditFacts>> guest_audit_checks();

/// What a running guest still waits for.
struct PendingFacts {
  std::string_view name = {};
  std::vector<std::string> keys = {};
};
[[nodiscard]] std::span<const Check<PendingFacts>> pending_checks();

/// A volume no guest uses.
struct LeftoverFacts {
  std::string_view volume = {};
  std::string_view guest = {};  // whose it is by its name
  ByteSize size = {};           // zero: unknown
  bool attached = false;        // unusedN of a guest; else no guest knows it
};
[[nodiscard]] std::span<const Check<LeftoverFacts>> leftover_checks();

/// A volume and every entry of a configuration that names it.
struct UsersFacts {
  std::string_view volume = {};
  std::vector<std::string> users = {};  // "guest 100 (scsi0)"
};
[[nodiscard]] std::span<const Check<UsersFacts>> users_checks();

/// How a pool is. Absent: not observed.
struct PoolStateFacts {
  std::string_view name = {};
  std::string_view health = {};  // ONLINE, DEGRADED, …; empty: not observed
  std::string_view errors = {};  // "No known data errors"; empty: not observed
  bool scrub_known = false;
  std::optional<int> scrub_age_days = {};  // nothing although known: never scrubbed
  std::optional<int> fragmentation = {};   // per cent
};
/// Z16: a monthly scrub, with some slack; Debian's own runs on every second Sunday.
inline constexpr int kScrubDays = 40;
inline constexpr int kFragmentationNotice = 60;
[[nodiscard]] std::span<const Check<PoolStateFacts>> pool_state_checks();

/// Backups of one guest, or of the cluster as a whole (`guest` empty).
struct CoverageFacts {
  std::string_view guest = {};
  bool in_a_job = false;
  bool jobs_known = false;
  std::optional<int> newest_age_days = {};  // nothing: no backup is there
  bool backups_known = false;               // every storage that can hold backups was listed
  std::size_t unprotected = 0;              // cluster: guests without job and backup
};
/// T5: older than this a backup is stale.
inline constexpr int kBackupDays = 7;
[[nodiscard]] std::span<const Check<CoverageFacts>> coverage_checks();

}  // namespace pvr
