// One program for all targets; FUZZ_TARGET in the environment names the one to run. Built by scripts/fuzz only.
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "tests/fuzz/targets.h"

namespace {

const pvr::fuzz::Target& chosen() {
  const char* name = std::getenv("FUZZ_TARGET");
  for (const pvr::fuzz::Target& target : pvr::fuzz::targets())
    if (name != nullptr && target.name == name) return target;
  std::fputs("FUZZ_TARGET names no target\n", stderr);
  std::exit(2);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const pvr::fuzz::Target& target = chosen();
  const std::string problem = target.run({reinterpret_cast<const char*>(data), size});
  if (!problem.empty()) {
    std::fprintf(stderr, "%s\n", problem.c_str());
    std::abort();
  }
  return 0;
}
