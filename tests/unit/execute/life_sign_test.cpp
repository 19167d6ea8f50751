#include "reconciler/ports/life_sign.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

namespace pvr {
namespace {

/// A temporary folder of its own, so that nobody else's marks are seen.
class OwnFolder : public ::testing::Test {
 protected:
  void SetUp() override {
    if (const char* was = std::getenv("TMPDIR")) before_ = was;
    std::string pattern = (std::filesystem::temp_directory_path() / "pvr-life-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    setenv("TMPDIR", folder_.c_str(), 1);
  }
  void TearDown() override {
    if (before_)
      setenv("TMPDIR", before_->c_str(), 1);
    else
      unsetenv("TMPDIR");
    std::filesystem::remove_all(folder_);
  }
  [[nodiscard]] bool is_empty() const { return std::filesystem::is_empty(folder_); }
  [[nodiscard]] std::filesystem::path only_file() const { return std::filesystem::directory_iterator(folder_)->path(); }

  std::filesystem::path folder_;

 private:
  std::optional<std::string> before_;
};

using ALifeSign = OwnFolder;

/// A process that gives a sign and then waits to be killed.
struct Child {
  pid_t pid = -1;
  std::string mark = {};

  Child() {
    std::array<int, 2> ends = {};
    if (pipe(ends.data()) != 0) return;
    pid = fork();
    if (pid == 0) {
      const LifeSign sign;
      if (write(ends[1], sign.mark().data(), sign.mark().size()) < 0) _exit(1);
      close(ends[1]);
      while (true) pause();
    }
    close(ends[1]);
    std::array<char, 256> text = {};
    for (ssize_t got = 0; (got = read(ends[0], text.data(), text.size())) > 0;)
      mark.append(text.data(), static_cast<std::size_t>(got));
    close(ends[0]);
  }
  void end() const {
    kill(pid, SIGKILL);
    waitpid(pid, nullptr, 0);
  }
};

TEST_F(ALifeSign, EndsWithAKilledProcessAndNotBefore) {
  const Child child;
  ASSERT_FALSE(child.mark.empty());
  EXPECT_FALSE(LifeSign::has_ended(child.mark));
  child.end();
  EXPECT_TRUE(LifeSign::has_ended(child.mark));
  EXPECT_TRUE(LifeSign::has_ended(child.mark)) << "asking changes nothing";
}

TEST_F(ALifeSign, IsLookedForBySeveralAtOnce) {
  const Child child;
  child.end();
  const int another = open(only_file().c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_EQ(flock(another, LOCK_SH | LOCK_NB), 0);
  EXPECT_TRUE(LifeSign::has_ended(child.mark));
  close(another);
}

TEST_F(ALifeSign, OfAProcessThatIsThereIsSeenInItTooAndLeavesNothing) {
  std::string mark;
  {
    const LifeSign sign;
    mark = sign.mark();
    ASSERT_FALSE(mark.empty());
    EXPECT_FALSE(LifeSign::has_ended(mark));
  }
  EXPECT_TRUE(is_empty());
  EXPECT_FALSE(LifeSign::has_ended(mark)) << "without its file nothing is known";
}

TEST_F(ALifeSign, OfAnotherMachineOrUserSaysNothing) {
  const Child child;
  child.end();
  ASSERT_TRUE(LifeSign::has_ended(child.mark));
  std::string other_boot = child.mark;
  other_boot[0] = other_boot[0] == '0' ? '1' : '0';
  EXPECT_FALSE(LifeSign::has_ended(other_boot));
  // The same boot, but not the machine the file is on.
  setenv("TMPDIR", "/", 1);
  EXPECT_FALSE(LifeSign::has_ended(child.mark));
  setenv("TMPDIR", folder_.c_str(), 1);
  // A link in the place of the file could be anybody's.
  const auto file = only_file();
  const auto elsewhere = folder_ / "elsewhere";
  std::filesystem::rename(file, elsewhere);
  std::filesystem::create_symlink(elsewhere, file);
  EXPECT_FALSE(LifeSign::has_ended(child.mark));
}

TEST_F(ALifeSign, IsReadFromAnyText) {
  const LifeSign sign;
  const std::string boot = sign.mark().substr(0, sign.mark().find('/'));
  for (const std::string& text :
       {std::string(), std::string("/"), std::string("x"), boot + "/", boot + "/../../etc/passwd",
        boot + "/" + std::string(31, 'a'), "/" + std::string(32, 'a')})
    EXPECT_FALSE(LifeSign::has_ended(text)) << text;
}

TEST_F(ALifeSign, OfThePastIsSweptAway) {
  const Child old;
  const Child alive;
  old.end();
  for (const auto& entry : std::filesystem::directory_iterator(folder_))
    std::filesystem::last_write_time(entry.path(),
                                     std::filesystem::last_write_time(entry.path()) - std::chrono::hours(2));
  { const LifeSign sweeps; }
  EXPECT_FALSE(LifeSign::has_ended(old.mark));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1) << "that of the living stays";
  alive.end();
  EXPECT_TRUE(LifeSign::has_ended(alive.mark));
}

}  // namespace
}  // namespace pvr
