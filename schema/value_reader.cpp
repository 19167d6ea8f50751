#include "schema/value_reader.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "reconciler/model/option_codec.h"

namespace pvr {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool all_digits(std::string_view text) { return !text.empty() && std::ranges::all_of(text, is_digit); }

std::optional<std::int64_t> whole_number(std::string_view text) {
  std::string_view digits = text.starts_with('-') ? text.substr(1) : text;
  if (!all_digits(digits) || (digits.size() > 1 && digits.front() == '0')) return std::nullopt;
  std::int64_t value = 0;
  auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc{}) return std::nullopt;
  return value;
}

bool is_decimal(std::string_view text) {
  std::string_view rest = text.starts_with('-') ? text.substr(1) : text;
  std::size_t point = rest.find('.');
  if (point == std::string_view::npos) return whole_number(text).has_value();
  return all_digits(rest.substr(0, point)) && all_digits(rest.substr(point + 1));
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

bool looks_boolean(std::string_view text) {
  constexpr std::string_view kWords[] = {"true", "false", "yes", "no", "on", "off", "y", "n", "1", "0"};
  std::string word = lower(text);
  return std::ranges::find(kWords, word) != std::end(kWords);
}

std::string_view kind_word(const YamlNode& node) {
  switch (node.kind) {
    case YamlKind::kMapping:
      return "a mapping";
    case YamlKind::kSequence:
      return "a list";
    case YamlKind::kScalar:
      break;
  }
  if (!node.plain) return "a text";
  if (node.text == "true" || node.text == "false") return "a boolean";
  return is_decimal(node.text) ? "a number" : "a text";
}

/// Long foreign texts are cut: a message is for reading.
std::string shown(std::string_view text) {
  constexpr std::size_t kLongest = 60;
  if (text.size() <= kLongest) return std::string(text);
  std::size_t end = kLongest;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0U) == 0x80U) --end;
  return std::string(text.substr(0, end)) + "…";
}

/// The codec's sentence without the name it begins with: "netN: there is …".
std::string reason_of(const Setting& setting, std::string_view message) {
  std::string head = std::string(setting.name) + (setting.count > 0 ? "N: " : ": ");
  if (message.starts_with(head)) message.remove_prefix(head.size());
  return fmt::format("It would refuse \"{}\": {}.", setting.name, message);
}

std::string with_capital(std::string text) {
  if (!text.empty() && text.front() >= 'a' && text.front() <= 'z')
    text.front() = static_cast<char>(text.front() - 'a' + 'A');
  return text;
}

}  // namespace

bool names_a_secret(std::string_view key) {
  // Names of files that hold secrets are none.
  std::string word = lower(key);
  if (word.ends_with("_file")) return false;
  for (std::string_view part : {"passw", "secret", "keyring", "encryption-key"}) {
    if (word.find(part) != std::string::npos) return true;
  }
  return word == "token";
}

std::string expected(const Field& field) {
  std::vector<std::string> parts;
  if ((field.forms & kBoolForm) != 0) parts.emplace_back("true or false");
  if ((field.forms & kIntegerForm) != 0 && (field.forms & kTextForm) == 0) {
    bool zero_only = (field.forms & kSizeForm) != 0;
    bool bounded = field.minimum != field.maximum && !zero_only;
    parts.push_back(zero_only ? "0"
                    : bounded ? fmt::format("a whole number from {} to {}", field.minimum, field.maximum)
                              : "a whole number");
  }
  if ((field.forms & kNumberForm) != 0) parts.emplace_back("a number");
  if ((field.forms & kSizeForm) != 0) parts.emplace_back("a size with its unit, such as 64GiB or 16k");
  if ((field.forms & kTextForm) != 0) {
    std::vector<std::string_view> values = split_words(field.values);
    if (values.empty()) {
      parts.emplace_back("a text");
    } else if (values.size() <= 16) {
      parts.push_back(fmt::format("one of {}", fmt::join(values, ", ")));
    } else {
      parts.push_back(fmt::format("a word such as {}", fmt::join(std::span(values).first(6), ", ")));
    }
  }
  if ((field.forms & kTextsForm) != 0) parts.emplace_back("a list of texts");
  if ((field.forms & kTablesForm) != 0) parts.emplace_back("a list of mappings");
  if ((field.forms & kTableForm) != 0) parts.emplace_back("a mapping");
  if ((field.forms & kNamedForm) != 0) parts.emplace_back("a mapping from names");
  if ((field.forms & kNamedTextForm) != 0) parts.emplace_back("a mapping from names to texts");
  if (parts.empty()) parts.emplace_back("a mapping");
  return fmt::format("{}", fmt::join(parts, ", or "));
}

void ValueReader::error(SourceSpan span, std::string code, std::string summary, std::string detail,
                        std::vector<Note> notes) {
  diagnostics_->push_back(
      {Severity::kError, std::move(code), std::move(summary), std::move(detail), span, std::move(notes)});
}

void ValueReader::put(WrittenSettings& settings, std::string_view key, Spanned<OptionValue> value) {
  if (const auto* first = settings.find(key)) {
    return error(value.span, "schema.key.twice", "Set twice",
                 fmt::format("\"{}\" is set in two ways here; one of them would be lost.", key),
                 {{"The other one is here.", first->span}});
  }
  settings.set(key, std::move(value));
}

void ValueReader::secret(const YamlNode& node) {
  if (node.kind == YamlKind::kScalar) secrets_->push_back(node.span);
  // Depth is bounded by the YAML reader.
  for (std::size_t i = 0; i < tree_->size(node); ++i) {
    if (node.kind == YamlKind::kMapping) {
      secret(tree_->value(node, i));
    } else if (node.kind == YamlKind::kSequence) {
      secret(tree_->item(node, i));
    }
  }
}

bool ValueReader::mapping(std::string_view what, const YamlNode& node) {
  if (node.kind == YamlKind::kMapping) return true;
  if (is_null(node)) {
    error(node.span, "schema.value.missing", "No value",
          fmt::format("\"{}\" takes a mapping. Write {{}} for an empty one.", what));
  } else {
    error(node.span, "schema.value.type", "Wrong type",
          fmt::format("\"{}\" takes a mapping, not {}.", what, kind_word(node)));
  }
  return false;
}

const Field* ValueReader::known(const Table& table, const YamlNode& key, const YamlNode& value) {
  if (key.kind != YamlKind::kScalar || is_null(key) || (key.plain && key.text == "<<"))
    return nullptr;  // said by the YAML reader
  if (key.repeated) return nullptr;
  if (names_a_secret(key.text)) secret(value);
  const Field* field = table.find(key.text);
  if (field == nullptr) {
    std::vector<std::string_view> names = table.names();
    std::string hint = did_you_mean(key.text, names);
    if (hint.empty() && names.size() <= 24) hint = fmt::format(" Known here: {}.", fmt::join(names, ", "));
    if (hint.empty() && (table.name == "vm" || table.name == "role")) {
      hint = " Keys of PVE's guest configuration that have no key here go under \"options:\".";
    }
    error(key.span, "schema.key.unknown", "Unknown key",
          fmt::format("\"{}\" is not a key of {}.{}", shown(key.text), table.name, hint));
    return nullptr;
  }
  if (!field->refused.empty()) {
    error(key.span, "schema.key.refused", "Not allowed in a fleet file",
          fmt::format("\"{}\": {}", field->name, field->refused));
    return nullptr;
  }
  if (is_null(value)) {
    error(key.span, "schema.value.missing", "No value",
          fmt::format("\"{}\" takes {}. Leave the key out to say nothing.", field->name, expected(*field)));
    return nullptr;
  }
  return field;
}

void ValueReader::require(const Table& table, const YamlNode& node) {
  for (const Field& field : table.fields) {
    if (!field.required || tree_->find(node, field.name) != nullptr) continue;
    error(node.span, "schema.key.missing", "A key is missing",
          fmt::format("{} needs \"{}\": {}, {}", with_capital(std::string(table.name)), field.name, expected(field),
                      field.help));
  }
}

void ValueReader::wrong_form(const Field& field, const YamlNode& node) {
  auto takes = [&](unsigned form) { return (field.forms & form) != 0; };
  std::string found(kind_word(node));
  if (node.kind == YamlKind::kScalar) found = fmt::format("\"{}\"", shown(node.text));
  std::string detail = fmt::format("\"{}\" takes {}, not {}.", field.name, expected(field), found);
  std::string_view code = "schema.value.type";
  std::string_view summary = "Wrong type";
  if (node.kind == YamlKind::kScalar) {
    std::string_view text = node.text;
    if (takes(kBoolForm) && looks_boolean(text)) {
      detail += " Write true or false, without quotes.";
    } else if (takes(kSizeForm)) {
      code = "schema.value.unit";
      summary = "Not a size";
      std::string word = lower(text);
      if (is_decimal(text)) {
        detail = fmt::format("\"{}\": {} has no unit. Write {}GiB, {}MiB or {}k.", field.name, text, text, text, text);
      } else if (word.size() > 2 && word.ends_with('b') && is_digit(word[0]) &&
                 std::string_view("kmgt").find(word[word.size() - 2]) != std::string_view::npos) {
        std::string better = std::string(text.substr(0, text.size() - 1)) + "iB";
        better[better.size() - 3] = static_cast<char>(better[better.size() - 3] & ~0x20);
        detail =
            fmt::format("\"{}\": \"{}\" is read by some as powers of 1000 and by some as powers of 1024. Write {}.",
                        field.name, text, better);
      }
    } else if (takes(kIntegerForm) && !node.plain && whole_number(text)) {
      detail += " Leave the quotes out.";
    } else if (takes(kIntegerForm) && !text.empty() && is_digit(text.front())) {
      detail += " Write a plain decimal number: no leading zeros, no 0x, no underscores, no fraction.";
    } else if (takes(kTextsForm)) {
      detail += fmt::format(" Write [{}].", shown(text));
    }
  }
  error(node.span, std::string(code), std::string(summary), std::move(detail));
}

unsigned ValueReader::form(const Field& field, const YamlNode& node) {
  auto takes = [&](unsigned form) { return field.forms & form; };
  unsigned found = 0;
  if (node.kind == YamlKind::kMapping) {
    found = takes(kTableForm | kNamedForm | kNamedTextForm);
  } else if (node.kind == YamlKind::kSequence) {
    found = takes(kTextsForm | kTablesForm);
  } else if (is_null(node)) {
    error(node.span, "schema.value.missing", "No value", fmt::format("\"{}\" takes {}.", field.name, expected(field)));
    return 0;
  } else {
    bool boolean = node.plain && (node.text == "true" || node.text == "false");
    if (boolean && takes(kBoolForm) != 0) return kBoolForm;
    if (takes(kIntegerForm) != 0 && node.plain && whole_number(node.text)) return kIntegerForm;
    if (takes(kNumberForm) != 0 && node.plain && is_decimal(node.text)) return kNumberForm;
    if (takes(kSizeForm) != 0 && parse_size(node.text)) return kSizeForm;
    // A text that is meant as a boolean is a mistake where both are taken: `tpm: yes`.
    bool meant_boolean = node.plain && takes(kBoolForm) != 0 && looks_boolean(node.text);
    if (takes(kTextForm) != 0 && !meant_boolean) return kTextForm;
  }
  if (found == 0) wrong_form(field, node);
  return found;
}

bool ValueReader::in_range(const Field& field, std::int64_t value, SourceSpan span) {
  if (field.minimum == field.maximum || (value >= field.minimum && value <= field.maximum)) return true;
  error(span, "schema.value.range", "Out of range",
        fmt::format("\"{}\" goes from {} to {}; {} does not fit.", field.name, field.minimum, field.maximum, value));
  return false;
}

std::optional<bool> ValueReader::boolean(const Field& field, const YamlNode& node) {
  if (form(field, node) != kBoolForm) return std::nullopt;
  return node.text == "true";
}

std::optional<std::int64_t> ValueReader::integer(const Field& field, const YamlNode& node) {
  if (form(field, node) != kIntegerForm) return std::nullopt;
  std::optional<std::int64_t> value = whole_number(node.text);
  return value && in_range(field, *value, node.span) ? value : std::nullopt;
}

std::optional<ByteSize> ValueReader::size(const Field& field, const YamlNode& node) {
  if (form(field, node) != kSizeForm) return std::nullopt;
  std::optional<ByteSize> value = parse_size(node.text);
  if (value->bytes == 0) {
    error(node.span, "schema.value.range", "Out of range", fmt::format("\"{}\" cannot be zero.", field.name));
    return std::nullopt;
  }
  return value;
}

std::optional<Spanned<std::string>> ValueReader::text(const Field& field, const YamlNode& node) {
  unsigned found = form(field, node);
  if (found == 0) return std::nullopt;
  if (node.kind != YamlKind::kScalar) {
    wrong_form(field, node);
    return std::nullopt;
  }
  if (!field.values.empty() && found == kTextForm) {
    std::vector<std::string_view> values = split_words(field.values);
    if (std::ranges::find(values, node.text) == values.end()) {
      std::string hint = did_you_mean(node.text, values);
      if (hint.empty()) hint = fmt::format(" It takes {}.", expected(field));
      error(node.span, "schema.enum.unknown", "Unknown value",
            fmt::format("\"{}\" is no value of \"{}\".{}", shown(node.text), field.name, hint));
      return std::nullopt;
    }
  }
  return Spanned<std::string>{std::string(node.text), node.span};
}

std::optional<std::vector<Spanned<std::string>>> ValueReader::words(const Field& field, const YamlNode& node) {
  unsigned found = form(field, node);
  if (found == 0) return std::nullopt;
  std::vector<Spanned<std::string>> out;
  bool ok = true;
  Field one = field;
  one.forms = kTextForm;
  auto take = [&](const YamlNode& item) {
    std::optional<Spanned<std::string>> word = text(one, item);
    if (!word) return void(ok = false);
    if (word->value.empty() || word->value.find_first_of(" \t\n\r,;") != std::string::npos) {
      error(
          item.span, "schema.value.word", "Not one word",
          fmt::format("An entry of \"{}\" is not empty and has no space, comma or semicolon; write a list of entries.",
                      field.name));
      ok = false;
      return;
    }
    for (const auto& other : out) {
      if (other.value != word->value) continue;
      error(item.span, "schema.value.repeated", "Given twice",
            fmt::format("\"{}\" stands twice in \"{}\".", shown(word->value), field.name),
            {{"The first one is here.", other.span}});
      ok = false;
      return;
    }
    out.push_back(std::move(*word));
  };
  if (node.kind == YamlKind::kSequence) {
    items(node, [&](const YamlNode& item, std::size_t) { take(item); });
  } else {
    take(node);
  }
  if (!ok) return std::nullopt;
  return out;
}

std::optional<Spanned<OptionValue>> ValueReader::parsed(const Setting& setting, std::string_view text,
                                                        SourceSpan span) {
  Result<OptionValue> value = parse_option(setting, text);
  if (value.ok()) return Spanned<OptionValue>{std::move(value).value(), span};
  error(span, "schema.value.refused", "PVE would refuse this value", reason_of(setting, value.error().message));
  return std::nullopt;
}

std::optional<Spanned<OptionValue>> ValueReader::normalised(const Setting& setting, const OptionValue& value,
                                                            SourceSpan span) {
  Result<OptionValue> form = normalise_option(setting, value);
  if (form.ok()) return Spanned<OptionValue>{std::move(form).value(), span};
  error(span, "schema.value.refused", "PVE would refuse this value", reason_of(setting, form.error().message));
  return std::nullopt;
}

PropertyString ValueReader::properties(const Table& table, const YamlNode& node, const Setting& setting) {
  PropertyString out;
  fields(table, node, [&](const Field& field, const YamlNode& key, const YamlNode& value) {
    if (field.key != Key::kProperty) return;
    unsigned found = form(field, value);
    std::optional<std::string> read;
    if (found == kBoolForm) {
      read = value.text == "true" ? "1" : "0";
    } else if (found == kIntegerForm || found == kNumberForm) {
      read = std::string(value.text);
    } else if (found == kTextsForm) {
      if (auto list = words(field, value)) {
        std::vector<std::string_view> texts;
        for (const auto& word : *list) texts.push_back(word.value);
        read = fmt::format("{}", fmt::join(texts, ";"));
      }
    } else if (found == kTextForm) {
      if (auto word = text(field, value)) read = std::move(word->value);
    }
    if (!read) return;
    if (out.find(field.lowered) != nullptr) {
      return error(key.span, "schema.key.twice", "Set twice",
                   fmt::format("\"{}\" is another name of \"{}\" of {}, which is set too.", field.name, field.lowered,
                               setting.name));
    }
    out.set(field.lowered, std::move(*read));
  });
  return out;
}

std::optional<Spanned<OptionValue>> ValueReader::setting(const Field& field, const YamlNode& node) {
  const Setting& row = *field.setting;
  unsigned found = form(field, node);
  if (found == 0) return std::nullopt;
  switch (row.kind) {
    case ValueKind::kBool:
      return Spanned<OptionValue>{OptionValue(node.text == "true"), node.span};
    case ValueKind::kInteger: {
      std::optional<std::int64_t> value = integer(field, node);
      if (!value) return std::nullopt;
      return Spanned<OptionValue>{OptionValue(*value), node.span};
    }
    case ValueKind::kSize: {
      std::optional<ByteSize> value = size(field, node);
      if (!value) return std::nullopt;
      return Spanned<OptionValue>{OptionValue(*value), node.span};
    }
    case ValueKind::kNumber:
      return parsed(row, node.text, node.span);
    case ValueKind::kEnum:
    case ValueKind::kString: {
      std::optional<Spanned<std::string>> value = text(field, node);
      if (!value) return std::nullopt;
      return parsed(row, value->value, node.span);
    }
    case ValueKind::kList:
    case ValueKind::kSet: {
      std::optional<std::vector<Spanned<std::string>>> list = words(field, node);
      if (!list) return std::nullopt;
      std::vector<std::string_view> texts;
      for (const auto& word : *list) texts.push_back(word.value);
      // An empty list of hotplug classes is a value of its own: nothing can change while the guest runs.
      std::string joined = list->empty() && row.name == "hotplug" ? "0" : fmt::format("{}", fmt::join(texts, ","));
      return parsed(row, joined, node.span);
    }
    case ValueKind::kProperties:
      break;
  }
  if (found == kTableForm) return normalised(row, OptionValue(properties(*field.table, node, row)), node.span);
  if (found == kBoolForm) return parsed(row, node.text == "true" ? "1" : "0", node.span);
  return parsed(row, node.text, node.span);
}

}  // namespace pvr
