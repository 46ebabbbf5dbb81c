#include "kernels/cuda/elementwise.h"

#include "kernels/cpu/activate_impl.h"
#include "kernels/cpu/circle_impl.h"
#include "kernels/cpu/quantized_layout.h"
#include "kernels/cuda/lane_vec.cuh"
#include "kernels/cuda/launch.cuh"

namespace switchyard::cuda {
namespace {

constexpr int64_t kThreads = 256;

__device__ int64_t thread_number() { return int64_t{blockIdx.x} * blockDim.x + threadIdx.x; }

/// Starts kernel(args...) with a thread for each of `count` items.
template <typename... Params, typename... Args>
void launch_each(void (*kernel)(Params...), int64_t count, cudaStream_t stream, Args&&... args) {
  launch(kernel, {blocks_for(count, kThreads), kThreads}, stream, std::forward<Args>(args)...);
}

__global__ void sinusoidal_kernel(cpu::SinusoidalPositionsParams params, const float* frequencies) {
  const int64_t half = params.width / 2;
  const int64_t columns = half + params.width % 2;
  const int64_t item = thread_number();
  if (item >= params.num_rows * columns) return;
  const int64_t row = item / columns;
  const int64_t i = item % columns;
  float* const out = params.out + row * params.width;
  if (i == half) {  // the odd last column
    out[params.width - 1] = 0.0f;
    return;
  }
  float sine = 0.0f;
  float cosine = 0.0f;
  if (row != params.zero_row) {
    const float angle = static_cast<float>(row) * frequencies[i];
    cpu::sine_and_cosine<LaneVec>(angle, &sine, &cosine);
  }
  out[i] = sine;
  out[half + i] = cosine;
}

__device__ float element_of(const void* data, DType dtype, int64_t index) {
  if (dtype == DType::kF32) return static_cast<const float*>(data)[index];
  const uint16_t bits = static_cast<const uint16_t*>(data)[index];
  return dtype == DType::kF16 ? widen_f16(bits) : widen_bf16(bits);
}

__global__ void embed_kernel(cpu::EmbedParams params, bool keeps_rows) {
  const int64_t width = params.table.spec.cols;
  const int64_t item = thread_number();
  if (item >= params.num_tokens * width) return;
  const int64_t row = item / width;
  const int64_t i = item % width;
  const int64_t id = params.ids[row];
  float out = cpu::kNan;
  if (id >= 0 && id < params.table.spec.rows) {
    constexpr int64_t kPanel = cpu::kPanelWidth;
    const int64_t index =
        keeps_rows ? id * width + i : (id / kPanel * width + i) * kPanel + id % kPanel;
    out = element_of(params.table.data, params.table.spec.dtype, index) * params.scale;
  }
  if (params.position_table != nullptr) {
    const int64_t position = params.positions[row];
    const bool is_there = position >= 0 && position < params.num_positions;
    out += is_there ? params.position_table[position * width + i] : cpu::kNan;
  }
  params.out[item] = out;
}

__global__ void clamp_kernel(cpu::ClampParams params) {
  const int64_t i = thread_number();
  if (i >= params.count) return;
  // Comparisons with NaN are false.
  const float x = params.x[i] > params.limit ? params.limit : params.x[i];
  params.x[i] = x < -params.limit ? -params.limit : x;
}

__global__ void rope_table_kernel(cpu::RopeTableParams params) {
  const int64_t item = thread_number();
  if (item >= params.num_rows * params.half) return;
  const int64_t row = item / params.half;
  const int64_t i = item % params.half;
  const int64_t set = params.frequency_set[row];
  float sine = cpu::kNan;
  float cosine = cpu::kNan;
  if (set >= 0 && set < params.num_sets) {
    const float position = static_cast<float>(params.positions[row]);
    const float angle = position * params.frequencies[set * params.half + i];
    cpu::sine_and_cosine<LaneVec>(angle, &sine, &cosine);
    cosine *= params.scales[set];
    sine *= params.scales[set];
  }
  params.out[row * 2 * params.half + i] = cosine;
  params.out[row * 2 * params.half + params.half + i] = sine;
}

/// A thread a pair. Each reads its pair before it writes it: out may be x.
__global__ void rope_kernel(cpu::RopeParams params) {
  const int64_t item = thread_number();
  if (item >= params.num_rows * params.out.num_heads * params.half) return;
  const int64_t i = item % params.half;
  const int64_t head = item / params.half % params.out.num_heads;
  const int64_t row = item / params.half / params.out.num_heads;
  const bool is_halves = params.layout == RopeLayout::kHalves;
  const int64_t first = is_halves ? i : 2 * i;
  const int64_t second = is_halves ? params.half + i : 2 * i + 1;
  const float* const x = params.x.at(row, params.x.num_heads == 1 ? 0 : head);
  float* const out = params.out.at(row, head);
  const float* const table = params.table + row * 2 * params.half;
  const float cosine = table[i];
  const float sine = table[params.half + i];
  const float a = x[first];
  const float b = x[second];
  out[first] = fmaf(-b, sine, a * cosine);
  out[second] = fmaf(a, sine, b * cosine);
}

__global__ void glu_kernel(cpu::GluParams params, const int32_t* num_rows) {
  const int64_t item = thread_number();
  if (item >= params.num_rows * params.units) return;
  const int64_t row = item / params.units;
  if (num_rows != nullptr && row >= *num_rows) return;
  const int64_t i = item % params.units;
  const bool is_interleaved = params.form.glu == GluLayout::kInterleaved;
  const float* const x = params.x + row * 2 * params.units;
  const LaneVec gate{x[is_interleaved ? 2 * i : i]};
  const LaneVec linear{x[is_interleaved ? 2 * i + 1 : params.units + i]};
  params.out[item] = cpu::gated(params.form, gate, linear).v;
}

/// Sixteen bytes a thread where rows are made of such, else four.
template <typename Word, bool kGathers>
__global__ void copy_rows_kernel(cpu::CopyRowsParams params) {
  const int64_t words = params.row_bytes / static_cast<int64_t>(sizeof(Word));
  const int64_t item = thread_number();
  if (item >= params.count * words) return;
  const int64_t i = item / words;
  const int64_t word = item % words;
  const int64_t row = params.index[i];
  if (row == kNoRow) return;
  const bool is_there = row >= 0 && row < params.indexed_rows;
  const auto* const from = static_cast<const Word*>(params.from);
  auto* const to = static_cast<Word*>(params.to);
  if constexpr (kGathers) {
    Word value;
    memset(&value, 0xFF, sizeof(value));
    to[item] = is_there ? from[row * words + word] : value;
  } else {
    if (is_there) to[row * words + word] = from[i / params.copies * words + word];
  }
}

template <bool kGathers>
void copy_rows(cudaStream_t stream, const cpu::CopyRowsParams& params) {
  const bool is_wide = params.row_bytes % 16 == 0;
  const int64_t words = params.row_bytes / (is_wide ? 16 : 4);
  launch_each(is_wide ? copy_rows_kernel<uint4, kGathers> : copy_rows_kernel<uint32_t, kGathers>,
              params.count * words, stream, params);
}

}  // namespace

void sinusoidal_positions(cudaStream_t stream, const cpu::SinusoidalPositionsParams& params,
                          const float* frequencies) {
  launch_each(sinusoidal_kernel, params.num_rows * (params.width / 2 + params.width % 2), stream,
              params, frequencies);
}

void embed(cudaStream_t stream, const cpu::EmbedParams& params, bool keeps_rows) {
  launch_each(embed_kernel, params.num_tokens * params.table.spec.cols, stream, params, keeps_rows);
}

void clamp(cudaStream_t stream, const cpu::ClampParams& params) {
  launch_each(clamp_kernel, params.count, stream, params);
}

void rope_table(cudaStream_t stream, const cpu::RopeTableParams& params) {
  launch_each(rope_table_kernel, params.num_rows * params.half, stream, params);
}

void rope(cudaStream_t stream, const cpu::RopeParams& params) {
  launch_each(rope_kernel, params.num_rows * params.out.num_heads * params.half, stream, params);
}

void glu(cudaStream_t stream, const cpu::GluParams& params, const int32_t* num_rows) {
  launch_each(glu_kernel, params.num_rows * params.units, stream, params, num_rows);
}

void gather_rows(cudaStream_t stream, const cpu::CopyRowsParams& params) {
  copy_rows<true>(stream, params);
}

void scatter_rows(cudaStream_t stream, const cpu::CopyRowsParams& params) {
  copy_rows<false>(stream, params);
}

}  // namespace switchyard::cuda
