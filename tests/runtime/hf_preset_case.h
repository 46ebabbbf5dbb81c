// The built-in presets of Hugging Face models, and tiny models of their form.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "runtime/model_preset.h"

namespace switchyard {

struct KnownModel {
  double parameters = 0;  // in billions, of the release without what predicts further tokens
  int64_t experts = 0;
  int num_moe_layers = 0;
  /// Entries of a tiny config.json of the same form, beside those of kTiny.
  std::string tiny;
};

inline const std::string kTiny =
    R"("hidden_size": 64, "num_attention_heads": 4, "vocab_size": 100, "eos_token_id": 2)";
inline const std::string kOneHeadForAll = R"(, "num_key_value_heads": 4, "intermediate_size": 64)";
inline const std::string kGrouped = R"(, "num_key_value_heads": 2, "intermediate_size": 64)";
inline const std::string kSmallExperts = R"(, "moe_intermediate_size": 32)";
inline const std::string kLatent =
    R"(, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12)";
inline const std::string kBlocks =
    R"(, "quantization_config": {"quant_method": "fp8", "fmt": "e4m3",
                               "weight_block_size": [16, 24]})";
inline const std::string kLongRope =
    R"(, "rope_scaling": {"type": "longrope", "short_factor": [1, 1, 1, 1, 1, 1, 1, 1],
       "long_factor": [1, 1, 1, 2, 2, 2, 2, 4], "short_mscale": 1.2, "long_mscale": 1.3,
       "original_max_position_embeddings": 8}, "original_max_position_embeddings": 8)";

inline const std::map<std::string, KnownModel>& known_models() {
  static const std::map<std::string, KnownModel> kModels = {
      {"llama_8x265m_moe", {0.970, 8, 2, kOneHeadForAll}},
      {"llama_moe_3_5b", {6.74, 8, 32, kOneHeadForAll}},
      {"mixtral_8x7b", {46.7, 8, 32, kGrouped}},
      {"mixtral_8x22b", {140.6, 8, 56, kGrouped}},
      {"deepseek_moe_16b", {16.4, 64, 27, kOneHeadForAll + kSmallExperts}},
      {"deepseek_v2_lite", {15.7, 64, 26, kOneHeadForAll + kSmallExperts + kLatent}},
      {"deepseek_v3",
       {671.0, 256, 58,
        kOneHeadForAll + kSmallExperts + kLatent + R"(, "q_lora_rank": 40)" + kBlocks}},
      {"kimi_k2",
       {1026, 384, 60, kOneHeadForAll + kSmallExperts + kLatent + R"(, "q_lora_rank": 40)"}},
      {"qwen1_5_moe_a2_7b",
       {14.3, 60, 24,
        kOneHeadForAll + kSmallExperts + R"(, "shared_expert_intermediate_size": 48)"}},
      {"qwen3_30b_a3b", {30.5, 128, 48, kGrouped + kSmallExperts + R"(, "head_dim": 20)"}},
      {"qwen3_235b_a22b", {235.1, 128, 94, kGrouped + kSmallExperts + R"(, "head_dim": 20)"}},
      {"olmoe_1b_7b", {6.92, 64, 16, kOneHeadForAll}},
      {"phi_3_5_moe", {41.9, 16, 32, kGrouped + kLongRope}},
      {"gpt_oss_20b", {20.9, 32, 24, kGrouped + R"(, "head_dim": 16)"}},
      {"gpt_oss_120b", {116.8, 128, 36, kGrouped + R"(, "head_dim": 16)"}},
      {"glm_4_5_air", {106.8, 128, 45, kGrouped + kSmallExperts + R"(, "head_dim": 16)"}}};
  return kModels;
}

/// The model cut to two layers of four experts (eight where experts have groups).
inline PresetChanges tiny_changes(const std::string& name) {
  PresetChanges changes;
  changes.layers = 2;
  changes.experts = name == "deepseek_v3" ? 8 : 4;
  changes.config_json = "{" + kTiny + known_models().at(name).tiny + "}";
  return changes;
}

}  // namespace switchyard
