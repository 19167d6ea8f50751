#pragma once

#include <optional>
#include <string>

#include "providers/pve/connection_options.h"
#include "reconciler/base/result.h"

namespace pvr::tf {

// What a plugin and the program that starts it say to each other before the first call.

/// What the starting program asks for.
struct Invitation {
  bool meant_for_us = false;       // the cookie: it is a CLI, and not somebody at a shell
  bool speaks_ours = false;        // protocol 6 is among the versions it speaks
  std::string client_pem = {};     // empty: without TLS
  std::string socket_folder = {};  // empty: ours to choose
  std::string socket_group = {};
  bool multiplex = false;
};
[[nodiscard]] Invitation read_invitation(const Environment& environment);

/// The one line on standard output, with its line feed.
[[nodiscard]] std::string handshake_line(const std::string& socket, const std::string& certificate, bool multiplex);
/// For TF_REATTACH_PROVIDERS.
[[nodiscard]] std::string reattach_line(const std::string& socket, int pid);

/// A socket path in a folder of its own that only this user may enter; both go with the object. Folders that killed
/// processes of this user left behind are swept away.
class SocketPlace {
 public:
  [[nodiscard]] static Result<SocketPlace> make(const std::string& folder);
  SocketPlace(SocketPlace&& other) noexcept;
  SocketPlace& operator=(SocketPlace&&) = delete;
  SocketPlace(const SocketPlace&) = delete;
  SocketPlace& operator=(const SocketPlace&) = delete;
  ~SocketPlace();
  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  SocketPlace() = default;
  std::string folder_;
  std::string path_;
};

}  // namespace pvr::tf
