// How tiles of weights come from packed panels into shared memory as 16-bit numbers, for each kind
// of weight. A tile is kTensorDepth inputs of two panels in a layout of the kernel's. fetch() asks
// global memory for a thread's share, land() rounds it: between the two a block multiplies the tile
// before, so that 8 KiB of 16-bit weights a block are on their way meanwhile.
#pragma once

#include "kernels/base/device_code.h"
#include "kernels/cpu/quantized_layout.h"
#include "kernels/cuda/code_values.cuh"
#include "kernels/cuda/lane_vec.cuh"
#include "kernels/cuda/tensor_numbers.cuh"
#include "kernels/cuda/tensor_products.h"

namespace switchyard::cuda {

inline constexpr int kPanelLanes = static_cast<int>(cpu::kPanelWidth);
inline constexpr int kTensorPanels = kTensorOutputs / kPanelLanes;
inline constexpr int kTensorThreads = 128;

/// Where the numbers of a tile lie for load_transposed(), in numbers from its begin. Eight
/// neighbouring outputs of an input lie together.
struct PaddedLayout {
  /// From one input of a panel to the next: 80 bytes put the 8 rows that load_transposed() reads at
  /// a time on different banks.
  static constexpr int kStride = kPanelLanes + 8;
  static constexpr int kHalves = kTensorPanels * kTensorDepth * kStride;
  __device__ static int place(int panel, int input, int output) {
    return (panel * kTensorDepth + input) * kStride + output;
  }
};

/// The panels of a tile; null where there is none.
struct TilePanels {
  const char* first;
  const char* second;

  /// Without an array, which would not be in registers.
  __device__ const char* base(int slot) const { return slot == 0 ? first : second; }
};
static_assert(kTensorPanels == 2);

/// Those of a column of kTensorOutputs outputs. Tile is a class below.
template <typename Tile>
__device__ TilePanels panels_of_tile(const TensorJob& job, int64_t column) {
  const int64_t left = job.job.w.spec.rows - column * kTensorOutputs;
  const int64_t panel_bytes = Tile::panel_bytes(job);
  const char* const first =
      static_cast<const char*>(job.job.w.data) + column * kTensorPanels * panel_bytes;
  return {left > 0 ? first : nullptr, left > kPanelLanes ? first + panel_bytes : nullptr};
}

struct PlainF32 {
  using Element = float;
  __device__ static float widen(float x) { return x; }
};
struct PlainF16 {
  using Element = uint16_t;
  __device__ static float widen(uint16_t x) { return widen_f16(x); }
};
struct PlainBF16 {
  using Element = uint16_t;
  __device__ static float widen(uint16_t x) { return widen_bf16(x); }
};

/// Numbers as they are: sixteen bytes a load, neighbouring threads on neighbouring ones.
template <typename Stored>
class PlainTile {
 public:
  __device__ static int64_t panel_bytes(const TensorJob& job) {
    return job.job.w.spec.cols * kPanelLanes * kElementBytes;
  }

  __device__ void fetch(const TensorJob& job, const TilePanels& panels, int64_t first_k) {
    SWITCHYARD_UNROLL
    for (int i = 0; i < kWords; ++i) {
      const int word = static_cast<int>(threadIdx.x) + i * kTensorThreads;
      const char* const base = panels.base(word / kWordsPerPanel);
      const int64_t at = first_k * kPanelLanes + word % kWordsPerPanel * kPerWord;
      const bool is_there = base != nullptr && at < job.job.w.spec.cols * kPanelLanes;
      words_[i] = is_there ? __ldg(reinterpret_cast<const uint4*>(base + at * kElementBytes))
                           : make_uint4(0, 0, 0, 0);
    }
  }

  template <typename Numbers, typename Layout>
  __device__ void land(uint16_t* tile) const {
    SWITCHYARD_UNROLL
    for (int i = 0; i < kWords; ++i) {
      const int word = static_cast<int>(threadIdx.x) + i * kTensorThreads;
      const int element = word % kWordsPerPanel * kPerWord;
      uint16_t* const to =
          tile + Layout::place(word / kWordsPerPanel, element / kPanelLanes, element % kPanelLanes);
      typename Stored::Element numbers[kPerWord];
      memcpy(numbers, &words_[i], sizeof(numbers));
      SWITCHYARD_UNROLL
      for (int j = 0; j < kPerWord; j += 4) {
        const uint32_t low =
            Numbers::pack(Stored::widen(numbers[j]), Stored::widen(numbers[j + 1]));
        const uint32_t high =
            Numbers::pack(Stored::widen(numbers[j + 2]), Stored::widen(numbers[j + 3]));
        *reinterpret_cast<uint2*>(to + j) = make_uint2(low, high);
      }
    }
  }

 private:
  static constexpr int kElementBytes = static_cast<int>(sizeof(typename Stored::Element));
  static constexpr int kPerWord = 16 / kElementBytes;
  static constexpr int kWordsPerPanel = kTensorDepth * kPanelLanes / kPerWord;
  static constexpr int kWords = kTensorPanels * kWordsPerPanel / kTensorThreads;
  static_assert(kWords * kTensorThreads == kTensorPanels * kWordsPerPanel);

  uint4 words_[kWords];
};

/// Codes (quantized_layout.h): a thread takes blocks of 8 inputs of one output, with the scale and
/// the offset of their group.
template <CodeForm kForm>
class QuantizedTile {
 public:
  __device__ static int64_t panel_bytes(const TensorJob& job) { return job.layout.panel_bytes; }

  __device__ void fetch(const TensorJob& job, const TilePanels& panels, int64_t first_k) {
    SWITCHYARD_UNROLL
    for (int i = 0; i < kUnits; ++i) {
      const int unit = static_cast<int>(threadIdx.x) + i * kTensorThreads;
      const char* const panel = panels.base(unit / kPanelLanes % kTensorPanels);
      const int64_t k = first_k + unit / (kPanelLanes * kTensorPanels) * cpu::kCodesPerBlock;
      units_[i] = Unit{};
      if (panel != nullptr && k < job.job.w.spec.cols) {
        units_[i] = load(job.layout, panel, static_cast<int>(k), unit % kPanelLanes);
      }
    }
  }

  template <typename Numbers, typename Layout>
  __device__ void land(uint16_t* tile) const {
    constexpr int kBlock = static_cast<int>(cpu::kCodesPerBlock);
    SWITCHYARD_UNROLL
    for (int i = 0; i < kUnits; ++i) {
      const int unit = static_cast<int>(threadIdx.x) + i * kTensorThreads;
      const int column = unit % (kPanelLanes * kTensorPanels);
      const int input = unit / (kPanelLanes * kTensorPanels) * kBlock;
      const auto& [codes, scale] = units_[i];
      SWITCHYARD_UNROLL
      for (int j = 0; j < kBlock; j += 2) {
        const uint32_t both = Numbers::pack(codes.element(j, scale), codes.element(j + 1, scale));
        for (int h = 0; h < 2; ++h) {
          tile[Layout::place(column / kPanelLanes, input + j + h, column % kPanelLanes)] =
              static_cast<uint16_t>(both >> (16 * h));
        }
      }
    }
  }

 private:
  struct Unit {
    CodeWord<kForm> codes;
    CodeScale scale;
  };

  __device__ static Unit load(const cpu::QuantizedLayout& layout, const char* panel, int k,
                              int lane) {
    const int group_size = static_cast<int>(layout.group);
    const int number = k / group_size;
    const char* const group = panel + layout.header_bytes + number * layout.group_bytes;
    const char* const block = group + layout.scales_bytes +
                              (k - number * group_size) / cpu::kCodesPerBlock * layout.block_bytes;
    return {CodeWord<kForm>::load(block, lane), load_code_scale<kForm>(panel, group, lane)};
  }

  static constexpr int kUnits = kTensorPanels * kPanelLanes * kTensorDepth /
                                static_cast<int>(cpu::kCodesPerBlock) / kTensorThreads;
  static_assert(kUnits >= 1);

  Unit units_[kUnits];
};

}  // namespace switchyard::cuda
