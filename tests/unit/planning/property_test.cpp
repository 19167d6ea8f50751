#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <random>

#include "tests/unit/planning/world.h"

namespace pvr::testing {
namespace {

// Fleets and clusters at random; the seed is printed, and PVR_SEED repeats one.
class Random {
 public:
  explicit Random(std::uint32_t seed) : engine_(seed) {}
  bool chance(int percent) { return below(100) < percent; }
  int below(int n) { return static_cast<int>(engine_() % static_cast<unsigned>(n)); }
  template <class T, std::size_t N>
  const T& pick(const std::array<T, N>& list) {
    return list[static_cast<std::size_t>(below(static_cast<int>(N)))];
  }
  std::mt19937& engine() { return engine_; }

 private:
  std::mt19937 engine_;
};

std::uint32_t first_seed() {
  const char* text = std::getenv("PVR_SEED");
  return text != nullptr ? static_cast<std::uint32_t>(std::stoul(text)) : std::random_device{}();
}

constexpr std::array<const char*, 6> kStorages = {"SSD-r10", "SSD-r10-models", "local", "nfs", "san", "thick"};
constexpr std::array<const char*, 4> kSizes = {"8GiB", "16GiB", "32GiB", "20GiB"};
constexpr std::array<const char*, 6> kDriveSettings = {"aio=io_uring", "cache=none", "discard=on",
                                                       "iothread=1",   "ssd=1",      "mbps_rd=100"};
constexpr std::array<std::pair<const char*, const char*>, 9> kOptions = {{{"cores", "4"},
                                                                          {"memory", "4096"},
                                                                          {"onboot", "1"},
                                                                          {"agent", "1"},
                                                                          {"net0", "virtio,bridge=vmbr1"},
                                                                          {"scsihw", "virtio-scsi-single"},
                                                                          {"tags", "b;a"},
                                                                          {"balloon", "0"},
                                                                          {"machine", "q35"}}};

std::string drive_settings(Random& random) {
  std::string text;
  for (const char* setting : kDriveSettings)
    if (random.chance(50)) text += (text.empty() ? "" : ",") + std::string(setting);
  return text;
}

struct World {
  ResolvedFleet wanted = {};
  LiveState state = cluster(true);
};

World make_world(Random& random) {
  World world;
  std::vector<ResolvedVm> vms;
  const int count = 1 + random.below(6);
  for (int i = 0; i < count; ++i) {
    const std::uint32_t id = 200 + static_cast<std::uint32_t>(i);
    ResolvedVm wanted = vm("vm-" + std::to_string(id), id);
    for (const auto& [key, text] : kOptions)
      if (random.chance(50)) set(wanted, key, text);
    const int disks = random.below(4);
    for (int d = 0; d < disks; ++d) {
      wanted.disks.push_back(disk("d" + std::to_string(d), "scsi" + std::to_string(d), random.pick(kStorages),
                                  random.pick(kSizes), drive_settings(random)));
    }
    if (random.chance(20)) wanted.state = VmState::kRunning;
    if (random.chance(10)) wanted.state = VmState::kStopped;
    if (random.chance(5)) wanted.state = VmState::kAbsent;
    if (random.chance(20)) wanted.pool = "prod";
    if (random.chance(20) && wanted.state != VmState::kStopped) wanted.ha = WrittenHa{.enabled = random.chance(70)};
    if (random.chance(75)) {
      LiveVm present = guest(id, random.chance(70) ? PowerState::kRunning : PowerState::kStopped);
      for (const auto& [key, text] : kOptions)
        if (random.chance(40))
          set(present, key,
              std::string(key) == "net0"                          ? "e1000=BC:24:11:00:00:07,bridge=vmbr0"
              : random.chance(50) || std::string(key) == "scsihw" ? text
                                                                  : "1");
      if (LiveOption* machine = present.options.find("machine"))
        machine->current = random.chance(50) ? "pc-q35-9.0" : "pc";
      int number = 0;
      for (int d = 0; d < 4; ++d) {
        if (random.chance(25)) continue;
        std::string storage = random.pick(kStorages);
        const bool file = storage == "local" || storage == "nfs";
        std::string text = storage + ":" + (file ? std::to_string(id) + "/" : "") + "vm-" + std::to_string(id) +
                           "-disk-" + std::to_string(number++) + (file ? ".raw" : "");
        const std::string settings = drive_settings(random);
        if (!settings.empty()) text += "," + settings;
        constexpr std::array<const char*, 4> kPveSizes = {"8G", "16G", "32G", "20G"};
        LiveDrive& drive = attach(present, "scsi" + std::to_string(d), text + ",size=" + random.pick(kPveSizes));
        if (present.power == PowerState::kRunning && random.chance(15)) {
          drive.pending = drive.current;
          drive.pending->options.set("backup", option(Home::kDriveOption, "backup", "0"));
        }
      }
      if (random.chance(10)) present.snapshots = {{.name = "snap"}};
      if (random.chance(5)) present.lock = "backup";
      put(world.state, present);
      if (random.chance(20)) world.state.ha.push_back({.sid = "vm:" + std::to_string(id)});
    }
    vms.push_back(std::move(wanted));
  }
  world.wanted = fleet(std::move(vms));
  return world;
}

PlanOptions some_options(Random& random) {
  return {.allow = {.restart = random.chance(50), .offline_copy = random.chance(50), .destroy = random.chance(50)}};
}

// Whatever the world looks like: every invariant holds (checked inside plan()), and after the plan there is nothing
// left to do.
TEST(PlanProperty, ApplyThenPlanIsEmpty) {
  const std::uint32_t first = first_seed();
  std::printf("seed %u\n", first);
  for (std::uint32_t seed = first; seed != first + 400; ++seed) {
    Random random(seed);
    World world = make_world(random);
    const PlanOptions options = some_options(random);
    const Plan made = plan(world.wanted, world.state, options);
    LiveState after = world.state;
    apply(after, made);
    const Plan again = plan(world.wanted, after, options);
    ASSERT_TRUE(again.empty()) << "PVR_SEED=" << seed << "\nfirst:\n" << show(made) << "then:\n" << show(again);
    if (::testing::Test::HasFailure()) FAIL() << "PVR_SEED=" << seed;
  }
}

// No operation leaves the data of a disk unreferenced: every volume that held a guest's disk still exists and is named
// by a key of its guest, unless the fleet says that it must go.
TEST(PlanProperty, NoVolumeIsLost) {
  const std::uint32_t first = first_seed();
  std::printf("seed %u\n", first);
  for (std::uint32_t seed = first; seed != first + 400; ++seed) {
    Random random(seed);
    World world = make_world(random);
    LiveState after = world.state;
    apply(after, plan(world.wanted, world.state, {.allow = {.restart = true, .offline_copy = true}}));
    for (const LiveVm& before : world.state.vms) {
      const LiveVm* now = after.vm(before.vmid);
      ASSERT_NE(now, nullptr) << "PVR_SEED=" << seed;
      for (const LiveDrive& drive : before.drives) {
        const bool named = std::ranges::any_of(
            now->drives, [&](const LiveDrive& d) { return d.current && d.current->volume == drive.current->volume; });
        ASSERT_TRUE(named) << "PVR_SEED=" << seed << " lost " << to_text(*drive.current->volume);
      }
    }
  }
}

TEST(PlanProperty, OrderOfTheInputsMeansNothing) {
  const std::uint32_t first = first_seed();
  std::printf("seed %u\n", first);
  for (std::uint32_t seed = first; seed != first + 200; ++seed) {
    Random random(seed);
    World world = make_world(random);
    const PlanOptions options = some_options(random);
    const std::string once = print_plan(plan(world.wanted, world.state, options));
    std::shuffle(world.wanted.vms.begin(), world.wanted.vms.end(), random.engine());
    std::shuffle(world.state.ha.begin(), world.state.ha.end(), random.engine());
    ASSERT_EQ(print_plan(plan(world.wanted, world.state, options)), once) << "PVR_SEED=" << seed;
  }
}

TEST(PlanProperty, PlansReadBackAsTheyWereWritten) {
  const std::uint32_t first = first_seed();
  std::printf("seed %u\n", first);
  for (std::uint32_t seed = first; seed != first + 100; ++seed) {
    Random random(seed);
    const World world = make_world(random);
    const std::string text = print_plan(plan(world.wanted, world.state, some_options(random)));
    const Result<Plan> read = parse_plan(text);
    ASSERT_TRUE(read) << "PVR_SEED=" << seed << ": " << read.error().message;
    ASSERT_EQ(print_plan(*read), text) << "PVR_SEED=" << seed;
  }
}

TEST(PlanScale, TenThousandGuestsInSyncAndOneChanged) {
  LiveState state = cluster();
  std::vector<ResolvedVm> vms;
  for (std::uint32_t id = 1000; id < 11000; ++id) {
    ResolvedVm wanted = vm("vm-" + std::to_string(id), id);
    for (const auto& [key, text] : kOptions) set(wanted, key, text);
    wanted.disks = {disk("data", "scsi1", "nfs", "32GiB", "aio=io_uring,cache=none,discard=on,iothread=1,ssd=1"),
                    disk("root", "scsi0", "SSD-r10", "16GiB", "aio=io_uring,cache=none,discard=on,iothread=1,ssd=1")};
    LiveVm present = guest(id);
    for (const auto& [key, text] : kOptions) set(present, key, text);
    set(present, "net0", "virtio=BC:24:11:00:00:07,bridge=vmbr1");
    attach(present, "scsi0", "SSD-r10:vm-" + std::to_string(id) + "-disk-0,discard=on,iothread=1,size=16G,ssd=1");
    attach(
        present, "scsi1",
        "nfs:" + std::to_string(id) + "/vm-" + std::to_string(id) + "-disk-0.raw,discard=on,iothread=1,size=32G,ssd=1");
    for (const LiveDrive& drive : present.drives) {
      state.volumes.push_back(
          {.id = *drive.current->volume, .content = "images", .size = drive.current->size, .owner = Vmid{id}});
    }
    state.vms.push_back(std::move(present));
    vms.push_back(std::move(wanted));
  }
  std::ranges::sort(state.volumes, {}, &LiveVolume::id);
  set(state.vms[5000], "cores", "2");
  const ResolvedFleet wanted = fleet(std::move(vms));
  const Diff changes = diff(wanted, state);
  const Checked<Plan> made = make_plan(wanted, changes, state, {});
  ASSERT_TRUE(made.ok());
  EXPECT_EQ(made.value->operations.size(), 1U);
  EXPECT_EQ(made.value->unchanged_vms, 9999U);
}

}  // namespace
}  // namespace pvr::testing
