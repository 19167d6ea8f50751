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

/// For a file that is no YAML: whatever stands behind a key that names a secret, up to the end of its line.
void mask_by_words(SourceSet& sources, std::uint32_t file) {
  std::size_t lines = static_cast<std::size_t>(std::ranges::count(sources.file(file).text, '\n')) + 1;
  for (std::uint32_t number = 1; number <= lines; ++number) {
    std::string_view line = sources.line(file, number);
    std::size_t begin = 0;
    for (std::size_t colon = line.find(':'); colon != std::string_view::npos; colon = line.find(':', colon + 1)) {
      std::string_view key = line.substr(begin, colon - begin);
      key.remove_prefix(std::min(key.find_last_of(" \t{,\"'") + 1, key.size()));
      if (names_a_secret(key)) {
        sources.mask(
            {file, number, static_cast<std::uint32_t>(colon + 2), static_cast<std::uint32_t>(line.size() - colon - 1)});
        break;
      }
      begin = colon + 1;
    }
  }
}

Checked<FleetDocument> lower(LoadedSources loaded) {
  Checked<FleetDocument> out;
  out.diagnostics = std::move(loaded.diagnostics);
  FleetDocument& document = out.value.emplace();
  document.hash = hash_of(loaded.sources);
  FleetReader reader(loaded.files, out.diagnostics);
  reader.read(document);
  for (const SourceSpan& secret : reader.secrets()) loaded.sources.mask(secret);
  for (std::uint32_t i = 0; i < loaded.files.size(); ++i) {
    if (!loaded.files[i].complete) mask_by_words(loaded.sources, i);
  }
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
