#pragma once

#include <map>
#include <string>
#include <vector>

#include "simulator/api/method.h"

namespace pvesim {

/// A parameter as the wire carried it, before it was checked.
struct WireValue {
  enum class Kind : std::uint8_t {
    kText,
    kBoolean,  // true/false of a JSON body
    kList,     // a JSON array or a repeated form key
    kObject,   // a JSON object: no method takes one
  };
  Kind kind = Kind::kText;
  std::string text = {};                // kText; kBoolean: "0" or "1"
  std::vector<std::string> items = {};  // kList
};
using WireParams = std::map<std::string, WireValue, std::less<>>;

using ParamErrors = std::map<std::string, std::string, std::less<>>;

/// Checks `given` (path parameters included) against the method's table as PVE's JSON schema does, with its texts.
/// Fills `errors`; answers the parameters as text. Facts: booleans are exactly 0 or 1 (JSON bodies: also true/false);
/// a JSON array for a text with a "-list" format is joined with ','; a single value for an array becomes its only
/// element; the first failing rule of a parameter is reported, in the order type, format, pattern, length, range, enum.
[[nodiscard]] Params check_params(const MethodSpec& method, const WireParams& given, ParamErrors& errors);

/// The same parameters without any check, as the permission rules see them.
[[nodiscard]] Params raw_params(const WireParams& given);

/// Takes "a=1,b=2" apart by the keys of `format`. Answers "" or PVE's text ("format error\n…"), which the caller
/// prefixes with "invalid format - ". `name` is the parameter, for the texts. On success `out` has the values by key.
[[nodiscard]] std::string parse_property_string(const std::vector<ParamSpec>& format, std::string_view value,
                                                std::string_view name, Params& out);

}  // namespace pvesim
