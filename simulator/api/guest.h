#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "simulator/api/method.h"
#include "simulator/world/storage.h"
#include "simulator/world/work.h"

// What the guest methods share.
namespace pvesim {

/// Fact: the guest flock is waited for 10 s.
inline constexpr VirtualSpan kFlockPatience = std::chrono::seconds(10);

[[nodiscard]] int call_vmid(const Call& call);
/// The guest of the path on the node of the path, or PVE's text.
[[nodiscard]] Vm& call_vm(Call& call);
/// "skiplock" and its like: 400-map for everybody but root@pam with a ticket.
[[nodiscard]] bool root_only_flag(const Call& call, std::string_view name);
[[nodiscard]] Logger log_of(const std::shared_ptr<Work>& work);

/// What else decides about an option's rights.
struct OptionRights {
  bool creates = false;     // the guest is being created
  std::string before = {};  // the value until now; empty: none
  std::string pool = {};    // the pool the new guest is made in
};
/// Fact (check_vm_modify_config_perm and the checks beside it): rights on single options, on what is set and on what
/// it replaces. `value` is empty for deletions.
void check_option_rights(Call& call, int vmid, const std::string& key, const std::string& value,
                         const OptionRights& context);
/// Fact (check_mapping_access and its like): what a clone takes over from its source and may not be taken over freely.
void check_cloned_rights(Call& call, const Section& values);
/// Fact: a custom CPU model must exist, and using a new one needs Mapping.Use on it.
void check_cpu_model(Call& call, const std::string& value, const std::string& before);
/// Rights on the volumes drives name, and whether their storages exist and take images.
void check_drive_access(Call& call, int vmid, const std::string& slot, const std::string& value,
                        const std::string& default_storage);

/// "[STORE:]SIZE"
struct NewDisk {
  std::string storage = {};
  double gib = 0;
};
[[nodiscard]] std::optional<NewDisk> parse_new_disk(std::string_view file);

/// Normalises a drive parameter: 400-map "unable to parse drive options", the import-from rules.
[[nodiscard]] std::string checked_drive(World& world, int vmid, const std::string& slot, const std::string& value);

using VolumeList = std::shared_ptr<std::vector<std::string>>;
struct DiskRequest {
  int vmid = 0;
  std::string node = {}, slot = {}, value = {}, default_storage = {};
  std::int64_t bwlimit = 0;
};
/// Adds the steps that allocate, import or activate one drive; `done` gets the string to store. New volumes are added
/// to `allocated` at once.
void add_disk_steps(const std::shared_ptr<Work>& work, const DiskRequest& request, const VolumeList& allocated,
                    const std::function<void(std::string)>& done);
void free_all(World& world, const std::string& node, const VolumeList& volumes);

/// How a copy between volumes is done and shown.
struct Copy {
  std::string from = {}, to = {};  // volids
  std::string from_node = {}, to_node = {};
  std::int64_t limit_kib = 0;
  std::string mirror = {};        // name of the block job of a live copy; empty: qemu-img
  std::int64_t size = 0;          // shown; 0: of the source
  std::string error_prefix = {};  // "storage migration failed: "
};
/// Adds the step that copies. A live copy ends "ready": the caller switches over in the next step.
void add_copy_step(const std::shared_ptr<Work>& work, const Copy& copy, double guest_write_rate);

/// Fact: the smallest of the storages' and the datacenter's limits for the class, and the asked one. KiB/s, 0: none.
[[nodiscard]] std::int64_t effective_bwlimit(const World& world, const std::vector<std::string>& storages,
                                             std::string_view kind, std::int64_t asked);
/// Requested format if the target has it, else the source's if it has that, else its default; says so in the log.
[[nodiscard]] std::string target_format(const StorageDef& storage, const std::string& wanted, const std::string& source,
                                        const Logger& log);

/// Tags as PVE stores them: unique, lower case, sorted, ';' between (unless datacenter.cfg says otherwise).
[[nodiscard]] std::string stored_tags(const World& world, std::string_view text);
/// Whether the text has OpenSSH public keys, one per line.
[[nodiscard]] bool valid_ssh_keys(std::string_view text);
/// Fact: new volumes of a replicated guest must be replicatable or have replicate=0.
void check_replicatable(World& world, int vmid, const Drive& drive);

}  // namespace pvesim
