#include "tests/lab/lab_cluster.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <charconv>
#include <set>
#include <sstream>
#include <stop_token>
#include <string_view>

#include "providers/pve/pve_client.h"
#include "reconciler/execute/lease.h"
#include "schema/fleet_schema.h"
#include "tests/lab/lab.h"

namespace pvr::lab {
namespace {

constexpr const char* kEndpoint = "https://zfslab:8006";
constexpr std::string_view kDatasets[] = {"tank/pve", "rz1/pve"};

std::vector<std::string> without_sudo(std::vector<std::string> argv) {
  if (argv.size() > 3 && argv[0] == "sudo") argv.erase(argv.begin(), argv.begin() + 3);
  return argv;
}

bool is_copy(const Command& command) {
  const std::vector<std::string> argv = without_sudo(command.argv);
  return argv.size() > 2 && argv[0] == "perl" && argv[2] == "copy";
}

class NoEvents final : public EventSink {
 public:
  void emit(const Event&) override {}
};

}  // namespace

/// One client's fate, counted over both of its ways to act.
class Fate {
 public:
  explicit Fate(const Doom& doom) : doom_(doom) {}
  [[nodiscard]] bool dead() const { return dead_; }
  [[nodiscard]] int effects() const { return effects_; }
  void die() { dead_ = true; }
  /// An effect has happened. True: the client does not live to hear of it.
  [[nodiscard]] bool happened() {
    if (++effects_ != doom_.nth) return dead_;
    dead_ = true;
    if (doom_.with_it) doom_.with_it();
    return true;
  }
  [[nodiscard]] const Doom& doom() const { return doom_; }

 private:
  Doom doom_;
  std::atomic<int> effects_ = 0;
  std::atomic<bool> dead_ = false;
};

/// The API. What it has done to zvols is done to the real ones before the answer goes out.
class LabTransport final : public HttpTransport {
 public:
  LabTransport(LabCluster& cluster, Fate* fate)
      : cluster_(cluster), fate_(fate), inner_(cluster.sim(), {{kEndpoint, kNode}}) {}
  [[nodiscard]] Result<HttpResponse> send(const std::string& endpoint, const HttpRequest& request) override {
    const HttpResponse killed{.status = 401, .reason = "killed", .body = ""};
    if (fate_ != nullptr && fate_->dead()) return killed;
    Result<HttpResponse> answer = inner_.send(endpoint, request);
    cluster_.follow();
    const bool of_lease =
        std::ranges::any_of(request.fields, [](const auto& field) { return field.second == kLeasePool; });
    if (fate_ != nullptr && request.method != "GET" && !of_lease && fate_->happened()) return killed;
    return answer;
  }

 private:
  LabCluster& cluster_;
  Fate* fate_;
  testing::SimulatedTransport inner_;
};

/// Tasks of the API go on while somebody waits.
class LabClock final : public Clock {
 public:
  explicit LabClock(LabCluster& cluster) : cluster_(cluster), inner_(cluster.sim()) {}
  [[nodiscard]] std::chrono::system_clock::time_point wall() const override { return inner_.wall(); }
  [[nodiscard]] std::chrono::steady_clock::time_point steady() const override { return inner_.steady(); }
  bool wait(std::chrono::milliseconds span, std::stop_token stop) override {
    const bool went_on = inner_.wait(span, std::move(stop));
    cluster_.follow();
    return went_on;
  }

 private:
  LabCluster& cluster_;
  testing::SimulatedClock inner_;
};

/// Host access: the real node, and the simulated one behind it.
class LabRunner final : public CommandRunner {
 public:
  LabRunner(LabCluster& cluster, Fate* fate)
      : cluster_(cluster),
        fate_(fate),
        ssh_({.user = "root", .addresses = {{kNode, kAddress}}, .program = cluster.ssh_}) {}

  [[nodiscard]] Result<CommandOutput> run(const Command& command) override {
    const Error killed{.kind = ErrorKind::kUnauthorized, .message = "killed"};
    if (fate_ != nullptr && fate_->dead()) return killed;
    cluster_.follow();
    // The lab has no /etc/pve.
    if (const auto argv = without_sudo(command.argv); argv.front() == "grep") {
      const pvesim::CommandAnswer told = cluster_.sim().run_command(command.node, argv, command.input);
      return by_lines(command, {.exit_code = told.exit_code, .out = told.out, .err = told.err});
    }
    auto ended = is_copy(command) ? copy(command) : ssh_.run(command);
    if (fate_ != nullptr && fate_->dead()) return killed;
    if (command.acts && ended && ended->exit_code == 0) cluster_.play(command);
    if (fate_ != nullptr && command.acts && fate_->happened()) return killed;
    return ended;
  }

 private:
  [[nodiscard]] Result<CommandOutput> copy(Command command) {
    if (fate_ == nullptr || (!fate_->doom().in_the_copy && !fate_->doom().dies_in_the_copy)) return ssh_.run(command);
    std::stop_source connection;
    bool done = false;
    command.stop = connection.get_token();
    command.on_line = [&, tell = command.on_line](std::string_view line) {
      tell(line);
      std::uint64_t bytes = 0;
      if (done || !line.starts_with("done ")) return;
      std::from_chars(line.data() + 5, line.data() + line.size(), bytes);
      if (bytes < (1U << 20U)) return;
      done = true;
      if (fate_->doom().dies_in_the_copy) fate_->die();
      if (fate_->doom().in_the_copy) fate_->doom().in_the_copy();
      if (fate_->doom().dies_in_the_copy) connection.request_stop();
    };
    auto ended = ssh_.run(command);
    EXPECT_TRUE(done) << "the copy was over before anything could befall it";
    return ended;
  }

  LabCluster& cluster_;
  Fate* fate_;
  SshRunner ssh_;
};

LabCluster::LabCluster(const std::string& cluster, std::string ssh)
    : ssh_(std::move(ssh)),
      sim_(pvesim::Simulator::from_text(cluster, {.manual_clock = true})),
      clock_(std::make_unique<LabClock>(*this)),
      direct_(
          std::make_unique<SshRunner>(SshOptions{.user = "root", .addresses = {{kNode, kAddress}}, .program = ssh_})),
      runner_(std::make_unique<LabRunner>(*this, nullptr)),
      zfs_(*runner_, *clock_, {.sudo = true}) {}

std::string LabCluster::shell(const std::string& script) {
  const auto ended = direct_->run({.node = kNode, .argv = {"sh", "-s"}, .input = script, .limit = kPatience});
  if (!ended || ended->exit_code != 0) {
    ADD_FAILURE() << script << ": " << (ended ? ended->err : ended.error().text());
    return {};
  }
  return ended->out;
}

void LabCluster::must_run(const std::string& script, const std::string& what) {
  SCOPED_TRACE(what);
  static_cast<void>(shell("set -e\n" + script));
}

std::map<std::string, LabCluster::Known> LabCluster::look() {
  std::map<std::string, std::string> places;  // storage → dataset
  std::istringstream text(sim_->storage_cfg());
  std::string line;
  std::string id;
  while (std::getline(text, line)) {
    if (line.starts_with("zfspool: ")) id = line.substr(9);
    if (line.starts_with("\tpool ") && !id.empty()) places[id] = line.substr(6);
    if (line.empty()) id.clear();
  }
  std::map<std::string, Known> found;
  for (pvesim::ZvolInfo& zvol : sim_->zvols()) {
    const std::string name = zvol.name;
    found.emplace(name, Known{.zvol = std::move(zvol)});
  }
  for (const pvesim::VolumeInfo& volume : sim_->volumes()) {
    const auto colon = volume.volid.find(':');
    const auto place = places.find(volume.volid.substr(0, colon));
    if (place == places.end()) continue;
    const auto zvol = found.find(place->second + "/" + volume.volid.substr(colon + 1));
    if (zvol == found.end()) continue;
    zvol->second.attached = std::ranges::any_of(
        volume.referenced_by, [](const std::string& by) { return by.find("unused") == std::string::npos; });
  }
  return found;
}

void LabCluster::follow() {
  const std::scoped_lock lock(mutex_);
  if (known_.empty()) return;  // not set up yet
  std::map<std::string, Known> now = look();
  std::string script;
  const auto destroy = [](const std::string& name) {
    // Fact: a volume is busy for a moment while udev looks at it.
    return fmt::format(
        "for n in 1 2 3 4 5 6 7 8 9 10; do udevadm settle; zfs destroy {0} && break; sleep 0.5; done; "
        "! zfs list {0} >/dev/null 2>&1\n",
        name);
  };
  for (const auto& [name, here] : now) {
    const auto before = known_.find(name);
    const bool is_new = before == known_.end();
    if (is_new)
      script += fmt::format("zfs create {}-V {} -b {} {}\nudevadm settle\n", here.zvol.refreservation == 0 ? "-s " : "",
                            here.zvol.size, here.zvol.volblocksize, name);
    else if (before->second.zvol.size != here.zvol.size)
      script += fmt::format("zfs set volsize={} {}\n", here.zvol.size, name);
    const std::uint64_t held = is_new ? 0 : before->second.zvol.fingerprint;
    if (here.zvol.fingerprint == held) continue;
    const Known* source = nullptr;
    for (const auto& [other, had] : known_)
      if (other != name && had.zvol.fingerprint == here.zvol.fingerprint &&
          (source == nullptr || (had.attached && !source->attached)))
        source = &had;
    if (source == nullptr) {
      ADD_FAILURE() << name << " has a content that no other zvol had";
      continue;
    }
    // As PVE copies a disk that nobody uses.
    script += fmt::format("qemu-img convert -n -f raw -O raw -t none -T none {}/dev/zvol/{} /dev/zvol/{}\n",
                          is_new ? "--target-is-zero " : "", source->zvol.name, name);
  }
  for (const auto& [name, had] : known_)
    if (!now.contains(name)) script += destroy(name);
  known_ = std::move(now);
  if (!script.empty()) must_run(script, "what the API has done");
}

void LabCluster::play(const Command& command) {
  const std::scoped_lock lock(mutex_);
  const std::vector<std::string> argv = without_sudo(command.argv);
  sim_->advance(std::chrono::seconds(5));  // udev is done
  follow();
  const pvesim::CommandAnswer played = sim_->run_command(command.node, argv, command.input);
  EXPECT_EQ(played.exit_code, 0) << fmt::format("{}", fmt::join(argv, " ")) << ": " << played.err;
  known_ = look();
}

void LabCluster::set_up() {
  const std::scoped_lock lock(mutex_);
  for (const std::string_view one : kDatasets)
    must_run(fmt::format("for n in $(seq 20); do zfs list {0} >/dev/null 2>&1 || break; udevadm settle; "
                         "zfs destroy -r {0} 2>/dev/null || sleep 0.5; done; zfs create -o canmount=off {0}",
                         one),
             "making room");
  std::string script;
  known_ = look();
  std::set<std::string> parents;
  for (const auto& [name, here] : known_) parents.insert(name.substr(0, name.rfind('/')));
  // Storages without a volume have their dataset, too.
  std::istringstream text(sim_->storage_cfg());
  for (std::string line; std::getline(text, line);)
    if (line.starts_with("\tpool ")) parents.insert(line.substr(6));
  for (const std::string& parent : parents) script += fmt::format("zfs create -p -o canmount=off {}\n", parent);
  for (const auto& [name, here] : known_)
    script += fmt::format("zfs create {}-V {} -b {} {}\n", here.zvol.refreservation == 0 ? "-s " : "", here.zvol.size,
                          here.zvol.volblocksize, name);
  script += "udevadm settle\n";
  for (const auto& [name, here] : known_) {
    const std::int64_t size = here.zvol.size >> 20;
    // A quarter is data, in two places, one of which begins within a block.
    script += fmt::format("dd if=/dev/urandom of=/dev/zvol/{0} bs=1M seek={1} count={2} oflag=direct status=none\n",
                          name, size / 8, size / 8);
    script += fmt::format("dd if=/dev/urandom of=/dev/zvol/{0} bs=4k seek={1} count={2} oflag=direct status=none\n",
                          name, size * 128 + 1, size * 32);
  }
  must_run(script, "making the zvols");
}

Plan LabCluster::plan(const std::string& fleet, Allowance allow, ByteRate copy_rate) {
  SourceSet sources;
  sources.add("fleet.yaml", fleet);
  auto checked = load_fleet(std::move(sources));
  if (!checked.value) {
    ADD_FAILURE() << "the fleet cannot be read";
    return {};
  }
  for (const Diagnostic& one : checked.diagnostics)
    if (one.severity == Severity::kError) ADD_FAILURE() << render(one, *checked.value->sources);
  ConnectionOptions connection;
  connection.endpoints = {kEndpoint};
  connection.token_id = "root@pam!ci";
  connection.token_secret = Secret("s-root");
  PveClient pve(std::move(connection), std::make_unique<LabTransport>(*this, nullptr), *clock_, std::stop_token{});
  EngineOptions options;
  options.plan.allow = allow;
  options.plan.copy_rate = copy_rate;
  options.readers = 1;
  options.zfs = &zfs_;
  const auto document = std::make_shared<const FleetDocument>(std::move(*checked.value));
  auto planned = pvr::plan(pve, *clock_, document, options);
  if (!planned) {
    ADD_FAILURE() << planned.error().text();
    return {};
  }
  for (const Diagnostic& one : planned->diagnostics)
    if (one.severity == Severity::kError) ADD_FAILURE() << render(one, *document->sources);
  return std::move(planned->plan);
}

ApplyReport LabCluster::apply(const Plan& plan, const Doom& doom) {
  Fate fate(doom);
  ConnectionOptions connection;
  connection.endpoints = {kEndpoint};
  connection.token_id = "root@pam!ci";
  connection.token_secret = Secret("s-root");
  PveClient pve(std::move(connection), std::make_unique<LabTransport>(*this, &fate), *clock_, std::stop_token{});
  LabRunner runner(*this, &fate);
  HostZfs zfs(runner, *clock_, {.sudo = true});
  NoEvents events;
  ApplyOptions options;
  options.limits.parallelism = 1;
  options.lease.holder = fmt::format("lab {}", ++runs_);
  options.lease.nonce = fmt::format("lab-{}", runs_);
  ApplyReport report =
      pvr::apply(plan, {.pve = pve, .clock = *clock_, .events = events, .zfs = &zfs}, std::move(options), {});
  effects_ = fate.effects();
  return report;
}

void LabCluster::let_time_pass() {
  sim_->settle();
  sim_->advance(std::chrono::minutes(10));
  follow();
}

std::string LabCluster::zvol_of(int vmid, const std::string& slot) {
  const std::string drive = sim_->vm_config(vmid)[slot];
  const std::string volid = drive.substr(0, drive.find(','));
  const auto colon = volid.find(':');
  std::istringstream text(sim_->storage_cfg());
  bool found = false;
  for (std::string line; std::getline(text, line);) {
    if (line == "zfspool: " + volid.substr(0, colon)) found = true;
    if (found && line.starts_with("\tpool ")) return line.substr(6) + "/" + volid.substr(colon + 1);
  }
  ADD_FAILURE() << drive << " is no zvol";
  return {};
}

std::string LabCluster::checksum(const std::string& zvol, std::int64_t length) {
  const std::string limit = length == 0 ? "cat" : fmt::format("head -c {}", length);
  return shell(fmt::format("dd if=/dev/zvol/{} bs=1M iflag=direct status=none | {} | sha256sum", zvol, limit))
      .substr(0, 64);
}

std::string LabCluster::real_zvols() {
  return shell(fmt::format("zfs list -Hp -t volume -o name,volsize,volblocksize -s name -r {} | sort",
                           fmt::join(kDatasets, " ")));
}

std::string LabCluster::simulated_zvols() {
  std::string text;
  for (const auto& [name, here] : look())
    text += fmt::format("{}\t{}\t{}\n", name, here.zvol.size, here.zvol.volblocksize);
  return text;
}

}  // namespace pvr::lab
