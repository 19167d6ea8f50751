#include "reconciler/execute/guest_config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "reconciler/execute/guest_text.h"
#include "reconciler/execute/task_waiter.h"
#include "reconciler/model/settings.h"

namespace pvr {
namespace {

constexpr std::string_view kWriteOptions = "write-options";

bool is_write_only(std::string_view key) {
  const Setting* setting = find_setting(Home::kVmOption, key);
  return setting != nullptr && setting->write_only;
}

/// Hotplugging takes longer than a synchronous request may: those options travel in a task.
bool may_take_long(const SetVmOptions& params) {
  const auto hotplugs = [](std::string_view key) {
    const Setting* setting = find_setting(Home::kVmOption, key);
    return setting == nullptr || setting->effect == TakesEffect::kHotplug;
  };
  return std::ranges::any_of(params.set, [&](const auto& entry) { return hotplugs(entry.first); }) ||
         std::ranges::any_of(params.unset, hotplugs);
}

Result<bool> runs(Work& work, Vmid vmid) {
  const auto status = work.pve().guest_status(work.ref(vmid));
  if (!status) return Error(status.error());
  return status->power != PowerState::kStopped;
}

}  // namespace

Result<SetVmOptionsProcedure::Facts> SetVmOptionsProcedure::observe(const Params& params, Work& work,
                                                                    const Progress& progress) {
  Facts facts;
  auto vm = work.guest(params.vmid);
  if (!vm) return std::move(vm).error().during(fmt::format("reading vm {}", params.vmid.number));
  facts.vm = std::move(vm).value();
  facts.seen.exists = facts.vm.has_value();
  if (!facts.vm) {
    facts.conflict = fmt::format("vm {} does not exist.", params.vmid.number);
    return facts;
  }
  const bool written = progress.succeeded(kWriteOptions);
  for (const auto& [key, text] : params.set) {
    // What cannot be read back is wanted until it was written once.
    if (is_write_only(key)) {
      if (!written) facts.differing.push_back(key);
      continue;
    }
    const auto stored = configured_text(*facts.vm, key);
    if (!stored || !same_option(key, text, *stored)) facts.differing.push_back(key);
  }
  for (const std::string& key : params.unset) {
    if (configured_text(*facts.vm, key)) facts.differing.push_back(key);
  }
  // PVE may store another text than the one sent. After a success only keys that are still missing, or still there, are
  // undone work.
  const auto undone = [&](const std::string& key) {
    const bool is_set = configured_text(*facts.vm, key).has_value();
    return std::ranges::find(params.unset, key) != params.unset.end() ? is_set : !is_set && !is_write_only(key);
  };
  facts.seen.as_wanted = written ? std::ranges::none_of(facts.differing, undone) : facts.differing.empty();
  if (!facts.seen.as_wanted) facts.conflict = fmt::format("Options that differ: {}.", fmt::join(facts.differing, ", "));
  auto running = runs(work, params.vmid);
  if (!running) return std::move(running).error();
  facts.running = *running;
  return facts;
}

Status SetVmOptionsProcedure::write(const Params& params, const Facts& facts, Work& work) {
  FormFields fields;
  for (const auto& [key, text] : params.set) fields.emplace_back(key, text);
  const std::string doing = fmt::format("changing options of vm {}", params.vmid.number);
  if (!facts.running || !may_take_long(params)) {
    const Status done = work.pve().set_config(work.ref(params.vmid), fields, params.unset, facts.vm->digest);
    if (!done) return Error(done.error()).during(doing);
    return Done{};
  }
  return change_config(work, params.vmid, fields, params.unset, facts.vm->digest, doing);
}

Status SetVmOptionsProcedure::verify(const Params& params, const Facts& first, const Facts& last, Work& work) {
  for (const std::string& key : last.differing) {
    const auto before = configured_text(*first.vm, key);
    const auto now = configured_text(*last.vm, key);
    if (before == now)
      return Error{
          .kind = ErrorKind::kBroken,
          .message = fmt::format("Option {} of vm {} was accepted but has its old value.", key, params.vmid.number)};
    work.warn(fmt::format("PVE stored {}={} for vm {} instead of {}.", key, now.value_or("(unset)"), params.vmid.number,
                          params.set.find(key) != nullptr ? *params.set.find(key) : "(unset)"));
  }
  return Done{};
}

Result<SetDriveOptionsProcedure::Facts> SetDriveOptionsProcedure::observe(const Params& params, Work& work,
                                                                          const Progress&) {
  Facts facts;
  const std::string slot = to_text(params.slot);
  auto vm = work.guest(params.vmid);
  if (!vm) return std::move(vm).error().during(fmt::format("reading vm {}", params.vmid.number));
  facts.vm = std::move(vm).value();
  facts.seen.exists = facts.vm.has_value();
  if (!facts.vm) {
    facts.conflict = fmt::format("vm {} does not exist.", params.vmid.number);
    return facts;
  }
  const LiveDrive* entry = find_drive(*facts.vm, params.slot);
  const Drive* configured = configured_drive(*facts.vm, params.slot);
  const bool same_now = entry == nullptr || !entry->current || holds_planned(*entry->current, params.volume);
  facts.seen.same_volume = configured != nullptr && holds_planned(*configured, params.volume) && same_now;
  if (!facts.seen.same_volume) {
    facts.conflict =
        fmt::format("{} of vm {} does not hold {} (any more).", slot, params.vmid.number, meant_text(params.volume));
    return facts;
  }
  auto wanted = with_options(*configured, params.set);
  if (!wanted) return std::move(wanted).error();
  auto has = has_options(*configured, params.set);
  if (!has) return std::move(has).error();
  facts.seen.as_wanted = *has;
  facts.text = print_drive(params.slot, *wanted);
  if (!facts.seen.as_wanted)
    facts.conflict = fmt::format("{} is \"{}\", not \"{}\".", slot, print_drive(params.slot, *configured), facts.text);
  auto running = runs(work, params.vmid);
  if (!running) return std::move(running).error();
  facts.running = *running;
  return facts;
}

Status SetDriveOptionsProcedure::write(const Params& params, const Facts& facts, Work& work) {
  const FormFields fields = {{to_text(params.slot), facts.text}};
  const std::string doing = fmt::format("changing {} of vm {}", to_text(params.slot), params.vmid.number);
  if (!facts.running) {
    const Status done = work.pve().set_config(work.ref(params.vmid), fields, {}, facts.vm->digest);
    if (!done) return Error(done.error()).during(doing);
    return Done{};
  }
  return change_config(work, params.vmid, fields, {}, facts.vm->digest, doing);
}

}  // namespace pvr
