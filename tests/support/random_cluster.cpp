#include "tests/support/random_cluster.h"

#include <fmt/format.h>

#include <random>
#include <vector>

namespace pvr::testing {

std::string random_cluster(std::uint32_t seed) {
  std::mt19937 dice(seed);
  const auto below = [&dice](std::uint32_t n) { return static_cast<std::uint32_t>(dice() % n); };
  const auto chance = [&](std::uint32_t percent) { return below(100) < percent; };
  const auto pick = [&](const std::vector<std::string>& list) {
    return list[below(static_cast<std::uint32_t>(list.size()))];
  };
  const std::uint32_t nodes = 1 + below(3);
  std::string text = nodes > 1 ? fmt::format("cluster: {{name: random, seed: {}}}\nnodes:\n", seed + 1)
                               : fmt::format("cluster: {{seed: {}}}\nnodes:\n", seed + 1);
  for (std::uint32_t n = 1; n <= nodes; ++n) {
    text += fmt::format(
        "  n{}: {{memory: 64GiB, pools: {{tank: {{size: 1TiB, media: {}}}}}, vgs: {{vg: {{size: 1TiB, thin: "
        "{{data: {{size: 900GiB}}}}}}}}}}\n",
        n, chance(50) ? "ssd" : "hdd");
  }
  text += "backends: {san: {kind: lvm-vg, size: 4TiB}, nas: {kind: nfs, size: 4TiB}}\nstorages:\n";
  text += fmt::format("  tank: {{type: zfspool, pool: tank, content: \"images,rootdir\"{}{}}}\n",
                      chance(50) ? ", sparse: 1" : "",
                      chance(30)   ? ", blocksize: 8k"
                      : chance(30) ? ", blocksize: 16k"
                                   : "");
  text += "  thin: {type: lvmthin, vgname: vg, thinpool: data, content: images}\n";
  text += fmt::format("  san: {{type: lvm, vgname: san, shared: 1, content: images{}}}\n",
                      chance(50) ? ", snapshot-as-volume-chain: 1" : "");
  text += "  nas: {type: nfs, server: nas, export: /x, content: images}\n";
  text += "  files: {type: dir, path: /srv/files, content: images}\nvms:\n";
  const std::uint32_t guests = 1 + below(5);
  std::string ha;
  const auto place = [&](std::uint32_t vmid, const std::string& config, bool running) {
    text += fmt::format("  {}:\n    node: n{}\n    status: {}\n    config: {{{}}}\n", vmid, 1 + below(nodes),
                        running ? "running" : "stopped", config);
    if (nodes > 1 && chance(30)) ha += fmt::format("\"vm:{}\": {{state: {}}}, ", vmid, running ? "started" : "stopped");
  };
  for (std::uint32_t i = 0; i < guests; ++i) {
    const std::uint32_t vmid = 100 + 10 * i;
    const bool windows = chance(40);
    const bool shared = chance(50);
    const bool running = chance(60);
    std::string config = fmt::format("name: {}, memory: {}, cores: {}", chance(20) ? "twin" : fmt::format("vm{}", vmid),
                                     256 * (1 + below(8)), 1 + below(4));
    const auto maybe = [&](std::uint32_t percent, const std::string& part) {
      if (chance(percent)) config += ", " + part;
    };
    config += ", ostype: " + (windows ? pick({"win11", "win10", "w2k8"}) : pick({"l26", "other"}));
    maybe(80, "scsihw: " + pick({"virtio-scsi-single", "virtio-scsi-single", "virtio-scsi-pci", "lsi", "pvscsi"}));
    maybe(70, "cpu: " + pick({"host", "x86-64-v2-AES", "kvm64", "\"x86-64-v3,flags=+aes\""}));
    maybe(50, fmt::format("balloon: {}", chance(50) ? 0 : 256));
    maybe(30, "numa: 1");
    maybe(50, "agent: " + pick({"\"1\"", "\"0\"", "\"enabled=1,fstrim_cloned_disks=1\""}));
    const bool ovmf = chance(40);
    if (ovmf) config += ", bios: ovmf";
    maybe(40, "machine: " + pick({"q35", "pc-q35-9.0", "pc"}));
    maybe(30, "onboot: 1");
    maybe(30, "description: \"by hand\"");
    const std::uint32_t disks = 1 + below(3);
    int number = 0;
    const auto volume = [&](std::string& storage) {
      storage = shared ? pick({"san", "nas"}) : pick({"tank", "thin", "files"});
      const int n = number++;
      if (storage == "nas" || storage == "files") {
        return fmt::format("{0}:{1}/vm-{1}-disk-{2}.{3}", storage, vmid, n, pick({"raw", "qcow2"}));
      }
      return fmt::format("{}:vm-{}-disk-{}", storage, vmid, n);
    };
    std::string storage;
    for (std::uint32_t d = 0; d < disks; ++d) {
      const std::string bus = pick({"scsi", "scsi", "scsi", "virtio", "sata"});
      std::string drive = volume(storage);
      const auto also = [&](std::uint32_t percent, const std::string& part) {
        if (chance(percent)) drive += "," + part;
      };
      also(50, "discard=on");
      if (bus != "sata") also(40, "iothread=1");
      if (bus != "virtio") also(40, "ssd=1");
      const bool cached = chance(35);
      if (cached) drive += ",cache=" + pick({"none", "writeback", "writethrough", "directsync", "unsafe"});
      also(cached ? 0 : 30, "aio=" + pick({"io_uring", "native", "threads"}));
      also(20, "backup=0");
      drive += fmt::format(",size={}G", 1 + below(32));
      config += fmt::format(", {}{}: \"{}\"", bus, d, drive);
    }
    if (ovmf && chance(70))
      config += fmt::format(", efidisk0: \"{},efitype=4m,pre-enrolled-keys=1,size=4M\"", volume(storage));
    if (chance(20))
      config += fmt::format(", tpmstate0: \"{},size=4M,version={}\"", volume(storage), pick({"v2.0", "v1.2"}));
    maybe(20, "ide2: \"none,media=cdrom\"");
    place(vmid, config, running);
    // People make several of a kind.
    for (std::uint32_t twin = 1; twin < (chance(30) ? 5U : 1U); ++twin) {
      std::string same = config;
      for (const char* mark : {"vm-{}-", ":{}/", "name: vm{}"}) {
        const std::string from = fmt::format(fmt::runtime(mark), vmid);
        const std::string to = fmt::format(fmt::runtime(mark), vmid + twin);
        for (auto at = same.find(from); at != std::string::npos; at = same.find(from, at + to.size()))
          same.replace(at, from.size(), to);
      }
      place(vmid + twin, same, running);
    }
  }
  if (!ha.empty()) text += "ha: {resources: {" + ha.substr(0, ha.size() - 2) + "}}\n";
  return text;
}

}  // namespace pvr::testing
