#include "schema/fleet_schema.h"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <memory>

#include "schema/fleet_checks.h"
#include "schema/fleet_reader.h"
#include "schema/source_loader.h"

namespace pvr {
namespace {

constexpr std::size_t kMostDiagnostics = 1000;

/// SHA-256 over names' lengths and texts, so that text moved from one file to the next changes it.
std::string hash_of(const SourceSet& sources) {
  std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(), &EVP_MD_CTX_free);
  EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr);
  for (std::uint32_t i = 0; i < sources.size(); ++i) {
    const std::string& text = sources.file(i).text;
    std::string head = fmt::format("{}:", text.size());
    EVP_DigestUpdate(context.get(), head.data(), head.size());
    EVP_DigestUpdate(context.get(), text.data(), text.size());
  }
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  EVP_DigestFinal_ex(context.get(), digest.data(), &length);
  std::string hex;
  for (unsigned i = 0; i < length; ++i) hex += fmt::format("{:02x}", digest[i]);
  return hex;
}

Checked<FleetDocument> lower(LoadedSources loaded) {
  Checked<FleetDocument> out;
  out.diagnostics = std::move(loaded.diagnostics);
  FleetDocument& document = out.value.emplace();
  document.hash = hash_of(loaded.sources);
  FleetReader reader(loaded.files, out.diagnostics);
  reader.read(document);
  for (const SourceSpan& secret : reader.secrets()) loaded.sources.mask(secret);
  document.sources = std::make_shared<const SourceSet>(std::move(loaded.sources));
  // What an unreadable file would have declared is unknown, so references are not judged.
  if (std::ranges::all_of(loaded.files, &YamlFile::complete)) check_fleet(document, out.diagnostics);
  sort_diagnostics(out.diagnostics);
  if (out.diagnostics.size() > kMostDiagnostics) {
    std::size_t more = out.diagnostics.size() - kMostDiagnostics;
    out.diagnostics.resize(kMostDiagnostics);
    out.diagnostics.push_back(
        {Severity::kError, "schema.too-many", "Too many errors", fmt::format("{} more are not shown.", more), {}, {}});
    out.diagnostics.back().span.file = out.diagnostics[kMostDiagnostics - 1].span.file;
  }
  return out;
}

}  // namespace

Checked<FleetDocument> load_fleet(SourceSet sources) { return lower(parse_sources(std::move(sources))); }

Checked<FleetDocument> load_fleet_file(const std::filesystem::path& path) { return lower(load_sources(path)); }

}  // namespace pvr
