#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "reconciler/model/fleet_document.h"
#include "simulator/simulator.h"
#include "tests/fate/draft.h"

namespace pvr::fate {

/// A random fleet, and what of it the checks must know. Written down by the generator, not read from the product.
struct Wishes {
  std::string yaml = {};
  std::shared_ptr<const FleetDocument> document = {};  // null: it has errors
  std::string problem = {};                            // the first of them
  Allowance allow = {};
  bool host_access = false;
  std::set<int> vmids = {};             // named by the fleet
  std::set<int> may_stop = {};          // whose state says stopped or absent
  std::set<int> absent = {};            // to be destroyed
  std::set<std::string> storages = {};  // managed: storage.cfg may change there
  std::set<std::string> may_go = {};    // disks that are to be detached or destroyed: "100:scsi1"
  std::set<std::string> doomed = {};    // those of them that are to be destroyed
};

/// `boldness` 0 … 4: how many things differ from what is. The fleet is checked without a cluster only.
[[nodiscard]] Wishes wish(pvesim::Simulator& sim, const Draft& draft, std::uint64_t seed, int boldness);

}  // namespace pvr::fate
