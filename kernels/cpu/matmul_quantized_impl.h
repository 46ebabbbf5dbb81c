// The matmul over quantised weights, for any vector type of kernels/cpu/simd: pieces of panels are
// turned into fp32 in the L1 cache and multiplied there, by the same tiles as any weight's.
#pragma once

#include <cstdint>

#include "kernels/cpu/dequantize_impl.h"
#include "kernels/cpu/matmul_impl.h"

namespace switchyard::cpu {

/// One tile: several panels side by side share the scratch of one pass.
template <class Vec, int kBits>
void stream_quantized(const MatmulBlock& block) {
  const QuantizedLayout& layout = block.quantized;
  const int64_t rows = block.num_rows;
  const int64_t wide = MatmulShape<Vec>::panels_per_pass(static_cast<int>(rows));
  const auto& table = kTiles<Vec, WidenedF32>;
  float* const widened = block.scratch + kMaxBlockRows * kPanelWidth;
  const char* const weights = static_cast<const char*>(block.panels);
  const int64_t last = block.first_panel + block.num_panels;
  int64_t panels = 0;
  for (int64_t panel = block.first_panel; panel < last; panel += panels) {
    panels = panel + wide <= last ? wide : 1;
    const auto run = panels > 1 ? table.many_panels[rows - 1] : table.one_panel[rows - 1];
    const int64_t step = kDepthPerPass / panels / kCodesPerBlock * kCodesPerBlock;
    for (int64_t i = 0; i < rows * panels * kPanelWidth; ++i) block.scratch[i] = 0.0f;
    for (int64_t first = 0; first < block.k; first += step) {
      const int64_t depth = block.k - first < step ? block.k - first : step;
      const PanelPiece piece = {first, depth, first / layout.group};
      for (int64_t p = 0; p < panels; ++p) {
        dequantize_piece<Vec, kBits>(layout, weights + (panel + p) * layout.panel_bytes, piece,
                                     widened + p * step * kPanelWidth);
      }
      run({.a = block.packed_rows + first * rows,
           .b = widened,
           .panel_elements = step * kPanelWidth,
           .depth = depth,
           .sums = block.scratch});
    }
    finish_outputs<Vec>(block, panel, panels);
  }
}

/// Many tiles: each piece of a panel serves all of them.
template <class Vec, int kBits>
void reuse_quantized(const MatmulBlock& block) {
  const QuantizedLayout& layout = block.quantized;
  float* const widened = block.scratch + kMaxBlockRows * kPanelWidth;
  for (int64_t panel = block.first_panel; panel < block.first_panel + block.num_panels; ++panel) {
    const char* at = static_cast<const char*>(block.panels) + panel * layout.panel_bytes;
    for (int64_t i = 0; i < block.num_rows * kPanelWidth; ++i) block.scratch[i] = 0.0f;
    for (int64_t first = 0; first < block.k; first += kDepthPerPass) {
      const int64_t depth = block.k - first < kDepthPerPass ? block.k - first : kDepthPerPass;
      dequantize_piece<Vec, kBits>(layout, at, {first, depth, first / layout.group}, widened);
      run_tiles<Vec, WidenedF32>(block, widened, first, depth);
    }
    finish_outputs<Vec>(block, panel, 1);
  }
}

template <class Vec, int kBits>
void matmul_quantized(const MatmulBlock& block) {
  if (block.tiles.num_tiles == 1) {
    stream_quantized<Vec, kBits>(block);
  } else {
    reuse_quantized<Vec, kBits>(block);
  }
}

/// Computes a block; see MatmulBlock.
template <class Vec>
void matmul_block(const MatmulBlock& block) {
  switch (block.quantized.bits) {
    case 8:
      return matmul_quantized<Vec, 8>(block);
    case 4:
      return matmul_quantized<Vec, 4>(block);
    case 3:
      return matmul_quantized<Vec, 3>(block);
    case 2:
      return matmul_quantized<Vec, 2>(block);
    default:
      break;
  }
  if (block.dtype == DType::kF16) {
    matmul_block_of<Vec, StoredF16>(block);
  } else if (block.dtype == DType::kBF16) {
    matmul_block_of<Vec, StoredBF16>(block);
  } else {
    matmul_block_of<Vec, StoredF32>(block);
  }
}

}  // namespace switchyard::cpu
