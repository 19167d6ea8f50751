#include "reconciler/execute/work.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace pvr {

std::optional<std::string> RunMemory::digest(const std::string& key) const {
  const std::scoped_lock lock(mutex_);
  const auto at = digests_.find(key);
  return at == digests_.end() ? std::nullopt : std::optional(at->second);
}

void RunMemory::set_digest(const std::string& key, std::string digest) {
  const std::scoped_lock lock(mutex_);
  digests_[key] = std::move(digest);
}

std::chrono::milliseconds BackOff::next() {
  const auto now = next_;
  next_ = std::min(most_, next_ * 2);
  return now;
}

void Work::step(std::string_view name) { emit(StepStarted{.operation = operation().id, .step = std::string(name)}); }

void Work::waiting(std::string on) { emit(Waiting{.operation = operation().id, .on = std::move(on)}); }

void Work::pause(std::chrono::milliseconds span) {
  clock().wait(span, {});
  keep_lease();
}

void Work::keep_lease() {
  // A lost lease does not end the wait: the effect is under way and is awaited in any case. The next check() tells.
  if (lease() != nullptr) static_cast<void>(lease()->keep());
}

Result<std::optional<LiveVm>> Work::guest(Vmid vmid) {
  if (!node_.empty()) {
    auto found = pve().guest(ref(vmid));
    if (found) return std::optional(std::move(found).value());
    if (found.error().kind != ErrorKind::kNotFound) return std::move(found).error();
  }
  // Not there: HA or an admin may have taken it to another node, or it is gone.
  auto rows = pve().guests();
  if (!rows) return std::move(rows).error();
  const auto row = std::ranges::find(*rows, vmid, &GuestRow::vmid);
  if (row == rows->end()) return std::optional<LiveVm>();
  if (row->type != "qemu")
    return Error{.kind = ErrorKind::kRejected, .message = fmt::format("{} is a container.", vmid.number)};
  node_ = row->node;
  auto found = pve().guest(ref(vmid));
  if (found) return std::optional(std::move(found).value());
  if (found.error().kind == ErrorKind::kNotFound) return std::optional<LiveVm>();
  return std::move(found).error();
}

std::string Work::identity_conflict(const LiveVm& vm) const {
  const Guard& guard = operation().guard;
  if (!guard.uuid.empty() && guard.uuid != vm.uuid)
    return fmt::format("vm {} is another machine than the planned one: its smbios uuid is {}, not {}.", vm.vmid.number,
                       vm.uuid.empty() ? "unset" : vm.uuid, guard.uuid);
  return {};
}

std::string Work::change_conflict(const LiveVm& vm) const {
  const auto ours = parts_.memory.digest(fmt::format("vm/{}", vm.vmid.number));
  const std::string expected = ours.value_or(operation().guard.digest);
  if (!expected.empty() && expected != vm.digest)
    return fmt::format("Somebody else changed the configuration of vm {} since the plan was made.", vm.vmid.number);
  return {};
}

void Work::remember(const LiveVm& vm) { memory().set_digest(fmt::format("vm/{}", vm.vmid.number), vm.digest); }

}  // namespace pvr
