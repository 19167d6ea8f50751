#include "cli/interruption.h"

#include <fmt/format.h>
#include <pthread.h>
#include <signal.h>  // NOLINT(modernize-deprecated-headers): sigtimedwait and pthread_sigmask are POSIX
#include <unistd.h>

#include <utility>

namespace pvr::cli {
namespace {

sigset_t watched_signals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  return set;
}

}  // namespace

Interruption::Interruption(std::function<void(const std::string&)> tell) {
  const sigset_t set = watched_signals();
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  watcher_ = std::jthread([this, set, tell = std::move(tell)](const std::stop_token& over) {
    int count = 0;
    const timespec slice = {.tv_sec = 0, .tv_nsec = 100'000'000};
    while (!over.stop_requested()) {
      if (sigtimedwait(&set, nullptr, &slice) < 0) continue;
      source_.request_stop();
      if (++count == 1) {
        tell("Interrupted: finishing what cannot be left half done. The next run continues from there.");
      } else {
        tell(
            fmt::format("Still finishing. To end at once: kill -9 {} (safe: the cluster itself shows the next run "
                        "where work stands).",
                        getpid()));
      }
    }
  });
}

Interruption::~Interruption() {
  watcher_.request_stop();
  watcher_.join();
  const sigset_t set = watched_signals();
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace pvr::cli
