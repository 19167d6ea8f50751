#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "simulator/api/method.h"
#include "simulator/wire/message.h"

namespace pvesim {

/// Tickets and CSRF tokens. Facts: a ticket lives two hours; the CSRF token belongs to its user; both are signed.
class Tickets {
 public:
  /// `key` signs; the same key and time give the same ticket.
  explicit Tickets(std::string key) : key_(std::move(key)) {}

  [[nodiscard]] std::string issue(std::string_view user, std::int64_t now) const;
  /// The user, when the ticket is genuine and neither expired nor from the future.
  [[nodiscard]] std::optional<std::string> verify(std::string_view ticket, std::int64_t now) const;
  [[nodiscard]] std::string issue_csrf(std::string_view user, std::int64_t now) const;
  [[nodiscard]] bool verify_csrf(std::string_view user, std::string_view token, std::int64_t now) const;

 private:
  [[nodiscard]] std::string sign(std::string_view text) const;
  std::string key_;
};

/// Why a request is refused before any method is looked for: the reason phrase of the 401.
struct AuthFailure {
  std::string reason = {};
};

/// Who asks. Facts: the cookie PVEAuthCookie wins over an Authorization header; a few paths need no login; a ticket
/// needs a CSRF token on everything but GET, an API token does not.
[[nodiscard]] Session authenticate(const World& world, const Tickets& tickets, const Request& request,
                                   std::string_view relative_path);

/// The ticket part of POST /access/ticket: answers the user, or throws ApiError 401 "authentication failure".
[[nodiscard]] std::string log_in(const World& world, const Tickets& tickets, std::string_view user,
                                 std::string_view password_or_ticket);

}  // namespace pvesim
