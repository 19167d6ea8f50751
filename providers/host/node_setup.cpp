#include "providers/host/node_setup.h"

#include <fmt/format.h>

#include <algorithm>

namespace pvr {
namespace {

// As HostZfs runs them. In sudoers, "=", ":" and "," are escaped, and so is a "*" that means itself.
constexpr std::string_view kCommands[] = {
    "/usr/sbin/zfs set *",
    "/usr/sbin/zfs inherit *",
    "/usr/sbin/zfs create *",
    "/usr/sbin/zfs rename *",
    "/usr/sbin/zfs destroy *",
    "/usr/sbin/zfs snapshot *",
    "/usr/sbin/zpool set *",
    "/usr/bin/systemctl enable --now zfs-trim-*",
    "/usr/bin/systemctl disable --now zfs-trim-*",
    "/usr/bin/tee /sys/module/zfs/parameters/zfs_arc_max",
    "/usr/bin/tee /sys/module/zfs/parameters/zfs_arc_min",
    "/usr/bin/dd of\\=/etc/modprobe.d/pvereconcile-zfs.conf.new conv\\=fsync status\\=none",
    "/usr/bin/mv -fT -- /etc/modprobe.d/pvereconcile-zfs.conf.new /etc/modprobe.d/pvereconcile-zfs.conf",
    "/usr/bin/perl - holders *",
    "/usr/bin/perl - copy *",
    "/usr/bin/perl - compare *",
    "/usr/bin/grep -ar --include\\=\\*.conf ^ /etc/pve/nodes",
};

// Fact: what adduser of Debian accepts.
bool is_user(std::string_view name) {
  const auto legal = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'; };
  return !name.empty() && name.size() <= 32 && ((name.front() >= 'a' && name.front() <= 'z') || name.front() == '_') &&
         std::ranges::all_of(name, legal);
}

}  // namespace

Result<std::string> sudoers_text(std::string_view user) {
  if (!is_user(user))
    return Error{.kind = ErrorKind::kRejected, .message = fmt::format("\"{}\" is not the name of a user", user)};
  std::string text = fmt::format(
      "# /etc/sudoers.d/pvereconcile: what pvereconcile runs as root on this node. Check it with visudo -cf.\n"
      "# zfs and perl with root's rights can do everything root can: give this user's key to nobody whom you would "
      "not\n"
      "# make root.\n"
      "Defaults:{0} !requiretty, secure_path=\"/usr/sbin:/usr/bin:/sbin:/bin\"\n"
      "{0} ALL=(root) NOPASSWD: \\\n",
      user);
  for (const std::string_view command : kCommands)
    text += fmt::format("    {}{}\n", command, command == *std::rbegin(kCommands) ? "" : ", \\");
  return text;
}

Result<std::vector<std::string>> refused_commands(CommandRunner& runner, const std::string& node, bool sudo) {
  // One of each kind, with names that need not exist.
  static const std::vector<std::vector<std::string>> kProbes = {
      {"zfs", "set", "compression=lz4", "pool/x"},
      {"zfs", "inherit", "compression", "pool/x"},
      {"zfs", "create", "pool/x"},
      {"zfs", "rename", "pool/x", "pool/y"},
      {"zfs", "destroy", "pool/x"},
      {"zfs", "snapshot", "pool/x@y"},
      {"zpool", "set", "autotrim=on", "pool"},
      {"systemctl", "enable", "--now", "zfs-trim-monthly@pool.timer"},
      {"systemctl", "disable", "--now", "zfs-trim-monthly@pool.timer"},
      {"tee", "/sys/module/zfs/parameters/zfs_arc_max"},
      {"tee", "/sys/module/zfs/parameters/zfs_arc_min"},
      {"dd", "of=/etc/modprobe.d/pvereconcile-zfs.conf.new", "conv=fsync", "status=none"},
      {"mv", "-fT", "--", "/etc/modprobe.d/pvereconcile-zfs.conf.new", "/etc/modprobe.d/pvereconcile-zfs.conf"},
      {"perl", "-", "holders", "pool/x"},
      {"perl", "-", "copy", "pool/x", "pool/y"},
      {"perl", "-", "compare", "pool/x", "pool/y"},
      {"grep", "-ar", "--include=*.conf", "^", "/etc/pve/nodes"}};
  const auto typed = [](const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
    return text;
  };
  bool root = false;
  if (!sudo) {
    const auto who = runner.run({.node = node, .argv = {"id", "-u"}});
    if (!who) return Error(who.error());
    root = who->exit_code == 0 && who->out == "0\n";
  }
  std::vector<std::string> refused;
  for (const std::vector<std::string>& words : kProbes) {
    if (root) break;
    if (sudo) {
      std::vector<std::string> argv = {"sudo", "-n", "-l", "--"};
      argv.insert(argv.end(), words.begin(), words.end());
      const auto listed = runner.run({.node = node, .argv = std::move(argv)});
      if (!listed) return Error(listed.error());
      if (listed->exit_code == 0) continue;
    }
    refused.push_back(typed(words));
  }
  return refused;
}

const std::vector<NodePackage>& node_packages() {
  static const std::vector<NodePackage> kPackages = {
      {"openssh-server", "the connection", ""},
      {"sudo", "when cluster.ssh.user is not root", ""},
      {"zfsutils-linux", "zfs and zpool", "zfs"},
      {"perl", "the copy program and who holds a device", "perl"},
      {"udev", "device links of new volumes", "udevadm"},
      {"util-linux", "findmnt and lsblk", ""},
      {"grep", "the files of the guests", ""},
      {"coreutils", "tee, dd and mv, for the limits of the ARC", ""},
      {"systemd", "timers that trim", ""},
  };
  return kPackages;
}

}  // namespace pvr
