// verify_plan itself: each rule is noticed when it is broken, and nothing else is.

#include "reconciler/planning/verify_plan.h"

#include <gtest/gtest.h>

#include <functional>

#include "tests/unit/planning/world.h"

namespace pvr::testing {
namespace {

struct World {
  ResolvedFleet wanted;
  LiveState state = cluster();
  PlanOptions options{.allow = everything()};
  Plan made;

  World() {
    ResolvedVm gone = vm("gone", 202);
    gone.state = VmState::kAbsent;
    wanted = fleet({vm("a", 201), gone, vm("new", 203)});
    LiveVm present = guest(201);
    attach(present, "scsi0", "SSD-r10:vm-201-disk-0,size=32G");
    attach(present, "scsi1", "SSD-r10:vm-201-disk-1,size=32G");
    put(state, present);
    put(state, guest(202));
  }
  LiveVm& present() { return state.vms.at(0); }
  // Guarded and locked as it should be; the first of its guest carries the digest.
  Operation& add(Procedure procedure, Impact impact, std::vector<OperationId> after = {}, std::uint32_t of = 201) {
    Operation op{.id = static_cast<OperationId>(made.operations.size() + 1),
                 .address = {.kind = AddressKind::kVm,
                             .name = of == 201   ? "a"
                                     : of == 202 ? "gone"
                                                 : "new"},
                 .procedure = std::move(procedure),
                 .impact = impact,
                 .changes = {{.key = "x"}},
                 .after = std::move(after)};
    op.locks = {"copy/pve1", "storage/san", "vm/" + std::to_string(of)};
    bool first = true;
    for (const Operation& other : made.operations) first = first && other.address.name != op.address.name;
    if (of != 203)
      op.guard = {.digest = first ? "digest-" + std::to_string(of) : "", .uuid = "uuid-" + std::to_string(of)};
    made.operations.push_back(std::move(op));
    return made.operations.back();
  }
  [[nodiscard]] std::string problems() const {
    std::string out;
    for (const std::string& one : verify_plan(made, wanted, state, options))
      out += one.substr(one.find(") ") + 2) + "; ";
    return out;
  }
};

const DriveSlot kSlot{Bus::kScsi, 0};
const DriveSlot kOther{Bus::kScsi, 1};
MoveDisk move(DriveSlot slot = kSlot, const char* to = "san") {
  return {.vmid = {201}, .slot = slot, .volume = {"SSD-r10", "vm-201-disk-0"}, .storage = to};
}
SetDriveOptions set_options(DriveSlot slot = kSlot) { return {.vmid = {201}, .slot = slot}; }
const RecreateZvol kRecreate{.vmid = {201}, .slot = kSlot};
const SwapZvol kSwap{.vmid = {201}, .slot = kSlot, .storage = "san"};
const RollBackZvol kRollBack{.vmid = {201}, .slot = kSlot};

std::string after(const std::function<void(World&)>& change) {
  World world;
  change(world);
  return world.problems();
}

TEST(VerifyPlan, NamesEachBrokenRule) {
  using enum Impact;
  const std::pair<std::function<void(World&)>, const char*> cases[] = {
      {[](World&) {}, ""},
      {[](World& w) { w.add(move(), kOnlineCopy); }, ""},
      // 1
      {[](World& w) { w.add(move(), kOnlineCopy).id = 2; }, "stands at position 1; "},
      {[](World& w) { w.add(move(), kOnlineCopy, {1}); }, "comes after operation 1, which is not before it; "},
      {[](World& w) { w.add(move(), kOnlineCopy, {0}); }, "comes after operation 0, which is not before it; "},
      {[](World& w) {
         w.add(set_options(), kLive), w.add(move(), kOnlineCopy, {1, 1});
       },
       "comes after the same operation twice; "},
      {[](World& w) {
         w.add(move(), kOnlineCopy).locks = {"copy/pve1", "storage/san", "vm/201", "vm/201"};
       },
       "wants the same lock twice; "},
      // 2
      {[](World& w) { w.add(DestroyVm{.vmid = {202}}, kDestroy, {}, 202); }, ""},
      {[](World& w) { w.add(DestroyVm{.vmid = {202}}, kDestroy, {}, 202), w.add(set_options(), kLive); },
       "comes after something was destroyed; "},
      {[](World& w) {
         w.add(DestroyVolume{.vmid = {201}}, kDestroy);
         w.add(StopVm{.vmid = {202}}, kRestart, {}, 202);
         w.add(DestroyVm{.vmid = {202}}, kDestroy, {2}, 202);
       },
       ""},
      {[](World& w) {
         w.add(DestroyVolume{.vmid = {201}}, kDestroy), w.add(RemoveHa{.sid = "vm:202"}, kNone, {}, 202);
       },
       ""},
      {[](World& w) { w.add(DestroyVolume{.vmid = {201}}, kDestroy), w.add(RemoveHa{.sid = "vm:201"}, kNone); },
       "comes after something was destroyed; "},
      {[](World& w) { w.add(DestroyVm{.vmid = {202}}, kRestart, {}, 202); }, "has an impact that does not fit; "},
      {[](World& w) { w.add(set_options(), kDestroy); }, "has an impact that does not fit; "},
      {[](World& w) { w.options.allow.destroy = false, w.add(DestroyVolume{.vmid = {201}}, kDestroy); },
       "destroys without being allowed to; "},
      {[](World& w) {
         w.options.allow.destroy = false;
         w.wanted.vms[0].allow.destroy = true;
         w.add(DestroyVolume{.vmid = {201}}, kDestroy);
       },
       ""},
      // 3
      {[](World& w) { w.add(set_options(), kLive), w.add(set_options(), kLive); },
       "is not ordered after operation 1 on the same slot; "},
      {[](World& w) { w.add(set_options(), kLive), w.add(set_options(kOther), kLive); }, ""},
      {[](World& w) {
         w.add(set_options(), kLive);
         w.add(set_options(kOther), kLive, {1});
         w.add(AttachVolume{.vmid = {201}, .slot = kOther, .from = kSlot}, kLive, {2});
       },
       ""},
      {[](World& w) {
         w.add(set_options(), kLive);
         w.add(AttachVolume{.vmid = {201}, .slot = kOther, .from = kSlot}, kLive);
       },
       "is not ordered after operation 1 on the same slot; "},
      // 4
      {[](World& w) { w.add(set_options(), kPendingRestart), w.add(move(), kOnlineCopy, {1}); },
       "moves a disk that has a pending change; "},
      {[](World& w) { w.add(set_options(), kRestart), w.add(move(), kOnlineCopy, {1}); },
       "moves a disk that has a pending change; "},
      {[](World& w) { w.add(set_options(), kLive), w.add(move(), kOnlineCopy, {1}); }, ""},
      {[](World& w) {
         w.add(set_options(), kRestart);
         w.add(RestartVm{.vmid = {201}}, kRestart, {1});
         w.add(move(), kOnlineCopy, {2});
       },
       ""},
      {[](World& w) {
         w.add(RestartVm{.vmid = {201}}, kRestart);
         w.add(set_options(), kRestart, {1});
         w.add(move(), kOnlineCopy, {2});
       },
       "moves a disk that has a pending change; "},
      {[](World& w) {
         w.add(set_options(), kRestart);
         w.add(RestartVm{.vmid = {201}}, kRestart, {1});
         w.add(move(), kOnlineCopy, {1});
       },
       "moves a disk that has a pending change; "},
      {[](World& w) { w.present().drives[0].pending = w.present().drives[0].current, w.add(move(), kOnlineCopy); },
       "moves a disk that has a pending change; "},
      {[](World& w) {
         w.present().drives[0].pending = w.present().drives[0].current;
         w.add(RestartVm{.vmid = {201}}, kRestart);
         w.add(move(), kOnlineCopy, {1});
       },
       ""},
      {[](World& w) {
         w.present().drives[0].pending = w.present().drives[0].current;
         w.present().power = PowerState::kStopped;
         w.add(move(), kOfflineCopy);
       },
       ""},
      // Zvols are renamed below a stopped guest only.
      {[](World& w) { w.add(kRecreate, kOfflineCopy); }, "renames a volume of a guest that runs then; "},
      {[](World& w) { w.add(kSwap, kRestart); }, "renames a volume of a guest that runs then; "},
      {[](World& w) { w.add(kRollBack, kRestart); }, "renames a volume of a guest that runs then; "},
      {[](World& w) { w.present().power = PowerState::kStopped, w.add(kSwap, kNone); }, ""},
      {[](World& w) { w.add(StopVm{.vmid = {201}}, kRestart), w.add(kSwap, kRestart, {1}); }, ""},
      {[](World& w) { w.add(StopVm{.vmid = {201}}, kRestart), w.add(kSwap, kRestart); },
       "renames a volume of a guest that runs then; "},
      {[](World& w) {
         w.add(StopVm{.vmid = {201}}, kRestart);
         w.add(StartVm{.vmid = {201}}, kNone, {1});
         w.add(kSwap, kRestart, {2});
       },
       "renames a volume of a guest that runs then; "},
      {[](World& w) {
         w.present().power = PowerState::kStopped;
         w.add(StartVm{.vmid = {201}}, kNone);
         w.add(kSwap, kRestart, {1});
       },
       "renames a volume of a guest that runs then; "},
      // 5
      {[](World& w) { w.options.allow = {.destroy = true}, w.add(RestartVm{.vmid = {201}}, kRestart); },
       "interrupts the guest without being allowed to; "},
      {[](World& w) { w.options.allow = {.restart = true}, w.add(RestartVm{.vmid = {201}}, kRestart); }, ""},
      {[](World& w) { w.options.allow = {.offline_copy = true}, w.add(StopVm{.vmid = {201}}, kRestart); }, ""},
      {[](World& w) { w.options.allow = {.destroy = true}, w.add(StopVm{.vmid = {202}}, kRestart, {}, 202); }, ""},
      {[](World& w) { w.options.allow = {}, w.add(StopVm{.vmid = {202}}, kRestart, {}, 202); },
       "interrupts the guest without being allowed to; "},
      {[](World& w) { w.options.allow = {.restart = true}, w.add(move(), kOfflineCopy); },
       "copies offline without being allowed to; "},
      {[](World& w) { w.options.allow = {}, w.wanted.vms[0].allow.offline_copy = true, w.add(move(), kOfflineCopy); },
       ""},
      {[](World& w) {
         w.options.allow = {}, w.wanted.vms[0].allow.restart = true, w.add(StopVm{.vmid = {201}}, kRestart);
       },
       ""},
      {[](World& w) {
         w.options.allow = {};
         w.wanted.vms[0].maintenance = "00:00-01:00";
         w.add(StopVm{.vmid = {201}}, kRestart);
         w.add(move(), kOfflineCopy, {1});
       },
       ""},
      // 6
      {[](World& w) {
         w.add(move(), kOnlineCopy).locks = {"copy/pve1", "vm/201"};
       },
       "allocates without its storage's lock; "},
      {[](World& w) {
         w.add(move(), kOnlineCopy).locks = {"storage/san", "vm/201"};
       },
       "copies without a copy lock; "},
      {[](World& w) { w.add(set_options(), kLive).locks = {"vm/202"}; }, "works on a guest without its lock; "},
      {[](World& w) {
         w.add(CloneVm{.source = {201}, .vmid = {203}, .storage = "san"}, kNone, {}, 203).locks = {"vm/203"};
       },
       "allocates without its storage's lock; "},
      {[](World& w) {
         Operation& clone = w.add(CloneVm{.source = {201}, .vmid = {203}}, kNone, {}, 203);
         clone.copy = CopyCost{};
         clone.locks = {"vm/203"};
       },
       "copies without a copy lock; "},
      // 7
      {[](World& w) { w.add(set_options(), kLive).guard.uuid = ""; }, "does not guard the guest's identity; "},
      {[](World& w) { w.add(set_options(), kLive).guard.digest = ""; },
       "is the guest's first operation and does not guard its digest; "},
      {[](World& w) { w.add(CreateVm{.vmid = {203}}, kNone, {}, 203); }, ""},
      // 8
      {[](World& w) { w.add(move(kSlot, "nowhere"), kOnlineCopy).locks.push_back("storage/nowhere"); },
       "uses a storage that does not exist; "},
      {[](World& w) {
         w.add(CreateStorage{.id = "san"}, kNone).guard = {};
         w.add(move(), kOnlineCopy).guard.digest = "digest-201";
       },
       "uses a storage before it is made; "},
      {[](World& w) {
         w.add(CreateStorage{.id = "san"}, kNone).guard = {};
         w.made.operations[0].locks = {"storage/san"};
         w.add(move(), kOnlineCopy, {1}).guard.digest = "digest-201";
       },
       ""},
      {[](World& w) {
         w.add(CreatePool{.id = "prod"}, kNone).locks = {"pool/prod"};
         w.add(AddToPool{.id = "prod", .vmid = {201}}, kNone);
       },
       "uses a pool before it is made; "},
      {[](World& w) {
         w.add(CreatePool{.id = "prod"}, kNone).locks = {"pool/prod"};
         w.add(AddToPool{.id = "prod", .vmid = {201}}, kNone, {1});
       },
       ""},
      // 9
      {[](World& w) { w.add(StartVm{.vmid = {999}}, kNone); }, "touches a guest outside the fleet; "},
      // 10
      {[](World& w) { w.add(set_options(), kLive).changes.clear(); }, "does not say what it changes; "},
      {[](World& w) { w.add(CreatePool{.id = "prod"}, kNone).changes.clear(); }, ""},
      {[](World& w) { w.add(move(kSlot, "SSD-r10"), kOnlineCopy).locks.push_back("storage/SSD-r10"); },
       "moves a volume to where it is; "}};
  int number = 0;
  for (const auto& [change, said] : cases) {
    SCOPED_TRACE(number++);
    EXPECT_EQ(after(change), said);
  }
}

}  // namespace
}  // namespace pvr::testing
