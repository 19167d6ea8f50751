#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tests/unit/planning/world.h"

namespace pvr::testing {

/// ai-01 (vmid 701) whose scsi2 stays on `storage` and is to have this volblocksize.
ResolvedVm wanting(std::string_view storage = "SSD-r10", std::string_view block = "128k");
/// A thin zvol of which 64 GiB are allocated.
LiveDataset zvol(std::string name, ByteSize size, ByteSize block, std::string guid);
/// pve1 with the pool tank, the file systems tank and tank/models, and the zvol of ai-01's disk (16k, guid 4711).
LiveHost zfs_host();
/// A dataset of the first host; it must be there.
LiveDataset& zvol_in(LiveState& live, std::string_view name);
/// ai-01 as it is, with host access or without.
LiveState live_with(bool ssh = true, PowerState power = PowerState::kRunning);
/// The block size is right on the storage, but the zvol is older: three ways are open.
LiveState storage_fixed(bool ssh = true);
PlanOptions allowing(bool restart, bool offline);
/// A backup of ai-01 on "local", made then (seconds of the epoch); 0: the storage takes backups, and there is none.
LiveState with_backup(std::int64_t made);
/// Restarts and offline copies allowed, at that time.
PlanOptions at(std::int64_t seconds);

}  // namespace pvr::testing
