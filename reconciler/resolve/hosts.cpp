#include <fmt/format.h>

#include <algorithm>

#include "reconciler/model/settings.h"
#include "reconciler/policy/host_rules.h"
#include "reconciler/policy/zvol_rules.h"
#include "reconciler/resolve/resolver.h"

namespace pvr {
namespace {

std::optional<ByteSize> size_of(const WrittenSettings& settings, std::string_view key) {
  const auto* written = settings.find(key);
  const auto* size = written != nullptr ? std::get_if<ByteSize>(&written->value) : nullptr;
  return size != nullptr ? std::optional(*size) : std::nullopt;
}

// Sizes of the module's parameters are whole mebibytes here: nobody wants to read others.
ByteSize whole_mebibytes(ByteSize size) { return ByteSize{size.bytes >> 20U << 20U}; }

}  // namespace

void Resolver::resolve_hosts() {
  for (const WrittenHost& written : document_->hosts) {
    ResolvedHost host{.node = written.node, .span = written.span};
    if (facts_.observed && std::ranges::find(facts_.nodes, written.node) == facts_.nodes.end())
      finding(Severity::kWarning, {}, {AddressKind::kHost, written.node, {}},
              fmt::format("There is no node \"{}\" in the cluster.", written.node), "", written.span);

    ResolvedHostPart node{.span = written.span};
    stack_.clear();
    stack_.add(written.settings, Layer::kHost);
    const auto memory = facts_.node_memory.find(written.node);
    const ManagedArc arc{.memory = memory != facts_.node_memory.end() ? memory->second : ByteSize{}};
    std::optional<ByteSize> most = size_of(written.settings, "arc_max");
    if (written.arc_by_rule) {
      if (const auto* row = choose(kArcMaxDefaults, arc)) {
        most = whole_mebibytes(recommended_arc(arc.memory).low);
        stack_.add_rule("arc_max", size_value(*most), row->id);
      }
    }
    if (most) {
      if (const auto* row = choose(kArcMinDefaults, arc)) {
        const ByteSize least{most->bytes / static_cast<std::uint64_t>(row->value)};
        stack_.add_rule("arc_min", size_value(whole_mebibytes(least)), row->id);
      }
    }
    stack_.emit(node.settings);
    if (written.arc_by_rule && !most) {
      // Kept, so that the plan can say what it would need.
      node.settings.set("arc_max", Resolved{.origin = FromRule{"Z13"}});
    }
    const auto value = [&node](std::string_view key) -> const ByteSize* {
      const Resolved* resolved = node.settings.find(key);
      return resolved != nullptr ? std::get_if<ByteSize>(&resolved->value) : nullptr;
    };
    const ByteSize* least = value("arc_min");
    if (most && least != nullptr && *least >= *most) {
      error("policy.z13", "The least is not below the most.",
            fmt::format("{}: arc_min {} is not smaller than arc_max {}; OpenZFS ignores such limits.",
                        to_text(ResourceAddress{AddressKind::kHost, written.node, {}}), to_human(*least),
                        to_human(*most)),
            span_of(node.settings.find("arc_min")->origin).known() ? span_of(node.settings.find("arc_min")->origin)
                                                                   : written.span);
    }
    host.parts.push_back(std::move(node));

    for (const WrittenHostPart& of : written.parts) {
      ResolvedHostPart part{.name = of.name, .span = of.span, .is_pool = of.is_pool};
      stack_.clear();
      stack_.add(of.settings, Layer::kHost);
      if (of.is_pool) {
        const auto* autotrim = of.settings.find("autotrim");
        const ManagedPool pool{.autotrim = autotrim != nullptr && text_value(&autotrim->value) == "on"};
        const auto add = [this](const Default<std::string_view, ManagedPool>* row, Home home, std::string_view key) {
          if (row != nullptr) stack_.add_rule(key, this->value(home, key, row->value), row->id);
        };
        add(choose(kPoolTrimDefaults, pool), Home::kPoolProperty, "trim");
        add(choose(kPoolAtimeDefaults, pool), Home::kDatasetProperty, "atime");
        add(choose(kPoolXattrDefaults, pool), Home::kDatasetProperty, "xattr");
        add(choose(kPoolDnodesizeDefaults, pool), Home::kDatasetProperty, "dnodesize");
      }
      stack_.emit(part.settings);
      host.parts.push_back(std::move(part));
    }
    out_.hosts.push_back(std::move(host));
  }
}

}  // namespace pvr
