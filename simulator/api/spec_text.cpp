#include "simulator/api/spec_text.h"

#include <algorithm>
#include <array>
#include <sstream>
#include <stdexcept>

#include "simulator/wire/formats.h"
#include "simulator/world/drive.h"

namespace pvesim {
namespace {

std::size_t indent_of(const std::string& line) { return line.find_first_not_of(' '); }

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

std::vector<std::string> split(const std::string& text, char mark) {
  std::vector<std::string> out;
  std::size_t at = 0;
  while (true) {
    const auto end = text.find(mark, at);
    out.push_back(text.substr(at, end - at));
    if (end == std::string::npos) return out;
    at = end + 1;
  }
}

std::string check_volume(std::string_view value, bool qm_path) {
  if (qm_path && (value == "none" || value == "cdrom" || value.substr(0, 5) == "/dev/")) return {};
  if (!value.empty() && value.front() == '/') return {};
  // Fact: "SIZE" alone is an allocation on the default storage, "NEW:SIZE" and "STORAGE:SIZE" are ordinary allocations.
  if (qm_path && is_number_text(value)) return {};
  return check_format("pve-volume-id", value);
}

std::string check_boot(std::string_view value) {
  if (value.empty()) return {};
  if (value.substr(0, 6) == "order=") {
    for (const std::string& device : split(std::string(value.substr(6)), ';'))
      if (!device.empty() && !is_drive_name(device) && device.rfind("net", 0) != 0 && device.rfind("hostpci", 0) != 0 &&
          device.rfind("usb", 0) != 0)
        return "format error\nboot.order: invalid format - invalid boot device '" + device + "'\n\n";
    return {};
  }
  std::string_view legacy = value;
  if (legacy.substr(0, 7) == "legacy=") legacy.remove_prefix(7);
  if (legacy.size() <= 4 && legacy.find_first_not_of("acdn") == legacy.npos) return {};
  return "invalid boot: " + std::string(value) + "\n";
}

std::string check_hotplug(std::string_view value) {
  if (value == "0" || value == "1") return {};
  static constexpr std::array kKnown = {"network", "disk", "cpu", "memory", "usb", "cloudinit"};
  for (const std::string& feature : split_list(value))
    if (std::find(kKnown.begin(), kKnown.end(), feature) == kKnown.end()) return "unable to parse hotplug option\n";
  return {};
}

std::string check_cpuset(std::string_view value) {
  const bool fits = !value.empty() && value.find_first_not_of("0123456789,-") == value.npos;
  return fits ? std::string{} : "unable to parse cpuset: '" + std::string(value) + "'\n";
}

std::string check_cpu_name(std::string_view value) {
  static constexpr std::array kModels = {"486",
                                         "Broadwell",
                                         "Broadwell-IBRS",
                                         "Broadwell-noTSX",
                                         "Broadwell-noTSX-IBRS",
                                         "Cascadelake-Server",
                                         "Cascadelake-Server-noTSX",
                                         "Cascadelake-Server-v2",
                                         "Cascadelake-Server-v4",
                                         "Cascadelake-Server-v5",
                                         "Conroe",
                                         "Cooperlake",
                                         "Cooperlake-v2",
                                         "EPYC",
                                         "EPYC-Genoa",
                                         "EPYC-IBPB",
                                         "EPYC-Milan",
                                         "EPYC-Milan-v2",
                                         "EPYC-Rome",
                                         "EPYC-Rome-v2",
                                         "EPYC-Rome-v3",
                                         "EPYC-Rome-v4",
                                         "EPYC-Turin",
                                         "EPYC-v3",
                                         "EPYC-v4",
                                         "GraniteRapids",
                                         "Haswell",
                                         "Haswell-IBRS",
                                         "Haswell-noTSX",
                                         "Haswell-noTSX-IBRS",
                                         "Icelake-Client",
                                         "Icelake-Client-noTSX",
                                         "Icelake-Server",
                                         "Icelake-Server-noTSX",
                                         "Icelake-Server-v3",
                                         "Icelake-Server-v4",
                                         "Icelake-Server-v5",
                                         "Icelake-Server-v6",
                                         "IvyBridge",
                                         "IvyBridge-IBRS",
                                         "KnightsMill",
                                         "Nehalem",
                                         "Nehalem-IBRS",
                                         "Opteron_G1",
                                         "Opteron_G2",
                                         "Opteron_G3",
                                         "Opteron_G4",
                                         "Opteron_G5",
                                         "Penryn",
                                         "SandyBridge",
                                         "SandyBridge-IBRS",
                                         "SapphireRapids",
                                         "SapphireRapids-v2",
                                         "SierraForest",
                                         "Skylake-Client",
                                         "Skylake-Client-IBRS",
                                         "Skylake-Client-noTSX-IBRS",
                                         "Skylake-Client-v4",
                                         "Skylake-Server",
                                         "Skylake-Server-IBRS",
                                         "Skylake-Server-noTSX-IBRS",
                                         "Skylake-Server-v4",
                                         "Skylake-Server-v5",
                                         "Westmere",
                                         "Westmere-IBRS",
                                         "athlon",
                                         "core2duo",
                                         "coreduo",
                                         "host",
                                         "kvm32",
                                         "kvm64",
                                         "max",
                                         "pentium",
                                         "pentium2",
                                         "pentium3",
                                         "phenom",
                                         "qemu32",
                                         "qemu64",
                                         "x86-64-v2",
                                         "x86-64-v2-AES",
                                         "x86-64-v3",
                                         "x86-64-v4"};
  if (value.substr(0, 7) == "custom-" || std::find(kModels.begin(), kModels.end(), value) != kModels.end()) return {};
  return "Built-in cputype '" + std::string(value) + "' is not defined (missing 'custom-' prefix?)\n";
}

std::string check_phys_bits(std::string_view value) {
  if (value == "host") return {};
  if (is_integer_text(value) && value.size() <= 2 && std::stoi(std::string(value)) >= 8 &&
      std::stoi(std::string(value)) <= 64)
    return {};
  return "value must be an integer between 8 and 64 or 'host'\n";
}

std::string check_mac(std::string_view value) {
  bool fits = value.size() == 17;
  for (std::size_t i = 0; fits && i < value.size(); ++i)
    fits = i % 3 == 2 ? value[i] == ':' : std::isxdigit(static_cast<unsigned char>(value[i])) != 0;
  if (fits && (std::stoi(std::string(value.substr(0, 2)), nullptr, 16) & 1) == 0) return {};
  return "value does not look like a valid unicast MAC address\n";
}

std::string check_ip_config(std::string_view value, bool six) {
  if (value == "dhcp" || (six && value == "auto")) return {};
  const bool has_colon = value.find(':') != value.npos;
  if (check_format("CIDR", value).empty() && has_colon == six) return {};
  return six ? "value does not look like a valid ipv6 network configuration\n"
             : "value does not look like a valid ipv4 network configuration\n";
}

/// Checks of formats the wire does not know by name.
void add_check(ParamSpec& spec) {
  if (spec.format == "pve-volume-id-or-qm-path") {
    spec.check = [](std::string_view v) { return check_volume(v, true); };
  } else if (spec.format == "pve-volume-id-or-absolute-path") {
    spec.check = [](std::string_view v) { return check_volume(v, false); };
  } else if (spec.format == "pve-qm-boot") {
    spec.check = check_boot;
  } else if (spec.format == "pve-hotplug-features") {
    spec.check = check_hotplug;
  } else if (spec.format == "pve-cpuset") {
    spec.check = check_cpuset;
  } else if (spec.format == "pve-cpu-name") {
    spec.check = check_cpu_name;
  } else if (spec.format == "pve-phys-bits") {
    spec.check = check_phys_bits;
  } else if (spec.format == "mac-addr") {
    spec.check = check_mac;
  } else if (spec.format == "pve-ipv4-config") {
    spec.check = [](std::string_view v) { return check_ip_config(v, false); };
  } else if (spec.format == "pve-ipv6-config") {
    spec.check = [](std::string_view v) { return check_ip_config(v, true); };
  }
}

void add_values(ParamSpec& spec, const std::string& text) {
  if (text.empty() || text.front() != '@') {
    spec.values = split(text, '|');
    return;
  }
  const auto& disks = disk_names();
  spec.values.assign(disks.begin(), disks.end());
  if (text == "@disks") return;
  spec.values.emplace_back("efidisk0");
  spec.values.emplace_back("tpmstate0");
  if (text == "@drives+unused")
    for (int i = 0; i < 256; ++i) spec.values.push_back("unused" + std::to_string(i));
}

ParamSpec parse_param(const std::string& line) {
  const auto pattern = line.find(" pattern=");
  const std::vector<std::string> words = words_of(line.substr(0, pattern));
  ParamSpec spec;
  spec.name = words.at(0);
  spec.type = words.at(1);
  spec.optional = false;
  for (std::size_t i = 2; i < words.size(); ++i) {
    const std::string& word = words[i];
    const auto equals = word.find('=');
    const std::string key = word.substr(0, equals);
    const std::string value = equals == std::string::npos ? "" : word.substr(equals + 1);
    if (key == "opt") spec.optional = true;
    if (key == "key") spec.default_key = true;
    if (key == "n") spec.family = std::stoi(value);
    if (key == "min") spec.minimum = std::stod(value);
    if (key == "max") spec.maximum = std::stod(value);
    if (key == "maxlen") spec.max_length = std::stoi(value);
    if (key == "minlen") spec.min_length = std::stoi(value);
    if (key == "req") spec.requires_.push_back(value);
    if (key == "alias") spec.alias = value;
    if (key == "keyalias") spec.key_alias = value;
    if (key == "fmt") spec.format = value;
    if (key == "enum") add_values(spec, value);
  }
  if (pattern != std::string::npos) spec.pattern = line.substr(pattern + 9);
  add_check(spec);
  return spec;
}

class Reader {
 public:
  Reader(std::vector<std::string> lines, const std::map<std::string, std::vector<ParamSpec>, std::less<>>& blocks,
         const std::map<std::string, std::vector<ParamSpec>, std::less<>>& formats)
      : lines_(std::move(lines)), blocks_(blocks), formats_(formats) {}

  /// The parameters at `depth` from line `at` on; leaves `at` behind them.
  std::vector<ParamSpec> params(std::size_t& at, std::size_t depth) const {
    std::vector<ParamSpec> out;
    while (at < lines_.size() && indent_of(lines_[at]) == depth) {
      const std::string line = lines_[at++].substr(depth);
      if (line.front() == '*') {
        const auto& block = blocks_.at(line.substr(1));
        out.insert(out.end(), block.begin(), block.end());
        continue;
      }
      ParamSpec spec = parse_param(line);
      if (at < lines_.size() && indent_of(lines_[at]) == depth + 1) {
        std::vector<ParamSpec> keys = params(at, depth + 1);
        if (spec.type == "array") {
          spec.items = std::make_shared<const ParamSpec>(keys.at(0));
        } else {
          spec.property = std::make_shared<const std::vector<ParamSpec>>(std::move(keys));
        }
      } else if (const auto known = formats_.find(spec.format); known != formats_.end()) {
        spec.property = std::make_shared<const std::vector<ParamSpec>>(known->second);
      }
      out.push_back(std::move(spec));
    }
    return out;
  }
  [[nodiscard]] const std::string& line(std::size_t at) const { return lines_[at]; }
  [[nodiscard]] std::size_t size() const { return lines_.size(); }

 private:
  std::vector<std::string> lines_;
  const std::map<std::string, std::vector<ParamSpec>, std::less<>>& blocks_;
  const std::map<std::string, std::vector<ParamSpec>, std::less<>>& formats_;
};

void add_path_params(MethodSpec& method) {
  const auto add = [&](const std::string& name, const char* format) {
    if (method.path.find("{" + name + "}") == std::string::npos) return;
    for (const ParamSpec& spec : method.params)
      if (spec.name == name) return;
    ParamSpec spec;
    spec.name = name;
    spec.optional = false;
    spec.format = format;
    if (name == "vmid") {
      spec.type = "integer";
      spec.minimum = 100;
      spec.maximum = 999999999;
    }
    method.params.push_back(std::move(spec));
  };
  add("node", "pve-node");
  add("vmid", "pve-vmid");
}

}  // namespace

SpecTable::SpecTable(std::string_view text) {
  std::vector<std::string> lines;
  std::istringstream in{std::string(text)};
  for (std::string line; std::getline(in, line);)
    if (!line.empty()) lines.push_back(line);
  // Blocks come first, so that formats and methods may include them wherever they stand.
  const Reader reader(lines, blocks_, formats_);
  for (const char* kind : {"drive", "~", "=", ""})
    for (std::size_t at = 0; at < reader.size();) {
      const std::vector<std::string> words = words_of(reader.line(at));
      const bool head = indent_of(reader.line(at)) == 0;
      ++at;
      if (!head) continue;
      const bool block = words[0] == "=";
      const bool format = words[0] == "~";
      const std::string_view want = kind;
      if (want == "drive" ? !(block && words[1] == "drive")
          : want == "="   ? !block || words[1] == "drive"
          : want == "~"   ? !format
                          : block || format)
        continue;
      const std::size_t depth = at < reader.size() ? indent_of(reader.line(at)) : 0;
      std::vector<ParamSpec> params = depth > 0 ? reader.params(at, depth) : std::vector<ParamSpec>{};
      if (block) {
        blocks_[words[1]] = std::move(params);
      } else if (format) {
        formats_[words[1]] = std::move(params);
      } else {
        MethodSpec method{.verb = words[0], .path = words[1], .params = std::move(params)};
        for (std::size_t i = 2; i < words.size(); ++i) {
          if (words[i] == "protected") method.is_protected = true;
          if (words[i] == "proxy") method.proxy_to_node = true;
          if (words[i] == "ticket") method.token_allowed = false;
        }
        add_path_params(method);
        methods_[{words[0], words[1]}] = std::move(method);
      }
    }
}

MethodSpec SpecTable::method(std::string_view verb, std::string_view path) const {
  const auto found = methods_.find({std::string(verb), std::string(path)});
  if (found == methods_.end())
    throw std::logic_error("no parameters for " + std::string(verb) + " " + std::string(path));
  return found->second;
}

const std::vector<ParamSpec>& SpecTable::block(std::string_view name) const {
  const auto found = blocks_.find(name);
  if (found == blocks_.end()) throw std::logic_error("no block " + std::string(name));
  return found->second;
}

std::vector<std::pair<std::string, std::string>> SpecTable::methods() const {
  std::vector<std::pair<std::string, std::string>> out;
  out.reserve(methods_.size());
  for (const auto& [key, method] : methods_) out.push_back(key);
  return out;
}

const SpecTable& qemu_specs() {
  static const SpecTable kTable(qemu_spec_text());
  return kTable;
}

const SpecTable& storage_specs() {
  static const SpecTable kTable(storage_spec_text());
  return kTable;
}

}  // namespace pvesim
