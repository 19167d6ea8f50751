#pragma once

#include <memory>
#include <stop_token>

#include "providers/pve/connection_options.h"
#include "providers/pve/http_transport.h"

namespace pvr {

/// HTTPS by libcurl. At most `connections_per_endpoint` requests travel to one endpoint at a time; others wait.
/// Connections are kept, and given up before PVE would (100 requests, 5 s idle). `stop` ends waits and transfers.
[[nodiscard]] std::unique_ptr<HttpTransport> make_curl_transport(const ConnectionOptions& options,
                                                                 std::stop_token stop);

}  // namespace pvr
