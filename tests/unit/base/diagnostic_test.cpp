#include "reconciler/base/diagnostic.h"

#include <gtest/gtest.h>

#include <array>

namespace pvr {
namespace {

SourceSet sources_with(std::string text) {
  SourceSet sources;
  sources.add("fleet.yaml", std::move(text));
  return sources;
}

TEST(SourceSet, KnowsItsLines) {
  SourceSet sources = sources_with("a: 1\r\nb: 2\n\nlast");
  EXPECT_EQ(sources.line(1, 1), "a: 1");
  EXPECT_EQ(sources.line(1, 2), "b: 2");
  EXPECT_EQ(sources.line(1, 3), "");
  EXPECT_EQ(sources.line(1, 4), "last");
  EXPECT_EQ(sources.line(1, 5), "");
  EXPECT_EQ(sources.line(1, 0), "");
  EXPECT_EQ(sources.line(9, 1), "");
  EXPECT_EQ(sources.place({1, 2, 4, 1}), "fleet.yaml:2:4");
  EXPECT_EQ(sources.place({0, 0, 0, 0}), "builtin_roles.yaml");
  sources.set_text(0, "roles:\n  x: {}\n");
  EXPECT_EQ(sources.line(0, 2), "  x: {}");
}

TEST(Render, ShowsTheLineACaretTheDetailAndTheNotes) {
  SourceSet sources = sources_with("roles:\n  db: {cache: nnone}\n");
  Diagnostic d{Severity::kError,     "schema.enum.unknown",
               "Unknown cache mode", "\"nnone\" is no cache mode.\nSecond line.",
               {1, 2, 15, 5},        {{"The role starts here.", {1, 2, 3, 2}}, {"No place.", {}}}};
  EXPECT_EQ(render(d, sources),
            "fleet.yaml:2:15: error: Unknown cache mode [schema.enum.unknown]\n"
            "    2 |   db: {cache: nnone}\n"
            "      |               ^^^^^\n"
            "  \"nnone\" is no cache mode.\n"
            "  Second line.\n"
            "  note: fleet.yaml:2:3: The role starts here.\n"
            "  note: No place.\n");
}

TEST(Render, PutsTheCaretBelowTheCharacterBehindWideBytesAndTabs) {
  SourceSet sources = sources_with("\t\xC3\xA4: \xC3\xB6\xC3\xB6x\n");
  Diagnostic d{Severity::kWarning, "x.y", "S", "", {1, 1, 6, 5}, {}};
  EXPECT_EQ(render(d, sources),
            "fleet.yaml:1:6: warning: S [x.y]\n"
            "    1 | \t\xC3\xA4: \xC3\xB6\xC3\xB6x\n"
            "      | \t   ^^^\n");
}

TEST(Render, LetsNoControlCharacterReachTheTerminal) {
  SourceSet sources = sources_with("a: \x1b[2J\xC2\x9B!\n");
  Diagnostic d{Severity::kError, "x", "S", "bad \x1b]0;title\x07", {1, 1, 4, 1}, {}};
  std::string text = render(d, sources);
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(text.find('\x07'), std::string::npos);
  EXPECT_EQ(text.find("\xC2\x9B"), std::string::npos);
}

TEST(Render, CutsLongLinesAroundThePlace) {
  std::string line(5000, 'a');
  line[4000] = 'X';
  SourceSet sources = sources_with(line);
  std::string text = render({Severity::kError, "x", "S", "", {1, 1, 4001, 1}, {}}, sources);
  EXPECT_LT(text.size(), 600U);
  std::size_t second = text.find('\n') + 1;
  std::size_t third = text.find('\n', second) + 1;
  // The cut is shown by one character of three bytes on the first of the two lines.
  EXPECT_EQ(text.find('X', second) - second - 2, text.find('^', third) - third);
}

TEST(Render, SurvivesSpansOutsideTheText) {
  SourceSet sources = sources_with("a\n");
  EXPECT_NE(render({Severity::kError, "x", "S", "", {1, 1, 900, 900}, {}}, sources).find("fleet.yaml:1:900"),
            std::string::npos);
  EXPECT_NE(render({Severity::kError, "x", "S", "", {7, 1, 1, 1}, {}}, sources).find("error: S"), std::string::npos);
}

TEST(Render, ColoursOnlyWhenAsked) {
  SourceSet sources = sources_with("a\n");
  Diagnostic d{Severity::kNotice, "x", "S", "", {1, 1, 1, 1}, {}};
  EXPECT_EQ(render(d, sources).find('\x1b'), std::string::npos);
  EXPECT_NE(render(d, sources, Colour::kOn).find("\x1b[1;36mnotice"), std::string::npos);
}

TEST(Nearest, FindsWhatWasMeant) {
  constexpr std::array<std::string_view, 5> kNames{"none", "writeback", "memory", "disks", "snapshot-as-volume-chain"};
  EXPECT_EQ(nearest("nnone", kNames), "none");
  EXPECT_EQ(nearest("NONE", kNames), "none");
  EXPECT_EQ(nearest("wirteback", kNames), "writeback");
  EXPECT_EQ(nearest("mem", kNames), "memory");
  EXPECT_EQ(nearest("disk", kNames), "disks");
  EXPECT_EQ(nearest("snapshot_as_volume_chain", kNames), "snapshot-as-volume-chain");
  EXPECT_EQ(nearest("zebra", kNames), std::nullopt);
  EXPECT_EQ(nearest("", kNames), std::nullopt);
  EXPECT_EQ(nearest("x", std::array<std::string_view, 1>{"y"}), std::nullopt);
  EXPECT_EQ(nearest(std::string(100000, 'n'), kNames), std::nullopt);
  EXPECT_EQ(did_you_mean("nnone", kNames), " Did you mean \"none\"?");
  EXPECT_EQ(did_you_mean("zebra", kNames), "");
}

TEST(SortDiagnostics, OrdersByPlaceThenCode) {
  Diagnostics list{{Severity::kError, "b", "", "", {1, 2, 1, 0}, {}},
                   {Severity::kError, "a", "", "", {1, 2, 1, 0}, {}},
                   {Severity::kError, "c", "", "", {1, 1, 9, 0}, {}},
                   {Severity::kNotice, "d", "", "", {0, 5, 1, 0}, {}}};
  sort_diagnostics(list);
  std::string order;
  for (const Diagnostic& d : list) order += d.code;
  EXPECT_EQ(order, "dcab");
  EXPECT_TRUE(has_errors(list));
}

}  // namespace
}  // namespace pvr
