#pragma once

#include <string>

#include "reconciler/audit/report.h"

namespace pvr::cli {

/// The report as one HTML page that needs nothing else: no script, no font, no picture from elsewhere; light and dark
/// as the reader has it. `written` is the day and time it tells, RFC 3339.
[[nodiscard]] std::string audit_html(const AuditReport& report, const std::string& written);

}  // namespace pvr::cli
