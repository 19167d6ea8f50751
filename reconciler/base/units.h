#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pvr {

/// An amount of data in bytes.
struct ByteSize {
  std::uint64_t bytes = 0;
  friend auto operator<=>(const ByteSize&, const ByteSize&) = default;
  friend constexpr ByteSize operator+(ByteSize a, ByteSize b) { return {a.bytes + b.bytes}; }
  /// Rounds up to a multiple of `grain`, which is not zero.
  [[nodiscard]] constexpr ByteSize padded_to(ByteSize grain) const {
    return {(bytes + grain.bytes - 1) / grain.bytes * grain.bytes};
  }
};

/// Bytes per second; zero means "no limit" where a limit is meant.
struct ByteRate {
  std::uint64_t bytes_per_second = 0;
  friend auto operator<=>(const ByteRate&, const ByteRate&) = default;
};

/// A guest's number in the cluster: 100 … 999999999.
struct Vmid {
  std::uint32_t number = 0;
  friend auto operator<=>(const Vmid&, const Vmid&) = default;
};

// NOLINTBEGIN(google-runtime-int)
constexpr ByteSize operator""_KiB(unsigned long long n) { return {n << 10U}; }
constexpr ByteSize operator""_MiB(unsigned long long n) { return {n << 20U}; }
constexpr ByteSize operator""_GiB(unsigned long long n) { return {n << 30U}; }
constexpr ByteSize operator""_TiB(unsigned long long n) { return {n << 40U}; }
// NOLINTEND(google-runtime-int)

/// "64GiB", "1.5TiB", "528KiB", "100B": the largest unit in which the size is a whole number or a half. Always exact,
/// and read back by parse_size to the same size.
[[nodiscard]] std::string to_text(ByteSize size);
/// For people: "1.49 TiB", "256 GiB": rounded to three significant digits, without trailing zeros.
[[nodiscard]] std::string to_human(ByteSize size);
/// "100 MiB/s"; zero is "no limit".
[[nodiscard]] std::string to_human(ByteRate rate);

/// Reads a size as the fleet language writes it: a number, optionally with a fraction, and a unit that is required.
/// Binary units K KiB M MiB G GiB T TiB k m g t (1024-based, as PVE and ZFS mean them) and B; KB MB GB TB are refused
/// because nobody agrees what they mean. Nothing on any other text, on overflow, and on a fraction of a byte.
[[nodiscard]] std::optional<ByteSize> parse_size(std::string_view text);

}  // namespace pvr
