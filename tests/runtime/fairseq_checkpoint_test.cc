#include "runtime/checkpoint/fairseq_checkpoint.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/checkpoint/expected_tensors.h"
#include "tests/runtime/fairseq_case.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

TEST(FairseqCheckpointTest, ReadsAMixtureOfExperts) {
  const Checkpoint checkpoint = open_folder(kData + "/fairseq/moe_fp32");
  const ModelConfig& config = checkpoint.config;
  EXPECT_EQ(config.family, "fairseq");
  EXPECT_EQ(config.hidden_size, 24);
  EXPECT_EQ(config.num_heads, 4);
  EXPECT_EQ(config.head_dim, 6);
  EXPECT_EQ(config.ffn_size, 40);
  EXPECT_EQ(config.expert_ffn_size, 40);
  EXPECT_EQ(config.vocab_size, 90);
  EXPECT_EQ(config.router.num_experts, 8);
  EXPECT_EQ(config.router.top_k, 2);
  EXPECT_EQ(config.layers,
            (std::vector<FfnKind>{FfnKind::kDense, FfnKind::kMoe, FfnKind::kDense, FfnKind::kMoe}));
  EXPECT_EQ(config.max_positions, 64);
  EXPECT_EQ(config.position_kind, PositionKind::kSinusoidal);
  EXPECT_EQ(config.position_offset, 2);
  EXPECT_EQ(config.embedding_scale, 4.8989794855663558f);
  EXPECT_EQ(config.attention_scale, 0.40824829046386307f);
  EXPECT_EQ(config.norm_placement, NormPlacement::kPre);
  EXPECT_EQ(config.final_norm, FinalNorm::kApplied);
  EXPECT_EQ(config.ffn_form.activation, Activation::kGelu);
  EXPECT_EQ(config.start_token, 2);
  EXPECT_EQ(config.eos_token(), 2);
  EXPECT_EQ(config.weight_dtype, DType::kF32);
  EXPECT_EQ(config.names.output, "decoder.embed_tokens");
  EXPECT_EQ(checkpoint.index.files.size(), 3u);
  EXPECT_EQ(checkpoint.index.tensors.size(), 128u);
  EXPECT_TRUE(checkpoint.warnings.empty());
  EXPECT_EQ(checkpoint.fingerprint.size(), 36u);
  // Experts 4 to 7 stand in model-rank-1.pt as 0 to 3.
  const TensorEntry& expert =
      checkpoint.index.at("decoder.layers.3.moe_layer.experts.5.fc1.weight");
  EXPECT_EQ(expert.file, 2);
  EXPECT_EQ(expert.shape, (std::vector<int64_t>{40, 24}));
  EXPECT_EQ(checkpoint.index.files[2].path, kData + "/fairseq/moe_fp32/model-rank-1.pt");
  EXPECT_EQ(checkpoint.index.files[2].bytes, 83306);
  expect_parts(error_of([&] { checkpoint.index.at("x"); }), {"moe_fp32", "'x'"});
}

TEST(FairseqCheckpointTest, ExpectsEveryTensorOnce) {
  const Checkpoint checkpoint = open_folder(kData + "/fairseq/moe_fp32");
  const std::vector<ExpectedTensor> expected = expected_tensors(checkpoint.config);
  // All but decoder.version, _float_tensor and the tied output matrix.
  EXPECT_EQ(expected.size(), checkpoint.index.tensors.size() - 3);
  for (const ExpectedTensor& one : expected) {
    EXPECT_EQ(checkpoint.index.at(one.name).shape, one.shape) << one.name;
  }
}

TEST(FairseqCheckpointTest, ReadsOtherGoodCheckpoints) {
  const auto config = [](const std::string& name) {
    return open_folder(kData + "/fairseq/" + name).config;
  };
  EXPECT_EQ(config("dense_fp32").num_moe_layers(), 0);
  EXPECT_EQ(config("dense_fp32").router.num_experts, 0);
  EXPECT_EQ(config("moe_bf16").weight_dtype, DType::kBF16);
  EXPECT_EQ(config("arch_tied_no_output_key").names.output, "decoder.embed_tokens");
  EXPECT_EQ(config("arch_tied_no_output_key").weight_dtype, DType::kF16);
  EXPECT_EQ(config("arch_post_norm_dense").norm_placement, NormPlacement::kPost);
  EXPECT_EQ(config("arch_post_norm_dense").final_norm, FinalNorm::kAbsent);
  EXPECT_EQ(config("arch_post_norm_dense").ffn_form.activation, Activation::kRelu);
  EXPECT_EQ(config("cfg_interpolations").max_positions, 64);
  EXPECT_EQ(config("files_12x1").router.num_experts, 12);
  EXPECT_EQ(config("files_checkpoint_names").router.num_experts, 8);
  EXPECT_EQ(config("pickle_rich_extra_state").hidden_size, 16);
  EXPECT_EQ(config("storage_cuda_location").weight_dtype, DType::kF16);
  EXPECT_EQ(config("storage_parameters").vocab_size, 60);
  EXPECT_EQ(config("storage_views").names.output, "decoder.embed_tokens");
}

TEST(FairseqCheckpointTest, SortsRankFilesByNumber) {
  const Checkpoint checkpoint = open_folder(kData + "/fairseq/files_12x1");
  const TensorEntry& entry = checkpoint.index.at("decoder.layers.1.moe_layer.experts.10.fc1.bias");
  EXPECT_EQ(checkpoint.index.files.at(static_cast<size_t>(entry.file)).path,
            kData + "/fairseq/files_12x1/model-rank-10.pt");
}

TEST(FairseqCheckpointTest, OldVersionsHaveNoFinalNorm) {
  const Checkpoint checkpoint = open_folder(kData + "/fairseq/names_version2_norm_ignored");
  EXPECT_EQ(checkpoint.config.final_norm, FinalNorm::kAbsent);
  ASSERT_EQ(checkpoint.warnings.size(), 2u);
  expect_parts(checkpoint.warnings[0], {"model-shared.pt", "decoder.layer_norm.bias", "version"});
}

TEST(FairseqCheckpointTest, EveryBadCheckpointIsRefused) {
  const std::vector<std::vector<std::string>> cases = {
      {"missing_tensor", "model.pt", "decoder.layers.0.self_attn.k_proj.bias", "missing"},
      {"moe_duplicate_expert", "model-rank-3.pt", "experts.00"},
      {"moe_expert_in_shared_too", "model-shared.pt", "layers.1.moe_layer.experts.0.fc1.bias"},
      {"moe_extra_expert", "model-rank-3.pt", "holds 3 experts", "model-rank-0.pt", "2"},
      {"moe_missing_expert_tensor", "model-rank-1.pt", "layers.1.moe_layer.experts.1.fc2.bias",
       "expert 3 of all"},
      {"moe_missing_rank", "model-rank-2.pt", "missing"},
      {"moe_missing_shared", "model-shared.pt", "missing"},
      {"moe_mixed_checkpoints", "model-rank-1.pt", "model-rank-0.pt", "different checkpoints"},
      {"pickle_eval_in_model", "model.pt", "decoder.x", "eval"},
      {"pickle_huge_string", "model.pt", "byte 2", "BINUNICODE8"},
      {"pickle_memo_bomb", "model.pt"},
      {"tensor_beyond_storage", "model.pt", "decoder.layers.0.fc1.bias", "beyond"},
      {"tensor_huge_size", "model.pt", "decoder.layers.0.fc1.bias", "more elements"},
      {"truncated_legacy_in_pickle", "model.pt", "the object tree", "truncated"},
      {"truncated_legacy_in_storages", "model.pt", "storage '", "truncated"},
      {"truncated_zip_empty", "model.pt", "empty"},
      {"truncated_zip_half", "model.pt", "truncated"},
      {"truncated_zip_last_byte", "model.pt", "truncated"},
      {"wrong_magic_text", "model.pt", "not a torch checkpoint"},
      {"wrong_shape", "model.pt", "decoder.layers.1.fc1.weight", "[39, 24]", "[40, 24]"},
      {"zip_missing_storage", "model.pt", "decoder.layers.0.self_attn_layer_norm.weight",
       "missing in the archive"},
      {"zip_short_storage", "model.pt", "42 bytes", "24 elements"},
  };
  for (const std::vector<std::string>& parts : cases) {
    const std::string folder = kData + "/bad/" + parts[0];
    std::vector<std::string> wanted(parts.begin() + 1, parts.end());
    wanted.push_back(folder);
    expect_parts(error_of([&] { open_folder(folder); }), wanted);
  }
}

TEST(FairseqCheckpointTest, CallsInOtherPartsStayInert) {
  const Checkpoint checkpoint = open_folder(kData + "/bad/pickle_os_system");
  EXPECT_EQ(checkpoint.index.tensors.size(), 38u);
  EXPECT_FALSE(std::filesystem::exists("PWNED"));
}

TEST(FairseqCheckpointTest, ChecksLayersAgainstTheSettings) {
  expect_parts(error_after("moe_fp32", [](auto& h) { set_setting(h, "model.moe_freq", "1"); }),
               {"model-shared.pt", "layer 0 has dense"});
  expect_parts(error_after("moe_fp32", [](auto& h) { set_setting(h, "model.moe_freq", "4"); }),
               {"model-shared.pt", "layer 1 has expert"});
  expect_parts(
      error_after("moe_fp32", [](auto& h) { set_setting(h, "model.moe_expert_count", "16"); }),
      {"model-rank-1.pt", "8 experts of a layer (4 each)", "16"});
  expect_parts(
      error_after("moe_fp32", [](auto& h) { set_setting(h, "model.decoder_layers", "3"); }),
      {"model", "decoder.layers.3.", "has no place"});
  expect_parts(
      error_after("moe_fp32", [](auto& h) { set_setting(h, "model.decoder_layers", "5"); }),
      {"model-shared.pt", "decoder.layers.4.", "missing"});
  expect_parts(error_after("dense_fp32",
                           [](auto& h) {
                             set_setting(h, "model.decoder_embed_dim", "64");
                             erase_setting(h, "model.decoder_input_dim");
                             erase_setting(h, "model.decoder_output_dim");
                           }),
               {"decoder.embed_tokens.weight", "[70, 32]", "[70, 64]"});
}

TEST(FairseqCheckpointTest, ChecksTensorsAgainstTheModel) {
  const std::string gate = "decoder.layers.1.moe_layer.gate.wg.weight";
  expect_parts(error_after("moe_fp32", [&](auto& h) { tensor(h[0], gate).entry.shape[0] = 9; }),
               {"model-shared.pt", gate, "[9, 24]", "[8, 24]"});
  expect_parts(error_after("moe_fp32", [&](auto& h) { tensor(h[0], gate).name = "decoder.extra"; }),
               {"model-shared.pt", gate, "missing"});
  expect_parts(error_after("moe_fp32",
                           [&](auto& h) {
                             TorchTensor extra = tensor(h[0], gate);
                             extra.name = "decoder.layers.0.attn_ln.weight";
                             h[0].tensors.push_back(extra);
                           }),
               {"model-shared.pt", "decoder.layers.0.attn_ln.weight", "has no place"});
  expect_parts(
      error_after("moe_fp32", [&](auto& h) { tensor(h[0], gate).entry.dtype = DType::kI64; }),
      {gate, "is of type"});
  expect_parts(
      error_after("moe_fp32",
                  [&](auto& h) { tensor(h[0], gate).support = TensorSupport::kUnknownType; }),
      {gate, "is of type"});
  expect_parts(error_after("moe_fp32", [&](auto& h) { h[1].tensors[0] = tensor(h[0], gate); }),
               {"model-rank-0.pt", gate, "belongs to no expert"});
  expect_parts(error_after("moe_fp32", [&](auto& h) { h[1].tensors.clear(); }),
               {"model-rank-0.pt", "no tensors of experts"});
  expect_parts(error_after("moe_fp32",
                           [&](auto& h) {
                             tensor(h[0], "decoder.embed_tokens.weight").entry.shape = {2160};
                           }),
               {"model-shared.pt", "[2160]"});
}

TEST(FairseqCheckpointTest, WarnsOfTensorsOutsideTheDecoder) {
  std::vector<FairseqHeader> headers = headers_of("dense_fp32");
  TorchTensor extra = tensor(headers[0], "decoder.version");
  extra.name = "criterion.weight";
  headers[0].tensors.push_back(extra);
  const Checkpoint checkpoint = merge("folder", headers);
  ASSERT_EQ(checkpoint.warnings.size(), 1u);
  expect_parts(checkpoint.warnings[0], {"ignored tensors: criterion.weight"});
}

TEST(FairseqCheckpointTest, OutputMatrix) {
  const std::string output = "decoder.output_projection.weight";
  std::vector<FairseqHeader> headers = headers_of("moe_fp32");
  tensor(headers[0], output).entry.offset += 64;  // no longer the embedding's storage
  Checkpoint apart = merge("folder", headers);
  EXPECT_EQ(apart.config.names.embedding, "decoder.output_projection");
  EXPECT_EQ(apart.config.names.output, "decoder.output_projection");
  EXPECT_EQ(apart.warnings.size(), 1u);
  set_setting(headers, "model.share_decoder_input_output_embed", "False");
  apart = merge("folder", headers);
  EXPECT_EQ(apart.config.names.embedding, "decoder.embed_tokens");
  EXPECT_EQ(apart.config.names.output, "decoder.output_projection");
  EXPECT_TRUE(apart.warnings.empty());
  expect_parts(error_after("arch_tied_no_output_key",
                           [](auto& h) {
                             set_setting(h, "model.share_decoder_input_output_embed", "False");
                           }),
               {output, "missing"});
}

TEST(FairseqCheckpointTest, ConfigurationsMustAgreeAndExist) {
  expect_parts(error_after("moe_fp32", [](auto& h) { h[0].config.settings["common.fp16"] = "1"; }),
               {"model-shared.pt", "cfg.common.fp16", "model-rank-0.pt"});
  std::vector<FairseqHeader> headers = headers_of("moe_fp32");
  headers[0].config = {{}, "it has no 'cfg'"};
  EXPECT_NO_THROW(merge("folder", headers));
  headers[1].config = headers[2].config = headers[0].config;
  expect_parts(error_of([&] { merge("folder", headers); }), {"model-shared.pt", "it has no 'cfg'"});
}

TEST(FairseqCheckpointTest, FilesMustBeOfOneCheckpoint) {
  EXPECT_EQ(headers_of("moe_fp32")[0].num_updates, 100);
  expect_parts(error_after("moe_fp32", [](auto& h) { h[2].num_updates = 200; }),
               {"model-rank-1.pt", "200 updates", "model-shared.pt after 100"});
  EXPECT_EQ(error_after("moe_fp32", [](auto& h) { h[2].num_updates = -1; }), "");
  // Equal settings and sizes, but another type.
  expect_parts(error_after("moe_fp32",
                           [](auto& h) {
                             const FairseqFile file = h[2].file;
                             h[2] = headers_of("moe_bf16")[2];
                             h[2].file = file;
                           }),
               {"model-rank-1.pt", "experts.0", "BFloat16Storage", "model-rank-0.pt of Float"});
}

TEST(FairseqCheckpointTest, AWholeMixtureInOneFile) {
  std::vector<FairseqHeader> headers = headers_of("moe_fp32");
  headers[0].file.role = FairseqFileRole::kWhole;
  for (size_t file = 1; file < 3; ++file) {
    for (TorchTensor one : headers[file].tensors) {
      const size_t at = one.name.find("experts.") + 8;
      one.name[at] = static_cast<char>(one.name[at] + 4 * (static_cast<int>(file) - 1));
      headers[0].tensors.push_back(one);
    }
  }
  headers.resize(1);
  const Checkpoint checkpoint = merge("folder", headers);
  EXPECT_EQ(checkpoint.index.tensors.size(), 128u);
  EXPECT_EQ(checkpoint.fingerprint, open_folder(kData + "/fairseq/moe_fp32").fingerprint);
}

TEST(FairseqCheckpointTest, FingerprintFollowsContents) {
  const std::string original = open_folder(kData + "/fairseq/moe_fp32").fingerprint;
  const auto changed = [&](const std::function<void(std::vector<FairseqHeader>&)>& change) {
    std::vector<FairseqHeader> headers = headers_of("moe_fp32");
    change(headers);
    return merge("folder", headers).fingerprint != original;
  };
  EXPECT_FALSE(changed([](auto& h) { h[1].file.path = "elsewhere/model-rank-0.pt"; }));
  EXPECT_TRUE(changed([](auto& h) { h[2].tensors[3].places[0].crc32 ^= 1; }));
  EXPECT_TRUE(changed([](auto& h) { set_setting(h, "model.decoder_attention_heads", "2"); }));
  EXPECT_TRUE(changed([](auto& h) { h[2].tensors[3].places[0].first += 1; }));
  EXPECT_TRUE(changed([](auto& h) { std::swap(h[1].tensors[0].name, h[1].tensors[4].name); }));
}

TEST(FairseqCheckpointTest, FilesWithoutChecksumsHaveFingerprintsToo) {
  const TempFolder folder;
  const std::string path = folder.path("model.pt");
  std::filesystem::copy(kData + "/fairseq/dense_legacy_container/model.pt", path);
  const std::string original = open_folder(folder.path("")).fingerprint;
  EXPECT_EQ(open_folder(kData + "/fairseq/dense_legacy_container").fingerprint, original);
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary)
      .seekp(-3, std::ios::end)
      .put(1);
  EXPECT_NE(open_folder(folder.path("")).fingerprint, original);
}

TEST(FairseqCheckpointTest, HeadersSurviveTheJourney) {
  std::vector<FairseqHeader> headers = headers_of("storage_views");
  for (const char* more : {"files_fsdp_3_shards", "files_moe_shard_names"}) {
    headers.insert(headers.end(), headers_of(more).begin(), headers_of(more).end());
  }
  for (const FairseqHeader& header : headers) {
    ByteWriter first;
    put_header(first, header);
    ByteReader reader(first.bytes());
    const FairseqHeader copy = get_header(reader);
    EXPECT_TRUE(reader.at_end());
    ByteWriter second;
    put_header(second, copy);
    EXPECT_EQ(first.bytes(), second.bytes());
    EXPECT_EQ(copy.tensors.size(), header.tensors.size());
    EXPECT_EQ(copy.config.settings, header.config.settings);
    EXPECT_EQ(copy.file.path, header.file.path);
    EXPECT_EQ(copy.file.shard, header.file.shard);
    EXPECT_EQ(copy.flat.size(), header.flat.size());
  }
}

TEST(FairseqCheckpointTest, BillionsOfClaimedTensorsAreRefusedAtTheFirst) {
  expect_parts(error_after("dense_fp32",
                           [](std::vector<FairseqHeader>& headers) {
                             set_setting(headers, "model.decoder_layers", "65536");
                             set_setting(headers, "model.moe_freq", "1");
                             set_setting(headers, "model.moe_expert_count", "65536");
                             set_setting(headers, "model.moe_second_expert_policy", "'all'");
                             for (TorchTensor& tensor : headers[0].tensors) {
                               const size_t at = tensor.name.find(".fc");
                               if (at != std::string::npos) tensor.name.insert(at, ".moe_layer");
                             }
                           }),
               {"is missing"});
}

TEST(FairseqCheckpointTest, ASettingThatOneFileLacksIsTold) {
  for (const size_t file : {size_t{0}, size_t{1}}) {
    expect_parts(error_after("moe_fp32",
                             [&](std::vector<FairseqHeader>& headers) {
                               headers[file].config.settings["model.use_moe_pad_mask"] = "True";
                             }),
                 {"use_moe_pad_mask", "different checkpoints"});
  }
}

}  // namespace
}  // namespace switchyard
