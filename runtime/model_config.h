// What a model is: one universal mixture-of-experts decoder described by data.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/ops.h"
#include "runtime/rope_config.h"

namespace switchyard {

enum class FfnKind : uint8_t { kDense, kMoe };
enum class PositionKind : uint8_t { kSinusoidal, kLearned, kRotary };
enum class NormKind : uint8_t { kLayerNorm, kRmsNorm };
enum class NormPlacement : uint8_t { kPre, kPost };
enum class FinalNorm : uint8_t { kApplied, kAbsent };
enum class HasBias : uint8_t { kNo, kYes };

/// Where a checkpoint keeps the tensors of each role. "{layer}" and "{expert}" (the global expert
/// id) are replaced by numbers; the weight and bias of a linear map are NAME.weight, NAME.bias.
/// These defaults are the names of the index of a checkpoint whose tensors on disk are mapped to
/// roles by a family's description; fairseq's keep the names of their files.
struct TensorNames {
  std::string embedding = "embedding";  // NAME.weight
  std::string positions = "positions";  // learned position table, NAME.weight
  std::string attention_norm = "layers.{layer}.attention_norm";
  std::string query = "layers.{layer}.attention.query";
  std::string key = "layers.{layer}.attention.key";
  std::string value = "layers.{layer}.attention.value";
  std::string attention_output = "layers.{layer}.attention.output";
  std::string query_norm = "layers.{layer}.attention.query_norm";
  std::string key_norm = "layers.{layer}.attention.key_norm";
  std::string sinks = "layers.{layer}.attention.sinks";  // without suffix
  // Latent attention: x -> query latent -> queries; x -> [latent ; rotary part of the keys];
  // latent -> keys and values of each head.
  std::string query_latent = "layers.{layer}.attention.query_latent";
  std::string query_latent_norm = "layers.{layer}.attention.query_latent_norm";
  std::string latent = "layers.{layer}.attention.latent";
  std::string latent_norm = "layers.{layer}.attention.latent_norm";
  std::string head_keys = "layers.{layer}.attention.head_keys";
  std::string head_values = "layers.{layer}.attention.head_values";
  std::string ffn_norm = "layers.{layer}.ffn_norm";
  std::string ffn_up = "layers.{layer}.ffn.up";  // dense layers
  std::string ffn_down = "layers.{layer}.ffn.down";
  std::string gate = "layers.{layer}.gate";                      // MoE layers
  std::string gate_inner = "layers.{layer}.gate_inner";          // of GateNetwork::kTanhMlp
  std::string selection_bias = "layers.{layer}.selection_bias";  // without suffix
  std::string expert_up = "layers.{layer}.experts.{expert}.up";
  std::string expert_down = "layers.{layer}.experts.{expert}.down";
  std::string shared_up = "layers.{layer}.shared_expert.up";
  std::string shared_down = "layers.{layer}.shared_expert.down";
  std::string shared_gate = "layers.{layer}.shared_expert_gate";
  std::string final_norm = "final_norm";
  std::string output = "output";            // NAME.weight; equal to `embedding` when tied
  std::string output_bias = "output.bias";  // in full

  friend bool operator==(const TensorNames&, const TensorNames&) = default;
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

  friend bool operator==(const CapacityRules&, const CapacityRules&) = default;
};

enum class AttentionKind : uint8_t {
  kHeads,   ///< keys and values of every key/value head are projections of the row
  kLatent,  ///< they are projections of a latent vector that all heads share (DeepSeek's MLA)
};

/// How latent attention is computed. Different algebra of one function: other rounding.
enum class AttentionForm : uint8_t {
  kExpanded,  ///< each head's keys and values are computed and kept
  kAbsorbed,  ///< the latent is kept; queries and outputs pass through the heads' matrices
};

/// RMS norms of queries and keys.
enum class HeadNorm : uint8_t {
  kNone,
  kPerHead,    ///< of each head alone, gain [head_dim]
  kFullWidth,  ///< of all heads together, gain [heads * head_dim]
};

/// When HeadNorm applies.
enum class HeadNormOrder : uint8_t { kBeforeRope, kAfterRope };

/// Sizes of latent attention. A head's query and key are [nope_dim ; rope_dim], with the rotary
/// part of the key shared by all heads.
struct LatentSizes {
  int64_t query_rank = 0;  // 0: queries are one projection of the row
  int64_t rank = 0;        // of the latent
  int64_t nope_dim = 0;
  int64_t rope_dim = 0;
  float norm_eps = 1e-6f;  // of the latents' norms

  friend bool operator==(const LatentSizes&, const LatentSizes&) = default;
};

struct AttentionBiases {
  HasBias query = HasBias::kNo;
  HasBias key = HasBias::kNo;
  HasBias value = HasBias::kNo;
  HasBias output = HasBias::kNo;
  HasBias query_latent = HasBias::kNo;
  HasBias latent = HasBias::kNo;

  friend bool operator==(const AttentionBiases&, const AttentionBiases&) = default;
};

/// What turns a row into router logits.
enum class GateNetwork : uint8_t {
  kLinear,
  kTanhMlp,  ///< W2 tanh(W0 x), both without bias
};

/// A layer's experts, and how many of them a token goes to.
struct ExpertCounts {
  int64_t num_experts = 0;
  int64_t top_k = 0;

  friend bool operator==(const ExpertCounts&, const ExpertCounts&) = default;
};

enum class SharedExpertGate : uint8_t {
  kNone,
  kSigmoid,  ///< its output is multiplied by sigmoid(w x)
};

/// In which type matrices are kept.
enum class WeightTyping : uint8_t {
  kOneType,   ///< every value is rounded to ModelConfig::weight_dtype
  kAsStored,  ///< each tensor in its own
};

/// Which matrices are quantised, by their class. All others are kept as WeightTyping says.
struct WeightQuantization {
  GroupQuantization experts;    // up and down of every routed expert
  GroupQuantization attention;  // projections of queries, keys, values, latents and the output

  friend bool operator==(const WeightQuantization&, const WeightQuantization&) = default;
};

/// ModelConfig::family of fairseq's models; all others are a model_type of Hugging Face.
inline constexpr const char* kFairseqFamily = "fairseq";

/// A decoder as the runtime builds it. Filled by the reader of a checkpoint family from the
/// checkpoint's own configuration and validated by validate().
struct ModelConfig {
  std::string family;  // "fairseq", "mixtral", ...
  int64_t hidden_size = 0;
  int64_t vocab_size = 0;  // rows of the embedding; the log-softmax runs over all of them
  std::vector<FfnKind> layers;

  AttentionKind attention = AttentionKind::kHeads;
  AttentionForm attention_form = AttentionForm::kExpanded;  // chosen by the run
  int64_t num_heads = 0;
  int64_t num_kv_heads = 0;
  int64_t head_dim = 0;   // of a query or key
  int64_t value_dim = 0;  // of a value
  LatentSizes latent;     // kLatent
  AttentionBiases biases;
  HeadNorm head_norm = HeadNorm::kNone;
  HeadNormOrder head_norm_order = HeadNormOrder::kBeforeRope;
  float clip_qkv = 0.0f;  // queries, keys and values are clamped to it; 0: not
  bool has_sinks = false;
  float attention_scale = 1.0f;
  /// Positions a row of each layer sees, its own included; 0: all. Empty: all in every layer.
  std::vector<int64_t> windows;

  FfnForm ffn_form;             // dense layers, experts and shared experts alike
  int64_t ffn_size = 0;         // dense layers
  int64_t expert_ffn_size = 0;  // the largest expert
  /// By MoE layer and expert, where they differ; empty: all have expert_ffn_size.
  std::vector<std::vector<int64_t>> expert_ffn_sizes;
  int64_t shared_ffn_size = 0;  // 0: no shared expert
  SharedExpertGate shared_gate = SharedExpertGate::kNone;
  HasBias ffn_bias = HasBias::kNo;
  HasBias expert_bias = HasBias::kNo;

  /// num_experts 0: no MoE layer. Where layers differ, the most experts and the most choices.
  RouterSettings router;
  /// Of each MoE layer, where they differ; empty: all as `router` says.
  std::vector<ExpertCounts> expert_counts;
  GateNetwork gate_network = GateNetwork::kLinear;
  HasBias gate_bias = HasBias::kNo;
  bool has_selection_bias = false;
  /// What weights are multiplied by, of each MoE layer; empty: 1.
  std::vector<float> route_scales;
  CapacityRules capacity;  // of the routers, for runs with a capacity

  /// Rows of input a sequence may have, the start token included.
  int64_t max_positions = 0;
  /// As many as the model was made for. Rotary positions go on beyond them.
  int64_t trained_positions = 0;
  PositionKind position_kind = PositionKind::kSinusoidal;
  RopeConfig rope;  // kRotary
  /// Row of the position table that position 0 uses (fairseq: padding_idx + 1 = 2).
  int64_t position_offset = 2;
  float embedding_scale = 1.0f;
  float residual_scale = 1.0f;  // of what each block adds to the residual stream
  float logits_scale = 1.0f;
  HasBias output_bias = HasBias::kNo;
  NormKind norm = NormKind::kLayerNorm;
  NormPlacement norm_placement = NormPlacement::kPre;
  FinalNorm final_norm = FinalNorm::kApplied;
  float norm_eps = 1e-5f;

  int32_t start_token = 2;  // what the first token is conditioned on; kNoToken: nothing
  std::vector<int32_t> eos_tokens = {2};  // any of them ends a text
  int32_t pad_token = 1;                  // what fills up the shorter sequences of a batch
  WeightTyping weight_typing = WeightTyping::kOneType;
  /// Type the matrices are kept in: the file's, fp32 where a file mixes types, or fp16 where the
  /// configuration says so. None: as stored, in several types.
  std::optional<DType> weight_dtype = DType::kF32;
  WeightQuantization quantization;  // chosen by the run, or by who converted the checkpoint
  TensorNames names;

  static constexpr int32_t kNoToken = -1;

  int num_layers() const { return static_cast<int>(layers.size()); }
  /// Numbers of the MoE layers, ascending.
  std::vector<int> moe_layers() const;
  int num_moe_layers() const { return static_cast<int>(moe_layers().size()); }
  bool is_moe(int layer) const { return layers[static_cast<size_t>(layer)] == FfnKind::kMoe; }
  int64_t window_of(int layer) const {
    return windows.empty() ? 0 : windows[static_cast<size_t>(layer)];
  }
  /// Hidden units of an expert of the moe_layer-th MoE layer.
  int64_t expert_size(int moe_layer, int64_t expert) const;
  /// The first of eos_tokens, kNoToken if there is none.
  int32_t eos_token() const { return eos_tokens.empty() ? kNoToken : eos_tokens.front(); }
  /// The router of the moe_layer-th MoE layer.
  RouterSettings router_of(int moe_layer) const;
  float route_scale(int moe_layer) const {
    return route_scales.empty() ? 1.0f : route_scales[static_cast<size_t>(moe_layer)];
  }
  /// What attention keeps of a position.
  KeyValueSpec key_values() const;

  friend bool operator==(const ModelConfig&, const ModelConfig&) = default;
};

/// "fp16" and the like, "mixed" where matrices are kept in several types; then what is quantised,
/// as "fp16+experts:int4g64+attention:int8g128".
std::string weight_type_text(const ModelConfig& config);

/// Throws Error(kInput), naming `source` and the setting, unless sizes are positive, consistent
/// (key/value heads divide the heads, top_k <= num_experts <= 65536, ...) and within what is
/// implemented.
void validate(const ModelConfig& config, const std::string& source);

}  // namespace switchyard
