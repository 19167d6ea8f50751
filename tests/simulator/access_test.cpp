#include "simulator/wire/access.h"

#include <gtest/gtest.h>

#include "simulator/wire/auth.h"
#include "simulator/world/world.h"

namespace pvesim {
namespace {

class Access : public testing::Test {
 protected:
  Access() : world_(std::make_shared<ManualClock>(VirtualTime(std::chrono::seconds(1000000))), 1) {
    world_.access.users["op@pve"].tokens["sep"].secret = "s1";
    world_.access.users["op@pve"].tokens["full"].secret = "s2";
    world_.access.users["op@pve"].tokens["full"].privsep = false;
  }
  void grant_user(const std::string& path, const std::string& role, bool propagate = true) {
    world_.access.acl[path].users["op@pve"][role] = propagate;
  }
  bool has(const std::string& who, const std::string& path, const std::string& privs) {
    return holds(world_, who, path, privs);
  }
  World world_;
};

TEST_F(Access, BuiltInRolesAreThoseOfPve9) {
  const auto& roles = world_.access.roles;
  EXPECT_EQ(roles.size(), 17U);
  EXPECT_EQ(roles.at("Administrator").size(), 47U);
  EXPECT_EQ(roles.at("PVEAuditor"),
            (std::set<std::string>{"Datastore.Audit", "Mapping.Audit", "Pool.Audit", "SDN.Audit", "Sys.Audit",
                                   "VM.Audit", "VM.GuestAgent.Audit"}));
  EXPECT_FALSE(roles.at("PVEAdmin").contains("Mapping.Modify"));
  EXPECT_FALSE(roles.at("PVEAdmin").contains("Sys.Modify"));
  EXPECT_TRUE(roles.at("NoAccess").empty());
}

TEST_F(Access, RolesPropagateDownAndDeeperOnesReplace) {
  grant_user("/", "PVEAuditor");
  grant_user("/vms/100", "PVEVMAdmin");
  EXPECT_TRUE(has("op@pve", "/vms/101", "VM.Audit"));
  EXPECT_TRUE(has("op@pve", "/vms/100", "VM.Config.Disk"));
  EXPECT_FALSE(has("op@pve", "/vms/100", "Sys.Audit"));  // replaced, not added
  EXPECT_TRUE(has("op@pve", "/nodes/n1", "Sys.Audit"));
}

TEST_F(Access, WithoutPropagationOnlyThePathItself) {
  grant_user("/", "PVEAuditor", false);
  EXPECT_TRUE(has("op@pve", "/", "Sys.Audit"));
  EXPECT_FALSE(has("op@pve", "/nodes/n1", "Sys.Audit"));
}

TEST_F(Access, RolesOfOneSubjectOnOnePathAddUp) {
  grant_user("/", "PVEAuditor");
  grant_user("/", "PVEVMUser", false);
  EXPECT_TRUE(has("op@pve", "/", "VM.PowerMgmt"));
  EXPECT_TRUE(has("op@pve", "/", "Sys.Audit"));
  EXPECT_FALSE(has("op@pve", "/vms/1", "VM.PowerMgmt"));
}

TEST_F(Access, NoAccessCancels) {
  grant_user("/vms", "PVEVMAdmin");
  grant_user("/vms/100", "NoAccess");
  EXPECT_FALSE(has("op@pve", "/vms/100", "VM.Audit"));
  EXPECT_TRUE(has("op@pve", "/vms/101", "VM.Audit"));
}

TEST_F(Access, UserEntriesBeatGroupEntries) {
  world_.access.groups["ops"].users.insert("op@pve");
  world_.access.acl["/vms"].groups["ops"]["PVEVMAdmin"] = true;
  EXPECT_TRUE(has("op@pve", "/vms/100", "VM.Allocate"));
  grant_user("/vms", "PVEAuditor");
  EXPECT_FALSE(has("op@pve", "/vms/100", "VM.Allocate"));
}

TEST_F(Access, SeparatedTokensNeedBothAndFullOnesInherit) {
  grant_user("/vms/100", "PVEVMAdmin");
  EXPECT_TRUE(has("op@pve!full", "/vms/100", "VM.Allocate"));
  EXPECT_FALSE(has("op@pve!sep", "/vms/100", "VM.Audit"));
  world_.access.acl["/vms/100"].tokens["op@pve!sep"]["PVEAuditor"] = true;
  EXPECT_TRUE(has("op@pve!sep", "/vms/100", "VM.Audit"));
  EXPECT_FALSE(has("op@pve!sep", "/vms/100", "VM.Allocate"));
  world_.access.acl["/vms/101"].tokens["op@pve!sep"]["PVEVMAdmin"] = true;
  EXPECT_FALSE(has("op@pve!sep", "/vms/101", "VM.Audit"));  // the user has nothing there
}

TEST_F(Access, PoolRolesReachMembersOnly) {
  world_.pools["prod"].vms = {100};
  world_.pools["prod"].storages = {"tank"};
  grant_user("/pool/prod", "PVEVMAdmin");
  EXPECT_TRUE(has("op@pve", "/vms/100", "VM.Config.Disk"));
  EXPECT_FALSE(has("op@pve", "/vms/101", "VM.Config.Disk"));
  EXPECT_FALSE(permissions(world_, "op@pve", "/vms/100").at("VM.Config.Disk"));  // never propagates
  grant_user("/vms/100", "NoAccess");
  EXPECT_FALSE(has("op@pve", "/vms/100", "VM.Config.Disk"));
}

TEST_F(Access, RootPassesItsTokensDoNot) {
  world_.access.users["root@pam"].tokens["sep"].secret = "x";
  EXPECT_TRUE(has("root@pam", "/anything", "Sys.Modify"));
  EXPECT_FALSE(has("root@pam!sep", "/", "Sys.Audit"));
  world_.access.users["root@pam"].tokens["sep"].privsep = false;
  EXPECT_TRUE(has("root@pam!sep", "/", "Sys.Modify"));
}

TEST_F(Access, TokensAreVerifiedWithUserAndExpiry) {
  AccessTables& tables = world_.access;
  EXPECT_EQ(tables.verify_token("op@pve!sep=s1", 100), "op@pve!sep");
  EXPECT_EQ(tables.verify_token("op@pve!sep=wrong", 100), "");
  EXPECT_EQ(tables.verify_token("op@pve!none=s1", 100), "");
  EXPECT_EQ(tables.verify_token("garbage", 100), "");
  tables.users["op@pve"].tokens["sep"].expire = 50;
  EXPECT_EQ(tables.verify_token("op@pve!sep=s1", 100), "");
  tables.users["op@pve"].tokens["sep"].expire = 0;
  tables.users["op@pve"].enable = false;
  EXPECT_EQ(tables.verify_token("op@pve!sep=s1", 100), "");
}

TEST_F(Access, ForgettingAGuestTakesItsRightsAlong) {
  world_.pools["prod"].vms = {100, 101};
  grant_user("/vms/100", "PVEVMAdmin");
  EXPECT_EQ(pool_of(world_, 100), "prod");
  forget_vm(world_, 100);
  EXPECT_EQ(pool_of(world_, 100), "");
  EXPECT_EQ(pool_of(world_, 101), "prod");
  EXPECT_FALSE(has("op@pve", "/vms/100", "VM.Audit"));
}

TEST(AclPaths, OnlyThoseOfPve) {
  for (const char* good : {"/", "/vms", "/vms/100", "/storage/a-b", "/pool/a/b/c", "/nodes/n1", "/access/realm/pve",
                           "/sdn/zones/localnetwork/vmbr0/12", "/mapping/pci/gpu0"})
    EXPECT_TRUE(is_acl_path(good)) << good;
  for (const char* bad :
       {"/bogus", "/vms/1", "/vms/abc", "/pool/a/b/c/d", "/access/users", "/storage/a/b", "/sdn/zones/z/b/x"})
    EXPECT_FALSE(is_acl_path(bad)) << bad;
  EXPECT_EQ(normalize_acl_path("vms//100/"), "/vms/100");
  EXPECT_EQ(normalize_acl_path("/a b"), "");
}

TEST(TicketsTest, LiveTwoHoursAndCannotBeForged) {
  const Tickets tickets("key");
  const std::string ticket = tickets.issue("root@pam", 1000000);
  EXPECT_EQ(ticket.substr(0, 13), "PVE:root@pam:");
  EXPECT_EQ(tickets.verify(ticket, 1000000 + 7200), "root@pam");
  EXPECT_EQ(tickets.verify(ticket, 1000000 + 7201), std::nullopt);
  EXPECT_EQ(tickets.verify(ticket, 1000000 - 301), std::nullopt);
  EXPECT_EQ(Tickets("other").verify(ticket, 1000000), std::nullopt);
  std::string forged = ticket;
  forged.replace(4, 4, "evil");
  EXPECT_EQ(tickets.verify(forged, 1000000), std::nullopt);
  const std::string csrf = tickets.issue_csrf("root@pam", 1000000);
  EXPECT_TRUE(tickets.verify_csrf("root@pam", csrf, 1000100));
  EXPECT_FALSE(tickets.verify_csrf("op@pve", csrf, 1000100));
  EXPECT_FALSE(tickets.verify_csrf("root@pam", "", 1000100));
}

}  // namespace
}  // namespace pvesim
