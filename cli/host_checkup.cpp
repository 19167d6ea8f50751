#include "cli/host_checkup.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "providers/host/node_setup.h"

namespace pvr::cli {
namespace {

std::string remedy_of(const Error& error, const std::string& user, const std::string& node) {
  if (error.kind == ErrorKind::kRejected) return "state the node's own address in cluster.ssh.hosts";
  if (error.kind == ErrorKind::kForbidden)
    return fmt::format("put your public key into ~{}/.ssh/authorized_keys on {}", user, node);
  return fmt::format(
      "connect once by hand, so that the host key is known: ssh {}@{}; another address goes into "
      "cluster.ssh.hosts",
      user, node);
}

}  // namespace

void examine_hosts(ZfsReader& zfs, CommandRunner& runner, std::span<const LiveNode> nodes,
                   const WrittenCluster& cluster, DoctorReport& report) {
  const std::string user = cluster.ssh_user ? cluster.ssh_user->value : "root";
  bool reads = false;
  bool acts = true;
  for (const LiveNode& node : nodes) {
    if (!node.online) continue;
    const auto host = zfs.host(node.name);
    if (!host) {
      report.checkups.push_back({Health::kBad, "ssh", fmt::format("{}: {}", node.name, host.error().text()),
                                 remedy_of(host.error(), user, node.name)});
      report.does_not.push_back(fmt::format("what only {} itself can tell or do: no host access", node.name));
      acts = false;
      continue;
    }
    reads = true;
    report.checkups.push_back({Health::kGood, "ssh",
                               host->zfs_version.empty()
                                   ? fmt::format("{} answers; it has no ZFS", node.name)
                                   : fmt::format("{} answers: OpenZFS {}", node.name, host->zfs_version),
                               ""});
    for (const std::string& gap : host->gaps) report.checkups.push_back({Health::kWarning, "ssh", gap, ""});
    for (const NodePackage& package : node_packages()) {
      if (package.tool.empty() || (host->zfs_version.empty() && package.tool == "zfs")) continue;
      if (std::ranges::find(host->tools, package.tool) != host->tools.end()) continue;
      report.checkups.push_back({Health::kWarning, "ssh",
                                 fmt::format("{} has no {}: {}", node.name, package.tool, package.what_for),
                                 fmt::format("on {}: apt install {}", node.name, package.name)});
    }
    const auto refused = refused_commands(runner, node.name, cluster.ssh_sudo);
    if (!refused) {
      report.checkups.push_back({Health::kBad, "sudo", fmt::format("{}: {}", node.name, refused.error().text()), ""});
      acts = false;
    } else if (refused->empty()) {
      report.checkups.push_back(
          {Health::kGood, "sudo", fmt::format("{}: every command it takes may be run as root", node.name), ""});
    } else {
      acts = false;
      report.checkups.push_back({Health::kWarning, "sudo",
                                 fmt::format("{}: may not be run as root: {}", node.name, fmt::join(*refused, "; ")),
                                 cluster.ssh_sudo ? "the lines below, as /etc/sudoers.d/pvereconcile on the node"
                                                  : "state sudo: true under cluster.ssh, and put the lines below into "
                                                    "/etc/sudoers.d/pvereconcile on the node"});
      if (const auto text = sudoers_text(user)) report.sudoers = *text;
    }
  }
  if (reads) report.works.emplace_back("reading the nodes: ZFS, mounts, ARC, timers");
  if (reads && acts)
    report.works.emplace_back("changing the nodes: zvols in place, hosts:");
  else if (reads)
    report.does_not.emplace_back("changing the nodes (zvols in place, hosts:): rights to run commands are missing");
}

}  // namespace pvr::cli
