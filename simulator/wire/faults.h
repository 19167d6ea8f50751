#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace pvesim {

enum class FaultAction : std::uint8_t {
  kDelay,       // the answer comes `delay` later (virtual time); the effect is not delayed
  kStatus,      // answers `status` with `message`, no effect
  kDrop,        // the connection is reset before the request is looked at
  kLoseAnswer,  // the effect happens, the connection is cut before the first byte of the answer
  kRefuse,      // as if nothing listened
  kProxyError,  // 595/596/599 with an empty body; the effect happens unless the status is 595 (connect failed)
  kTaskFail,    // a step of a task (or of synchronous work) fails with `message`
  kTaskStall,   // a step of a task never ends
  kNodeDown,    // `node` goes down before the request is served
  kNodeUp,      // … and comes back
  kLoseQuorum,  // the cluster loses quorum before the request is served
  kGainQuorum,
  kHostFail,        // a command on a node ends with code 1 and `message`, no effect
  kHostRefuse,      // no connection to the node
  kHostDrop,        // the connection ends before the command begins
  kHostLoseAnswer,  // the command runs, the connection ends before its answer
  kHostCut,         // the command is killed on its way: a copy does half its work
};

/// One rule of a fault script. Rules are asked in order; every rule that matches acts, the first one that answers ends
/// it.
struct Fault {
  FaultAction action = FaultAction::kStatus;
  // What it matches. Request rules: verb ("" = any) and a glob over the path below /api2/json.
  std::string method = {};
  std::string path = "*";
  // Host rules: `path` is a glob over the command, words with blanks between, without sudo.
  // Task rules: globs over task type, task id and step name; synchronous work has the type "" and id "".
  std::string task = "*";
  std::string id = "*";
  std::string step = "*";
  int nth = 1;    // acts from the nth match on …
  int times = 1;  // … this many times; 0 = for ever
  // What it does.
  int status = 500;
  std::string message = "injected fault";
  std::chrono::milliseconds delay{0};  // virtual
  std::string node = {};
  [[nodiscard]] bool for_tasks() const { return action == FaultAction::kTaskFail || action == FaultAction::kTaskStall; }
  [[nodiscard]] bool for_host() const { return action >= FaultAction::kHostFail; }
};

/// Every request may meet a fault by chance. The same seed gives the same faults for the same sequence of requests.
struct RandomFaults {
  std::uint64_t seed = 1;
  double rate = 0;  // 0 … 1, chance per request
  std::vector<FaultAction> actions = {FaultAction::kDelay, FaultAction::kDrop, FaultAction::kLoseAnswer,
                                      FaultAction::kProxyError};
  std::chrono::milliseconds delay{2000};
  double task_rate = 0;  // chance per step of a task to fail
};

/// '*' any text, '?' one character; everything else literal.
[[nodiscard]] bool glob_match(std::string_view pattern, std::string_view text);

/// Name of an action as scripts spell it ("lose-answer"); parse answers false for an unknown one.
[[nodiscard]] std::string_view fault_name(FaultAction action);
[[nodiscard]] bool parse_fault_name(std::string_view name, FaultAction& action);
[[nodiscard]] std::vector<std::string_view> fault_names();

/// The rules with their counters. Not thread safe: the world's mutex guards it.
class FaultScript {
 public:
  void add(Fault fault) { rules_.push_back({std::move(fault), 0, 0}); }
  void set_random(RandomFaults random);
  void clear();

  /// The faults this request meets, in order.
  [[nodiscard]] std::vector<Fault> for_request(std::string_view method, std::string_view path);
  /// The fault this step meets: kTaskFail or kTaskStall, or nullopt-like `false`.
  [[nodiscard]] bool for_step(std::string_view task, std::string_view id, std::string_view step, Fault& fault);
  /// The fault this command of a node meets; the first rule that matches.
  [[nodiscard]] bool for_command(std::string_view command, Fault& fault);
  /// How often any rule acted.
  [[nodiscard]] std::uint64_t fired() const { return fired_; }

 private:
  struct Rule {
    Fault fault = {};
    int matched = 0;
    int acted = 0;
  };
  [[nodiscard]] bool acts(Rule& rule);
  [[nodiscard]] double chance();

  std::vector<Rule> rules_ = {};
  RandomFaults random_ = {};
  std::mt19937_64 rng_{1};
  std::uint64_t fired_ = 0;
};

}  // namespace pvesim
