#include "terraform-plugin/provider/docs.h"

#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <system_error>
#include <vector>

#include "terraform-plugin/provider/provider.h"

namespace pvr::tf {
namespace {

std::string_view type_words(Shape shape) {
  switch (shape) {
    case Shape::kText:
      return "String";
    case Shape::kNumber:
      return "Number";
    case Shape::kBool:
      return "Boolean";
    case Shape::kTexts:
      return "List of String";
    case Shape::kTextMap:
      return "Map of String";
    case Shape::kTextMaps:
      return "Map of Map of String";
    case Shape::kObject:
      return "Attributes";
    case Shape::kObjects:
      return "Attributes List";
    case Shape::kNamed:
      return "Attributes Map";
  }
  return "";
}

std::string line_of(const Attribute& attribute, const std::string& prefix) {
  std::string out = fmt::format("- `{}` ({}{}) {}", attribute.name, type_words(attribute.shape),
                                attribute.sensitive ? ", Sensitive" : "", attribute.help);
  if (!attribute.nested.empty())
    out += fmt::format(" (see [below for nested schema](#nestedatt--{}{}))", prefix, attribute.name);
  return out + "\n";
}

void list(std::string& out, const std::vector<Attribute>& attributes, const std::string& prefix) {
  struct Part {
    std::string_view title;
    bool (*is)(const Attribute&);
  };
  constexpr Part kParts[] = {
      {"Required", [](const Attribute& a) { return a.required; }},
      {"Optional", [](const Attribute& a) { return a.optional; }},
      {"Read-Only", [](const Attribute& a) { return a.computed && !a.optional; }},
  };
  for (const Part& part : kParts) {
    std::string lines;
    for (const Attribute& attribute : attributes) {
      if (part.is(attribute)) lines += line_of(attribute, prefix);
    }
    if (lines.empty()) continue;
    out += prefix.empty() ? fmt::format("### {}\n\n{}\n", part.title, lines)
                          : fmt::format("{}:\n\n{}\n", part.title, lines);
  }
  for (const Attribute& attribute : attributes) {
    if (attribute.nested.empty()) continue;
    const std::string anchor = prefix + attribute.name;
    std::string title = anchor;
    for (std::size_t at = 0; (at = title.find("--", at)) != std::string::npos;) title.replace(at, 2, ".");
    out += fmt::format("<a id=\"nestedatt--{}\"></a>\n### Nested Schema for `{}`\n\n", anchor, title);
    list(out, attribute.nested, anchor + "--");
  }
}

std::string page(std::string_view title, std::string_view kind, const Schema& schema, const std::string& example,
                 const std::string& import) {
  std::string out = fmt::format("---\npage_title: \"{} - pvereconcile\"\ndescription: |-\n  {}\n---\n\n", title,
                                schema.help.substr(0, schema.help.find(". ") + 1));
  out += fmt::format("# {}{}{}\n\n{}\n\n", title, kind.empty() ? "" : " ", kind, schema.help);
  if (!example.empty()) out += fmt::format("## Example Usage\n\n```terraform\n{}```\n\n", example);
  out += "## Schema\n\n";
  list(out, schema.attributes, "");
  if (!import.empty()) out += fmt::format("## Import\n\n```shell\n{}```\n", import);
  while (out.ends_with("\n\n")) out.pop_back();
  return out;
}

std::string function_page(const std::string& name, const Function& function, const std::string& example) {
  std::string out =
      fmt::format("---\npage_title: \"{} - pvereconcile\"\ndescription: |-\n  {}\n---\n\n# function: {}\n\n{}\n\n",
                  name, function.summary, name, function.help);
  if (!example.empty()) out += fmt::format("## Example Usage\n\n```terraform\n{}```\n\n", example);
  std::string signature;
  std::string lines;
  int number = 0;
  for (const Parameter& parameter : function.parameters) {
    signature += fmt::format("{}{} {}", signature.empty() ? "" : ", ", parameter.name, type_words(parameter.shape));
    lines += fmt::format("{}. `{}` ({}) {}\n", ++number, parameter.name, type_words(parameter.shape), parameter.help);
  }
  out += fmt::format("## Signature\n\n```text\n{}({}) {}\n```\n\n## Arguments\n\n{}", name, signature,
                     type_words(function.returns), lines);
  return out;
}

std::string short_name(const std::string& name) { return name.substr(name.find('_') + 1); }

}  // namespace

std::map<std::string, std::string> docs_of(const ProviderSchema& schema,
                                           const std::map<std::string, std::string>& examples) {
  const auto example = [&](const std::string& path) {
    const auto found = examples.find(path);
    return found == examples.end() ? std::string() : found->second;
  };
  std::map<std::string, std::string> out;
  out["index.md"] = page("pvereconcile Provider", "", schema.provider, example("provider/provider.tf"), "");
  for (const auto& [name, of] : schema.resources)
    out["resources/" + short_name(name) + ".md"] =
        page(name, "(Resource)", of, example("resources/" + name + "/resource.tf"),
             example("resources/" + name + "/import.sh"));
  for (const auto& [name, of] : schema.data_sources)
    out["data-sources/" + short_name(name) + ".md"] =
        page(name, "(Data Source)", of, example("data-sources/" + name + "/data-source.tf"), "");
  for (const auto& [name, of] : schema.functions)
    out["functions/" + name + ".md"] = function_page(name, of, example("functions/" + name + "/function.tf"));
  return out;
}

bool write_docs(const std::string& folder) {
  namespace fs = std::filesystem;
  class Silent final : public Log {
    void write(LogLevel, std::string_view, const Fields&) override {}
  };
  std::error_code fault;
  std::map<std::string, std::string> examples;
  const fs::path root = "examples/terraform";
  for (auto at = fs::recursive_directory_iterator(root, fault); !fault && at != fs::recursive_directory_iterator();
       ++at) {
    if (!at->is_regular_file()) continue;
    std::ifstream file(at->path());
    examples[at->path().lexically_relative(root).generic_string()] = {std::istreambuf_iterator<char>(file),
                                                                      std::istreambuf_iterator<char>()};
  }
  Silent log;
  const Provider provider(open_link, {}, log);
  for (const auto& [name, text] : docs_of(provider.schema(), examples)) {
    const fs::path path = fs::path(folder) / name;
    fs::create_directories(path.parent_path(), fault);
    std::ofstream file(path, std::ios::trunc);
    file << text;
    file.close();
    if (!file) return false;
  }
  return true;
}

}  // namespace pvr::tf
