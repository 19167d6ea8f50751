#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "terraform-plugin/cty/value.h"

namespace pvr::tf {

/// The types attributes have here. Objects are nested attributes; every other one is a type of its own.
enum class Shape : std::uint8_t {
  kText,
  kNumber,
  kBool,
  kTexts,     // list of texts
  kTextMap,   // map of texts
  kTextMaps,  // map of maps of texts
  kObject,
  kObjects,  // list of objects
  kNamed     // map of objects
};

struct Attribute {
  std::string name = {};
  Shape shape = Shape::kText;
  std::string help = {};
  bool required = false;
  bool optional = false;
  bool computed = false;
  bool sensitive = false;
  std::vector<Attribute> nested = {};  // of object shapes
};

/// A provider, a resource, a data source.
struct Schema {
  std::int64_t version = 0;
  std::string help = {};
  std::vector<Attribute> attributes = {};
};

struct Parameter {
  std::string name = {};
  Shape shape = Shape::kText;
  std::string help = {};
  bool may_be_null = false;
};
struct Function {
  std::string summary = {};
  std::string help = {};
  std::vector<Parameter> parameters = {};
  Shape returns = Shape::kText;
};

struct ProviderSchema {
  Schema provider = {};
  std::map<std::string, Schema> resources = {};
  std::map<std::string, Schema> data_sources = {};
  std::map<std::string, Function> functions = {};
};

[[nodiscard]] const Attribute* find_attribute(const std::vector<Attribute>& attributes, std::string_view name);
[[nodiscard]] bool is_object(Shape shape);
/// The type as the protocol writes it: "\"string\"", "[\"map\",\"string\"]"; of shapes that are no objects.
[[nodiscard]] std::string type_json(Shape shape);

/// The value in the full shape of the attributes: what is missing is null, what is unknown to the schema goes, at every
/// depth. Null and unknown stay what they are.
[[nodiscard]] Value conformed(const Value& value, const std::vector<Attribute>& attributes);

/// What makes a schema unusable, one sentence each: rules the CLIs check, and names that they take for themselves.
[[nodiscard]] std::vector<std::string> schema_problems(const Schema& schema, std::string_view name);

enum class Level : std::uint8_t { kWarning, kError };
/// Something to tell the user, at the place of the configuration it is about.
struct Message {
  Level level = Level::kError;
  std::string summary = {};
  std::string detail = {};
  Path path = {};
};
using Messages = std::vector<Message>;
[[nodiscard]] bool has_errors(const Messages& messages);

/// What the CLIs do not check of a configuration: an explicit null where a value is required, at every depth, and a
/// value for an attribute that is only computed.
[[nodiscard]] Messages shape_problems(const Value& config, const std::vector<Attribute>& attributes);

}  // namespace pvr::tf
