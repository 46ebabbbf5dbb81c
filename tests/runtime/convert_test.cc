// `convert`: the same numbers from the converted checkpoint, the same bytes by any ranks, and
// nothing left behind where it fails.
#include "runtime/convert.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cctype>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include "runtime/checkpoint/native_header.h"
#include "tests/runtime/convert_runner.h"
#include "tests/runtime/expect_error.h"
#include "tests/runtime/score_runner.h"
#include "tests/runtime/synthesize_runner.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

/// A file of the test data.
std::string read_text(const std::string& path) {
  std::ifstream file(test_data(path), std::ios::binary);
  EXPECT_TRUE(file) << path;
  return std::string(std::istreambuf_iterator<char>(file), {});
}

struct ConvertCase {
  const char* model;
  const char* input;
};

class ConvertScoreTest : public testing::TestWithParam<ConvertCase> {
 protected:
  /// Converts and scores both on some ranks; the bytes must be equal.
  void expect_same_scores(const WeightQuantization& quantization) {
    const TempFolder folder;
    ConvertOptions options = convert_options(GetParam().model, folder.path("out"));
    options.quantization = quantization;
    options.shard_bytes = 100'000;  // several files
    convert(options, 2);
    ScoreSetup setup;
    setup.model = GetParam().model;
    setup.input = test_data(setup.model + "/" + GetParam().input);
    setup.quantization = quantization;
    const std::string expected = score(setup);
    setup.model = options.output;
    setup.quantization = {};
    for (const int num_ranks : {1, 3}) {
      setup.num_ranks = num_ranks;
      EXPECT_EQ(score(setup), expected) << setup.text();
    }
    setup.tiers.expert_slots = 2;  // paged
    EXPECT_EQ(score(setup), expected) << setup.text();
    setup.num_ranks = 2;
    setup.backend = BackendKind::kStrict;
    EXPECT_EQ(score(setup), expected) << setup.text();
  }
};

TEST_P(ConvertScoreTest, GivesTheSameBytes) { expect_same_scores({}); }

TEST_P(ConvertScoreTest, GivesTheSameBytesQuantised) {
  expect_same_scores({.experts = {4, 64}, .attention = {8, 128}});
}

INSTANTIATE_TEST_SUITE_P(Models, ConvertScoreTest,
                         testing::Values(ConvertCase{"fairseq/moe_fp32", "requests.jsonl"},
                                         ConvertCase{"trained_moe_8e", "requests_text.jsonl"},
                                         ConvertCase{"hf/mixtral-fp16-bin", "requests.jsonl"},
                                         ConvertCase{"hf/deepseek-v3-fp8", "requests.jsonl"},
                                         ConvertCase{"hf/gpt-oss-mxfp4", "requests.jsonl"},
                                         ConvertCase{"hf/llama-moe-v1-uneven", "requests.jsonl"}),
                         [](const auto& each) {
                           std::string name = each.param.model;
                           std::ranges::replace_if(
                               name, [](char c) { return std::isalnum(c) == 0; }, '_');
                           return name;
                         });

TEST(ConvertTest, CapacityAndLatentFormsStay) {
  const TempFolder folder;
  convert(convert_options("trained_moe_8e", folder.path("fairseq")));
  ScoreSetup setup;
  setup.model = "trained_moe_8e";
  setup.input = test_data("trained_moe_8e/requests_capacity.jsonl");
  setup.capacity = {Capacity::kReference, 0.25, 4};
  std::string expected = score(setup);
  setup.model = folder.path("fairseq");
  EXPECT_EQ(score(setup), expected);

  convert(convert_options("hf/deepseek-v3-fp8", folder.path("latent")));
  setup = {};
  setup.model = "hf/deepseek-v3-fp8";
  setup.input = test_data("hf/deepseek-v3-fp8/requests.jsonl");
  setup.attention_form = AttentionForm::kAbsorbed;
  expected = score(setup);
  setup.model = folder.path("latent");
  EXPECT_EQ(score(setup), expected);
}

TEST(ConvertTest, FilesDoNotDependOnRanksOrThreads) {
  const TempFolder folder;
  ConvertOptions options = convert_options("hf/llama-moe-v1-uneven", folder.path("one"));
  options.quantization.attention = {4, 64};
  options.shard_bytes = 50'000;
  convert(options);
  const std::map<std::string, std::string> expected = contents(folder, "one");
  EXPECT_GT(expected.size(), 4u);
  for (const int num_ranks : {1, 2, 3, 5}) {
    const std::string name = concat("ranks-", num_ranks);
    options.output = folder.path(name);
    options.num_threads = 1 + num_ranks % 3;
    convert(options, num_ranks);
    EXPECT_EQ(contents(folder, name), expected) << num_ranks << " ranks";
  }
}

TEST(ConvertTest, ChecksumsAreThoseOfTheBytes) {
  const TempFolder folder;
  ConvertOptions options = convert_options("fairseq/moe_fp16", folder.path("out"));
  options.quantization.attention = {8, 64};
  convert(options, 2);
  const NativeHeader header = parse_native_header(folder.read("out/switchyard.json"), "json");
  EXPECT_EQ(header.source, open(test_data("fairseq/moe_fp16")).fingerprint);
  // CRC-32, bit by bit.
  const auto crc_of = [](const std::string& bytes) {
    uint32_t crc = ~0u;
    for (const char c : bytes) {
      crc ^= static_cast<uint8_t>(c);
      for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1u) != 0 ? 0xEDB88320u : 0u);
    }
    return ~crc;
  };
  EXPECT_EQ(crc_of(folder.read("out/dense.safetensors")), header.dense_crc32);
  const auto expect_extent = [&](const PackedExtent& extent) {
    const std::string file =
        folder.read("out/" + header.files.at(static_cast<size_t>(extent.file)).name);
    const auto offset = static_cast<size_t>(extent.offset);
    const auto bytes = static_cast<size_t>(extent.bytes);
    EXPECT_EQ(crc_of(file.substr(offset, bytes)), extent.crc32);
    const size_t padding = static_cast<size_t>(whole_blocks(extent.bytes)) - bytes;
    EXPECT_EQ(file.substr(offset + bytes, padding), std::string(padding, '\0'));
  };
  for (const auto& layer : header.experts) {
    for (const NativeExpert& expert : layer) expect_extent(expert.extent);
  }
  EXPECT_FALSE(header.matrices.empty());
  for (const auto& [name, matrix] : header.matrices) expect_extent(matrix.extent);
}

TEST(ConvertTest, ADenseModelHasOneFileOfWeights) {
  const TempFolder folder;
  convert(convert_options("fairseq/dense_fp32", folder.path("out")), 2);
  EXPECT_TRUE(fs::exists(folder.path("out/dense.safetensors")));
  EXPECT_FALSE(fs::exists(folder.path("out/experts-00001-of-00001.bin")));
  ScoreSetup setup;
  setup.model = "fairseq/dense_fp32";
  setup.input = test_data("fairseq/dense_fp32/requests.jsonl");
  const std::string expected = score(setup);
  setup.model = folder.path("out");
  EXPECT_EQ(score(setup), expected);
}

TEST(ConvertTest, TheTokenizerComesAlong) {
  const TempFolder folder;
  convert(convert_options("trained_moe_8e", folder.path("out")));
  for (const char* name : {"dict.txt", "encoder.json", "vocab.bpe"}) {
    EXPECT_EQ(folder.read(std::string("out/") + name),
              read_text(std::string("trained_moe_8e/") + name));
  }
}

TEST(ConvertTest, WhatIsConvertedIsNotConvertedAgain) {
  const TempFolder folder;
  convert(convert_options("fairseq/moe_fp32", folder.path("out")));
  for (const int num_ranks : {1, 3}) {
    expect_error(ErrorKind::kUsage, {folder.path("out"), "is converted already"}, [&] {
      convert(convert_options(folder.path("out"), folder.path("again")), num_ranks);
    });
  }
  EXPECT_FALSE(fs::exists(folder.path("again")));
}

TEST(ConvertTest, NothingIsOverwritten) {
  const TempFolder folder;
  const auto run = [&] { convert(convert_options("trained_moe_8e", folder.path("out")), 2); };
  fs::create_directory(folder.path("out"));
  for (const char* name : {"switchyard.json", "dense.safetensors", "experts-00001-of-00009.bin",
                           "model.pt", "dict.txt"}) {
    folder.write(std::string("out/") + name, "precious");
    expect_error(ErrorKind::kInput, {name, "stands there already", "--output"}, run);
    EXPECT_EQ(folder.read(std::string("out/") + name), "precious");
    EXPECT_EQ(contents(folder, "out").size(), 1u);
    fs::remove(folder.path(std::string("out/") + name));
  }
  fs::copy(test_data("fairseq/files_checkpoint_names"), folder.path("model"));
  expect_error(ErrorKind::kUsage, {"--output", "is the folder of --model"}, [&] {
    convert(convert_options(folder.path("model"), folder.path("out/../model")));
  });
}

TEST(ConvertTest, MoreThanTheMemoryHoldsIsRefusedBeforeAnythingIsWritten) {
  const TempFolder folder;
  ConvertOptions options = convert_options("fairseq/moe_fp32", folder.path("out"));
  options.num_threads = 1 << 24;
  expect_error(ErrorKind::kResource, {"converting with 16777216 threads", "--threads"},
               [&] { convert(options, 2); });
  EXPECT_FALSE(fs::exists(folder.path("out")));
}

TEST(ConvertTest, ResultsAreNotWrittenOverIt) {
  const TempFolder folder;
  convert(convert_options("fairseq/moe_fp32", folder.path("out")));
  ScoreSetup setup;
  setup.model = folder.path("out");
  setup.input = test_data("fairseq/moe_fp32/requests.jsonl");
  for (const char* name : {"switchyard.json", "dense.safetensors", "experts-00001-of-00001.bin"}) {
    const std::string before = folder.read(std::string("out/") + name);
    ScoreOptions options;
    options.run = run_options(setup);
    options.input = setup.input;
    options.output = folder.path(std::string("out/") + name);
    expect_error(ErrorKind::kUsage, {"would overwrite", name}, [&] {
      run_as_threads(setup, [&](Backend& device, Communicator& ranks, ProgressSink& progress) {
        run_score(options, device, ranks, progress);
      });
    });
    EXPECT_EQ(folder.read(std::string("out/") + name), before);
  }
}

TEST(ConvertTest, AFailingWriteLeavesNothing) {
  const TempFolder folder;
  const auto run = [&] { convert(convert_options("fairseq/moe_fp32", folder.path("out")), 2); };
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &before), 0);
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  rlimit small = before;
  small.rlim_cur = 30000;
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  expect_error(ErrorKind::kResource, {".tmp", "File too large"}, run);
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_EQ(contents(folder, "out").size(), 0u);
  EXPECT_NO_THROW(run());
}

TEST(ConvertTest, ADamagedSourceIsNamedAndLeavesNothing) {
  const TempFolder folder;
  expect_error(ErrorKind::kInput, {}, [&] {
    convert(convert_options("bad/moe_missing_expert_tensor", folder.path("out")), 3);
  });
  EXPECT_FALSE(fs::exists(folder.path("out")));
}

}  // namespace
}  // namespace switchyard
