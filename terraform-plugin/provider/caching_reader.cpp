#include "terraform-plugin/provider/caching_reader.h"

#include <fmt/format.h>

namespace pvr::tf {
namespace {

std::string name_of(const GuestRef& guest) { return fmt::format("{}/{}", guest.node, guest.vmid.number); }

}  // namespace

Result<ClusterStatus> CachingReader::cluster_status() {
  return cluster_status_.get("", age_, [&] { return inner_.cluster_status(); });
}
Result<std::vector<GuestRow>> CachingReader::guests() {
  return guests_.get("", age_, [&] { return inner_.guests(); });
}
Result<std::map<std::uint32_t, PowerState>> CachingReader::power(const std::string& node) {
  return power_.get(node, age_, [&] { return inner_.power(node); });
}
Result<LiveNode> CachingReader::node_facts(const std::string& node) {
  return node_facts_.get(node, hardware_age_, [&] { return inner_.node_facts(node); });
}
Result<std::vector<LivePoolLayout>> CachingReader::zpools(const std::string& node) {
  return zpools_.get(node, age_, [&] { return inner_.zpools(node); });
}
Result<std::map<std::string, Media>> CachingReader::volume_group_media(const std::string& node) {
  return volume_group_media_.get(node, hardware_age_, [&] { return inner_.volume_group_media(node); });
}
Result<StorageList> CachingReader::storages() {
  return storages_.get("", age_, [&] { return inner_.storages(); });
}
Result<LiveStorageOnNode> CachingReader::storage_status(const std::string& node, const std::string& storage) {
  return storage_status_.get(node + "/" + storage, age_, [&] { return inner_.storage_status(node, storage); });
}
Result<std::vector<LiveVolume>> CachingReader::volumes(const std::string& node, const std::string& storage,
                                                       std::optional<Vmid> owner) {
  const std::string key = fmt::format("{}/{}/{}", node, storage, owner ? owner->number : 0);
  return volumes_.get(key, age_, [&] { return inner_.volumes(node, storage, owner); });
}
Result<LiveVm> CachingReader::guest(const GuestRef& guest) {
  return guest_.get(name_of(guest), age_, [&] { return inner_.guest(guest); });
}
Result<GuestStatus> CachingReader::guest_status(const GuestRef& guest) {
  return guest_status_.get(name_of(guest), age_, [&] { return inner_.guest_status(guest); });
}
Result<std::vector<LiveSnapshot>> CachingReader::snapshots(const GuestRef& guest) {
  return snapshots_.get(name_of(guest), age_, [&] { return inner_.snapshots(guest); });
}
Result<HaList> CachingReader::ha_resources() {
  return ha_.get("", age_, [&] { return inner_.ha_resources(); });
}
Result<std::vector<LiveReplication>> CachingReader::replication_jobs() {
  return replication_.get("", age_, [&] { return inner_.replication_jobs(); });
}
Result<std::map<std::string, std::string>> CachingReader::pools() {
  return pools_.get("", age_, [&] { return inner_.pools(); });
}
Result<std::vector<std::uint32_t>> CachingReader::pool_members(const std::string& pool) {
  return pool_members_.get(pool, age_, [&] { return inner_.pool_members(pool); });
}
Result<std::vector<LivePciMapping>> CachingReader::pci_mappings() {
  return pci_mappings_.get("", hardware_age_, [&] { return inner_.pci_mappings(); });
}
Result<FlatMap<std::string>> CachingReader::datacenter_options() {
  return datacenter_.get("", hardware_age_, [&] { return inner_.datacenter_options(); });
}
Result<std::vector<BackupJob>> CachingReader::backup_jobs() {
  return backup_jobs_.get("", age_, [&] { return inner_.backup_jobs(); });
}
Result<LiveHost> CachingZfsReader::host(const std::string& node) {
  return hosts_.get(node, age_, [&] { return inner_.host(node); });
}

}  // namespace pvr::tf
