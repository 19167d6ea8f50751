// Retries, failover and logins, with a transport whose answers are written down.
#include "providers/pve/session.h"

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "providers/pve/pve_client.h"
#include "tests/support/simulated_transport.h"

namespace pvr {
namespace {

using nlohmann::json;
using pvr::testing::ManualClock;

struct Sent {
  std::string endpoint = {};
  std::string method = {};
  std::string path = {};
  FormFields fields = {};
  std::map<std::string, std::string> headers = {};
};

/// What the other side saw is the state these tests check; the transport only carries it.
class ScriptedTransport final : public HttpTransport {
 public:
  using Answer = std::function<Result<HttpResponse>(const Sent&)>;
  ScriptedTransport(std::vector<Sent>& seen, Answer answer) : seen_(seen), answer_(std::move(answer)) {}
  Result<HttpResponse> send(const std::string& endpoint, const HttpRequest& request) override {
    Sent sent{endpoint, request.method, request.path, request.fields, {}};
    for (const HttpHeader& header : request.headers) sent.headers[header.name] = header.value->reveal();
    seen_.push_back(sent);
    return answer_(sent);
  }

 private:
  std::vector<Sent>& seen_;
  Answer answer_;
};

HttpResponse ok(const json& data) { return {200, "OK", json{{"data", data}}.dump()}; }
Error refused() { return {ErrorKind::kUnreachable, "connection refused", {}, Effect::kNone, 0}; }
Error lost() { return {ErrorKind::kServer, "connection lost", {}, Effect::kPossible, 0}; }

class SessionTest : public ::testing::Test {
 protected:
  ConnectionOptions token_options() {
    ConnectionOptions options;
    options.endpoints = {"https://a:8006", "https://b:8006"};
    options.token_id = "ci@pve!t";
    options.token_secret = Secret("s-1");
    return options;
  }
  Session session(ConnectionOptions options, ScriptedTransport::Answer answer) {
    return {std::move(options), std::make_unique<ScriptedTransport>(seen_, std::move(answer)), clock_,
            stop_.get_token()};
  }
  std::vector<std::string> endpoints() const {
    std::vector<std::string> names;
    for (const Sent& sent : seen_) names.push_back(sent.endpoint.substr(8, 1));
    return names;
  }
  ManualClock clock_;
  std::stop_source stop_;
  std::vector<Sent> seen_;
};

using Names = std::vector<std::string>;

TEST_F(SessionTest, PathsAreEncodedAndCountedByTheirTemplate) {
  Session pve = session(token_options(), [](const Sent&) { return ok(1); });
  ASSERT_TRUE(pve.get({"/nodes/{node}/tasks/{upid}/status", {"n1", "UPID:n1:0:ci@pve!t:"}}).ok());
  EXPECT_EQ(seen_.front().path, "/api2/json/nodes/n1/tasks/UPID%3An1%3A0%3Aci%40pve%21t%3A/status");
  EXPECT_EQ(seen_.front().headers.at("Authorization"), "PVEAPIToken=ci@pve!t=s-1");
  EXPECT_EQ(pve.request_counts().at({"GET", "/nodes/{node}/tasks/{upid}/status"}), 1U);
}

TEST_F(SessionTest, ReadsAreRepeatedWithBackOff) {
  int calls = 0;
  Session pve = session(token_options(), [&](const Sent&) -> Result<HttpResponse> {
    ++calls;
    if (calls == 1) return HttpResponse{596, "Connection timed out", ""};
    if (calls == 2) return lost();
    return ok("there");
  });
  const auto data = pve.get({"/version", {}});
  ASSERT_TRUE(data.ok());
  EXPECT_EQ(*data, "there");
  EXPECT_EQ(clock_.passed(), std::chrono::milliseconds(750));
}

TEST_F(SessionTest, ReadsGiveUpAndNeverHaveAnEffect) {
  Session pve = session(token_options(), [](const Sent&) -> Result<HttpResponse> { return lost(); });
  const auto data = pve.get({"/version", {}});
  ASSERT_FALSE(data.ok());
  EXPECT_EQ(data.error().effect, Effect::kNone);
  EXPECT_EQ(seen_.size(), 4U);
}

TEST_F(SessionTest, AnswersThatCannotChangeAreNotAskedForAgain) {
  for (const int status : {400, 401, 403, 500, 501}) {
    seen_.clear();
    Session pve = session(token_options(), [&](const Sent&) { return HttpResponse{status, "no", ""}; });
    EXPECT_FALSE(pve.get({"/version", {}}).ok());
    EXPECT_EQ(seen_.size(), 1U) << status;
  }
}

TEST_F(SessionTest, WritesAreNeverRepeatedOnceTheyMayHaveArrived) {
  for (const bool by_status : {true, false}) {
    seen_.clear();
    Session pve = session(token_options(), [&](const Sent&) -> Result<HttpResponse> {
      if (by_status) return HttpResponse{596, "Connection timed out", ""};
      return lost();
    });
    const auto answer = pve.write("PUT", {"/storage/{storage}", {"tank"}}, {{"sparse", "1"}});
    ASSERT_FALSE(answer.ok());
    EXPECT_EQ(answer.error().effect, Effect::kPossible);
    EXPECT_EQ(seen_.size(), 1U);
  }
}

TEST_F(SessionTest, WritesGoElsewhereWhenNothingWasSent) {
  Session pve = session(token_options(), [](const Sent& sent) -> Result<HttpResponse> {
    if (sent.endpoint == "https://a:8006") return refused();
    return ok(nullptr);
  });
  EXPECT_TRUE(pve.write("POST", {"/pools", {}}, {{"poolid", "p"}}).ok());
  EXPECT_EQ(endpoints(), (Names{"a", "b"}));
}

TEST_F(SessionTest, DeadEndpointsAreRememberedForAWhile) {
  bool dead = true;
  Session pve = session(token_options(), [&](const Sent& sent) -> Result<HttpResponse> {
    if (dead && sent.endpoint == "https://a:8006") return refused();
    return ok(1);
  });
  ASSERT_TRUE(pve.get({"/version", {}}).ok());
  ASSERT_TRUE(pve.get({"/version", {}}).ok());
  EXPECT_EQ(endpoints(), (Names{"a", "b", "b"}));
}

TEST_F(SessionTest, EveryEndpointDeadIsAnErrorWithoutEffect) {
  Session pve = session(token_options(), [](const Sent&) -> Result<HttpResponse> { return refused(); });
  const auto answer = pve.write("POST", {"/pools", {}}, {{"poolid", "p"}});
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(answer.error().kind, ErrorKind::kUnreachable);
  EXPECT_EQ(answer.error().effect, Effect::kNone);
  EXPECT_EQ(endpoints(), (Names{"a", "b"}));
}

TEST_F(SessionTest, ACertificateThatDoesNotFitIsNamedBeforeRefusals) {
  Session pve = session(token_options(), [](const Sent& sent) -> Result<HttpResponse> {
    if (sent.endpoint == "https://a:8006") return refused();
    return Error{ErrorKind::kTls, "certificate", {}, Effect::kNone, 0};
  });
  EXPECT_EQ(pve.get({"/version", {}}).error().kind, ErrorKind::kTls);
}

TEST_F(SessionTest, StoppingEndsWaitingForBetterTimes) {
  Session pve = session(token_options(), [&](const Sent&) -> Result<HttpResponse> {
    stop_.request_stop();
    return HttpResponse{596, "Connection timed out", ""};
  });
  EXPECT_EQ(pve.get({"/version", {}}).error().kind, ErrorKind::kInterrupted);
  EXPECT_EQ(seen_.size(), 1U);
}

TEST_F(SessionTest, AnswersThatAreNotTheApisAreRefused) {
  for (const char* body : {"", "<html>", "[]", "{}", "null", "{\"data\":"}) {
    Session pve = session(token_options(), [&](const Sent&) { return HttpResponse{200, "OK", body}; });
    EXPECT_EQ(pve.get({"/version", {}}).error().kind, ErrorKind::kMalformed) << body;
  }
  Session redirected = session(token_options(), [](const Sent&) { return HttpResponse{301, "Moved", ""}; });
  EXPECT_EQ(redirected.get({"/version", {}}).error().kind, ErrorKind::kMalformed);
}

/// A server side that hands out numbered tickets, of which one is good.
class TicketTest : public SessionTest {
 protected:
  ConnectionOptions password_options() {
    ConnectionOptions options;
    options.endpoints = {"https://a:8006"};
    options.user = "root@pam";
    options.password = Secret("pw");
    return options;
  }
  Result<HttpResponse> serve(const Sent& sent) {
    if (sent.path == "/api2/json/access/ticket") {
      if (sent.fields != FormFields{{"username", "root@pam"}, {"password", "pw"}}) {
        return HttpResponse{401, "authentication failure", ""};
      }
      ++logins_;
      good_ = logins_;
      return ok({{"ticket", "PVE:t/" + std::to_string(logins_) + "=="},
                 {"CSRFPreventionToken", "c" + std::to_string(logins_)}});
    }
    const auto cookie = sent.headers.find("Cookie");
    const bool known =
        cookie != sent.headers.end() && cookie->second == "PVEAuthCookie=PVE%3At%2F" + std::to_string(good_) + "%3D%3D";
    const auto csrf = sent.headers.find("CSRFPreventionToken");
    const bool written =
        sent.method == "GET" || (csrf != sent.headers.end() && csrf->second == "c" + std::to_string(good_));
    if (!known || !written) return HttpResponse{401, "No ticket", ""};
    return ok("in");
  }
  int logins_ = 0;
  int good_ = 0;
};

TEST_F(TicketTest, LogsInOnceAndProtectsWrites) {
  Session pve = session(password_options(), [&](const Sent& sent) { return serve(sent); });
  EXPECT_TRUE(pve.get({"/version", {}}).ok());
  EXPECT_TRUE(pve.write("PUT", {"/pools", {}}, {{"poolid", "p"}}).ok());
  EXPECT_EQ(logins_, 1);
}

TEST_F(TicketTest, RenewsBeforeATicketEndsAndWhenOneIsRefused) {
  Session pve = session(password_options(), [&](const Sent& sent) { return serve(sent); });
  EXPECT_TRUE(pve.get({"/version", {}}).ok());
  clock_.advance(std::chrono::minutes(90));
  EXPECT_TRUE(pve.get({"/version", {}}).ok());
  EXPECT_EQ(logins_, 2);
  good_ = 99;  // the server forgot it
  EXPECT_TRUE(pve.write("PUT", {"/pools", {}}, {{"poolid", "p"}}).ok());
  EXPECT_EQ(logins_, 3);
}

TEST_F(TicketTest, AWrongPasswordIsTriedOnce) {
  ConnectionOptions options = password_options();
  options.password = Secret("other");
  Session pve = session(std::move(options), [&](const Sent& sent) { return serve(sent); });
  const auto data = pve.get({"/version", {}});
  EXPECT_EQ(data.error().kind, ErrorKind::kUnauthorized);
  EXPECT_EQ(data.error().text().find("other"), std::string::npos);
  EXPECT_EQ(seen_.size(), 1U);
}

TEST_F(TicketTest, ASecondFactorIsSaidToNeedAToken) {
  Session pve = session(password_options(), [](const Sent&) {
    return ok({{"ticket", "x"}, {"CSRFPreventionToken", "y"}, {"NeedTFA", 1}});
  });
  const auto data = pve.get({"/version", {}});
  EXPECT_EQ(data.error().kind, ErrorKind::kUnauthorized);
  EXPECT_NE(data.error().message.find("API token"), std::string::npos);
}

TEST_F(SessionTest, VolumeGroupsTellWhatTheyLieOn) {
  const auto answer = [](const Sent& sent) -> Result<HttpResponse> {
    if (sent.path.ends_with("/disks/list")) {
      return ok(json::parse(R"([{"devpath":"/dev/sdc","type":"ssd"},{"devpath":"/dev/sdd","type":"unknown"}])"));
    }
    if (sent.path.ends_with("/old/disks/lvm")) return HttpResponse{501, "Method not implemented", ""};
    return ok(json::parse(R"({"leaf":0,"children":[
      {"name":"vg0","leaf":0,"children":[{"name":"/dev/sdc","leaf":1}]},
      {"name":"vg1","leaf":0,"children":[{"name":"/dev/sdd1","leaf":1}]}]})"));
  };
  PveClient client(token_options(), std::make_unique<ScriptedTransport>(seen_, answer), clock_, {});
  const auto media = client.volume_group_media("n1");
  ASSERT_TRUE(media.ok());
  EXPECT_EQ(*media, (std::map<std::string, Media>{{"vg0", Media::kSsd}}));
  EXPECT_TRUE(client.volume_group_media("old")->empty());
}

TEST(EncodeForm, LeavesNothingThatSplits) {
  EXPECT_EQ(encode_form({{"scsi0", "tank:32,iothread=1"}, {"size", "+10G"}, {"boot", "order=a;b&c d"}}),
            "scsi0=tank%3A32%2Ciothread%3D1&size=%2B10G&boot=order%3Da%3Bb%26c%20d");
}

}  // namespace
}  // namespace pvr
