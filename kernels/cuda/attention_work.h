// How attention is cut into blocks, in every arithmetic.
#pragma once

#include "kernels/cpu/attention.h"
#include "kernels/cuda/cuda_queue.h"
#include "kernels/cuda/paged_rows.h"

namespace switchyard::cuda {

/// What the results of segments that blocks share take at most.
inline constexpr int64_t kMostAttentionPartialBytes = int64_t{1} << 26;

/// An item is up to `pairs` pairs of a row and a head of one run that share a key/value head, so
/// that each key and value is loaded once for all of them.
struct AttentionWork {
  cpu::AttentionParams params;
  PagedRows rows;
  int pairs;
  int64_t num_segments;  // of the longest row
  /// [items, num_segments, pairs, padded_dim + 2] where each segment of an item has a block of its
  /// own, for few items would not fill the device; else null, and a block takes all of an item.
  float* partials;
};

/// Uploads the rows and decides how they are cut.
AttentionWork cut_attention(CudaQueue& queue, const cpu::AttentionParams& params,
                            const cpu::PagedSequences& rows, int pairs);

/// Joins the segments of each pair in ascending order, where they were cut.
void join_segments(CudaQueue& queue, const AttentionWork& work);

}  // namespace switchyard::cuda
