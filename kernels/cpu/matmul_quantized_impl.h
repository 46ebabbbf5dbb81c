// The matmul over quantised weights, for any vector type of kernels/cpu/simd: pieces of panels are
// turned into fp32 in the L1 cache and multiplied there, by the same tiles as any weight's.
#pragma once

#include <cstdint>

#include "kernels/cpu/dequantize_impl.h"
#include "kernels/cpu/matmul_impl.h"

namespace switchyard::cpu {

/// How few rows multiply codes straight from the panels: each vector of weights is made once, in
/// registers, for all of them. Two panels keep enough sums going that none waits for the last.
template <class Vec>
struct FewRows {
  static constexpr int kMost = Vec::kRegisters == 32 ? 4 : 2;
  static constexpr int kPanels = Vec::kRegisters == 32 ? 2 : 1;
};

/// A block of inputs of kPanels panels for kRows rows. Vector v is half v % 2 of panel v / 2.
template <class Vec, CodeForm kForm, int kRows, int kPanels>
struct BlockProducts {
  static constexpr int kVecs = 2 * kPanels;
  Vec sums[kRows][kVecs];
  GroupScales<Vec, kForm> scales[kVecs];
  CodeBlock<Vec, kForm> codes[kVecs];

  [[gnu::always_inline]] void start() {
    for (auto& row : sums) {
      for (Vec& sum : row) sum = Vec::zero();
    }
  }

  /// Of the group at `group` in the first of the panels.
  [[gnu::always_inline]] void load_group(const char* panels, const char* group, int64_t stride) {
    for (int v = 0; v < kVecs; ++v) {
      const int64_t at = v / 2 * stride;
      scales[v] = load_scales<Vec, kForm>(panels + at, group + at, v % 2);
    }
  }

  /// Of the block at `block` in the first of the panels.
  [[gnu::always_inline]] void load_codes(const char* block, int64_t stride) {
    for (int p = 0; p < kPanels; ++p) {
      prefetch_codes<kForm>(block + p * stride);
      codes[2 * p] = CodeBlock<Vec, kForm>::load(block + p * stride, 0);
      codes[2 * p + 1] = CodeBlock<Vec, kForm>::load(block + p * stride, 1);
    }
  }

  /// To out[kRows][kPanels * kPanelWidth].
  [[gnu::always_inline]] void store(float* out) const {
    for (int r = 0; r < kRows; ++r) {
      for (int v = 0; v < kVecs; ++v) sums[r][v].store(out + (r * kVecs + v) * 16);
    }
  }

  template <int kInput>
  [[gnu::always_inline]] void add_input(const float* a) {
    for (int v = 0; v < kVecs; ++v) {
      const Vec w = scales[v].scaled(codes[v].template code<kInput>());
      for (int r = 0; r < kRows; ++r) {
        sums[r][v] = fma(Vec::set1(a[kInput * kRows + r]), w, sums[r][v]);
      }
    }
  }

  /// All inputs, of activations a[inputs][kRows].
  template <int... kInput>
  [[gnu::always_inline]] void add_block(const float* a, std::integer_sequence<int, kInput...>) {
    (add_input<kInput>(a), ...);
  }
  /// The first `count` of them.
  template <int... kInput>
  [[gnu::always_inline]] void add_part(const float* a, int64_t count,
                                       std::integer_sequence<int, kInput...>) {
    ((kInput < count ? add_input<kInput>(a) : void()), ...);
  }
};

/// Rows times kPanels panels from `panel` on, finished.
template <class Vec, CodeForm kForm, int kRows, int kPanels>
void multiply_codes(const MatmulBlock& block, int64_t panel) {
  using Inputs = std::make_integer_sequence<int, kCodesPerBlock>;
  const QuantizedLayout& layout = block.quantized;
  const char* const panels = static_cast<const char*>(block.panels) + panel * layout.panel_bytes;
  BlockProducts<Vec, kForm, kRows, kPanels> products;
  products.start();
  const float* a = block.packed_rows;
  const char* group = panels + layout.header_bytes;
  for (int64_t first = 0; first < block.k; first += layout.group, group += layout.group_bytes) {
    products.load_group(panels, group, layout.panel_bytes);
    const int64_t end = first + layout.group < block.k ? first + layout.group : block.k;
    const char* codes = group + layout.scales_bytes;
    for (int64_t i = first; i < end; i += kCodesPerBlock, codes += layout.block_bytes) {
      products.load_codes(codes, layout.panel_bytes);
      if (end - i >= kCodesPerBlock) {
        products.add_block(a, Inputs());
      } else {
        products.add_part(a, end - i, Inputs());
      }
      a += kCodesPerBlock * kRows;
    }
  }
  products.store(block.scratch);
  finish_outputs<Vec>(block, panel, kPanels);
}

/// multiply_codes for a number of rows known at run time. Index 0 stands for one row.
template <class Vec, CodeForm kForm>
struct FewRowsTable {
  using Function = void (*)(const MatmulBlock&, int64_t panel);
  static constexpr int kSize = FewRows<Vec>::kMost;
  Function one_panel[kSize];
  Function many_panels[kSize];

  template <int... kIndex>
  static constexpr FewRowsTable make(std::integer_sequence<int, kIndex...>) {
    return {{&multiply_codes<Vec, kForm, kIndex + 1, 1>...},
            {&multiply_codes<Vec, kForm, kIndex + 1, FewRows<Vec>::kPanels>...}};
  }
};

template <class Vec, CodeForm kForm>
inline constexpr FewRowsTable<Vec, kForm> kFewRows =
    FewRowsTable<Vec, kForm>::make(std::make_integer_sequence<int, FewRows<Vec>::kMost>());

template <class Vec, CodeForm kForm>
void multiply_few_rows(const MatmulBlock& block) {
  const int64_t last = block.first_panel + block.num_panels;
  constexpr int kPanels = FewRows<Vec>::kPanels;
  const auto& table = kFewRows<Vec, kForm>;
  int64_t panel = block.first_panel;
  for (; panel + kPanels <= last; panel += kPanels)
    table.many_panels[block.num_rows - 1](block, panel);
  for (; panel < last; ++panel) table.one_panel[block.num_rows - 1](block, panel);
}

/// One tile: several panels side by side share the scratch of one pass.
template <class Vec, CodeForm kForm>
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
        dequantize_piece<Vec, kForm>(layout, weights + (panel + p) * layout.panel_bytes, piece,
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
template <class Vec, CodeForm kForm>
void reuse_quantized(const MatmulBlock& block) {
  const QuantizedLayout& layout = block.quantized;
  float* const widened = block.scratch + kMaxBlockRows * kPanelWidth;
  for (int64_t panel = block.first_panel; panel < block.first_panel + block.num_panels; ++panel) {
    const char* at = static_cast<const char*>(block.panels) + panel * layout.panel_bytes;
    for (int64_t i = 0; i < block.num_rows * kPanelWidth; ++i) block.scratch[i] = 0.0f;
    for (int64_t first = 0; first < block.k; first += kDepthPerPass) {
      const int64_t depth = block.k - first < kDepthPerPass ? block.k - first : kDepthPerPass;
      dequantize_piece<Vec, kForm>(layout, at, {first, depth, first / layout.group}, widened);
      run_tiles<Vec, WidenedF32>(block, widened, first, depth);
    }
    finish_outputs<Vec>(block, panel, 1);
  }
}

template <class Vec, CodeForm kForm>
void matmul_quantized(const MatmulBlock& block) {
  if (block.num_rows <= FewRows<Vec>::kMost) {
    multiply_few_rows<Vec, kForm>(block);
  } else if (block.tiles.num_tiles == 1) {
    stream_quantized<Vec, kForm>(block);
  } else {
    reuse_quantized<Vec, kForm>(block);
  }
}

/// Computes a block; see MatmulBlock.
template <class Vec>
void matmul_block(const MatmulBlock& block) {
  switch (block.quantized.form) {
    case CodeForm::kInt8:
      return matmul_quantized<Vec, CodeForm::kInt8>(block);
    case CodeForm::kInt4:
      return matmul_quantized<Vec, CodeForm::kInt4>(block);
    case CodeForm::kInt3:
      return matmul_quantized<Vec, CodeForm::kInt3>(block);
    case CodeForm::kInt2:
      return matmul_quantized<Vec, CodeForm::kInt2>(block);
    case CodeForm::kE4m3:
      return matmul_quantized<Vec, CodeForm::kE4m3>(block);
    case CodeForm::kE2m1:
      return matmul_quantized<Vec, CodeForm::kE2m1>(block);
    case CodeForm::kNone:
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
