// /nodes/N/storage: status, content, allocation, removal, downloads (PVE storage 9.1).

#include <algorithm>

#include "simulator/api/guest.h"
#include "simulator/api/rows.h"
#include "simulator/api/spec_text.h"
#include "simulator/api/storage_methods.h"
#include "simulator/api/support.h"
#include "simulator/wire/formats.h"
#include "simulator/world/text.h"
#include "simulator/world/vm_config.h"

namespace pvesim {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

json status_json(World& world, const StorageDef& storage, const std::string& node) {
  const bool enabled = storage_enabled(storage) && on_node(storage, node);
  const Backing* backing = enabled ? backing_of(world, storage, node) : nullptr;
  const Space space = backing != nullptr ? space_of(world, *backing) : Space{};
  return {{"type", storage.type},
          {"content", content_text(world, storage)},
          {"shared", shared_storage(storage) ? 1 : 0},
          {"enabled", enabled ? 1 : 0},
          {"active", backing != nullptr ? 1 : 0},
          {"total", space.total},
          {"used", space.used},
          {"avail", space.available}};
}

json list_status(Call& call) {
  json rows = json::array();
  World& world = call.world;
  const std::string only = text_or(call.params, "storage", "");
  const std::vector<std::string> contents = split_list(text_or(call.params, "content", ""));
  const std::string target = text_or(call.params, "target", "");
  if (!only.empty()) (void)world.storage(only);
  for (const StorageDef& storage : world.storages) {
    if (!only.empty() && storage.id != only) continue;
    if (!has_privilege(call, "/storage/" + storage.id, "Datastore.Audit|Datastore.AllocateSpace")) continue;
    // Fact: rows of storages that are not for this node are left out.
    if (!on_node(storage, call.node)) continue;
    if (!contents.empty() && std::none_of(contents.begin(), contents.end(),
                                          [&](const std::string& one) { return has_content(storage, one); }))
      continue;
    if (flag_or(call.params, "enabled", false) && !storage_enabled(storage)) continue;
    if (!target.empty() && target != call.node && (!shared_storage(storage) || !on_node(storage, target))) continue;
    json row = status_json(world, storage, call.node);
    row["storage"] = storage.id;
    if (row["total"].get<std::int64_t>() > 0)
      row["used_fraction"] =
          static_cast<double>(row["used"].get<std::int64_t>()) / static_cast<double>(row["total"].get<std::int64_t>());
    if (flag_or(call.params, "format", false)) {
      const auto formats = storage_formats(storage);
      row["formats"] = {{"supported", formats}, {"default", formats.front()}};
    }
    rows.push_back(std::move(row));
  }
  shuffle(world, rows);
  return rows;
}

json one_status(Call& call) {
  const std::string id = call.params.at("storage");
  const StorageDef* storage = call.world.find_storage(id);
  if (storage == nullptr) fail_param("storage", "No such storage.");
  return status_json(call.world, *storage, call.node);
}

json storage_index(Call&) {
  json rows = json::array();
  for (const char* name : {"status", "content", "download-url", "file-restore", "import-metadata", "prunebackups",
                           "rrd", "rrddata", "upload"})
    rows.push_back({{"subdir", name}});
  return rows;
}

/// Whether a row of the content may be seen.
bool may_see(Call& call, const std::string& storage, const std::string& content, int owner) {
  if (has_privilege(call, "/storage/" + storage, "Datastore.Allocate")) return true;
  if (content == "iso" || content == "vztmpl" || content == "import" || content == "snippets")
    return has_privilege(call, "/storage/" + storage, "Datastore.AllocateSpace|Datastore.Audit");
  if (owner == 0) return false;
  const std::string path = "/vms/" + std::to_string(owner);
  if (content == "backup")
    return has_privilege(call, "/storage/" + storage, "Datastore.AllocateSpace") &&
           has_privilege(call, path, "VM.Backup");
  return has_privilege(call, "/storage/" + storage, "Datastore.Audit") && has_privilege(call, path, "VM.Config.Disk");
}

bool is_open(const World& world, const Backing& backing, const std::string& name) {
  const VolumeRef ref{backing.key, name};
  return std::any_of(world.vms.begin(), world.vms.end(), [&](const auto& entry) {
    return entry.second.running && std::any_of(entry.second.running->open.begin(), entry.second.running->open.end(),
                                               [&](const auto& slot) { return slot.second == ref; });
  });
}

json content_row(const World& world, const StorageDef& storage, const Backing& backing, const Volume& volume,
                 const VolumeName& name, const std::string& volid) {
  json row = {{"volid", volid}, {"content", name.content}, {"format", volume.format}, {"size", volume.size}};
  if (name.vmid != 0) row["vmid"] = name.vmid;
  if (storage.type == "zfspool") {
    row["name"] = volume.name;
    row["parent"] = volume.origin.empty() ? json(nullptr) : json(volume.origin);
    return row;
  }
  if (storage.type == "lvm" || storage.type == "lvmthin") {
    row["ctime"] = std::to_string(volume.ctime);
    // Fact: the size inside a qcow2 volume is only known while it is active.
    if (volume.format == "qcow2" && !is_open(world, backing, volume.name)) {
      row.erase("size");
      row["approximate-size"] = volume.size + volume.size / 8192 + (2 << 20);
    }
    return row;
  }
  if (is_file_based(storage.type)) {
    row["ctime"] = volume.ctime;
    if (name.content == "images") {
      row["used"] = volume.used;
      row["parent"] = volume.origin.empty() ? json(nullptr) : json("../" + volume.origin);
    }
    if (name.content == "backup" && volume.is_protected) row["protected"] = 1;
    if (!volume.notes.empty()) row["notes"] = volume.notes;
    return row;
  }
  if (storage.type == "iscsi") row["channel"] = 0;
  if (storage.type == "rbd") {
    row["name"] = volume.name;
    row["parent"] = volume.origin.empty() ? json(nullptr) : json(volume.origin);
  }
  return row;
}

[[noreturn]] void missing_place(World& world, const StorageDef& storage, const std::string& node) {
  const std::string pool = config_value(storage.values, "pool");
  if (storage.type == "zfspool") {
    if (pool_of_dataset(world, node, pool) == nullptr)
      fail("could not activate storage '" + storage.id + "', zfs error: cannot import '" +
           pool.substr(0, pool.find('/')) + "': no such pool available");
    fail("zfs error: cannot open '" + pool + "': dataset does not exist");
  }
  if (storage.type == "lvm" || storage.type == "lvmthin")
    fail("no such volume group '" + config_value(storage.values, "vgname") + "'");
  fail("storage '" + storage.id + "' is not online");
}

json list_content(Call& call) {
  World& world = call.world;
  const std::string id = call.params.at("storage");
  StorageDef& storage = require_enabled(world, id, call.node);
  const std::string wanted = text_or(call.params, "content", "");
  const auto vmid = static_cast<int>(integer_or(call.params, "vmid", 0));
  Backing* backing = backing_of(world, storage, call.node);
  if (backing == nullptr) missing_place(world, storage, call.node);
  std::vector<json> rows;
  for (const auto& [key, volume] : backing->volumes) {
    const std::string volid = volume_id(storage, volume);
    VolumeName name;
    try {
      name = parse_volume_name(storage, volid.substr(storage.id.size() + 1));
    } catch (const ApiError&) {
      continue;  // Fact: names PVE cannot read are not listed
    }
    if (!wanted.empty() && name.content != wanted) continue;
    if (wanted.empty() && !has_content(storage, name.content)) continue;
    if (vmid != 0 && name.vmid != vmid) continue;
    if (!may_see(call, id, name.content, name.vmid)) continue;
    rows.push_back(content_row(world, storage, *backing, volume, name, volid));
  }
  std::sort(rows.begin(), rows.end(), [](const json& a, const json& b) {
    return a["volid"].get_ref<const std::string&>() < b["volid"].get_ref<const std::string&>();
  });
  return rows;
}

/// "{volume}" is a volid or a volume name of the storage in the path.
std::string call_volid(const Call& call) {
  const std::string id = call.params.at("storage");
  const std::string volume = call.params.at("volume");
  const auto parsed = parse_volume_id(volume);
  if (!parsed) return id + ":" + volume;
  if (parsed->storage != id) fail_param("volume", "storage ID mismatch (" + parsed->storage + " != " + id + ")\n");
  return volume;
}

json volume_info(Call& call) {
  const std::string volid = call_volid(call);
  const StorageDef& storage = require_enabled(call.world, call.params.at("storage"), call.node);
  const auto id = parse_volume_id(volid);
  const VolumeName name = parse_volume_name(storage, id->name);
  if (!may_see(call, id->storage, name.content, name.vmid))
    fail_permission("/storage/" + id->storage, "Datastore.Allocate");
  const FoundVolume found = require_volume(call.world, volid, call.node);
  json out = {{"path", volume_path(storage, *found.volume)},
              {"size", found.volume->size},
              {"used", found.volume->used},
              {"format", found.volume->format}};
  if (found.backing->kind == "zfs") out["used"] = found.volume->used + 57344;  // its own metadata
  if (!found.volume->notes.empty()) out["notes"] = found.volume->notes;
  return out;
}

json allocate(Call& call) {
  Allocation what;
  what.storage = call.params.at("storage");
  what.vmid = static_cast<int>(integer_or(call.params, "vmid", 0));
  what.name = call.params.at("filename");
  what.format = text_or(call.params, "format", "");
  const std::string size = call.params.at("size");
  const bool unit = size.back() == 'M' || size.back() == 'G';
  what.size = unit ? parse_size(size) : std::stoll(size) * 1024;
  // Fact: the ending of the name decides; another format beside it is refused.
  for (const std::string format : {"raw", "qcow2", "vmdk"}) {
    if (!ends_with(what.name, "." + format)) continue;
    if (!what.format.empty() && what.format != format)
      fail_param("format", "different storage formats (" + what.format + " != " + format + ")");
    what.format = format;
  }
  if (what.format.empty()) what.format = "raw";
  auto work = std::make_shared<Work>(call.world);
  auto volid = std::make_shared<std::string>();
  work->lock_storage(what.storage);
  work->takes("allocate", 300ms, [raw = work.get(), what, volid, node = call.node] {
    *volid = allocate_volume(raw->world(), node, what, [](const std::string&) {});
  });
  call.world.run_synchronously(work);
  return *volid;
}

json remove(Call& call) {
  World& world = call.world;
  const std::string volid = call_volid(call);
  const auto id = parse_volume_id(volid);
  const StorageDef& storage = require_enabled(world, id->storage, call.node);
  const VolumeName name = parse_volume_name(storage, id->name);
  if (name.content == "backup") {
    require_privilege(call, "/storage/" + id->storage, "Datastore.AllocateSpace");
    require_privilege(call, "/vms/" + std::to_string(name.vmid), "VM.Backup");
  } else {
    require_privilege(call, "/storage/" + id->storage, "Datastore.Allocate");
  }
  auto work = std::make_shared<Work>(world);
  Work* raw = work.get();
  work->lock_storage(id->storage);
  work->takes("free", 300ms, [raw, volid, node = call.node] {
    if (const auto found = find_volume(raw->world(), volid, node); found && found->volume->is_protected)
      fail("can't remove volume '" + volid + "' - volume is protected");
    free_volume(raw->world(), node, volid, [raw](const std::string& line) { raw->log(line); });
    raw->log("Removed volume '" + volid + "'");
  });
  const std::string owner = name.vmid != 0 ? std::to_string(name.vmid) : "";
  const std::string upid =
      world.start_task(call.node, "imgdel", owner + "@" + id->storage, call.session.auth_id(), work);
  if (const std::int64_t delay = integer_or(call.params, "delay", 0); delay > 0) {
    const bool ended = world.wait_until([&] { return !world.find_task(upid)->running; }, world.now() + delay * 1s);
    if (ended) {
      const std::string status = world.find_task(upid)->exit_status;
      if (status != "OK") fail(status);
      return nullptr;
    }
  }
  return upid;
}

json update_volume(Call& call) {
  const std::string volid = call_volid(call);
  const FoundVolume found = require_volume(call.world, volid, call.node);
  if (!may_see(call, found.storage->id, found.name.content, found.name.vmid))
    fail_permission("/storage/" + found.storage->id, "Datastore.Allocate");
  const bool supports = is_file_based(found.storage->type) && found.name.content == "backup";
  const std::string plugin = found.storage->type == "zfspool"   ? "ZFSPoolPlugin"
                             : found.storage->type == "lvm"     ? "LVMPlugin"
                             : found.storage->type == "lvmthin" ? "LvmThinPlugin"
                             : found.storage->type == "rbd"     ? "RBDPlugin"
                                                                : "DirPlugin";
  if (!supports && given(call.params, "notes"))
    fail(plugin == "DirPlugin" ? "only backups can have notes"
                               : "volume notes are not supported for PVE::Storage::" + plugin +
                                     " at /usr/share/perl5/PVE/Storage/Plugin.pm line 1300.");
  if (!supports) fail("only backups support attribute 'protected'");
  if (const std::string* notes = find_param(call.params, "notes")) found.volume->notes = *notes;
  if (given(call.params, "protected")) found.volume->is_protected = flag_or(call.params, "protected", false);
  return nullptr;
}

/// Fact: the path is stripped and other characters become '_'.
std::string normal_file_name(std::string name) {
  if (const auto slash = name.rfind('/'); slash != std::string::npos) name.erase(0, slash + 1);
  for (char& c : name)
    if (std::isalnum(static_cast<unsigned char>(c)) == 0 && std::string_view("-_.").find(c) == std::string_view::npos)
      c = '_';
  return name;
}

json download(Call& call) {
  World& world = call.world;
  const std::string id = call.params.at("storage");
  StorageDef& storage = require_enabled(world, id, call.node);
  const std::string content = call.params.at("content");
  const std::string file = normal_file_name(call.params.at("filename"));
  if (given(call.params, "checksum") != given(call.params, "checksum-algorithm"))
    fail_param(given(call.params, "checksum") ? "checksum-algorithm" : "checksum",
               "missing property required by 'checksum'");
  if (!is_file_based(storage.type) || !has_content(storage, content))
    fail("storage '" + id + "' is not configured for content-type '" + content + "'");
  const std::string low = lower_case(file);
  const auto is = [&](const char* end) { return ends_with(low, end); };
  if (content == "iso" && !is(".iso") && !is(".img")) fail_param("filename", "wrong file extension");
  if (content == "import" && !is(".ova") && !is(".qcow2") && !is(".raw") && !is(".vmdk"))
    fail_param("filename", "invalid filename or wrong extension");
  const std::string volid = id + ":" + content + "/" + file;
  auto work = std::make_shared<Work>(world);
  Work* raw = work.get();
  const std::string url = call.params.at("url");
  const bool checked = given(call.params, "checksum");
  const std::string node = call.node;
  raw->then("begin", [raw, volid, url, checked, node, file] {
    World& w = raw->world();
    if (find_volume(w, volid, node)) {
      if (!checked) fail("refusing to override existing file '" + file + "'");
      raw->log("skip download, file exists and checksum matches - no need to download");
      return;
    }
    raw->log("downloading " + url + " to " + volid);
    // The simulated internet has one size of files: 600 MiB at 100 MiB/s.
    raw->takes("download", 6s, [raw, volid, node] {
      World& inner = raw->world();
      const auto parsed = parse_volume_id(volid);
      StorageDef& def = require_enabled(inner, parsed->storage, node);
      const VolumeName name = parse_volume_name(def, parsed->name);
      Backing* backing = backing_of(inner, def, node);
      if (backing == nullptr) fail("storage '" + def.id + "' is not online");
      Volume volume;
      volume.name = name.key;
      volume.format = name.format;
      volume.size = volume.used = 600LL << 20;
      if (volume.used > space_of(inner, *backing).available) fail("unable to open file - No space left on device");
      volume.fingerprint = inner.random() | 1U;
      volume.ctime = inner.now_seconds();
      const std::string key = volume.name;
      backing->volumes.emplace(key, std::move(volume));
      raw->log("download of '" + volid + "' finished");
    });
  });
  return world.start_task(call.node, "download", encode_text(file), call.session.auth_id(), work);
}

json import_metadata(Call& call) {
  const auto id = parse_volume_id(text_or(call.params, "volume", ""));
  const StorageDef& storage = require_enabled(call.world, call.params.at("storage"), call.node);
  const std::string volume = id ? id->name : text_or(call.params, "volume", "");
  const VolumeName name = parse_volume_name(storage, volume);
  if (name.content != "import") fail("storage does not support the importer API");
  if (name.format != "ova" && name.format != "ovf") fail("invalid format");
  return {
      {"type", "vm"},          {"source", "ovf"},          {"create-args", json::object()}, {"disks", json::object()},
      {"net", json::object()}, {"warnings", json::array()}};
}

}  // namespace

void add_content_methods(MethodTable& table) {
  const std::string base = "/nodes/{node}/storage";
  const auto add = [&](const char* verb, const char* tail, const char* privs, Handler handler) {
    MethodSpec method = storage_specs().method(verb, base + tail);
    if (*privs != 0) method.permission = needs_privilege("/storage/{storage}", privs);
    method.handler = std::move(handler);
    table.push_back(std::move(method));
  };
  const char* look = "Datastore.Audit|Datastore.AllocateSpace";
  add("GET", "", "", list_status);
  add("GET", "/{storage}", look, storage_index);
  add("GET", "/{storage}/status", look, one_status);
  add("GET", "/{storage}/content", look, list_content);
  add("POST", "/{storage}/content", "Datastore.AllocateSpace", allocate);
  add("GET", "/{storage}/content/{volume}", "", volume_info);
  add("PUT", "/{storage}/content/{volume}", "", update_volume);
  add("DELETE", "/{storage}/content/{volume}", "", remove);
  add("GET", "/{storage}/import-metadata", "", import_metadata);
  MethodSpec fetch = storage_specs().method("POST", base + "/{storage}/download-url");
  fetch.permission = [](Call& call) {
    require_privilege(call, fill_path("/storage/{storage}", call.params), "Datastore.AllocateTemplate");
    if (has_privilege(call, "/", "Sys.Audit") && has_privilege(call, "/", "Sys.Modify")) return;
    require_privilege(call, fill_path("/nodes/{node}", call.params), "Sys.AccessNetwork");
  };
  fetch.handler = download;
  table.push_back(std::move(fetch));
}

}  // namespace pvesim
