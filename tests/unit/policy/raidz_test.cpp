#include "reconciler/policy/raidz.h"

#include <gtest/gtest.h>

#include <string>

namespace pvr {
namespace {

constexpr VdevShape kMirror{.width = 2, .parity = 0, .ashift = 12};
constexpr VdevShape kRaidz1Of3{.width = 3, .parity = 1, .ashift = 12};

// Read from OpenZFS 2.3.9: `zfs create -V 1G -b …` and the refreservation it sets.
TEST(Raidz, RefreservationIsWhatZfsSets) {
  EXPECT_EQ(zvol_refreservation(1_GiB, 16_KiB, kMirror).bytes, 1092616192U);
  EXPECT_EQ(zvol_refreservation(2_GiB, 16_KiB, kMirror).bytes, 2183135232U);
  EXPECT_EQ(zvol_refreservation(1_GiB, 64_KiB, kRaidz1Of3).bytes, 1080033280U);
  EXPECT_EQ(zvol_refreservation(1_GiB, 16_KiB, kRaidz1Of3).bytes, 1092616192U);
  EXPECT_EQ(zvol_refreservation(1_GiB, 8_KiB, kRaidz1Of3).bytes, 1467307264U);
  EXPECT_EQ(zvol_refreservation(1_GiB, 4_KiB, kRaidz1Of3).bytes, 1500861696U);
}

// Read there, too: 64 MiB of random data refer to 90.3 MB at 8k, 67.5 MB at 16k, 67.2 MB at 64k.
TEST(Raidz, WrittenDataTakesWhatZfsReports) {
  const auto megabytes = [](ByteSize size) { return static_cast<double>(size.bytes) / 1e6; };
  EXPECT_NEAR(megabytes(zvol_data_space(64_MiB, 8_KiB, kRaidz1Of3)), 90.3, 1.0);
  EXPECT_NEAR(megabytes(zvol_data_space(64_MiB, 16_KiB, kRaidz1Of3)), 67.5, 0.5);
  EXPECT_NEAR(megabytes(zvol_data_space(64_MiB, 64_KiB, kRaidz1Of3)), 67.2, 0.5);
}

TEST(Raidz, CountsDataParityAndPadding) {
  const RaidzBlock block = raidz_block(16_KiB, {.width = 6, .parity = 2, .ashift = 12});
  EXPECT_EQ(block.data, 4U);
  EXPECT_EQ(block.parity, 2U);
  EXPECT_EQ(block.padding, 0U);
  const RaidzBlock small = raidz_block(8_KiB, {.width = 6, .parity = 2, .ashift = 12});
  EXPECT_EQ(small.data, 2U);
  EXPECT_EQ(small.parity, 2U);
  EXPECT_EQ(small.padding, 2U);  // 4 sectors are padded to a multiple of 3
  const RaidzBlock wide = raidz_block(128_KiB, {.width = 10, .parity = 2, .ashift = 12});
  EXPECT_EQ(wide.data, 32U);
  EXPECT_EQ(wide.parity, 8U);
  EXPECT_EQ(wide.padding, 2U);
}

TEST(Raidz, EfficiencyOfWellKnownLayouts) {
  EXPECT_DOUBLE_EQ(space_efficiency(16_KiB, kMirror), 0.5);
  EXPECT_DOUBLE_EQ(space_efficiency(8_KiB, kRaidz1Of3), 0.5);  // as bad as a mirror
  EXPECT_NEAR(space_efficiency(16_KiB, kRaidz1Of3), 2.0 / 3.0, 1e-9);
  EXPECT_NEAR(space_efficiency(8_KiB, {.width = 6, .parity = 2, .ashift = 12}), 1.0 / 3.0,
              1e-9);  // worse than a mirror
  EXPECT_NEAR(space_efficiency(1_MiB, {.width = 6, .parity = 2, .ashift = 12}), 4.0 / 6.0, 0.01);
}

TEST(Raidz, EfficiencyNeverExceedsTheShareOfDataDisks) {
  for (int parity = 1; parity <= 3; ++parity) {
    for (int width = parity + 1; width <= 16; ++width) {
      for (ByteSize block = 4_KiB; block <= 1_MiB; block.bytes *= 2) {
        const VdevShape shape{.width = width, .parity = parity, .ashift = 12};
        const double share = static_cast<double>(width - parity) / width;
        EXPECT_LE(space_efficiency(block, shape), share + 1e-9) << width << " " << parity << " " << block.bytes;
        EXPECT_EQ(raidz_block(block, shape).total() % static_cast<unsigned>(parity + 1), 0U);
      }
    }
  }
}

}  // namespace
}  // namespace pvr
