#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/fate/dice.h"

namespace pvr::fate {

/// What the generators and the checks have to know of a storage. Written down here, by the test, and never read from
/// the product.
struct DraftStorage {
  std::string id = {};
  std::string type = {};
  std::string properties = {};  // as in the cluster file: "pool: tank/z16, blocksize: 16k"
  bool shared = false;
  bool on_zfs = false;  // zvols, or files on a dataset
  bool file_based = false;
  bool chain = false;          // thick LVM with snapshots as volume chain
  std::string blocksize = {};  // of zfspool
};

/// A random cluster.
struct Draft {
  std::uint64_t seed = 0;
  std::string yaml = {};
  std::vector<std::string> nodes = {};
  std::vector<DraftStorage> storages = {};
  std::vector<int> managed = {};  // may become part of the fleet
  std::vector<int> foreign = {};  // never
  int template_vmid = 0;          // 0: none
  [[nodiscard]] const DraftStorage* storage(std::string_view id) const;
};

inline constexpr const char* kToken = "t0p-secret-token-7f3a";
inline constexpr const char* kPassword = "t0p-secret-password-91bc";

[[nodiscard]] Draft draft_cluster(std::uint64_t seed);

}  // namespace pvr::fate
