// Volumes: names, allocation, removal, resize, clones, snapshots (PVE storage 9.1 plugins).

#include <algorithm>
#include <array>
#include <set>

#include "simulator/api/method.h"
#include "simulator/wire/formats.h"
#include "simulator/world/storage.h"
#include "simulator/world/text.h"
#include "simulator/world/vm_config.h"

namespace pvesim {
namespace {

constexpr std::int64_t kMiB = 1LL << 20;
constexpr std::int64_t kExtent = 4 * kMiB;

std::int64_t round_up(std::int64_t value, std::int64_t grain) { return (value + grain - 1) / grain * grain; }

std::string plugin_word(const StorageDef& storage) {
  if (storage.type == "zfspool" || storage.type == "zfs") return "zfs";
  if (is_file_based(storage.type)) return "directory";
  return storage.type == "lvmthin" ? "lvm" : storage.type == "iscsidirect" ? "iscsi" : storage.type;
}

/// "vm-100-disk-0" -> 100 when the first word is one of `kinds`; 0 otherwise.
int owner_of(std::string_view name, std::initializer_list<std::string_view> kinds) {
  for (const std::string_view kind : kinds) {
    if (!starts_with(name, kind) || name.size() <= kind.size() || name[kind.size()] != '-') continue;
    const std::string_view rest = name.substr(kind.size() + 1);
    const auto dash = rest.find('-');
    if (dash == rest.npos || dash == 0 || dash > 9 || dash + 1 >= rest.size()) continue;
    if (!all_digits(rest.substr(0, dash)) || rest.find_first_of(" \t/") != rest.npos) continue;
    return std::stoi(std::string(rest.substr(0, dash)));
  }
  return 0;
}

std::string ending(std::string_view name) {
  const auto dot = name.rfind('.');
  return dot == name.npos ? std::string{} : std::string(name.substr(dot + 1));
}

VolumeName parse_file_name(std::string_view name, const auto& refuse) {
  VolumeName out;
  const std::vector<std::string> parts = split_at(name, '/');
  const auto known = [](const std::string& format) {
    return format == "raw" || format == "qcow2" || format == "vmdk" || format == "subvol";
  };
  if (parts.size() == 2 && all_digits(parts[0])) {
    out.content = "images";
    out.format = ending(parts[1]);
    if (!known(out.format)) refuse();
    out.vmid = std::stoi(parts[0]);
    out.key = "images/" + std::string(name);
    out.is_base = starts_with(parts[1], "base-");
    return out;
  }
  if (parts.size() == 4 && all_digits(parts[0]) && all_digits(parts[2])) {
    out.content = "images";
    out.format = ending(parts[3]);
    if (!known(out.format)) refuse();
    out.vmid = std::stoi(parts[2]);
    out.key = "images/" + parts[2] + "/" + parts[3];
    out.base = parts[0] + "/" + parts[1];
    return out;
  }
  if (parts.size() < 2) refuse();
  static const std::map<std::string, std::string> kFolders = {{"iso", "template/iso"},
                                                              {"vztmpl", "template/cache"},
                                                              {"backup", "dump"},
                                                              {"snippets", "snippets"},
                                                              {"import", "import"}};
  const auto folder = kFolders.find(parts[0]);
  if (folder == kFolders.end()) refuse();
  out.content = parts[0];
  const std::string low = lower_case(parts[1]);
  if (out.content == "iso" && !ends_with(low, ".iso") && !ends_with(low, ".img")) refuse();
  if (out.content == "import") {
    out.format = ending(low);
    if (out.format != "raw" && out.format != "qcow2" && out.format != "vmdk" && out.format != "ova" &&
        out.format != "ovf")
      refuse();
  } else {
    out.format = out.content == "iso" ? "iso" : out.content == "backup" ? ending(low) : "raw";
  }
  out.key = folder->second + "/" + std::string(name.substr(parts[0].size() + 1));
  if (out.content == "backup" && starts_with(parts[1], "vzdump-qemu-"))
    out.vmid = std::atoi(parts[1].substr(12).c_str());
  return out;
}

/// The number of a disk name "…-ID-disk-N"; -1 when it is none of that guest.
int disk_number(std::string_view name, int vmid) {
  const auto slash = name.rfind('/');
  if (slash != name.npos) name.remove_prefix(slash + 1);
  for (const std::string kind : {"vm-", "base-", "subvol-", "basevol-"}) {
    const std::string start = kind + std::to_string(vmid) + "-disk-";
    if (!starts_with(name, start)) continue;
    const std::string_view number = name.substr(start.size());
    const std::string_view digits = number.substr(0, number.find('.'));
    if (all_digits(digits) && digits.size() < 6) return std::stoi(std::string(digits));
  }
  return -1;
}

std::string suffix_for(const StorageDef& storage, const std::string& format) {
  if (is_file_based(storage.type)) return "." + format;
  return storage.type == "lvm" && format == "qcow2" ? ".qcow2" : "";
}

/// Fact: the lowest number 0-1023 that no volume of this guest has on the storage.
std::string next_disk_name(const StorageDef& storage, const Backing& backing, int vmid, const std::string& kind,
                           const std::string& format) {
  std::set<int> taken;
  for (const auto& [name, volume] : backing.volumes)
    if (const int number = disk_number(name, vmid); number >= 0) taken.insert(number);
  for (int n = 0; n < 1024; ++n)
    if (!taken.contains(n))
      return kind + "-" + std::to_string(vmid) + "-disk-" + std::to_string(n) + suffix_for(storage, format);
  fail("unable to allocate an image name for VM " + std::to_string(vmid) + " in storage '" + storage.id + "'");
}

std::string key_for(const StorageDef& storage, int vmid, const std::string& name) {
  return is_file_based(storage.type) ? "images/" + std::to_string(vmid) + "/" + name : name;
}

std::string formatting_line(const StorageDef& storage, const Volume& volume) {
  std::string preallocation = config_value(storage.values, "preallocation", "metadata");
  std::string line = "Formatting '" + volume_path(storage, volume) + "', fmt=" + volume.format;
  if (volume.format == "qcow2") {
    const bool linked = !volume.origin.empty();
    line += std::string(" cluster_size=") + (linked ? "131072" : "65536") + " extended_l2=" + (linked ? "on" : "off") +
            " preallocation=" + (linked ? "off" : preallocation) +
            " compression_type=zlib size=" + std::to_string(volume.size);
    if (linked) line += " backing_file=../" + volume.origin + " backing_fmt=" + ending(volume.origin);
    return line + " lazy_refcounts=off refcount_bits=16";
  }
  // Fact: raw images know no `metadata`; it means off for them.
  if (preallocation == "metadata") preallocation = "off";
  line += " size=" + std::to_string(volume.size);
  return volume.format == "raw" ? line + " preallocation=" + preallocation : line;
}

[[noreturn]] void no_such_dataset(const StorageDef& storage, const std::string& name) {
  fail("zfs error: cannot open '" + config_value(storage.values, "pool") + (name.empty() ? "" : "/" + name) +
       "': dataset does not exist");
}

/// Fact: LVM says when the thin volumes promise more than their pool has; it makes the volume all the same.
void warn_overcommit(const Backing& backing, std::int64_t more, const Logger& log) {
  std::int64_t promised = more;
  for (const auto& [name, other] : backing.volumes) promised += other.size;
  if (promised <= backing.capacity) return;
  const auto gib = [](std::int64_t bytes) {
    return fixed_2(static_cast<double>(bytes) / (1024.0 * 1024 * 1024)) + " GiB";
  };
  log("  WARNING: You have not turned on protection against thin pools running out of space.");
  log("  WARNING: Set activation/thin_pool_autoextend_threshold below 100 to trigger automatic extension of thin pools "
      "before they get full.");
  log("  WARNING: Sum of all thin volume sizes (" + gib(promised) + ") exceeds the size of thin pool " + backing.path +
      " (" + gib(backing.capacity) + ").");
}

void place(World& world, StorageDef& storage, Backing& backing, Volume& volume, const Logger& log) {
  const Space space = space_of(world, backing);
  if (backing.kind == "zfs") {
    const std::string full = backing.path + "/" + volume.name;
    if (volume.size == 0) fail("zfs error: cannot create '" + full + "': volume size cannot be zero");
    volume.volblocksize = parse_blocksize(config_value(storage.values, "blocksize"));
    volume.size = round_up(round_up(volume.size, kMiB), volume.volblocksize);
    if (backing.volumes.contains(volume.name)) fail("zfs error: cannot create '" + full + "': dataset already exists");
    const ZPool* pool = pool_of_dataset(world, backing.node, backing.path);
    if (!is_thin(storage, backing)) volume.refreservation = thick_reservation(*pool, volume.size, volume.volblocksize);
    if (volume.refreservation > space.available || space.available == 0)
      fail("zfs error: cannot create '" + full + "': out of space");
  } else if (backing.kind == "lvm-vg") {
    const std::int64_t bytes = volume.format == "qcow2" ? volume.size + volume.size / 8192 + 2 * kMiB : volume.size;
    const std::int64_t needed = round_up(bytes, kExtent) / kExtent;
    const std::int64_t free = space.available / kExtent;
    const std::string vg = config_value(storage.values, "vgname");
    if (volume.size == 0) fail("lvcreate '" + vg + "/" + volume.name + "' error:   Invalid argument for --size: 0k");
    if (backing.volumes.contains(volume.name))
      fail("lvcreate '" + vg + "/" + volume.name + "' error:   Logical Volume \"" + volume.name +
           "\" already exists in volume group \"" + vg + "\"");
    if (needed > free)
      fail("lvcreate '" + vg + "/" + volume.name + "' error:   Volume group \"" + vg +
           "\" has insufficient free space (" + std::to_string(free) + " extents): " + std::to_string(needed) +
           " required.");
    if (volume.format != "qcow2") volume.size = round_up(volume.size, kExtent);
    volume.used = volume.size;
    log("  Logical volume \"" + volume.name + "\" created.");
  } else if (backing.kind == "lvm-thin") {
    const std::string vg = config_value(storage.values, "vgname");
    if (backing.volumes.contains(volume.name))
      fail("lvcreate '" + vg + "/" + volume.name + "' error:   Logical Volume \"" + volume.name +
           "\" already exists in volume group \"" + vg + "\"");
    if (space.available == 0)
      fail("lvcreate '" + vg + "/" + volume.name +
           "' error:   Cannot create new thin volume, free space in thin pool " + backing.path + " reached threshold.");
    volume.size = round_up(volume.size, kExtent);
    warn_overcommit(backing, volume.size, log);
    log("  Logical volume \"" + volume.name + "\" created.");
    log("  Logical volume " + vg + "/" + volume.name + " changed.");
  } else if (is_file_based(storage.type)) {
    if (backing.volumes.contains(volume.name)) fail("disk image '" + volume_path(storage, volume) + "' already exists");
    const std::string preallocation = config_value(storage.values, "preallocation", "metadata");
    if (preallocation == "falloc" || preallocation == "full") {
      volume.used = volume.size;
      if (volume.used > space.available)
        fail("unable to create image: '" + volume_path(storage, volume) +
             "' - qemu-img: " + volume_path(storage, volume) + ": Could not resize file: No space left on device");
    } else if (volume.format == "qcow2") {
      volume.used = 200704 + volume.size / 8192;
    }
    log(formatting_line(storage, volume));
  } else if (backing.kind == "rbd") {
    if (backing.volumes.contains(volume.name))
      fail("rbd create '" + volume.name + "' error: rbd: create error: (17) File exists");
  }
  volume.ctime = world.now_seconds();
  backing.volumes.emplace(volume.name, volume);
}

std::optional<VolumeSnapshot> latest_snapshot(const Volume& volume, std::string& name) {
  std::optional<VolumeSnapshot> latest;
  for (const auto& [key, snapshot] : volume.snapshots)
    if (!latest || snapshot.order >= latest->order) {
      latest = snapshot;
      name = key;
    }
  return latest;
}

}  // namespace

VolumeName parse_volume_name(const StorageDef& storage, std::string_view name) {
  const auto refuse = [&]() {
    fail("unable to parse " + plugin_word(storage) + " volume name '" + std::string(name) + "'");
  };
  if (is_file_based(storage.type)) return parse_file_name(name, refuse);
  VolumeName out;
  out.content = "images";
  if (storage.type == "iscsi" || storage.type == "iscsidirect") {
    const auto parts = split_at(name, '.');
    if (parts.size() < 4 || !all_digits(parts[0]) || !all_digits(parts[1]) || !all_digits(parts[2])) refuse();
    out.key = name;
    return out;
  }
  std::string_view own = name;
  if (const auto slash = name.find('/'); slash != name.npos && storage.type != "lvm" && storage.type != "lvmthin") {
    if (owner_of(name.substr(0, slash), {"base", "basevol"}) == 0) refuse();
    out.base = name.substr(0, slash);
    own = name.substr(slash + 1);
  }
  out.vmid = storage.type == "lvm" ? owner_of(own, {"vm"}) : owner_of(own, {"vm", "base", "subvol", "basevol"});
  if (out.vmid == 0) refuse();
  out.key = own;
  out.is_base = starts_with(own, "base");
  if (starts_with(own, "subvol") || starts_with(own, "basevol")) out.format = "subvol";
  if (storage.type == "lvm" && ends_with(own, ".qcow2")) out.format = "qcow2";
  return out;
}

std::string volume_id(const StorageDef& storage, const Volume& volume) {
  std::string name = volume.name;
  if (is_file_based(storage.type)) {
    for (const auto& [folder, word] :
         std::array<std::pair<std::string, std::string>, 5>{{{"template/iso/", "iso/"},
                                                             {"template/cache/", "vztmpl/"},
                                                             {"dump/", "backup/"},
                                                             {"snippets/", "snippets/"},
                                                             {"import/", "import/"}}})
      if (starts_with(name, folder)) return storage.id + ":" + word + name.substr(folder.size());
    if (starts_with(name, "images/")) name.erase(0, 7);
    if (!volume.origin.empty()) name = volume.origin + "/" + name;
    return storage.id + ":" + name;
  }
  if (!volume.origin.empty() && storage.type != "lvmthin")
    name = volume.origin.substr(0, volume.origin.find('@')) + "/" + name;
  return storage.id + ":" + name;
}

std::optional<FoundVolume> find_volume(World& world, std::string_view volid, std::string_view node) {
  const auto id = parse_volume_id(volid);
  if (!id) return std::nullopt;
  FoundVolume found;
  found.storage = world.find_storage(id->storage);
  if (found.storage == nullptr) return std::nullopt;
  try {
    found.name = parse_volume_name(*found.storage, id->name);
  } catch (const ApiError&) {
    return std::nullopt;
  }
  found.backing = backing_of(world, *found.storage, node);
  if (found.backing == nullptr) return std::nullopt;
  const auto volume = found.backing->volumes.find(found.name.key);
  if (volume == found.backing->volumes.end()) return std::nullopt;
  found.volume = &volume->second;
  return found;
}

FoundVolume require_volume(World& world, std::string_view volid, std::string_view node) {
  const auto id = parse_volume_id(volid);
  if (!id) fail("unable to parse volume ID '" + std::string(volid) + "'");
  StorageDef& storage = world.storage(id->storage);
  const VolumeName name = parse_volume_name(storage, id->name);
  if (auto found = find_volume(world, volid, node)) return *found;
  if (storage.type == "zfspool") no_such_dataset(storage, name.key);
  if (storage.type == "lvm" || storage.type == "lvmthin") {
    const std::string lv = config_value(storage.values, "vgname") + "/" + name.key;
    fail("can't get size of '/dev/" + lv + "':   Failed to find logical volume \"" + lv + "\"");
  }
  fail("volume '" + std::string(volid) + "' does not exist");
}

std::optional<Missing> activation_problem(World& world, std::string_view volid, std::string_view node, bool in_task) {
  const auto id = parse_volume_id(volid);
  if (!id) return std::nullopt;
  StorageDef& storage = require_enabled(world, id->storage, node);
  const VolumeName name = parse_volume_name(storage, id->name);
  if (find_volume(world, volid, node)) return std::nullopt;
  using namespace std::chrono_literals;
  if (storage.type == "zfspool") {
    if (pool_of_dataset(world, node, config_value(storage.values, "pool")) == nullptr)
      return Missing{"could not activate storage '" + storage.id + "', zfs error: cannot import '" +
                         config_value(storage.values, "pool") + "': no such pool available",
                     1s};
    // Fact: PVE waits for the device link, 10 s in a request and up to 300 s in a task.
    const int seconds = in_task ? 300 : 10;
    return Missing{
        "timeout: no zvol device link for '" + name.key + "' found after " + std::to_string(seconds) + " sec.",
        std::chrono::seconds(seconds)};
  }
  if (storage.type == "lvm" || storage.type == "lvmthin") {
    const std::string lv = config_value(storage.values, "vgname") + "/" + name.key;
    return Missing{"can't activate LV '/dev/" + lv + "':   Failed to find logical volume \"" + lv + "\"", 0s};
  }
  if (backing_of(world, storage, node) == nullptr) return Missing{"storage '" + storage.id + "' is not online", 2s};
  return Missing{"volume '" + std::string(volid) + "' does not exist", 0s};
}

std::string volume_path(const StorageDef& storage, const Volume& volume) {
  const Section& values = storage.values;
  if (storage.type == "zfspool") return "/dev/zvol/" + config_value(values, "pool") + "/" + volume.name;
  if (storage.type == "lvm" || storage.type == "lvmthin")
    return "/dev/" + config_value(values, "vgname") + "/" + volume.name;
  if (storage.type == "rbd") return "rbd:" + config_value(values, "pool", "rbd") + "/" + volume.name;
  if (storage.type == "iscsi" || storage.type == "iscsidirect")
    return "/dev/disk/by-id/" + volume.name.substr(volume.name.rfind('.') + 1);
  const std::string path = config_value(values, "path", "/mnt/pve/" + storage.id);
  return path + "/" + volume.name;
}

std::string allocate_volume(World& world, std::string_view node, const Allocation& what, const Logger& log) {
  StorageDef& storage = require_enabled(world, what.storage, node);
  if (storage.type == "iscsi" || storage.type == "iscsidirect") fail("can't allocate space in iscsi storage");
  const std::string format = what.format.empty() ? default_format(storage) : what.format;
  const auto formats = storage_formats(storage);
  if (std::find(formats.begin(), formats.end(), format) == formats.end()) {
    if (storage.type == "zfspool")
      fail("unsupported format '" + format + "' at /usr/share/perl5/PVE/Storage/ZFSPoolPlugin.pm line 292.");
    if (storage.type == "lvm") fail("unsupported format '" + format + "'");
    if (storage.type == "lvmthin") fail("unsupported format '" + format + "'");
    fail("unsupported format '" + format + "'");
  }
  Backing* backing = backing_of(world, storage, node);
  if (backing == nullptr) {
    if (storage.type == "zfspool") {
      if (pool_of_dataset(world, node, config_value(storage.values, "pool")) == nullptr)
        fail("could not activate storage '" + storage.id + "', zfs error: cannot import '" +
             config_value(storage.values, "pool") + "': no such pool available");
      no_such_dataset(storage, "");
    }
    if (storage.type == "lvm" || storage.type == "lvmthin")
      fail("no such volume group '" + config_value(storage.values, "vgname") + "'");
    fail("storage '" + storage.id + "' is not online");
  }
  Volume volume;
  volume.format = format;
  volume.size = round_up(what.size, 1024);
  std::string name = what.name;
  if (name.empty())
    name = what.key.empty() ? next_disk_name(storage, *backing, what.vmid, "vm", format)
                            : "vm-" + std::to_string(what.vmid) + "-" + what.key + suffix_for(storage, format);
  if (!is_file_based(storage.type) && !starts_with(name, "vm-" + std::to_string(what.vmid) + "-"))
    fail("illegal name '" + name + "' - should be 'vm-" + std::to_string(what.vmid) + "-*'");
  volume.name = key_for(storage, what.vmid, name);
  place(world, storage, *backing, volume, log);
  return volume_id(storage, backing->volumes.at(volume.name));
}

bool has_clones(World& world, const FoundVolume& found) {
  (void)world;
  const std::string own = volume_id(*found.storage, *found.volume).substr(found.storage->id.size() + 1);
  return std::any_of(found.backing->volumes.begin(), found.backing->volumes.end(), [&](const auto& entry) {
    const std::string& origin = entry.second.origin;
    return !origin.empty() && origin.substr(0, origin.find('@')) == own;
  });
}

void free_volume(World& world, std::string_view node, std::string_view volid, const Logger& log) {
  const auto id = parse_volume_id(volid);
  if (!id) fail("unable to parse volume ID '" + std::string(volid) + "'");
  StorageDef& storage = require_enabled(world, id->storage, node);
  (void)parse_volume_name(storage, id->name);
  // Fact: a LUN is the target's; the move that wanted it gone ends well all the same.
  if (storage.type == "iscsi" || storage.type == "iscsidirect") fail("can't free space in iscsi storage");
  const auto found = find_volume(world, volid, node);
  if (!found) {
    // Fact: a dataset or image that is gone already counts as freed.
    if (storage.type == "lvm" || storage.type == "lvmthin")
      fail("lvremove '" + config_value(storage.values, "vgname") + "/" + id->name +
           "' error:   Failed to find logical volume \"" + config_value(storage.values, "vgname") + "/" + id->name +
           "\"");
    return;
  }
  if (found->name.is_base && has_clones(world, *found))
    fail("base volume '" + std::string(volid) + "' is still in use by linked cloned");
  for (const auto& [vmid, vm] : world.vms) {
    if (!vm.running) continue;
    for (const auto& [slot, ref] : vm.running->open) {
      if (ref != found->ref()) continue;
      if (found->backing->kind == "zfs")
        fail("zfs error: cannot destroy '" + found->backing->path + "/" + found->volume->name + "': dataset is busy");
      if (found->backing->kind == "lvm-vg" || found->backing->kind == "lvm-thin")
        fail("lvremove '" + config_value(storage.values, "vgname") + "/" + found->volume->name +
             "' error:   Logical volume " + config_value(storage.values, "vgname") + "/" + found->volume->name +
             " in use.");
    }
  }
  if (found->backing->kind == "zfs" && !found->volume->held_by.empty())
    fail("zfs error: cannot destroy '" + found->backing->path + "/" + found->volume->name + "': dataset is busy");
  if (found->backing->kind == "lvm-vg" || found->backing->kind == "lvm-thin")
    log("  Logical volume \"" + found->volume->name + "\" successfully removed.");
  found->backing->volumes.erase(found->name.key);
}

void resize_volume(World& world, std::string_view node, std::string_view volid, std::int64_t size, bool running,
                   const Logger& log) {
  const FoundVolume found = require_volume(world, volid, node);
  Volume& volume = *found.volume;
  const Space space = space_of(world, *found.backing);
  if (found.backing->kind == "zfs") {
    const std::string full = found.backing->path + "/" + volume.name;
    size = round_up(size, kMiB);
    if (size % volume.volblocksize != 0)
      fail("zfs error: cannot set property for '" + full + "': 'volsize' must be a multiple of volume block size (" +
           print_size(volume.volblocksize) + ")");
    if (volume.refreservation > 0) {
      const ZPool* pool = pool_of_dataset(world, found.backing->node, found.backing->path);
      const std::int64_t reserve = thick_reservation(*pool, size, volume.volblocksize);
      // Fact: a thick zvol's reservation follows its size, if it was the exact one before.
      if (volume.refreservation == thick_reservation(*pool, volume.size, volume.volblocksize)) {
        if (reserve - volume.refreservation > space.available)
          fail("zfs error: cannot set property for '" + full + "': size is greater than available space");
        volume.refreservation = reserve;
      }
    }
    volume.size = size;
    return;
  }
  if (found.backing->kind == "lvm-vg" || found.backing->kind == "lvm-thin") {
    const std::int64_t before = round_up(volume.size, kExtent) / kExtent;
    const std::int64_t after = round_up(size, kExtent) / kExtent;
    const std::string lv = config_value(found.storage->values, "vgname") + "/" + volume.name;
    const std::int64_t free = space.available / kExtent;
    if (found.backing->kind == "lvm-vg" && after - before > free)
      fail("error resizing volume '/dev/" + lv + "':   Insufficient free space: " + std::to_string(after - before) +
           " extents needed, but only " + std::to_string(free) + " available");
    const auto printed = [](std::int64_t extents) {
      const double bytes = static_cast<double>(extents * kExtent);
      return (bytes >= 1024.0 * 1024 * 1024 ? fixed_2(bytes / (1024.0 * 1024 * 1024)) + " GiB"
                                            : fixed_2(bytes / (1024.0 * 1024)) + " MiB") +
             " (" + std::to_string(extents) + " extents)";
    };
    log("  Size of logical volume " + lv + " changed from " + printed(before) + " to " + printed(after) + ".");
    log("  Logical volume " + lv + " successfully resized.");
    volume.size = after * kExtent;
    if (found.backing->kind == "lvm-vg") volume.used = volume.size;
    return;
  }
  if (is_file_based(found.storage->type) && !running) log("Image resized.");
  volume.size = round_up(size, 1024);
}

std::string clone_volume(World& world, std::string_view node, std::string_view volid, int vmid, const Logger& log) {
  const FoundVolume base = require_volume(world, volid, node);
  StorageDef& storage = *base.storage;
  Volume volume;
  volume.format = is_file_based(storage.type) ? "qcow2" : "raw";
  volume.size = base.volume->size;
  volume.volblocksize = base.volume->volblocksize;  // Fact: a clone keeps its origin's block size
  volume.fingerprint = base.volume->fingerprint;
  volume.ctime = world.now_seconds();
  const std::string name = next_disk_name(storage, *base.backing, vmid, "vm", volume.format);
  volume.name = key_for(storage, vmid, name);
  const std::string own = volume_id(storage, *base.volume).substr(storage.id.size() + 1);
  volume.origin = is_file_based(storage.type) ? own : base.volume->name + "@__base__";
  if (is_file_based(storage.type)) {
    volume.used = 397312;
    log("clone " + own + ": images, " + name + ", " + std::to_string(vmid) + " to " + name + " (base=../" + own + ")");
    log(formatting_line(storage, volume));
  } else if (base.backing->kind == "lvm-thin") {
    log("  Logical volume \"" + name + "\" created.");
  }
  const std::string key = volume.name;
  base.backing->volumes.emplace(key, std::move(volume));
  return volume_id(storage, base.backing->volumes.at(key));
}

std::string make_base(World& world, std::string_view node, std::string_view volid) {
  const FoundVolume found = require_volume(world, volid, node);
  StorageDef& storage = *found.storage;
  if (!volume_has_feature(world, "template", volid, node) || storage.type == "lvm") return std::string(volid);
  Volume volume = *found.volume;
  const auto at = volume.name.rfind("vm-");
  volume.name.replace(at, 3, "base-");
  if (found.backing->volumes.contains(volume.name)) fail("file '" + volume_path(storage, volume) + "' already exists");
  if (!is_file_based(storage.type))
    volume.snapshots["__base__"] = {volume.fingerprint, volume.used, volume.size, world.random()};
  const std::string key = volume.name;
  found.backing->volumes.erase(found.name.key);
  found.backing->volumes.emplace(key, std::move(volume));
  return volume_id(storage, found.backing->volumes.at(key));
}

std::string rename_volume(World& world, std::string_view node, std::string_view volid, int vmid) {
  const FoundVolume found = require_volume(world, volid, node);
  Volume volume = *found.volume;
  const std::string name =
      next_disk_name(*found.storage, *found.backing, vmid, found.name.is_base ? "base" : "vm", volume.format);
  volume.name = key_for(*found.storage, vmid, name);
  const std::string key = volume.name;
  found.backing->volumes.erase(found.name.key);
  found.backing->volumes.emplace(key, std::move(volume));
  return volume_id(*found.storage, found.backing->volumes.at(key));
}

bool volume_has_feature(World& world, std::string_view feature, std::string_view volid, std::string_view node,
                        std::string_view snapshot) {
  const auto id = parse_volume_id(volid);
  if (!id) return false;
  const StorageDef* storage = world.find_storage(id->storage);
  if (storage == nullptr) return false;
  const auto found = find_volume(world, volid, node);
  VolumeName name;
  try {
    name = parse_volume_name(*storage, id->name);
  } catch (const ApiError&) {
    return false;
  }
  const std::string format = found ? found->volume->format : name.format;
  const std::string& type = storage->type;
  const bool current = snapshot.empty() && !name.is_base;
  if (feature == "copy") return true;
  if (type == "zfspool") {
    if (feature == "snapshot") return current;
    if (feature == "clone") return name.is_base;
    if (feature == "template" || feature == "rename") return current;
    return feature == "replicate" || feature == "sparseinit";
  }
  if (type == "lvm") {
    if (feature == "snapshot") return current && format == "qcow2";
    if (feature == "template") return current;
    return feature == "rename" && snapshot.empty();
  }
  if (type == "lvmthin") {
    if (feature == "snapshot") return current;
    if (feature == "clone") return name.is_base;
    return feature == "template" || feature == "sparseinit" ? current || feature == "sparseinit"
                                                            : feature == "rename" && current;
  }
  if (type == "rbd") {
    if (feature == "snapshot") return current;
    if (feature == "clone") return name.is_base || !snapshot.empty();
    return feature == "template" || feature == "sparseinit" || feature == "rename";
  }
  if (is_file_based(type)) {
    if (feature == "snapshot") return current && (format == "qcow2" || (type == "btrfs" && format == "raw"));
    if (feature == "clone") return name.is_base;
    if (feature == "template") return current;
    return feature == "rename" ? current : feature == "sparseinit";
  }
  return false;
}

void snapshot_volume(World& world, std::string_view node, std::string_view volid, const std::string& snapshot) {
  const FoundVolume found = require_volume(world, volid, node);
  Volume& volume = *found.volume;
  const Space space = space_of(world, *found.backing);
  // Facts: a snapshot of a thick zvol needs room for all it refers to; on LVM it is a full-size volume.
  if (found.backing->kind == "zfs" &&
      (space.available == 0 || (volume.refreservation > 0 && volume.used > space.available)))
    fail("zfs error: cannot create snapshot '" + found.backing->path + "/" + volume.name + "@" + snapshot +
         "': out of space");
  if (found.backing->kind == "lvm-vg" && volume.size > space.available)
    fail("lvcreate 'snap_" + volume.name + "' error:   Volume group \"" +
         config_value(found.storage->values, "vgname") + "\" has insufficient free space (" +
         std::to_string(space.available / kExtent) +
         " extents): " + std::to_string(round_up(volume.size, kExtent) / kExtent) + " required.");
  std::uint64_t order = 1;
  for (const auto& [name, other] : volume.snapshots) order = std::max(order, other.order + 1);
  volume.snapshots[snapshot] = {volume.fingerprint, volume.used, volume.size, order};
}

void rollback_volume(World& world, std::string_view node, std::string_view volid, const std::string& snapshot) {
  const FoundVolume found = require_volume(world, volid, node);
  Volume& volume = *found.volume;
  const auto saved = volume.snapshots.find(snapshot);
  if (saved == volume.snapshots.end())
    fail("zfs error: cannot open '" + found.backing->path + "/" + volume.name + "@" + snapshot +
         "': dataset does not exist");
  if (found.backing->kind == "zfs" || found.backing->kind == "lvm-vg") {
    std::string latest;
    (void)latest_snapshot(volume, latest);
    if (latest != snapshot)
      fail("can't rollback, '" + snapshot + "' is not most recent snapshot on '" + std::string(volid) + "'");
  }
  volume.fingerprint = saved->second.fingerprint;
  volume.used = saved->second.used;
  if (volume.refreservation > 0)
    if (const ZPool* pool = pool_of_dataset(world, found.backing->node, found.backing->path))
      volume.refreservation = thick_reservation(*pool, saved->second.size, volume.volblocksize);
  volume.size = saved->second.size;
}

void delete_volume_snapshot(World& world, std::string_view node, std::string_view volid, const std::string& snapshot) {
  const FoundVolume found = require_volume(world, volid, node);
  found.volume->snapshots.erase(snapshot);
}

void copy_content(World& world, const FoundVolume& from, const FoundVolume& to) {
  Volume& target = *to.volume;
  target.fingerprint = from.volume->fingerprint;
  target.writes = from.volume->writes;
  if (to.backing->kind == "lvm-vg") return;
  const std::int64_t data = from.volume->fingerprint == 0 ? 0 : std::min(from.volume->used, target.size);
  const std::int64_t more = data - target.used;
  if (target.refreservation == 0 && more > space_of(world, *to.backing).available)
    fail(to.backing->kind == "lvm-thin" ? "Input/output error" : "No space left on device");
  target.used = std::max(target.used, data);
}

// ------------------------------------------------------------------------------------------------ replication

void replicate_volumes(World& world, Vm& vm, const std::string& target) {
  for (const Drive& drive : drives_of(vm.config.values, true)) {
    if (drive.is_cdrom() && !drive.is_cloudinit()) continue;
    if (drive.get("replicate") == "0") continue;
    const auto from = find_volume(world, drive.file, vm.node);
    if (!from) continue;
    if (shared_storage(*from->storage)) continue;
    Backing* place = backing_of(world, *from->storage, target);
    if (place == nullptr) fail("storage '" + from->storage->id + "' is not available on node '" + target + "'");
    const std::string mark =
        "__replicate_" + std::to_string(vm.vmid) + "-0_" + std::to_string(world.now_seconds()) + "__";
    std::erase_if(from->volume->snapshots, [](const auto& one) { return starts_with(one.first, "__replicate_"); });
    from->volume->snapshots[mark] = {from->volume->fingerprint, from->volume->used, from->volume->size, world.random()};
    Volume copy = *from->volume;  // Fact: send/receive keeps block size and properties
    copy.guid = 0;
    copy.held_by.clear();
    copy.snapshots.erase(mark);
    copy.snapshots[mark] = from->volume->snapshots.at(mark);
    place->volumes.insert_or_assign(copy.name, copy);
  }
}

void remove_replicas(World& world, Vm& vm, const std::string& target) {
  for (const Drive& drive : drives_of(vm.config.values, true)) {
    const auto from = find_volume(world, drive.file, vm.node);
    if (!from || shared_storage(*from->storage)) continue;
    std::erase_if(from->volume->snapshots, [](const auto& one) { return starts_with(one.first, "__replicate_"); });
    if (Backing* place = backing_of(world, *from->storage, target); place != nullptr && place != from->backing)
      place->volumes.erase(from->volume->name);
  }
}

VirtualSpan replication_period(std::string_view schedule) {
  // "*/15" means every 15 minutes; other calendar events are taken as hourly.
  if (starts_with(schedule, "*/") && all_digits(schedule.substr(2)))
    return std::chrono::minutes(std::stoi(std::string(schedule.substr(2))));
  return std::chrono::hours(1);
}

}  // namespace pvesim
