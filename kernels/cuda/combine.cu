#include "kernels/cuda/combine.h"

#include <algorithm>

#include "kernels/base/device_code.h"
#include "kernels/cpu/activate_impl.h"
#include "kernels/cuda/lane_vec.cuh"
#include "kernels/cuda/launch.cuh"

namespace switchyard::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kAhead = 8;
/// Sums that wait in the tree at once: their gaps descend from bit 31 to none (-1).
constexpr int kMostWaiting = 34;

/// A token's choices by ascending expert, and the tree over them: behind each term as many sums
/// that wait are joined with it, the last one first.
struct Terms {
  int count;
  int choice[kMaxTopK];
  int expert[kMaxTopK];
  int joins[kMaxTopK];
  float weight[kMaxTopK];
};

/// Two neighbours are joined by the block of experts whose size is the highest bit in which they
/// differ (-1: the same expert). A sum waits while the gap behind it is smaller than the one before
/// it, so that blocks are joined from the inside outwards.
__device__ void plan_tree(Terms& terms) {
  int waiting[kMostWaiting];  // the gap behind each
  int depth = 0;
  for (int t = 0; t < terms.count; ++t) {
    const bool is_last = t + 1 == terms.count;
    const int gap = is_last ? 32 : 31 - __clz(terms.expert[t] ^ terms.expert[t + 1]);
    terms.joins[t] = 0;
    for (; depth > 0 && waiting[depth - 1] <= gap; --depth) ++terms.joins[t];
    waiting[depth++] = gap;
  }
}

/// By all threads of the block: a choice goes behind those of lower experts and, of the same
/// expert, earlier ones. `chosen` has a place for each choice.
__device__ void sort_terms(const cpu::CombineParams& params, int64_t token, int* chosen,
                           Terms& terms) {
  const auto top_k = static_cast<int>(params.top_k);
  const auto self = static_cast<int>(threadIdx.x);
  for (int j = self; j < top_k; j += kThreads) chosen[j] = params.topk_idx[token * top_k + j];
  __syncthreads();
  for (int j = self; j < top_k; j += kThreads) {
    const int expert = chosen[j];
    if (expert < 0) continue;
    int place = 0;
    for (int other = 0; other < top_k; ++other) {
      const bool is_before = chosen[other] < expert || (chosen[other] == expert && other < j);
      if (chosen[other] >= 0 && is_before) ++place;
    }
    terms.expert[place] = expert;
    terms.choice[place] = j;
    terms.weight[place] = params.topk_weights[token * top_k + j];
  }
  __syncthreads();
  if (self == 0) {
    terms.count = 0;
    for (int j = 0; j < top_k; ++j) terms.count += chosen[j] >= 0 ? 1 : 0;
    plan_tree(terms);
  }
  __syncthreads();
}

/// Some columns of a token a block, a column a thread at a time. Bound by memory: top_k rows are
/// read once, kAhead of them at a time, for which a thread does not wait one after the other.
__global__ void combine_kernel(cpu::CombineParams params) {
  __shared__ Terms terms;
  __shared__ int chosen[kMaxTopK];
  __shared__ float waiting[kMostWaiting][kThreads];
  const int64_t token = blockIdx.x;
  const unsigned self = threadIdx.x;
  sort_terms(params, token, chosen, terms);
  const float shared_weight =
      params.shared_gate == nullptr ? 1.0f : cpu::sigmoid(LaneVec{params.shared_gate[token]}).v;
  for (int64_t i = self + int64_t{blockIdx.y} * kThreads; i < params.width;
       i += int64_t{gridDim.y} * kThreads) {
    int depth = 0;
    float sum = 0.0f;
    const float* const rows = params.expert_rows + token * params.top_k * params.width + i;
    for (int first = 0; first < terms.count; first += kAhead) {
      const int count = terms.count - first < kAhead ? terms.count - first : kAhead;
      float outputs[kAhead];
      SWITCHYARD_UNROLL
      for (int n = 0; n < kAhead; ++n) {
        outputs[n] = n < count ? rows[terms.choice[first + n] * params.width] : 0.0f;
      }
      SWITCHYARD_UNROLL
      for (int n = 0; n < kAhead; ++n) {
        if (n >= count) break;
        sum = terms.weight[first + n] * outputs[n];
        for (int join = 0; join < terms.joins[first + n]; ++join) {
          sum = waiting[--depth][self] + sum;
        }
        waiting[depth++][self] = sum;
      }
    }
    const int64_t place = token * params.width + i;
    if (params.shared != nullptr) sum = sum + shared_weight * params.shared[place];
    sum = params.branch_scale * sum;
    params.out[place] = params.residual != nullptr ? params.residual[place] + sum : sum;
  }
}

}  // namespace

void combine(cudaStream_t stream, const cpu::CombineParams& params) {
  // At few tokens the columns spread over blocks too: eight of them a multiprocessor of an H100.
  constexpr int64_t kWantedBlocks = 8 * 132;
  const int64_t wanted = kWantedBlocks / std::max<int64_t>(params.num_tokens, 1);
  const unsigned parts =
      std::clamp<unsigned>(static_cast<unsigned>(wanted), 1, blocks_for(params.width, kThreads));
  launch(combine_kernel, {dim3(static_cast<unsigned>(params.num_tokens), parts), kThreads}, stream,
         params);
}

}  // namespace switchyard::cuda
