#include "schema/yaml_reader.h"

#include <fmt/format.h>
#include <yaml.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <unordered_map>

namespace pvr {
namespace {

constexpr std::size_t kLargestText = std::size_t{64} << 20U;
constexpr std::size_t kDeepest = 32;
constexpr std::uint32_t kMostAliasedNodes = 100'000;
constexpr std::size_t kMostTextErrors = 20;

struct Utf8 {
  std::size_t length = 0;  // 0: not UTF-8
  std::uint32_t code = 0;
};

/// One character: shortest form only, no surrogates, nothing beyond U+10FFFF.
Utf8 decode(std::string_view text, std::size_t at) {
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  std::uint32_t lead = byte(at);
  if (lead < 0x80U) return {1, lead};
  std::size_t length = lead >= 0xF0U ? 4 : lead >= 0xE0U ? 3 : 2;
  if (lead < 0xC2U || lead > 0xF4U || at + length > text.size()) return {};
  std::uint32_t code = lead & (length == 2 ? 0x1FU : length == 3 ? 0x0FU : 0x07U);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0U) != 0x80U) return {};
    code = code << 6U | (byte(at + i) & 0x3FU);
  }
  bool too_long = (length == 3 && code < 0x800U) || (length == 4 && code < 0x10000U);
  if (too_long || (code >= 0xD800U && code <= 0xDFFFU) || code > 0x10FFFFU) return {};
  return {length, code};
}

bool starts_with_bom(std::string_view text) { return text.starts_with("\xEF\xBB\xBF"); }

struct TextCheck {
  bool readable = true;
  bool ascii = true;
};

class TextChecker {
 public:
  TextChecker(std::uint32_t file, std::string_view text, Diagnostics& diagnostics)
      : file_(file), text_(text), diagnostics_(diagnostics) {}

  TextCheck run() {
    if (text_.size() > kLargestText) {
      say("schema.yaml.size", "The file is too large",
          fmt::format("A fleet file may have {} MiB.", kLargestText >> 20U));
      return result_;
    }
    if (text_.starts_with("\xFF\xFE") || text_.starts_with("\xFE\xFF") ||
        text_.substr(0, 64).find('\0') != std::string_view::npos) {
      say("schema.yaml.encoding", "The file is not UTF-8 text",
          "It looks like UTF-16 or a binary file. Save it as UTF-8.");
      return result_;
    }
    std::size_t at = starts_with_bom(text_) ? 3 : 0;
    while (at < text_.size() && diagnostics_.size() < limit_) at = step(at);
    return result_;
  }

 private:
  std::size_t step(std::size_t at) {
    char c = text_[at];
    if (c == '\n') {
      ++line_;
      line_start_ = at + 1;
      return at + 1;
    }
    at_ = at;
    if (c == '\r' && at + 1 < text_.size() && text_[at + 1] == '\n') return at + 1;
    Utf8 character = decode(text_, at);
    if (character.length == 0) {
      say("schema.yaml.encoding", "Not UTF-8",
          fmt::format("Byte 0x{:02X} is no UTF-8 here. Save the file as UTF-8.", static_cast<unsigned char>(c)));
      return skip_line(at);
    }
    if (character.length > 1) result_.ascii = false;
    std::uint32_t code = character.code;
    bool control = (code < 0x20U && code != '\t') || (code >= 0x7FU && code < 0xA0U);
    bool line_break = code == 0x2028U || code == 0x2029U;
    if (control || line_break || code == 0xFEFFU || code == 0xFFFEU || code == 0xFFFFU) {
      say("schema.yaml.control", "Control character",
          fmt::format(
              "The character U+{:04X} has no place in a fleet file. Inside a double-quoted text write \"\\u{:04X}\".",
              code, code));
      return skip_line(at);
    }
    return at + character.length;
  }

  // One complaint per line is enough to find it.
  std::size_t skip_line(std::size_t at) const { return std::min(text_.find('\n', at), text_.size()); }

  void say(std::string code, std::string summary, std::string detail) {
    result_.readable = false;
    auto column = static_cast<std::uint32_t>(at_ - line_start_ + 1);
    diagnostics_.push_back(
        {Severity::kError, std::move(code), std::move(summary), std::move(detail), {file_, line_, column, 1}, {}});
  }

  std::uint32_t file_;
  std::string_view text_;
  Diagnostics& diagnostics_;
  std::size_t limit_ = diagnostics_.size() + kMostTextErrors;
  TextCheck result_ = {};
  std::uint32_t line_ = 1;
  std::size_t line_start_ = 0;
  std::size_t at_ = 0;
};

}  // namespace

bool is_null(const YamlNode& node) {
  if (node.kind != YamlKind::kScalar || !node.plain) return false;
  return node.text.empty() || node.text == "~" || node.text == "null" || node.text == "Null" || node.text == "NULL";
}

const YamlNode* YamlTree::find(const YamlNode& mapping, std::string_view key) const {
  if (mapping.kind != YamlKind::kMapping) return nullptr;
  for (std::size_t i = 0; i < size(mapping); ++i) {
    if (this->key(mapping, i).text == key) return &value(mapping, i);
  }
  return nullptr;
}

/// Turns libyaml's events into a tree.
class YamlBuilder {
 public:
  YamlBuilder(const SourceSet& sources, std::uint32_t file, bool ascii, Diagnostics& diagnostics)
      : sources_(sources), file_(file), ascii_(ascii), diagnostics_(diagnostics) {
    bom_ = starts_with_bom(sources.file(file).text);
    std::size_t guess = sources.file(file).text.size() / 10 + 16;
    out_.tree.nodes_.reserve(guess);
    out_.tree.children_.reserve(guess);
  }

  YamlFile run() {
    std::string_view text = sources_.file(file_).text;
    if (bom_) text.remove_prefix(3);
    yaml_parser_t parser;
    if (yaml_parser_initialize(&parser) == 0) {
      say({file_, 1, 1, 1}, "schema.yaml.memory", "Out of memory", "The YAML parser could not be started.");
      return std::move(out_);
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, reinterpret_cast<const unsigned char*>(text.data()), text.size());
    for (bool more = true; more;) {
      yaml_event_t event;
      if (yaml_parser_parse(&parser, &event) == 0) {
        syntax_error(parser);
        break;
      }
      more = take(event);
      yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (ended_ && !out_.tree.root_) {
      out_.tree.nodes_.push_back({.kind = YamlKind::kMapping, .span = {file_, 1, 1, 0}});
      out_.tree.root_ = 0;
    }
    out_.complete = ended_ && !gave_up_;
    return std::move(out_);
  }

 private:
  struct Open {
    std::uint32_t node = 0;
    std::size_t pending = 0;  // where its children start in pending_
    std::string anchor = {};
  };

  /// False: no further event is wanted.
  bool take(const yaml_event_t& event) {
    switch (event.type) {
      case YAML_DOCUMENT_START_EVENT:
        if (++documents_ > 1) {
          return give_up(span(event.start_mark, 3), "schema.yaml.documents", "More than one document",
                         "A fleet file holds one YAML document. Put the second one into a file of its own.");
        }
        return true;
      case YAML_SCALAR_EVENT:
        return scalar(event);
      case YAML_ALIAS_EVENT:
        return alias(event);
      case YAML_SEQUENCE_START_EVENT:
        return open(YamlKind::kSequence, event, event.data.sequence_start.anchor, event.data.sequence_start.tag);
      case YAML_MAPPING_START_EVENT:
        return open(YamlKind::kMapping, event, event.data.mapping_start.anchor, event.data.mapping_start.tag);
      case YAML_SEQUENCE_END_EVENT:
      case YAML_MAPPING_END_EVENT:
        close();
        return true;
      case YAML_STREAM_END_EVENT:
        ended_ = true;
        return false;
      default:
        return true;
    }
  }

  bool scalar(const yaml_event_t& event) {
    const auto& data = event.data.scalar;
    if (data.tag != nullptr) refuse_tag(event, data.tag);
    YamlNode node;
    node.plain = data.style == YAML_PLAIN_SCALAR_STYLE;
    node.text = keep({reinterpret_cast<const char*>(data.value), data.length});
    node.span = span(event.start_mark, event.end_mark.index - event.start_mark.index);
    if (node.text.find('\0') != std::string_view::npos) {
      say(node.span, "schema.yaml.control", "Control character",
          "A text of the fleet cannot hold the character U+0000.");
    }
    add(node, data.anchor);
    return true;
  }

  bool alias(const yaml_event_t& event) {
    std::string name(reinterpret_cast<const char*>(event.data.alias.anchor));
    SourceSpan place = span(event.start_mark, name.size() + 1);
    for (const Open& open : open_) {
      if (open.anchor != name) continue;
      return give_up(
          place, "schema.yaml.alias", "Alias inside its own anchor",
          fmt::format("\"*{}\" stands inside the node that \"&{}\" names: that would never end.", name, name));
    }
    auto found = anchors_.find(name);
    if (found == anchors_.end()) {
      return give_up(place, "schema.yaml.alias", "Unknown alias", fmt::format("No anchor \"&{}\" stands above.", name));
    }
    const YamlNode& target = out_.tree.nodes_[found->second];
    aliased_ += target.weight;
    if (aliased_ > kMostAliasedNodes) {
      return give_up(
          place, "schema.yaml.expansion", "Aliases expand too far",
          fmt::format("The aliases of a file may stand for {} nodes in total. Use roles instead.", kMostAliasedNodes));
    }
    if (open_.size() + target.height > kDeepest) return too_deep(place);
    pending_.push_back(found->second);
    return true;
  }

  bool open(YamlKind kind, const yaml_event_t& event, const yaml_char_t* anchor, const yaml_char_t* tag) {
    if (tag != nullptr) refuse_tag(event, tag);
    YamlNode node;
    node.kind = kind;
    node.span = span(event.start_mark, 1);
    if (open_.size() >= kDeepest) return too_deep(node.span);
    auto index = static_cast<std::uint32_t>(out_.tree.nodes_.size());
    out_.tree.nodes_.push_back(node);
    open_.push_back({index, pending_.size(), anchor == nullptr ? "" : reinterpret_cast<const char*>(anchor)});
    return true;
  }

  void close() {
    Open done = std::move(open_.back());
    open_.pop_back();
    YamlTree& tree = out_.tree;
    YamlNode& node = tree.nodes_[done.node];
    node.first = static_cast<std::uint32_t>(tree.children_.size());
    node.count = static_cast<std::uint32_t>(pending_.size() - done.pending);
    std::uint16_t height = 0;
    for (std::size_t i = done.pending; i < pending_.size(); ++i) {
      const YamlNode& child = tree.nodes_[pending_[i]];
      tree.children_.push_back(pending_[i]);
      node.weight = std::min(node.weight + std::min(child.weight, kMostAliasedNodes * 1000), kMostAliasedNodes * 1000);
      height = std::max<std::uint16_t>(height, static_cast<std::uint16_t>(child.height + 1));
    }
    node.height = height;
    pending_.resize(done.pending);
    if (node.kind == YamlKind::kMapping) check_keys(node);
    attach(done.node, done.anchor.empty() ? nullptr : &done.anchor);
  }

  void add(const YamlNode& node, const yaml_char_t* anchor) {
    auto index = static_cast<std::uint32_t>(out_.tree.nodes_.size());
    out_.tree.nodes_.push_back(node);
    if (anchor == nullptr) return attach(index, nullptr);
    std::string name(reinterpret_cast<const char*>(anchor));
    attach(index, &name);
  }

  void attach(std::uint32_t index, const std::string* anchor) {
    if (anchor != nullptr) anchors_[*anchor] = index;
    if (open_.empty()) {
      out_.tree.root_ = index;
    } else {
      pending_.push_back(index);
    }
  }

  void check_keys(const YamlNode& mapping) {
    const YamlTree& tree = out_.tree;
    std::size_t size = tree.size(mapping);
    std::unordered_map<std::string_view, const YamlNode*> seen;
    constexpr std::size_t kSmall = 24;  // below, comparing each with each is faster than hashing
    if (size > kSmall) seen.reserve(size);
    for (std::size_t i = 0; i < size; ++i) {
      const YamlNode& key = tree.key(mapping, i);
      if (key.kind != YamlKind::kScalar) {
        say(key.span, "schema.yaml.key", "A key must be a text", "Lists and mappings cannot be keys here.");
        continue;
      }
      if (is_null(key)) {
        say(key.span, "schema.yaml.key", "A key must be a text", "There is no key before this colon.");
        continue;
      }
      if (key.plain && key.text == "<<") {
        say(key.span, "schema.yaml.merge", "Merge keys are not part of the language",
            "YAML 1.2 has no \"<<\". To share settings write a role and give it to the VMs with \"role:\"; a role "
            "takes over another "
            "one with \"extends:\".");
        continue;
      }
      const YamlNode* first = nullptr;
      if (size > kSmall) {
        auto [at, added] = seen.try_emplace(key.text, &key);
        if (!added) first = at->second;
      } else {
        for (std::size_t j = 0; j < i && first == nullptr; ++j) {
          if (tree.key(mapping, j).text == key.text) first = &tree.key(mapping, j);
        }
      }
      if (first != nullptr) {
        out_.tree.nodes_[tree.children_[mapping.first + 2 * i]].repeated = true;
        say(key.span, "schema.yaml.duplicate", "Duplicate key",
            fmt::format("\"{}\" is given twice in the same mapping; one of them would be lost.", key.text),
            {{"The first one is here.", first->span}});
      }
    }
  }

  void refuse_tag(const yaml_event_t& event, const yaml_char_t* tag) {
    std::string name(reinterpret_cast<const char*>(tag));
    constexpr std::string_view kCore = "tag:yaml.org,2002:";
    if (name.starts_with(kCore)) name = "!!" + name.substr(kCore.size());
    say(span(event.start_mark, name.size()), "schema.yaml.tag", "Tags are not part of the language",
        fmt::format("Leave \"{}\" out. The schema knows the type of every key; quote a value to make it a text.",
                    name));
  }

  bool too_deep(SourceSpan place) {
    return give_up(place, "schema.yaml.depth", "Nested too deeply",
                   fmt::format("A fleet file may be nested {} levels deep.", kDeepest));
  }

  bool give_up(SourceSpan place, std::string code, std::string summary, std::string detail) {
    say(place, std::move(code), std::move(summary), std::move(detail));
    gave_up_ = true;
    return false;
  }

  void syntax_error(const yaml_parser_t& parser) {
    gave_up_ = true;
    SourceSpan place = span(parser.problem_mark, 1);
    std::string problem = parser.problem != nullptr ? parser.problem : "the YAML parser failed";
    std::string_view line = sources_.line(file_, place.line);
    std::size_t before = std::min<std::size_t>(place.column, line.size());
    std::string_view indent = line.substr(0, std::min(line.find_first_not_of(" \t"), line.size()));
    std::string detail = fmt::format("YAML says: {}.", problem);
    std::vector<Note> notes;
    if (indent.find('\t') != std::string_view::npos ||
        (before > 0 && line.substr(0, before).find('\t') != std::string_view::npos)) {
      detail += " There is a tab here: YAML is indented with spaces only.";
    } else if (problem.find("mapping values are not allowed") != std::string::npos) {
      detail += " Is the indentation right, and is a text that holds \": \" in quotes?";
    } else if (problem.find("expected <block end>") != std::string::npos) {
      detail += " The indentation does not fit the lines above.";
    } else if (problem.find("could not find expected ':'") != std::string::npos) {
      detail += " A key needs a colon and a space behind it.";
    } else if (problem.find("cannot start any token") != std::string::npos) {
      detail += " A text that starts with this character must be quoted.";
    }
    if (parser.context != nullptr) {
      notes.push_back({fmt::format("This happened {}.", parser.context), span(parser.context_mark, 1)});
    }
    diagnostics_.push_back(
        {Severity::kError, "schema.yaml.syntax", "Not valid YAML", std::move(detail), place, std::move(notes)});
  }

  void say(SourceSpan place, std::string code, std::string summary, std::string detail, std::vector<Note> notes = {}) {
    diagnostics_.push_back(
        {Severity::kError, std::move(code), std::move(summary), std::move(detail), place, std::move(notes)});
  }

  /// libyaml counts characters; our columns and lengths are bytes.
  SourceSpan span(const yaml_mark_t& mark, std::size_t characters) {
    auto line = static_cast<std::uint32_t>(mark.line + 1);
    if (ascii_) {
      std::size_t column = mark.column + (bom_ && line == 1 ? 4U : 1U);
      return {file_, line, static_cast<std::uint32_t>(column), static_cast<std::uint32_t>(characters)};
    }
    // The rest of the file, so that a text over several lines has its whole length.
    std::string_view first = sources_.line(file_, line);
    const std::string& whole = sources_.file(file_).text;
    std::size_t line_start =
        first.data() == nullptr ? whole.size() : static_cast<std::size_t>(first.data() - whole.data());
    std::string_view text = std::string_view(whole).substr(std::min(line_start, whole.size()));
    auto advance = [&](std::size_t at, std::size_t count) {
      for (; count > 0 && at < text.size(); --count) at += std::max<std::size_t>(decode(text, at).length, 1);
      return at;
    };
    // Marks move forward, so counting goes on where it stopped: a file of one long line must not be counted again for
    // every node.
    if (line != counted_line_ || mark.column < counted_characters_) {
      counted_line_ = line;
      counted_characters_ = 0;
      counted_bytes_ = bom_ && line == 1 ? 3 : 0;
    }
    std::size_t begin = advance(counted_bytes_, mark.column - counted_characters_);
    counted_characters_ = mark.column;
    counted_bytes_ = begin;
    std::size_t end = advance(begin, characters);
    return {file_, line, static_cast<std::uint32_t>(begin + 1),
            static_cast<std::uint32_t>(std::max<std::size_t>(end - begin, 1))};
  }

  std::string_view keep(std::string_view text) {
    constexpr std::size_t kBlock = std::size_t{64} << 10U;
    if (text.size() > free_) {
      std::size_t size = std::max(kBlock, text.size());
      out_.tree.texts_.push_back(std::make_unique<char[]>(size));
      next_ = out_.tree.texts_.back().get();
      free_ = size;
    }
    if (text.empty()) return {};
    std::memcpy(next_, text.data(), text.size());
    std::string_view kept(next_, text.size());
    next_ += text.size();
    free_ -= text.size();
    return kept;
  }

  const SourceSet& sources_;
  std::uint32_t file_;
  bool ascii_;
  bool bom_ = false;
  Diagnostics& diagnostics_;
  YamlFile out_ = {};
  std::vector<Open> open_ = {};
  std::vector<std::uint32_t> pending_ = {};  // children of the open nodes
  std::map<std::string, std::uint32_t, std::less<>> anchors_ = {};
  std::uint32_t aliased_ = 0;
  std::size_t documents_ = 0;
  std::uint32_t counted_line_ = 0;
  std::size_t counted_characters_ = 0;
  std::size_t counted_bytes_ = 0;
  bool ended_ = false;
  bool gave_up_ = false;
  char* next_ = nullptr;
  std::size_t free_ = 0;
};

YamlFile read_yaml(const SourceSet& sources, std::uint32_t file, Diagnostics& diagnostics) {
  TextCheck text = TextChecker(file, sources.file(file).text, diagnostics).run();
  if (!text.readable) return {};
  return YamlBuilder(sources, file, text.ascii, diagnostics).run();
}

}  // namespace pvr
