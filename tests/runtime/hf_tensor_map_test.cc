// From tensors of a folder to roles: variants of names, and files that do not hold the model.
#include "runtime/families/hf_tensor_map.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "runtime/families/hf_checkpoint.h"
#include "runtime/families/stored_tensors.h"
#include "runtime/model_preset.h"
#include "tests/runtime/expect_error.h"

namespace switchyard {
namespace {

const std::string kSizes = R"("hidden_size": 64, "intermediate_size": 96, "num_attention_heads": 4,
                              "num_key_value_heads": 4, "vocab_size": 100)";

/// A model cut to two layers of eight experts, and the headers of a folder that holds it.
class Case {
 public:
  explicit Case(const std::string& preset, const std::string& more = "",
                const std::string& variant = "") {
    preset_ =
        load_preset(preset, {.layers = 2, .experts = 8, .config_json = "{" + kSizes + more + "}"});
    const HfPreset& hf = *preset_.hf;
    folder.directory = "dir";
    folder.config_path = "dir/config.json";
    folder.config_text = hf.config_text;
    folder.files.push_back({"dir/model.safetensors", 1, 1});
    const std::string& name = variant.empty() ? hf.variant : variant;
    for (const HfStoredTensor& tensor : stored_tensors(
             hf.model, variant_named(*hf.model.family, name, preset), hf.dtype, preset)) {
      add(tensor.content.name, tensor.type, tensor.shape);
    }
  }

  void add(const std::string& name, const std::string& type, const std::vector<int64_t>& shape) {
    TorchTensor tensor;
    tensor.name = name;
    tensor.storage_type = type;
    const std::map<std::string, DType> types = {
        {"F32", DType::kF32}, {"F16", DType::kF16}, {"BF16", DType::kBF16}, {"U8", DType::kU8}};
    if (types.count(type) > 0) {
      tensor.entry.dtype = types.at(type);
    } else {
      tensor.support = TensorSupport::kUnknownType;
    }
    tensor.entry.shape = shape;
    tensor.entry.strides = row_major_strides(shape);
    tensor.entry.offset = offset_;
    tensor.places.emplace_back();
    offset_ += int64_t{1} << 24;
    folder.tensors[name] = tensor;
  }

  TorchTensor& at(const std::string& name) { return folder.tensors.at(name); }
  Checkpoint open() const { return make_hf_checkpoint(folder); }

  void expect_refused(std::initializer_list<std::string_view> parts) const {
    expect_error(ErrorKind::kInput, parts, [&] { open(); });
  }

  HfFolder folder;

 private:
  ModelPreset preset_;
  int64_t offset_ = 0;
};

const std::string kLatent = R"(, "moe_intermediate_size": 32, "kv_lora_rank": 32, "q_lora_rank": 40,
    "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12,
    "quantization_config": {"quant_method": "fp8", "fmt": "e4m3", "weight_block_size": [16, 16]})";

TEST(HfTensorMapTest, PartsOfAGateFollowEachOther) {
  Case mixtral("mixtral_8x7b");
  const Checkpoint checkpoint = mixtral.open();
  const TensorEntry& up = checkpoint.index.at("layers.1.experts.3.up.weight");
  EXPECT_EQ(up.shape, (std::vector<int64_t>{192, 64}));
  ASSERT_EQ(up.parts.size(), 2u);
  const std::string expert = "model.layers.1.block_sparse_moe.experts.3.";
  EXPECT_EQ(up.parts[0].offset, mixtral.at(expert + "w1.weight").entry.offset);
  EXPECT_EQ(up.parts[1].offset, mixtral.at(expert + "w3.weight").entry.offset);
  EXPECT_EQ(checkpoint.config.weight_dtype, DType::kBF16);
}

TEST(HfTensorMapTest, PartsOfTwoTypesAreWidened) {
  Case mixtral("mixtral_8x7b");
  mixtral.at("model.layers.1.block_sparse_moe.experts.3.w1.weight").entry.dtype = DType::kF16;
  const Checkpoint checkpoint = mixtral.open();
  EXPECT_EQ(checkpoint.index.at("layers.1.experts.3.up.weight").dtype, DType::kF32);
  EXPECT_FALSE(checkpoint.config.weight_dtype);
}

TEST(HfTensorMapTest, EveryVariantIsRecognised) {
  const Case fused("mixtral_8x7b", "", "experts in one tensor");
  const TensorEntry up = fused.open().index.at("layers.1.experts.3.up.weight");
  EXPECT_EQ(up.shape, (std::vector<int64_t>{192, 64}));
  EXPECT_EQ(up.strides, (std::vector<int64_t>{64, 1}));
  EXPECT_EQ(up.offset % (int64_t{1} << 24), 3 * 192 * 64 * 2);

  Case turned("gpt_oss_20b", "", "bf16");
  const TensorEntry turned_up = turned.open().index.at("layers.1.experts.3.up.weight");
  EXPECT_EQ(turned_up.shape, (std::vector<int64_t>{192, 64}));
  EXPECT_EQ(turned_up.strides, (std::vector<int64_t>{1, 192})) << "stored [experts, in, out]";
  const TensorEntry bias = turned.open().index.at("layers.1.experts.3.up.bias");
  EXPECT_EQ(bias.shape, std::vector<int64_t>{192});

  for (const char* variant :
       {"queries through a latent", "queries through a latent, experts in one tensor"}) {
    Case latent("deepseek_v2_lite",
                R"(, "q_lora_rank": 40, "moe_intermediate_size": 32, "kv_lora_rank": 32,
                     "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12)",
                variant);
    EXPECT_NO_THROW(latent.open()) << variant;
  }
  const Case linear("llama_moe_3_5b", R"(, "gate_network": "linear")", "linear gate");
  EXPECT_EQ(linear.open().config.gate_network, GateNetwork::kLinear);
}

TEST(HfTensorMapTest, HeadsTakeTheirRowsOfKeysAndValues) {
  Case v3("deepseek_v3", kLatent);
  const CheckpointIndex index = v3.open().index;
  const TensorEntry& keys = index.at("layers.0.attention.head_keys.weight");
  const TensorEntry& values = index.at("layers.0.attention.head_values.weight");
  EXPECT_EQ(keys.shape, (std::vector<int64_t>{4 * 16, 32}));
  EXPECT_EQ(values.shape, (std::vector<int64_t>{4 * 12, 32}));
  ASSERT_EQ(keys.parts.size(), 4u);
  for (size_t head = 0; head < 4; ++head) {
    EXPECT_EQ(keys.parts[head].first_row, static_cast<int64_t>(head) * 28);
    EXPECT_EQ(values.parts[head].first_row, static_cast<int64_t>(head) * 28 + 16);
    EXPECT_EQ(keys.parts[head].encoding, TensorEncoding::kFp8Block);
  }
}

TEST(HfTensorMapTest, MissingTensorsAreNamed) {
  for (const char* name : {"model.norm.weight", "lm_head.weight",
                           "model.layers.1.block_sparse_moe.experts.7.w2.weight"}) {
    Case mixtral("mixtral_8x7b");
    mixtral.folder.tensors.erase(name);
    mixtral.expect_refused({name, "is missing", "dir/config.json"});
  }
  Case v3("deepseek_v3", kLatent);
  v3.folder.tensors.erase("model.layers.0.self_attn.o_proj.weight_scale_inv");
  v3.expect_refused({"model.layers.0.self_attn.o_proj.weight_scale_inv", "is missing"});
  Case oss("gpt_oss_20b");
  oss.folder.tensors.erase("model.layers.1.mlp.experts.down_proj_scales");
  oss.expect_refused({"model.layers.1.mlp.experts.down_proj_scales", "is missing"});
}

TEST(HfTensorMapTest, TensorsWithoutAPlaceAreNamed) {
  Case mixtral("mixtral_8x7b");
  mixtral.add("model.layers.1.self_attn.q_proj.bias", "BF16", {64});
  mixtral.expect_refused({"dir/model.safetensors", "q_proj.bias", "[64]", "no place"});
  Case more("mixtral_8x7b");
  more.add("model.layers.2.input_layernorm.weight", "BF16", {64});
  more.expect_refused({"model.layers.2", "no place"});
  Case ignored("mixtral_8x7b");
  ignored.add("model.layers.1.self_attn.rotary_emb.inv_freq", "F32", {8});
  EXPECT_NO_THROW(ignored.open());
  Case v3("deepseek_v3", kLatent);
  v3.add("model.layers.2.eh_proj.weight", "BF16", {64, 128});
  EXPECT_NO_THROW(v3.open()) << "the layer that predicts a second token";
  v3.add("model.layers.3.eh_proj.weight", "BF16", {64, 128});
  v3.expect_refused({"model.layers.3.eh_proj.weight", "no place"});
  Case tied("qwen3_30b_a3b", R"(, "tie_word_embeddings": true)");
  EXPECT_EQ(tied.folder.tensors.count("lm_head.weight"), 0u);
  tied.add("lm_head.weight", "BF16", {100, 64});
  EXPECT_NO_THROW(tied.open()) << "some files repeat the embedding";
}

TEST(HfTensorMapTest, WrongShapesSayBoth) {
  const auto refuse = [](Case& its, const std::string& name, const std::vector<int64_t>& shape,
                         std::initializer_list<std::string_view> parts) {
    SCOPED_TRACE(name);
    its.at(name).entry.shape = shape;
    its.at(name).entry.strides = row_major_strides(shape);
    its.expect_refused(parts);
  };
  Case mixtral("mixtral_8x7b");
  refuse(mixtral, "model.layers.0.self_attn.k_proj.weight", {32, 64},
         {"k_proj.weight", "[32, 64]", "expected [64, 64]"});
  Case turned("mixtral_8x7b");
  refuse(turned, "model.layers.0.block_sparse_moe.experts.0.w2.weight", {96, 64},
         {"[96, 64]", "expected [64, 96]"});
  Case fused("mixtral_8x7b", "", "experts in one tensor");
  refuse(fused, "model.layers.0.mlp.experts.down_proj", {7, 64, 96},
         {"[7, 64, 96]", "expected [8, 64, 96]"});
  Case oss("gpt_oss_20b");
  refuse(oss, "model.layers.0.mlp.experts.down_proj_blocks", {8, 64, 2, 16},
         {"down_proj_", "[8, 64, 3"});
  Case v3("deepseek_v3", kLatent);
  refuse(v3, "model.layers.0.mlp.down_proj.weight_scale_inv", {4, 4},
         {"weight_scale_inv", "[4, 4]", "expected [4, 6]"});
  Case vector("mixtral_8x7b");
  vector.at("model.norm.weight").entry.shape = {1, 64};
  vector.at("model.norm.weight").entry.strides = {64, 1};
  EXPECT_NO_THROW(vector.open()) << "dimensions of one element do not matter to a vector";
}

TEST(HfTensorMapTest, WrongTypesAreNamed) {
  Case mixtral("mixtral_8x7b");
  mixtral.add("model.norm.weight", "F64", {64});
  mixtral.expect_refused({"model.norm.weight", "F64", "bf16"});
  Case fp8("mixtral_8x7b");
  fp8.add("lm_head.weight", "F8_E4M3", {100, 64});
  fp8.expect_refused({"lm_head.weight", "F8_E4M3", "quantization_config"});
  Case codes("gpt_oss_20b");
  codes.at("model.layers.0.mlp.experts.gate_up_proj_blocks").entry.dtype = DType::kBF16;
  codes.expect_refused({"gate_up_proj_blocks", "bytes"});
}

}  // namespace
}  // namespace switchyard
