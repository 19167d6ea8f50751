#include "tests/architecture/include_rules.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>

namespace pvr::architecture {
namespace {

struct Rule {
  std::string_view folder = {};
  std::string_view may_include = {};  // folders of ours, separated by blanks; its own folder always may
  std::string_view libraries = {};    // third-party libraries, in .cpp files only
  bool own_headers = false;           // its own headers may name its libraries; what others include of it still may not
  bool pure = false;                  // no threads, files, streams, random numbers
  bool reads_clock = true;            // may ask a clock for the time by itself
};

constexpr std::array kRules = {
    Rule{.folder = "reconciler/base", .may_include = "", .libraries = "fmt", .pure = true, .reads_clock = false},
    Rule{.folder = "reconciler/model",
         .may_include = "reconciler/base",
         .libraries = "fmt json openssl",
         .pure = true,
         .reads_clock = false},
    Rule{.folder = "reconciler/policy",
         .may_include = "reconciler/model reconciler/base",
         .libraries = "fmt",
         .pure = true,
         .reads_clock = false},
    Rule{.folder = "reconciler/resolve",
         .may_include = "reconciler/policy reconciler/model reconciler/base",
         .libraries = "fmt",
         .pure = true,
         .reads_clock = false},
    Rule{.folder = "reconciler/planning",
         .may_include = "reconciler/model reconciler/base",
         .libraries = "fmt",
         .pure = true,
         .reads_clock = false},
    Rule{.folder = "reconciler/audit",
         .may_include = "reconciler/policy reconciler/model reconciler/base",
         .libraries = "fmt",
         .pure = true,
         .reads_clock = false},
    Rule{.folder = "reconciler/ports", .may_include = "reconciler/model reconciler/base", .libraries = "fmt"},
    Rule{.folder = "reconciler/observe",
         .may_include = "reconciler/ports reconciler/model reconciler/base",
         .libraries = "fmt",
         .reads_clock = false},
    Rule{.folder = "reconciler/execute",
         .may_include = "reconciler/ports reconciler/model reconciler/base",
         .libraries = "fmt json",
         .reads_clock = false},
    Rule{.folder = "reconciler/engine", .may_include = "reconciler", .libraries = "fmt", .reads_clock = false},
    Rule{
        .folder = "schema", .may_include = "reconciler/model reconciler/base", .libraries = "fmt json libyaml openssl"},
    Rule{.folder = "providers",
         .may_include = "reconciler/ports reconciler/model reconciler/base",
         .libraries = "fmt json curl openssl"},
    Rule{.folder = "simulator", .may_include = "", .libraries = "json yaml-cpp openssl boost", .own_headers = true},
    Rule{.folder = "terraform-plugin/cty",
         .may_include = "reconciler/base",
         .libraries = "json",
         .pure = true,
         .reads_clock = false},
    // What it decides comes from the engine; its clock is the link's.
    Rule{.folder = "terraform-plugin/provider",
         .may_include = "terraform-plugin/cty reconciler schema providers",
         .libraries = "fmt openssl",
         .reads_clock = false},
    Rule{.folder = "terraform-plugin/edge",
         .may_include = "terraform-plugin/provider terraform-plugin/cty reconciler/base providers",
         .libraries = "fmt json openssl grpc"},
    Rule{.folder = "cli", .may_include = "reconciler schema providers simulator", .libraries = "fmt json spdlog cli11"},
};

struct Library {
  std::string_view name = {};
  std::string_view prefix = {};  // of the included path
};
constexpr std::array kLibraries = {
    Library{"fmt", "fmt/"},           Library{"json", "nlohmann/"},
    Library{"openssl", "openssl/"},   Library{"libyaml", "yaml.h"},
    Library{"yaml-cpp", "yaml-cpp/"}, Library{"curl", "curl/"},
    Library{"boost", "boost/"},       Library{"spdlog", "spdlog/"},
    Library{"cli11", "CLI/"},         Library{"grpc", "grpcpp/"},
    Library{"grpc", "google/"},       Library{"grpc", "tfplugin6"},
    Library{"grpc", "goplugin"},      Library{"gtest", "gtest/"},
    Library{"gtest", "gmock/"},       Library{"benchmark", "benchmark/"},
};

constexpr auto kImpureHeaders = std::to_array<std::string_view>(
    {"thread", "mutex", "shared_mutex", "future", "condition_variable", "semaphore", "latch", "barrier", "fstream",
     "iostream", "filesystem", "random", "cstdio", "stdio.h", "unistd.h", "ctime", "time.h"});
constexpr auto kClockReads =
    std::to_array<std::string_view>({"_clock::now(", "std::time(", "gettimeofday(", "clock_gettime("});

bool is_word_of(std::string_view word, std::string_view list) {
  while (!list.empty()) {
    const auto end = std::min(list.find(' '), list.size());
    if (list.substr(0, end) == word) return true;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return false;
}

/// "reconciler" stands for every folder below it.
bool is_below_word_of(std::string_view folder, std::string_view list) {
  if (is_word_of(folder, list)) return true;
  const auto slash = folder.find('/');
  return slash != std::string_view::npos && is_word_of(folder.substr(0, slash), list);
}

const Rule* rule_of(std::string_view path) {
  for (const Rule& rule : kRules) {
    if (path.starts_with(rule.folder) && path.substr(rule.folder.size()).starts_with('/')) return &rule;
  }
  return nullptr;
}

struct Include {
  std::string_view path = {};
  bool quoted = false;
};

std::optional<Include> include_of(std::string_view line) {
  const auto skip_blanks = [&line] { line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size())); };
  skip_blanks();
  if (!line.starts_with('#')) return std::nullopt;
  line.remove_prefix(1);
  skip_blanks();
  if (!line.starts_with("include")) return std::nullopt;
  line.remove_prefix(7);
  skip_blanks();
  if (line.empty()) return std::nullopt;
  const bool quoted = line.front() == '"';
  const auto end = line.find(quoted ? '"' : '>', 1);
  if (end == std::string_view::npos) return std::nullopt;
  return Include{line.substr(1, end - 1), quoted};
}

std::string include_problem(const Rule& rule, std::string_view path, const Include& include) {
  const bool header = path.ends_with(".h");
  const Rule* other = rule_of(include.path);
  if (other != nullptr) {
    if (other == &rule || is_below_word_of(other->folder, rule.may_include)) return {};
    return std::string(rule.folder) + " may not include " + std::string(include.path);
  }
  if (include.quoted)
    return "an include of ours must start at the root of the repository: " + std::string(include.path);
  for (const Library& library : kLibraries) {
    if (!include.path.starts_with(library.prefix)) continue;
    if (!is_word_of(library.name, rule.libraries)) {
      return std::string(rule.folder) + " may not use " + std::string(library.name) + ": " + std::string(include.path);
    }
    const bool closed = !rule.own_headers || path == "simulator/simulator.h";
    if (header && closed && include.path != "nlohmann/json_fwd.hpp")
      return "no third-party header in a header: " + std::string(include.path);
    return {};
  }
  if (rule.pure && std::ranges::find(kImpureHeaders, include.path) != kImpureHeaders.end()) {
    return std::string(rule.folder) + " is pure and does without <" + std::string(include.path) + ">";
  }
  return {};
}

}  // namespace

std::string layer_of(std::string_view path) {
  const Rule* rule = rule_of(path);
  return rule == nullptr ? std::string() : std::string(rule->folder);
}

std::vector<std::string> layers() {
  std::vector<std::string> names;
  for (const Rule& rule : kRules) names.emplace_back(rule.folder);
  return names;
}

std::vector<std::string> violations(std::string_view path, std::string_view text) {
  std::vector<std::string> found;
  const Rule* rule = rule_of(path);
  if (rule == nullptr) return found;
  int number = 0;
  while (!text.empty()) {
    ++number;
    const auto end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    std::string problem;
    if (const auto include = include_of(line)) problem = include_problem(*rule, path, *include);
    if (!rule->reads_clock) {
      for (const std::string_view read : kClockReads) {
        if (line.find(read) != std::string_view::npos)
          problem = std::string(rule->folder) + " does not read a clock by itself";
      }
    }
    if (!problem.empty()) found.push_back(std::string(path) + ":" + std::to_string(number) + ": " + problem);
  }
  return found;
}

}  // namespace pvr::architecture
