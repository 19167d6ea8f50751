#include "terraform-plugin/provider/docs.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "tests/unit/terraform/core.h"

namespace pvr::tf {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

TEST(Docs, PagesOfTheRegistryAreCurrent) {
  const fs::path root = PVERECONCILE_SOURCE_DIR;
  std::map<std::string, std::string> examples;
  for (const auto& entry : fs::recursive_directory_iterator(root / "examples/terraform")) {
    if (entry.is_regular_file())
      examples[entry.path().lexically_relative(root / "examples/terraform").generic_string()] = read(entry.path());
  }
  Lab lab(kSmall);
  const char* flag = std::getenv("PVERECONCILE_TEST_ACCEPT");
  const bool accept = flag != nullptr && std::string(flag) == "1";
  for (const auto& [name, text] : docs_of(lab.provider()->schema(), examples)) {
    const fs::path path = root / "docs" / name;
    if (accept) {
      fs::create_directories(path.parent_path());
      std::ofstream(path, std::ios::trunc) << text;
    }
    EXPECT_EQ(read(path), text) << path << ": run once with PVERECONCILE_TEST_ACCEPT=1";
  }
}

}  // namespace
}  // namespace pvr::tf
