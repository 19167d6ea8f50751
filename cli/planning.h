#pragma once

#include <memory>
#include <stop_token>

#include "cli/command_line.h"
#include "cli/connect.h"
#include "cli/terminal.h"
#include "reconciler/base/result.h"
#include "reconciler/engine/engine.h"
#include "reconciler/engine/limits.h"

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

}  // namespace pvr::cli
