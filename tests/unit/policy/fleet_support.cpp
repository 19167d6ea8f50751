#include "tests/unit/policy/fleet_support.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "schema/fleet_schema.h"

namespace pvr::test {

std::string rendered(const Diagnostics& diagnostics, const FleetDocument& document) {
  std::string out;
  for (const Diagnostic& diagnostic : diagnostics) out += render(diagnostic, *document.sources);
  return out;
}

std::shared_ptr<const FleetDocument> load_or_die(std::string_view text) {
  SourceSet sources;
  sources.add("fleet.yaml", "version: 1\n" + std::string(text));
  Checked<FleetDocument> loaded = load_fleet(std::move(sources));
  EXPECT_TRUE(loaded.ok()) << rendered(loaded.diagnostics, *loaded.value);
  return std::make_shared<const FleetDocument>(loaded.ok() ? std::move(*loaded.value) : FleetDocument{});
}

Checked<ResolvedFleet> resolve_text(std::string_view text, const Facts& facts) {
  return resolve(load_or_die(text), facts);
}

Checked<ResolvedFleet> resolve_text(std::string_view text) {
  const auto document = load_or_die(text);
  return resolve(document, gather_facts(*document, nullptr));
}

ResolvedFleet resolve_or_die(std::string_view text, const Facts& facts) {
  Checked<ResolvedFleet> resolved = resolve_text(text, facts);
  EXPECT_TRUE(resolved.ok()) << rendered(resolved.diagnostics, *resolved.value->document);
  return std::move(*resolved.value);
}

ResolvedFleet resolve_or_die(std::string_view text) {
  const auto document = load_or_die(text);
  return resolve_or_die(text, gather_facts(*document, nullptr));
}

Facts observed_facts(std::string_view text) {
  Facts facts = gather_facts(*load_or_die(text), nullptr);
  facts.observed = true;
  facts.pve_major = 9;
  facts.pve_minor = 2;
  return facts;
}

void expect_matches_file(const std::string& text, const std::string& path) {
  const std::string full = std::string(PVERECONCILE_SOURCE_DIR) + "/" + path;
  if (const char* accept = std::getenv("PVERECONCILE_TEST_ACCEPT");
      accept != nullptr && std::string_view(accept) == "1") {
    std::ofstream(full, std::ios::binary) << text;
    return;
  }
  std::ostringstream held;
  held << std::ifstream(full, std::ios::binary).rdbuf();
  EXPECT_EQ(held.str(), text)
      << path << " is out of date: run the test with PVERECONCILE_TEST_ACCEPT=1 and read the difference";
}

}  // namespace pvr::test
