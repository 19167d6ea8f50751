#include "reconciler/execute/executor.h"

#include <fmt/format.h>

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include "reconciler/execute/backup_vm.h"
#include "reconciler/execute/cluster_config.h"
#include "reconciler/execute/datasets.h"
#include "reconciler/execute/guest_config.h"
#include "reconciler/execute/guest_disks.h"
#include "reconciler/execute/guest_lifecycle.h"
#include "reconciler/execute/guest_power.h"
#include "reconciler/execute/hosts.h"
#include "reconciler/execute/move_disk.h"
#include "reconciler/execute/procedure.h"
#include "reconciler/execute/recreate_zvol.h"
#include "reconciler/ports/system_clock.h"

namespace pvr {
namespace {

/// Which procedure carries out an alternative of the plan. A new alternative without a row does not compile.
template <class Params>
struct ProcedureOf;
template <class P>
struct Is {
  using Type = P;
};
template <>
struct ProcedureOf<CreateStorage> : Is<CreateStorageProcedure> {};
template <>
struct ProcedureOf<UpdateStorage> : Is<UpdateStorageProcedure> {};
template <>
struct ProcedureOf<CreatePool> : Is<CreatePoolProcedure> {};
template <>
struct ProcedureOf<AddToPool> : Is<AddToPoolProcedure> {};
template <>
struct ProcedureOf<CreateVm> : Is<CreateVmProcedure> {};
template <>
struct ProcedureOf<CloneVm> : Is<CloneVmProcedure> {};
template <>
struct ProcedureOf<SetVmOptions> : Is<SetVmOptionsProcedure> {};
template <>
struct ProcedureOf<SetDriveOptions> : Is<SetDriveOptionsProcedure> {};
template <>
struct ProcedureOf<AddDisk> : Is<AddDiskProcedure> {};
template <>
struct ProcedureOf<AttachVolume> : Is<AttachVolumeProcedure> {};
template <>
struct ProcedureOf<DetachDisk> : Is<DetachDiskProcedure> {};
template <>
struct ProcedureOf<DestroyVolume> : Is<DestroyVolumeProcedure> {};
template <>
struct ProcedureOf<ResizeDisk> : Is<ResizeDiskProcedure> {};
template <>
struct ProcedureOf<MoveDisk> : Is<MoveDiskProcedure> {};
template <>
struct ProcedureOf<RestartVm> : Is<RestartVmProcedure> {};
template <>
struct ProcedureOf<StartVm> : Is<StartVmProcedure> {};
template <>
struct ProcedureOf<StopVm> : Is<StopVmProcedure> {};
template <>
struct ProcedureOf<DestroyVm> : Is<DestroyVmProcedure> {};
template <>
struct ProcedureOf<SetHa> : Is<SetHaProcedure> {};
template <>
struct ProcedureOf<RemoveHa> : Is<RemoveHaProcedure> {};
template <>
struct ProcedureOf<SetReplication> : Is<SetReplicationProcedure> {};
template <>
struct ProcedureOf<RetireVolume> : Is<RetireVolumeProcedure> {};
template <>
struct ProcedureOf<CreateDataset> : Is<CreateDatasetProcedure> {};
template <>
struct ProcedureOf<SetZvolProperties> : Is<SetZvolPropertiesProcedure> {};
template <>
struct ProcedureOf<SwapZvol> : Is<SwapZvolProcedure> {};
template <>
struct ProcedureOf<RecreateZvol> : Is<RecreateZvolProcedure> {};
template <>
struct ProcedureOf<RollBackZvol> : Is<RollBackZvolProcedure> {};
template <>
struct ProcedureOf<DestroyDataset> : Is<DestroyDatasetProcedure> {};
template <>
struct ProcedureOf<DeleteStorage> : Is<DeleteStorageProcedure> {};
template <>
struct ProcedureOf<SetArcLimits> : Is<SetArcLimitsProcedure> {};
template <>
struct ProcedureOf<SetPoolProperties> : Is<SetPoolPropertiesProcedure> {};
template <>
struct ProcedureOf<SetTrimTimer> : Is<SetTrimTimerProcedure> {};
template <>
struct ProcedureOf<BackUpVm> : Is<BackUpVmProcedure> {};

/// Errors that no other operation of this run would escape.
bool concerns_all(ErrorKind kind) {
  return kind == ErrorKind::kLeaseLost || kind == ErrorKind::kUnauthorized || kind == ErrorKind::kTls;
}

/// The locks of an operation, held in the process while it runs.
class SharedHold {
 public:
  SharedHold(SharedLocks* shared, const std::vector<std::string>& locks) : shared_(shared), locks_(locks) {
    if (shared_ != nullptr) shared_->enter(locks_);
  }
  ~SharedHold() {
    if (shared_ != nullptr) shared_->leave(locks_);
  }
  SharedHold(const SharedHold&) = delete;
  SharedHold& operator=(const SharedHold&) = delete;

 private:
  SharedLocks* shared_;
  const std::vector<std::string>& locks_;
};

/// The threads around the schedule. Everything behind the mutex; operations run without it.
class Run {
 public:
  Run(const Plan& plan, const ApplyPorts& ports, const ApplyOptions& options, Lease* lease, std::stop_token stop)
      : plan_(plan),
        ports_(ports),
        options_(options),
        lease_(lease),
        stop_(std::move(stop)),
        schedule_(plan.operations, options.limits) {}

  ApplyReport run() {
    ports_.events.emit(RunStarted{.operations = static_cast<std::uint32_t>(plan_.operations.size())});
    const std::stop_callback on_stop(stop_, [this] {
      const std::scoped_lock lock(mutex_);
      schedule_.stop(Outcome::kInterrupted, "Not started: the run was interrupted.");
    });
    {
      std::vector<std::jthread> threads;
      const auto count = std::min<std::size_t>(std::max(1U, options_.limits.parallelism), plan_.operations.size());
      for (std::size_t i = 0; i < count; ++i) threads.emplace_back([this] { work(); });
    }
    const std::scoped_lock lock(mutex_);
    for (OperationReport& report : schedule_.unstarted()) {
      ports_.events.emit(
          OperationFinished{.operation = report.operation, .outcome = report.outcome, .detail = report.detail});
      report_.operations.push_back(std::move(report));
    }
    std::ranges::sort(report_.operations, {}, &OperationReport::operation);
    // A request that came when everything was done interrupted nothing.
    report_.interrupted = std::ranges::find(report_.operations, Outcome::kInterrupted, &OperationReport::outcome) !=
                          report_.operations.end();
    ports_.events.emit(RunFinished{.interrupted = report_.interrupted});
    return std::move(report_);
  }

 private:
  void work() {
    std::unique_lock lock(mutex_);
    for (;;) {
      const std::vector<OperationId> ready = schedule_.ready();
      if (ready.empty()) {
        if (schedule_.over()) break;
        if (schedule_.running() == 0) {
          report_.stopped_by = "The operations of the plan wait for each other. This is a bug in pvereconcile.";
          schedule_.stop(Outcome::kSkipped, report_.stopped_by);
          break;
        }
        // Whatever runs wakes everybody at its end; before that nothing new can become ready.
        changed_.wait(lock);
        continue;
      }
      const Operation& operation = plan_.operations[ready.front() - 1];
      schedule_.started(operation.id);
      lock.unlock();
      OperationEnd end = carry_out(operation);
      lock.lock();
      finish(std::move(end));
      changed_.notify_all();
    }
  }

  OperationEnd carry_out(const Operation& operation) {
    const SharedHold hold(options_.locks, operation.locks);
    ports_.events.emit(OperationStarted{.operation = operation.id});
    OperationEnd end = run_operation({.operation = operation,
                                      .pve = ports_.pve,
                                      .clock = ports_.clock,
                                      .events = ports_.events,
                                      .memory = memory_,
                                      .lease = lease_,
                                      .patience = options_.patience,
                                      .stop = stop_,
                                      .zfs = ports_.zfs});
    ports_.events.emit(
        OperationFinished{.operation = operation.id, .outcome = end.report.outcome, .detail = end.report.detail});
    return end;
  }

  void finish(OperationEnd end) {
    schedule_.finished(end.report.operation, end.report.outcome);
    const bool bad = end.report.outcome == Outcome::kFailed || end.report.outcome == Outcome::kConflict;
    if (bad) ++failures_;
    if (bad && concerns_all(end.kind) && report_.stopped_by.empty()) {
      report_.stopped_by = end.report.detail;
      schedule_.stop(Outcome::kSkipped, "Not started: " + end.report.detail);
    } else if (options_.most_failures != 0 && failures_ >= options_.most_failures && report_.stopped_by.empty()) {
      report_.stopped_by = fmt::format("{} operations failed.", failures_);
      schedule_.stop(Outcome::kSkipped, "Not started: too many operations failed.");
    }
    report_.operations.push_back(std::move(end.report));
  }

  const Plan& plan_;
  const ApplyPorts& ports_;
  const ApplyOptions& options_;
  Lease* lease_;
  std::stop_token stop_;
  RunMemory memory_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Schedule schedule_;
  ApplyReport report_;
  std::uint32_t failures_ = 0;
};

/// A plan read from a file holds no secrets: options whose values are missing stay as they are, and that is said.
template <class Params>
void warn_of_withheld(const Params& params, Work& work) {
  if constexpr (requires { params.withheld; }) {
    for (const std::string& key : params.withheld) {
      bool has_value = false;
      if constexpr (requires { params.set; }) has_value = params.set.contains(key);
      if constexpr (requires { params.properties; }) has_value = params.properties.contains(key);
      if constexpr (requires { params.options; }) has_value = params.options.contains(key);
      if (!has_value) work.warn(fmt::format("The value of {} is not in the plan file; it was left as it is.", key));
    }
  }
}

ApplyReport nothing_done(const Plan& plan, const Error& error) {
  ApplyReport report;
  report.stopped_by = error.text();
  for (const Operation& operation : plan.operations)
    report.operations.push_back({.operation = operation.id,
                                 .outcome = Outcome::kSkipped,
                                 .detail = "Not started: " + error.text(),
                                 .warnings = {}});
  return report;
}

/// Whether a guest runs and no task of it is under way. In this order: a shutdown that ends between the two looks is
/// then seen by the second.
bool runs_for_good(PveReader& pve, const GuestRef& guest) {
  const auto tasks = pve.tasks(guest, 0);
  const auto status = pve.guest_status(guest);
  return tasks && std::ranges::none_of(*tasks, &TaskRow::running) && status && status->power == PowerState::kRunning;
}

/// A request to stop a guest that was on its way when the lease was lost cannot be called back, and the next holder may
/// have dropped the note that says who is to be started again.
void name_forgotten_restarts(Lease& lease, PveApi& pve, ApplyReport& report) {
  const auto noted = lease.restarting();
  if (noted.empty() || report.operations.empty()) return;
  if (!lease.is_lost()) return;
  const auto record = read_lease(pve);
  const auto rows = pve.guests();
  for (const std::uint32_t number : noted) {
    if (record && record->has_value() && (*record)->restarting.contains(number)) continue;
    if (rows) {
      const auto row = std::ranges::find(*rows, Vmid{number}, &GuestRow::vmid);
      if (row == rows->end()) continue;
      if (runs_for_good(pve, {.node = row->node, .vmid = Vmid{number}})) continue;
    }
    report.operations.back().warnings.push_back(fmt::format(
        "vm {} may be stopped now: the lease was lost while it was restarted, and nothing remembers to start it. If it "
        "is meant to run: qm start {}",
        number, number));
  }
}

}  // namespace

void tidy_restarts(Lease& lease, PveApi& pve) {
  const auto noted = lease.restarting();
  if (noted.empty()) return;
  const auto rows = pve.guests();
  const auto ha = pve.ha_resources();
  if (!rows || !ha) return;
  for (const std::uint32_t number : noted) {
    const auto row = std::ranges::find(*rows, Vmid{number}, &GuestRow::vmid);
    bool over = row == rows->end();
    if (!over) {
      over = !asked_to_stop(*ha, Vmid{number}) && runs_for_good(pve, {.node = row->node, .vmid = Vmid{number}});
    }
    if (over) static_cast<void>(lease.forget_restart(Vmid{number}));
  }
}

OperationEnd run_operation(const Work::Parts& parts) {
  Work work(parts);
  const ProcedureEnd end = std::visit(
      [&](const auto& params) {
        using Carrier = typename ProcedureOf<std::remove_cvref_t<decltype(params)>>::Type;
        warn_of_withheld(params, work);
        return run_procedure<Carrier>(params, work);
      },
      parts.operation.procedure);
  return {.report = {.operation = parts.operation.id,
                     .outcome = end.outcome,
                     .detail = end.detail,
                     .warnings = work.take_warnings()},
          .kind = end.kind};
}

ApplyReport apply(const Plan& plan, const ApplyPorts& ports, ApplyOptions options, std::stop_token stop) {
  if (plan.operations.empty()) return {};
  std::unique_ptr<Lease> lease;
  if (options.with_lease && options.held == nullptr) {
    if (options.lease.nonce.empty()) options.lease.nonce = random_hex(16);
    auto taken = Lease::acquire(ports.pve, ports.clock, options.lease);
    if (!taken) return nothing_done(plan, taken.error());
    lease = std::move(taken).value();
  }
  Lease* const held = options.held != nullptr ? options.held : lease.get();
  Run run(plan, ports, options, held, std::move(stop));
  ApplyReport report = run.run();
  if (held != nullptr) name_forgotten_restarts(*held, ports.pve, report);
  if (lease) {
    tidy_restarts(*lease, ports.pve);
    const Status released = lease->release();
    if (!released && report.stopped_by.empty() && released.error().kind != ErrorKind::kLeaseLost &&
        !report.operations.empty())
      report.operations.back().warnings.push_back(
          fmt::format("The lease could not be given back ({}); it ends by itself.", released.error().text()));
  }
  return report;
}

}  // namespace pvr
