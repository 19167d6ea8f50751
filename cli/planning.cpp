#include "cli/planning.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace pvr::cli {
Result<EngineOptions> engine_options(const Invocation& invocation, const WrittenCluster& document,
                                     const Connection& connection) {
  EngineOptions options;
  const auto allowed = [&invocation](std::string_view word) {
    return std::ranges::find(invocation.allow, word) != invocation.allow.end();
  };
  options.plan.allow = {
      .restart = allowed("restart"), .offline_copy = allowed("offline-copy"), .destroy = allowed("destroy")};
  options.zfs = connection.zfs();
  options.plan.targets = invocation.targets;
  options.plan.force_capacity = invocation.force_capacity;
  options.plan.as_root = connection.as_root();
  options.plan.copy_rate = {size_limit(document, "copy_rate").bytes};
  if (!invocation.copy_rate.empty()) {
    const auto rate = parse_size(invocation.copy_rate);
    if (!rate) {
      return Error{
          .kind = ErrorKind::kRejected,
          .message = fmt::format("--copy-rate {}: not a size with a unit, such as 200MiB", invocation.copy_rate)};
    }
    options.plan.copy_rate = {rate->bytes};
  }
  options.plan.utc_offset = local_utc_offset(std::chrono::system_clock::now());
  return options;
}

Result<Session> open_session(const Invocation& invocation, const Terminal& terminal, const WrittenCluster& document,
                             std::stop_token stop) {
  auto connection = Connection::open(invocation, terminal, document, std::move(stop));
  if (!connection) return std::move(connection).error();
  auto options = engine_options(invocation, document, **connection);
  if (!options) return std::move(options).error();
  return Session{.connection = std::move(*connection), .options = std::move(*options)};
}

}  // namespace pvr::cli
