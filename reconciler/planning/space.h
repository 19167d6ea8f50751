#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "reconciler/model/live_state.h"
#include "reconciler/planning/storage_table.h"

namespace pvr {

/// Adds up what the operations of one plan take from each pool and refuses what would fill it (rule Z10). Storages on
/// one zpool share its space.
class SpaceBook {
 public:
  SpaceBook(const LiveState& live, const StorageTable& storages, bool force)
      : live_(live), storages_(storages), force_(force) {}

  /// What a volume of `size` takes on the storage: padded to its grain and, on RAIDZ, with the parity and padding
  /// sectors of its volblocksize over what the pool's accounting already expects.
  [[nodiscard]] ByteSize taken(const StorageView& storage, std::string_view node, ByteSize size) const;

  /// Reserves `bytes`; a sentence why not when the pool would reach 90 % or has less than that available (nothing is
  /// reserved then). Without numbers nothing is refused.
  [[nodiscard]] std::optional<std::string> reserve(const StorageView& storage, std::string_view node, ByteSize bytes);
  /// The same sentence, and nothing is reserved.
  [[nodiscard]] std::optional<std::string> refuses(const StorageView& storage, std::string_view node, ByteSize bytes);

 private:
  struct Pool {
    std::string name = {};  // "zpool \"tank\" on pve1", "storage \"san\""
    bool known = false;
    double total = 0;
    double used = 0;
    double available = 0;
    double added = 0;
  };
  [[nodiscard]] Pool& pool_of(const StorageView& storage, std::string_view node);
  [[nodiscard]] const LivePoolLayout* layout_of(const StorageView& storage, std::string_view node) const;

  const LiveState& live_;
  const StorageTable& storages_;
  bool force_ = false;
  std::map<std::string, Pool, std::less<>> pools_;
};

/// Sectors RAIDZ allocates for one block (data, parity and padding) over its data sectors. 1 where there is no parity.
[[nodiscard]] double raidz_overhead(ByteSize block, int ashift, int width, int parity);

}  // namespace pvr
