#include "reconciler/execute/task_waiter.h"

#include <fmt/format.h>

#include <utility>

#include "reconciler/execute/guest_text.h"
#include "reconciler/execute/task_progress.h"
#include "reconciler/model/error_text.h"

namespace pvr {
namespace {

/// Follows the log of one task.
class LogFollower {
 public:
  LogFollower(Work& work, const Upid& task) : work_(work), task_(task) {}

  /// Reads what is new. True: something was.
  bool follow() {
    auto log = work_.pve().task_log(task_, next_);
    if (!log || log->lines.empty() || log->next == next_) return false;
    next_ = log->next;
    for (const std::string& line : log->lines) {
      if (line.starts_with("WARN: ")) warnings_.push_back(line.substr(6));
      const auto progress = parse_progress(line);
      if (!progress || progress == last_) continue;
      last_ = progress;
      work_.emit(TaskProgress{.operation = work_.operation().id,
                              .upid = task_.text,
                              .fraction = progress->fraction,
                              .done = progress->done,
                              .total = progress->total});
    }
    return true;
  }

  [[nodiscard]] std::vector<std::string>& warnings() { return warnings_; }

 private:
  Work& work_;
  const Upid& task_;
  std::size_t next_ = 0;
  std::optional<LogProgress> last_;
  std::vector<std::string> warnings_;
};

}  // namespace

Status await_task(Work& work, const Upid& task) {
  // POST config answers nothing instead of a UPID when PVE was done at once.
  if (task.text.empty()) return Done{};
  work.emit(TaskStarted{.operation = work.operation().id, .upid = task.text});
  LogFollower log(work, task);
  BackOff back_off(work.patience());
  Deadline deadline = work.clock().steady() + work.patience().silence;
  for (;;) {
    const auto status = work.pve().task_status(task);
    if (log.follow()) deadline = work.clock().steady() + work.patience().silence;
    if (status && !status->running) {
      if (status->exit_text.starts_with("WARNINGS")) {
        if (log.warnings().empty()) work.warn(fmt::format("{} ended with {}.", task.type(), status->exit_text));
        for (std::string& text : log.warnings()) work.warn(std::move(text));
      }
      if (status->succeeded()) return Done{};
      return Error{.kind = kind_of_task_text(status->exit_text), .message = status->exit_text};
    }
    if (!status && status.error().kind == ErrorKind::kNotFound) {
      work.warn(fmt::format("Task {} vanished; the result was read from the cluster.", task.text));
      return Done{};
    }
    if (!status) {
      if (auto end = end_of_waiting(status.error())) return std::move(*end);
    }
    if (work.clock().steady() >= deadline) {
      return Error{.kind = ErrorKind::kTimeout,
                   .message = fmt::format("Task {} neither logged nor ended for {} s; it may still run.", task.text,
                                          work.patience().silence.count()),
                   .effect = Effect::kPossible};
    }
    work.pause(back_off.next());
  }
}

std::optional<Error> end_of_waiting(const Error& look) {
  if (look.kind != ErrorKind::kForbidden && look.kind != ErrorKind::kUnauthorized &&
      look.kind != ErrorKind::kInterrupted)
    return std::nullopt;
  return Error{.kind = look.kind, .message = look.message, .effect = Effect::kPossible};
}

Status change_config(Work& work, Vmid vmid, const FormFields& set, const std::vector<std::string>& unset,
                     const std::string& digest, std::string_view doing) {
  auto task = work.pve().start_set_config(work.ref(vmid), set, unset, digest);
  if (!task) return std::move(task).error().during(doing);
  const Status done = await_task(work, *task);
  if (!done) return Error(done.error()).during(doing);
  return Done{};
}

Status note_size(Work& work, const LiveVm& vm, DriveSlot slot) {
  const LiveDrive* drive = find_drive(vm, slot);
  if (drive == nullptr || !drive->current) return Done{};
  return change_config(work, vm.vmid, {{to_text(slot), print_drive(slot, *drive->current)}}, {}, vm.digest,
                       fmt::format("noting the size of {} of vm {}", to_text(slot), vm.vmid.number));
}

Status check_space(Work& work) {
  const auto& copy = work.operation().copy;
  if (!copy || copy->target_storage.empty()) return Done{};
  const std::string node = copy->target_node.empty() ? work.node() : copy->target_node;
  const auto status = work.pve().storage_status(node, copy->target_storage);
  if (!status) return Error(status.error()).during("checking the space for the copy");
  if (!status->active)
    return Error{.kind = ErrorKind::kRejected,
                 .message = fmt::format("Storage \"{}\" is not active on node {}.", copy->target_storage, node)};
  if (status->available < copy->peak_extra)
    return Error{
        .kind = ErrorKind::kRejected,
        .message = fmt::format("Storage \"{}\" has {} free on node {}; the copy needs {}.", copy->target_storage,
                               to_human(status->available), node, to_human(copy->peak_extra))};
  return Done{};
}

Result<std::vector<Upid>> running_tasks(Work& work, Vmid vmid, std::string_view type) {
  constexpr std::int64_t kAnyAge = 0;  // a copy may be under way since yesterday
  auto rows = work.pve().tasks(work.ref(vmid), kAnyAge);
  if (!rows) return std::move(rows).error();
  std::vector<Upid> running;
  for (TaskRow& row : *rows) {
    if (row.running && (type.empty() || row.type == type)) running.push_back(std::move(row.upid));
  }
  return running;
}

}  // namespace pvr
