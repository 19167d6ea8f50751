#pragma once

#include <string>
#include <string_view>

namespace pvr {

/// Shows other processes of this machine that this one lives, and, however it ends, that it does not any more: a file
/// that the kernel keeps locked as long as the process is there. A killed process leaves the file, without the lock.
class LifeSign {
 public:
  LifeSign();
  ~LifeSign();
  LifeSign(const LifeSign&) = delete;
  LifeSign& operator=(const LifeSign&) = delete;

  /// What others need to know of it, to be kept where they find it. Empty: the sign could not be given, and nobody will
  /// be able to tell.
  [[nodiscard]] const std::string& mark() const { return mark_; }

  /// Whether the process of this mark is known to have ended. False wherever that cannot be known: the mark is of
  /// another machine, boot, container or user, or is none of ours. Safe with any text.
  [[nodiscard]] static bool has_ended(std::string_view mark);

 private:
  int file_ = -1;
  std::string path_ = {};
  std::string mark_ = {};
};

}  // namespace pvr
