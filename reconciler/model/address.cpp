#include "reconciler/model/address.h"

#include <array>
#include <utility>

namespace pvr {
namespace {

constexpr std::array kWords = {std::pair{AddressKind::kCluster, std::string_view("cluster")},
                               std::pair{AddressKind::kStorage, std::string_view("storage")},
                               std::pair{AddressKind::kPool, std::string_view("pool")},
                               std::pair{AddressKind::kVm, std::string_view("vm")},
                               std::pair{AddressKind::kHa, std::string_view("ha")},
                               std::pair{AddressKind::kReplication, std::string_view("replication")},
                               std::pair{AddressKind::kHost, std::string_view("host")}};

std::string_view word(AddressKind kind) {
  for (const auto& [known, text] : kWords) {
    if (known == kind) return text;
  }
  return "cluster";
}

}  // namespace

std::string to_text(const ResourceAddress& address) {
  std::string text(word(address.kind));
  if (!address.name.empty()) text += "/" + address.name;
  if (!address.part.empty()) text += "/" + address.part;
  return text;
}

std::optional<ResourceAddress> parse_address(std::string_view text) {
  const std::size_t first = text.find('/');
  const std::string_view head = text.substr(0, first);
  for (const auto& [kind, known] : kWords) {
    if (head != known) continue;
    if (first == std::string_view::npos) {
      // Only the cluster has no name.
      return kind == AddressKind::kCluster ? std::optional(ResourceAddress{kind, {}, {}}) : std::nullopt;
    }
    const std::string_view rest = text.substr(first + 1);
    ResourceAddress address{kind, std::string(rest), {}};
    // Pool ids may hold slashes of their own, names of guests and nodes cannot; datasets of a node can.
    if (kind == AddressKind::kVm || kind == AddressKind::kHost) {
      const std::size_t second = rest.find('/');
      address.name = rest.substr(0, second);
      if (second != std::string_view::npos) {
        address.part = rest.substr(second + 1);
        if (address.part.empty()) return std::nullopt;
        if (kind == AddressKind::kVm && address.part.find('/') != std::string::npos) return std::nullopt;
      }
    }
    if (address.name.empty() || kind == AddressKind::kCluster) return std::nullopt;
    return address;
  }
  return std::nullopt;
}

}  // namespace pvr
