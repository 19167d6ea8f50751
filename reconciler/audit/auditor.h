#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "reconciler/audit/audit.h"
#include "reconciler/policy/audit_rules.h"
#include "reconciler/policy/disk_rules.h"
#include "reconciler/policy/guest_rules.h"
#include "reconciler/policy/rule.h"
#include "reconciler/policy/storage_rules.h"
#include "reconciler/policy/zvol_rules.h"

namespace pvr {

/// One audit. Internal to this folder: audit.cpp drives it, one file per kind of thing.
class Auditor {
 public:
  explicit Auditor(const AuditInput& input);
  [[nodiscard]] AuditReport run();

 private:
  struct GuestContext {
    const LiveVm* vm = nullptr;
    const ResolvedVm* declared = nullptr;  // its fleet entry, or null
    GuestFacts facts = {};
    std::string_view scsihw = {};         // effective: PVE's default filled in
    bool controller_wrong = false;        // scsihw is to become virtio-scsi-single
    std::string controller_command = {};  // then: one command for the controller and its disks
    FixEffect effect = FixEffect::kNow;   // of options a running guest only takes over at its start
  };
  /// One disk with what it has, what it should have, and everything that is wrong with it.
  struct DiskContext {
    DriveSlot slot = {};
    const Drive* drive = nullptr;
    const StorageFacts* storage = nullptr;
    const ResolvedDisk* declared = nullptr;
    DiskFacts facts = {};
    Drive wanted = {};
    std::vector<AuditFinding> findings = {};  // of drive options: they share one command
  };

  // guests.cpp
  void audit_guest(const LiveVm& vm);
  [[nodiscard]] GuestContext context_of(const LiveVm& vm) const;
  void guest_options(GuestContext& guest);
  void guest_pending(const GuestContext& guest);
  void fix_option(AuditFinding& finding, const GuestContext& guest, std::string_view key,
                  const std::string& value) const;
  [[nodiscard]] std::string baseline_cpu() const;
  [[nodiscard]] std::string cpu_with(const LiveVm& vm, std::string_view type) const;

  // disks.cpp
  void audit_disks(GuestContext& guest);
  [[nodiscard]] std::optional<DiskContext> disk_context(const GuestContext& guest, const LiveDrive& live) const;
  void drive_options(const GuestContext& guest, DiskContext& disk);
  void drive_place(const GuestContext& guest, DiskContext& disk);
  void drive_zvol(const GuestContext& guest, const DiskContext& disk);
  [[nodiscard]] bool is_stated(const DiskContext& disk, std::string_view key) const;
  [[nodiscard]] std::string zvol_storage_for(const LiveVm& vm, ByteSize size) const;
  [[nodiscard]] AuditFinding disk_finding(const GuestContext& guest, const DiskContext& disk, std::string_view rule,
                                          Severity severity) const;

  // storages.cpp
  void audit_storages();
  void audit_nodes();
  [[nodiscard]] std::optional<bool> stated_plp(std::string_view pool) const;
  void audit_pool(const LiveNode& node, const LivePoolLayout* seen, const LiveZpool* zpool);
  void audit_host_memory(const LiveNode& node);
  void audit_datasets(const LiveHost& host);

  // volumes.cpp
  void audit_volumes();
  void audit_backups();

  void note_unchecked();

  // Shared.
  [[nodiscard]] const LiveHost* host(std::string_view node) const;
  [[nodiscard]] const ResolvedVm* declared(Vmid vmid) const;
  void add(AuditFinding finding);
  /// Every row of a table of checks that finds something, as findings on `subject` with what the row says.
  template <class F>
  [[nodiscard]] std::vector<AuditFinding> judge(std::span<const Check<F>> table, const F& facts,
                                                const std::string& subject) const {
    std::vector<AuditFinding> found;
    std::map<std::string_view, int> rows;
    for (const Check<F>& row : table) {
      const int number = ++rows[row.id];
      if (!row.found(facts)) continue;
      AuditFinding finding;
      finding.rule = row.id;
      finding.severity = row.severity;
      finding.subject = subject;
      finding.id = finding_id(row.id, number, subject);
      finding.what = row.say(facts);
      finding.why = std::string(row.why);
      finding.source = std::string(row.source);
      take_fix(finding, row.fix(facts));
      found.push_back(std::move(finding));
    }
    return found;
  }
  /// "Z9@node/pve1/pool/tank"; later rows of the same rule are told apart by their number.
  [[nodiscard]] static std::string finding_id(std::string_view rule, int number, std::string_view subject);
  /// A fix that is a command becomes one; anything else is advice.
  static void take_fix(AuditFinding& finding, std::string fix);

  const AuditInput& in_;
  const LiveState& live_;
  const Facts& facts_;
  AuditReport report_ = {};
  std::set<std::string> media_unknown_ = {};  // storages of disks whose media nobody knows
  std::size_t containers_ = 0;
};

/// "dc-01 (301)".
[[nodiscard]] std::string label_of(const LiveVm& vm);
[[nodiscard]] std::string_view property_of(const LiveStorage& storage, std::string_view key);
[[nodiscard]] bool is_on(const LiveStorage& storage, std::string_view node);
/// Whether VM disks may be on it.
[[nodiscard]] bool holds_images(const LiveStorage& storage);

}  // namespace pvr
