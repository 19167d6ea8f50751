#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <utility>

#include "providers/pve/connection_options.h"
#include "providers/pve/http_transport.h"
#include "reconciler/ports/clock.h"
#include "reconciler/ports/pve_api.h"

namespace pvr {

class Session;

/// One cluster over its REST API. Safe to use from several threads.
class PveClient final : public PveApi {
 public:
  /// Over HTTPS. `clock` must outlive the client.
  PveClient(ConnectionOptions options, Clock& clock, std::stop_token stop);
  /// Over any transport: tests, simulation.
  PveClient(ConnectionOptions options, std::unique_ptr<HttpTransport> transport, Clock& clock, std::stop_token stop);
  ~PveClient() override;
  PveClient(const PveClient&) = delete;
  PveClient& operator=(const PveClient&) = delete;

  /// Requests sent so far (retries count) by method and path template: {"GET", "/nodes/{node}/qemu/{vmid}/pending"}.
  [[nodiscard]] std::map<std::pair<std::string, std::string>, std::uint64_t> request_counts() const;

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
  [[nodiscard]] Result<std::int64_t> node_time(const std::string& node) override;
  [[nodiscard]] Result<TaskStatus> task_status(const Upid& task) override;
  [[nodiscard]] Result<TaskLog> task_log(const Upid& task, std::size_t start) override;
  [[nodiscard]] Result<std::vector<TaskRow>> tasks(const GuestRef& guest, std::int64_t since) override;
  [[nodiscard]] Result<std::vector<std::string>> permissions(const std::string& path) override;

  [[nodiscard]] Status create_storage(const std::string& id, const std::string& type,
                                      const FlatMap<std::string>& properties) override;
  [[nodiscard]] Status update_storage(const std::string& id, const FlatMap<std::string>& set,
                                      const std::vector<std::string>& unset, const std::string& digest) override;
  [[nodiscard]] Status delete_storage(const std::string& id) override;
  [[nodiscard]] Status create_pool(const std::string& id, const std::string& comment) override;
  [[nodiscard]] Status update_pool(const std::string& id, const std::string& comment) override;
  [[nodiscard]] Status add_to_pool(const std::string& id, Vmid vmid) override;
  [[nodiscard]] Status delete_pool(const std::string& id) override;
  [[nodiscard]] Result<Upid> create_guest(const std::string& node, const FormFields& fields) override;
  [[nodiscard]] Result<Upid> clone_guest(const GuestRef& source, const FormFields& fields) override;
  [[nodiscard]] Status set_config(const GuestRef& guest, const FormFields& set, const std::vector<std::string>& unset,
                                  const std::string& digest) override;
  [[nodiscard]] Result<Upid> start_set_config(const GuestRef& guest, const FormFields& set,
                                              const std::vector<std::string>& unset,
                                              const std::string& digest) override;
  [[nodiscard]] Status revert_pending(const GuestRef& guest, const std::vector<std::string>& keys,
                                      const std::string& digest) override;
  [[nodiscard]] Result<Upid> resize(const GuestRef& guest, DriveSlot slot, ByteSize size,
                                    const std::string& digest) override;
  [[nodiscard]] Result<Upid> move_disk(const GuestRef& guest, DriveSlot slot, const std::string& storage,
                                       const std::string& format, ByteRate bandwidth, bool remove_source,
                                       const std::string& digest) override;
  [[nodiscard]] Result<Upid> start(const GuestRef& guest) override;
  [[nodiscard]] Result<Upid> shutdown(const GuestRef& guest, std::chrono::seconds timeout) override;
  [[nodiscard]] Result<Upid> back_up(const GuestRef& guest, const std::string& storage) override;
  [[nodiscard]] Result<Upid> destroy_guest(const GuestRef& guest, bool purge) override;
  [[nodiscard]] Status create_ha(const std::string& sid, const FlatMap<std::string>& set) override;
  [[nodiscard]] Status update_ha(const std::string& sid, const FlatMap<std::string>& set,
                                 const std::vector<std::string>& unset, const std::string& digest) override;
  [[nodiscard]] Status delete_ha(const std::string& sid) override;
  [[nodiscard]] Status create_replication(const std::string& id, const std::string& target,
                                          const FlatMap<std::string>& set) override;
  [[nodiscard]] Status update_replication(const std::string& id, const FlatMap<std::string>& set,
                                          const std::string& digest) override;
  [[nodiscard]] Status stop_task(const Upid& task) override;

 private:
  std::unique_ptr<Session> session_;
};

}  // namespace pvr
