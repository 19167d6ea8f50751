#include "reconciler/base/units.h"

#include <gtest/gtest.h>

namespace pvr {
namespace {

TEST(ParseSize, ReadsWholeNumbersOfEveryUnit) {
  EXPECT_EQ(parse_size("16k"), 16_KiB);
  EXPECT_EQ(parse_size("528KiB"), 528_KiB);
  EXPECT_EQ(parse_size("4M"), 4_MiB);
  EXPECT_EQ(parse_size("64GiB"), 64_GiB);
  EXPECT_EQ(parse_size("2 TiB"), 2_TiB);
  EXPECT_EQ(parse_size("100B"), ByteSize{100});
  EXPECT_EQ(parse_size("0B"), ByteSize{0});
}

TEST(ParseSize, ReadsFractionsThatAreWholeBytes) {
  EXPECT_EQ(parse_size("1.5TiB"), 1536_GiB);
  EXPECT_EQ(parse_size("0.125KiB"), ByteSize{128});
  EXPECT_EQ(parse_size("1.50GiB"), 1536_MiB);
  EXPECT_FALSE(parse_size("0.1GiB"));
  EXPECT_FALSE(parse_size("0.5B"));
}

TEST(ParseSize, RefusesWhatIsNoSize) {
  for (const char* text :
       {"", "64", "GiB", "64GB", "64kb", "-1GiB", "+1G", "1.G", ".5G", "1e3G", "64 GiB ", "1  G", "0x10G"}) {
    EXPECT_FALSE(parse_size(text)) << text;
  }
}

TEST(ParseSize, RefusesOverflow) {
  EXPECT_EQ(parse_size("18446744073709551615B"), ByteSize{18446744073709551615U});
  EXPECT_FALSE(parse_size("18446744073709551616B"));
  EXPECT_FALSE(parse_size("16777216TiB"));
  EXPECT_TRUE(parse_size("16777215.5TiB"));
}

TEST(SizeText, IsExactAndReadBack) {
  EXPECT_EQ(to_text(64_GiB), "64GiB");
  EXPECT_EQ(to_text(1536_GiB), "1.5TiB");
  EXPECT_EQ(to_text(528_KiB), "528KiB");
  EXPECT_EQ(to_text(ByteSize{100}), "100B");
  EXPECT_EQ(to_text(ByteSize{0}), "0B");
  for (std::uint64_t bytes : {1ULL, 512ULL, 1023ULL, 1025ULL, 1536ULL, 270532608ULL, 68719476736ULL, ~0ULL}) {
    EXPECT_EQ(parse_size(to_text(ByteSize{bytes})), ByteSize{bytes}) << bytes;
  }
}

TEST(SizeForPeople, HasThreeSignificantDigits) {
  EXPECT_EQ(to_human(256_GiB), "256 GiB");
  EXPECT_EQ(to_human(ByteSize{1638000000000}), "1.49 TiB");
  EXPECT_EQ(to_human(ByteSize{1024 * 1024 * 1024 - 1}), "1 GiB");
  EXPECT_EQ(to_human(ByteSize{1}), "1 B");
  EXPECT_EQ(to_human(ByteSize{0}), "0 B");
  EXPECT_EQ(to_human(ByteSize{99 * 1024 + 990}), "100 KiB");
  EXPECT_EQ(to_human(ByteRate{0}), "no limit");
  EXPECT_EQ(to_human(ByteRate{100 << 20}), "100 MiB/s");
}

TEST(PaddedTo, RoundsUpToTheGrain) {
  EXPECT_EQ(ByteSize{1}.padded_to(4_KiB), 4_KiB);
  EXPECT_EQ((4_KiB).padded_to(4_KiB), 4_KiB);
}

}  // namespace
}  // namespace pvr
