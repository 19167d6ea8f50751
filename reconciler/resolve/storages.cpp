#include <fmt/format.h>

#include <algorithm>

#include "reconciler/model/option_codec.h"
#include "reconciler/model/settings.h"
#include "reconciler/policy/storage_rules.h"
#include "reconciler/resolve/resolver.h"

namespace pvr {
namespace {

const OptionValue* property(const ResolvedStorage& storage, std::string_view key) {
  const Resolved* found = storage.properties.find(key);
  return found != nullptr ? &found->value : nullptr;
}

std::vector<std::string> list_value(const OptionValue* value) {
  if (value == nullptr) return {};
  if (const auto* list = std::get_if<StringList>(value)) return *list;
  if (const auto* text = std::get_if<std::string>(value)) return {*text};
  return {};
}

ResourceAddress address_of(const std::string& id) { return {AddressKind::kStorage, id, {}}; }

bool overlap(const std::vector<std::string>& a, const std::vector<std::string>& b) {
  return a.empty() || b.empty() ||
         std::ranges::any_of(a, [&](const std::string& node) { return std::ranges::find(b, node) != b.end(); });
}

PoolFacts pool_facts(std::string_view name, const StorageFacts& facts) {
  PoolFacts pool;
  pool.name = name;
  pool.blocksize = facts.blocksize;
  pool.media = facts.media;
  pool.used_percent = facts.used_percent;
  if (facts.pool_layout.starts_with("raidz") && facts.raidz_width > facts.parity) {
    pool.layout = PoolLayout::kRaidz;
    pool.shape = {.width = facts.raidz_width, .parity = facts.parity, .ashift = 12};
  } else if (facts.pool_layout == "single" || facts.pool_layout == "stripe") {
    pool.layout = PoolLayout::kSingle;
  } else if (!facts.pool_layout.empty()) {
    pool.layout = PoolLayout::kMirror;
  }
  return pool;
}

}  // namespace

void Resolver::resolve_storages() {
  for (const WrittenStorage& written : document_->storages) resolve_storage(written);
  check_datasets();
  // Storages of the cluster that the fleet uses without describing them: only what is unknown about them is worth a
  // word.
  for (const auto& [used, disks] : used_storages_) {
    const std::string_view id = used;
    const StorageFacts* facts = storage_facts(id);
    const bool described = std::ranges::any_of(out_.storages, [&](const ResolvedStorage& s) { return s.id == id; });
    if (described || facts == nullptr || !facts->backing_assumed) continue;
    const StorageRuleFacts rules{
        .id = id, .type = facts->type, .kind = facts->kind, .backing_assumed = true, .images = disks > 0};
    for (Judgement& found : run_checks(storage_checks(), rules)) {
      finding(found.severity, found.rule, address_of(std::string(id)), std::move(found.what), std::move(found.fix), {});
    }
  }
  for (const auto& [key, disks] : unset_aio_) {
    const auto& [storage, why] = key;
    finding(Severity::kNotice, "A5", address_of(std::string(storage)),
            fmt::format("aio is left unset on {} disk{}: {}", disks, disks == 1 ? "" : "s", why), "", {});
  }
}

void Resolver::resolve_storage(const WrittenStorage& written) {
  ResolvedStorage storage;
  storage.id = written.id;
  storage.span = written.span;
  storage.type = written.type.value;
  storage.reference_only = written.reference_only;
  if (storage.type.empty()) {
    if (const StorageFacts* facts = storage_facts(written.id)) storage.type = facts->type;
  }
  stack_.clear();
  stack_.add(written.properties, Layer::kStorage);
  if (!written.reference_only) {
    const StorageRuleFacts rules{
        .id = written.id, .type = storage.type, .on_iscsi = written.properties.contains("base")};
    const auto add = [this](const Default<std::string_view, StorageRuleFacts>* row, std::string_view key) {
      if (row != nullptr) stack_.add_rule(key, value(Home::kStorageOption, key, row->value), row->id);
    };
    add(choose(kSparseDefaults, rules), "sparse");
    add(choose(kBlocksizeDefaults, rules), "blocksize");
    add(choose(kSharedDefaults, rules), "shared");
  }
  stack_.emit(storage.properties);
  check_storage(written, storage);
  for (const WrittenClass& of : written.classes) {
    // Made on demand: a class nobody uses creates no storage.
    if (used_classes_.contains(class_storage_id(written, of))) add_class(written, of, storage);
  }
  out_.storages.push_back(std::move(storage));
}

void Resolver::add_class(const WrittenStorage& written, const WrittenClass& of, const ResolvedStorage& parent) {
  ResolvedStorage storage;
  storage.id = class_storage_id(written, of);
  storage.span = of.span;
  storage.type = "zfspool";
  storage.class_of = written.id;
  storage.class_name = of.name;
  stack_.clear();
  stack_.add(of.settings, Layer::kStorage);
  const OptionValue& dataset = name_value(class_dataset(written, of));
  stack_.add("pool", dataset, Layer::kStorage, written.id, of.pool ? of.pool->span : of.span);
  for (const std::string_view key : {"nodes", "content", "sparse"}) {
    const Resolved* inherited = parent.properties.find(key);
    if (inherited == nullptr) continue;
    if (const auto* rule = std::get_if<FromRule>(&inherited->origin)) {
      stack_.add_rule(key, inherited->value, rule->rule);
    } else {
      stack_.add(key, inherited->value, Layer::kStorage, written.id, span_of(inherited->origin));
    }
  }
  stack_.emit(storage.properties);
  out_.storages.push_back(std::move(storage));
}

void Resolver::check_storage(const WrittenStorage& written, const ResolvedStorage& storage) {
  const StorageFacts* facts = storage_facts(written.id);
  const auto used = used_storages_.find(written.id);
  const bool holds_disks = used != used_storages_.end() && used->second > 0;
  StorageRuleFacts rules{.id = written.id, .type = storage.type};
  rules.content = list_value(property(storage, "content"));
  rules.on_iscsi = written.properties.contains("base");
  if (facts != nullptr) {
    rules.kind = facts->kind;
    rules.backing_assumed = facts->backing_assumed;
    rules.chain = facts->kind == StorageKind::kLvmThickChain;
  }
  // Disks of the fleet on a dataset are told one by one; here it is about a storage that offers itself for others.
  const bool offers_images = std::ranges::find(rules.content, "images") != rules.content.end();
  rules.images = rules.backing_assumed ? holds_disks : offers_images && !holds_disks;
  if (!written.reference_only) {
    if (const OptionValue* sparse = property(storage, "sparse")) rules.sparse = bool_value(sparse);
    if (const OptionValue* shared = property(storage, "shared")) rules.shared = bool_value(shared);
  }
  for (Judgement& found : run_checks(storage_checks(), rules)) {
    if (found.rule == "T1") {
      const Resolved* content = storage.properties.find("content");
      error(rule_code("T1"), "Rule T1 is broken.",
            fmt::format("{}: {}. Write {}.", to_text(address_of(written.id)), found.what, found.fix),
            content != nullptr ? span_of(content->origin) : written.span);
      continue;
    }
    finding(found.severity, found.rule, address_of(written.id), std::move(found.what), std::move(found.fix),
            written.span);
  }
  if (facts != nullptr && facts->kind == StorageKind::kZfsZvol) {
    const std::string_view pool = text_value(property(storage, "pool"));
    for (Judgement& found :
         run_checks(pool_checks(), pool_facts(pool.empty() ? std::string_view(written.id) : pool, *facts))) {
      finding(found.severity, found.rule, address_of(written.id), std::move(found.what), std::move(found.fix),
              written.span);
    }
  }
}

void Resolver::check_datasets() {
  std::map<std::string_view, std::vector<const ResolvedStorage*>> by_dataset;
  for (const ResolvedStorage& storage : out_.storages) {
    const std::string_view pool = text_value(property(storage, "pool"));
    if (storage.type == "zfspool" && !pool.empty()) by_dataset[pool].push_back(&storage);
  }
  for (const auto& [dataset, storages] : by_dataset) {
    for (std::size_t i = 1; i < storages.size(); ++i) {
      for (std::size_t k = 0; k < i; ++k) {
        if (!overlap(list_value(property(*storages[i], "nodes")), list_value(property(*storages[k], "nodes"))))
          continue;
        StorageRuleFacts rules{.id = storages[i]->id, .type = "zfspool", .kind = StorageKind::kZfsZvol};
        rules.shares_dataset_with = storages[k]->id;
        for (const Judgement& found : run_checks(storage_checks(), rules)) {
          if (found.rule != "Z4") continue;
          error(rule_code("Z4"), "Rule Z4 is broken.",
                fmt::format("{} ({}): write {}.", found.what, dataset, found.fix), storages[i]->span);
        }
      }
    }
  }
}

}  // namespace pvr
