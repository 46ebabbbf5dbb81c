// The CPU's inner loops, one table an instruction set.
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "kernels/cpu/matmul_block.h"

namespace switchyard {

namespace cpu {
struct AttentionBlock;
struct AttentionParams;
struct FittedGroup;
struct GroupWeights;
struct LayerNormParams;
struct LogNormaliser;
struct OddsRow;
struct RmsNormHead;
struct RopeHead;
struct RopeTableRow;
struct RouteParams;
}  // namespace cpu

/// Inner loops written once over a vector type and compiled for each instruction set. All tables
/// give the same bits. Plain functions over plain memory: threads, scratch and checks of arguments
/// belong to the callers.
struct CpuKernels {
  InstructionSet instruction_set = InstructionSet::kPortable;

  /// Most rows of one tile of packed activations; see cpu::TilePartition.
  int tile_rows = 1;
  /// Weight panels that matmul_block walks side by side for one tile of `index` rows.
  int panels_per_pass[cpu::kMaxTileRows + 1] = {};
  void (*pack_tile)(const float* x, int64_t stride, int64_t num_rows, int64_t k,
                    float* packed) = nullptr;
  void (*matmul_block)(const cpu::MatmulBlock& block) = nullptr;
  void (*unpack_row)(const void* packed, DType dtype, int64_t k, int64_t row, float* out) = nullptr;

  /// Fits one group of weights in 16 rows to codes of `bits` bits. `units` [16], used for 3 and 2
  /// bits, are the rows' units of scales; see cpu/quantized_layout.h.
  void (*fit_group)(const cpu::GroupWeights& group, int bits, const float* units,
                    const cpu::FittedGroup& out) = nullptr;
  /// The scales [16] that the groups ask for where scales are coded; NaN where a weight is not
  /// finite.
  void (*group_scales)(const cpu::GroupWeights& group, int bits, float* scales) = nullptr;
  /// Widens `count` fp32, fp16 or bf16 elements of any alignment.
  void (*widen)(const void* from, DType dtype, int64_t count, float* to) = nullptr;

  void (*layer_norm_row)(const cpu::LayerNormParams& params, int64_t row) = nullptr;
  void (*rms_norm_head)(const cpu::RmsNormHead& head) = nullptr;
  void (*rope_table_row)(const cpu::RopeTableRow& row) = nullptr;
  void (*rope_head)(const cpu::RopeHead& head) = nullptr;
  void (*attention_block)(const cpu::AttentionParams& params, const cpu::AttentionBlock& block,
                          float* scratch) = nullptr;
  void (*glu_row)(const FfnForm& form, const float* x, int64_t units, float* out) = nullptr;
  void (*route_row)(const cpu::RouteParams& params, int64_t row, float* scratch) = nullptr;
  float (*sigmoid)(float x) = nullptr;
  /// The largest of `count` numbers, -infinity without any; NaN if one of them is.
  float (*row_maximum)(const float* x, int64_t count) = nullptr;
  /// out = exp((x - maximum) / temperature).
  void (*token_odds)(const cpu::OddsRow& row, float* out) = nullptr;
  cpu::LogNormaliser (*log_normaliser)(const float* logits, int64_t vocabulary) = nullptr;
};

/// The table of `set` (kAuto: the best one); throws Error(kUsage) if this machine cannot run it.
const CpuKernels& cpu_kernels(InstructionSet set);

}  // namespace switchyard
