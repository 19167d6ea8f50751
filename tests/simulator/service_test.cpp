// One request at a time through Simulator::handle(), with a manual clock.

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "simulator/simulator.h"
#include "simulator/world/world.h"

namespace pvesim {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr const char* kCluster = R"(
cluster: {name: lab, seed: 5}
users:
  - {name: root@pam, password: secret, tokens: [{id: ci, secret: s-root, privsep: false}]}
  - {name: op@pve, password: operator, tokens: [{id: sep, secret: s-op, privsep: true}]}
acl: [{path: /, user: op@pve, role: PVEAuditor}]
nodes:
  n1: {cpu: 8, memory: 16GiB, pools: {tank: {size: 1TiB}}}
  n2: {cpu: 8, memory: 16GiB, pools: {tank: {size: 1TiB}}}
  n3: {cpu: 8, memory: 16GiB}
storages:
  tank: {type: zfspool, pool: tank, nodes: "n1,n2", sparse: 1, content: "images,rootdir"}
vms:
  100: {node: n1, status: running, config: {name: web, cores: 2, memory: 2048, tags: "a;b", scsi0: "tank:vm-100-disk-0,size=8G", boot: "order=scsi0"}}
  101: {node: n2, config: {name: db, memory: 1024}}
ha: {resources: {"vm:100": {state: started}}}
pools: {prod: {comment: p, vms: [100]}}
)";

class ServiceTest : public testing::Test {
 protected:
  ServiceTest() : simulator_(Simulator::from_text(kCluster, {.manual_clock = true})) {}

  Response send(const std::string& method, const std::string& path, const std::string& form = {},
                const std::string& token = "root@pam!ci=s-root") {
    Request request;
    request.method = method;
    request.path = "/api2/json" + path;
    if (method == "GET" || method == "DELETE")
      request.query = form;
    else
      request.body = form;
    if (!token.empty()) request.headers.emplace_back("Authorization", "PVEAPIToken=" + token);
    return simulator_->handle(request);
  }
  json data(const Response& response) {
    EXPECT_EQ(response.status, 200) << response.reason;
    return json::parse(response.body)["data"];
  }

  std::unique_ptr<Simulator> simulator_;
};

TEST_F(ServiceTest, AnswersVersionAsJson) {
  const Response response = send("GET", "/version");
  EXPECT_EQ(response.reason, "OK");
  EXPECT_EQ(data(response)["version"], "9.2.4");
  EXPECT_EQ(data(response)["release"], "9.2");
  EXPECT_FALSE(response.close);
}

TEST_F(ServiceTest, RefusesWithoutAGoodLoginThreeSecondsLate) {
  for (const auto& [token, reason] : std::vector<std::pair<std::string, std::string>>{
           {"", "No ticket"}, {"root@pam!ci=wrong", "Authentication failed!"}, {"garbage", "Authentication failed!"}}) {
    const VirtualTime before = simulator_->now();
    const Response response = send("GET", "/version", {}, token);
    EXPECT_EQ(response.status, 401);
    EXPECT_EQ(response.reason, reason);
    EXPECT_EQ(response.body, "");
    EXPECT_TRUE(response.close);
    EXPECT_EQ(simulator_->now() - before, 3s);
  }
}

TEST_F(ServiceTest, TicketsNeedACsrfTokenToWrite) {
  const json login = data(send("POST", "/access/ticket", "username=root@pam&password=secret", ""));
  EXPECT_EQ(login["username"], "root@pam");
  EXPECT_EQ(login["clustername"], "lab");
  EXPECT_EQ(login["cap"]["dc"]["Sys.Audit"], 1);
  Request request;
  request.method = "PUT";
  request.path = "/api2/json/cluster/options";
  request.body = "keyboard=de";
  request.headers = {{"Cookie", "PVEAuthCookie=" + login["ticket"].get<std::string>()}};
  Response response = simulator_->handle(request);
  EXPECT_EQ(response.status, 401);
  EXPECT_EQ(response.reason, "Permission denied - invalid csrf token");
  request.headers.emplace_back("CSRFPreventionToken", login["CSRFPreventionToken"].get<std::string>());
  EXPECT_EQ(simulator_->handle(request).status, 200);
  EXPECT_EQ(data(send("GET", "/cluster/options"))["keyboard"], "de");
  request.method = "GET";
  request.body.clear();
  request.headers.resize(1);
  EXPECT_EQ(simulator_->handle(request).status, 200);
  simulator_->advance(2h + 1s);
  response = simulator_->handle(request);
  EXPECT_EQ(response.reason, "Authentication failed!");
}

TEST_F(ServiceTest, LoginsWithWrongPasswordsSayNothing) {
  for (const char* form :
       {"username=root@pam&password=no", "username=nobody@pve&password=no", "username=root&password=x"}) {
    const Response response = send("POST", "/access/ticket", form, "");
    EXPECT_EQ(response.status, 401);
    EXPECT_EQ(response.reason, "authentication failure");
    EXPECT_EQ(json::parse(response.body), json::parse(R"({"data":null,"message":"authentication failure\n"})"));
  }
  EXPECT_EQ(send("POST", "/access/ticket", "username=root&realm=pam&password=secret", "").status, 200);
}

TEST_F(ServiceTest, TokensCannotMakeTickets) {
  const Response response = send("POST", "/access/ticket", "username=root@pam&password=secret");
  EXPECT_EQ(response.status, 403);
  EXPECT_NE(response.reason.find("not available with API token, need proper ticket"), std::string::npos);
}

TEST_F(ServiceTest, UnknownPathsAndVerbsAre501) {
  for (const auto& [verb, path] : std::vector<std::pair<std::string, std::string>>{
           {"GET", "/nope"}, {"GET", "/nodes/n1/nope"}, {"POST", "/version"}, {"DELETE", "/version"}}) {
    const Response response = send(verb, path);
    EXPECT_EQ(response.status, 501);
    EXPECT_EQ(response.reason, "Method '" + verb + " " + path + "' not implemented");
    EXPECT_EQ(json::parse(response.body)["message"], response.reason);
  }
  const Response patch = send("PATCH", "/version");
  EXPECT_EQ(patch.status, 501);
  EXPECT_EQ(patch.reason, "method 'PATCH' not available");
  EXPECT_EQ(patch.body, "");
}

TEST_F(ServiceTest, ExtjsAlwaysAnswers200) {
  Request request;
  request.method = "GET";
  request.path = "/api2/extjs/version";
  request.query = "bogus=1";
  request.headers = {{"Authorization", "PVEAPIToken=root@pam!ci=s-root"}};
  const Response response = simulator_->handle(request);
  EXPECT_EQ(response.status, 200);
  const json body = json::parse(response.body);
  EXPECT_EQ(body["success"], 0);
  EXPECT_EQ(body["status"], "400");
  EXPECT_TRUE(body["errors"].contains("bogus"));
}

TEST_F(ServiceTest, BodiesWhereNoneBelongAndForeignTypes) {
  Request request;
  request.method = "GET";
  request.path = "/api2/json/version";
  request.body = "x=1";
  request.headers = {{"Authorization", "PVEAPIToken=root@pam!ci=s-root"}};
  EXPECT_EQ(simulator_->handle(request).reason, "Unexpected content for method 'GET'");
  request.method = "POST";
  request.path = "/api2/json/pools";
  request.headers.emplace_back("Content-Type", "text/xml");
  Response response = simulator_->handle(request);
  EXPECT_EQ(response.status, 506);
  EXPECT_EQ(response.reason, "upload 'Content-Type 'text/xml' not implemented");
  request.headers.back().second = "application/json; charset=utf-8";
  request.body = R"({"poolid": "fromjson"})";
  EXPECT_EQ(simulator_->handle(request).status, 200);
  request.body = "{not json";
  response = simulator_->handle(request);
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.reason.substr(0, 12), "'\"' expected");
  request.headers.back().second = "application/x-www-form-urlencoded";
  request.body = std::string(512 * 1024 + 1, 'x');
  response = simulator_->handle(request);
  EXPECT_EQ(response.status, 501);
  EXPECT_EQ(response.reason, "for data too large");
}

TEST_F(ServiceTest, PermissionComesBeforeParameters) {
  const Response response = send("PUT", "/cluster/options", "bogus=1", "op@pve!sep=s-op");
  EXPECT_EQ(response.status, 403);
  EXPECT_EQ(response.reason, "Permission check failed (/, Sys.Modify)");
  EXPECT_EQ(json::parse(response.body)["message"], "Permission check failed (/, Sys.Modify)\n");
}

TEST_F(ServiceTest, SeparatedTokensSeeNothingUntilGranted) {
  EXPECT_TRUE(data(send("GET", "/cluster/resources", "type=vm", "op@pve!sep=s-op")).empty());
  EXPECT_EQ(send("PUT", "/access/acl", "path=/vms/100&roles=PVEAuditor&tokens=op@pve!sep").status, 200);
  const json rows = data(send("GET", "/cluster/resources", "type=vm", "op@pve!sep=s-op"));
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0]["vmid"], 100);
  EXPECT_FALSE(rows[0].contains("pool"));  // needs Pool.Audit
}

TEST_F(ServiceTest, ResourcesMixLiveKeysWithTheLastBroadcast) {
  simulator_->set_config(100, "name", "renamed");
  simulator_->set_config(100, "tags", "c");
  const auto row = [&] {
    const json rows = data(send("GET", "/cluster/resources", "type=vm"));
    for (const json& one : rows)
      if (one["vmid"] == 100) return one;
    return json();
  };
  EXPECT_EQ(row()["name"], "web");
  EXPECT_EQ(row()["tags"], "c");
  EXPECT_EQ(row()["status"], "running");
  EXPECT_EQ(row()["maxmem"], 2048LL << 20);
  EXPECT_EQ(row()["maxdisk"], 8LL << 30);
  EXPECT_EQ(row()["pool"], "prod");
  simulator_->advance(11s);
  EXPECT_EQ(row()["name"], "renamed");
}

TEST_F(ServiceTest, StatusShowsNodesAndQuorum) {
  const auto cluster = [&] {
    json out;
    for (const json& row : data(send("GET", "/cluster/status")))
      if (row["type"] == "cluster") out = row;
    return out;
  };
  EXPECT_EQ(cluster()["quorate"], 1);
  EXPECT_EQ(cluster()["nodes"], 3);
  simulator_->set_quorum(false);
  EXPECT_EQ(cluster()["quorate"], 0);
  const Response response = send("POST", "/pools", "poolid=p2");
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.reason, "create pool failed: cfs-lock 'file-user_cfg' error: no quorum!");
}

TEST_F(ServiceTest, ForwardsToTheNodeOfThePath) {
  EXPECT_EQ(data(send("GET", "/nodes/n2/version"))["version"], "9.2.4");
  const Response unknown = send("GET", "/nodes/other/status");
  EXPECT_EQ(unknown.status, 500);
  EXPECT_EQ(unknown.reason.substr(0, 30), "hostname lookup 'other' failed");
  simulator_->node_down("n2");
  const Response dead = send("GET", "/nodes/n2/status");
  EXPECT_EQ(dead.status, 595);
  EXPECT_EQ(dead.body, "");
  simulator_->node_up("n2");
  EXPECT_EQ(send("GET", "/nodes/n2/status").status, 200);
}

TEST_F(ServiceTest, ADeadFirstNodeIsReplacedUnlessAskedByName) {
  simulator_->node_down("n1");
  EXPECT_EQ(send("GET", "/version").status, 200);
  Request request;
  request.method = "GET";
  request.path = "/api2/json/version";
  request.node = "n1";
  EXPECT_EQ(simulator_->handle(request).delivery, Delivery::kConnectRefused);
}

TEST_F(ServiceTest, NextIdAnswersTextAndChecks) {
  EXPECT_EQ(data(send("GET", "/cluster/nextid")), "102");
  EXPECT_EQ(data(send("GET", "/cluster/nextid", "vmid=4242")), "4242");
  EXPECT_EQ(json::parse(send("GET", "/cluster/nextid", "vmid=100").body)["errors"]["vmid"], "VM 100 already exists");
  EXPECT_EQ(send("PUT", "/cluster/options", "next-id=lower%3D500%2Cupper%3D501").status, 200);
  EXPECT_EQ(data(send("GET", "/cluster/nextid")), "500");
}

TEST_F(ServiceTest, HaResourcesAndRulesCarryDigests) {
  const json before = data(send("GET", "/cluster/ha/resources/vm:100"));
  EXPECT_EQ(before["state"], "started");
  EXPECT_EQ(send("POST", "/cluster/ha/resources", "sid=101&state=stopped&max_restart=2").status, 200);
  EXPECT_EQ(data(send("GET", "/cluster/ha/resources/101"))["max_restart"], 2);
  EXPECT_EQ(send("POST", "/cluster/ha/resources", "sid=vm:101").reason,
            "create resource failed: resource ID 'vm:101' already defined");
  EXPECT_EQ(send("POST", "/cluster/ha/resources", "sid=vm:999").reason, "resource 'vm:999' does not exist in cluster");
  const Response stale =
      send("PUT", "/cluster/ha/resources/vm:100", "comment=x&digest=" + before["digest"].get<std::string>());
  EXPECT_EQ(stale.reason,
            "update resources config failed: detected modified configuration - file changed by other user? Try again.");

  EXPECT_EQ(send("POST", "/cluster/ha/rules", "rule=r1&type=node-affinity&resources=vm:100&nodes=n1:2,n2").status, 200);
  const json rule = data(send("GET", "/cluster/ha/rules/r1"));
  EXPECT_EQ(rule["nodes"], "n1:2,n2");
  EXPECT_EQ(rule["strict"], 0);
  EXPECT_EQ(rule["order"], 1);
  const Response clash = send("POST", "/cluster/ha/rules", "rule=r2&type=node-affinity&resources=vm:100&nodes=n2");
  EXPECT_EQ(clash.status, 400);
  EXPECT_EQ(clash.reason, "Rule 'r2' is invalid.");
  EXPECT_EQ(send("POST", "/cluster/ha/rules", "rule=r3&type=node-affinity&resources=vm:999&nodes=n2").reason,
            "create ha rule failed: cannot use unmanaged resource(s) vm:999.");
  EXPECT_EQ(send("PUT", "/cluster/ha/rules/r1", "nodes=n2").status, 400);  // type must be repeated
  EXPECT_EQ(send("PUT", "/cluster/ha/rules/r1", "type=node-affinity&nodes=n2&delete=comment").status, 200);
  EXPECT_EQ(send("DELETE", "/cluster/ha/resources/vm:100").status, 200);
  EXPECT_TRUE(data(send("GET", "/cluster/ha/rules")).empty());  // purged with its only resource
  EXPECT_EQ(send("DELETE", "/cluster/ha/rules/never").status, 200);
}

TEST_F(ServiceTest, ReplicationJobsAreChecked) {
  EXPECT_EQ(send("POST", "/cluster/replication", "id=100-0&type=local&target=n1").reason,
            "Source and target must not be identical");
  EXPECT_EQ(send("POST", "/cluster/replication", "id=101-0&type=local&target=n1").reason,
            "No replicatable volumes found");
  EXPECT_EQ(send("POST", "/cluster/replication", "id=100-0&type=local&target=n2&rate=10&schedule=*/5").status, 200);
  const json job = data(send("GET", "/cluster/replication/100-0"));
  EXPECT_EQ(job["guest"], 100);
  EXPECT_EQ(job["rate"], 10);
  EXPECT_EQ(job["source"], "n1");
  EXPECT_EQ(send("DELETE", "/cluster/replication/100-0").status, 200);
  // Removal is the scheduler's business: until it ran, the job is still there, marked.
  const json marked = data(send("GET", "/cluster/replication"));
  if (!marked.empty()) {
    EXPECT_EQ(marked[0]["remove_job"], "full");
  }
}

TEST_F(ServiceTest, MappingsKeepTheirDevices) {
  EXPECT_EQ(send("POST", "/cluster/mapping/pci", "id=gpu0&map=node%3Dn1,path%3D0000:01:00.0,id%3D10de:2684").status,
            200);
  const json rows = data(send("GET", "/cluster/mapping/pci", "check-node=n1"));
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(rows[0]["map"][0], "node=n1,path=0000:01:00.0,id=10de:2684");
  EXPECT_EQ(rows[0]["checks"][0]["severity"], "error");  // the node has no such device
  const Response bad = send("POST", "/cluster/mapping/pci", "id=gpu1&map=node%3Dn1");
  EXPECT_EQ(bad.status, 400);
}

TEST_F(ServiceTest, CountsRequestsByTemplate) {
  simulator_->reset_request_counts();
  (void)send("GET", "/nodes/n1/status");
  (void)send("GET", "/nodes/n2/status");
  (void)send("GET", "/nope");
  const auto counts = simulator_->request_counts();
  EXPECT_EQ(counts.at({"GET", "/nodes/{node}/status"}), 2U);
  EXPECT_EQ(counts.at({"GET", "/nope"}), 1U);
  (void)simulator_->admin_call("GET", "/version");
  EXPECT_EQ(simulator_->request_count(), 3U);
}

TEST_F(ServiceTest, FaultsDelayRefuseAndLoseAnswers) {
  Fault lose;
  lose.action = FaultAction::kLoseAnswer;
  lose.method = "POST";
  lose.path = "/pools";
  simulator_->add_fault(lose);
  EXPECT_EQ(send("POST", "/pools", "poolid=lost").delivery, Delivery::kLost);
  EXPECT_EQ(data(send("GET", "/pools")).size(), 2U);  // it happened

  Fault drop = lose;
  drop.action = FaultAction::kDrop;
  simulator_->add_fault(drop);
  EXPECT_EQ(send("POST", "/pools", "poolid=dropped").delivery, Delivery::kReset);
  EXPECT_EQ(data(send("GET", "/pools")).size(), 2U);

  Fault late;
  late.action = FaultAction::kDelay;
  late.delay = 5s;
  simulator_->add_fault(late);
  const VirtualTime before = simulator_->now();
  EXPECT_EQ(send("GET", "/version").status, 200);
  EXPECT_EQ(simulator_->now() - before, 5s);

  Fault proxy;
  proxy.action = FaultAction::kProxyError;
  proxy.status = 596;
  proxy.path = "/pools";
  simulator_->add_fault(proxy);
  const Response response = send("POST", "/pools", "poolid=behind");
  EXPECT_EQ(response.status, 596);
  EXPECT_EQ(response.body, "");
  EXPECT_EQ(data(send("GET", "/pools")).size(), 3U);
  EXPECT_EQ(simulator_->faults_fired(), 4U);
}

TEST_F(ServiceTest, TheSameSeedGivesTheSameBytes) {
  const auto transcript = [&] {
    auto simulator = Simulator::from_text(kCluster, {.manual_clock = true});
    std::string all;
    for (const char* path :
         {"/nodes", "/cluster/resources", "/cluster/status", "/access/roles", "/nodes/n1/qemu/100/config"}) {
      Request request;
      request.method = "GET";
      request.path = std::string("/api2/json") + path;
      request.headers = {{"Authorization", "PVEAPIToken=root@pam!ci=s-root"}};
      all += simulator->handle(request).body + "\n";
    }
    return all;
  };
  EXPECT_EQ(transcript(), transcript());
}

TEST_F(ServiceTest, TaskCallsCheckTheirUpid) {
  const Response bogus = send("GET", "/nodes/n1/tasks/UPID:bogus/status");
  EXPECT_EQ(json::parse(bogus.body)["errors"]["upid"], "unable to parse worker upid");
  const std::string never = "UPID:n1:00000001:00000001:6B000000:qmcreate:100:root@pam:";
  EXPECT_EQ(json::parse(send("GET", "/nodes/n1/tasks/" + never + "/status").body)["errors"]["upid"], "no such task");
  const json log = json::parse(send("GET", "/nodes/n1/tasks/" + never + "/log").body);
  EXPECT_EQ(log["data"][0]["t"], "unable to open file - No such file or directory");
  EXPECT_EQ(log["total"], 1);
}

TEST_F(ServiceTest, TasksBelongToTheirOwner) {
  std::string upid;
  simulator_->inspect([&](World& world) {
    upid = world.finished_task("n1", "qmstart", "100", "root@pam!ci", {"first", "second"}, "OK");
  });
  ASSERT_TRUE(simulator_->settle());
  const json status = data(send("GET", "/nodes/n1/tasks/" + upid + "/status"));
  EXPECT_EQ(status["status"], "stopped");
  EXPECT_EQ(status["exitstatus"], "OK");
  EXPECT_EQ(status["tokenid"], "ci");
  const json log = data(send("GET", "/nodes/n1/tasks/" + upid + "/log", "start=1&limit=1"));
  ASSERT_EQ(log.size(), 1U);
  EXPECT_EQ(log[0]["n"], 2);
  EXPECT_EQ(log[0]["t"], "second");
  const Response other = send("GET", "/nodes/n1/tasks/" + upid + "/status", {}, "op@pve!sep=s-op");
  EXPECT_EQ(other.reason, "Permission check failed (/nodes/n1, Sys.Audit)");
  EXPECT_EQ(data(send("GET", "/nodes/n1/tasks")).size(), 1U);
  EXPECT_TRUE(data(send("GET", "/nodes/n1/tasks", "source=active")).empty());
  EXPECT_TRUE(data(send("GET", "/nodes/n1/tasks", "errors=1")).empty());
}

TEST_F(ServiceTest, BackupsLockTheGuestAndLeaveAnArchive) {
  EXPECT_EQ(data(send("POST", "/nodes/n2/vzdump", "vmid=100&storage=local")), "OK");  // nothing of it on n2
  const std::string upid = data(send("POST", "/nodes/n1/vzdump", "vmid=100&storage=local&compress=zstd"));
  simulator_->advance(500ms);
  EXPECT_EQ(simulator_->vm_config(100).at("lock"), "backup");
  ASSERT_TRUE(simulator_->settle());
  EXPECT_EQ(data(send("GET", "/nodes/n1/tasks/" + upid + "/status"))["exitstatus"], "OK");
  EXPECT_FALSE(simulator_->vm_config(100).contains("lock"));
  const std::vector<VolumeInfo> volumes = simulator_->volumes("local");
  ASSERT_EQ(volumes.size(), 1U);
  EXPECT_EQ(volumes[0].volid.substr(0, 29), "local:backup/vzdump-qemu-100-");
  const std::string wrong = data(send("POST", "/nodes/n1/vzdump", "vmid=100&storage=tank"));
  ASSERT_TRUE(simulator_->settle());
  EXPECT_EQ(data(send("GET", "/nodes/n1/tasks/" + wrong + "/status"))["exitstatus"],
            "can't use storage type 'zfspool' for backup");
}

TEST_F(ServiceTest, FaultsFailAndStallStepsOfTasks) {
  Fault fault;
  fault.action = FaultAction::kTaskFail;
  fault.task = "vzdump";
  fault.step = "copy*";
  fault.message = "disk on fire";
  simulator_->add_fault(fault);
  const std::string failed = data(send("POST", "/nodes/n1/vzdump", "vmid=100&storage=local"));
  ASSERT_TRUE(simulator_->settle());
  EXPECT_EQ(data(send("GET", "/nodes/n1/tasks/" + failed + "/status"))["exitstatus"], "disk on fire");
  EXPECT_FALSE(simulator_->vm_config(100).contains("lock"));
  EXPECT_TRUE(simulator_->volumes("local").empty());

  fault.action = FaultAction::kTaskStall;
  simulator_->add_fault(fault);
  const std::string stalled = data(send("POST", "/nodes/n1/vzdump", "vmid=100&storage=local"));
  EXPECT_FALSE(simulator_->settle(1h));
  EXPECT_EQ(data(send("GET", "/nodes/n1/tasks/" + stalled + "/status"))["status"], "running");
  EXPECT_EQ(send("DELETE", "/nodes/n1/tasks/" + stalled).status, 200);
  ASSERT_TRUE(simulator_->settle());
  EXPECT_FALSE(simulator_->vm_config(100).contains("lock"));
}

TEST_F(ServiceTest, ScriptedLossOfQuorumAndNodes) {
  Fault fault;
  fault.action = FaultAction::kLoseQuorum;
  fault.path = "/version";
  simulator_->add_fault(fault);
  EXPECT_EQ(send("GET", "/version").status, 200);
  EXPECT_EQ(send("POST", "/pools", "poolid=p2").status, 500);
  fault.action = FaultAction::kGainQuorum;
  simulator_->add_fault(fault);
  EXPECT_EQ(send("GET", "/version").status, 200);
  EXPECT_EQ(send("POST", "/pools", "poolid=p2").status, 200);
  fault.action = FaultAction::kNodeDown;
  fault.node = "n3";
  simulator_->add_fault(fault);
  EXPECT_EQ(send("GET", "/version").status, 200);
  EXPECT_EQ(send("GET", "/nodes/n3/status").status, 595);
}

TEST_F(ServiceTest, PoolsNestAndRefuse) {
  EXPECT_EQ(send("POST", "/pools", "poolid=prod/db").status, 200);
  EXPECT_EQ(send("POST", "/pools", "poolid=none/x").reason,
            "create pool failed: parent 'none' of pool 'none/x' does not exist");
  EXPECT_EQ(send("POST", "/pools", "poolid=1x").reason, "create pool failed: pool name must start with a letter");
  EXPECT_EQ(send("PUT", "/pools", "poolid=prod/db&vms=100").reason,
            "update pools failed: VM 100 belongs already to pool 'prod' and 'allow-move' is not set");
  EXPECT_EQ(send("PUT", "/pools", "poolid=prod/db&vms=100&allow-move=1").status, 200);
  EXPECT_EQ(send("DELETE", "/pools", "poolid=prod").reason,
            "delete pool failed: pool 'prod' is not empty (contains pool 'prod/db')");
  EXPECT_EQ(data(send("GET", "/pools", "poolid=prod/db"))[0]["members"][0]["vmid"], 100);
}

}  // namespace
}  // namespace pvesim
