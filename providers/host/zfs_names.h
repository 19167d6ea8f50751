#pragma once

#include <string>
#include <string_view>

namespace pvr {

// What may travel to a node as a name. Narrower than ZFS: no blanks, so that a name looks the same everywhere. Each
// answers what is wrong, in a sentence; empty: fine.

[[nodiscard]] std::string dataset_problem(std::string_view name);                            // "tank/vm-701-disk-1"
[[nodiscard]] std::string snapshot_problem(std::string_view name);                           // the part behind the @
[[nodiscard]] std::string parameter_problem(std::string_view name, std::string_view value);  // of a kernel module
[[nodiscard]] std::string unit_problem(std::string_view name);                               // "fstrim.timer"
[[nodiscard]] std::string property_problem(std::string_view name, std::string_view value);

}  // namespace pvr
