#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace pvr {

/// A place in a source text. Lines and columns count from 1; columns and lengths are in bytes. line 0: no place.
struct SourceSpan {
  std::uint32_t file = 0;  // index into the SourceSet
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  std::uint32_t length = 0;
  friend bool operator==(const SourceSpan&, const SourceSpan&) = default;
  [[nodiscard]] bool known() const { return line != 0; }
};

/// One source text with the name users know it by.
struct SourceFile {
  std::string name = {};
  std::string text = {};
};

/// The texts of one run. Indices are stable; file 0 is always the built-in roles, "builtin_roles.yaml".
class SourceSet {
 public:
  SourceSet();
  std::uint32_t add(std::string name, std::string text);
  /// Gives file `index` its text; the loader does so for file 0, whose place is taken from the start.
  void set_text(std::uint32_t index, std::string text);
  /// Overwrites the bytes of a span with '*', line ends excepted: a secret somebody wrote must not be shown back.
  /// Places stay right.
  void mask(const SourceSpan& span);
  [[nodiscard]] const SourceFile& file(std::uint32_t index) const { return files_[index]; }
  [[nodiscard]] std::size_t size() const { return files_.size(); }
  /// The text of one line without its end; empty when there is none.
  [[nodiscard]] std::string_view line(std::uint32_t file, std::uint32_t line) const;
  /// "fleet.yaml:6:14", or the bare name where the span has no line.
  [[nodiscard]] std::string place(const SourceSpan& span) const;

 private:
  std::vector<SourceFile> files_;
  std::vector<std::vector<std::uint32_t>> line_starts_;
};

template <class T>
struct Spanned {
  T value = {};
  SourceSpan span = {};
  friend bool operator==(const Spanned&, const Spanned&) = default;
};

}  // namespace pvr
