#pragma once

#include <memory>
#include <stop_token>

#include "cli/command_line.h"
#include "cli/connect.h"
#include "cli/terminal.h"
#include "reconciler/base/result.h"
#include "reconciler/engine/engine.h"

namespace pvr::cli {

/// What the command line and the fleet say about planning. Error: a word that cannot be read.
[[nodiscard]] Result<EngineOptions> engine_options(const Invocation& invocation, const WrittenCluster& document,
                                                   const Connection& connection);

/// A connection and how to plan over it.
struct Session {
  std::unique_ptr<Connection> connection = {};
  EngineOptions options = {};

  [[nodiscard]] PveApi& pve() const { return connection->pve(); }
  [[nodiscard]] Clock& clock() const { return connection->clock(); }
};
/// `stop` ends requests under way; a run that must await its effects passes none.
[[nodiscard]] Result<Session> open_session(const Invocation& invocation, const Terminal& terminal,
                                           const WrittenCluster& document, std::stop_token stop);

/// A size limit of the fleet file, or zero.
[[nodiscard]] ByteSize size_limit(const WrittenCluster& document, std::string_view name);
/// A number of the fleet file, or `otherwise`.
[[nodiscard]] std::uint32_t number_limit(const WrittenCluster& document, std::string_view name,
                                         std::uint32_t otherwise);

}  // namespace pvr::cli
