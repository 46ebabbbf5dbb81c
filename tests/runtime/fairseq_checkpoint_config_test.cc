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
      {"model.moe_top1_expert", "True"},
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

TEST(FairseqConfigTest, HonoursSettings) {
  EXPECT_EQ(config_after("moe_fp32", "common.fp16", "True").weight_dtype, DType::kF16);
  EXPECT_EQ(config_after("moe_bf16", "common.memory_efficient_fp16", "True").weight_dtype,
            DType::kF16);
  EXPECT_EQ(config_after("moe_fp32", "task.add_bos_token", "True").start_token, 0);
  EXPECT_EQ(config_after("moe_fp32", "model.no_scale_embedding", "True").embedding_scale, 1.0f);
  EXPECT_EQ(config_after("moe_fp32", "model.activation_fn", "'relu'").activation,
            Activation::kRelu);
  EXPECT_EQ(config_after("moe_fp32", "model.activation_fn", "None").activation, Activation::kRelu);
  EXPECT_EQ(config_after("moe_fp32", "model.max_target_positions", "None").max_positions, 64);
  EXPECT_EQ(config_after("moe_fp32", "model.max_target_positions", "200000").max_positions, 100000);
  EXPECT_EQ(config_after("moe_fp32", "model.decoder_normalize_before", "None").norm_placement,
            NormPlacement::kPre);
}

TEST(FairseqConfigTest, MixedTypesAreKeptInFp32) {
  std::vector<FairseqHeader> headers = headers_of("moe_bf16");
  for (TorchTensor& one : headers[2].tensors) one.entry.dtype = DType::kF16;
  EXPECT_EQ(merge_fairseq_headers("folder", headers).config.weight_dtype, DType::kF32);
}

TEST(FairseqConfigTest, ReadsOnlyDictionaries) {
  using namespace pickle_text;
  const auto read = [](const std::string& object) {
    const std::string bytes = whole(object);
    return read_fairseq_config(Pickle::parse({bytes.begin(), bytes.end()}, "a.pt"), "a.pt");
  };
  const auto with_model = [&](const std::string& model) {
    return read(pickle_text::dict({{"cfg", pickle_text::dict({{"model", model}})}}));
  };
  const std::string space = call("argparse", "Namespace", {});
  expect_parts(error_of([&] {
                 read(pickle_text::dict({{"cfg", space}}));
               }),
               {"a.pt", "'cfg' is a call of argparse.Namespace"});
  expect_parts(error_of([&] { with_model(space); }),
               {"a.pt", "cfg.model is a call of argparse.Namespace"});
  expect_parts(read(pickle_text::dict({{"args", space}})).missing, {"argparse.Namespace"});
  expect_parts(read(pickle_text::dict({{"cfg", "N"}})).missing, {"'args' is nothing"});
  expect_parts(with_model("}").missing, {"no settings"});
  const auto choice = with_model(pickle_text::dict(
      {{"activation_fn", call("fairseq.dataclass.constants", "Choices", {text("gelu")})},
       {"alibi", "G\x3f\xe0" + std::string(6, '\0')},
       {"unrelated", number(1)}}));
  EXPECT_EQ(choice.settings,
            (FairseqSettings{{"model.activation_fn", "'gelu'"}, {"model.alibi", "0.5"}}));
}

TEST(FairseqConfigTest, ResolvesReferencesOnce) {
  using namespace pickle_text;
  const auto read = [](const std::string& value) {
    const std::string bytes = whole(pickle_text::dict(
        {{"cfg", pickle_text::dict(
                     {{"model", pickle_text::dict({{"moe_freq", text(value)}})},
                      {"task", pickle_text::dict({{"a", number(7)}, {"b", text("${task.a}")}})},
                      {"top", number(9)}})}}));
    return read_fairseq_config(Pickle::parse({bytes.begin(), bytes.end()}, "a.pt"), "a.pt")
        .settings.at("model.moe_freq");
  };
  EXPECT_EQ(read("${task.a}"), "7");
  EXPECT_EQ(read("${top}"), "9");
  EXPECT_EQ(read("plain"), "'plain'");
  for (const char* bad : {"${task.b}", "${task.c}", "${none.a}", "${}", "${top.x}"}) {
    expect_parts(error_of([&] { read(bad); }), {"a.pt", "cfg.model.moe_freq", bad});
  }
}

}  // namespace
}  // namespace switchyard
