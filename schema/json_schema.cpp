#include <nlohmann/json.hpp>
#include <string>

#include "schema/field_table.h"
#include "schema/fleet_schema.h"

namespace pvr {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kSizePattern = "^[0-9]+(\\.[0-9]+)? ?([KMGTkmgt]|[KMGT]iB|B)$";

std::string definition(const Table& table) { return "#/$defs/" + std::string(table.name); }

Json texts(std::string_view values, std::string_view pattern) {
  Json out = {{"type", "string"}};
  if (!values.empty()) {
    Json words = Json::array();
    for (std::string_view word : split_words(values)) {
      words.push_back(word);
      // A plain 3 or 2.0 is a number to every other reader of YAML.
      bool number = word.find_first_not_of("0123456789.") == std::string_view::npos;
      if (number) words.push_back(Json::parse(word));
    }
    out = {{"enum", words}};
  } else if (!pattern.empty()) {
    out["pattern"] = pattern;
  }
  return out;
}

/// Values of a lane: its short forms are known by the shape alone.
Json lane_forms(const Table& lane) {
  Json by_node = {{"type", "object"}, {"additionalProperties", {{"type", "string"}}}};
  return {{"anyOf", Json::array({{{"type", "string"}}, {{"$ref", definition(lane)}}, by_node})}};
}

Json one_form(const Field& field, Form form) {
  switch (form) {
    case kBoolForm:
      return {{"type", "boolean"}};
    case kIntegerForm: {
      if ((field.forms & kSizeForm) != 0) return {{"const", 0}};
      Json out = {{"type", "integer"}};
      if (field.minimum != field.maximum && (field.forms & kTextForm) == 0) {
        out["minimum"] = field.minimum;
        out["maximum"] = field.maximum;
      } else if (field.key == Key::kVersion) {
        out["const"] = field.minimum;
      }
      return out;
    }
    case kNumberForm:
      return {{"type", "number"}};
    case kSizeForm:
      return {{"type", "string"}, {"pattern", kSizePattern}};
    case kTextForm:
      return texts(field.values, field.pattern);
    case kTextsForm: {
      // A plain number in a list of texts is the text it is written as.
      bool free = field.values.empty() && field.pattern.empty();
      Json item = free ? Json{{"type", Json::array({"string", "integer"})}} : texts(field.values, field.pattern);
      Json out = {{"type", "array"}, {"items", std::move(item)}};
      if (field.key != Key::kSerial) out["uniqueItems"] = true;
      return out;
    }
    case kTableForm:
      return {{"$ref", definition(*field.table)}};
    case kTablesForm:
      return {{"type", "array"}, {"items", {{"$ref", definition(*field.table)}}}};
    case kNamedForm: {
      Json of = field.key == Key::kLanes ? lane_forms(*field.table) : Json{{"$ref", definition(*field.table)}};
      return {{"type", "object"}, {"additionalProperties", of}};
    }
    case kNamedTextForm:
      return {{"type", "object"}, {"additionalProperties", {{"type", "string"}}}};
  }
  return Json::object();
}

Json property(const Field& field) {
  constexpr Form kForms[] = {kBoolForm,  kIntegerForm, kNumberForm, kSizeForm,  kTextForm,
                             kTextsForm, kTableForm,   kTablesForm, kNamedForm, kNamedTextForm};
  Json forms = Json::array();
  for (Form form : kForms) {
    bool told = field.key == Key::kLanes && form == kNamedTextForm;  // within the named form
    if ((field.forms & form) != 0 && !told) forms.push_back(one_form(field, form));
  }
  Json out = Json::object();
  if (field.key == Key::kOptions) {
    out = {{"type", "object"}, {"additionalProperties", {{"type", Json::array({"string", "number", "boolean"})}}}};
  } else if (forms.size() == 1) {
    out = forms.front();
  } else {
    out = {{"anyOf", forms}};
  }
  if (!field.help.empty()) out["description"] = field.help;
  return out;
}

Json object(const Table& table) {
  Json out = {{"type", "object"}};
  if (!table.help.empty()) out["description"] = table.help;
  Json properties = Json::object();
  Json required = Json::array();
  for (const Field& field : table.fields) {
    if (!field.refused.empty()) continue;
    properties[std::string(field.name)] = property(field);
    if (field.required) required.push_back(field.name);
  }
  out["properties"] = std::move(properties);
  if (!required.empty()) out["required"] = std::move(required);
  out["additionalProperties"] = false;
  return out;
}

}  // namespace

std::string json_schema() {
  const Tables& tables = fleet_tables();
  Json out = {{"$schema", "https://json-schema.org/draft/2020-12/schema"}, {"title", "pvereconcile fleet"}};
  out.update(object(tables.file));
  Json definitions = Json::object();
  for (const Table* table : tables.all) {
    if (table != &tables.file) definitions[std::string(table->name)] = object(*table);
  }
  out["$defs"] = std::move(definitions);
  return out.dump(2) + "\n";
}

}  // namespace pvr
