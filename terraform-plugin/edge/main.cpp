// terraform-provider-pvereconcile: started by Terraform or OpenTofu, or with -debug by a person.

#include <fmt/format.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <iostream>
#include <string>
#include <string_view>

#include "providers/pve/connection_options.h"
#include "providers/pve/secret.h"
#include "terraform-plugin/edge/certificate.h"
#include "terraform-plugin/edge/handshake.h"
#include "terraform-plugin/edge/hclog.h"
#include "terraform-plugin/edge/server.h"
#include "terraform-plugin/provider/docs.h"
#include "terraform-plugin/provider/provider.h"

namespace pvr::tf {
namespace {

/// Becomes readable when the provider is to end. Writing to it is all a signal handler may do.
int end_notice() {
  static const int kNotice = eventfd(0, EFD_CLOEXEC);
  return kNotice;
}

void end() { static_cast<void>(eventfd_write(end_notice(), 1)); }

enum class End : std::uint8_t { kAsked, kAlone };

/// Waits until somebody asks for the end, or whoever started us is gone: a program that was killed asks for nothing,
/// but it is not our parent any more. `parent` zero: nobody started us.
End wait_for_end(pid_t parent) {
  constexpr int kLookAgain = 1000;  // ms
  pollfd notice = {.fd = end_notice(), .events = POLLIN, .revents = 0};
  while (poll(&notice, 1, kLookAgain) <= 0) {
    if (parent != 0 && getppid() != parent) return End::kAlone;
  }
  return End::kAsked;
}

/// The line that makes the CLIs show what follows to the user.
[[noreturn]] void last_words() {
  std::string what = "unknown";
  try {
    if (const auto current = std::current_exception()) std::rethrow_exception(current);
  } catch (const std::exception& fault) {
    what = fault.what();
  } catch (...) {
    what = "something that is no std::exception";
  }
  std::cerr << "panic: pvereconcile: " << what << '\n';
  std::abort();
}

int fail(std::string_view message) {
  std::cerr << message << '\n';
  return 1;
}

bool share_with_group(const std::string& socket, const std::string& group) {
  if (group.empty()) return true;
  const struct group* entry = getgrnam(group.c_str());
  const auto number = entry != nullptr ? entry->gr_gid : static_cast<gid_t>(std::strtoul(group.c_str(), nullptr, 10));
  return chown(socket.c_str(), static_cast<uid_t>(-1), number) == 0 && chmod(socket.c_str(), 0660) == 0;
}

int serve(bool debug) {
  const Environment environment = process_environment();
  const Invitation invitation = read_invitation(environment);
  if (!debug && !invitation.meant_for_us) {
    return fail(
        "This program is a Terraform and OpenTofu provider. They start it by themselves; see docs/index.md.\n"
        "With -debug it serves until Ctrl-C and says how to attach to it.");
  }
  if (!debug && !invitation.speaks_ours) return fail("This provider speaks protocol 6, and that program does not.");

  // Ctrl-C on a terminal reaches the whole process group; whoever started us says by a call what is to be done.
  if (!debug) signal(SIGINT, SIG_IGN);  // NOLINT(*-signal)
  signal(SIGPIPE, SIG_IGN);             // NOLINT(*-signal)
  const pid_t parent = debug ? 0 : getppid();
  if (end_notice() < 0) return fail("No event descriptor can be had.");
  std::set_terminate(last_words);

  const auto log = hclog(environment);
  auto place = SocketPlace::make(invitation.socket_folder);
  if (!place) return fail(place.error().text());
  const std::string client_pem = debug ? "" : invitation.client_pem;
  Certificate certificate;
  if (!client_pem.empty()) {
    auto made = make_certificate();
    if (!made) return fail(made.error().text());
    certificate = std::move(made).value();
  }
  Provider provider(open_link, environment, *log);
  const auto server =
      Server::start(provider, *log, place->path(), client_pem, certificate, debug ? [] {} : std::function<void()>(end));
  if (!server) return fail("The socket cannot be listened on: " + place->path());
  if (!share_with_group(place->path(), invitation.socket_group))
    return fail("The socket cannot be given to group " + invitation.socket_group);
  log->write(LogLevel::kInfo, "listening", {{"version", PVERECONCILE_VERSION}});
  std::cout << (debug ? reattach_line(place->path(), getpid())
                      : handshake_line(place->path(), certificate.der_base64, invitation.multiplex))
            << std::flush;

  if (debug) signal(SIGINT, [](int) { end(); });  // NOLINT(*-signal)
  signal(SIGTERM, [](int) { end(); });            // NOLINT(*-signal)
  if (wait_for_end(parent) == End::kAlone)
    log->write(LogLevel::kWarn, "the program that started this provider is gone", {});
  // What is under way ends with its current effect and gives the lease back; the server waits for it.
  provider.stop();
  return 0;
}

}  // namespace
}  // namespace pvr::tf

int main(int argc, char** argv) {
  const std::string_view word = argc > 1 ? argv[1] : "";                         // NOLINT(*-pointer-arithmetic)
  if (word == "-docs" && argc > 2) return pvr::tf::write_docs(argv[2]) ? 0 : 1;  // NOLINT(*-pointer-arithmetic)
  if (word == "-version") {
    std::cout << PVERECONCILE_VERSION "\n";
    return 0;
  }
  pvr::leave_no_core_file();
  return pvr::tf::serve(word == "-debug");
}
