#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "reconciler/base/units.h"

namespace pvr {

/// A PVE property string, decoded: pairs sorted by key, aliases and the default key resolved, booleans as "1"/"0".
struct PropertyString {
  std::vector<std::pair<std::string, std::string>> pairs = {};
  friend bool operator==(const PropertyString&, const PropertyString&) = default;
  [[nodiscard]] const std::string* find(std::string_view key) const;
  void set(std::string_view key, std::string value);
  void erase(std::string_view key);
};

using StringList = std::vector<std::string>;

/// The value of one setting. monostate: absent (PVE's default applies). Two values of one setting are equal exactly
/// when PVE treats them alike, because values only come from the codec (option_codec.h) or the schema, which both
/// normalise.
using OptionValue =
    std::variant<std::monostate, bool, std::int64_t, double, ByteSize, std::string, StringList, PropertyString>;

[[nodiscard]] inline bool is_absent(const OptionValue& value) { return value.index() == 0; }
/// For people: true → "1", sizes with unit, property strings as PVE prints them, absent → "unset".
[[nodiscard]] std::string to_text(const OptionValue& value);

}  // namespace pvr
