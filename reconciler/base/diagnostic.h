#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "reconciler/base/source_span.h"

namespace pvr {

enum class Severity : std::uint8_t { kNotice, kWarning, kError };

struct Note {
  std::string text = {};
  SourceSpan span = {};
};

/// One thing to say about the document or the plan. `code` is dotted words and never reused; `summary` is constant
/// text; `detail` names names and says what to write instead.
struct Diagnostic {
  Severity severity = Severity::kError;
  std::string code = {};
  std::string summary = {};
  std::string detail = {};
  SourceSpan span = {};
  std::vector<Note> notes = {};
};

using Diagnostics = std::vector<Diagnostic>;

[[nodiscard]] inline bool has_errors(std::span<const Diagnostic> list) {
  return std::ranges::any_of(list, [](const Diagnostic& d) { return d.severity == Severity::kError; });
}

/// A value together with everything there is to say about it. Without errors there is a value.
template <class T>
struct Checked {
  std::optional<T> value = {};
  Diagnostics diagnostics = {};
  [[nodiscard]] bool ok() const { return value.has_value() && !has_errors(diagnostics); }
};

/// Orders by file, line, column, code.
void sort_diagnostics(Diagnostics& list);

enum class Colour : std::uint8_t { kOff, kOn };

/// The compiler form: "file:line:col: error: Summary [code]", the line, a caret, the detail, the notes.
[[nodiscard]] std::string render(const Diagnostic& diagnostic, const SourceSet& sources, Colour colour = Colour::kOff);

/// The candidate nearest to `text` (edit distance, case ignored), or nothing when none is near enough to be meant.
[[nodiscard]] std::optional<std::string> nearest(std::string_view text, std::span<const std::string_view> candidates);
/// " Did you mean \"none\"?" or "".
[[nodiscard]] std::string did_you_mean(std::string_view text, std::span<const std::string_view> candidates);

}  // namespace pvr
