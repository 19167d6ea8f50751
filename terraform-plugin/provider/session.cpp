#include "terraform-plugin/provider/session.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <thread>
#include <utility>

#include "providers/host/host_access.h"
#include "providers/host/host_zfs.h"
#include "providers/pve/pve_client.h"
#include "reconciler/audit/audit.h"
#include "reconciler/engine/limits.h"
#include "reconciler/ports/system_clock.h"
#include "schema/fleet_schema.h"
#include "schema/source_loader.h"

namespace pvr::tf {
namespace {

/// Tells the log what an engine does.
class LogSink final : public EventSink {
 public:
  LogSink(Log& log, const Plan& plan) : log_(log), plan_(plan) {}
  void emit(const Event& event) override {
    if (const auto* started = std::get_if<OperationStarted>(&event)) {
      tell(LogLevel::kInfo, "operation started", started->operation, {});
    } else if (const auto* finished = std::get_if<OperationFinished>(&event)) {
      Log::Fields more = {{"outcome", std::string(to_text(finished->outcome))}};
      if (!finished->detail.empty()) more.emplace_back("detail", finished->detail);
      tell(LogLevel::kInfo, "operation ended", finished->operation, std::move(more));
    } else if (const auto* waiting = std::get_if<Waiting>(&event)) {
      tell(LogLevel::kInfo, "waiting", waiting->operation, {{"on", waiting->on}});
    } else if (const auto* step = std::get_if<StepStarted>(&event)) {
      tell(LogLevel::kDebug, "step", step->operation, {{"step", step->step}});
    } else if (const auto* task = std::get_if<TaskStarted>(&event)) {
      tell(LogLevel::kDebug, "task started", task->operation, {{"upid", task->upid}});
    }
  }

 private:
  void tell(LogLevel level, std::string_view message, OperationId id, Log::Fields more) {
    if (id == 0 || id > plan_.operations.size()) return;
    const Operation& operation = plan_.operations[id - 1];
    Log::Fields fields = {{"resource", to_text(operation.address)},
                          {"procedure", std::string(procedure_name(operation.procedure))}};
    std::ranges::move(more, std::back_inserter(fields));
    log_.write(level, message, fields);
  }
  Log& log_;
  const Plan& plan_;
};

class RealLink final : public Link {
 public:
  RealLink(ConnectionOptions options, const WrittenCluster& cluster)
      : as_root_(options.token_id.empty() && options.user == "root@pam"),
        client_(std::move(options), clock_, {}),
        runner_(host_runner(cluster)) {
    if (runner_) zfs_ = std::make_unique<HostZfs>(*runner_, clock_, HostZfsOptions{.sudo = cluster.ssh_sudo});
  }
  PveApi& pve() override { return client_; }
  ZfsHost* zfs() override { return zfs_.get(); }
  Clock& clock() override { return clock_; }
  bool as_root() const override { return as_root_; }

 private:
  SystemClock clock_;
  bool as_root_;
  PveClient client_;
  std::unique_ptr<CommandRunner> runner_;
  std::unique_ptr<ZfsHost> zfs_;
};

std::string holder_name() {
  std::array<char, 256> host = {};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '?';
  return fmt::format("terraform on {}, pid {}", host.data(), getpid());
}

bool interrupted(const ApplyReport& report) {
  return report.interrupted || std::ranges::find(report.operations, Outcome::kInterrupted, &OperationReport::outcome) !=
                                   report.operations.end();
}

bool has_conflict(const ApplyReport& report) {
  return std::ranges::find(report.operations, Outcome::kConflict, &OperationReport::outcome) != report.operations.end();
}

Messages failures(const Plan& plan, const ApplyReport& report) {
  Messages out;
  for (const OperationReport& entry : report.operations) {
    const bool bad = entry.outcome == Outcome::kFailed || entry.outcome == Outcome::kConflict;
    if (!bad) continue;
    const Operation& operation = plan.operations[entry.operation - 1];
    Message message{.summary = entry.outcome == Outcome::kConflict ? "Changed by somebody else" : "Operation failed",
                    .detail = fmt::format("{} of {}: {}", procedure_name(operation.procedure),
                                          to_text(operation.address), entry.detail)};
    if (operation.address.kind == AddressKind::kVm && !operation.address.part.empty())
      message.path = {attribute("disks"), key(operation.address.part)};
    out.push_back(std::move(message));
  }
  if (out.empty() && interrupted(report)) {
    out.push_back(
        {.summary = "Interrupted",
         .detail = "The run was asked to stop. What was under way has ended; the next apply goes on from there."});
  } else if (out.empty() && !report.stopped_by.empty()) {
    out.push_back({.summary = "Nothing was done", .detail = report.stopped_by});
  } else if (out.empty() && !report.all_done()) {
    out.push_back({.summary = "Not everything was done", .detail = "Some operations were skipped; apply again."});
  }
  return out;
}

}  // namespace

Result<std::unique_ptr<Link>> open_link(ConnectionOptions options, const WrittenCluster& cluster) {
  return std::unique_ptr<Link>(std::make_unique<RealLink>(std::move(options), cluster));
}

Message message_of(const Error& error, std::string_view doing) {
  return {.summary = fmt::format("Failed while {}", doing), .detail = error.text()};
}

void Session::configure(Settings settings) {
  const std::scoped_lock lock(mutex_);
  settings_ = std::move(settings);
}

bool Session::configured() const {
  const std::scoped_lock lock(mutex_);
  return settings_.has_value();
}

Result<Session::Connected*> Session::connect() {
  const std::scoped_lock lock(mutex_);
  if (connected_) return &*connected_;
  if (!settings_)
    return Error{.kind = ErrorKind::kRejected,
                 .message = "the provider is not configured yet: a value of its block is known only after apply"};
  auto options = connection_options(settings_->environment, settings_->flags, settings_->cluster);
  if (!options) return std::move(options).error();
  options->user_agent = "terraform-provider-pvereconcile/" PVERECONCILE_VERSION;
  auto link = open_(std::move(options).value(), settings_->cluster);
  if (!link) return std::move(link).error();
  Connected& made = connected_.emplace();
  made.link = std::move(link).value();
  made.reader = std::make_unique<CachingReader>(made.link->pve());
  if (made.link->zfs() != nullptr) made.zfs = std::make_unique<CachingZfsReader>(*made.link->zfs());
  const ScheduleLimits usual;
  made.locks = std::make_unique<SharedLocks>(
      ScheduleLimits{.parallelism = usual.parallelism,
                     .copies_per_node = number_limit(settings_->cluster, "copies_per_node", usual.copies_per_node)});
  return &made;
}

EngineOptions Session::options(const Connected& connected) const {
  EngineOptions options;
  options.zfs = connected.zfs.get();
  options.plan.as_root = connected.link->as_root();
  options.plan.copy_rate = {size_limit(settings_->cluster, "copy_rate").bytes};
  options.plan.utc_offset = local_utc_offset(connected.link->clock().wall());
  return options;
}

Loaded Session::finish(Checked<FleetDocument> loaded, std::uint32_t file, const FleetText& text,
                       std::string_view vm) const {
  Loaded out;
  if (!loaded.value) return out;
  out.messages = messages_of(loaded.diagnostics, *loaded.value->sources, file, text);
  // The fleet file alone was found right. What is missing there for a text without guests is declared by other
  // resources.
  const bool about_us = std::ranges::any_of(loaded.diagnostics, [&](const Diagnostic& diagnostic) {
    return diagnostic.severity == Severity::kError && (!diagnostic.span.known() || diagnostic.span.file == file);
  });
  if (!loaded.ok() && (about_us || !vm.empty())) return out;
  if (!loaded.ok()) out.messages.clear();
  FleetDocument document = *std::move(loaded.value);
  std::erase_if(document.vms, [&](const WrittenVm& of) { return of.name != vm; });
  if (vm.empty()) document.lanes.clear();
  // A fleet file knows a guest by the key it stands under and leaves names alone; here the name is an attribute like
  // any other, and a change of it is meant.
  for (WrittenVm& of : document.vms) {
    if (of.span.file == file && !of.options.contains("name"))
      of.options.set("name", {.value = OptionValue(of.name), .span = of.span});
  }
  document.cluster = settings_->cluster;
  out.document = std::make_shared<const FleetDocument>(std::move(document));
  return out;
}

Loaded Session::load(const FleetText& text, std::string_view vm, std::string_view name) {
  // Once a fleet has storages, all it names must be among them. With storages of other resources, those that exist
  // count, too.
  std::vector<std::string> existing;
  bool declares = false;
  {
    const std::scoped_lock lock(mutex_);
    declares = !declared_storages_.empty();
  }
  if (declares) {
    auto connected = connect();
    const auto list = connected ? (*connected)->reader->storages() : Result<StorageList>(std::move(connected).error());
    if (list) {
      for (const LiveStorage& storage : list->storages) existing.push_back(storage.id);
    }
  }
  const std::scoped_lock lock(mutex_);
  if (!settings_)
    return {.messages = {{.summary = "The provider is not configured", .detail = "Its block is unknown."}}};
  const std::string head = settings_->has_fleet_file ? "" : "version: 1\n";
  const auto with = [&](bool declared) {
    SourceSet sources = settings_->sources;
    if (declared) {
      for (const auto& [id, storage] : declared_storages_) {
        if (id != name) sources.add("pvereconcile_storage " + id, storage.text());
      }
      std::string facts;
      for (const std::string& id : existing) {
        const bool known = id == name || declared_storages_.contains(id) ||
                           std::ranges::find(settings_->storages, id) != settings_->storages.end();
        if (!known) facts += "  " + in_quotes(id) + ": {manage: false}\n";
      }
      if (!facts.empty()) sources.add("storages of the cluster", "storages:\n" + facts);
    }
    if (!head.empty()) sources.add("provider", head);
    const std::uint32_t file = sources.add(std::string(name), text.text());
    return finish(load_fleet(std::move(sources)), file, text, vm);
  };
  if (!declares) return with(false);
  Loaded all = with(true);
  if (all.document) return all;
  Loaded plain = with(false);
  return plain.document ? std::move(plain) : std::move(all);
}

Loaded Session::load_fleet_text(const std::string& text) const {
  const std::scoped_lock lock(mutex_);
  if (!settings_)
    return {.messages = {{.summary = "The provider is not configured", .detail = "Its block is unknown."}}};
  SourceSet sources;
  const std::uint32_t file = sources.add("yaml", text);
  auto loaded = load_fleet(std::move(sources));
  FleetText none;
  Loaded out;
  if (!loaded.value) return out;
  out.messages = messages_of(loaded.diagnostics, *loaded.value->sources, file + 1, none);
  for (Message& message : out.messages) message.path = {attribute("yaml")};
  if (!loaded.ok()) return out;
  FleetDocument document = *std::move(loaded.value);
  document.cluster = settings_->cluster;
  out.document = std::make_shared<const FleetDocument>(std::move(document));
  return out;
}

Loaded Session::load_fleet_path(const std::string& path) const {
  const std::scoped_lock lock(mutex_);
  if (!settings_)
    return {.messages = {{.summary = "The provider is not configured", .detail = "Its block is unknown."}}};
  auto loaded = load_fleet_file(path);
  FleetText none;
  Loaded out;
  if (!loaded.value) return out;
  out.messages = messages_of(loaded.diagnostics, *loaded.value->sources, 0, none);
  for (Message& message : out.messages) message.path = {attribute("file")};
  if (!loaded.ok()) return out;
  FleetDocument document = *std::move(loaded.value);
  document.cluster = settings_->cluster;
  out.document = std::make_shared<const FleetDocument>(std::move(document));
  return out;
}

void Session::declare_storage(const std::string& id, const FleetText& text) {
  const std::scoped_lock lock(mutex_);
  declared_storages_.insert_or_assign(id, text);
}

Result<PlanResult> Session::plan(const Wish& wish) {
  auto connected = connect();
  if (!connected) return std::move(connected).error();
  EngineOptions how = options(**connected);
  how.plan.targets = wish.targets;
  how.plan.allow = wish.allow;
  how.all_guests = wish.all_guests;
  return pvr::plan(*(*connected)->reader, (*connected)->link->clock(), wish.document, std::move(how), stop_token());
}

Result<StatusResult> Session::status(const std::shared_ptr<const FleetDocument>& document) {
  auto connected = connect();
  if (!connected) return std::move(connected).error();
  return pvr::status(*(*connected)->reader, (*connected)->link->clock(), document, options(**connected));
}

Result<AuditResult> Session::audit(std::shared_ptr<const FleetDocument> document) {
  auto connected = connect();
  if (!connected) return std::move(connected).error();
  return audit_cluster(*(*connected)->reader, (*connected)->link->clock(), std::move(document), options(**connected),
                       stop_token());
}

Result<Adopted> Session::adopt_guest(Vmid vmid) {
  // Looked at like a guest of which nothing but the number is declared.
  const std::string name = fmt::format("vm-{}", vmid.number);
  FleetText text;
  text.line(0, "vms:");
  text.mapping(1, name, fleet_tables().vm, Value(Map{{"vmid", Value(std::int64_t{vmid.number})}}), {});
  const Loaded loaded = load(text, name, "import");
  if (!loaded.document)
    return Error{.kind = ErrorKind::kRejected,
                 .message = loaded.messages.empty() ? "the fleet file cannot be read" : loaded.messages.front().detail};
  const auto seen = status(loaded.document);
  if (!seen) return Error(seen.error());
  const Facts facts = gather_facts(*loaded.document, &seen->live);
  const AuditReport report = pvr::audit({.live = &seen->live, .facts = &facts});
  return adopt(*loaded.document, seen->live, report, {.only = vmid});
}

Result<ClusterStatus> Session::cluster() {
  auto connected = connect();
  if (!connected) return std::move(connected).error();
  return (*connected)->reader->cluster_status();
}

Result<std::vector<GuestRow>> Session::guests() {
  auto connected = connect();
  if (!connected) return std::move(connected).error();
  return (*connected)->reader->guests();
}

void Session::forget() {
  const std::scoped_lock lock(mutex_);
  if (!connected_) return;
  connected_->reader->forget();
  if (connected_->zfs) connected_->zfs->forget();
}

void Session::touched(std::int64_t vmid) {
  const std::scoped_lock lock(mutex_);
  touched_.push_back(vmid);
}

bool Session::was_touched(std::int64_t vmid) const {
  const std::scoped_lock lock(mutex_);
  return std::ranges::find(touched_, vmid) != touched_.end();
}

Result<Lease*> Session::enter_lease(Connected& connected, const std::stop_token& stop) {
  const std::scoped_lock lock(lease_mutex_);
  if (lease_users_ == 0) {
    Clock& clock = connected.link->clock();
    const auto until = clock.steady() + settings_->lease_wait;
    if (!alive_) alive_.emplace();
    for (bool told = false;;) {
      LeaseOptions how;
      how.holder = holder_name();
      how.nonce = random_hex(16);
      how.lifetime = std::chrono::seconds(120);
      how.break_existing = settings_->break_lease;
      how.process = alive_->mark();
      how.has_ended = LifeSign::has_ended;
      auto taken = Lease::acquire(connected.link->pve(), clock, how);
      if (taken) {
        lease_ = std::move(taken).value();
        break;
      }
      if (taken.error().kind != ErrorKind::kLeaseLost || clock.steady() >= until) return std::move(taken).error();
      if (!told) log_.write(LogLevel::kWarn, "waiting for the lease", {{"because", taken.error().text()}});
      told = true;
      if (!clock.wait(std::chrono::seconds(2), stop)) return std::move(taken).error();
    }
  }
  ++lease_users_;
  return lease_.get();
}

void Session::leave_lease(Connected& connected) {
  const std::scoped_lock lock(lease_mutex_);
  if (--lease_users_ > 0) return;
  tidy_restarts(*lease_, connected.link->pve());
  if (const Status released = lease_->release(); !released)
    log_.write(LogLevel::kWarn, "the lease could not be given back", {{"because", released.error().text()}});
  lease_.reset();
}

Result<Session::Applied> Session::apply(const Wish& wish, const std::function<Messages(const PlanResult&)>& judge,
                                        std::chrono::seconds limit) {
  auto found = connect();
  if (!found) return std::move(found).error();
  Connected& connected = **found;
  Clock& clock = connected.link->clock();

  // Ctrl-C and the resource's own limit end the run alike: after the effect under way.
  std::stop_source stop;
  const std::stop_callback on_stop(stop_token(), [&stop] { stop.request_stop(); });
  bool timed_out = false;
  std::jthread timer;
  if (limit.count() > 0) {
    timer = std::jthread([&clock, &stop, &timed_out, limit](const std::stop_token& done) {
      if (!clock.wait(limit, done)) return;
      timed_out = true;
      stop.request_stop();
    });
  }

  Applied applied;
  constexpr int kTries = 3;
  for (int attempt = 1; attempt <= kTries; ++attempt) {
    forget();
    auto made = plan(wish);
    if (!made) return std::move(made).error();
    applied.plan = std::move(made).value();
    applied.report = {};
    if (!applied.plan.ok()) {
      for (const Diagnostic& diagnostic : applied.plan.diagnostics) {
        if (diagnostic.severity == Severity::kError)
          applied.messages.push_back({.summary = diagnostic.summary, .detail = diagnostic.detail});
      }
      break;
    }
    applied.messages = judge(applied.plan);
    if (has_errors(applied.messages) || applied.plan.plan.empty()) break;
    auto lease = enter_lease(connected, stop.get_token());
    if (!lease) return std::move(lease).error();
    LogSink events(log_, applied.plan.plan);
    ApplyOptions how;
    how.held = *lease;
    how.locks = connected.locks.get();
    applied.report = pvr::apply(applied.plan.plan, {connected.link->pve(), clock, events, connected.link->zfs()}, how,
                                stop.get_token());
    leave_lease(connected);
    forget();
    if (!has_conflict(applied.report) || stop.stop_requested()) break;
  }
  if (timer.joinable()) {
    timer.request_stop();
    timer.join();
  }
  applied.interrupted = interrupted(applied.report);
  Messages failed = failures(applied.plan.plan, applied.report);
  if (timed_out && applied.interrupted) {
    failed = {
        {.summary = "Timed out",
         .detail = fmt::format("Not done after {} s. What was under way has ended; the next apply goes on from there.",
                               limit.count())}};
  }
  std::ranges::move(failed, std::back_inserter(applied.messages));
  return applied;
}

}  // namespace pvr::tf
