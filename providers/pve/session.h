#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <mutex>
#include <nlohmann/json_fwd.hpp>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "providers/pve/connection_options.h"
#include "providers/pve/http_transport.h"
#include "reconciler/ports/clock.h"

namespace pvr {

/// A path below /api2/json with what stands in its braces, in order.
struct ApiPath {
  std::string_view pattern = {};  // static: "/nodes/{node}/qemu/{vmid}/config"
  std::vector<std::string> values = {};
};

/// Requests with authentication, endpoint failover, retries of GETs and counters. Safe to use from several threads.
class Session {
 public:
  Session(ConnectionOptions options, std::unique_ptr<HttpTransport> transport, Clock& clock, std::stop_token stop);
  /// The `data` of the answer. Reads are repeated with back-off while it can help.
  [[nodiscard]] Result<nlohmann::json> get(const ApiPath& path, FormFields query = {});
  /// Sends once to an endpoint that accepts connections; sends again only what certainly never arrived (no connection;
  /// 401 with a ticket that ran out).
  [[nodiscard]] Result<nlohmann::json> write(std::string_view method, const ApiPath& path, FormFields fields = {});
  [[nodiscard]] std::map<std::pair<std::string, std::string>, std::uint64_t> request_counts() const;

 private:
  struct Ticket {
    std::shared_ptr<const Secret> cookie = {};
    std::shared_ptr<const Secret> csrf = {};
    std::chrono::steady_clock::time_point taken = {};
  };
  [[nodiscard]] std::vector<std::string> candidates();
  void remember(const std::string& endpoint, bool alive);
  void count(std::string_view method, std::string_view pattern);
  /// Tries endpoint after endpoint until one takes the request.
  [[nodiscard]] Result<HttpResponse> send_somewhere(const HttpRequest& request, std::string_view pattern);
  /// Adds who we are. With a password: logs in first when there is no fresh ticket.
  [[nodiscard]] Status authenticate(HttpRequest& request);
  [[nodiscard]] Result<Ticket> log_in();
  void forget_ticket(const HttpRequest& request);
  [[nodiscard]] Result<HttpResponse> send_authenticated(HttpRequest request, std::string_view pattern);

  ConnectionOptions options_;
  std::unique_ptr<HttpTransport> transport_;
  Clock& clock_;
  std::stop_token stop_;
  std::shared_ptr<const Secret> token_;
  std::mutex login_mutex_;  // one login at a time; never taken while mutex_ is held
  mutable std::mutex mutex_;
  Ticket ticket_;
  std::size_t preferred_ = 0;
  std::map<std::string, std::chrono::steady_clock::time_point> dead_until_;
  std::map<std::pair<std::string, std::string>, std::uint64_t> counts_;
};

}  // namespace pvr
