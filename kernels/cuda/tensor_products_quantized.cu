#include "kernels/cuda/tensor_tile.cuh"

namespace switchyard::cuda {

void tensor_products_quantized(cudaStream_t stream, const TensorBatch& batch, CodeForm form) {
  switch (form) {
    case CodeForm::kInt8:
      return launch_tensor_batch<QuantizedTile<CodeForm::kInt8>>(stream, batch);
    case CodeForm::kInt4:
      return launch_tensor_batch<QuantizedTile<CodeForm::kInt4>>(stream, batch);
    case CodeForm::kInt3:
      return launch_tensor_batch<QuantizedTile<CodeForm::kInt3>>(stream, batch);
    case CodeForm::kInt2:
      return launch_tensor_batch<QuantizedTile<CodeForm::kInt2>>(stream, batch);
    case CodeForm::kE4m3:
      return launch_tensor_batch<QuantizedTile<CodeForm::kE4m3>>(stream, batch);
    case CodeForm::kE2m1:
      return launch_tensor_batch<QuantizedTile<CodeForm::kE2m1>>(stream, batch);
    case CodeForm::kNone:
      break;
  }
}

}  // namespace switchyard::cuda
