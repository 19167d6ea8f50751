#include "reconciler/engine/adopt.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "cli/adopt_view.h"
#include "reconciler/planning/diff.h"
#include "schema/fleet_schema.h"
#include "tests/simulator/transcript.h"
#include "tests/support/random_cluster.h"
#include "tests/unit/audit/lab.h"

namespace pvr::audit_test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

FleetDocument builtin_roles() {
  SourceSet sources;
  sources.add("adopted", "version: 1\n");
  return std::move(*load_fleet(std::move(sources)).value);
}

struct Written {
  Adopted adopted = {};
  std::string text = {};
  std::shared_ptr<const FleetDocument> document = {};
};

/// Adopts a cluster and reads the text back, as a person would.
Written adopt_text(Lab& lab, const AdoptOptions& options) {
  const AuditResult seen = lab.look();
  Written out{.adopted = adopt(builtin_roles(), seen.live, seen.report, options)};
  out.text = cli::fleet_text(out.adopted, seen.live.cluster_name);
  SourceSet sources;
  sources.add("fleet.yaml", out.text);
  Checked<FleetDocument> loaded = load_fleet(std::move(sources));
  for (const Diagnostic& diagnostic : loaded.diagnostics)
    EXPECT_NE(diagnostic.severity, Severity::kError) << render(diagnostic, *loaded.value->sources) << out.text;
  out.document = std::make_shared<const FleetDocument>(std::move(*loaded.value));
  return out;
}

PlanResult plan_of(Lab& lab, const Written& written) {
  auto planned = plan(lab.client(), lab.clock(), written.document, lab.options());
  if (!planned) throw std::runtime_error(planned.error().text());
  for (const Diagnostic& diagnostic : planned->diagnostics)
    EXPECT_NE(diagnostic.severity, Severity::kError) << diagnostic.detail << '\n' << written.text;
  return std::move(planned).value();
}

std::string told(const Plan& plan) {
  std::string text;
  for (const Operation& operation : plan.operations) {
    text += fmt::format("{} {}:", procedure_name(operation.procedure), to_text(operation.address));
    for (const PlannedChange& change : operation.changes)
      text += fmt::format(" {} {} -> {}", change.key, change.from, change.to);
    text += '\n';
  }
  for (const BlockedItem& item : plan.blocked) text += fmt::format("blocked {}: {}\n", to_text(item.address), item.why);
  return text;
}

TEST(Adopt, TheHomelabIsExplainedAndNothingIsToDo) {
  Lab lab = Lab::from_file(PVERECONCILE_SOURCE_DIR "/examples/homelab/cluster.yaml");
  const Written written = adopt_text(lab, {});
  EXPECT_EQ(told(plan_of(lab, written).plan), "");
  EXPECT_THAT(written.adopted.left_out, IsEmpty());
  ASSERT_EQ(written.document->vms.size(), 6U);
  std::map<std::string, std::string> roles;
  for (const WrittenVm& vm : written.document->vms) roles[vm.name] = vm.role ? vm.role->value : "";
  EXPECT_EQ(roles, (std::map<std::string, std::string>{{"ai-01", "specialty-linux"},
                                                       {"app-01", "generalized-linux"},
                                                       {"app-02", "generalized-linux"},
                                                       {"dc-01", "generalized-windows"},
                                                       {"pki-01", "generalized-windows"},
                                                       {"win11-gpu-template", "specialty-windows"}}));
  // What is right needs no word: app-01 says its size and what A5 would change, ai-01's first disk nothing at all.
  EXPECT_THAT(written.text, HasSubstr("- aio  # A5, warning"));
  EXPECT_THAT(written.text, HasSubstr("      root:\n        slot: scsi0\n        size: 64GiB\n      scsi2:"));
}

TEST(Adopt, ImproveHoldsTheFixesOfTheAuditAndNoOthers) {
  Lab lab = Lab::from_file(PVERECONCILE_SOURCE_DIR "/examples/homelab/cluster.yaml");
  const Written written = adopt_text(lab, {.improve = true});
  const PlanResult planned = plan_of(lab, written);
  std::set<std::string> expected;
  for (const AdoptChoice& choice : written.adopted.choices) {
    EXPECT_TRUE(choice.taken) << choice.finding;
    expected.insert(choice.storage.empty() ? choice.key : "storage " + choice.key);
  }
  std::set<std::string> changed;
  for (const Operation& operation : planned.plan.operations) {
    const bool storage = operation.address.kind == AddressKind::kStorage;
    const bool tpm = operation.address.part == "tpm";
    if (tpm) changed.insert("tpm");
    for (const PlannedChange& change : operation.changes)
      if (!tpm) changed.insert(storage ? "storage " + change.key : change.key);
  }
  EXPECT_EQ(changed, expected) << told(planned.plan);
  EXPECT_THAT(planned.plan.blocked, IsEmpty()) << told(planned.plan);
}

TEST(Adopt, WhatSeveralGuestsStateAlikeIsSaidOnce) {
  std::string text = R"(
cluster: {name: lab}
nodes: {n1: {pools: {tank: {size: 1TiB}}}}
storages: {tank: {type: zfspool, pool: tank, content: images, sparse: 1}}
vms:
)";
  const auto guest = [&](int vmid, const std::string& name, const std::string& options) {
    text += fmt::format(
        "  {0}: {{node: n1, config: {{name: {1}, scsihw: virtio-scsi-single, {2}, scsi0: "
        "\"tank:vm-{0}-disk-0,discard=on,iothread=1,ssd=1,size={3}G\"}}}}\n",
        vmid, name, options, vmid - 99);
  };
  for (int n = 1; n <= 4; ++n)
    guest(100 + n, fmt::format("web-{}", n), "cores: 4, memory: 4096, onboot: 1, ostype: l26, cpu: host");
  guest(110, "db", "cores: 8, memory: 4096, ostype: l26, cpu: host");
  guest(111, "mail", "cores: 2, memory: 2048, ostype: l26, cpu: host");
  Lab lab(text);
  const Written written = adopt_text(lab, {});
  EXPECT_EQ(told(plan_of(lab, written).plan), "");
  std::map<std::string, std::string> roles;
  for (const WrittenRole& role : written.document->roles)
    if (!role.builtin) roles[role.name] = role.extends ? role.extends->value : "";
  ASSERT_THAT(roles, ::testing::SizeIs(1)) << written.text;
  EXPECT_EQ(roles.begin()->first, "web") << written.text;
  for (const WrittenVm& vm : written.document->vms) {
    const bool web = vm.name.starts_with("web-");
    ASSERT_TRUE(vm.role);
    EXPECT_EQ(vm.role->value == "web", web) << written.text;
    EXPECT_EQ(vm.options.contains("cores"), !web) << written.text;
    ASSERT_EQ(vm.disks.size(), 1U);
    EXPECT_TRUE(vm.disks[0].settings.contains("size"));
  }
}

TEST(Adopt, OneFixIsOneChange) {
  Lab lab = Lab::from_file(PVERECONCILE_SOURCE_DIR "/examples/homelab/cluster.yaml");
  const Written written = adopt_text(lab, {.fix = {"C2@vm/301/scsi0"}});
  const PlanResult planned = plan_of(lab, written);
  ASSERT_EQ(planned.plan.operations.size(), 1U) << told(planned.plan);
  const auto* set = std::get_if<SetDriveOptions>(&planned.plan.operations[0].procedure);
  ASSERT_NE(set, nullptr);
  EXPECT_EQ(set->vmid, Vmid{301});
  EXPECT_EQ(set->set.size(), 1U);
  EXPECT_TRUE(set->set.contains("cache"));
}

TEST(Adopt, APlanAgainstTheSameClusterIsEmptyWhateverTheCluster) {
  const char* wanted = std::getenv("PVERECONCILE_ADOPT_SEEDS");
  const int count = wanted != nullptr ? std::atoi(wanted) : 40;
  std::size_t guests = 0;
  std::size_t adopted = 0;
  for (std::uint32_t seed = 0; seed < static_cast<std::uint32_t>(count); ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    const std::string cluster = testing::random_cluster(seed);
    std::optional<Lab> lab;
    try {
      lab.emplace(cluster);
    } catch (const std::exception& error) {
      FAIL() << "seed " << seed << ": " << error.what() << '\n' << cluster;
    }
    const Written written = adopt_text(*lab, {});
    guests += lab->sim().vmids().size();
    adopted += written.document->vms.size();
    ASSERT_EQ(told(plan_of(*lab, written).plan), "") << cluster << written.text;
    for (const std::string& sentence : written.adopted.left_out) ADD_FAILURE() << sentence << '\n' << cluster;
  }
  EXPECT_EQ(adopted, guests);
}

/// The configurations a real instance answered with, each once, as guests of a cluster file.
std::map<std::string, std::string> recorded_guests() {
  std::map<std::string, std::string> guests;
  const auto folder = pvesim_test::shared_folder();
  for (const std::string& name : pvesim_test::transcript_names()) {
    for (const auto& call : pvesim_test::load_transcript(*folder / "transcripts" / (name + ".json")).calls) {
      if (call.method != "GET" || call.status != 200 || !call.path.starts_with("/nodes/pve/qemu/")) continue;
      if (!call.path.ends_with("/config") || !call.body.is_object() || !call.body["data"].is_object()) continue;
      const std::string vmid = call.path.substr(16, call.path.find('/', 16) - 16);
      nlohmann::json config = call.body["data"];
      // The digest is of the text, the others belong to a snapshot or are secret.
      for (const char* key : {"digest", "parent", "snaptime", "snapstate", "meta", "cipassword"}) config.erase(key);
      nlohmann::json guest = {{"node", "pve"}, {"template", config.value("template", 0) == 1}};
      config.erase("template");
      guest["config"] = std::move(config);
      guests.emplace(fmt::format("{}: {}", vmid, guest.dump()), fmt::format("{}, guest {}", name, vmid));
    }
  }
  return guests;
}

TEST(Adopt, ConfigurationsOfARealInstanceAreExplained) {
  const auto guests = recorded_guests();
  if (guests.empty()) GTEST_SKIP() << "the recordings of a real instance are not on this machine";
  EXPECT_GT(guests.size(), 40U);
  std::size_t templates = 0;
  for (const auto& [guest, from] : guests) {
    SCOPED_TRACE(from);
    const std::string cluster = fmt::format(R"(
cluster: {{name: recorded}}
nodes: {{pve: {{memory: 8GiB, pools: {{tank: {{size: 1TiB}}}}, vgs: {{vg0: {{size: 1TiB, thin: {{data: {{size: 500GiB}}}}}}}}}}}}
storages:
  tank: {{type: zfspool, pool: tank, content: "images,rootdir"}}
  d1: {{type: dir, path: /srv/d1, content: "images,rootdir"}}
  vg0: {{type: lvm, vgname: vg0, content: images}}
  thin0: {{type: lvmthin, vgname: vg0, thinpool: data, content: images}}
  local: {{type: dir, path: /var/lib/vz, content: "images,iso"}}
vms:
  {}
)",
                                            guest);
    Lab lab(cluster);
    const Written written = adopt_text(lab, {});
    EXPECT_EQ(told(plan_of(lab, written).plan), "") << cluster << written.text;
    const bool is_template = guest.find("\"template\":true") != std::string::npos;
    if (is_template) ++templates;
    EXPECT_EQ(written.document->vms.size(), is_template ? 0U : 1U) << cluster << written.text;
  }
  EXPECT_GT(templates, 0U);
}

/// What is live of a guest and could be stated, but is not.
std::vector<std::string> unsaid(const LiveVm& live, const WrittenVm& vm) {
  std::vector<std::string> out;
  for (const char* key : {"net0", "tags", "description", "onboot", "agent", "balloon"}) {
    const bool left = std::ranges::find(vm.leave, key, &Spanned<std::string>::value) != vm.leave.end();
    if (live.options.contains(key) && !vm.options.contains(key) && !left && !vm.role) out.emplace_back(key);
  }
  return out;
}

TEST(Adopt, OneGuestAloneIsExplainedInTheTermsOfTheFleetThatIsThere) {
  std::size_t with_role = 0;
  std::size_t guests = 0;
  for (std::uint32_t seed = 0; seed < 15; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Lab lab(testing::random_cluster(seed));
    const AuditResult seen = lab.look();
    const FleetDocument bare = builtin_roles();
    FleetDocument whole = adopt(bare, seen.live, seen.report, {}).document;
    whole.vms.clear();
    for (const FleetDocument* base : {&bare, static_cast<const FleetDocument*>(&whole)}) {
      for (const LiveVm& live : seen.live.vms) {
        Adopted adopted = adopt(*base, seen.live, seen.report, {.only = live.vmid});
        ASSERT_EQ(adopted.document.vms.size(), 1U) << live.vmid.number;
        const WrittenVm& vm = adopted.document.vms.front();
        EXPECT_EQ(vm.vmid.value, live.vmid);
        EXPECT_THAT(unsaid(live, vm), IsEmpty());
        EXPECT_EQ(adopted.document.lanes.size(), base->lanes.size()) << "nothing is made up";
        EXPECT_EQ(adopted.document.roles.size(), base->roles.size()) << "nothing is made up";
        EXPECT_EQ(adopted.document.storages.size(), base->storages.size()) << "nothing is made up";
        ++guests;
        with_role += vm.role ? 1U : 0U;
        const auto document = std::make_shared<const FleetDocument>(std::move(adopted.document));
        const auto planned = plan(lab.client(), lab.clock(), document, lab.options());
        ASSERT_TRUE(planned) << planned.error().text();
        EXPECT_TRUE(planned->ok());
        EXPECT_EQ(told(planned->plan), "") << live.vmid.number;
      }
    }
  }
  EXPECT_GT(guests, 50U);
  EXPECT_GT(with_role, guests / 2);
}

TEST(Adopt, ImproveTouchesOnlyWhatTheAuditNamed) {
  for (std::uint32_t seed = 0; seed < 15; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    Lab lab(testing::random_cluster(seed));
    const Written written = adopt_text(lab, {.improve = true});
    const PlanResult planned = plan_of(lab, written);
    for (const Operation& operation : planned.plan.operations) {
      const bool named = std::ranges::any_of(written.adopted.choices, [&](const AdoptChoice& choice) {
        return choice.taken && (choice.vm == operation.address.name || choice.storage == operation.address.name);
      });
      EXPECT_TRUE(named) << told(planned.plan) << written.text;
    }
  }
}

TEST(Adopt, WhatCannotBeReadIsLeftOutAndNamed) {
  Lab lab(R"(
cluster: {name: lab}
nodes: {n1: {pools: {tank: {size: 1TiB}}}, n2: {}}
storages: {tank: {type: zfspool, pool: tank, nodes: n1, content: images, sparse: 1}}
vms:
  100: {node: n1, config: {name: one, scsihw: virtio-scsi-single, scsi0: "tank:vm-100-disk-0,discard=on,iothread=1,size=1G"}}
  101: {node: n2, config: {name: gone}}
  900: {node: n1, template: true, config: {name: tpl}}
)");
  lab.sim().node_down("n2");
  const Written written = adopt_text(lab, {});
  ASSERT_EQ(written.adopted.left_out.size(), 2U);
  EXPECT_THAT(written.adopted.left_out[0], HasSubstr("n2"));
  EXPECT_THAT(written.adopted.left_out[1], HasSubstr("template"));
  EXPECT_THAT(written.text, HasSubstr("# Left out: Guest 101"));
}

}  // namespace
}  // namespace pvr::audit_test
