#include <gtest/gtest.h>

#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "tests/unit/schema/reading.h"

namespace pvr {
namespace {

std::string nested(std::size_t depth) {
  return "version: 1\nvms: " + std::string(depth, '[') + std::string(depth, ']') + "\n";
}

TEST(HostileYaml, ExpandsNoBillionLaughs) {
  std::string text = "version: 1\na: &a0 [x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    std::string previous = "*a" + std::to_string(i - 1);
    text += "b" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 9; ++j) text += previous + ", ";
    text += previous + "]\n";
  }
  Checked<FleetDocument> fleet = load_text(text);
  EXPECT_TRUE(has_code(fleet, "schema.yaml.expansion")) << said(fleet);
}

TEST(HostileYaml, RefusesAnAliasInsideItsAnchor) {
  EXPECT_TRUE(has_code(load_text("version: 1\nvms: &a {x: *a}\n"), "schema.yaml.alias"));
  EXPECT_TRUE(has_code(load_text("version: 1\nvms: *nobody\n"), "schema.yaml.alias"));
}

TEST(HostileYaml, LimitsTheDepthWithAndWithoutAliases) {
  EXPECT_TRUE(has_code(load_text(nested(100)), "schema.yaml.depth"));
  EXPECT_TRUE(has_code(load_text(nested(200000)), "schema.yaml.depth"));
  std::string text = "version: 1\na0: &a0 [x]\n";
  for (int i = 1; i < 60; ++i) {
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [*a" + std::to_string(i - 1) + "]\n";
  }
  EXPECT_TRUE(has_code(load_text(text), "schema.yaml.depth"));
}

TEST(HostileYaml, RefusesBytesThatAreNoText) {
  EXPECT_TRUE(has_code(load_text(std::string("version: 1\0", 11)), "schema.yaml.encoding"));
  EXPECT_TRUE(has_code(load_text("\xFF\xFEv\0e\0"), "schema.yaml.encoding"));
  EXPECT_TRUE(has_code(load_text("version: 1\n# \xC3\x28\n"), "schema.yaml.encoding"));
  EXPECT_TRUE(has_code(load_text("version: 1\n# \xED\xA0\x80\n"), "schema.yaml.encoding"));      // a surrogate
  EXPECT_TRUE(has_code(load_text("version: 1\n# \xC0\xAF\n"), "schema.yaml.encoding"));          // longer than needed
  EXPECT_TRUE(has_code(load_text("version: 1\n# \xF4\x90\x80\x80\n"), "schema.yaml.encoding"));  // beyond Unicode
  EXPECT_TRUE(has_code(load_text("version: 1\n# cut \xE2\x82"), "schema.yaml.encoding"));
  EXPECT_TRUE(has_code(load_text("version: 1\n# \x1b[2J\n"), "schema.yaml.control"));
  EXPECT_TRUE(has_code(load_text("version: 1\n# \xC2\x85\n"), "schema.yaml.control"));
  EXPECT_TRUE(has_code(load_text("version: 1\n# \xE2\x80\xA8\n"), "schema.yaml.control"));
  EXPECT_TRUE(has_code(load_text("version: 1\nvms: {\"a\\0b\": {vmid: 100}}\n"), "schema.yaml.control"));
}

TEST(HostileYaml, TellsEveryBadLineOfAText) {
  Checked<FleetDocument> fleet = load_text("version: 1\n# \x01\n# fine\n# \x02\n");
  ASSERT_EQ(fleet.diagnostics.size(), 2U) << said(fleet);
  EXPECT_EQ(fleet.diagnostics[0].span.line, 2U);
  EXPECT_EQ(fleet.diagnostics[1].span.line, 4U);
}

TEST(HostileYaml, TakesAByteOrderMarkAndWindowsLineEnds) {
  Checked<FleetDocument> fleet =
      load_text("\xEF\xBB\xBFversion: 1\r\nvms: {a: {vmid: 100, description: gr\xC3\xBC\xC3\x9F}}\r\n");
  EXPECT_TRUE(fleet.ok()) << said(fleet);
  EXPECT_EQ(std::get<std::string>(fleet.value->vms.at(0).options.find("description")->value), "gr\xC3\xBC\xC3\x9F");
  Checked<FleetDocument> wrong = load_text("\xEF\xBB\xBFversoin: 1\r\n");
  EXPECT_NE(said(wrong).find("fleet.yaml:1:4"), std::string::npos) << said(wrong);
}

TEST(HostileYaml, PlacesErrorsBehindWideCharactersByBytes) {
  Checked<FleetDocument> fleet =
      load_text("version: 1\npools: {\xC3\xA4\xC3\xB6: {comment: \"\xE2\x82\xAC\", x: 1}}\n");
  EXPECT_NE(said(fleet).find("fleet.yaml:2:32: error: Unknown key"), std::string::npos) << said(fleet);
}

TEST(HostileYaml, RefusesMoreThanOneDocument) {
  EXPECT_TRUE(has_code(load_text("version: 1\n---\nversion: 1\n"), "schema.yaml.documents"));
  EXPECT_TRUE(load_text("---\nversion: 1\n...\n").ok());
}

TEST(HostileYaml, SaysWhatAnEmptyFileLacks) {
  EXPECT_TRUE(has_code(load_text(""), "schema.key.missing"));
  EXPECT_TRUE(has_code(load_text("# nothing\n"), "schema.key.missing"));
  EXPECT_TRUE(has_code(load_text("just a text\n"), "schema.value.type"));
  EXPECT_TRUE(has_code(load_text("- a\n- b\n"), "schema.value.type"));
}

TEST(HostileYaml, RefusesFilesThatAreTooLarge) {
  EXPECT_TRUE(has_code(load_text(std::string((std::size_t{64} << 20U) + 1, '#')), "schema.yaml.size"));
}

TEST(HostileYaml, CutsTheListOfErrors) {
  std::string text = "version: 1\nvms:\n";
  for (int i = 0; i < 5000; ++i) text += "  vm-" + std::to_string(i) + ": {vmid: 100, colour: red}\n";
  Checked<FleetDocument> fleet = load_text(text);
  EXPECT_EQ(fleet.diagnostics.size(), 1001U);
  EXPECT_EQ(fleet.diagnostics.back().code, "schema.too-many");
}

TEST(HostileYaml, StaysFastOnLargeMappings) {
  std::string text = "version: 1\nvms:\n";
  for (int i = 0; i < 20000; ++i)
    text += "  vm-" + std::to_string(i / 2) + ": {vmid: " + std::to_string(1000 + i) + "}\n";
  // The same on one line, with a character of two bytes.
  std::string line = "version: 1\nvms: {";
  for (int i = 0; i < 20000; ++i) line += "vm-" + std::to_string(i) + ": {vmid: " + std::to_string(1000 + i) + "}, ";
  line += "z: {vmid: 999, description: \xC3\xA4}}\n";
  std::clock_t start = std::clock();
  Checked<FleetDocument> fleet = load_text(text);
  EXPECT_TRUE(has_code(fleet, "schema.yaml.duplicate"));
  EXPECT_TRUE(load_text(line).ok());
  // Comparing each key with each other would take minutes.
  EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 20.0);
}

TEST(HostileYaml, ShowsNoSecretBack) {
  Checked<FleetDocument> fleet = load_text(R"(version: 1
cluster:
  endpoints: ["https://root:hunter2@pve1:8006"]
  token_id: root@pam!ci=hunter2
  token_secret: hunter2
  passwrd: hunter2
storages:
  nas: {type: cifs, server: nas, share: vms, password: "hunter2", colour: red}
vms:
  a:
    vmid: 100
    colour: red
    cloud_init: {password: hunter2, user: [wrong]}
    options: {cipassword: hunter2, scsi0: x}
  b:
    vmid: 101
    colour: red
    cloud_init:
      password: >
        hunter2 ä
        hunter2
      user: [wrong]
)");
  std::string text = said(fleet);
  EXPECT_EQ(text.find("hunter2"), std::string::npos) << text;
  EXPECT_TRUE(has_code(fleet, "schema.key.refused"));
  EXPECT_EQ(fleet.value->sources->file(1).text.find("hunter2"), std::string::npos);
}

TEST(HostileYaml, ShowsNoSecretBackFromAFileThatCannotBeRead) {
  Checked<FleetDocument> fleet = load_text("version: 1\ncluster: {token_secret: hunter2, token_file: /run/x, x: [}\n");
  std::string text = said(fleet);
  EXPECT_TRUE(has_code(fleet, "schema.yaml.syntax")) << text;
  EXPECT_EQ(text.find("hunter2"), std::string::npos) << text;
}

// A small generator: the same bytes on every machine and library.
class Random {
 public:
  std::uint32_t below(std::size_t bound) {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<std::uint32_t>((state_ >> 33U) % bound);
  }

 private:
  std::uint64_t state_ = 42;
};

TEST(HostileYaml, SurvivesMutations) {
  std::ifstream stream(std::filesystem::path(PVERECONCILE_SOURCE_DIR) / "tests/unit/schema/cases/accepted.yaml");
  const std::string good{std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
  ASSERT_FALSE(good.empty());
  constexpr std::string_view kBits = "{}[]:,&*!|>'\"%@`#-?\n\t \xC3\x80~<0";
  Random random;
  int refused = 0;
  for (int round = 0; round < 400; ++round) {
    std::string text = good;
    for (std::uint32_t i = 0, changes = 1 + random.below(4); i < changes; ++i) {
      std::size_t at = random.below(text.size());
      switch (random.below(4)) {
        case 0:
          text[at] = kBits[random.below(kBits.size())];
          break;
        case 1:
          text.insert(at, 1, kBits[random.below(kBits.size())]);
          break;
        case 2:
          text.erase(at, 1 + random.below(12));
          break;
        default:
          text.insert(at, text.substr(random.below(text.size()), random.below(60)));
          break;
      }
    }
    Checked<FleetDocument> fleet = load_text(text);
    EXPECT_FALSE(fleet.ok() != !has_errors(fleet.diagnostics));
    for (const Diagnostic& diagnostic : fleet.diagnostics) {
      EXPECT_LT(diagnostic.span.file, 2U);
      EXPECT_FALSE(render(diagnostic, *fleet.value->sources).empty());
    }
    if (!fleet.ok()) ++refused;
  }
  EXPECT_GT(refused, 200);
}

}  // namespace
}  // namespace pvr
