#include "tests/fate/draft.h"

#include <fmt/format.h>

#include <algorithm>

namespace pvr::fate {
namespace {

/// A drive string of the cluster file, and the volume's name in it.
std::string volume_name(const DraftStorage& storage, int vmid, int number, Dice& dice) {
  if (storage.file_based)
    return fmt::format("{0}:{1}/vm-{1}-disk-{2}.{3}", storage.id, vmid, number,
                       storage.on_zfs || storage.type == "btrfs" ? "raw" : dice.pick({"raw", "qcow2"}));
  if (storage.type == "iscsi") return fmt::format("{}:0.0.{}.scsi-36000{:04}{:02}", storage.id, number, vmid, number);
  if (storage.chain && dice.percent(50)) return fmt::format("{}:vm-{}-disk-{}.qcow2", storage.id, vmid, number);
  return fmt::format("{}:vm-{}-disk-{}", storage.id, vmid, number);
}

std::string guest(const Draft& draft, int vmid, const std::string& node, Dice& dice, bool& shared) {
  std::string config =
      fmt::format("name: vm{}, memory: {}, cores: {}", vmid, 256 * dice.between(1, 8), dice.between(1, 4));
  const auto maybe = [&](std::uint32_t chance, const std::string& part) {
    if (dice.percent(chance)) config += ", " + part;
  };
  config += fmt::format(", ostype: {}", dice.pick({"l26", "l26", "win11"}));
  maybe(85, fmt::format("scsihw: {}", dice.pick({"virtio-scsi-single", "virtio-scsi-single", "virtio-scsi-pci"})));
  maybe(50, fmt::format("cpu: {}", dice.pick({"host", "x86-64-v2-AES"})));
  maybe(40, fmt::format("balloon: {}", dice.percent(50) ? 0 : 256));
  maybe(30, "agent: \"1\"");
  maybe(20, "onboot: 1");
  maybe(30, "description: \"by hand\"");
  maybe(30, "net0: \"virtio,bridge=vmbr0\"");
  maybe(15, "ide2: \"none,media=cdrom\"");
  maybe(15, fmt::format("cipassword: \"{}\", ide0: \"{}\"", kPassword, "none,media=cdrom"));
  shared = dice.percent(35);
  std::vector<const DraftStorage*> usable;
  for (const DraftStorage& one : draft.storages)
    if (one.shared == shared) usable.push_back(&one);
  const int disks = dice.between(1, 3);
  for (int d = 0; d < disks; ++d) {
    const DraftStorage& storage = *dice.pick(usable);
    const std::string bus = d == 0 ? "scsi" : dice.pick({"scsi", "scsi", "scsi", "virtio", "sata"});
    std::string drive = volume_name(storage, vmid, d, dice);
    if (dice.percent(50)) drive += ",discard=on";
    if (bus != "sata" && dice.percent(40)) drive += ",iothread=1";
    if (bus != "virtio" && dice.percent(30)) drive += ",ssd=1";
    const bool cached = dice.percent(25);
    if (cached) drive += fmt::format(",cache={}", dice.pick({"none", "writeback", "writethrough", "directsync"}));
    if (!cached && dice.percent(20)) drive += fmt::format(",aio={}", dice.pick({"io_uring", "native", "threads"}));
    if (dice.percent(15)) drive += ",backup=0";
    config += fmt::format(", {}{}: \"{},size={}G\"", bus, d, drive, dice.between(1, 16));
  }
  if (dice.percent(10)) {
    const DraftStorage& storage = *dice.pick(usable);
    config += fmt::format(", unused0: \"{}\"", volume_name(storage, vmid, disks, dice));
  }
  return fmt::format("  {}:\n    node: {}\n    status: {}\n    config: {{{}}}\n{}{}", vmid, node,
                     dice.percent(60) ? "running" : "stopped", config,
                     dice.percent(10) ? "    ignores_shutdown: true\n" : "",
                     dice.percent(15) ? "    write_rate: 30000000\n" : "");
}

void add_storages(Draft& draft, Dice& dice) {
  const auto sparse = [&] { return dice.percent(60) ? ", sparse: 1" : ""; };
  auto& all = draft.storages;
  all.push_back({.id = "z16",
                 .type = "zfspool",
                 .properties = fmt::format("pool: tank/z16, blocksize: 16k, content: \"images,rootdir\"{}", sparse()),
                 .on_zfs = true,
                 .blocksize = "16k"});
  all.push_back({.id = "z64",
                 .type = "zfspool",
                 .properties = fmt::format("pool: tank/z64, blocksize: 64k, content: \"images,rootdir\"{}", sparse()),
                 .on_zfs = true,
                 .blocksize = "64k"});
  if (dice.percent(30))
    all.push_back({.id = "fast",
                   .type = "zfspool",
                   .properties = fmt::format("pool: nvme/vm, content: images{}", sparse()),
                   .on_zfs = true,
                   .blocksize = "16k"});
  if (dice.percent(12))  // two entries on one dataset: what people do, and what makes names ambiguous
    all.push_back({.id = "zalias",
                   .type = "zfspool",
                   .properties = "pool: tank/z16, blocksize: 16k, content: images, sparse: 1",
                   .on_zfs = true,
                   .blocksize = "16k"});
  if (dice.percent(60))
    all.push_back({.id = "thin", .type = "lvmthin", .properties = "vgname: vg, thinpool: data, content: images"});
  if (dice.percent(25)) all.push_back({.id = "thick", .type = "lvm", .properties = "vgname: vg2, content: images"});
  if (dice.percent(60))
    all.push_back(
        {.id = "files", .type = "dir", .properties = "path: /srv/files, content: images", .file_based = true});
  if (dice.percent(15))
    all.push_back({.id = "zdir",
                   .type = "dir",
                   .properties = "path: /srv/zdir, content: images",
                   .on_zfs = true,
                   .file_based = true});
  if (dice.percent(10))
    all.push_back({.id = "btr", .type = "btrfs", .properties = "path: /srv/btr, content: images", .file_based = true});
  const bool chain = dice.percent(50);
  all.push_back({.id = "san",
                 .type = "lvm",
                 .properties = fmt::format("vgname: san, shared: 1, content: images{}",
                                           chain ? ", snapshot-as-volume-chain: 1" : ""),
                 .shared = true,
                 .chain = chain});
  if (dice.percent(60))
    all.push_back({.id = "nas",
                   .type = "nfs",
                   .properties = "server: nas, export: /x, content: images",
                   .shared = true,
                   .file_based = true});
  if (dice.percent(20))
    all.push_back({.id = "smb",
                   .type = "cifs",
                   .properties = "server: smb, share: x, content: images",
                   .shared = true,
                   .file_based = true});
  if (Dice more(draft.seed, "more storages"); more.percent(15))
    all.push_back({.id = "luns",
                   .type = "iscsi",
                   .properties = "portal: 192.0.2.20, target: \"iqn.2005-10.org.example:pve\", content: images",
                   .shared = true});
  if (dice.percent(20))
    all.push_back({.id = "ceph", .type = "rbd", .properties = "pool: vms, content: images", .shared = true});
}

/// Jobs of guests whose disks all are zvols: PVE replicates nothing else.
void add_replication(Draft& draft, Dice dice) {
  if (draft.nodes.size() < 2 || !dice.percent(20)) return;
  std::string jobs;
  for (const int vmid : draft.managed) {
    const auto begin = draft.yaml.find(fmt::format("\n  {}:\n    node: ", vmid));
    const auto end = draft.yaml.find("\n  ", draft.yaml.find("config: {", begin));
    const std::string text = draft.yaml.substr(begin, end - begin);
    const std::string own = text.substr(text.find("node: ") + 6, 2);
    const bool zvols = std::ranges::none_of(draft.storages, [&](const DraftStorage& one) {
      return one.type != "zfspool" && text.find(one.id + ":") != std::string::npos;
    });
    const std::string& target = dice.pick(draft.nodes);
    if (!zvols || target == own || text.find("zalias:") != std::string::npos) continue;
    jobs += fmt::format("{}{}-0: {{target: {}, schedule: \"*/15\"}}", jobs.empty() ? "" : ", ", vmid, target);
  }
  if (!jobs.empty()) draft.yaml += fmt::format("replication: {{{}}}\n", jobs);
}

}  // namespace

const DraftStorage* Draft::storage(std::string_view id) const {
  const auto found = std::ranges::find(storages, id, &DraftStorage::id);
  return found == storages.end() ? nullptr : &*found;
}

Draft draft_cluster(std::uint64_t seed) {
  Dice dice(seed, "cluster");
  Draft draft;
  draft.seed = seed;
  const int nodes = dice.percent(20) ? 1 : dice.between(2, 3);
  draft.yaml = nodes == 1 ? fmt::format("cluster: {{seed: {}}}\n", seed % 1000000 + 1)
                          : fmt::format("cluster: {{name: fate, seed: {}}}\n", seed % 1000000 + 1);
  draft.yaml += fmt::format(
      "users:\n  - {{name: root@pam, password: {}, tokens: [{{id: ci, secret: {}, privsep: false}}]}}\nnodes:\n",
      kPassword, kToken);
  const bool tight = dice.percent(10);
  for (int n = 1; n <= nodes; ++n) {
    draft.nodes.push_back(fmt::format("n{}", n));
    draft.yaml += fmt::format(
        "  n{}: {{memory: 64GiB, pools: {{tank: {{size: {}, media: {}, layout: {}}}, nvme: {{size: 500GiB, media: "
        "nvme}}}}, vgs: {{vg: {{size: 1TiB, thin: {{data: {{size: 900GiB}}}}}}, vg2: {{size: 500GiB}}}}, filesystems: "
        "{{/srv/zdir: {{type: zfs, dataset: tank/files}}, /srv/btr: {{type: btrfs, size: 400GiB}}}}}}\n",
        n, tight ? "60GiB" : "1TiB", dice.pick({"ssd", "hdd"}), dice.pick({"mirror", "mirror", "raidz"}));
  }
  add_storages(draft, dice);
  draft.yaml +=
      "backends: {san: {kind: lvm-vg, size: 4TiB}, nas: {kind: nfs, size: 4TiB}, smb: {kind: cifs, size: 1TiB}, vms: "
      "{kind: rbd, size: 2TiB}, luns: {kind: iscsi, size: 2TiB}}\nstorages:\n"
      "  local: {type: dir, path: /var/lib/vz, content: \"backup,images,import,iso,snippets\"}\n";
  for (const DraftStorage& one : draft.storages)
    draft.yaml += fmt::format("  {}: {{type: {}, {}}}\n", one.id, one.type, one.properties);
  draft.yaml += "volumes:\n";
  for (const std::string& node : draft.nodes)
    draft.yaml += fmt::format("  - {{storage: local, node: {}, volume: import/debian.qcow2, size: 2GiB}}\n", node);
  if (dice.percent(15))
    draft.yaml +=
        fmt::format("  - {{storage: z16, node: n1, volume: vm-{}-disk-7, size: 1GiB}}\n", dice.percent(50) ? 100 : 500);
  draft.yaml += "vms:\n";
  const int managed = dice.between(1, 4);
  for (int i = 0; i < managed; ++i) draft.managed.push_back(100 + i);
  for (int i = dice.between(0, 2); i > 0; --i) draft.foreign.push_back(499 + i);
  std::string ha;
  for (const auto* group : {&draft.managed, &draft.foreign})
    for (const int vmid : *group) {
      bool shared = false;
      const std::string text = guest(draft, vmid, dice.pick(draft.nodes), dice, shared);
      draft.yaml += text;
      if (nodes > 1 && shared && dice.percent(40))  // HA would take a local disk's guest away from its disk
        ha += fmt::format("{}\"vm:{}\": {{state: {}}}", ha.empty() ? "" : ", ", vmid,
                          text.find("status: running") != std::string::npos ? "started" : "stopped");
    }
  if (dice.percent(40)) {
    draft.template_vmid = 900;
    draft.yaml += fmt::format(
        "  900:\n    node: n1\n    template: true\n    config: {{name: debian, memory: 512, scsihw: "
        "virtio-scsi-single, boot: \"order=scsi0\", scsi0: \"z16:base-900-disk-0,size=2G\"}}\n");
  }
  add_replication(draft, Dice(seed, "replication"));
  if (!ha.empty()) draft.yaml += fmt::format("ha: {{resources: {{{}}}}}\n", ha);
  if (dice.percent(30)) draft.yaml += "pools: {old: {comment: by hand, vms: [100]}}\n";
  return draft;
}

}  // namespace pvr::fate
