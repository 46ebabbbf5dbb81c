// Products on tensor cores of groups whose rows only the device counts.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cuda/job_batch.h"
#include "kernels/cuda/tensor_products.h"

namespace switchyard::cuda {

/// Bytes of scratch for the partial sums of one weight's shape.
int64_t counted_scratch_bytes(const WeightSpec& spec, int64_t most_rows);

/// A job for each group, at least one, all of one shape and type, as in counted_panel_products();
/// numbers as tensor_products(). `partial` is scratch of counted_scratch_bytes().
void counted_tensor_products(CudaQueue& queue, const std::vector<cpu::HostMatmul>& jobs,
                             const CountedGroups& groups, Arithmetic arithmetic, float* partial);

}  // namespace switchyard::cuda
