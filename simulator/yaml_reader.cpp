#include "simulator/yaml_reader.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <cstdlib>

namespace pvesim {
namespace {

/// "12.5KiB" -> {12.5, "KiB"}.
std::optional<std::pair<double, std::string_view>> number_and_unit(std::string_view text) {
  const std::string copy(text);
  char* end = nullptr;
  if (copy.empty() || std::isdigit(static_cast<unsigned char>(copy.front())) == 0) return std::nullopt;
  const double value = std::strtod(copy.c_str(), &end);
  const auto used = static_cast<std::size_t>(end - copy.c_str());
  std::string_view unit = text.substr(used);
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  return std::pair{value, unit};
}

/// Insertions, deletions, changes and swaps of neighbours that make `b` of `a`.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> table(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) table[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) table[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i)
    for (std::size_t j = 1; j <= b.size(); ++j) {
      table[i][j] =
          std::min({table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1)});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        table[i][j] = std::min(table[i][j], table[i - 2][j - 2] + 1);
    }
  return table[a.size()][b.size()];
}

}  // namespace

void Problems::add(const YAML::Mark& mark, const std::string& text) {
  all_.push_back(file_ + ":" + std::to_string(mark.line + 1) + ":" + std::to_string(mark.column + 1) + ": " + text);
}

std::string nearest(std::string_view word, const std::vector<std::string>& known) {
  std::string best;
  std::size_t least = std::max<std::size_t>(1, word.size() / 3) + 1;
  for (const std::string& one : known)
    if (const std::size_t distance = edit_distance(word, one); distance < least) {
      least = distance;
      best = one;
    }
  return best;
}

MapReader::MapReader(Problems& problems, const YAML::Node& node, std::string what,
                     std::initializer_list<std::string_view> keys)
    : problems_(problems), what_(std::move(what)) {
  load(node);
  const std::vector<std::string> known(keys.begin(), keys.end());
  std::vector<std::string> unknown;
  for (const std::string& key : order_) {
    if (std::find(known.begin(), known.end(), key) != known.end()) continue;
    unknown.push_back(key);
    const std::string hint = nearest(key, known);
    problems_.add(mark_of(key), "unknown key '" + key + "' in " + (what_.empty() ? "the file" : what_) +
                                    (hint.empty() ? "" : "; did you mean '" + hint + "'?"));
  }
}

MapReader::MapReader(Problems& problems, const YAML::Node& node, std::string what)
    : problems_(problems), what_(std::move(what)) {
  load(node);
}

void MapReader::load(const YAML::Node& node) {
  if (!node.IsDefined() || node.IsNull()) return;
  mark_ = node.Mark();
  if (!node.IsMap()) {
    problems_.add(mark_, (what_.empty() ? "the file" : what_) + " must be a mapping");
    return;
  }
  for (const auto& pair : node) {
    if (!pair.first.IsScalar()) {
      problems_.add(pair.first.Mark(), "keys of " + what_ + " must be plain text");
      continue;
    }
    const std::string key = pair.first.Scalar();
    if (!entries_.emplace(key, pair.second).second) {
      problems_.add(pair.first.Mark(), "duplicate key '" + key + "' in " + (what_.empty() ? "the file" : what_));
      continue;
    }
    order_.push_back(key);
  }
}

YAML::Node MapReader::node(std::string_view key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? YAML::Node(YAML::NodeType::Undefined) : found->second;
}

YAML::Mark MapReader::mark_of(std::string_view key) const {
  const auto found = entries_.find(key);
  return found == entries_.end() ? mark_ : found->second.Mark();
}

std::vector<std::pair<std::string, YAML::Node>> MapReader::entries() const {
  std::vector<std::pair<std::string, YAML::Node>> out;
  for (const std::string& key : order_) out.emplace_back(key, entries_.at(key));
  return out;
}

std::optional<std::string> MapReader::scalar(std::string_view key) const {
  const auto found = entries_.find(key);
  if (found == entries_.end() || found->second.IsNull()) return std::nullopt;
  if (!found->second.IsScalar()) {
    problems_.add(found->second.Mark(), path_of(key) + " must be a single value");
    return std::nullopt;
  }
  return found->second.Scalar();
}

std::string MapReader::text(std::string_view key, std::string fallback) const {
  return scalar(key).value_or(std::move(fallback));
}

std::string MapReader::required_text(std::string_view key) const {
  const auto value = scalar(key);
  if (!value || value->empty()) {
    if (!has(key)) problems_.add(mark_, what_ + " needs '" + std::string(key) + "'");
    return {};
  }
  return *value;
}

std::string MapReader::one_of(std::string_view key, std::initializer_list<std::string_view> values,
                              std::string fallback) const {
  const auto value = scalar(key);
  if (!value) return fallback;
  if (std::find(values.begin(), values.end(), *value) != values.end()) return *value;
  std::string all;
  for (const std::string_view one : values) all += (all.empty() ? "" : ", ") + std::string(one);
  problems_.add(mark_of(key), path_of(key) + " must be one of " + all + ", not '" + *value + "'");
  return fallback;
}

std::int64_t MapReader::integer(std::string_view key, std::int64_t fallback, std::int64_t least,
                                std::int64_t most) const {
  const auto value = scalar(key);
  if (!value) return fallback;
  char* end = nullptr;
  const std::int64_t number = std::strtoll(value->c_str(), &end, 10);
  if (value->empty() || *end != '\0' || number < least || number > most) {
    problems_.add(mark_of(key), path_of(key) + " must be a whole number from " + std::to_string(least) + " to " +
                                    std::to_string(most) + ", not '" + *value + "'");
    return fallback;
  }
  return number;
}

double MapReader::number(std::string_view key, double fallback, double least, double most) const {
  const auto value = scalar(key);
  if (!value) return fallback;
  char* end = nullptr;
  const double number = std::strtod(value->c_str(), &end);
  if (value->empty() || *end != '\0' || !(number >= least && number <= most)) {
    problems_.add(mark_of(key), path_of(key) + " must be a number from " + std::to_string(least) + " to " +
                                    std::to_string(most) + ", not '" + *value + "'");
    return fallback;
  }
  return number;
}

bool MapReader::flag(std::string_view key, bool fallback) const {
  const auto value = scalar(key);
  if (!value) return fallback;
  for (const std::string_view yes : {"true", "yes", "on", "1"})
    if (*value == yes) return true;
  for (const std::string_view no : {"false", "no", "off", "0"})
    if (*value == no) return false;
  problems_.add(mark_of(key), path_of(key) + " must be true or false, not '" + *value + "'");
  return fallback;
}

std::optional<std::int64_t> parse_bytes(std::string_view text) {
  const auto parts = number_and_unit(text);
  if (!parts) return std::nullopt;
  struct Unit {
    std::string_view name;
    double factor;
  };
  static constexpr std::array kUnits = {Unit{"", 1},         Unit{"B", 1},      Unit{"K", 0x1p10},   Unit{"k", 0x1p10},
                                        Unit{"KiB", 0x1p10}, Unit{"M", 0x1p20}, Unit{"MiB", 0x1p20}, Unit{"G", 0x1p30},
                                        Unit{"GiB", 0x1p30}, Unit{"T", 0x1p40}, Unit{"TiB", 0x1p40}, Unit{"kB", 1e3},
                                        Unit{"KB", 1e3},     Unit{"MB", 1e6},   Unit{"GB", 1e9},     Unit{"TB", 1e12}};
  for (const Unit& unit : kUnits)
    if (unit.name == parts->second) return static_cast<std::int64_t>(std::llround(parts->first * unit.factor));
  return std::nullopt;
}

std::int64_t MapReader::size(std::string_view key, std::int64_t fallback) const {
  const auto value = scalar(key);
  if (!value) return fallback;
  if (const auto bytes = parse_bytes(*value)) return *bytes;
  problems_.add(mark_of(key), path_of(key) + " must be a size like 64GiB or 2TB, not '" + *value + "'");
  return fallback;
}

std::int64_t MapReader::share(std::string_view key, std::int64_t whole, std::int64_t fallback) const {
  const auto value = scalar(key);
  if (!value) return fallback;
  if (!value->empty() && value->back() == '%') {
    const auto parts = number_and_unit(std::string_view(*value).substr(0, value->size() - 1));
    if (parts && parts->second.empty() && parts->first <= 100)
      return static_cast<std::int64_t>(static_cast<double>(whole) * parts->first / 100.0);
  } else if (const auto bytes = parse_bytes(*value)) {
    return *bytes;
  }
  problems_.add(mark_of(key), path_of(key) + " must be a share like 40% or a size like 12GiB, not '" + *value + "'");
  return fallback;
}

std::int64_t MapReader::duration(std::string_view key, std::int64_t fallback) const {
  const auto value = scalar(key);
  if (!value) return fallback;
  if (const auto parts = number_and_unit(*value)) {
    struct Unit {
      std::string_view name;
      double factor;
    };
    static constexpr std::array kUnits = {Unit{"", 1e3},     Unit{"ms", 1},     Unit{"s", 1e3},    Unit{"m", 60e3},
                                          Unit{"min", 60e3}, Unit{"h", 3600e3}, Unit{"d", 86400e3}};
    for (const Unit& unit : kUnits)
      if (unit.name == parts->second) return static_cast<std::int64_t>(std::llround(parts->first * unit.factor));
  }
  problems_.add(mark_of(key), path_of(key) + " must be a duration like 10s or 5m, not '" + *value + "'");
  return fallback;
}

std::vector<YAML::Node> sequence(Problems& problems, const YAML::Node& node, const std::string& what) {
  std::vector<YAML::Node> out;
  if (!node.IsDefined() || node.IsNull()) return out;
  if (!node.IsSequence()) {
    problems.add(node.Mark(), what + " must be a list");
    return out;
  }
  for (const auto& item : node) out.push_back(item);
  return out;
}

std::optional<std::string> stored_text(Problems& problems, const YAML::Node& node, const std::string& what) {
  if (node.IsScalar()) {
    const std::string& text = node.Scalar();
    // Only plain (unquoted) words are YAML booleans; "?" marks them in yaml-cpp.
    const bool plain = node.Tag() == "?";
    if (plain && (text == "true" || text == "yes" || text == "on")) return "1";
    if (plain && (text == "false" || text == "no" || text == "off")) return "0";
    return text;
  }
  if (node.IsSequence()) {
    std::string joined;
    for (const auto& item : node) {
      if (!item.IsScalar()) {
        problems.add(item.Mark(), what + " must be a list of plain values");
        return std::nullopt;
      }
      joined += (joined.empty() ? "" : ",") + item.Scalar();
    }
    return joined;
  }
  problems.add(node.Mark(), what + " must be a single value or a list of them");
  return std::nullopt;
}

}  // namespace pvesim
