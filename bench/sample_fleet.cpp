#include "bench/sample_fleet.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <utility>

#include "reconciler/base/diagnostic.h"
#include "schema/fleet_schema.h"

namespace pvr::bench {
namespace {

constexpr std::size_t kVmsPerNode = 100;
constexpr std::size_t kFirstVmid = 1000;

std::size_t node_of(std::size_t vm, std::size_t vms) { return vm % node_count(vms); }

std::string root_drive(std::size_t vmid) {
  return fmt::format("tank:vm-{}-disk-0,discard=on,iothread=1,size=32G,ssd=1", vmid);
}

std::string data_drive(std::size_t vm, std::size_t vmid) {
  return vm % 3 == 0 ? fmt::format("tank:vm-{}-disk-1,size=64G", vmid)
                     : fmt::format("tank:vm-{}-disk-1,discard=on,iothread=1,size=64G,ssd=1", vmid);
}

LiveDrive drive(DriveSlot slot, const std::string& text) {
  auto parsed = parse_drive(slot, text);
  return {.slot = slot, .current = std::move(parsed).value()};
}

}  // namespace

std::size_t node_count(std::size_t vms) { return std::max<std::size_t>(1, vms / kVmsPerNode); }

std::string fleet_text(std::size_t vms) {
  std::string text =
      "version: 1\n"
      "storages:\n"
      "  tank: {type: zfspool, pool: tank, content: [images, rootdir], media: ssd}\n"
      "lanes:\n"
      "  pinned: tank\n"
      "roles:\n"
      "  app: {extends: specialty-linux, disks: {data: {purpose: data}}}\n"
      "  database: {extends: app, disk: {iops_rd: 20000}}\n"
      "vms:\n";
  for (std::size_t i = 0; i < vms; ++i) {
    fmt::format_to(std::back_inserter(text),
                   "  guest-{0:05}:\n"
                   "    vmid: {1}\n"
                   "    role: {2}\n"
                   "    node: pve{3}\n"
                   "    cores: 4\n"
                   "    memory: 8GiB\n"
                   "    tags: [bench, {2}]\n"
                   "    disks:\n"
                   "      root: {{slot: scsi0, size: 32GiB}}\n"
                   "      data: {{slot: scsi1, size: 64GiB}}\n",
                   i, kFirstVmid + i, i % 5 == 0 ? "database" : "app", node_of(i, vms));
  }
  return text;
}

std::shared_ptr<const FleetDocument> document_of(const std::string& text) {
  SourceSet sources;
  sources.add("fleet.yaml", text);
  Checked<FleetDocument> loaded = load_fleet(std::move(sources));
  if (!loaded.ok()) {
    for (const Diagnostic& diagnostic : loaded.diagnostics) {
      std::fputs(render(diagnostic, *loaded.value->sources).c_str(), stderr);
    }
    std::exit(1);
  }
  return std::make_shared<const FleetDocument>(*std::move(loaded.value));
}

LiveState live_state(std::size_t vms) {
  LiveState live;
  live.cluster_name = "bench";
  LiveStorage tank{.id = "tank", .type = "zfspool"};
  tank.properties.set("pool", "tank");
  tank.properties.set("content", "images,rootdir");
  tank.properties.set("sparse", "1");
  for (std::size_t i = 0; i < node_count(vms); ++i) {
    const std::string name = fmt::format("pve{}", i);
    live.nodes.push_back({.name = name, .version = "9.2.4", .memory = 512_GiB});
    tank.on_node[name] = {.active = true, .enabled = true, .total = 100_TiB, .used = 10_TiB, .available = 90_TiB};
  }
  std::ranges::sort(live.nodes, {}, &LiveNode::name);
  live.storages.push_back(std::move(tank));
  for (std::size_t i = 0; i < vms; ++i) {
    const auto vmid = kFirstVmid + i;
    LiveVm vm;
    vm.vmid = {static_cast<std::uint32_t>(vmid)};
    vm.name = fmt::format("guest-{:05}", i);
    vm.node = fmt::format("pve{}", node_of(i, vms));
    vm.power = PowerState::kRunning;
    vm.digest = fmt::format("{:040x}", vmid);
    vm.uuid = fmt::format("00000000-0000-4000-8000-{:012x}", vmid);
    const std::pair<const char*, const char*> options[] = {
        {"agent", "1"},     {"balloon", "0"}, {"cores", "4"},    {"cpu", "host"},
        {"memory", "8192"}, {"numa", "1"},    {"ostype", "l26"}, {"scsihw", "virtio-scsi-single"},
    };
    for (const auto& [key, value] : options) vm.options.set(key, {.current = value});
    vm.options.set("name", {.current = vm.name});
    vm.options.set("tags", {.current = i % 5 == 0 ? "bench;database" : "app;bench"});
    vm.drives = {drive({Bus::kScsi, 0}, root_drive(vmid)), drive({Bus::kScsi, 1}, data_drive(i, vmid))};
    for (const LiveDrive& entry : vm.drives) {
      live.volumes.push_back({.id = *entry.current->volume,
                              .node = vm.node,
                              .format = "raw",
                              .content = "images",
                              .size = entry.current->size,
                              .owner = vm.vmid});
    }
    live.vms.push_back(std::move(vm));
  }
  std::ranges::sort(live.volumes, {}, &LiveVolume::id);
  return live;
}

std::string cluster_text(std::size_t vms) {
  std::string text = "cluster: {name: bench, seed: 1, clock_scale: 1000}\nnodes:\n";
  for (std::size_t i = 0; i < node_count(vms); ++i) {
    fmt::format_to(std::back_inserter(text),
                   "  pve{}: {{version: 9.2.4, memory: 512GiB, pools: {{tank: {{size: 100TiB, media: ssd}}}}}}\n", i);
  }
  text += "storages:\n  tank: {type: zfspool, pool: tank, content: \"images,rootdir\", sparse: 1}\nvms:\n";
  for (std::size_t i = 0; i < vms; ++i) {
    const auto vmid = kFirstVmid + i;
    fmt::format_to(std::back_inserter(text),
                   "  {0}:\n    node: pve{1}\n    status: running\n    config: {{name: guest-{2:05}, agent: 1, "
                   "balloon: 0, cores: 4, cpu: host, "
                   "memory: 8192, numa: 1, ostype: l26, scsihw: virtio-scsi-single, tags: \"{3}\", scsi0: \"{4}\", "
                   "scsi1: \"{5}\"}}\n",
                   vmid, node_of(i, vms), i, i % 5 == 0 ? "bench;database" : "app;bench", root_drive(vmid),
                   data_drive(i, vmid));
  }
  return text;
}

}  // namespace pvr::bench
