#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pvr {

/// A map by name, sorted, in one block of memory: fleets hold hundreds of thousands of small ones.
/// Iterates in name order, so the same input prints the same bytes.
template <class V>
class FlatMap {
 public:
  using Entry = std::pair<std::string, V>;
  [[nodiscard]] auto begin() const { return entries_.begin(); }
  [[nodiscard]] auto end() const { return entries_.end(); }
  [[nodiscard]] auto begin() { return entries_.begin(); }
  [[nodiscard]] auto end() { return entries_.end(); }
  [[nodiscard]] bool empty() const { return entries_.empty(); }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  void reserve(std::size_t n) { entries_.reserve(n); }

  [[nodiscard]] const V* find(std::string_view name) const {
    auto at = lower(name);
    return at != entries_.end() && at->first == name ? &at->second : nullptr;
  }
  [[nodiscard]] V* find(std::string_view name) { return const_cast<V*>(std::as_const(*this).find(name)); }
  [[nodiscard]] bool contains(std::string_view name) const { return find(name) != nullptr; }
  V& operator[](std::string_view name) {
    auto at = entries_.begin() + (lower(name) - entries_.cbegin());
    if (at == entries_.end() || at->first != name) at = entries_.emplace(at, std::string(name), V{});
    return at->second;
  }
  void set(std::string_view name, V value) { (*this)[name] = std::move(value); }
  bool erase(std::string_view name) {
    auto at = entries_.begin() + (lower(name) - entries_.cbegin());
    if (at == entries_.end() || at->first != name) return false;
    entries_.erase(at);
    return true;
  }
  friend bool operator==(const FlatMap&, const FlatMap&) = default;

 private:
  [[nodiscard]] auto lower(std::string_view name) const {
    return std::ranges::lower_bound(entries_, name, {}, [](const Entry& e) { return std::string_view(e.first); });
  }
  std::vector<Entry> entries_;
};

}  // namespace pvr
