#include "reconciler/execute/backup_vm.h"

#include <fmt/format.h>

#include <algorithm>

#include "reconciler/execute/task_waiter.h"

namespace pvr {

Result<BackUpVmProcedure::Facts> BackUpVmProcedure::observe(const Params& params, Work& work,
                                                            const Progress& progress) {
  const std::string doing =
      fmt::format("looking for backups of vm {} on storage \"{}\"", params.vmid.number, params.storage);
  Facts facts;
  auto vm = work.guest(params.vmid);
  if (!vm) return std::move(vm).error().during(doing);
  facts.vm = std::move(vm).value();
  facts.seen.exists = facts.vm.has_value();
  facts.conflict = fmt::format("vm {} does not exist.", params.vmid.number);
  if (!facts.vm) return facts;
  const auto listed = work.pve().volumes(work.node(), params.storage, params.vmid);
  if (!listed) return Error(listed.error()).during(doing);
  std::optional<std::int64_t> newest;
  for (const LiveVolume& volume : *listed)
    if (volume.content == "backup" && volume.made && (!newest || *volume.made > *newest)) newest = volume.made;
  if (!newest) return facts;
  const auto now = std::chrono::floor<std::chrono::seconds>(work.clock().wall()).time_since_epoch().count();
  const bool young = params.newer_than.count() > 0 && now - *newest <= params.newer_than.count();
  facts.seen.fresh = young || progress.succeeded("back-up");
  return facts;
}

Status BackUpVmProcedure::back_up(const Params& params, const Facts&, Work& work) {
  const std::string doing = fmt::format("backing up vm {} to storage \"{}\"", params.vmid.number, params.storage);
  auto task = work.pve().back_up(work.ref(params.vmid), params.storage);
  if (!task) return std::move(task).error().during(doing);
  const Status done = await_task(work, *task);
  if (!done) return Error(done.error()).during(doing);
  return Done{};
}

}  // namespace pvr
