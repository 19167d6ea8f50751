#include "simulator/world/world.h"

#include <algorithm>
#include <array>
#include <cstdio>

#include "simulator/api/method.h"
#include "simulator/wire/formats.h"
#include "simulator/world/text.h"
#include "simulator/world/work.h"

namespace pvesim {

using namespace std::chrono_literals;

World::World(std::shared_ptr<SimClock> clock, std::uint64_t seed) : clock_(std::move(clock)), rng_(seed) {
  now_ = clock_->now();
  begin_periodic();
}

World::~World() {
  // Works and their pending events refer to each other; the events go first.
  events_.clear();
  for (const auto& weak : works_)
    if (const auto work = weak.lock()) work->kill();
}

std::unique_lock<std::recursive_mutex> World::guard() const { return std::unique_lock(mutex_); }

std::int64_t World::now_seconds() const {
  return std::chrono::duration_cast<std::chrono::seconds>(now_.time_since_epoch()).count();
}

void World::at(VirtualTime when, std::function<void()> effect) {
  events_.emplace(std::pair(std::max(when, now_), ++event_order_), std::move(effect));
}

std::optional<VirtualTime> World::next_event() const {
  if (events_.empty()) return std::nullopt;
  return events_.begin()->first.first;
}

void World::run_until(VirtualTime until) {
  while (!events_.empty() && events_.begin()->first.first <= until) {
    auto event = events_.extract(events_.begin());
    now_ = std::max(now_, event.key().first);
    event.mapped()();
  }
  now_ = std::max(now_, until);
}

VirtualSpan World::behind() const { return std::max(VirtualSpan(0), clock_->now() - now_); }

void World::catch_up() { run_until(clock_->now()); }

bool World::wait_until(const std::function<bool()>& predicate, VirtualTime deadline) {
  while (true) {
    if (predicate()) return true;
    if (now_ >= deadline) return false;
    // Other requests may change the world meanwhile, so look again at least every quarter of a virtual second.
    VirtualTime next = deadline;
    if (const auto event = next_event()) next = std::min(next, std::max(*event, now_));
    const bool alone = dynamic_cast<ManualClock*>(clock_.get()) != nullptr;
    if (!alone) next = std::min(next, now_ + 250ms);
    mutex_.unlock();
    clock_->sleep_until(next);
    mutex_.lock();
    run_until(std::max(next, std::min(clock_->now(), deadline)));
  }
}

std::uint64_t World::random() { return rng_(); }

std::uint64_t World::next_guid() {
  std::uint64_t z = ++guids_ * 0x9e3779b97f4a7c15U;
  z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9U;
  z = (z ^ (z >> 27U)) * 0x94d049bb133111ebU;
  return (z ^ (z >> 31U)) | 1U;
}

std::string World::random_hex(int digits) {
  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  for (int i = 0; i < digits; ++i) out += kHex[random() % 16];
  return out;
}

std::string World::random_uuid() {
  static constexpr std::string_view kVariant = "89ab";
  return random_hex(8) + "-" + random_hex(4) + "-4" + random_hex(3) + "-" + kVariant[random() % 4] + random_hex(3) +
         "-" + random_hex(12);
}

std::string World::random_mac() {
  // Fact: PVE's own prefix BC:24:11 unless datacenter.cfg says otherwise.
  const auto prefix = datacenter.find("mac_prefix");
  std::string out = prefix == datacenter.end() ? "BC:24:11" : prefix->second;
  while (out.size() < 17) {
    std::array<char, 8> byte{};
    std::snprintf(byte.data(), byte.size(), ":%02X", static_cast<unsigned>(random() % 256));
    out += byte.data();
  }
  return out;
}

std::string World::start_task(const std::string& node, const std::string& type, const std::string& id,
                              const std::string& auth_id, std::shared_ptr<Work> work) {
  auto task = std::make_unique<Task>();
  task->node = node;
  task->type = type;
  task->id = id;
  const auto mark = auth_id.find('!');
  task->user = auth_id.substr(0, mark);
  if (mark != std::string::npos) task->token = auth_id.substr(mark + 1);
  task->pid = ++next_pid_;
  task->starttime = now_seconds();
  // Fact: PSTART is the process start in clock ticks since boot.
  VirtualTime booted = now_ - 1h;
  if (const auto found = nodes.find(node); found != nodes.end() && found->second.booted.time_since_epoch().count() != 0)
    booted = found->second.booted;
  task->pstart = (now_ - booted).count() / 10 + next_pid_;
  std::array<char, 64> numbers{};
  std::snprintf(numbers.data(), numbers.size(), "%08X:%08llX:%08llX", static_cast<unsigned>(task->pid),
                static_cast<unsigned long long>(task->pstart), static_cast<unsigned long long>(task->starttime));
  task->upid = "UPID:" + node + ":" + numbers.data() + ":" + type + ":" + id + ":" + auth_id + ":";
  const std::string upid = task->upid;
  remember(work);
  Work& started = *work;
  started.task_ = task.get();
  task->work = std::move(work);
  tasks.push_back(std::move(task));
  started.later(20ms, [&started] { started.advance(); });
  return upid;
}

void World::remember(const std::shared_ptr<Work>& work) {
  std::erase_if(works_, [](const auto& weak) { return weak.expired(); });
  works_.push_back(work);
}

void World::run_synchronously(std::shared_ptr<Work> work) {
  remember(work);
  work->advance();
  // Fact: pveproxy gives up on pvedaemon after 30 s; the handler goes on.
  if (!wait_until([&] { return work->done(); }, now_ + 30s))
    throw ApiError{.status = 596, .message = "Connection timed out"};
  if (work->error()) throw *work->error();
}

std::string World::finished_task(const std::string& node, const std::string& type, const std::string& id,
                                 const std::string& auth_id, std::vector<std::string> log,
                                 const std::string& exit_status) {
  auto work = std::make_shared<Work>(*this);
  work->then("request", [raw = work.get(), log = std::move(log), exit_status] {
    for (const std::string& line : log) raw->log(line);
    if (exit_status != "OK") fail(exit_status);
  });
  return start_task(node, type, id, auth_id, std::move(work));
}

Task* World::find_task(std::string_view upid) {
  for (auto task = tasks.rbegin(); task != tasks.rend(); ++task)
    if ((*task)->upid == upid) return task->get();
  return nullptr;
}

bool World::stop_task(std::string_view upid) {
  Task* task = find_task(upid);
  if (task == nullptr || !task->running || !task->work) return false;
  const auto work = task->work;
  work->stop();
  return true;
}

void World::kill_task(std::string_view upid) {
  Task* task = find_task(upid);
  if (task == nullptr || !task->running || !task->work) return;
  const auto work = task->work;
  work->kill();
}

bool World::quorate() const {
  if (quorum_lost) return false;
  if (nodes.size() <= 1) return true;
  const auto online = static_cast<std::size_t>(
      std::count_if(nodes.begin(), nodes.end(), [](const auto& entry) { return entry.second.online; }));
  return online * 2 > nodes.size();
}

Node& World::node(std::string_view name) {
  const auto found = nodes.find(name);
  if (found == nodes.end())
    // Fact: a name no resolver can be asked for fails at once, one it cannot answer fails for now.
    fail("hostname lookup '" + std::string(name) + "' failed - failed to get address info for: " + std::string(name) +
         (is_node_name(name) ? ": Temporary failure in name resolution" : ": Name or service not known"));
  return found->second;
}

Vm& World::vm_on(std::string_view name, int vmid) {
  const auto found = vms.find(vmid);
  if (found == vms.end() || found->second.node != name)
    fail("Configuration file 'nodes/" + std::string(name) + "/qemu-server/" + std::to_string(vmid) +
         ".conf' does not exist");
  return found->second;
}

Vm* World::find_vm(int vmid) {
  const auto found = vms.find(vmid);
  return found == vms.end() ? nullptr : &found->second;
}

StorageDef* World::find_storage(std::string_view id) {
  for (StorageDef& one : storages)
    if (one.id == id) return &one;
  return nullptr;
}

StorageDef& World::storage(std::string_view id) {
  StorageDef* found = find_storage(id);
  if (found == nullptr) fail("storage '" + std::string(id) + "' does not exist");
  return *found;
}

std::string World::storage_cfg() const {
  std::string out;
  for (const StorageDef& one : storages) {
    out += one.type + ": " + one.id + "\n";
    // Fact: a bare `disable` comes first; switches that are on have no value.
    if (const auto off = one.values.find("disable"); off != one.values.end() && off->second == "1")
      out += "\tdisable\n";
    for (const auto& [key, value] : one.values)
      if (key != "disable") out += "\t" + key + " " + value + "\n";
    out += "\n";
  }
  return out;
}

std::string World::storage_digest() const { return digest_of(storage_cfg()); }

void World::require_quorum() const {
  if (!quorate()) fail("cluster not ready - no quorum?");
}

bool World::ha_managed(int vmid) const {
  if (ha_disarmed) return false;
  const auto found = ha_resources.find("vm:" + std::to_string(vmid));
  if (found == ha_resources.end()) return false;
  const auto state = found->second.values.find("state");
  return state == found->second.values.end() || state->second != "ignored";
}

bool World::replicated(int vmid) const {
  return std::any_of(replication.begin(), replication.end(), [&](const auto& entry) {
    return entry.second.vmid == vmid && !entry.second.values.contains("remove_job");
  });
}

bool World::try_lock(const std::string& name, const void* owner, bool shared) {
  Holders& holders = locks_[name];
  if (holders.counts.empty()) {
    holders.shared = shared;
  } else if (!holders.counts.contains(owner) || holders.counts.size() > 1) {
    if (!shared || !holders.shared) return false;
  }
  ++holders.counts[owner];
  return true;
}

void World::unlock(const std::string& name, const void* owner) {
  const auto found = locks_.find(name);
  if (found == locks_.end()) return;
  const auto held = found->second.counts.find(owner);
  if (held == found->second.counts.end()) return;
  if (--held->second <= 0) found->second.counts.erase(held);
  if (found->second.counts.empty()) locks_.erase(found);
}

void World::unlock_all(const void* owner) {
  for (auto lock = locks_.begin(); lock != locks_.end();) {
    lock->second.counts.erase(owner);
    lock = lock->second.counts.empty() ? locks_.erase(lock) : std::next(lock);
  }
}

bool World::locked(const std::string& name) const {
  const auto found = locks_.find(name);
  return found != locks_.end() && !found->second.counts.empty();
}

void World::node_down(const std::string& name) {
  const auto found = nodes.find(name);
  if (found == nodes.end() || !found->second.online) return;
  found->second.online = false;
  for (std::size_t i = 0; i < tasks.size(); ++i)
    if (tasks[i]->running && tasks[i]->node == name) kill_task(tasks[i]->upid);
  for (auto& [vmid, vm] : vms)
    if (vm.node == name) vm.running.reset();
}

void World::node_up(const std::string& name) {
  const auto found = nodes.find(name);
  if (found == nodes.end() || found->second.online) return;
  found->second.online = true;
  found->second.booted = now_;
}

}  // namespace pvesim
