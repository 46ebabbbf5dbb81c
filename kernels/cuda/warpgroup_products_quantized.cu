#include "kernels/cuda/warpgroup_tile.cuh"

namespace switchyard::cuda {

void warpgroup_products_quantized(cudaStream_t stream, const TensorBatch& batch, CodeForm form) {
  switch (form) {
    case CodeForm::kInt8:
      return launch_warpgroup_batch<ConvertedWeights<QuantizedTile<CodeForm::kInt8>>, 128, true>(
          stream, batch);
    case CodeForm::kInt4:
      return launch_warpgroup_batch<ConvertedWeights<QuantizedTile<CodeForm::kInt4>>, 128, true>(
          stream, batch);
    case CodeForm::kInt3:
      return launch_warpgroup_batch<ConvertedWeights<QuantizedTile<CodeForm::kInt3>>, 128, true>(
          stream, batch);
    case CodeForm::kInt2:
      return launch_warpgroup_batch<ConvertedWeights<QuantizedTile<CodeForm::kInt2>>, 128, true>(
          stream, batch);
    case CodeForm::kE4m3:
      return launch_warpgroup_batch<ConvertedWeights<QuantizedTile<CodeForm::kE4m3>>, 128, true>(
          stream, batch);
    case CodeForm::kE2m1:
      return launch_warpgroup_batch<ConvertedWeights<QuantizedTile<CodeForm::kE2m1>>, 128, true>(
          stream, batch);
    case CodeForm::kNone:
      break;
  }
}

}  // namespace switchyard::cuda
