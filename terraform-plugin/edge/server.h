#pragma once

#include <functional>
#include <memory>
#include <string>

#include "terraform-plugin/edge/certificate.h"
#include "terraform-plugin/provider/log.h"
#include "terraform-plugin/provider/provider.h"

namespace pvr::tf {

/// The provider on a socket. One per process.
class Server {
 public:
  /// `client_pem` empty: without TLS; else only the owner of that certificate is let in. `on_shutdown` is called from a
  /// thread of the server when the client asks to end.
  static std::unique_ptr<Server> start(Provider& provider, Log& log, const std::string& socket,
                                       const std::string& client_pem, const Certificate& certificate,
                                       std::function<void()> on_shutdown);
  /// Ends calls that are under way after a moment.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

 private:
  struct Parts;
  explicit Server(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace pvr::tf
