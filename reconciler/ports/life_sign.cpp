#include "reconciler/ports/life_sign.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "reconciler/ports/system_clock.h"

namespace pvr {
namespace {

constexpr std::string_view kPrefix = "pvereconcile-alive-";
constexpr std::size_t kIdBytes = 16;

/// Tells this machine, and this boot of it, from any other. Virtual machines that were started from one memory snapshot
/// share it, which is why the file counts, too: it is on one of them only.
std::string boot_id() {
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string text;
  std::getline(file, text);
  return text;
}

std::filesystem::path folder() {
  std::error_code fault;
  std::filesystem::path found = std::filesystem::temp_directory_path(fault);
  return fault ? std::filesystem::path("/tmp") : found;
}

bool is_id(std::string_view text) {
  return text.size() == kIdBytes * 2 &&
         std::ranges::all_of(text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
}

/// Opens a file of our own user; -1 for anything else.
int open_own(const std::filesystem::path& path) {
  const int file = open(path.c_str(), O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);  // NOLINT(*-vararg)
  if (file < 0) return -1;
  struct stat facts = {};
  if (fstat(file, &facts) == 0 && S_ISREG(facts.st_mode) && facts.st_uid == geteuid()) return file;
  close(file);
  return -1;
}

/// What processes that were killed have left. A lease lasts minutes: after an hour nobody asks any more.
void sweep(const std::filesystem::path& in) {
  constexpr auto kOld = std::chrono::hours(1);
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(in, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.starts_with(kPrefix) || !is_id(std::string_view(name).substr(kPrefix.size()))) continue;
    const auto made = entry.last_write_time(ignored);
    if (ignored || std::filesystem::file_time_type::clock::now() - made < kOld) continue;
    const int file = open_own(entry.path());
    if (file < 0) continue;
    if (flock(file, LOCK_EX | LOCK_NB) == 0) unlink(entry.path().c_str());
    close(file);
  }
}

}  // namespace

LifeSign::LifeSign() {
  const std::string boot = boot_id();
  if (boot.empty()) return;
  const std::filesystem::path in = folder();
  sweep(in);
  const std::string id = random_hex(kIdBytes);
  path_ = (in / (std::string(kPrefix) + id)).string();
  file_ = open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);  // NOLINT(*-vararg)
  if (file_ < 0) return;
  // The lock comes before the mark is told to anybody: whoever knows the mark finds a file that is locked or ended.
  if (flock(file_, LOCK_EX | LOCK_NB) == 0) mark_ = boot + "/" + id;
}

LifeSign::~LifeSign() {
  if (file_ < 0) return;
  unlink(path_.c_str());
  close(file_);
}

bool LifeSign::has_ended(std::string_view mark) {
  const auto slash = mark.find('/');
  if (slash == std::string_view::npos || slash == 0) return false;
  const std::string_view id = mark.substr(slash + 1);
  if (!is_id(id) || mark.substr(0, slash) != boot_id()) return false;
  const int file = open_own(folder() / (std::string(kPrefix) + std::string(id)));
  if (file < 0) return false;
  // Shared: several may ask at once, and none of them is to look like the process itself.
  const bool free = flock(file, LOCK_SH | LOCK_NB) == 0;
  close(file);
  return free;
}

}  // namespace pvr
