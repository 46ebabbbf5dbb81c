#include "kernels/cuda/cuda_devices.h"

#include <cuda_runtime.h>

#include "kernels/cuda/cuda_error.h"

namespace switchyard {
namespace {

DeviceFacts facts_of(int device) {
  using cuda::check_cuda;
  cudaDeviceProp properties = {};
  check_cuda(cudaGetDeviceProperties(&properties, device), "asking for a GPU's properties");
  char bus_id[32] = {};
  check_cuda(cudaDeviceGetPCIBusId(bus_id, sizeof(bus_id), device), "asking for a GPU's bus id");
  return {.name = properties.name,
          .bus_id = bus_id,
          .total_bytes = static_cast<int64_t>(properties.totalGlobalMem),
          .compute_capability = properties.major * 10 + properties.minor,
          .num_multiprocessors = properties.multiProcessorCount};
}

}  // namespace

int num_cuda_devices() {
  int count = 0;
  // Without a driver the call fails and leaves the count as it was.
  if (cudaGetDeviceCount(&count) != cudaSuccess) {
    cudaGetLastError();
    return 0;
  }
  return count;
}

std::vector<DeviceFacts> cuda_devices() {
  std::vector<DeviceFacts> devices;
  for (int device = 0; device < num_cuda_devices(); ++device) devices.push_back(facts_of(device));
  return devices;
}

int64_t free_bytes_of(int device) {
  cuda::check_cuda(cudaSetDevice(device), "choosing a GPU");
  size_t free_bytes = 0;
  size_t total_bytes = 0;
  cuda::check_cuda(cudaMemGetInfo(&free_bytes, &total_bytes), "asking for a GPU's memory");
  return static_cast<int64_t>(free_bytes);
}

}  // namespace switchyard
