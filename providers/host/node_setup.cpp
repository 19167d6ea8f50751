#include "providers/host/node_setup.h"

#include <fmt/format.h>

#include <algorithm>

namespace pvr {
namespace {

// As HostZfs runs them. In sudoers, "=", ":" and "," are escaped, and so is a "*" that means itself.
constexpr std::string_view kCommands[] = {
    "/usr/sbin/zfs set *",       "/usr/sbin/zfs inherit *",
    "/usr/sbin/zfs create *",    "/usr/sbin/zfs rename *",
    "/usr/sbin/zfs destroy *",   "/usr/sbin/zfs snapshot *",
    "/usr/bin/perl - holders *", "/usr/bin/perl - copy *",
    "/usr/bin/perl - compare *", "/usr/bin/grep -ar --include\\=\\*.conf ^ /etc/pve/nodes",
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

const std::vector<NodePackage>& node_packages() {
  static const std::vector<NodePackage> kPackages = {
      {"openssh-server", "the connection", ""},
      {"sudo", "when cluster.ssh.user is not root", ""},
      {"zfsutils-linux", "zfs and zpool", "zfs"},
      {"perl", "the copy program and who holds a device", "perl"},
      {"udev", "device links of new volumes", "udevadm"},
      {"util-linux", "findmnt and lsblk", ""},
      {"grep", "the files of the guests", ""},
  };
  return kPackages;
}

}  // namespace pvr
