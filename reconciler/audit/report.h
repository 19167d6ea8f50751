#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/base/diagnostic.h"
#include "reconciler/base/units.h"
#include "reconciler/model/drive.h"
#include "reconciler/model/option_value.h"

namespace pvr {

/// How what a fix changes reaches the guest.
enum class FixEffect : std::uint8_t {
  kNow,         // at once, nobody notices
  kRestart,     // stored at once, runs after the next restart of the guest from PVE
  kNewVolumes,  // only what is allocated from now on
  kCopy,        // data is copied
  kByHand       // nothing a command of PVE or ZFS could do alone
};
[[nodiscard]] std::string_view to_text(FixEffect effect);

/// The one value of the fleet language that would mend a finding: what --fix hands to the planner.
struct FixValue {
  std::optional<Vmid> vmid = {};       // absent: a storage or a node
  std::optional<DriveSlot> slot = {};  // absent: an option of the guest
  std::string storage = {};            // id, for a storage
  std::string node = {};               // for a node, or a pool or dataset of it
  std::string part = {};               // that pool ("tank") or dataset ("tank/backup")
  std::string key = {};                // of the setting catalogue
  std::string value = {};              // PVE's text
};

struct AuditFix {
  std::vector<std::string> commands = {};  // for a shell on the node, ready to paste, in this order
  std::string advice = {};                 // in words; where there are commands, what to know besides
  std::string caution = {};                // what the commands can break
  std::vector<std::string> fleet = {};     // lines of a fleet file
  std::optional<FixValue> value = {};
  FixEffect effect = FixEffect::kByHand;
};

/// What it costs to leave things as they are. Absent: nothing that could be put in a number.
struct AuditCost {
  std::optional<ByteSize> lost_space = {};         // bytes on the disks of a pool, or of a volume nobody uses
  std::optional<double> write_amplification = {};  // bytes written per byte the guest writes
  std::optional<ByteSize> memory_overcommit = {};  // what guests, ARC and system ask for beyond what there is
};

struct AuditFinding {
  std::string id = {};  // "C2@vm/301/scsi0": the same as long as the finding is
  Severity severity = Severity::kNotice;
  std::string_view rule = {};  // static
  std::string subject =
      {};                 // "vm/301/scsi0", "node/pve1/pool/tank", "storage/san", "volume/san:vm-9-disk-0", "cluster"
  std::string name = {};  // what people call it: the guest's name
  std::string node = {};  // where, if it is anywhere in particular
  std::string what = {};  // one sentence
  std::string why = {};
  std::string source = {};
  AuditCost cost = {};
  AuditFix fix = {};
};

/// A finding somebody has accepted.
struct SuppressedFinding {
  AuditFinding finding = {};
  std::string reason = {};
  std::string until = {};  // "2026-12-31"; empty: no end
};

struct NotChecked {
  std::vector<std::string_view> rules = {};  // static ids; empty: any
  std::string what = {};
  std::string reason = {};
};

struct AuditReport {
  std::string cluster_name = {};
  std::size_t guests = 0, disks = 0, storages = 0, pools = 0, nodes = 0;  // how many were judged
  std::vector<AuditFinding> findings = {};                                // worst first, then by subject
  std::vector<SuppressedFinding> suppressed = {};
  std::vector<NotChecked> not_checked = {};
  std::vector<std::string> remarks = {};  // about suppressions: ended, or about nothing
  bool partial = false;                   // a node is offline
};

[[nodiscard]] std::size_t count_of(const AuditReport& report, Severity severity);

}  // namespace pvr
