#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace pvr::fate {

/// FNV-1a over texts: the same on every machine and with every compiler.
class Hash {
 public:
  void add(std::string_view text) {
    for (const char c : text) {
      value_ ^= static_cast<unsigned char>(c);
      value_ *= 1099511628211U;
    }
    value_ = (value_ ^ 0xFFU) * 1099511628211U;  // a border: "ab" "c" is not "a" "bc"
  }
  [[nodiscard]] std::uint64_t value() const { return value_; }

 private:
  std::uint64_t value_ = 14695981039346656037U;
};

/// Chance from a seed. Each purpose has a stream of its own, so that one more throw here changes nothing there.
class Dice {
 public:
  Dice(std::uint64_t seed, std::string_view stream) : state_(seed) {
    Hash name;
    name.add(stream);
    state_ = (seed + 1) * 0x9E3779B97F4A7C15U ^ name.value();
    next();
  }
  /// SplitMix64.
  std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15U;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30U)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27U)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31U);
  }
  /// 0 … n-1; n is not 0.
  std::uint32_t below(std::size_t n) { return static_cast<std::uint32_t>(next() % n); }
  /// low … high.
  int between(int low, int high) { return low + static_cast<int>(below(static_cast<std::size_t>(high - low + 1))); }
  bool percent(std::uint32_t chance) { return below(100) < chance; }
  bool permille(std::uint32_t chance) { return below(1000) < chance; }
  template <class T>
  const T& pick(const std::vector<T>& list) {
    return list[below(list.size())];
  }
  const char* pick(std::initializer_list<const char*> list) { return list.begin()[below(list.size())]; }

 private:
  std::uint64_t state_;
};

}  // namespace pvr::fate
