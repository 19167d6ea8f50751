#include <string>
#include <vector>

#include "cli/commands.h"

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  pvr::cli::Terminal terminal = pvr::cli::process_terminal();
  return static_cast<int>(pvr::cli::run(arguments, terminal));
}
