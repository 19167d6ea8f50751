#include "reconciler/base/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pvr {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Glob, MatchesStarsAndQuestionMarks) {
  EXPECT_TRUE(glob_matches("*.yaml", "a.yaml"));
  EXPECT_TRUE(glob_matches("a*b*c", "axxbyyc"));
  EXPECT_TRUE(glob_matches("vm-?", "vm-1"));
  EXPECT_TRUE(glob_matches("*", ""));
  EXPECT_TRUE(glob_matches("vm/*/scsi*", "vm/301/scsi0"));
  EXPECT_FALSE(glob_matches("vm-?", "vm-12"));
  EXPECT_FALSE(glob_matches("", "a"));
  EXPECT_FALSE(glob_matches("*a*a*a*a*a*a*a*b", std::string(200, 'a')));
}

TEST(Lists, AreSeparatedAsPveDoesIt) {
  EXPECT_THAT(list_words("images,rootdir"), ElementsAre("images", "rootdir"));
  EXPECT_THAT(list_words(" pve1;pve2, pve3 "), ElementsAre("pve1", "pve2", "pve3"));
  EXPECT_THAT(list_words(",; "), IsEmpty());
  EXPECT_TRUE(list_holds("pve1,pve2", "pve2"));
  EXPECT_FALSE(list_holds("pve1,pve22", "pve2"));
  EXPECT_FALSE(list_holds("", ""));
}

TEST(Quotes, AreReadBackByAShell) {
  EXPECT_EQ(quote_word(""), "''");
  EXPECT_EQ(quote_word("it's $HOME"), "'it'\\''s $HOME'");
  EXPECT_EQ(quote_words({"zfs", "a b"}), "'zfs' 'a b'");
  EXPECT_EQ(shell_word("local-zfs:vm-1-disk-0,ssd=1"), "local-zfs:vm-1-disk-0,ssd=1");
  EXPECT_EQ(shell_word("a b"), "'a b'");
  EXPECT_EQ(shell_word(""), "''");
  EXPECT_EQ(shell_word("x;y"), "'x;y'");
}

}  // namespace
}  // namespace pvr
