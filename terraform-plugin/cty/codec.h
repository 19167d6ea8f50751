#pragma once

#include <string>
#include <string_view>

#include "reconciler/base/result.h"
#include "terraform-plugin/cty/value.h"

namespace pvr::tf {

/// A value as it travels: MessagePack, where any extension is an unknown value (refinements are not heeded). Empty:
/// null. Errors: kMalformed. Never throws, whatever the bytes are.
[[nodiscard]] Result<Value> decode_msgpack(std::string_view bytes);
/// Unknown is written as the plain extension without refinements.
[[nodiscard]] std::string encode_msgpack(const Value& value);

/// State as it is stored. A number that is no 64-bit integer becomes a double.
[[nodiscard]] Result<Value> decode_json(std::string_view text);
/// For logs and texts of data sources; unknown becomes null.
[[nodiscard]] std::string encode_json(const Value& value);

}  // namespace pvr::tf
