// Replays recorded calls of the real API against the simulator and compares status, reason, error maps and bodies.

#include <gtest/gtest.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "simulator/simulator.h"
#include "simulator/world/world.h"
#include "tests/simulator/replay_worlds.h"
#include "tests/simulator/transcript.h"

namespace pvesim_test {
namespace {

using nlohmann::json;

constexpr const char* kSecret = "11111111-2222-3333-4444-555555555555";

std::string encode(const std::string& text) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || std::string_view("-._~").find(c) != std::string_view::npos) {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4U];
      out += kHex[byte & 15U];
    }
  }
  return out;
}

class Replay {
 public:
  explicit Replay(const ReplayWorld& world)
      : simulator_(pvesim::Simulator::from_text(world.cluster, {.manual_clock = true})),
        without_system_(world.without_system) {
    simulator_->inspect([](pvesim::World& inside) {  // the recording machine was an emulated one
      for (auto& [key, backing] : inside.backings) backing.read_rate = backing.write_rate = 40LL << 20;
    });
  }

  /// One call; compares when `strict`. Answers whether anything was sent.
  void play(const Transcript& transcript, int index, bool strict) {
    const RecordedCall& call = transcript.calls[static_cast<std::size_t>(index)];
    if (exclusion_of(transcript.name, index, call.method, call.path) != nullptr) {
      ++excluded;
      return;
    }
    for (const Unrecorded& one : unrecorded()) {
      if (one.transcript != transcript.name || one.before != index) continue;
      const pvesim::Response response = simulator_->admin_call(one.method, one.path, one.params);
      if (response.status != 200)
        complaints_.push_back(transcript.name + "[" + std::to_string(index) + "] unrecorded " + one.method + " " +
                              one.path + ": " + response.reason);
      (void)simulator_->settle();
    }
    simulator_->inspect([&](pvesim::World& world) {
      for (const int vmid : without_system_)
        if (pvesim::Vm* vm = world.find_vm(vmid)) vm->ignores_shutdown = true;
    });
    simulator_->advance(std::chrono::milliseconds(200));  // nobody sends two calls in the same moment
    // The recorder polled tasks until they had ended.
    if (call.note.rfind("polled until stopped", 0) == 0) wait_for_task(translate(call.path));
    // … and took long enough for the status daemon to have told the cluster what it shows.
    if (call.path == "/cluster/resources" || call.path.rfind("/pools", 0) == 0)
      simulator_->advance(std::chrono::seconds(11));
    const pvesim::Response response = simulator_->handle(request_of(call));
    ++played;
    comparison.clear_mismatches();
    const std::string place = transcript.name + "[" + std::to_string(index) + "] " + call.method + " " + call.path;
    if (call.status != response.status) {  // the rest follows from it
      if (strict)
        complaints_.push_back(place + ": status " + std::to_string(call.status) + " simulated " +
                              std::to_string(response.status) + " " + response.reason + " " +
                              response.body.substr(0, 300));
      return;
    }
    comparison.compare_text(call.reason, response.reason, "reason");
    compare_body(call, response);
    if (call.closes != response.close) complaints_.push_back(place + ": connection handling differs");
    for (const std::string& mismatch : comparison.mismatches()) complaints_.push_back(place + ": " + mismatch);
    if (!strict) complaints_.clear();
  }

  [[nodiscard]] const std::vector<std::string>& complaints() const { return complaints_; }
  Comparison comparison = {};
  int played = 0;
  int excluded = 0;

 private:
  /// Until the task of /nodes/N/tasks/UPID/status has ended, and no longer.
  void wait_for_task(const std::string& path) {
    const auto begin = path.find("UPID:");
    const std::string upid = path.substr(begin, path.find('/', begin) - begin);
    simulator_->inspect([&](pvesim::World& world) {
      world.wait_until(
          [&] {
            const pvesim::Task* task = world.find_task(upid);
            return task == nullptr || !task->running;
          },
          world.now() + std::chrono::hours(24));
    });
  }

  void compare_body(const RecordedCall& call, const pvesim::Response& response) {
    if (call.body.is_string()) {
      const std::string recorded = call.body.get<std::string>();
      if (recorded.rfind("<as above>", 0) == 0) return;
      comparison.compare_text(recorded, response.body, "body");
      return;
    }
    const json simulated = json::parse(response.body, nullptr, false);
    if (simulated.is_discarded()) {
      complaints_.push_back("answer is no JSON: " + response.body.substr(0, 200));
      return;
    }
    if (call.path == "/access/ticket" && call.method == "POST" && simulated.contains("data") &&
        simulated["data"].is_object()) {
      ticket_ = simulated["data"].value("ticket", "");
      csrf_ = simulated["data"].value("CSRFPreventionToken", "");
      json recorded = call.body;
      json ours = simulated;
      // The recorder kept three names of each group of capabilities.
      if (recorded.contains("data") && recorded["data"].is_object() && recorded["data"].contains("cap")) {
        for (const auto& [area, names] : recorded["data"]["cap"].items())
          for (const json& name : names)
            if (!ours["data"]["cap"][area].contains(name.get<std::string>()))
              complaints_.push_back("capability " + area + " " + name.get<std::string>() + " is missing");
        recorded["data"].erase("cap");
        ours["data"].erase("cap");
      }
      comparison.compare(recorded, ours, "body");
      return;
    }
    comparison.compare(call.body, simulated, "body");
  }

  /// What earlier answers gave in place of what was recorded.
  std::string translate(std::string text) const {
    for (const auto& [recorded, simulated] : comparison.learned())
      for (auto at = text.find(recorded); at != std::string::npos; at = text.find(recorded, at + simulated.size()))
        text.replace(at, recorded.size(), simulated);
    return text;
  }

  std::string text_of(const json& value) const {
    return translate(value.is_string() ? value.get<std::string>() : value.dump());
  }

  pvesim::Request request_of(const RecordedCall& call) {
    pvesim::Request request;
    request.method = call.method;
    request.path = "/api2/" + call.format;
    for (const char c : translate(call.path)) {
      if (c == '/')
        request.path += c;
      else
        request.path += encode(std::string(1, c));
    }
    std::string form;
    if (call.params.is_object())
      for (const auto& [key, value] : call.params.items()) {
        const json list = value.is_array() ? value : json::array({value});
        for (const json& one : list) form += (form.empty() ? "" : "&") + encode(key) + "=" + encode(text_of(one));
      }
    if (call.method == "POST" || call.method == "PUT") {
      if (call.raw_body) {
        request.body = *call.raw_body;
        request.headers.emplace_back("Content-Type", call.raw_body->front() == '<' ? "text/xml" : "application/json");
      } else if (!call.json_body.is_null()) {
        request.body = call.json_body.dump();
        request.headers.emplace_back("Content-Type", "application/json");
      } else if (!form.empty()) {
        request.body = form;
        request.headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
      }
    } else {
      request.query = form;
    }
    authenticate(call, request);
    return request;
  }

  void authenticate(const RecordedCall& call, pvesim::Request& request) {
    const auto token = [&](const std::string& value) {
      request.headers.emplace_back("Authorization", "PVEAPIToken=" + value);
    };
    if (call.auth.empty()) return token(std::string("root@pam!ci=") + kSecret);
    if (call.auth == "none") return;
    if (call.auth.rfind("token ", 0) == 0) {
      const std::string id = call.auth.substr(6);
      if (id == "garbage") return token("garbage");
      // The recorder used wrong secrets where it says so by an answer of 401 to the administrator's own token.
      const auto secret = comparison.learned().find("<token-secret-op>");
      const bool own = id == "op@pve!ci2" && secret != comparison.learned().end();
      return token(id + "=" + (own ? secret->second : "wrong"));
    }
    if (ticket_.empty()) log_in();
    const bool bad_ticket = call.note.find("bad ticket") != std::string::npos;
    request.headers.emplace_back("Cookie", "PVEAuthCookie=" + encode(bad_ticket ? ticket_ + "x" : ticket_));
    if (call.auth == "cookie+csrf")
      request.headers.emplace_back("CSRFPreventionToken",
                                   call.note.find("wrong CSRF") != std::string::npos ? "wrong" : csrf_);
  }

  void log_in() {
    pvesim::Request request;
    request.method = "POST";
    request.path = "/api2/json/access/ticket";
    request.body = "username=root@pam&password=%3Cpassword%3E";
    const json answer = json::parse(simulator_->handle(request).body);
    ticket_ = answer["data"]["ticket"].get<std::string>();
    csrf_ = answer["data"]["CSRFPreventionToken"].get<std::string>();
  }

  std::unique_ptr<pvesim::Simulator> simulator_;
  std::vector<int> without_system_;
  std::vector<std::string> complaints_ = {};
  std::string ticket_ = {}, csrf_ = {};
};

class Transcripts : public testing::TestWithParam<std::string> {};
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(Transcripts);

TEST_P(Transcripts, ReplayAsRecorded) {
  const auto folder = shared_folder();
  ASSERT_TRUE(folder);
  const ReplayWorld world = world_of(GetParam());
  ASSERT_FALSE(world.cluster.empty()) << GetParam() << " has no world: add it to replay_worlds.cpp";
  Replay replay(world);
  for (const std::string& earlier : world.before) {
    const Transcript transcript = load_transcript(*folder / "transcripts" / (earlier + ".json"));
    for (int i = 0; i < static_cast<int>(transcript.calls.size()); ++i) replay.play(transcript, i, false);
  }
  replay.played = 0;
  replay.excluded = 0;
  replay.comparison.clear_used();
  const Transcript transcript = load_transcript(*folder / "transcripts" / (GetParam() + ".json"));
  for (int i = 0; i < static_cast<int>(transcript.calls.size()); ++i) replay.play(transcript, i, true);
  for (const std::string& complaint : replay.complaints()) ADD_FAILURE() << complaint;
  std::cout << GetParam() << ": " << replay.played << " calls compared, " << replay.excluded
            << " excluded; normalised:";
  for (const auto& [name, count] : replay.comparison.used()) std::cout << " " << name << " " << count;
  std::cout << "\n";
}

INSTANTIATE_TEST_SUITE_P(Recorded, Transcripts, testing::ValuesIn(transcript_names()), [](const auto& one) {
  std::string name = one.param;
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  return name;
});

TEST(TranscriptFolder, IsPresentOrSaidToBeMissing) {
  if (!shared_folder())
    GTEST_SKIP()
        << "NO TRANSCRIPTS ON THIS MACHINE: nothing was replayed. Set PVERECONCILE_SHARED to the folder that has "
           "pve/transcripts.";
  EXPECT_FALSE(transcript_names().empty());
  std::cout << exclusions().size() << " entries in the exclusion table\n";
  for (const Exclusion& one : exclusions())
    std::cout << "  " << one.transcript << (one.index >= 0 ? "[" + std::to_string(one.index) + "]" : "") << " "
              << one.method << " " << one.path << ": " << one.why << "\n";
}

}  // namespace
}  // namespace pvesim_test
