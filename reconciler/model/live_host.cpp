#include "reconciler/model/live_host.h"

#include <algorithm>
#include <charconv>

namespace pvr {
namespace {

template <class List>
auto find_by_name(const List& list, std::string_view name) -> decltype(list.data()) {
  const auto at = std::ranges::lower_bound(list, name, {}, [](const auto& one) { return std::string_view(one.name); });
  return at != list.end() && at->name == name ? &*at : nullptr;
}

}  // namespace

std::optional<ByteSize> LiveDataset::bytes(std::string_view property) const {
  const std::string_view found = text(property);
  ByteSize size;
  const auto read = std::from_chars(found.data(), found.data() + found.size(), size.bytes);
  if (found.empty() || read.ec != std::errc() || read.ptr != found.data() + found.size()) return std::nullopt;
  return size;
}

std::string_view LiveDataset::text(std::string_view property) const {
  const std::string* found = properties.find(property);
  return found == nullptr ? std::string_view() : std::string_view(*found);
}

const LiveDataset* LiveHost::dataset(std::string_view wanted) const { return find_by_name(datasets, wanted); }

const LiveZpool* LiveHost::zpool(std::string_view wanted) const { return find_by_name(zpools, wanted); }

}  // namespace pvr
