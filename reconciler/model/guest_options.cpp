#include "reconciler/model/guest_options.h"

namespace pvr {

bool is_numbered(std::string_view key, std::string_view family) {
  return key.size() > family.size() && key.starts_with(family) &&
         key.find_first_not_of("0123456789", family.size()) == std::string_view::npos;
}

GuestOs os_of_type(std::string_view ostype, GuestOs otherwise) {
  if (ostype.starts_with("w")) return GuestOs::kWindows;  // win11 win10 win8 win7 wvista wxp w2k w2k3 w2k8
  if (ostype == "l26" || ostype == "l24") return GuestOs::kLinux;
  return otherwise;
}

std::string_view option_text(const LiveVm& vm, std::string_view key) {
  const LiveOption* option = vm.options.find(key);
  const std::string* text = option != nullptr ? option->configured() : nullptr;
  return text != nullptr ? std::string_view(*text) : std::string_view{};
}

bool is_data_disk(const LiveDrive& drive) {
  const Drive* held = drive.configured();
  return held != nullptr && held->medium == Drive::Medium::kDisk && is_disk_bus(drive.slot.bus);
}

}  // namespace pvr
