#include "reconciler/planning/space.h"

#include <gtest/gtest.h>
#include <algorithm>

#include "tests/unit/planning/world.h"

namespace pvr::testing {
namespace {

TEST(RaidzOverhead, CountsParityAndPadding) {
  // ashift 12: 16k are 4 data sectors. RAIDZ1 of 3 disks: 2 parity sectors, 6 in all. RAIDZ2 of 6: 2 parity, 6 sectors,
  // padded to 6.
  EXPECT_DOUBLE_EQ(raidz_overhead(16_KiB, 12, 3, 1), 1.5);
  EXPECT_DOUBLE_EQ(raidz_overhead(16_KiB, 12, 6, 2), 1.5);
  EXPECT_DOUBLE_EQ(raidz_overhead(8_KiB, 12, 6, 2), 3.0);    // 2 data, 2 parity, padded to 6
  EXPECT_DOUBLE_EQ(raidz_overhead(4_KiB, 12, 10, 1), 2.0);   // a mirror at best
  EXPECT_DOUBLE_EQ(raidz_overhead(128_KiB, 12, 6, 2), 1.5);  // 32 data, 16 parity
  EXPECT_DOUBLE_EQ(raidz_overhead(16_KiB, 12, 2, 0), 1.0);
}

TEST(SpaceBook, SmallBlocksOnRaidzTakeMoreThanTheirSize) {
  LiveState state = cluster();
  state.nodes[0].zpools = {{.name = "tank",
                            .layout = "raidz2-6",
                            .data_width = 6,
                            .parity = 2,
                            .size = 6_TiB,
                            .allocated = 1_TiB,
                            .free = 5_TiB}};
  state.storages[0].properties.set("blocksize", "8k");
  const ResolvedFleet none = fleet({});
  const StorageTable table(none, state);
  const SpaceBook book(state, table, false);
  EXPECT_EQ(book.taken(*table.find("SSD-r10"), "pve1", 100_GiB), 200_GiB);  // 3.0 over 1.5
  EXPECT_EQ(book.taken(*table.find("SSD-r10-models"), "pve1", 100_GiB), 100_GiB);
  EXPECT_EQ(book.taken(*table.find("san"), "pve1", ByteSize{1}), 4_MiB);
  EXPECT_EQ(book.taken(*table.find("SSD-r10-models"), "pve1", ByteSize{1}), 1_MiB);
}

TEST(SpaceBook, RefusesAtNinetyPercentAndWithoutRoom) {
  LiveState state = cluster();
  const ResolvedFleet none = fleet({});
  const StorageTable table(none, state);
  SpaceBook book(state, table, false);
  const StorageView& san = *table.find("san");
  EXPECT_FALSE(book.reserve(san, "pve1", 800_GiB));  // 900 of 1024 GiB
  EXPECT_TRUE(book.reserve(san, "pve1", 30_GiB));    // 930: 90.8 %
  EXPECT_FALSE(book.reserve(san, "pve1", 20_GiB));   // the refused one was not counted
  SpaceBook forced(state, table, true);
  EXPECT_FALSE(forced.reserve(san, "pve1", 900_GiB));
}

// An empty file system on a zpool that is full has neither size nor room.
TEST(SpaceBook, ZeroIsKnownWhereTheStorageIsActive) {
  LiveState state = cluster();
  const auto local = std::ranges::find(state.storages, "local", &LiveStorage::id);
  ASSERT_NE(local, state.storages.end());
  local->on_node["pve1"] = {.active = true};
  const auto refused = [&state] {
    const ResolvedFleet none = fleet({});
    const StorageTable table(none, state);
    SpaceBook book(state, table, false);
    return book.reserve(*table.find("local"), "pve1", 1_GiB).value_or("");
  };
  EXPECT_EQ(refused(), "storage \"local\" has 0 B available, this plan would add 1 GiB there");
  local->on_node["pve1"].active = false;
  EXPECT_EQ(refused(), "");
}

TEST(SpaceBook, ThePoolItselfKnowsBetterThanItsDatasets) {
  LiveState state = cluster();
  state.nodes[0].zpools = {{.name = "tank",
                            .layout = "mirror",
                            .size = 1_TiB,
                            .allocated = ByteSize{(1_TiB).bytes / 100 * 89},
                            .free = 100_GiB}};
  const ResolvedFleet none = fleet({});
  const StorageTable table(none, state);
  SpaceBook book(state, table, false);
  EXPECT_TRUE(book.reserve(*table.find("SSD-r10-models"), "pve1", 20_GiB));
}

}  // namespace
}  // namespace pvr::testing
