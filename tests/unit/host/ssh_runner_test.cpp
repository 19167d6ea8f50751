#include "providers/host/ssh_runner.h"

#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

#include "providers/host/local_runner.h"
#include "providers/host/process.h"
#include "reconciler/base/text.h"

namespace pvr {
namespace {

using namespace std::chrono_literals;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;

std::string text_of(const std::filesystem::path& file) {
  std::ifstream stream(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

/// A program named ssh, first on PATH. It writes its words down, answers as its mode says, and otherwise runs the
/// command in a shell, as sshd does.
class StandInSsh : public testing::Test {
 protected:
  void SetUp() override {
    std::string name = (std::filesystem::temp_directory_path() / "pvr-test-XXXXXX").string();
    ASSERT_NE(::mkdtemp(name.data()), nullptr);
    folder_ = name;
    std::ofstream script(folder_ / "ssh");
    script
        << "#!/bin/sh\n"
        << "folder='" << folder_.string() << "'\n"
        << R"(for word; do printf '%s\0' "$word"; last=$word; case $word in ControlPath=*) path=${word#ControlPath=};; esac; done >> "$folder/log"
for word; do last=$word; done
printf '\1' >> "$folder/log"
case " $* " in
  *" -O exit "*) rm -f "$path"; exit 0 ;;
  *" -O check "*) test -e "$folder/alive" ;;
  *" -N "*)
    if test -e "$folder/connect"; then cat "$folder/connect" >&2; exit 255; fi
    exit 0 ;;
  *)
    if test -e "$folder/lost"; then echo 'mux_client_request_session: read from master failed: Broken pipe' >&2; exit 255; fi
    exec sh -c "$last" ;;
esac
)";
    script.close();
    std::filesystem::permissions(folder_ / "ssh", std::filesystem::perms::owner_all);
    before_ = ::getenv("PATH");
    ::setenv("PATH", (folder_.string() + ":" + before_).c_str(), 1);
  }
  void TearDown() override {
    ::setenv("PATH", before_.c_str(), 1);
    std::filesystem::remove_all(folder_);
  }
  void write(const std::string& name, const std::string& text) { std::ofstream(folder_ / name) << text; }

  /// The words of every call so far.
  [[nodiscard]] std::vector<std::vector<std::string>> calls() const {
    std::vector<std::vector<std::string>> found(1);
    std::string word;
    for (const char c : text_of(folder_ / "log")) {
      if (c == '\0') {
        found.back().push_back(std::exchange(word, {}));
      } else if (c == '\1') {
        found.emplace_back();
      } else {
        word += c;
      }
    }
    found.pop_back();
    return found;
  }

  std::filesystem::path folder_;
  std::string before_;
};

TEST_F(StandInSsh, OpensOneConnectionAndClosesItAtTheEnd) {
  std::string socket;
  {
    SshRunner runner({.user = "admin", .port = 2222, .addresses = {{"pve1", "10.0.0.1"}}});
    for (int i = 0; i < 3; ++i) {
      const auto ended = runner.run({.node = "pve1", .argv = {"echo", "hello"}});
      ASSERT_TRUE(ended.ok()) << ended.error().message;
      EXPECT_EQ(ended->out, "hello\n");
    }
    const auto all = calls();
    ASSERT_EQ(all.size(), 4U);
    for (const auto& call : all) {
      EXPECT_THAT(call, Contains("BatchMode=yes"));
      EXPECT_THAT(call, Contains("StrictHostKeyChecking=yes"));
      EXPECT_THAT(call, Contains("10.0.0.1"));
      const auto user = std::find(call.begin(), call.end(), "-l");
      ASSERT_NE(user, call.end());
      EXPECT_EQ(*(user + 1), "admin");
    }
    EXPECT_THAT(all[0], Contains("ControlMaster=auto"));
    EXPECT_THAT(all[0], Contains("-N"));
    for (const std::string& word : all[1])
      if (word.starts_with("ControlPath=")) socket = word.substr(12);
    struct stat folder {};
    ASSERT_EQ(::stat(std::filesystem::path(socket).parent_path().c_str(), &folder), 0);
    EXPECT_EQ(folder.st_mode & 0777U, 0700U);
    EXPECT_LT(socket.size() + 17, 108U) << "a socket's path is short, and ssh adds a suffix while it makes it";
  }
  const auto all = calls();
  ASSERT_EQ(all.size(), 5U);
  EXPECT_THAT(all[4], Contains("exit"));
  EXPECT_FALSE(std::filesystem::exists(std::filesystem::path(socket).parent_path()));
}

TEST_F(StandInSsh, WordsArriveAsTheyAreWhateverIsInThem) {
  SshRunner runner({});
  const std::vector<std::string> hostile = {"a b",     "it's", "$(touch " + (folder_ / "owned").string() + ")",
                                            "`id`",    "\"",   "; exit 7",
                                            "*",       "",     "new\nline",
                                            "back\\s", "-rf",  "$HOME",
                                            "'\\''",   "\t",   "~"};
  std::vector<std::string> argv = {"printf", "%s\\1"};
  argv.insert(argv.end(), hostile.begin(), hostile.end());
  const auto ended = runner.run({.node = "pve1", .argv = argv});
  ASSERT_TRUE(ended.ok());
  EXPECT_EQ(ended->exit_code, 0);
  std::string expected;
  for (const std::string& word : hostile) expected += word + "\1";
  EXPECT_EQ(ended->out, expected);
  EXPECT_FALSE(std::filesystem::exists(folder_ / "owned"));
}

TEST_F(StandInSsh, AnAddressIsNeverAnOption) {
  for (const char* bad : {"-oProxyCommand=touch x", "a b", "", "host;id", "root@host"}) {
    SshRunner runner({.addresses = {{"pve1", bad}}});
    const auto ended = runner.run({.node = "pve1", .argv = {"true"}});
    ASSERT_FALSE(ended.ok()) << bad;
    EXPECT_EQ(ended.error().kind, ErrorKind::kRejected);
  }
  EXPECT_THAT(calls(), SizeIs(0));
}

TEST_F(StandInSsh, ACommandThatEndsWith255IsNoLostConnection) {
  SshRunner runner({});
  const auto ended = runner.run({.node = "pve1", .argv = {"sh", "-c", "echo readonly >&2; exit 255"}, .acts = true});
  ASSERT_TRUE(ended.ok()) << ended.error().message;
  EXPECT_EQ(ended->exit_code, 254);
  EXPECT_EQ(ended->err, "readonly\n");
}

TEST_F(StandInSsh, NoConnectionHasNoEffect) {
  write("connect", "ssh: connect to host pve1 port 22: Connection refused\n");
  SshRunner runner({});
  const auto ended = runner.run({.node = "pve1", .argv = {"zfs", "destroy", "tank/x"}, .acts = true});
  ASSERT_FALSE(ended.ok());
  EXPECT_EQ(ended.error().kind, ErrorKind::kUnreachable);
  EXPECT_EQ(ended.error().effect, Effect::kNone);
  EXPECT_THAT(ended.error().message, HasSubstr("Connection refused"));
}

TEST_F(StandInSsh, ARefusedHostKeyIsSaidWithWhatToDo) {
  write("connect",
        "No ED25519 host key is known for 10.0.0.1 and you have requested strict checking.\n"
        "Host key verification failed.\n");
  SshRunner runner({.addresses = {{"pve1", "10.0.0.1"}}});
  const auto ended = runner.run({.node = "pve1", .argv = {"true"}});
  ASSERT_FALSE(ended.ok());
  EXPECT_EQ(ended.error().kind, ErrorKind::kUnreachable);
  EXPECT_THAT(ended.error().message, HasSubstr("known_hosts"));
  EXPECT_THAT(ended.error().message, HasSubstr("ssh 10.0.0.1"));
}

TEST_F(StandInSsh, ARefusedLoginIsForbidden) {
  write("connect", "admin@pve1: Permission denied (publickey).\n");
  SshRunner runner({});
  const auto ended = runner.run({.node = "pve1", .argv = {"true"}});
  ASSERT_FALSE(ended.ok());
  EXPECT_EQ(ended.error().kind, ErrorKind::kForbidden);
}

TEST_F(StandInSsh, ALostConnectionMayHaveHadItsEffectAndTheNextCommandConnectsAgain) {
  SshRunner runner({});
  ASSERT_TRUE(runner.run({.node = "pve1", .argv = {"true"}}).ok());
  write("lost", "");
  const auto lost = runner.run({.node = "pve1", .argv = {"zfs", "rename", "a", "b"}, .acts = true});
  ASSERT_FALSE(lost.ok());
  EXPECT_EQ(lost.error().kind, ErrorKind::kUnreachable);
  EXPECT_EQ(lost.error().effect, Effect::kPossible);
  const auto read = runner.run({.node = "pve1", .argv = {"zfs", "get", "all"}});
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().effect, Effect::kNone) << "a reading command changes nothing";
  std::filesystem::remove(folder_ / "lost");
  const std::size_t before = calls().size();
  ASSERT_TRUE(runner.run({.node = "pve1", .argv = {"true"}}).ok());
  const auto all = calls();
  ASSERT_EQ(all.size(), before + 2);
  EXPECT_THAT(all[before], Contains("-N")) << "the connection is opened again";
}

// ---- processes

bool has_children() {
  const pid_t got = ::waitpid(-1, nullptr, WNOHANG);
  return !(got < 0 && errno == ECHILD);
}

TEST(RunProcess, ALimitEndsItAndLeavesNoZombie) {
  const auto ended = run_process(
      {.node = "", .argv = {"sh", "-c", "trap '' TERM; while :; do sleep 1000; done"}, .limit = 50ms, .acts = true});
  ASSERT_FALSE(ended.ok());
  EXPECT_EQ(ended.error().kind, ErrorKind::kTimeout);
  EXPECT_EQ(ended.error().effect, Effect::kPossible);
  EXPECT_FALSE(has_children());
}

TEST(RunProcess, SilenceEndsItThoughItHasNoLimit) {
  int lines = 0;
  const auto ended = run_process({.node = "",
                                  .argv = {"sh", "-c", "echo one; echo two; exec sleep 1000"},
                                  .limit = 0ms,
                                  .silence = 100ms,
                                  .on_line = [&](std::string_view) { ++lines; }});
  ASSERT_FALSE(ended.ok());
  EXPECT_EQ(ended.error().kind, ErrorKind::kTimeout);
  EXPECT_EQ(lines, 2);
}

TEST(RunProcess, AStopEndsItAtOnce) {
  std::stop_source stop;
  const auto ended = run_process({.node = "",
                                  .argv = {"sh", "-c", "while :; do echo x; sleep 0.01; done"},
                                  .limit = 0ms,
                                  .on_line = [&](std::string_view) { stop.request_stop(); },
                                  .stop = stop.get_token()});
  ASSERT_FALSE(ended.ok());
  EXPECT_EQ(ended.error().kind, ErrorKind::kInterrupted);
  EXPECT_FALSE(has_children());
}

TEST(RunProcess, MuchInputAndMuchOutputAtTheSameTime) {
  std::string input;
  for (int i = 0; i < 300'000; ++i) input += std::to_string(i) + '\n';
  const auto ended = run_process({.node = "", .argv = {"cat"}, .input = input});
  ASSERT_TRUE(ended.ok()) << ended.error().message;
  EXPECT_TRUE(ended->out == input);
}

TEST(RunProcess, AProgramThatDoesNotReadItsInputIsNoTrouble) {
  const auto ended = run_process({.node = "", .argv = {"true"}, .input = std::string(1 << 20, 'x')});
  ASSERT_TRUE(ended.ok()) << ended.error().message;
  EXPECT_EQ(ended->exit_code, 0);
}

TEST(RunProcess, SomebodyWhoKeepsThePipesIsNotWaitedFor) {
  // As the master connection of ssh does that stays in the background.
  const auto ended =
      run_process({.node = "", .argv = {"sh", "-c", "(exec sleep 30) & echo done; kill -9 $$"}, .limit = 20s});
  ASSERT_TRUE(ended.ok()) << ended.error().message;
  EXPECT_EQ(ended->out, "done\n");
  EXPECT_EQ(ended->exit_code, 128 + 9);
}

TEST(RunProcess, AMissingProgramIsSaid) {
  const auto ended = run_process({.node = "", .argv = {"no-such-program-here"}, .acts = true});
  ASSERT_FALSE(ended.ok());
  EXPECT_THAT(ended.error().message, HasSubstr("no-such-program-here"));
  EXPECT_EQ(ended.error().effect, Effect::kNone);
}

TEST(LocalRunner, RunsOnItsOwnNodeOnly) {
  LocalRunner runner("pve1");
  const auto ended = runner.run({.node = "pve1", .argv = {"sh", "-c", "echo $LC_ALL"}});
  ASSERT_TRUE(ended.ok());
  EXPECT_EQ(ended->out, "C\n");
  EXPECT_FALSE(runner.run({.node = "pve2", .argv = {"true"}}).ok());
}

}  // namespace
}  // namespace pvr
