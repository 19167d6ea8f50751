#include "tests/fate/wishes.h"

#include <fmt/format.h>

#include <algorithm>

#include "schema/fleet_schema.h"
#include "tests/fate/history.h"

namespace pvr::fate {
namespace {

class Writer {
 public:
  Writer(pvesim::Simulator& sim, const Draft& draft, std::uint64_t seed, int boldness)
      : sim_(sim), draft_(draft), dice_(seed, fmt::format("fleet {}", boldness)), boldness_(boldness) {}

  Wishes write() {
    wishes_.allow = {.restart = dice_.percent(60), .offline_copy = dice_.percent(50), .destroy = dice_.percent(30)};
    wishes_.host_access = dice_.percent(60);
    std::string text = "version: 1\n";
    if (wishes_.host_access) text += "cluster: {ssh: {user: root}}\n";
    text += "storages:\n  local: {manage: false}\n";
    for (const DraftStorage& one : draft_.storages) storage(text, one);
    const bool nas = draft_.storage("nas") != nullptr && dice_.percent(40);
    text += fmt::format("lanes: {{shared: {}, pinned: {{", nas ? "nas" : "san");
    for (std::size_t i = 0; i < draft_.nodes.size(); ++i)
      text += fmt::format("{}{}: z16", i == 0 ? "" : ", ", draft_.nodes[i]);
    text += "}}\n";
    text +=
        "pools: {prod: {comment: production}}\nroles: {ai: {extends: specialty-linux, disks: {models: {purpose: "
        "models}}}}\nvms:\n";
    for (const int vmid : draft_.managed)
      if (sim_.vm_exists(vmid) && (dice_.percent(85) || vmid == draft_.managed.front())) existing(text, vmid);
    for (int i = 0; i < 2; ++i)
      if (bold(25)) fresh(text, 200 + i);
    wishes_.yaml = text;
    check();
    return std::move(wishes_);
  }

 private:
  /// Chance that grows with the boldness; nothing at boldness 0.
  bool bold(std::uint32_t chance) {
    const bool happens = dice_.percent(chance);
    return happens && dice_.percent(static_cast<std::uint32_t>(boldness_) * 25);
  }

  void storage(std::string& text, const DraftStorage& one) {
    if (one.type != "zfspool" || one.id == "zalias" || !dice_.percent(30)) {
      text += fmt::format("  {}: {{manage: false}}\n", one.id);
      return;
    }
    wishes_.storages.insert(one.id);
    const auto pool = one.properties.substr(6, one.properties.find(',') - 6);
    text += fmt::format("  {}: {{type: zfspool, pool: {}, blocksize: {}, content: [images, rootdir]{}{}}}\n", one.id,
                        pool, one.blocksize, dice_.percent(70) ? ", sparse: true" : "",
                        one.id == "z16" && bold(50) ? ", classes: {models: {blocksize: 128k}}" : "");
    if (text.find("classes:") != std::string::npos) wishes_.storages.insert("z16-models");
  }

  void existing(std::string& text, int vmid) {
    const auto config = sim_.vm_config(vmid);
    const std::string node = sim_.vm_node(vmid);
    wishes_.vmids.insert(vmid);
    const bool shared = std::ranges::any_of(drive_keys(config), [&](const std::string& key) {
      const std::string volume = volume_of(config.at(key));
      const DraftStorage* on = draft_.storage(volume.substr(0, volume.find(':')));
      return on != nullptr && on->shared;
    });
    text += fmt::format("  {}:\n    vmid: {}\n    node: {}\n    lane: {}\n",
                        bold(10) ? fmt::format("renamed{}", vmid) : fmt::format("vm{}", vmid), vmid, node,
                        shared ? "shared" : "pinned");
    machine(text, config.contains("ostype") && config.at("ostype") == "win11");
    if (bold(6) && wishes_.allow.destroy) {
      text += "    state: absent\n";
      wishes_.absent.insert(vmid);
      wishes_.may_stop.insert(vmid);
    } else if (bold(25)) {
      const bool run = dice_.percent(60);
      text += fmt::format("    state: {}\n", run ? "running" : "stopped");
      if (!run) wishes_.may_stop.insert(vmid);
    }
    if (bold(12) && draft_.nodes.size() > 1 && shared) text += "    ha: true\n";
    const auto keys = drive_keys(config);
    if (keys.empty() && !bold(50)) return;
    text += "    disks:\n";
    for (const std::string& key : keys) disk(text, vmid, key, config.at(key), shared);
    if (bold(35)) new_disk(text, "added", fmt::format("scsi{}", dice_.between(10, 13)), shared);
    if (keys.empty()) new_disk(text, "only", "scsi14", shared);
    if (bold(8)) text += "    efidisk: true\n    bios: ovmf\n";
    if (bold(8)) text += "    tpm: true\n";
  }

  void machine(std::string& text, bool windows) {
    if (bold(60)) {
      text += fmt::format("    role: {}\n", windows ? dice_.pick({"generalized-windows", "specialty-windows"})
                                                    : dice_.pick({"generalized-linux", "specialty-linux", "ai"}));
    }
    if (bold(50)) text += fmt::format("    cores: {}\n", dice_.between(1, 8));
    if (bold(50)) text += fmt::format("    memory: {}MiB\n", 256 * dice_.between(1, 12));
    if (bold(30)) text += fmt::format("    tags: [{}]\n", dice_.pick({"web", "web, prod", "db"}));
    if (bold(30)) text += fmt::format("    description: wish {}\n", dice_.below(100));
    if (bold(25)) text += "    pool: prod\n";
    if (bold(20)) text += "    onboot: true\n";
    if (bold(15)) text += "    scsihw: virtio-scsi-single\n";
    if (bold(10)) text += "    cpu: host\n";
    if (bold(10)) text += "    nets: {lan: {slot: net0, bridge: vmbr0, model: virtio}}\n";
    if (bold(8)) text += "    cloud_init: {user: admin}\n";
    if (bold(8)) text += "    startup: \"order=3,up=10\"\n";
    if (bold(8)) text += "    leave: [balloon, cpu]\n";
  }

  std::string other_storage(bool shared, std::string_view not_this) {
    std::vector<std::string> ids;
    for (const DraftStorage& one : draft_.storages)
      if (one.shared == shared && one.id != not_this && one.id != "zalias") ids.push_back(one.id);
    return ids.empty() ? std::string(not_this) : dice_.pick(ids);
  }

  void options(std::string& text) {
    if (bold(25)) text += fmt::format(", discard: {}", dice_.pick({"on", "ignore"}));
    if (bold(25)) text += fmt::format(", iothread: {}", dice_.pick({"true", "false"}));
    if (bold(15)) text += fmt::format(", cache: {}", dice_.pick({"none", "directsync", "writeback"}));
    if (bold(15)) text += fmt::format(", aio: {}", dice_.pick({"io_uring", "native"}));
    if (bold(15)) text += fmt::format(", backup: {}", dice_.pick({"true", "false"}));
    if (bold(10)) text += ", mbps_rd: 100";
    if (bold(20)) text += fmt::format(", purpose: {}", dice_.pick({"data", "database", "bulk", "models"}));
  }

  void disk(std::string& text, int vmid, const std::string& key, const std::string& drive, bool shared) {
    const std::string volume = volume_of(drive);
    std::string on = volume.substr(0, volume.find(':'));
    const auto info = sim_.volume(volume);
    std::int64_t size = info ? info->size : 1LL << 30;
    if (bold(25)) size += static_cast<std::int64_t>(dice_.between(1, 4)) << 30;
    const bool moves = bold(30);
    if (moves) on = other_storage(shared, on);
    text += fmt::format("      d-{}: {{slot: {}, size: {}B, storage: {}", key, key, size, on);
    const DraftStorage* storage = draft_.storage(on);
    if (storage != nullptr && storage->type == "zfspool" && bold(25))
      text += fmt::format(", volblocksize: {}{}", dice_.pick({"16k", "64k", "128k", "8k"}),
                          dice_.percent(40) ? ", snapshots: keep" : "");
    options(text);
    if (bold(5)) {
      text += ", state: detached";
      wishes_.may_go.insert(fmt::format("{}:{}", vmid, key));
    } else if (bold(4)) {
      text += ", state: absent";
      wishes_.may_go.insert(fmt::format("{}:{}", vmid, key));
      wishes_.doomed.insert(fmt::format("{}:{}", vmid, key));
    }
    text += "}\n";
  }

  void new_disk(std::string& text, const std::string& name, const std::string& slot, bool shared) {
    text += fmt::format("      {}: {{slot: {}, size: {}GiB, storage: {}", name, slot, dice_.between(1, 8),
                        other_storage(shared, ""));
    options(text);
    if (dice_.percent(15)) text += ", import: \"local:import/debian.qcow2\"";
    text += "}\n";
  }

  void fresh(std::string& text, int vmid) {
    wishes_.vmids.insert(vmid);
    const bool shared = dice_.percent(30);
    text += fmt::format("  new{}:\n    vmid: {}\n    node: {}\n    lane: {}\n    memory: 512MiB\n", vmid, vmid,
                        dice_.pick(draft_.nodes), shared ? "shared" : "pinned");
    machine(text, false);
    const bool clone = draft_.template_vmid != 0 && dice_.percent(50);
    if (clone) text += "    clone: debian\n";
    if (dice_.percent(50)) text += "    state: running\n";
    text += "    disks:\n";
    text += fmt::format("      root: {{slot: scsi0, size: {}GiB, storage: {}{}}}\n", dice_.between(3, 8),
                        other_storage(shared, ""),
                        !clone && dice_.percent(30) ? ", import: \"local:import/debian.qcow2\"" : "");
    if (bold(40)) new_disk(text, "second", "scsi1", shared);
  }

  void check() {
    SourceSet sources;
    sources.add("fleet.yaml", wishes_.yaml);
    auto checked = load_fleet(std::move(sources));
    for (const Diagnostic& diagnostic : checked.diagnostics) {
      if (diagnostic.severity != Severity::kError) continue;
      wishes_.problem = diagnostic.detail;
      return;
    }
    wishes_.document = std::make_shared<const FleetDocument>(std::move(*checked.value));
  }

  pvesim::Simulator& sim_;
  const Draft& draft_;
  Dice dice_;
  int boldness_;
  Wishes wishes_;
};

}  // namespace

Wishes wish(pvesim::Simulator& sim, const Draft& draft, std::uint64_t seed, int boldness) {
  return Writer(sim, draft, seed, boldness).write();
}

}  // namespace pvr::fate
