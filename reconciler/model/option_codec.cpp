#include "reconciler/model/option_codec.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "reconciler/model/drive.h"

namespace pvr {
namespace {

enum class Reading : std::uint8_t { kStrict, kLenient };

Error illegal(const Setting& setting, std::string_view why) {
  const std::string_view number = setting.count > 0 ? "N" : "";
  return {ErrorKind::kRejected, fmt::format("{}{}: {}", setting.name, number, why), {}, Effect::kNone, 0};
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f'; }
bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20U || c == '\x7f'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }
char upper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c; }

std::string lowered(std::string_view text) {
  std::string out(text);
  std::ranges::transform(out, out.begin(), lower);
  return out;
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return text;
}

/// Calls `each` with every part between `separators`; empty parts included.
template <class Each>
void split(std::string_view text, std::string_view separators, Each each) {
  while (true) {
    const std::size_t end = text.find_first_of(separators);
    each(text.substr(0, end));
    if (end == std::string_view::npos) return;
    text.remove_prefix(end + 1);
  }
}

StringList words_of(std::string_view text, std::string_view separators) {
  StringList list;
  split(text, separators, [&](std::string_view part) {
    if (part = trimmed(part); !part.empty()) list.emplace_back(part);
  });
  return list;
}

bool has_word(std::string_view words, std::string_view separator, std::string_view word) {
  bool found = false;
  split(words, separator, [&](std::string_view part) { found = found || part == word; });
  return found;
}

std::optional<bool> read_bool(std::string_view text) {
  const std::string word = lowered(text);
  if (word == "1" || word == "on" || word == "yes" || word == "true") return true;
  if (word == "0" || word == "off" || word == "no" || word == "false") return false;
  return std::nullopt;
}

std::optional<std::int64_t> read_integer(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::optional<double> read_number(std::string_view text) {
  // from_chars would also take "inf" and "nan".
  if (text.empty() || text.find_first_not_of("0123456789.eE+-") != std::string_view::npos) return std::nullopt;
  double value = 0;
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (fault != std::errc{} || end != text.data() + text.size() || !std::isfinite(value)) return std::nullopt;
  return value == 0 ? 0.0 : value;  // no negative zero
}

std::optional<std::string> read_mac(std::string_view text) {
  if (text.size() != 17) return std::nullopt;
  std::string out(text);
  std::ranges::transform(out, out.begin(), upper);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const bool fits = i % 3 == 2 ? out[i] == ':' : is_digit(out[i]) || (out[i] >= 'A' && out[i] <= 'F');
    if (!fits) return std::nullopt;
  }
  return out;
}

/// Bus, slot and, unless all functions are meant, the function: "01:00.0".
bool is_pci_address(std::string_view text) {
  if (text.size() != 5 && text.size() != 7) return false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool hex = is_digit(text[i]) || (text[i] >= 'a' && text[i] <= 'f');
    if (i == 2 ? text[i] != ':' : i == 5 ? text[i] != '.' : !hex) return false;
  }
  return true;
}

/// PVE reads "01:00.0" and "0000:01:00.0" alike; several functions are joined with ';'.
std::optional<std::string> read_pci(std::string_view text) {
  StringList functions = words_of(lowered(text), ";");
  for (std::string& function : functions) {
    if (function.starts_with("0000:")) function.erase(0, 5);
    // Another domain has four digits or more.
    const std::size_t domain = std::ranges::count(function, ':') == 2 ? function.find(':') : 0;
    const std::string_view digits = std::string_view(function).substr(0, domain);
    if (domain != 0 && (domain < 4 || digits.find_first_not_of("0123456789abcdef") != std::string_view::npos))
      return std::nullopt;
    if (!is_pci_address(std::string_view(function).substr(domain == 0 ? 0 : domain + 1))) return std::nullopt;
  }
  if (functions.empty()) return std::nullopt;
  return fmt::format("{}", fmt::join(functions, ";"));
}

std::optional<std::string> sorted_flags(std::string_view text) {
  StringList flags = words_of(text, ";");
  if (flags.empty()) return std::nullopt;
  std::ranges::sort(flags);
  flags.erase(std::unique(flags.begin(), flags.end()), flags.end());
  return fmt::format("{}", fmt::join(flags, ";"));
}

// --- property strings
// -------------------------------------------------------------------------------------------------------

/// One entry of Setting::properties.
struct PropertyRow {
  std::string_view name = {};
  std::string_view type = {};  // "" text, bool, int, num, mac, pci, flags, lower, "(a,b)"
  std::string_view default_text = {};
  std::string_view alias_of = {};
  bool required = false;
};

/// Cuts one entry off `rows`. '|' separates, also from within nothing else: words in parentheses hold commas.
PropertyRow next_row(std::string_view& rows) {
  const std::size_t end = rows.find('|');
  std::string_view entry = rows.substr(0, end);
  rows.remove_prefix(end == std::string_view::npos ? rows.size() : end + 1);
  PropertyRow row;
  if (const std::size_t arrow = entry.find('>'); arrow != std::string_view::npos) {
    row.name = entry.substr(0, arrow);
    row.alias_of = entry.substr(arrow + 1);
    return row;
  }
  if (const std::size_t equals = entry.rfind('='); equals != std::string_view::npos) {
    row.default_text = entry.substr(equals + 1);
    entry = entry.substr(0, equals);
  }
  if (const std::size_t colon = entry.find(':'); colon != std::string_view::npos) {
    row.type = entry.substr(colon + 1);
    entry = entry.substr(0, colon);
  }
  row.required = entry.ends_with('!');
  if (row.required) entry.remove_suffix(1);
  row.name = entry;
  return row;
}

std::optional<PropertyRow> find_row(std::string_view rows, std::string_view name) {
  while (!rows.empty()) {
    if (const PropertyRow row = next_row(rows); row.name == name) return row;
  }
  return std::nullopt;
}

bool is_model_word(const Setting& setting, std::string_view word) {
  if (setting.default_key != "model" || setting.name != "net") return false;
  const auto row = find_row(setting.properties, "model");
  return row && has_word(row->type.substr(1, row->type.size() - 2), ",", word);
}

std::optional<std::string> read_property(const PropertyRow& row, std::string_view text) {
  if (row.type == "bool") {
    const auto value = read_bool(text);
    return value ? std::optional<std::string>(*value ? "1" : "0") : std::nullopt;
  }
  if (row.type == "int") {
    const auto value = read_integer(text);
    return value ? std::optional(fmt::format("{}", *value)) : std::nullopt;
  }
  if (row.type == "num") {
    const auto value = read_number(text);
    return value ? std::optional(fmt::format("{}", *value)) : std::nullopt;
  }
  if (row.type == "mac") return read_mac(text);
  if (row.type == "pci") return read_pci(text);
  if (row.type == "lower") return lowered(text);
  if (row.type == "flags") return sorted_flags(text);
  if (row.type.starts_with('(') && !has_word(row.type.substr(1, row.type.size() - 2), ",", text)) return std::nullopt;
  return std::string(text);
}

Result<OptionValue> parse_properties(const Setting& setting, std::string_view text, Reading reading) {
  PropertyString out;
  std::string problem;
  split(text, ",", [&](std::string_view part) {
    part = trimmed(part);
    if (!problem.empty() || part.empty()) return;  // PVE skips empty parts
    const std::size_t equals = part.find('=');
    std::string_view key = equals == std::string_view::npos ? setting.default_key : part.substr(0, equals);
    std::string_view value = equals == std::string_view::npos ? part : part.substr(equals + 1);
    value = trimmed(value);
    if (key.empty()) return void(problem = fmt::format("\"{}\" has no key", part));
    if (value.empty()) return void(problem = fmt::format("\"{}\" has no value", key));
    if (reading == Reading::kStrict && std::ranges::any_of(value, is_control))
      return void(problem = fmt::format("\"{}\" holds a control character", key));
    if (equals != std::string_view::npos && is_model_word(setting, key)) {
      if (out.find("model") != nullptr) return void(problem = "\"model\" is given twice");
      out.set("model", std::string(key));
      key = "macaddr";
    }
    auto row = find_row(setting.properties, key);
    if (row && !row->alias_of.empty()) row = find_row(setting.properties, row->alias_of);
    if (!row && reading == Reading::kStrict) return void(problem = fmt::format("there is no \"{}\" in it", key));
    const std::string_view name = row ? row->name : key;
    if (out.find(name) != nullptr) return void(problem = fmt::format("\"{}\" is given twice", name));
    auto read = row ? read_property(*row, value) : std::optional(std::string(value));
    if (!read && reading == Reading::kLenient) read = std::string(value);
    if (!read) return void(problem = fmt::format("\"{}\" cannot be \"{}\"", name, value));
    out.set(name, std::move(*read));
  });
  if (!problem.empty()) return illegal(setting, problem);
  for (std::string_view rows = setting.properties; !rows.empty();) {
    const PropertyRow row = next_row(rows);
    const std::string* held = out.find(row.name);
    if (held == nullptr && row.required && reading == Reading::kStrict) {
      return illegal(setting, fmt::format("\"{}\" is missing", row.name));
    }
    // Stating a default and leaving it out mean the same to PVE.
    if (held != nullptr && !row.required && row.name != setting.default_key && *held == row.default_text) {
      out.erase(row.name);
    }
  }
  if (out.pairs.empty()) return OptionValue{};
  const bool by_device = setting.name == "hostpci" || setting.name == "usb";
  if (by_device && reading == Reading::kStrict && out.find("host") == nullptr && out.find("mapping") == nullptr) {
    return illegal(setting, "neither \"mapping\" nor \"host\" is given");
  }
  return OptionValue(std::move(out));
}

std::string print_properties(const Setting& setting, const PropertyString& value) {
  StringList parts;
  const std::string* first = setting.default_key.empty() ? nullptr : value.find(setting.default_key);
  if (first != nullptr && first->find('=') != std::string::npos) first = nullptr;  // would read back as a key
  const bool as_model = first != nullptr && is_model_word(setting, *first);
  const std::string* address = as_model ? value.find("macaddr") : nullptr;
  if (first != nullptr) parts.push_back(address != nullptr ? *first + "=" + *address : *first);
  for (const auto& [key, text] : value.pairs) {
    if ((first != nullptr && key == setting.default_key) || (address != nullptr && key == "macaddr")) continue;
    parts.push_back(key + "=" + text);
  }
  return fmt::format("{}", fmt::join(parts, ","));
}

// --- single settings with a form of their own
// --------------------------------------------------------------------------------

enum class Form : std::uint8_t {
  kPlain,
  kMemory,
  kBoot,
  kTags,
  kHotplug,
  kSshKeys,
  kEscaped,
  kDescription,
  kDrive,
  kBlocksize,
  kWords,
  kYesOrPath
};

Form form_of(const Setting& setting) {
  const auto is = [&](auto... names) { return ((setting.name == names) || ...); };
  switch (setting.home) {
    case Home::kVmOption:
      if (is("memory")) return Form::kMemory;
      if (is("boot")) return Form::kBoot;
      if (is("tags")) return Form::kTags;
      if (is("hotplug")) return Form::kHotplug;
      if (is("sshkeys")) return Form::kSshKeys;
      if (is("description")) return Form::kDescription;
      if (is("nameserver")) return Form::kWords;
      if (is("scsi", "virtio", "sata", "ide", "cdrom", "efidisk0", "tpmstate0", "unused")) return Form::kDrive;
      return Form::kPlain;
    case Home::kDriveOption:
      return is("serial", "model") ? Form::kEscaped : Form::kPlain;
    case Home::kZvolProperty:
      return is("volblocksize") ? Form::kBlocksize : Form::kPlain;
    case Home::kStorageOption:
      if (is("blocksize")) return Form::kBlocksize;
      return is("is_mountpoint") ? Form::kYesOrPath : Form::kPlain;
    case Home::kDiskPlace:
    case Home::kFact:
    case Home::kHa:
    case Home::kReplication:
    case Home::kHostOption:
    case Home::kPoolProperty:
      return Form::kPlain;
    case Home::kDatasetProperty:
      return is("recordsize") ? Form::kBlocksize : Form::kPlain;
  }
  return Form::kPlain;
}

OptionValue list_or_absent(StringList list) { return list.empty() ? OptionValue{} : OptionValue(std::move(list)); }

OptionValue string_or_absent(std::string text) { return text.empty() ? OptionValue{} : OptionValue(std::move(text)); }

OptionValue as_set(StringList list) {
  std::ranges::sort(list);
  list.erase(std::unique(list.begin(), list.end()), list.end());
  return list_or_absent(std::move(list));
}

Result<OptionValue> parse_boot(const Setting& setting, std::string_view text, Reading reading) {
  if (text.starts_with("order=")) {
    StringList order = words_of(text.substr(6), ";");
    for (const std::string& device : order) {
      const bool known = parse_slot(device) || find_setting(Home::kVmOption, device) != nullptr;
      if (!known && reading == Reading::kStrict) return illegal(setting, fmt::format("\"{}\" is no device", device));
    }
    return list_or_absent(std::move(order));
  }
  // The old form: letters, "cdn", with or without its key. Kept as one word, which no device name equals.
  const std::string_view letters = text.starts_with("legacy=") ? text.substr(7) : text;
  if (letters.empty() || letters.size() > 4 || letters.find_first_not_of("acdn") != std::string_view::npos) {
    return illegal(setting, "write order=DEVICE;DEVICE…");
  }
  return OptionValue(StringList{fmt::format("legacy={}", letters)});
}

Result<OptionValue> parse_hotplug(const Setting& setting, std::string_view text, Reading reading) {
  if (text == "0") return OptionValue(StringList{});
  StringList classes = words_of(text == "1" ? setting.default_text : text, ",; ");
  for (const std::string& name : classes) {
    if (reading == Reading::kStrict && !has_word(setting.values, "|", name)) {
      return illegal(setting, fmt::format("\"{}\" is none of {}", name, setting.values));
    }
  }
  // "0" and "1" only mean something alone; in company they name no class.
  std::erase_if(classes, [](const std::string& name) { return name == "0" || name == "1"; });
  return as_set(std::move(classes));
}

Result<OptionValue> parse_drive_option(const Setting& setting, std::string_view text, Reading reading) {
  const std::string name = setting.count > 0 ? std::string(setting.name) + "0" : std::string(setting.name);
  const DriveSlot slot = parse_slot(name).value_or(DriveSlot{Bus::kIde, 2});  // cdrom is another name of ide2
  Result<Drive> drive = parse_drive(slot, text);
  if (!drive.ok()) {
    if (reading == Reading::kLenient) return OptionValue(std::string(text));
    return std::move(drive).error();
  }
  const bool image = drive->volume && drive->volume->name.starts_with("iso/");
  if (image || setting.name == "cdrom") drive->medium = Drive::Medium::kCdrom;
  // PVE fills in the size of a medium by itself.
  if (drive->medium == Drive::Medium::kCdrom) drive->size.reset();
  return OptionValue(print_drive(slot, *drive));
}

std::string print_blocksize(ByteSize size) {
  if (size.bytes != 0 && size.bytes % (1U << 20U) == 0) return fmt::format("{}M", size.bytes >> 20U);
  if (size.bytes != 0 && size.bytes % (1U << 10U) == 0) return fmt::format("{}k", size.bytes >> 10U);
  return fmt::format("{}", size.bytes);
}

Result<OptionValue> parse_special(Form form, const Setting& setting, std::string_view text, Reading reading) {
  switch (form) {
    case Form::kBoot:
      return parse_boot(setting, text, reading);
    case Form::kHotplug:
      return parse_hotplug(setting, text, reading);
    case Form::kDrive:
      return parse_drive_option(setting, text, reading);
    case Form::kTags:
      return as_set(words_of(lowered(text), ",; \t\n"));
    case Form::kWords:
      return list_or_absent(words_of(text, " ,;\t\n"));
    case Form::kSshKeys: {
      // Blank lines and the end of the last line mean nothing.
      const std::string plain = percent_decode(text);
      StringList lines = words_of(plain, "\n\r");
      return string_or_absent(fmt::format("{}", fmt::join(lines, "\n")));
    }
    case Form::kEscaped:
      return string_or_absent(percent_decode(text));
    case Form::kDescription: {
      std::string_view kept = text;
      while (!kept.empty() && is_space(kept.back())) kept.remove_suffix(1);
      return string_or_absent(std::string(kept));
    }
    case Form::kYesOrPath: {
      const auto flag = read_bool(text);
      return string_or_absent(flag ? (*flag ? "yes" : "no") : std::string(text));
    }
    case Form::kPlain:
    case Form::kMemory:
    case Form::kBlocksize:
      break;
  }
  return illegal(setting, "has no form of its own");
}

Result<OptionValue> parse_plain(const Setting& setting, std::string_view text, Reading reading) {
  const bool bounded = setting.minimum != setting.maximum && reading == Reading::kStrict;
  switch (setting.kind) {
    case ValueKind::kBool: {
      const auto value = read_bool(text);
      if (!value) return illegal(setting, fmt::format("\"{}\" is neither 1 nor 0", text));
      return OptionValue(*value);
    }
    case ValueKind::kInteger: {
      const auto value = read_integer(text);
      if (!value) return illegal(setting, fmt::format("\"{}\" is not a whole number", text));
      if (bounded && (*value < setting.minimum || *value > setting.maximum)) {
        return illegal(setting, fmt::format("{} is not within {} and {}", *value, setting.minimum, setting.maximum));
      }
      return OptionValue(*value);
    }
    case ValueKind::kNumber: {
      const auto value = read_number(text);
      if (!value) return illegal(setting, fmt::format("\"{}\" is not a number", text));
      if (bounded && (*value < static_cast<double>(setting.minimum) || *value > static_cast<double>(setting.maximum))) {
        return illegal(setting, fmt::format("{} is not within {} and {}", *value, setting.minimum, setting.maximum));
      }
      return OptionValue(*value);
    }
    case ValueKind::kSize: {
      const auto value = parse_disk_size(text);
      if (!value) return illegal(setting, fmt::format("\"{}\" is not a size", text));
      const auto low = static_cast<std::uint64_t>(setting.minimum);
      const auto high = static_cast<std::uint64_t>(setting.maximum);
      const bool block = form_of(setting) == Form::kBlocksize;
      if (reading == Reading::kStrict && ((bounded && (value->bytes < low || value->bytes > high)) ||
                                          (block && (value->bytes & (value->bytes - 1)) != 0))) {
        return illegal(setting, fmt::format("\"{}\" is no legal size for it", text));
      }
      return OptionValue(*value);
    }
    case ValueKind::kEnum:
      if (reading == Reading::kStrict && !has_word(setting.values, "|", text)) {
        return illegal(setting, fmt::format("\"{}\" is none of {}", text, setting.values));
      }
      return OptionValue(std::string(text));
    case ValueKind::kString:
      if (reading == Reading::kStrict && std::ranges::any_of(text, is_control)) {
        return illegal(setting, "holds a control character");
      }
      return OptionValue(std::string(text));
    case ValueKind::kList:
      return list_or_absent(words_of(text, ",; "));
    case ValueKind::kSet: {
      StringList list = words_of(text, ",; \t\n");
      for (const std::string& word : list) {
        if (reading == Reading::kStrict && !setting.values.empty() && !has_word(setting.values, "|", word)) {
          return illegal(setting, fmt::format("\"{}\" is none of {}", word, setting.values));
        }
      }
      return as_set(std::move(list));
    }
    case ValueKind::kProperties:
      return parse_properties(setting, text, reading);
  }
  return illegal(setting, "is of no known kind");
}

Result<OptionValue> parse(const Setting& setting, std::string_view text, Reading reading) {
  if (text.empty()) return OptionValue{};
  const Form form = form_of(setting);
  if (form == Form::kMemory && text.starts_with("current=")) text.remove_prefix(8);
  const bool plain = form == Form::kPlain || form == Form::kMemory || form == Form::kBlocksize;
  return plain ? parse_plain(setting, text, reading) : parse_special(form, setting, text, reading);
}

std::string print_list(const Setting& setting, const StringList& list) {
  switch (form_of(setting)) {
    case Form::kBoot:
      if (list.size() == 1 && list.front().starts_with("legacy=")) return list.front();
      return fmt::format("order={}", fmt::join(list, ";"));
    case Form::kTags:
      return fmt::format("{}", fmt::join(list, ";"));
    case Form::kHotplug:
      return list.empty() ? "0" : fmt::format("{}", fmt::join(list, ","));
    case Form::kWords:
      return fmt::format("{}", fmt::join(list, " "));
    default:
      return fmt::format("{}", fmt::join(list, ","));
  }
}

}  // namespace

Result<OptionValue> parse_option(const Setting& setting, std::string_view text) {
  return parse(setting, text, Reading::kStrict);
}

OptionValue decode_option(const Setting& setting, std::string_view text) {
  Result<OptionValue> value = parse(setting, text, Reading::kLenient);
  return value.ok() ? std::move(value).value() : OptionValue(std::string(text));
}

std::string print_option(const Setting& setting, const OptionValue& value) {
  struct Printer {
    const Setting& setting;
    std::string operator()(std::monostate /*absent*/) const { return {}; }
    std::string operator()(bool held) const { return held ? "1" : "0"; }
    std::string operator()(std::int64_t held) const { return fmt::format("{}", held); }
    std::string operator()(double held) const { return fmt::format("{}", held); }
    std::string operator()(ByteSize held) const {
      return form_of(setting) == Form::kBlocksize ? print_blocksize(held) : print_disk_size(held);
    }
    std::string operator()(const std::string& held) const {
      const Form form = form_of(setting);
      return form == Form::kSshKeys || form == Form::kEscaped ? percent_encode(held) : held;
    }
    std::string operator()(const StringList& held) const { return print_list(setting, held); }
    std::string operator()(const PropertyString& held) const { return print_properties(setting, held); }
  };
  return std::visit(Printer{setting}, value);
}

Result<OptionValue> normalise_option(const Setting& setting, const OptionValue& value) {
  if (const auto* properties = std::get_if<PropertyString>(&value)) {
    for (const auto& [key, text] : properties->pairs) {
      const bool breaks_out = text.find(',') != std::string::npos || std::ranges::any_of(text, is_control);
      if (breaks_out || text.empty()) {
        return illegal(setting, fmt::format("\"{}\" must not be empty or hold a comma or control character", key));
      }
    }
  }
  return parse(setting, print_option(setting, value), Reading::kStrict);
}

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain =
        is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_' || c == '.' || c == '~';
    if (plain) {
      out += c;
    } else {
      out += '%';
      out += kHex[byte >> 4U];
      out += kHex[byte & 15U];
    }
  }
  return out;
}

std::string percent_decode(std::string_view text) {
  const auto digit = [](char c) -> int {
    if (is_digit(c)) return c - '0';
    const char l = lower(c);
    return l >= 'a' && l <= 'f' ? l - 'a' + 10 : -1;
  };
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    const int high = text[i] == '%' && i + 2 < text.size() ? digit(text[i + 1]) : -1;
    const int low = high >= 0 ? digit(text[i + 2]) : -1;
    if (low >= 0) {
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::optional<ByteSize> parse_disk_size(std::string_view text) {
  std::size_t digits = 0;
  while (digits < text.size() && is_digit(text[digits])) ++digits;
  if (digits == 0) return std::nullopt;
  std::uint64_t whole = 0;
  if (std::from_chars(text.data(), text.data() + digits, whole).ec != std::errc{}) return std::nullopt;
  std::string_view rest = text.substr(digits);
  double fraction = 0;
  if (rest.starts_with('.')) {
    std::size_t end = 1;
    for (double weight = 0.1; end < rest.size() && is_digit(rest[end]); ++end, weight /= 10) {
      fraction += weight * (rest[end] - '0');
    }
    if (end == 1) return std::nullopt;
    rest.remove_prefix(end);
  }
  if (rest.size() == 3 && rest.ends_with("iB")) rest.remove_suffix(2);
  unsigned shift = 0;
  if (!rest.empty()) {
    constexpr std::string_view kUnits = "KMGT";
    const std::size_t unit = rest.size() == 1 ? kUnits.find(upper(rest.front())) : std::string_view::npos;
    if (unit == std::string_view::npos) return std::nullopt;
    shift = 10U * (static_cast<unsigned>(unit) + 1U);
  }
  if (whole > (std::numeric_limits<std::uint64_t>::max() >> shift)) return std::nullopt;
  const std::uint64_t bytes = whole << shift;
  const auto extra = static_cast<std::uint64_t>(fraction * static_cast<double>(std::uint64_t{1} << shift));
  if (bytes > std::numeric_limits<std::uint64_t>::max() - extra) return std::nullopt;
  return ByteSize{bytes + extra};
}

std::string print_disk_size(ByteSize size) {
  constexpr std::string_view kUnits = "KMGT";
  std::uint64_t amount = size.bytes;
  std::size_t unit = 0;
  while (unit < kUnits.size() && amount != 0 && amount % 1024 == 0) {
    amount /= 1024;
    ++unit;
  }
  return unit == 0 ? fmt::format("{}", amount) : fmt::format("{}{}", amount, kUnits[unit - 1]);
}

}  // namespace pvr
