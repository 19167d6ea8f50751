#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "simulator/world/world.h"

namespace pvesim {

/// One top-level vdev as the commands print it.
struct SimVdev {
  std::string role = {};   // "" data, else the heading: logs, special, dedup, cache, spares
  std::string group = {};  // "mirror-0"; empty: a single disk
  std::vector<std::string> devices = {};
  int ashift = 12;
  std::int64_t disk_size = 0;
  std::string media = {};
};
[[nodiscard]] std::vector<SimVdev> vdevs_of(const ZPool& pool);

}  // namespace pvesim
