#include "reconciler/model/facts.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "reconciler/base/text.h"
#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"

namespace pvr {
namespace {

/// storage.cfg keys of one storage in PVE's text form.
using Texts = FlatMap<std::string>;

Texts written_texts(const WrittenSettings& properties) {
  Texts out;
  for (const auto& [key, value] : properties) {
    const Setting* setting = find_setting(Home::kStorageOption, key);
    if (setting != nullptr) out.set(key, print_option(*setting, value.value));
  }
  return out;
}

std::string text_of(const Texts& texts, std::string_view key) {
  const std::string* found = texts.find(key);
  return found != nullptr ? *found : std::string();
}

bool flag_of(const Texts& texts, std::string_view key) {
  const std::string text = text_of(texts, key);
  return text == "1" || text == "yes" || text == "on" || text == "true";
}

// Fact: PVE forces `shared` for these types.
bool is_network_type(std::string_view type) {
  constexpr std::string_view kTypes[] = {"nfs",         "cifs", "rbd", "cephfs",    "iscsi",
                                         "iscsidirect", "zfs",  "pbs", "glusterfs", "esxi"};
  return std::ranges::find(kTypes, type) != std::end(kTypes);
}

StorageKind kind_of(std::string_view type, const Texts& texts, std::optional<StorageKind> backing) {
  if (type == "zfspool") return StorageKind::kZfsZvol;
  if (type == "lvm")
    return flag_of(texts, "snapshot-as-volume-chain") ? StorageKind::kLvmThickChain : StorageKind::kLvmThick;
  if (type == "lvmthin") return StorageKind::kLvmThin;
  if (type == "btrfs") return StorageKind::kBtrfs;
  if (type == "nfs") return StorageKind::kNfs;
  if (type == "cifs") return StorageKind::kCifs;
  if (type == "iscsi" || type == "iscsidirect") return StorageKind::kIscsiLun;
  if (type == "rbd") return flag_of(texts, "krbd") ? StorageKind::kRbdKernel : StorageKind::kRbd;
  if (type == "zfs") return StorageKind::kZfsOverIscsi;
  if (type == "dir") return backing.value_or(StorageKind::kUnknown);
  return StorageKind::kFile;  // cephfs, pbs, esxi: no VM disks
}

struct Layout {
  std::string name = {};
  int width = 0;
  int parity = 0;
};

/// "mirror", "raidz1", "raidz2-6", "raidz2 of 6": name, disks per vdev where told, parity.
Layout parse_layout(std::string_view text) {
  Layout out;
  const std::size_t end = text.find_first_of("- ");
  out.name = std::string(text.substr(0, end));
  if (out.name == "raidz") out.name = "raidz1";
  if (out.name.starts_with("raidz") && out.name.size() == 6) out.parity = out.name.back() - '0';
  const std::size_t digits = end == std::string_view::npos ? end : text.find_first_of("0123456789", end);
  if (digits != std::string_view::npos) std::from_chars(text.data() + digits, text.data() + text.size(), out.width);
  return out;
}

bool on_node(const StorageFacts& storage, std::string_view node) {
  return storage.nodes.empty() || std::ranges::find(storage.nodes, node) != storage.nodes.end();
}

void add_layout(StorageFacts& facts, std::string_view pool, const LiveState* live) {
  if (live == nullptr || facts.type != "zfspool") return;
  const std::string_view name = pool.substr(0, pool.find('/'));
  for (const LiveNode& node : live->nodes) {
    if (!on_node(facts, node.name)) continue;
    for (const LivePoolLayout& zpool : node.zpools) {
      if (zpool.name != name) continue;
      const Layout layout = parse_layout(zpool.layout);
      facts.pool_layout = layout.name;
      facts.raidz_width = zpool.data_width != 0 ? zpool.data_width : layout.width;
      facts.parity = zpool.parity != 0 ? zpool.parity : layout.parity;
      if (facts.media == Media::kUnknown) facts.media = zpool.media;
      if (zpool.size.bytes != 0) {
        const auto percent = static_cast<int>(static_cast<double>(zpool.allocated.bytes) * 100.0 /
                                              static_cast<double>(zpool.size.bytes));
        facts.used_percent = std::max(facts.used_percent.value_or(0), percent);
      }
    }
  }
  for (const LiveHost& host : live->hosts) {
    const LiveZpool* zpool = on_node(facts, host.node) ? host.zpool(name) : nullptr;
    if (zpool == nullptr) continue;
    const LiveVdev* first = nullptr;
    for (const LiveVdev& vdev : zpool->vdevs)
      if (vdev.role == VdevClass::kData && first == nullptr) first = &vdev;
    if (first == nullptr) continue;
    facts.pool_layout = first->kind == "disk" ? "single" : first->kind;
    if (!first->kind.starts_with("raidz")) return;
    facts.raidz_width = static_cast<int>(first->devices.size());
    facts.parity = first->kind.back() - '0';
    return;
  }
}

std::string_view backing_word(StorageKind kind) {
  return kind == StorageKind::kZfsFile ? "zfs" : kind == StorageKind::kBtrfs ? "btrfs" : "other";
}

/// What the document states of a storage and the cluster knows better.
void add_contradictions(Facts& facts, const WrittenStorage& written, const LiveStorage* found) {
  if (found == nullptr) return;
  const auto say = [&](std::string_view key, std::string_view stated, std::string_view real, SourceSpan span) {
    std::string detail = "Storage \"" + written.id + "\" is stated to have " + std::string(key) + " \"" +
                         std::string(stated) + "\", but its nodes say \"" + std::string(real) +
                         "\". What is stated is used. Correct it or leave it away.";
    facts.contradictions.push_back({.severity = Severity::kWarning,
                                    .code = "facts.contradiction",
                                    .summary = "A stated fact is not so",
                                    .detail = std::move(detail),
                                    .span = span});
  };
  if (written.backing && found->backing && backing_word(written.backing->value) != backing_word(*found->backing))
    say("backing", backing_word(written.backing->value), backing_word(*found->backing), written.backing->span);
  if (written.media && found->media != Media::kUnknown && written.media->value != found->media)
    say("media", to_text(written.media->value), to_text(found->media), written.media->span);
}

StorageFacts storage_facts(const WrittenStorage* written, const LiveStorage* found, const LiveState* live) {
  StorageFacts facts;
  facts.exists = found != nullptr;
  // A managed storage becomes what the document says, so the document is the truth for what it states; a storage that
  // is only referred to is what it is.
  Texts texts = found != nullptr ? found->properties : Texts{};
  if (written != nullptr) {
    for (auto& [key, value] : written_texts(written->properties)) {
      if (!written->reference_only || !texts.contains(key)) texts.set(key, std::move(value));
    }
  }
  facts.type = found != nullptr ? found->type : written->type.value;
  std::optional<StorageKind> backing;
  if (found != nullptr) backing = found->backing;
  if (written != nullptr && written->backing) backing = written->backing->value;
  facts.kind = kind_of(facts.type, texts, backing);
  facts.backing_assumed = facts.kind == StorageKind::kUnknown;
  facts.shared = is_network_type(facts.type) || flag_of(texts, "shared");
  const std::string nodes = text_of(texts, "nodes");
  for (const std::string_view node : list_words(nodes)) facts.nodes.emplace_back(node);
  std::ranges::sort(facts.nodes);
  facts.sparse = flag_of(texts, "sparse");
  if (facts.type == "zfspool" || facts.type == "zfs") {
    facts.blocksize = 16_KiB;  // fact: the default of OpenZFS since 2.2
    if (const Setting* setting = find_setting(Home::kStorageOption, "blocksize");
        setting != nullptr && texts.contains("blocksize")) {
      const Result<OptionValue> size = parse_option(*setting, text_of(texts, "blocksize"));
      if (size.ok() && std::holds_alternative<ByteSize>(*size)) facts.blocksize = std::get<ByteSize>(*size);
    }
  }
  if (written != nullptr && written->media) {
    facts.media = written->media->value;
  } else if (found != nullptr) {
    facts.media = found->media;
  }
  add_layout(facts, text_of(texts, "pool"), live);
  if (facts.pool_layout.empty() && written != nullptr && written->layout) {
    const Layout layout = parse_layout(written->layout->value);
    facts.pool_layout = layout.name;
    facts.raidz_width = layout.width;
    facts.parity = layout.parity;
  }
  return facts;
}

/// What a class of a storage will be: the same pool, another block size.
StorageFacts class_facts(const StorageFacts& parent, const WrittenClass& written, const LiveStorage* found) {
  StorageFacts facts = parent;
  facts.exists = found != nullptr;
  if (const auto* size = written.settings.find("blocksize");
      size != nullptr && std::holds_alternative<ByteSize>(size->value)) {
    facts.blocksize = std::get<ByteSize>(size->value);
  }
  if (const auto* sparse = written.settings.find("sparse");
      sparse != nullptr && std::holds_alternative<bool>(sparse->value)) {
    facts.sparse = std::get<bool>(sparse->value);
  }
  return facts;
}

void read_version(std::string_view text, int& major, int& minor) {
  const char* end = text.data() + text.size();
  int first = 0;
  int second = 0;
  const auto dot = std::from_chars(text.data(), end, first).ptr;
  if (dot != end && *dot == '.') std::from_chars(dot + 1, end, second);
  if (first == 0) return;
  if (major == 0 || std::pair(first, second) < std::pair(major, minor)) {
    major = first;
    minor = second;
  }
}

bool has_word(std::string_view words, std::string_view word) {
  for (std::size_t at = words.find(word); at != std::string_view::npos; at = words.find(word, at + 1)) {
    const std::size_t end = at + word.size();
    if ((at == 0 || words[at - 1] == ' ') && (end == words.size() || words[end] == ' ')) return true;
  }
  return false;
}

bool has_words(std::string_view flags, std::initializer_list<std::string_view> needs) {
  return std::ranges::all_of(needs, [flags](std::string_view word) { return has_word(flags, word); });
}

// Fact: the feature lists of the x86-64 psABI levels, as the models x86-64-v2 … v4 of qemu-server have them.
std::string cpu_baseline(std::string_view flags) {
  if (!has_words(flags, {"cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"})) return {};
  if (!has_words(flags, {"aes"})) return "x86-64-v2";
  if (!has_words(flags, {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"})) return "x86-64-v2-AES";
  if (!has_words(flags, {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"})) return "x86-64-v3";
  return "x86-64-v4";
}

void add_nodes(Facts& facts, const LiveState& live) {
  for (const LiveNode& node : live.nodes) {
    facts.nodes.push_back(node.name);
    read_version(node.version, facts.pve_major, facts.pve_minor);
    if (std::string model = cpu_baseline(node.cpu_flags); !model.empty())
      facts.node_cpu.emplace(node.name, std::move(model));
  }
  for (const LiveNode& node : live.nodes) {
    const LiveHost* host = live.host(node.name);
    const ByteSize memory = host != nullptr && host->memory.bytes != 0 ? host->memory : node.memory;
    if (memory.bytes != 0) facts.node_memory.emplace(node.name, memory);
  }
  for (const LiveHost& host : live.hosts) read_version(host.zfs_version, facts.zfs_major, facts.zfs_minor);
}

void add_guests(Facts& facts, const LiveState& live) {
  for (const LiveVm& vm : live.vms) {
    if (vm.is_container) continue;
    const std::uint32_t id = vm.vmid.number;
    facts.vm_node.emplace_hint(facts.vm_node.end(), id, vm.node);
    if (const LiveOption* cpu = vm.options.find("cpu"); cpu != nullptr && cpu->configured() != nullptr) {
      const Result<OptionValue> value = parse_option(*find_setting(Home::kVmOption, "cpu"), *cpu->configured());
      if (value.ok() && std::holds_alternative<PropertyString>(*value)) {
        if (const std::string* type = std::get<PropertyString>(*value).find("cputype")) facts.vm_cpu.emplace(id, *type);
      }
    }
    for (const LiveDrive& drive : vm.drives) {
      const Drive* held = drive.configured();
      if (held == nullptr || !held->volume || held->medium != Drive::Medium::kDisk || drive.slot.bus == Bus::kUnused)
        continue;
      const std::string slot = to_text(drive.slot);
      facts.disk_format[id].emplace(slot, image_format(*held->volume));
      facts.disk_storage[id].emplace(slot, held->volume->storage);
    }
  }
  for (const LiveHa& ha : live.ha) {
    const std::string_view sid = ha.sid;
    if (!sid.starts_with("vm:")) continue;
    std::uint32_t id = 0;
    std::from_chars(sid.data() + 3, sid.data() + sid.size(), id);
    // Fact: PVE treats a resource in state ignored as unmanaged.
    const std::string* state = ha.properties.find("state");
    if (id != 0) facts.vm_ha[id] = state == nullptr || *state != "ignored";
  }
}

}  // namespace

Facts gather_facts(const FleetDocument& document, const LiveState* live) {
  Facts facts;
  const auto found = [live](std::string_view id) { return live != nullptr ? live->storage(id) : nullptr; };
  for (const WrittenStorage& storage : document.storages) {
    StorageFacts own = storage_facts(&storage, found(storage.id), live);
    if (live != nullptr && !live->hosts.empty()) add_contradictions(facts, storage, found(storage.id));
    for (const WrittenClass& written : storage.classes) {
      const std::string id = class_storage_id(storage, written);
      facts.storages.insert_or_assign(id, class_facts(own, written, found(id)));
    }
    facts.storages.insert_or_assign(storage.id, std::move(own));
  }
  if (live == nullptr) return facts;
  facts.observed = true;
  for (const LiveStorage& storage : live->storages) {
    if (!facts.storages.contains(storage.id))
      facts.storages.emplace(storage.id, storage_facts(nullptr, &storage, live));
  }
  add_nodes(facts, *live);
  add_guests(facts, *live);
  for (const LivePciMapping& mapping : live->pci_mappings) {
    facts.mapping_nodes[mapping.id] = mapping.nodes;
    facts.mapping_migratable[mapping.id] = mapping.live_migration_capable;
  }
  return facts;
}

std::string class_storage_id(const WrittenStorage& storage, const WrittenClass& written) {
  return written.id ? written.id->value : storage.id + "-" + written.name;
}

std::string class_dataset(const WrittenStorage& storage, const WrittenClass& written) {
  if (written.pool) return written.pool->value;
  const auto* pool = storage.properties.find("pool");
  const auto* text = pool != nullptr ? std::get_if<std::string>(&pool->value) : nullptr;
  return (text != nullptr ? *text : storage.id) + "/" + written.name;
}

}  // namespace pvr
