#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pvr {

enum class AddressKind : std::uint8_t { kCluster, kStorage, kPool, kVm, kHa, kReplication, kHost };

/// The stable name of one managed thing, as the user types it: "vm/ai-01", "vm/ai-01/models" (disk by name),
/// "storage/SSD-r10", "ha/dns-01", "host/pve1", "host/pve1/tank/backup" (a pool or dataset of the node).
struct ResourceAddress {
  AddressKind kind = AddressKind::kVm;
  std::string name = {};
  std::string part = {};  // disk name, or dataset of a host; empty for the whole
  friend auto operator<=>(const ResourceAddress&, const ResourceAddress&) = default;
};
[[nodiscard]] std::string to_text(const ResourceAddress& address);
[[nodiscard]] std::optional<ResourceAddress> parse_address(std::string_view text);

}  // namespace pvr
