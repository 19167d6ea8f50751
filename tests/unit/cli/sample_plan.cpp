#include "tests/unit/cli/sample_plan.h"

#include <string>

namespace pvr::test {
namespace {

ResourceAddress vm(const std::string& name, const std::string& part = {}) { return {AddressKind::kVm, name, part}; }

}  // namespace

Plan sample_plan() {
  Plan plan;
  plan.inputs = {.document_hash = "0f",
                 .cluster_name = "homelab",
                 .made_at = "2026-01-02T03:04:05Z",
                 .digests = {},
                 .allow = {"restart"}};
  plan.unchanged_vms = 3;
  const std::string place = "fleet.yaml:12:5";

  Operation storage;
  storage.id = 1;
  storage.address = {AddressKind::kStorage, "SSD-r10", {}};
  storage.procedure = UpdateStorage{.id = "SSD-r10"};
  storage.changes = {{"sparse", "", "1", "Z3", "Thin volumes leave free space to the pool.", place, Impact::kNone}};
  plan.operations.push_back(storage);

  Operation move;
  move.id = 2;
  move.address = vm("ai-01", "models");
  move.procedure = MoveDisk{
      .vmid = {701}, .slot = {Bus::kScsi, 2}, .volume = {"SSD-r10", "vm-701-disk-1"}, .storage = "SSD-r10-models"};
  move.impact = Impact::kOnlineCopy;
  move.node = "pve1";
  move.after = {1};
  move.changes = {{"volblocksize", "16KiB", "128KiB", "Z1", "Large sequential data streams faster from large blocks.",
                   "", Impact::kOnlineCopy}};
  move.copy = CopyCost{.bytes = 256_GiB,
                       .target_storage = "SSD-r10-models",
                       .target_node = "pve1",
                       .peak_extra = 257_GiB,
                       .estimate = std::chrono::seconds(655),
                       .downtime = {}};
  plan.operations.push_back(move);

  plan.choices = {{.address = vm("ai-01", "models"),
                   .what = "give scsi2 volblocksize 128KiB",
                   .offers = {{.strategy = Strategy::kClassMove,
                               .possible = true,
                               .chosen = true,
                               .why = "the cheapest that is possible and allowed",
                               .needs = "API",
                               .bytes = 256_GiB,
                               .peak_extra = 257_GiB,
                               .estimate = std::chrono::seconds(655)},
                              {.strategy = Strategy::kInPlace,
                               .why = "the guest would be stopped while the disk is copied",
                               .remedy = "--allow offline-copy"}}}};

  Operation options;
  options.id = 3;
  options.address = vm("ai-01", "models");
  options.procedure = SetDriveOptions{.vmid = {701}, .slot = {Bus::kScsi, 2}, .volume = {"SSD-r10-models", ""}};
  options.impact = Impact::kRestart;
  options.node = "pve1";
  options.after = {2};
  options.changes = {
      {"discard", "", "on", "D1", "TRIM from the guest frees space in the pool.", "", Impact::kPendingRestart},
      {"iothread", "", "1", "I1", "One thread per disk.", "role specialty-linux", Impact::kPendingRestart}};
  plan.operations.push_back(options);

  Operation restart;
  restart.id = 4;
  restart.address = vm("ai-01");
  restart.procedure = RestartVm{.vmid = {701}, .ha = false};
  restart.impact = Impact::kRestart;
  restart.node = "pve1";
  restart.after = {3};
  plan.operations.push_back(restart);

  plan.blocked.push_back({vm("win11", "root"), "move scsi0 to storage \"thin\"",
                          "Its VM runs and the storage cannot copy while it does.", "--allow offline-copy", true});
  plan.waiting.push_back({vm("app-01", "root"), "aio", "unset", "io_uring"});
  plan.findings.push_back({Severity::kWarning,
                           "Z10",
                           {AddressKind::kStorage, "old-pool", {}},
                           "The pool is 94 % full.",
                           "Free space before anything else.",
                           {}});
  plan.gaps = {"Node pve3 is offline: its 2 VMs were not read."};
  plan.partial = true;
  return plan;
}

Plan wide_plan(unsigned count) {
  Plan plan;
  for (unsigned i = 0; i < count; ++i) {
    Operation operation;
    operation.id = i + 1;
    operation.address = vm("guest-with-a-rather-long-name-" + std::to_string(i), "root");
    operation.procedure = SetDriveOptions{.vmid = {100 + i}, .slot = {Bus::kScsi, 0}, .volume = {"san", "vm-disk-0"}};
    operation.impact = Impact::kPendingRestart;
    operation.node = "pve1";
    operation.changes = {
        {"aio", "unset (= native here)", "io_uring", "A5",
         "io_uring does not block when a snapshot or a backup puts qcow2 on top of the volume.", "",
         Impact::kPendingRestart},
        {"discard", "", "on", "D1", "TRIM from the guest frees space in the pool.", "", Impact::kPendingRestart}};
    plan.operations.push_back(operation);
    plan.findings.push_back(
        {Severity::kNotice, "F2", operation.address, "A raw file on a ZFS dataset.", "Move it to a zvol.", {}});
  }
  return plan;
}

}  // namespace pvr::test
