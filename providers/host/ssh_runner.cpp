#include "providers/host/ssh_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string_view>
#include <utility>

#include "providers/host/process.h"
#include "reconciler/base/text.h"

namespace pvr {
namespace {

constexpr int kSshTrouble = 255;

std::string last_line(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
  const auto start = text.find_last_of('\n');
  return std::string(start == std::string_view::npos ? text : text.substr(start + 1));
}

/// The address goes to ssh as a word of its own; this keeps it from being read as anything else.
bool is_address(std::string_view text) {
  return !text.empty() && text.size() < 256 && text.front() != '-' && std::ranges::all_of(text, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '.' || c == '-' ||
           c == '_' || c == ':' || c == '%';
  });
}

/// What ssh said when there was no connection.
Error no_connection(const std::string& node, const std::string& address, std::string_view said) {
  const auto has = [said](std::string_view words) { return said.find(words) != std::string_view::npos; };
  if (has("Host key verification failed") || has("REMOTE HOST IDENTIFICATION HAS CHANGED"))
    return {
        .kind = ErrorKind::kUnreachable,
        .message = fmt::format("ssh refuses the host key of node \"{}\" ({}): it is not in known_hosts or is another "
                               "one. Compare the key, then connect once by hand: ssh {}",
                               node, address, address)};
  if (has("Permission denied") || has("Too many authentication failures"))
    return {.kind = ErrorKind::kForbidden,
            .message = fmt::format("node \"{}\" ({}) refuses the login: {}", node, address, last_line(said))};
  const std::string reason = last_line(said);
  return {.kind = ErrorKind::kUnreachable,
          .message = fmt::format("no ssh connection to node \"{}\" ({}){}{}", node, address, reason.empty() ? "" : ": ",
                                 reason)};
}

/// A folder nobody else can look into. Short, because a socket's path may have 107 bytes.
Result<std::string> private_folder() {
  const char* runtime = std::getenv("XDG_RUNTIME_DIR");
  std::error_code ignored;
  std::string base = runtime != nullptr && std::filesystem::is_directory(runtime, ignored) ? runtime : "/tmp";
  if (base.size() > 50) base = "/tmp";
  std::string name = base + "/pvr-XXXXXX";
  if (::mkdtemp(name.data()) == nullptr)
    return Error{.kind = ErrorKind::kUnreachable,
                 .message = fmt::format("no folder for ssh's control sockets can be made below {}", base)};
  return name;
}

}  // namespace

SshRunner::SshRunner(SshOptions options) : options_(std::move(options)) {}

SshRunner::~SshRunner() {
  for (auto& [node, link] : links_) {
    if (!link->open) continue;
    std::vector<std::string> argv = words(*link);
    argv.insert(argv.end(), {"-O", "exit", "--", link->address});
    (void)run_process({.node = node, .argv = std::move(argv), .limit = std::chrono::seconds(5)});
  }
  std::error_code ignored;
  if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
}

std::vector<std::string> SshRunner::words(const Link& link) const {
  std::vector<std::string> argv = {options_.program, "-T"};
  const auto option = [&](std::string text) {
    argv.emplace_back("-o");
    argv.push_back(std::move(text));
  };
  option("BatchMode=yes");
  option("StrictHostKeyChecking=yes");
  option("ControlPath=" + link.socket);
  option(fmt::format("ConnectTimeout={}", options_.connect_limit.count()));
  option("ServerAliveInterval=15");
  option("ServerAliveCountMax=4");
  option("ClearAllForwardings=yes");
  option("ForwardAgent=no");
  option("PermitLocalCommand=no");
  option("RemoteCommand=none");
  option("LogLevel=ERROR");
  if (!options_.user.empty()) argv.insert(argv.end(), {"-l", options_.user});
  if (options_.port != 0) argv.insert(argv.end(), {"-p", std::to_string(options_.port)});
  return argv;
}

Result<SshRunner::Link*> SshRunner::link_to(const std::string& node) {
  const std::scoped_lock lock(mutex_);
  if (folder_.empty()) {
    auto made = private_folder();
    if (!made) return std::move(made).error();
    folder_ = std::move(made).value();
  }
  auto& link = links_[node];
  if (!link) {
    link = std::make_unique<Link>();
    const auto known = options_.addresses.find(node);
    link->address = known != options_.addresses.end() ? known->second : node;
    link->socket = fmt::format("{}/{}", folder_, links_.size());
  }
  if (!is_address(link->address))
    return Error{.kind = ErrorKind::kRejected,
                 .message = fmt::format("\"{}\" is no address for node \"{}\"", link->address, node)};
  return link.get();
}

// The connection is opened by itself, before the first command: whatever goes wrong here, no command has begun, and a
// command that is ended does not take the connection of the others along.
Status SshRunner::open(Link& link, const std::string& node) {
  const std::scoped_lock lock(link.mutex);
  if (link.open) return Done{};
  std::error_code ignored;
  if (std::filesystem::exists(link.socket, ignored)) {  // one command met trouble; the connection may be sound
    std::vector<std::string> check = words(link);
    check.insert(check.end(), {"-O", "check", "--", link.address});
    const auto alive = run_process({.node = node, .argv = std::move(check), .limit = std::chrono::seconds(5)});
    link.open = alive && alive->exit_code == 0;
    if (link.open) return Done{};
    std::filesystem::remove(link.socket, ignored);
  }
  std::vector<std::string> argv = words(link);
  argv.insert(argv.end(), {"-o", "ControlMaster=auto", "-o", "ControlPersist=60", "-f", "-N", "--", link.address});
  auto ended = run_process({.node = node, .argv = std::move(argv), .limit = options_.connect_limit * 4});
  if (!ended) {
    Error error = std::move(ended).error();
    if (error.kind == ErrorKind::kTimeout) error.kind = ErrorKind::kUnreachable;
    return std::move(error).during(fmt::format("connecting to node \"{}\" ({})", node, link.address));
  }
  if (ended->exit_code != 0) return no_connection(node, link.address, ended->err);
  link.open = true;
  return Done{};
}

Result<CommandOutput> SshRunner::run(const Command& command) {
  auto found = link_to(command.node);
  if (!found) return std::move(found).error();
  Link& link = **found;
  if (const Status opened = open(link, command.node); !opened) return Error(opened.error());
  Command local = command;
  local.argv = words(link);
  local.argv.insert(local.argv.end(), {"-o", "ControlMaster=no", "--", link.address,
                                       fmt::format("export LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin; {}; r=$?; "
                                                   "[ $r -ne 255 ] || r=254; exit $r",
                                                   quote_words(command.argv))});
  auto ended = run_process(local);
  if (!ended)
    return Error(ended.error()).during(fmt::format("running {} on node \"{}\"", command.argv.front(), command.node));
  if (ended->exit_code != kSshTrouble) return ended;
  {
    const std::scoped_lock lock(link.mutex);
    link.open = false;  // the next command looks whether there is a way
  }
  Error error = no_connection(command.node, link.address, ended->err);
  error.message = "the connection was lost: " + error.message;
  error.effect = command.acts ? Effect::kPossible : Effect::kNone;
  return error;
}

}  // namespace pvr
