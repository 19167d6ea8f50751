#include "reconciler/model/plan.h"

namespace pvr {

std::string_view to_text(Impact impact) {
  switch (impact) {
    case Impact::kNone:
      return "no running guest affected";
    case Impact::kLive:
      return "live";
    case Impact::kPendingRestart:
      return "pending until restart";
    case Impact::kRestart:
      return "restart";
    case Impact::kOnlineCopy:
      return "online copy";
    case Impact::kOfflineCopy:
      return "offline copy";
    case Impact::kDestroy:
      return "destroy";
  }
  return "";
}

std::string_view to_text(Strategy strategy) {
  switch (strategy) {
    case Strategy::kClassMove:
      return "class move";
    case Strategy::kOutAndBack:
      return "out and back";
    case Strategy::kSwap:
      return "swap";
    case Strategy::kInPlace:
      return "in place";
  }
  return "";
}

std::string_view procedure_name(const Procedure& procedure) {
  struct Name {
    std::string_view operator()(const CreateStorage&) const { return "create-storage"; }
    std::string_view operator()(const UpdateStorage&) const { return "update-storage"; }
    std::string_view operator()(const CreatePool&) const { return "create-pool"; }
    std::string_view operator()(const AddToPool&) const { return "add-to-pool"; }
    std::string_view operator()(const CreateVm&) const { return "create-vm"; }
    std::string_view operator()(const CloneVm&) const { return "clone-vm"; }
    std::string_view operator()(const SetVmOptions&) const { return "set-vm-options"; }
    std::string_view operator()(const SetDriveOptions&) const { return "set-drive-options"; }
    std::string_view operator()(const AddDisk&) const { return "add-disk"; }
    std::string_view operator()(const AttachVolume&) const { return "attach-volume"; }
    std::string_view operator()(const DetachDisk&) const { return "detach-disk"; }
    std::string_view operator()(const DestroyVolume&) const { return "destroy-volume"; }
    std::string_view operator()(const ResizeDisk&) const { return "resize-disk"; }
    std::string_view operator()(const MoveDisk&) const { return "move-disk"; }
    std::string_view operator()(const RestartVm&) const { return "restart-vm"; }
    std::string_view operator()(const StartVm&) const { return "start-vm"; }
    std::string_view operator()(const StopVm&) const { return "stop-vm"; }
    std::string_view operator()(const DestroyVm&) const { return "destroy-vm"; }
    std::string_view operator()(const SetHa&) const { return "set-ha"; }
    std::string_view operator()(const RemoveHa&) const { return "remove-ha"; }
    std::string_view operator()(const SetReplication&) const { return "set-replication"; }
    std::string_view operator()(const RetireVolume&) const { return "retire-volume"; }
    std::string_view operator()(const CreateDataset&) const { return "create-dataset"; }
    std::string_view operator()(const SetZvolProperties&) const { return "set-zvol-properties"; }
    std::string_view operator()(const SwapZvol&) const { return "swap-zvol"; }
    std::string_view operator()(const RecreateZvol&) const { return "recreate-zvol"; }
    std::string_view operator()(const RollBackZvol&) const { return "roll-back-zvol"; }
    std::string_view operator()(const DestroyDataset&) const { return "destroy-dataset"; }
    std::string_view operator()(const DeleteStorage&) const { return "delete-storage"; }
    std::string_view operator()(const BackUpVm&) const { return "back-up-vm"; }
    std::string_view operator()(const SetArcLimits&) const { return "set-arc-limits"; }
    std::string_view operator()(const SetPoolProperties&) const { return "set-pool-properties"; }
    std::string_view operator()(const SetTrimTimer&) const { return "set-trim-timer"; }
  };
  return std::visit(Name{}, procedure);
}

PlanTotals totals(const Plan& plan) {
  struct Count {
    PlanTotals& sum;
    void operator()(const CreateStorage&) const { ++sum.create; }
    void operator()(const CreatePool&) const { ++sum.create; }
    void operator()(const CreateVm&) const { ++sum.create; }
    void operator()(const CloneVm&) const { ++sum.create; }
    void operator()(const AddDisk&) const { ++sum.create; }
    void operator()(const UpdateStorage&) const { ++sum.change; }
    void operator()(const AddToPool&) const { ++sum.change; }
    void operator()(const SetVmOptions&) const { ++sum.change; }
    void operator()(const SetDriveOptions&) const { ++sum.change; }
    void operator()(const AttachVolume&) const { ++sum.change; }
    void operator()(const DetachDisk&) const { ++sum.change; }
    void operator()(const ResizeDisk&) const { ++sum.change; }
    void operator()(const SetHa& p) const { ++(p.create ? sum.create : sum.change); }
    void operator()(const SetReplication& p) const { ++(p.create ? sum.create : sum.change); }
    void operator()(const RemoveHa&) const { ++sum.change; }
    void operator()(const MoveDisk&) const { ++sum.move; }
    void operator()(const RestartVm&) const { ++sum.restart; }
    // A stop and the start after it are one interruption for the guest's users; a start alone is a change.
    void operator()(const StopVm&) const { ++sum.restart; }
    void operator()(const StartVm&) const { ++sum.change; }
    void operator()(const DestroyVm&) const { ++sum.destroy; }
    void operator()(const DestroyVolume&) const { ++sum.destroy; }
    void operator()(const DestroyDataset&) const { ++sum.destroy; }
    void operator()(const DeleteStorage&) const { ++sum.destroy; }
    void operator()(const CreateDataset&) const { ++sum.create; }
    void operator()(const BackUpVm&) const { ++sum.create; }
    void operator()(const SetZvolProperties&) const { ++sum.change; }
    void operator()(const SetArcLimits&) const { ++sum.change; }
    void operator()(const SetPoolProperties&) const { ++sum.change; }
    void operator()(const SetTrimTimer&) const { ++sum.change; }
    void operator()(const RetireVolume&) const {}  // a note, not a change
    // A swap ends a move that is counted already.
    void operator()(const SwapZvol&) const { ++sum.change; }
    void operator()(const RecreateZvol&) const { ++sum.move; }
    void operator()(const RollBackZvol&) const { ++sum.move; }
  };
  PlanTotals sum;
  for (const Operation& op : plan.operations) {
    std::visit(Count{sum}, op.procedure);
    if (!op.copy) continue;
    sum.copy_bytes = sum.copy_bytes + op.copy->bytes;
    sum.copy_estimate += op.copy->estimate;
  }
  sum.blocked = static_cast<std::uint32_t>(plan.blocked.size());
  sum.waiting = static_cast<std::uint32_t>(plan.waiting.size());
  sum.findings = static_cast<std::uint32_t>(plan.findings.size());
  return sum;
}

}  // namespace pvr
