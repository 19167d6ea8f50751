// Compares the parameter tables with the schema dumped from the real API, where that file is present.

#include <gtest/gtest.h>

#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>

#include "simulator/api/method.h"
#include "simulator/wire/formats.h"
#include "simulator/wire/service.h"
#include "tests/simulator/transcript.h"

namespace pvesim {
namespace {

using nlohmann::json;

/// What the dump cannot say, or says in another form. Each entry: "VERB /path" or "*", parameter, what, why.
struct Difference {
  const char* method;
  const char* parameter;
  const char* what;  // pattern, optional, …
  const char* why;
};
constexpr Difference kDifferences[] = {
    {"*", "*", "pattern", "Perl and C++ spell the same pattern differently; patterns are tested by value"},
};

bool excused(const std::string& method, const std::string& parameter, const std::string& what) {
  for (const Difference& one : kDifferences) {
    const bool fits = (std::string(one.method) == "*" || method == one.method) &&
                      (std::string(one.parameter) == "*" || parameter == one.parameter) && what == one.what;
    if (fits) return true;
  }
  return false;
}

class ApiDoc {
 public:
  ApiDoc() {
    if (const auto folder = pvesim_test::shared_folder()) {
      std::ifstream input(*folder / "apidoc.json");
      if (input) document_ = json::parse(input);
    }
  }
  [[nodiscard]] bool present() const { return !document_.is_null(); }
  [[nodiscard]] const json* find(const MethodSpec& method) const {
    for (const json& one : document_["endpoints"])
      if (one["path"] == method.path && one["method"] == method.verb) return &one;
    return nullptr;
  }

 private:
  json document_ = nullptr;
};

class Checker {
 public:
  explicit Checker(std::string method) : method_(std::move(method)) {}

  void compare(const json& documented, const std::vector<ParamSpec>& specs, const std::string& place) {
    for (const auto& [name, schema] : documented.items()) {
      const ParamSpec* spec = nullptr;
      for (const ParamSpec& one : specs)
        if (one.name == name) spec = &one;
      if (spec == nullptr) {
        complain(place + name, "presence", "documented, not in our table");
        continue;
      }
      compare_one(schema, *spec, place + name);
    }
    for (const ParamSpec& spec : specs)
      if (!documented.contains(spec.name)) complain(place + spec.name, "presence", "in our table, not documented");
  }
  [[nodiscard]] const std::vector<std::string>& complaints() const { return complaints_; }

 private:
  void complain(const std::string& parameter, const std::string& what, const std::string& text) {
    if (!excused(method_, parameter, what))
      complaints_.push_back(method_ + " " + parameter + ": " + what + ": " + text);
  }
  void expect(const std::string& parameter, const std::string& what, const json& documented, const json& ours) {
    if (documented != ours) complain(parameter, what, "documented " + documented.dump() + ", ours " + ours.dump());
  }
  static json number(const std::optional<double>& value) { return value ? json(*value) : json(nullptr); }
  static json documented_number(const json& schema, const char* key) {
    if (!schema.contains(key)) return nullptr;
    return schema[key].is_string() ? json(std::stod(schema[key].get<std::string>())) : json(schema[key].get<double>());
  }

  void compare_one(const json& schema, const ParamSpec& spec, const std::string& place) {
    expect(place, "type", schema.value("type", "string"), spec.type);
    // An alias or a member of a group is never required by itself.
    const bool optional = schema.value("optional", 0) == 1 || schema.contains("alias");
    expect(place, "optional", optional, spec.optional || !spec.alias.empty());
    const json values = schema.value("enum", json(nullptr));
    expect(place, "enum", values.is_null() ? json::array() : values, json(spec.values));
    expect(place, "minimum", documented_number(schema, "minimum"), number(spec.minimum));
    expect(place, "maximum", documented_number(schema, "maximum"), number(spec.maximum));
    expect(place, "maxLength", schema.value("maxLength", 0), spec.max_length);
    expect(place, "minLength", schema.value("minLength", 0), spec.min_length);
    expect(place, "pattern", schema.contains("pattern"), !spec.pattern.empty());
    json needed = json::array();
    if (schema.contains("requires")) needed.push_back(schema["requires"]);
    expect(place, "requires", needed, json(spec.requires_));
    if (schema.contains("items") && spec.items) compare_one(schema["items"], without_name(*spec.items), place + "[]");
    if (!schema.contains("format")) {
      expect(place, "format", "", spec.format);
      return;
    }
    const json& format = schema["format"];
    if (format.is_string()) {
      expect(place, "format", format, spec.format);
      if (!is_known_format(spec.format) && !spec.check && !spec.property)
        complain(place, "format", "'" + spec.format + "' is checked nowhere");
    } else if (spec.property) {
      compare(format, *spec.property, place + ".");
    } else if (!spec.check) {
      complain(place, "format", "documented as a property string, checked nowhere");
    }
  }
  /// The element of an array has no `optional` of its own.
  static ParamSpec without_name(ParamSpec spec) {
    spec.optional = false;
    return spec;
  }

  std::string method_;
  std::vector<std::string> complaints_ = {};
};

TEST(ApiDocumentation, EveryTableAgreesWithTheSchema) {
  const ApiDoc document;
  if (!document.present())
    GTEST_SKIP() << "apidoc.json is not on this machine: set PVERECONCILE_SHARED to compare the tables";
  std::size_t compared = 0;
  std::size_t parameters = 0;
  for (const MethodSpec& method : all_methods()) {
    const std::string name = method.verb + " " + method.path;
    const json* entry = document.find(method);
    if (entry == nullptr) {
      // The dump leaves these out; the first is recorded in the transcripts, the others are in the list of endpoints.
      EXPECT_TRUE(name == "GET /access/domains" || name == "GET /nodes/{node}/capabilities/qemu/machines" ||
                  name == "GET /nodes/{node}/capabilities/qemu/cpu" || name == "GET /nodes/{node}/time")
          << name << " is not in apidoc.json";
      continue;
    }
    ++compared;
    Checker checker(name);
    if (entry->contains("parameters_schema")) {
      json common = json::object();
      json variants = json::array();
      for (const json& part : (*entry)["parameters_schema"]["allOf"]) {
        if (part.contains("properties")) common.update(part["properties"]);
        if (part.contains("oneOf")) variants = part["oneOf"];
      }
      checker.compare(common, method.params, "");
      ASSERT_EQ(variants.size(), method.variants.size()) << name;
      std::size_t index = 0;
      for (const auto& [type, specs] : method.variants)
        checker.compare(variants[index++]["properties"], specs, type + ".");
    } else {
      checker.compare(entry->value("parameters", json::object()), method.params, "");
    }
    parameters += method.params.size();
    EXPECT_EQ(entry->value("protected", 0) == 1, method.is_protected) << name << ": protected";
    EXPECT_EQ(entry->value("proxyto", "") == "node", method.proxy_to_node) << name << ": proxyto";
    EXPECT_EQ(entry->value("allowtoken", 1) == 1, method.token_allowed) << name << ": allowtoken";
    const json permission = entry->value("permissions", json::object());
    const bool world = permission.is_object() && permission.value("user", "") == "world";
    EXPECT_EQ(world, method.without_login) << name << ": callable without login";
    const bool checks = permission.is_object() && permission.contains("check") && !permission.contains("user");
    EXPECT_EQ(checks, static_cast<bool>(method.permission)) << name << ": permission check";
    for (const std::string& complaint : checker.complaints()) ADD_FAILURE() << complaint;
  }
  std::cout << "compared " << parameters << " parameters of " << compared << " methods with apidoc.json\n";
}

TEST(MethodTables, NoMethodTwice) {
  std::set<std::string> seen;
  for (const MethodSpec& method : all_methods())
    EXPECT_TRUE(seen.insert(method.verb + " " + method.path).second) << method.verb << " " << method.path;
}

TEST(MethodTables, EveryPathParameterIsDescribed) {
  for (const MethodSpec& method : all_methods()) {
    for (auto open = method.path.find('{'); open != std::string::npos; open = method.path.find('{', open + 1)) {
      const std::string name = method.path.substr(open + 1, method.path.find('}', open) - open - 1);
      bool found = false;
      for (const ParamSpec& spec : method.params) found = found || spec.name == name;
      EXPECT_TRUE(found) << method.verb << " " << method.path << ": " << name;
    }
  }
}

}  // namespace
}  // namespace pvesim
