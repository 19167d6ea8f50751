#include "simulator/host/host_command.h"

#include <algorithm>
#include <map>

#include "simulator/host/layout.h"
#include "simulator/world/text.h"
#include "simulator/world/vm_config.h"

namespace pvesim {
namespace {

HostAnswer unknown(const std::string& program) { return refuse(127, "sh: 1: " + program + ": not found"); }

/// Words of a line, single quotes heeded.
std::vector<std::string> words_of(std::string_view line) {
  std::vector<std::string> words;
  std::string word;
  bool inside = false;
  bool any = false;
  for (const char c : line) {
    if (c == '\'') {
      inside = !inside;
      any = true;
    } else if (c == ' ' && !inside) {
      if (any) words.push_back(word);
      word.clear();
      any = false;
    } else {
      word += c;
      any = true;
    }
  }
  if (any) words.push_back(word);
  return words;
}

std::string meminfo(const Node& node) {
  const auto kib = [](std::int64_t bytes) { return std::to_string(bytes / 1024); };
  return "MemTotal:       " + kib(node.memory) + " kB\nMemFree:        " + kib(node.memory / 2) +
         " kB\nMemAvailable:   " + kib(node.memory / 2) + " kB\n";
}

// Fact (PVE): an installation on ZFS limits the ARC to a tenth of the memory, at most 16 GiB; OpenZFS itself takes
// half.
std::int64_t arc_max(const Node& node) { return node.host.arc_max > 0 ? node.host.arc_max : node.memory / 2; }

std::int64_t arc_min(const Node& node) { return node.host.arc_min > 0 ? node.host.arc_min : node.memory / 32; }

std::string arcstats(const Node& node) {
  const std::int64_t most = arc_max(node);
  const std::int64_t least = arc_min(node);
  return "13 1 0x01 147 39984 5136128331 91840274218\nname                            type data\nhits                  "
         "          4    123456\nsize                            4    " +
         std::to_string(most * 9 / 10) + "\nc_min                           4    " + std::to_string(least) +
         "\nc_max                           4    " + std::to_string(most) + "\n";
}

HostAnswer cat(HostCall& call) {
  const std::string& file = call.argv.back();
  const bool zfs = !call.node.pools.empty();
  if (file == "/sys/module/zfs/version" && zfs) return {0, call.node.zfs_version + "-pve1\n", {}};
  if (file == "/proc/meminfo") return {0, meminfo(call.node), {}};
  if (file == "/proc/spl/kstat/zfs/arcstats" && zfs) return {0, arcstats(call.node), {}};
  if (file == "/proc/swaps") {
    std::string out = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
    for (const HostSwap& swap : call.node.host.swaps)
      out +=
          swap.device + "                               partition\t" + std::to_string(swap.size / 1024) + "\t0\t-2\n";
    return {0, out, {}};
  }
  return refuse(1, "cat: " + file + ": No such file or directory");
}

HostAnswer findmnt(HostCall& call) {
  std::string out;
  if (!call.node.filesystems.contains("/")) out += "/ /dev/mapper/pve-root ext4\n";
  for (const auto& [path, filesystem] : call.node.filesystems)
    out += path + " " + (filesystem.dataset.empty() ? "/dev/disk" + path : filesystem.dataset) + " " + filesystem.type +
           "\n";
  for (const auto& [name, pool] : call.node.pools)
    for (const std::string& dataset : pool.datasets) out += "/" + dataset + " " + dataset + " zfs\n";
  return {0, out, {}};
}

HostAnswer lsblk(HostCall& call) {
  std::string out;
  for (const auto& [name, pool] : call.node.pools)
    for (const SimVdev& vdev : vdevs_of(pool))
      for (const std::string& device : vdev.devices)
        out += device + " disk " + (vdev.media == "hdd" ? "1" : "0") + " " + std::to_string(vdev.disk_size) + "\n";
  return {0, out, {}};
}

std::string parameters(const Node& node) {
  std::map<std::string, std::string> all = {{"zfs_arc_max", std::to_string(node.host.arc_max)},
                                            {"zfs_arc_min", std::to_string(node.host.arc_min)},
                                            {"zfs_dirty_data_max", "4294967296"},
                                            {"zfs_dio_enabled", "1"},
                                            {"zfs_prefetch_disable", "0"},
                                            {"zfs_txg_timeout", "5"},
                                            {"zvol_use_blk_mq", "0"}};
  for (const auto& [name, value] : node.host.parameters) all[name] = value;
  std::string out;
  for (const auto& [name, value] : all) out += "/sys/module/zfs/parameters/" + name + ":" + value + "\n";
  return out;
}

/// Fact (systemd 252 to 257): list-unit-files knows an instance by its template only, which is "indirect" when one is
/// enabled; the instance shows as a link below a .wants directory.
HostAnswer enabled_timers(HostCall& call) {
  std::string units;
  std::string links;
  for (const std::string& timer : call.node.host.timers) {
    if (timer.find('@') == std::string::npos) units += timer + " enabled enabled\n";
    if (timer.find("trim") != std::string::npos) links += timer + "\n";
  }
  return {0, units + links, {}};
}

/// A function of the reading script, by its name.
std::optional<HostAnswer> script_function(HostCall& call, const std::string& name) {
  if (name == "vdevs") {
    HostAnswer answer;
    for (const auto& [pool, what] : call.node.pools) {
      HostCall inner{
          call.world, call.node, {"zpool", "get", "-Hp", "-o", "name,property,value", "ashift", pool, "all-vdevs"}};
      answer.out += "pool\t" + pool + "\n" + run_zpool(inner).out;
    }
    return answer;
  }
  if (name == "tools") {
    std::string out;
    for (const std::string& tool : call.node.host.tools) out += tool + "\n";
    return HostAnswer{0, out, {}};
  }
  if (name == "parameters") return HostAnswer{0, parameters(call.node), {}};
  if (name == "modprobe_options") {
    std::string out;
    for (const auto& [path, text] : call.node.host.modprobe)
      for (const std::string& line : split_at(text, '\n'))
        if (ends_with(path, ".conf") && starts_with(line, "options "))
          out.append(path).append(":").append(line) += "\n";
    return HostAnswer{0, out, {}};
  }
  if (name == "enabled_timers") return enabled_timers(call);
  if (name == "trim_jobs") return HostAnswer{0, call.node.host.trim_cron ? "/etc/cron.d/zfsutils-linux\n" : "", {}};
  return std::nullopt;
}

HostAnswer script(HostCall& call) {
  if (call.argv.size() != 1) return refuse(2, "the stand-in runs only a script on its standard input");
  HostAnswer answer;
  for (const std::string& line : split_at(call.input, '\n')) {
    if (!starts_with(line, "part ")) continue;
    std::vector<std::string> words = words_of(line);
    if (words.size() < 3) continue;
    const std::string name = words[1];
    words.erase(words.begin(), words.begin() + 2);
    const auto known = script_function(call, words.front());
    const HostAnswer part = known ? *known : run_host_command({call.world, call.node, std::move(words)});
    answer.out += "@@ " + name + "\n" + part.out + "\n@@= " + std::to_string(part.exit_code) + "\n";
  }
  answer.out += "@@ end\n@@= 0\n";
  return answer;
}

HostAnswer grep(HostCall& call) {
  // "grep -ar --include=*.conf ^ /etc/pve/nodes": every line of the guests' files.
  if (call.argv.back() != "/etc/pve/nodes")
    return refuse(2, "grep: " + call.argv.back() + ": No such file or directory");
  HostAnswer answer{1, {}, {}};
  for (const auto& [vmid, vm] : call.world.vms) {
    const std::string file = "/etc/pve/nodes/" + vm.node + "/" + (vm.type == "lxc" ? "lxc" : "qemu-server") + "/" +
                             std::to_string(vmid) + ".conf";
    std::string text = render_vm_config(vm.config);
    if (!text.empty() && text.back() == '\n') text.pop_back();
    if (text.empty()) continue;
    for (const std::string& line : split_at(text, '\n')) answer.out += file + ":" + line + "\n";
    answer.exit_code = 0;
  }
  return answer;
}

HostAnswer udevadm(HostCall& call) {
  if (call.argv.size() < 2 || call.argv[1] != "settle") return refuse(1, "udevadm: unknown command");
  // What was made or renamed gets its link now; waiting for that takes its time.
  VirtualTime latest = call.world.now();
  for (const auto& [key, backing] : call.world.backings) {
    if (backing.node != call.node.name) continue;
    for (const auto& [name, volume] : backing.volumes) latest = std::max(latest, volume.unsettled_until);
  }
  (void)call.world.wait_until([] { return false; }, latest);
  return {};
}

/// systemctl enable|disable --now UNIT. Facts: zfsutils-linux has the templates of zfs, util-linux fstrim.timer; enable
/// tells of the link on stderr; a unit that is enabled or disabled already is no failure.
HostAnswer systemctl(HostCall& call) {
  const std::vector<std::string>& argv = call.argv;
  const bool enable = argv.size() == 4 && argv[1] == "enable";
  if (argv.size() != 4 || argv[2] != "--now" || (!enable && argv[1] != "disable"))
    return refuse(1, "the stand-in knows systemctl enable --now UNIT and disable --now UNIT");
  const std::string& unit = argv[3];
  const auto at = unit.find('@');
  const std::string file = at == std::string::npos ? unit : unit.substr(0, at + 1) + ".timer";
  static constexpr std::string_view kFiles[] = {"fstrim.timer", "zfs-trim-weekly@.timer", "zfs-trim-monthly@.timer",
                                                "zfs-scrub-weekly@.timer", "zfs-scrub-monthly@.timer"};
  const bool instance = at == std::string::npos || at + 1 + std::string_view(".timer").size() < unit.size();
  if (std::find(std::begin(kFiles), std::end(kFiles), file) == std::end(kFiles) || !instance)
    return refuse(1, "Failed to " + argv[1] + " unit: Unit file " + file + " does not exist.");
  std::vector<std::string>& timers = call.node.host.timers;
  const auto found = std::find(timers.begin(), timers.end(), unit);
  const std::string link = "/etc/systemd/system/timers.target.wants/" + unit;
  if (enable && found == timers.end()) {
    timers.push_back(unit);
    return {0, {}, "Created symlink " + link + " \u2192 /usr/lib/systemd/system/" + file + ".\n"};
  }
  if (!enable && found != timers.end()) {
    timers.erase(found);
    return {0, {}, "Removed \"" + link + "\".\n"};
  }
  return {};
}

/// Facts (OpenZFS 2.2 and later, arc_tuning_update): every write to a limit looks at both parameters. The minimum is
/// taken when it is at least 32 MiB and not above the maximum, then the maximum when it is at least 64 MiB, below the
/// memory and above the minimum. One that is not taken is ignored: the write succeeds and the parameter shows it.
void tune_arc(Node& node) {
  const auto parameter = [&node](const char* name) -> std::int64_t {
    const auto at = node.host.parameters.find(name);
    return at == node.host.parameters.end() ? 0 : std::stoll(at->second);
  };
  std::int64_t most = arc_max(node);
  std::int64_t least = arc_min(node);
  const std::int64_t wanted_least = parameter("zfs_arc_min");
  if (wanted_least >= 32LL << 20 && wanted_least <= most) least = wanted_least;
  const std::int64_t wanted_most = parameter("zfs_arc_max");
  if (wanted_most >= 64LL << 20 && wanted_most < node.memory && wanted_most > least) most = wanted_most;
  node.host.arc_max = most;
  node.host.arc_min = least;
}

/// Puts `text` into a file; "" or why not. Only what the commands here are used for can be written.
std::string write_file(Node& node, const std::string& path, const std::string& text, bool append) {
  static const std::string kParameters = "/sys/module/zfs/parameters/";
  if (starts_with(path, kParameters)) {
    const std::string name = path.substr(kParameters.size());
    if (node.pools.empty() || parameters(node).find("/" + name + ":") == std::string::npos) return "Permission denied";
    std::string value = text;
    while (ends_with(value, "\n")) value.pop_back();
    if (value.size() > 18 || !all_digits(value) || value.empty()) return "Invalid argument";
    node.host.parameters[name] = value;
    if (name == "zfs_arc_max" || name == "zfs_arc_min") tune_arc(node);
    return {};
  }
  static const std::string kModprobe = "/etc/modprobe.d/";
  if (!starts_with(path, kModprobe) || path.find('/', kModprobe.size()) != std::string::npos)
    return "No such file or directory";
  std::string& file = node.host.modprobe[path];
  file = append ? file + text : text;
  return {};
}

HostAnswer tee(HostCall& call) {
  const bool append = call.argv.size() == 3 && call.argv[1] == "-a";
  if (call.argv.size() != (append ? 3U : 2U)) return refuse(1, "the stand-in knows tee FILE and tee -a FILE");
  const std::string problem = write_file(call.node, call.argv.back(), call.input, append);
  if (!problem.empty()) return {1, call.input, "tee: " + call.argv.back() + ": " + problem + "\n"};
  return {0, call.input, {}};
}

HostAnswer dd(HostCall& call) {
  if (call.argv.size() != 4 || !starts_with(call.argv[1], "of=") || call.argv[2] != "conv=fsync" ||
      call.argv[3] != "status=none")
    return refuse(1, "the stand-in knows dd of=FILE conv=fsync status=none");
  const std::string path = call.argv[1].substr(3);
  // A command that is killed on its way leaves a part of the file.
  const std::string text = call.cut ? call.input.substr(0, call.input.size() / 2) : call.input;
  const std::string problem = write_file(call.node, path, text, false);
  return problem.empty() ? HostAnswer{} : refuse(1, "dd: failed to open '" + path + "': " + problem);
}

HostAnswer mv(HostCall& call) {
  if (call.argv.size() != 5 || call.argv[1] != "-fT" || call.argv[2] != "--")
    return refuse(1, "the stand-in knows mv -fT -- FROM TO");
  auto file = call.node.host.modprobe.extract(call.argv[3]);
  if (file.empty()) return refuse(1, "mv: cannot stat '" + call.argv[3] + "': No such file or directory");
  call.node.host.modprobe[call.argv[4]] = std::move(file.mapped());
  return {};
}

}  // namespace

HostAnswer run_host_command(HostCall call) {
  if (call.argv.size() > 3 && call.argv[0] == "sudo" && call.argv[1] == "-n" && call.argv[2] == "--")
    call.argv.erase(call.argv.begin(), call.argv.begin() + 3);
  // Fact: sudo -l COMMAND runs nothing and prints the command's path when it may be run.
  if (call.argv.size() > 4 && call.argv[0] == "sudo" && call.argv[1] == "-n" && call.argv[2] == "-l")
    return {0, "/usr/bin/" + call.argv[4] + "\n", {}};
  if (call.argv.empty()) return unknown("");
  const std::string program = call.argv.front();
  if (program == "zfs" || program == "zpool") {
    if (call.node.pools.empty()) return unknown(program);
    return program == "zfs" ? run_zfs(call) : run_zpool(call);
  }
  if (program == "uname") return {0, (call.argv.back() == "-r" ? call.node.kernel : call.node.name) + "\n", {}};
  if (program == "id") return {0, "0\n", {}};
  if (program == "sh") return script(call);
  if (program == "perl") return run_perl(call);
  if (program == "cat") return cat(call);
  if (program == "grep") return grep(call);
  if (program == "findmnt") return findmnt(call);
  if (program == "lsblk") return lsblk(call);
  if (program == "udevadm") return udevadm(call);
  if (program == "systemctl") return systemctl(call);
  if (program == "tee") return tee(call);
  if (program == "dd") return dd(call);
  if (program == "mv") return mv(call);
  if (program == "update-initramfs")
    return {0, "update-initramfs: Generating /boot/initrd.img-" + call.node.kernel + "\n", {}};
  return unknown(program);
}

}  // namespace pvesim
