#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "reconciler/audit/auditor.h"
#include "reconciler/base/text.h"
#include "reconciler/model/boot_pool.h"
#include "reconciler/model/guest_options.h"
#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"

namespace pvr {
namespace {

bool share_a_node(const LiveStorage& a, const LiveStorage& b) {
  const std::string_view nodes_a = property_of(a, "nodes");
  const std::string_view nodes_b = property_of(b, "nodes");
  return nodes_a.empty() || nodes_b.empty() ||
         std::ranges::any_of(list_words(nodes_a), [&](std::string_view node) { return list_holds(nodes_b, node); });
}

std::string_view pool_of(const LiveStorage& storage) {
  const std::string_view dataset = property_of(storage, "pool");
  return dataset.substr(0, dataset.find('/'));
}

bool is_mirrored(const LiveVdev& vdev) { return vdev.kind == "mirror"; }

int percent(ByteSize part, ByteSize whole) {
  return whole.bytes == 0
             ? 0
             : static_cast<int>(static_cast<double>(part.bytes) * 100.0 / static_cast<double>(whole.bytes));
}

std::optional<int> days_since(std::optional<std::int64_t> then, std::chrono::system_clock::time_point now) {
  if (!then) return std::nullopt;
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count() - *then;
  return static_cast<int>(std::max<std::int64_t>(seconds, 0) / 86400);
}

/// What `zfs set KEY=VALUE NAME`, or the timer of a pool, is in a fleet.
void say_in_fleet(AuditFinding& finding, const std::string& node, const std::string& part) {
  if (finding.fix.commands.size() != 1) return;
  const std::string_view command = finding.fix.commands.front();
  constexpr std::string_view kSet = "zfs set ";
  FixValue value{.node = node, .part = part};
  if (command.starts_with(kSet)) {
    const std::string_view pair = command.substr(kSet.size(), command.find(' ', kSet.size()) - kSet.size());
    value.key = pair.substr(0, pair.find('='));
    value.value = pair.substr(pair.find('=') + 1);
  } else if (command.starts_with("systemctl enable --now zfs-trim-monthly@")) {
    value.key = "trim";
    value.value = "monthly";
  } else {
    return;
  }
  const char* list = part.find('/') == std::string::npos ? "pools" : "datasets";
  finding.fix.fleet = {"hosts:",
                       fmt::format("  {}: {{{}: {{{}: {{{}: {}}}}}}}", node, list, part, value.key, value.value)};
  finding.fix.effect = value.key == "atime" || value.key == "trim" ? FixEffect::kNow : FixEffect::kNewVolumes;
  finding.fix.value = std::move(value);
}

/// Whether one of the enabled units trims this pool: its own instance, or one for all pools.
bool trims(const std::vector<std::string>& timers, std::string_view pool) {
  return std::ranges::any_of(timers, [pool](const std::string& unit) {
    const std::size_t at = unit.find('@');
    if (at == std::string::npos) return unit.starts_with("zfs") || unit.starts_with("zpool");
    const std::string_view instance = std::string_view(unit).substr(at + 1);
    return instance.substr(0, instance.rfind('.')) == pool || instance == pool;
  });
}

}  // namespace

void Auditor::audit_storages() {
  for (const LiveStorage& storage : live_.storages) {
    ++report_.storages;
    const auto found = facts_.storages.find(storage.id);
    StorageRuleFacts facts{.id = storage.id, .type = storage.type};
    if (found != facts_.storages.end()) {
      facts.kind = found->second.kind;
      facts.backing_assumed = found->second.backing_assumed;
      facts.chain = facts.kind == StorageKind::kLvmThickChain;
    }
    facts.images = holds_images(storage);
    for (const std::string_view kind : list_words(property_of(storage, "content"))) facts.content.emplace_back(kind);
    if (storage.type == "zfspool") facts.sparse = property_of(storage, "sparse") == "1";
    facts.on_iscsi = storage.properties.contains("base");
    facts.shared = property_of(storage, "shared") == "1";
    for (const LiveStorage& other : live_.storages) {
      if (&other >= &storage) break;
      const std::string_view dataset = property_of(storage, "pool");
      if (storage.type == "zfspool" && other.type == "zfspool" && !dataset.empty() &&
          dataset == property_of(other, "pool") && share_a_node(storage, other))
        facts.shares_dataset_with = other.id;
    }
    if (in_.fleet != nullptr) {
      const auto declared = std::ranges::find(in_.fleet->storages, storage.id, &ResolvedStorage::id);
      const Resolved* sparse = declared != in_.fleet->storages.end() ? declared->properties.find("sparse") : nullptr;
      // Thick, because somebody says so.
      if (sparse != nullptr && std::holds_alternative<FromDocument>(sparse->origin) &&
          sparse->value == OptionValue(false))
        facts.sparse.reset();
    }
    for (AuditFinding& finding : judge(storage_checks(), facts, "storage/" + storage.id)) {
      if (finding.rule == "Z3") {
        finding.fix.effect = FixEffect::kNewVolumes;
        finding.fix.fleet = {"storages:", fmt::format("  {}: {{type: zfspool, pool: {}, sparse: true}}", storage.id,
                                                      property_of(storage, "pool"))};
        finding.fix.value = FixValue{.storage = storage.id, .key = "sparse", .value = "1"};
        finding.fix.advice = "disks that exist stay thick until their refreservation is cleared";
      }
      if (finding.rule == "T2") {
        finding.fix.effect = FixEffect::kNow;
        finding.fix.fleet = {"storages:", fmt::format("  {}: {{type: lvm, vgname: {}, shared: true}}", storage.id,
                                                      property_of(storage, "vgname"))};
        finding.fix.value = FixValue{.storage = storage.id, .key = "shared", .value = "1"};
      }
      if (finding.rule == "T1") {
        std::string fitting;
        for (const std::string& word : facts.content) {
          if (!list_holds(allowed_content(storage.type), word)) continue;
          fitting += fitting.empty() ? word : "," + word;
        }
        if (!fitting.empty()) {
          finding.fix.commands = {
              fmt::format("pvesm set {} --content {}", shell_word(storage.id), shell_word(fitting))};
          finding.fix.effect = FixEffect::kNow;
        }
      }
      if (finding.rule == "T3" && facts.backing_assumed) {
        finding.fix.fleet = {"storages:", fmt::format("  {}: {{type: dir, path: {}, manage: false, backing: ext4}}",
                                                      storage.id, property_of(storage, "path"))};
        finding.fix.advice = "state what is there (backing: zfs, ext4, xfs or btrfs), or give host access";
      }
      add(std::move(finding));
    }
  }
}

void Auditor::audit_nodes() {
  for (const LiveNode& node : live_.nodes) {
    if (!node.online || !node.readable) continue;
    ++report_.nodes;
    const LiveHost* seen = host(node.name);
    if (seen != nullptr) {
      for (const LiveZpool& zpool : seen->zpools) {
        const auto at = std::ranges::find(node.zpools, zpool.name, &LivePoolLayout::name);
        audit_pool(node, at != node.zpools.end() ? &*at : nullptr, &zpool);
      }
      audit_datasets(*seen);
    } else {
      for (const LivePoolLayout& pool : node.zpools) audit_pool(node, &pool, nullptr);
    }
    audit_host_memory(node);
  }
}

/// What the fleet says about the log devices of a pool, on any storage that lies on it.
std::optional<bool> Auditor::stated_plp(std::string_view pool) const {
  if (in_.fleet == nullptr || in_.fleet->document == nullptr) return std::nullopt;
  for (const WrittenStorage& written : in_.fleet->document->storages) {
    const LiveStorage* storage = live_.storage(written.id);
    if (written.plp && storage != nullptr && pool_of(*storage) == pool) return written.plp;
  }
  return std::nullopt;
}

void Auditor::audit_pool(const LiveNode& node, const LivePoolLayout* seen, const LiveZpool* zpool) {
  ++report_.pools;
  const std::string name = seen != nullptr ? seen->name : zpool->name;
  const std::string subject = fmt::format("node/{}/pool/{}", node.name, name);
  PoolFacts facts{.name = name, .holds_vm_disks = false};
  PoolStateFacts state{.name = name};
  std::optional<ByteSize> smallest_block;
  for (const LiveStorage& storage : live_.storages) {
    if (storage.type != "zfspool" || pool_of(storage) != name || !is_on(storage, node.name) || !holds_images(storage))
      continue;
    facts.holds_vm_disks = true;
    const auto at = facts_.storages.find(storage.id);
    if (at != facts_.storages.end() && (!smallest_block || at->second.blocksize < *smallest_block))
      smallest_block = at->second.blocksize;
    if (facts.media == Media::kUnknown && at != facts_.storages.end()) facts.media = at->second.media;
  }
  facts.blocksize = smallest_block.value_or(16_KiB);
  ByteSize allocated;
  if (seen != nullptr) {
    if (seen->media != Media::kUnknown) facts.media = seen->media;
    if (seen->layout.starts_with("raidz") && seen->data_width > seen->parity) {
      facts.layout = PoolLayout::kRaidz;
      facts.shape = {.width = seen->data_width, .parity = seen->parity, .ashift = 12};
    } else if (seen->layout == "single" || seen->layout == "stripe") {
      facts.layout = PoolLayout::kSingle;
    } else if (seen->layout == "mirror") {
      facts.layout = PoolLayout::kMirror;
    }
    if (seen->size.bytes != 0) facts.used_percent = percent(seen->allocated, seen->size);
    allocated = seen->allocated;
    state.health = seen->health;
  }
  if (zpool != nullptr) {
    if (zpool->capacity) facts.used_percent = static_cast<int>(*zpool->capacity);
    allocated = zpool->allocated;
    state.health = zpool->health;
    state.errors = zpool->errors;
    state.scrub_known = true;
    state.scrub_age_days = days_since(zpool->last_scrub, live_.observed_at);
    if (zpool->fragmentation) state.fragmentation = static_cast<int>(*zpool->fragmentation);
    facts.autotrim = zpool->autotrim;
    facts.trim_timer = trims(host(node.name)->trim_timers, name);
    bool single = false;
    for (const LiveVdev& vdev : zpool->vdevs) {
      if (vdev.role == VdevClass::kLog) {
        facts.has_slog = true;
        facts.slog_mirrored = facts.slog_mirrored.value_or(true) && is_mirrored(vdev);
      } else if (vdev.role == VdevClass::kSpecial || vdev.role == VdevClass::kDedup) {
        facts.has_special = true;
        facts.special_mirrored = facts.special_mirrored.value_or(true) && is_mirrored(vdev);
      } else if (vdev.role == VdevClass::kData) {
        if (vdev.ashift) facts.ashift = static_cast<int>(*vdev.ashift);
        if (vdev.smallest_device.bytes != 0) facts.drive_size = vdev.smallest_device;
        if (facts.media == Media::kUnknown) facts.media = vdev.media;
        single = single || vdev.kind == "disk";
        if (vdev.kind.starts_with("raidz") && vdev.kind.size() == 6) {
          facts.layout = PoolLayout::kRaidz;
          facts.shape = {
              .width = static_cast<int>(vdev.devices.size()), .parity = vdev.kind.back() - '0', .ashift = 12};
        } else if (vdev.kind == "mirror" && facts.layout == PoolLayout::kUnknown) {
          facts.layout = PoolLayout::kMirror;
        }
      }
    }
    if (facts.has_slog) facts.slog_plp = stated_plp(name);
    if (facts.has_slog && !facts.slog_plp) {
      report_.not_checked.push_back(
          {{"Z12"},
           fmt::format("node {}: whether the log devices of {} have power-loss protection", node.name, name),
           "nobody but their data sheet tells; state plp: on a storage of the pool"});
    }
    if (single) facts.layout = PoolLayout::kSingle;
    if (facts.ashift) facts.shape.ashift = *facts.ashift;
    if (const LiveDataset* root = host(node.name)->dataset(name)) {
      facts.atime = root->text("atime");
      facts.xattr = root->text("xattr");
      if (!starts_from(*host(node.name), name)) facts.dnodesize = root->text("dnodesize");
      facts.recordsize = root->bytes("recordsize");
    }
  }
  for (AuditFinding& finding : judge(pool_checks(), facts, subject)) {
    finding.node = node.name;
    finding.name = name;
    if (finding.rule == "Z9" && facts.layout == PoolLayout::kRaidz && finding.cost.lost_space == std::nullopt &&
        finding.id == finding_id("Z9", 1, subject)) {
      const double now = space_efficiency(facts.blocksize, facts.shape);
      const double large = space_efficiency(1_MiB, facts.shape);
      if (now > 0 && large > now)
        finding.cost.lost_space =
            ByteSize{static_cast<std::uint64_t>(static_cast<double>(allocated.bytes) * (1.0 - now / large))};
      const RaidzBlock block = raidz_block(facts.blocksize, facts.shape);
      if (block.data != 0)
        finding.cost.write_amplification = static_cast<double>(block.total()) / static_cast<double>(block.data);
    }
    say_in_fleet(finding, node.name, name);
    if (finding.rule == "Z11" && !finding.fix.commands.empty())
      finding.fix.advice = fmt::format("or zpool set autotrim=on {}", name);
    // Fact: Debian's monthly job (zfsutils-linux) trims pools of NVMe drives alone, unless their property asks for it.
    const LiveHost* seen_host = host(node.name);
    const bool has_job =
        seen_host != nullptr &&
        std::ranges::any_of(seen_host->trim_timers, [](const std::string& unit) { return unit.starts_with('/'); });
    if (finding.rule == "Z11" && has_job) {
      finding.severity = Severity::kNotice;
      finding.fix.advice += "; Debian's monthly job is there, but by itself it trims pools of NVMe drives only";
    }
    add(std::move(finding));
  }
  for (AuditFinding& finding : judge(pool_state_checks(), state, subject)) {
    finding.node = node.name;
    finding.name = name;
    add(std::move(finding));
  }
}

void Auditor::audit_host_memory(const LiveNode& node) {
  const LiveHost* seen = host(node.name);
  HostFacts facts{.name = node.name, .memory = node.memory};
  for (const LiveVm& vm : live_.vms) {
    if (vm.node != node.name || vm.is_container || !vm.readable || vm.power == PowerState::kStopped) continue;
    const std::string_view text = option_text(vm, "memory");
    const std::string_view digits = text.starts_with("current=") ? text.substr(8) : text;
    std::uint64_t mebibytes = 512;  // fact: PVE's default
    std::from_chars(digits.data(), digits.data() + digits.size(), mebibytes);
    facts.vm_memory = facts.vm_memory + ByteSize{mebibytes << 20U};
  }
  if (seen != nullptr) {
    if (seen->memory.bytes != 0) facts.memory = seen->memory;
    const bool has_zfs = !seen->zpools.empty();
    if (has_zfs) {
      facts.arc_max = seen->arc_max;
      facts.arc_min = seen->arc_min;
    }
    facts.swap_on_zfs = std::ranges::any_of(seen->swaps, &LiveSwap::on_zfs);
  }
  for (AuditFinding& finding : judge(host_checks(), facts, "node/" + node.name)) {
    finding.node = node.name;
    finding.name = node.name;
    const bool overcommit = finding.id == finding_id("Z13", 1, finding.subject);
    if (overcommit) {
      const ByteSize wanted = facts.vm_memory + facts.arc_max.value_or(ByteSize{}) + system_memory(facts.memory);
      finding.cost.memory_overcommit = ByteSize{wanted.bytes - facts.memory.bytes};
      const ByteSize low = recommended_arc(facts.memory).low;
      const bool arc_helps = facts.arc_max && facts.vm_memory + low + system_memory(facts.memory) <= facts.memory;
      if (!arc_helps) finding.fix.advice = "move guests to another node, or give them less memory";
    }
    if (finding.rule == "Z13" && facts.arc_max) {
      const bool is_minimum = finding.id == finding_id("Z13", 3, finding.subject);
      const ByteSize low = recommended_arc(facts.memory).low;
      const bool fits = facts.vm_memory + low + system_memory(facts.memory) <= facts.memory;
      if (is_minimum || !overcommit || fits) {
        const std::string_view key = is_minimum ? "zfs_arc_min" : "zfs_arc_max";
        const std::uint64_t bytes = is_minimum ? facts.arc_max->bytes / 4 : low.bytes;
        const auto set = [&finding](std::string_view parameter, std::uint64_t to) {
          finding.fix.commands.push_back(fmt::format("echo {} > /sys/module/zfs/parameters/{}", to, parameter));
          finding.fix.commands.push_back(
              fmt::format("echo 'options zfs {}={}' >> /etc/modprobe.d/zfs.conf", parameter, to));
        };
        finding.fix.commands.clear();
        // Fact: a maximum that is not above the minimum is ignored without a word.
        if (!is_minimum && facts.arc_min && facts.arc_min->bytes >= bytes) set("zfs_arc_min", bytes / 4);
        set(key, bytes);
        finding.fix.commands.emplace_back("update-initramfs -u -k all");
        finding.fix.effect = FixEffect::kNow;
        const std::string_view word = is_minimum ? "arc_min" : "arc_max";
        finding.fix.value = FixValue{.node = node.name, .key = std::string(word), .value = to_text(ByteSize{bytes})};
        finding.fix.fleet = {"hosts:", is_minimum
                                           ? fmt::format("  {}: {{arc_max: {}, arc_min: {}}}", node.name,
                                                         to_text(*facts.arc_max), to_text(ByteSize{bytes}))
                                           : fmt::format("  {}: {{arc_max: {}}}", node.name, to_text(ByteSize{bytes}))};
      }
    }
    add(std::move(finding));
  }
}

/// Datasets that hold containers or backups, by the storages that lie on them.
void Auditor::audit_datasets(const LiveHost& seen) {
  for (const LiveStorage& storage : live_.storages) {
    if (!is_on(storage, seen.node)) continue;
    DatasetFacts facts;
    if (storage.type == "dir" && list_holds(property_of(storage, "content"), "backup")) {
      const auto mount = std::ranges::find_if(seen.mounts, [&](const LiveMount& m) {
        return m.fstype == "zfs" && m.target == property_of(storage, "path");
      });
      // A directory for backups and nothing else; one for everything has no right record size.
      if (mount == seen.mounts.end() || property_of(storage, "content") != "backup") continue;
      facts.name = mount->source;
      facts.use = DatasetUse::kBackups;
    } else if (storage.type == "zfspool" && property_of(storage, "content") == "rootdir") {
      facts.name = property_of(storage, "pool");
      facts.use = DatasetUse::kContainers;
    } else {
      continue;
    }
    const LiveDataset* dataset = seen.dataset(facts.name);
    if (dataset == nullptr) continue;
    facts.recordsize = dataset->bytes("recordsize");
    facts.compression = dataset->text("compression");
    for (AuditFinding& finding :
         judge(dataset_checks(), facts, fmt::format("node/{}/dataset/{}", seen.node, facts.name))) {
      finding.node = seen.node;
      finding.name = std::string(facts.name);
      say_in_fleet(finding, seen.node, std::string(facts.name));
      add(std::move(finding));
    }
  }
}

}  // namespace pvr
