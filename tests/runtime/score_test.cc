// The whole of `score` against the reference implementation's numbers, and against itself under
// every schedule.
#include "runtime/score.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <sstream>

#include "parallel/token_dispatcher.h"
#include "tests/runtime/golden_case.h"
#include "tests/runtime/score_runner.h"

namespace switchyard {
namespace {

namespace json = boost::json;

TEST(Difference, SeesWrongNegativeAndMissingNumbers) {
  const auto of = [](const char* logprobs) {
    return json::parse(concat(R"({"id":1,"token_ids":[3],"token_logprobs":)", logprobs,
                              R"(,"num_tokens":1})"))
        .as_object();
  };
  EXPECT_EQ(difference(of("[-1.5]"), of("[-1.50001]"), 1e-4), "");
  EXPECT_NE(difference(of("[-1.5]"), of("[-1.6]"), 1e-4), "");
  EXPECT_NE(difference(of("[1.5]"), of("[-1.5]"), 1e-4), "");
  EXPECT_NE(difference(of("[]"), of("[-1.5]"), 1e-4), "");
  EXPECT_NE(difference(of("[1e999]"), of("[-1.5]"), 1e-4), "");
}

/// All that the reference implementation scored, with and without a capacity.
std::vector<GoldenCheck> score_goldens() {
  std::vector<GoldenCheck> all = golden_checks("trained_moe_8e", "score");
  for (const std::string& folder : case_folders("fairseq")) {
    std::ranges::move(golden_checks(folder, "score"), std::back_inserter(all));
  }
  return all;
}

class ScoreGoldenTest : public testing::TestWithParam<GoldenCheck> {};

TEST_P(ScoreGoldenTest, GivesTheReferencesNumbersOnAnyNumberOfRanks) {
  const GoldenCheck& golden = GetParam();
  const auto newlines = golden.args.find("--newlines");
  ScoreSetup setup;
  setup.model = golden.folder;
  setup.input = golden.input;
  setup.capacity = golden.capacity();
  if (newlines != golden.args.end() && newlines->second == "eos") setup.newlines = Newlines::kEos;
  const std::string alone = score(setup);
  EXPECT_EQ(compare_files(
                alone, test_data(concat(golden.folder, "/", golden.expected.as_string().c_str())),
                golden.tolerance.at("logprob_abs").to_number<double>()),
            "");
  for (const int ranks : {2, 3}) {
    setup.num_ranks = ranks;
    setup.max_batch_tokens = 40 * ranks;  // other steps; a longer capacity batch runs alone
    EXPECT_TRUE(alone == score(setup)) << setup.text();
  }
}

INSTANTIATE_TEST_SUITE_P(Reference, ScoreGoldenTest, testing::ValuesIn(score_goldens()));

TEST(Score, TheGoldensAreThere) { EXPECT_GE(score_goldens().size(), 60u); }

/// Every schedule must give the bytes of the plainest one.
class ScoreBytesTest : public testing::TestWithParam<const char*> {
 protected:
  ScoreBytesTest() : input_("few.jsonl", few_requests()) {
    setup_.model = GetParam();
    setup_.input = input_.path();
    setup_.top_logprobs = 3;
    expected_ = score(setup_);
  }

  void expect_same_bytes() {
    EXPECT_TRUE(score(setup_) == expected_) << "different bytes: " << setup_.text();
  }

  /// Enough requests for several steps, few enough for rounds of one row.
  static std::string few_requests() {
    const bool has_text = std::string(GetParam()) == "trained_moe_8e";
    std::ifstream file(
        test_data(concat(GetParam(), has_text ? "/requests_text.jsonl" : "/requests.jsonl")));
    std::string lines;
    int count = 0;
    for (std::string line; count < 6 && std::getline(file, line); ++count) lines += line + "\n";
    return lines;
  }

  TemporaryFile input_;
  ScoreSetup setup_;
  std::string expected_;
};

/// Exchange buffers of one row.
int64_t smallest_exchange_buffer(const std::string& model) {
  return TokenDispatcher::bytes_per_row(model == "trained_moe_8e"     ? 128
                                        : model == "fairseq/moe_fp32" ? 24
                                                                      : 30);
}

TEST_P(ScoreBytesTest, AnyRanksBatchesAndExchangeBuffers) {
  const int64_t smallest = smallest_exchange_buffer(GetParam());
  for (const int ranks : {1, 2, 3, 4, 5, 8}) {
    for (const int64_t batch : {16, 64, 100000}) {
      for (const int64_t exchange : {smallest, int64_t{16} << 10, int64_t{64} << 20}) {
        setup_.num_ranks = ranks;
        setup_.max_batch_tokens = batch;
        setup_.exchange_buffer_bytes = exchange;
        expect_same_bytes();
      }
    }
  }
}

TEST_P(ScoreBytesTest, AnyThreadsAndInstructionSet) {
  for (const InstructionSet set :
       {InstructionSet::kAvx512, InstructionSet::kAvx2, InstructionSet::kPortable}) {
    if (set < best_instruction_set()) continue;
    for (const int threads : {1, 2, 3}) {
      setup_.instruction_set = set;
      setup_.num_threads = threads;
      setup_.num_ranks = threads;
      expect_same_bytes();
    }
  }
}

TEST_P(ScoreBytesTest, StrictBackendUnderManySchedules) {
  setup_.backend = BackendKind::kStrict;
  for (const int ranks : {1, 2, 3, 4}) {
    for (const uint64_t seed : {1, 2}) {
      setup_.num_ranks = ranks;
      setup_.seed = seed;
      setup_.max_batch_tokens = 100;
      setup_.exchange_buffer_bytes = int64_t{4} << 10;
      expect_same_bytes();
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, ScoreBytesTest,
                         testing::Values("trained_moe_8e", "fairseq/moe_fp32",
                                         "fairseq/arch_odd_sizes"));

TEST(Score, PlacementWithCopiesAndEmptyRanksChangesNoByte) {
  ScoreSetup setup;
  setup.model = "fairseq/arch_odd_sizes";
  const std::string expected = score(setup);
  const TemporaryFile everywhere("everywhere.json",
                                 R"({"experts": [[2], [0, 1, 2], [2], [0, 2], [2], [2]]})");
  const TemporaryFile layers(
      "layers.json",
      R"({"layers": {"1": [[0],[0],[0],[0],[0],[0]], "3": [[1],[2],[1],[2],[1],[2]]}})");
  setup.num_ranks = 3;
  for (const std::string& path : {everywhere.path(), layers.path()}) {
    setup.placement = path;
    EXPECT_TRUE(score(setup) == expected) << path;
  }
}

TEST(Score, MoreRanksThanExpertsAndRequests) {
  ScoreSetup setup;
  setup.model = "fairseq/arch_odd_sizes";
  const std::string expected = score(setup);
  setup.num_ranks = 16;
  setup.exchange_buffer_bytes = 1200;
  EXPECT_TRUE(score(setup) == expected);
}

/// The message of the error that scoring `lines` ends with; fails if it does not.
std::string error_of(ScoreSetup setup, const std::string& lines) {
  const TemporaryFile input("in.jsonl", lines);
  setup.input = input.path();
  try {
    score(setup);
  } catch (const AgreedError& error) {
    return error.what();
  }
  ADD_FAILURE() << "no error for " << lines;
  return "";
}

TEST(Score, UserErrorsAreAgreedAndNameTheLine) {
  ScoreSetup setup;
  setup.model = "trained_moe_8e";
  for (const int ranks : {1, 3}) {
    setup.num_ranks = ranks;
    EXPECT_NE(
        error_of(setup, "{\"id\":1,\"token_ids\":[5]}\n{\"id\":1,\"token_ids\":[5]}\n").find(":2"),
        std::string::npos);
    EXPECT_NE(error_of(setup, "{\"id\":1,\"token_ids\":[99999999]}\n").find("99999999"),
              std::string::npos);
    EXPECT_NE(error_of(setup, "not json\n").find(":1"), std::string::npos);
  }
}

/// A copy of a checkpoint in which one fp32 number of a file is NaN.
class PoisonedModel {
 public:
  explicit PoisonedModel(const std::string& file)
      : directory_(concat(testing::TempDir(), "switchyard-poisoned-", getpid())) {
    std::filesystem::remove_all(directory_);
    std::filesystem::copy(test_data("fairseq/moe_fp32"), directory_);
    std::fstream stream(directory_ + "/" + file, std::ios::in | std::ios::out | std::ios::binary);
    // The middle of the file lies in one of the large matrices; payloads are 64-byte aligned.
    stream.seekp(static_cast<std::streamoff>(std::filesystem::file_size(directory_ + "/" + file) /
                                             2 / 64 * 64));
    const float nan = std::numeric_limits<float>::quiet_NaN();
    stream.write(reinterpret_cast<const char*>(&nan), sizeof nan);
  }
  ~PoisonedModel() { std::filesystem::remove_all(directory_); }
  PoisonedModel(const PoisonedModel&) = delete;
  PoisonedModel& operator=(const PoisonedModel&) = delete;
  const std::string& directory() const { return directory_; }

 private:
  std::string directory_;
};

TEST(Score, ANonFiniteLogProbIsToldAlikeOnEveryScheduleAndNeverWritten) {
  const PoisonedModel model("model-rank-0.pt");
  ScoreSetup setup;
  setup.model = model.directory();
  setup.input = test_data("fairseq/moe_fp32/requests.jsonl");
  std::string first;
  for (const int ranks : {1, 2, 3}) {
    for (const int64_t batch : {20, 4096}) {
      setup.num_ranks = ranks;
      setup.max_batch_tokens = batch;
      try {
        score(setup);
        FAIL() << "NaN weights gave a result";
      } catch (const AgreedError& error) {
        if (first.empty()) first = error.what();
        EXPECT_EQ(error.what(), first) << setup.text();
      }
    }
  }
  EXPECT_NE(first.find("request \"r"), std::string::npos) << first;
  EXPECT_NE(first.find("position "), std::string::npos) << first;
  EXPECT_NE(first.find("layer "), std::string::npos) << first;
}

TEST(Score, TheSmallestExchangeBufferIsNamed) {
  ScoreSetup setup;
  setup.model = "fairseq/moe_fp32";
  // Five buffers of 24 floats, six of an index.
  setup.exchange_buffer_bytes = 5 * 24 * 4 + 6 * 4 - 1;
  EXPECT_NE(error_of(setup, "{\"id\":1,\"token_ids\":[5]}\n").find("504"), std::string::npos);
}

TEST(Score, EmptyInputsGiveEmptyResults) {
  ScoreSetup setup;
  setup.model = "trained_moe_8e";
  const TemporaryFile input("in.jsonl",
                            "{\"id\":\"a\",\"text\":\"\"}\n{\"id\":2,\"token_ids\":[]}\n");
  setup.input = input.path();
  setup.num_ranks = 2;
  EXPECT_EQ(score(setup),
            "{\"id\":\"a\",\"token_ids\":[],\"token_logprobs\":[],\"logprob\":0.0,"
            "\"num_tokens\":0}\n"
            "{\"id\":2,\"token_ids\":[],\"token_logprobs\":[],\"logprob\":0.0,"
            "\"num_tokens\":0}\n");
  const TemporaryFile nothing("nothing.jsonl", "\n");
  setup.input = nothing.path();
  EXPECT_EQ(score(setup), "");
}

TEST(Score, TruncateLeftKeepsTheLastTokens) {
  ScoreSetup setup;
  setup.model = "trained_moe_8e";
  std::string ids;
  for (int i = 0; i < 1100; ++i) ids += concat(i == 0 ? "" : ",", 5 + i % 200);
  const std::string line = concat("{\"id\":1,\"token_ids\":[", ids, "]}\n");
  EXPECT_NE(error_of(setup, line).find("--truncate left"), std::string::npos);
  const TemporaryFile input("in.jsonl", line);
  setup.input = input.path();
  setup.truncate = Truncate::kLeft;
  EXPECT_NE(score(setup).find("\"num_tokens\":1023"), std::string::npos);
}

}  // namespace
}  // namespace switchyard
