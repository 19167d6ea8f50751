#include "tests/scenarios/fleet.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include "schema/fleet_schema.h"

namespace pvr::scenario {

const char* const kFleet = R"(
version: 1
storages:
  z16: {type: zfspool, pool: tank/vbs16k, blocksize: 16k, sparse: true, content: [images, rootdir], media: ssd}
  z64: {type: zfspool, pool: tank/vbs64k, blocksize: 64k, sparse: true, content: [images, rootdir], media: ssd}
  san: {type: lvm, vgname: san, shared: true, content: [images]}
lanes:
  shared: san
  pinned: {pve1: z16, pve2: z16}
pools:
  prod: {comment: production}
vms:
  app:
    vmid: 120
    role: specialty-linux
    lane: pinned
    node: pve1
    cores: 4
    memory: 2GiB
    pool: prod
    description: the app
    disks:
      root: {slot: scsi0, size: 8GiB}
      data: {slot: scsi1, size: 6GiB, storage: z64}
  db:
    vmid: 121
    role: specialty-linux
    lane: pinned
    node: pve1
    memory: 1GiB
    disks:
      root: {slot: scsi0, size: 8GiB, storage: z64}
      extra: {slot: scsi1, size: 1GiB, storage: z16}
  ha:
    vmid: 122
    role: generalized-linux
    node: pve1
    memory: 1GiB
    ha: true
    disks:
      root: {slot: scsi0, size: 8GiB}
  fresh:
    vmid: 200
    role: specialty-linux
    lane: pinned
    node: pve1
    memory: 1GiB
    state: running
    disks:
      root: {slot: scsi0, size: 4GiB}
      logs: {slot: scsi1, size: 2GiB, storage: z64}
  dns:
    vmid: 201
    role: specialty-linux
    lane: pinned
    node: pve1
    clone: debian
    memory: 1GiB
    disks:
      root: {slot: scsi0, size: 5GiB}
)";

std::shared_ptr<const FleetDocument> fleet(const std::string& text) {
  SourceSet sources;
  sources.add("fleet.yaml", text);
  auto checked = load_fleet(std::move(sources));
  EXPECT_TRUE(checked.value.has_value());
  for (const Diagnostic& diagnostic : checked.diagnostics) {
    if (diagnostic.severity == Severity::kError) ADD_FAILURE() << render(diagnostic, *checked.value->sources);
  }
  return std::make_shared<const FleetDocument>(std::move(*checked.value));
}

PlanResult plan_fleet(World& world, const std::shared_ptr<const FleetDocument>& document, ZfsReader* zfs,
                      Allowance allow) {
  const auto pve = world.client();
  EngineOptions options;
  options.plan.allow = allow;
  options.readers = 1;
  options.zfs = zfs;
  auto planned = plan(*pve, world.clock(), document, options);
  if (!planned) {
    ADD_FAILURE() << planned.error().text();
    return {};
  }
  for (const Diagnostic& diagnostic : planned->diagnostics) {
    if (diagnostic.severity == Severity::kError) ADD_FAILURE() << render(diagnostic, *document->sources);
  }
  return std::move(planned).value();
}

std::string text_of(const Plan& plan) {
  std::string text;
  for (const Operation& operation : plan.operations) {
    text += fmt::format("\n{} {} {} after [{}]", operation.id, procedure_name(operation.procedure),
                        to_text(operation.address), fmt::join(operation.after, " "));
    for (const PlannedChange& change : operation.changes)
      text += fmt::format("\n    {}: {} -> {} ({})", change.key, change.from, change.to, change.reason);
  }
  for (const BlockedItem& item : plan.blocked)
    text += fmt::format("\nblocked {}: {}: {}", to_text(item.address), item.what, item.why);
  for (const WaitingItem& item : plan.waiting) text += fmt::format("\nwaiting {}: {}", to_text(item.address), item.key);
  return text;
}

}  // namespace pvr::scenario
