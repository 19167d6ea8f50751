#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "reconciler/model/option_codec.h"
#include "tests/unit/planning/world.h"

namespace pvr::testing {
namespace {

class Cluster {
 public:
  explicit Cluster(LiveState& live) : live_(live) {}

  void run(const Operation& op) {
    waits_ = op.impact == Impact::kPendingRestart || op.impact == Impact::kRestart;
    std::visit(
        [this](const auto& p) {
          // The model is what the API shows; whatever works below it is tested on the simulator.
          if constexpr (requires { (*this)(p); })
            (*this)(p);
          else
            ADD_FAILURE() << procedure_name(p) << " needs host access, which this cluster has not";
        },
        op.procedure);
  }

  void operator()(const CreateStorage& p) {
    LiveStorage storage{.id = p.id, .type = p.type, .properties = p.properties};
    for (const LiveNode& node : live_.nodes)
      storage.on_node[node.name] = {.active = true, .enabled = true, .total = 1_TiB, .available = 1_TiB};
    live_.storages.insert(std::ranges::lower_bound(live_.storages, p.id, {}, &LiveStorage::id), std::move(storage));
  }
  void operator()(const UpdateStorage& p) {
    auto at = std::ranges::find(live_.storages, p.id, &LiveStorage::id);
    for (const auto& [key, text] : p.set) at->properties.set(key, text);
    for (const std::string& key : p.unset) at->properties.erase(key);
  }
  void operator()(const CreatePool& p) { live_.pools.push_back(p.id); }
  void operator()(const AddToPool& p) { of(p.vmid).pool = p.id; }
  void operator()(const CreateVm& p) {
    LiveVm made{.vmid = p.vmid, .node = p.node, .power = PowerState::kStopped};
    made.snapshots_known = true;
    made.pool = p.pool;
    for (const auto& [key, text] : p.options) made.options.set(key, LiveOption{.current = with_mac(key, text)});
    // What PVE adds by itself.
    made.options.set("meta", LiveOption{.current = "creation-qemu=10.1"});
    made.uuid = p.uuid.empty() ? "made-by-pve" : p.uuid;
    put(live_, std::move(made));
    for (const auto& [key, text] : p.disks) create_disk(p.vmid, slot(key), text);
  }
  void operator()(const CloneVm& p) {
    const LiveVm source = *live_.vm(p.source);
    LiveVm made{.vmid = p.vmid,
                .name = p.name,
                .node = p.target_node.empty() ? source.node : p.target_node,
                .power = PowerState::kStopped};
    made.snapshots_known = true;
    made.pool = p.pool;
    made.uuid = "made-by-pve";
    made.options = source.options;
    made.options.erase("template");
    made.options.set("name", LiveOption{.current = p.name});
    made.options.set("smbios1", LiveOption{.current = "uuid=made-by-pve"});
    put(live_, std::move(made));
    for (const LiveDrive& drive : source.drives) {
      if (drive.slot.bus == Bus::kUnused) continue;
      LiveDrive copy{.slot = drive.slot, .current = drive.current};
      if (copy.current->volume && copy.current->medium != Drive::Medium::kCdrom) {
        copy.current->volume =
            allocate(p.vmid, p.storage.empty() ? copy.current->volume->storage : p.storage, *copy.current->size);
      }
      LiveVm& guest = of(p.vmid);
      guest.drives.insert(std::ranges::lower_bound(guest.drives, copy.slot, {}, &LiveDrive::slot), std::move(copy));
    }
  }
  void operator()(const SetVmOptions& p) {
    LiveVm& guest = of(p.vmid);
    for (const auto& [key, text] : p.set) {
      if (const std::optional<DriveSlot> cd = parse_slot(key)) {
        write_drive(guest, *cd, *parse_drive(*cd, text));
        continue;
      }
      LiveOption& option = guest.options[key];
      if (is_running(guest) && waits_) {
        option.has_current = option.has_current && !option.current.empty();
        option.pending = with_mac(key, text);
        option.pending_delete = false;
      } else {
        option = LiveOption{.current = with_mac(key, text)};
      }
    }
    for (const std::string& key : p.unset) {
      if (is_running(guest) && waits_)
        guest.options[key].pending_delete = true;
      else
        guest.options.erase(key);
    }
  }
  void operator()(const SetDriveOptions& p) {
    LiveVm& guest = of(p.vmid);
    LiveDrive& entry = at(guest, p.slot);
    ASSERT_TRUE(p.volume.name.empty() || entry.configured()->volume == p.volume)
        << "another volume is at " << to_text(p.slot);
    Drive changed = *entry.configured();
    for (const auto& [key, text] : p.set) {
      if (text.empty())
        changed.options.erase(key);
      else
        changed.options.set(key, option(Home::kDriveOption, key, text));
    }
    write_drive(guest, p.slot, std::move(changed));
  }
  void operator()(const AddDisk& p) {
    std::string text = p.cloud_init ? p.storage + ":cloudinit"
                                    : fmt::format("{}:{}", p.storage, static_cast<double>(p.size.bytes) / (1U << 30U));
    for (const auto& [key, value] : p.options) text += fmt::format(",{}={}", key, value);
    if (!p.import_from.empty()) text += ",import-from=" + p.import_from;
    create_disk(p.vmid, p.slot, text);
  }
  void operator()(const AttachVolume& p) {
    LiveVm& guest = of(p.vmid);
    std::optional<ByteSize> size = size_of(p.volume);
    if (p.from) std::erase_if(guest.drives, [&](const LiveDrive& drive) { return drive.slot == *p.from; });
    Drive drive{.volume = p.volume, .size = size};
    for (const auto& [key, text] : p.options) drive.options.set(key, option(Home::kDriveOption, key, text));
    write_drive(guest, p.slot, std::move(drive));
  }
  void operator()(const DetachDisk& p) {
    LiveVm& guest = of(p.vmid);
    std::erase_if(guest.drives, [&](const LiveDrive& drive) { return drive.slot == p.slot; });
    retire(guest, p.volume);
  }
  void operator()(const DestroyVolume& p) {
    LiveVm& guest = of(p.vmid);
    std::erase_if(guest.drives, [&](const LiveDrive& drive) {
      return drive.slot.bus == Bus::kUnused && drive.current->volume == p.volume;
    });
    std::erase_if(live_.volumes, [&](const LiveVolume& volume) { return volume.id == p.volume; });
  }
  void operator()(const ResizeDisk& p) {
    LiveVm& guest = of(p.vmid);
    LiveDrive& entry = at(guest, p.slot);
    for (LiveVolume& volume : live_.volumes)
      if (volume.id == entry.current->volume) volume.size = p.size;
    entry.current->size = p.size;
    if (entry.pending) entry.pending->size = p.size;
  }
  void operator()(const MoveDisk& p) {
    LiveVm& guest = of(p.vmid);
    LiveDrive& entry = at(guest, p.slot);
    const VolumeId old = *entry.current->volume;
    ASSERT_TRUE(p.volume.name.empty() || old == p.volume);
    const OptionValue* aio = entry.current->options.find("aio");
    const bool io_uring = aio != nullptr && *aio == OptionValue(std::string("io_uring"));
    if (is_running(guest) && io_uring && (p.storage == "san" || p.storage == "thick"))
      ADD_FAILURE() << "PVE refuses to move " << to_text(p.slot) << " with io_uring";
    entry.current->volume = allocate(p.vmid, p.storage, *entry.current->size);
    // `pending` keeps naming the old volume: the next stop would bring it back.
    if (!p.remove_source) retire(guest, old);
  }
  void operator()(const RestartVm& p) { settle(of(p.vmid)); }
  void operator()(const StopVm& p) {
    settle(of(p.vmid));
    of(p.vmid).power = PowerState::kStopped;
  }
  void operator()(const StartVm& p) {
    settle(of(p.vmid));
    of(p.vmid).power = PowerState::kRunning;
  }
  void operator()(const DestroyVm& p) {
    std::erase_if(live_.volumes, [&](const LiveVolume& volume) { return volume.owner == p.vmid; });
    std::erase_if(live_.vms, [&](const LiveVm& guest) { return guest.vmid == p.vmid; });
  }
  void operator()(const SetHa& p) {
    auto at = std::ranges::find(live_.ha, p.sid, &LiveHa::sid);
    if (at == live_.ha.end()) at = live_.ha.insert(live_.ha.end(), LiveHa{.sid = p.sid});
    for (const auto& [key, text] : p.set) at->properties.set(key, text);
    for (const std::string& key : p.unset) at->properties.erase(key);
    const std::string* state = at->properties.find("state");
    if (state != nullptr && *state != "started") return;
    // HA keeps its resources running.
    LiveVm& guest = of({static_cast<std::uint32_t>(std::stoul(p.sid.substr(3)))});
    if (guest.power == PowerState::kStopped) (*this)(StartVm{.vmid = guest.vmid});
  }
  void operator()(const RemoveHa& p) {
    std::erase_if(live_.ha, [&](const LiveHa& ha) { return ha.sid == p.sid; });
  }
  void operator()(const SetReplication& p) {
    auto at = std::ranges::find(live_.replication, p.id, &LiveReplication::id);
    if (at == live_.replication.end()) {
      const auto guest = static_cast<std::uint32_t>(std::stoul(p.id));
      at = live_.replication.insert(live_.replication.end(),
                                    LiveReplication{.id = p.id, .guest = {guest}, .target = p.target});
    }
    for (const auto& [key, text] : p.set) at->properties.set(key, text);
  }

 private:
  LiveVm& of(Vmid vmid) { return *std::ranges::find(live_.vms, vmid, &LiveVm::vmid); }
  static LiveDrive& at(LiveVm& guest, DriveSlot slot) {
    return *std::ranges::find(guest.drives, slot, &LiveDrive::slot);
  }
  static bool is_running(const LiveVm& guest) { return guest.power == PowerState::kRunning; }
  // PVE makes a MAC address where none is given.
  static std::string with_mac(std::string_view key, const std::string& text) {
    const Setting* setting = find_setting(Home::kVmOption, key);
    if (setting == nullptr || setting->name != "net") return text;
    OptionValue value = option(Home::kVmOption, key, text);
    auto& parts = std::get<PropertyString>(value);
    if (parts.find("macaddr") == nullptr) parts.set("macaddr", "BC:24:11:00:00:01");
    return print_option(*setting, value);
  }
  std::optional<ByteSize> size_of(const VolumeId& volume) const {
    for (const LiveVolume& listed : live_.volumes)
      if (listed.id == volume) return listed.size;
    return std::nullopt;
  }
  VolumeId allocate(Vmid vmid, const std::string& storage, ByteSize size) {
    for (int number = 0;; ++number) {
      VolumeId id{.storage = storage, .name = fmt::format("vm-{}-disk-{}", vmid.number, number)};
      if (size_of(id)) continue;
      list_volume(live_, to_text(id), size);
      return id;
    }
  }
  static void retire(LiveVm& guest, const VolumeId& volume) {
    for (std::uint16_t number = 0;; ++number) {
      const DriveSlot unused{.bus = Bus::kUnused, .index = number};
      if (guest.drive(unused) != nullptr) continue;
      LiveDrive entry{.slot = unused, .current = Drive{.volume = volume}};
      guest.drives.insert(std::ranges::lower_bound(guest.drives, unused, {}, &LiveDrive::slot), std::move(entry));
      return;
    }
  }
  void write_drive(LiveVm& guest, DriveSlot slot, Drive drive) const {
    auto entry = std::ranges::find(guest.drives, slot, &LiveDrive::slot);
    if (entry == guest.drives.end()) {
      entry = guest.drives.insert(std::ranges::lower_bound(guest.drives, slot, {}, &LiveDrive::slot),
                                  LiveDrive{.slot = slot});
    }
    if (is_running(guest) && waits_) {
      entry->pending = std::move(drive);
    } else {
      entry->current = std::move(drive);
      entry->pending.reset();
    }
  }
  void create_disk(Vmid vmid, DriveSlot slot, std::string text) {
    const auto colon = text.find(':');
    const auto comma = text.find(',');
    const std::string storage = text.substr(0, colon);
    const std::string what = text.substr(colon + 1, comma == std::string::npos ? std::string::npos : comma - colon - 1);
    std::string options = comma == std::string::npos ? "" : text.substr(comma);
    LiveVm& guest = of(vmid);
    if (options.find("media=cdrom") != std::string::npos) return write_drive(guest, slot, *parse_drive(slot, text));
    if (what == "cloudinit") {
      const VolumeId id{.storage = storage, .name = fmt::format("vm-{}-cloudinit", vmid.number)};
      list_volume(live_, to_text(id), 4_MiB);
      return write_drive(guest, slot, *parse_drive(slot, to_text(id) + ",media=cdrom,size=4M"));
    }
    ByteSize size{static_cast<std::uint64_t>(std::stod(what) * (1U << 30U))};
    if (const auto import = options.find(",import-from="); import != std::string::npos) {
      const auto end = options.find(',', import + 1);
      options.erase(import, end == std::string::npos ? std::string::npos : end - import);
      size = 3_GiB;
    }
    if (slot.bus == Bus::kEfi || slot.bus == Bus::kTpm) size = 4_MiB;
    // PVE drops the format from the stored string.
    if (const auto format = options.find(",format="); format != std::string::npos) {
      const auto end = options.find(',', format + 1);
      options.erase(format, end == std::string::npos ? std::string::npos : end - format);
    }
    const VolumeId id = allocate(vmid, storage, size);
    Result<Drive> drive = parse_drive(slot, fmt::format("{}{},size={}", to_text(id), options, print_disk_size(size)));
    ASSERT_TRUE(drive) << text;
    write_drive(of(vmid), slot, *drive);
  }
  static void settle(LiveVm& guest) {
    for (LiveDrive& drive : guest.drives) {
      if (drive.pending) drive.current = std::move(drive.pending);
      drive.pending.reset();
    }
    std::vector<std::string> gone;
    for (auto& [key, option] : guest.options) {
      if (option.pending_delete)
        gone.push_back(key);
      else if (option.pending)
        option = LiveOption{.current = *option.pending};
    }
    for (const std::string& key : gone) guest.options.erase(key);
  }

  LiveState& live_;
  bool waits_ = false;
};

}  // namespace

void apply(LiveState& live, const Plan& plan) {
  Cluster cluster(live);
  for (const Operation& op : plan.operations) cluster.run(op);
}

}  // namespace pvr::testing
