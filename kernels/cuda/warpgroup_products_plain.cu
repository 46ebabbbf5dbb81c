#include "kernels/cuda/warpgroup_tile.cuh"

namespace switchyard::cuda {

void warpgroup_products_plain(cudaStream_t stream, const TensorBatch& batch) {
  switch (batch.form) {
    case TensorForm::kWarpgroups64:
      return launch_warpgroup_batch<CopiedWeights, 64, true>(stream, batch);
    case TensorForm::kWarpgroups256:
      return launch_warpgroup_batch<CopiedWeights, 256, false>(stream, batch);
    default:
      return launch_warpgroup_batch<CopiedWeights, 128, true>(stream, batch);
  }
}

}  // namespace switchyard::cuda
