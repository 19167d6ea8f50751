#include "tests/architecture/include_rules.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <vector>

namespace pvr::architecture {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::map<std::string, std::string> sources_of_the_product() {
  std::map<std::string, std::string> texts;
  const std::filesystem::path root = PVERECONCILE_SOURCE_DIR;
  for (const char* top : {"reconciler", "schema", "providers", "simulator", "cli", "terraform-plugin"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root / top)) {
      const auto ending = entry.path().extension();
      if (ending != ".h" && ending != ".cpp") continue;
      std::ifstream file(entry.path());
      texts[entry.path().lexically_relative(root).generic_string()] =
          std::string(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
    }
  }
  return texts;
}

TEST(Architecture, EveryIncludeObeysTheTable) {
  std::vector<std::string> all;
  for (const auto& [path, text] : sources_of_the_product()) {
    std::ranges::copy(violations(path, text), std::back_inserter(all));
  }
  EXPECT_THAT(all, IsEmpty());
}

TEST(Architecture, EverySourceBelongsToALayerAndEveryLayerHasSources) {
  std::vector<std::string> homeless;
  std::map<std::string, int> count;
  for (const auto& [path, text] : sources_of_the_product()) {
    const std::string layer = layer_of(path);
    if (layer.empty()) homeless.push_back(path);
    ++count[layer];
  }
  EXPECT_THAT(homeless, IsEmpty());
  for (const std::string& layer : layers()) EXPECT_GT(count[layer], 0) << layer;
}

TEST(Architecture, EveryHeaderIsIncludedOnce) {
  for (const auto& [path, text] : sources_of_the_product()) {
    if (!path.ends_with(".h")) continue;
    EXPECT_NE(text.find("#pragma once"), std::string::npos) << path;
  }
}

TEST(IncludeRules, ASideStepBetweenPureFoldersIsFound) {
  EXPECT_THAT(violations("reconciler/policy/a.cpp", "#include \"reconciler/planning/diff.h\"\n"),
              ElementsAre("reconciler/policy/a.cpp:1: reconciler/policy may not include reconciler/planning/diff.h"));
}

TEST(IncludeRules, ApplyCannotPlan) {
  EXPECT_THAT(
      violations("reconciler/execute/a.cpp", "\n#include \"reconciler/planning/make_plan.h\"\n"),
      ElementsAre("reconciler/execute/a.cpp:2: reconciler/execute may not include reconciler/planning/make_plan.h"));
}

TEST(IncludeRules, TheEngineMaySeeTheWholeReconcilerButNoProvider) {
  EXPECT_THAT(violations("reconciler/engine/a.cpp", "#include \"reconciler/execute/executor.h\"\n"), IsEmpty());
  EXPECT_THAT(violations("reconciler/engine/a.cpp", "#include \"providers/pve/pve_client.h\"\n"),
              ElementsAre("reconciler/engine/a.cpp:1: reconciler/engine may not include providers/pve/pve_client.h"));
}

TEST(IncludeRules, TheSimulatorSharesNothingOfOurs) {
  EXPECT_THAT(violations("simulator/world/a.cpp", "#include \"reconciler/base/units.h\"\n"),
              ElementsAre("simulator/world/a.cpp:1: simulator may not include reconciler/base/units.h"));
  EXPECT_THAT(violations("simulator/world/a.cpp", "#include \"simulator/wire/message.h\"\n"), IsEmpty());
}

TEST(IncludeRules, ALibraryStaysInTheFolderThatOwnsItAndOutOfHeaders) {
  EXPECT_THAT(violations("schema/a.cpp", "#include <curl/curl.h>\n"),
              ElementsAre("schema/a.cpp:1: schema may not use curl: curl/curl.h"));
  EXPECT_THAT(violations("providers/pve/a.h", "#include <curl/curl.h>\n"),
              ElementsAre("providers/pve/a.h:1: no third-party header in a header: curl/curl.h"));
  EXPECT_THAT(violations("providers/pve/a.cpp", "#include <curl/curl.h>\n"), IsEmpty());
  EXPECT_THAT(violations("providers/pve/a.h", "#include <nlohmann/json_fwd.hpp>\n"), IsEmpty());
  EXPECT_THAT(violations("simulator/yaml_reader.h", "#include <yaml-cpp/yaml.h>\n"), IsEmpty());
  EXPECT_THAT(violations("simulator/simulator.h", "#include <yaml-cpp/yaml.h>\n"),
              ElementsAre("simulator/simulator.h:1: no third-party header in a header: yaml-cpp/yaml.h"));
}

TEST(IncludeRules, GrpcStaysAtTheEdgeOfTheTerraformProvider) {
  EXPECT_THAT(
      violations("terraform-plugin/provider/a.cpp", "#include <grpcpp/grpcpp.h>\n"),
      ElementsAre("terraform-plugin/provider/a.cpp:1: terraform-plugin/provider may not use grpc: grpcpp/grpcpp.h"));
  EXPECT_THAT(violations("terraform-plugin/edge/a.h", "#include <tfplugin6.pb.h>\n"),
              ElementsAre("terraform-plugin/edge/a.h:1: no third-party header in a header: tfplugin6.pb.h"));
  EXPECT_THAT(violations("terraform-plugin/edge/a.cpp", "#include <tfplugin6.pb.h>\n"), IsEmpty());
  EXPECT_THAT(
      violations("terraform-plugin/provider/a.cpp", "#include \"simulator/simulator.h\"\n"),
      ElementsAre(
          "terraform-plugin/provider/a.cpp:1: terraform-plugin/provider may not include simulator/simulator.h"));
}

TEST(IncludeRules, PureFoldersHaveNoThreadsFilesRandomNumbersOrClocks) {
  EXPECT_THAT(violations("reconciler/planning/a.cpp", "#include <thread>\n#  include <random>\n#include <vector>\n"),
              ElementsAre("reconciler/planning/a.cpp:1: reconciler/planning is pure and does without <thread>",
                          "reconciler/planning/a.cpp:2: reconciler/planning is pure and does without <random>"));
  EXPECT_THAT(violations("reconciler/execute/a.cpp", "const auto t = std::chrono::steady_clock::now();\n"),
              ElementsAre("reconciler/execute/a.cpp:1: reconciler/execute does not read a clock by itself"));
}

TEST(IncludeRules, AnIncludeRelativeToItsFolderIsFound) {
  EXPECT_THAT(violations("cli/a.cpp", "#include \"text_view.h\"\n"),
              ElementsAre("cli/a.cpp:1: an include of ours must start at the root of the repository: text_view.h"));
}

}  // namespace
}  // namespace pvr::architecture
