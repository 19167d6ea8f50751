#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace pvesim {

/// One HTTP request as it came off the wire. `path` is percent-encoded as sent, without the query.
struct Request {
  std::string method = {};
  std::string path = {};
  std::string query = {};
  std::vector<std::pair<std::string, std::string>> headers = {};  // names as sent
  std::string body = {};
  std::string node = {};  // the node whose pveproxy took the request; empty = the first online node
};

/// What happens to the connection instead of, or after, the answer.
enum class Delivery : std::uint8_t {
  kAnswer,         // the response travels
  kLost,           // the effect happened, the connection is cut before any answer byte
  kReset,          // cut before the request was looked at: no effect
  kConnectRefused  // as if nothing listened: no effect
};

/// One HTTP answer. `reason` is the status line's text: PVE puts the first line of the error there.
struct Response {
  int status = 200;
  std::string reason = "OK";
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};
  bool close = false;  // PVE closes after any status >= 400
  Delivery delivery = Delivery::kAnswer;
};

}  // namespace pvesim
