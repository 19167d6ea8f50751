#pragma once

#include <mutex>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "providers/host/command_runner.h"
#include "providers/host/embedded.h"
#include "providers/host/host_reading.h"
#include "reconciler/ports/clock.h"
#include "reconciler/ports/zfs_host.h"

namespace pvr {

struct HostZfsOptions {
  bool sudo = false;  // what needs root goes through `sudo -n --`
  std::string_view copy_program = kZvolCopyProgram;
};

/// ZfsHost by the commands of a node: zfs, zpool, udevadm, perl, grep. Reading needs no rights but for the guests'
/// files and for who holds a device. Before the first command of a node it is asked for its name: an address that leads
/// to another machine is kRejected. The runner and the clock outlive it.
class HostZfs final : public ZfsHost {
 public:
  HostZfs(CommandRunner& runner, Clock& clock, HostZfsOptions options)
      : runner_(runner), clock_(clock), options_(options) {}

  [[nodiscard]] Result<LiveHost> host(const std::string& node) override;
  [[nodiscard]] Result<LiveHost> settings(const std::string& node) override;
  [[nodiscard]] Result<std::vector<GuestFile>> guest_files(const std::string& node) override;
  [[nodiscard]] Result<std::optional<LiveDataset>> dataset(const std::string& node, const std::string& name) override;
  [[nodiscard]] Result<std::vector<LiveDataset>> marked(const std::string& node, const std::string& parent) override;
  [[nodiscard]] Result<std::vector<std::string>> holders(const std::string& node, const std::string& volume) override;

  [[nodiscard]] Status set_properties(const std::string& node, const std::string& dataset,
                                      const FlatMap<std::string>& set) override;
  [[nodiscard]] Status set_pool_properties(const std::string& node, const std::string& pool,
                                           const FlatMap<std::string>& set) override;
  [[nodiscard]] Status set_parameters(const std::string& node,
                                      const std::vector<std::pair<std::string, std::string>>& set) override;
  [[nodiscard]] Status write_modprobe(const std::string& node, const FlatMap<std::string>& options) override;
  [[nodiscard]] Status set_timer(const std::string& node, const std::string& unit, bool enabled) override;
  [[nodiscard]] Status create_dataset(const std::string& node, const std::string& name,
                                      const FlatMap<std::string>& properties) override;
  [[nodiscard]] Status create_zvol(const std::string& node, const NewZvol& zvol) override;
  [[nodiscard]] Status rename(const std::string& node, const std::string& from, const std::string& to) override;
  [[nodiscard]] Status destroy(const std::string& node, const std::string& dataset, const std::string& guid) override;
  [[nodiscard]] Status snapshot(const std::string& node, const std::string& dataset, const std::string& name) override;
  [[nodiscard]] Status destroy_snapshot(const std::string& node, const std::string& dataset,
                                        const std::string& name) override;
  [[nodiscard]] Status copy(const std::string& node, const ZvolCopy& copy,
                            const std::function<void(const CopyProgress&)>& progress, std::stop_token stop) override;
  [[nodiscard]] Result<ContentChecksums> compare(const std::string& node, const ZvolCopy& copy,
                                                 const std::function<void(const CopyProgress&)>& progress,
                                                 std::stop_token stop) override;

 private:
  struct Device {
    bool present = false;
    ByteSize size = {};
    ByteSize block = {};
    std::vector<std::string> holders = {};
  };

  /// Runs it; an exit code other than 0 is an error.
  [[nodiscard]] Result<CommandOutput> run(const Command& command);
  [[nodiscard]] Result<CommandOutput> read(const std::string& node, std::vector<std::string> argv);
  /// A change; waits and tries again while the dataset is busy.
  [[nodiscard]] Status act(const std::string& node, std::vector<std::string> argv, std::string input = {});
  /// Runs a reading script; its own answer says which machine this is.
  [[nodiscard]] Result<LiveHost> read_by(const std::string& node, std::string script, HostParts parts);
  [[nodiscard]] std::vector<std::string> as_root(std::vector<std::string> argv) const;
  [[nodiscard]] Status know(const std::string& node);
  [[nodiscard]] Status settle(const std::string& node);
  [[nodiscard]] Result<Device> device(const std::string& node, const std::string& volume, bool with_holders);
  /// Waits until the volume's link leads to a device of this shape.
  [[nodiscard]] Status link_follows(const std::string& node, const LiveDataset& volume);
  [[nodiscard]] Result<ContentChecksums> run_copy_program(const std::string& node, std::vector<std::string> words,
                                                          const std::function<void(const CopyProgress&)>& progress,
                                                          std::stop_token stop, bool acts);

  CommandRunner& runner_;
  Clock& clock_;
  HostZfsOptions options_;
  std::mutex mutex_ = {};
  std::set<std::string> known_ = {};  // nodes that said their name
};

}  // namespace pvr
