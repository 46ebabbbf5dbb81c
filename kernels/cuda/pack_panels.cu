#include "kernels/cuda/pack_panels.h"

#include "kernels/base/error.h"
#include "kernels/cpu/quantized_layout.h"
#include "kernels/cuda/launch.cuh"

namespace switchyard::cuda {
namespace {

constexpr int64_t kPanel = cpu::kPanelWidth;
constexpr int kTile = 32;

/// One block moves a tile of 32 inputs of one panel through shared memory, so that both reading
/// along k and writing along the outputs are coalesced. Rows at or past `end_row` that belong to
/// the last panel are written as zeros; rows before `first_row` are left alone.
template <typename Element>
__global__ void pack_panels_kernel(const Element* rows, int64_t first_row, int64_t end_row,
                                   int64_t num_outputs, int64_t cols, Element* packed) {
  __shared__ Element tile[kTile][kTile + 1];
  const int64_t panel = first_row / kPanel + blockIdx.x;
  const int64_t first_k = int64_t{blockIdx.y} * kTile;
  const int lane = static_cast<int>(threadIdx.x);
  for (int r = static_cast<int>(threadIdx.y); r < kTile; r += static_cast<int>(blockDim.y)) {
    const int64_t row = panel * kPanel + r;
    const int64_t k = first_k + lane;
    const bool is_there = row >= first_row && row < end_row && k < cols;
    tile[r][lane] = is_there ? rows[(row - first_row) * cols + k] : Element{0};
  }
  __syncthreads();
  const int64_t row = panel * kPanel + lane;
  const bool is_padding = end_row == num_outputs && row >= num_outputs;
  if (!is_padding && (row < first_row || row >= end_row)) return;
  for (int i = static_cast<int>(threadIdx.y); i < kTile; i += static_cast<int>(blockDim.y)) {
    const int64_t k = first_k + i;
    if (k < cols) packed[(panel * cols + k) * kPanel + lane] = tile[lane][i];
  }
}

template <typename Element>
void pack(cudaStream_t stream, const void* rows, int64_t first_row, int64_t num_rows,
          const Weight& weight) {
  const WeightSpec& spec = weight.spec;
  const int64_t end_row = first_row + num_rows;
  const LaunchShape shape{
      .grid = dim3(blocks_for(end_row, kPanel) - static_cast<unsigned>(first_row / kPanel),
                   blocks_for(spec.cols, kTile)),
      .block = dim3(kTile, 8)};
  launch(pack_panels_kernel<Element>, shape, stream, static_cast<const Element*>(rows), first_row,
         end_row, spec.rows, spec.cols, static_cast<Element*>(weight.data));
}

}  // namespace

void pack_panels(cudaStream_t stream, const void* rows, int64_t first_row, int64_t num_rows,
                 const Weight& weight) {
  if (size_of(weight.spec.dtype) == 4) {
    pack<uint32_t>(stream, rows, first_row, num_rows, weight);
  } else {
    pack<uint16_t>(stream, rows, first_row, num_rows, weight);
  }
}

}  // namespace switchyard::cuda
