#include "simulator/wire/params.h"

#include <algorithm>
#include <cmath>

#include "simulator/wire/formats.h"
#include "simulator/wire/pattern.h"

namespace pvesim {
namespace {

constexpr std::string_view kMissing = "property is missing and it is not optional";
constexpr std::string_view kUnknown =
    "property is not defined in schema and the schema does not allow additional properties";

/// Fact: a second error of the same parameter is joined with a backslash and an 'n', not with a line end.
void add_error(ParamErrors& errors, const std::string& name, const std::string& text) {
  std::string& entry = errors[name];
  entry = entry.empty() ? text : entry + "\\n" + text;
}

/// 12 -> "12", 0.1 -> "0.1": how Perl prints a number of a schema.
std::string print_number(double value) {
  if (std::floor(value) == value && std::fabs(value) < 1e15) return std::to_string(static_cast<long long>(value));
  std::string text = std::to_string(value);
  while (text.back() == '0') text.pop_back();
  return text;
}

std::size_t characters(const std::string& text) {
  std::size_t count = 0;
  for (const char c : text)
    if ((static_cast<unsigned char>(c) & 0xC0U) != 0x80U) ++count;
  return count;
}

/// Everything after the type check, for one text value.
void check_value(const ParamSpec& spec, const std::string& value, const std::string& name, ParamErrors& errors) {
  std::string format_error;
  if (spec.property) {
    Params ignored;
    format_error = parse_property_string(*spec.property, value, name, ignored);
  } else if (!spec.format.empty()) {
    format_error = check_format(spec.format, value);
  }
  if (format_error.empty() && spec.check) format_error = spec.check(value);
  if (!format_error.empty()) return add_error(errors, name, "invalid format - " + format_error);
  if (!spec.pattern.empty() && !matches_pattern(spec.pattern, value))
    return add_error(errors, name, "value does not match the regex pattern");
  if (spec.max_length > 0 && characters(value) > static_cast<std::size_t>(spec.max_length))
    return add_error(errors, name, "value may only be " + std::to_string(spec.max_length) + " characters long");
  if (spec.min_length > 0 && characters(value) < static_cast<std::size_t>(spec.min_length))
    return add_error(errors, name, "value must be at least " + std::to_string(spec.min_length) + " characters long");
  if ((spec.minimum || spec.maximum) && is_number_text(value)) {
    const double number = std::stod(value);
    if (spec.maximum && number > *spec.maximum)
      return add_error(errors, name, "value must have a maximum value of " + print_number(*spec.maximum));
    if (spec.minimum && number < *spec.minimum)
      return add_error(errors, name, "value must have a minimum value of " + print_number(*spec.minimum));
  }
  if (!spec.values.empty() && std::find(spec.values.begin(), spec.values.end(), value) == spec.values.end()) {
    std::string all;
    for (const std::string& one : spec.values) all += (all.empty() ? "" : ", ") + one;
    add_error(errors, name, "value '" + value + "' does not have a value in the enumeration '" + all + "'");
  }
}

bool check_text_type(const ParamSpec& spec, const std::string& value, const std::string& name, ParamErrors& errors) {
  const bool fits = spec.type == "boolean"   ? value == "0" || value == "1"
                    : spec.type == "integer" ? is_integer_text(value)
                    : spec.type == "number"  ? is_number_text(value)
                                             : true;
  if (!fits) add_error(errors, name, "type check ('" + spec.type + "') failed - got '" + value + "'");
  return fits;
}

bool is_list_format(const std::string& format) {
  return format.size() > 5 && format.compare(format.size() - 5, 5, "-list") == 0;
}

/// Checks one parameter and puts it into `out`.
void check_param(const ParamSpec& spec, const std::string& name, const WireValue& given, Params& out,
                 ParamErrors& errors) {
  if (spec.type == "array") {
    if (given.kind == WireValue::Kind::kObject) return add_error(errors, name, "type check ('array') failed");
    std::vector<std::string> items = given.items;
    if (given.kind != WireValue::Kind::kList) items = {given.text};
    std::string joined;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (spec.items) {
        const std::string place = name + "[" + std::to_string(i) + "]";
        if (check_text_type(*spec.items, items[i], place, errors)) check_value(*spec.items, items[i], place, errors);
      }
      if (i > 0) joined += '\0';
      joined += items[i];
    }
    out[name] = joined;
    return;
  }
  std::string value = given.text;
  switch (given.kind) {
    case WireValue::Kind::kText:
      if (!check_text_type(spec, value, name, errors)) return;
      break;
    case WireValue::Kind::kBoolean:
      if (spec.type != "boolean")
        return add_error(errors, name, "type check ('" + spec.type + "') failed - got JSON::PP::Boolean");
      break;
    case WireValue::Kind::kList:
      if (spec.type != "string" || !is_list_format(spec.format))
        return add_error(errors, name, "type check ('" + spec.type + "') failed - got ARRAY");
      for (const std::string& item : given.items) value += (value.empty() ? "" : ",") + item;
      break;
    case WireValue::Kind::kObject:
      return add_error(errors, name, "type check ('" + spec.type + "') failed - got HASH");
  }
  check_value(spec, value, name, errors);
  out[name] = std::move(value);
}

/// The spec of a given name; "net[n]" answers for net0 … up to its bound.
const ParamSpec* find_spec(const std::vector<ParamSpec>& specs, std::string_view name) {
  for (const ParamSpec& spec : specs) {
    if (spec.family == 0) {
      if (spec.name == name) return &spec;
      continue;
    }
    const std::string_view stem = std::string_view(spec.name).substr(0, spec.name.find('['));
    if (name.size() <= stem.size() || name.substr(0, stem.size()) != stem) continue;
    const std::string_view number = name.substr(stem.size());
    if (number.size() > 4 || (number.size() > 1 && number.front() == '0')) continue;
    if (!is_integer_text(number) || number.front() == '+' || number.front() == '-') continue;
    if (std::stoi(std::string(number)) < spec.family) return &spec;
  }
  return nullptr;
}

/// One set of specs against what was given. `prefix` goes before names in error paths.
void check_specs(const std::vector<ParamSpec>& specs, const WireParams& given, const std::string& prefix, Params& out,
                 ParamErrors& errors) {
  for (const ParamSpec& spec : specs)
    if (spec.family == 0 && !spec.optional && !given.contains(spec.name))
      add_error(errors, prefix + spec.name, std::string(kMissing));
  for (const auto& [name, value] : given) {
    const ParamSpec* spec = find_spec(specs, name);
    if (spec == nullptr) continue;
    ParamErrors own;
    check_param(*spec, name, value, out, own);
    for (const auto& [place, text] : own) add_error(errors, prefix + place, text);
    for (const std::string& required : spec->requires_)
      if (!given.contains(required))
        add_error(errors, prefix + required, "missing property required by '" + prefix + name + "'");
  }
}

}  // namespace

Params check_params(const MethodSpec& method, const WireParams& given, ParamErrors& errors) {
  Params out;
  check_specs(method.params, given, "", out, errors);
  const std::vector<ParamSpec>* variant = nullptr;
  std::string prefix;
  if (!method.type_property.empty()) {
    const auto type = given.find(method.type_property);
    std::string known;
    for (const auto& [name, specs] : method.variants) known += (known.empty() ? "" : ", ") + name;
    if (type == given.end()) {
      add_error(errors, method.type_property, std::string(kMissing));
    } else if (const auto found = method.variants.find(type->second.text); found != method.variants.end()) {
      variant = &found->second;
      prefix = "oneOf[" + found->first + "].";
      out[method.type_property] = found->first;
      check_specs(*variant, given, prefix, out, errors);
    } else {
      add_error(errors, method.type_property,
                "value '" + type->second.text + "' does not have a value in the enumeration '" + known + "'");
    }
  }
  for (const auto& [name, value] : given) {
    if (find_spec(method.params, name) != nullptr || name == method.type_property) continue;
    if (variant != nullptr && find_spec(*variant, name) != nullptr) continue;
    add_error(errors, name, std::string(kUnknown));
  }
  return out;
}

Params raw_params(const WireParams& given) {
  Params out;
  for (const auto& [name, value] : given) {
    std::string text = value.text;
    for (const std::string& item : value.items) text += (text.empty() ? "" : ",") + item;
    out[name] = std::move(text);
  }
  return out;
}

std::string parse_property_string(const std::vector<ParamSpec>& format, std::string_view value, std::string_view name,
                                  Params& out) {
  const auto spec_of = [&](std::string_view key) -> const ParamSpec* {
    for (const ParamSpec& spec : format)
      if (spec.name == key) return &spec;
    return nullptr;
  };
  const auto as_value = [](const ParamSpec& spec, std::string_view text) {
    if (spec.type == "boolean")
      if (const auto flag = parse_loose_boolean(text)) return std::string(*flag ? "1" : "0");
    return std::string(text);
  };
  WireParams found;
  const auto put = [&](const std::string& key, std::string text) { found[key].text = std::move(text); };
  bool default_used = false;
  while (!value.empty()) {
    const auto comma = value.find(',');
    const std::string_view part = value.substr(0, comma);
    value = comma == value.npos ? std::string_view{} : value.substr(comma + 1);
    if (part.find_first_not_of(" \t\r\n") == part.npos) continue;
    const auto equals = part.find('=');
    if (equals == part.npos) {
      const ParamSpec* own = nullptr;
      for (const ParamSpec& spec : format)
        if (spec.default_key) own = &spec;
      if (own == nullptr) return "value without key, but schema does not define a default key\n";
      if (default_used || found.contains(own->name))
        return "duplicate key in comma-separated list property: " + own->name + "\n";
      default_used = true;
      put(own->name, as_value(*own, part));
      continue;
    }
    std::string key(part.substr(0, equals));
    if (equals == 0 || equals + 1 == part.size()) return "missing key in comma-separated list property\n";
    if (found.contains(key)) return "duplicate key in comma-separated list property: " + key + "\n";
    const ParamSpec* spec = spec_of(key);
    if (spec != nullptr && !spec->alias.empty()) {
      if (!spec->key_alias.empty()) {
        if (found.contains(spec->key_alias)) return "key alias '" + spec->key_alias + "' is already defined\n";
        put(spec->key_alias, key);
      }
      key = spec->alias;
      if (found.contains(key)) return "key '" + key + "' is already defined (via alias)\n";
      spec = spec_of(key);
    }
    const std::string_view text = part.substr(equals + 1);
    put(key, spec != nullptr ? as_value(*spec, text) : std::string(text));
  }
  ParamErrors errors;
  std::vector<ParamSpec> real;
  for (const ParamSpec& spec : format)
    if (spec.alias.empty()) real.push_back(spec);
  check_specs(real, found, std::string(name) + ".", out, errors);
  for (const auto& [key, text] : found)
    if (find_spec(real, key) == nullptr) add_error(errors, std::string(name) + "." + key, std::string(kUnknown));
  if (errors.empty()) return {};
  std::string message = "format error\n";
  for (const auto& [place, text] : errors) message += place + ": " + text + "\n";
  return message;
}

}  // namespace pvesim
