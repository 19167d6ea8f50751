#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/base/diagnostic.h"
#include "reconciler/model/fleet_document.h"
#include "reconciler/model/option_value.h"
#include "schema/field_table.h"
#include "schema/yaml_reader.h"

namespace pvr {

/// Reads the nodes of one file against the field tables. Every function that cannot give a value has said why.
class ValueReader {
 public:
  /// Places of secrets that were found where none belongs are appended to `secrets`.
  ValueReader(const YamlTree& tree, Diagnostics& diagnostics, std::vector<SourceSpan>& secrets)
      : tree_(&tree), diagnostics_(&diagnostics), secrets_(&secrets) {}

  /// The form the node has, out of those the field accepts; 0 when it has none of them.
  [[nodiscard]] unsigned form(const Field& field, const YamlNode& node);

  [[nodiscard]] std::optional<bool> boolean(const Field& field, const YamlNode& node);
  [[nodiscard]] std::optional<std::int64_t> integer(const Field& field, const YamlNode& node);
  [[nodiscard]] std::optional<ByteSize> size(const Field& field, const YamlNode& node);
  /// Checked against `values` where the field has some.
  [[nodiscard]] std::optional<Spanned<std::string>> text(const Field& field, const YamlNode& node);
  /// A list of texts, or one text where the field takes that too. Words only: nothing that would separate them in PVE's
  /// texts.
  [[nodiscard]] std::optional<std::vector<Spanned<std::string>>> words(const Field& field, const YamlNode& node);
  /// The value of a catalogue setting, in the codec's form.
  [[nodiscard]] std::optional<Spanned<OptionValue>> setting(const Field& field, const YamlNode& node);
  /// A mapping whose keys are properties of `setting` and of `fixed`; keys that are not properties are left to the
  /// caller.
  [[nodiscard]] PropertyString properties(const Table& table, const YamlNode& node, const Setting& setting);
  [[nodiscard]] std::optional<Spanned<OptionValue>> normalised(const Setting& setting, const OptionValue& value,
                                                               SourceSpan span);
  [[nodiscard]] std::optional<Spanned<OptionValue>> parsed(const Setting& setting, std::string_view text,
                                                           SourceSpan span);

  /// Calls each(field, key, value) for every known key of a mapping; says what is unknown, refused, empty and missing.
  template <class Each>
  void fields(const Table& table, const YamlNode& node, Each each) {
    if (!mapping(table.name, node)) return;
    for (std::size_t i = 0; i < tree_->size(node); ++i) {
      const YamlNode& key = tree_->key(node, i);
      const YamlNode& value = tree_->value(node, i);
      if (const Field* field = known(table, key, value)) each(*field, key, value);
    }
    require(table, node);
  }
  /// Calls each(name, key, value) for every entry of a mapping from names.
  template <class Each>
  void named(std::string_view what, const YamlNode& node, Each each) {
    if (!mapping(what, node)) return;
    for (std::size_t i = 0; i < tree_->size(node); ++i) {
      const YamlNode& key = tree_->key(node, i);
      if (key.kind == YamlKind::kScalar && !is_null(key) && !key.repeated) each(key.text, key, tree_->value(node, i));
    }
  }
  template <class Each>
  void items(const YamlNode& node, Each each) {
    for (std::size_t i = 0; i < tree_->size(node); ++i) each(tree_->item(node, i), i);
  }

  void error(SourceSpan span, std::string code, std::string summary, std::string detail, std::vector<Note> notes = {});
  /// Sets a key once; a second time is an error that names both places.
  void put(WrittenSettings& settings, std::string_view key, Spanned<OptionValue> value);
  /// The node holds a secret: no message may show it.
  void secret(const YamlNode& node);
  [[nodiscard]] const YamlTree& tree() const { return *tree_; }
  [[nodiscard]] Diagnostics& diagnostics() { return *diagnostics_; }

 private:
  bool mapping(std::string_view what, const YamlNode& node);
  const Field* known(const Table& table, const YamlNode& key, const YamlNode& value);
  void require(const Table& table, const YamlNode& node);
  void wrong_form(const Field& field, const YamlNode& node);
  bool in_range(const Field& field, std::int64_t value, SourceSpan span);

  const YamlTree* tree_;
  Diagnostics* diagnostics_;
  std::vector<SourceSpan>* secrets_;
};

/// Whether the value of a key of this name is likely a secret, be the key known or a slip of the pen.
[[nodiscard]] bool names_a_secret(std::string_view key);

/// "one of ssd, hdd" and the like: what a field takes.
[[nodiscard]] std::string expected(const Field& field);

}  // namespace pvr
