#include "providers/host/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <utility>

extern char** environ;

namespace pvr {
namespace {

using Time = std::chrono::steady_clock::time_point;
using std::chrono::milliseconds;

constexpr std::size_t kMostOutput = std::size_t{256} << 20U;  // a node with 10,000 zvols tells about 25 MB
constexpr milliseconds kGrace{2000};
constexpr milliseconds kWithoutPidfd{20};  // how often an old kernel is asked whether the process ended

/// A descriptor that is closed with its owner.
class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() { close(); }
  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  [[nodiscard]] int get() const { return fd_; }
  [[nodiscard]] bool open() const { return fd_ >= 0; }

 private:
  int fd_ = -1;
};

struct Pair {
  Descriptor ours = {};
  Descriptor theirs = {};
};

Error system_error(std::string_view what, int code) {
  return {.kind = ErrorKind::kUnreachable, .message = fmt::format("{}: {}", what, std::strerror(code))};
}

Result<Pair> output_pipe() {
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return system_error("a pipe cannot be made", errno);
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return Pair{Descriptor(ends[0]), Descriptor(ends[1])};
}

// A socket and not a pipe: writing to a process that is gone must not raise SIGPIPE in this one.
Result<Pair> input_socket() {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0)
    return system_error("a socket cannot be made", errno);
  ::fcntl(ends[0], F_SETFL, O_NONBLOCK);
  return Pair{Descriptor(ends[0]), Descriptor(ends[1])};
}

Result<pid_t> spawn(const std::vector<std::string>& argv, int in, int out, int err) {
  std::vector<char*> words;
  words.reserve(argv.size() + 1);
  for (const std::string& word : argv) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&actions, in, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions, err, STDERR_FILENO);
  sigset_t none;
  sigset_t defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  for (const int signal : {SIGPIPE, SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGCHLD}) sigaddset(&defaults, signal);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setsigdefault(&attributes, &defaults);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes,
                           static_cast<short>(POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP));
  pid_t pid = -1;
  const int code = ::posix_spawnp(&pid, words.front(), &actions, &attributes, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (code == ENOENT)
    return Error{.kind = ErrorKind::kUnreachable,
                 .message = fmt::format("the program \"{}\" is not installed on this machine", argv.front())};
  if (code != 0) return system_error(fmt::format("\"{}\" cannot be started", argv.front()), code);
  return pid;
}

class Process {
 public:
  explicit Process(const Command& command) : command_(command) {}

  Result<CommandOutput> run() {
    auto in = input_socket();
    if (!in) return std::move(in).error();
    auto out = output_pipe();
    if (!out) return std::move(out).error();
    auto err = output_pipe();
    if (!err) return std::move(err).error();
    wake_ = Descriptor(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!wake_.open()) return system_error("an event cannot be made", errno);
    if (command_.stop.stop_requested()) return Error{.kind = ErrorKind::kInterrupted, .message = "stopped"};
    const auto pid = spawn(command_.argv, in->theirs.get(), out->theirs.get(), err->theirs.get());
    if (!pid) return Error(pid.error());
    pid_ = *pid;
    ended_ = Descriptor(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
    in->theirs.close();
    out->theirs.close();
    err->theirs.close();
    in_ = std::move(in->ours);
    out_ = std::move(out->ours);
    err_ = std::move(err->ours);
    const std::stop_callback waker(command_.stop, [this] {
      const std::uint64_t one = 1;
      (void)!::write(wake_.get(), &one, sizeof one);
    });
    return serve();
  }

 private:
  static Time now() { return std::chrono::steady_clock::now(); }

  Result<CommandOutput> serve() {
    begun_ = heard_ = now();
    std::optional<Error> trouble;
    while (!reap()) {
      if (auto why = reason_to_end()) {
        trouble = std::move(why);
        break;
      }
      wait_for_something();
      feed();
      if (!read_from(out_, true) || !read_from(err_, false)) {
        trouble = Error{.kind = ErrorKind::kMalformed, .message = "more output than can be meant"};
        break;
      }
    }
    if (trouble) {
      end_it();
      trouble->effect = command_.acts ? Effect::kPossible : Effect::kNone;
      return std::move(*trouble);
    }
    // A connection that stays behind in the background may still hold the pipes: what is in them now is all.
    (void)read_from(out_, true);
    (void)read_from(err_, false);
    if (command_.on_line && !line_.empty()) command_.on_line(line_);
    output_.exit_code = WIFSIGNALED(status_) ? 128 + WTERMSIG(status_) : WEXITSTATUS(status_);
    return std::move(output_);
  }

  [[nodiscard]] std::optional<Error> reason_to_end() const {
    if (command_.stop.stop_requested()) return Error{.kind = ErrorKind::kInterrupted, .message = "stopped"};
    const auto seconds = [](milliseconds span) { return std::chrono::duration<double>(span).count(); };
    if (command_.limit.count() > 0 && now() - begun_ >= command_.limit)
      return Error{.kind = ErrorKind::kTimeout,
                   .message = fmt::format("no end within {:g} seconds", seconds(command_.limit))};
    if (command_.silence.count() > 0 && now() - heard_ >= command_.silence)
      return Error{.kind = ErrorKind::kTimeout,
                   .message = fmt::format("nothing heard for {:g} seconds", seconds(command_.silence))};
    return std::nullopt;
  }

  void wait_for_something() {
    std::array<pollfd, 5> polled{};
    nfds_t count = 0;
    const auto add = [&](const Descriptor& descriptor, short events) {
      if (descriptor.open()) polled[count++] = {.fd = descriptor.get(), .events = events, .revents = 0};
    };
    add(wake_, POLLIN);
    add(ended_, POLLIN);
    add(out_, POLLIN);
    add(err_, POLLIN);
    if (sent_ < command_.input.size()) add(in_, POLLOUT);
    milliseconds span{60'000};
    const auto left = [](Time begin, milliseconds limit) {
      return std::chrono::ceil<milliseconds>(begin + limit - now());
    };
    if (command_.limit.count() > 0) span = std::min(span, left(begun_, command_.limit));
    if (command_.silence.count() > 0) span = std::min(span, left(heard_, command_.silence));
    if (!ended_.open()) span = std::min(span, kWithoutPidfd);
    (void)::poll(polled.data(), count, static_cast<int>(std::max(span, milliseconds{0}).count()));
  }

  void feed() {
    while (in_.open() && sent_ < command_.input.size()) {
      const ssize_t sent =
          ::send(in_.get(), command_.input.data() + sent_, command_.input.size() - sent_, MSG_NOSIGNAL);
      if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return;
      if (sent < 0) break;  // it does not want to read more
      sent_ += static_cast<std::size_t>(sent);
    }
    in_.close();
  }

  /// False: too much.
  bool read_from(Descriptor& from, bool is_out) {
    std::array<char, 65536> buffer{};
    while (from.open()) {
      const ssize_t got = ::read(from.get(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return true;
      if (got <= 0) {
        from.close();
        return true;
      }
      const std::string_view text(buffer.data(), static_cast<std::size_t>(got));
      taken_ += text.size();
      if (is_out) {
        heard_ = now();
        take_out(text);
      } else {
        output_.err += text;
      }
      if (!command_.on_line && taken_ > kMostOutput) return false;
      if (output_.err.size() > kMostOutput || line_.size() > kMostOutput) return false;
    }
    return true;
  }

  void take_out(std::string_view text) {
    if (!command_.on_line) {
      output_.out += text;
      return;
    }
    for (auto end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
      line_ += text.substr(0, end);
      command_.on_line(line_);
      line_.clear();
      text.remove_prefix(end + 1);
    }
    line_ += text;
  }

  bool reap() {
    if (pid_ < 0) return true;
    const pid_t got = ::waitpid(pid_, &status_, WNOHANG);
    if (got == 0 || (got < 0 && errno == EINTR)) return false;
    pid_ = -1;
    return true;
  }

  void end_it() {
    in_.close();
    out_.close();  // whoever still writes at the other end learns of it
    err_.close();
    (void)::kill(-pid_, SIGTERM);
    const Time until = now() + kGrace;
    while (!reap()) {
      if (now() >= until) {
        (void)::kill(-pid_, SIGKILL);
        while (::waitpid(pid_, &status_, 0) < 0 && errno == EINTR) {
        }
        pid_ = -1;
        return;
      }
      pollfd ended{.fd = ended_.get(), .events = POLLIN, .revents = 0};
      (void)::poll(&ended, ended_.open() ? 1 : 0, static_cast<int>(kWithoutPidfd.count()));
    }
  }

  const Command& command_;
  Descriptor in_ = {}, out_ = {}, err_ = {}, wake_ = {}, ended_ = {};
  pid_t pid_ = -1;
  int status_ = 0;
  Time begun_ = {}, heard_ = {};
  std::size_t sent_ = 0;
  std::size_t taken_ = 0;
  std::string line_ = {};
  CommandOutput output_ = {};
};

}  // namespace

Result<CommandOutput> run_process(const Command& command) {
  if (command.argv.empty()) return Error{.kind = ErrorKind::kBroken, .message = "a command without words"};
  return Process(command).run();
}

}  // namespace pvr
