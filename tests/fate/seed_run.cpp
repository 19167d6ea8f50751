#include "tests/fate/seed_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <set>

#include "providers/host/host_zfs.h"
#include "providers/pve/pve_client.h"
#include "reconciler/engine/engine.h"
#include "reconciler/execute/executor.h"
#include "simulator/api/method.h"
#include "simulator/world/storage.h"
#include "simulator/world/world.h"
#include "tests/fate/history.h"
#include "tests/fate/ledger.h"
#include "tests/fate/wishes.h"

namespace pvr::fate {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

/// Listens for secrets, and tells the story.
class Listener final : public EventSink {
 public:
  Listener(Story& story, std::string name, std::function<void(const std::string&)> said)
      : story_(story), name_(std::move(name)), said_(std::move(said)) {}
  void emit(const Event& event) override {
    if (const auto* step = std::get_if<StepStarted>(&event)) {
      told(fmt::format("{} [{}] {}", name_, step->operation, step->step));
    } else if (const auto* waiting = std::get_if<Waiting>(&event)) {
      said_(waiting->on);
    } else if (const auto* end = std::get_if<OperationFinished>(&event)) {
      told(fmt::format("{} [{}] {} {}", name_, end->operation, to_text(end->outcome), end->detail));
    }
  }

 private:
  void told(const std::string& line) {
    said_(line);
    story_.tell(line);
  }
  Story& story_;
  std::string name_;
  std::function<void(const std::string&)> said_;
};

/// A host whose copies are never checked (Bug::kUncheckedCopy), or checked after the original is put away
/// (Bug::kEarlyRetire).
class CarelessZfs final : public ZfsHost {
 public:
  CarelessZfs(ZfsHost& inner, Bug bug) : inner_(inner), bug_(bug) {}
  Result<LiveHost> host(const std::string& node) override { return inner_.host(node); }
  Result<LiveHost> settings(const std::string& node) override { return inner_.settings(node); }
  Result<std::vector<GuestFile>> guest_files(const std::string& node) override { return inner_.guest_files(node); }
  Result<std::optional<LiveDataset>> dataset(const std::string& node, const std::string& name) override {
    return inner_.dataset(node, name);
  }
  Result<std::vector<LiveDataset>> marked(const std::string& node, const std::string& parent) override {
    return inner_.marked(node, parent);
  }
  Result<std::vector<std::string>> holders(const std::string& node, const std::string& volume) override {
    return inner_.holders(node, volume);
  }
  Status set_properties(const std::string& node, const std::string& dataset, const FlatMap<std::string>& set) override {
    return inner_.set_properties(node, dataset, set);
  }
  Status set_pool_properties(const std::string& node, const std::string& pool,
                             const FlatMap<std::string>& set) override {
    return inner_.set_pool_properties(node, pool, set);
  }
  Status set_parameters(const std::string& node, const std::vector<std::pair<std::string, std::string>>& set) override {
    return inner_.set_parameters(node, set);
  }
  Status write_modprobe(const std::string& node, const FlatMap<std::string>& options) override {
    return inner_.write_modprobe(node, options);
  }
  Status set_timer(const std::string& node, const std::string& unit, bool enabled) override {
    return inner_.set_timer(node, unit, enabled);
  }
  Status create_dataset(const std::string& node, const std::string& name,
                        const FlatMap<std::string>& properties) override {
    return inner_.create_dataset(node, name, properties);
  }
  Status create_zvol(const std::string& node, const NewZvol& zvol) override { return inner_.create_zvol(node, zvol); }
  Status rename(const std::string& node, const std::string& from, const std::string& to) override {
    return inner_.rename(node, from, to);
  }
  Status destroy(const std::string& node, const std::string& dataset, const std::string& guid) override {
    return inner_.destroy(node, dataset, guid);
  }
  Status snapshot(const std::string& node, const std::string& dataset, const std::string& name) override {
    return inner_.snapshot(node, dataset, name);
  }
  Status destroy_snapshot(const std::string& node, const std::string& dataset, const std::string& name) override {
    return inner_.destroy_snapshot(node, dataset, name);
  }
  Status copy(const std::string& node, const ZvolCopy& copy, const std::function<void(const CopyProgress&)>& progress,
              std::stop_token stop) override {
    const Status copied = inner_.copy(node, copy, progress, std::move(stop));
    if (bug_ == Bug::kUncheckedCopy)
      return copied || copied.error().effect == Effect::kPossible ? Status(Done{}) : copied;
    if (!copied || copy.source.find('@') != std::string::npos) return copied;
    const auto slash = copy.source.rfind('/');
    static_cast<void>(inner_.rename(
        node, copy.source, copy.source.substr(0, slash) + "/pvereconcile-old-" + copy.source.substr(slash + 1)));
    return copied;
  }
  Result<ContentChecksums> compare(const std::string& node, const ZvolCopy& copy,
                                   const std::function<void(const CopyProgress&)>& progress,
                                   std::stop_token stop) override {
    if (bug_ == Bug::kUncheckedCopy) return ContentChecksums{.source = "same", .target = "same"};
    return inner_.compare(node, copy, progress, std::move(stop));
  }

 private:
  ZfsHost& inner_;
  Bug bug_;
};

class SeedRun {
 public:
  SeedRun(std::uint64_t seed, const SeedOptions& options)
      : seed_(seed), options_(options), story_(options.story), chance_(seed, "chance"), draft_(draft_cluster(seed)) {
    result_.seed = seed;
  }

  SeedResult run() {
    try {
      sim_ = pvesim::Simulator::from_text(draft_.yaml, {.manual_clock = true});
    } catch (const pvesim::ClusterFileError& error) {
      violate("The test's own cluster is wrong: " + error.problems().front());
      return finish();
    }
    story_.remark(draft_.yaml);
    Dice history(seed_, "history");
    live_on(*sim_, draft_, history, story_, history.between(0, 8));
    sim_->advance(minutes(3));  // HA carries out what was asked of it
    if (!choose_fleet()) return finish();
    ledger_.emplace(*sim_, draft_);
    ledger_->open(wishes_);
    Dice weathers(seed_, "weather");
    Dice rare(seed_, "rare weather");
    const int rounds = weathers.between(1, 3);
    for (int round = 1; round <= rounds && result_.broken.empty(); ++round) {
      Weather weather = draw_weather(weathers, rare);
      // What this mistake needs to matter comes more often.
      if (options_.bug == Bug::kUncheckedCopy) {
        weather = {};
        weather.host_corrupt = 500;
      }
      reconcile(fmt::format("A{}", round), weather, 0);
      check(fmt::format("after run A{}", round));
      between_runs(weathers);
    }
    if (result_.broken.empty()) settle_down();
    return finish();
  }

 private:
  SeedResult finish() {
    result_.digest = story_.digest();
    result_.story = story_.lines();
    return std::move(result_);
  }

  void violate(const std::string& what) {
    result_.broken.push_back(what);
    story_.tell("BROKEN: " + what);
  }

  void check(const std::string& when) {
    for (const std::string& what : ledger_->broken()) violate(fmt::format("{} ({})", what, when));
  }

  void heard(const std::string& text) {
    for (const char* secret : {kToken, kPassword})
      if (text.find(secret) != std::string::npos) violate("A secret is told: " + text);
  }

  /// The boldest fleet that is free of errors here.
  bool choose_fleet() {
    for (int boldness = 4; boldness >= 0; --boldness) {
      wishes_ = wish(*sim_, draft_, seed_, boldness);
      if (!wishes_.document) {
        story_.remark(fmt::format("boldness {}: {}", boldness, wishes_.problem));
        continue;
      }
      const auto planned = look("look", {});
      if (planned && planned->ok()) {
        story_.remark(wishes_.yaml);
        story_.tell(fmt::format("fleet of boldness {}, host access {}, allow{}{}{}", boldness, wishes_.host_access,
                                wishes_.allow.restart ? " restart" : "",
                                wishes_.allow.offline_copy ? " offline-copy" : "",
                                wishes_.allow.destroy ? " destroy" : ""));
        result_.empty = planned->plan.empty();
        return true;
      }
      if (!planned) story_.remark("no plan: " + planned.error().text());
      if (planned)
        for (const Diagnostic& diagnostic : planned->diagnostics)
          if (diagnostic.severity == Severity::kError)
            story_.remark(fmt::format("boldness {}: {}: {}", boldness, diagnostic.summary, diagnostic.detail));
    }
    result_.empty = true;
    return false;  // a cluster nobody can state a fleet for (a node is missing, …)
  }

  struct Desk {
    std::unique_ptr<Process> process;
    std::unique_ptr<ProcessClock> clock;
    std::unique_ptr<PveClient> pve;
    std::unique_ptr<ProcessRunner> runner;
    std::unique_ptr<HostZfs> zfs;
    std::unique_ptr<CarelessZfs> careless;
    ZfsHost* host = nullptr;
  };

  Desk sit_down(const std::string& name, const Weather& weather, int depth) {
    Desk desk;
    desk.process = std::make_unique<Process>(
        Process::Parts{.sim = *sim_,
                       .dice = chance_,
                       .story = story_,
                       .name = name,
                       .nonce = fmt::format("nonce-{}-{}", name, ++processes_),
                       .weather = weather,
                       .bug = options_.bug,
                       .others = [this, depth](Process& process) { others(process, depth); }});
    desk.clock = std::make_unique<ProcessClock>(*sim_, *desk.process);
    ConnectionOptions options;
    for (const std::string& node : draft_.nodes) options.endpoints.push_back("https://" + node + ":8006");
    options.token_id = "root@pam!ci";
    options.token_secret = Secret(kToken);
    desk.pve = std::make_unique<PveClient>(std::move(options), std::make_unique<ProcessTransport>(*desk.process),
                                           *desk.clock, std::stop_token{});
    desk.runner = std::make_unique<ProcessRunner>(*desk.process);
    desk.zfs = std::make_unique<HostZfs>(*desk.runner, *desk.clock, HostZfsOptions{});
    desk.careless = std::make_unique<CarelessZfs>(*desk.zfs, options_.bug);
    if (wishes_.host_access) desk.host = desk.zfs.get();
    const bool careless = options_.bug == Bug::kUncheckedCopy || options_.bug == Bug::kEarlyRetire;
    if (wishes_.host_access && careless) desk.host = desk.careless.get();
    return desk;
  }

  Result<PlanResult> plan_at(Desk& desk) {
    EngineOptions options;
    options.plan.allow = wishes_.allow;
    options.readers = 1;
    options.zfs = desk.host;
    ++result_.plans;
    return plan(*desk.pve, *desk.clock, wishes_.document, options);
  }
  Result<PlanResult> look(const std::string& name, const Weather& weather) {
    Desk desk = sit_down(name, weather, 2);
    return plan_at(desk);
  }

  /// One whole run of the tool: plan and apply.
  std::optional<ApplyReport> reconcile(const std::string& name, const Weather& weather, int depth,
                                       bool collect_garbage = false) {
    story_.tell(fmt::format("--- {}:{}", name, weather.text()));
    Desk desk = sit_down(name, weather, depth);
    if (weather.task_fail != 0 || weather.task_stall != 0) {
      pvesim::RandomFaults faults;
      faults.seed = chance_.next();
      faults.task_rate = weather.task_fail / 1000.0;
      sim_->set_random_faults(faults);
      if (weather.task_stall != 0)
        sim_->add_fault({.action = pvesim::FaultAction::kTaskStall, .task = "?*", .nth = chance_.between(1, 30)});
    }
    std::optional<ApplyReport> report = plan_and_apply(desk, name, weather, collect_garbage);
    sim_->clear_faults();
    if (ledger_) ledger_->run_ended();
    result_.effects += desk.process->effects();
    result_.faults += desk.process->faults();
    result_.kills += desk.process->dead() ? 1 : 0;
    const std::vector<std::string>& unleased = desk.process->unleased();
    if (unleased.size() > 1)
      violate(
          fmt::format("{} went on writing {} times without the lease, first: {}", name, unleased.size(), unleased[1]));
    for (const std::string& what : unleased) forgive_late_stop(what);
    if (!desk.process->undigested().empty())
      violate(fmt::format("{} wrote without a digest: {}", name, desk.process->undigested()));
    if (desk.process->blind() > 0)
      violate(fmt::format("{} sent a write again whose answer was lost, without looking first", name));
    return report;
  }

  /// A request to stop a guest that was on its way when the lease ended: nothing calls it back, and the note that says
  /// who is to be started again went with the lease.
  void forgive_late_stop(const std::string& what) {
    const auto shutdown = what.find("/status/shutdown ");
    const auto ha = what.find("/ha/resources/vm:");
    if (!ledger_) return;
    if (shutdown != std::string::npos)
      ledger_->forget_power(std::stoi(what.substr(what.rfind('/', shutdown - 1) + 1)));
    else if (ha != std::string::npos && what.find("state=stopped") != std::string::npos)
      ledger_->forget_power(std::stoi(what.substr(what.find("vm:", ha) + 3)));
  }

  std::optional<ApplyReport> plan_and_apply(Desk& desk, const std::string& name, const Weather& weather,
                                            bool collect_garbage) {
    EngineOptions gc;
    gc.plan.allow = {.restart = true, .offline_copy = true, .destroy = true};
    gc.readers = 1;
    gc.zfs = desk.host;
    const auto planned = collect_garbage ? plan_gc(*desk.pve, *desk.clock, wishes_.document, gc) : plan_at(desk);
    if (!planned) {
      heard(planned.error().text());
      story_.tell(fmt::format("{} has no plan: {}", name, planned.error().text()));
      return std::nullopt;
    }
    for (const Diagnostic& diagnostic : planned->diagnostics) heard(diagnostic.summary + diagnostic.detail);
    if (!planned->ok()) {
      story_.tell(fmt::format("{} has errors instead of a plan", name));
      return std::nullopt;
    }
    const Plan& plan = planned->plan;
    heard(print_plan(plan));
    tell_plan(name, plan);
    ApplyOptions options;
    options.limits.parallelism = 1;
    options.lease.holder = name;
    options.lease.nonce = desk.process->nonce();
    options.lease.break_existing = weather.lease_breaker && name[0] == 'B';
    Listener listener(story_, name, [this](const std::string& text) { heard(text); });
    desk.process->applying = true;
    ++result_.applies;
    ApplyReport report =
        apply(plan, {.pve = *desk.pve, .clock = *desk.clock, .events = listener, .zfs = desk.host}, options, {});
    desk.process->applying = false;
    heard(report.stopped_by);
    if (!report.stopped_by.empty()) story_.tell(fmt::format("{} stopped: {}", name, report.stopped_by));
    result_.operations += static_cast<int>(report.operations.size());
    for (const OperationReport& operation : report.operations) {
      heard(operation.detail);
      for (const std::string& warning : operation.warnings) {
        heard(warning);
        story_.tell(fmt::format("{} [{}] warns: {}", name, operation.operation, warning));
        told_ += warning + '\n';
      }
      result_.failed += operation.outcome == Outcome::kFailed || operation.outcome == Outcome::kConflict ? 1 : 0;
    }
    return report;
  }

  void tell_plan(const std::string& name, const Plan& plan) {
    story_.tell(fmt::format("{} plans {} operations, {} blocked", name, plan.operations.size(), plan.blocked.size()));
    if (!story_.kept()) return;
    for (const Operation& operation : plan.operations) {
      story_.remark(
          fmt::format("  [{}] {} {}", operation.id, procedure_name(operation.procedure), to_text(operation.address)));
      for (const PlannedChange& change : operation.changes)
        story_.remark(fmt::format("      {}: {} -> {}", change.key, change.from, change.to));
    }
    for (const BlockedItem& item : plan.blocked)
      story_.remark(fmt::format("  blocked {}: {}: {} [{}]", to_text(item.address), item.what, item.why, item.remedy));
  }

  // ---------------------------------------------------------------------------------------------- what others do

  /// Asked before each request of a process: the rest of the world is at work, too.
  void others(Process& process, int depth) {
    const Weather& weather = process.weather();
    const auto now = [&](std::uint32_t permille) { return permille != 0 && chance_.permille(permille); };
    if (depth >= 2) return;
    if (now(weather.edits)) ledger_->others([&] { edit_at_once(*sim_, draft_.managed, chance_, story_); });
    if (now(weather.guest_writes)) guest_writes();
    if (now(weather.nodes)) node_changes();
    if (now(weather.quorum)) quorum_changes();
    if (now(weather.pauses)) {
      const int span = chance_.between(1, chance_.percent(80) ? 120 : 1200);
      story_.tell(fmt::format("{} is held up for {} s", process.name(), span));
      sim_->advance(seconds(span));
    }
    if (now(weather.clock)) {
      process.clock_error = seconds(chance_.between(-7200, 7200));
      story_.tell(fmt::format("{}'s clock is wrong by {} s", process.name(), process.clock_error.count()));
    }
    if (now(weather.pools)) pool_fills();
    if (now(weather.task_kill)) task_ends();
    if (now(weather.task_vanish)) task_vanishes();
    if (now(weather.volumes)) volume_disappears();
    if (now(weather.holds)) somebody_opens();
    if (now(weather.locks)) lock_appears();
    if (now(weather.power)) power_changes();
    if (depth == 0 && now(weather.rival)) rival(process);
  }

  /// A second run of the tool, from its begin to its end, while the first is held up between two requests.
  void rival(const Process& held_up) {
    story_.tell(fmt::format("{} is held up, another one begins", held_up.name()));
    Weather weather;
    weather.lease_breaker = held_up.weather().lease_breaker;
    if (chance_.percent(30)) {
      weather.kill_at = chance_.between(1, 10);
      weather.kill_after = chance_.percent(50);
    }
    reconcile(fmt::format("B{}", processes_), weather, 1);
  }

  void guest_writes() {
    const std::vector<int> guests = sim_->vmids();
    if (guests.empty()) return;
    const int vmid = chance_.pick(guests);
    const auto keys = drive_keys(sim_->vm_config(vmid));
    if (keys.empty() || !sim_->vm_running(vmid)) return;
    const std::string key = chance_.pick(keys);
    ledger_->others([&] {
      try {
        sim_->guest_write(vmid, key);
        story_.tell(fmt::format("guest {} writes to {}", vmid, key));
      } catch (const std::exception&) {
        story_.note("not open");
      }
    });
  }

  void node_changes() {
    if (draft_.nodes.size() < 2) return;
    const std::string& node = chance_.pick(draft_.nodes);
    if (down_.contains(node)) {
      story_.tell(fmt::format("node {} comes back", node));
      sim_->node_up(node);
      down_.erase(node);
      return;
    }
    if (!down_.empty()) return;
    story_.tell(fmt::format("node {} is lost", node));
    // PVE's own tasks die with their node and clean nothing up.
    ledger_->others([&] { sim_->node_down(node); });
    crashed_ = true;
    down_.insert(node);
    ledger_->forget_power_of_stopped();
  }

  void quorum_changes() {
    quorate_ = !quorate_;
    story_.tell(quorate_ ? "quorum is back" : "quorum is lost");
    sim_->set_quorum(quorate_);
  }

  void pool_fills() {
    full_ = !full_;
    story_.tell(full_ ? "the pools fill up" : "the pools have room again");
    sim_->inspect([&](pvesim::World& world) {
      for (auto& [name, node] : world.nodes)
        for (auto& [pool, zpool] : node.pools) zpool.base_used = full_ ? zpool.size * 95 / 100 : 0;
    });
  }

  void task_ends() {
    for (const pvesim::TaskInfo& task : sim_->tasks()) {
      if (!task.running) continue;
      const bool hard = chance_.percent(30);
      story_.tell(fmt::format("somebody {} task {} {}", hard ? "kills" : "stops", task.type, task.id));
      ledger_->others([&] {
        sim_->inspect([&](pvesim::World& world) {
          if (hard) {
            world.kill_task(task.upid);
          } else {
            world.stop_task(task.upid);
          }
        });
      });
      crashed_ = crashed_ || hard;
      return;
    }
  }

  /// Its node was started again: the task is gone, and so is every trace of it.
  void task_vanishes() {
    for (const pvesim::TaskInfo& task : sim_->tasks()) {
      if (!task.running) continue;
      story_.tell(fmt::format("task {} {} vanishes", task.type, task.id));
      ledger_->others([&] {
        sim_->inspect([&](pvesim::World& world) {
          world.kill_task(task.upid);
          for (const auto& one : world.tasks) {
            if (one->upid != task.upid) continue;
            one->upid = "vanished " + one->upid;
            one->node.clear();
          }
        });
      });
      crashed_ = true;
      return;
    }
  }

  /// Somebody removes a volume below PVE.
  void volume_disappears() {
    const auto volumes = sim_->volumes();
    if (volumes.empty()) return;
    const pvesim::VolumeInfo& volume = volumes[chance_.below(volumes.size())];
    if (volume.owner == 0) return;
    ledger_->others([&] {
      sim_->inspect([&](pvesim::World& world) {
        try {
          pvesim::free_volume(world, volume.node.empty() ? draft_.nodes.front() : volume.node, volume.volid,
                              [](const std::string&) {});
          story_.tell(fmt::format("somebody removes volume {}", volume.volid));
        } catch (const pvesim::ApiError&) {
          story_.note("in use");
        }
      });
    });
  }

  void somebody_opens() {
    const auto zvols = sim_->zvols();
    if (zvols.empty()) return;
    const pvesim::ZvolInfo& zvol = zvols[chance_.below(zvols.size())];
    if (!held_.insert({zvol.node, zvol.name}).second) return;
    story_.tell(fmt::format("somebody opens {}", zvol.name));
    sim_->hold_zvol(zvol.node, zvol.name, "4711 (dd)");
  }

  void lock_appears() {
    const int vmid = chance_.pick(draft_.managed);
    if (!sim_->vm_exists(vmid)) return;
    const auto config = sim_->vm_config(vmid);
    if (const auto lock = config.find("lock"); lock != config.end()) {
      if (!lock->second.starts_with("backup")) return;
      story_.tell(fmt::format("guest {} is unlocked", vmid));
      ledger_->others([&] { sim_->delete_config(vmid, "lock"); });
      return;
    }
    story_.tell(fmt::format("guest {} is locked: backup", vmid));
    ledger_->others([&] { sim_->set_config(vmid, "lock", "backup"); });
  }

  void power_changes() {
    const int vmid = chance_.pick(draft_.managed);
    if (!sim_->vm_exists(vmid)) return;
    ledger_->forget_power(vmid);
    const bool runs = sim_->vm_running(vmid);
    story_.tell(fmt::format("somebody {} guest {}", runs ? "stops" : "starts", vmid));
    ledger_->others([&] {
      static_cast<void>(sim_->admin_call(
          "POST", fmt::format("/nodes/{}/qemu/{}/status/{}", sim_->vm_node(vmid), vmid, runs ? "stop" : "start")));
    });
  }

  void between_runs(Dice& dice) {
    sim_->advance(minutes(dice.between(0, 20)));
    if (dice.percent(50)) heal_nodes();
  }

  // ---------------------------------------------------------------------------------------------- the end

  void heal_nodes() {
    for (const std::string& node : down_) sim_->node_up(node);
    down_.clear();
    sim_->set_quorum(true);
    quorate_ = true;
  }

  void heal() {
    story_.tell("--- all faults are over");
    sim_->clear_faults();
    heal_nodes();
    if (full_) pool_fills();
    for (const auto& [node, name] : held_) {
      for (const pvesim::ZvolInfo& zvol : sim_->zvols())
        if (zvol.node == node) sim_->release_zvol(node, zvol.name, "4711 (dd)");
    }
    // A stalled task never ends by itself; an administrator stops it. Stale locks likewise.
    sim_->settle(minutes(60));
    ledger_->others([&] {
      sim_->inspect([](pvesim::World& world) {
        std::vector<std::string> running;
        for (const auto& task : world.tasks)
          if (task->running) running.push_back(task->upid);
        for (const std::string& upid : running) world.stop_task(upid);
      });
    });
    sim_->settle(minutes(60));
    ledger_->others([&] {
      for (const int vmid : sim_->vmids()) sim_->delete_config(vmid, "lock");
    });
    // Longer than any lease lasts, also one that a clock two hours ahead has taken.
    sim_->advance(minutes(135));
  }

  void settle_down() {
    heal();
    check("when the faults were over");
    std::optional<ApplyReport> last;
    for (int attempt = 1; attempt <= 4; ++attempt) {
      last = reconcile(fmt::format("C{}", attempt), {}, 2);
      check(fmt::format("after run C{}", attempt));
      sim_->settle(minutes(120));
      if (last && last->operations.empty()) break;
    }
    if (!result_.broken.empty()) return;
    const auto planned = look("last look", {});
    // An image as it is has no place where the fleet wants it, and the error says what to write.
    const auto says_format = [](const Diagnostic& diagnostic) {
      return diagnostic.severity != Severity::kError ||
             diagnostic.detail.find("[S1]. Write format: raw") != std::string::npos;
    };
    if (planned && !planned->ok() && std::ranges::all_of(planned->diagnostics, says_format)) return;
    if (!planned || !planned->ok()) {
      violate("There is no plan at the end: " +
              (planned ? planned->diagnostics.front().detail : planned.error().text()));
      return;
    }
    tell_plan("at the end", planned->plan);
    result_.blocked = static_cast<int>(planned->plan.blocked.size());
    // A guest that ignores its power button cannot be restarted by anybody who asks politely, and that is said.
    std::set<OperationId> stuck_ids;
    const auto stuck = [&](const Operation& operation) {
      const bool ignores = std::visit(
          [&](const auto& params) {
            if constexpr (requires { params.vmid; }) return ignores_shutdown(static_cast<int>(params.vmid.number));
            return false;
          },
          operation.procedure);
      // What waits for such a guest waits as long.
      const bool waits = std::ranges::any_of(operation.after, [&](OperationId id) { return stuck_ids.contains(id); });
      if (ignores || waits) stuck_ids.insert(operation.id);
      return ignores || waits;
    };
    if (!std::ranges::all_of(planned->plan.operations, stuck)) {
      std::string why;
      if (last)
        for (const OperationReport& operation : last->operations)
          if (!operation.detail.empty()) why += fmt::format("\n    [{}] {}", operation.operation, operation.detail);
      const Operation& first = planned->plan.operations.front();
      violate(fmt::format("The plan does not become empty: {} {}{}", procedure_name(first.procedure),
                          to_text(first.address), why));
    }
    judge_blocked(planned->plan);
    for (const BlockedItem& item : planned->plan.blocked) told_ += fmt::format("{}: {}\n", item.why, item.remedy);
    at_rest("at the end");
    if (result_.broken.empty() && wishes_.host_access && chance_.percent(40)) {
      sim_->advance(std::chrono::hours(24 * 9));
      reconcile("GC", {}, 2, true);
      at_rest("after gc");
    }
  }

  bool ignores_shutdown(int vmid) {
    bool ignores = false;
    sim_->inspect([&](pvesim::World& world) {
      const pvesim::Vm* vm = world.find_vm(vmid);
      ignores = vm != nullptr && vm->ignores_shutdown;
    });
    return ignores;
  }

  void at_rest(const std::string& when) {
    // What PVE could not remove, it only says in the log of its task. Nothing proves that such a volume is ours, so gc
    // leaves it alone, and whoever audits is told.
    std::optional<std::set<std::string>> orphans;
    const auto audited = [&](const std::string& volume) {
      if (!orphans) orphans = audit_orphans();
      return orphans->contains(volume);
    };
    for (const std::string& what : ledger_->broken_at_rest(told_, audited)) {
      // What PVE's own task was doing when its node died or somebody killed it, PVE leaves lying about.
      if (crashed_ && what.ends_with("was left behind and nothing names it.")) continue;
      violate(fmt::format("{} ({})", what, when));
    }
  }

  /// Volumes that the audit names as nobody's (P2).
  std::set<std::string> audit_orphans() {
    Desk desk = sit_down("audit", {}, 2);
    EngineOptions options;
    options.readers = 1;
    options.zfs = desk.host;
    std::set<std::string> volumes;
    const auto audited = audit_cluster(*desk.pve, *desk.clock, wishes_.document, options);
    if (!audited) return volumes;
    for (const AuditFinding& finding : audited->report.findings)
      if (finding.rule == "P2" && finding.subject.starts_with("volume/"))
        volumes.insert(finding.subject.substr(finding.subject.rfind('/', finding.subject.find(':')) + 1));
    return volumes;
  }

  /// A reason that names a permission is true only while that permission is missing.
  void judge_blocked(const Plan& plan) {
    for (const BlockedItem& item : plan.blocked) {
      heard(item.what + item.why + item.remedy);
      const bool untrue = (item.remedy == "--allow restart" && wishes_.allow.restart) ||
                          (item.remedy == "--allow offline-copy" && wishes_.allow.offline_copy) ||
                          (item.remedy == "--allow destroy" && wishes_.allow.destroy);
      if (untrue || item.why.empty())
        violate(fmt::format("The plan gives a reason that is not true: {}: {} [{}]", item.what, item.why, item.remedy));
    }
  }

  std::uint64_t seed_;
  SeedOptions options_;
  Story story_;
  Dice chance_;
  Draft draft_;
  std::unique_ptr<pvesim::Simulator> sim_;
  Wishes wishes_;
  std::optional<Ledger> ledger_;
  SeedResult result_;
  int processes_ = 0;
  std::string told_;  // what the runs warned of, and what the last plan says it cannot do and why
  std::set<std::string> down_;
  std::set<std::pair<std::string, std::string>> held_;
  bool quorate_ = true;
  bool full_ = false;
  bool crashed_ = false;
};

}  // namespace

SeedResult run_seed(std::uint64_t seed, const SeedOptions& options) { return SeedRun(seed, options).run(); }

}  // namespace pvr::fate
