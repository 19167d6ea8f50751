#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/base/diagnostic.h"
#include "reconciler/base/source_span.h"

namespace pvr {

enum class YamlKind : std::uint8_t { kScalar, kSequence, kMapping };

/// One node. Scalars have text and no meaning yet: the schema decides what a text may be.
struct YamlNode {
  YamlKind kind = YamlKind::kScalar;
  bool repeated = false;     // a key that stood before in the same mapping; its value means nothing
  bool plain = false;        // scalar without quotes: may be a number, a boolean or null
  std::uint16_t height = 0;  // levels below
  std::uint32_t weight = 1;  // nodes a reader meets below, aliases counted every time
  std::uint32_t first = 0;   // children; a mapping's are key, value, key, value …
  std::uint32_t count = 0;
  std::string_view text = {};
  SourceSpan span = {};
};

/// The nodes of one file. Movable; nodes stay where they are. An alias shares its anchor's node, so nothing is ever
/// copied.
class YamlTree {
 public:
  [[nodiscard]] const YamlNode* root() const { return root_ ? &nodes_[*root_] : nullptr; }
  [[nodiscard]] std::size_t size(const YamlNode& node) const {
    return node.kind == YamlKind::kMapping ? node.count / 2 : node.count;
  }
  [[nodiscard]] const YamlNode& item(const YamlNode& sequence, std::size_t i) const { return child(sequence, i); }
  [[nodiscard]] const YamlNode& key(const YamlNode& mapping, std::size_t i) const { return child(mapping, 2 * i); }
  [[nodiscard]] const YamlNode& value(const YamlNode& mapping, std::size_t i) const {
    return child(mapping, 2 * i + 1);
  }
  /// The value of `key`, or null.
  [[nodiscard]] const YamlNode* find(const YamlNode& mapping, std::string_view key) const;

 private:
  friend class YamlBuilder;
  [[nodiscard]] const YamlNode& child(const YamlNode& node, std::size_t i) const {
    return nodes_[children_[node.first + i]];
  }
  std::vector<YamlNode> nodes_ = {};
  std::vector<std::uint32_t> children_ = {};
  std::vector<std::unique_ptr<char[]>> texts_ = {};
  std::optional<std::uint32_t> root_ = {};
};

struct YamlFile {
  YamlTree tree = {};
  bool complete = false;  // the whole text could be read; without that, what is missing from the tree means nothing
};

/// Reads one file of the set strictly: UTF-8 without control characters, one document, string keys without repeats, no
/// tags, no merge keys, bounded size, depth and alias expansion. Everything wrong is appended to `diagnostics`; after a
/// syntax error the rest of that file cannot be read. An empty text gives an empty mapping.
[[nodiscard]] YamlFile read_yaml(const SourceSet& sources, std::uint32_t file, Diagnostics& diagnostics);

/// Plain null, Null, NULL, ~ or nothing.
[[nodiscard]] bool is_null(const YamlNode& node);

}  // namespace pvr
