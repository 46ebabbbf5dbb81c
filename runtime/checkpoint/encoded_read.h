// Decoding the elements of quantised matrices.
#pragma once

#include <cstdint>

#include "kernels/base/dtype.h"

namespace switchyard {

/// MXFP4 elements that share a scale (OCP microscaling formats).
inline constexpr int64_t kMxfp4Block = 32;

/// A matrix of E4M3 numbers whose blocks have a scale each, and the scales of some of its rows.
struct Fp8Blocks {
  int64_t cols = 0;  // of the matrix
  int64_t block_rows = 1;
  int64_t block_cols = 1;
  /// Of the matrix in the stored one, from whose start the blocks count.
  int64_t first_row = 0;
  /// [rows of blocks, scale_cols()], from block row `first_block_row` on.
  const float* scales = nullptr;
  int64_t first_block_row = 0;

  /// Blocks side by side; the last may be narrower.
  int64_t scale_cols() const { return (cols + block_cols - 1) / block_cols; }
  int64_t block_row(int64_t row) const { return (first_row + row) / block_rows; }
  const float* scales_of_row(int64_t row) const {
    return scales + (block_row(row) - first_block_row) * scale_cols();
  }
};

/// Elements [first, first + count) of the matrix in row-major order, from their `count` bytes:
/// number times scale, one multiplication in fp32 (DeepSeek-V3, README_WEIGHTS.md).
void decode_fp8(const uint8_t* codes, const Fp8Blocks& blocks, int64_t first, int64_t count,
                float* to);

/// Elements [first, first + count) of a matrix of MXFP4 codes whose rows are whole blocks, as bf16.
/// `codes` begins with the byte of element `first`, two a byte and the low four bits first;
/// `scales` with the scale of that element's block.
void decode_mxfp4(const uint8_t* codes, const uint8_t* scales, int64_t first, int64_t count,
                  uint16_t* to);

/// Converts elements that stand at the end of the memory that is to hold them converted:
/// `count * size_of(to_dtype)` bytes at `memory`. From a type to a wider one, as convert_elements.
void widen_in_place(DType from_dtype, DType to_dtype, char* memory, int64_t count);

}  // namespace switchyard
