#pragma once

#include <string>

#include "reconciler/audit/report.h"

namespace pvr::cli {

/// The report as SARIF 2.1.0, for code scanning. `fleet` is the file findings are shown at, where there is one;
/// otherwise every subject is a place of its own.
[[nodiscard]] std::string audit_sarif(const AuditReport& report, const std::string& fleet);

}  // namespace pvr::cli
