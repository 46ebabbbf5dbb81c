#include "kernels/cuda/warpgroup_tile.cuh"

namespace switchyard::cuda {

void warpgroup_products_quantized(cudaStream_t stream, const TensorBatch& batch, int bits) {
  switch (bits) {
    case 8:
      return launch_warpgroup_batch<ConvertedWeights<QuantizedTile<8>>, 128, true>(stream, batch);
    case 4:
      return launch_warpgroup_batch<ConvertedWeights<QuantizedTile<4>>, 128, true>(stream, batch);
    case 3:
      return launch_warpgroup_batch<ConvertedWeights<QuantizedTile<3>>, 128, true>(stream, batch);
    default:
      return launch_warpgroup_batch<ConvertedWeights<QuantizedTile<2>>, 128, true>(stream, batch);
  }
}

}  // namespace switchyard::cuda
