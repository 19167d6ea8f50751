#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "schema/fleet_schema.h"

// Each case is a fleet file and what is said about it. With PVERECONCILE_TEST_ACCEPT=1 in the environment the present
// output becomes the expected one; read the difference before committing it.

namespace pvr {
namespace {

namespace fs = std::filesystem;

const fs::path kCases = fs::path(PVERECONCILE_SOURCE_DIR) / "tests/unit/schema/cases";

std::string read_text(const fs::path& path) {
  std::ifstream stream(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

bool accepting() {
  const char* flag = std::getenv("PVERECONCILE_TEST_ACCEPT");
  return flag != nullptr && std::string(flag) == "1";
}

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(kCases)) {
    if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem().string());
  }
  std::ranges::sort(names);
  return names;
}

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, SaysWhatIsExpected) {
  SourceSet sources;
  sources.add(GetParam() + ".yaml", read_text(kCases / (GetParam() + ".yaml")));
  Checked<FleetDocument> fleet = load_fleet(std::move(sources));
  std::string said;
  for (const Diagnostic& diagnostic : fleet.diagnostics) said += render(diagnostic, *fleet.value->sources) + "\n";
  fs::path expected = kCases / (GetParam() + ".expected");
  if (accepting()) {
    std::ofstream(expected, std::ios::binary) << said;
    return;
  }
  ASSERT_TRUE(fs::exists(expected)) << "run once with PVERECONCILE_TEST_ACCEPT=1";
  EXPECT_EQ(said, read_text(expected));
  EXPECT_EQ(fleet.ok(), said.find("error:") == std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(Cases, Golden, testing::ValuesIn(cases()), [](const auto& one) { return one.param; });

TEST(LanguagePage, HoldsTheReferenceMadeFromTheTables) {
  constexpr std::string_view kBegin = "<!-- keys: made from the field tables, do not edit -->\n";
  constexpr std::string_view kEnd = "<!-- end of keys -->";
  fs::path path = fs::path(PVERECONCILE_SOURCE_DIR) / "docs/fleet-language.md";
  std::string page = read_text(path);
  std::size_t begin = page.find(kBegin);
  std::size_t end = page.find(kEnd);
  ASSERT_NE(begin, std::string::npos);
  ASSERT_NE(end, std::string::npos);
  begin += kBegin.size();
  if (accepting()) {
    std::ofstream(path, std::ios::binary) << page.substr(0, begin) << language_reference() << page.substr(end);
    return;
  }
  EXPECT_EQ(page.substr(begin, end - begin), language_reference());
}

}  // namespace
}  // namespace pvr
