#pragma once

#include <ostream>
#include <span>
#include <string>
#include <string_view>

namespace pvr::fuzz {

/// A reader of texts from outside. It is given any bytes and must neither crash nor hang, and what it reads must hold
/// what its header promises.
struct Target {
  std::string_view name;                       // also the folder of its corpus
  std::string (*run)(std::string_view bytes);  // what does not hold; "": all is well
};

/// For test names.
inline void PrintTo(const Target& target, std::ostream* out) { *out << target.name; }

/// Every target, in the order of their names.
[[nodiscard]] std::span<const Target> targets();

}  // namespace pvr::fuzz
