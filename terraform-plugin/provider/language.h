#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "reconciler/base/diagnostic.h"
#include "reconciler/model/fleet_document.h"
#include "schema/field_table.h"
#include "terraform-plugin/cty/value.h"
#include "terraform-plugin/provider/schema.h"

namespace pvr::tf {

// The fleet language as attributes, and attributes as the fleet language. Both come from the field tables, so that what
// a fleet file can say a configuration can say, and the fleet reader is the only one that judges it.

/// The attributes of a table, all of them optional unless the language requires them. '-' in names becomes '_'. A key
/// that takes several forms has the richest one: a mapping rather than a word. A mapping that may also be true or false
/// gets `enabled`, unless it has one.
[[nodiscard]] std::vector<Attribute> attributes_of(const Table& table);

/// A value of the language as the attribute of its field says it; null where the attribute has no form for it.
[[nodiscard]] Value value_of(const Field& field, const Attribute& attribute, const OptionValue& value);
/// A guest as the attributes of a VM say it: what FleetText makes of them is that guest again. `without` gets the PVE
/// keys for which there is no attribute.
[[nodiscard]] Value value_of(const WrittenVm& vm, const std::vector<Attribute>& attributes,
                             std::vector<std::string>& without);
/// Puts what PVE says of something live into the attributes it is declared by; what there is no attribute for is left
/// out.
void put_properties(Value& state, const Table& table, const std::vector<Attribute>& attributes, Home home,
                    const FlatMap<std::string>& properties);

/// A fleet text that is being put together, with the place in the configuration each of its lines comes from.
class FleetText {
 public:
  /// A line of its own, such as "vms:".
  void line(int depth, std::string_view text, Path path = {});
  /// `name:` with the fields of the table that have a value. Null and what the table does not know is left out. `value`
  /// is wholly known.
  void mapping(int depth, std::string_view name, const Table& table, const Value& value, const Path& path);
  /// The fields alone.
  void fields(int depth, const Table& table, const Value& value, const Path& path);

  [[nodiscard]] const std::string& text() const { return text_; }
  /// The nearest place to a line (counted from 1).
  [[nodiscard]] Path path_of(std::uint32_t line) const;

 private:
  void field(int depth, const Field& field, const Value& value, const Path& path);
  std::string text_ = {};
  std::vector<Path> paths_ = {};
};

/// A text in double quotes, as YAML and JSON write it.
[[nodiscard]] std::string in_quotes(std::string_view text);

/// Diagnostics of a text with the places of the configuration; those of other files keep their place as text. `file` is
/// the index of the text among the sources. Notices are left out.
[[nodiscard]] Messages messages_of(const Diagnostics& diagnostics, const SourceSet& sources, std::uint32_t file,
                                   const FleetText& text);

}  // namespace pvr::tf
