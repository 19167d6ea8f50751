#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "providers/host/command_runner.h"

namespace pvr {

struct SshOptions {
  std::string user = {};                              // empty: as the user's ssh configuration says
  int port = 0;                                       // 0: as the user's ssh configuration says
  std::map<std::string, std::string> addresses = {};  // node → host name or address; absent: the node's name
  std::string program = "ssh";                        // looked up on PATH
  std::chrono::seconds connect_limit{15};
};

/// Commands over the system's OpenSSH client: the user's configuration, agent, known_hosts and ProxyJump hold. Host
/// keys are always checked strictly, nothing is ever asked, nothing is forwarded. Each node has one connection, opened
/// at the first command and closed with this object; it ends by itself a minute after this program was killed.
///
/// A command that itself ends with 255 ends with 254 here, because 255 is how ssh tells of its own troubles.
class SshRunner final : public CommandRunner {
 public:
  explicit SshRunner(SshOptions options);
  ~SshRunner() override;
  SshRunner(const SshRunner&) = delete;
  SshRunner& operator=(const SshRunner&) = delete;
  [[nodiscard]] Result<CommandOutput> run(const Command& command) override;

 private:
  struct Link {
    std::mutex mutex = {};
    std::string address = {};
    std::string socket = {};
    bool open = false;
  };
  [[nodiscard]] Result<Link*> link_to(const std::string& node);
  [[nodiscard]] Status open(Link& link, const std::string& node);
  [[nodiscard]] std::vector<std::string> words(const Link& link) const;

  SshOptions options_;
  std::mutex mutex_ = {};
  std::string folder_ = {};  // of the control sockets; mode 0700
  std::map<std::string, std::unique_ptr<Link>> links_ = {};
};

}  // namespace pvr
