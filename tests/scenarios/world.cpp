#include "tests/scenarios/world.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <type_traits>
#include <utility>
#include <variant>

#include "simulator/world/world.h"

namespace pvr::scenario {

const char* const kQcow2OnLvm = R"(
cluster: {name: lab, seed: 11}
users:
  - {name: root@pam, password: secret, tokens: [{id: ci, secret: s-root, privsep: false}]}
nodes: {pve1: {cpu: 8, memory: 64GiB}}
backends: {san: {kind: lvm-vg, size: 2TiB}}
storages:
  san: {type: lvm, vgname: san, shared: 1, snapshot-as-volume-chain: 1, content: images}
vms:
)";

const char* const kLab = R"(
cluster: {name: lab, seed: 11}
users:
  - {name: root@pam, password: secret, tokens: [{id: ci, secret: s-root, privsep: false}]}
nodes:
  pve1: {cpu: 8, memory: 64GiB, pools: {tank: {size: 1TiB, layout: mirror, media: ssd, datasets: [tank/vbs128k]}}}
  pve2: {cpu: 8, memory: 64GiB, pools: {tank: {size: 1TiB, layout: mirror, media: ssd, datasets: [tank/vbs128k]}}}
backends:
  san: {kind: lvm-vg, size: 2TiB}
storages:
  z16: {type: zfspool, pool: tank/vbs16k, blocksize: 16k, sparse: 1, content: "images,rootdir"}
  z64: {type: zfspool, pool: tank/vbs64k, blocksize: 64k, sparse: 1, content: "images,rootdir"}
  san: {type: lvm, vgname: san, shared: 1, content: images}
vms:
  120:
    node: pve1
    status: running
    config: {name: app, cores: 2, memory: 2048, scsihw: virtio-scsi-single, boot: "order=scsi0", agent: "1",
             scsi0: "z16:vm-120-disk-0,iothread=1,size=8G", scsi1: "z16:vm-120-disk-1,size=4G"}
  121:
    node: pve1
    config: {name: db, cores: 1, memory: 1024, scsihw: virtio-scsi-single, boot: "order=scsi0",
             scsi0: "z16:vm-121-disk-0,discard=on,size=8G"}
  122:
    node: pve1
    status: running
    config: {name: ha, cores: 1, memory: 1024, scsihw: virtio-scsi-single, boot: "order=scsi0",
             scsi0: "san:vm-122-disk-0,size=8G"}
  900:
    node: pve1
    template: true
    config: {name: debian, cores: 1, memory: 1024, scsihw: virtio-scsi-single, boot: "order=scsi0",
             scsi0: "z16:base-900-disk-0,size=4G"}
volumes: [{storage: local, node: pve1, volume: iso/debian-13.iso}]
ha: {resources: {"vm:122": {state: started}}}
)";

namespace {

bool is_of_lease(const HttpRequest& request) {
  return std::ranges::any_of(request.fields, [](const auto& field) { return field.second == kLeasePool; });
}

}  // namespace

Result<HttpResponse> MishapTransport::send(const std::string& endpoint, const HttpRequest& request) {
  Mishap mishap = Mishap::kNone;
  {
    const std::scoped_lock lock(mutex_);
    if (dead_) return HttpResponse{.status = 401, .reason = "killed", .body = ""};
    const bool write = request.method != "GET";
    const bool counts = plan_.counts ? plan_.counts(request) : !is_of_lease(request);
    if (write && counts && ++writes_ == plan_.nth) mishap = plan_.mishap;
    if (write && counts && fate_) {
      const Fate::Verdict verdict = fate_->next();
      if (verdict == Fate::Verdict::kDead || verdict == Fate::Verdict::kDieBefore) mishap = Mishap::kKillBefore;
      if (verdict == Fate::Verdict::kDieAfter) mishap = Mishap::kKillAfter;
    } else if (fate_ && fate_->dead()) {
      mishap = Mishap::kKillBefore;
    }
    if (mishap == Mishap::kKillBefore || mishap == Mishap::kKillAfter) dead_ = true;
  }
  if (mishap == Mishap::kKillBefore) return HttpResponse{.status = 401, .reason = "killed", .body = ""};
  Result<HttpResponse> answer = inner_.send(endpoint, request);
  switch (mishap) {
    case Mishap::kKillAfter:
      return HttpResponse{.status = 401, .reason = "killed", .body = ""};
    case Mishap::kProxyTimeout:
      return HttpResponse{.status = 596, .reason = "Connection timed out", .body = ""};
    case Mishap::kLoseAnswer:
      return Error{.kind = ErrorKind::kTimeout, .message = "the connection ended", .effect = Effect::kPossible};
    default:
      return answer;
  }
}

void Recorder::emit(const Event& event) {
  const std::scoped_lock lock(mutex_);
  events_.push_back(event);
}

std::vector<Event> Recorder::take() {
  const std::scoped_lock lock(mutex_);
  return std::exchange(events_, {});
}

World::World(const std::string& cluster)
    : sim_(pvesim::Simulator::from_text(cluster, {.manual_clock = true})),
      clock_(*sim_),
      runner_(*sim_),
      zfs_(runner_, clock_, {}) {}

std::unique_ptr<PveClient> World::client(MishapTransport::Plan mishap, std::shared_ptr<Fate> fate) {
  writes_ = 0;
  ConnectionOptions options;
  options.endpoints = {kEndpoint};
  options.token_id = "root@pam!ci";
  options.token_secret = Secret("s-root");
  return std::make_unique<PveClient>(
      std::move(options), std::make_unique<MishapTransport>(*sim_, std::move(mishap), writes_, std::move(fate)), clock_,
      std::stop_token{});
}

ApplyOptions World::options() {
  ApplyOptions options;
  options.limits.parallelism = 1;
  options.lease.holder = fmt::format("test {}", ++runs_);
  options.lease.nonce = fmt::format("nonce-{}", runs_);
  return options;
}

ApplyReport World::run(std::vector<Procedure> procedures, MishapTransport::Plan mishap, std::stop_token stop) {
  return run_plan(plan_of(std::move(procedures)), std::move(mishap), std::move(stop));
}

Plan World::plan_of(std::vector<Procedure> procedures) {
  Plan plan;
  for (Procedure& procedure : procedures) {
    Operation operation;
    operation.id = static_cast<OperationId>(plan.operations.size() + 1);
    operation.node = "pve1";
    std::visit(
        [&](const auto& params) {
          if constexpr (requires { params.vmid; }) operation.locks = {fmt::format("vm/{}", params.vmid.number)};
        },
        procedure);
    operation.procedure = std::move(procedure);
    plan.operations.push_back(std::move(operation));
  }
  return plan;
}

ApplyReport World::run_with_host(const Plan& plan, std::shared_ptr<Fate> fate,
                                 std::function<void(const Command&)> before, std::stop_token stop) {
  const auto pve = client({}, fate);
  FatedRunner runner(*sim_, std::move(fate), std::move(before));
  HostZfs zfs(runner, clock_, {});
  return apply(plan, {.pve = *pve, .clock = clock_, .events = events_, .zfs = &zfs}, options(), std::move(stop));
}

ApplyReport World::run_plan(const Plan& plan, MishapTransport::Plan mishap, std::stop_token stop) {
  const auto pve = client(std::move(mishap));
  return apply(plan, {.pve = *pve, .clock = clock_, .events = events_}, options(), std::move(stop));
}

void World::let_time_pass() {
  sim_->settle();
  sim_->advance(std::chrono::minutes(10));
}

std::map<std::uint64_t, std::vector<std::string>> World::referenced_contents() {
  std::map<std::uint64_t, std::vector<std::string>> contents;
  for (const pvesim::VolumeInfo& info : sim_->volumes()) {
    if (info.owner != 0 && !info.referenced_by.empty()) contents[info.fingerprint].push_back(info.volid);
  }
  return contents;
}

std::string value_of(pvesim::Simulator& sim, int vmid, const std::string& key, const std::string& section) {
  const auto config = sim.vm_config(vmid, section);
  const auto at = config.find(key);
  return at == config.end() ? std::string() : at->second;
}

std::string text_of(const ApplyReport& report) {
  std::string text = report.stopped_by;
  for (const OperationReport& operation : report.operations) {
    text += fmt::format("\n{}: {} {}", operation.operation, to_text(operation.outcome), operation.detail);
    for (const std::string& warning : operation.warnings) text += "\n   warning: " + warning;
  }
  return text;
}

VolumeId volume(const std::string& text) {
  const auto colon = text.find(':');
  return {.storage = text.substr(0, colon), .name = text.substr(colon + 1)};
}

bool runs(const Command& command, std::string_view word) {
  return std::ranges::find(command.argv, word) != command.argv.end();
}

void spoil_copies(World& world) {
  world.sim().inspect([](pvesim::World& cluster) {
    for (auto& [key, backing] : cluster.backings)
      for (auto& [name, volume] : backing.volumes)
        if (name.starts_with("pvereconcile-new-")) volume.fingerprint ^= 2U;
  });
}

std::unique_ptr<Lease> break_lease(World& world, PveApi& rival) {
  auto taken = Lease::acquire(rival, world.clock(), {.holder = "rival", .nonce = "r", .break_existing = true});
  EXPECT_TRUE(taken) << taken.error().text();
  return taken ? std::move(taken).value() : nullptr;
}

SwapZvol swap_of(int vmid) {
  return {.vmid = Vmid{static_cast<std::uint32_t>(vmid)},
          .slot = {Bus::kScsi, 0},
          .volume = {.storage = "z64"},
          .storage = "z16",
          .node = "pve1",
          .from = "tank/vbs64k",
          .to = "tank/vbs16k"};
}

FlatMap<std::string> map(std::vector<std::pair<std::string, std::string>> pairs) {
  FlatMap<std::string> result;
  for (auto& [key, text] : pairs) result.set(key, std::move(text));
  return result;
}

}  // namespace pvr::scenario
