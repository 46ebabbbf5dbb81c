#include "kernels/cuda/attention_work.h"

#include <algorithm>

#include "kernels/cuda/attention_pairs.cuh"
#include "kernels/cuda/launch.cuh"

namespace switchyard::cuda {
namespace {

constexpr int kThreads = 128;

/// A block a pair.
__global__ void join_kernel(AttentionWork work) {
  __shared__ Pair pairs[kThreads];
  const RowRun run = work.rows.find(blockIdx.x);
  find_pairs(work, run, blockIdx.x, pairs);
  __syncthreads();
  const Pair& pair = pairs[blockIdx.y];
  if (pair.end_key == 0) return;
  for (int64_t c = threadIdx.x; c < work.params.layout.value_dim; c += kThreads) {
    const float* partial = partial_of(work, blockIdx.x, pair.first_segment(), blockIdx.y);
    Seen seen{partial[0], partial[1]};
    float out = partial[2 + c];
    for (int64_t segment = pair.first_segment() + 1; segment <= pair.last_segment(); ++segment) {
      partial = partial_of(work, blockIdx.x, segment, blockIdx.y);
      const Joint joint(seen.maximum, partial[0]);
      seen = {joint.maximum, joint.join(seen.sum, partial[1])};
      out = joint.join(out, partial[2 + c]);
    }
    output_of(work.params, pair)[c] = finish_output(work.params, pair.head, seen, out);
  }
}

/// Segments of the longest row.
int64_t most_segments(const cpu::PagedSequences& rows) {
  int64_t most = std::max<int64_t>(
      1, (rows.decode.num_pages + cpu::kPagesPerSegment - 1) / cpu::kPagesPerSegment);
  for (const SequenceRows& sequence : rows.sequences) {
    if (sequence.num_rows == 0) continue;
    const int64_t end = std::min(sequence.first_position + sequence.num_rows, sequence.num_keys);
    most = std::max(most, (end + kKeysPerSegment - 1) / kKeysPerSegment);
  }
  return most;
}

}  // namespace

AttentionWork cut_attention(CudaQueue& queue, const cpu::AttentionParams& params,
                            const cpu::PagedSequences& rows, int pairs) {
  // Two blocks for each of an H100's 132 multiprocessors.
  constexpr int64_t kFewItems = 264;
  const int64_t heads = params.num_heads / params.layout.num_kv_heads;
  AttentionWork work = {};
  work.params = params;
  work.pairs = pairs;
  work.rows = upload_rows(queue, rows, [&](const SequenceRows& sequence) {
    return (sequence.num_rows * heads + pairs - 1) / pairs * params.layout.num_kv_heads;
  });
  work.num_segments = most_segments(rows);
  const int64_t partial_bytes = work.rows.num_items * work.num_segments * pairs *
                                (params.layout.padded_dim + 2) * size_of(DType::kF32);
  const bool is_cut = work.num_segments > 1 && work.rows.num_items < kFewItems &&
                      partial_bytes <= kMostAttentionPartialBytes;
  if (is_cut) work.partials = static_cast<float*>(queue.scratch(partial_bytes));
  return work;
}

void join_segments(CudaQueue& queue, const AttentionWork& work) {
  if (work.partials == nullptr) return;
  launch(join_kernel,
         {dim3(static_cast<unsigned>(work.rows.num_items), static_cast<unsigned>(work.pairs)),
          kThreads},
         queue.stream(), work);
}

}  // namespace switchyard::cuda
