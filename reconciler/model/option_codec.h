#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "reconciler/base/result.h"
#include "reconciler/base/units.h"
#include "reconciler/model/option_value.h"
#include "reconciler/model/settings.h"

namespace pvr {

/// PVE's text of one setting → value, normalised so that texts PVE treats alike give equal values (property strings in
/// any order, tags in any order or case, "current=2048" and "2048", booleans in any spelling). Error: why the text is
/// not legal, as one sentence.
[[nodiscard]] Result<OptionValue> parse_option(const Setting& setting, std::string_view text);
/// The text PVE takes (and prints) for the value; parse_option(print_option(x)) == x. Absent is "", and "" reads as
/// absent.
[[nodiscard]] std::string print_option(const Setting& setting, const OptionValue& value);

/// The same for what a cluster reports: never fails. Keys and enum values PVE added later than our table are kept as
/// they are; a text that cannot be read at all becomes a string value, which equals no legal desired value.
[[nodiscard]] OptionValue decode_option(const Setting& setting, std::string_view text);

/// Brings a value that was put together by hand (property strings from YAML mappings) to the form the codec gives.
/// Error: why PVE would refuse it; also when a part holds a character that would start another part (',', control
/// characters).
[[nodiscard]] Result<OptionValue> normalise_option(const Setting& setting, const OptionValue& value);

/// Percent encoding: everything but A-Z a-z 0-9 - _ . ~ becomes %XX.
[[nodiscard]] std::string percent_encode(std::string_view text);
/// Undoes it; a '%' without two hex digits stays as it is.
[[nodiscard]] std::string percent_decode(std::string_view text);

/// "K M G T" sizes inside drive strings, 1024-based, printed with the largest exact unit as PVE does.
[[nodiscard]] std::optional<ByteSize> parse_disk_size(std::string_view text);
[[nodiscard]] std::string print_disk_size(ByteSize size);

}  // namespace pvr
