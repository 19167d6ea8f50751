#pragma once

#include <string_view>

namespace pvr {

// Texts of the files next to this one, put in at build time. They travel to a node on the standard input of `sh` or
// `perl -`; nothing is installed there.
extern const std::string_view kReadHostScript;     // read_host.sh
extern const std::string_view kZvolDeviceProgram;  // zvol_device.pl
extern const std::string_view kZvolCopyProgram;    // zvol_copy.pl

}  // namespace pvr
