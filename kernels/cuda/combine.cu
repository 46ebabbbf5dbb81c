#include "kernels/cuda/combine.h"

#include "kernels/cpu/activate_impl.h"
#include "kernels/cuda/lane_vec.cuh"
#include "kernels/cuda/launch.cuh"

namespace switchyard::cuda {
namespace {

constexpr int kThreads = 128;
/// Sums that wait in the tree at once: their gaps descend from bit 31 to none (-1).
constexpr int kMostWaiting = 34;

/// A token's choices by ascending expert, and the tree over them: behind each term as many sums
/// that wait are joined with it, the last one first.
struct Terms {
  int count;
  int choice[kMaxTopK];
  int expert[kMaxTopK];
  int joins[kMaxTopK];
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

__device__ void sort_terms(const cpu::CombineParams& params, int64_t token, Terms& terms) {
  terms.count = 0;
  for (int j = 0; j < static_cast<int>(params.top_k); ++j) {
    const int expert = params.topk_idx[token * params.top_k + j];
    if (expert < 0) continue;
    int place = terms.count++;
    for (; place > 0 && terms.expert[place - 1] > expert; --place) {
      terms.expert[place] = terms.expert[place - 1];
      terms.choice[place] = terms.choice[place - 1];
    }
    terms.expert[place] = expert;
    terms.choice[place] = j;
  }
  plan_tree(terms);
}

/// Some columns of a token a block, a column a thread at a time. Bound by memory: top_k rows are
/// read once.
__global__ void combine_kernel(cpu::CombineParams params) {
  __shared__ Terms terms;
  __shared__ float waiting[kMostWaiting][kThreads];
  const int64_t token = blockIdx.x;
  const unsigned self = threadIdx.x;
  if (self == 0) sort_terms(params, token, terms);
  __syncthreads();
  const float shared_weight =
      params.shared_gate == nullptr ? 1.0f : cpu::sigmoid(LaneVec{params.shared_gate[token]}).v;
  for (int64_t i = self + int64_t{blockIdx.y} * kThreads; i < params.width;
       i += int64_t{gridDim.y} * kThreads) {
    int depth = 0;
    float sum = 0.0f;
    for (int t = 0; t < terms.count; ++t) {
      const int64_t choice = token * params.top_k + terms.choice[t];
      sum = params.topk_weights[choice] * params.expert_rows[choice * params.width + i];
      for (int join = 0; join < terms.joins[t]; ++join) sum = waiting[--depth][self] + sum;
      waiting[depth++][self] = sum;
    }
    const int64_t place = token * params.width + i;
    if (params.shared != nullptr) sum = sum + shared_weight * params.shared[place];
    sum = params.branch_scale * sum;
    params.out[place] = params.residual != nullptr ? params.residual[place] + sum : sum;
  }
}

}  // namespace

void combine(cudaStream_t stream, const cpu::CombineParams& params) {
  // At few tokens the columns spread over blocks too.
  const unsigned parts = params.num_tokens < 256 ? blocks_for(params.width, 4 * kThreads) : 1;
  launch(combine_kernel, {dim3(static_cast<unsigned>(params.num_tokens), parts), kThreads}, stream,
         params);
}

}  // namespace switchyard::cuda
