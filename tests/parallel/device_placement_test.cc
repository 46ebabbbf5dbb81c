#include "parallel/device_placement.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "kernels/base/error.h"
#include "parallel/thread_communicator.h"

namespace switchyard {
namespace {

RankDevices rank_on(int node, std::vector<std::string> bus_ids) {
  return {node, concat("node", node), std::move(bus_ids), {}};
}

std::string refusal(const std::vector<RankDevices>& ranks) {
  try {
    place_devices(ranks);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::kUsage);
    return error.what();
  }
  return "";
}

void expect_parts(const std::string& text, const std::vector<std::string>& parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(text.find(part), std::string::npos) << "'" << part << "' is not in: " << text;
  }
}

TEST(DevicePlacementTest, RanksThatSeeAllGpusSpreadOverThem) {
  // As mpirun starts them: rank by rank over two nodes of two GPUs.
  std::vector<RankDevices> ranks;
  for (int rank = 0; rank < 4; ++rank) ranks.push_back(rank_on(rank % 2, {"a", "b"}));
  EXPECT_EQ(place_devices(ranks), (std::vector<int>{0, 0, 1, 1}));
}

TEST(DevicePlacementTest, RanksThatSeeOneEachTakeIt) {
  // As Slurm's --gpus-per-task starts them.
  EXPECT_EQ(place_devices({rank_on(0, {"a"}), rank_on(0, {"b"}), rank_on(1, {"a"})}),
            (std::vector<int>{0, 0, 0}));
}

TEST(DevicePlacementTest, ListsOfSeveralAreSharedByThoseWhoSeeThem) {
  EXPECT_EQ(place_devices({rank_on(0, {"a", "b"}), rank_on(0, {"c", "d"}), rank_on(0, {"a", "b"}),
                           rank_on(0, {"c", "d"})}),
            (std::vector<int>{0, 0, 1, 1}));
}

TEST(DevicePlacementTest, MoreRanksThanGpusAreRefused) {
  std::vector<RankDevices> ranks(5, rank_on(0, {"0000:17:00.0", "0000:65:00.0"}));
  expect_parts(refusal(ranks), {"ranks 0, 2 and 4", "0000:17:00.0", "node 'node0'", "5 ranks",
                                "sees 2 GPUs", "--share-devices"});
  for (RankDevices& rank : ranks) rank.request.sharing = DeviceSharing::kAllowed;
  EXPECT_EQ(place_devices(ranks), (std::vector<int>{0, 1, 0, 1, 0}));
  ranks[2].request.sharing = DeviceSharing::kRefused;
  EXPECT_NE(refusal(ranks), "") << "one of them did not allow it";
}

TEST(DevicePlacementTest, EqualBusIdsOfSeveralNodesAreSeveralGpus) {
  EXPECT_EQ(refusal({rank_on(0, {"a"}), rank_on(1, {"a"})}), "");
  EXPECT_NE(refusal({rank_on(0, {"a"}), rank_on(0, {"a"})}), "");
}

TEST(DevicePlacementTest, AForcedDeviceIsTaken) {
  std::vector<RankDevices> ranks(2, rank_on(0, {"a", "b"}));
  ranks[0].request.device = 1;
  ranks[1].request.device = 1;
  EXPECT_EQ(place_devices(ranks), (std::vector<int>{1, 1}));
  ranks[1].request.device.reset();  // its own turn comes to the same GPU
  expect_parts(refusal(ranks), {"ranks 0 and 1", "GPU b"});
  ranks[0].request.device = 2;
  expect_parts(refusal(ranks), {"--device 2", "rank 0", "'node0'", "2 GPUs"});
}

TEST(DevicePlacementTest, ARankWithoutGpusIsNamed) {
  expect_parts(refusal({rank_on(0, {"a"}), rank_on(1, {})}),
               {"rank 1", "'node1'", "sees no GPU", "CUDA_VISIBLE_DEVICES", "--backend cpu"});
}

TEST(DevicePlacementTest, AllRanksAgree) {
  run_ranks(3, {}, {}, [](Backend& backend, Communicator& world) {
    ControlChannel control(backend, world);
    const Topology topology = discover_topology(control);
    std::vector<DeviceFacts> visible(3);
    for (size_t i = 0; i < visible.size(); ++i) visible[i].bus_id = concat("bus", i);
    EXPECT_EQ(agree_on_device(control, topology, visible, {}), world.rank());
    visible.resize(2);
    EXPECT_THROW(agree_on_device(control, topology, visible, {}), AgreedError);
    EXPECT_EQ(agree_on_device(control, topology, visible, {{}, DeviceSharing::kAllowed}),
              world.rank() % 2);
    EXPECT_EQ(agree_on_device(control, topology, visible, {1, DeviceSharing::kRefused}), 1);
  });
}

TEST(DevicePlacementTest, TheTableNamesEveryRank) {
  PlacedDevice known;
  known.hostname = "gpu07";
  known.place = {1, "mlx5_2"};
  known.facts.name = "NVIDIA H100 80GB HBM3";
  known.facts.bus_id = "0000:17:00.0";
  known.facts.free_bytes = int64_t{79} << 30;
  known.facts.total_bytes = int64_t{80} << 30;
  PlacedDevice unknown;
  unknown.hostname = "gpu08";
  const std::string table = device_table({known, unknown});
  expect_parts(table, {"gpu07", "NVIDIA H100 80GB HBM3", "0000:17:00.0", "mlx5_2",
                       "79.0 GiB of 80.0 GiB", "gpu08"});
}

}  // namespace
}  // namespace switchyard
