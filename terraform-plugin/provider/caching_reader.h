#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "reconciler/ports/pve_api.h"
#include "reconciler/ports/zfs_host.h"

namespace pvr::tf {

/// Answers by key that are asked for once, also when several threads ask at the same time. Errors are not kept.
template <class T>
class Memo {
 public:
  /// What `ask` answered for the key, now or when `age` was the same.
  template <class Ask>
  Result<T> get(const std::string& key, std::uint64_t age, const Ask& ask) {
    std::shared_ptr<Slot> slot;
    {
      const std::scoped_lock lock(mutex_);
      std::shared_ptr<Slot>& entry = slots_[key];
      if (!entry) entry = std::make_shared<Slot>();
      slot = entry;
    }
    const std::scoped_lock lock(slot->mutex);
    if (slot->value && slot->age == age) return *slot->value;
    Result<T> answer = ask();
    slot->value.reset();
    if (answer) {
      slot->value = *answer;
      slot->age = age;
    }
    return answer;
  }

 private:
  struct Slot {
    std::mutex mutex;
    std::uint64_t age = 0;
    std::optional<T> value = {};
  };
  std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Slot>> slots_;
};

/// One look at the cluster for all resources of a run: what one call has read the next one need not ask again, until
/// forget(). Facts of the hardware are kept longer, until forget_all(). Safe from several threads.
class CachingReader final : public PveReader {
 public:
  explicit CachingReader(PveReader& inner) : inner_(inner) {}

  /// Before and after the cluster is changed.
  void forget() { ++age_; }
  void forget_all() {
    ++hardware_age_;
    ++age_;
  }

  [[nodiscard]] Result<ClusterStatus> cluster_status() override;
  [[nodiscard]] Result<std::vector<GuestRow>> guests() override;
  [[nodiscard]] Result<std::map<std::uint32_t, PowerState>> power(const std::string& node) override;
  [[nodiscard]] Result<LiveNode> node_facts(const std::string& node) override;
  [[nodiscard]] Result<std::vector<LivePoolLayout>> zpools(const std::string& node) override;
  [[nodiscard]] Result<std::map<std::string, Media>> volume_group_media(const std::string& node) override;
  [[nodiscard]] Result<StorageList> storages() override;
  [[nodiscard]] Result<LiveStorageOnNode> storage_status(const std::string& node, const std::string& storage) override;
  [[nodiscard]] Result<std::vector<LiveVolume>> volumes(const std::string& node, const std::string& storage,
                                                        std::optional<Vmid> owner) override;
  [[nodiscard]] Result<LiveVm> guest(const GuestRef& guest) override;
  [[nodiscard]] Result<GuestStatus> guest_status(const GuestRef& guest) override;
  [[nodiscard]] Result<std::vector<LiveSnapshot>> snapshots(const GuestRef& guest) override;
  [[nodiscard]] Result<HaList> ha_resources() override;
  [[nodiscard]] Result<std::vector<LiveReplication>> replication_jobs() override;
  [[nodiscard]] Result<std::map<std::string, std::string>> pools() override;
  [[nodiscard]] Result<std::vector<std::uint32_t>> pool_members(const std::string& pool) override;
  [[nodiscard]] Result<std::vector<LivePciMapping>> pci_mappings() override;
  [[nodiscard]] Result<FlatMap<std::string>> datacenter_options() override;
  [[nodiscard]] Result<std::vector<BackupJob>> backup_jobs() override;
  [[nodiscard]] Result<std::int64_t> node_time(const std::string& node) override { return inner_.node_time(node); }
  [[nodiscard]] Result<TaskStatus> task_status(const Upid& task) override { return inner_.task_status(task); }
  [[nodiscard]] Result<TaskLog> task_log(const Upid& task, std::size_t start) override {
    return inner_.task_log(task, start);
  }
  [[nodiscard]] Result<std::vector<TaskRow>> tasks(const GuestRef& guest, std::int64_t since) override {
    return inner_.tasks(guest, since);
  }
  [[nodiscard]] Result<std::vector<std::string>> permissions(const std::string& path) override {
    return inner_.permissions(path);
  }

 private:
  PveReader& inner_;
  std::atomic<std::uint64_t> age_ = 1;
  std::atomic<std::uint64_t> hardware_age_ = 1;
  Memo<ClusterStatus> cluster_status_;
  Memo<std::vector<GuestRow>> guests_;
  Memo<std::map<std::uint32_t, PowerState>> power_;
  Memo<LiveNode> node_facts_;
  Memo<std::vector<LivePoolLayout>> zpools_;
  Memo<std::map<std::string, Media>> volume_group_media_;
  Memo<StorageList> storages_;
  Memo<LiveStorageOnNode> storage_status_;
  Memo<std::vector<LiveVolume>> volumes_;
  Memo<LiveVm> guest_;
  Memo<GuestStatus> guest_status_;
  Memo<std::vector<LiveSnapshot>> snapshots_;
  Memo<HaList> ha_;
  Memo<std::vector<LiveReplication>> replication_;
  Memo<std::map<std::string, std::string>> pools_;
  Memo<std::vector<std::uint32_t>> pool_members_;
  Memo<std::vector<LivePciMapping>> pci_mappings_;
  Memo<FlatMap<std::string>> datacenter_;
  Memo<std::vector<BackupJob>> backup_jobs_;
};

/// The same for host access: one round trip to each node.
class CachingZfsReader final : public ZfsReader {
 public:
  explicit CachingZfsReader(ZfsReader& inner) : inner_(inner) {}
  void forget() { ++age_; }
  [[nodiscard]] Result<LiveHost> host(const std::string& node) override;
  // Read right before and after a change: never an old answer.
  [[nodiscard]] Result<LiveHost> settings(const std::string& node) override { return inner_.settings(node); }
  [[nodiscard]] Result<std::vector<GuestFile>> guest_files(const std::string& node) override {
    return inner_.guest_files(node);
  }
  [[nodiscard]] Result<std::optional<LiveDataset>> dataset(const std::string& node, const std::string& name) override {
    return inner_.dataset(node, name);
  }
  [[nodiscard]] Result<std::vector<LiveDataset>> marked(const std::string& node, const std::string& parent) override {
    return inner_.marked(node, parent);
  }
  [[nodiscard]] Result<std::vector<std::string>> holders(const std::string& node, const std::string& volume) override {
    return inner_.holders(node, volume);
  }

 private:
  ZfsReader& inner_;
  std::atomic<std::uint64_t> age_ = 1;
  Memo<LiveHost> hosts_;
};

}  // namespace pvr::tf
