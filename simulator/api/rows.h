#pragma once

#include <nlohmann/json_fwd.hpp>

#include "simulator/api/broadcast.h"

namespace pvesim {

/// One row of /cluster/resources as PVE's tools build it: identity from the cluster file system, numbers from the last
/// broadcast. Without a fresh broadcast only the identity and status "unknown" remain.
[[nodiscard]] nlohmann::json guest_row(const Broadcast& broadcast, const Vm& vm);
[[nodiscard]] nlohmann::json storage_row(World& world, const Broadcast& broadcast, const StorageDef& storage,
                                         const std::string& node);
/// `numbers`: whether the caller may see the load of the node.
[[nodiscard]] nlohmann::json node_row(const World& world, const Broadcast& broadcast, const Node& node, bool numbers);

/// {version, release, repoid} of one node.
[[nodiscard]] nlohmann::json version_json(const Node& node);

/// The content string as PVE prints it: a set, so in any order.
[[nodiscard]] std::string content_text(World& world, const StorageDef& storage);

}  // namespace pvesim
