#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "reconciler/planning/verify_plan.h"
#include "tests/unit/planning/world.h"

namespace pvr::testing {
namespace {

// A plan with one operation of nearly every kind.
Plan full_plan() {
  ResolvedVm created = vm("new", 500);
  set(created, "cipassword", "top-secret");
  created.disks = {disk("root", "scsi0", "san", "32GiB", "aio=io_uring")};
  created.pool = "prod";
  created.ha = WrittenHa{};
  ResolvedVm changed = vm("old", 201);
  set(changed, "cores", "4");
  set(changed, "cipassword", "top-secret");
  changed.disks = {disk("a", "scsi0", "SSD-r10-models", "64GiB", "discard=on"), disk("b", "scsi1", "san", "8GiB"),
                   disk("c", "scsi2", "san", "8GiB")};
  changed.disks[2].absent = true;
  LiveState state = cluster();
  LiveVm present = guest(201);
  attach(present, "scsi0", "SSD-r10:vm-201-disk-0,size=32G");
  attach(present, "scsi2", "san:vm-201-disk-1,size=8G");
  present.options.set("sockets", LiveOption{.current = "1", .pending = "2"});
  put(state, present);
  set(changed, "sockets", "2");
  ResolvedFleet wanted = fleet({created, changed});
  wanted.findings.push_back({.severity = Severity::kWarning,
                             .rule = "Z9",
                             .where = {.kind = AddressKind::kStorage, .name = "san"},
                             .what = "what",
                             .fix = "fix"});
  PlanOptions options{.allow = everything()};
  options.copy_rate = {50 * 1024 * 1024};
  Plan made = plan(wanted, state, options);
  made.gaps = {"a gap"};
  EXPECT_EQ(names(made),
            "create-pool create-vm set-vm-options move-disk resize-disk set-drive-options add-disk detach-disk "
            "set-vm-options restart-vm set-ha destroy-volume")
      << show(made);
  return made;
}

// What only plans with host access hold.
TEST(PlanFile, RoundTripKeepsWorkOnZvolsAndTheWaysThatWereWeighed) {
  Plan made;
  FlatMap<std::string> set;
  set.set("compression", "zstd");
  made.inputs.ssh = NodeAccess{.user = "pvereconcile", .sudo = true, .port = 2222, .local = false};
  made.inputs.ssh->hosts.set("pve1", "10.0.0.1");
  const DriveSlot at = slot("scsi2");
  const VolumeId volume{"SSD-r10", "vm-701-disk-1"};
  const std::vector<Procedure> procedures = {
      RetireVolume{.vmid = {701}, .slot = at, .volume = volume, .node = "pve1", .dataset = "tank/v", .guid = "1"},
      CreateDataset{.node = "pve1", .name = "tank/models", .properties = set},
      SetZvolProperties{.vmid = {701}, .slot = at, .volume = volume, .node = "pve1", .dataset = "tank/v", .set = set},
      SwapZvol{.vmid = {701}, .slot = at, .volume = volume, .storage = "s", .node = "pve1", .from = "a", .to = "b"},
      RecreateZvol{.vmid = {701},
                   .slot = at,
                   .volume = volume,
                   .node = "pve1",
                   .dataset = "tank/v",
                   .guid = "2",
                   .volblocksize = 128_KiB,
                   .thick = true,
                   .properties = set,
                   .snapshots = "keep",
                   .bandwidth = {5}},
      RollBackZvol{.vmid = {701}, .slot = at, .volume = volume, .node = "pve1", .dataset = "tank/v", .guid = "3"},
      DestroyDataset{.node = "pve1", .dataset = "tank/r", .guid = "4"},
      DeleteStorage{.id = "SSD-r10-models"},
      SetArcLimits{.node = "pve1", .max = 16_GiB, .min = 4_GiB, .options = set},
      SetPoolProperties{.node = "pve1", .pool = "tank", .set = set},
      SetTrimTimer{.node = "pve1", .pool = "tank", .timer = "weekly"},
      BackUpVm{.vmid = {701}, .storage = "pbs", .newer_than = std::chrono::seconds(60)},
      AttachVolume{.vmid = {701}, .slot = at, .volume = volume, .replaces = VolumeId{"SSD-r10", "vm-701-disk-2"}},
      StopVm{.vmid = {701}, .ha = true, .again = true}};
  for (const Procedure& procedure : procedures)
    made.operations.push_back({.id = static_cast<OperationId>(made.operations.size() + 1),
                               .address = {.kind = AddressKind::kVm, .name = "ai-01", .part = "models"},
                               .procedure = procedure});
  made.operations.back().in_any_case = true;
  made.choices = {{.address = {.kind = AddressKind::kVm, .name = "ai-01", .part = "models"},
                   .what = "give scsi2 volblocksize 128KiB",
                   .offers = {{.strategy = Strategy::kSwap,
                               .possible = true,
                               .chosen = true,
                               .why = "why",
                               .needs = "API",
                               .bytes = 1_GiB,
                               .peak_extra = 2_GiB,
                               .estimate = std::chrono::seconds(3),
                               .downtime = std::chrono::seconds(4)},
                              {.strategy = Strategy::kInPlace, .why = "no", .remedy = "--allow offline-copy"}}}};
  const std::string text = print_plan(made);
  const Result<Plan> read = parse_plan(text);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(print_plan(*read), text);
  const auto again = all<RecreateZvol>(*read).at(0);
  EXPECT_EQ(again.snapshots, "keep");
  EXPECT_EQ(again.volblocksize, 128_KiB);
  EXPECT_EQ(*again.properties.find("compression"), "zstd");
  EXPECT_EQ(all<AttachVolume>(*read).at(0).replaces, (VolumeId{"SSD-r10", "vm-701-disk-2"}));
  EXPECT_TRUE(all<StopVm>(*read).at(0).again);
  EXPECT_TRUE(read->operations.back().in_any_case);
  EXPECT_EQ(read->choices.at(0).offers.at(0).downtime, std::chrono::seconds(4));
  EXPECT_EQ(read->choices.at(0).offers.at(1).remedy, "--allow offline-copy");
}

TEST(PlanFile, RoundTripKeepsEverythingButSecrets) {
  const Plan made = full_plan();
  const std::string text = print_plan(made);
  const Result<Plan> read = parse_plan(text);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(print_plan(*read), text);
  EXPECT_EQ(read->operations.size(), made.operations.size());
  EXPECT_EQ(read->findings.at(0).rule, "Z9");
  EXPECT_EQ(read->inputs.digests.at("vm/201"), "digest-201");
  const MoveDisk move = all<MoveDisk>(*read).at(0);
  EXPECT_EQ(move.storage, "SSD-r10-models");
  EXPECT_EQ(move.bandwidth.bytes_per_second, 50U * 1024 * 1024);
  EXPECT_TRUE(all<SetDriveOptions>(*read).at(0).volume.name.empty());
  ASSERT_TRUE(read->operations.at(3).copy);
  EXPECT_EQ(read->operations.at(3).copy->estimate, made.operations.at(3).copy->estimate);
  EXPECT_EQ(totals(*read).copy_bytes, totals(made).copy_bytes);
}

TEST(PlanFile, HoldsNoSecret) {
  const std::string text = print_plan(full_plan());
  EXPECT_EQ(text.find("top-secret"), std::string::npos);
  const Result<Plan> read = parse_plan(text);
  ASSERT_TRUE(read);
  EXPECT_EQ(all<CreateVm>(*read).at(0).withheld, std::vector<std::string>{"cipassword"});
  EXPECT_FALSE(all<CreateVm>(*read).at(0).options.contains("cipassword"));
}

TEST(PlanFile, ATamperedOrBrokenFileIsRefused) {
  const std::string text = print_plan(full_plan());
  for (const auto& [from, to] : {std::pair{"SSD-r10-models", "SSD-r10-modelz"},
                                 std::pair{"\"after\": [", "\"after\": [1,"}, std::pair{"digest-201", "digest-202"}}) {
    std::string changed = text;
    const auto at = changed.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    changed.replace(at, std::string_view(from).size(), to);
    EXPECT_FALSE(parse_plan(changed)) << from;
  }
  for (std::size_t length = 0; length < text.size(); length += 97)
    EXPECT_FALSE(parse_plan(std::string_view(text).substr(0, length))) << length;
  EXPECT_FALSE(parse_plan("[]"));
  EXPECT_FALSE(parse_plan("null"));
}

TEST(PlanFile, AnotherVersionIsNamed) {
  nlohmann::json file = nlohmann::json::parse(print_plan(full_plan()));
  file["version"] = 2;
  const Result<Plan> read = parse_plan(file.dump());
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().message.find("version 2"), std::string::npos);
}

TEST(PlanTotals, CountsByKind) {
  const PlanTotals sum = totals(full_plan());
  EXPECT_EQ(sum.create, 4U);  // pool, guest, disk, HA entry
  EXPECT_EQ(sum.change, 5U);
  EXPECT_EQ(sum.move, 1U);
  EXPECT_EQ(sum.restart, 1U);
  EXPECT_EQ(sum.destroy, 1U);
  EXPECT_EQ(sum.copy_bytes, 32_GiB);
  EXPECT_EQ(sum.copy_estimate.count(), 656);
}

// verify_plan itself: a broken plan is noticed.
TEST(VerifyPlan, NoticesEachBrokenRule) {
  LiveState state = cluster();
  LiveVm present = guest(201);
  attach(present, "scsi0", "SSD-r10:vm-201-disk-0,size=32G");
  put(state, present);
  const ResolvedFleet wanted = fleet({vm("a", 201)});
  const auto op = [&](OperationId id, Procedure procedure, Impact impact, std::vector<OperationId> after = {}) {
    Operation out{.id = id,
                  .address = {.name = "a"},
                  .impact = impact,
                  .changes = {{.key = "x"}},
                  .after = std::move(after),
                  .locks = {"vm/201", "storage/san", "copy/pve1"}};
    out.procedure = std::move(procedure);
    out.guard = {.digest = id == 1 ? "digest-201" : "", .uuid = "uuid-201"};
    return out;
  };
  const MoveDisk move{.vmid = {201}, .slot = slot("scsi0"), .volume = {"SSD-r10", "vm-201-disk-0"}, .storage = "san"};
  const SetDriveOptions set{.vmid = {201}, .slot = slot("scsi0")};
  const auto problems = [&](std::vector<Operation> operations, PlanOptions options = {}) {
    Plan made;
    made.operations = std::move(operations);
    return verify_plan(made, wanted, state, options).size();
  };
  EXPECT_EQ(problems({op(1, move, Impact::kOnlineCopy)}), 0U);
  EXPECT_GT(problems({op(2, move, Impact::kOnlineCopy)}), 0U);
  EXPECT_GT(problems({op(1, move, Impact::kOnlineCopy, {1})}), 0U);
  EXPECT_EQ(problems({op(1, move, Impact::kOnlineCopy), op(2, set, Impact::kPendingRestart, {1})}), 0U);
  EXPECT_GT(problems({op(1, move, Impact::kOnlineCopy), op(2, set, Impact::kPendingRestart)}),
            0U);  // one slot, no order
  EXPECT_GT(problems({op(1, set, Impact::kPendingRestart), op(2, move, Impact::kOnlineCopy, {1})}), 0U);  // pending
  EXPECT_GT(problems({op(1, RestartVm{.vmid = {201}}, Impact::kRestart)}), 0U);
  EXPECT_EQ(problems({op(1, RestartVm{.vmid = {201}}, Impact::kRestart)}, {.allow = {.restart = true}}), 0U);
  EXPECT_GT(problems({op(1, DestroyVm{.vmid = {201}}, Impact::kDestroy)}), 0U);
  EXPECT_GT(
      problems({op(1, DestroyVm{.vmid = {201}}, Impact::kDestroy), op(2, set, Impact::kLive)}, {.allow = everything()}),
      0U);
  EXPECT_GT(problems({op(1, StartVm{.vmid = {999}}, Impact::kNone)}), 0U);
  Operation unlocked = op(1, move, Impact::kOnlineCopy);
  unlocked.locks = {"vm/201"};
  EXPECT_GT(problems({unlocked}), 0U);
  Operation unguarded = op(1, move, Impact::kOnlineCopy);
  unguarded.guard = {};
  EXPECT_GT(problems({unguarded}), 0U);
}

}  // namespace
}  // namespace pvr::testing
