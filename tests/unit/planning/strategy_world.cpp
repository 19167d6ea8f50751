#include "tests/unit/planning/strategy_world.h"

#include <algorithm>

namespace pvr::testing {

// A disk that stays on SSD-r10, where new zvols get 16k, and is to have 128k.
ResolvedVm wanting(std::string_view storage, std::string_view block) {
  ResolvedVm wanted = vm("ai-01", 701);
  wanted.disks = {disk("models", "scsi2", storage, "256GiB")};
  wanted.disks[0].settings.set("volblocksize", stated(Home::kZvolProperty, "volblocksize", block));
  return wanted;
}

LiveDataset zvol(std::string name, ByteSize size, ByteSize block, std::string guid) {
  LiveDataset out{.name = std::move(name), .is_volume = true};
  out.properties.set("guid", std::move(guid));
  out.properties.set("volsize", std::to_string(size.bytes));
  out.properties.set("volblocksize", std::to_string(block.bytes));
  out.properties.set("refreservation", "0");
  out.properties.set("referenced", std::to_string((64_GiB).bytes));
  out.properties.set("compression", "on");
  out.properties.set("sync", "standard");
  out.properties.set("readonly", "off");
  return out;
}

LiveHost zfs_host() {
  LiveHost out{.node = "pve1", .zfs_version = "2.3.9"};
  out.zpools = {{.name = "tank", .health = "ONLINE"}};
  out.tools = {"perl"};
  for (const char* name : {"tank", "tank/models"}) {
    LiveDataset one{.name = name};
    one.properties.set("guid", std::string("g-") + name);
    one.properties.set("compression", "on");
    out.datasets.push_back(one);
  }
  out.datasets.push_back(zvol("tank/vm-701-disk-1", 256_GiB, 16_KiB, "4711"));
  std::ranges::sort(out.datasets, {}, &LiveDataset::name);
  return out;
}
LiveDataset& zvol_in(LiveState& live, std::string_view name) {
  auto& list = live.hosts.at(0).datasets;
  return *std::ranges::find(list, name, &LiveDataset::name);
}

LiveState live_with(bool ssh, PowerState power) {
  LiveState state = cluster();
  LiveVm present = guest(701, power);
  attach(present, "scsi2", "SSD-r10:vm-701-disk-1,size=256G");
  put(state, present);
  if (ssh) state.hosts = {zfs_host()};
  return state;
}

PlanOptions allowing(bool restart, bool offline) { return {.allow = {.restart = restart, .offline_copy = offline}}; }
// The block size is right on the storage, but the zvol is older: three ways are open.
LiveState storage_fixed(bool ssh) {
  LiveState state = live_with(ssh);
  state.storages.at(0).properties.set("blocksize", "128k");
  if (!ssh) state.volumes.at(0).volblocksize = 16_KiB;
  return state;
}

LiveState with_backup(std::int64_t made) {
  LiveState state = live_with();
  state.storages.at(2).properties.set("content", "images,iso,backup");
  if (made == 0) return state;
  LiveVolume archive{.id = {"local", "backup/vzdump-qemu-701.vma.zst"}, .content = "backup", .owner = Vmid{701}};
  archive.made = made;
  state.volumes.insert(std::ranges::lower_bound(state.volumes, archive.id, {}, &LiveVolume::id), archive);
  return state;
}
PlanOptions at(std::int64_t seconds) {
  PlanOptions options = allowing(true, true);
  options.now = std::chrono::system_clock::time_point(std::chrono::seconds(seconds));
  return options;
}

}  // namespace pvr::testing
