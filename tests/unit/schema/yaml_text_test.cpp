#include "schema/yaml_text.h"

#include <gtest/gtest.h>

#include <string>

#include "schema/yaml_reader.h"
#include "tests/unit/schema/reading.h"

namespace pvr {
namespace {

std::string utf8(unsigned code) {
  if (code < 0x80) return {static_cast<char>(code)};
  if (code < 0x800) return {static_cast<char>(0xC0 | code >> 6U), static_cast<char>(0x80 | (code & 0x3FU))};
  return {static_cast<char>(0xE0 | code >> 12U), static_cast<char>(0x80 | (code >> 6U & 0x3FU)),
          static_cast<char>(0x80 | (code & 0x3FU))};
}

/// What the fleet reader makes of a file that holds `value`.
std::string read_back(const std::string& value) {
  SourceSet sources;
  const std::uint32_t file = sources.add("written", "key: " + value + "  # " + by_number("a remark") + "\n");
  Diagnostics diagnostics;
  const YamlFile read = read_yaml(sources, file, diagnostics);
  if (!diagnostics.empty()) return "refused: " + diagnostics.front().detail;
  const YamlNode* node = read.tree.find(*read.tree.root(), "key");
  if (is_null(*node)) return "null";
  if (node->plain) return "plain " + std::string(node->text);
  return std::string(node->text);
}

TEST(YamlText, EveryCharacterIsReadBack) {
  for (unsigned code = 1; code < 0x10000; code = code == 0xD7FF ? 0xE000 : code + 1) {
    const std::string text = "a " + utf8(code) + "b";
    ASSERT_EQ(read_back(yaml_quoted(text)), text) << std::hex << code;
  }
  EXPECT_EQ(read_back(yaml_quoted("\U0001F512")), "\U0001F512");
  EXPECT_EQ(read_back(yaml_quoted("\xff")), "\xef\xbf\xbd");
}

TEST(YamlText, StandsPlainOnlyWhereNothingElseIsMeant) {
  for (const std::string text : {"tank", "local-zfs", "/dev/disk", "web01.example.org", "Trues"})
    EXPECT_EQ(yaml_scalar(text), text);
  for (const std::string text :
       {"", "true", "No", "ON", "null", "y", "12", "1e3", "-", ".inf", "a b", "a: b", "#", "é"})
    EXPECT_EQ(yaml_scalar(text), '"' + text + '"');
}

TEST(YamlText, CommentsShowWhatCannotStandInThem) {
  EXPECT_EQ(by_number("a\xc2\x85 b\x7f\xc3\xa9"), "a\\u0085 b\\u007f\xc3\xa9");
}

}  // namespace
}  // namespace pvr
