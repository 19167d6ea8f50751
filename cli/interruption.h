#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <thread>

namespace pvr::cli {

/// While it lives, SIGINT and SIGTERM ask for a stop instead of ending the process. Make it before any other thread:
/// threads inherit the blocked signals. `tell` is called from another thread with what to say about the first and every
/// further signal.
class Interruption {
 public:
  explicit Interruption(std::function<void(const std::string&)> tell);
  ~Interruption();
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;
  [[nodiscard]] std::stop_token token() const { return source_.get_token(); }
  [[nodiscard]] bool requested() const { return source_.stop_requested(); }

 private:
  std::stop_source source_;
  std::jthread watcher_;
};

}  // namespace pvr::cli
