#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "simulator/api/method.h"
#include "simulator/world/world.h"

// Small helpers of the method tables. Only for .cpp files of simulator/api (it brings the JSON library).
namespace pvesim {

// --- parameter specs, as short as the tables need them
[[nodiscard]] ParamSpec text_param(std::string name, std::string format = {}, bool optional = true);
[[nodiscard]] ParamSpec enum_param(std::string name, std::vector<std::string> values, bool optional = true);
[[nodiscard]] ParamSpec flag_param(std::string name);
[[nodiscard]] ParamSpec integer_param(std::string name, std::optional<double> minimum = {},
                                      std::optional<double> maximum = {}, bool optional = true);
[[nodiscard]] ParamSpec required(ParamSpec spec);
[[nodiscard]] ParamSpec with_max_length(ParamSpec spec, int length);
[[nodiscard]] ParamSpec with_pattern(ParamSpec spec, std::string pattern);
[[nodiscard]] ParamSpec needs(ParamSpec spec, std::string other);
/// A text that is a property string of these keys.
[[nodiscard]] ParamSpec property_param(std::string name, std::vector<ParamSpec> keys);
[[nodiscard]] ParamSpec node_param(bool optional = false);
[[nodiscard]] ParamSpec vmid_param(std::string name = "vmid", bool optional = false);

// --- reading checked parameters
[[nodiscard]] const std::string* find_param(const Params& params, std::string_view name);
[[nodiscard]] std::string text_or(const Params& params, std::string_view name, std::string_view fallback);
[[nodiscard]] bool flag_or(const Params& params, std::string_view name, bool fallback);
[[nodiscard]] std::int64_t integer_or(const Params& params, std::string_view name, std::int64_t fallback);
[[nodiscard]] bool given(const Params& params, std::string_view name);

/// Replaces {name} in a path template by raw parameters, as PVE does for its permission rules.
[[nodiscard]] std::string fill_path(std::string_view path_template, const Params& params);
/// A permission rule "any of these on this path (template)".
[[nodiscard]] std::function<void(Call&)> needs_privilege(std::string path_template, std::string privs);

/// Lists that PVE builds from Perl hashes arrive in random order: the seed decides.
void shuffle(World& world, nlohmann::json& list);

/// A whole section as JSON: the named keys as numbers, the rest as text.
[[nodiscard]] nlohmann::json section_json(const Section& values, const std::vector<std::string_view>& numbers);

/// The text of a section config: "type: id" and indented "key value" lines.
struct SectionEntry {
  std::string type = {};
  std::string id = {};
  const Section* values = nullptr;
};
[[nodiscard]] std::string render_sections(const std::vector<SectionEntry>& entries);

/// Fact: a section config that changed since `digest` was read is refused with this text.
void require_digest(const Params& params, const std::string& current);
/// Fact: cluster files cannot be written without quorum: "PREFIX: cfs-lock 'file-NAME' error: no quorum!".
void require_file_lock(const World& world, std::string_view file, std::string_view prefix = {});
/// Runs `body`; an ApiError 500 of it gets "PREFIX: " before its text, other errors pass.
void with_prefix(std::string_view prefix, const std::function<void()>& body);

/// Applies `delete` to a section as PVE's section configs do. `fixed` cannot be deleted, `known` are the other keys.
void delete_keys(Section& section, const Params& params, std::initializer_list<std::string_view> known,
                 std::initializer_list<std::string_view> required_keys);

}  // namespace pvesim
