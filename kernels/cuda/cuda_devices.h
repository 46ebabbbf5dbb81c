// The GPUs that this process sees.
#pragma once

#include <vector>

#include "kernels/device_facts.h"

namespace switchyard {

/// 0 where there is no GPU or no driver for it.
int num_cuda_devices();

/// In CUDA's numbering, without their free memory: asking for that would leave a context of some
/// hundred MiB on every GPU of the node. Throws Error(kResource) if one cannot be asked.
std::vector<DeviceFacts> cuda_devices();

/// The bytes that are free now on one of them. Takes it into use. Throws Error(kResource).
int64_t free_bytes_of(int device);

}  // namespace switchyard
