#include "cli/layout.h"

#include <fmt/format.h>

#include <algorithm>

namespace pvr::cli {
namespace {

/// Length in bytes of the colour sequence that starts here, else 0.
std::size_t colour_sequence(std::string_view text) {
  if (!text.starts_with("\x1b[")) return 0;
  const auto end = text.find('m');
  return end == std::string_view::npos ? 0 : end + 1;
}

bool starts_code_point(char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }

/// The marks, and what begins a tag or a reference, as character references: HTML and Markdown both read them.
std::string escaped(std::string_view text, std::string_view marks) {
  std::string out;
  for (const char c : printable(text)) {
    if (c == '&')
      out += "&amp;";
    else if (c == '<')
      out += "&lt;";
    else if (c == '>')
      out += "&gt;";
    else if (marks.find(c) != std::string_view::npos)
      out += fmt::format("&#{};", static_cast<int>(c));
    else
      out += c;
  }
  return out;
}

}  // namespace

std::string Style::paint(std::string_view code, std::string_view text) const {
  if (!colour_ || text.empty()) return std::string(text);
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

std::size_t width_of(std::string_view text) {
  std::size_t columns = 0;
  while (!text.empty()) {
    if (const auto skip = colour_sequence(text); skip != 0) {
      text.remove_prefix(skip);
      continue;
    }
    if (starts_code_point(text.front())) ++columns;
    text.remove_prefix(1);
  }
  return columns;
}

std::string padded(std::string_view text, std::size_t width) {
  std::string out(text);
  const auto has = width_of(text);
  if (has < width) out.append(width - has, ' ');
  return out;
}

std::string shortened(std::string_view text, std::size_t width) {
  if (width_of(text) <= width) return std::string(text);
  std::string out;
  std::size_t columns = 0;
  bool painted = false;
  while (!text.empty()) {
    if (const auto skip = colour_sequence(text); skip != 0) {
      out += text.substr(0, skip);
      text.remove_prefix(skip);
      painted = true;
      continue;
    }
    if (starts_code_point(text.front()) && ++columns >= width) break;
    out += text.front();
    text.remove_prefix(1);
  }
  out += "…";
  if (painted) out += "\x1b[0m";
  return out;
}

std::string wrapped(std::string_view text, std::string_view indent, std::size_t width) {
  std::string out;
  std::string line(indent);
  bool empty = true;
  while (!text.empty()) {
    const auto end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (word.empty()) continue;
    if (!empty && width != 0 && width_of(line) + 1 + width_of(word) > width) {
      out += line + '\n';
      line = indent;
      empty = true;
    }
    if (!empty) line += ' ';
    line += word;
    empty = false;
  }
  return empty ? out : out + line + '\n';
}

std::string printable(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  const auto byte_at = [&](std::size_t at) { return at < text.size() ? static_cast<unsigned char>(text[at]) : 0U; };
  for (std::size_t at = 0; at < text.size(); ++at) {
    const unsigned c = byte_at(at);
    if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c < 0x20 || c == 0x7F) {
      out += fmt::format("\\x{:02x}", c);
    } else if (c == 0xC2 && byte_at(at + 1) >= 0x80 && byte_at(at + 1) < 0xA0) {
      // Terminals obey U+009B as they do ESC [.
      out += fmt::format("\\u{:04x}", byte_at(++at));
    } else {
      out += text[at];
    }
  }
  return out;
}

std::string html_plain(std::string_view text) { return escaped(text, "\"'"); }

std::string markdown_plain(std::string_view text) { return escaped(text, "|`*_[]#@~\\"); }

std::string to_human(std::chrono::seconds span) {
  const auto seconds = std::max<std::chrono::seconds::rep>(span.count(), 0);
  if (seconds < 60) return fmt::format("{} s", seconds);
  if (seconds < 3600) return fmt::format("{} min", (seconds + 30) / 60);
  if (seconds < 86400) return fmt::format("{} h {:02} min", seconds / 3600, seconds % 3600 / 60);
  return fmt::format("{} d {} h", seconds / 86400, seconds % 86400 / 3600);
}

std::string counted(std::size_t count, std::string_view one, std::string_view many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

}  // namespace pvr::cli
