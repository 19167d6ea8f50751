#include "tests/fate/process.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "reconciler/execute/lease.h"
#include "simulator/world/world.h"

namespace pvr::fate {
namespace {

bool is_of_lease(const HttpRequest& request) {
  return request.path.find(kLeasePool) != std::string::npos ||
         std::ranges::any_of(request.fields, [](const auto& field) { return field.second == kLeasePool; });
}

std::string text_of(const HttpRequest& request) {
  std::string text = request.method + " " + request.path;
  for (const auto& [key, value] : request.fields) text += fmt::format(" {}={}", key, value);
  return text;
}

std::string text_of(const Command& command) {
  std::string text = command.node + ":";
  for (const std::string& word : command.argv) text += " " + word;
  return text;
}

bool is_copy(const Command& command) {
  return std::ranges::find(command.argv, "copy") != command.argv.end() && command.argv.size() > 2;
}

/// Something between the reader and the disk has flipped a bit of the copy, and nobody noticed.
void corrupt(pvesim::Simulator& sim, const Command& command) {
  sim.inspect([&](pvesim::World& world) {
    for (auto& [key, backing] : world.backings)
      for (auto& [name, volume] : backing.volumes)
        if (backing.node == command.node && command.argv.back().ends_with("/" + name)) volume.fingerprint ^= 2;
  });
}

HttpResponse killed() { return {.status = 401, .reason = "killed", .body = ""}; }

Error lost() {
  return {.kind = ErrorKind::kServer, .message = "the connection was lost", .context = {}, .effect = Effect::kPossible};
}

Error no_way(const std::string& node, Effect effect) {
  return {.kind = ErrorKind::kUnreachable,
          .message = "no ssh connection to node \"" + node + "\"",
          .context = {},
          .effect = effect};
}

/// What PVE says when it refuses for reasons that pass.
const std::vector<const char*>& passing_refusals() {
  static const std::vector<const char*> kTexts = {
      "can't lock file '/var/lock/qemu-server/lock-100.conf' - got timeout",
      "cfs-lock 'file-user_cfg' error: got lock request timeout",
      "cfs-lock 'storage-san' error: got lock request timeout",
      "cluster not ready - no quorum?",
      "detected modified configuration - file changed by other user? Try again.",
      "got timeout",
      "command '/sbin/zfs get -o value -Hp available tank/z16' failed: got timeout",
      "unable to open file '/etc/pve/nodes/n1/qemu-server/100.conf.tmp.4711' - Device or resource busy",
      "error with cfs lock 'file-storage_cfg': got lock request timeout",
      "VM 100 qmp command 'query-block' failed - got timeout",
  };
  return kTexts;
}

}  // namespace

std::string_view to_text(Bug bug) {
  switch (bug) {
    case Bug::kNone:
      return "none";
    case Bug::kBlindRetry:
      return "blind-retry";
    case Bug::kNoDigest:
      return "no-digest";
    case Bug::kUncheckedCopy:
      return "unchecked-copy";
    case Bug::kEarlyRetire:
      return "early-retire";
    case Bug::kHiddenPending:
      return "hidden-pending";
    case Bug::kLeaseUnchecked:
      return "lease-unchecked";
  }
  return "";
}

bool Process::chance(std::uint32_t permille) {
  if (permille == 0 || !parts_.dice.permille(permille)) return false;
  ++faults_;
  return true;
}

/// Whose lease is it? A process that was held up may find that its lease went to somebody else while its last request
/// was on its way: that one request is nobody's fault.
void Process::judge_lease(const std::string& what) {
  if (!applying) return;
  bool mine = false;
  parts_.sim.inspect([&](pvesim::World& world) {
    const auto pool = world.pools.find(std::string(kLeasePool));
    mine = pool != world.pools.end() && pool->second.comment.find(parts_.nonce) != std::string::npos;
  });
  if (!mine) unleased_.push_back(what);
}

Process::Verdict Process::effect(const std::string& what) {
  // A request whose connection was refused is the same one when it is made at the next endpoint.
  if (what != refused_) judge_lease(what);
  if (++effects_ != parts_.weather.kill_at) return Verdict::kGoOn;
  ++faults_;
  dead_ = true;
  parts_.story.tell(
      fmt::format("{} killed {} effect {}", parts_.name, parts_.weather.kill_after ? "after" : "before", effects_));
  return parts_.weather.kill_after ? Verdict::kDieAfter : Verdict::kDieBefore;
}

/// A task that ended well and did nothing.
std::string Process::fake_task(const HttpRequest& request) {
  std::string upid;
  const auto at = request.path.find("/qemu/");
  const std::string id = at == std::string::npos ? "" : request.path.substr(at + 6, 3);
  const auto node = request.path.find("/nodes/");
  const std::string on = node == std::string::npos
                             ? parts_.sim.node_names().front()
                             : request.path.substr(node + 7, request.path.find('/', node + 7) - node - 7);
  parts_.sim.inspect(
      [&](pvesim::World& world) { upid = world.finished_task(on, "qmconfig", id, "root@pam!ci", {}, "OK"); });
  return upid;
}

Result<HttpResponse> Process::send(const std::string& endpoint, const HttpRequest& request) {
  if (dead_) return killed();
  if (parts_.others) parts_.others(*this);
  if (dead_) return killed();
  const Weather& weather = parts_.weather;
  const bool write = request.method != "GET";
  const bool lease = is_of_lease(request);
  const std::string what = text_of(request);
  Story& story = parts_.story;
  story.note(what);
  if (write && what == unanswered_) ++blind_;
  unanswered_.clear();
  const auto befalls = [&](std::uint32_t permille, const char* fault) {
    if (!chance(permille)) return false;
    story.tell(fmt::format("{} fault: {} at {}", parts_.name, fault, what));
    return true;
  };
  const auto answer_lost = [&] {
    if (write) unanswered_ = what;
  };
  Verdict verdict = Verdict::kGoOn;
  if (write && !lease) verdict = effect(what);
  refused_.clear();
  if (verdict == Verdict::kDieBefore) return killed();
  if (befalls(weather.refuse, "refused")) {
    refused_ = what;
    return Error{ErrorKind::kUnreachable, endpoint + ": connection refused", {}, Effect::kNone, 0};
  }
  if (befalls(weather.reset, "reset")) {
    answer_lost();
    return lost();
  }
  if (befalls(weather.unauthorized, "401"))
    return HttpResponse{.status = 401, .reason = "authentication failure", .body = ""};
  if (befalls(weather.forbidden, "403"))
    return HttpResponse{.status = 403, .reason = "Permission check failed (/vms/100, VM.Config.Disk)", .body = ""};
  if (write && befalls(weather.refuse_text, "500")) {
    const std::string text = parts_.dice.pick(passing_refusals());
    return HttpResponse{.status = 500, .reason = text, .body = R"({"data":null})"};
  }
  if (write && !lease && befalls(weather.claims_done, "claims to be done"))
    return HttpResponse{.status = 200, .reason = "OK", .body = fmt::format(R"({{"data":"{}"}})", fake_task(request))};
  if (befalls(weather.slow, "slow")) {
    const int seconds = parts_.dice.between(5, 90);
    parts_.sim.advance(std::chrono::seconds(seconds));
    if (seconds > 60)
      return Error{ErrorKind::kTimeout, "no answer in 60 s", {}, write ? Effect::kPossible : Effect::kNone, 0};
  }
  Result<HttpResponse> answer = pass_on(endpoint, request);
  if (answer) {
    story.note(fmt::format("{}", answer->status));
    if (write && (!lease || story.kept()))
      story.remark(fmt::format("{} {} -> {} {}", parts_.name, what, answer->status,
                               answer->status == 200 ? "" : answer->reason));
  }
  if (verdict == Verdict::kDieAfter) return killed();
  if (befalls(weather.lose_answer, "answer lost")) {
    answer_lost();
    return lost();
  }
  if (befalls(weather.proxy, "596")) {
    answer_lost();
    return HttpResponse{.status = parts_.dice.percent(70) ? 596 : 599, .reason = "Connection timed out", .body = ""};
  }
  return answer;
}

Result<HttpResponse> Process::pass_on(const std::string& endpoint, const HttpRequest& request) {
  testing::SimulatedTransport wire(parts_.sim, endpoints_);
  HttpRequest changed = request;
  if (parts_.bug == Bug::kNoDigest && request.method != "GET")
    std::erase_if(changed.fields, [](const auto& field) { return field.first == "digest"; });
  const bool takes_digest =
      changed.method != "GET" && changed.path.find("/qemu/") != std::string::npos &&
      (changed.path.ends_with("/config") || changed.path.ends_with("/resize") || changed.path.ends_with("/move_disk"));
  if (takes_digest && undigested_.empty() &&
      std::ranges::none_of(changed.fields, [](const auto& field) { return field.first == "digest"; }))
    undigested_ = text_of(changed);
  return falsify(changed, wire.send(endpoint, changed));
}

Result<HttpResponse> Process::falsify(const HttpRequest& request, Result<HttpResponse> answer) {
  if (!answer) return answer;
  if (parts_.bug == Bug::kHiddenPending && request.method == "GET" && request.path.ends_with("/pending")) {
    auto body = nlohmann::json::parse(answer->body, nullptr, false);
    if (body.is_discarded()) return answer;
    for (auto& row : body["data"]) {
      row.erase("pending");
      row.erase("delete");
    }
    answer->body = body.dump();
  }
  if (parts_.bug != Bug::kLeaseUnchecked) return answer;
  if (is_of_lease(request) && request.method != "GET") {
    for (const auto& [key, value] : request.fields)
      if (key == "comment") own_lease_ = value;
    return HttpResponse{.status = 200, .reason = "OK", .body = R"({"data":null})"};
  }
  if (request.method == "GET" && request.path.find("/pools") != std::string::npos && !own_lease_.empty()) {
    auto body = nlohmann::json::parse(answer->body, nullptr, false);
    if (body.is_discarded() || !body.contains("data") || !body["data"].is_array()) return answer;
    bool found = false;
    for (auto& row : body["data"]) {
      if (row.value("poolid", "") != kLeasePool) continue;
      row["comment"] = own_lease_;
      found = true;
    }
    if (!found) body["data"].push_back({{"poolid", kLeasePool}, {"comment", own_lease_}});
    return HttpResponse{.status = 200, .reason = "OK", .body = body.dump()};
  }
  return answer;
}

Result<CommandOutput> Process::run(const Command& command) {
  const Error gone{.kind = ErrorKind::kUnauthorized, .message = "killed"};
  if (dead_) return gone;
  if (parts_.others) parts_.others(*this);
  if (dead_) return gone;
  const Weather& weather = parts_.weather;
  const std::string what = text_of(command);
  Story& story = parts_.story;
  story.note(what);
  const auto befalls = [&](std::uint32_t permille, const char* fault) {
    if (!chance(permille)) return false;
    story.tell(fmt::format("{} fault: {} at {}", parts_.name, fault, what));
    return true;
  };
  const Verdict verdict = command.acts ? effect(what) : Verdict::kGoOn;
  if (verdict == Verdict::kDieBefore) return gone;
  if (befalls(weather.host_refuse, "no ssh")) return no_way(command.node, Effect::kNone);
  if (befalls(weather.host_fail, "command fails"))
    return CommandOutput{.exit_code = 1, .out = {}, .err = "cannot open: I/O error\n"};
  if (command.acts && befalls(weather.host_cut, "ssh cut"))
    parts_.sim.add_fault({.action = pvesim::FaultAction::kHostCut, .path = "*", .nth = 1, .times = 1});
  auto answer = runner_.run(command);
  if (is_copy(command) && answer && answer->exit_code == 0 && befalls(weather.host_corrupt, "a block is corrupted"))
    corrupt(parts_.sim, command);
  if (command.acts)
    story.remark(fmt::format("{} {} -> {}", parts_.name, what,
                             answer ? std::to_string(answer->exit_code) + " " + answer->err : answer.error().text()));
  if (verdict == Verdict::kDieAfter) return gone;
  if (befalls(weather.host_lose, "ssh lost"))
    return no_way(command.node, command.acts ? Effect::kPossible : Effect::kNone);
  return answer;
}

}  // namespace pvr::fate
