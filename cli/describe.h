#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "reconciler/base/diagnostic.h"
#include "reconciler/model/address.h"
#include "reconciler/model/plan.h"

namespace pvr::cli {

/// What an operation does, in words: "move scsi2 (SSD-r10:vm-701-disk-1) to storage SSD-r10-models". Never holds the
/// value of an option.
[[nodiscard]] std::string describe(const Operation& operation);
/// "+" creates, "~" changes, ">" copies, "!" restarts, "-" destroys.
[[nodiscard]] std::string_view symbol_of(const Operation& operation);
/// True when its changes say all there is to say, so that a headline would only repeat them.
[[nodiscard]] bool is_plain_change(const Operation& operation);
/// "root (scsi0)", "root", or "" for the whole resource.
[[nodiscard]] std::string part_of(const Operation& operation);
[[nodiscard]] std::string_view to_word(Severity severity);

/// The plan as people think of it: per resource, in the order of addresses.
struct ResourceView {
  ResourceAddress address = {};  // without a part
  std::vector<const Operation*> operations = {};
  std::vector<const StrategyChoice*> choices = {};
  std::vector<const BlockedItem*> blocked = {};
  std::vector<const WaitingItem*> waiting = {};
};
[[nodiscard]] std::vector<ResourceView> by_resource(const Plan& plan);

/// "701 on pve1", or "" where the plan does not tell.
[[nodiscard]] std::string whereabouts(const ResourceView& resource);

/// "1 to create, 3 to change, 1 to move; 2 blocked": only what there is. "no changes" when there is nothing.
[[nodiscard]] std::string summary_of(const Plan& plan);

/// The largest extra space any copy takes, per "storage on node"; sums copies that end on the same one.
[[nodiscard]] std::map<std::string, ByteSize> extra_space(const Plan& plan);

}  // namespace pvr::cli
