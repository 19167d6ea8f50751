#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/base/diagnostic.h"

namespace pvr {

/// Where a rule comes from. PVE: read in Proxmox's own source; it overrides the articles where they disagree.
namespace source {
inline constexpr std::string_view kGuestStorage = "S0";    // guest-storage best practices (PVE 9.2, OpenZFS 2.4)
inline constexpr std::string_view kZfsTuning = "S1";       // ZFS tuning guide for PVE
inline constexpr std::string_view kQemuHowTo = "S2";       // QEMU how-to of 2016
inline constexpr std::string_view kWindowsStorage = "S3";  // Windows storage: controllers, AIO modes, iothreads
inline constexpr std::string_view kBenchmark = "S4";       // disk benchmark of KVM on ZFS
inline constexpr std::string_view kPve = "PVE source";
}  // namespace source

/// A value that holds when nobody states one. Rows of a table are tried in order; the first that applies wins.
template <class T, class F>
struct Default {
  std::string_view id = {};
  bool (*applies)(const F&) = nullptr;
  T value = {};
  std::string_view why = {};
  std::string_view source = {};
};

/// What must hold for final values `S`, whoever wrote them. Breaking it is an error.
template <class F, class S>
struct Invariant {
  std::string_view id = {};
  std::string_view key = {};  // the setting that is wrong
  bool (*broken)(const F&, const S&) = nullptr;
  std::string_view why = {};
  std::string_view instead = {};
  std::string_view source = {};
};

/// What is allowed, but worth a word: flags the value.
template <class F, class S>
struct Warning {
  std::string_view id = {};
  std::string_view key = {};
  bool (*applies)(const F&, const S&) = nullptr;
  std::string_view why = {};
  std::string_view instead = {};
  std::string_view source = {};
};

/// Judges a state that exists (a pool, a host, a storage, a zvol). `say` builds the sentence with its numbers, `fix`
/// what mends it.
template <class F>
struct Check {
  std::string_view id = {};
  Severity severity = Severity::kWarning;
  bool (*found)(const F&) = nullptr;
  std::string (*say)(const F&) = nullptr;
  std::string (*fix)(const F&) = nullptr;
  std::string_view why = {};
  std::string_view source = {};
};

/// What a check found.
struct Judgement {
  std::string_view rule = {};
  Severity severity = Severity::kNotice;
  std::string what = {};
  std::string fix = {};
};

/// The row that decides for these facts. Null when the table leaves the setting alone.
template <class T, class F, std::size_t N>
[[nodiscard]] constexpr const Default<T, F>* choose(const Default<T, F> (&table)[N], const F& facts) {
  for (const Default<T, F>& row : table) {
    if (row.applies(facts)) return &row;
  }
  return nullptr;
}

/// Every row of a table of checks that finds something.
template <class F>
[[nodiscard]] std::vector<Judgement> run_checks(std::span<const Check<F>> table, const F& facts) {
  std::vector<Judgement> found;
  for (const Check<F>& row : table) {
    if (row.found(facts)) found.push_back({row.id, row.severity, row.say(facts), row.fix(facts)});
  }
  return found;
}

/// Every row has an id, a reason, a source and a predicate, and no two rows say the same.
template <class Row, std::size_t N>
[[nodiscard]] consteval bool well_formed(const Row (&table)[N]) {
  for (std::size_t i = 0; i < N; ++i) {
    const Row& row = table[i];
    if (row.id.empty() || row.why.empty() || row.source.empty()) return false;
    if (row.id.front() < 'A' || row.id.front() > 'Z') return false;
    if constexpr (requires { row.found; }) {
      if (row.found == nullptr || row.say == nullptr || row.fix == nullptr) return false;
    } else if constexpr (requires { row.broken; }) {
      if (row.broken == nullptr || row.key.empty() || row.instead.empty()) return false;
    } else {
      if (row.applies == nullptr) return false;
    }
    for (std::size_t j = 0; j < i; ++j) {
      if (table[j].id == row.id && table[j].why == row.why) return false;
    }
  }
  return true;
}

/// One rule of the policy for lists, explanations and the reference: its rows in the tables carry the same id.
struct RuleRow {
  std::string_view id = {};
  std::string_view title = {};
  std::string_view kind = {};  // "default", "invariant", "warning", "check"; several are joined with " + "
  std::string_view reason = {};
  std::string_view source = {};
  std::string_view facts = {};  // what it is judged on: disk, guest, zvol, pool, host, storage, …
};
/// Every rule, sorted as the policy lists them.
[[nodiscard]] std::span<const RuleRow> all_rules();
/// The rule with this id, or null.
[[nodiscard]] const RuleRow* find_rule(std::string_view id);

/// One row of one table, for the reference and for the test that no rule lacks a row.
struct TableRow {
  std::string_view id = {};
  std::string_view table = {};  // "cache defaults"
  std::string_view why = {};
  std::string_view source = {};
};
[[nodiscard]] std::vector<TableRow> table_rows();

}  // namespace pvr
