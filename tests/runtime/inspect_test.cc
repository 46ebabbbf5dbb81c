// The whole of `inspect`, and the form of reports.
#include "runtime/inspect.h"

#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <filesystem>

#include "runtime/report.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/safetensors_case.h"
#include "tests/runtime/score_runner.h"
#include "tests/runtime/synthesize_runner.h"
#include "tests/runtime/temp_folder.h"
#include "tests/runtime/torch_writer.h"

namespace switchyard {
namespace {

namespace json = boost::json;

/// The report that rank 0 gives; the others must give none.
std::string report_on(InspectOptions options, int num_ranks = 1) {
  options.model = test_data(options.model);
  ScoreSetup setup;
  setup.num_ranks = num_ranks;
  std::string report;
  run_as_threads(setup, [&](Backend& backend, Communicator& ranks, ProgressSink&) {
    ControlChannel control(backend, ranks);
    const std::string mine = inspect(options, backend, control);
    if (ranks.rank() == 0) {
      report = mine;
    } else {
      EXPECT_EQ(mine, "");
    }
  });
  return report;
}

json::object json_of(InspectOptions options, int num_ranks = 1) {
  options.form = ResultForm::kJson;
  return json::parse(report_on(options, num_ranks)).as_object();
}

TEST(Inspect, TellsWhatAFolderHolds) {
  const json::object report = json_of({.model = "trained_moe_8e"});
  const json::object& architecture = report.at("architecture").as_object();
  EXPECT_EQ(architecture.at("layers").as_int64(), 4);
  EXPECT_EQ(architecture.at("layers_with_experts"), json::value({1, 3}));
  EXPECT_EQ(architecture.at("experts").as_int64(), 8);
  EXPECT_EQ(architecture.at("weights_are_kept_as").as_string(), "fp16");

  const json::array& files = report.at("files").as_array();
  ASSERT_EQ(files.size(), 5u);
  EXPECT_EQ(files[0].at("file").as_string(), "model-shared.pt");
  EXPECT_EQ(files[0].at("container").as_string(), "torch zip");
  EXPECT_EQ(files[0].at("experts_of_a_layer").as_int64(), 0);
  EXPECT_EQ(files[2].at("experts_of_a_layer").as_int64(), 2);
  EXPECT_EQ(files[2].at("expert_ids").as_string(), "2-3");
  EXPECT_EQ(report.at("warnings").as_array().size(), 0u);
}

TEST(Inspect, CountsParameters) {
  const json::object report = json_of({.model = "trained_moe_8e"});
  // D 128, F 512, V 2936, 4 layers of which 2 with 8 experts.
  const int64_t expert = 2 * 128 * 512 + 512 + 128;
  const int64_t attention = 4 * (128 * 128 + 128);
  const int64_t dense = 2936 * 128 + 4 * (attention + 2 * 256) + 256 + 2 * expert + 2 * 8 * 128;
  const json::object& parameters = report.at("parameters").as_object();
  EXPECT_EQ(parameters.at("outside_experts").as_int64(), dense);
  EXPECT_EQ(parameters.at("experts").as_int64(), 16 * expert);
  EXPECT_EQ(parameters.at("total").as_int64(), dense + 16 * expert);
  EXPECT_EQ(parameters.at("active_per_token").as_int64(), dense + 4 * expert);
  EXPECT_EQ(parameters.at("bytes").as_int64(), 2 * (dense + 16 * expert));

  int64_t sum = 0;
  for (const json::value& part : report.at("weights").as_array()) {
    sum += part.at("parameters").as_int64();
    EXPECT_EQ(part.at("type").as_string(), "fp16");
  }
  EXPECT_EQ(sum, dense + 16 * expert);
}

TEST(Inspect, TellsWhatRanksWouldHoldAndListsTensors) {
  const json::object report =
      json_of({.model = "trained_moe_8e", .num_ranks = 3, .tensors = TensorListing::kYes});
  const json::array& ranks = report.at("ranks").as_array();
  ASSERT_EQ(ranks.size(), 2u);
  EXPECT_EQ(ranks[0].at("ranks").as_string(), "0");
  EXPECT_EQ(ranks[0].at("experts_held").as_int64(), 4);
  EXPECT_EQ(ranks[1].at("ranks").as_string(), "1-2");
  EXPECT_EQ(ranks[1].at("experts_held").as_int64(), 6);
  EXPECT_GT(ranks[1].at("total").as_int64(), ranks[0].at("total").as_int64());

  const json::array& tensors = report.at("tensors").as_array();
  EXPECT_EQ(tensors.size(), 64u + 4 * 16);
}

TEST(Inspect, IsTheSameOnAnyNumberOfRanks) {
  const std::string alone = report_on({.model = "fairseq/files_8x1"});
  EXPECT_EQ(report_on({.model = "fairseq/files_8x1"}, 3), alone);
  EXPECT_NE(alone.find("model-rank-7.pt"), std::string::npos) << alone;
  EXPECT_EQ(alone.find("tensors\ntensor"), std::string::npos) << alone;
}

TEST(Inspect, ReadsHeadersAlone) {
  const json::object report = json_of({.model = "trained_moe_8e"}, 2);
  const json::object& checkpoint = report.at("checkpoint").as_object();
  EXPECT_EQ(checkpoint.at("files").as_int64(), 5);
  EXPECT_LT(checkpoint.at("header_bytes_read").as_int64(), checkpoint.at("bytes").as_int64() / 20);
  EXPECT_FALSE(report.contains("ranks"));
  EXPECT_FALSE(report.contains("tensors"));
}

TEST(Inspect, TellsOfEveryKindOfModel) {
  const json::object dense = json_of({.model = "fairseq/dense_fp32", .num_ranks = 2});
  EXPECT_EQ(dense.at("architecture").at("experts").as_int64(), 0);
  EXPECT_EQ(dense.at("parameters").at("active_per_token"), dense.at("parameters").at("total"));
  const json::object legacy = json_of({.model = "fairseq/moe_legacy_container"});
  EXPECT_EQ(legacy.at("files").at(0).at("container").as_string(), "torch legacy");
  const json::object shards = json_of({.model = "fairseq/files_fsdp_3_shards"});
  EXPECT_EQ(shards.at("files").as_array().size(), 3u);
}

TEST(Inspect, TellsWhatASingleFileHolds) {
  const json::object report = json_of({.model = "trained_moe_8e/model-rank-1.pt"}, 2);
  EXPECT_EQ(report.at("file").at("container").as_string(), "torch zip");
  EXPECT_EQ(report.at("settings").at("model.moe_expert_count").as_string(), "8");
  const json::array& tensors = report.at("tensors").as_array();
  ASSERT_EQ(tensors.size(), 16u);
  EXPECT_EQ(tensors[0].at("tensor").as_string(), "decoder.layers.1.moe_layer.experts.0.fc1.weight");
  EXPECT_EQ(tensors[0].at("type").as_string(), "fp16");
  EXPECT_EQ(tensors[0].at("shape"), json::value({512, 128}));
  const json::object trace = json_of({.model = "trained_moe_8e/trace.safetensors"});
  EXPECT_EQ(trace.at("file").at("container").as_string(), "safetensors");
  EXPECT_EQ(trace.at("tensors").as_array().size(), 11u);
}

TEST(Inspect, TellsWhatFilesOfOtherModelsHold) {
  const TempFolder folder;
  const std::string codes = folder.write(
      "a.safetensors",
      safetensors({{"codes", "F8_E4M3", {2, 2}, "1234"}, {"wide", "F64", {1}, "12345678"}}));
  const json::array tensors = json_of({.model = codes}).at("tensors").as_array();
  ASSERT_EQ(tensors.size(), 2u);
  EXPECT_EQ(tensors[0].at("type").as_string(), "F8_E4M3");
  EXPECT_EQ(tensors[0].at("bytes").as_int64(), 4);
  EXPECT_EQ(tensors[1].at("type").as_string(), "F64");

  const std::string tree = pickle_text::dict({{"w", pickle_text::tensor({})}});
  const std::string state =
      folder.write("pytorch_model.bin", write_legacy(tree, {{"0", std::string(24, 'x'), 6}}));
  const json::object report = json_of({.model = state});
  EXPECT_EQ(report.at("file").at("container").as_string(), "torch legacy");
  EXPECT_EQ(report.at("tensors").at(0).at("type").as_string(), "fp32");
}

/// What `synthesize` makes of a preset, cut to two layers of four experts, in `folder`.
std::string small_model(const std::string& preset, const TempFolder& folder) {
  SynthesizeOptions options = options_for(preset, folder.path("model"));
  options.changes.layers = 2;
  options.changes.experts = 4;
  options.changes.config_json =
      R"({"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 4,
          "vocab_size": 100, "intermediate_size": 64})";
  synthesize(options);
  return options.output;
}

TEST(Inspect, TellsOfLatentAttentionGroupsAndFp8) {
  const TempFolder folder;
  SynthesizeOptions options = options_for("deepseek_v3", folder.path("model"));
  options.changes.layers = 2;
  options.changes.experts = 8;
  options.changes.config_json =
      R"({"hidden_size": 64, "num_attention_heads": 4, "num_key_value_heads": 4, "vocab_size": 100,
          "intermediate_size": 96, "moe_intermediate_size": 32, "kv_lora_rank": 32,
          "q_lora_rank": 40, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12})";
  synthesize(options);
  const json::object report = json_of({.model = options.output, .num_ranks = 2});
  const json::object& architecture = report.at("architecture").as_object();
  const auto expect = [&](const char* name, const json::value& value) {
    EXPECT_EQ(architecture.at(name), value) << name;
  };
  expect("family", "deepseek_v3");
  expect("attention", "latent");
  expect("latent_rank", 32);
  expect("query_latent_rank", 40);
  expect("head_size", 24);
  expect("value_size", 12);
  expect("rotated_size", 8);
  expect("rope_scaling", "yarn");
  expect("router_scores", "sigmoid");
  expect("router_selection_bias", "yes");
  expect("expert_groups", 4);
  expect("expert_groups_kept", 2);
  expect("experts_per_token", 4);
  expect("router_scale", 2.5);
  expect("shared_expert_feed_forward_size", 32);
  expect("weights_are_kept_as", "mixed");
  for (const char* absent : {"start_token", "pad_token", "capacity_fraction", "window",
                             "first_position_row", "residual_scale"}) {
    EXPECT_FALSE(architecture.contains(absent)) << absent;
  }
  // Of a layer: 64 -> 40 -> 4 * 24, 64 -> 32 + 8, 32 -> 4 * (16 + 12), 4 * 12 -> 64.
  const int64_t attention = 64 * 40 + 40 * 96 + 64 * 40 + 32 * 112 + 48 * 64;
  const int64_t expert = 3 * 64 * 32;
  const int64_t tables = 2 * 100 * 64;
  const int64_t norms = 2 * (2 * 64 + 40 + 32) + 64;
  const int64_t outside = tables + norms + 2 * attention + 3 * 64 * 96 + 8 * 64 + 8 + expert;
  const json::object& parameters = report.at("parameters").as_object();
  EXPECT_EQ(parameters.at("total"), json::value(outside + 8 * expert));
  EXPECT_EQ(parameters.at("active_per_token"), json::value(outside + 4 * expert));
  // A byte for each quantised element, a scale for each of their matrices here, bf16 beside.
  const int64_t scales = 4 * (2 * 5 + 3 + 3 + 3 * 8);
  const int64_t plain = 2 * (tables + norms + 8 * 64) + 4 * 8;
  EXPECT_EQ(parameters.at("bytes"),
            json::value(2 * attention + 3 * 64 * 96 + 9 * expert + scales + plain));
  int64_t tensors = 0;
  for (const json::value& row : report.at("weights").as_array()) {
    tensors += row.at("tensors").as_int64();
    const bool is_plain = row.at("for") == "embedding" || row.at("for") == "output" ||
                          row.at("for") == "norms" || row.at("for") == "routers";
    EXPECT_EQ(row.at("type") == "fp8", !is_plain) << json::serialize(row);
  }
  EXPECT_GT(tensors, 30);
  EXPECT_EQ(report.at("files").at(0).at("container").as_string(), "safetensors");
  EXPECT_EQ(report.at("ranks").at(0).at("experts_held").as_int64(), 4);
}

TEST(Inspect, TellsOfWindowsSinksAndMxfp4) {
  const TempFolder folder;
  const json::object report =
      json_of({.model = small_model("gpt_oss_20b", folder), .tensors = TensorListing::kYes});
  const json::object& architecture = report.at("architecture").as_object();
  EXPECT_EQ(architecture.at("window"), json::value(128));
  EXPECT_EQ(architecture.at("layers_with_a_window"), json::value({0}));
  EXPECT_EQ(architecture.at("attention_sinks").as_string(), "yes");
  EXPECT_EQ(architecture.at("attention_biases").as_string(), "query, key, value, output");
  EXPECT_EQ(architecture.at("gated_limit"), json::value(7.0));
  EXPECT_EQ(architecture.at("router_weights").as_string(), "softmax over those chosen");
  EXPECT_FALSE(architecture.contains("feed_forward_size")) << "there is no dense layer";
  for (const json::value& tensor : report.at("tensors").as_array()) {
    if (tensor.at("tensor") != "layers.1.experts.3.up.weight") continue;
    EXPECT_EQ(tensor.at("type").as_string(), "mxfp4");
    EXPECT_EQ(tensor.at("bytes"), json::value(128 * 64 / 2 + 128 * 64 / 32));
  }
}

TEST(Inspect, TellsOfRoutersThatDiffer) {
  const auto architecture = [](const char* preset) {
    const TempFolder own;
    return json_of({.model = small_model(preset, own)}).at("architecture").as_object();
  };
  EXPECT_EQ(architecture("llama_moe_3_5b").at("router_network").as_string(),
            "two layers with tanh between");
  EXPECT_EQ(architecture("llama_moe_3_5b").at("router_scale"), json::value(4.0));
  EXPECT_EQ(architecture("qwen1_5_moe_a2_7b").at("shared_expert_gate").as_string(), "sigmoid");
  const json::object olmoe = architecture("olmoe_1b_7b");
  EXPECT_EQ(olmoe.at("query_key_norms").as_string(), "of all heads together, before rotation");
  EXPECT_FALSE(olmoe.contains("end_token")) << "50279 is no token of this vocabulary";
}

TEST(Inspect, RefusesWhatLoadingRefuses) {
  for (const char* name : {"bad/truncated_zip_half/model.pt", "bad/truncated_zip_empty/model.pt",
                           "bad/wrong_magic_text/model.pt", "bad/tensor_beyond_storage/model.pt",
                           "bad/moe_missing_rank", "bad/wrong_shape", "absent"}) {
    for (const int ranks : {1, 3}) {
      const std::string file = std::filesystem::path(name).parent_path().filename().string();
      expect_error(ErrorKind::kInput, {file}, [&] { report_on({.model = name}, ranks); });
    }
  }
  expect_error(ErrorKind::kUsage, {"--ranks"},
               [] { report_on({.model = "trained_moe_8e/model-rank-1.pt", .num_ranks = 2}); });
}

TEST(Report, IsTablesForPeopleAndJsonForPrograms) {
  ReportSection facts = make_facts("some_facts", "some facts");
  facts.add_fact("a_size", byte_value(2048));
  facts.add_fact("a_scale", float_value(0.1f));
  facts.rows.push_back({"as_it_is", "\"x\""});
  const ReportSection rows = {"rows",
                              "",
                              ReportSection::Form::kRows,
                              {"the_name", "shape"},
                              {{"n", std::vector<int64_t>{2, 3}}}};
  const ReportSection lines = {"notes", "notes", ReportSection::Form::kLines, {"note"}, {{"one"}}};
  const ReportSection none = {"none", "none", ReportSection::Form::kLines, {"note"}, {}};
  EXPECT_EQ(format_report({facts, rows, lines, none}, ResultForm::kJson),
            "{\"some_facts\":{\"a_size\":2048,\"a_scale\":0.1,\"as_it_is\":\"\\\"x\\\"\"},"
            "\"rows\":[{\"the_name\":\"n\",\"shape\":[2,3]}],\"notes\":[\"one\"],\"none\":[]}\n");
  EXPECT_EQ(format_report({facts, rows, lines, none}, ResultForm::kTable),
            "some facts\n"
            "some facts\n"
            "----------  -------\n"
            "a size      2.0 KiB\n"
            "a scale     0.1\n"
            "as_it_is    \"x\"\n"
            "\n"
            "the name  shape\n"
            "--------  ------\n"
            "n         [2, 3]\n"
            "\n"
            "notes\n"
            "one\n");
}

}  // namespace
}  // namespace switchyard
