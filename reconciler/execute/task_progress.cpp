#include "reconciler/execute/task_progress.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>

namespace pvr {
namespace {

std::optional<double> leading_number(std::string_view text) {
  double value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc{} || end == text.data() || !std::isfinite(value) || value < 0) return std::nullopt;
  return value;
}

/// "114.0 MiB" → bytes.
std::optional<ByteSize> leading_size(std::string_view text) {
  const auto number = leading_number(text);
  const auto space = text.find(' ');
  if (!number || space == std::string_view::npos) return std::nullopt;
  const std::string_view unit = text.substr(space + 1);
  double factor = 0;
  if (unit.starts_with("B")) factor = 1;
  if (unit.starts_with("KiB")) factor = 1024.0;
  if (unit.starts_with("MiB")) factor = 1024.0 * 1024;
  if (unit.starts_with("GiB")) factor = 1024.0 * 1024 * 1024;
  if (unit.starts_with("TiB")) factor = 1024.0 * 1024 * 1024 * 1024;
  const double bytes = *number * factor;
  if (factor == 0 || bytes > 9e18) return std::nullopt;
  return ByteSize{static_cast<std::uint64_t>(bytes)};
}

std::optional<double> percent_in_brackets(std::string_view line) {
  const auto bracket = line.rfind('(');
  if (bracket == std::string_view::npos) return std::nullopt;
  const std::string_view inside = line.substr(bracket + 1);
  const auto number = leading_number(inside);
  if (!number || inside.find('%') == std::string_view::npos) return std::nullopt;
  return std::min(*number / 100.0, 1.0);
}

}  // namespace

std::optional<LogProgress> parse_progress(std::string_view line) {
  constexpr std::string_view kWord = "transferred ";
  const auto at = line.find(kWord);
  const auto fraction = percent_in_brackets(line);
  if (!fraction) return std::nullopt;
  LogProgress progress{.fraction = *fraction};
  if (at == std::string_view::npos) {
    // qemu-img prints "    (12.34/100%)" and nothing else.
    if (line.find("/100%)") == std::string_view::npos) return std::nullopt;
    return progress;
  }
  const std::string_view rest = line.substr(at + kWord.size());
  const auto of = rest.find(" of ");
  if (of == std::string_view::npos) return std::nullopt;
  const auto done = leading_size(rest);
  const auto total = leading_size(rest.substr(of + 4));
  if (done && total) {
    progress.done = *done;
    progress.total = *total;
  }
  return progress;
}

}  // namespace pvr
