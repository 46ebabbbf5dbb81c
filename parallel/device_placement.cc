#include "parallel/device_placement.h"

#include <algorithm>
#include <map>
#include <utility>

#include "kernels/base/byte_codec.h"
#include "kernels/base/byte_size.h"
#include "kernels/base/error.h"
#include "kernels/base/log.h"
#include "kernels/base/text_table.h"

namespace switchyard {
namespace {

constexpr CollectiveLabel kLabel{.phase = "choice of GPUs"};

/// "0, 2 and 5".
std::string list_of(const std::vector<int>& numbers) {
  std::string text;
  for (size_t i = 0; i < numbers.size(); ++i) {
    if (i > 0) text += i + 1 == numbers.size() ? " and " : ", ";
    text += std::to_string(numbers[i]);
  }
  return text;
}

int chosen_device(const std::vector<RankDevices>& ranks, size_t rank) {
  const RankDevices& own = ranks[rank];
  const auto num_visible = static_cast<int>(own.bus_ids.size());
  if (num_visible == 0) {
    fail_usage("rank ", rank, " on node '", own.hostname,
               "' sees no GPU: start it where there is one (Slurm: --gpus-per-task=1), look at "
               "CUDA_VISIBLE_DEVICES, or compute on processors with --backend cpu");
  }
  if (own.request.device.has_value()) {
    const int device = *own.request.device;
    if (device < num_visible) return device;
    fail_usage("--device ", device, ": rank ", rank, " on node '", own.hostname, "' sees ",
               num_visible, num_visible == 1 ? " GPU" : " GPUs",
               " (numbered from 0; CUDA_VISIBLE_DEVICES may hide some)");
  }
  const auto sees_the_same = [&](const RankDevices& other) {
    return other.node == own.node && other.bus_ids == own.bus_ids;
  };
  const auto before = std::count_if(
      ranks.begin(), ranks.begin() + static_cast<std::ptrdiff_t>(rank), sees_the_same);
  return static_cast<int>(before) % num_visible;
}

/// Ranks that would share the GPU of `bus_id`: refused unless all of them said so.
void check_sharing(const std::vector<RankDevices>& ranks, const std::vector<int>& sharers,
                   const std::string& bus_id) {
  const auto agrees = [&](int rank) {
    const DeviceRequest& request = ranks[static_cast<size_t>(rank)].request;
    return request.sharing == DeviceSharing::kAllowed || request.device.has_value();
  };
  if (std::all_of(sharers.begin(), sharers.end(), agrees)) return;
  const RankDevices& one = ranks[static_cast<size_t>(sharers.front())];
  const auto on_node = std::count_if(
      ranks.begin(), ranks.end(), [&](const RankDevices& rank) { return rank.node == one.node; });
  fail_usage("ranks ", list_of(sharers), " would share the GPU ", bus_id, " of node '",
             one.hostname, "', where ", on_node, " ranks run and rank ", sharers.front(), " sees ",
             one.bus_ids.size(), one.bus_ids.size() == 1 ? " GPU" : " GPUs",
             ": start as many ranks a node as it has GPUs (mpirun --map-by ppr:N:node, srun "
             "--ntasks-per-node=N), or allow it with --share-devices; they then exchange over "
             "MPI, because NCCL takes one rank a GPU");
}

std::string encode(const Topology& topology, const std::vector<DeviceFacts>& visible,
                   const DeviceRequest& request) {
  ByteWriter writer;
  writer.put(topology.node);
  writer.put_string(topology.hostname);
  writer.put(request.device.value_or(-1));
  writer.put(request.sharing);
  writer.put(static_cast<int64_t>(visible.size()));
  for (const DeviceFacts& device : visible) writer.put_string(device.bus_id);
  return writer.bytes();
}

RankDevices decode_devices(const std::string& message) {
  ByteReader reader(message);
  RankDevices rank;
  rank.node = reader.get<int>();
  rank.hostname = reader.get_string();
  const int device = reader.get<int>();
  if (device >= 0) rank.request.device = device;
  rank.request.sharing = reader.get<DeviceSharing>();
  rank.bus_ids.resize(static_cast<size_t>(reader.get<int64_t>()));
  for (std::string& bus_id : rank.bus_ids) bus_id = reader.get_string();
  return rank;
}

std::string encode(const PlacedDevice& placed) {
  ByteWriter writer;
  writer.put_string(placed.hostname);
  writer.put(placed.device);
  writer.put_string(placed.facts.name);
  writer.put_string(placed.facts.bus_id);
  writer.put(placed.facts.free_bytes);
  writer.put(placed.facts.total_bytes);
  writer.put(placed.place.numa_node);
  writer.put_string(placed.place.nearest_nic);
  return writer.bytes();
}

PlacedDevice decode_placed(const std::string& message) {
  ByteReader reader(message);
  PlacedDevice placed;
  placed.hostname = reader.get_string();
  placed.device = reader.get<int>();
  placed.facts.name = reader.get_string();
  placed.facts.bus_id = reader.get_string();
  placed.facts.free_bytes = reader.get<int64_t>();
  placed.facts.total_bytes = reader.get<int64_t>();
  placed.place.numa_node = reader.get<int>();
  placed.place.nearest_nic = reader.get_string();
  return placed;
}

}  // namespace

std::vector<int> place_devices(const std::vector<RankDevices>& ranks) {
  std::vector<int> devices;
  std::map<std::pair<int, std::string>, std::vector<int>> sharers;  // by node and GPU
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    devices.push_back(chosen_device(ranks, rank));
    const std::string& bus_id = ranks[rank].bus_ids[static_cast<size_t>(devices.back())];
    sharers[{ranks[rank].node, bus_id}].push_back(static_cast<int>(rank));
  }
  for (const auto& [gpu, of_gpu] : sharers) {
    if (of_gpu.size() > 1) check_sharing(ranks, of_gpu, gpu.second);
  }
  return devices;
}

std::string device_table(const std::vector<PlacedDevice>& ranks) {
  TextTable table({"rank", "node", "device", "GPU", "bus id", "NUMA", "nearest NIC", "free"});
  for (size_t rank = 0; rank < ranks.size(); ++rank) {
    const PlacedDevice& placed = ranks[rank];
    table.add_row({std::to_string(rank), placed.hostname, std::to_string(placed.device),
                   placed.facts.name, placed.facts.bus_id,
                   placed.place.numa_node < 0 ? "-" : std::to_string(placed.place.numa_node),
                   placed.place.nearest_nic.empty() ? "-" : placed.place.nearest_nic,
                   concat(format_byte_size(placed.facts.free_bytes), " of ",
                          format_byte_size(placed.facts.total_bytes))});
  }
  return table.text();
}

int agree_on_device(ControlChannel& control, const Topology& topology,
                    const std::vector<DeviceFacts>& visible, const DeviceRequest& request) {
  std::vector<RankDevices> ranks;
  for (const std::string& message :
       control.all_gather(encode(topology, visible, request), kLabel)) {
    ranks.push_back(decode_devices(message));
  }
  std::vector<int> devices;
  control.agree([&] { devices = place_devices(ranks); }, kLabel);
  return devices[static_cast<size_t>(control.rank())];
}

void report_devices(ControlChannel& control, const PlacedDevice& mine) {
  std::vector<PlacedDevice> ranks;
  for (const std::string& message : control.gather(encode(mine), 0, kLabel)) {
    ranks.push_back(decode_placed(message));
  }
  if (control.rank() == 0) log_info("GPUs of the ranks:\n", device_table(ranks));
}

}  // namespace switchyard
