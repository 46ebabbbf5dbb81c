// Products in the arithmetic of a backend.
#pragma once

#include <vector>

#include "kernels/cuda/panel_products.h"
#include "kernels/cuda/tensor_products.h"

namespace switchyard::cuda {

/// Bytes of scratch at most of products() for any `jobs` products by one weight's shape that have
/// `rows` rows together.
inline int64_t product_scratch_bound(const WeightSpec& spec, int64_t rows, int64_t jobs,
                                     const ProductMethod& method) {
  return method.arithmetic == Arithmetic::kFp32 ? 0
                                                : tensor_scratch_bound(spec, rows, jobs, method);
}

/// Computes products that do not depend on each other: kFp32 with the CPU's bits, else on tensor
/// cores.
inline void products(CudaQueue& queue, const std::vector<cpu::HostMatmul>& jobs,
                     const ProductMethod& method) {
  if (method.arithmetic == Arithmetic::kFp32) return panel_products(queue, jobs);
  tensor_products(queue, jobs, method);
}

}  // namespace switchyard::cuda
