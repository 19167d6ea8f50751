#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/text_view.h"
#include "reconciler/audit/report.h"

namespace pvr::cli {

/// Findings of one subject, in the order of the report; a drive's findings share their commands.
struct AuditSubject {
  std::string_view subject = {};
  std::vector<const AuditFinding*> findings = {};
};
/// Subjects by their worst finding, then in the order of the report.
[[nodiscard]] std::vector<AuditSubject> by_subject(const AuditReport& report);
/// The commands of these findings, each once.
[[nodiscard]] std::vector<std::string_view> commands_of(const AuditSubject& subject);
/// The fleet lines of one finding in one line of YAML: "vms: {ai-01: {vmid: 701, disks: {scsi2: {discard: on}}}}".
[[nodiscard]] std::string fleet_line(const AuditFix& fix);
/// "lost space 1.2 TiB", "writes 2.5 times what the guest writes", "12 GiB of memory too much": only what there is.
[[nodiscard]] std::vector<std::string> costs_of(const AuditCost& cost);
/// "3 errors, 2 warnings, 1 notice; 2 suppressed"
[[nodiscard]] std::string counts_of(const AuditReport& report);
/// "6 guests, 12 disks, 7 storages and 6 pools on 3 nodes"
[[nodiscard]] std::string extent_of(const AuditReport& report);

/// The report for people, what was not checked included; the summary as the last line.
[[nodiscard]] std::string audit_text(const AuditReport& report, const TextOptions& options);
/// One record "pvereconcile.audit"; docs/json-formats.md describes the fields.
[[nodiscard]] std::string audit_json(const AuditReport& report);
/// The report as a page for merge requests and wikis.
[[nodiscard]] std::string audit_markdown(const AuditReport& report);

}  // namespace pvr::cli
