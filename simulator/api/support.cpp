#include "simulator/api/support.h"

#include <algorithm>

#include "simulator/wire/formats.h"

namespace pvesim {

using nlohmann::json;

ParamSpec text_param(std::string name, std::string format, bool optional) {
  ParamSpec spec;
  spec.name = std::move(name);
  spec.format = std::move(format);
  spec.optional = optional;
  return spec;
}

ParamSpec enum_param(std::string name, std::vector<std::string> values, bool optional) {
  ParamSpec spec = text_param(std::move(name), {}, optional);
  spec.values = std::move(values);
  return spec;
}

ParamSpec flag_param(std::string name) {
  ParamSpec spec = text_param(std::move(name));
  spec.type = "boolean";
  return spec;
}

ParamSpec integer_param(std::string name, std::optional<double> minimum, std::optional<double> maximum, bool optional) {
  ParamSpec spec = text_param(std::move(name), {}, optional);
  spec.type = "integer";
  spec.minimum = minimum;
  spec.maximum = maximum;
  return spec;
}

ParamSpec required(ParamSpec spec) {
  spec.optional = false;
  return spec;
}

ParamSpec with_max_length(ParamSpec spec, int length) {
  spec.max_length = length;
  return spec;
}

ParamSpec with_pattern(ParamSpec spec, std::string pattern) {
  spec.pattern = std::move(pattern);
  return spec;
}

ParamSpec needs(ParamSpec spec, std::string other) {
  spec.requires_.push_back(std::move(other));
  return spec;
}

ParamSpec property_param(std::string name, std::vector<ParamSpec> keys) {
  ParamSpec spec = text_param(std::move(name));
  spec.property = std::make_shared<const std::vector<ParamSpec>>(std::move(keys));
  return spec;
}

ParamSpec node_param(bool optional) { return text_param("node", "pve-node", optional); }

ParamSpec vmid_param(std::string name, bool optional) {
  ParamSpec spec = integer_param(std::move(name), 100, 999999999, optional);
  spec.format = "pve-vmid";
  return spec;
}

const std::string* find_param(const Params& params, std::string_view name) {
  const auto found = params.find(name);
  return found == params.end() ? nullptr : &found->second;
}

std::string text_or(const Params& params, std::string_view name, std::string_view fallback) {
  const std::string* value = find_param(params, name);
  return value != nullptr ? *value : std::string(fallback);
}

bool flag_or(const Params& params, std::string_view name, bool fallback) {
  const std::string* value = find_param(params, name);
  return value != nullptr ? *value == "1" : fallback;
}

std::int64_t integer_or(const Params& params, std::string_view name, std::int64_t fallback) {
  const std::string* value = find_param(params, name);
  return value != nullptr && is_integer_text(*value) ? std::stoll(*value) : fallback;
}

bool given(const Params& params, std::string_view name) { return find_param(params, name) != nullptr; }

std::string fill_path(std::string_view path_template, const Params& params) {
  std::string out;
  while (true) {
    const auto open = path_template.find('{');
    out += path_template.substr(0, open);
    if (open == path_template.npos) return out;
    const auto close = path_template.find('}', open);
    out += text_or(params, path_template.substr(open + 1, close - open - 1), "");
    path_template.remove_prefix(close + 1);
  }
}

std::function<void(Call&)> needs_privilege(std::string path_template, std::string privs) {
  return [path = std::move(path_template), privs = std::move(privs)](Call& call) {
    require_privilege(call, fill_path(path, call.params), privs);
  };
}

void shuffle(World& world, json& list) {
  for (std::size_t i = list.size(); i > 1; --i)
    std::swap(list[i - 1], list[static_cast<std::size_t>(world.random() % i)]);
}

json section_json(const Section& values, const std::vector<std::string_view>& numbers) {
  json out = json::object();
  for (const auto& [key, value] : values) {
    const bool number = std::find(numbers.begin(), numbers.end(), key) != numbers.end();
    if (number && is_integer_text(value))
      out[key] = std::stoll(value);
    else
      out[key] = value;
  }
  return out;
}

std::string render_sections(const std::vector<SectionEntry>& entries) {
  std::string out;
  for (const SectionEntry& entry : entries) {
    out += entry.type + ": " + entry.id + "\n";
    for (const auto& [key, value] : *entry.values) out += "\t" + key + " " + value + "\n";
    out += "\n";
  }
  return out;
}

void require_digest(const Params& params, const std::string& current) {
  const std::string* digest = find_param(params, "digest");
  if (digest != nullptr && !digest->empty() && *digest != current)
    fail("detected modified configuration - file changed by other user? Try again.");
}

void require_file_lock(const World& world, std::string_view file, std::string_view prefix) {
  if (world.quorate()) return;
  fail((prefix.empty() ? "" : std::string(prefix) + ": ") + "cfs-lock '" + std::string(file) + "' error: no quorum!");
}

void with_prefix(std::string_view prefix, const std::function<void()>& body) {
  try {
    body();
  } catch (ApiError& error) {
    if (error.status == 500) error.message = std::string(prefix) + ": " + error.message;
    throw;
  }
}

void delete_keys(Section& section, const Params& params, std::initializer_list<std::string_view> known,
                 std::initializer_list<std::string_view> required_keys) {
  for (const std::string& key : split_list(text_or(params, "delete", ""))) {
    if (std::find(required_keys.begin(), required_keys.end(), key) != required_keys.end())
      fail("unable to delete required option '" + key + "'");
    if (std::find(known.begin(), known.end(), key) == known.end()) fail("no such option '" + key + "'");
    if (given(params, key)) fail("cannot set and delete property '" + key + "' at the same time!");
    section.erase(key);
  }
}

}  // namespace pvesim
