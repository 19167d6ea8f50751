#include <string>
#include <vector>

#include "cli/commands.h"
#include "providers/pve/secret.h"

int main(int argc, char** argv) {
  pvr::leave_no_core_file();
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  pvr::cli::Terminal terminal = pvr::cli::process_terminal();
  return static_cast<int>(pvr::cli::run(arguments, terminal));
}
