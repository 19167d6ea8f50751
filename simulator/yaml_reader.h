#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <yaml-cpp/yaml.h>

// Only for the .cpp files that read a cluster file.
namespace pvesim {

/// Collects every problem of a file instead of stopping at the first.
class Problems {
 public:
  explicit Problems(std::string file) : file_(std::move(file)) {}
  void add(const YAML::Mark& mark, const std::string& text);
  [[nodiscard]] const std::vector<std::string>& all() const { return all_; }

 private:
  std::string file_;
  std::vector<std::string> all_ = {};
};

/// One mapping of the file. Keys are checked once: unknown ones are problems with a suggestion, as are duplicate ones.
class MapReader {
 public:
  /// `what` names the place in messages: "nodes.pve1".
  MapReader(Problems& problems, const YAML::Node& node, std::string what, std::initializer_list<std::string_view> keys);
  /// For mappings whose keys are names: everything is allowed.
  MapReader(Problems& problems, const YAML::Node& node, std::string what);

  [[nodiscard]] bool has(std::string_view key) const { return entries_.contains(key); }
  [[nodiscard]] YAML::Node node(std::string_view key) const;
  [[nodiscard]] const YAML::Mark& mark() const { return mark_; }
  [[nodiscard]] YAML::Mark mark_of(std::string_view key) const;
  [[nodiscard]] std::string path_of(std::string_view key) const { return what_ + "." + std::string(key); }

  [[nodiscard]] std::string text(std::string_view key, std::string fallback = {}) const;
  [[nodiscard]] std::string required_text(std::string_view key) const;
  [[nodiscard]] std::string one_of(std::string_view key, std::initializer_list<std::string_view> values,
                                   std::string fallback) const;
  [[nodiscard]] std::int64_t integer(std::string_view key, std::int64_t fallback, std::int64_t least,
                                     std::int64_t most) const;
  [[nodiscard]] double number(std::string_view key, double fallback, double least, double most) const;
  [[nodiscard]] bool flag(std::string_view key, bool fallback) const;
  /// Bytes. "64G" and "64GiB" are binary (as PVE writes them), "64GB" is decimal; a bare number is bytes.
  [[nodiscard]] std::int64_t size(std::string_view key, std::int64_t fallback) const;
  /// "40%" of `whole`, or a size.
  [[nodiscard]] std::int64_t share(std::string_view key, std::int64_t whole, std::int64_t fallback) const;
  /// A duration: "10s", "5m", "2h", "1d", "500ms"; a bare number is seconds. In milliseconds.
  [[nodiscard]] std::int64_t duration(std::string_view key, std::int64_t fallback) const;
  /// Scalars as they are written, for sections PVE keeps as text. Booleans become 0/1 when `booleans`.
  [[nodiscard]] std::vector<std::pair<std::string, YAML::Node>> entries() const;

 private:
  void load(const YAML::Node& node);
  [[nodiscard]] std::optional<std::string> scalar(std::string_view key) const;

  Problems& problems_;
  std::string what_;
  YAML::Mark mark_ = {};
  std::vector<std::string> order_ = {};
  std::map<std::string, YAML::Node, std::less<>> entries_ = {};
};

/// The items of a sequence; a problem when the node is anything else.
[[nodiscard]] std::vector<YAML::Node> sequence(Problems& problems, const YAML::Node& node, const std::string& what);
/// A scalar as PVE stores it: true/false -> 1/0, lists of scalars -> "a,b". Nothing else fits: a problem.
[[nodiscard]] std::optional<std::string> stored_text(Problems& problems, const YAML::Node& node,
                                                     const std::string& what);
/// The known word nearest to `word`, or "" when nothing is near.
[[nodiscard]] std::string nearest(std::string_view word, const std::vector<std::string>& known);
/// Parses sizes as MapReader::size does.
[[nodiscard]] std::optional<std::int64_t> parse_bytes(std::string_view text);

}  // namespace pvesim
