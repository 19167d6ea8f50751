#include "providers/pve/secret.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <openssl/crypto.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace pvr {
namespace {

Error unusable(const std::filesystem::path& file, std::string_view why) {
  return {ErrorKind::kRejected, fmt::format("the secret file {} {}", file.string(), why), {}, Effect::kNone, 0};
}

struct Descriptor {
  int number = -1;
  ~Descriptor() {
    if (number >= 0) ::close(number);
  }
};

}  // namespace

void leave_no_core_file() {
  const rlimit none = {.rlim_cur = 0, .rlim_max = 0};
  setrlimit(RLIMIT_CORE, &none);  // lowering a limit is always allowed
}

void wipe(std::string& text) {
  OPENSSL_cleanse(text.data(), text.size());
  text.clear();
}

// Short texts live inside the string object, so a moved-from one may still hold the secret.
Secret::Secret(Secret&& other) noexcept : text_(std::move(other.text_)) { wipe(other.text_); }

Secret& Secret::operator=(Secret other) noexcept {
  text_.swap(other.text_);
  return *this;
}

Secret::~Secret() { wipe(text_); }

Result<Secret> read_secret_file(const std::filesystem::path& file) {
  const Descriptor open_file{::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY)};
  if (open_file.number < 0) {
    const int reason = errno;
    return unusable(file, fmt::format("cannot be opened: {}", std::strerror(reason)));
  }
  struct stat info = {};
  if (::fstat(open_file.number, &info) != 0) return unusable(file, "cannot be looked at");
  if (!S_ISREG(info.st_mode)) return unusable(file, "is not a regular file");
  if ((info.st_mode & (S_IRWXG | S_IRWXO)) != 0) {
    return unusable(file, fmt::format("can be used by others (mode {:04o}); run: chmod 600 {}", info.st_mode & 07777U,
                                      file.string()));
  }
  std::array<char, 4096> buffer{};
  std::string text;
  ssize_t got = 0;
  while ((got = ::read(open_file.number, buffer.data(), buffer.size())) > 0 && text.size() < buffer.size()) {
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  OPENSSL_cleanse(buffer.data(), buffer.size());
  const std::size_t end = text.find_first_of("\r\n");
  Secret secret(text.substr(0, end));
  wipe(text);
  if (got < 0) return unusable(file, "cannot be read");
  if (secret.empty()) return unusable(file, "is empty");
  return secret;
}

}  // namespace pvr
