#include "providers/host/host_reading.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <map>
#include <optional>
#include <span>
#include <utility>

namespace pvr {
namespace {

constexpr std::string_view kMarkPrefix = "pvereconcile:";

Error malformed(std::string_view what, std::string_view row) {
  constexpr std::size_t kMost = 200;
  return {.kind = ErrorKind::kMalformed,
          .message = fmt::format("{}: unexpected row \"{}\"", what, row.substr(0, kMost))};
}

template <class Number>
std::optional<Number> number(std::string_view text) {
  Number value{};
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || read.ec != std::errc() || read.ptr != text.data() + text.size()) return std::nullopt;
  return value;
}

std::vector<std::string_view> words_of(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const std::size_t begin = text.find_first_not_of(" \t");
    if (begin == std::string_view::npos) break;
    text.remove_prefix(begin);
    const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
    words.push_back(text.substr(0, end));
    text.remove_prefix(end);
  }
  return words;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

/// Fact: findmnt and lsblk with -r write blanks and the like as \x20.
std::string unescaped(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); ++at) {
    unsigned code = 0;
    if (text.substr(at, 2) == "\\x" && at + 4 <= text.size() &&
        std::from_chars(text.data() + at + 2, text.data() + at + 4, code, 16).ptr == text.data() + at + 4) {
      out += static_cast<char>(code);
      at += 3;
    } else {
      out += text[at];
    }
  }
  return out;
}

/// The parts of the script's output by name; of a part that failed, nothing but its name in `failed`.
struct Parts {
  std::map<std::string_view, std::string_view, std::less<>> texts = {};
  std::vector<std::string_view> failed = {};
  bool complete = false;
  [[nodiscard]] const std::string_view* find(std::string_view name) const {
    const auto at = texts.find(name);
    return at == texts.end() ? nullptr : &at->second;
  }
};

Parts split_parts(std::string_view text) {
  constexpr std::string_view kBegin = "@@ ";
  constexpr std::string_view kEnd = "@@= ";
  Parts parts;
  std::string_view name;
  const char* begin = nullptr;
  for (const std::string_view line : lines_of(text)) {
    if (name.empty()) {
      if (!line.starts_with(kBegin)) continue;
      name = line.substr(kBegin.size());
      begin = line.data() + line.size() + 1;
      if (name == "end") parts.complete = true;
    } else if (line.starts_with(kEnd)) {
      std::string_view body(begin, static_cast<std::size_t>(std::max<std::ptrdiff_t>(line.data() - begin, 0)));
      while (body.ends_with('\n')) body.remove_suffix(1);
      if (line.substr(kEnd.size()) == "0")
        parts.texts.emplace(name, body);
      else
        parts.failed.push_back(name);
      name = {};
    }
  }
  return parts;
}

std::optional<VdevClass> class_of(std::string_view word) {
  static constexpr std::pair<std::string_view, VdevClass> kWords[] = {
      {"logs", VdevClass::kLog},    {"special", VdevClass::kSpecial}, {"dedup", VdevClass::kDedup},
      {"cache", VdevClass::kCache}, {"spares", VdevClass::kSpare},
  };
  for (const auto& [name, role] : kWords)
    if (word == name) return role;
  return std::nullopt;
}

/// "raidz2-0" → "raidz2", "draid1:4d:6c:1s-0" → "draid1", a device → "disk".
std::string kind_of(std::string_view name) {
  if (name.starts_with('/')) return "disk";
  const std::string_view word = name.substr(0, name.find(':'));
  const std::size_t dash = word.rfind('-');
  const bool numbered = dash != std::string_view::npos && number<unsigned>(word.substr(dash + 1)).has_value();
  std::string kind(numbered ? word.substr(0, dash) : word);
  static constexpr std::string_view kGroups[] = {"mirror", "raidz", "draid", "indirect"};
  const bool group = std::ranges::any_of(kGroups, [&](std::string_view one) { return kind.starts_with(one); });
  return group ? kind : "disk";
}

/// Parts of the script that tell of what the fleet can set.
constexpr std::string_view kSettingParts[] = {"node",   "kernel", "zfs-version", "pools",      "pool-properties",
                                              "mounts", "memory", "arc",         "parameters", "modprobe",
                                              "timers", "cron"};
bool is_setting(std::string_view part) { return std::ranges::find(kSettingParts, part) != std::end(kSettingParts); }

class HostReader {
 public:
  HostReader(std::string_view text, HostParts parts) : parts_(split_parts(text)), wanted_(parts) {}

  Result<LiveHost> run() {
    const std::string_view* node = parts_.find("node");
    if (node == nullptr || !parts_.complete)
      return Error{.kind = ErrorKind::kMalformed, .message = "the answer of the reading script is not complete"};
    host_.node = std::string(node->substr(0, node->find('.')));
    if (const std::string_view* kernel = parts_.find("kernel")) host_.kernel = std::string(*kernel);
    read_zfs();
    read_system();
    return std::move(host_);
  }

 private:
  // ---- what is missing
  void gap(std::string sentence) { host_.gaps.push_back(std::move(sentence)); }
  /// The part, or a gap.
  const std::string_view* part(std::string_view name, std::string_view what) {
    const std::string_view* found = parts_.find(name);
    const bool asked = wanted_ == HostParts::kAll || is_setting(name);
    if (found == nullptr && asked) gap(fmt::format("Node \"{}\": {} could not be read.", host_.node, what));
    return found;
  }
  void keep(const Status& status, std::string_view what) {
    if (!status) gap(fmt::format("Node \"{}\": {} could not be read: {}", host_.node, what, status.error().message));
  }

  // ---- ZFS
  void read_zfs() {
    const std::string_view* version = parts_.find("zfs-version");
    if (version == nullptr) return;  // no module, no ZFS
    host_.zfs_version = std::string(version->substr(0, version->find('-')));
    if (const std::string_view* rows = part("datasets", "its datasets")) {
      auto read = read_datasets(*rows);
      if (read)
        host_.datasets = std::move(read).value();
      else
        keep(Error(read.error()), "its datasets");
    }
    if (const std::string_view* rows = part("snapshots", "its snapshots"))
      keep(read_snapshots(*rows, host_.datasets), "its snapshots");
    if (const std::string_view* rows = part("disks", "its disks")) keep(read_disks(*rows), "its disks");
    if (const std::string_view* rows = part("pools", "its pools")) keep(read_pools(*rows), "its pools");
    if (const std::string_view* rows = part("pool-properties", "the properties of its pools"))
      keep(read_pool_properties(*rows), "the properties of its pools");
    if (const std::string_view* rows = part("status", "the state of its pools")) read_status(*rows);
    if (const std::string_view* rows = part("vdevs", "the ashift of its vdevs")) read_ashift(*rows);
    if (const std::string_view* rows = part("arc", "the state of the ARC")) read_arc(*rows);
    if (const std::string_view* rows = part("parameters", "the parameters of ZFS")) read_parameters(*rows);
    if (const std::string_view* rows = part("modprobe", "its modprobe.d")) read_modprobe(*rows);
  }

  LiveZpool* pool(std::string_view name) {
    const auto at = std::ranges::find(host_.zpools, name, &LiveZpool::name);
    return at == host_.zpools.end() ? nullptr : &*at;
  }

  Status read_pools(std::string_view rows) {
    for (const std::string_view row : lines_of(rows)) {
      const auto columns = columns_of(row);
      if (columns.size() != 7 || columns[0].empty()) return malformed("zpool list", row);
      LiveZpool pool{.name = std::string(columns[0]), .health = std::string(columns[6])};
      // A pool that is gone (FAULTED, SUSPENDED) has dashes in place of numbers.
      const auto bytes = [&](std::size_t column) {
        return ByteSize{number<std::uint64_t>(columns[column]).value_or(0)};
      };
      pool.size = bytes(1);
      pool.allocated = bytes(2);
      pool.free = bytes(3);
      pool.fragmentation = number<std::uint32_t>(columns[4]);
      pool.capacity = number<std::uint32_t>(columns[5]);
      host_.zpools.push_back(std::move(pool));
    }
    std::ranges::sort(host_.zpools, {}, &LiveZpool::name);
    return Done{};
  }

  Status read_pool_properties(std::string_view rows) {
    for (const std::string_view row : lines_of(rows)) {
      const auto columns = columns_of(row);
      if (columns.size() != 3) return malformed("zpool get", row);
      LiveZpool* found = pool(columns[0]);
      if (found == nullptr) continue;
      if (columns[1] == "autotrim") found->autotrim = columns[2] == "on";
      if (columns[1] == "readonly") found->read_only = columns[2] == "on";
    }
    return Done{};
  }

  struct Row {
    std::size_t depth = 0;
    std::string_view name = {};
    std::string_view health = {};
    std::string_view note = {};  // "(100% trimmed, completed at …)"
  };

  void read_status(std::string_view rows) {
    LiveZpool* now = nullptr;
    std::vector<Row> tree;
    bool config = false;
    const auto close = [&] {
      if (now != nullptr) read_tree(*now, tree);
      tree.clear();
      config = false;
    };
    for (const std::string_view line : lines_of(rows)) {
      if (line.starts_with('\t') && config) {
        std::string_view rest = line.substr(1);
        const std::size_t indent = std::min(rest.find_first_not_of(' '), rest.size());
        const auto words = words_of(rest);
        if (words.empty() || words[0] == "NAME") continue;
        const std::size_t open = rest.find('(');
        tree.push_back({.depth = indent / 2,
                        .name = words[0],
                        .health = words.size() > 1 ? words[1] : std::string_view(),
                        .note = open == std::string_view::npos ? std::string_view() : rest.substr(open)});
        continue;
      }
      const std::string_view text = trimmed(line);
      const auto after = [&](std::string_view word) -> std::optional<std::string_view> {
        if (!text.starts_with(word)) return std::nullopt;
        return trimmed(text.substr(word.size()));
      };
      if (const auto name = after("pool:")) {
        close();
        now = pool(*name);
      } else if (after("config:")) {
        config = true;
      } else if (const auto errors = after("errors:"); errors && now != nullptr) {
        now->errors = std::string(*errors);
      } else if (const auto scan = after("scan:"); scan && now != nullptr && scan->starts_with("scrub repaired")) {
        if (const std::size_t on = scan->rfind(" on "); on != std::string_view::npos)
          now->last_scrub = read_date(scan->substr(on + 4));
      }
    }
    close();
  }

  void read_tree(LiveZpool& pool, const std::vector<Row>& tree) {
    VdevClass role = VdevClass::kData;
    bool all_trimmed = true;
    for (std::size_t at = 0; at < tree.size(); ++at) {
      const Row& row = tree[at];
      if (row.depth == 0) {
        role = class_of(row.name).value_or(VdevClass::kData);
        continue;
      }
      if (row.depth == 1) {
        pool.vdevs.push_back({.role = role, .kind = kind_of(row.name), .health = std::string(row.health)});
      }
      if (pool.vdevs.empty()) continue;
      const bool leaf = at + 1 == tree.size() || tree[at + 1].depth <= row.depth;
      if (!leaf || pool.vdevs.back().kind == "indirect") continue;
      pool.vdevs.back().devices.emplace_back(row.name);
      if (role == VdevClass::kSpare || role == VdevClass::kCache) continue;
      const std::size_t when = row.note.find("completed at ");
      const auto trimmed_at = when == std::string_view::npos
                                  ? std::nullopt
                                  : read_date(row.note.substr(when + 13, row.note.find(')') - when - 13));
      if (!trimmed_at) all_trimmed = false;
      if (trimmed_at && (!pool.last_trim || *trimmed_at < *pool.last_trim)) pool.last_trim = trimmed_at;
    }
    if (!all_trimmed) pool.last_trim.reset();
    std::erase_if(pool.vdevs, [](const LiveVdev& vdev) { return vdev.kind == "indirect"; });
    for (LiveVdev& vdev : pool.vdevs) add_disks(vdev);
  }

  void add_disks(LiveVdev& vdev) const {
    bool all_known = !vdev.devices.empty();
    for (const std::string& device : vdev.devices) {
      const auto disk = disks_.find(device);
      if (disk == disks_.end()) {
        all_known = false;
        continue;
      }
      const auto& [size, media] = disk->second;
      if (vdev.smallest_device.bytes == 0 || size < vdev.smallest_device) vdev.smallest_device = size;
      if (media == Media::kHdd || vdev.media == Media::kUnknown) vdev.media = media;
    }
    // One slow disk makes a vdev slow; one unknown disk may be that one.
    if (!all_known && vdev.media == Media::kSsd) vdev.media = Media::kUnknown;
  }

  // Fact: `zpool get ashift` of a pool is only the default for the next vdev. The vdevs are listed with their members,
  // in the order of the tree; single disks may carry another name than in `zpool status -LP`.
  void read_ashift(std::string_view rows) {
    LiveZpool* now = nullptr;
    std::vector<std::pair<std::string_view, std::uint32_t>> known;
    const auto close = [&] {
      if (now == nullptr || known.empty()) return;
      const bool same = std::ranges::all_of(known, [&](const auto& one) { return one.second == known.front().second; });
      if (!same) return match_groups(*now, known);
      for (LiveVdev& vdev : now->vdevs)
        if (vdev.role != VdevClass::kCache && vdev.role != VdevClass::kSpare) vdev.ashift = known.front().second;
    };
    for (const std::string_view row : lines_of(rows)) {
      const auto columns = columns_of(row);
      if (columns.size() == 2 && columns[0] == "pool") {
        close();
        known.clear();
        now = pool(columns[1]);
      } else if (columns.size() == 3 && columns[1] == "ashift") {
        const auto value = number<std::uint32_t>(columns[2]);
        if (value && *value > 0 && !columns[0].starts_with("root-")) known.emplace_back(columns[0], *value);
      } else {
        keep(malformed("zpool get ashift", row), "the ashift of its vdevs");
        return;
      }
    }
    close();
  }

  // "mirror-0", "raidz1-2": the n-th group of the tree, in the order both list them.
  static void match_groups(LiveZpool& pool, const std::vector<std::pair<std::string_view, std::uint32_t>>& known) {
    std::vector<LiveVdev*> groups;
    for (LiveVdev& vdev : pool.vdevs)
      if (vdev.kind != "disk") groups.push_back(&vdev);
    std::size_t next = 0;
    for (const auto& [name, value] : known) {
      const std::string kind = kind_of(name);
      if (kind == "disk" || kind == "indirect" || next >= groups.size()) continue;
      if (groups[next]->kind != kind) return;
      groups[next++]->ashift = value;
    }
  }

  void read_arc(std::string_view rows) {
    for (const std::string_view row : lines_of(rows)) {
      const auto words = words_of(row);
      if (words.size() != 3) continue;
      const auto value = number<std::uint64_t>(words[2]);
      if (!value) continue;
      if (words[0] == "c_min") host_.arc_min = ByteSize{*value};
      if (words[0] == "c_max") host_.arc_max = ByteSize{*value};
      if (words[0] == "size") host_.arc_size = ByteSize{*value};
    }
  }

  void read_parameters(std::string_view rows) {
    for (const std::string_view row : lines_of(rows)) {
      const std::size_t colon = row.find(':');
      const std::size_t slash = row.substr(0, colon).rfind('/');
      if (colon == std::string_view::npos || slash == std::string_view::npos) continue;
      host_.zfs_parameters.set(row.substr(slash + 1, colon - slash - 1), std::string(row.substr(colon + 1)));
    }
  }

  void read_modprobe(std::string_view rows) {
    for (const std::string_view row : lines_of(rows)) {
      const std::size_t colon = row.find(':');
      if (colon == std::string_view::npos) continue;
      const auto words = words_of(row.substr(colon + 1));
      if (words.size() < 3 || words[0] != "options" || words[1] != "zfs") continue;
      for (const std::string_view word : std::span(words).subspan(2)) {
        const std::size_t equals = word.find('=');
        if (equals == std::string_view::npos) continue;
        const std::string_view name = word.substr(0, equals);
        const std::string value(word.substr(equals + 1));
        host_.modprobe_options.set(name, value);
        host_.modprobe.push_back(
            {.file = std::string(row.substr(0, colon)), .name = std::string(name), .value = value});
      }
    }
  }

  // ---- the system
  Status read_disks(std::string_view rows) {
    for (const std::string_view row : lines_of(rows)) {
      const auto words = words_of(row);
      if (words.size() != 4) return malformed("lsblk", row);
      const auto size = number<std::uint64_t>(words[3]);
      if (!size || (words[2] != "0" && words[2] != "1")) return malformed("lsblk", row);
      disks_.insert_or_assign(unescaped(words[0]),
                              std::pair(ByteSize{*size}, words[2] == "1" ? Media::kHdd : Media::kSsd));
    }
    return Done{};
  }

  void read_system() {
    if (const std::string_view* rows = part("mounts", "its mounts")) {
      for (const std::string_view row : lines_of(*rows)) {
        const auto words = words_of(row);
        if (words.size() == 2) {  // without a source, as some file systems in user space are
          host_.mounts.push_back({unescaped(words[0]), {}, std::string(words[1])});
        } else if (words.size() == 3) {
          host_.mounts.push_back({unescaped(words[0]), unescaped(words[1]), std::string(words[2])});
        } else {
          keep(malformed("findmnt", row), "its mounts");
          break;
        }
      }
    }
    if (const std::string_view* rows = part("swaps", "its swaps")) {
      for (const std::string_view row : lines_of(*rows)) {
        const auto words = words_of(row);
        if (words.size() < 3 || words[0] == "Filename") continue;
        const std::string device(words[0]);
        const bool zvol = device.starts_with("/dev/zvol/") ||
                          (device.starts_with("/dev/zd") && device.size() > 7 && device[7] >= '0' && device[7] <= '9');
        host_.swaps.push_back({.device = device,
                               .size = {number<std::uint64_t>(words[2]).value_or(0) * 1024},
                               .on_zfs = zvol || file_on_zfs(device)});
      }
    }
    if (const std::string_view* rows = part("memory", "its memory")) {
      for (const std::string_view row : lines_of(*rows)) {
        const auto words = words_of(row);
        if (words.size() >= 2 && words[0] == "MemTotal:")
          host_.memory = {number<std::uint64_t>(words[1]).value_or(0) * 1024};
      }
    }
    if (const std::string_view* rows = part("timers", "its timers")) {
      for (const std::string_view row : lines_of(*rows)) {
        const auto words = words_of(row);
        if (!words.empty() && words[0].find("trim") != std::string_view::npos) host_.trim_timers.emplace_back(words[0]);
      }
    }
    // Fact: Debian's zfsutils-linux trims from cron.
    if (const std::string_view* rows = part("cron", "its cron.d"))
      for (const std::string_view row : lines_of(*rows))
        if (!row.empty()) host_.trim_timers.emplace_back(row);
    std::ranges::sort(host_.trim_timers);
    host_.trim_timers.erase(std::unique(host_.trim_timers.begin(), host_.trim_timers.end()), host_.trim_timers.end());
    if (const std::string_view* rows = part("tools", "its programs"))
      for (const std::string_view row : lines_of(*rows))
        if (!row.empty()) host_.tools.emplace_back(row);
  }

  /// A swap file lies where the longest mount above it lies.
  [[nodiscard]] bool file_on_zfs(std::string_view path) const {
    if (path.starts_with("/dev/")) return false;
    const LiveMount* best = nullptr;
    for (const LiveMount& mount : host_.mounts) {
      const bool above = mount.target == "/" || (path.starts_with(mount.target) && path.size() > mount.target.size() &&
                                                 path[mount.target.size()] == '/');
      if (above && (best == nullptr || mount.target.size() >= best->target.size())) best = &mount;
    }
    return best != nullptr && best->fstype == "zfs";
  }

  Parts parts_;
  HostParts wanted_ = HostParts::kAll;
  LiveHost host_ = {};
  std::map<std::string, std::pair<ByteSize, Media>, std::less<>> disks_ = {};  // by device path
};

}  // namespace

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

std::vector<std::string_view> columns_of(std::string_view row) {
  std::vector<std::string_view> columns;
  for (std::size_t tab = row.find('\t'); tab != std::string_view::npos; tab = row.find('\t')) {
    columns.push_back(row.substr(0, tab));
    row.remove_prefix(tab + 1);
  }
  columns.push_back(row);
  return columns;
}

Result<std::vector<LiveDataset>> read_datasets(std::string_view text) {
  std::vector<LiveDataset> datasets;
  for (const std::string_view row : lines_of(text)) {
    const auto columns = columns_of(row);
    if (columns.size() != 4 || columns[0].empty() || columns[1].empty() || columns[3].empty())
      return malformed("zfs get", row);
    if (datasets.empty() || datasets.back().name != columns[0]) datasets.push_back({.name = std::string(columns[0])});
    LiveDataset& dataset = datasets.back();
    const bool own = columns[3] == "local" || columns[3] == "received";
    if (columns[1].find(':') != std::string_view::npos) {
      // An inherited mark is one of the parent, not of this dataset.
      if (own && columns[1].starts_with(kMarkPrefix)) {
        dataset.marks.set(columns[1].substr(kMarkPrefix.size()), std::string(columns[2]));
      } else if (own) {
        dataset.properties.set(columns[1], std::string(columns[2]));
        dataset.own.emplace_back(columns[1]);
      }
      continue;
    }
    if (columns[1] == "type") {
      if (columns[2] != "volume" && columns[2] != "filesystem") return malformed("zfs get", row);
      dataset.is_volume = columns[2] == "volume";
    }
    if (columns[2] == "-") continue;
    dataset.properties.set(columns[1], std::string(columns[2]));
    if (own) dataset.own.emplace_back(columns[1]);
  }
  std::ranges::sort(datasets, {}, &LiveDataset::name);
  for (LiveDataset& dataset : datasets) {
    std::ranges::sort(dataset.own);
    if (!dataset.properties.contains("type") || !dataset.properties.contains("guid"))
      return malformed("zfs get", dataset.name);
  }
  return datasets;
}

Status read_snapshots(std::string_view text, std::vector<LiveDataset>& datasets) {
  for (const std::string_view row : lines_of(text)) {
    const std::size_t at = row.find('@');
    if (at == std::string_view::npos || at == 0 || row.find('\t') != std::string_view::npos)
      return malformed("zfs list", row);
    const std::string_view owner = row.substr(0, at);
    const auto dataset = std::ranges::lower_bound(datasets, owner, {},
                                                  [](const LiveDataset& one) { return std::string_view(one.name); });
    if (dataset != datasets.end() && dataset->name == owner) dataset->snapshots.emplace_back(row.substr(at + 1));
  }
  return Done{};
}

Result<LiveHost> read_host(std::string_view text, HostParts parts) { return HostReader(text, parts).run(); }

std::string settings_script(std::string_view whole) {
  constexpr std::string_view kPart = "part ";
  std::string script;
  for (const std::string_view line : lines_of(whole)) {
    if (line.starts_with(kPart)) {
      const std::string_view rest = line.substr(kPart.size());
      if (!is_setting(rest.substr(0, rest.find(' ')))) continue;
    }
    script += line;
    script += '\n';
  }
  return script;
}

std::optional<std::int64_t> read_date(std::string_view text) {
  static constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  const auto words = words_of(text);
  if (words.size() < 5) return std::nullopt;
  const std::size_t month = words[1].size() == 3 ? kMonths.find(words[1]) : std::string_view::npos;
  const auto day = number<unsigned>(words[2]);
  const auto year = number<int>(words[4]);
  const std::string_view clock = words[3];
  if (month == std::string_view::npos || month % 3 != 0 || !day || !year || clock.size() != 8) return std::nullopt;
  const auto hours = number<unsigned>(clock.substr(0, 2));
  const auto minutes = number<unsigned>(clock.substr(3, 2));
  const auto seconds = number<unsigned>(clock.substr(6, 2));
  const std::chrono::year_month_day date{
      std::chrono::year(*year), std::chrono::month(static_cast<unsigned>(month / 3 + 1)), std::chrono::day(*day)};
  if (!hours || !minutes || !seconds || !date.ok()) return std::nullopt;
  const auto days = std::chrono::sys_days(date).time_since_epoch();
  return std::chrono::seconds(days).count() + std::int64_t{3600} * *hours + std::int64_t{60} * *minutes + *seconds;
}

}  // namespace pvr
