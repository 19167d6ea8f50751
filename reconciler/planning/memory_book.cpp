#include "reconciler/planning/memory_book.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

namespace pvr {
namespace {

constexpr ByteSize kUnsetMemory = 512_MiB;  // fact: PVE's default of `memory`

std::optional<ByteSize> mebibytes(const OptionValue& value) {
  const auto* number = std::get_if<std::int64_t>(&value);
  if (number == nullptr || *number <= 0) return std::nullopt;
  return ByteSize{static_cast<std::uint64_t>(*number) << 20U};
}

}  // namespace

MemoryBook::MemoryBook(const LiveState& live, GuestMemoryOf room) : room_(std::move(room)) {
  for (const LiveVm& guest : live.vms) {
    if (guest.power == PowerState::kRunning || guest.power == PowerState::kPaused)
      enter(nodes_[guest.node], guest.vmid, guest.memory);
  }
}

std::optional<std::string> MemoryBook::give(const std::string& node, Vmid vmid, ByteSize memory) {
  Account& account = nodes_[node];
  const auto present = account.guests.find(vmid.number);
  const ByteSize had = present == account.guests.end() ? ByteSize{} : present->second;
  const std::optional<ByteSize> room = room_ ? room_(node) : std::nullopt;
  const ByteSize together{account.total.bytes - had.bytes + memory.bytes};
  if (room && memory > had && together > *room)
    return fmt::format(
        "guests on {} would have {} of memory together, and what the system and the ARC leave is {} (rule Z13)", node,
        to_human(together), to_human(*room));
  enter(account, vmid, memory);
  return std::nullopt;
}

ByteSize MemoryBook::given(const std::string& node) const {
  const auto at = nodes_.find(node);
  return at == nodes_.end() ? ByteSize{} : at->second.total;
}

std::optional<ByteSize> MemoryBook::room(const std::string& node) const { return room_ ? room_(node) : std::nullopt; }

void MemoryBook::enter(Account& account, Vmid vmid, ByteSize memory) {
  ByteSize& had = account.guests[vmid.number];
  account.total = ByteSize{account.total.bytes - had.bytes + memory.bytes};
  had = memory;
}

MemoryWish memory_wish(const VmDiff& diff, const LiveVm* guest) {
  MemoryWish wish{.memory = guest != nullptr && guest->memory.bytes != 0 ? guest->memory : kUnsetMemory};
  const auto change = std::ranges::find(diff.options, "memory", &SettingChange::key);
  if (change != diff.options.end() && change->state != SettingState::kInSync) {
    if (const auto wanted = mebibytes(change->desired.value)) {
      const ByteSize configured = mebibytes(change->configured).value_or(kUnsetMemory);
      wish.grows = change->state == SettingState::kDiffers && *wanted > configured;
      wish.memory = *wanted;
    }
  }
  wish.starts = (guest == nullptr || guest->power == PowerState::kStopped) && diff.power_to == PowerState::kRunning;
  return wish;
}

}  // namespace pvr
