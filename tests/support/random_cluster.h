#pragma once

#include <cstdint>
#include <string>

namespace pvr::testing {

/// A cluster file as people have clusters: several kinds of storage, guests with good and odd settings. The same seed
/// gives the same text. Nodes are n1, n2, …
[[nodiscard]] std::string random_cluster(std::uint32_t seed);

}  // namespace pvr::testing
