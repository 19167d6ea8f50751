#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>

#include "simulator/simulator.h"
#include "simulator/world/world.h"

namespace pvesim {
namespace {

std::vector<std::string> problems_of(const std::string& yaml) {
  try {
    (void)Simulator::from_text(yaml, {.manual_clock = true}, "c.yaml");
  } catch (const ClusterFileError& error) {
    return error.problems();
  }
  return {};
}

bool mentions(const std::vector<std::string>& problems, const std::string& text) {
  return std::any_of(problems.begin(), problems.end(),
                     [&](const std::string& one) { return one.find(text) != std::string::npos; });
}

TEST(ClusterFile, TheSmallestOneIsANode) {
  const auto simulator = Simulator::from_text("nodes: {pve: {}}", {.manual_clock = true});
  EXPECT_EQ(simulator->node_names(), std::vector<std::string>{"pve"});
  EXPECT_TRUE(simulator->vmids().empty());
}

TEST(ClusterFile, EveryProblemIsReportedWithItsPlace) {
  const std::vector<std::string> problems = problems_of(
      "cluster: {nam: x}\n"
      "nodes:\n"
      "  pve: {memroy: 4GiB, cpu: many}\n");
  // The settings are read first; a file without a usable `cluster` stops there.
  ASSERT_EQ(problems.size(), 1U);
  EXPECT_EQ(problems[0], "c.yaml:1:16: unknown key 'nam' in cluster; did you mean 'name'?");
  const std::vector<std::string> more = problems_of(
      "nodes:\n"
      "  pve: {memroy: 4GiB, cpu: many}\n"
      "vm: {}\n");
  EXPECT_TRUE(mentions(more, "c.yaml:2:17: unknown key 'memroy' in nodes.pve; did you mean 'memory'?"));
  EXPECT_TRUE(mentions(more, "nodes.pve.cpu must be a whole number from 1 to 8192, not 'many'"));
  EXPECT_TRUE(mentions(more, "unknown key 'vm' in the file; did you mean 'vms'?"));
}

TEST(ClusterFile, RefusesWhatDoesNotFitTogether) {
  EXPECT_TRUE(mentions(problems_of("nodes: {a: {}, b: {}}"), "several nodes need a cluster name"));
  EXPECT_TRUE(mentions(problems_of("nodes: {}"), "at least one node"));
  EXPECT_TRUE(mentions(problems_of("nodes: {pve: {}, pve: {}}"), "duplicate key 'pve'"));
  EXPECT_TRUE(mentions(problems_of("nodes: {pve: {}}\nvms: {100: {node: other}}"), "names unknown node 'other'"));
  EXPECT_TRUE(mentions(problems_of("nodes: {pve: {}}\nvms: {7: {}}"), "'7' is no valid VM id"));
  EXPECT_TRUE(mentions(problems_of("nodes: {pve: {}}\nacl: [{path: /vms, user: a@pve, role: PVEAdmni}]"),
                       "did you mean 'PVEAdmin'?"));
  EXPECT_TRUE(mentions(problems_of("nodes: {pve: {memory: 4 parsecs}}"), "must be a size"));
  EXPECT_TRUE(mentions(problems_of("nodes: [\n"), "c.yaml:"));
  EXPECT_TRUE(mentions(problems_of("nodes: {pve: {}}\nfaults: [{action: explode}]"), "must be one of delay, status"));
  EXPECT_TRUE(mentions(problems_of("nodes: {pve: {}}\nha: {resources: {\"vm:5\": {}}}"), "is no VM of this file"));
}

TEST(ClusterFile, ChecksSectionsAsTheApiWould) {
  EXPECT_TRUE(mentions(problems_of("nodes: {pve: {}}\nvms: {100: {config: {cores: 0}}}"),
                       "vms.100.config.cores: value must have a minimum value of 1"));
  EXPECT_TRUE(mentions(problems_of("nodes: {pve: {}}\nvms: {100: {config: {coers: 1}}}"), "did you mean 'cores'?"));
  EXPECT_TRUE(mentions(problems_of("nodes: {pve: {}}\ndatacenter: {keyboard: xx}"),
                       "does not have a value in the enumeration"));
  EXPECT_TRUE(mentions(problems_of("nodes: {pve: {}}\nstorages: {t: {type: zfspool}}"), "valid storage id"));
}

TEST(ClusterFile, FilesAreReadAndMissingOnesNamed) {
  const auto path = std::filesystem::temp_directory_path() / "pvesim_cluster_file_test.yaml";
  std::ofstream(path) << "nodes: {pve: {}}\n";
  EXPECT_EQ(Simulator::from_file(path.string(), {.manual_clock = true})->node_names().size(), 1U);
  std::filesystem::remove(path);
  EXPECT_THROW((void)Simulator::from_file(path.string()), ClusterFileError);
}

TEST(ClusterFile, VolumesExistWithTheirSizesAndOwnContent) {
  const auto simulator = Simulator::from_text(R"(
nodes: {pve: {pools: {tank: {size: 1TiB}}, vgs: {vg0: {size: 100GiB}}}}
storages:
  thick: {type: zfspool, pool: tank/thick, content: images}
  thin: {type: zfspool, pool: tank/thin, content: images, sparse: 1, blocksize: 8k}
  vg0: {type: lvm, vgname: vg0, content: images}
vms:
  100:
    config: {scsi0: "thick:vm-100-disk-0,size=10G", scsi1: "thin:vm-100-disk-0,size=20G", scsi2: "vg0:vm-100-disk-0,size=4G", unused0: "thin:vm-100-disk-1"}
    zvols: {vm-100-disk-1: {volblocksize: 64k, refreservation: none}}
volumes:
  - {storage: local, volume: "iso/debian.iso", size: 700MB}
  - {storage: thin, volume: vm-900-disk-0, size: 1G}
)",
                                              {.manual_clock = true});
  const auto thick = simulator->volume("thick:vm-100-disk-0");
  ASSERT_TRUE(thick);
  EXPECT_EQ(thick->size, 10LL << 30);
  EXPECT_EQ(thick->volblocksize, 16384);
  EXPECT_GT(thick->refreservation, 10LL << 30);
  EXPECT_NE(thick->fingerprint, 0U);
  EXPECT_EQ(thick->referenced_by, std::vector<std::string>{"100:scsi0"});
  const auto thin = simulator->volume("thin:vm-100-disk-0");
  ASSERT_TRUE(thin);
  EXPECT_EQ(thin->volblocksize, 8192);
  EXPECT_EQ(thin->refreservation, 0);
  EXPECT_NE(thin->fingerprint, thick->fingerprint);
  EXPECT_EQ(simulator->volume("thin:vm-100-disk-1")->volblocksize, 65536);
  EXPECT_EQ(simulator->volume("local:iso/debian.iso")->size, 700000000);
  EXPECT_EQ(simulator->volume("vg0:vm-100-disk-0")->owner, 100);
  EXPECT_EQ(simulator->unreferenced_disks(), std::vector<std::string>{"thin:vm-900-disk-0"});
  const std::vector<std::string> leftovers = simulator->leftovers();
  EXPECT_EQ(leftovers, (std::vector<std::string>{"thin:vm-900-disk-0", "100:unused0"}));
}

}  // namespace
}  // namespace pvesim
