// Weights of packed panels, eight inputs at a time, one output a lane; see kernels/cpu/packing.h
// and quantized_layout.h.
#pragma once

#include <cstdint>

#include "kernels/base/device_code.h"
#include "kernels/cpu/quantized_layout.h"
#include "kernels/cuda/code_values.cuh"
#include "kernels/cuda/instructions/async_copy.cuh"
#include "kernels/cuda/lane_vec.cuh"
#include "kernels/cuda/launch.cuh"
#include "kernels/weight.h"

namespace switchyard::cuda {

/// Inputs that a reader gives at a time; the codes of a block.
inline constexpr int kInputsPerStep = static_cast<int>(cpu::kCodesPerBlock);

/// Reads panels of plain numbers through a ring of pieces in shared memory: kStages - 1 pieces are
/// on their way while one is used. All threads of the block make one and read together.
template <typename Element, DType kType, int kPanels>
class StagedPanelReader {
 public:
  static constexpr int kDepth = 32;  // inputs of a piece
  static constexpr int kStages = 6;
  static constexpr int kPieceElements = kDepth * static_cast<int>(cpu::kPanelWidth);
  static constexpr size_t kSharedBytes =
      size_t{kStages} * kPanels * kPieceElements * sizeof(Element);

  __device__ StagedPanelReader(const Weight& weight, const cpu::QuantizedLayout&,
                               int64_t first_panel)
      : panels_(static_cast<const Element*>(weight.data)),
        cols_(weight.spec.cols),
        num_panels_((weight.spec.rows + cpu::kPanelWidth - 1) / cpu::kPanelWidth),
        first_panel_(first_panel),
        ring_(dynamic_shared<Element>()) {
    for (int piece = 0; piece < kStages - 1; ++piece) fetch(piece);
  }

  /// Inputs [k, k + 8); k ascends from 0 in steps of 8. Those past the last one are undefined.
  __device__ void read(int64_t k, float (&w)[kPanels][kInputsPerStep]) {
    if (k % kDepth == 0) next_piece(k / kDepth);
    const int64_t stage = k / kDepth % kStages;
    const Element* const piece = ring_ + stage * kPanels * kPieceElements;
    const int lane = static_cast<int>(threadIdx.x % cpu::kPanelWidth);
    SWITCHYARD_UNROLL
    for (int p = 0; p < kPanels; ++p) {
      SWITCHYARD_UNROLL
      for (int i = 0; i < kInputsPerStep; ++i) {
        const int64_t row = k % kDepth + i;
        w[p][i] = widen(piece[p * kPieceElements + row * cpu::kPanelWidth + lane]);
      }
    }
  }

 private:
  __device__ static float widen(Element element) {
    if constexpr (kType == DType::kF32) {
      return element;
    } else if constexpr (kType == DType::kF16) {
      return widen_f16(element);
    } else {
      return widen_bf16(element);
    }
  }

  __device__ void next_piece(int64_t piece) {
    wait_for_copies<kStages - 2>();
    // Everybody's copies are there, and everybody has left the piece that is overwritten now.
    __syncthreads();
    fetch(piece + kStages - 1);
  }

  /// Requests a piece of every panel; beyond the last one an empty group keeps the count.
  __device__ void fetch(int64_t piece) {
    constexpr int kPerVector = 16 / static_cast<int>(sizeof(Element));
    const int64_t first = piece * kDepth;
    const int64_t left = cols_ - first;
    const int64_t depth = left < kDepth ? left : kDepth;
    const int64_t vectors = depth > 0 ? depth * cpu::kPanelWidth / kPerVector : 0;
    Element* const stage = ring_ + piece % kStages * kPanels * kPieceElements;
    for (int p = 0; p < kPanels && first_panel_ + p < num_panels_; ++p) {
      const Element* const from = panels_ + ((first_panel_ + p) * cols_ + first) * cpu::kPanelWidth;
      for (int64_t v = threadIdx.x; v < vectors; v += blockDim.x) {
        copy_async_16(stage + p * kPieceElements + v * kPerVector, from + v * kPerVector);
      }
    }
    commit_copies();
  }

  const Element* panels_;
  int64_t cols_;
  int64_t num_panels_;
  int64_t first_panel_;
  Element* ring_;
};

template <int kPanels>
using F32PanelReader = StagedPanelReader<float, DType::kF32, kPanels>;
template <int kPanels>
using F16PanelReader = StagedPanelReader<uint16_t, DType::kF16, kPanels>;
template <int kPanels>
using BF16PanelReader = StagedPanelReader<uint16_t, DType::kBF16, kPanels>;

/// Reads codes and turns them into numbers.
template <CodeForm kForm, int kPanels>
class CodePanelReader {
 public:
  static constexpr size_t kSharedBytes = 0;

  __device__ CodePanelReader(const Weight& weight, const cpu::QuantizedLayout& layout,
                             int64_t first_panel)
      : layout_(layout),
        last_panel_((weight.spec.rows + cpu::kPanelWidth - 1) / cpu::kPanelWidth - 1) {
    for (int p = 0; p < kPanels; ++p) {
      const int64_t panel = first_panel + p < last_panel_ ? first_panel + p : last_panel_;
      panels_[p] = static_cast<const char*>(weight.data) + panel * layout.panel_bytes;
    }
  }

  /// As StagedPanelReader::read.
  __device__ void read(int64_t k, float (&w)[kPanels][kInputsPerStep]) {
    const int lane = static_cast<int>(threadIdx.x % cpu::kPanelWidth);
    const int64_t group = k / layout_.group;
    const int64_t in_group = k - group * layout_.group;
    const int64_t at = layout_.header_bytes + group * layout_.group_bytes;
    const int64_t block =
        at + layout_.scales_bytes + in_group / cpu::kCodesPerBlock * layout_.block_bytes;
    SWITCHYARD_UNROLL
    for (int p = 0; p < kPanels; ++p) {
      if (in_group == 0) scales_[p] = load_code_scale<kForm>(panels_[p], panels_[p] + at, lane);
      const auto codes = CodeWord<kForm>::load(panels_[p] + block, lane);
      SWITCHYARD_UNROLL
      for (int i = 0; i < kInputsPerStep; ++i) w[p][i] = codes.element(i, scales_[p]);
    }
  }

 private:
  const cpu::QuantizedLayout& layout_;
  int64_t last_panel_;
  const char* panels_[kPanels];
  CodeScale scales_[kPanels] = {};
};

template <int kPanels>
using Int8PanelReader = CodePanelReader<CodeForm::kInt8, kPanels>;
template <int kPanels>
using Int4PanelReader = CodePanelReader<CodeForm::kInt4, kPanels>;
template <int kPanels>
using Int3PanelReader = CodePanelReader<CodeForm::kInt3, kPanels>;
template <int kPanels>
using Int2PanelReader = CodePanelReader<CodeForm::kInt2, kPanels>;
template <int kPanels>
using E4m3PanelReader = CodePanelReader<CodeForm::kE4m3, kPanels>;
template <int kPanels>
using E2m1PanelReader = CodePanelReader<CodeForm::kE2m1, kPanels>;

}  // namespace switchyard::cuda
