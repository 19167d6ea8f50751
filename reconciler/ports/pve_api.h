#pragma once

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/base/flat_map.h"
#include "reconciler/base/result.h"
#include "reconciler/base/units.h"
#include "reconciler/model/backup_job.h"
#include "reconciler/model/drive.h"
#include "reconciler/model/live_state.h"

namespace pvr {

/// Where a guest lives and which it is.
struct GuestRef {
  std::string node = {};
  Vmid vmid = {};
};

/// Identity of a task on a node: the UPID text.
struct Upid {
  std::string text = {};
  [[nodiscard]] std::string node() const;  // second field
  [[nodiscard]] std::string type() const;  // "qmmove"
  [[nodiscard]] std::string id() const;    // "101"
};

struct TaskStatus {
  bool running = true;
  std::string exit_text = {};  // "OK", "WARNINGS: 1", or the error
  std::string type = {};
  [[nodiscard]] bool succeeded() const { return exit_text == "OK" || exit_text.starts_with("WARNINGS"); }
};

struct TaskLog {
  std::vector<std::string> lines = {};
  std::size_t next = 0;  // `start` of the next read
};

struct TaskRow {
  Upid upid = {};
  std::string type = {};
  std::string id = {};
  bool running = false;
  std::string status = {};
  std::int64_t started = 0;
};

struct GuestRow {  // one row of /cluster/resources: enumerates, never confirms
  Vmid vmid = {};
  std::string name = {};
  std::string node = {};
  std::string type = {};  // qemu, lxc
  bool is_template = false;
  std::string status = {};
  std::string lock = {};
  std::string pool = {};
  std::string ha_state = {};
  ByteSize memory = {};  // the most it may use; zero: not told
};

struct ClusterStatus {
  std::string name = {};
  bool quorate = true;
  std::vector<LiveNode> nodes = {};
};

struct StorageList {
  std::vector<LiveStorage> storages = {};
  std::string digest = {};
};
struct HaList {
  std::vector<LiveHa> resources = {};
  std::string digest = {};
};

struct GuestStatus {
  PowerState power = PowerState::kUnknown;
  bool ha_managed = false;
  std::string ha_state = {};
  std::string lock = {};
};

/// Read-only view of one cluster. Every call takes at most the client's own deadline and is safe from several threads.
/// GETs are retried by the client on 595/596/599 and lost connections, with back-off and endpoint failover.
class PveReader {
 public:
  virtual ~PveReader() = default;
  [[nodiscard]] virtual Result<ClusterStatus> cluster_status() = 0;
  [[nodiscard]] virtual Result<std::vector<GuestRow>> guests() = 0;
  /// Power of the VMs of a node that we may see, by number, as the node knows it now; the cluster's list is up to ten
  /// seconds old. A paused guest counts as running.
  [[nodiscard]] virtual Result<std::map<std::uint32_t, PowerState>> power(const std::string& node) = 0;
  [[nodiscard]] virtual Result<LiveNode> node_facts(const std::string& node) = 0;  // version, cpu, memory
  [[nodiscard]] virtual Result<std::vector<LivePoolLayout>> zpools(const std::string& node) = 0;
  /// What the LVM volume groups of a node lie on; only those where it can be told.
  [[nodiscard]] virtual Result<std::map<std::string, Media>> volume_group_media(const std::string& node) = 0;
  [[nodiscard]] virtual Result<StorageList> storages() = 0;
  [[nodiscard]] virtual Result<LiveStorageOnNode> storage_status(const std::string& node,
                                                                 const std::string& storage) = 0;
  [[nodiscard]] virtual Result<std::vector<LiveVolume>> volumes(const std::string& node, const std::string& storage,
                                                                std::optional<Vmid> owner) = 0;
  /// Current and pending of one guest, decoded. Power, pool and HA are not in it.
  [[nodiscard]] virtual Result<LiveVm> guest(const GuestRef& guest) = 0;
  [[nodiscard]] virtual Result<GuestStatus> guest_status(const GuestRef& guest) = 0;
  [[nodiscard]] virtual Result<std::vector<LiveSnapshot>> snapshots(const GuestRef& guest) = 0;
  [[nodiscard]] virtual Result<HaList> ha_resources() = 0;
  [[nodiscard]] virtual Result<std::vector<LiveReplication>> replication_jobs() = 0;
  [[nodiscard]] virtual Result<std::map<std::string, std::string>> pools() = 0;  // id → comment
  [[nodiscard]] virtual Result<std::vector<std::uint32_t>> pool_members(const std::string& pool) = 0;
  [[nodiscard]] virtual Result<std::vector<LivePciMapping>> pci_mappings() = 0;
  [[nodiscard]] virtual Result<FlatMap<std::string>> datacenter_options() = 0;
  [[nodiscard]] virtual Result<std::vector<BackupJob>> backup_jobs() = 0;  // sorted by id
  /// The clock of a node: seconds of the epoch.
  [[nodiscard]] virtual Result<std::int64_t> node_time(const std::string& node) = 0;
  [[nodiscard]] virtual Result<TaskStatus> task_status(const Upid& task) = 0;
  [[nodiscard]] virtual Result<TaskLog> task_log(const Upid& task, std::size_t start) = 0;
  /// Tasks of one guest on a node, running and (with `since`, seconds of the epoch) finished, newest first.
  [[nodiscard]] virtual Result<std::vector<TaskRow>> tasks(const GuestRef& guest, std::int64_t since) = 0;
  /// Effective privileges of the caller on a path: names.
  [[nodiscard]] virtual Result<std::vector<std::string>> permissions(const std::string& path) = 0;
};

using FormFields = std::vector<std::pair<std::string, std::string>>;

/// The reader, plus the calls that change the cluster. Never retried by the client: a lost answer is Error{effect =
/// kPossible} and the only permitted next step is to look. `digest` empty: PVE takes none there.
class PveApi : public PveReader {
 public:
  [[nodiscard]] virtual Status create_storage(const std::string& id, const std::string& type,
                                              const FlatMap<std::string>& properties) = 0;
  [[nodiscard]] virtual Status update_storage(const std::string& id, const FlatMap<std::string>& set,
                                              const std::vector<std::string>& unset, const std::string& digest) = 0;
  /// Removes the entry; what lies there stays. Fact: PVE takes no digest here.
  [[nodiscard]] virtual Status delete_storage(const std::string& id) = 0;
  [[nodiscard]] virtual Status create_pool(const std::string& id, const std::string& comment) = 0;
  [[nodiscard]] virtual Status update_pool(const std::string& id, const std::string& comment) = 0;
  [[nodiscard]] virtual Status add_to_pool(const std::string& id, Vmid vmid) = 0;
  [[nodiscard]] virtual Status delete_pool(const std::string& id) = 0;
  /// POST /nodes/N/qemu. `fields` are PVE parameters.
  [[nodiscard]] virtual Result<Upid> create_guest(const std::string& node, const FormFields& fields) = 0;
  [[nodiscard]] virtual Result<Upid> clone_guest(const GuestRef& source, const FormFields& fields) = 0;
  /// PUT config (synchronous) for options that need no allocation and no copy.
  [[nodiscard]] virtual Status set_config(const GuestRef& guest, const FormFields& set,
                                          const std::vector<std::string>& unset, const std::string& digest) = 0;
  /// POST config: the same as a task, for anything that allocates, hotplugs or imports.
  [[nodiscard]] virtual Result<Upid> start_set_config(const GuestRef& guest, const FormFields& set,
                                                      const std::vector<std::string>& unset,
                                                      const std::string& digest) = 0;
  [[nodiscard]] virtual Status revert_pending(const GuestRef& guest, const std::vector<std::string>& keys,
                                              const std::string& digest) = 0;
  [[nodiscard]] virtual Result<Upid> resize(const GuestRef& guest, DriveSlot slot, ByteSize size,
                                            const std::string& digest) = 0;
  /// The old volume stays as unusedN, or with `remove_source` goes once the guest uses the new one.
  [[nodiscard]] virtual Result<Upid> move_disk(const GuestRef& guest, DriveSlot slot, const std::string& storage,
                                               const std::string& format, ByteRate bandwidth, bool remove_source,
                                               const std::string& digest) = 0;
  [[nodiscard]] virtual Result<Upid> start(const GuestRef& guest) = 0;
  [[nodiscard]] virtual Result<Upid> shutdown(const GuestRef& guest, std::chrono::seconds timeout) = 0;
  /// vzdump in snapshot mode with zstd; the result is one more volume of content "backup" on the storage.
  [[nodiscard]] virtual Result<Upid> back_up(const GuestRef& guest, const std::string& storage) = 0;
  [[nodiscard]] virtual Result<Upid> destroy_guest(const GuestRef& guest, bool purge) = 0;
  [[nodiscard]] virtual Status create_ha(const std::string& sid, const FlatMap<std::string>& set) = 0;
  [[nodiscard]] virtual Status update_ha(const std::string& sid, const FlatMap<std::string>& set,
                                         const std::vector<std::string>& unset, const std::string& digest) = 0;
  [[nodiscard]] virtual Status delete_ha(const std::string& sid) = 0;
  [[nodiscard]] virtual Status create_replication(const std::string& id, const std::string& target,
                                                  const FlatMap<std::string>& set) = 0;
  [[nodiscard]] virtual Status update_replication(const std::string& id, const FlatMap<std::string>& set,
                                                  const std::string& digest) = 0;
  [[nodiscard]] virtual Status stop_task(const Upid& task) = 0;
};

}  // namespace pvr
