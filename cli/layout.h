#pragma once

#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>

#include "reconciler/base/units.h"

namespace pvr::cli {

/// Colours for a terminal, or none. Every function returns the text itself when colours are off.
class Style {
 public:
  Style() = default;
  explicit Style(bool colour) : colour_(colour) {}
  [[nodiscard]] bool colour() const { return colour_; }
  [[nodiscard]] std::string bold(std::string_view text) const { return paint("1", text); }
  [[nodiscard]] std::string dim(std::string_view text) const { return paint("2", text); }
  [[nodiscard]] std::string red(std::string_view text) const { return paint("31", text); }
  [[nodiscard]] std::string green(std::string_view text) const { return paint("32", text); }
  [[nodiscard]] std::string yellow(std::string_view text) const { return paint("33", text); }
  [[nodiscard]] std::string cyan(std::string_view text) const { return paint("36", text); }

 private:
  [[nodiscard]] std::string paint(std::string_view code, std::string_view text) const;
  bool colour_ = false;
};

/// Columns the text takes on a terminal: code points, without colour sequences.
[[nodiscard]] std::size_t width_of(std::string_view text);
/// `text` followed by blanks up to `width` columns.
[[nodiscard]] std::string padded(std::string_view text, std::size_t width);
/// At most `width` columns; what is cut ends in "…".
[[nodiscard]] std::string shortened(std::string_view text, std::size_t width);
/// Breaks at blanks so that no line is longer than `width` columns, each line behind `indent`; ends in a line feed.
/// Zero: no breaks.
[[nodiscard]] std::string wrapped(std::string_view text, std::string_view indent, std::size_t width);
/// Control characters become visible, so that no text of a cluster or a file can move the cursor.
[[nodiscard]] std::string printable(std::string_view text);

/// Text that is no markup wherever it stands in HTML, attributes included; control characters made visible.
[[nodiscard]] std::string html_plain(std::string_view text);
/// Text that is no markup in Markdown of forges, in tables and outside: no mention, no link, no cell border.
[[nodiscard]] std::string markdown_plain(std::string_view text);

/// "45 s", "11 min", "2 h 05 min", "3 d 4 h".
[[nodiscard]] std::string to_human(std::chrono::seconds span);
/// "1 VM", "3 VMs".
[[nodiscard]] std::string counted(std::size_t count, std::string_view one, std::string_view many);

}  // namespace pvr::cli
