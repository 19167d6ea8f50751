#include "simulator/api/guest.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <regex>

#include "simulator/api/support.h"
#include "simulator/wire/formats.h"
#include "simulator/world/text.h"
#include "simulator/world/vm_config.h"

namespace pvesim {

using namespace std::chrono_literals;

int call_vmid(const Call& call) { return static_cast<int>(integer_or(call.params, "vmid", 0)); }

Vm& call_vm(Call& call) { return call.world.vm_on(call.node, call_vmid(call)); }

bool root_only_flag(const Call& call, std::string_view name) {
  if (!flag_or(call.params, name, false)) return false;
  if (!call.session.is_root_ticket()) fail_param(std::string(name), "Only root may use this option.");
  return true;
}

Logger log_of(const std::shared_ptr<Work>& work) {
  return [raw = work.get()](std::string line) { raw->log(std::move(line)); };
}

std::optional<NewDisk> parse_new_disk(std::string_view file) {
  static const std::regex kNewDisk(R"(^(([^/:\s]+):)?(\d+(\.\d+)?)$)");
  std::cmatch match;
  if (!std::regex_match(file.data(), file.data() + file.size(), match, kNewDisk)) return std::nullopt;
  return NewDisk{match[2].str(), std::stod(match[3].str())};
}

namespace {

void require_images(World& world, const std::string& id) {
  if (!has_content(world.storage(id), "images"))
    fail_param("storage", "storage '" + id + "' does not support vm images");
}

void check_volume_read(Call& call, int vmid, const std::string& volid) {
  if (!volid.empty() && volid.front() == '/') {
    if (!call.session.is_root_ticket())
      fail("Only root can pass arbitrary filesystem paths. at /usr/share/perl5/PVE/Storage.pm line 651.");
    return;
  }
  const auto id = parse_volume_id(volid);
  if (!id) fail("unable to parse volume ID '" + volid + "'");
  const VolumeName name = parse_volume_name(call.world.storage(id->storage), id->name);
  if (has_privilege(call, "/storage/" + id->storage, "Datastore.Allocate")) return;
  if (name.content == "iso" || name.content == "vztmpl" || name.content == "import") {
    require_privilege(call, "/storage/" + id->storage, "Datastore.AllocateSpace|Datastore.Audit");
  } else if (name.vmid != 0 && name.vmid == vmid) {
    return;  // its own volume
  } else if (name.vmid != 0) {
    require_privilege(call, "/vms/" + std::to_string(name.vmid), "VM.Config.Disk");
  } else {
    require_privilege(call, "/storage/" + id->storage, "Datastore.Allocate");
  }
}

}  // namespace

void check_drive_access(Call& call, int vmid, const std::string& slot, const std::string& value,
                        const std::string& default_storage) {
  const auto drive = parse_drive(slot, value);
  if (!drive || drive->file == "none") return;
  if (drive->file == "cdrom") {
    require_privilege(call, "/", "Sys.Console");
    return;
  }
  const auto fresh = parse_new_disk(drive->file);
  const auto id = parse_volume_id(drive->file);
  if (fresh || (id && id->name == "cloudinit")) {
    std::string storage = fresh ? fresh->storage : id->storage;
    if (storage.empty()) storage = default_storage;
    if (storage.empty()) fail("no storage ID specified (and no default storage)");
    require_privilege(call, "/storage/" + storage, "Datastore.AllocateSpace");
    require_images(call.world, storage);
    if (const std::string source = drive->get("import-from"); !source.empty()) {
      if (source.front() == '/') return check_volume_read(call, vmid, source);
      const auto from = parse_volume_id(source);
      if (!from) fail("unable to parse volume ID '" + source + "'");
      const VolumeName name = parse_volume_name(call.world.storage(from->storage), from->name);
      if (name.content != "images" && name.content != "import")
        fail_param(slot, source + " has wrong type '" + name.content + "' - needs to be 'images' or 'import'");
      // Fact: the name decides who owns the source, whether that guest exists or not.
      if (name.vmid != 0) return require_privilege(call, "/vms/" + std::to_string(name.vmid), "VM.Clone");
      check_volume_read(call, vmid, source);
    }
    return;
  }
  check_volume_read(call, vmid, drive->file);
  if (!id) return;
  const VolumeName name = parse_volume_name(call.world.storage(id->storage), id->name);
  if (name.content != "images" && name.content != "iso") fail_param(slot, "content type needs to be 'images' or 'iso'");
}

std::string checked_drive(World& world, int vmid, const std::string& slot, const std::string& value) {
  const auto drive = parse_drive(slot, value);
  if (!drive) fail_param(slot, "unable to parse drive options");
  if (!drive->get("import-from").empty()) {
    const auto fresh = parse_new_disk(drive->file);
    if (!fresh || fresh->gib != 0)
      fail_param(slot, "'import-from' requires special syntax - use <storage ID>:0,import-from=<source>");
    if (slot == "efidisk0" && (drive->get("efitype").empty() || drive->get("pre-enrolled-keys").empty()))
      fail_param(slot, "need to specify '" +
                           std::string(drive->get("efitype").empty() ? "efitype" : "pre-enrolled-keys") +
                           "' when using 'import-from'");
    if (slot == "tpmstate0" && drive->get("version").empty())
      fail_param(slot, "need to specify 'version' when using 'import-from'");
  }
  if (const auto id = parse_volume_id(drive->file); id && id->name != "cloudinit" && !parse_new_disk(drive->file))
    if (parse_volume_name(world.storage(id->storage), id->name).content == "iso" && drive->get("media") != "cdrom")
      fail_param(slot, "explicit 'media=cdrom' is required for iso images");
  check_replicatable(world, vmid, *drive);
  return print_drive(*drive);
}

void check_replicatable(World& world, int vmid, const Drive& drive) {
  if (!world.replicated(vmid) || drive.is_cdrom() || drive.get("replicate") == "0") return;
  if (!parse_volume_id(drive.file) && !parse_new_disk(drive.file))
    fail("cannot add non-managed/pass-through volume to a replicated VM");
  std::string storage;
  if (const auto fresh = parse_new_disk(drive.file))
    storage = fresh->storage;
  else if (const auto id = parse_volume_id(drive.file))
    storage = id->storage;
  const StorageDef* def = world.find_storage(storage);
  if (def == nullptr || shared_storage(*def)) return;
  if (def->type != "zfspool") fail("cannot add non-replicatable volume to a replicated VM");
}

void free_all(World& world, const std::string& node, const VolumeList& volumes) {
  for (const std::string& volid : *volumes) {
    try {
      free_volume(world, node, volid, [](const std::string&) {});
    } catch (const ApiError&) {
      // What cannot be freed stays behind, as on PVE.
    }
  }
  volumes->clear();
}

namespace {

/// The key of the guest whose drive is this volume, for the log.
std::string slot_of_volume(World& world, const std::string& volid) {
  const auto id = parse_volume_id(volid);
  if (!id || world.find_storage(id->storage) == nullptr) return {};
  const VolumeName name = parse_volume_name(*world.find_storage(id->storage), id->name);
  if (const Vm* owner = world.find_vm(name.vmid))
    for (const Drive& drive : drives_of(owner->config.values, true))
      if (drive.file == volid) return drive.slot;
  return {};
}

void finish_disk(const std::shared_ptr<Work>& work, Drive drive, const std::function<void(std::string)>& done) {
  drive.options.erase("format");
  drive.options.erase("import-from");
  const std::string text = print_drive(drive);
  work->log(drive.slot + ": successfully created disk '" + text + "'");
  done(text);
}

void allocate_disk(const std::shared_ptr<Work>& work, const DiskRequest& request, Drive drive, const NewDisk& fresh,
                   const VolumeList& allocated, const std::function<void(std::string)>& done) {
  World& world = work->world();
  Allocation what;
  what.storage = fresh.storage.empty() ? request.default_storage : fresh.storage;
  if (what.storage.empty()) fail("no storage ID specified (and no default storage)");
  what.vmid = request.vmid;
  what.format = drive.get("format");
  const std::string bus = bus_of(drive.slot);
  if (const std::string source = drive.get("import-from"); !source.empty()) {
    work->then("import", [work, request, drive, what, source, allocated, done]() mutable {
      World& w = work->world();
      const std::string prefix = "cannot import from '" + source + "' - ";
      const FoundVolume from = require_volume(w, source, request.node);
      if (from.name.vmid != 0)
        if (const Vm* owner = w.find_vm(from.name.vmid); owner != nullptr && owner->node != request.node)
          fail(prefix + "owner VM " + std::to_string(owner->vmid) + " not on local node");
      const StorageDef& target = require_enabled(w, what.storage, request.node);
      const std::string slot = slot_of_volume(w, source);
      work->log("create full clone of drive " + (slot.empty() ? "" : slot + " ") + "(" + source + ")");
      what.format = target_format(target, what.format, from.volume->format, log_of(work));
      what.size = bus_of(drive.slot) == "tpmstate" ? 4 << 20 : from.volume->size;
      std::string volid;
      try {
        volid = allocate_volume(w, request.node, what, log_of(work));
      } catch (const ApiError& error) {
        fail(prefix + error.message);
      }
      allocated->push_back(volid);
      work->log("allocated target volume '" + volid + "'");
      Copy copy;
      copy.error_prefix = prefix;
      copy.from = source;
      copy.to = volid;
      copy.from_node = copy.to_node = request.node;
      const auto from_id = parse_volume_id(source);
      copy.limit_kib = effective_bwlimit(w, {from_id->storage, what.storage}, "clone", request.bwlimit);
      add_copy_step(work, copy, 0);
      work->then("imported", [work, request, drive, volid, done]() mutable {
        drive.file = volid;
        drive.options["size"] = print_size(require_volume(work->world(), volid, request.node).volume->size);
        finish_disk(work, drive, done);
      });
    });
    return;
  }
  if (bus == "efidisk") {
    what.size = 528 << 10;
    const std::string volid = allocate_volume(world, request.node, what, log_of(work));
    allocated->push_back(volid);
    const FoundVolume made = require_volume(world, volid, request.node);
    made.volume->fingerprint = world.random() | 1U;
    work->log("transferred 0.0 B of 528.0 KiB (0.00%)");
    work->log("transferred 528.0 KiB of 528.0 KiB (100.00%)");
    work->log("transferred 528.0 KiB of 528.0 KiB (100.00%)");
    drive.file = volid;
    drive.options["size"] = print_size(made.volume->size);
    // Fact: PVE adds the generation of the enrolled certificates by itself.
    if (drive.flag("pre-enrolled-keys")) drive.options.emplace("ms-cert", "2023k");
    return finish_disk(work, drive, done);
  }
  if (bus == "tpmstate") {
    what.size = 4 << 20;
    what.format = {};
  } else {
    what.size = static_cast<std::int64_t>(std::ceil(fresh.gib * 1024 * 1024 - 1e-9)) * 1024;
  }
  const std::string volid = allocate_volume(world, request.node, what, log_of(work));
  allocated->push_back(volid);
  drive.file = volid;
  drive.options["size"] = print_size(what.size);
  finish_disk(work, drive, done);
}

}  // namespace

void add_disk_steps(const std::shared_ptr<Work>& work, const DiskRequest& request, const VolumeList& allocated,
                    const std::function<void(std::string)>& done) {
  work->then("disk-" + request.slot, [work, request, allocated, done] {
    World& world = work->world();
    auto parsed = parse_drive(request.slot, request.value);
    if (!parsed) fail("unable to parse drive options");
    Drive drive = *parsed;
    if (drive.file == "none" || drive.file == "cdrom") {
      drive.options.erase("size");
      return done(print_drive(drive));
    }
    if (drive.file.front() == '/') return done(print_drive(drive));
    if (const auto fresh = parse_new_disk(drive.file)) {
      const std::string storage = fresh->storage.empty() ? request.default_storage : fresh->storage;
      work->lock_storage(storage);
      work->takes("allocate", 300ms, [work, request, drive, fresh, allocated, done, storage] {
        work->unlock_storage(storage);
        allocate_disk(work, request, drive, *fresh, allocated, done);
      });
      return;
    }
    const auto id = parse_volume_id(drive.file);
    if (!id) fail("unable to parse volume ID '" + drive.file + "'");
    if (id->name == "cloudinit") {
      if (const Vm* vm = world.find_vm(request.vmid))
        for (const Section* section : {&vm->config.values, &vm->config.pending})
          for (const Drive& other : drives_of(*section))
            if (other.slot != request.slot && other.is_cloudinit())
              fail(request.slot + " - cloud-init drive is already attached at '" + other.slot + "'");
      const StorageDef& storage = require_enabled(world, id->storage, request.node);
      Allocation what;
      what.storage = id->storage;
      what.vmid = request.vmid;
      what.size = 4 << 20;
      what.format = drive.get("format");
      if (what.format.empty()) what.format = is_file_based(storage.type) ? "qcow2" : default_format(storage);
      what.key = "cloudinit";
      const std::string volid = allocate_volume(world, request.node, what, log_of(work));
      allocated->push_back(volid);
      drive.file = volid;
      drive.options["media"] = "cdrom";
      return finish_disk(work, drive, done);
    }
    const auto missing = activation_problem(world, drive.file, request.node, work->task() != nullptr);
    if (missing) {
      work->takes("activate", missing->delay, [text = missing->text] { fail(text); });
      return;
    }
    const FoundVolume found = require_volume(world, drive.file, request.node);
    if (const std::string format = drive.get("format"); !format.empty() && format != found.volume->format)
      fail("drive '" + request.slot + "' - volume '" + drive.file + "' - 'format=" + format +
           "' option different from storage format '" + found.volume->format + "'");
    drive.options["size"] = print_size(found.volume->size);
    done(print_drive(drive));
  });
}

void add_copy_step(const std::shared_ptr<Work>& work, const Copy& copy, double guest_write_rate) {
  World& world = work->world();
  const FoundVolume from = require_volume(world, copy.from, copy.from_node);
  const FoundVolume to = require_volume(world, copy.to, copy.to_node);
  const std::int64_t size = copy.size > 0 ? copy.size : from.volume->size;
  double rate = copy_rate(*from.backing, *to.backing, copy.limit_kib);
  // A guest that writes makes the mirror copy blocks again.
  if (!copy.mirror.empty()) rate = std::max(rate - guest_write_rate, rate / 20);
  // Holes are skipped about ten times faster than data is copied.
  // A thick logical volume does not tell its holes.
  const bool opaque = from.backing->kind == "lvm-vg";
  const auto data = static_cast<double>(opaque ? size : std::min(from.volume->used, size));
  const double work_bytes = data + (static_cast<double>(size) - data) / 10;
  // A thin target that is too small is noticed when it is full.
  const bool thin = to.backing->kind != "lvm-vg" && to.volume->refreservation == 0;
  const double wanted = from.volume->fingerprint == 0 ? 0 : static_cast<double>(std::min(from.volume->used, size));
  const auto room = static_cast<double>(space_of(world, *to.backing).available + to.volume->used);
  const double until_full = thin && wanted > room ? room / wanted : 1;
  const VirtualSpan span{static_cast<std::int64_t>(work_bytes * until_full / rate * 1000) + 500};
  const VirtualTime begun = world.now();
  const auto effect = [work, copy] {
    World& w = work->world();
    const FoundVolume source = require_volume(w, copy.from, copy.from_node);
    const FoundVolume target = require_volume(w, copy.to, copy.to_node);
    try {
      copy_content(w, source, target);
    } catch (const ApiError& error) {
      fail(copy.error_prefix + (copy.mirror.empty() ? "copy failed: " : "mirroring error: ") + error.message);
    }
  };
  auto last = std::make_shared<std::string>();
  const auto progress = [work, copy, size, begun, last](double share) {
    const double done = static_cast<double>(size) * share;
    const std::string text =
        human_size(done) + " of " + human_size(static_cast<double>(size)) + " (" + fixed_2(share * 100) + "%)";
    if (text == *last) return;
    *last = text;
    if (copy.mirror.empty()) {
      work->log("transferred " + text);
      return;
    }
    if (share == 0) return;
    const auto seconds = (work->world().now() - begun) / 1s;
    work->log(copy.mirror + ": transferred " + text + " in " + std::to_string(seconds) + "s" +
              (share >= 1 ? ", ready" : ""));
  };
  const auto interrupted = [work, copy]() -> std::string {
    if (!copy.mirror.empty()) return copy.error_prefix + "mirroring error: " + copy.mirror + ": received interrupt";
    World& w = work->world();
    const auto source = find_volume(w, copy.from, copy.from_node);
    const auto target = find_volume(w, copy.to, copy.to_node);
    if (!source || !target) return copy.error_prefix + "copy failed: received interrupt";
    const bool zero_init = target->backing->kind != "dir";
    std::string command = "/usr/bin/qemu-img convert -p -n";
    if (target->backing->kind == "zfs") command += " -t none";
    if (source->backing->kind == "zfs") command += " -T none";
    if (copy.limit_kib > 0) command += " -r " + std::to_string(copy.limit_kib) + "K";
    command += " -f " + source->volume->format + " -O " + target->volume->format + " " +
               volume_path(*source->storage, *source->volume) + " " + (zero_init ? "zeroinit:" : "") +
               volume_path(*target->storage, *target->volume);
    return copy.error_prefix + "copy failed: command '" + command + "' failed: interrupted by signal";
  };
  work->takes("copy", span, effect, progress, interrupted);
}

std::int64_t effective_bwlimit(const World& world, const std::vector<std::string>& storages, std::string_view kind,
                               std::int64_t asked) {
  std::int64_t limit = 0;
  const auto consider = [&](const std::string& text) {
    const Section set = parse_properties(text, "default");
    const std::string value = config_value(set, kind, config_value(set, "default"));
    if (!is_number_text(value)) return;
    const auto number = static_cast<std::int64_t>(std::stod(value));
    if (number > 0 && (limit == 0 || number < limit)) limit = number;
  };
  for (const StorageDef& storage : world.storages)
    if (std::find(storages.begin(), storages.end(), storage.id) != storages.end())
      consider(config_value(storage.values, "bwlimit"));
  consider(config_value(world.datacenter, "bwlimit"));
  if (asked > 0 && (limit == 0 || asked < limit)) limit = asked;
  return limit;
}

std::string target_format(const StorageDef& storage, const std::string& wanted, const std::string& source,
                          const Logger& log) {
  const auto formats = storage_formats(storage);
  const auto has = [&](const std::string& format) {
    return std::find(formats.begin(), formats.end(), format) != formats.end();
  };
  const std::string first = wanted.empty() ? source : wanted;
  if (has(first)) return first;
  const std::string used = has(source) ? source : formats.front();
  // Fact: only a format somebody asked for is worth a line.
  log("format '" + first + "' is not supported by the target storage '" + storage.id + "' - using '" + used +
      "' instead");
  return used;
}

std::string stored_tags(const World& world, std::string_view text) {
  const Section style = parse_properties(config_value(world.datacenter, "tag-style"), "");
  const bool keep_case = config_value(style, "case-sensitive") == "1";
  std::vector<std::string> tags;
  for (const std::string& tag : split_list(text)) {
    std::string stored = keep_case ? tag : lower_case(tag);
    if (std::find(tags.begin(), tags.end(), stored) == tags.end()) tags.push_back(std::move(stored));
  }
  if (config_value(style, "ordering") != "config") std::sort(tags.begin(), tags.end());
  std::string out;
  for (const std::string& tag : tags) out += (out.empty() ? "" : ";") + tag;
  return out;
}

bool valid_ssh_keys(std::string_view text) {
  const std::string decoded = decode_text(text);
  for (const std::string& line : split_at(decoded, '\n')) {
    const auto begin = line.find_first_not_of(" \t\r");
    if (begin == std::string::npos || line[begin] == '#') continue;
    const std::vector<std::string> words = [&] {
      std::vector<std::string> out;
      for (const std::string& word : split_at(line, ' '))
        if (!word.empty()) out.push_back(word);
      return out;
    }();
    bool fits = false;
    for (std::size_t i = 0; i + 1 < words.size(); ++i) {
      const std::string& kind = words[i];
      const bool known = starts_with(kind, "ssh-") || starts_with(kind, "ecdsa-") || starts_with(kind, "sk-");
      const std::string& key = words[i + 1];
      // The key itself begins with the length of its type name.
      fits = fits || (known && key.size() >= 60 && starts_with(key, "AAAA"));
    }
    if (!fits) return false;
  }
  return true;
}

}  // namespace pvesim
