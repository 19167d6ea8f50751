#include "tests/simulator/transcript.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <regex>
#include <set>

namespace pvesim_test {
namespace {

using nlohmann::json;

std::string text_of(const json& object, const char* key) {
  return object.contains(key) && object[key].is_string() ? object[key].get<std::string>() : std::string{};
}

constexpr std::size_t kPage = 50;

/// The last name in a place: "data[3].uptime" -> "uptime".
std::string leaf(const std::string& place) {
  const auto dot = place.find_last_of(".");
  std::string name = dot == std::string::npos ? place : place.substr(dot + 1);
  return name.substr(0, name.find('['));
}

bool is_digest(const json& value) {
  static const std::regex kHex("[0-9a-f]{40}");
  return value.is_string() && std::regex_match(value.get<std::string>(), kHex);
}

bool numeric(const json& value) {
  if (value.is_number()) return true;
  static const std::regex kNumber("-?[0-9]+(\\.[0-9]+)?([eE][-+]?[0-9]+)?");
  return value.is_string() && std::regex_match(value.get<std::string>(), kNumber);
}

const std::map<std::string, std::string>& numeric_classes() {
  static const std::map<std::string, std::string> kClasses = [] {
    std::map<std::string, std::string> classes;
    for (const char* key : {"starttime", "endtime", "ctime", "uptime", "snaptime", "pid", "pstart", "timestamp"})
      classes[key] = "time";
    for (const char* key :
         {"cpu", "mem", "memhost", "netin", "netout", "diskread", "diskwrite", "wait", "idle", "pressurecpufull",
          "pressurecpusome", "pressureiofull", "pressureiosome", "pressurememoryfull", "pressurememorysome", "freemem"})
      classes[key] = "load";
    for (const char* key : {"used", "avail", "used_fraction", "alloc", "free", "total", "disk", "maxdisk", "available"})
      classes[key] = "space";
    return classes;
  }();
  return kClasses;
}

/// Names whose whole value belongs to the recording machine.
const std::set<std::string>& host_names() {
  static const std::set<std::string> kNames = {"repoid",  "version",         "pveversion", "kversion", "current-kernel",
                                               "cpuinfo", "loadavg",         "ksm",        "swap",     "boot-info",
                                               "rootfs",  "ssl_fingerprint", "ip",         "release"};
  return kNames;
}

}  // namespace

std::optional<std::filesystem::path> shared_folder() {
  std::vector<std::filesystem::path> places;
  if (const char* named = std::getenv("PVERECONCILE_SHARED")) {
    places.emplace_back(std::filesystem::path(named) / "pve");
    places.emplace_back(named);
  }
  const std::filesystem::path source = PVERECONCILE_SOURCE_DIR;
  places.push_back(source / ".." / "shared" / "pve");
  places.push_back(source / ".." / ".." / "shared" / "pve");
  for (const auto& place : places)
    if (std::filesystem::is_directory(place / "transcripts")) return place;
  return std::nullopt;
}

Transcript load_transcript(const std::filesystem::path& file) {
  std::ifstream input(file);
  const json document = json::parse(input);
  Transcript transcript;
  transcript.name = file.stem().string();
  for (const json& call : document.at("calls")) {
    RecordedCall one;
    one.method = text_of(call, "method");
    one.path = text_of(call, "path");
    one.format = call.contains("format") ? text_of(call, "format") : "json";
    one.auth = text_of(call, "auth");
    one.note = text_of(call, "note");
    one.params = call.value("params", json(nullptr));
    one.json_body = call.value("json_body", json(nullptr));
    if (call.contains("raw_body")) one.raw_body = text_of(call, "raw_body");
    one.status = call.at("status").get<int>();
    one.reason = text_of(call, "reason");
    one.body = call.at("body");
    one.closes = call.contains("headers") && call["headers"].value("connection", "") == "close";
    transcript.calls.push_back(std::move(one));
  }
  return transcript;
}

std::vector<std::string> transcript_names() {
  std::vector<std::string> names;
  const auto folder = shared_folder();
  if (!folder) return names;
  for (const auto& entry : std::filesystem::directory_iterator(*folder / "transcripts"))
    if (entry.path().extension() == ".json") names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

void Comparison::mismatch(const std::string& place, const json& recorded, const json& simulated) {
  const auto show = [](const json& value) {
    std::string text = value.dump();
    if (text.size() > 400) text = text.substr(0, 400) + "…";
    return text;
  };
  mismatches_.push_back(place + ": recorded " + show(recorded) + " simulated " + show(simulated));
}

std::string Comparison::normal_text(const std::string& text, bool count) {
  struct Rule {
    std::regex pattern;
    std::string replacement;
    const char* name;
  };
  static const std::vector<Rule> kRules = {
      {std::regex("UPID:([^:]+):[0-9A-F]{8}:[0-9A-F]{8,9}:[0-9A-F]{8}:"), "UPID:$1:#:#:#:", "upid"},
      {std::regex("[0-9A-F]{2}(:[0-9A-F]{2}){5}(?![:0-9A-F])"), "#MAC", "identifier"},
      {std::regex("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "#UUID", "identifier"},
      {std::regex("creation-qemu=[0-9.]+"), "creation-qemu=#", "identifier"},
      {std::regex("ctime=[0-9]+"), "ctime=#", "identifier"},
  };
  std::string out = text;
  for (const Rule& rule : kRules) {
    std::string changed = std::regex_replace(out, rule.pattern, rule.replacement);
    if (changed == out) continue;
    if (count) ++used_[rule.name];
    out = std::move(changed);
  }
  return out;
}

void Comparison::compare_text(const std::string& recorded, const std::string& simulated, const std::string& place) {
  if (recorded == simulated) return;
  if (recorded.size() > 2 && recorded.front() == '<' && recorded.back() == '>' && !simulated.empty()) {
    ++used_["secret"];
    learned_[recorded] = simulated;
    return;
  }
  if (recorded.find('<') != std::string::npos) {  // a secret within a longer text
    static const std::regex kSpecial("[.^$|()\\[\\]{}*+?\\\\]");
    static const std::regex kPlaceholder("<[^>]*>");
    const std::string pattern = std::regex_replace(std::regex_replace(recorded, kSpecial, "\\$&"), kPlaceholder, ".+");
    if (std::regex_match(simulated, std::regex(pattern))) {
      ++used_["secret"];
      return;
    }
  }
  if (recorded.rfind("UPID:", 0) == 0 && simulated.rfind("UPID:", 0) == 0) learned_[recorded] = simulated;
  const std::string name = leaf(place);
  if (name == "content" || name == "nodes") {
    const auto sorted = [](const std::string& text) {
      std::vector<std::string> items;
      std::string item;
      for (const char c : text + ",") {
        if (c != ',') {
          item += c;
          continue;
        }
        items.push_back(item);
        item.clear();
      }
      std::sort(items.begin(), items.end());
      return items;
    };
    if (sorted(recorded) == sorted(simulated)) {
      ++used_["order"];
      return;
    }
  }
  if (normal_text(recorded, false) == normal_text(simulated, false)) {
    (void)normal_text(recorded, true);
    return;
  }
  mismatch(place, recorded, simulated);
}

void Comparison::compare_list(const json& recorded, const json& simulated, const std::string& place) {
  if (recorded.size() != simulated.size()) return mismatch(place, recorded, simulated);
  // Rows find each other by what names them, then by their place.
  static constexpr std::array kNames = {"volid",  "storage", "id",      "key",     "name", "upid",  "vmid", "userid",
                                        "poolid", "roleid",  "tokenid", "devpath", "sid",  "realm", "node", "n"};
  const auto name_of = [](const json& row) {
    if (!row.is_object()) return row.dump();
    std::string name;
    for (const char* key : kNames)
      if (row.contains(key) && !row[key].is_null() && std::string(key) != "upid")
        name += std::string(key) + "=" + row[key].dump() + " ";
    return name;
  };
  const auto sorted = [&](const json& list) {
    std::vector<json> rows(list.begin(), list.end());
    std::stable_sort(rows.begin(), rows.end(), [&](const json& a, const json& b) { return name_of(a) < name_of(b); });
    return rows;
  };
  const std::vector<json> left = sorted(recorded);
  const std::vector<json> right = sorted(simulated);
  if (left != std::vector<json>(recorded.begin(), recorded.end()) ||
      right != std::vector<json>(simulated.begin(), simulated.end()))
    ++used_["order"];
  for (std::size_t i = 0; i < left.size(); ++i) compare(left[i], right[i], place + "[" + name_of(left[i]) + "]");
}

void Comparison::compare_log(const json& recorded, const json& simulated, const std::string& place) {
  const auto last = [](const json& log) { return log.empty() ? std::string{} : log.back().value("t", ""); };
  // The API answers fifty lines unless asked for more: a full page does not show how the task ended.
  if (recorded.size() < kPage) compare_text(last(recorded), last(simulated), place + ".last");
  std::set<std::string> known;
  for (const json& line : simulated) known.insert(normal_text(line.value("t", ""), false));
  for (const json& line : recorded)
    if (!known.contains(normal_text(line.value("t", ""), false))) ++used_["log"];
}

void Comparison::compare(const json& recorded, const json& simulated, const std::string& place) {
  if (recorded == simulated) return;
  const std::string name = leaf(place);
  if (const auto found = numeric_classes().find(name);
      found != numeric_classes().end() && numeric(recorded) && numeric(simulated)) {
    ++used_[found->second];
    return;
  }
  const bool digest = name == "digest" || place.find("[key=\"digest\"") != std::string::npos;
  if (digest && is_digest(recorded) && is_digest(simulated)) {
    ++used_["digest"];
    learned_[recorded.get<std::string>()] = simulated.get<std::string>();
    return;
  }
  if (host_names().contains(name) && recorded.type() == simulated.type()) {
    ++used_["host"];
    return;
  }
  const bool log = recorded.is_array() && !recorded.empty() && recorded[0].is_object() && recorded[0].contains("t") &&
                   recorded[0].contains("n");
  if (log && simulated.is_array()) return compare_log(recorded, simulated, place);
  if (recorded.is_object() && simulated.is_object()) {
    std::set<std::string> keys;
    for (const auto& [key, value] : recorded.items()) keys.insert(key);
    for (const auto& [key, value] : simulated.items()) keys.insert(key);
    // Of a log only its length differs with its lines.
    const bool counts_log = recorded.contains("total") && recorded.contains("data");
    for (const std::string& key : keys) {
      if (counts_log && key == "total") continue;
      if (!recorded.contains(key))
        mismatch(place + "." + key, "(absent)", simulated[key]);
      else if (!simulated.contains(key))
        mismatch(place + "." + key, recorded[key], "(absent)");
      else
        compare(recorded[key], simulated[key], place + "." + key);
    }
    return;
  }
  if (recorded.is_array() && simulated.is_array()) return compare_list(recorded, simulated, place);
  if (recorded.is_string() && simulated.is_string())
    return compare_text(recorded.get<std::string>(), simulated.get<std::string>(), place);
  if (numeric(recorded) && numeric(simulated)) {
    const auto text = [](const json& value) { return value.is_string() ? value.get<std::string>() : value.dump(); };
    if (text(recorded) == text(simulated)) {
      ++used_["number"];
      return;
    }
  }
  mismatch(place, recorded, simulated);
}

}  // namespace pvesim_test
