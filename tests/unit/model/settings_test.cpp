#include "reconciler/model/settings.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "reconciler/model/option_codec.h"

namespace pvr {
namespace {

using nlohmann::json;

TEST(Settings, AreSortedAndUnique) {
  const auto rows = setting_catalogue();
  for (std::size_t i = 1; i < rows.size(); ++i) {
    const auto before = std::make_tuple(rows[i - 1].home, rows[i - 1].name, rows[i - 1].count > 0);
    const auto after = std::make_tuple(rows[i].home, rows[i].name, rows[i].count > 0);
    EXPECT_LT(before, after) << rows[i].name;
  }
}

TEST(Settings, EveryRowIsFoundByItsKey) {
  for (const Setting& row : setting_catalogue()) {
    const std::string key =
        row.count > 0 ? std::string(row.name) + std::to_string(row.count - 1) : std::string(row.name);
    EXPECT_EQ(find_setting(row.home, key), &row) << key;
    EXPECT_FALSE(row.help.empty()) << key;
    if (row.count > 0) {
      EXPECT_EQ(find_setting(row.home, std::string(row.name) + std::to_string(row.count)), nullptr) << key;
    }
  }
}

TEST(Settings, PlainKeyAndFamilyOfOneNameAreTold) {
  EXPECT_EQ(find_setting(Home::kVmOption, "numa")->kind, ValueKind::kBool);
  EXPECT_EQ(find_setting(Home::kVmOption, "numa0")->kind, ValueKind::kProperties);
  EXPECT_EQ(find_setting(Home::kVmOption, "net"), nullptr);
  EXPECT_EQ(find_setting(Home::kVmOption, "net01"), nullptr);
  EXPECT_EQ(find_setting(Home::kVmOption, "net4294967296"), nullptr);
  EXPECT_EQ(find_setting(Home::kVmOption, "cores1"), nullptr);
  EXPECT_EQ(find_setting(Home::kDriveOption, "cores"), nullptr);
  EXPECT_EQ(find_setting(Home::kVmOption, ""), nullptr);
}

TEST(Settings, DefaultsAreLegalValues) {
  for (const Setting& row : setting_catalogue()) {
    if (row.default_text.empty()) continue;
    const auto value = parse_option(row, row.default_text);
    ASSERT_TRUE(value.ok()) << row.name << ": " << value.error().text();
    EXPECT_FALSE(is_absent(*value)) << row.name;
  }
}

TEST(Settings, EffectsOfDriveOptionsFollowTheHotplugMatrix) {
  const auto effect = [](const char* key) { return find_setting(Home::kDriveOption, key)->effect; };
  for (const char* key : {"aio", "cache", "discard", "iothread", "queues", "product", "vendor", "ro", "ssd"}) {
    EXPECT_EQ(effect(key), TakesEffect::kAtRestart) << key;
  }
  for (const char* key : {"detect_zeroes", "serial", "model", "wwn", "rerror", "werror", "scsiblock"}) {
    EXPECT_EQ(effect(key), TakesEffect::kSilentRestart) << key;
  }
  for (const char* key : {"backup", "replicate", "shared", "snapshot", "mbps", "iops_wr_max_length"}) {
    EXPECT_EQ(effect(key), TakesEffect::kAtOnce) << key;
  }
}

/// The machine-readable parameter schema of PVE, where someone has put one.
std::optional<json> api_schema() {
  const std::filesystem::path source = PVERECONCILE_SOURCE_DIR;
  std::vector<std::filesystem::path> places = {source / "../shared/pve"};
  if (const char* named = std::getenv("PVERECONCILE_SHARED"))
    places.insert(places.begin(), {named, std::filesystem::path(named) / "pve"});
  for (const auto& place : places) {
    if (std::ifstream file(place / "apidoc.json"); file) return json::parse(file);
  }
  return std::nullopt;
}

json parameters_of(const json& schema, const std::string& method, const std::string& path) {
  for (const json& entry : schema.at("endpoints")) {
    if (entry.at("method") != method || entry.at("path") != path) continue;
    const json& parameters = entry.at("parameters");
    return parameters.contains("properties") && parameters.at("properties").contains("node")
               ? parameters.at("properties")
               : parameters;
  }
  return {};
}

/// Names in the schema that are no settings of the resource.
const std::set<std::string> kNotSettings = {"delete", "digest",  "force", "node", "revert", "skiplock",
                                            "vmid",   "storage", "type",  "sid",  "id"};

TEST(Settings, KnowEveryVmOptionOfTheApi) {
  const auto schema = api_schema();
  if (!schema) GTEST_SKIP() << "no apidoc.json here; PVERECONCILE_SHARED names its folder";
  const json options = parameters_of(*schema, "PUT", "/nodes/{node}/qemu/{vmid}/config");
  ASSERT_GT(options.size(), 50U);
  for (const auto& [name, description] : options.items()) {
    if (kNotSettings.contains(name)) continue;
    const bool family = name.ends_with("[n]");
    const std::string key = family ? name.substr(0, name.size() - 3) + "0" : name;
    const Setting* row = find_setting(Home::kVmOption, key);
    ASSERT_NE(row, nullptr) << name;
    EXPECT_EQ(row->count > 0, family) << name;
    if (description.value("type", "") == "boolean") {
      EXPECT_EQ(row->kind, ValueKind::kBool) << name;
    }
    if (description.value("type", "") == "integer") {
      EXPECT_EQ(row->kind, ValueKind::kInteger) << name;
    }
    if (description.value("type", "") == "number") {
      EXPECT_EQ(row->kind, ValueKind::kNumber) << name;
    }
    if (description.contains("enum") && row->kind == ValueKind::kEnum) {
      for (const auto& word : description.at("enum")) {
        EXPECT_TRUE(parse_option(*row, word.get<std::string>()).ok()) << name << "=" << word;
      }
    }
    const json format = description.contains("format") ? description.at("format") : json();
    if (row->kind != ValueKind::kProperties || !format.is_object()) continue;
    for (const auto& [sub_key, sub] : format.items()) {
      if (sub.contains("alias")) continue;
      EXPECT_NE(std::string(row->properties).find(sub_key), std::string::npos) << name << " " << sub_key;
      if (sub.value("default_key", 0) == 1) {
        EXPECT_EQ(row->default_key, sub_key) << name;
      }
    }
  }
}

TEST(Settings, KnowEveryDriveOptionOfTheApi) {
  const auto schema = api_schema();
  if (!schema) GTEST_SKIP() << "no apidoc.json here; PVERECONCILE_SHARED names its folder";
  const json options = parameters_of(*schema, "PUT", "/nodes/{node}/qemu/{vmid}/config");
  // Handled by Drive itself, or deliberately unknown: PVE stores bps limits as zero, so only mbps can be written.
  const std::set<std::string> elsewhere = {"file",  "volume", "media", "size", "format", "import-from", "cyls",
                                           "heads", "secs",   "trans", "bps",  "bps_rd", "bps_wr"};
  for (const std::string bus : {"scsi", "virtio", "sata", "ide", "efidisk", "tpmstate"}) {
    const bool single = bus == "efidisk" || bus == "tpmstate";
    const json format = options.at(single ? bus + "0" : bus + "[n]").at("format");
    for (const auto& [key, sub] : format.items()) {
      if (elsewhere.contains(key) || sub.contains("alias")) continue;
      const Setting* row = find_setting(Home::kDriveOption, key);
      ASSERT_NE(row, nullptr) << bus << " " << key;
      EXPECT_NE((" " + std::string(row->buses) + " ").find(" " + bus + " "), std::string::npos) << bus << " " << key;
    }
    for (const Setting& row : setting_catalogue()) {
      if (row.home != Home::kDriveOption) continue;
      if ((" " + std::string(row.buses) + " ").find(" " + bus + " ") == std::string::npos) continue;
      EXPECT_TRUE(format.contains(std::string(row.name))) << bus << " " << row.name;
    }
  }
}

TEST(Settings, KnowEveryStorageHaAndReplicationKeyOfTheApi) {
  const auto schema = api_schema();
  if (!schema) GTEST_SKIP() << "no apidoc.json here; PVERECONCILE_SHARED names its folder";
  const std::map<std::string, Home> calls = {{"/storage", Home::kStorageOption},
                                             {"/cluster/ha/resources", Home::kHa},
                                             {"/cluster/replication", Home::kReplication}};
  for (const auto& [path, home] : calls) {
    const json keys = parameters_of(*schema, "POST", path);
    ASSERT_GT(keys.size(), 5U) << path;
    for (const auto& [key, description] : keys.items()) {
      if (kNotSettings.contains(key)) continue;
      EXPECT_NE(find_setting(home, key), nullptr) << path << " " << key;
    }
    for (const Setting& row : setting_catalogue()) {
      if (row.home == home) {
        EXPECT_TRUE(keys.contains(std::string(row.name))) << path << " " << row.name;
      }
    }
  }
}

}  // namespace
}  // namespace pvr
