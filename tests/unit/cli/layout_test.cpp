#include "cli/layout.h"

#include <gtest/gtest.h>

namespace pvr::cli {
namespace {

TEST(Layout, WidthCountsCodePointsWithoutColours) {
  EXPECT_EQ(width_of("a → b"), 5U);
  EXPECT_EQ(width_of(Style(true).red("abc")), 3U);
}

TEST(Layout, PaddingFillsToTheWidthAndNeverCuts) {
  EXPECT_EQ(padded("ab", 4), "ab  ");
  EXPECT_EQ(padded("→", 3), "→  ");
  EXPECT_EQ(padded("abcdef", 4), "abcdef");
}

TEST(Layout, ShorteningKeepsTheWidthAndEndsColours) {
  EXPECT_EQ(shortened("abcdef", 6), "abcdef");
  EXPECT_EQ(shortened("abcdef", 4), "abc…");
  EXPECT_EQ(width_of(shortened(Style(true).red("abcdef"), 4)), 4U);
  EXPECT_TRUE(shortened(Style(true).red("abcdef"), 4).ends_with("\x1b[0m"));
}

TEST(Layout, WrappingBreaksAtBlanks) {
  EXPECT_EQ(wrapped("one two three", "  ", 9), "  one two\n  three\n");
  EXPECT_EQ(wrapped("one two three", "  ", 0), "  one two three\n");
  EXPECT_EQ(wrapped("", "  ", 10), "");
  EXPECT_EQ(wrapped("unbreakablylong x", "", 5), "unbreakablylong\nx\n");
}

TEST(Layout, SpansReadAsPeopleSayThem) {
  using std::chrono::seconds;
  EXPECT_EQ(to_human(seconds(0)), "0 s");
  EXPECT_EQ(to_human(seconds(59)), "59 s");
  EXPECT_EQ(to_human(seconds(655)), "11 min");
  EXPECT_EQ(to_human(seconds(7500)), "2 h 05 min");
  EXPECT_EQ(to_human(seconds(270000)), "3 d 3 h");
}

TEST(Layout, ControlCharactersBecomeVisible) {
  EXPECT_EQ(printable("a\x1b[1mb\nc"), "a\\x1b[1mb\\nc");
  EXPECT_EQ(printable("a\xc2\x9b"
                      "1mb \xc3\xa9 \xc2\xa0\xc2"),
            "a\\u009b1mb \xc3\xa9 \xc2\xa0\xc2");
}

}  // namespace
}  // namespace pvr::cli
