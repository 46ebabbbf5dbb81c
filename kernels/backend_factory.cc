#include <memory>

#include "kernels/backend.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/strict_backend.h"
#ifdef SWITCHYARD_WITH_CUDA
#include "kernels/cuda/cuda_backend.h"
#endif

namespace switchyard {
namespace {

std::unique_ptr<Backend> make_gpu_backend([[maybe_unused]] const BackendOptions& options) {
#ifdef SWITCHYARD_WITH_CUDA
  return make_cuda_backend(options);
#else
  fail_usage(
      "--backend cuda: this build has no CUDA; install the CUDA Toolkit, configure and "
      "build again");
#endif
}

}  // namespace

bool has_backend([[maybe_unused]] BackendKind kind) {
  if (kind != BackendKind::kCuda) return true;
#ifdef SWITCHYARD_WITH_CUDA
  return num_cuda_devices() > 0;
#else
  return false;
#endif
}

std::vector<DeviceFacts> visible_devices() {
#ifdef SWITCHYARD_WITH_CUDA
  return cuda_devices();
#else
  return {};
#endif
}

DeviceFacts facts_of_device(int device) {
  const std::vector<DeviceFacts> devices = visible_devices();
  SWITCHYARD_CHECK(device >= 0 && device < static_cast<int>(devices.size()));
  DeviceFacts facts = devices[static_cast<size_t>(device)];
#ifdef SWITCHYARD_WITH_CUDA
  facts.free_bytes = free_bytes_of(device);
#endif
  return facts;
}

std::unique_ptr<Backend> make_backend(const BackendOptions& options) {
  switch (options.kind) {
    case BackendKind::kStrict:
      return std::make_unique<StrictBackend>(options.instruction_set, options.num_threads,
                                             options.strict_seed);
    case BackendKind::kCuda:
      return make_gpu_backend(options);
    case BackendKind::kAuto:
      if (has_backend(BackendKind::kCuda)) return make_gpu_backend(options);
      break;
    case BackendKind::kCpu:
      break;
  }
  return std::make_unique<CpuBackend>(options.instruction_set, options.num_threads);
}

}  // namespace switchyard
