#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "simulator/wire/certificate.h"
#include "simulator/wire/message.h"

namespace pvesim {

struct ServerOptions {
  std::string address = "127.0.0.1";  // only loopback addresses are accepted
  std::uint16_t port = 0;             // 0: any free one
  bool tls = true;
  std::string node = {};  // the node whose pveproxy this listener is; empty: whichever is online first
  int max_connections = 500;
  int soft_connections = 480;  // from here on no connection is kept alive
  int requests_per_connection = 100;
  int idle_seconds = 5;  // real time: a client measures it on its own clock
};

/// One HTTP(S) listener in front of a handler, with pveproxy's transport rules.
/// Facts: TLS only, plain HTTP is redirected (301, other verbs than GET and HEAD 308); the connection closes after
/// every status >= 400, after 100 requests and after 5 s of silence; bodies above 512 KiB are refused unread; HTTP/1.x
/// only; no content length when there is no content. The handler runs on a pool of threads and may block. The
/// destructor closes everything and waits for running handlers.
class Server {
 public:
  using Handler = std::function<Response(const Request&)>;
  /// Binds and listens; throws std::runtime_error with the address when that fails.
  Server(ServerOptions options, const Certificate& certificate, Handler handler);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] std::uint16_t port() const;
  [[nodiscard]] int open_connections() const;
  [[nodiscard]] std::uint64_t accepted_connections() const;
  /// Stops accepting (connections are refused) or begins again on the same port: a node that is down or back.
  void set_listening(bool listening);
  void stop();

 private:
  class Core;
  std::shared_ptr<Core> core_;
};

}  // namespace pvesim
