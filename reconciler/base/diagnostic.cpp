#include "reconciler/base/diagnostic.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <tuple>

namespace pvr {
namespace {

constexpr std::size_t kWidestExcerpt = 160;

std::string_view word(Severity severity) {
  switch (severity) {
    case Severity::kNotice:
      return "notice";
    case Severity::kWarning:
      return "warning";
    case Severity::kError:
      return "error";
  }
  return "error";
}

std::string_view escape(Severity severity) {
  switch (severity) {
    case Severity::kNotice:
      return "\x1b[1;36m";
    case Severity::kWarning:
      return "\x1b[1;33m";
    case Severity::kError:
      return "\x1b[1;31m";
  }
  return "";
}

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

/// Control characters in a foreign text must not steer the reader's terminal. C1 controls arrive as 0xC2 0x80 … 0x9F.
std::string harmless(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    auto c = static_cast<unsigned char>(text[i]);
    bool c1 = c == 0xC2U && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0xA0U;
    if (c1) {
      out += "??";
      ++i;
    } else if ((c < 0x20U && c != '\t') || c == 0x7FU) {
      out += '?';
    } else {
      out += text[i];
    }
  }
  return out;
}

void append_indented(std::string& out, std::string_view text) {
  while (!text.empty()) {
    std::size_t end = std::min(text.find('\n'), text.size());
    fmt::format_to(std::back_inserter(out), "  {}\n", harmless(text.substr(0, end)));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

/// The line with a caret below. Long lines are cut around the place.
void append_excerpt(std::string& out, const SourceSpan& span, const SourceSet& sources, std::string_view colour,
                    std::string_view reset) {
  std::string_view line = sources.line(span.file, span.line);
  if (line.empty() && span.column > 1) return;
  std::size_t begin = std::min<std::size_t>(span.column - 1, line.size());
  std::size_t first = 0;
  bool cut_left = false;
  if (line.size() > kWidestExcerpt && begin > kWidestExcerpt / 2) {
    first = begin - kWidestExcerpt / 2;
    while (first < begin && is_continuation(line[first])) ++first;
    cut_left = true;
  }
  std::size_t last = std::min(line.size(), first + kWidestExcerpt);
  while (last < line.size() && is_continuation(line[last])) ++last;
  std::size_t end = std::clamp<std::size_t>(begin + std::max<std::uint32_t>(span.length, 1), begin, last);

  std::string number = fmt::format("{:>5}", span.line);
  std::string pad;
  for (char c : line.substr(first, begin - first)) {
    if (c == '\t') {
      pad += '\t';
    } else if (!is_continuation(c)) {
      pad += ' ';
    }
  }
  std::size_t marks = 0;
  for (char c : line.substr(begin, end - begin)) marks += is_continuation(c) ? 0U : 1U;
  fmt::format_to(std::back_inserter(out), "{} | {}{}{}\n", number, cut_left ? "…" : "",
                 harmless(line.substr(first, last - first)), last < line.size() ? "…" : "");
  fmt::format_to(std::back_inserter(out), "{} | {}{}{}{}{}\n", std::string(number.size(), ' '), cut_left ? " " : "",
                 pad, colour, std::string(std::max<std::size_t>(marks, 1), '^'), reset);
}

std::string folded(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    if (c == '_') c = '-';
  }
  return out;
}

/// Insertions, deletions, replacements and swaps of neighbours, each at cost one; `limit + 1` as soon as it is
/// exceeded.
std::size_t edit_distance(std::string_view a, std::string_view b, std::size_t limit) {
  if (a.size() > b.size()) std::swap(a, b);
  if (b.size() - a.size() > limit) return limit + 1;
  std::vector<std::size_t> before(b.size() + 1);
  std::vector<std::size_t> above(b.size() + 1);
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    std::size_t best = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      std::size_t replace = above[j - 1] + (a[i - 1] == b[j - 1] ? 0U : 1U);
      row[j] = std::min({above[j] + 1, row[j - 1] + 1, replace});
      bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
      best = std::min(best, row[j]);
    }
    if (best > limit) return limit + 1;
    std::swap(before, above);
    std::swap(above, row);
  }
  return above[b.size()];
}

}  // namespace

void sort_diagnostics(Diagnostics& list) {
  std::ranges::stable_sort(list, [](const Diagnostic& a, const Diagnostic& b) {
    auto key = [](const Diagnostic& d) {
      return std::tuple(d.span.file, d.span.line, d.span.column, std::string_view(d.code));
    };
    return key(a) < key(b);
  });
}

std::string render(const Diagnostic& diagnostic, const SourceSet& sources, Colour colour) {
  bool coloured = colour == Colour::kOn;
  std::string_view bold = coloured ? "\x1b[1m" : "";
  std::string_view mark = coloured ? escape(diagnostic.severity) : "";
  std::string_view reset = coloured ? "\x1b[0m" : "";
  std::string out =
      fmt::format("{}{}:{} {}{}:{} {}{}{} [{}]\n", bold, harmless(sources.place(diagnostic.span)), reset, mark,
                  word(diagnostic.severity), reset, bold, harmless(diagnostic.summary), reset, diagnostic.code);
  if (diagnostic.span.known()) append_excerpt(out, diagnostic.span, sources, mark, reset);
  append_indented(out, diagnostic.detail);
  for (const Note& note : diagnostic.notes) {
    std::string place = note.span.known() ? harmless(sources.place(note.span)) + ": " : "";
    fmt::format_to(std::back_inserter(out), "  {}note:{} {}{}\n", bold, reset, place, harmless(note.text));
  }
  return out;
}

std::optional<std::string> nearest(std::string_view text, std::span<const std::string_view> candidates) {
  constexpr std::size_t kLongestWord = 64;
  if (text.empty() || text.size() > kLongestWord) return std::nullopt;
  std::string wanted = folded(text);
  std::size_t best = std::max<std::size_t>(1, wanted.size() / 3) + 1;
  std::optional<std::string> found;
  for (std::string_view candidate : candidates) {
    std::string other = folded(candidate);
    std::size_t distance = edit_distance(wanted, other, best - 1);
    // "mem" is meant as "memory" although three letters are missing.
    bool beginning = wanted.size() >= 3 && other.starts_with(wanted);
    if (beginning) distance = std::min<std::size_t>(distance, 1);
    if (distance < best && distance < wanted.size()) {
      best = distance;
      found = std::string(candidate);
      if (best == 0) break;
    }
  }
  return found;
}

std::string did_you_mean(std::string_view text, std::span<const std::string_view> candidates) {
  std::optional<std::string> candidate = nearest(text, candidates);
  return candidate ? fmt::format(" Did you mean \"{}\"?", *candidate) : "";
}

}  // namespace pvr
