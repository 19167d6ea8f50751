#include "reconciler/observe/parallel.h"

#include <algorithm>
#include <atomic>
#include <thread>

namespace pvr {

bool run_parallel(const std::vector<std::function<void()>>& jobs, unsigned workers, const std::stop_token& stop) {
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    while (!stop.stop_requested()) {
      const std::size_t mine = next.fetch_add(1);
      if (mine >= jobs.size()) return;
      jobs[mine]();
    }
  };
  {
    std::vector<std::jthread> threads;
    const auto count = std::min<std::size_t>(std::max(1U, workers), jobs.size());
    for (std::size_t i = 1; i < count; ++i) threads.emplace_back(work);
    if (count > 0) work();
  }
  return next.load() >= jobs.size();
}

}  // namespace pvr
