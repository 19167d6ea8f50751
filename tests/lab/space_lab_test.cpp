// What the planner reckons a zvol takes, against what ZFS reserves and charges for it on real pools.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <string_view>

#include "reconciler/policy/raidz.h"
#include "tests/lab/lab.h"

namespace pvr::lab {
namespace {

struct Pool {
  const char* name = "";
  VdevShape shape = {};
};
constexpr Pool kPools[] = {{"tank", {.width = 2, .parity = 0, .ashift = 12}},
                           {"rz1", {.width = 3, .parity = 1, .ashift = 12}},
                           {"rz2", {.width = 4, .parity = 2, .ashift = 12}}};

class Space : public OnLab {};

TEST_F(Space, ReservationsAreWhatZfsSets) {
  for (const Pool& pool : kPools) {
    for (const ByteSize block : {4_KiB, 8_KiB, 16_KiB, 64_KiB, 128_KiB, 1_MiB}) {
      const std::string said = shell(
          fmt::format("zfs create -nvP -V 1G -b {} {}/space 2>/dev/null | sed -n 's/^property\\trefreservation\\t//p'",
                      block.bytes, pool.name));
      EXPECT_EQ(said, fmt::format("{}\n", zvol_refreservation(1_GiB, block, pool.shape).bytes))
          << pool.name << " " << to_text(block);
    }
  }
}

// Parity and padding included: what a copy to another block size will take from `available`.
TEST_F(Space, WrittenDataTakesWhatZfsCharges) {
  for (const Pool& pool : kPools) {
    for (const ByteSize block : {8_KiB, 16_KiB, 64_KiB, 128_KiB}) {
      const std::string name = fmt::format("{}/space", pool.name);
      const std::string destroy = fmt::format(
          "for n in 1 2 3 4 5 6 7 8 9 10; do zfs list {0} >/dev/null 2>&1 || break; udevadm settle; "
          "zfs destroy {0} 2>/dev/null || sleep 0.5; done\n",
          name);
      const std::string said =
          shell(fmt::format("{}zfs create -s -V 64M -b {} -o compression=off {} 2>/dev/null; udevadm settle\n"
                            "dd if=/dev/urandom of=/dev/zvol/{} bs=1M count=24 oflag=direct status=none\n"
                            "zpool sync {}; zfs get -Hp -o value referenced {}\n{}",
                            destroy, block.bytes, name, name, pool.name, name, destroy));
      const auto reckoned = static_cast<double>(zvol_data_space(24_MiB, block, pool.shape).bytes);
      EXPECT_NEAR(std::stod(said), reckoned, 0.03 * reckoned) << pool.name << " " << to_text(block);
    }
  }
}

}  // namespace
}  // namespace pvr::lab
