// vzdump as a task: a lock, a copy that takes its time, an archive. And the (empty) list of backup jobs.

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

#include "simulator/api/support.h"
#include "simulator/wire/formats.h"
#include "simulator/world/storage.h"
#include "simulator/world/text.h"
#include "simulator/world/vm_config.h"
#include "simulator/world/work.h"

namespace pvesim {
namespace {

using nlohmann::json;
using namespace std::chrono_literals;

constexpr double kCompressed = 0.6;  // what an archive needs of the data it holds

std::vector<ParamSpec> backup_params() {
  const auto keep = [](const char* name) { return integer_param(name); };
  ParamSpec performance =
      property_param("performance", {integer_param("max-workers", 1, 256), integer_param("pbs-entries-max", 1)});
  performance.format = "backup-performance";
  ParamSpec enabled = flag_param("enabled");
  enabled.default_key = true;
  ParamSpec fleecing = property_param("fleecing", {enabled, text_param("storage", "pve-storage-id")});
  fleecing.format = "backup-fleecing";
  ParamSpec prune = property_param("prune-backups",
                                   {flag_param("keep-all"), keep("keep-last"), keep("keep-hourly"), keep("keep-daily"),
                                    keep("keep-weekly"), keep("keep-monthly"), keep("keep-yearly")});
  prune.format = "prune-backups";
  ParamSpec exclude = text_param("exclude-path");
  exclude.type = "array";
  return {flag_param("all"),
          integer_param("bwlimit", 0),
          enum_param("compress", {"0", "1", "gzip", "lzo", "zstd"}),
          text_param("dumpdir"),
          text_param("exclude", "pve-vmid-list"),
          std::move(exclude),
          std::move(fleecing),
          integer_param("ionice", 0, 8),
          with_pattern(with_max_length(text_param("job-id"), 50), "\\S+"),
          integer_param("lockwait", 0),
          enum_param("mailnotification", {"always", "failure"}),
          text_param("mailto", "email-or-username-list"),
          enum_param("mode", {"snapshot", "suspend", "stop"}),
          node_param(true),
          needs(with_max_length(text_param("notes-template"), 1024), "storage"),
          enum_param("notification-mode", {"auto", "legacy-sendmail", "notification-system"}),
          enum_param("pbs-change-detection-mode", {"legacy", "data", "metadata"}),
          std::move(performance),
          integer_param("pigz"),
          text_param("pool"),
          needs(flag_param("protected"), "storage"),
          std::move(prune),
          flag_param("quiet"),
          flag_param("remove"),
          text_param("script"),
          flag_param("stdexcludes"),
          flag_param("stdout"),
          flag_param("stop"),
          integer_param("stopwait", 0),
          text_param("storage", "pve-storage-id"),
          text_param("tmpdir"),
          text_param("vmid", "pve-vmid-list"),
          integer_param("zstd")};
}

/// The guests of this node the parameters mean, in order.
std::vector<int> selected_guests(Call& call) {
  std::vector<int> ids;
  const auto excluded = split_list(text_or(call.params, "exclude", ""));
  const auto take = [&](int vmid) {
    const Vm* vm = call.world.find_vm(vmid);
    if (vm == nullptr || vm->node != call.node) return;
    if (std::find(excluded.begin(), excluded.end(), std::to_string(vmid)) == excluded.end()) ids.push_back(vmid);
  };
  if (const std::string* pool = find_param(call.params, "pool")) {
    const auto found = call.world.pools.find(*pool);
    if (found == call.world.pools.end()) fail("pool '" + *pool + "' does not exist");
    for (const int vmid : found->second.vms) take(vmid);
  } else if (flag_or(call.params, "all", false)) {
    for (const auto& [vmid, vm] : call.world.vms) take(vmid);
  } else {
    std::vector<int> wanted;
    for (const std::string& id : split_list(text_or(call.params, "vmid", ""))) wanted.push_back(std::stoi(id));
    std::sort(wanted.begin(), wanted.end());
    for (const int vmid : wanted) take(vmid);
  }
  return ids;
}

std::string timestamp(std::int64_t seconds, const char* format) {
  const std::time_t time = seconds;
  std::tm parts{};
  gmtime_r(&time, &parts);
  std::array<char, 40> text{};
  return {text.data(), std::strftime(text.data(), text.size(), format, &parts)};
}

struct Job {
  std::string storage = {}, ending = {}, notes = {}, mode = {};
  bool is_protected = false;
  std::int64_t limit_kib = 0;
};

/// Data of the drives that are backed up.
std::int64_t data_size(World& world, const Vm& vm) {
  std::int64_t size = 0;
  for (const Drive& drive : drives_of(vm.config.values)) {
    if (!drive.has_volume() || drive.is_cdrom() || drive.get("backup") == "0") continue;
    if (const auto found = find_volume(world, drive.file, vm.node)) size += found->volume->used;
  }
  return size;
}

void write_archive(Work& work, int vmid, const std::string& node, const Job& job, std::int64_t size,
                   std::int64_t started) {
  World& world = work.world();
  StorageDef& storage = require_enabled(world, job.storage, node);
  Backing* backing = backing_of(world, storage, node);
  if (backing == nullptr || backing->failing) fail("storage '" + job.storage + "' is not online");
  Volume archive;
  archive.name =
      "dump/vzdump-qemu-" + std::to_string(vmid) + "-" + timestamp(started, "%Y_%m_%d-%H_%M_%S") + job.ending;
  archive.format = job.ending.substr(1);
  archive.size = static_cast<std::int64_t>(static_cast<double>(size) * kCompressed);
  archive.used = archive.size;
  archive.fingerprint = world.random() | 1U;
  archive.ctime = started;
  archive.notes = job.notes;
  archive.is_protected = job.is_protected;
  if (space_of(world, *backing).available < archive.size) fail("no space left on device");
  work.log("INFO: archive file size: " + human_size(static_cast<double>(archive.size)));
  backing->volumes[archive.name] = std::move(archive);
}

/// Queues the steps of one guest.
void add_guest(Work& work, int vmid, const std::string& node, const Job& job) {
  World& world = work.world();
  const std::string id = std::to_string(vmid);
  work.lock(vm_lock_file(vmid), 180s);
  work.then("begin " + id, [&work, &world, vmid, id, node, job] {
    Vm& vm = world.vm_on(node, vmid);
    require_unlocked(vm);
    const std::int64_t started = world.now_seconds();
    work.log("INFO: Starting Backup of VM " + id + " (qemu)");
    work.log("INFO: status = " + std::string(vm.running ? "running" : "stopped"));
    work.log("INFO: backup mode: " + std::string(vm.running ? job.mode : "stop"));
    vm.config.values["lock"] = "backup";
    write_config(vm);
    const auto unlock = [&world, vmid] {
      Vm* locked = world.find_vm(vmid);
      if (locked != nullptr && config_value(locked->config.values, "lock") == "backup")
        locked->config.values.erase("lock");
    };
    work.on_failure([unlock](ApiError&) { unlock(); });
    const std::int64_t size = data_size(world, vm);
    double rate = static_cast<double>(250LL << 20);
    if (job.limit_kib > 0) rate = std::min(rate, static_cast<double>(job.limit_kib) * 1024);
    const auto span = VirtualSpan(1000 + static_cast<std::int64_t>(static_cast<double>(size) * 1000 / rate));
    work.takes(
        "copy " + id, span,
        [&work, &world, vmid, id, node, job, size, started, unlock] {
          write_archive(work, vmid, node, job, size, started);
          unlock();
          world.unlock(vm_lock_file(vmid), &work);
          work.log("INFO: Finished Backup of VM " + id);
        },
        [&work, size](double share) {
          work.log("INFO: " + std::to_string(static_cast<int>(share * 100)) + "% (" +
                   human_size(static_cast<double>(size) * share) + " of " + human_size(static_cast<double>(size)) +
                   ")");
        });
  });
}

json start_backup(Call& call) {
  World& world = call.world;
  const Params& params = call.params;
  if (!given(params, "vmid") && !flag_or(params, "all", false) && !given(params, "pool") &&
      !flag_or(params, "stop", false))
    fail_param("vmid", "property is missing");
  for (const char* key : {"dumpdir", "job-id", "script", "tmpdir"})
    if (given(params, key) && !call.session.is_root_ticket()) fail_param(key, "Only root may set this option.");
  for (const char* key : {"bwlimit", "performance", "ionice"})
    if (given(params, key)) require_privilege(call, "/", "Sys.Modify");
  const std::string storage_id = text_or(params, "storage", "local");
  for (const std::string& id : split_list(text_or(params, "vmid", "")))
    require_privilege(call, "/vms/" + id, "VM.Backup");
  if (given(params, "storage")) require_privilege(call, "/storage/" + storage_id, "Datastore.AllocateSpace");
  if (given(params, "prune-backups")) require_privilege(call, "/storage/" + storage_id, "Datastore.Allocate");
  std::vector<int> guests = selected_guests(call);
  if (!given(params, "vmid"))
    std::erase_if(guests, [&](int vmid) { return !has_privilege(call, "/vms/" + std::to_string(vmid), "VM.Backup"); });
  // Fact: with nothing to do on this node the answer is this word, not a UPID.
  if (guests.empty()) return "OK";

  const std::string compress = text_or(params, "compress", "0");
  Job job;
  job.storage = storage_id;
  job.mode = text_or(params, "mode", "snapshot");
  job.ending = ".vma";
  if (compress == "zstd") job.ending = ".vma.zst";
  if (compress == "gzip") job.ending = ".vma.gz";
  if (compress == "lzo" || compress == "1") job.ending = ".vma.lzo";
  job.notes = text_or(params, "notes-template", "");
  job.is_protected = flag_or(params, "protected", false);
  job.limit_kib = integer_or(params, "bwlimit", 0);
  const auto work = std::make_shared<Work>(world);
  work->then("check storage", [raw = work.get(), node = call.node, job] {
    const StorageDef& storage = require_enabled(raw->world(), job.storage, node);
    if (!is_file_based(storage.type)) fail("can't use storage type '" + storage.type + "' for backup");
    if (!has_content(storage, "backup"))
      fail("can't use storage '" + job.storage + "' for backups - wrong content type");
    raw->log("INFO: starting new backup job: vzdump --storage " + job.storage + " --mode " + job.mode);
  });
  for (const int vmid : guests) add_guest(*work, vmid, call.node, job);
  work->then("finish", [raw = work.get()] { raw->log("INFO: Backup job finished successfully"); });
  return world.start_task(call.node, "vzdump", guests.size() == 1 ? std::to_string(guests.front()) : "",
                          call.session.auth_id(), work);
}

}  // namespace

void add_backup_methods(MethodTable& table) {
  MethodSpec jobs{.verb = "GET", .path = "/cluster/backup"};
  jobs.permission = needs_privilege("/", "Sys.Audit");
  jobs.handler = [](Call&) { return json::array(); };  // none can be made here, so there are none
  table.push_back(std::move(jobs));

  MethodSpec run{.verb = "POST", .path = "/nodes/{node}/vzdump", .is_protected = true, .proxy_to_node = true};
  run.params = backup_params();
  run.handler = start_backup;
  table.push_back(std::move(run));
}

}  // namespace pvesim
