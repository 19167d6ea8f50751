#pragma once

#include <string>
#include <string_view>

#include "simulator/wire/message.h"
#include "simulator/wire/params.h"

namespace pvesim {

/// %XX -> byte; with `plus` also '+' -> space. A '%' that is no escape stays as it is.
[[nodiscard]] std::string percent_decode(std::string_view text, bool plus);

/// "a=1&b=2" as PVE reads it. Facts: pairs are split on '&' and ';'; each pair on every '=', of which only the first
/// two parts are kept, so an unescaped '=' silently truncates the value; '+' is a space; a repeated key becomes an
/// array.
[[nodiscard]] WireParams decode_form(std::string_view text);

/// A JSON body. Numbers keep their text. Throws ApiError with the text of PVE's JSON parser.
[[nodiscard]] WireParams decode_json_body(std::string_view text);

/// The value of a header, names compared without case; "" when absent.
[[nodiscard]] std::string header_of(const Request& request, std::string_view name);

/// Parameters of a request: the body of POST and PUT, then the query over it; without `_dc`.
[[nodiscard]] WireParams request_params(const Request& request);

}  // namespace pvesim
