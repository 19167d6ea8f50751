#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace pvr::tf {

struct Value;
using List = std::vector<Value>;
using Map = std::map<std::string, Value, std::less<>>;  // of maps and of objects

struct Null {
  friend bool operator==(Null, Null) = default;
};
/// Known only after apply.
struct Unknown {
  friend bool operator==(Unknown, Unknown) = default;
};

/// A value of the configuration language, without its type. A number that is neither a 64-bit integer nor exactly a
/// double is the string of its digits, as it travels.
struct Value {
  std::variant<Null, Unknown, bool, std::int64_t, double, std::string, List, Map> data = Null{};

  Value() = default;
  Value(Unknown) : data(Unknown{}) {}                        // NOLINT(google-explicit-constructor)
  Value(bool flag) : data(flag) {}                           // NOLINT(google-explicit-constructor)
  Value(int number) : data(std::int64_t{number}) {}          // NOLINT(google-explicit-constructor)
  Value(std::int64_t number) : data(number) {}               // NOLINT(google-explicit-constructor)
  Value(double number) : data(number) {}                     // NOLINT(google-explicit-constructor)
  Value(const char* text) : data(std::string(text)) {}       // NOLINT(google-explicit-constructor)
  Value(std::string text) : data(std::move(text)) {}         // NOLINT(google-explicit-constructor)
  Value(std::string_view text) : data(std::string(text)) {}  // NOLINT(google-explicit-constructor)
  Value(List list) : data(std::move(list)) {}                // NOLINT(google-explicit-constructor)
  Value(Map map) : data(std::move(map)) {}                   // NOLINT(google-explicit-constructor)
  friend bool operator==(const Value&, const Value&) = default;

  [[nodiscard]] bool is_null() const { return std::holds_alternative<Null>(data); }
  [[nodiscard]] bool is_unknown() const { return std::holds_alternative<Unknown>(data); }
  /// Neither null nor unknown.
  [[nodiscard]] bool is_known() const { return data.index() > 1; }
  /// The value, or null when it is of another kind.
  [[nodiscard]] const std::string* text() const { return std::get_if<std::string>(&data); }
  [[nodiscard]] const bool* flag() const { return std::get_if<bool>(&data); }
  [[nodiscard]] const List* list() const { return std::get_if<List>(&data); }
  [[nodiscard]] const Map* map() const { return std::get_if<Map>(&data); }
  [[nodiscard]] Map* map() { return std::get_if<Map>(&data); }
  /// A whole number, however it travelled.
  [[nodiscard]] std::optional<std::int64_t> integer() const;
  /// The attribute, or the null value when there is none.
  [[nodiscard]] const Value& operator[](std::string_view attribute) const;
  /// The text, or "" for everything that is none.
  [[nodiscard]] std::string text_or_empty() const;
};

/// Whether anything in it is unknown.
[[nodiscard]] bool has_unknown(const Value& value);

/// One step to a part of a value: an attribute, a key of a map, an index of a list.
struct Step {
  enum class Kind : std::uint8_t { kAttribute, kKey, kIndex } kind = Kind::kAttribute;
  std::string name = {};
  std::int64_t index = 0;
  friend bool operator==(const Step&, const Step&) = default;
};
using Path = std::vector<Step>;
[[nodiscard]] Step attribute(std::string_view name);
[[nodiscard]] Step key(std::string_view name);
[[nodiscard]] Step index(std::int64_t number);
/// "disks[\"root\"].size", for people.
[[nodiscard]] std::string to_text(const Path& path);

}  // namespace pvr::tf
