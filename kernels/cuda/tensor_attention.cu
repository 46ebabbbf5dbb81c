// Few rows wait for keys and values: a block has up to two pages of one head on their way (64 KiB
// with heads of 128), each read once for all heads that share it. Many rows are bound by tensor
// cores and shared memory: 64 pairs a block use each byte that is read 128 times.
#include "kernels/cuda/tensor_attention.h"

#include <algorithm>

#include "kernels/base/error.h"
#include "kernels/cuda/attention_work.h"
#include "kernels/cuda/tensor_attention_tile.cuh"

namespace switchyard::cuda {
namespace {

struct Call {
  AttentionWork work;
  TensorKeyValueLayout layout;
  const uint16_t* pages;
  int stages;  // 1 or 2: of pages in shared memory
};

/// Where the block works.
struct Place {
  const int32_t* page_table;
  int64_t kv_head;
  int64_t first_key;  // of any pair, [first_key, end_key)
  int64_t end_key;
  int num_pairs;
};

template <int kTiles>
__device__ Place find_place(const Call& call, TensorState<kTiles>& state) {
  const RowRun run = call.work.rows.find(blockIdx.x);
  Place place;
  place.page_table = call.work.rows.page_table + run.rows.first_page_entry;
  place.kv_head = find_pairs(call.work, run, blockIdx.x, state.pairs);
  if (threadIdx.x < state.kPairs) state.joined[threadIdx.x] = {-cpu::kInfinity, 0.0f};
  __syncthreads();
  place.num_pairs = state.kPairs;
  while (state.pairs[place.num_pairs - 1].end_key == 0) --place.num_pairs;
  place.first_key = state.pairs[0].first_key;
  place.end_key = state.pairs[place.num_pairs - 1].end_key;
  if (call.work.partials != nullptr) {
    const int64_t begin = int64_t{blockIdx.y} * kKeysPerSegment;
    const int64_t end = begin + kKeysPerSegment;
    place.first_key = place.first_key > begin ? place.first_key : begin;
    place.end_key = place.end_key < end ? place.end_key : end;
  }
  return place;
}

/// Starts the copies of a page, as one group; of none where no pair sees it.
__device__ void stage_page(const Call& call, const Place& place, const TensorArrays& arrays,
                           int64_t page, int stage) {
  const cpu::KeyRange range = keys_in_page({0, 0, place.first_key, place.end_key}, page);
  if (range.begin < range.end) {
    const TensorKeyValueLayout& layout = call.layout;
    const uint16_t* const keys =
        call.pages + place.page_table[page] * layout.page_size + place.kv_head * layout.head_size;
    const int key_size = static_cast<int>(layout.key_stride);
    const int value_size = static_cast<int>(layout.value_stride);
    stage_rows(keys, key_size, arrays.keys(stage), arrays.query_stride, range);
    if (value_size > 0) {
      stage_rows(keys + kPageKeys * key_size, value_size, arrays.values(stage), arrays.value_stride,
                 range);
    }
  }
  commit_copies();
}

template <int kTiles>
__device__ bool see_different_keys(const TensorState<kTiles>& state, const Place& place,
                                   int64_t page) {
  const cpu::KeyRange first = keys_in_page(state.pairs[0], page);
  const cpu::KeyRange last = keys_in_page(state.pairs[place.num_pairs - 1], page);
  return first.begin != last.begin || first.end != last.end;
}

/// Scores, weights and outputs of a staged page.
template <typename Numbers, int kTiles, int kGroups>
__device__ void attend_page(const Call& call, const Place& place, TensorState<kTiles>& state,
                            TensorArrays& arrays, int64_t page, int stage,
                            TensorOutputs<kTiles, kGroups>& out) {
  const int num_columns = static_cast<int>(call.work.params.layout.padded_dim);
  const uint16_t* const values = arrays.values(stage);
  const bool differ = see_different_keys(state, place, page);
  score_keys<Numbers, kTiles>(arrays, arrays.keys(stage));
  if (threadIdx.x == 0) state.has_non_finite = 0;
  __syncthreads();
  soften_scores<Numbers>(state, arrays, page);
  if (differ && finds_non_finite<Numbers>(values, arrays.value_stride, num_columns)) {
    state.has_non_finite = 1;
  }
  __syncthreads();
  rescale_outputs<kTiles, kGroups>(state, out);
  if (state.has_non_finite == 0) {
    add_values<Numbers, kTiles, kGroups>(arrays, values, num_columns, out);
  } else {
    add_values_apart<Numbers, kTiles, kGroups>(state, page, arrays, values, num_columns, out);
  }
}

template <int kTiles, int kGroups>
__device__ void start_segment(TensorState<kTiles>& state, TensorOutputs<kTiles, kGroups>& out) {
  SWITCHYARD_UNROLL
  for (int tile = 0; tile < kTiles; ++tile) {
    SWITCHYARD_UNROLL
    for (int i = 0; i < 8 * kGroups; ++i) out[tile][i / 8][i / 4 % 2][i % 4] = 0.0f;
  }
  if (threadIdx.x < state.kPairs) state.segment[threadIdx.x] = {-cpu::kInfinity, 0.0f};
}

/// Calls store(column, number) for a thread's outputs of pair 16 tile + lane / 4 + 8 second. A zero
/// is a positive one: what is added for keys that are not seen could change its sign.
template <int kGroups, typename Store>
__device__ void for_each_output(const float (&out)[kGroups][2][4], bool second, int num_columns,
                                const Store& store) {
  SWITCHYARD_UNROLL
  for (int i = 0; i < 2 * kGroups; ++i) {
    const int column = first_column(i / 2) + i % 2 * 8 + warp_lane() % 4 * 2;
    const float(&c)[4] = out[i / 2][i % 2];
    if (column < num_columns) store(column, (second ? c[2] : c[0]) + 0.0f);
    if (column + 1 < num_columns) store(column + 1, (second ? c[3] : c[1]) + 0.0f);
  }
}

/// Leaves the segment for join_segments().
template <int kTiles, int kGroups>
__device__ void store_partials(const Call& call, const TensorState<kTiles>& state, int64_t segment,
                               const TensorOutputs<kTiles, kGroups>& out) {
  SWITCHYARD_UNROLL
  for (int i = 0; i < 2 * kTiles; ++i) {
    float* const partial =
        partial_of(call.work, blockIdx.x, segment, i / 2 * 16 + warp_lane() / 4 + i % 2 * 8);
    for_each_output(out[i / 2], i % 2 == 1, static_cast<int>(call.work.params.layout.value_dim),
                    [&](int column, float number) { partial[2 + column] = number; });
  }
  if (threadIdx.x >= state.kPairs) return;
  float* const partial = partial_of(call.work, blockIdx.x, segment, threadIdx.x);
  partial[0] = state.segment[threadIdx.x].maximum;
  partial[1] = state.segment[threadIdx.x].sum;
}

/// What a pair has seen with the segment that has just ended.
__device__ Seen join_seen(const Pair& pair, const Seen& joined, const Seen& segment,
                          const Joint& joint, int64_t number) {
  if (number == pair.first_segment()) return segment;
  return {joint.maximum, joint.join(joined.sum, segment.sum)};
}

/// Joins the segment that has just ended into the outputs of those before, which wait in the result
/// itself: 512 bytes a pair and 1,024 keys with values of 128.
template <int kTiles, int kGroups>
__device__ void finish_segment(const Call& call, TensorState<kTiles>& state, int64_t segment,
                               const TensorOutputs<kTiles, kGroups>& out) {
  const cpu::AttentionParams& params = call.work.params;
  SWITCHYARD_UNROLL
  for (int i = 0; i < 2 * kTiles; ++i) {
    const int p = i / 2 * 16 + warp_lane() / 4 + i % 2 * 8;
    const Pair& pair = state.pairs[p];
    if (!pair.sees_segment(segment)) continue;
    const Joint joint(state.joined[p].maximum, state.segment[p].maximum);
    const Seen seen = join_seen(pair, state.joined[p], state.segment[p], joint, segment);
    float* const result = output_of(params, pair);
    for_each_output(out[i / 2], i % 2 == 1, static_cast<int>(params.layout.value_dim),
                    [&](int column, float number) {
                      if (segment > pair.first_segment()) {
                        number = joint.join(result[column], number);
                      }
                      if (segment == pair.last_segment()) {
                        number = finish_output(params, pair.head, seen, number);
                      }
                      result[column] = number;
                    });
  }
  __syncthreads();
  if (threadIdx.x >= state.kPairs) return;
  const int p = static_cast<int>(threadIdx.x);
  if (!state.pairs[p].sees_segment(segment)) return;
  const Joint joint(state.joined[p].maximum, state.segment[p].maximum);
  state.joined[p] = join_seen(state.pairs[p], state.joined[p], state.segment[p], joint, segment);
}

/// A block an item and, where cut, a segment.
template <typename Numbers, int kTiles, int kGroups>
__global__ void __launch_bounds__(kAttentionThreads) tensor_attention_kernel(Call call) {
  __shared__ TensorState<kTiles> state;
  TensorArrays arrays(call.layout, 16 * kTiles);
  const Place place = find_place(call, state);
  if (place.first_key >= place.end_key) return;
  const int64_t first_page = place.first_key / kPageKeys;
  const int64_t last_page = (place.end_key - 1) / kPageKeys;
  load_queries<Numbers>(call.work.params, state.pairs, state.kPairs, arrays);
  stage_page(call, place, arrays, first_page, 0);
  TensorOutputs<kTiles, kGroups> out;
  for (int64_t page = first_page; page <= last_page; ++page) {
    const int stage = call.stages == 1 ? 0 : static_cast<int>((page - first_page) % 2);
    if (call.stages == 2) stage_page(call, place, arrays, page + 1, 1 - stage);
    if (page == first_page || page % cpu::kPagesPerSegment == 0) {
      start_segment<kTiles, kGroups>(state, out);
    }
    if (call.stages == 2) {
      wait_for_copies<1>();
    } else {
      wait_for_copies<0>();
    }
    __syncthreads();
    attend_page<Numbers, kTiles, kGroups>(call, place, state, arrays, page, stage, out);
    if (page == last_page || (page + 1) % cpu::kPagesPerSegment == 0) {
      if (call.work.partials != nullptr) {
        store_partials<kTiles, kGroups>(call, state, page / cpu::kPagesPerSegment, out);
      } else {
        finish_segment<kTiles, kGroups>(call, state, page / cpu::kPagesPerSegment, out);
      }
    }
    __syncthreads();
    if (call.stages == 1) stage_page(call, place, arrays, page + 1, 0);
  }
}

size_t shared_bytes(const TensorKeyValueLayout& layout, int tiles, int stages) {
  const int64_t key_row = (layout.key_stride + kRowPadding) * 2;
  const int64_t value_row = layout.value_stride == 0 ? 0 : (layout.value_stride + kRowPadding) * 2;
  const int64_t pairs = tiles * 16;
  return static_cast<size_t>(pairs * (key_row + kScoreStride * 4) +
                             stages * kPageKeys * (key_row + value_row));
}

/// Dynamic shared memory that a block may have: what the GPU allows less 4 KiB for TensorState.
size_t most_shared_bytes() {
  static const size_t most = [] {
    int device = 0;
    cudaDeviceProp properties = {};
    check_cuda(cudaGetDevice(&device), "asking for the GPU");
    check_cuda(cudaGetDeviceProperties(&properties, device), "asking for a GPU's shared memory");
    return properties.sharedMemPerBlockOptin - 4096;
  }();
  return most;
}

/// How a call is run; its numbers depend on none of this.
struct Shape {
  int tiles;
  int stages;
};

Shape choose_shape(const cpu::AttentionParams& params, const TensorKeyValueLayout& layout,
                   const cpu::PagedSequences& rows) {
  int64_t most_pairs = params.num_heads / params.layout.num_kv_heads;
  for (const SequenceRows& sequence : rows.sequences) {
    most_pairs =
        std::max(most_pairs, sequence.num_rows * params.num_heads / params.layout.num_kv_heads);
  }
  // With more than 128 columns the outputs of 64 pairs do not fit registers.
  const int many = params.layout.padded_dim <= 128 ? 4 : 2;
  const int wanted = most_pairs <= 16 ? 1 : many;
  for (const Shape& shape : {Shape{wanted, 2}, Shape{1, 2}, Shape{wanted, 1}, Shape{1, 1}}) {
    if (shared_bytes(layout, shape.tiles, shape.stages) <= most_shared_bytes()) return shape;
  }
  fail_resource("attention on tensor cores with keys of ", params.layout.head_dim,
                " and values of ", params.layout.value_dim,
                " needs more shared memory than this GPU has; choose --numerics cpu-fp32");
}

template <typename Numbers, int kTiles, int kGroups>
void start(CudaQueue& queue, const Call& call) {
  const int64_t blocks = call.work.partials == nullptr ? 1 : call.work.num_segments;
  launch(tensor_attention_kernel<Numbers, kTiles, kGroups>,
         {dim3(static_cast<unsigned>(call.work.rows.num_items), static_cast<unsigned>(blocks)),
          kAttentionThreads, shared_bytes(call.layout, kTiles, call.stages)},
         queue.stream(), call);
}

template <typename Numbers>
void start_with(CudaQueue& queue, const Call& call, int tiles) {
  const int64_t columns = call.work.params.layout.padded_dim;
  if (columns <= 64) {
    tiles == 1 ? start<Numbers, 1, 1>(queue, call) : start<Numbers, 4, 1>(queue, call);
  } else if (columns <= 128) {
    tiles == 1 ? start<Numbers, 1, 2>(queue, call) : start<Numbers, 4, 2>(queue, call);
  } else if (columns <= 256) {
    tiles == 1 ? start<Numbers, 1, 4>(queue, call) : start<Numbers, 2, 4>(queue, call);
  } else {
    tiles == 1 ? start<Numbers, 1, 8>(queue, call) : start<Numbers, 2, 8>(queue, call);
  }
}

}  // namespace

void tensor_attention(CudaQueue& queue, const cpu::AttentionParams& params,
                      const cpu::PagedSequences& rows, Arithmetic arithmetic) {
  if (params.layout.padded_dim > kMaxTensorValueDim) {
    fail_resource("attention on tensor cores takes values of at most ", kMaxTensorValueDim,
                  ", not of ", params.layout.value_dim, "; choose --numerics cpu-fp32");
  }
  Call call = {};
  call.layout = TensorKeyValueLayout(params.layout);
  const Shape shape = choose_shape(params, call.layout, rows);
  call.work = cut_attention(queue, params, rows, 16 * shape.tiles);
  call.pages = reinterpret_cast<const uint16_t*>(params.pages);
  call.stages = shape.stages;
  if (arithmetic == Arithmetic::kBf16) {
    start_with<Bf16Numbers>(queue, call, shape.tiles);
  } else {
    start_with<Fp16Numbers>(queue, call, shape.tiles);
  }
  join_segments(queue, call.work);
}

}  // namespace switchyard::cuda
