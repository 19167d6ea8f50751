#include <fmt/format.h>

#include <charconv>
#include <condition_variable>
#include <fstream>
#include <mutex>
#include <ostream>
#include <string_view>

#include "cli/commands.h"
#include "cli/interruption.h"
#include "cli/simulated.h"

namespace pvr::cli {
namespace {

/// "127.0.0.1:8006" or ":8006" or "8006"; false when the port is none.
bool read_address(std::string_view text, SimulatedOptions& to) {
  const auto colon = text.rfind(':');
  const std::string_view port = colon == std::string_view::npos ? text : text.substr(colon + 1);
  if (colon != std::string_view::npos && colon > 0) to.address = text.substr(0, colon);
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), to.port);
  return error == std::errc() && end == port.data() + port.size();
}

std::string environment_of(const SimulatedCluster& cluster) {
  return fmt::format(
      "export PVERECONCILE_ENDPOINT='{}'\nexport PVERECONCILE_FINGERPRINT='{}'\nexport PVERECONCILE_TOKEN='{}={}'\n",
      cluster.url(), cluster.fingerprint(), cluster.token_id(), cluster.token_secret());
}

}  // namespace

ExitCode run_simulate(const Invocation& invocation, Terminal& terminal) {
  Interruption interruption([](const std::string&) {});
  SimulatedOptions options{.file = invocation.cluster_file, .port = 8006, .clock_scale = invocation.clock_scale};
  if (!invocation.listen.empty() && !read_address(invocation.listen, options)) {
    tell_error(invocation, terminal, fmt::format("--listen {}: not ADDRESS:PORT", invocation.listen));
    return ExitCode::kError;
  }
  const auto started = SimulatedCluster::start(options);
  if (!started) {
    terminal.err << err_options(invocation, terminal).style.red("error") << ": " << started.error().message << '\n';
    return ExitCode::kError;
  }
  const SimulatedCluster& cluster = **started;
  const std::string environment = environment_of(cluster);
  if (!invocation.environment_file.empty()) {
    std::ofstream file(invocation.environment_file, std::ios::trunc);
    file << environment;
    file.close();
    if (!file) {
      tell_error(invocation, terminal, fmt::format("{} cannot be written", invocation.environment_file));
      return ExitCode::kError;
    }
  }
  tell(invocation, terminal,
       fmt::format(
           "Simulated cluster at {}\nFingerprint {}\nIt forgets everything when it ends (Ctrl-C). In another shell:\n",
           cluster.url(), cluster.fingerprint()));
  terminal.out << environment << std::flush;

  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  (void)wake.wait(lock, interruption.token(), [] { return false; });
  return ExitCode::kDone;
}

}  // namespace pvr::cli
