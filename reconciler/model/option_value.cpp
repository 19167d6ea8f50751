#include "reconciler/model/option_value.h"

#include <fmt/format.h>

#include <algorithm>
#include <type_traits>

namespace pvr {
namespace {

auto position(auto& pairs, std::string_view key) {
  return std::ranges::lower_bound(pairs, key, {}, [](const auto& pair) { return std::string_view(pair.first); });
}

std::string joined(const StringList& list) { return fmt::format("{}", fmt::join(list, ",")); }

/// Without the setting at hand only the form of network devices is known to be special: MODEL=MAC comes first.
std::string joined(const PropertyString& properties) {
  const std::string* model = properties.find("model");
  const std::string* address = properties.find("macaddr");
  StringList parts;
  if (model != nullptr) parts.push_back(address != nullptr ? *model + "=" + *address : *model);
  for (const auto& [key, value] : properties.pairs) {
    if (model != nullptr && (key == "model" || key == "macaddr")) continue;
    parts.push_back(key + "=" + value);
  }
  return joined(parts);
}

}  // namespace

const std::string* PropertyString::find(std::string_view key) const {
  auto at = position(pairs, key);
  return at != pairs.end() && at->first == key ? &at->second : nullptr;
}

void PropertyString::set(std::string_view key, std::string value) {
  auto at = position(pairs, key);
  if (at == pairs.end() || at->first != key) at = pairs.emplace(at, std::string(key), std::string());
  at->second = std::move(value);
}

void PropertyString::erase(std::string_view key) {
  auto at = position(pairs, key);
  if (at != pairs.end() && at->first == key) pairs.erase(at);
}

std::string to_text(const OptionValue& value) {
  return std::visit(
      [](const auto& held) -> std::string {
        using T = std::decay_t<decltype(held)>;
        if constexpr (std::is_same_v<T, std::monostate>) {
          return "unset";
        } else if constexpr (std::is_same_v<T, bool>) {
          return held ? "1" : "0";
        } else if constexpr (std::is_same_v<T, ByteSize>) {
          return to_text(held);
        } else if constexpr (std::is_same_v<T, StringList> || std::is_same_v<T, PropertyString>) {
          return joined(held);
        } else {
          return fmt::format("{}", held);
        }
      },
      value);
}

}  // namespace pvr
