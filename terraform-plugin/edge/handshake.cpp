#include "terraform-plugin/edge/handshake.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>
#include <utility>

namespace pvr::tf {
namespace {

constexpr std::string_view kCookie = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2";
constexpr std::string_view kPrefix = "pvereconcile-tf-";
constexpr std::size_t kLongestSocket = 107;

std::string of(const Environment& environment, std::string_view name) {
  const auto found = environment.find(name);
  return found == environment.end() ? std::string() : found->second;
}

/// Only our own, and only where no process of the number in its name is left.
void sweep(const std::filesystem::path& parent) {
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(parent, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix)) continue;
    int pid = 0;
    const char* begin = name.data() + kPrefix.size();
    const auto [end, fault] = std::from_chars(begin, name.data() + name.size(), pid);
    if (fault != std::errc{} || *end != '-' || pid <= 0) continue;
    struct stat facts = {};
    if (lstat(entry.path().c_str(), &facts) != 0 || !S_ISDIR(facts.st_mode) || facts.st_uid != geteuid()) continue;
    if (kill(pid, 0) == 0 || errno != ESRCH) continue;
    std::filesystem::remove(entry.path() / "plugin.sock", ignored);
    std::filesystem::remove(entry.path(), ignored);
  }
}

}  // namespace

Invitation read_invitation(const Environment& environment) {
  Invitation out;
  out.meant_for_us = of(environment, "TF_PLUGIN_MAGIC_COOKIE") == kCookie;
  const std::string versions = of(environment, "PLUGIN_PROTOCOL_VERSIONS");
  for (std::string_view rest = versions; !rest.empty();) {
    const auto comma = std::min(rest.find(','), rest.size());
    out.speaks_ours = out.speaks_ours || rest.substr(0, comma) == "6";
    rest.remove_prefix(std::min(comma + 1, rest.size()));
  }
  out.client_pem = of(environment, "PLUGIN_CLIENT_CERT");
  out.socket_folder = of(environment, "PLUGIN_UNIX_SOCKET_DIR");
  out.socket_group = of(environment, "PLUGIN_UNIX_SOCKET_GROUP");
  out.multiplex = !of(environment, "PLUGIN_MULTIPLEX_GRPC").empty();
  return out;
}

std::string handshake_line(const std::string& socket, const std::string& certificate, bool multiplex) {
  return fmt::format("1|6|unix|{}|grpc|{}{}\n", socket, certificate, multiplex ? "|false" : "");
}

std::string reattach_line(const std::string& socket, int pid) {
  const std::string how = fmt::format(
      "{{\"Protocol\":\"grpc\",\"ProtocolVersion\":6,\"Pid\":{},\"Test\":true,"
      "\"Addr\":{{\"Network\":\"unix\",\"String\":\"{}\"}}}}",
      pid, socket);
  // The address without a host, to Terraform and to OpenTofu.
  return fmt::format(
      "TF_REATTACH_PROVIDERS='{{\"registry.terraform.io/pvereconcile/pvereconcile\":{0},"
      "\"registry.opentofu.org/pvereconcile/pvereconcile\":{0}}}'\n",
      how);
}

Result<SocketPlace> SocketPlace::make(const std::string& folder) {
  std::error_code fault;
  std::filesystem::path parent = folder;
  if (folder.empty()) parent = std::filesystem::temp_directory_path(fault);
  if (fault) parent = "/tmp";
  // A path of a socket is short; a long TMPDIR must not make the provider useless.
  const auto fits = [](const std::filesystem::path& path) { return path.string().size() + 60 <= kLongestSocket; };
  if (!fits(parent) && folder.empty()) parent = "/tmp";
  sweep(parent);
  std::string pattern = (parent / fmt::format("{}{}-XXXXXX", kPrefix, getpid())).string();
  if (mkdtemp(pattern.data()) == nullptr) {
    return Error{.kind = ErrorKind::kBroken,
                 .message = fmt::format("no folder for the socket in {}: {}", parent.string(), std::strerror(errno))};
  }
  SocketPlace out;
  out.folder_ = pattern;
  out.path_ = pattern + "/plugin.sock";
  if (out.path_.size() > kLongestSocket)
    return Error{.kind = ErrorKind::kBroken, .message = fmt::format("{} is too long for a socket", out.path_)};
  return out;
}

SocketPlace::SocketPlace(SocketPlace&& other) noexcept
    : folder_(std::exchange(other.folder_, {})), path_(std::exchange(other.path_, {})) {}

SocketPlace::~SocketPlace() {
  if (folder_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove(path_, ignored);
  std::filesystem::remove(folder_, ignored);
}

}  // namespace pvr::tf
