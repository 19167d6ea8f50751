#include "schema/source_loader.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <system_error>

#include "reconciler/base/text.h"
#include "schema/builtin_roles.h"

namespace pvr {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostFiles = 10'000;
constexpr std::uintmax_t kMostBytes = std::uintmax_t{256} << 20U;

bool is_fleet_file(const fs::path& path) {
  std::string name = path.filename().string();
  return !name.starts_with('.') && (path.extension() == ".yaml" || path.extension() == ".yml");
}

/// A leading dot is only matched by a dot: hidden files are not meant.
bool fits(std::string_view pattern, std::string_view name) {
  return (!name.starts_with('.') || pattern.starts_with('.')) && glob_matches(pattern, name);
}

class Loader {
 public:
  LoadedSources run(const fs::path& path) {
    out_.sources.set_text(0, std::string(kBuiltinRoles));
    parse(0);
    std::error_code fault;
    if (fs::is_directory(path, fault)) {
      std::vector<fs::path> files = fleet_files_of(path);
      if (files.empty())
        say({0, 0, 0, 0}, "schema.file.none", "No fleet files",
            fmt::format("The directory {} holds no *.yaml.", path.string()));
      for (const fs::path& file : files) read(file, {});
    } else {
      read(path, {});
    }
    return std::move(out_);
  }

 private:
  /// Its fleet.yaml, which includes what belongs to it; else all files, for other things may lie there, too.
  static std::vector<fs::path> fleet_files_of(const fs::path& directory) {
    for (const char* name : {"fleet.yaml", "fleet.yml"}) {
      std::error_code fault;
      if (fs::is_regular_file(directory / name, fault)) return {directory / name};
    }
    return list(directory, [](const fs::path& p) { return is_fleet_file(p); });
  }

  void say(SourceSpan span, std::string code, std::string summary, std::string detail) {
    out_.diagnostics.push_back({Severity::kError, std::move(code), std::move(summary), std::move(detail), span, {}});
  }

  void parse(std::uint32_t file) { out_.files.push_back(read_yaml(out_.sources, file, out_.diagnostics)); }

  /// Files of one directory that `wanted` takes, sorted by name.
  template <class Wanted>
  static std::vector<fs::path> list(const fs::path& directory, Wanted wanted) {
    std::vector<fs::path> out;
    std::error_code fault;
    for (fs::directory_iterator at(directory, fault), end; !fault && at != end; at.increment(fault)) {
      if (wanted(at->path()) && at->is_regular_file(fault)) out.push_back(at->path());
    }
    std::ranges::sort(out);
    return out;
  }

  void read(const fs::path& path, SourceSpan named) {
    std::error_code fault;
    fs::path same = fs::weakly_canonical(path, fault);
    if (!seen_.insert(fault ? path.lexically_normal() : same).second) return;
    auto refuse = [&](std::string_view why) {
      std::uint32_t file = named.known() ? named.file : out_.sources.add(path.string(), "");
      if (!named.known()) out_.files.emplace_back();
      say(named.known() ? named : SourceSpan{file, 0, 0, 0}, "schema.file.unreadable", "The file cannot be read",
          fmt::format("{}: {}.", path.string(), why));
    };
    if (out_.sources.size() > kMostFiles) return refuse("a fleet has at most 10000 files");
    fs::file_status status = fs::status(path, fault);
    if (!fs::exists(status)) return refuse("there is no such file");
    if (!fs::is_regular_file(status)) return refuse("it is not a regular file");
    std::uintmax_t size = fs::file_size(path, fault);
    if (fault || bytes_ + size > kMostBytes)
      return refuse(fault ? fault.message() : "a fleet has at most 256 MiB of text");
    bytes_ += size;
    std::ifstream stream(path, std::ios::binary);
    std::string text((std::istreambuf_iterator<char>(stream)), std::istreambuf_iterator<char>());
    if (!stream && !stream.eof()) return refuse("it could not be opened or read");
    std::uint32_t file = out_.sources.add(path.string(), std::move(text));
    parse(file);
    include(file, path.parent_path());
  }

  void include(std::uint32_t file, const fs::path& directory) {
    // The trees move when more files are read, so the patterns are taken out first.
    std::vector<Spanned<std::string>> patterns;
    const YamlTree& tree = out_.files[file].tree;
    const YamlNode* node = tree.root() == nullptr ? nullptr : tree.find(*tree.root(), "include");
    if (node == nullptr) return;
    auto take = [&](const YamlNode& item) {
      if (item.kind == YamlKind::kScalar && !is_null(item) && !item.text.empty()) {
        patterns.push_back({std::string(item.text), item.span});
      } else {
        say(item.span, "schema.value.type", "Wrong type", "\"include\" takes a path or a list of paths.");
      }
    };
    if (node->kind == YamlKind::kSequence) {
      for (std::size_t i = 0; i < tree.size(*node); ++i) take(tree.item(*node, i));
    } else {
      take(*node);
    }
    for (const Spanned<std::string>& pattern : patterns) expand(directory, pattern);
  }

  void expand(const fs::path& directory, const Spanned<std::string>& pattern) {
    fs::path wanted(pattern.value);
    if (wanted.is_absolute()) {
      return say(pattern.span, "schema.include.absolute", "An absolute path",
                 "Included files are named relative to the file that includes them.");
    }
    std::vector<fs::path> places{directory};
    bool glob = false;
    for (auto part = wanted.begin(); part != wanted.end(); ++part) {
      bool last = std::next(part) == wanted.end();
      std::string name = part->string();
      bool is_glob = name.find_first_of("*?") != std::string::npos;
      glob = glob || is_glob;
      std::vector<fs::path> next;
      for (const fs::path& place : places) {
        if (!is_glob) {
          next.push_back(place / *part);
        } else if (last) {
          std::vector<fs::path> files =
              list(place.empty() ? "." : place, [&](const fs::path& p) { return fits(name, p.filename().string()); });
          for (const fs::path& found : files) next.push_back(place / found.filename());
        } else {
          std::vector<fs::path> found;
          std::error_code fault;
          for (fs::directory_iterator at(place.empty() ? "." : place, fault), end; !fault && at != end;
               at.increment(fault)) {
            if (at->is_directory(fault) && fits(name, at->path().filename().string()))
              found.push_back(place / at->path().filename());
          }
          std::ranges::sort(found);
          next.insert(next.end(), found.begin(), found.end());
        }
      }
      places = std::move(next);
    }
    if (glob && places.empty()) {
      return say(pattern.span, "schema.include.none", "Nothing to include",
                 fmt::format("No file fits \"{}\".", pattern.value));
    }
    for (const fs::path& place : places) read(place.lexically_normal(), pattern.span);
  }

  LoadedSources out_ = {};
  std::set<fs::path> seen_ = {};
  std::uintmax_t bytes_ = 0;
};

}  // namespace

LoadedSources load_sources(const fs::path& path) { return Loader().run(path); }

LoadedSources parse_sources(SourceSet sources) {
  LoadedSources out;
  sources.set_text(0, std::string(kBuiltinRoles));
  out.sources = std::move(sources);
  for (std::uint32_t i = 0; i < out.sources.size(); ++i)
    out.files.push_back(read_yaml(out.sources, i, out.diagnostics));
  return out;
}

}  // namespace pvr
