#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "reconciler/base/units.h"
#include "reconciler/model/diff.h"
#include "reconciler/model/live_state.h"

namespace pvr {

/// Memory that the guests of a node may have together; nothing: unknown, so nothing is refused.
using GuestMemoryOf = std::function<std::optional<ByteSize>(const std::string& node)>;

/// Adds up the memory of the guests that run, or are to run, on each node, and refuses what exceeds it (rule Z13). What
/// a guest has already is its own: only more can be refused.
class MemoryBook {
 public:
  MemoryBook(const LiveState& live, GuestMemoryOf room);

  /// Why the guest cannot run on the node with `memory`; nothing: it can, and counts with it from now on.
  [[nodiscard]] std::optional<std::string> give(const std::string& node, Vmid vmid, ByteSize memory);

  /// What the guests of a node that count have together, and what they may have (nothing: unknown).
  [[nodiscard]] ByteSize given(const std::string& node) const;
  [[nodiscard]] std::optional<ByteSize> room(const std::string& node) const;

 private:
  struct Account {
    std::map<std::uint32_t, ByteSize> guests = {};
    ByteSize total = {};  // of `guests`
  };
  static void enter(Account& account, Vmid vmid, ByteSize memory);

  GuestMemoryOf room_;
  std::map<std::string, Account> nodes_;
};

/// A guest as the rule sees it: the memory it will have when it runs after the plan, and what of the difference asks
/// for it.
struct MemoryWish {
  ByteSize memory = {};
  bool grows = false;   // the fleet states more than is configured
  bool starts = false;  // it does not run yet
};
[[nodiscard]] MemoryWish memory_wish(const VmDiff& diff, const LiveVm* guest);

}  // namespace pvr
