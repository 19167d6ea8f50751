// Nodes: list, status, version, directory (PVE manager 9.x).

#include <array>
#include <cstdio>

#include "simulator/api/broadcast.h"
#include "simulator/api/rows.h"
#include "simulator/api/support.h"

namespace pvesim {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

std::string fixed(double value, const char* format) {
  std::array<char, 32> text{};
  const int size = std::snprintf(text.data(), text.size(), format, value);
  return {text.data(), static_cast<std::size_t>(size)};
}

/// Sixteen hex digits that stand for the commit a package was built from.
std::string repo_id(const std::string& version) { return digest_of("pve-manager " + version).substr(0, 16); }

json node_status(Call& call) {
  const Node& node = call.world.node(call.node);
  const Broadcast::Host* load = call.broadcast->host(node.name);
  const std::int64_t used = load != nullptr ? load->mem : node.memory / 20;
  const double cpu = load != nullptr ? load->cpu : 0;
  const std::string kernel_version = "#1 SMP PREEMPT_DYNAMIC PMX";
  return {{"uptime", (call.world.now() - node.booted) / 1s},
          {"idle", 0},
          {"cpu", cpu},
          {"wait", 0},
          {"loadavg", {fixed(cpu * node.cpus, "%.2f"), fixed(cpu * node.cpus, "%.2f"), fixed(cpu * node.cpus, "%.2f")}},
          {"kversion", "Linux " + node.kernel + " " + kernel_version},
          {"current-kernel",
           {{"sysname", "Linux"}, {"release", node.kernel}, {"version", kernel_version}, {"machine", "x86_64"}}},
          {"boot-info", {{"mode", "efi"}, {"secureboot", 0}}},
          {"cpuinfo",
           {{"cpus", node.cpus},
            {"cores", node.cpus / std::max(1, node.sockets)},
            {"sockets", node.sockets},
            {"model", node.cpu_model},
            {"mhz", "3000.000"},
            {"hvm", "1"},
            {"user_hz", 100},
            {"flags",
             "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse "
             "sse2 ht syscall nx lm constant_tsc nopl svm aes avx avx2"}}},
          {"memory",
           {{"total", node.memory}, {"used", used}, {"free", node.memory - used}, {"available", node.memory - used}}},
          {"swap", {{"total", 0}, {"used", 0}, {"free", 0}}},
          {"ksm", {{"shared", 0}}},
          {"rootfs",
           {{"total", node.rootfs_size},
            {"used", node.rootfs_used},
            {"free", node.rootfs_size - node.rootfs_used},
            {"avail", node.rootfs_size - node.rootfs_used}}},
          {"pveversion", "pve-manager/" + node.version + "/" + repo_id(node.version)}};
}

}  // namespace

json version_json(const Node& node) {
  const auto dot = node.version.find('.', node.version.find('.') + 1);
  return {{"version", node.version}, {"release", node.version.substr(0, dot)}, {"repoid", repo_id(node.version)}};
}

void add_node_methods(MethodTable& table) {
  MethodSpec list{.verb = "GET", .path = "/nodes"};
  list.handler = [](Call& call) {
    json out = json::array();
    for (const auto& [name, node] : call.world.nodes) {
      json row = node_row(call.world, *call.broadcast, node, has_privilege(call, "/nodes/" + name, "Sys.Audit"));
      if (!node.ssl_fingerprint.empty()) row["ssl_fingerprint"] = node.ssl_fingerprint;
      out.push_back(std::move(row));
    }
    shuffle(call.world, out);
    return out;
  };
  table.push_back(std::move(list));

  MethodSpec index{.verb = "GET", .path = "/nodes/{node}"};
  index.params = {node_param()};
  index.handler = [](Call&) {
    json out = json::array();
    for (const char* name : {"aplinfo",
                             "apt",
                             "capabilities",
                             "ceph",
                             "certificates",
                             "config",
                             "disks",
                             "dns",
                             "firewall",
                             "hardware",
                             "hosts",
                             "journal",
                             "lxc",
                             "migrateall",
                             "netstat",
                             "network",
                             "qemu",
                             "query-oci-repo-tags",
                             "query-url-metadata",
                             "replication",
                             "report",
                             "rrd",
                             "rrddata",
                             "scan",
                             "sdn",
                             "services",
                             "spiceshell",
                             "startall",
                             "status",
                             "stopall",
                             "storage",
                             "subscription",
                             "suspendall",
                             "syslog",
                             "tasks",
                             "termproxy",
                             "time",
                             "version",
                             "vncshell",
                             "vzdump",
                             "wakeonlan"})
      out.push_back({{"name", name}});
    return out;
  };
  table.push_back(std::move(index));

  MethodSpec version{.verb = "GET", .path = "/nodes/{node}/version", .proxy_to_node = true};
  version.params = {node_param()};
  version.handler = [](Call& call) { return version_json(call.world.node(call.node)); };
  table.push_back(std::move(version));

  // Fact: localtime is the epoch's seconds shifted by the zone; nodes here are at UTC.
  MethodSpec time{.verb = "GET", .path = "/nodes/{node}/time", .proxy_to_node = true};
  time.params = {node_param()};
  time.permission = needs_privilege("/nodes/{node}", "Sys.Audit");
  time.handler = [](Call& call) -> json {
    const std::int64_t now = call.world.now_seconds();
    return {{"time", now}, {"localtime", now}, {"timezone", "UTC"}};
  };
  table.push_back(std::move(time));

  MethodSpec status{.verb = "GET", .path = "/nodes/{node}/status", .proxy_to_node = true};
  status.params = {node_param()};
  status.permission = needs_privilege("/nodes/{node}", "Sys.Audit");
  status.handler = node_status;
  table.push_back(std::move(status));
}

}  // namespace pvesim
