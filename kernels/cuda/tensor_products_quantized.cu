#include "kernels/cuda/tensor_tile.cuh"

namespace switchyard::cuda {

void tensor_products_quantized(cudaStream_t stream, const TensorBatch& batch, int bits) {
  switch (bits) {
    case 8:
      return launch_tensor_batch<QuantizedTile<8>>(stream, batch);
    case 4:
      return launch_tensor_batch<QuantizedTile<4>>(stream, batch);
    case 3:
      return launch_tensor_batch<QuantizedTile<3>>(stream, batch);
    default:
      return launch_tensor_batch<QuantizedTile<2>>(stream, batch);
  }
}

}  // namespace switchyard::cuda
