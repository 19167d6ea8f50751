#include <fmt/format.h>

#include <ostream>

#include "cli/commands.h"
#include "cli/doctor_view.h"
#include "cli/host_checkup.h"
#include "cli/interruption.h"
#include "cli/load.h"
#include "cli/outcome.h"
#include "cli/planning.h"
#include "reconciler/engine/doctor.h"

namespace pvr::cli {

ExitCode run_doctor(const Invocation& invocation, Terminal& terminal) {
  Interruption interruption([&](const std::string&) { tell(invocation, terminal, "Interrupted."); });
  std::shared_ptr<const FleetDocument> document;
  if (!invocation.file.empty()) {
    document = load_or_tell(invocation, terminal);
    if (!document) return ExitCode::kError;
  }
  const WrittenCluster cluster = document ? document->cluster : WrittenCluster{};
  DoctorReport report;
  std::string identity;
  const auto show = [&] {
    terminal.out << (invocation.output == OutputForm::kJson
                         ? doctor_json(report, identity)
                         : doctor_text(report, identity, out_options(invocation, terminal)));
  };
  // Even without a connection there is something to say.
  const auto give_up = [&](const Error& error, const std::string& remedy) {
    report.checkups.push_back({Health::kBad, "connection", error.text(), remedy});
    report.does_not.emplace_back("everything that needs the cluster");
    show();
    return error.kind == ErrorKind::kInterrupted ? ExitCode::kInterrupted : ExitCode::kError;
  };
  const auto connection = Connection::open(invocation, terminal, cluster, interruption.token());
  if (!connection)
    return give_up(connection.error(), "set endpoint and token: --endpoint, --token-file, or PVERECONCILE_* variables");
  identity = (*connection)->identity();
  std::optional<Plan> planned;
  bool manages_storages = false;
  if (document) {
    for (const WrittenStorage& storage : document->storages) manages_storages |= !storage.reference_only;
    const auto options = engine_options(invocation, document->cluster, **connection);
    if (!options) return give_up(options.error(), "");
    auto made = plan((*connection)->pve(), (*connection)->clock(), document, *options, interruption.token());
    if (made && made->ok()) planned = std::move(made->plan);
  }
  auto found = examine((*connection)->pve(), (*connection)->clock(), planned ? &*planned : nullptr, manages_storages,
                       interruption.token());
  if (!found) {
    const bool tls = found.error().kind == ErrorKind::kTls;
    const bool login = found.error().kind == ErrorKind::kUnauthorized;
    return give_up(found.error(), tls ? "give the fingerprint PVE shows (Node, System, Certificates), or the CA file"
                                  : login ? "check the token's id, secret and expiry: pveum user token list USER"
                                          : "check address, port 8006 and the firewall");
  }
  report = std::move(found).value();
  if (invocation.simulate) {
    // Its time may pass faster than ours.
    std::erase_if(report.checkups, [](const Checkup& checkup) { return checkup.area == "clocks"; });
    report.checkups.push_back({Health::kUnknown, "clocks", "a simulated cluster has a time of its own", ""});
  }
  report.checkups.insert(report.checkups.begin(),
                         {Health::kGood, "connection", fmt::format("{}, as {}", (*connection)->trust(), identity), ""});
  if (document && !document->cluster.ssh_user)
    report.does_not.emplace_back("what only a node can tell (ZFS properties, TRIM, ARC, swap): no ssh: in the fleet");
  if ((*connection)->zfs() != nullptr) {
    if (const auto status = (*connection)->pve().cluster_status())
      examine_hosts(*(*connection)->zfs(), *(*connection)->runner(), status->nodes, cluster, report);
  }
  show();
  return report.worst() == Health::kBad ? ExitCode::kError : ExitCode::kDone;
}

}  // namespace pvr::cli
