#pragma once

#include <functional>
#include <stop_token>
#include <vector>

namespace pvr {

/// Runs all jobs on at most `workers` threads and returns when they have ended. Jobs not started when `stop` is
/// requested are left out; the answer is false then. Jobs must not throw.
bool run_parallel(const std::vector<std::function<void()>>& jobs, unsigned workers, const std::stop_token& stop);

}  // namespace pvr
