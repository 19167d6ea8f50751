#include "terraform-plugin/edge/hclog.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <ctime>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>

namespace pvr::tf {
namespace {

constexpr auto kLevels = std::to_array<std::string_view>({"trace", "debug", "info", "warn", "error"});
constexpr std::size_t kSilent = kLevels.size();

std::size_t threshold(const Environment& environment) {
  for (const char* name : {"TF_LOG_PROVIDER", "TF_LOG"}) {
    const auto found = environment.find(name);
    if (found == environment.end() || found->second.empty()) continue;
    std::string word = found->second;
    for (char& c : word) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    if (word == "off") return kSilent;
    const auto level = std::ranges::find(kLevels, word);
    return level == kLevels.end() ? 0
                                  : static_cast<std::size_t>(level - kLevels.begin());  // JSON and others: everything
  }
  return kSilent;
}

/// The six digits of a second are what makes the reader take the line for one of its own.
std::string timestamp(std::chrono::system_clock::time_point now) {
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count();
  const std::time_t seconds = static_cast<std::time_t>(micros / 1'000'000);
  std::tm utc = {};
  gmtime_r(&seconds, &utc);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:06}Z", utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday,
                     utc.tm_hour, utc.tm_min, utc.tm_sec, micros % 1'000'000);
}

class Hclog final : public Log {
 public:
  explicit Hclog(std::size_t threshold) : threshold_(threshold) {}
  void write(LogLevel level, std::string_view message, const Fields& fields) override {
    if (static_cast<std::size_t>(level) < threshold_) return;
    constexpr std::size_t kLongest = 8192;  // a line over 64 KiB is taken apart
    nlohmann::json line = {{"@level", kLevels.at(static_cast<std::size_t>(level))},
                           {"@message", message.substr(0, kLongest)},
                           {"@module", "pvereconcile"},
                           {"@timestamp", timestamp(std::chrono::system_clock::now())}};
    for (const auto& [name, value] : fields) line[name] = value.substr(0, kLongest);
    std::string text = line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
    const std::scoped_lock lock(mutex_);
    for (std::string_view rest = text; !rest.empty();) {
      const auto written = ::write(STDERR_FILENO, rest.data(), rest.size());
      if (written <= 0) return;  // nobody reads any more
      rest.remove_prefix(static_cast<std::size_t>(written));
    }
  }

 private:
  std::size_t threshold_;
  std::mutex mutex_;
};

}  // namespace

std::unique_ptr<Log> hclog(const Environment& environment) { return std::make_unique<Hclog>(threshold(environment)); }

}  // namespace pvr::tf
