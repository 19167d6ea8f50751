#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "simulator/api/method.h"
#include "simulator/world/world.h"

namespace pvesim {

/// Something that takes virtual time: a list of steps, each with a duration and an effect at its end. Runs as a task or
/// inside a request. Effects may add steps: they are put right behind the running one. An ApiError thrown by an effect
/// ends the work: its failure handlers run (last first), its locks are given back.
class Work : public std::enable_shared_from_this<Work> {
 public:
  using Effect = std::function<void()>;
  using Span = std::function<VirtualSpan()>;

  explicit Work(World& world) : world_(world) {}
  Work(const Work&) = delete;
  Work& operator=(const Work&) = delete;

  /// A step without duration.
  Work& then(std::string name, Effect effect);
  /// A step that ends after `span`. `progress` is called with 0 … 1 about once per virtual second. `interrupted`: what
  /// the error says when the task is stopped meanwhile.
  Work& takes(std::string name, VirtualSpan span, Effect effect, std::function<void(double)> progress = {},
              std::function<std::string()> interrupted = {});
  /// Waits until `until` holds; after `patience` fails with `timeout`.
  Work& wait_for(std::string name, std::function<bool()> until, VirtualSpan patience, std::string timeout);
  /// Takes a file lock and keeps it to the end of the work.
  Work& lock(const std::string& file, VirtualSpan patience, bool shared = false);
  /// The lock of a storage: a file on the node, or a cluster lock when it is shared. Given back with unlock_storage().
  Work& lock_storage(const std::string& storage);
  void unlock_storage(const std::string& storage);
  /// Handlers may change the error text; they undo what the work did.
  void on_failure(std::function<void(ApiError&)> handler) { failure_.push_back(std::move(handler)); }

  void log(std::string line);
  void warn(const std::string& text);

  [[nodiscard]] World& world() { return world_; }
  [[nodiscard]] Task* task() const { return task_; }
  [[nodiscard]] bool done() const { return done_; }
  [[nodiscard]] const std::optional<ApiError>& error() const { return error_; }

 private:
  friend class World;
  struct Step {
    std::string name = {};
    VirtualSpan span = {};
    Effect effect = {};
    std::function<void(double)> progress = {};
    std::function<std::string()> interrupted = {};
    std::function<bool()> until = {};
    std::string timeout = {};
  };
  void advance();         // runs steps until one takes time
  void begin(Step step);  // schedules the end of a step with a duration
  void poll(VirtualTime deadline);
  void run_effect(const Effect& effect);
  void end(std::optional<ApiError> error);
  void stop();  // TERM
  void kill();  // no clean-up
  void later(VirtualSpan span, std::function<void()> what);

  World& world_;
  Task* task_ = nullptr;
  std::deque<Step> steps_ = {};
  std::vector<Step> added_ = {};  // by the running effect
  bool in_effect_ = false;
  std::optional<Step> current_ = {};
  std::vector<std::function<void(ApiError&)>> failure_ = {};
  std::optional<ApiError> error_ = {};
  bool done_ = false;
};

[[nodiscard]] std::string vm_lock_file(int vmid);

}  // namespace pvesim
