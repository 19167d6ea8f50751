#include "terraform-plugin/cty/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>

namespace pvr::tf {

std::optional<std::int64_t> Value::integer() const {
  if (const auto* number = std::get_if<std::int64_t>(&data)) return *number;
  if (const auto* number = std::get_if<double>(&data)) {
    constexpr double kExact = 9007199254740992.0;  // 2^53
    if (std::floor(*number) == *number && std::abs(*number) <= kExact) return static_cast<std::int64_t>(*number);
    return std::nullopt;
  }
  if (const std::string* digits = text()) {
    std::int64_t number = 0;
    const auto [end, fault] = std::from_chars(digits->data(), digits->data() + digits->size(), number);
    if (fault == std::errc{} && end == digits->data() + digits->size() && !digits->empty()) return number;
  }
  return std::nullopt;
}

const Value& Value::operator[](std::string_view attribute) const {
  static const Value kNull;
  const Map* attributes = map();
  if (attributes == nullptr) return kNull;
  const auto found = attributes->find(attribute);
  return found == attributes->end() ? kNull : found->second;
}

std::string Value::text_or_empty() const { return text() == nullptr ? std::string() : *text(); }

bool has_unknown(const Value& value) {
  if (value.is_unknown()) return true;
  if (const List* list = value.list()) return std::ranges::any_of(*list, has_unknown);
  if (const Map* map = value.map())
    return std::ranges::any_of(*map, [](const auto& entry) { return has_unknown(entry.second); });
  return false;
}

Step attribute(std::string_view name) { return {.kind = Step::Kind::kAttribute, .name = std::string(name)}; }
Step key(std::string_view name) { return {.kind = Step::Kind::kKey, .name = std::string(name)}; }
Step index(std::int64_t number) { return {.kind = Step::Kind::kIndex, .index = number}; }

std::string to_text(const Path& path) {
  std::string out;
  for (const Step& step : path) {
    switch (step.kind) {
      case Step::Kind::kAttribute:
        out += (out.empty() ? "" : ".") + step.name;
        break;
      case Step::Kind::kKey:
        out += "[\"" + step.name + "\"]";
        break;
      case Step::Kind::kIndex:
        out += "[" + std::to_string(step.index) + "]";
        break;
    }
  }
  return out;
}

}  // namespace pvr::tf
