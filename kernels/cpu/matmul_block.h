// What one thread computes of a matmul at a time.
#pragma once

#include <cstdint>

#include "kernels/cpu/quantized_layout.h"
#include "kernels/ops.h"

namespace switchyard::cpu {

/// More rows than any instruction set's register tile has.
inline constexpr int kMaxTileRows = 12;
/// Most rows of a block: 384 x 32 partial sums are 48 KiB of scratch, a corner of any L2 cache.
inline constexpr int64_t kMaxBlockRows = 384;
/// Inputs that many tiles of rows take from one panel before the next ones: 128 x 32 fp32 weights
/// are 16 KiB and stay in the L1 cache beside a tile's rows (256 was 5 % slower). The fma chains go
/// on across the cuts.
inline constexpr int64_t kDepthPerPass = 128;
/// Bytes of MatmulBlock::scratch: partial sums, then one pass's weights widened to fp32.
inline constexpr int64_t kBlockScratchBytes =
    (kMaxBlockRows * kPanelWidth + kDepthPerPass * kPanelWidth) * 4;

/// How a block of rows is cut into tiles of nearly equal size, at most tile_rows rows each: the
/// first `num_longer` tiles have one row more than the others.
struct TilePartition {
  int64_t num_tiles = 0;
  int64_t short_rows = 0;
  int64_t num_longer = 0;
};

/// Rows [0, num_rows) of x times panels [first_panel, first_panel + num_panels) of w, finished.
struct MatmulBlock {
  const float* packed_rows = nullptr;  // tiles in order, each [k][rows of the tile]
  int64_t num_rows = 0;                // 1 .. kMaxBlockRows
  TilePartition tiles;
  int64_t k = 0;
  const void* panels = nullptr;  // the weight's first panel
  DType dtype = DType::kF32;     // of weights that are not quantised
  QuantizedLayout quantized;
  int64_t first_panel = 0;
  int64_t num_panels = 0;
  int64_t n = 0;                // outputs of the whole weight: row stride of residual
  const float* bias = nullptr;  // [n] or null
  Activation activation = Activation::kNone;
  float scale = 1.0f;
  const float* residual = nullptr;  // [num_rows, n] or null, may be out
  float* out = nullptr;             // [num_rows, n]
  int64_t out_stride = 0;           // from one row of out to the next
  float* scratch = nullptr;         // kBlockScratchBytes of this thread, 64-byte aligned
};

}  // namespace switchyard::cpu
