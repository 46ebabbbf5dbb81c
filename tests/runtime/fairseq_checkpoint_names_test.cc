// Tensors under older names and in wrappers.
#include "runtime/checkpoint/fairseq_names.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/runtime/checkpoint_case_writer.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

TEST(FairseqNamesTest, DropsWrappersAnywhere) {
  EXPECT_EQ(without_wrappers("decoder.fc1.weight"), "decoder.fc1.weight");
  EXPECT_EQ(without_wrappers("module.decoder.fc1.weight"), "decoder.fc1.weight");
  EXPECT_EQ(without_wrappers("_fsdp_wrapped_module._fpw_module.a.module.b"), "a.b");
  EXPECT_EQ(without_wrappers("submodule.modules.x"), "submodule.modules.x");
  EXPECT_EQ(without_wrappers(".a..b"), ".a..b");
  EXPECT_EQ(without_wrappers("module"), "");
}

std::vector<NamedTensor> renamed(const std::string& name, const std::vector<int64_t>& shape,
                                 const std::vector<int64_t>& strides) {
  TorchTensor tensor;
  tensor.name = name;
  tensor.entry = {0, 1000, DType::kF16, shape, strides};
  tensor.places = {{5, 100, 7}};
  std::vector<NamedTensor> to;
  add_by_current_name("a.pt", tensor, to);
  return to;
}

TEST(FairseqNamesTest, KnowsTheOldLayerNorms) {
  const auto name = [](const std::string& old) { return renamed(old, {4}, {1}).at(0).name; };
  EXPECT_EQ(name("decoder.layers.3.layer_norms.0.bias"),
            "decoder.layers.3.self_attn_layer_norm.bias");
  EXPECT_EQ(name("module.decoder.layers.3.layer_norms.2.weight"),
            "decoder.layers.3.final_layer_norm.weight");
  EXPECT_EQ(name("decoder.layers.3.layer_norms.1.bias"), "decoder.layers.3.layer_norms.1.bias");
}

TEST(FairseqNamesTest, SplitsTheJointProjectionWithoutACopy) {
  const std::vector<NamedTensor> weight =
      renamed("decoder.layers.0.self_attn.in_proj_weight", {6, 4}, {4, 1});
  ASSERT_EQ(weight.size(), 3u);
  const char* names[] = {"q_proj", "k_proj", "v_proj"};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_EQ(weight[i].name, concat("decoder.layers.0.self_attn.", names[i], ".weight"));
    EXPECT_EQ(weight[i].stored.name, "decoder.layers.0.self_attn.in_proj_weight");
    EXPECT_EQ(weight[i].stored.entry.shape, (std::vector<int64_t>{2, 4}));
    EXPECT_EQ(weight[i].stored.entry.offset, 1000 + 16 * static_cast<int64_t>(i));
    EXPECT_EQ(weight[i].stored.places[0].first, 5 + 8 * static_cast<int64_t>(i));
  }
  const std::vector<NamedTensor> transposed =
      renamed("decoder.layers.0.self_attn.in_proj_weight", {6, 4}, {1, 6});
  EXPECT_EQ(transposed[2].stored.entry.offset, 1000 + 2 * 4);
  EXPECT_EQ(renamed("decoder.layers.0.self_attn.in_proj_bias", {6}, {1})[1].name,
            "decoder.layers.0.self_attn.k_proj.bias");
  EXPECT_EQ(renamed("decoder.layers.0.self_attn.in_proj_other", {6}, {1}).size(), 1u);
  for (const std::vector<int64_t>& shape : {std::vector<int64_t>{5, 4}, std::vector<int64_t>{}}) {
    expect_parts(error_of([&] {
                   renamed("decoder.layers.0.self_attn.in_proj_weight", shape,
                           std::vector<int64_t>(shape.size(), 1));
                 }),
                 {"a.pt", "in_proj_weight", "rows; expected those of query, key and value"});
  }
}

TEST(FairseqNamesTest, OldNamesGiveTheReferencesContents) {
  // The settings and tensors of today's names give the checkpoints' own bytes.
  for (const char* folder : {"names_legacy_v3", "names_version2_dense", "names_version_missing"}) {
    const Checkpoint checkpoint = open_folder(kData + "/fairseq/" + folder);
    EXPECT_EQ(checkpoint.config.final_norm,
              std::string(folder) == "names_legacy_v3" ? FinalNorm::kApplied : FinalNorm::kAbsent);
    for (const auto& [name, entry] : checkpoint.index.tensors) {
      EXPECT_EQ(name.find("in_proj"), std::string::npos) << name;
      EXPECT_EQ(name.find("layer_norms"), std::string::npos) << name;
    }
  }
}

/// The dense checkpoint written again with each tensor's name changed.
template <typename Rename>
std::string write_renamed(const TempFolder& folder, const std::string& source, Rename rename) {
  const Checkpoint original = open_folder(kData + "/fairseq/" + source);
  std::vector<RawTensor> tensors = read_all(original);
  for (RawTensor& tensor : tensors) tensor.name = rename(tensor.name);
  folder.write(
      "model.pt",
      write_torch_file(tensors, {{"cfg", cfg_pickle(headers_of(source)[0].config.settings)}}));
  return folder.path("");
}

TEST(FairseqNamesTest, WrappedNamesAreRead) {
  const TempFolder folder;
  const std::string path = write_renamed(folder, "dense_fp32", [](const std::string& name) {
    std::string wrapped = "module." + name;
    const size_t at = wrapped.find(".fc1.");
    if (at != std::string::npos) wrapped.insert(at, "._fsdp_wrapped_module");
    return wrapped;
  });
  const Checkpoint original = open_folder(kData + "/fairseq/dense_fp32");
  const Checkpoint copy = open_folder(path);
  expect_same_tensors(copy, original);
  EXPECT_EQ(copy.config.final_norm, FinalNorm::kApplied);  // decoder.version was found
}

TEST(FairseqNamesTest, TwoTensorsOfOneNameAreRefused) {
  const TempFolder folder;
  write_renamed(folder, "dense_fp32", [](const std::string& name) {
    return name == "decoder.layers.0.final_layer_norm.bias" ? "decoder.layers.0.layer_norms.0.bias"
                                                            : name;
  });
  expect_parts(error_of([&] { open_folder(folder.path("")); }),
               {"model.pt", "decoder.layers.0.layer_norms.0.bias",
                "decoder.layers.0.self_attn_layer_norm.bias"});
}

TEST(FairseqNamesTest, AnOldOutputMatrix) {
  const std::string output = "decoder.output_projection.weight";
  std::vector<FairseqHeader> headers = headers_of("dense_fp32");
  tensor(headers[0], output).entry.offset += 64;  // a matrix of its own
  tensor(headers[0], output).name = "decoder.embed_out";
  expect_parts(error_of([&] { merge("folder", headers); }),
               {"model.pt", "'decoder.embed_out'", "has no place"});
  set_setting(headers, "model.share_decoder_input_output_embed", "False");
  const Checkpoint apart = merge("folder", headers);
  EXPECT_EQ(apart.config.names.output, "decoder.output_projection");
  EXPECT_EQ(apart.index.at(output).shape, (std::vector<int64_t>{70, 32}));
  TorchTensor twice = tensor(headers[0], "decoder.embed_out");
  twice.name = output;
  headers[0].tensors.push_back(twice);
  expect_parts(error_of([&] { merge("folder", headers); }), {"decoder.embed_out", output, "too"});
}

}  // namespace
}  // namespace switchyard
