#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "providers/pve/secret.h"
#include "reconciler/base/result.h"
#include "reconciler/ports/pve_api.h"

namespace pvr {

struct HttpHeader {
  std::string name = {};
  std::shared_ptr<const Secret> value = {};
};

struct HttpRequest {
  std::string method = {};  // GET POST PUT DELETE
  std::string path = {};    // percent-encoded, "/api2/json/…", no query
  FormFields fields = {};   // not encoded; the query of GET and DELETE, the form body of POST and PUT
  std::vector<HttpHeader> headers = {};
  bool sensitive = false;  // a field holds a secret: wipe copies
};

struct HttpResponse {
  int status = 0;
  std::string reason = {};
  std::string body = {};
};

/// Carries one request to one endpoint. Never repeats a request that may have arrived, never follows redirects.
class HttpTransport {
 public:
  virtual ~HttpTransport() = default;
  /// Any HTTP status is a response. Errors: kUnreachable (nothing was sent), kTls (nothing was sent), kTimeout and
  /// kServer (the connection ended before the answer), kInterrupted. `effect` is kPossible exactly when the request may
  /// have reached the other side. Safe to call from several threads.
  [[nodiscard]] virtual Result<HttpResponse> send(const std::string& endpoint, const HttpRequest& request) = 0;
};

/// Fields as application/x-www-form-urlencoded, everything but unreserved characters encoded: PVE splits at ';' and '='
/// inside values.
[[nodiscard]] std::string encode_form(const FormFields& fields);

}  // namespace pvr
