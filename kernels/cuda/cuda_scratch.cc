// The working memory of a compute stream: its largest operation's.
#include <algorithm>

#include "kernels/cuda/attention_work.h"
#include "kernels/cuda/counted_ffn.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/library_products.h"
#include "kernels/cuda/log_probs.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/round_rows.h"
#include "kernels/cuda/route.h"
#include "kernels/cuda/sample.h"

namespace switchyard {
namespace {

int64_t bytes_of(const WorkSizes::Experts& experts, const cuda::ProductMethod& method) {
  const bool is_gated = experts.form.glu != GluLayout::kNone;
  const int64_t units = is_gated ? experts.rows * experts.down.cols * size_of(DType::kF32) : 0;
  // Where a product gives them they are rounded to 16 bits, for tiles of 64 rows.
  const int64_t used = std::min(experts.groups, experts.rows);
  const int64_t rounded =
      cuda::rounded_bytes(experts.rows + used * (cuda::kRoundedRows - 1), experts.down.cols);
  const int64_t counted_on_host =
      units + (method.many_rows == cuda::ManyRows::kWarpgroups ? rounded : 0) +
      std::max(cuda::product_scratch_bound(experts.up, experts.rows, experts.groups, method),
               cuda::product_scratch_bound(experts.down, experts.rows, experts.groups, method));
  return std::max(counted_on_host,
                  cuda::counted_ffn_scratch_bytes(experts.up, experts.down, experts.form,
                                                  experts.rows, method));
}

/// Of the operation that takes most.
int64_t largest_bytes(const WorkSizes& sizes, const cuda::ProductMethod& method) {
  int64_t bytes = cuda::kMostAttentionPartialBytes;
  for (const WorkSizes::Product& product : sizes.products) {
    bytes =
        std::max(bytes, cuda::product_scratch_bound(product.weight, product.rows * product.count,
                                                    product.count, method));
  }
  for (const WorkSizes::Experts& experts : sizes.experts) {
    bytes = std::max(bytes, bytes_of(experts, method));
  }
  bytes = std::max(bytes, sizes.routed_rows * cuda::route_scratch_bytes(sizes.router));
  bytes = std::max(bytes, cuda::log_probs_scratch_bytes(sizes.logit_rows, sizes.vocabulary));
  return std::max(bytes, cuda::sample_scratch_bytes(sizes.logit_rows, sizes.vocabulary));
}

}  // namespace

int64_t CudaBackend::scratch_bytes(const WorkSizes& sizes) const {
  const int64_t library = library_ == nullptr ? 0 : cuda::LibraryProducts::kWorkspaceBytes;
  return cuda::CudaQueue::grown_scratch(largest_bytes(sizes, product_method())) + library;
}

void CudaBackend::reserve_scratch(Stream& compute, const WorkSizes& sizes) {
  const int64_t bytes = largest_bytes(sizes, product_method());
  submit(compute, [bytes](cuda::CudaQueue& queue) { queue.scratch(bytes); });
}

}  // namespace switchyard
