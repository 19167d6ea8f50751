#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "reconciler/base/result.h"

namespace pvr {

/// A text that is neither printed nor logged: no stream operator, no formatter, no comparison; the memory is wiped when
/// it goes.
class Secret {
 public:
  Secret() = default;
  explicit Secret(std::string text) : text_(std::move(text)) {}
  Secret(const Secret& other) = default;
  Secret(Secret&& other) noexcept;
  Secret& operator=(Secret other) noexcept;
  ~Secret();
  /// The text itself, for the one place that puts it on the wire. Valid as long as this object.
  [[nodiscard]] std::string_view reveal() const { return text_; }
  [[nodiscard]] bool empty() const { return text_.empty(); }

 private:
  std::string text_;
};

/// Overwrites and empties a text that held a secret on its way.
void wipe(std::string& text);

/// From here on a crash of this process, or of a program it starts, leaves no core file: memory holds the token. (Not
/// prctl's "dumpable": without that nobody but root can read a fleet from /dev/stdin.)
void leave_no_core_file();

/// Reads the first line of a file only its owner can read (mode 0600 or stricter). Error: what is wrong with it, by
/// name.
[[nodiscard]] Result<Secret> read_secret_file(const std::filesystem::path& file);

}  // namespace pvr
