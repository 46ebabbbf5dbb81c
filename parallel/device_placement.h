// Which rank computes on which GPU.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/device_facts.h"
#include "parallel/control_channel.h"
#include "parallel/pci_places.h"
#include "parallel/topology.h"

namespace switchyard {

/// Whether several ranks may compute on one GPU.
enum class DeviceSharing : uint8_t { kRefused, kAllowed };

/// What the user asks for.
struct DeviceRequest {
  std::optional<int> device;  ///< which of the GPUs this process sees; none: chosen by us
  DeviceSharing sharing = DeviceSharing::kRefused;
};

/// What is known of a rank before it has a GPU.
struct RankDevices {
  int node = 0;  ///< as in Topology
  std::string hostname;
  std::vector<std::string> bus_ids;  ///< of the GPUs the process sees, in its order
  DeviceRequest request;
};

/// The GPU of each rank, as an index into its own bus_ids. A rank that asks for none gets the
/// next one of its list, counted over the ranks of its node that see the same list: so ranks that
/// all see all GPUs (mpirun) spread over them, and ranks that see one each (Slurm's
/// --gpus-per-task) take that. Throws Error(kUsage), naming ranks, node, GPUs and the option that
/// helps, where a rank sees no GPU or not the one it asks for, or where ranks would share one that
/// neither allowed sharing nor all of them asked for. A pure function.
std::vector<int> place_devices(const std::vector<RankDevices>& ranks);

/// A rank's GPU, for people.
struct PlacedDevice {
  std::string hostname;
  int device = 0;
  DeviceFacts facts;
  PciPlace place;
};

/// One row a rank: node, GPU, bus id, NUMA node, nearest network adapter, free memory.
std::string device_table(const std::vector<PlacedDevice>& ranks);

/// place_devices over all ranks. Collective; throws AgreedError.
int agree_on_device(ControlChannel& control, const Topology& topology,
                    const std::vector<DeviceFacts>& visible, const DeviceRequest& request);

/// Logs the table, by rank 0. Collective.
void report_devices(ControlChannel& control, const PlacedDevice& mine);

}  // namespace switchyard
