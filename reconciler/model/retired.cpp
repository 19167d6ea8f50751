#include "reconciler/model/retired.h"

#include <fmt/format.h>

#include <charconv>

#include "reconciler/base/timestamp.h"

namespace pvr {
namespace {

constexpr std::string_view kPrefix = "pvereconcile:";
constexpr std::string_view kWork = "pvereconcile-new-";
constexpr std::string_view kRetired = "pvereconcile-retired-";

std::optional<int> number(std::string_view digits) {
  int value = 0;
  const auto read = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (read.ec != std::errc() || read.ptr != digits.data() + digits.size() || digits.starts_with('-'))
    return std::nullopt;
  return value;
}

}  // namespace

std::string mark_property(std::string_view name) { return fmt::format("{}{}", kPrefix, name); }

std::string_view mark_of(const LiveDataset& dataset, std::string_view name) {
  const std::string* found = dataset.marks.find(name);
  return found != nullptr ? std::string_view(*found) : std::string_view();
}

std::string time_stamp(std::chrono::system_clock::time_point at) {
  // The basic form of ISO 8601: short, and fit for a dataset's name.
  std::string text = rfc3339(at);
  std::erase_if(text, [](char c) { return c == '-' || c == ':'; });
  return text;
}

std::optional<std::chrono::sys_seconds> parse_time_stamp(std::string_view text) {
  using std::chrono::day;
  using std::chrono::month;
  using std::chrono::year;
  if (text.size() != 16 || text[8] != 'T' || text[15] != 'Z') return std::nullopt;
  const auto y = number(text.substr(0, 4));
  const auto mo = number(text.substr(4, 2));
  const auto d = number(text.substr(6, 2));
  const auto h = number(text.substr(9, 2));
  const auto mi = number(text.substr(11, 2));
  const auto s = number(text.substr(13, 2));
  if (!y || !mo || !d || !h || !mi || !s) return std::nullopt;
  const std::chrono::year_month_day date(year(*y), month(static_cast<unsigned>(*mo)), day(static_cast<unsigned>(*d)));
  // Nobody wrote such a stamp in other times, and clocks of nanoseconds end in 2262.
  if (*y < 2000 || *y > 2200) return std::nullopt;
  if (!date.ok() || *h > 23 || *mi > 59 || *s > 59) return std::nullopt;
  return std::chrono::sys_seconds(std::chrono::sys_days(date)) + std::chrono::hours(*h) + std::chrono::minutes(*mi) +
         std::chrono::seconds(*s);
}

std::string_view parent_dataset(std::string_view dataset) {
  const auto slash = dataset.rfind('/');
  return slash == std::string_view::npos ? std::string_view() : dataset.substr(0, slash);
}

std::string_view last_component(std::string_view dataset) {
  const auto slash = dataset.rfind('/');
  return slash == std::string_view::npos ? dataset : dataset.substr(slash + 1);
}

std::string_view zpool_of(std::string_view dataset) { return dataset.substr(0, dataset.find('/')); }

std::string work_zvol(std::string_view dataset) {
  return fmt::format("{}/{}{}", parent_dataset(dataset), kWork, last_component(dataset));
}

std::string retired_zvol(std::string_view dataset, std::string_view stamp) {
  return fmt::format("{}/{}{}-{}", parent_dataset(dataset), kRetired, last_component(dataset), stamp);
}

bool is_retired(const LiveDataset& dataset) { return !mark_of(dataset, mark::kRetiredAt).empty(); }

bool is_hidden_name(std::string_view dataset) {
  const std::string_view name = last_component(dataset);
  return name.starts_with(kWork) || name.starts_with(kRetired);
}

std::optional<RetiredFrom> retired_from(const LiveDataset& dataset) {
  const auto at = parse_time_stamp(mark_of(dataset, mark::kRetiredAt));
  const auto vmid = number(mark_of(dataset, mark::kVmid));
  const auto slot = parse_slot(mark_of(dataset, mark::kSlot));
  if (!at || !vmid || !slot || *vmid < 100) return std::nullopt;
  return RetiredFrom{.vmid = Vmid{static_cast<std::uint32_t>(*vmid)},
                     .slot = *slot,
                     .name = std::string(mark_of(dataset, mark::kName)),
                     .at = *at};
}

}  // namespace pvr
