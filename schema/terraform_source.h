#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "reconciler/base/result.h"

namespace pvr {

struct ConvertedFleet {
  std::string text = {};                  // a fleet file
  std::vector<std::string> remarks = {};  // what has no place in it, one sentence each, sorted by VM
  std::size_t vms = 0;
};

/// VMs that another Terraform provider manages, as a fleet: resources proxmox_virtual_environment_vm (bpg) and
/// proxmox_vm_qemu (Telmate), from a state file (version 4) or from configuration in JSON (*.tf.json, where expressions
/// are left out and named). Says only what Terraform states: a plan of it against the cluster shows what differs.
/// Passwords are never taken over. Pure. Error: no JSON, or neither of the two forms, or no such resource.
[[nodiscard]] Result<ConvertedFleet> fleet_from_terraform(std::string_view text);

}  // namespace pvr
