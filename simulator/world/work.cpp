#include "simulator/world/work.h"

#include <algorithm>

#include "simulator/world/storage.h"

namespace pvesim {

using namespace std::chrono_literals;

std::string vm_lock_file(int vmid) { return "/var/lock/qemu-server/lock-" + std::to_string(vmid) + ".conf"; }

Work& Work::then(std::string name, Effect effect) {
  Step step;
  step.name = std::move(name);
  step.effect = std::move(effect);
  if (in_effect_)
    added_.push_back(std::move(step));
  else
    steps_.push_back(std::move(step));
  return *this;
}

Work& Work::takes(std::string name, VirtualSpan span, Effect effect, std::function<void(double)> progress,
                  std::function<std::string()> interrupted) {
  then(std::move(name), std::move(effect));
  Step& step = in_effect_ ? added_.back() : steps_.back();
  step.span = span;
  step.progress = std::move(progress);
  step.interrupted = std::move(interrupted);
  return *this;
}

Work& Work::wait_for(std::string name, std::function<bool()> until, VirtualSpan patience, std::string timeout) {
  takes(std::move(name), patience, {});
  Step& step = in_effect_ ? added_.back() : steps_.back();
  step.until = std::move(until);
  step.timeout = std::move(timeout);
  return *this;
}

Work& Work::lock(const std::string& file, VirtualSpan patience, bool shared) {
  return wait_for(
      "lock", [this, file, shared] { return world_.try_lock(file, this, shared); }, patience,
      "can't lock file '" + file + "' - got timeout");
}

namespace {

/// Fact: shared storages are locked in the cluster file system, others by a file of the node.
std::string storage_lock_name(World& world, const std::string& storage) {
  const StorageDef* def = world.find_storage(storage);
  return def != nullptr && shared_storage(*def) ? "storage-" + storage : "/var/lock/pve-manager/pve-storage-" + storage;
}

}  // namespace

Work& Work::lock_storage(const std::string& storage) {
  const std::string name = storage_lock_name(world_, storage);
  const bool cluster = name.front() != '/';
  return wait_for(
      "storage-lock", [this, name] { return world_.try_lock(name, this); }, 10s,
      cluster ? "cfs-lock '" + name + "' error: got lock request timeout"
              : "can't lock file '" + name + "' - got timeout");
}

void Work::unlock_storage(const std::string& storage) { world_.unlock(storage_lock_name(world_, storage), this); }

void Work::log(std::string line) {
  if (task_ != nullptr) task_->log.push_back(std::move(line));
}

void Work::warn(const std::string& text) {
  log("WARN: " + text);
  if (task_ != nullptr) ++task_->warnings;
}

void Work::later(VirtualSpan span, std::function<void()> what) {
  world_.after(span, [self = shared_from_this(), what = std::move(what)] {
    if (!self->done_) what();
  });
}

void Work::run_effect(const Effect& effect) {
  if (!effect) return;
  in_effect_ = true;
  try {
    effect();
  } catch (...) {
    in_effect_ = false;
    added_.clear();
    throw;
  }
  in_effect_ = false;
  for (auto step = added_.rbegin(); step != added_.rend(); ++step) steps_.push_front(std::move(*step));
  added_.clear();
}

void Work::advance() {
  const auto self = shared_from_this();
  try {
    while (!done_) {
      if (steps_.empty()) return end(std::nullopt);
      Step step = std::move(steps_.front());
      steps_.pop_front();
      if (world_.step_fault) {
        const StepFault fault = world_.step_fault(task_, step.name);
        if (fault.kind == StepFault::Kind::kFail) throw ApiError{.status = 500, .message = fault.message};
        if (fault.kind == StepFault::Kind::kStall) {
          current_ = std::move(step);
          return;
        }
      }
      if (step.until) {
        if (step.until()) continue;
        current_ = std::move(step);
        return poll(world_.now() + current_->span);
      }
      if (step.span.count() > 0) return begin(std::move(step));
      run_effect(step.effect);
    }
  } catch (const ApiError& error) {
    end(error);
  }
}

void Work::poll(VirtualTime deadline) {
  // A lock file is tried again and again; the period only decides how late a free lock is seen.
  later(100ms, [this, deadline] {
    const auto self = shared_from_this();
    try {
      if (current_->until()) {
        current_.reset();
        return advance();
      }
    } catch (const ApiError& error) {
      return end(error);
    }
    if (world_.now() >= deadline) return end(ApiError{.status = 500, .message = current_->timeout});
    poll(deadline);
  });
}

void Work::begin(Step step) {
  current_ = std::move(step);
  const VirtualSpan span = current_->span;
  if (current_->progress) {
    current_->progress(0);
    const VirtualSpan tick = std::max<VirtualSpan>(1s, span / 100);
    for (VirtualSpan at = tick; at < span; at += tick)
      later(at, [this, share = static_cast<double>(at.count()) / static_cast<double>(span.count())] {
        if (current_ && current_->progress) current_->progress(share);
      });
  }
  later(span, [this] {
    const auto self = shared_from_this();
    Step ended = std::move(*current_);
    current_.reset();
    try {
      if (ended.progress) ended.progress(1);
      run_effect(ended.effect);
    } catch (const ApiError& error) {
      return end(error);
    }
    advance();
  });
}

void Work::end(std::optional<ApiError> error) {
  if (done_) return;
  done_ = true;
  const auto self = shared_from_this();
  if (error)
    for (auto handler = failure_.rbegin(); handler != failure_.rend(); ++handler) {
      try {
        (*handler)(*error);
      } catch (const ApiError&) {
        // A clean-up that fails leaves what it could not remove; PVE only prints that.
      }
    }
  error_ = std::move(error);
  failure_.clear();
  steps_.clear();
  current_.reset();
  world_.unlock_all(this);
  if (task_ == nullptr) return;
  task_->running = false;
  task_->endtime = world_.now_seconds();
  if (!error_) {
    if (task_->warnings > 0) {
      task_->exit_status = "WARNINGS: " + std::to_string(task_->warnings);
      task_->log.push_back("TASK " + task_->exit_status);
    } else {
      task_->exit_status = "OK";
      task_->log.emplace_back("TASK OK");
    }
  } else {
    // Fact: an error with a map of parameters is printed with its status and every line behind it.
    std::string text = error_->message;
    if (!error_->errors.empty()) {
      text = std::to_string(error_->status) + " " + text;
      for (const auto& [key, value] : error_->errors) text += "\n" + key + ": " + value;
    }
    std::replace(text.begin(), text.end(), '\n', ' ');
    task_->log.push_back("TASK ERROR: " + text);
    task_->exit_status = text;
  }
  task_->work.reset();
  task_ = nullptr;
}

void Work::stop() {
  if (done_) return;
  std::string text = "received interrupt";
  if (current_ && current_->interrupted) text = current_->interrupted();
  end(ApiError{.status = 500, .message = text});
}

void Work::kill() {
  if (done_) return;
  done_ = true;
  const auto self = shared_from_this();
  error_ = ApiError{.status = 500, .message = "killed"};
  failure_.clear();
  steps_.clear();
  current_.reset();
  world_.unlock_all(this);
  if (task_ == nullptr) return;
  task_->running = false;
  task_->endtime = world_.now_seconds();
  task_->exit_status = "unexpected status";
  task_->work.reset();
  task_ = nullptr;
}

}  // namespace pvesim
