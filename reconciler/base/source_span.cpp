#include "reconciler/base/source_span.h"

#include <algorithm>
#include <utility>

namespace pvr {
namespace {

std::vector<std::uint32_t> find_line_starts(std::string_view text) {
  std::vector<std::uint32_t> starts;
  if (text.empty()) return starts;
  starts.push_back(0);
  for (std::size_t at = text.find('\n'); at != std::string_view::npos; at = text.find('\n', at + 1)) {
    starts.push_back(static_cast<std::uint32_t>(at + 1));
  }
  return starts;
}

}  // namespace

SourceSet::SourceSet() { add("builtin_roles.yaml", ""); }

std::uint32_t SourceSet::add(std::string name, std::string text) {
  line_starts_.push_back(find_line_starts(text));
  files_.push_back({std::move(name), std::move(text)});
  return static_cast<std::uint32_t>(files_.size() - 1);
}

void SourceSet::set_text(std::uint32_t index, std::string text) {
  line_starts_[index] = find_line_starts(text);
  files_[index].text = std::move(text);
}

void SourceSet::mask(const SourceSpan& span) {
  if (span.file >= files_.size() || span.line == 0 || span.line > line_starts_[span.file].size()) return;
  std::string& text = files_[span.file].text;
  std::size_t at = line_starts_[span.file][span.line - 1] + std::size_t{span.column} - 1;
  for (std::size_t end = std::min(text.size(), at + span.length); at < end; ++at) {
    if (text[at] != '\n' && text[at] != '\r') text[at] = '*';
  }
}

std::string_view SourceSet::line(std::uint32_t file, std::uint32_t line) const {
  if (file >= files_.size() || line == 0 || line > line_starts_[file].size()) return {};
  std::string_view text = files_[file].text;
  std::size_t begin = line_starts_[file][line - 1];
  std::size_t end = text.find('\n', begin);
  if (end == std::string_view::npos) end = text.size();
  if (end > begin && text[end - 1] == '\r') --end;
  return text.substr(begin, end - begin);
}

std::string SourceSet::place(const SourceSpan& span) const {
  if (span.file >= files_.size()) return "?";
  const std::string& name = files_[span.file].name;
  if (!span.known()) return name;
  return name + ":" + std::to_string(span.line) + ":" + std::to_string(span.column);
}

}  // namespace pvr
