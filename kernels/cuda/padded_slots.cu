#include "kernels/cuda/padded_slots.h"

#include "kernels/cuda/instructions/shared_memory.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/ops.h"

namespace switchyard::cuda {
namespace {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xFFFFFFFFu;
/// Sixteen warps have the instances of a rank; at 64 of them and 2,048 copies each looks at all
/// copies 32 at a time eight times over.
constexpr int kPlaceThreads = 512;
constexpr int kGroupThreads = 128;

__device__ int lane_number() { return static_cast<int>(threadIdx.x) % kWarp; }

/// The sum over a warp's lanes, in every lane.
__device__ int32_t add_lanes(int32_t value) {
  for (int width = kWarp / 2; width >= 1; width /= 2) {
    value += __shfl_xor_sync(kAllLanes, value, width);
  }
  return value;
}

__device__ int32_t instance_of(const cpu::PlaceCopiesParams& params, int64_t copy) {
  const int32_t expert = copy < params.num_copies ? params.topk_idx[copy] : -1;
  return expert >= 0 && expert < params.num_experts ? params.instance_of_expert[expert] : -1;
}

/// A warp's copies of one instance, in their order: visit(copy, how many came before).
template <typename Visit>
__device__ int32_t visit_copies(const cpu::PlaceCopiesParams& params, int32_t instance,
                                const Visit& visit) {
  int32_t count = 0;
  for (int64_t first = 0; first < params.num_copies; first += kWarp) {
    const int64_t copy = first + lane_number();
    const bool is_mine = instance_of(params, copy) == instance;
    const unsigned mine = __ballot_sync(kAllLanes, is_mine);
    if (is_mine) visit(copy, count + __popc(mine & ((1u << lane_number()) - 1)));
    count += __popc(mine);
  }
  return count;
}

/// A block a rank, a warp an instance: counts them all, then places their copies.
__global__ void place_copies_kernel(cpu::PlaceCopiesParams params) {
  const int64_t rank = blockIdx.x;
  const int32_t first = params.first_instance[rank];
  const int32_t count = params.first_instance[rank + 1] - first;
  const int warp = static_cast<int>(threadIdx.x) / kWarp;
  const int num_warps = static_cast<int>(blockDim.x) / kWarp;
  int32_t* const header = params.slots.header(rank);
  for (int32_t local = warp; local < count; local += num_warps) {
    const int32_t rows = visit_copies(params, first + local, [](int64_t, int32_t) {});
    if (lane_number() == 0) header[local] = rows;
  }
  __syncthreads();
  for (int32_t local = warp; local < count; local += num_warps) {
    int32_t before = 0;
    for (int32_t other = lane_number(); other < local; other += kWarp) before += header[other];
    const auto place = static_cast<int32_t>(params.slots.first_row(rank)) + add_lanes(before);
    visit_copies(params, first + local,
                 [&](int64_t copy, int32_t nth) { params.places[copy] = place + nth; });
  }
  if (rank != 0) return;
  for (int64_t copy = threadIdx.x; copy < params.num_copies; copy += blockDim.x) {
    if (instance_of(params, copy) < 0) params.places[copy] = kNoRow;
  }
}

/// A block an instance, and one for what stands behind the last. `before` and `mine` are in shared
/// memory: of each slot, the rows of instances before the block's, and those of its own.
__global__ void group_arrivals_kernel(cpu::GroupArrivalsParams params) {
  const cpu::SlotLayout& slots = params.slots;
  const int64_t instance = blockIdx.x;
  auto* const before = dynamic_shared<int32_t>();
  int32_t* const mine = before + slots.num_ranks;
  for (int64_t rank = threadIdx.x; rank < slots.num_ranks; rank += blockDim.x) {
    const int32_t* const counts = slots.header(rank);
    int32_t sum = 0;
    for (int64_t other = 0; other < instance; ++other) sum += counts[other];
    before[rank] = sum;
    mine[rank] = instance < params.num_instances ? counts[instance] : 0;
  }
  __syncthreads();
  int32_t row = 0;
  for (int64_t rank = 0; rank < slots.num_ranks; ++rank) row += before[rank];
  if (threadIdx.x == 0) params.row_offsets[instance] = row;
  if (instance == params.num_instances) {
    for (int64_t i = row + threadIdx.x; i < params.num_rows; i += blockDim.x) {
      params.grouped_from[i] = kNoRow;
    }
    return;
  }
  for (int64_t rank = 0; rank < slots.num_ranks; ++rank) {
    const auto from = static_cast<int32_t>(slots.first_row(rank)) + before[rank];
    for (int i = static_cast<int>(threadIdx.x); i < mine[rank]; i += kGroupThreads) {
      params.grouped_from[row + i] = from + i;
    }
    row += mine[rank];
  }
}

}  // namespace

void place_copies(cudaStream_t stream, const cpu::PlaceCopiesParams& params) {
  launch(place_copies_kernel, {static_cast<unsigned>(params.slots.num_ranks), kPlaceThreads},
         stream, params);
}

void group_arrivals(cudaStream_t stream, const cpu::GroupArrivalsParams& params) {
  const auto shared = static_cast<size_t>(2 * params.slots.num_ranks) * sizeof(int32_t);
  launch(group_arrivals_kernel,
         {static_cast<unsigned>(params.num_instances + 1), kGroupThreads, shared}, stream, params);
}

}  // namespace switchyard::cuda
