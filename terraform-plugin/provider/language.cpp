#include "terraform-plugin/provider/language.h"

#include <fmt/format.h>

#include <algorithm>

namespace pvr::tf {
namespace {

bool has(const Field& field, unsigned forms) { return (field.forms & forms) != 0; }

std::string attribute_name(std::string_view name) {
  std::string out(name);
  std::ranges::replace(out, '-', '_');
  return out;
}

Shape shape_of(const Field& field) {
  if (has(field, kNamedForm)) return Shape::kNamed;
  if (has(field, kTablesForm)) return Shape::kObjects;
  if (has(field, kTableForm)) return Shape::kObject;
  if (field.key == Key::kOptions || has(field, kNamedTextForm)) return Shape::kTextMap;
  if (has(field, kTextsForm)) return Shape::kTexts;
  if (has(field, kSizeForm | kTextForm)) return Shape::kText;
  if (has(field, kIntegerForm | kNumberForm)) return Shape::kNumber;
  return Shape::kBool;
}

std::string help_of(const Field& field) {
  std::string help(field.help);
  if (help.empty() && field.setting != nullptr) help = field.setting->help;
  if (help.empty()) help = fmt::format("PVE's `{}`.", field.lowered.empty() ? field.name : field.lowered);
  if (!field.values.empty()) {
    std::string words;
    for (const std::string_view word : split_words(field.values))
      words += fmt::format("{}`{}`", words.empty() ? "" : ", ", word);
    if (words.size() <= 400) help += fmt::format(" One of: {}.", words);
  } else if (field.minimum != field.maximum && has(field, kIntegerForm)) {
    help += fmt::format(" From {} to {}.", field.minimum, field.maximum);
  } else if (has(field, kSizeForm)) {
    help += " A size with its unit, such as `64GiB`.";
  }
  return help;
}

bool can_be_switched(const Field& field) { return has(field, kTableForm) && has(field, kBoolForm); }

bool is_whole_number(std::string_view text) {
  return !text.empty() && (text == "0" || text.front() != '0') &&
         std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; });
}

std::string scalar(const Field& field, const Value& value) {
  if (const bool* flag = value.flag()) return *flag ? "true" : "false";
  if (const std::string* text = value.text()) {
    // What the language knows as a number or as a text is a text in the configuration.
    const bool number = shape_of(field) == Shape::kNumber || has(field, kIntegerForm);
    return number && is_whole_number(*text) ? *text : in_quotes(*text);
  }
  if (const auto number = value.integer()) return fmt::format("{}", *number);
  if (const auto* number = std::get_if<double>(&value.data)) return fmt::format("{}", *number);
  return "null";
}

}  // namespace

std::string in_quotes(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    switch (c) {
      case '"':
        out += "\\\"";
        break;
      case '\\':
        out += "\\\\";
        break;
      case '\n':
        out += "\\n";
        break;
      case '\t':
        out += "\\t";
        break;
      case '\r':
        out += "\\r";
        break;
      default:
        if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
          out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        else
          out += c;
    }
  }
  return out + "\"";
}

std::vector<Attribute> attributes_of(const Table& table) {
  std::vector<Attribute> out;
  for (const Field& field : table.fields) {
    if (!field.refused.empty()) continue;
    Attribute attribute{.name = attribute_name(field.name),
                        .shape = shape_of(field),
                        .help = help_of(field),
                        .required = field.required,
                        .optional = !field.required};
    if (is_object(attribute.shape)) attribute.nested = attributes_of(*field.table);
    if (can_be_switched(field) && find_attribute(attribute.nested, "enabled") == nullptr)
      attribute.nested.insert(attribute.nested.begin(),
                              {.name = "enabled", .shape = Shape::kBool, .help = "`false`: none.", .optional = true});
    out.push_back(std::move(attribute));
  }
  return out;
}

void FleetText::line(int depth, std::string_view text, Path path) {
  text_.append(static_cast<std::size_t>(depth) * 2, ' ');
  text_ += text;
  text_ += '\n';
  paths_.push_back(std::move(path));
}

Path FleetText::path_of(std::uint32_t line) const {
  if (line == 0 || line > paths_.size()) return {};
  return paths_[line - 1];
}

void FleetText::fields(int depth, const Table& table, const Value& value, const Path& path) {
  for (const Field& row : table.fields) {
    if (!row.refused.empty()) continue;
    const std::string name = attribute_name(row.name);
    Path at = path;
    at.push_back(attribute(name));
    field(depth, row, value[name], at);
  }
}

void FleetText::mapping(int depth, std::string_view name, const Table& table, const Value& value, const Path& path) {
  const std::size_t before = text_.size();
  line(depth, in_quotes(name) + ":", path);
  const std::size_t head = text_.size();
  fields(depth + 1, table, value, path);
  if (text_.size() != head) return;
  text_.resize(before);
  paths_.pop_back();
  line(depth, in_quotes(name) + ": {}", path);
}

void FleetText::field(int depth, const Field& field, const Value& value, const Path& path) {
  if (!value.is_known()) return;
  const std::string name(field.name);
  switch (shape_of(field)) {
    case Shape::kObject: {
      const bool own_switch = can_be_switched(field) && field.table->find("enabled") == nullptr;
      const bool* enabled = own_switch ? value["enabled"].flag() : nullptr;
      if (enabled != nullptr && !*enabled) return line(depth, name + ": false", path);
      const std::size_t before = text_.size();
      line(depth, name + ":", path);
      const std::size_t head = text_.size();
      fields(depth + 1, *field.table, value, path);
      if (text_.size() != head) return;
      text_.resize(before);
      paths_.pop_back();
      return line(depth, name + (can_be_switched(field) ? ": true" : ": {}"), path);
    }
    case Shape::kNamed: {
      const Map* map = value.map();
      if (map == nullptr) return;
      line(depth, name + (map->empty() ? ": {}" : ":"), path);
      for (const auto& [part, of] : *map) {
        Path at = path;
        at.push_back(key(part));
        mapping(depth + 1, part, *field.table, of, at);
      }
      return;
    }
    case Shape::kObjects: {
      const List* list = value.list();
      if (list == nullptr) return;
      line(depth, name + (list->empty() ? ": []" : ":"), path);
      for (std::size_t i = 0; i < list->size(); ++i) {
        Path at = path;
        at.push_back(index(static_cast<std::int64_t>(i)));
        FleetText element;
        element.fields(0, *field.table, (*list)[i], at);
        if (element.text_.empty()) {
          line(depth + 1, "- {}", at);
          continue;
        }
        std::string_view rest = element.text_;
        bool first = true;
        for (const Path& place : element.paths_) {
          const std::size_t end = rest.find('\n');
          line(depth + 1, std::string(first ? "- " : "  ") + std::string(rest.substr(0, end)), place);
          rest.remove_prefix(end + 1);
          first = false;
        }
      }
      return;
    }
    case Shape::kTextMap: {
      const Map* map = value.map();
      if (map == nullptr) return;
      line(depth, name + (map->empty() ? ": {}" : ":"), path);
      for (const auto& [part, of] : *map) {
        if (of.text() == nullptr) continue;
        Path at = path;
        at.push_back(key(part));
        // Raw options are read by PVE's own schema, from the text.
        line(depth + 1, fmt::format("{}: {}", in_quotes(part), in_quotes(*of.text())), at);
      }
      return;
    }
    case Shape::kTexts: {
      const List* list = value.list();
      if (list == nullptr) return;
      std::string words;
      for (const Value& element : *list) words += (words.empty() ? "" : ", ") + in_quotes(element.text_or_empty());
      return line(depth, name + ": [" + words + "]", path);
    }
    default:
      return line(depth, name + ": " + scalar(field, value), path);
  }
}

Messages messages_of(const Diagnostics& diagnostics, const SourceSet& sources, std::uint32_t file,
                     const FleetText& text) {
  Messages out;
  for (const Diagnostic& diagnostic : diagnostics) {
    if (diagnostic.severity == Severity::kNotice) continue;
    Message message{.level = diagnostic.severity == Severity::kError ? Level::kError : Level::kWarning,
                    .summary = diagnostic.summary,
                    .detail = diagnostic.detail};
    const bool ours = diagnostic.span.known() && diagnostic.span.file == file;
    if (ours) message.path = text.path_of(diagnostic.span.line);
    if (diagnostic.span.known() && !ours) message.detail += fmt::format(" ({})", sources.place(diagnostic.span));
    for (const Note& note : diagnostic.notes) {
      message.detail += "\n" + note.text;
      if (!note.span.known()) continue;
      const bool here = note.span.file == file;
      message.detail += fmt::format(" ({})", here ? to_text(text.path_of(note.span.line)) : sources.place(note.span));
    }
    out.push_back(std::move(message));
  }
  return out;
}

}  // namespace pvr::tf
