// Products with packed panels of 32 outputs: the CPU's arithmetic on the GPU.
#pragma once

#include <cuda_runtime.h>

#include <vector>

#include "kernels/cpu/matmul_driver.h"
#include "kernels/cuda/cuda_queue.h"
#include "kernels/cuda/job_batch.h"

namespace switchyard::cuda {

/// Computes products that do not depend on each other, bit for bit as cpu::matmul_all: every output
/// is one chain of fused multiply-adds over ascending inputs. A few launches for all of them; jobs
/// without rows are left out.
void panel_products(CudaQueue& queue, const std::vector<cpu::HostMatmul>& jobs);

/// The same of one job for each group, all of one shape, whose rows only the device knows: group g
/// takes rows of `x` and `out` from groups.offsets[g] on.
void counted_panel_products(CudaQueue& queue, const std::vector<cpu::HostMatmul>& jobs,
                            const CountedGroups& groups);

}  // namespace switchyard::cuda
