// zpool list, get, set, scrub and status.

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

#include "simulator/host/datasets.h"
#include "simulator/host/host_command.h"
#include "simulator/host/layout.h"
#include "simulator/world/storage.h"
#include "simulator/world/text.h"

namespace pvesim {
namespace {

HostAnswer usage(const std::string& text) { return {2, {}, text + "\nusage:\n\tzpool ...\n"}; }

Space pool_space(HostCall& call, const ZPool& pool) {
  Backing root;
  root.kind = "zfs";
  root.node = call.node.name;
  root.path = pool.name;
  return space_of(call.world, root);
}

bool has_flag(const std::vector<std::string>& argv, char flag) {
  return std::any_of(argv.begin() + 2, argv.end(), [&](const std::string& word) {
    return word.size() > 1 && word.front() == '-' && word.find(flag) != std::string::npos;
  });
}

std::string columns_of(const std::vector<std::string>& argv) {
  const auto at = std::find(argv.begin(), argv.end(), "-o");
  return at != argv.end() && at + 1 != argv.end() ? *(at + 1) : std::string();
}

/// Words behind the options.
std::vector<std::string> operands(const std::vector<std::string>& argv) {
  std::vector<std::string> words;
  for (std::size_t at = 2; at < argv.size(); ++at) {
    if (argv[at] == "-o")
      ++at;
    else if (argv[at].front() != '-')
      words.push_back(argv[at]);
  }
  return words;
}

HostAnswer list(HostCall& call) {
  if (!has_flag(call.argv, 'H')) return usage("the stand-in prints only -H");
  std::string columns = columns_of(call.argv);
  if (columns.empty())
    columns = "name,size,allocated,free,checkpoint,expandsize,fragmentation,capacity,dedupratio,health,altroot";
  HostAnswer answer;
  const std::vector<std::string> names = operands(call.argv);
  for (const std::string& name : names)
    if (!call.node.pools.contains(name)) {
      answer.exit_code = 1;
      answer.err += "cannot open '" + name + "': no such pool\n";
    }
  for (const auto& [name, pool] : call.node.pools) {
    if (!names.empty() && std::find(names.begin(), names.end(), name) == names.end()) continue;
    // Fact: size and alloc of a pool are raw, those of RAIDZ with parity; the stand-in keeps usable bytes.
    const Space space = pool_space(call, pool);
    const std::int64_t used = std::min(space.used, pool.size);
    const std::int64_t capacity = pool.size == 0 ? 0 : used * 100 / pool.size;
    std::string row;
    for (const std::string& column : split_at(columns, ',')) {
      const std::string value = column == "name"            ? name
                                : column == "size"          ? std::to_string(pool.size)
                                : column == "allocated"     ? std::to_string(used)
                                : column == "free"          ? std::to_string(pool.size - used)
                                : column == "fragmentation" ? std::to_string(pool.frag)
                                : column == "capacity"      ? std::to_string(capacity)
                                : column == "dedupratio"    ? fixed_2(pool.dedup)
                                : column == "health"        ? pool.health
                                                            : std::string("-");
      row += (row.empty() ? "" : "\t") + value;
    }
    answer.out += row + "\n";
  }
  return answer;
}

HostAnswer get(HostCall& call) {
  const std::vector<std::string> words = operands(call.argv);
  if (!has_flag(call.argv, 'H') || columns_of(call.argv) != "name,property,value" || words.empty())
    return usage("the stand-in prints only -Hp -o name,property,value");
  HostAnswer answer;
  if (words.size() == 3 && words[2] == "all-vdevs" && words[0] == "ashift") {
    const auto pool = call.node.pools.find(words[1]);
    if (pool == call.node.pools.end()) return refuse(1, "cannot open '" + words[1] + "': no such pool");
    answer.out = "root-0\tashift\t-\n";
    for (const SimVdev& vdev : vdevs_of(pool->second)) {
      const std::string ashift = std::to_string(vdev.ashift);
      if (!vdev.group.empty()) answer.out += vdev.group + "\tashift\t" + ashift + "\n";
      for (const std::string& device : vdev.devices)
        answer.out += device.substr(device.rfind('/') + 1) + "\tashift\t" + ashift + "\n";
    }
    return answer;
  }
  for (const auto& [name, pool] : call.node.pools) {
    if (words.size() > 1 && std::find(words.begin() + 1, words.end(), name) == words.end()) continue;
    for (const std::string& property : split_at(words[0], ',')) {
      const std::string value = property == "autotrim"   ? (pool.autotrim ? "on" : "off")
                                : property == "readonly" ? "off"
                                : property == "ashift"   ? "0"
                                                         : "";
      if (value.empty()) return usage("bad property list: invalid property '" + property + "'");
      answer.out += name + "\t" + property + "\t" + value + "\n";
    }
  }
  return answer;
}

// Facts: one property at a time; a refused value ends with code 1.
HostAnswer set(HostCall& call) {
  if (call.argv.size() < 3 || call.argv[2].find('=') == std::string::npos)
    return usage("missing property=value argument");
  if (call.argv.size() < 4) return usage("missing pool name");
  if (call.argv.size() > 4) return usage("too many pool names");
  const auto equals = call.argv[2].find('=');
  const std::string name = call.argv[2].substr(0, equals);
  const std::string value = call.argv[2].substr(equals + 1);
  const auto pool = call.node.pools.find(call.argv[3]);
  if (pool == call.node.pools.end()) return refuse(1, "cannot open '" + call.argv[3] + "': no such pool");
  const std::string cannot = "cannot set property for '" + call.argv[3] + "': ";
  if (name != "autotrim") return refuse(1, cannot + "invalid property '" + name + "'");
  if (value != "on" && value != "off") return refuse(1, cannot + "'autotrim' must be one of 'off | on'");
  pool->second.autotrim = value == "on";
  return {};
}

// A scrub takes its time on a real pool; here it has ended at once.
HostAnswer scrub(HostCall& call) {
  if (call.argv.size() != 3) return usage("missing pool name argument");
  const auto pool = call.node.pools.find(call.argv[2]);
  if (pool == call.node.pools.end()) return refuse(1, "cannot open '" + call.argv[2] + "': no such pool");
  pool->second.scrub_age = 0;
  return {};
}

std::string date_text(std::int64_t seconds) {
  const auto time = static_cast<std::time_t>(seconds);
  std::tm parts{};
  gmtime_r(&time, &parts);
  std::array<char, 64> buffer{};
  std::strftime(buffer.data(), buffer.size(), "%a %b %e %H:%M:%S %Y", &parts);
  return buffer.data();
}

HostAnswer status(HostCall& call) {
  HostAnswer answer;
  for (const auto& [name, pool] : call.node.pools) {
    std::string text =
        (answer.out.empty() ? "" : "\n") + std::string("  pool: ") + name + "\n state: " + pool.health + "\n";
    if (pool.scrub_age)
      text += "  scan: scrub repaired 0 in 00:12:34 with " + std::to_string(pool.errors) + " errors on " +
              date_text(call.world.now_seconds() - *pool.scrub_age) + "\n";
    text += "config:\n\n\tNAME  STATE  READ  WRITE  CKSUM\n\t" + name + "  " + pool.health + "  0  0  0\n";
    const std::string trim =
        pool.trim_age ? "  (100% trimmed, completed at " + date_text(call.world.now_seconds() - *pool.trim_age) + ")"
                      : "  (untrimmed)";
    std::string role;
    for (const SimVdev& vdev : vdevs_of(pool)) {
      if (vdev.role != role) text += "\t" + vdev.role + "\n";
      role = vdev.role;
      const bool plain = vdev.role == "cache" || vdev.role == "spares";
      if (!vdev.group.empty()) text += "\t  " + vdev.group + "  " + pool.health + "  0  0  0\n";
      for (const std::string& device : vdev.devices)
        text += (vdev.group.empty() ? "\t  " : "\t    ") + device +
                (vdev.role == "spares" ? "  AVAIL" : "  ONLINE  0  0  0") + (plain ? "" : trim) + "\n";
    }
    text += "\nerrors: " +
            (pool.errors == 0 ? std::string("No known data errors")
                              : std::to_string(pool.errors) + " data errors, use '-v' for a list") +
            "\n";
    answer.out += text;
  }
  if (answer.out.empty()) answer.out = "no pools available\n";
  return answer;
}

}  // namespace

std::vector<SimVdev> vdevs_of(const ZPool& pool) {
  std::vector<SimVdev> found;
  int disk = 0;
  int number = 0;
  const auto add = [&](const std::string& role, const std::string& layout, int disks, int ashift, std::int64_t size,
                       const std::string& media) {
    const std::string kind = layout == "raid10" ? "mirror" : layout == "raidz" ? "raidz1" : layout;
    const int group = layout == "raid10" ? 2 : layout == "single" ? 1 : disks;
    for (int left = disks; left > 0; left -= group) {
      SimVdev vdev{.role = role, .ashift = ashift, .disk_size = size, .media = media};
      if (layout != "single") vdev.group = kind + "-" + std::to_string(number++);
      for (int i = 0; i < std::min(group, left); ++i)
        vdev.devices.push_back((media == "nvme" ? "/dev/nvme" : "/dev/sd-") + pool.name + "-" + std::to_string(disk++));
      found.push_back(std::move(vdev));
    }
  };
  const int parity = pool.layout == "raidz" ? 1 : pool.layout == "raidz2" ? 2 : pool.layout == "raidz3" ? 3 : 0;
  const std::int64_t width = pool.layout == "mirror"   ? 1
                             : pool.layout == "raid10" ? std::max(pool.disks / 2, 1)
                                                       : std::max(pool.disks - parity, 1);
  add("", pool.layout, pool.disks, pool.ashift, pool.disk_size > 0 ? pool.disk_size : pool.size / width, pool.media);
  for (const PoolVdev& extra : pool.vdevs)
    add(extra.role, extra.layout, extra.disks, extra.ashift, extra.disk_size, extra.media);
  return found;
}

HostAnswer run_zpool(HostCall& call) {
  if (call.argv.size() < 2) return usage("missing command");
  const std::string& verb = call.argv[1];
  if (verb == "list") return list(call);
  if (verb == "get") return get(call);
  if (verb == "status") return status(call);
  if (verb == "set") return set(call);
  if (verb == "scrub") return scrub(call);
  return usage("unrecognized command '" + verb + "'");
}

}  // namespace pvesim
