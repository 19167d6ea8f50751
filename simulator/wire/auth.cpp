#include "simulator/wire/auth.h"

#include <array>
#include <cstdio>
#include <vector>

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "simulator/wire/access.h"
#include "simulator/wire/decode.h"
#include "simulator/world/world.h"

namespace pvesim {
namespace {

constexpr std::int64_t kTicketLifetime = 7200;
constexpr std::int64_t kClockSkew = 300;  // a ticket may come from this far in the future

std::string hex_time(std::int64_t seconds) {
  std::array<char, 24> text{};
  const int size = std::snprintf(text.data(), text.size(), "%08llX", static_cast<unsigned long long>(seconds));
  return {text.data(), static_cast<std::size_t>(size)};
}

std::optional<std::int64_t> parse_hex_time(std::string_view text) {
  if (text.empty() || text.size() > 12) return std::nullopt;
  std::int64_t value = 0;
  for (const char c : text) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
    if (digit < 0) return std::nullopt;
    value = value * 16 + digit;
  }
  return value;
}

bool in_time(std::int64_t issued, std::int64_t now) {
  return now - issued <= kTicketLifetime && issued - now <= kClockSkew;
}

/// Fact: `KEY=value` or `KEY value` at the begin or after white space, up to the next ';'; percent-encoding is undone.
std::string extract_value(std::string_view header, std::string_view key) {
  std::size_t at = 0;
  while ((at = header.find(key, at)) != header.npos) {
    const std::size_t end = at + key.size();
    const bool begins = at == 0 || header[at - 1] == ' ' || header[at - 1] == '\t';
    if (begins && end < header.size() && (header[end] == '=' || header[end] == ' ')) {
      const std::string_view rest = header.substr(end + 1);
      return percent_decode(rest.substr(0, rest.find(';')), false);
    }
    at = end;
  }
  return {};
}

bool needs_no_login(std::string_view method, std::string_view path) {
  if (path == "/access/ticket") return method == "GET" || method == "POST";
  return path == "/access/domains" && method == "GET";
}

}  // namespace

std::string Tickets::sign(std::string_view text) const {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  const std::vector<unsigned char> input(text.begin(), text.end());
  HMAC(EVP_sha512(), key_.data(), static_cast<int>(key_.size()), input.data(), input.size(), digest.data(), &size);
  std::array<unsigned char, EVP_MAX_MD_SIZE * 2> base64{};
  const int length = EVP_EncodeBlock(base64.data(), digest.data(), static_cast<int>(size));
  return {base64.begin(), base64.begin() + length};
}

std::string Tickets::issue(std::string_view user, std::int64_t now) const {
  const std::string plain = "PVE:" + std::string(user) + ":" + hex_time(now);
  return plain + "::" + sign(plain);
}

std::optional<std::string> Tickets::verify(std::string_view ticket, std::int64_t now) const {
  const auto mark = ticket.find("::");
  if (mark == ticket.npos || ticket.substr(0, 4) != "PVE:") return std::nullopt;
  const std::string_view plain = ticket.substr(0, mark);
  const auto colon = plain.rfind(':');
  if (colon < 4 || sign(plain) != ticket.substr(mark + 2)) return std::nullopt;
  const auto issued = parse_hex_time(plain.substr(colon + 1));
  if (!issued || !in_time(*issued, now)) return std::nullopt;
  return std::string(plain.substr(4, colon - 4));
}

std::string Tickets::issue_csrf(std::string_view user, std::int64_t now) const {
  const std::string time = hex_time(now);
  return time + ":" + sign("csrf:" + time + ":" + std::string(user));
}

bool Tickets::verify_csrf(std::string_view user, std::string_view token, std::int64_t now) const {
  const auto colon = token.find(':');
  if (colon == token.npos) return false;
  const std::string_view time = token.substr(0, colon);
  const auto issued = parse_hex_time(time);
  return issued && in_time(*issued, now) &&
         token.substr(colon + 1) == sign("csrf:" + std::string(time) + ":" + std::string(user));
}

Session authenticate(const World& world, const Tickets& tickets, const Request& request,
                     std::string_view relative_path) {
  const std::string authorization = header_of(request, "Authorization");
  std::string ticket = extract_value(header_of(request, "Cookie"), "PVEAuthCookie");
  if (ticket.empty()) ticket = extract_value(authorization, "PVEAuthCookie");
  const std::string api_token = ticket.empty() ? extract_value(authorization, "PVEAPIToken") : std::string{};
  const std::int64_t now = world.now_seconds();
  Session session;
  if (needs_no_login(request.method, relative_path)) {
    // Nobody is logged in here; what a token header says is only remembered so that the method can refuse tokens.
    if (!api_token.empty()) session.token = api_token.substr(0, api_token.find('='));
    return session;
  }
  if (!api_token.empty()) {
    const std::string id = world.access.verify_token(api_token, now);
    if (id.empty()) throw AuthFailure{"Authentication failed!"};
    const auto mark = id.rfind('!');
    session.user = id.substr(0, mark);
    session.token = id.substr(mark + 1);
    return session;
  }
  if (ticket.empty()) throw AuthFailure{"No ticket"};
  const auto user = tickets.verify(ticket, now);
  if (!user || !world.access.usable(*user, now)) throw AuthFailure{"Authentication failed!"};
  session.user = *user;
  if (request.method != "GET" && !tickets.verify_csrf(*user, header_of(request, "CSRFPreventionToken"), now))
    throw AuthFailure{"Permission denied - invalid csrf token"};
  return session;
}

std::string log_in(const World& world, const Tickets& tickets, std::string_view user,
                   std::string_view password_or_ticket) {
  const std::int64_t now = world.now_seconds();
  const std::string name(user);
  if (world.access.usable(name, now)) {
    // Fact: a valid ticket serves as the password of its user; root's ticket for everybody.
    if (const auto owner = tickets.verify(password_or_ticket, now); owner && (*owner == "root@pam" || *owner == name))
      return name;
    const std::string& password = world.access.users.at(name).password;
    if (!password.empty() && password == password_or_ticket) return name;
  }
  throw ApiError{401, "authentication failure", {}};
}

}  // namespace pvesim
