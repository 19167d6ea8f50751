#include "reconciler/execute/guest_power.h"

#include <fmt/format.h>

#include <algorithm>

#include "reconciler/execute/task_waiter.h"

namespace pvr {
namespace {

template <class Facts>
Result<Facts> look_at_power(Work& work, Vmid vmid) {
  Facts facts;
  auto vm = work.guest(vmid);
  if (!vm) return std::move(vm).error().during(fmt::format("reading vm {}", vmid.number));
  facts.vm = std::move(vm).value();
  facts.seen.exists = facts.vm.has_value();
  if (!facts.vm) {
    facts.conflict = fmt::format("vm {} does not exist.", vmid.number);
    return facts;
  }
  const auto status = work.pve().guest_status(work.ref(vmid));
  if (!status) return Error(status.error()).during(fmt::format("reading the state of vm {}", vmid.number));
  facts.seen.running = status->power != PowerState::kStopped;
  facts.ha = status->ha_managed;
  return facts;
}

/// Fact: for an HA guest a power action only changes the wanted state; the HA managers act later, so the guest's own
/// state is polled.
Status request_ha_state(Work& work, Vmid vmid, const std::string& state, PowerState until) {
  const std::string sid = fmt::format("vm:{}", vmid.number);
  const std::string doing = fmt::format("asking HA for {} to be {}", sid, state);
  FlatMap<std::string> set;
  set.set("state", state);
  {
    const std::scoped_lock section(work.memory().section_mutex());
    const Status asked = work.pve().update_ha(sid, set, {}, {});
    if (!asked) return Error(asked.error()).during(doing);
  }
  BackOff back_off(work.patience());
  const Deadline deadline = work.clock().steady() + work.patience().power;
  for (;;) {
    const auto status = work.pve().guest_status(work.ref(vmid));
    if (status && status->power == until) return Done{};
    if (!status) {
      if (auto end = end_of_waiting(status.error())) return std::move(*end).during(doing);
      // HA may start it on another node.
      static_cast<void>(work.guest(vmid));
    }
    if (work.clock().steady() >= deadline)
      return Error{
          .kind = ErrorKind::kTimeout,
          .message = fmt::format("HA did not make {} {} within {} s.", sid, state, work.patience().power.count())}
          .during(doing);
    work.pause(back_off.next());
  }
}

Status start_guest(Work& work, Vmid vmid, bool ha) {
  if (ha) return request_ha_state(work, vmid, "started", PowerState::kRunning);
  const std::string doing = fmt::format("starting vm {}", vmid.number);
  auto task = work.pve().start(work.ref(vmid));
  if (!task) return std::move(task).error().during(doing);
  const Status started = await_task(work, *task);
  if (!started) return Error(started.error()).during(doing);
  return Done{};
}

Status stop_guest(Work& work, Vmid vmid, bool ha) {
  if (ha) return request_ha_state(work, vmid, "stopped", PowerState::kStopped);
  const std::string doing = fmt::format("shutting down vm {}", vmid.number);
  auto task = work.pve().shutdown(work.ref(vmid), work.patience().shutdown);
  if (!task) return std::move(task).error().during(doing);
  const Status stopped = await_task(work, *task);
  if (!stopped) return Error(stopped.error()).during(doing);
  return Done{};
}

bool is_noted(Work& work, Vmid vmid) {
  return work.lease() != nullptr && work.lease()->restarting().contains(vmid.number);
}

/// A stop that HA did not carry out in time is taken back where the guest is meant to run: else HA does it later, when
/// nobody is left to start the guest again. Whether nothing is left of that stop.
bool take_back_stop(Work& work, Vmid vmid) {
  const std::scoped_lock section(work.memory().section_mutex());
  const auto before = work.pve().ha_resources();
  if (!before) return false;
  if (!asked_to_stop(*before, vmid)) return true;
  FlatMap<std::string> set;
  set.set("state", "started");
  const Status asked = work.pve().update_ha(fmt::format("vm:{}", vmid.number), set, {}, before->digest);
  const auto after = work.pve().ha_resources();
  return asked && after && !asked_to_stop(*after, vmid);
}

Status forget(Work& work, Vmid vmid) {
  if (work.lease() == nullptr) return Done{};
  return work.lease()->forget_restart(vmid);
}

/// Of a guest that was to be stopped for a while only.
void after_failed_stop(Work& work, Vmid vmid) {
  // In this order: a shutdown that ends between the two looks is then seen by the second.
  const auto under_way = running_tasks(work, vmid, {});
  const auto status = work.pve().guest_status(work.ref(vmid));
  const bool runs = status && status->power != PowerState::kStopped;
  const bool taken_back = runs && (!status->ha_managed || take_back_stop(work, vmid));
  // Still running, and no shutdown of it under way that we only cannot watch any more: it was never stopped, and nobody
  // needs to start it later. Else the note stays for the next run.
  if (taken_back && under_way && under_way->empty())
    static_cast<void>(forget(work, vmid));
  else if (work.lease() == nullptr)
    work.warn(fmt::format("vm {} may be stopped now, and without a lease nothing remembers to start it: qm start {}",
                          vmid.number, vmid.number));
}

}  // namespace

bool asked_to_stop(const HaList& list, Vmid vmid) {
  const auto at = std::ranges::find(list.resources, fmt::format("vm:{}", vmid.number), &LiveHa::sid);
  const std::string* state = at == list.resources.end() ? nullptr : at->properties.find("state");
  return state != nullptr && (*state == "stopped" || *state == "disabled");
}

// --- restart-vm

Result<RestartVmProcedure::Facts> RestartVmProcedure::observe(const Params& params, Work& work,
                                                              const Progress& progress) {
  auto facts = look_at_power<Facts>(work, params.vmid);
  if (!facts || !facts->vm) return facts;
  facts->seen.stopped_before = progress.tried("stop") || is_noted(work, params.vmid);
  facts->seen.started_again = progress.tried("start");
  if (facts->seen.running && progress.succeeded("stop") && !facts->seen.started_again)
    facts->conflict = "It runs again, though nobody asked for it.";
  return facts;
}

Status RestartVmProcedure::stop(const Params& params, const Facts& facts, Work& work) {
  if (work.lease() != nullptr) {
    const Status noted = work.lease()->note_restart(params.vmid);
    if (!noted) return Error(noted.error()).during(fmt::format("noting the restart of vm {}", params.vmid.number));
  }
  return stop_guest(work, params.vmid, facts.ha);
}

Status RestartVmProcedure::start(const Params& params, const Facts& facts, Work& work) {
  return start_guest(work, params.vmid, facts.ha);
}

Status RestartVmProcedure::verify(const Params& params, const Facts&, const Facts&, Work& work) {
  const Status forgotten = forget(work, params.vmid);
  if (!forgotten)
    work.warn(fmt::format("vm {} runs again, but the note of its restart is still in the lease: {}", params.vmid.number,
                          forgotten.error().text()));
  return Done{};
}

void RestartVmProcedure::after_failure(const Params& params, const Facts&, Work& work) {
  after_failed_stop(work, params.vmid);
}

// --- start-vm

Result<StartVmProcedure::Facts> StartVmProcedure::observe(const Params& params, Work& work, const Progress&) {
  auto facts = look_at_power<Facts>(work, params.vmid);
  if (!facts || !facts->vm) return facts;
  facts->seen.is_template = facts->vm->is_template;
  if (facts->seen.is_template) facts->conflict = fmt::format("vm {} is a template.", params.vmid.number);
  return facts;
}

Status StartVmProcedure::start(const Params& params, const Facts& facts, Work& work) {
  return start_guest(work, params.vmid, facts.ha);
}

Status StartVmProcedure::verify(const Params& params, const Facts&, const Facts&, Work& work) {
  return forget(work, params.vmid);
}

// --- stop-vm

Result<StopVmProcedure::Facts> StopVmProcedure::observe(const Params& params, Work& work, const Progress&) {
  return look_at_power<Facts>(work, params.vmid);
}

Status StopVmProcedure::stop(const Params& params, const Facts& facts, Work& work) {
  if (params.again && work.lease() != nullptr) {
    const Status noted = work.lease()->note_restart(params.vmid);
    if (!noted) return Error(noted.error()).during(fmt::format("noting the restart of vm {}", params.vmid.number));
  }
  return stop_guest(work, params.vmid, facts.ha);
}

void StopVmProcedure::after_failure(const Params& params, const Facts&, Work& work) {
  if (params.again) after_failed_stop(work, params.vmid);
}

}  // namespace pvr
