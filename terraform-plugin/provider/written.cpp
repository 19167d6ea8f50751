// What FleetText does, backwards: values of the fleet language as attributes.

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"
#include "terraform-plugin/provider/language.h"

namespace pvr::tf {
namespace {

std::string attribute_name(std::string_view name) {
  std::string out(name);
  std::ranges::replace(out, '-', '_');
  return out;
}

/// The field of a key of PVE; of two names for it, PVE's own.
const Field* field_of(const Table& table, std::string_view key) {
  const Field* found = nullptr;
  for (const Field& field : table.fields) {
    const std::string_view lowered = field.lowered.empty() ? field.name : field.lowered;
    if (!field.refused.empty() || lowered != key) continue;
    if (found == nullptr || field.name == key) found = &field;
  }
  return found;
}

List texts(const std::vector<std::string>& words) {
  List out;
  for (const std::string& word : words) out.emplace_back(word);
  return out;
}

/// One key of a property string.
Value part_of(Shape shape, const std::string& text) {
  switch (shape) {
    case Shape::kBool:
      return {text == "1"};
    case Shape::kNumber: {
      if (const auto whole = Value(text).integer()) return {*whole};
      char* end = nullptr;
      const double number = std::strtod(text.c_str(), &end);
      return end != text.c_str() && *end == '\0' ? Value(number) : Value();
    }
    case Shape::kText:
      return {text};
    case Shape::kTexts: {
      List out;
      for (const std::string_view word : split_words(text, ';')) out.emplace_back(word);
      return {std::move(out)};
    }
    default:
      return {};
  }
}

/// A property string as an object; null when it has a key there is no attribute for.
Value object_of(const Table& table, const std::vector<Attribute>& attributes, const PropertyString& value) {
  Map out;
  for (const auto& [key, text] : value.pairs) {
    const Field* field = field_of(table, key);
    if (field == nullptr) return {};
    const std::string name = attribute_name(field->name);
    const Attribute* attribute = find_attribute(attributes, name);
    Value part = attribute == nullptr ? Value() : part_of(attribute->shape, text);
    if (part.is_null()) return {};
    out.emplace(name, std::move(part));
  }
  return {std::move(out)};
}

/// The settings of a disk; `name` is known to whoever asks.
Map settings_of(const WrittenDisk& disk, const Table& table, const std::vector<Attribute>& attributes,
                std::vector<std::string>& without) {
  Map out;
  for (const auto& [key, value] : disk.settings) {
    const Field* field = field_of(table, key);
    const Attribute* attribute = field == nullptr ? nullptr : find_attribute(attributes, attribute_name(field->name));
    Value said = attribute == nullptr ? Value() : value_of(*field, *attribute, value.value);
    if (said.is_null())
      without.push_back(disk.name + "/" + key);
    else
      out.emplace(attribute->name, std::move(said));
  }
  return out;
}

}  // namespace

Value value_of(const Field& field, const Attribute& attribute, const OptionValue& value) {
  const Shape shape = attribute.shape;
  if (const auto* flag = std::get_if<bool>(&value)) return shape == Shape::kBool ? Value(*flag) : Value();
  if (const auto* number = std::get_if<std::int64_t>(&value)) {
    if (shape == Shape::kNumber) return {*number};
    if (shape != Shape::kText) return {};
    const bool mebibytes = (field.key == Key::kMemory || field.key == Key::kBalloon) && *number > 0;
    if (mebibytes) return {to_text(ByteSize{static_cast<std::uint64_t>(*number) << 20U})};
    return {fmt::format("{}", *number)};
  }
  if (const auto* number = std::get_if<double>(&value)) return shape == Shape::kNumber ? Value(*number) : Value();
  if (const auto* size = std::get_if<ByteSize>(&value)) return shape == Shape::kText ? Value(to_text(*size)) : Value();
  if (const auto* text = std::get_if<std::string>(&value)) return shape == Shape::kText ? Value(*text) : Value();
  if (const auto* list = std::get_if<StringList>(&value)) return shape == Shape::kTexts ? Value(texts(*list)) : Value();
  if (const auto* pairs = std::get_if<PropertyString>(&value)) {
    if (shape != Shape::kObject || field.table == nullptr) return {};
    return conformed(object_of(*field.table, attribute.nested, *pairs), attribute.nested);
  }
  return {};
}

void put_properties(Value& state, const Table& table, const std::vector<Attribute>& attributes, Home home,
                    const FlatMap<std::string>& properties) {
  Map* out = state.map();
  for (const auto& [key, text] : properties) {
    const Field* field = field_of(table, key);
    const Setting* setting = find_setting(home, key);
    if (out == nullptr || field == nullptr || setting == nullptr) continue;
    const Attribute* attribute = find_attribute(attributes, attribute_name(field->name));
    if (attribute == nullptr) continue;
    if (Value said = value_of(*field, *attribute, decode_option(*setting, text)); said.is_known())
      out->insert_or_assign(attribute->name, std::move(said));
  }
}

Value value_of(const WrittenVm& vm, const std::vector<Attribute>& attributes, std::vector<std::string>& without) {
  const Table& table = fleet_tables().vm;
  Map out{{"name", Value(vm.name)}, {"vmid", Value(std::int64_t{vm.vmid.value.number})}};
  if (vm.role) out.emplace("role", Value(vm.role->value));
  if (vm.lane) out.emplace("lane", Value(vm.lane->value));
  if (vm.node) out.emplace("node", Value(vm.node->value));
  if (vm.ha) out.emplace("ha", Value(Map{{"enabled", Value(vm.ha->enabled)}}));
  const auto words = [](const std::vector<Spanned<std::string>>& list) {
    List keys;
    for (const Spanned<std::string>& word : list) keys.emplace_back(word.value);
    return keys;
  };
  if (!vm.leave.empty()) out.emplace("leave", Value(words(vm.leave)));

  Map nets, raw;
  List devices;
  for (const auto& [key, value] : vm.options) {
    const Setting* setting = find_setting(Home::kVmOption, key);
    if (setting == nullptr) continue;
    if (setting->count == 0) {
      const Field* field = field_of(table, key);
      const Attribute* attribute = field == nullptr ? nullptr : find_attribute(attributes, attribute_name(field->name));
      Value said = attribute == nullptr ? Value() : value_of(*field, *attribute, value.value);
      if (said.is_null())
        without.push_back(key);
      else
        out.emplace(attribute->name, std::move(said));
      continue;
    }
    // A numbered device has an attribute of its own, or is an option in PVE's text.
    const Field* field = setting->name == "net" ? table.find("nets") : table.find(setting->name);
    const Attribute* attribute =
        field == nullptr || field->table == nullptr ? nullptr : find_attribute(attributes, field->name);
    const auto* pairs = std::get_if<PropertyString>(&value.value);
    Value device =
        attribute == nullptr || pairs == nullptr ? Value() : object_of(*field->table, attribute->nested, *pairs);
    if (Map* map = device.map()) map->insert_or_assign("slot", Value(key));
    if (!device.is_null() && setting->name == "net")
      nets.emplace(key, std::move(device));
    else if (!device.is_null() && setting->name == "hostpci")
      devices.push_back(std::move(device));
    else
      raw.emplace(key, Value(print_option(*setting, value.value)));
  }
  if (!nets.empty()) out.emplace("nets", Value(std::move(nets)));
  if (!devices.empty()) out.emplace("hostpci", Value(std::move(devices)));
  if (!raw.empty()) out.emplace("options", Value(std::move(raw)));

  Map disks;
  for (const WrittenDisk& disk : vm.disks) {
    const bool special = disk.name == "efidisk" || disk.name == "tpm";
    const Field* field = table.find(special ? std::string_view(disk.name) : "disks");
    const Attribute* attribute = find_attribute(attributes, field->name);
    if (special) {
      WrittenDisk rest = disk;
      rest.settings.erase("slot");  // there is one only
      Map said = settings_of(rest, *field->table, attribute->nested, without);
      said.insert_or_assign("enabled", Value(true));
      out.emplace(disk.name, Value(std::move(said)));
      continue;
    }
    Map said = settings_of(disk, *field->table, attribute->nested, without);
    if (!disk.leave.empty()) said.emplace("leave", Value(words(disk.leave)));
    disks.emplace(disk.name, Value(std::move(said)));
  }
  if (!disks.empty()) out.emplace("disks", Value(std::move(disks)));
  return conformed(Value(std::move(out)), attributes);
}

}  // namespace pvr::tf
