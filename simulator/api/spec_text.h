#pragma once

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "simulator/api/method.h"

namespace pvesim {

// Method tables as text. One line each, nesting by indentation:
//   "= NAME" begins a block of lines that "*NAME" includes; "~ FORMAT" begins the keys of a property-string format;
//   "VERB /path [protected] [proxy] [ticket]" begins a method; {node}, {vmid} … of the path are added by themselves.
//   " NAME TYPE [opt] [key] [n=COUNT] [min=] [max=] [maxlen=] [minlen=] [req=] [alias=] [keyalias=] [enum=a|b] [fmt=]
//    [pattern=REST]" is a parameter; deeper lines below it are the keys of its property string.
// enum=@disks, @drives and @drives+unused stand for the drive slots.
class SpecTable {
 public:
  explicit SpecTable(std::string_view text);
  /// The method without permission and handler. Throws std::logic_error for one that is not in the text.
  [[nodiscard]] MethodSpec method(std::string_view verb, std::string_view path) const;
  [[nodiscard]] const std::vector<ParamSpec>& block(std::string_view name) const;
  [[nodiscard]] std::vector<std::pair<std::string, std::string>> methods() const;

 private:
  std::map<std::pair<std::string, std::string>, MethodSpec> methods_ = {};
  std::map<std::string, std::vector<ParamSpec>, std::less<>> blocks_ = {};
  std::map<std::string, std::vector<ParamSpec>, std::less<>> formats_ = {};
};

[[nodiscard]] std::string_view qemu_spec_text();
[[nodiscard]] std::string_view storage_spec_text();
/// Parsed once.
[[nodiscard]] const SpecTable& qemu_specs();
[[nodiscard]] const SpecTable& storage_specs();

}  // namespace pvesim
