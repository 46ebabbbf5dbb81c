#include "runtime/checkpoint/fairseq_config.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/runtime/fairseq_case.h"

namespace switchyard {
namespace {

TEST(FairseqConfigTest, RefusesUnsupportedSettingsByNameAndValue) {
  for (const std::string_view name : fairseq_settings_that_must_be_off()) {
    const std::string setting(name);
    for (const char* value : {"True", "1", "0.5", "'x'", "a list of 2"}) {
      const std::string message =
          error_after("moe_fp32", [&](auto& headers) { set_setting(headers, setting, value); });
      expect_parts(message, {"cfg." + setting + " is " + value, "model-rank-0.pt"});
    }
    for (const char* value : {"None", "False", "0", "''"}) {
      EXPECT_NO_THROW(config_after("moe_fp32", setting, value)) << setting;
    }
  }
  const std::vector<std::vector<std::string>> cases = {
      {"model.activation_fn", "'gelu_fast'"},
      {"model.decoder_input_dim", "32"},
      {"model.decoder_output_dim", "32"},
      {"model.moe_top1_expert", "'top'"},
      {"model.use_moe_pad_mask", "2"},
      {"model.moe_batch_prioritized_routing", "a list of 2"},
      {"model.moe_normalize_gate_prob_before_dropping", "'no'"},
      {"model.moe_eval_capacity_token_fraction", "'0.5'"},
      {"model.moe_eval_capacity_token_fraction", "inf"},
      {"model.moe_eval_capacity_token_fraction", "nan"},
      {"model.moe_second_expert_policy", "'sampling'"},
      {"model._name", "'lstm_lm'"},
      {"model.decoder_layers", "0"},
      {"model.decoder_layers", "70000"},
      {"model.decoder_layers", "4.5"},
      {"model.decoder_attention_heads", "5"},
      {"model.decoder_attention_heads", "0"},
      {"model.decoder_learned_pos", "'yes'"},
      {"model.max_target_positions", "0"},
  };
  for (const auto& parts : cases) {
    const std::string message =
        error_after("moe_fp32", [&](auto& headers) { set_setting(headers, parts[0], parts[1]); });
    expect_parts(message, {"cfg." + parts[0] + " is " + parts[1]});
  }
  for (const char* needed : {"model.decoder_embed_dim", "model.decoder_layers",
                             "model.decoder_attention_heads", "model.decoder_ffn_embed_dim"}) {
    expect_parts(error_after("moe_fp32", [&](auto& headers) { erase_setting(headers, needed); }),
                 {needed, "missing"});
  }
}

TEST(FairseqConfigTest, DenseModelsMayHaveAnyGateSettings) {
  EXPECT_NO_THROW(config_after("dense_fp32", "model.moe_top1_expert", "True"));
  EXPECT_NO_THROW(config_after("dense_fp32", "model.moe_second_expert_policy", "'random'"));
}

TEST(FairseqConfigTest, ReadsTheGatesSettings) {
  const ModelConfig plain = merge("folder", headers_of("moe_fp32")).config;
  EXPECT_EQ(plain.router.top_k, 2);
  EXPECT_EQ(plain.router.norm, GateNorm::kChosen);
  EXPECT_EQ(plain.capacity.norm_order, NormOrder::kAfterDropping);
  EXPECT_EQ(plain.capacity.slot_order, SlotOrder::kRows);
  EXPECT_EQ(plain.capacity.pads, PadRouting::kRouted);
  const auto fraction = [](const std::string& text) {
    return config_after("moe_fp32", "model.moe_eval_capacity_token_fraction", text)
        .capacity.eval_fraction;
  };
  EXPECT_EQ(fraction("0.05"), 0.05);
  EXPECT_EQ(fraction("-1"), -1.0);
  EXPECT_EQ(fraction("1e-3"), 0.001);
  EXPECT_EQ(fraction("None"), 0.25);
  const auto rules = [](const std::string& setting) {
    return config_after("moe_fp32", "model." + setting, "True").capacity;
  };
  EXPECT_EQ(rules("moe_normalize_gate_prob_before_dropping").norm_order,
            NormOrder::kBeforeDropping);
  EXPECT_EQ(rules("moe_batch_prioritized_routing").slot_order, SlotOrder::kProbability);
  EXPECT_EQ(rules("use_moe_pad_mask").pads, PadRouting::kMasked);
}

TEST(FairseqConfigTest, TheTop1GateHasNoSecondExpert) {
  std::vector<FairseqHeader> headers = headers_of("moe_fp32");
  set_setting(headers, "model.moe_top1_expert", "True");
  set_setting(headers, "model.moe_second_expert_policy", "'sampling'");
  set_setting(headers, "model.moe_batch_prioritized_routing", "True");
  const ModelConfig config = merge("folder", headers).config;
  EXPECT_EQ(config.router.top_k, 1);
  EXPECT_EQ(config.router.norm, GateNorm::kNone);
  EXPECT_EQ(config.capacity.slot_order, SlotOrder::kRows);
}

TEST(FairseqConfigTest, HonoursSettings) {
  EXPECT_EQ(config_after("moe_fp32", "common.fp16", "True").weight_dtype, DType::kF16);
  EXPECT_EQ(config_after("moe_bf16", "common.memory_efficient_fp16", "True").weight_dtype,
            DType::kF16);
  EXPECT_EQ(config_after("moe_fp32", "task.add_bos_token", "True").start_token, 0);
  EXPECT_EQ(config_after("moe_fp32", "model.no_scale_embedding", "True").embedding_scale, 1.0f);
  EXPECT_EQ(config_after("moe_fp32", "model.activation_fn", "'relu'").ffn_form.activation,
            Activation::kRelu);
  EXPECT_EQ(config_after("moe_fp32", "model.activation_fn", "None").ffn_form.activation,
            Activation::kRelu);
  EXPECT_EQ(config_after("moe_fp32", "model.max_target_positions", "None").max_positions, 64);
  EXPECT_EQ(config_after("moe_fp32", "model.max_target_positions", "200000").max_positions, 100000);
  EXPECT_EQ(config_after("moe_fp32", "model.decoder_normalize_before", "None").norm_placement,
            NormPlacement::kPre);
}

TEST(FairseqConfigTest, MixedTypesAreKeptInFp32) {
  std::vector<FairseqHeader> headers = headers_of("moe_bf16");
  for (TorchTensor& one : headers[0].tensors) one.entry.dtype = DType::kF16;
  EXPECT_EQ(merge("folder", headers).config.weight_dtype, DType::kF32);
}

}  // namespace
}  // namespace switchyard
