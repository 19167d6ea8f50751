#include "reconciler/policy/guest_rules.h"

#include <algorithm>

namespace pvr {
namespace {

struct Level {
  std::string_view model = {};
  std::string_view needs = {};  // flags beyond those of the level below
};
constexpr Level kLevels[] = {
    {"x86-64-v2", "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"},
    {"x86-64-v2-AES", "aes"},
    {"x86-64-v3", "avx avx2 bmi1 bmi2 f16c fma movbe xsave"},
    {"x86-64-v4", "avx512f avx512bw avx512cd avx512dq avx512vl"},
};

bool has_flag(std::string_view flags, std::string_view flag) {
  for (std::size_t at = flags.find(flag); at != std::string_view::npos; at = flags.find(flag, at + 1)) {
    const std::size_t end = at + flag.size();
    if ((at == 0 || flags[at - 1] == ' ') && (end == flags.size() || flags[end] == ' ')) return true;
  }
  return false;
}

bool has_all(std::string_view flags, std::string_view needs) {
  while (!needs.empty()) {
    const std::size_t blank = std::min(needs.find(' '), needs.size());
    if (!has_flag(flags, needs.substr(0, blank))) return false;
    needs.remove_prefix(std::min(blank + 1, needs.size()));
  }
  return true;
}

}  // namespace

std::string_view cpu_level_of_flags(std::string_view flags) {
  std::string_view best;
  for (const Level& level : kLevels) {
    if (!has_all(flags, level.needs)) break;
    best = level.model;
  }
  return best;
}

}  // namespace pvr
