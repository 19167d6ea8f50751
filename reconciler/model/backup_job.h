#pragma once

#include <string>
#include <vector>

#include "reconciler/base/units.h"

namespace pvr {

/// A vzdump job of the cluster.
struct BackupJob {
  std::string id = {};
  bool enabled = true;
  bool all = false;
  std::vector<Vmid> vmids = {};    // what it names, where it is not for all
  std::vector<Vmid> exclude = {};  // of `all`
  std::string pool = {};           // or every guest of this pool
  std::string node = {};           // only guests of this node; empty: everywhere
  std::string storage = {};
  std::string mode = {};      // empty: PVE's default, snapshot
  std::string compress = {};  // empty: PVE's default, no compression
};

}  // namespace pvr
