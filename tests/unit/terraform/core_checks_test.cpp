// Plays the CLI's core over random configurations, with nulls and unknown values, and holds the provider to what core
// checks.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <set>
#include <string>
#include <thread>

#include "terraform-plugin/cty/codec.h"
#include "tests/support/random_cluster.h"
#include "tests/unit/terraform/core.h"

namespace pvr::tf {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::vector<Attribute>& vm_attributes(const Provider& provider) {
  return provider.schema().resources.at("pvereconcile_vm").attributes;
}

class Dice {
 public:
  explicit Dice(std::uint32_t seed) : random_(seed) {}
  bool chance(unsigned percent) { return random_() % 100 < percent; }
  template <class T>
  T one_of(std::vector<T> list) {
    return list[random_() % list.size()];
  }
  std::size_t below(std::size_t n) { return random_() % n; }

 private:
  std::mt19937 random_;
};

/// A configuration that may be right or wrong; `sizes` only grow, mostly.
Value random_config(Dice& dice, Map& sizes) {
  Map vm{{"name", Value(dice.chance(90) ? "web" : "web-renamed")},
         {"vmid", Value(dice.chance(98) ? 301 : 302)},
         {"role", Value(dice.one_of<std::string>({"specialty-linux", "specialty-linux", "specialty-windows"}))},
         {"node", Value("pve1")},
         {"state", dice.chance(70)   ? Value("stopped")
                   : dice.chance(50) ? Value("running")
                                     : Value()}};
  const auto maybe = [&](const char* name, Value value) {
    if (dice.chance(40)) vm.insert_or_assign(name, std::move(value));
  };
  maybe("cores", Value(static_cast<std::int64_t>(1 + dice.below(4))));
  maybe("memory", Value(dice.one_of<std::string>({"1GiB", "2048MiB", "2GiB", "nonsense"})));
  maybe("tags", Value(List{Value("b"), Value("a")}));
  maybe("description", Value(dice.one_of<std::string>({"one", "two\nlines", "", "ü \"quoted\""})));
  maybe("onboot", Value(dice.chance(50)));
  maybe("agent", Value(Map{{"enabled", Value(dice.chance(50))}}));
  maybe("cpu", Value(Map{{"cputype", Value("host")}}));
  maybe("nets", Value(Map{{"lan", Value(Map{{"model", Value("virtio")}, {"bridge", Value("vmbr0")}})}}));
  maybe("allow", Value(List{Value("restart"), Value("offline-copy")}));
  maybe("deletion_protection", dice.chance(50) ? Value(dice.chance(50)) : Value());
  maybe("options", Value(Map{{"localtime", Value(dice.chance(50) ? "1" : "0")}}));
  maybe("timeouts", Value(Map{}));
  Map disks;
  std::size_t slot = 0;
  for (const char* name : {"root", "data", "logs"}) {
    if (!dice.chance(name == std::string("root") ? 95 : 40)) continue;
    if (!sizes.contains(name)) sizes.emplace(name, Value(4));
    std::int64_t size = *sizes[name].integer() + (dice.chance(30) ? 4 : 0) - (dice.chance(4) ? 1 : 0);
    Map disk{{"slot", Value("scsi" + std::to_string(slot++))},
             {"size", Value(std::to_string(size) + "GiB")},
             {"storage", Value("tank")}};
    if (dice.chance(20)) disk.emplace("purpose", Value("data"));
    if (dice.chance(20)) disk.emplace("backup", Value(dice.chance(50)));
    if (dice.chance(20)) disk.emplace("cache", Value());
    disks.emplace(name, Value(std::move(disk)));
    sizes[name] = Value(std::max(size, *sizes[name].integer()));
  }
  vm.emplace("disks", Value(std::move(disks)));
  return Value(std::move(vm));
}

/// Some leaves are not known yet.
Value clouded(const Value& value, Dice& dice, unsigned percent) {
  if (value.is_null()) return value;
  if (const Map* map = value.map()) {
    if (dice.chance(percent / 3)) return {Unknown{}};
    Map out;
    for (const auto& [name, part] : *map) out.emplace(name, clouded(part, dice, percent));
    return {std::move(out)};
  }
  return dice.chance(percent) ? Value(Unknown{}) : value;
}

/// The configuration that `-generate-config-out` writes for a state: everything that may be given.
Value configuration_of(const Value& state, const std::vector<Attribute>& attributes) {
  Map out;
  for (const Attribute& attribute : attributes) {
    const bool given = attribute.optional || attribute.required;
    out.emplace(attribute.name, given ? state[attribute.name] : Value());
  }
  return {std::move(out)};
}

/// Imports something the provider knows nothing of: what is then in the state, as a configuration, is not to change
/// anything, neither for the provider nor for core.
void expect_nothing_to_do_after_import(Lab& lab, const std::string& type, const std::string& id) {
  SCOPED_TRACE(type + " " + id);
  auto importing = lab.provider();
  const auto& schema = importing->schema().resources.at(type).attributes;
  const Answer found = importing->import(type, id);
  ASSERT_THAT(found.messages, IsEmpty()) << text_of(found.messages);
  const Answer read = importing->read(type, found.value);
  ASSERT_FALSE(has_errors(read.messages)) << text_of(read.messages);
  ASSERT_FALSE(read.value.is_null());
  ASSERT_FALSE(has_unknown(read.value));
  const Value config = configuration_of(read.value, schema);
  auto planning = lab.provider();
  const Messages wrong = planning->validate_resource(type, config);
  ASSERT_FALSE(has_errors(wrong)) << text_of(wrong);
  const Planned planned = planning->plan(type, read.value, config);
  ASSERT_FALSE(has_errors(planned.messages)) << text_of(planned.messages);
  EXPECT_EQ(encode_json(planned.state), encode_json(read.value));
}
void expect_nothing_to_do_after_import(Lab& lab, std::int64_t vmid) {
  expect_nothing_to_do_after_import(lab, "pvereconcile_vm", std::to_string(vmid));
}

class Walk {
 public:
  explicit Walk(std::uint32_t seed) : lab_(kSmall), dice_(seed) {}

  void run(int steps) {
    for (int step = 0; step < steps && !::testing::Test::HasFailure(); ++step) {
      SCOPED_TRACE("step " + std::to_string(step));
      one_step();
    }
    if (!state_.is_null() && !::testing::Test::HasFailure())
      expect_nothing_to_do_after_import(lab_, *state_["vmid"].integer());
  }
  [[nodiscard]] int applied() const { return applied_; }

 private:
  void one_step() {
    const Value raw = random_config(dice_, sizes_);
    auto planning = lab_.provider();
    const auto& schema = vm_attributes(*planning);
    const Value config = conformed(raw, schema);
    // The prior state is read first, as a refresh does.
    Value prior = state_;
    if (!prior.is_null()) {
      const Answer read = planning->read("pvereconcile_vm", prior);
      ASSERT_FALSE(has_errors(read.messages)) << text_of(read.messages);
      ASSERT_FALSE(has_unknown(read.value));
      prior = read.value;
    }
    // The object itself is never unknown, nor what names it.
    Value cloudy = dice_.chance(30) ? clouded_parts(config) : config;
    (void)planning->validate_resource("pvereconcile_vm", cloudy);
    const Planned first = planning->plan("pvereconcile_vm", prior, cloudy);
    if (has_errors(first.messages)) return;
    ASSERT_THAT(plan_breaks(schema, prior, cloudy, first.state), IsEmpty()) << encode_json(cloudy);

    auto applying = lab_.provider();
    const Planned second = applying->plan("pvereconcile_vm", prior, config);
    if (has_errors(second.messages)) return;
    ASSERT_THAT(plan_breaks(schema, prior, config, second.state), IsEmpty()) << encode_json(config);
    ASSERT_THAT(replan_breaks(first.state, second.state), IsEmpty()) << encode_json(config);
    if (second.state == prior) {
      state_ = prior;
      return;
    }
    const Answer done = applying->apply("pvereconcile_vm", prior, second.state, config, second.note);
    if (has_errors(done.messages)) {
      ASSERT_FALSE(has_unknown(done.value));
      state_ = done.value;
      return;
    }
    ASSERT_THAT(apply_breaks(second.state, done.value), IsEmpty()) << encode_json(config);
    state_ = done.value;
    ++applied_;

    // Applied means nothing left to do: for the provider and for core.
    auto again = lab_.provider();
    const Answer read = again->read("pvereconcile_vm", state_);
    ASSERT_FALSE(has_errors(read.messages)) << text_of(read.messages);
    const Planned nothing = again->plan("pvereconcile_vm", read.value, config);
    ASSERT_FALSE(has_errors(nothing.messages)) << text_of(nothing.messages);
    ASSERT_THAT(replan_breaks(read.value, nothing.state), IsEmpty()) << "the plan after an apply is not empty";
    ASSERT_EQ(encode_json(nothing.state), encode_json(read.value));
    ASSERT_THAT(replan_breaks(state_, read.value), IsEmpty()) << "a refresh changes something";
  }

  Value clouded_parts(const Value& config) {
    Map out;
    for (const auto& [name, part] : *config.map()) out.emplace(name, name == "name" ? part : clouded(part, dice_, 15));
    return {std::move(out)};
  }

  Lab lab_;
  Dice dice_;
  Map sizes_;
  Value state_;
  int applied_ = 0;
};

TEST(CoreChecks, HoldOverRandomConfigurations) {
  int applied = 0;
  for (std::uint32_t seed = 1; seed <= 25 && !HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Walk walk(seed);
    walk.run(8);
    applied += walk.applied();
  }
  if (!HasFailure()) {
    EXPECT_GT(applied, 25) << "the walks hardly ever get anywhere";
  }
}

Value plain_vm(const Provider& provider, int vmid, const Map& more = {}) {
  Map vm{{"name", Value("vm-" + std::to_string(vmid))},
         {"vmid", Value(vmid)},
         {"role", Value("specialty-linux")},
         {"node", Value("pve1")},
         {"cores", Value(1)},
         {"memory", Value("1GiB")},
         {"state", Value("stopped")},
         {"disks",
          Value(Map{
              {"root", Value(Map{{"slot", Value("scsi0")}, {"size", Value("4GiB")}, {"storage", Value("tank")}})}})}};
  for (const auto& [name, value] : more) vm.insert_or_assign(name, value);
  return conformed(Value(std::move(vm)), vm_attributes(provider));
}

Answer make(Provider& provider, const Value& config, const Value& prior = {}) {
  const Planned planned = provider.plan("pvereconcile_vm", prior, config);
  EXPECT_FALSE(has_errors(planned.messages)) << text_of(planned.messages);
  return provider.apply("pvereconcile_vm", prior, planned.state, config, planned.note);
}

TEST(Import, OfGuestsAsPeopleHaveThemLeavesNothingToDo) {
  int guests = 0;
  for (std::uint32_t seed = 0; seed < 8 && !::testing::Test::HasFailure(); ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    Lab lab(testing::random_cluster(seed) + kUsers, "n1");
    for (const auto vmid : lab.sim().vmids()) {
      expect_nothing_to_do_after_import(lab, vmid);
      ++guests;
    }
  }
  if (!HasFailure()) {
    EXPECT_GT(guests, 15);
  }
}

TEST(Import, SaysWhatTheGuestHas) {
  Lab lab(std::string(kSmall) + R"(
vms:
  311:
    node: pve1
    config: {name: by-hand, memory: 3072, cores: 3, ostype: l26, scsihw: virtio-scsi-single, cpu: "host,flags=+aes;-pcid",
             agent: "1,fstrim_cloned_disks=1", tags: "blue;red", startup: "order=3,up=20", onboot: 1,
             net0: "virtio=BC:24:11:00:00:01,bridge=vmbr0,firewall=1,tag=12", serial0: socket, boot: "order=scsi0;net0",
             hostpci0: "mapping=gpu,pcie=1", args: "-no-hpet",
             scsi0: "tank:vm-311-disk-0,cache=writeback,iothread=1,discard=on,ssd=1,size=8G",
             scsi4: "tank:vm-311-disk-1,backup=0,iothread=1,size=16G"}
)");
  const auto provider = lab.provider();
  const Value state = provider->import("pvereconcile_vm", "pve1/311").value;
  EXPECT_EQ(state["deletion_protection"], Value(true));
  EXPECT_EQ(state["memory"], Value("3GiB"));
  EXPECT_EQ(state["onboot"], Value(true));
  EXPECT_EQ(state["cores"], Value(3));
  EXPECT_EQ(state["tags"], Value(List{Value("blue"), Value("red")}));
  EXPECT_EQ(state["startup"]["order"], Value(3));
  EXPECT_EQ(state["cpu"]["flags"], Value(List{Value("+aes"), Value("-pcid")}));
  EXPECT_EQ(state["agent"]["fstrim_cloned_disks"], Value(true));
  EXPECT_EQ(state["nets"]["net0"]["tag"], Value(12));
  EXPECT_EQ(state["nets"]["net0"]["macaddr"], Value("BC:24:11:00:00:01"));
  EXPECT_EQ(state["nets"]["net0"]["slot"], Value("net0"));
  ASSERT_NE(state["hostpci"].list(), nullptr);
  EXPECT_EQ(state["hostpci"].list()->front()["mapping"], Value("gpu"));
  EXPECT_EQ(state["options"]["serial0"], Value("socket"));
  EXPECT_TRUE(state["options"]["args"].is_null()) << "only root@pam may set it";
  EXPECT_EQ(state["disks"]["root"]["slot"], Value("scsi0"));
  EXPECT_EQ(state["disks"]["root"]["size"], Value("8GiB"));
  EXPECT_EQ(state["disks"]["scsi4"]["backup"], Value(false));
  expect_nothing_to_do_after_import(lab, 311);
}

TEST(Import, OfStoragesAndHaResourcesLeavesNothingToDo) {
  Lab lab(std::string(R"(
cluster: {name: lab}
nodes: {pve1: {pools: {tank: {size: 1TiB}}}, pve2: {pools: {tank: {size: 1TiB}}}}
backends: {san: {kind: lvm-vg, size: 4TiB}}
storages:
  tank: {type: zfspool, pool: tank/vms, content: "images,rootdir", blocksize: 8k, nodes: "pve1,pve2"}
  files: {type: dir, path: /srv/files, content: "iso,images", shared: 0}
  san: {type: lvm, vgname: san, shared: 1, content: images, snapshot-as-volume-chain: 1}
vms:
  301: {node: pve1, config: {name: app, scsihw: virtio-scsi-single, scsi0: "san:vm-301-disk-0,size=1G"}}
  302: {node: pve1, config: {name: alone}}
ha: {resources: {"vm:301": {state: stopped, max_restart: 3, comment: "of the app"}}}
)") + kUsers);
  for (const char* id : {"tank", "files", "san"}) expect_nothing_to_do_after_import(lab, "pvereconcile_storage", id);
  expect_nothing_to_do_after_import(lab, "pvereconcile_ha_resource", "vm:301");
  const auto provider = lab.provider();
  const Value tank = provider->import("pvereconcile_storage", "tank").value;
  EXPECT_EQ(tank["pool"], Value("tank/vms"));
  EXPECT_EQ(tank["nodes"], Value(List{Value("pve1"), Value("pve2")}));
  EXPECT_EQ(provider->import("pvereconcile_ha_resource", "vm:301").value["max_restart"], Value(3));
  EXPECT_THAT(text_of(provider->import("pvereconcile_ha_resource", "vm:302").messages), HasSubstr("Not under HA"));
  EXPECT_TRUE(has_errors(provider->import("pvereconcile_ha_resource", "vm:303").messages));
  EXPECT_TRUE(has_errors(provider->import("pvereconcile_storage", "nowhere").messages));
}

TEST(Import, OfATemplateIsToldToBeOfItsNumberAlone) {
  Lab lab(std::string(kSmall) + "vms: {900: {node: pve1, template: true, config: {name: tpl}}}\n");
  const auto provider = lab.provider();
  const Answer found = provider->import("pvereconcile_vm", "900");
  EXPECT_FALSE(has_errors(found.messages));
  EXPECT_THAT(text_of(found.messages), HasSubstr("template"));
  EXPECT_EQ(found.value["vmid"], Value(900));
  EXPECT_EQ(found.value["name"], Value("tpl"));
  EXPECT_TRUE(has_errors(provider->import("pvereconcile_vm", "901").messages));
}

// The cluster's list of guests knows the name of a new one only after some seconds; until then it says "VM 301".
TEST(Provider, AGuestThatWasJustMadeCanBePutUnderHa) {
  Lab lab(kSmall);
  const auto provider = lab.provider();
  const Answer made = make(*provider, plain_vm(*provider, 301, {{"name", Value("web")}}));
  ASSERT_FALSE(has_errors(made.messages)) << text_of(made.messages);
  const Value config = conformed(Value(Map{{"vmid", Value(301)}, {"state", Value("stopped")}}),
                                 provider->schema().resources.at("pvereconcile_ha_resource").attributes);
  const Planned planned = provider->plan("pvereconcile_ha_resource", {}, config);
  ASSERT_FALSE(has_errors(planned.messages)) << text_of(planned.messages);
  const Answer done = provider->apply("pvereconcile_ha_resource", {}, planned.state, config, planned.note);
  EXPECT_FALSE(has_errors(done.messages)) << text_of(done.messages);
  const Answer read = lab.provider()->read("pvereconcile_ha_resource", done.value);
  EXPECT_EQ(read.value["sync"], Value("in-sync"));
  const Value guest = lab.provider()->read("pvereconcile_vm", made.value).value;
  EXPECT_EQ(guest["name"].text_or_empty(), "web") << "only HA was meant";
}

TEST(Provider, ParallelAppliesShareOneLease) {
  Lab lab(kSmall);
  const auto provider = lab.provider();
  std::vector<Answer> answers(8);
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 8; ++i)
      threads.emplace_back(
          [&, i] { answers[static_cast<std::size_t>(i)] = make(*provider, plain_vm(*provider, 400 + i)); });
  }
  for (const Answer& answer : answers) {
    EXPECT_FALSE(has_errors(answer.messages)) << text_of(answer.messages);
    EXPECT_EQ(answer.value["power"].text_or_empty(), "stopped");
  }
  // Nobody holds the lease afterwards: another process gets it without waiting.
  const auto other = lab.provider();
  EXPECT_FALSE(has_errors(make(*other, plain_vm(*other, 500)).messages));
  EXPECT_THAT(lab.log().text(), ::testing::Not(HasSubstr("waiting for the lease")));
  EXPECT_THAT(lab.log().text(), ::testing::Not(HasSubstr("very-secret-value")));
}

TEST(Provider, AnInterruptedCreateIsTakenUpAndAForeignGuestIsNot) {
  Lab lab(kSmall);
  const auto first = lab.provider();
  const Value config = plain_vm(*first, 301);
  const Answer made = make(*first, config);
  ASSERT_FALSE(has_errors(made.messages)) << text_of(made.messages);
  // The state got lost: the same configuration finds its guest again.
  const auto second = lab.provider();
  const Answer again = make(*second, config);
  EXPECT_FALSE(has_errors(again.messages)) << text_of(again.messages);
  EXPECT_EQ(again.value["volumes"], made.value["volumes"]);
  // Another name is another configuration.
  const auto third = lab.provider();
  const Planned refused = third->plan("pvereconcile_vm", {}, plain_vm(*third, 301, {{"name", Value("other")}}));
  EXPECT_THAT(text_of(refused.messages), HasSubstr("The number is taken"));
}

TEST(Provider, AReplacementNeverDestroysAProtectedGuest) {
  Lab lab(kSmall);
  const auto first = lab.provider();
  const Value config = plain_vm(*first, 301);
  const Answer made = make(*first, config);
  const auto second = lab.provider();
  const Planned planned = second->plan("pvereconcile_vm", {}, config);  // tainted: planned as a create
  ASSERT_FALSE(has_errors(planned.messages)) << text_of(planned.messages);
  const Answer gone = second->apply("pvereconcile_vm", made.value, {}, {}, planned.note);
  EXPECT_TRUE(gone.value.is_null());
  EXPECT_FALSE(has_errors(gone.messages));
  const Answer back = second->apply("pvereconcile_vm", {}, planned.state, config, planned.note);
  EXPECT_EQ(back.value["volumes"], made.value["volumes"]);
  EXPECT_EQ(back.value["smbios_uuid"], made.value["smbios_uuid"]);
}

TEST(Provider, DestroyNeedsTheProtectionAwayAndThenLeavesNothing) {
  Lab lab(kSmall);
  const auto provider = lab.provider();
  const Answer made = make(*provider, plain_vm(*provider, 301));
  const auto later = lab.provider();
  EXPECT_THAT(text_of(later->plan("pvereconcile_vm", made.value, {}).messages), HasSubstr("protected"));
  EXPECT_TRUE(has_errors(later->apply("pvereconcile_vm", made.value, {}, {}, "destroy").messages));
  ASSERT_FALSE(later->read("pvereconcile_vm", made.value).value.is_null());
  const Answer open = make(*later, plain_vm(*later, 301, {{"deletion_protection", Value(false)}}), made.value);
  ASSERT_FALSE(has_errors(open.messages)) << text_of(open.messages);
  const auto last = lab.provider();
  const Planned planned = last->plan("pvereconcile_vm", open.value, {});
  ASSERT_FALSE(has_errors(planned.messages)) << text_of(planned.messages);
  const Answer done = last->apply("pvereconcile_vm", open.value, {}, {}, planned.note);
  EXPECT_FALSE(has_errors(done.messages)) << text_of(done.messages);
  EXPECT_TRUE(last->read("pvereconcile_vm", open.value).value.is_null());
}

TEST(Provider, StatesOfOtherTypesAndVersionsAreTakenOver) {
  Lab lab(kSmall);
  const auto provider = lab.provider();
  const Answer bpg =
      provider->move("pvereconcile_vm", "registry.terraform.io/bpg/proxmox", "proxmox_virtual_environment_vm",
                     *decode_json(R"({"id":"301","vm_id":301,"name":"web","node_name":"pve1"})"));
  EXPECT_EQ(bpg.value["vmid"], Value(301));
  EXPECT_EQ(bpg.value["deletion_protection"], Value(true));
  const Answer telmate = provider->move("pvereconcile_vm", "registry.terraform.io/telmate/proxmox", "proxmox_vm_qemu",
                                        *decode_json(R"({"id":"pve1/qemu/302","name":"db"})"));
  EXPECT_EQ(telmate.value["vmid"], Value(302));
  EXPECT_TRUE(has_errors(provider->move("pvereconcile_vm", "x", "other_vm", Value(Map{})).messages));
  EXPECT_TRUE(has_errors(provider->move("pvereconcile_vm", "x", "proxmox_vm_qemu", Value(Map{})).messages));

  const Answer upgraded = provider->upgrade(
      "pvereconcile_vm", 0,
      *decode_json(
          R"({"name":"web","vmid":301,"gone":1,"disks":[{"name":"root","slot":"scsi0"},{"name":"data","slot":"scsi1"}]})"));
  EXPECT_EQ(upgraded.value["disks"]["data"]["slot"], Value("scsi1"));
  EXPECT_EQ(upgraded.value["deletion_protection"], Value(true));
  EXPECT_TRUE(has_errors(
      provider->upgrade("pvereconcile_vm", 0, *decode_json(R"({"disks":[{"name":"a"},{"name":"a"}]})")).messages));
}

TEST(Provider, AMovedGuestIsReadAsItIs) {
  Lab lab(kSmall);
  const auto first = lab.provider();
  ASSERT_FALSE(has_errors(make(*first, plain_vm(*first, 301, {{"cores", Value(3)}})).messages));
  const auto second = lab.provider();
  const Answer moved =
      second->move("pvereconcile_vm", "registry.terraform.io/bpg/proxmox", "proxmox_virtual_environment_vm",
                   *decode_json(R"({"id":"301","vm_id":301,"name":"vm-301","node_name":"pve1"})"));
  const Answer read = second->read("pvereconcile_vm", moved.value);
  ASSERT_FALSE(has_errors(read.messages)) << text_of(read.messages);
  EXPECT_EQ(read.value["name"], Value("vm-301"));
  EXPECT_EQ(read.value["cores"], Value(3));
  EXPECT_EQ(read.value["disks"]["root"]["size"], Value("4GiB"));
  EXPECT_EQ(read.value["deletion_protection"], Value(true));
  // What was read once is what somebody declares: it is not filled again.
  const Value little = conformed(Value(Map{{"name", Value("vm-301")}, {"vmid", Value(301)}}), vm_attributes(*second));
  const Answer applied = make(*second, little, read.value);
  ASSERT_FALSE(has_errors(applied.messages)) << text_of(applied.messages);
  EXPECT_TRUE(lab.provider()->read("pvereconcile_vm", applied.value).value["cores"].is_null());
}

TEST(Provider, ValuesOfTheProviderBlockThatAreNotKnownYetFailNothingButTheCluster) {
  KeptLog log;
  Provider provider(open_link, {}, log);
  const Value block = conformed(Value(Map{{"endpoints", Value(Unknown{})}}), provider.schema().provider.attributes);
  EXPECT_THAT(provider.configure(block), IsEmpty());
  const Planned planned = provider.plan("pvereconcile_vm", {}, plain_vm(provider, 301));
  EXPECT_FALSE(has_errors(planned.messages));
  EXPECT_TRUE(planned.state["resolved"].is_unknown());
}

}  // namespace
}  // namespace pvr::tf
