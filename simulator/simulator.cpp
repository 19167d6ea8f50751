#include "simulator/simulator.h"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <fstream>
#include <sstream>
#include <thread>

#include "simulator/api/method.h"
#include "simulator/cluster_file.h"
#include "simulator/host/datasets.h"
#include "simulator/host/host_command.h"
#include "simulator/inspect.h"
#include "simulator/wire/certificate.h"
#include "simulator/wire/server.h"
#include "simulator/wire/service.h"
#include "simulator/world/world.h"

namespace pvesim {
namespace {

using namespace std::chrono_literals;

std::string join_lines(const std::vector<std::string>& lines) {
  std::string out;
  for (const std::string& line : lines) out += (out.empty() ? "" : "\n") + line;
  return out;
}

std::string percent_encode(const std::string& text) {
  static constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) != 0 || c == '-' || c == '.' || c == '_' || c == '~') {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4U];
      out += kHex[byte & 15U];
    }
  }
  return out;
}

/// Where a manual clock begins: a fixed day, so that nothing depends on today.
constexpr VirtualTime kManualStart{std::chrono::seconds(1767225600)};  // 2026-01-01 00:00:00 UTC

VirtualTime real_now() {
  return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

}  // namespace

ClusterFileError::ClusterFileError(std::vector<std::string> problems)
    : std::runtime_error(join_lines(problems)), problems_(std::move(problems)) {}

class Simulator::Impl {
 public:
  Impl(const ClusterFile& file, const SimulatorOptions& options)
      : clock_(make_clock(file.settings(), options)),
        world_(clock_, options.seed.value_or(file.settings().seed)),
        service_(world_, "ticket key " + std::to_string(options.seed.value_or(file.settings().seed))) {
    const auto lock = world_.guard();
    file.apply(world_);
    const std::string seed = std::to_string(options.seed.value_or(file.settings().seed));
    std::vector<std::string> names;
    for (const auto& [name, node] : world_.nodes) names.push_back(name);
    for (auto& [name, node] : world_.nodes) {
      Certificate made = make_certificate(name, names, "pvesim " + seed + " " + name);
      node.ssl_fingerprint = made.fingerprint;
      certificates_.emplace(name, std::move(made));
    }
    for (const Fault& fault : file.settings().faults) service_.faults().add(fault);
    service_.faults().set_random(file.settings().random);
    service_.begin();
  }
  ~Impl() { stop(); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  World& world() { return world_; }
  /// Lets time pass, at once on a manual clock: what is repeated every few seconds and only shows its last state (the
  /// broadcasts) is then done once.
  void pass(VirtualSpan span) {
    const VirtualTime until = world_.now() + span;
    if (std::dynamic_pointer_cast<ManualClock>(clock_)) {
      clock_->sleep_until(until);
      world_.catch_up();
    } else {
      world_.wait_until([] { return false; }, until);
    }
  }
  Service& service() { return service_; }
  const Certificate& certificate(const std::string& node) const {
    return certificates_.at(node.empty() ? world_.first_node : node);
  }

  Response handle(const Request& request) {
    Response response = service_.handle(request);
    sync_listeners();
    return response;
  }

  std::uint16_t listen(const ListenOptions& options) {
    stop();
    std::vector<std::string> nodes;
    {
      const auto lock = world_.guard();
      nodes.push_back(world_.first_node);
      if (options.per_node)
        for (const auto& [name, node] : world_.nodes)
          if (name != world_.first_node) nodes.push_back(name);
    }
    per_node_ = options.per_node;
    stopping_ = false;
    for (const std::string& node : nodes) {
      ServerOptions server;
      server.address = options.address;
      server.tls = options.tls;
      server.port = servers_.empty() ? options.port : std::uint16_t{0};
      if (options.per_node) server.node = node;
      servers_.emplace(node, std::make_unique<Server>(server, certificate(node),
                                                      [this](const Request& request) { return handle(request); }));
    }
    sync_listeners();
    timer_ = std::thread([this] { run_timer(); });
    return servers_.at(nodes.front())->port();
  }

  void stop() {
    {
      const std::lock_guard lock(timer_mutex_);
      stopping_ = true;
    }
    timer_wake_.notify_all();
    if (timer_.joinable()) timer_.join();
    for (auto& [node, server] : servers_) server->stop();
    const std::lock_guard lock(servers_mutex_);
    servers_.clear();
  }

  std::uint16_t port(const std::string& node) const {
    const auto found = servers_.find(!per_node_ || node.empty() ? world_.first_node : node);
    return found == servers_.end() ? std::uint16_t{0} : found->second->port();
  }

  const std::map<std::string, std::unique_ptr<Server>>& servers() const { return servers_; }

  /// A node that is down refuses connections on its own port.
  void sync_listeners() {
    if (!per_node_) return;
    std::map<std::string, bool> online;
    {
      const auto lock = world_.guard();
      for (const auto& [name, node] : world_.nodes) online[name] = node.online;
    }
    const std::lock_guard lock(servers_mutex_);
    if (stopping_) return;
    for (auto& [name, server] : servers_) server->set_listening(online[name]);
  }

 private:
  static std::shared_ptr<SimClock> make_clock(const ClusterSettings& settings, const SimulatorOptions& options) {
    if (options.manual_clock) return std::make_shared<ManualClock>(kManualStart);
    return std::make_shared<ScaledClock>(real_now(), options.clock_scale.value_or(settings.clock_scale));
  }

  /// Keeps the world moving while nobody asks: tasks end, HA and replication run.
  void run_timer() {
    std::unique_lock lock(timer_mutex_);
    while (!stopping_) {
      timer_wake_.wait_for(lock, 20ms);
      if (stopping_) return;
      lock.unlock();
      {
        const auto guard = world_.guard();
        world_.catch_up();
      }
      sync_listeners();
      lock.lock();
    }
  }

  std::shared_ptr<SimClock> clock_;
  World world_;
  Service service_;
  std::map<std::string, Certificate> certificates_ = {};
  std::map<std::string, std::unique_ptr<Server>> servers_ = {};
  std::mutex servers_mutex_ = {};
  bool per_node_ = false;
  std::thread timer_ = {};
  std::mutex timer_mutex_ = {};
  std::condition_variable timer_wake_ = {};
  std::atomic<bool> stopping_{false};
};

std::unique_ptr<Simulator> Simulator::from_text(const std::string& yaml, SimulatorOptions options,
                                                const std::string& name) {
  const ClusterFile file(yaml, name);
  return std::unique_ptr<Simulator>(new Simulator(std::make_unique<Impl>(file, options)));
}

std::unique_ptr<Simulator> Simulator::from_file(const std::string& path, SimulatorOptions options) {
  std::ifstream input(path, std::ios::binary);
  if (!input) throw ClusterFileError({path + ": cannot be read"});
  std::ostringstream text;
  text << input.rdbuf();
  return from_text(text.str(), options, path);
}

Simulator::Simulator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Simulator::~Simulator() = default;

Response Simulator::handle(const Request& request) { return impl_->handle(request); }

std::uint16_t Simulator::listen(const ListenOptions& options) { return impl_->listen(options); }
std::uint16_t Simulator::port(const std::string& node) const { return impl_->port(node); }
std::string Simulator::url(const std::string& node) const {
  return "https://127.0.0.1:" + std::to_string(impl_->port(node));
}
void Simulator::stop() { impl_->stop(); }
std::string Simulator::fingerprint(const std::string& node) const { return impl_->certificate(node).fingerprint; }
std::string Simulator::certificate(const std::string& node) const { return impl_->certificate(node).certificate; }

CommandAnswer Simulator::run_command(const std::string& node, const std::vector<std::string>& argv,
                                     const std::string& input) {
  World& world = impl_->world();
  const auto lock = world.guard();
  world.catch_up();
  const auto found = world.nodes.find(node);
  if (found == world.nodes.end() || !found->second.online) return {255, {}, {}, Delivery::kConnectRefused};
  std::string words;
  for (const std::string& word : argv)
    if (!words.empty() || (word != "sudo" && word != "-n" && word != "--")) words += (words.empty() ? "" : " ") + word;
  Fault fault;
  const bool met = impl_->service().faults().for_command(words, fault);
  if (met && fault.action == FaultAction::kHostRefuse) return {255, {}, {}, Delivery::kConnectRefused};
  if (met && fault.action == FaultAction::kHostDrop) return {255, {}, {}, Delivery::kReset};
  if (met && fault.action == FaultAction::kHostFail) return {1, {}, fault.message + "\n", Delivery::kAnswer};
  HostAnswer answer = run_host_command({.world = world,
                                        .node = found->second,
                                        .argv = argv,
                                        .input = input,
                                        .cut = met && fault.action == FaultAction::kHostCut});
  const bool lost = met && (fault.action == FaultAction::kHostLoseAnswer || fault.action == FaultAction::kHostCut);
  if (lost || !found->second.online) return {255, {}, {}, Delivery::kLost};
  return {answer.exit_code, std::move(answer.out), std::move(answer.err), Delivery::kAnswer};
}

std::vector<ZvolInfo> Simulator::zvols() const {
  World& world = impl_->world();
  const auto lock = world.guard();
  std::vector<ZvolInfo> found;
  for (const auto& [name, node] : world.nodes) {
    for (const Dataset& dataset : datasets_of(world, node)) {
      if (!dataset.is_volume()) continue;
      const Volume& volume = *dataset.volume;
      found.push_back({.node = name,
                       .name = dataset.name,
                       .size = volume.size,
                       .used = volume.used,
                       .volblocksize = volume.volblocksize,
                       .refreservation = volume.refreservation,
                       .fingerprint = volume.fingerprint,
                       .guid = guid_of(world, dataset),
                       .properties = {volume.properties.begin(), volume.properties.end()},
                       .snapshots = snapshots_of(volume)});
    }
  }
  return found;
}

void Simulator::hold_zvol(const std::string& node, const std::string& name, const std::string& holder) {
  World& world = impl_->world();
  const auto lock = world.guard();
  const auto dataset = find_dataset(world, world.nodes.at(node), name);
  if (!dataset || !dataset->is_volume()) throw std::out_of_range("the simulated cluster has no zvol " + name);
  dataset->volume->held_by.insert(holder);
}

void Simulator::release_zvol(const std::string& node, const std::string& name, const std::string& holder) {
  World& world = impl_->world();
  const auto lock = world.guard();
  const auto dataset = find_dataset(world, world.nodes.at(node), name);
  if (dataset && dataset->volume != nullptr) dataset->volume->held_by.erase(holder);
}

int Simulator::open_connections() const {
  int open = 0;
  for (const auto& [node, server] : impl_->servers()) open += server->open_connections();
  return open;
}

std::uint64_t Simulator::accepted_connections() const {
  std::uint64_t accepted = 0;
  for (const auto& [node, server] : impl_->servers()) accepted += server->accepted_connections();
  return accepted;
}

VirtualTime Simulator::now() const {
  const auto lock = impl_->world().guard();
  return impl_->world().now();
}

void Simulator::advance(VirtualSpan span) {
  World& world = impl_->world();
  const auto lock = world.guard();
  world.catch_up();
  impl_->pass(span);
}

bool Simulator::settle(VirtualSpan limit) {
  World& world = impl_->world();
  const auto lock = world.guard();
  world.catch_up();
  return world.wait_until(
      [&] {
        return std::none_of(world.tasks.begin(), world.tasks.end(), [](const auto& task) { return task->running; });
      },
      world.now() + limit);
}

void Simulator::add_fault(Fault fault) {
  const auto lock = impl_->world().guard();
  impl_->service().faults().add(std::move(fault));
}

void Simulator::set_random_faults(RandomFaults faults) {
  const auto lock = impl_->world().guard();
  impl_->service().faults().set_random(std::move(faults));
}

void Simulator::clear_faults() {
  const auto lock = impl_->world().guard();
  impl_->service().faults().clear();
}

std::uint64_t Simulator::faults_fired() const {
  const auto lock = impl_->world().guard();
  return impl_->service().faults().fired();
}

std::vector<std::string> Simulator::node_names() const {
  const auto lock = impl_->world().guard();
  std::vector<std::string> names;
  for (const auto& [name, node] : impl_->world().nodes) names.push_back(name);
  return names;
}

std::vector<int> Simulator::vmids() const {
  const auto lock = impl_->world().guard();
  std::vector<int> ids;
  for (const auto& [vmid, vm] : impl_->world().vms) ids.push_back(vmid);
  return ids;
}

bool Simulator::vm_exists(int vmid) const {
  const auto lock = impl_->world().guard();
  return impl_->world().find_vm(vmid) != nullptr;
}

std::string Simulator::vm_node(int vmid) const {
  const auto lock = impl_->world().guard();
  return existing_vm(impl_->world(), vmid).node;
}

std::string Simulator::vm_config_text(int vmid) const {
  const auto lock = impl_->world().guard();
  return render_vm_config(existing_vm(impl_->world(), vmid).config);
}

std::map<std::string, std::string> Simulator::vm_config(int vmid, const std::string& section) const {
  const auto lock = impl_->world().guard();
  const VmConfig& config = existing_vm(impl_->world(), vmid).config;
  const Section* found = &config.values;
  if (section == "PENDING") {
    found = &config.pending;
  } else if (!section.empty()) {
    const auto snapshot = config.snapshots.find(section);
    if (snapshot == config.snapshots.end())
      throw std::out_of_range("VM " + std::to_string(vmid) + " has no snapshot '" + section + "'");
    found = &snapshot->second;
  }
  return {found->begin(), found->end()};
}

bool Simulator::vm_running(int vmid) const {
  const auto lock = impl_->world().guard();
  return existing_vm(impl_->world(), vmid).running.has_value();
}

std::map<std::string, std::string> Simulator::vm_effective(int vmid) const {
  const auto lock = impl_->world().guard();
  const Vm& vm = existing_vm(impl_->world(), vmid);
  if (!vm.running) return {};
  return {vm.running->effective.begin(), vm.running->effective.end()};
}

std::vector<VolumeInfo> Simulator::volumes() const {
  const auto lock = impl_->world().guard();
  return all_volumes(impl_->world());
}

std::vector<VolumeInfo> Simulator::volumes(const std::string& storage) const {
  std::vector<VolumeInfo> found = volumes();
  std::erase_if(found, [&](const VolumeInfo& one) { return one.volid.rfind(storage + ":", 0) != 0; });
  return found;
}

std::optional<VolumeInfo> Simulator::volume(const std::string& volid) const {
  for (VolumeInfo& one : volumes())
    if (one.volid == volid) return std::move(one);
  return std::nullopt;
}

std::vector<std::string> Simulator::unreferenced_disks() const {
  std::vector<std::string> found;
  for (const VolumeInfo& one : volumes())
    if (one.owner != 0 && one.referenced_by.empty()) found.push_back(one.volid);
  return found;
}

std::vector<std::string> Simulator::leftovers() const {
  std::vector<std::string> found = unreferenced_disks();
  const auto lock = impl_->world().guard();
  for (const auto& [vmid, vm] : impl_->world().vms)
    for (const auto& [key, value] : vm.config.values) {
      if (key.rfind("unused", 0) == 0) found.push_back(std::to_string(vmid) + ":" + key);
      if (key == "lock") found.push_back(std::to_string(vmid) + ":lock=" + value);
    }
  return found;
}

std::vector<TaskInfo> Simulator::tasks() const {
  const auto lock = impl_->world().guard();
  std::vector<TaskInfo> found;
  for (const auto& task : impl_->world().tasks)
    found.push_back({task->upid, task->node, task->type, task->id,
                     task->token.empty() ? task->user : task->user + "!" + task->token, task->running,
                     task->exit_status, task->log});
  return found;
}

std::string Simulator::storage_cfg() const {
  const auto lock = impl_->world().guard();
  return impl_->world().storage_cfg();
}

std::map<std::pair<std::string, std::string>, std::uint64_t> Simulator::request_counts() const {
  const auto lock = impl_->world().guard();
  return impl_->service().counts();
}

std::uint64_t Simulator::request_count() const {
  std::uint64_t sum = 0;
  for (const auto& [call, count] : request_counts()) sum += count;
  return sum;
}

void Simulator::reset_request_counts() {
  const auto lock = impl_->world().guard();
  impl_->service().reset_counts();
}

void Simulator::set_config(int vmid, const std::string& key, const std::string& value) {
  const auto lock = impl_->world().guard();
  existing_vm(impl_->world(), vmid).config.values[key] = value;
}

void Simulator::delete_config(int vmid, const std::string& key) {
  const auto lock = impl_->world().guard();
  existing_vm(impl_->world(), vmid).config.values.erase(key);
}

std::string Simulator::start_vm(int vmid) { return run_admin_task(*this, vmid, "/status/start", {}); }
std::string Simulator::stop_vm(int vmid) { return run_admin_task(*this, vmid, "/status/stop", {}); }
std::string Simulator::create_snapshot(int vmid, const std::string& name) {
  return run_admin_task(*this, vmid, "/snapshot", {{"snapname", name}});
}
std::string Simulator::migrate_vm(int vmid, const std::string& target) {
  return run_admin_task(*this, vmid, "/migrate",
                        {{"target", target}, {"online", vm_running(vmid) ? "1" : "0"}, {"with-local-disks", "1"}});
}

void Simulator::guest_write(int vmid, const std::string& slot) {
  const auto lock = impl_->world().guard();
  write_as_guest(impl_->world(), vmid, slot);
}

void Simulator::node_down(const std::string& node) {
  {
    const auto lock = impl_->world().guard();
    impl_->world().catch_up();
    impl_->world().node_down(node);
  }
  impl_->sync_listeners();
}

void Simulator::node_up(const std::string& node) {
  {
    const auto lock = impl_->world().guard();
    impl_->world().catch_up();
    impl_->world().node_up(node);
  }
  impl_->sync_listeners();
}

void Simulator::set_quorum(bool quorate) {
  const auto lock = impl_->world().guard();
  impl_->world().quorum_lost = !quorate;
}

Response Simulator::admin_call(const std::string& method, const std::string& path,
                               const std::vector<std::pair<std::string, std::string>>& params) {
  Request request;
  request.method = method;
  request.path = "/api2/json" + path;
  std::string form;
  for (const auto& [key, value] : params)
    form += (form.empty() ? "" : "&") + percent_encode(key) + "=" + percent_encode(value);
  {
    const auto lock = impl_->world().guard();
    const std::int64_t now = impl_->world().now_seconds();
    const Tickets& tickets = impl_->service().tickets();
    request.headers = {{"Cookie", "PVEAuthCookie=" + percent_encode(tickets.issue("root@pam", now))},
                       {"CSRFPreventionToken", tickets.issue_csrf("root@pam", now)}};
  }
  if (method == "POST" || method == "PUT") {
    request.headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
    request.body = std::move(form);
  } else {
    request.query = std::move(form);
  }
  return impl_->service().handle_quietly(request);
}

void Simulator::inspect(const std::function<void(World&)>& look) {
  const auto lock = impl_->world().guard();
  look(impl_->world());
}

}  // namespace pvesim
