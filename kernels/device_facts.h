// What is known of a GPU before anything runs on it.
#pragma once

#include <cstdint>
#include <string>

namespace switchyard {

struct DeviceFacts {
  std::string name;        // "NVIDIA H100 80GB HBM3"
  std::string bus_id;      // of PCI, as "0000:17:00.0": tells GPUs apart across processes of a node
  int64_t free_bytes = 0;  // where they were asked for
  int64_t total_bytes = 0;
  int compute_capability = 0;  // 90 for 9.0
  int num_multiprocessors = 0;
};

/// What a device has besides the host's memory.
struct DeviceMemory {
  std::string id;  // tells devices of a node apart
  int64_t free_bytes = 0;
};

}  // namespace switchyard
