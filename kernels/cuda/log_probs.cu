#include "kernels/cuda/log_probs.h"

#include "kernels/cpu/lanes.h"
#include "kernels/cpu/math.h"
#include "kernels/cuda/block_search.cuh"
#include "kernels/cuda/lane_vec.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/ops.h"

namespace switchyard::cuda {
namespace {

constexpr unsigned kThreads = 256;

/// What a segment of the vocabulary gives to its row.
struct Segment {
  float maximum;
  float sum;      // of exp(x - maximum)
  int is_finite;  // every logit is
};

__device__ float scalar_exp(float x) { return cpu::exp(LaneVec{x}).v; }

/// The largest of the threads' numbers, by every thread; order does not matter without NaN.
__device__ float largest_of_block(float mine, float* shared) {
  for (int width = 16; width >= 1; width /= 2) {
    const float other = __shfl_xor_sync(0xFFFFFFFFu, mine, width);
    mine = other > mine ? other : mine;
  }
  if (threadIdx.x % 32 == 0) shared[threadIdx.x / 32] = mine;
  __syncthreads();
  float largest = shared[0];
  for (unsigned warp = 1; warp < kThreads / 32; ++warp) {
    largest = shared[warp] > largest ? shared[warp] : largest;
  }
  return largest;
}

/// A block a segment of a row, along the one axis of a grid that has no limit of 65,535. The
/// exponentials, which take the time, are everybody's; then sixteen threads add them in the CPU's
/// lanes.
__global__ void segment_kernel(const float* logits, int64_t vocabulary, int64_t num_segments,
                               Segment* segments) {
  __shared__ float terms[kVocabularyPerSegment];
  __shared__ float shared[kThreads / 32];
  __shared__ int is_finite;
  const int64_t row = blockIdx.x / num_segments;
  const int64_t first = blockIdx.x % num_segments * kVocabularyPerSegment;
  const int64_t rest = vocabulary - first;
  const int64_t count = rest < kVocabularyPerSegment ? rest : kVocabularyPerSegment;
  const float* const x = logits + row * vocabulary + first;
  if (threadIdx.x == 0) is_finite = 1;
  __syncthreads();
  float largest = -cpu::kInfinity;
  for (int64_t i = threadIdx.x; i < count; i += kThreads) {
    terms[i] = x[i];
    largest = x[i] > largest ? x[i] : largest;
    if (!(x[i] * 0.0f == 0.0f)) is_finite = 0;
  }
  largest = largest_of_block(largest, shared);
  for (int64_t i = threadIdx.x; i < count; i += kThreads) terms[i] = scalar_exp(terms[i] - largest);
  __syncthreads();
  if (threadIdx.x >= 16) return;
  LaneVec sum = LaneVec::zero();
  for (int64_t i = 0; i < count; i += 16) {
    if (i + lane_number() < count) sum = sum + LaneVec::load(terms + i);
  }
  const float total = reduce_add(sum);
  if (threadIdx.x > 0) return;
  segments[blockIdx.x] = {largest, total, is_finite};
}

__device__ cpu::LogNormaliser join_segments(const Segment* segments, int64_t count) {
  float maximum = segments[0].maximum;
  float total = segments[0].sum;
  int is_finite = segments[0].is_finite;
  for (int64_t s = 1; s < count; ++s) {
    const float joined = segments[s].maximum > maximum ? segments[s].maximum : maximum;
    total = total * scalar_exp(maximum - joined) +
            segments[s].sum * scalar_exp(segments[s].maximum - joined);
    maximum = joined;
    is_finite &= segments[s].is_finite;
  }
  return {maximum, is_finite != 0 ? cpu::log(LaneVec{total}).v : cpu::kNan};
}

__device__ float log_prob(float logit, const cpu::LogNormaliser& normaliser) {
  return (logit - normaliser.maximum) - normaliser.log_sum;
}

/// Without a number that is larger than another, a heap that is taken apart turns its ids round.
__device__ void list_nan_row(const cpu::LogProbsParams& params, int64_t row) {
  int32_t* const ids = params.top_ids + row * params.num_top;
  float* const values = params.top_logprobs + row * params.num_top;
  for (int64_t i = 0; i < params.num_top; ++i) {
    ids[i] = static_cast<int32_t>(i);
    values[i] = cpu::kNan;
  }
  for (int64_t end = params.num_top - 1; end > 0; --end) {
    const int32_t first = ids[0];
    ids[0] = ids[end];
    ids[end] = first;
  }
}

/// The next entry behind `last` in the order of log-probs, by every thread of the block.
__device__ Ranked next_of_row(const float* logits, int64_t vocabulary,
                              const cpu::LogNormaliser& normaliser, const Ranked& last,
                              Ranked* shared) {
  Ranked mine{0.0f, -1};
  for (int64_t i = threadIdx.x; i < vocabulary; i += kThreads) {
    const Ranked entry{log_prob(logits[i], normaliser), static_cast<int32_t>(i)};
    if (last.id >= 0 && !goes_before(last, entry)) continue;
    if (goes_before(entry, mine)) mine = entry;
  }
  return first_of_block(mine, shared);
}

/// A block a row.
__global__ void row_kernel(cpu::LogProbsParams params, const Segment* segments,
                           int64_t num_segments) {
  __shared__ Ranked shared[kThreads / 32];
  const int64_t row = blockIdx.x;
  const float* const logits = params.logits + row * params.vocabulary;
  const cpu::LogNormaliser normaliser = join_segments(segments + row * num_segments, num_segments);
  const bool is_finite = normaliser.log_sum == normaliser.log_sum;
  Ranked last{0.0f, -1};
  const int64_t wanted = params.num_top > 1 ? params.num_top : 1;
  for (int64_t n = 0; n < wanted && is_finite; ++n) {
    last = next_of_row(logits, params.vocabulary, normaliser, last, shared);
    if (threadIdx.x > 0) continue;
    if (n == 0) params.greedy[row] = last.id;
    if (n < params.num_top) {
      params.top_ids[row * params.num_top + n] = last.id;
      params.top_logprobs[row * params.num_top + n] = last.value;
    }
  }
  if (threadIdx.x > 0) return;
  const int64_t target = params.targets[row];
  const bool is_there = target >= 0 && target < params.vocabulary;
  params.logprobs[row] = is_there ? log_prob(logits[target], normaliser) : cpu::kNan;
  if (!is_finite) {
    params.greedy[row] = 0;
    list_nan_row(params, row);
  }
}

int64_t segments_of(int64_t vocabulary) {
  return (vocabulary + kVocabularyPerSegment - 1) / kVocabularyPerSegment;
}

}  // namespace

int64_t log_probs_scratch_bytes(int64_t num_rows, int64_t vocabulary) {
  return num_rows * segments_of(vocabulary) * static_cast<int64_t>(sizeof(Segment));
}

void log_probs(cudaStream_t stream, const cpu::LogProbsParams& params, void* scratch) {
  const int64_t num_segments = segments_of(params.vocabulary);
  auto* const segments = static_cast<Segment*>(scratch);
  const auto rows = static_cast<unsigned>(params.num_rows);
  launch(segment_kernel, {rows * static_cast<unsigned>(num_segments), kThreads}, stream,
         params.logits, params.vocabulary, num_segments, segments);
  launch(row_kernel, {rows, kThreads}, stream, params, static_cast<const Segment*>(segments),
         num_segments);
}

}  // namespace switchyard::cuda
