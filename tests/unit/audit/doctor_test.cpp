#include "reconciler/engine/doctor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/unit/audit/lab.h"

namespace pvr::audit_test {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

constexpr const char* kCluster = R"(
cluster: {name: lab, seed: 5}
users:
  - {name: root@pam, password: secret}
  - {name: op@pve, password: operator, tokens: [{id: ci, secret: s-op, privsep: true}]}
nodes:
  n1: {version: 9.2.4, pools: {tank: {size: 1TiB}}}
  n2: {version: 9.1.1, pools: {tank: {size: 1TiB}}}
storages: {tank: {type: zfspool, pool: tank, sparse: 1, content: images}}
vms:
  100: {node: n1, config: {name: one, scsihw: virtio-scsi-single, scsi0: "tank:vm-100-disk-0,size=1G"}}
ha: {resources: {"vm:100": {state: stopped}}}
)";

std::unique_ptr<PveClient> client_of(Lab& lab, const std::string& id, const std::string& secret) {
  ConnectionOptions options;
  options.endpoints = {"https://n1:8006"};
  options.token_id = id;
  options.token_secret = Secret(secret);
  auto transport = std::make_unique<testing::SimulatedTransport>(
      lab.sim(), std::map<std::string, std::string>{{"https://n1:8006", "n1"}});
  return std::make_unique<PveClient>(std::move(options), std::move(transport), lab.clock(), std::stop_token());
}

DoctorReport examine_as(Lab& lab, PveReader& pve) {
  auto report = examine(pve, lab.clock(), nullptr, true);
  if (!report) throw std::runtime_error(report.error().text());
  return std::move(report).value();
}

/// `pveum` as the calls it stands for.
void type_pveum(Lab& lab, const std::string& command) {
  const std::vector<std::string> words = shell_words(command);
  std::vector<std::pair<std::string, std::string>> params;
  for (std::size_t i = 4; i + 1 < words.size(); i += 2) params.emplace_back(words[i].substr(2), words[i + 1]);
  if (words[1] == "role") {
    params.emplace_back("roleid", words[3]);
    EXPECT_EQ(lab.sim().admin_call("POST", "/access/roles", params).status, 200) << command;
  } else {
    params.emplace_back("path", words[3]);
    EXPECT_EQ(lab.sim().admin_call("PUT", "/access/acl", params).status, 200) << command;
  }
}

TEST(Doctor, AnAdministratorLacksNothing) {
  Lab lab(kCluster);
  const DoctorReport report = examine_as(lab, lab.client());
  EXPECT_THAT(report.missing, IsEmpty());
  EXPECT_THAT(report.works, Contains("apply"));
}

TEST(Doctor, TellsMixedVersionsAndOfflineNodes) {
  Lab lab(kCluster);
  const auto told = [&] {
    std::vector<std::string> list;
    for (const Checkup& checkup : examine_as(lab, lab.client()).checkups) list.push_back(checkup.what);
    return list;
  };
  EXPECT_THAT(told(), Contains("the nodes have different versions"));
  EXPECT_THAT(told(), Contains("the cluster is quorate"));
  lab.sim().node_down("n2");
  EXPECT_THAT(told(), Contains("node n2 is offline"));
}

TEST(Doctor, ThePrintedCommandsGrantExactlyWhatIsMissing) {
  Lab lab(kCluster);
  const auto token = client_of(lab, "op@pve!ci", "s-op");
  const DoctorReport before = examine_as(lab, *token);
  EXPECT_FALSE(before.missing.empty());
  EXPECT_EQ(before.worst(), Health::kBad);
  // Reading first: what applying needs (HA, mappings) shows only then.
  for (const bool reading : {true, false}) {
    std::vector<SuggestedRole> roles = examine_as(lab, *token).roles;
    std::erase_if(roles, [reading](const SuggestedRole& role) { return role.to_read != reading; });
    for (const std::string& command : grant_commands(roles, "op@pve!ci")) type_pveum(lab, command);
  }
  const DoctorReport after = examine_as(lab, *token);
  for (const NeededRight& right : after.missing)
    ADD_FAILURE() << right.privileges.front() << " on " << right.path << ": " << right.purpose;
  EXPECT_THAT(after.works, Contains("apply"));
}

TEST(Doctor, RolesForReadingAloneChangeNothing) {
  Lab lab(kCluster);
  const auto token = client_of(lab, "op@pve!ci", "s-op");
  std::vector<SuggestedRole> roles = examine_as(lab, *token).roles;
  std::erase_if(roles, [](const SuggestedRole& role) { return !role.to_read; });
  ASSERT_EQ(roles.size(), 1U);
  for (const std::string& command : grant_commands(roles, "op@pve!ci")) type_pveum(lab, command);
  const DoctorReport report = examine_as(lab, *token);
  EXPECT_TRUE(std::ranges::none_of(report.missing, &NeededRight::to_read));
  EXPECT_FALSE(report.missing.empty()) << "reading roles must not be enough to apply";
  EXPECT_THAT(report.does_not, Contains(HasSubstr("VM.Config.Disk")));
}

TEST(Doctor, EveryOperationNamesItsRights) {
  const LiveState live;
  Operation move{.id = 3, .procedure = MoveDisk{.vmid = {100}, .storage = "tank"}};
  const std::vector<NeededRight> rights = rights_of(move, live);
  ASSERT_EQ(rights.size(), 2U);
  EXPECT_EQ(rights[0].path, "/vms/100");
  EXPECT_THAT(rights[0].privileges, Contains("VM.Config.Disk"));
  EXPECT_EQ(rights[1].path, "/storage/tank");
  SetVmOptions options{.vmid = {100}};
  options.set.set("memory", "2048");
  options.set.set("net0", "virtio,bridge=vmbr0");
  const std::vector<NeededRight> more = rights_of({.procedure = options}, live);
  const auto has = [&more](const char* privilege) {
    return std::ranges::any_of(more, [&](const NeededRight& r) { return r.privileges.front() == privilege; });
  };
  EXPECT_TRUE(has("VM.Config.Memory"));
  EXPECT_TRUE(has("VM.Config.Network"));
  EXPECT_TRUE(has("SDN.Use"));
}

TEST(Doctor, Clocks) {
  const auto now = std::chrono::system_clock::time_point(std::chrono::seconds(1'800'000'000));
  const std::chrono::sys_seconds here{std::chrono::seconds(1'800'000'000)};
  EXPECT_EQ(judge_clocks({{"n1", here}}, now).front().health, Health::kGood);
  const auto skewed = judge_clocks({{"n1", here}, {"n2", here + std::chrono::seconds(90)}}, now);
  ASSERT_EQ(skewed.size(), 1U);
  EXPECT_EQ(skewed[0].what, "the clock of n2 is 90 s ahead of ours");
  EXPECT_THAT(judge_clocks({}, now), IsEmpty());
}

}  // namespace
}  // namespace pvr::audit_test
