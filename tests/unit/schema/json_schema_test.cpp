#include <gtest/gtest.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "schema/field_table.h"
#include "schema/fleet_schema.h"

extern char** environ;

namespace pvr {
namespace {

namespace fs = std::filesystem;

const fs::path kSource = PVERECONCILE_SOURCE_DIR;

/// Every fleet file of the examples; clusters for the simulator are of another format.
std::vector<std::string> example_fleets() {
  std::vector<std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(kSource / "examples")) {
    std::string name = entry.path().filename().string();
    if (entry.path().extension() == ".yaml" && name.find("cluster") == std::string::npos)
      out.push_back(entry.path().string());
  }
  std::ranges::sort(out);
  return out;
}

/// The exit code of a program, or -1 when it could not be started.
int run(std::vector<std::string> words) {
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  pid_t child = 0;
  if (posix_spawnp(&child, arguments[0], nullptr, nullptr, arguments.data(), environ) != 0) return -1;
  int status = 0;
  if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) return -1;
  return WEXITSTATUS(status);
}

TEST(JsonSchema, AnIndependentValidatorAgreesWithTheReader) {
  fs::path file = fs::temp_directory_path() / ("pvereconcile-schema-" + std::to_string(getpid()) + ".json");
  std::ofstream(file, std::ios::binary) << json_schema();
  fs::path cases = kSource / "tests/unit/schema/cases";
  std::vector<std::string> words{"python3", (kSource / "tests/unit/schema/validate.py").string(), file.string(),
                                 "good"};
  std::vector<std::string> fleets = example_fleets();
  ASSERT_GE(fleets.size(), 3U);
  words.insert(words.end(), fleets.begin(), fleets.end());
  words.push_back((kSource / "schema/builtin_roles.yaml").string());
  words.push_back((cases / "accepted.yaml").string());
  words.emplace_back("bad");
  words.push_back((cases / "unknown_keys.yaml").string());
  words.push_back((cases / "wrong_values.yaml").string());
  int code = run(words);
  fs::remove(file);
  if (code == -1 || code == 77)
    GTEST_SKIP() << "python3 with jsonschema and yaml is not installed: THE JSON SCHEMA WAS NOT CHECKED";
  EXPECT_EQ(code, 0);
}

TEST(JsonSchema, ExamplesAreAcceptedByTheReader) {
  for (const char* name :
       {"examples/minimal/fleet.yaml", "examples/homelab/fleet.yaml", "examples/fleet-500/fleet.yaml"}) {
    Checked<FleetDocument> fleet = load_fleet_file(kSource / name);
    EXPECT_TRUE(fleet.diagnostics.empty()) << name << ": " << render(fleet.diagnostics.at(0), *fleet.value->sources);
  }
}

TEST(JsonSchema, HasADefinitionForEveryTableAndNoSecrets) {
  nlohmann::json schema = nlohmann::json::parse(json_schema());
  for (const Table* table : fleet_tables().all) {
    const nlohmann::json& of = table->name == "fleet" ? schema : schema["$defs"][std::string(table->name)];
    for (const Field& field : table->fields) {
      EXPECT_EQ(of["properties"].contains(std::string(field.name)), field.refused.empty())
          << table->name << " " << field.name;
    }
    EXPECT_EQ(of["additionalProperties"], false) << table->name;
  }
  EXPECT_FALSE(schema["$defs"]["cloud_init"]["properties"].contains("password"));
}

TEST(FieldTables, AreSortedExplainedAndUnique) {
  for (const Table* table : fleet_tables().all) {
    for (std::size_t i = 0; i < table->fields.size(); ++i) {
      const Field& field = table->fields[i];
      if (i > 0) {
        EXPECT_LT(table->fields[i - 1].name, field.name) << table->name;
      }
      EXPECT_EQ(table->find(field.name), &field);
      // Properties of PVE's own strings are explained by PVE.
      bool explained = !field.help.empty() || !field.refused.empty() || field.key == Key::kProperty;
      EXPECT_TRUE(explained) << table->name << " " << field.name;
    }
  }
}

}  // namespace
}  // namespace pvr
