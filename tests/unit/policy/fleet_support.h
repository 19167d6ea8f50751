#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "reconciler/model/facts.h"
#include "reconciler/model/fleet_document.h"
#include "reconciler/model/resolved_fleet.h"
#include "reconciler/resolve/resolve.h"

namespace pvr::test {

/// Reads a fleet ("version: 1" is put in front) as file "fleet.yaml". Fails the test and gives an empty document on
/// errors.
[[nodiscard]] std::shared_ptr<const FleetDocument> load_or_die(std::string_view text);

/// The same, resolved. Without facts: as offline, from the document alone.
[[nodiscard]] Checked<ResolvedFleet> resolve_text(std::string_view text);
[[nodiscard]] Checked<ResolvedFleet> resolve_text(std::string_view text, const Facts& facts);
[[nodiscard]] ResolvedFleet resolve_or_die(std::string_view text);
[[nodiscard]] ResolvedFleet resolve_or_die(std::string_view text, const Facts& facts);

/// Facts of a fleet text as gather_facts gives them for a cluster that was read: PVE 9.2, no guests, the fleet's
/// storages.
[[nodiscard]] Facts observed_facts(std::string_view text);

/// Every diagnostic, rendered; for messages of failing tests and comparisons with files.
[[nodiscard]] std::string rendered(const Diagnostics& diagnostics, const FleetDocument& document);

/// Compares `text` with a file of the source tree ("docs/rules.md"). With PVERECONCILE_TEST_ACCEPT=1 the file is
/// rewritten instead.
void expect_matches_file(const std::string& text, const std::string& path);

}  // namespace pvr::test
