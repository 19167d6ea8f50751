#include "reconciler/base/timestamp.h"

#include <gtest/gtest.h>

namespace pvr {
namespace {

using std::chrono::milliseconds;
using std::chrono::system_clock;

TEST(Timestamp, IsRfc3339InUtc) {
  const system_clock::time_point at{milliseconds(1795249500250)};  // date -u -d @1795249500
  EXPECT_EQ(rfc3339(at), "2026-11-21T08:25:00Z");
  EXPECT_EQ(rfc3339(at, Precision::kMilliseconds), "2026-11-21T08:25:00.250Z");
}

TEST(Timestamp, BeforeTheEpochRoundsDown) {
  EXPECT_EQ(rfc3339(system_clock::time_point{milliseconds(-1)}, Precision::kMilliseconds), "1969-12-31T23:59:59.999Z");
}

}  // namespace
}  // namespace pvr
