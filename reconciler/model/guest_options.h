#pragma once

#include <string_view>

#include "reconciler/model/live_state.h"
#include "reconciler/model/storage_kind.h"

// What the options of a guest say, as one word for planning, audit and adoption. All functions are pure.
namespace pvr {

/// "net0", "hostpci12" of the families "net", "hostpci".
[[nodiscard]] bool is_numbered(std::string_view key, std::string_view family);

/// The system an `ostype` stands for; `otherwise` for none and for "other", "solaris".
[[nodiscard]] GuestOs os_of_type(std::string_view ostype, GuestOs otherwise);

/// PVE's text of an option (no drive) at the next start, or empty.
[[nodiscard]] std::string_view option_text(const LiveVm& vm, std::string_view key);

/// Buses of disks that hold a guest's data; EFI and TPM states have their own.
[[nodiscard]] constexpr bool is_disk_bus(Bus bus) {
  return bus == Bus::kScsi || bus == Bus::kVirtio || bus == Bus::kSata || bus == Bus::kIde;
}

/// A disk the guest will have at the next start: no CD, no EFI or TPM state, nothing detached.
[[nodiscard]] bool is_data_disk(const LiveDrive& drive);

}  // namespace pvr
