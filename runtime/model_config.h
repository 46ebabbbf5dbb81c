// What a model is: one universal mixture-of-experts decoder described by data.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/ops.h"

namespace switchyard {

enum class FfnKind : uint8_t { kDense, kMoe };
enum class PositionKind : uint8_t { kSinusoidal, kLearned };
enum class NormPlacement : uint8_t { kPre, kPost };
enum class FinalNorm : uint8_t { kApplied, kAbsent };

/// Where a checkpoint keeps the tensors of each role. "{layer}" and "{expert}" (the global expert
/// id) are replaced by numbers; the weight and bias of a linear map are NAME.weight, NAME.bias.
struct TensorNames {
  std::string embedding;       // NAME.weight
  std::string positions;       // learned position table, NAME.weight
  std::string attention_norm;  // with {layer}
  std::string query, key, value, attention_output;
  std::string ffn_norm;
  std::string ffn_up, ffn_down;        // dense layers
  std::string gate;                    // MoE layers, no bias
  std::string expert_up, expert_down;  // with {layer} and {expert}
  std::string final_norm;
  std::string output;  // equal to `embedding` when tied
};

/// Replaces {layer} and {expert} in a template of TensorNames.
std::string tensor_name(const std::string& name_template, int layer, int64_t expert = 0);

/// What becomes of a batch's padding in the routers of a model.
enum class PadRouting : uint8_t {
  kRouted,  ///< routed like any token: it takes slots of experts
  kMasked,  ///< not routed
};

/// How the experts' capacity works where a run asks for it (fairseq_cli --moe-* options).
struct CapacityRules {
  /// Slots of an expert per position of a batch; 0 or less: by the number of experts.
  double eval_fraction = 0.25;
  NormOrder norm_order = NormOrder::kAfterDropping;
  SlotOrder slot_order = SlotOrder::kRows;
  PadRouting pads = PadRouting::kRouted;
};

/// A decoder as the runtime builds it. Filled by the reader of a checkpoint family from the
/// checkpoint's own configuration and validated by validate().
struct ModelConfig {
  std::string family;  // "fairseq"
  int64_t hidden_size = 0;
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;
  int64_t ffn_size = 0;         // dense layers
  int64_t expert_ffn_size = 0;  // each expert
  int64_t vocab_size = 0;       // rows of the embedding; the log-softmax runs over all of them
  RouterSettings router;        // num_experts 0: no MoE layer
  CapacityRules capacity;       // of the routers, for runs with a capacity
  std::vector<FfnKind> layers;

  /// Rows of input a sequence may have, the start token included.
  int64_t max_positions = 0;
  PositionKind position_kind = PositionKind::kSinusoidal;
  /// Row of the position table that position 0 uses (fairseq: padding_idx + 1 = 2).
  int64_t position_offset = 2;
  float embedding_scale = 1.0f;
  NormPlacement norm_placement = NormPlacement::kPre;
  FinalNorm final_norm = FinalNorm::kApplied;
  float norm_eps = 1e-5f;
  Activation activation = Activation::kGelu;
  float attention_scale = 1.0f;

  int32_t start_token = 2;  // what the first token is conditioned on
  int32_t eos_token = 2;
  int32_t pad_token = 1;  // what fills up the shorter sequences of a batch
  /// Type the weights are kept in: the file's, fp32 where a file mixes types, or fp16 where the
  /// configuration says so.
  DType weight_dtype = DType::kF32;
  TensorNames names;

  int num_layers() const { return static_cast<int>(layers.size()); }
  /// Numbers of the MoE layers, ascending.
  std::vector<int> moe_layers() const;
  int num_moe_layers() const { return static_cast<int>(moe_layers().size()); }
};

/// Throws Error(kInput), naming `source` and the setting, unless sizes are positive, consistent
/// (heads divide the width, top_k <= num_experts <= 65536, ...) and within what is implemented.
void validate(const ModelConfig& config, const std::string& source);

}  // namespace switchyard
