#pragma once

#include "providers/pve/http_transport.h"
#include "reconciler/base/result.h"

namespace pvr {

/// What an answer with a status of 400 or more means. PVE has no 404 and no 409 and answers 500 to nearly everything,
/// so kinds are told by text. `write`: the request would have changed something; then `effect` says whether it may
/// have.
[[nodiscard]] Error classify_answer(const HttpResponse& response, bool write);

}  // namespace pvr
