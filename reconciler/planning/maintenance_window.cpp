#include <array>
#include <charconv>
#include <optional>

#include "reconciler/planning/make_plan.h"

namespace pvr {
namespace {

constexpr int kDay = 24 * 60;

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

// "02:00" → minutes after midnight; 24:00 is allowed as an end.
std::optional<int> minutes_of(std::string_view text) {
  int hours = 0;
  int minutes = 0;
  const char* end = text.data() + text.size();
  const auto first = std::from_chars(text.data(), end, hours);
  if (first.ec != std::errc{} || first.ptr == end || *first.ptr != ':') return std::nullopt;
  const auto second = std::from_chars(first.ptr + 1, end, minutes);
  if (second.ec != std::errc{} || second.ptr != end || second.ptr - first.ptr != 3) return std::nullopt;
  const int all = hours * 60 + minutes;
  return hours >= 0 && minutes >= 0 && minutes < 60 && all <= kDay ? std::optional(all) : std::nullopt;
}

// 0 is Sunday.
std::optional<int> weekday_of(std::string_view text) {
  constexpr std::array<std::string_view, 7> kNames = {"sun", "mon", "tue", "wed", "thu", "fri", "sat"};
  if (text.size() < 3) return std::nullopt;
  std::string lower;
  for (const char c : text.substr(0, 3)) lower += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  for (std::size_t i = 0; i < kNames.size(); ++i)
    if (lower == kNames.at(i)) return static_cast<int>(i);
  return std::nullopt;
}

bool in_one_window(std::string_view window, int weekday, int minute) {
  std::optional<int> day;
  if (const auto blank = window.find(' '); blank != std::string_view::npos) {
    day = weekday_of(window.substr(0, blank));
    if (!day) return false;
    window = trimmed(window.substr(blank));
  }
  const auto dash = window.find('-');
  if (dash == std::string_view::npos) return false;
  const std::optional<int> from = minutes_of(trimmed(window.substr(0, dash)));
  const std::optional<int> to = minutes_of(trimmed(window.substr(dash + 1)));
  if (!from || !to) return false;
  if (*from < *to) return (!day || *day == weekday) && minute >= *from && minute < *to;
  const bool evening = (!day || *day == weekday) && minute >= *from;
  const bool morning = (!day || (*day + 1) % 7 == weekday) && minute < *to;
  return evening || morning;
}

}  // namespace

bool in_maintenance_window(std::string_view windows, std::chrono::system_clock::time_point now,
                           std::chrono::minutes utc_offset) {
  const auto minutes = std::chrono::floor<std::chrono::minutes>(now.time_since_epoch()) + utc_offset;
  const auto days = std::chrono::floor<std::chrono::days>(minutes);
  const int minute = static_cast<int>((minutes - days).count());
  const auto weekday = static_cast<int>(std::chrono::weekday(std::chrono::sys_days(days)).c_encoding());
  while (!windows.empty()) {
    const auto comma = windows.find(',');
    if (in_one_window(trimmed(windows.substr(0, comma)), weekday, minute)) return true;
    if (comma == std::string_view::npos) break;
    windows.remove_prefix(comma + 1);
  }
  return false;
}

}  // namespace pvr
