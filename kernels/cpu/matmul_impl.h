// The matmul's inner loops, for any vector type of kernels/cpu/simd.
//
// A tile is up to kTileRows rows times one or more panels. Its sums live in registers while k
// ascends; each step loads one vector of weights and feeds it to every row. Between passes the sums
// rest in scratch memory, so cutting k changes no number.
#pragma once

#include <cstdint>
#include <utility>

#include "kernels/cpu/activate_impl.h"
#include "kernels/cpu/matmul_block.h"

namespace switchyard::cpu {

/// How the register file is used. A broadcast activation feeds kVecs vectors of weights.
template <class Vec>
struct MatmulShape {
  /// AVX-512 keeps 24 of its 32 registers as sums, AVX2 (a Vec is two registers) 12 of 16.
  static constexpr int kSums = Vec::kRegisters == 32 ? 24 : 6;
  static constexpr int kTileRows = kSums == 24 ? 12 : 6;

  /// Vectors of one panel that a tile of `rows` rows takes together: 2 (all of it) or 1.
  static constexpr int vecs(int rows) { return 2 * rows <= kSums ? 2 : 1; }
  /// Panels side by side. Up to 8 streams of weights at once: few rows wait for memory, and
  /// several streams keep more of its requests in flight than one.
  static constexpr int panels_per_pass(int rows) {
    const int fit = kSums / (rows * 2);
    return fit > 8 ? 8 : fit < 1 ? 1 : fit;
  }
};

struct StoredF32 {
  using Element = float;
  static constexpr bool kIsInMemory = true;  // and asks for prefetching; else in the L1 cache
  template <class Vec>
  static Vec load(const float* p) {
    return Vec::load(p);
  }
};

/// What was widened into scratch.
struct WidenedF32 : StoredF32 {
  static constexpr bool kIsInMemory = false;
};

struct StoredF16 {
  using Element = uint16_t;
  static constexpr bool kIsInMemory = true;
  template <class Vec>
  static Vec load(const uint16_t* p) {
    return Vec::load_f16(p);
  }
};

struct StoredBF16 {
  using Element = uint16_t;
  static constexpr bool kIsInMemory = true;
  template <class Vec>
  static Vec load(const uint16_t* p) {
    return Vec::load_bf16(p);
  }
};

/// One pass over `depth` inputs of one tile.
struct TilePass {
  const float* a = nullptr;    // [depth][rows]
  const void* b = nullptr;     // the first panel at the first of these inputs
  int64_t panel_elements = 0;  // from one panel to the next
  int64_t depth = 0;
  float* sums = nullptr;  // [rows][panels * kPanelWidth], read and written
};

/// Few rows wait for memory. Requesting weights 1 KiB ahead in each stream read fp16 experts 22 %
/// faster than the hardware's prefetching alone; 512 to 4,096 bytes do about the same.
inline constexpr int64_t kPrefetchBytes = 1024;
inline constexpr int kPrefetchRows = 6;

/// Requests the `bytes` that a stream will read kPrefetchBytes after `at`.
template <class Vec>
[[gnu::always_inline]] inline void prefetch_ahead(const void* at, int bytes) {
  const char* ahead = static_cast<const char*>(at) + kPrefetchBytes;
  for (int line = 0; line < bytes; line += 64) __builtin_prefetch(ahead + line);
}

/// sums += a^T b over kVecs vectors of each of kPanels panels, from vector `first_vec` on.
template <class Vec, class Stored, int kRows, int kPanels, int kVecs>
[[gnu::always_inline]] inline void add_products(const TilePass& pass, int first_vec) {
  using Element = typename Stored::Element;
  constexpr int kRowStride = kPanels * static_cast<int>(kPanelWidth);
  float* sums = pass.sums + first_vec * 16;
  Vec acc[kRows][kPanels][kVecs];
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kPanels; ++p) {
      for (int v = 0; v < kVecs; ++v) {
        acc[r][p][v] = Vec::load(sums + r * kRowStride + p * kPanelWidth + v * 16);
      }
    }
  }
  const float* a = pass.a;
  const Element* b = static_cast<const Element*>(pass.b) + first_vec * 16;
  for (int64_t i = 0; i < pass.depth; ++i) {
    for (int p = 0; p < kPanels; ++p) {
      const Element* panel = b + p * pass.panel_elements;
      if (Stored::kIsInMemory && kRows <= kPrefetchRows) {
        prefetch_ahead<Vec>(panel, 16 * kVecs * sizeof(Element));
      }
      // Weights first: a loop over rows inside keeps one broadcast alive at a time. The other way
      // round all twelve are, and sums spill to memory in every step.
      Vec w[kVecs];
      for (int v = 0; v < kVecs; ++v) w[v] = Stored::template load<Vec>(panel + v * 16);
      for (int r = 0; r < kRows; ++r) {
        const Vec x = Vec::set1(a[r]);
        for (int v = 0; v < kVecs; ++v) acc[r][p][v] = fma(x, w[v], acc[r][p][v]);
      }
    }
    a += kRows;
    b += kPanelWidth;
  }
  for (int r = 0; r < kRows; ++r) {
    for (int p = 0; p < kPanels; ++p) {
      for (int v = 0; v < kVecs; ++v) {
        acc[r][p][v].store(sums + r * kRowStride + p * kPanelWidth + v * 16);
      }
    }
  }
}

template <class Vec, class Stored, int kRows, int kPanels>
void run_tile(const TilePass& pass) {
  constexpr int kVecs = MatmulShape<Vec>::vecs(kRows);
  for (int first_vec = 0; first_vec < 2; first_vec += kVecs) {
    add_products<Vec, Stored, kRows, kPanels, kVecs>(pass, first_vec);
  }
}

/// run_tile for a number of rows known at run time. Index 0 of each table stands for one row.
template <class Vec, class Stored>
struct TileTable {
  using Function = void (*)(const TilePass&);
  static constexpr int kSize = MatmulShape<Vec>::kTileRows;
  Function one_panel[kSize];
  Function many_panels[kSize];

  template <int... kIndex>
  static constexpr TileTable make(std::integer_sequence<int, kIndex...>) {
    return {{&run_tile<Vec, Stored, kIndex + 1, 1>...},
            {&run_tile<Vec, Stored, kIndex + 1, MatmulShape<Vec>::panels_per_pass(kIndex + 1)>...}};
  }
};

template <class Vec, class Stored>
inline constexpr TileTable<Vec, Stored> kTiles =
    TileTable<Vec, Stored>::make(std::make_integer_sequence<int, MatmulShape<Vec>::kTileRows>());

/// Transposes num_rows rows of x, k long and `stride` apart, into packed[k][num_rows].
template <class Vec>
void pack_tile(const float* x, int64_t stride, int64_t num_rows, int64_t k, float* packed) {
  for (int64_t i = 0; i < k; ++i) {
    for (int64_t r = 0; r < num_rows; ++r) packed[i * num_rows + r] = x[r * stride + i];
  }
}

/// Output `row` of a packed weight, widened: its elements lie a panel's width apart.
template <class Vec>
void unpack_row(const void* packed, DType dtype, int64_t k, int64_t row, float* out) {
  const int64_t start = row / kPanelWidth * k * kPanelWidth + row % kPanelWidth;
  uint16_t halves[16] = {};
  for (int64_t first = 0; first < k; first += 16) {
    const int count = k - first < 16 ? static_cast<int>(k - first) : 16;
    const int64_t at = start + first * kPanelWidth;
    if (dtype == DType::kF32) {
      const float* from = static_cast<const float*>(packed) + at;
      for (int i = 0; i < count; ++i) out[first + i] = from[i * kPanelWidth];
      continue;
    }
    const uint16_t* from = static_cast<const uint16_t*>(packed) + at;
    for (int i = 0; i < count; ++i) halves[i] = from[i * kPanelWidth];
    const Vec wide = dtype == DType::kF16 ? Vec::load_f16(halves) : Vec::load_bf16(halves);
    wide.store_partial(out + first, count);
  }
}

/// Finishes the sums [num_rows][num_panels * kPanelWidth] of panels from first_panel on: bias,
/// activation, scale, residual; writes what is inside the weight's n outputs.
template <class Vec>
void finish_outputs(const MatmulBlock& block, int64_t first_panel, int64_t panels) {
  const int64_t begin = first_panel * kPanelWidth;
  const int64_t end =
      begin + panels * kPanelWidth < block.n ? begin + panels * kPanelWidth : block.n;
  const Vec scale = Vec::set1(block.scale);
  for (int64_t row = 0; row < block.num_rows; ++row) {
    const float* sums = block.scratch + row * panels * kPanelWidth;
    for (int64_t n = begin; n < end; n += 16) {
      const int lanes = end - n < 16 ? static_cast<int>(end - n) : 16;
      Vec y = Vec::load(sums + (n - begin));
      if (block.bias != nullptr) y = y + Vec::load_partial(block.bias + n, lanes);
      y = activate(block.activation, y) * scale;
      if (block.residual != nullptr) {
        y = y + Vec::load_partial(block.residual + row * block.n + n, lanes);
      }
      y.store_partial(block.out + row * block.out_stride + n, lanes);
    }
  }
}

/// One tile: streams the weights once, several panels side by side.
template <class Vec, class Stored>
void stream_panels(const MatmulBlock& block) {
  const int64_t rows = block.num_rows;
  const int64_t wide = MatmulShape<Vec>::panels_per_pass(static_cast<int>(rows));
  const int64_t panel_elements = block.k * kPanelWidth;
  const auto* weights = static_cast<const typename Stored::Element*>(block.panels);
  const int64_t last = block.first_panel + block.num_panels;
  int64_t panel = block.first_panel;
  while (panel < last) {
    const bool all = panel + wide <= last;
    const int64_t panels = all ? wide : 1;
    for (int64_t i = 0; i < rows * panels * kPanelWidth; ++i) block.scratch[i] = 0.0f;
    const auto& table = kTiles<Vec, Stored>;
    const auto run = all ? table.many_panels[rows - 1] : table.one_panel[rows - 1];
    run({.a = block.packed_rows,
         .b = weights + panel * panel_elements,
         .panel_elements = panel_elements,
         .depth = block.k,
         .sums = block.scratch});
    finish_outputs<Vec>(block, panel, panels);
    panel += panels;
  }
}

/// All tiles of the block over inputs [first, first + depth) of one panel.
template <class Vec, class Stored>
void run_tiles(const MatmulBlock& block, const typename Stored::Element* weights, int64_t first,
               int64_t depth) {
  const float* a = block.packed_rows;
  float* sums = block.scratch;
  for (int64_t tile = 0; tile < block.tiles.num_tiles; ++tile) {
    const int64_t rows = block.tiles.short_rows + (tile < block.tiles.num_longer ? 1 : 0);
    kTiles<Vec, Stored>.one_panel[rows - 1](
        {.a = a + first * rows, .b = weights, .panel_elements = 0, .depth = depth, .sums = sums});
    a += rows * block.k;
    sums += rows * kPanelWidth;
  }
}

/// Tiles from which on weights are widened once for all tiles instead of in each: with 2 tiles both
/// ways took the same time, with 6 and more this one was 10 % faster.
inline constexpr int64_t kWidenFromTiles = 3;

template <class Vec, class Stored>
void widen_weights(const typename Stored::Element* from, int64_t count, float* to) {
  for (int64_t i = 0; i < count; i += 16) Stored::template load<Vec>(from + i).store(to + i);
}

/// Many tiles: a piece of a panel stays in the L1 cache while all tiles use it.
template <class Vec, class Stored>
void reuse_panels(const MatmulBlock& block) {
  const auto* weights = static_cast<const typename Stored::Element*>(block.panels);
  float* const widened = block.scratch + kMaxBlockRows * kPanelWidth;
  const bool widen = sizeof(*weights) < sizeof(float) && block.tiles.num_tiles >= kWidenFromTiles;
  for (int64_t panel = block.first_panel; panel < block.first_panel + block.num_panels; ++panel) {
    for (int64_t i = 0; i < block.num_rows * kPanelWidth; ++i) block.scratch[i] = 0.0f;
    for (int64_t first = 0; first < block.k; first += kDepthPerPass) {
      const int64_t depth = block.k - first < kDepthPerPass ? block.k - first : kDepthPerPass;
      const auto* piece = weights + (panel * block.k + first) * kPanelWidth;
      if (widen) {
        widen_weights<Vec, Stored>(piece, depth * kPanelWidth, widened);
        run_tiles<Vec, WidenedF32>(block, widened, first, depth);
      } else {
        run_tiles<Vec, Stored>(block, piece, first, depth);
      }
    }
    finish_outputs<Vec>(block, panel, 1);
  }
}

template <class Vec, class Stored>
void matmul_block_of(const MatmulBlock& block) {
  if (block.tiles.num_tiles == 1) {
    stream_panels<Vec, Stored>(block);
  } else {
    reuse_panels<Vec, Stored>(block);
  }
}

}  // namespace switchyard::cpu
