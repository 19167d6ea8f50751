#include "cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "cli/shell_texts.h"
#include "tests/unit/cli/golden.h"

namespace pvr::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(CommandLine, PlanTakesItsOptions) {
  const ParsedCommandLine parsed =
      parse_command_line({"plan", "fleet.yaml", "-o", "json", "--detailed-exitcode", "--target", "vm/a", "--target",
                          "vm/b", "--endpoint", "https://pve1:8006", "--out", "p.pvr"});
  ASSERT_TRUE(parsed.run) << parsed.text;
  EXPECT_EQ(parsed.invocation.command, "plan");
  EXPECT_EQ(parsed.invocation.file, "fleet.yaml");
  EXPECT_EQ(parsed.invocation.output, OutputForm::kJson);
  EXPECT_TRUE(parsed.invocation.detailed_exitcode);
  EXPECT_THAT(parsed.invocation.targets, ElementsAre("vm/a", "vm/b"));
  EXPECT_EQ(parsed.invocation.plan_out, "p.pvr");
}

TEST(CommandLine, ABareSimulateNeverSwallowsTheNextWord) {
  const ParsedCommandLine bare = parse_command_line({"plan", "--simulate", "fleet.yaml"});
  ASSERT_TRUE(bare.run) << bare.text;
  EXPECT_EQ(bare.invocation.simulate, "");
  EXPECT_EQ(bare.invocation.file, "fleet.yaml");
  const ParsedCommandLine named = parse_command_line({"plan", "--simulate=cluster.yaml", "fleet.yaml"});
  EXPECT_EQ(named.invocation.simulate, "cluster.yaml");
  EXPECT_FALSE(parse_command_line({"plan", "fleet.yaml"}).invocation.simulate.has_value());
}

TEST(CommandLine, AllowTakesAListAndRefusesOtherWords) {
  EXPECT_THAT(parse_command_line({"apply", "f", "--allow", "restart,destroy"}).invocation.allow,
              ElementsAre("restart", "destroy"));
  const ParsedCommandLine wrong = parse_command_line({"apply", "f", "--allow", "everything"});
  EXPECT_FALSE(wrong.run);
  EXPECT_TRUE(wrong.is_error);
  EXPECT_THAT(wrong.text, HasSubstr("everything"));
}

TEST(CommandLine, RoleCommandsHaveTheirOwnNames) {
  EXPECT_EQ(parse_command_line({"role", "list"}).invocation.command, "role list");
  const ParsedCommandLine show = parse_command_line({"role", "show", "specialty-linux"});
  EXPECT_EQ(show.invocation.command, "role show");
  EXPECT_THAT(show.invocation.words, ElementsAre("specialty-linux"));
}

TEST(CommandLine, MistakesAreErrorsAndHelpIsNot) {
  EXPECT_TRUE(parse_command_line({"plan"}).is_error);
  EXPECT_TRUE(parse_command_line({"plan", "f", "--no-such-option"}).is_error);
  EXPECT_TRUE(parse_command_line({"frobnicate"}).is_error);
  EXPECT_TRUE(parse_command_line({}).is_error);
  const ParsedCommandLine help = parse_command_line({"plan", "--help"});
  EXPECT_FALSE(help.run);
  EXPECT_FALSE(help.is_error);
  EXPECT_THAT(help.text, HasSubstr("--detailed-exitcode"));
}

TEST(ShellTexts, EveryCommandAndLongOptionIsCompleted) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const std::string script = completion_script(shell);
    for (const CommandDescription& command : describe_commands()) {
      EXPECT_NE(script.find(command.name.substr(command.name.rfind(' ') + 1)), std::string::npos)
          << shell << " " << command.name;
      for (const OptionDescription& option : command.options) {
        for (const std::string& name : option.names) {
          const std::string spelled =
              std::string_view(shell) == "fish" ? name.substr(name.starts_with("--") ? 2 : 1) : name;
          EXPECT_NE(script.find(spelled), std::string::npos) << shell << " " << spelled;
        }
      }
    }
  }
  EXPECT_EQ(completion_script("tcsh"), "");
}

TEST(ShellTexts, CommandsThatDoNotExistYetAreNotOffered) {
  for (const char* later : {"serve"}) {
    EXPECT_TRUE(std::ranges::none_of(describe_commands(), [&](const CommandDescription& c) { return c.name == later; }))
        << later;
  }
}

TEST(ShellTexts, TheManualInTheRepositoryIsTheGeneratedOne) { test::expect_file("docs/pvereconcile.1", manual_page()); }

}  // namespace
}  // namespace pvr::cli
