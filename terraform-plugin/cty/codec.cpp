#include "terraform-plugin/cty/codec.h"

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

namespace pvr::tf {
namespace {

using Json = nlohmann::json;

constexpr int kDeepest = 64;

Error malformed(std::string message) { return {.kind = ErrorKind::kMalformed, .message = std::move(message)}; }

/// Nothing that is nested this deep is a value of a schema of ours, and recursion must end.
bool too_deep(std::string_view bytes) {
  // Arrays and maps of MessagePack that hold one element each are the cheapest way down: one byte a level.
  int depth = 0;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    const bool opens = (byte >= 0x81 && byte <= 0x9f) || (byte >= 0xdc && byte <= 0xdf);
    depth = opens ? depth + 1 : 0;
    if (depth > kDeepest) return true;
  }
  return false;
}

Result<Value> from_json(const Json& json, int depth) {
  if (depth > kDeepest) return malformed("the value is nested too deep");
  switch (json.type()) {
    case Json::value_t::null:
      return Value();
    case Json::value_t::boolean:
      return Value(json.get<bool>());
    case Json::value_t::number_integer:
      return Value(json.get<std::int64_t>());
    case Json::value_t::number_unsigned: {
      const auto number = json.get<std::uint64_t>();
      if (number <= static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
        return Value(static_cast<std::int64_t>(number));
      return Value(std::to_string(number));
    }
    case Json::value_t::number_float:
      return Value(json.get<double>());
    case Json::value_t::string:
      return Value(json.get<std::string>());
    case Json::value_t::binary:
      if (json.get_binary().has_subtype()) return Value(Unknown{});
      return malformed("a value of a type that no attribute has");
    case Json::value_t::array: {
      List list;
      for (const Json& element : json) {
        auto value = from_json(element, depth + 1);
        if (!value) return value;
        list.push_back(std::move(value).value());
      }
      return Value(std::move(list));
    }
    case Json::value_t::object: {
      Map map;
      for (const auto& [name, element] : json.items()) {
        auto value = from_json(element, depth + 1);
        if (!value) return value;
        map.emplace(name, std::move(value).value());
      }
      return Value(std::move(map));
    }
    case Json::value_t::discarded:
      break;
  }
  return malformed("the value cannot be read");
}

Json to_json(const Value& value, bool unknowns) {
  struct Writer {
    bool unknowns;
    Json operator()(Null) const { return nullptr; }
    Json operator()(Unknown) const { return unknowns ? Json::binary({0}, 0) : Json(nullptr); }
    Json operator()(bool flag) const { return flag; }
    Json operator()(std::int64_t number) const { return number; }
    Json operator()(double number) const { return number; }
    Json operator()(const std::string& text) const { return text; }
    Json operator()(const List& list) const {
      Json out = Json::array();
      for (const Value& element : list) out.push_back(to_json(element, unknowns));
      return out;
    }
    Json operator()(const Map& map) const {
      Json out = Json::object();
      for (const auto& [name, element] : map) out[name] = to_json(element, unknowns);
      return out;
    }
  };
  return std::visit(Writer{unknowns}, value.data);
}

}  // namespace

Result<Value> decode_msgpack(std::string_view bytes) {
  if (bytes.empty()) return Value();
  if (too_deep(bytes)) return malformed("the value is nested too deep");
  const Json json = Json::from_msgpack(bytes.begin(), bytes.end(), true, false);
  if (json.is_discarded()) return malformed("the value is no MessagePack");
  return from_json(json, 0);
}

std::string encode_msgpack(const Value& value) {
  std::string out;
  Json::to_msgpack(to_json(value, true), nlohmann::detail::output_adapter<char>(out));
  return out;
}

Result<Value> decode_json(std::string_view text) {
  if (text.empty()) return Value();
  const Json json = Json::parse(text.begin(), text.end(), nullptr, false);
  if (json.is_discarded()) return malformed("the state is no JSON");
  return from_json(json, 0);
}

std::string encode_json(const Value& value) {
  return to_json(value, false).dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace pvr::tf
