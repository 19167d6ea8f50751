#include "tests/unit/cli/golden.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <string_view>

namespace pvr::test {

void expect_file(const std::string& path_in_repository, const std::string& text) {
  const std::string path = std::string(PVERECONCILE_SOURCE_DIR) + "/" + path_in_repository;
  const char* accept = std::getenv("PVERECONCILE_TEST_ACCEPT");
  if (accept != nullptr && std::string_view(accept) == "1") {
    std::ofstream(path) << text;
    return;
  }
  std::ifstream file(path);
  ASSERT_TRUE(file.good()) << path << " is missing; PVERECONCILE_TEST_ACCEPT=1 writes it";
  const std::string wanted((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  EXPECT_EQ(text, wanted) << "PVERECONCILE_TEST_ACCEPT=1 rewrites " << path;
}

void expect_golden(const std::string& name, const std::string& text) {
  expect_file("tests/unit/cli/golden/" + name, text);
}

}  // namespace pvr::test
