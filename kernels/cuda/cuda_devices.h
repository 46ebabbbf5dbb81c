// The GPUs that this process sees.
#pragma once

#include <vector>

#include "kernels/device_facts.h"

namespace switchyard {

/// 0 where there is no GPU or no driver for it.
int num_cuda_devices();

/// In CUDA's numbering. Throws Error(kResource) if one cannot be asked.
std::vector<DeviceFacts> cuda_devices();

}  // namespace switchyard
