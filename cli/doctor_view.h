#pragma once

#include <string>

#include "cli/text_view.h"
#include "reconciler/engine/doctor.h"

namespace pvr::cli {

/// What was looked at, what works and what does not; the commands that grant missing rights to `identity` ("u@pve!t").
[[nodiscard]] std::string doctor_text(const DoctorReport& report, const std::string& identity,
                                      const TextOptions& options);
/// One record "pvereconcile.doctor".
[[nodiscard]] std::string doctor_json(const DoctorReport& report, const std::string& identity);

}  // namespace pvr::cli
