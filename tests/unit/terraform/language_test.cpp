#include "terraform-plugin/provider/language.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "schema/fleet_schema.h"
#include "tests/unit/terraform/core.h"

namespace pvr::tf {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(Schemas, AreFitForTheClis) {
  Lab lab(kSmall);
  const auto provider = lab.provider();
  const ProviderSchema& schema = provider->schema();
  EXPECT_THAT(schema_problems(schema.provider, "provider"), IsEmpty());
  for (const auto& [name, of] : schema.resources) EXPECT_THAT(schema_problems(of, name), IsEmpty());
  for (const auto& [name, of] : schema.data_sources) EXPECT_THAT(schema_problems(of, name), IsEmpty());
}

TEST(Schemas, HoldEveryFieldOfTheFleetLanguage) {
  const auto attributes = attributes_of(fleet_tables().vm);
  for (const std::string_view name : fleet_tables().vm.names()) {
    std::string expected(name);
    std::ranges::replace(expected, '-', '_');
    EXPECT_NE(find_attribute(attributes, expected), nullptr) << name;
  }
}

TEST(Schemas, BadOnesAreFound) {
  const Schema bad{.attributes = {{.name = "count", .help = "x", .optional = true},
                                  {.name = "Big", .help = "x", .optional = true},
                                  {.name = "twice", .help = "x", .optional = true},
                                  {.name = "twice", .help = "x", .optional = true},
                                  {.name = "nothing", .help = "x"},
                                  {.name = "both", .help = "x", .required = true, .optional = true},
                                  {.name = "hollow", .shape = Shape::kObject, .help = "x", .optional = true}}};
  EXPECT_THAT(schema_problems(bad, "r"),
              ::testing::ElementsAre("r.count has a name the language takes for itself",
                                     "r.Big has a name that cannot be written", "r.twice is there twice",
                                     "r.nothing is neither given nor computed", "r.both is required and something else",
                                     "r.hollow has parts and is no object, or is one without"));
}

Value some_vm() {
  return Value(Map{{"vmid", Value(701)},
                   {"role", Value("specialty-linux")},
                   {"memory", Value("4GiB")},
                   {"balloon", Value("0")},
                   {"agent", Value(Map{{"enabled", Value(true)}})},
                   {"efidisk", Value(Map{})},
                   {"ha", Value(Map{{"enabled", Value(false)}})},
                   {"hostpci", Value(List{Value(Map{{"mapping", Value("gpu")}, {"pcie", Value(true)}})})},
                   {"tags", Value(List{Value("a\"b"), Value("c")})},
                   {"disks", Value(Map{{"root", Value(Map{{"slot", Value("scsi0")}, {"size", Value("8GiB")}})}})},
                   {"options", Value(Map{{"localtime", Value("1")}})}});
}

TEST(FleetTexts, SayWhatTheConfigurationSays) {
  FleetText text;
  text.line(0, "vms:");
  text.mapping(1, "ai-01", fleet_tables().vm, some_vm(), {});
  EXPECT_EQ(text.text(), R"(vms:
  "ai-01":
    agent:
      enabled: true
    balloon: 0
    disks:
      "root":
        size: "8GiB"
        slot: "scsi0"
    efidisk: true
    ha: false
    hostpci:
      - mapping: "gpu"
        pcie: true
    memory: "4GiB"
    options:
      "localtime": "1"
    role: "specialty-linux"
    tags: ["a\"b", "c"]
    vmid: 701
)");
  EXPECT_EQ(to_text(text.path_of(8)), "disks[\"root\"].size");
  EXPECT_EQ(to_text(text.path_of(14)), "hostpci[0].pcie");
  EXPECT_EQ(to_text(text.path_of(99)), "");
}

TEST(FleetTexts, ErrorsPointIntoTheConfiguration) {
  Value vm = some_vm();
  set(vm, "tags", Value());
  set(vm, "disks", Value(Map{{"root", Value(Map{{"slot", Value("scsi0")}, {"size", Value("eight")}})}}));
  FleetText text;
  text.line(0, "version: 1");
  text.line(0, "vms:");
  text.mapping(1, "ai-01", fleet_tables().vm, vm, {});
  SourceSet sources;
  const std::uint32_t file = sources.add("x", text.text());
  const auto loaded = load_fleet(std::move(sources));
  const Messages messages = messages_of(loaded.diagnostics, *loaded.value->sources, file, text);
  ASSERT_EQ(messages.size(), 1U) << text_of(messages);
  EXPECT_EQ(to_text(messages.front().path), "disks[\"root\"].size");
  EXPECT_EQ(messages.front().level, Level::kError);
}

TEST(Shapes, NullsAndValuesOfComputedAttributesAreFoundAtEveryDepth) {
  Lab lab(kSmall);
  const auto provider = lab.provider();
  const auto& attributes = provider->schema().resources.at("pvereconcile_vm").attributes;
  const Value config = conformed(Value(Map{{"name", Value()},
                                           {"vmid", Value(1)},
                                           {"power", Value("running")},
                                           {"iso", Value(Map{{"slot", Value("ide2")}})},
                                           {"options", Value(Map{{"a", Value()}})}}),
                                 attributes);
  std::vector<std::string> places;
  for (const Message& message : shape_problems(config, attributes)) places.push_back(to_text(message.path));
  EXPECT_THAT(places, ::testing::UnorderedElementsAre("name", "power", "iso.volume", "options[\"a\"]"));
}

TEST(Durations, AreRead) {
  EXPECT_EQ(parse_duration("90s"), std::chrono::seconds(90));
  EXPECT_EQ(parse_duration("1h30m"), std::chrono::seconds(5400));
  for (const char* bad : {"", "5", "m", "-5m", "5d", "5 m", "99999999999999999999s"})
    EXPECT_FALSE(parse_duration(bad)) << bad;
}

}  // namespace
}  // namespace pvr::tf
