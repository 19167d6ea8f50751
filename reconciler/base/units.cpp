#include "reconciler/base/units.h"

#include <fmt/format.h>

#include <array>
#include <limits>

namespace pvr {
namespace {

struct Unit {
  std::string_view name;
  unsigned shift;
};
constexpr std::array kUnits{Unit{"TiB", 40}, Unit{"GiB", 30}, Unit{"MiB", 20}, Unit{"KiB", 10}, Unit{"B", 0}};

std::optional<unsigned> shift_of(std::string_view unit) {
  if (unit == "B") return 0U;
  if (unit == "K" || unit == "k" || unit == "KiB") return 10U;
  if (unit == "M" || unit == "m" || unit == "MiB") return 20U;
  if (unit == "G" || unit == "g" || unit == "GiB") return 30U;
  if (unit == "T" || unit == "t" || unit == "TiB") return 40U;
  return std::nullopt;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

std::string to_text(ByteSize size) {
  for (const Unit& unit : kUnits) {
    std::uint64_t one = std::uint64_t{1} << unit.shift;
    if (size.bytes < one) continue;
    if (size.bytes % one == 0) return fmt::format("{}{}", size.bytes / one, unit.name);
    if (one > 1 && size.bytes % (one / 2) == 0) return fmt::format("{}.5{}", size.bytes / one, unit.name);
  }
  return "0B";
}

std::string to_human(ByteSize size) {
  for (const Unit& unit : kUnits) {
    std::uint64_t one = std::uint64_t{1} << unit.shift;
    // The next smaller unit would round up to 1024 of itself: 1023.9 GiB reads as 1 TiB.
    bool rounds_up_to_one = unit.shift > 0 && size.bytes >= one - one / 2048;
    if (size.bytes < one && !rounds_up_to_one) continue;
    double amount = static_cast<double>(size.bytes) / static_cast<double>(one);
    std::string digits = fmt::format("{:.{}f}", amount, amount >= 99.95 ? 0 : amount >= 9.995 ? 1 : 2);
    if (digits.find('.') != std::string::npos) {
      digits.erase(digits.find_last_not_of('0') + 1);
      if (digits.back() == '.') digits.pop_back();
    }
    return fmt::format("{} {}", digits, unit.name);
  }
  return "0 B";
}

std::string to_human(ByteRate rate) {
  if (rate.bytes_per_second == 0) return "no limit";
  return to_human(ByteSize{rate.bytes_per_second}) + "/s";
}

std::optional<ByteSize> parse_size(std::string_view text) {
  std::size_t at = 0;
  std::uint64_t whole = 0;
  constexpr std::uint64_t kMaximum = std::numeric_limits<std::uint64_t>::max();
  for (; at < text.size() && is_digit(text[at]); ++at) {
    auto digit = static_cast<std::uint64_t>(text[at] - '0');
    if (whole > (kMaximum - digit) / 10) return std::nullopt;
    whole = whole * 10 + digit;
  }
  if (at == 0) return std::nullopt;
  std::string_view fraction;
  if (at < text.size() && text[at] == '.') {
    std::size_t begin = ++at;
    while (at < text.size() && is_digit(text[at])) ++at;
    fraction = text.substr(begin, at - begin);
    if (fraction.empty()) return std::nullopt;
    while (!fraction.empty() && fraction.back() == '0') fraction.remove_suffix(1);
  }
  if (at < text.size() && text[at] == ' ') ++at;
  std::optional<unsigned> shift = shift_of(text.substr(at));
  if (!shift || whole > kMaximum >> *shift) return std::nullopt;
  std::uint64_t bytes = whole << *shift;
  if (!fraction.empty()) {
    // d digits behind the point: fraction / 10^d of 2^shift is whole only if 5^d divides the digits and 2^d the rest.
    if (fraction.size() > 18) return std::nullopt;
    std::uint64_t digits = 0;
    std::uint64_t fives = 1;
    for (char c : fraction) {
      digits = digits * 10 + static_cast<std::uint64_t>(c - '0');
      fives *= 5;
    }
    if (digits % fives != 0) return std::nullopt;
    std::uint64_t scaled = digits / fives << *shift;  // below 2^18 * 2^40
    std::uint64_t twos = std::uint64_t{1} << fraction.size();
    if (scaled % twos != 0) return std::nullopt;
    std::uint64_t part = scaled / twos;
    if (bytes > kMaximum - part) return std::nullopt;
    bytes += part;
  }
  return ByteSize{bytes};
}

}  // namespace pvr
