#pragma once

#include <string>

#include "reconciler/audit/report.h"
#include "reconciler/model/plan.h"

namespace pvr::cli {

// Reports as JUnit XML, for the test views of CI systems. Texts of files and clusters cannot become markup, and what
// XML 1.0 cannot hold is made visible.

/// A test case per resource the plan touches: failed when something is to change or blocked, skipped when it only waits
/// for a restart. A plan without any is one test case that passed.
[[nodiscard]] std::string plan_junit(const Plan& plan);

/// A test case per finding: errors and warnings failed, notices and accepted findings skipped. Without findings one
/// test case that passed.
[[nodiscard]] std::string audit_junit(const AuditReport& report);

}  // namespace pvr::cli
