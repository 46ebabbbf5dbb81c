// Presets of Hugging Face models: what they describe, what options change, and the folders that
// `synthesize` writes for them.
#include "runtime/hf_preset.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "runtime/checkpoint/expected_tensors.h"
#include "runtime/families/hf_writer.h"
#include "runtime/inspect_parts.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/score_runner.h"
#include "tests/runtime/synthesize_runner.h"

namespace switchyard {
namespace {

namespace json = boost::json;

struct KnownModel {
  double parameters = 0;  // in billions, of the release without what predicts further tokens
  int64_t experts = 0;
  int num_moe_layers = 0;
  /// Entries of a tiny config.json of the same form, beside those of kTiny.
  std::string tiny;
};

const std::string kTiny =
    R"("hidden_size": 64, "num_attention_heads": 4, "vocab_size": 100, "eos_token_id": 2)";
const std::string kOneHeadForAll = R"(, "num_key_value_heads": 4, "intermediate_size": 64)";
const std::string kGrouped = R"(, "num_key_value_heads": 2, "intermediate_size": 64)";
const std::string kSmallExperts = R"(, "moe_intermediate_size": 32)";
const std::string kLatent =
    R"(, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12)";
const std::string kBlocks = R"(, "quantization_config": {"quant_method": "fp8", "fmt": "e4m3",
                               "weight_block_size": [16, 24]})";
const std::string kLongRope =
    R"(, "rope_scaling": {"type": "longrope", "short_factor": [1, 1, 1, 1, 1, 1, 1, 1],
       "long_factor": [1, 1, 1, 2, 2, 2, 2, 4], "short_mscale": 1.2, "long_mscale": 1.3,
       "original_max_position_embeddings": 8}, "original_max_position_embeddings": 8)";

const std::map<std::string, KnownModel>& known_models() {
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
PresetChanges tiny_changes(const std::string& name) {
  PresetChanges changes;
  changes.layers = 2;
  changes.experts = name == "deepseek_v3" ? 8 : 4;
  changes.config_json = "{" + kTiny + known_models().at(name).tiny + "}";
  return changes;
}

/// The architecture as `inspect` tells it.
std::string words_for(const ModelConfig& config) {
  return format_report({architecture_section(config)}, ResultForm::kTable);
}

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

TEST(HfPresetTest, TinyModelsAreReadBackAndScore) {
  const std::string requests = R"({"id":1,"token_ids":[5,6,7,8,9,10,11,12,3,4,5,60,61,50]})";
  for (const auto& [name, known] : known_models()) {
    SCOPED_TRACE(name);
    const TempFolder folder;
    SynthesizeOptions options = options_for(name, folder.path("out"));
    options.changes = tiny_changes(name);
    options.changes.shard_bytes = 60'000;
    synthesize(options);
    const ModelPreset preset = load(name, options.changes);
    const Checkpoint checkpoint = open(options.output);
    EXPECT_TRUE(checkpoint.warnings.empty()) << checkpoint.warnings.front();
    EXPECT_GT(checkpoint.index.files.size(), 1u);
    EXPECT_EQ(words_for(checkpoint.config), words_for(preset.config));
    ScoreSetup setup;
    setup.model = options.output;
    setup.input = folder.write("in.jsonl", requests);
    const std::string result = score(setup);
    const double sum = json::parse(result).at("logprob").to_number<double>();
    EXPECT_LT(sum, -13 * 2.0) << "no better than chance";
    EXPECT_GT(sum, -13 * 9.0) << "nothing explodes";
  }
}

TEST(HfPresetTest, FilesDoNotDependOnRanks) {
  for (const char* name : {"deepseek_v3", "gpt_oss_20b", "mixtral_8x7b"}) {
    SCOPED_TRACE(name);
    const TempFolder folder;
    SynthesizeOptions options = options_for(name, folder.path("one"));
    options.changes = tiny_changes(name);
    options.changes.shard_bytes = 30'000;
    const int64_t bytes = synthesize(options);
    const std::map<std::string, std::string> expected = contents(folder, "one");
    EXPECT_GT(expected.size(), 5u);
    int64_t total = 0;
    for (const auto& [file, text] : expected) total += static_cast<int64_t>(text.size());
    EXPECT_EQ(bytes, total);
    options.output = folder.path("three");
    options.num_threads = 2;
    EXPECT_EQ(synthesize(options, 3), bytes);
    EXPECT_EQ(contents(folder, "three"), expected);
    options.output = folder.path("other");
    options.seed = 2;
    synthesize(options);
    EXPECT_NE(contents(folder, "other"), expected);
  }
}

TEST(HfPresetTest, OneFileHasNoIndex) {
  const TempFolder folder;
  SynthesizeOptions options = options_for("olmoe_1b_7b", folder.path("out"));
  options.changes = tiny_changes("olmoe_1b_7b");
  synthesize(options);
  std::set<std::string> names;
  for (const auto& [name, text] : contents(folder, "out")) names.insert(name);
  EXPECT_EQ(names,
            (std::set<std::string>{"config.json", "generation_config.json", "model.safetensors"}));
  expect_error(ErrorKind::kInput, {"stands there already"}, [&] { synthesize(options); });
}

/// The mean square of elements, and the largest.
void expect_spread(const Checkpoint& checkpoint, const std::string& name, double deviation) {
  SCOPED_TRACE(name);
  const TensorEntry& entry = checkpoint.index.at(name);
  TensorReader reader(checkpoint.index);
  const auto count = static_cast<size_t>(entry.num_elements());
  std::vector<float> raw(count), values(count);
  reader.read(name, entry, 0, entry.num_elements(), raw.data());
  convert_elements(entry.dtype, raw.data(), DType::kF32, values.data(), entry.num_elements());
  double squares = 0;
  for (const float value : values) {
    squares += double{value} * value;
    ASSERT_LT(std::abs(value), 8.5 * deviation);
  }
  EXPECT_NEAR(std::sqrt(squares / static_cast<double>(count)) / deviation, 1.0, 0.08);
}

TEST(HfPresetTest, QuantisedMatricesHaveTheDeviationOfPlainOnes) {
  const TempFolder folder;
  for (const char* name : {"deepseek_v3", "gpt_oss_20b"}) {
    for (const bool is_plain : {false, true}) {
      SynthesizeOptions options = options_for(name, folder.path(concat(name, is_plain)));
      options.changes = tiny_changes(name);
      if (is_plain) options.changes.dtype = DType::kF32;
      synthesize(options);
      const Checkpoint checkpoint = open(options.output);
      EXPECT_EQ(checkpoint.index.at("layers.1.experts.2.down.weight").encoding,
                is_plain                             ? TensorEncoding::kPlain
                : name == std::string("deepseek_v3") ? TensorEncoding::kFp8Block
                                                     : TensorEncoding::kMxfp4);
      expect_spread(checkpoint, "layers.1.experts.2.up.weight", 1.0 / 8);
      expect_spread(checkpoint, "layers.0.attention.query.weight",
                    name == std::string("deepseek_v3") ? 1.0 / std::sqrt(40.0) : 1.0 / 8);
    }
  }
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
  expect_refused(mixtral, ErrorKind::kInput, {"num_local_experts", "4194304"},
                 {.layers = 65536, .experts = 65536});
}

}  // namespace
}  // namespace switchyard
