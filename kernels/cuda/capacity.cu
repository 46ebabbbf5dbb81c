#include "kernels/cuda/capacity.h"

#include <cfloat>

#include "kernels/cuda/lane_vec.cuh"
#include "kernels/cuda/launch.cuh"

namespace switchyard::cuda {
namespace {

constexpr unsigned kWarp = 32;
constexpr unsigned kAllLanes = 0xFFFFFFFFu;
constexpr int64_t kThreads = 128;

/// order[first_row + rank] = row, rank the number of rows of the batch that go before it: those of
/// a larger first probability (bits of numbers from 0 up ascend with them, and order NaN too) and,
/// at a tie, earlier ones. A block a batch.
__global__ void rank_rows_kernel(cpu::CapacityParams params, const CapacityBatch* batches,
                                 int32_t* order) {
  const CapacityBatch batch = batches[blockIdx.x];
  const float* const first_choices = params.topk_weights + batch.first_row * params.top_k;
  for (int64_t i = threadIdx.x; i < batch.num_rows; i += blockDim.x) {
    const uint32_t own = bits_of_float(first_choices[i * params.top_k]);
    int64_t rank = 0;
    for (int64_t j = 0; j < batch.num_rows; ++j) {
      const uint32_t other = bits_of_float(first_choices[j * params.top_k]);
      if (other > own || (other == own && j < i)) ++rank;
    }
    order[batch.first_row + rank] = static_cast<int32_t>(i);
  }
}

/// How many lower lanes ask for the same expert (-1: none), and whether this one is the last.
struct Place {
  int before;
  bool is_last;
};
__device__ Place place_among_lanes(int expert) {
  Place place{0, true};
  const int lane = static_cast<int>(threadIdx.x);
  for (int other = 0; other < static_cast<int>(kWarp); ++other) {
    const bool is_same = __shfl_sync(kAllLanes, expert, other) == expert;
    if (is_same && other < lane) ++place.before;
    if (is_same && other > lane) place.is_last = false;
  }
  return place;
}

/// A warp a batch: 32 rows at a time, all first choices before the second ones.
__global__ void assign_slots_kernel(cpu::CapacityParams params, const CapacityBatch* batches,
                                    const int32_t* order, int32_t* taken_of_batches) {
  const CapacityBatch batch = batches[blockIdx.x];
  int32_t* const taken = taken_of_batches + blockIdx.x * params.num_experts;
  const int64_t lane = threadIdx.x;
  for (int64_t e = lane; e < params.num_experts; e += kWarp) taken[e] = 0;
  __syncwarp();
  for (int64_t j = 0; j < params.top_k; ++j) {
    for (int64_t first = 0; first < batch.num_rows; first += kWarp) {
      const int64_t i = first + lane;
      const bool is_there = i < batch.num_rows;
      const bool is_sorted = params.slot_order == SlotOrder::kProbability;
      const int64_t row =
          batch.first_row + (is_there && is_sorted ? order[batch.first_row + i] : i);
      const int64_t choice = row * params.top_k + j;
      const bool takes = is_there && params.mask[row] == 0;
      const int expert = takes ? params.topk_idx[choice] : -1;
      const Place place = place_among_lanes(expert);
      const int slot = takes ? taken[expert] + place.before : -1;
      __syncwarp();
      if (takes && place.is_last) taken[expert] = slot + 1;
      if (is_there) params.slots[choice] = slot;
      __syncwarp();
    }
  }
}

__device__ void drop_choices(const int32_t* slots, int64_t top_k, int64_t capacity,
                             float* weights) {
  for (int64_t j = 0; j < top_k; ++j) {
    if (slots[j] < 0 || slots[j] >= capacity) weights[j] = 0.0f;
  }
}

/// A thread a row.
__global__ void weigh_rows_kernel(cpu::CapacityParams params, const CapacityBatch* batches,
                                  int64_t num_rows) {
  const int64_t row = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (row >= num_rows) return;
  const CapacityBatch* batch = batches;
  while (row >= batch->first_row + batch->num_rows) ++batch;
  const int64_t k = params.top_k;
  float* const weights = params.topk_weights + row * k;
  const int32_t* const slots = params.slots + row * k;
  if (params.norm_order == NormOrder::kAfterDropping) {
    drop_choices(slots, k, batch->capacity, weights);
  }
  if (params.norm == GateNorm::kChosen) {
    float sum = 0.0f;
    for (int64_t j = 0; j < k; ++j) sum = sum + weights[j];
    if (sum < FLT_EPSILON) sum = FLT_EPSILON;
    for (int64_t j = 0; j < k; ++j) weights[j] = weights[j] / sum;
  }
  if (params.norm_order == NormOrder::kBeforeDropping) {
    drop_choices(slots, k, batch->capacity, weights);
  }
  for (int64_t j = 0; j < k; ++j) {
    if (weights[j] == 0.0f) params.topk_idx[row * k + j] = -1;
  }
}

}  // namespace

void apply_capacity(cudaStream_t stream, const cpu::CapacityParams& params,
                    const CapacityBatch* batches, int64_t num_batches, int64_t num_rows,
                    int32_t* order, int32_t* taken) {
  const auto blocks = static_cast<unsigned>(num_batches);
  if (params.slot_order == SlotOrder::kProbability) {
    launch(rank_rows_kernel, {blocks, 256}, stream, params, batches, order);
  }
  launch(assign_slots_kernel, {blocks, kWarp}, stream, params, batches, order, taken);
  launch(weigh_rows_kernel, {blocks_for(num_rows, kThreads), kThreads}, stream, params, batches,
         num_rows);
}

}  // namespace switchyard::cuda
