#include "terraform-plugin/provider/schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

namespace pvr::tf {

const Attribute* find_attribute(const std::vector<Attribute>& attributes, std::string_view name) {
  const auto found = std::ranges::find(attributes, name, &Attribute::name);
  return found == attributes.end() ? nullptr : &*found;
}

bool is_object(Shape shape) { return shape == Shape::kObject || shape == Shape::kObjects || shape == Shape::kNamed; }

std::string type_json(Shape shape) {
  switch (shape) {
    case Shape::kNumber:
      return R"("number")";
    case Shape::kBool:
      return R"("bool")";
    case Shape::kTexts:
      return R"(["list","string"])";
    case Shape::kTextMap:
      return R"(["map","string"])";
    case Shape::kTextMaps:
      return R"(["map",["map","string"]])";
    default:
      return R"("string")";
  }
}

Value conformed(const Value& value, const std::vector<Attribute>& attributes) {
  const Map* given = value.map();
  if (given == nullptr) return value;
  Map out;
  for (const Attribute& attribute : attributes) {
    const auto found = given->find(attribute.name);
    if (found == given->end()) {
      out.emplace(attribute.name, Value());
      continue;
    }
    Value part = found->second;
    if (attribute.shape == Shape::kObject) {
      part = conformed(part, attribute.nested);
    } else if (const List* list = part.list(); list != nullptr && attribute.shape == Shape::kObjects) {
      List elements;
      for (const Value& element : *list) elements.push_back(conformed(element, attribute.nested));
      part = Value(std::move(elements));
    } else if (const Map* map = part.map(); map != nullptr && attribute.shape == Shape::kNamed) {
      Map elements;
      for (const auto& [name, element] : *map) elements.emplace(name, conformed(element, attribute.nested));
      part = Value(std::move(elements));
    }
    out.emplace(attribute.name, std::move(part));
  }
  return Value(std::move(out));
}

namespace {

void check(const std::vector<Attribute>& attributes, const std::string& where, std::vector<std::string>& problems) {
  constexpr auto kTaken = std::to_array<std::string_view>(
      {"count", "for_each", "depends_on", "provider", "lifecycle", "connection", "provisioner", "alias", "version"});
  std::set<std::string_view> names;
  for (const Attribute& attribute : attributes) {
    const std::string at = where + "." + attribute.name;
    const auto say = [&](std::string_view what) { problems.push_back(at + " " + std::string(what)); };
    if (!names.insert(attribute.name).second) say("is there twice");
    const bool name_ok = !attribute.name.empty() && std::ranges::all_of(attribute.name, [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    });
    if (!name_ok) say("has a name that cannot be written");
    const bool top = where.find('.') == std::string::npos;
    if (top && std::ranges::find(kTaken, attribute.name) != kTaken.end())
      say("has a name the language takes for itself");
    if (!attribute.required && !attribute.optional && !attribute.computed) say("is neither given nor computed");
    if (attribute.required && (attribute.optional || attribute.computed)) say("is required and something else");
    if (is_object(attribute.shape) == attribute.nested.empty()) say("has parts and is no object, or is one without");
    if (attribute.help.empty()) say("has no description");
    check(attribute.nested, at, problems);
  }
}

void shape(const Value& config, const std::vector<Attribute>& attributes, const Path& at, Messages& out) {
  if (config.map() == nullptr) return;
  for (const Attribute& attribute : attributes) {
    const Value& value = config[attribute.name];
    Path path = at;
    path.push_back(tf::attribute(attribute.name));
    if (attribute.required && value.is_null())
      out.push_back({.summary = "Missing value",
                     .detail = fmt::format("{} must have a value; null is none.", to_text(path)),
                     .path = path});
    if (attribute.computed && !attribute.optional && !value.is_null())
      out.push_back({.summary = "Not for you to set",
                     .detail = fmt::format("{} is computed by the provider.", to_text(path)),
                     .path = path});
    if (attribute.shape == Shape::kObject) shape(value, attribute.nested, path, out);
    if (const List* list = value.list()) {
      for (std::size_t i = 0; i < list->size(); ++i) {
        Path element = path;
        element.push_back(index(static_cast<std::int64_t>(i)));
        if ((*list)[i].is_null())
          out.push_back({.summary = "Missing value", .detail = to_text(element) + " is null.", .path = element});
        if (attribute.shape == Shape::kObjects) shape((*list)[i], attribute.nested, element, out);
      }
    }
    const bool maps = attribute.shape == Shape::kNamed || attribute.shape == Shape::kTextMap;
    if (const Map* map = value.map(); map != nullptr && maps) {
      for (const auto& [name, part] : *map) {
        Path element = path;
        element.push_back(key(name));
        if (part.is_null())
          out.push_back({.summary = "Missing value", .detail = to_text(element) + " is null.", .path = element});
        if (attribute.shape == Shape::kNamed) shape(part, attribute.nested, element, out);
      }
    }
  }
}

}  // namespace

std::vector<std::string> schema_problems(const Schema& schema, std::string_view name) {
  std::vector<std::string> problems;
  check(schema.attributes, std::string(name), problems);
  return problems;
}

bool has_errors(const Messages& messages) {
  return std::ranges::any_of(messages, [](const Message& message) { return message.level == Level::kError; });
}

Messages shape_problems(const Value& config, const std::vector<Attribute>& attributes) {
  Messages out;
  shape(config, attributes, {}, out);
  return out;
}

}  // namespace pvr::tf
