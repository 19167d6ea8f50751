#pragma once

#include <algorithm>
#include <string_view>

#include "reconciler/model/live_host.h"

namespace pvr {

/// Whether the root file system of a node is on this pool. Fact: GRUB reads no dnodes of another size, and may have to
/// read the pool the system starts from, so its dnodesize is nobody's to change.
[[nodiscard]] inline bool starts_from(const LiveHost& host, std::string_view pool) {
  return std::ranges::any_of(host.mounts, [pool](const LiveMount& mount) {
    return mount.target == "/" && mount.fstype == "zfs" && mount.source.substr(0, mount.source.find('/')) == pool;
  });
}

}  // namespace pvr
