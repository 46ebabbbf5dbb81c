// Presets of Hugging Face models: what they describe, and what options change.
#include "runtime/hf_preset.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "runtime/families/hf_writer.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/hf_preset_case.h"

namespace switchyard {
namespace {

namespace json = boost::json;

json::object config_of(const ModelPreset& preset) {
  return json::parse(preset.hf->config_text).as_object();
}

ModelPreset load(const std::string& name, const PresetChanges& changes = {}) {
  return load_preset(name, changes);
}

TEST(HfPresetTest, BuiltInModelsHaveTheSizesOfTheReleasedOnes) {
  std::set<std::string> tested;
  for (const std::string& name : preset_names()) {
    SCOPED_TRACE(name);
    const ModelPreset preset = load(name);
    if (!preset.hf) continue;
    ASSERT_EQ(known_models().count(name), 1u);
    tested.insert(name);
    const KnownModel& known = known_models().at(name);
    EXPECT_NEAR(static_cast<double>(num_parameters(preset.config)) / known.parameters, 1e9, 5e6);
    EXPECT_EQ(preset.config.router.num_experts, known.experts);
    EXPECT_EQ(preset.config.num_moe_layers(), known.num_moe_layers);
    EXPECT_FALSE(preset.config.eos_tokens.empty());
    EXPECT_NE(preset.hf->generation_text, "");
    EXPECT_TRUE(preset.hf->notes.empty());
  }
  EXPECT_EQ(tested.size(), known_models().size());
}

/// What stands on disk is what an independent count of the released folders gives.
TEST(HfPresetTest, FoldersHaveTheTensorsOfTheReleasedOnes) {
  const auto shards = [](const std::string& name) {
    const ModelPreset preset = load(name);
    return plan_hf_shards(*preset.hf, name);
  };
  const auto find = [](const std::vector<HfShard>& all, const std::string& name) {
    for (const HfShard& shard : all) {
      for (const HfStoredTensor& tensor : shard.tensors) {
        if (tensor.content.name == name) return tensor;
      }
    }
    ADD_FAILURE() << name;
    return HfStoredTensor();
  };
  using Shape = std::vector<int64_t>;
  const std::vector<HfShard> mixtral = shards("mixtral_8x7b");
  EXPECT_EQ(mixtral.size(), 19u);
  EXPECT_EQ(mixtral[0].file_name, "model-00001-of-00019.safetensors");
  // total_size of the release's index.
  EXPECT_NE(hf_index_text(mixtral).find("\"total_size\": 93405585408"), std::string::npos);
  EXPECT_EQ(find(mixtral, "model.layers.31.block_sparse_moe.experts.7.w2.weight").shape,
            (Shape{4096, 14336}));
  const std::vector<HfShard> v3 = shards("deepseek_v3");
  EXPECT_EQ(find(v3, "model.layers.60.mlp.experts.255.down_proj.weight").type, "F8_E4M3");
  EXPECT_EQ(find(v3, "model.layers.0.self_attn.kv_a_proj_with_mqa.weight_scale_inv").shape,
            (Shape{5, 56}));
  EXPECT_EQ(find(v3, "model.layers.3.mlp.gate.e_score_correction_bias").type, "F32");
  EXPECT_EQ(find(v3, "model.layers.3.mlp.gate.weight").type, "BF16");
  EXPECT_EQ(find(v3, "model.layers.9.self_attn.kv_b_proj.weight").shape, (Shape{32768, 512}));
  const std::vector<HfShard> oss = shards("gpt_oss_20b");
  EXPECT_EQ(find(oss, "model.layers.23.mlp.experts.gate_up_proj_blocks").shape,
            (Shape{32, 5760, 90, 16}));
  EXPECT_EQ(find(oss, "model.layers.0.mlp.experts.down_proj_scales").shape, (Shape{32, 2880, 90}));
  EXPECT_EQ(find(oss, "model.layers.0.mlp.experts.gate_up_proj_bias").shape, (Shape{32, 5760}));
  EXPECT_EQ(find(oss, "model.layers.0.self_attn.sinks").shape, (Shape{64}));
}

TEST(HfPresetTest, ATypeMakesQuantisedModelsPlain) {
  for (const char* name : {"deepseek_v3", "gpt_oss_120b"}) {
    PresetChanges changes = tiny_changes(name);
    changes.dtype = DType::kF16;
    const ModelPreset preset = load(name, changes);
    EXPECT_EQ(preset.hf->model.quantization, Quantization::kNone);
    EXPECT_EQ(config_of(preset).at("torch_dtype"), json::value("float16"));
    for (const HfShard& shard : plan_hf_shards(*preset.hf, name)) {
      for (const HfStoredTensor& tensor : shard.tensors) {
        const bool is_bias = tensor.content.name.ends_with("e_score_correction_bias");
        EXPECT_EQ(tensor.type, is_bias ? "F32" : "F16") << tensor.content.name;
      }
    }
  }
}

TEST(HfPresetTest, FewerLayersCutWhatGoesByLayer) {
  const ModelPreset oss = load("gpt_oss_20b", {.layers = 3});
  EXPECT_EQ(oss.config.windows, (std::vector<int64_t>{128, 0, 128}));
  EXPECT_EQ(load("gpt_oss_20b", {.layers = 26}).config.window_of(25), 0);
  const ModelPreset v3 = load("deepseek_v3", {.layers = 2});
  EXPECT_EQ(v3.config.moe_layers(), std::vector<int>{1});
  ASSERT_EQ(v3.hf->notes.size(), 1u);
  EXPECT_EQ(v3.hf->notes[0], "so first_k_dense_replace is 1 instead of 3");
  EXPECT_EQ(load("deepseek_v3", {.layers = 1}).config.moe_layers(), std::vector<int>{0});
  const ModelPreset qwen =
      load("qwen3_30b_a3b", {.layers = 3, .config_json = R"({"mlp_only_layers": [0, 2, 40]})"});
  EXPECT_EQ(qwen.config.moe_layers(), std::vector<int>{1});
}

TEST(HfPresetTest, FewerExpertsKeepTheirSizeAndValidChoices) {
  const auto router = [](const std::string& name, int64_t experts) {
    return load(name, {.experts = experts}).config.router;
  };
  EXPECT_EQ(router("deepseek_v3", 64).num_groups, 8);
  EXPECT_EQ(router("deepseek_v3", 64).top_k, 8);
  EXPECT_EQ(router("deepseek_v3", 8).num_groups, 4) << "groups of two at least";
  EXPECT_EQ(router("deepseek_v3", 8).kept_groups, 2);
  EXPECT_EQ(router("deepseek_v3", 8).top_k, 4);
  EXPECT_EQ(router("deepseek_v3", 7).num_groups, 1);
  EXPECT_EQ(router("deepseek_v3", 1).top_k, 1);
  EXPECT_EQ(router("kimi_k2", 4).top_k, 4);
  EXPECT_EQ(router("mixtral_8x7b", 16).top_k, 2);
  for (const int64_t experts : {4, 8, 12}) {
    const ModelPreset llama = load("llama_moe_3_5b", {.experts = experts});
    EXPECT_EQ(llama.config.expert_ffn_size, 1376);
    EXPECT_EQ(llama.config.router.num_experts, experts);
  }
  const std::string sizes = R"({"num_hidden_layers": 1, "num_experts": 2, "intermediate_size": 60,
                               "size_experts": [[20, 40]]})";
  EXPECT_EQ(load("llama_moe_3_5b", {.experts = 4, .config_json = sizes}).config.expert_ffn_sizes,
            (std::vector<std::vector<int64_t>>{{20, 40, 20, 40}}));
}

TEST(HfPresetTest, EntriesReplaceAddAndRemove) {
  const ModelPreset preset =
      load("mixtral_8x7b",
           {.config_json = R"({"sliding_window": 64, "hidden_act": null, "rope_theta": 5e5})"});
  EXPECT_EQ(preset.config.window_of(0), 64);
  EXPECT_EQ(preset.config.rope.theta, 5e5);
  EXPECT_FALSE(config_of(preset).contains("hidden_act"));
  // The order of the others stays: what stands behind what was removed does not move.
  const json::object config = config_of(preset);
  EXPECT_EQ(config.begin()->key(), "architectures");
  EXPECT_EQ((config.end() - 1)->key(), "vocab_size");
}

void expect_refused(const std::string& text, ErrorKind kind,
                    std::initializer_list<std::string_view> parts,
                    const PresetChanges& changes = {}) {
  expect_error(kind, parts, [&] { parse_preset(text, "m.yaml", changes); });
}

TEST(HfPresetTest, WrongPresetsNameTheLine) {
  const std::string config = read_preset("mixtral_8x7b");
  constexpr ErrorKind kUsage = ErrorKind::kUsage;
  expect_refused("family: huggingface\n", kUsage, {"m.yaml: the key 'config' is missing"});
  expect_refused(config + "shards: 2\n", kUsage, {"line 29: unknown key 'shards'"});
  expect_refused(config + "family: huggingface\n", kUsage, {"line 29: 'family' is given twice"});
  expect_refused(config + "shard_size: none\n", kUsage, {"line 29", "shard_size is 'none'"});
  expect_refused(config + "variant: mxfp4\n", kUsage,
                 {"m.yaml", "no variant 'mxfp4'", "one tensor an expert"});
  expect_refused("family: huggingface\nconfig: 3\n", kUsage, {"line 2: config"});
  expect_refused("family: huggingface\nconfig: [\n", kUsage, {"line 3", "YAML"});
  expect_refused("family: huggingface\nconfig:\n  hidden_size: 4\n", kUsage,
                 {"line 3: config", "model_type"});
  expect_refused("family: huggingface\nconfig:\n  model_type: mixtrel\n", ErrorKind::kInput,
                 {"line 3: config", "'mixtrel'", "mixtral"});
  expect_refused(config, kUsage, {"torch_dtype is 'int8'", "bfloat16"},
                 {.config_json = R"({"torch_dtype": "int8"})"});
  expect_refused(config, ErrorKind::kInput, {"m.yaml, line 4: config", "\"hidden_sise\""},
                 {.config_json = R"({"hidden_sise": 4})"});
}

TEST(HfPresetTest, WrongChangesNameTheOption) {
  const std::string mixtral = read_preset("mixtral_8x7b");
  constexpr ErrorKind kUsage = ErrorKind::kUsage;
  expect_refused(mixtral, kUsage, {"--rank-files", "--shard-size"}, {.rank_files = 2});
  expect_refused(mixtral, kUsage, {"--set", "JSON object"}, {.config_json = "[1]"});
  expect_refused(mixtral, ErrorKind::kInput, {"--set"}, {.config_json = "{"});
  const std::string fairseq = read_preset("moe_15b");
  expect_refused(fairseq, kUsage, {"--set", "Hugging Face"}, {.config_json = "{}"});
  expect_refused(fairseq, kUsage, {"--shard-size", "Hugging Face"}, {.shard_bytes = 5});
  expect_refused("family: huggingface\nconfig: {model_type: llama, torch_dtype: float32}\n", kUsage,
                 {"--experts", "without experts"}, {.experts = 2});
  const ModelPreset odd =
      load("gpt_oss_20b", {.layers = 1, .config_json = R"({"intermediate_size": 40})"});
  expect_error(kUsage, {"experts.0.down.weight", "40", "32"},
               [&] { plan_hf_shards(*odd.hf, odd.name); });
  expect_refused(mixtral, kUsage, {"4294967296 experts", "4194304"},
                 {.layers = 65536, .experts = 65536});
  expect_refused(read_preset("qwen3_30b_a3b"), kUsage, {"--layers is '1'", "none"},
                 {.layers = 1, .config_json = R"({"decoder_sparse_step": 2})"});
}

}  // namespace
}  // namespace switchyard
