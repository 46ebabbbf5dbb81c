#include <memory>

#include "kernels/backend.h"
#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/strict_backend.h"

namespace switchyard {

std::unique_ptr<Backend> make_backend(const BackendOptions& options) {
  switch (options.kind) {
    case BackendKind::kStrict:
      return std::make_unique<StrictBackend>(options.instruction_set, options.num_threads,
                                             options.strict_seed);
    case BackendKind::kAuto:
    case BackendKind::kCpu:
      break;
  }
  return std::make_unique<CpuBackend>(options.instruction_set, options.num_threads);
}

}  // namespace switchyard
