#include "cli/connect.h"

#include <gmock/gmock.h>

#include <sstream>

#include "providers/host/host_access.h"

namespace pvr::cli {
namespace {

class ConnectTest : public ::testing::Test {
 protected:
  std::istringstream in_;
  std::ostringstream out_, err_;
  Terminal terminal_{.in = in_, .out = out_, .err = err_};
};

TEST_F(ConnectTest, ASimulatedClusterHasItsNodesToo) {
  Invocation invocation;
  invocation.simulate = "";
  const auto connection = Connection::open(invocation, terminal_, {}, {});
  ASSERT_TRUE(connection.ok()) << connection.error().text();
  ASSERT_NE((*connection)->zfs(), nullptr);
  const auto host = (*connection)->zfs()->host("pve1");
  ASSERT_TRUE(host.ok()) << host.error().text();
  EXPECT_FALSE(host->zpools.empty());
  EXPECT_THAT(host->gaps, ::testing::IsEmpty());
  EXPECT_FALSE((*connection)->zfs()->host("no-such-node").ok());
}

TEST_F(ConnectTest, WithoutSshInTheFleetThereIsNoHostAccess) {
  WrittenCluster document;
  EXPECT_EQ(host_runner(document), nullptr);
  document.ssh_user = {.value = "root"};
  EXPECT_NE(host_runner(document), nullptr);
}

}  // namespace
}  // namespace pvr::cli
