#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fate/dice.h"

namespace pvr::fate {

/// What happened, for people (kept only when somebody wants to read it) and as a number to compare runs by.
class Story {
 public:
  explicit Story(bool kept) : kept_(kept) {}
  [[nodiscard]] bool kept() const { return kept_; }
  /// One thing that happened. Part of the digest.
  void tell(const std::string& line) {
    digest_.add(line);
    if (kept_) lines_.push_back(line);
  }
  /// Part of the digest only.
  void note(std::string_view text) { digest_.add(text); }
  /// For readers only.
  void remark(const std::string& line) {
    if (kept_) lines_.push_back(line);
  }
  [[nodiscard]] std::uint64_t digest() const { return digest_.value(); }
  [[nodiscard]] const std::vector<std::string>& lines() const { return lines_; }

 private:
  bool kept_;
  Hash digest_;
  std::vector<std::string> lines_;
};

}  // namespace pvr::fate
