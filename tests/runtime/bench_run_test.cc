// Whole measurements of small models: which rows there are, and that a wrong result is found.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <iostream>
#include <set>
#include <sstream>

#include "kernels/quantization.h"
#include "runtime/bench/bench.h"
#include "tests/runtime/score_runner.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

BenchOptions small_options(const std::string& name, const std::string& model) {
  BenchOptions options;
  options.names = {name};
  options.run.model = test_data(model);
  options.rows = {1, 20};
  options.weight_bytes = 1 << 16;
  options.limit_bytes = 1 << 20;
  options.limit_extent = 64;
  options.contexts = {70};
  options.batches = {1, 3};
  options.length = 24;
  options.new_tokens = 4;
  options.tokens = 64;
  options.repeats = 1;
  return options;
}

using Spoil = std::function<void(std::vector<float>&)>;

/// Keeps what is printed.
class StandardOutput {
 public:
  StandardOutput() : standard_(std::cout.rdbuf(text_.rdbuf())) {}
  ~StandardOutput() { std::cout.rdbuf(standard_); }
  StandardOutput(const StandardOutput&) = delete;
  StandardOutput& operator=(const StandardOutput&) = delete;
  std::string text() const { return text_.str(); }

 private:
  std::ostringstream text_;
  std::streambuf* standard_;
};

/// Rank 0's rows by the file that it writes.
boost::json::array rows_of(BenchOptions options, int num_ranks, const Spoil& spoil = {}) {
  const TempFolder folder;
  const TemporaryFile file("bench.json");
  options.output = file.path();
  options.directory = folder.path("");
  const StandardOutput quiet;
  ScoreSetup setup;
  setup.num_ranks = num_ranks;
  run_as_threads(setup, [&](Backend& backend, Communicator& world, ProgressSink& progress) {
    run_bench(options, backend, world, progress, spoil);
  });
  return boost::json::parse(file.contents()).at("rows").as_array();
}

/// The details of the rows of one kind, all of which must be right.
std::vector<std::string> details_of(const boost::json::array& rows, const std::string& what) {
  std::vector<std::string> details;
  for (const boost::json::value& row : rows) {
    EXPECT_NE(row.at("check").as_string(), "WRONG") << row;
    EXPECT_GT(row.at("rate").to_number<double>(), 0.0) << row;
    if (row.at("what").as_string() == what) details.emplace_back(row.at("detail").as_string());
  }
  return details;
}

TEST(BenchRunTest, LimitsAreThoseOfMemoryProductsDiskAndExchanges) {
  for (const int num_ranks : {1, 3}) {
    const boost::json::array rows = rows_of(small_options("limits", "hf/granitemoe"), num_ranks);
    std::multiset<std::string> names;
    for (const boost::json::value& row : rows) names.emplace(row.at("what").as_string());
    EXPECT_EQ(names.count("memory read"), 1u);
    EXPECT_EQ(names.count("fp32 products"), 1u);
    EXPECT_EQ(names.count("matmul"), 1u);
    EXPECT_EQ(names.count("disk read"), 1u);
    EXPECT_EQ(names.count("even all-to-all"), num_ranks == 1 ? 0u : 3u);
    EXPECT_EQ(names.count("experts"), 0u);
  }
}

TEST(BenchRunTest, ExpertsOfEveryFormAreRight) {
  for (const char* model : {"hf/granitemoe", "hf/gpt-oss-bf16", "fairseq/moe_fp16"}) {
    BenchOptions options = small_options("experts", model);
    EXPECT_EQ(details_of(rows_of(options, 1), "experts").size(), 2u) << model;
    options.skew = 1.5;
    EXPECT_EQ(details_of(rows_of(options, 2), "experts").size(), 2u) << model;
  }
}

TEST(BenchRunTest, QuantizedExpertsAreRight) {
  BenchOptions options = small_options("experts", "hf/granitemoe");
  for (const char* dtype : {"int8", "int4", "int3", "int2"}) {
    options.run.quantization.experts = parse_quantization(dtype);
    EXPECT_EQ(details_of(rows_of(options, 1), "experts").size(), 2u) << dtype;
  }
}

/// Grouped heads, windows and sinks, and latent attention.
TEST(BenchRunTest, AttentionOfEveryKindIsRight) {
  for (const char* model : {"hf/granitemoe", "hf/gpt-oss-bf16", "hf/deepseek-v2-lite-yarn"}) {
    const boost::json::array rows = rows_of(small_options("attention", model), 1);
    EXPECT_EQ(
        details_of(rows, "attention"),
        (std::vector<std::string>{"prefill of 70 positions", "1 rows, each after 69 positions",
                                  "3 rows, each after 69 positions"}))
        << model;
  }
}

TEST(BenchRunTest, ModelsGiveTheSameInEveryBatch) {
  for (const int num_ranks : {1, 3}) {
    for (const char* model : {"hf/granitemoe", "hf/deepseek-v2-lite-yarn"}) {
      const boost::json::array rows = rows_of(small_options("model", model), num_ranks);
      EXPECT_EQ(details_of(rows, "model").size(), 5u) << model;
    }
  }
}

TEST(BenchRunTest, ExpertsThatDoNotFitAreMeasuredToo) {
  BenchOptions options = small_options("model", "hf/granitemoe");
  options.run.tiers.expert_slots = 2;
  EXPECT_EQ(details_of(rows_of(options, 1), "model").size(), 5u);
}

TEST(BenchRunTest, AWrongResultFailsTheRun) {
  const Spoil spoil = [](std::vector<float>& result) { result.back() += 1.0f; };
  for (const char* name : {"experts", "attention", "model", "all-to-all"}) {
    const BenchOptions options = small_options(name, "hf/granitemoe");
    for (const int num_ranks : {1, 2}) {
      try {
        rows_of(options, num_ranks, spoil);
        ADD_FAILURE() << name << " took a wrong result";
      } catch (const std::exception& error) {
        EXPECT_NE(std::string(error.what()).find("is wrong"), std::string::npos) << error.what();
      }
    }
  }
}

TEST(BenchRunTest, AModelWithoutExpertsIsRefused) {
  try {
    rows_of(small_options("experts", "hf/qwen3-dense-tied"), 1);
    ADD_FAILURE();
  } catch (const std::exception& error) {
    EXPECT_NE(std::string(error.what()).find("has no experts"), std::string::npos) << error.what();
  }
}

}  // namespace
}  // namespace switchyard
