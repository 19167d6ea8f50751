#include <fmt/format.h>

#include <iterator>
#include <string>

#include "schema/field_table.h"
#include "schema/fleet_schema.h"
#include "schema/value_reader.h"

namespace pvr {
namespace {

/// '|' would end a cell of the table.
std::string cell(std::string_view text) {
  std::string out;
  for (char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out;
}

std::string value_cell(const Field& field) {
  if (field.key == Key::kOptions) return "a mapping from PVE's keys to PVE's texts";
  std::string out = expected(field);
  if (field.table != nullptr) out += fmt::format(" ([{}](#{}))", field.table->name, field.table->name);
  return cell(out);
}

std::string lowered_cell(const Field& field) {
  if (field.setting == nullptr || field.lowered.empty() || field.lowered == field.name) return "";
  return fmt::format(" PVE: `{}`.", field.lowered);
}

}  // namespace

std::string language_reference() {
  std::string out;
  auto append = std::back_inserter(out);
  for (const Table* table : fleet_tables().all) {
    fmt::format_to(append, "### {}\n\n{}\n\n| key | value | meaning |\n|---|---|---|\n", table->name, table->help);
    for (const Field& field : table->fields) {
      if (!field.refused.empty()) continue;
      fmt::format_to(append, "| `{}`{} | {} | {}{} |\n", field.name, field.required ? " (required)" : "",
                     value_cell(field), cell(field.help), lowered_cell(field));
    }
    out += '\n';
  }
  return out;
}

}  // namespace pvr
