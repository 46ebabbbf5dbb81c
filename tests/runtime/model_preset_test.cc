#include "runtime/model_preset.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "runtime/checkpoint/expected_tensors.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

const std::string kDense =
    "family: fairseq\nlayers: 3\nhidden_size: 24\nffn_size: 40\nheads: 4\nvocab_size: 90\n"
    "max_positions: 64\ndtype: fp16\n";
const std::string kMoe = kDense + "experts: 8\n";

/// The message of parsing `text`, which must be refused and name the parts.
void expect_refused(const std::string& text, std::initializer_list<std::string_view> parts,
                    const PresetChanges& changes = {}) {
  expect_error(ErrorKind::kUsage, parts, [&] { parse_preset(text, "m.yaml", changes); });
}

struct Shape {
  int layers;
  int64_t width, ffn, experts, rank_files;
  double name_in_parameters;  // what the released model is called
};

TEST(ModelPresetTest, BuiltInModelsHaveTheirNamesParameters) {
  const std::map<std::string, Shape> expected = {{"dense_125m", {12, 768, 3072, 0, 0, 125e6}},
                                                 {"dense_355m", {24, 1024, 4096, 0, 0, 355e6}},
                                                 {"dense_1_3b", {24, 2048, 8192, 0, 0, 1.3e9}},
                                                 {"dense_2_7b", {32, 2560, 10240, 0, 0, 2.7e9}},
                                                 {"dense_6_7b", {32, 4096, 16384, 0, 0, 6.7e9}},
                                                 {"dense_13b", {40, 5120, 20480, 0, 0, 13e9}},
                                                 {"moe_15b", {12, 768, 3072, 512, 64, 15e9}},
                                                 {"moe_52b", {24, 1024, 4096, 512, 128, 52e9}},
                                                 {"moe_207b", {24, 2048, 8192, 512, 256, 207e9}},
                                                 {"moe_1_1t", {32, 4096, 16384, 512, 256, 1.1e12}}};
  const std::vector<std::string> names = preset_names();
  EXPECT_EQ(std::ranges::count_if(names, [](const auto& name) { return !load_preset(name).hf; }),
            static_cast<int64_t>(expected.size()));
  for (const auto& [name, shape] : expected) {
    SCOPED_TRACE(name);
    const ModelPreset preset = load_preset(name);
    const ModelConfig& config = preset.config;
    EXPECT_EQ(preset.name, name);
    EXPECT_NO_THROW(validate(config, name));
    EXPECT_EQ(config.num_layers(), shape.layers);
    EXPECT_EQ(config.hidden_size, shape.width);
    EXPECT_EQ(config.ffn_size, shape.ffn);
    EXPECT_EQ(config.vocab_size, 51200);
    EXPECT_EQ(config.max_positions, 2048);
    EXPECT_EQ(config.router.num_experts, shape.experts);
    EXPECT_EQ(config.num_moe_layers(), shape.experts == 0 ? 0 : shape.layers / 2);
    EXPECT_EQ(preset.rank_files, shape.rank_files);
    EXPECT_EQ(preset.dtype, DType::kF16);
    EXPECT_EQ(config.weight_dtype, DType::kF16);
    EXPECT_EQ(config.names.output, config.names.embedding);
    EXPECT_EQ(config.ffn_form.activation, Activation::kGelu);
    // The names are rounded to two or three digits; moe_15b has 14.6 * 10^9.
    const auto parameters = static_cast<double>(num_parameters(config));
    EXPECT_NEAR(parameters / shape.name_in_parameters, 1.0, name == "moe_15b" ? 0.03 : 0.02);
  }
  EXPECT_EQ(num_parameters(load_preset("dense_125m").config), 124377600);
  EXPECT_EQ(num_parameters(load_preset("moe_15b").config), 14605713408);
}

TEST(ModelPresetTest, ParametersAreThoseOfTheTensors) {
  for (const std::string& text :
       {kDense, kMoe, kDense + "positions: learned\ntied_output: false\n", kMoe + "moe_every: 1\n",
        kDense + "norm: post\n", kMoe + "final_norm: false\n"}) {
    const ModelConfig config = parse_preset(text, "m.yaml").config;
    int64_t total = 0;
    for (const ExpectedTensor& tensor : expected_tensors(config)) {
      int64_t elements = 1;
      for (const int64_t size : tensor.shape) elements *= size;
      total += elements;
    }
    EXPECT_EQ(num_parameters(config), total) << text;
  }
}

TEST(ModelPresetTest, ShortTextsHaveFairseqsDefaults) {
  const ModelPreset preset = parse_preset(kMoe, "m.yaml");
  const ModelConfig& config = preset.config;
  EXPECT_EQ(preset.name, "m.yaml");
  EXPECT_EQ(preset.rank_files, 1);
  EXPECT_EQ(config.family, "fairseq");
  EXPECT_EQ(config.head_dim, 6);
  EXPECT_EQ(config.layers, (std::vector<FfnKind>{FfnKind::kDense, FfnKind::kMoe, FfnKind::kDense}));
  EXPECT_EQ(config.router.top_k, 2);
  EXPECT_EQ(config.position_kind, PositionKind::kSinusoidal);
  EXPECT_EQ(config.norm_placement, NormPlacement::kPre);
  EXPECT_EQ(config.final_norm, FinalNorm::kApplied);
  EXPECT_FLOAT_EQ(config.embedding_scale, std::sqrt(24.0f));
  EXPECT_EQ(config.start_token, 2);
  EXPECT_EQ(config.capacity.eval_fraction, 0.25);
  EXPECT_EQ(config.capacity.norm_order, NormOrder::kAfterDropping);
  EXPECT_EQ(config.capacity.slot_order, SlotOrder::kRows);
  EXPECT_EQ(config.capacity.pads, PadRouting::kRouted);
}

TEST(ModelPresetTest, EveryKeyIsHonoured) {
  const ModelConfig config =
      parse_preset(kMoe +
                       "moe_every: 1\nrank_files: 4\nactivation: relu\npositions: learned\n"
                       "final_norm: false\nscale_embedding: false\ntied_output: false\n"
                       "start_token: bos\ncapacity_fraction: -1\ngate_norm: before_dropping\n"
                       "slot_order: probability\npad_routing: masked\n",
                   "m.yaml")
          .config;
  EXPECT_EQ(config.num_moe_layers(), 3);
  EXPECT_EQ(config.ffn_form.activation, Activation::kRelu);
  EXPECT_EQ(config.position_kind, PositionKind::kLearned);
  EXPECT_EQ(config.final_norm, FinalNorm::kAbsent);
  EXPECT_EQ(config.embedding_scale, 1.0f);
  EXPECT_NE(config.names.output, config.names.embedding);
  EXPECT_EQ(config.start_token, 0);
  EXPECT_EQ(config.capacity.eval_fraction, -1.0);
  EXPECT_EQ(config.capacity.norm_order, NormOrder::kBeforeDropping);
  EXPECT_EQ(config.capacity.slot_order, SlotOrder::kProbability);
  EXPECT_EQ(config.capacity.pads, PadRouting::kMasked);
  EXPECT_EQ(parse_preset(kDense + "norm: post\n", "m.yaml").config.norm_placement,
            NormPlacement::kPost);
  const ModelConfig top1 = parse_preset(kMoe + "top_k: 1\n", "m.yaml").config;
  EXPECT_EQ(top1.router.top_k, 1);
  EXPECT_EQ(top1.router.norm, GateNorm::kNone);
}

TEST(ModelPresetTest, TypesAreThoseOfTheWeights) {
  for (const auto& [name, dtype] : std::map<std::string, DType>{
           {"fp16", DType::kF16}, {"bf16", DType::kBF16}, {"fp32", DType::kF32}}) {
    const ModelPreset preset = parse_preset(kDense, "m.yaml", {.dtype = dtype});
    EXPECT_EQ(preset.dtype, dtype) << name;
    EXPECT_EQ(preset.config.weight_dtype, dtype) << name;
  }
}

TEST(ModelPresetTest, ChangesKeepThePatternOfLayers) {
  const ModelPreset preset =
      load_preset("moe_15b", {.layers = 5, .experts = 16, .rank_files = 8, .dtype = DType::kF32});
  EXPECT_EQ(preset.config.moe_layers(), (std::vector<int>{1, 3}));
  EXPECT_EQ(preset.config.router.num_experts, 16);
  EXPECT_EQ(preset.rank_files, 8);
  EXPECT_EQ(preset.config.weight_dtype, DType::kF32);
  EXPECT_EQ(load_preset("moe_15b", {.layers = 20}).config.num_moe_layers(), 10);
}

TEST(ModelPresetTest, WrongChangesNameTheOption) {
  const std::string moe = read_preset("moe_15b");
  expect_refused(moe, {"--layers is '0'", "1 to 65536"}, {.layers = 0});
  expect_refused(moe, {"--layers is '1'", "no layer has experts", "at least 2"}, {.layers = 1});
  expect_refused(moe, {"m.yaml, line ", "rank_files is '64'", "divisor", "8"}, {.experts = 8});
  expect_refused(moe, {"--rank-files is '3'", "divisor", "512"}, {.rank_files = 3});
  expect_refused(kDense, {"--rank-files is '2'", "without experts"}, {.rank_files = 2});
  expect_refused(kDense, {"--experts is '1'", "top_k = 2"}, {.experts = 1});
}

TEST(ModelPresetTest, WrongKeysAndValuesNameTheLine) {
  expect_refused(kDense + "layer: 3\n", {"m.yaml, line 9", "'layer'", "did you mean 'layers'"});
  expect_refused(kDense + "zzz: 3\n", {"m.yaml, line 9", "'zzz'", "configs/README.md"});
  expect_refused(kDense + "layers: 3\n", {"m.yaml, line 9", "'layers' is given twice"});
  expect_refused(kDense + "activation: tanh\n", {"m.yaml, line 9: activation is 'tanh'", "gelu"});
  expect_refused(kDense + "tied_output: maybe\n", {"tied_output is 'maybe'", "true, false"});
  expect_refused(kMoe + "capacity_fraction: much\n", {"line 10", "'much'", "finite number"});
  expect_refused("family: fairseq\n", {"m.yaml: the key 'hidden_size' is missing"});
  expect_refused("layers: 3\n", {"the key 'family' is missing"});
  expect_refused("family: gpt\n", {"line 1: family is 'gpt'", "fairseq"});
  expect_refused("- 1\n", {"m.yaml", "key: value"});
  expect_refused("a: [\n", {"m.yaml, line ", "not readable as YAML"});
  expect_refused("", {"'family' is missing"});
}

TEST(ModelPresetTest, NumbersOutOfRangeNameTheRange) {
  const auto with = [](const std::string& key, const std::string& value) {
    std::string text = kMoe;
    const size_t at = text.find("\n" + key + ":") + 1;
    return text.replace(at, text.find('\n', at) - at, key + ": " + value);
  };
  for (const char* bad : {"0", "-1", "1.5", "2x", "''", "99999999999999999999"}) {
    for (const char* key :
         {"layers", "hidden_size", "ffn_size", "heads", "vocab_size", "max_positions"}) {
      expect_refused(with(key, bad), {"m.yaml, line ", key, "a whole number from "});
    }
  }
  expect_refused(with("vocab_size", "3"), {"from 4"});
  expect_refused(with("heads", "5"), {"m.yaml, line 5", "heads is '5'", "divisor", "24"});
  expect_refused(with("max_positions", "100001"), {"sinusoidal", "100000"});
  EXPECT_NO_THROW(parse_preset(with("max_positions", "100001") + "positions: learned\n", "m.yaml"));
  expect_refused(with("ffn_size", "16777216") + "moe_every: 1\n",
                 {"--experts is '65536'", "at most 4194304"}, {.layers = 100, .experts = 65536});
  expect_refused(with("hidden_size", "1048576"), {"heads is '4'", "heads of 262144", "65536"});
  expect_refused(with("hidden_size", "262144"), {"1.", "parameters", "at most"}, {.layers = 50000});
}

TEST(ModelPresetTest, ContradictionsAreTold) {
  expect_refused(kDense + "top_k: 2\n", {"line 9: top_k is '2'", "without experts"});
  expect_refused(kDense + "experts: 0\nmoe_every: 2\n", {"moe_every", "without experts"});
  expect_refused(kMoe + "moe_every: 4\n", {"layers is '3'", "moe_every 4"});
  expect_refused(kMoe + "top_k: 3\n", {"top_k is '3'", "1 to 2"});
  expect_refused(kMoe + "top_k: 1\ngate_norm: after_dropping\n", {"gate_norm", "top_k 1"});
  expect_refused(kMoe + "rank_files: 3\n", {"rank_files is '3'", "divisor", "8"});
  expect_refused(kDense + "norm: post\nfinal_norm: true\n", {"final_norm is 'true'", "post"});
}

TEST(ModelPresetTest, FilesAndNames) {
  const TempFolder folder;
  const std::string path = folder.write("mine.yaml", kMoe);
  EXPECT_EQ(load_preset(path).name, path);
  expect_error(ErrorKind::kInput, {"absent.yaml", "YAML file"},
               [&] { load_preset(folder.path("absent.yaml")); });
  expect_error(ErrorKind::kUsage, {"'moe_15'", "did you mean 'moe_15b'", "dense_125m", ".yaml"},
               [] { load_preset("moe_15"); });
  expect_error(ErrorKind::kUsage, {"''"}, [] { load_preset(""); });
}

}  // namespace
}  // namespace switchyard
