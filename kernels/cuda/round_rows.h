// Rows rounded to 16 bits, in the tiles that warpgroups multiply.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

#include "kernels/backend.h"
#include "kernels/base/device_code.h"
#include "kernels/cuda/job_batch.h"

namespace switchyard::cuda {

/// Rows and inputs of a tile of rounded rows, which takes kRoundedTileBytes. Input k of row r lies
/// in the 16-byte piece k / 8 ^ (r % 8) of the row's 128 bytes: products read 8 rows at a time, and
/// so from different banks.
inline constexpr int kRoundedRows = 64;
inline constexpr int kRoundedInputs = 64;
inline constexpr int kRoundedTileBytes = kRoundedRows * kRoundedInputs * 2;

/// Tiles that hold `num_rows` rows, or `cols` inputs.
constexpr int64_t rounded_row_tiles(int64_t num_rows) {
  return (num_rows + kRoundedRows - 1) / kRoundedRows;
}
constexpr int64_t rounded_depth_tiles(int64_t cols) {
  return (cols + kRoundedInputs - 1) / kRoundedInputs;
}
constexpr int64_t rounded_bytes(int64_t num_rows, int64_t cols) {
  return rounded_row_tiles(num_rows) * rounded_depth_tiles(cols) * kRoundedTileBytes;
}

/// Where input k of a row lies, in numbers.
SWITCHYARD_DEVICE constexpr int64_t rounded_place(int64_t row, int64_t k, int64_t depth_tiles) {
  const int64_t tile = row / kRoundedRows * depth_tiles + k / kRoundedInputs;
  const int64_t in_tile = row % kRoundedRows;
  const int64_t piece = k % kRoundedInputs / 8 ^ in_tile % 8;
  return tile * (kRoundedTileBytes / 2) + in_tile * kRoundedInputs + piece * 8 + k % 8;
}

struct RoundJob {
  const float* x = nullptr;  // [num_rows, cols]
  int64_t x_stride = 0;      // from one row to the next
  int64_t num_rows = 0;
  int64_t cols = 0;
  uint16_t* out = nullptr;    // [row tiles][depth tiles] tiles; zero where there is no number
  bool is_row_major = false;  // instead: [num_rows, cols], cols a multiple of 8
  int64_t first_block = 0;
};

/// Threads of a block, each of which rounds 8 inputs of a row.
inline constexpr int kRoundThreads = 256;
constexpr int64_t round_blocks(const RoundJob& job) {
  return rounded_bytes(job.num_rows, job.cols) / 16 / kRoundThreads;
}

/// Rounds to bf16 or fp16, to nearest even.
void round_rows(cudaStream_t stream, const JobBatch<RoundJob>& batch, Arithmetic arithmetic);

}  // namespace switchyard::cuda
