#pragma once

#include <memory>
#include <string>

#include "simulator/api/method.h"
#include "simulator/world/work.h"

// What guests do: works that the API methods, HA and the replication start. Each is complete with its locks.
namespace pvesim {

struct StartOptions {
  bool skip_lock = false;
};
/// Fact: takes the guest flock, applies pending changes, activates the volumes, starts QEMU.
[[nodiscard]] std::shared_ptr<Work> start_work(World& world, int vmid, StartOptions options = {});

struct StopOptions {
  VirtualSpan timeout = std::chrono::seconds(60);
  bool shutdown = false;    // ask the guest; otherwise terminate QEMU
  bool force_stop = false;  // terminate when the guest does not answer in time
  bool skip_lock = false;
  bool and_start = false;  // reboot: start again afterwards
};
[[nodiscard]] std::shared_ptr<Work> stop_work(World& world, int vmid, StopOptions options);

struct MigrateOptions {
  std::string target = {};
  bool online = false;
  bool with_local_disks = false;
  std::string target_storage = {};
  std::int64_t bwlimit = 0;  // KiB/s, 0: none
};
[[nodiscard]] std::shared_ptr<Work> migrate_work(World& world, int vmid, MigrateOptions options);

// --- the parts of the method table
void add_qemu_list_methods(MethodTable& table);
void add_qemu_create_methods(MethodTable& table);
void add_qemu_config_methods(MethodTable& table);
void add_qemu_disk_methods(MethodTable& table);
void add_qemu_clone_methods(MethodTable& table);
void add_qemu_power_methods(MethodTable& table);
void add_qemu_snapshot_methods(MethodTable& table);
void add_qemu_migrate_methods(MethodTable& table);
void add_qemu_agent_methods(MethodTable& table);

}  // namespace pvesim
