// Every kind of wrong input ends a whole run alike on one and on several ranks: an agreed error
// that names what is wrong, no results, no files left behind.
#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>

#include "tests/runtime/score_runner.h"
#include "tests/runtime/temp_folder.h"

namespace switchyard {
namespace {

namespace fs = std::filesystem;

/// One thing that is wrong, with a good model and a good request otherwise.
struct WrongInput {
  const char* name;
  /// Changes the copy of the model (folder) or the run.
  std::function<void(const std::string& folder, ScoreSetup& setup)> spoil;
  /// What the message must name.
  std::vector<std::string> parts;
  const char* model = "fairseq/moe_fp32";
  const char* requests = "{\"id\":1,\"token_ids\":[5,6]}\n";
};

void overwrite(const std::string& path, std::streamoff at, const std::string& bytes) {
  std::fstream(path, std::ios::in | std::ios::out | std::ios::binary).seekp(at) << bytes;
}

void cut(const std::string& path, double share) {
  fs::resize_file(path, static_cast<uintmax_t>(static_cast<double>(fs::file_size(path)) * share));
}

void copy_over(const std::string& from, const std::string& to) {
  fs::copy_file(from, to, fs::copy_options::overwrite_existing);
}

const auto kNothing = [](const std::string& /*folder*/, ScoreSetup& /*setup*/) {};

/// Replaces a file by one of another checkpoint of the test data.
auto replace(const std::string& name, const std::string& by) {
  return [=](const std::string& folder, ScoreSetup& /*setup*/) {
    copy_over(test_data(by), folder + "/" + name);
  };
}

auto remove(const std::string& name) {
  return [=](const std::string& folder, ScoreSetup& /*setup*/) { fs::remove(folder + "/" + name); };
}

auto truncate(const std::string& name, double share) {
  return [=](const std::string& folder, ScoreSetup& /*setup*/) { cut(folder + "/" + name, share); };
}

const WrongInput kWrongInputs[] = {
    {"no shared file", remove("model-shared.pt"), {"model-shared.pt", "is missing"}},
    {"the last rank file", remove("model-rank-1.pt"), {"model-rank-0.pt", "is rank 1 missing"}},
    {"a gap in the rank files", remove("model-rank-0.pt"), {"model-rank-0.pt"}},
    {"an empty rank file", truncate("model-rank-1.pt", 0.0), {"model-rank-1.pt", "empty"}},
    {"half a rank file", truncate("model-rank-0.pt", 0.5), {"model-rank-0.pt", "truncated"}},
    {"a shared file cut at its end", truncate("model-shared.pt", 0.999), {"model-shared.pt"}},
    {"half a legacy file",
     truncate("model-shared.pt", 0.5),
     {"model-shared.pt"},
     "fairseq/moe_legacy_container"},
    {"a shard cut short",
     truncate("model-shard1.pt", 0.9),
     {"model-shard1.pt"},
     "fairseq/files_fsdp_3_shards"},
    {"a missing shard", remove("model-shard1.pt"), {"shard"}, "fairseq/files_fsdp_3_shards"},
    {"wrong magic",
     [](const std::string& folder, ScoreSetup&) {
       overwrite(folder + "/model-rank-0.pt", 0, "XX");
     },
     {"model-rank-0.pt", "not a torch checkpoint"}},
    {"files of two checkpoints",
     replace("model-rank-1.pt", "fairseq/moe_bf16/model-rank-1.pt"),
     {"model-rank-1.pt"}},
    {"another model's shared file",
     replace("model-shared.pt", "fairseq/arch_odd_sizes/model-shared.pt"),
     {"model-"}},
    {"a rank file as the shared one",
     replace("model-shared.pt", "fairseq/moe_fp32/model-rank-0.pt"),
     {"model-shared.pt"}},
    {"a whole model beside the parts",
     [](const std::string& folder, ScoreSetup&) {
       copy_over(test_data("fairseq/dense_fp32/model.pt"), folder + "/model.pt");
     },
     {"model.pt", "stands beside"}},
    {"no folder",
     [](const std::string& folder, ScoreSetup& setup) { setup.model = folder + "/nowhere"; },
     {"nowhere", "not a folder"}},
    {"an empty folder",
     [](const std::string& folder, ScoreSetup& setup) {
       fs::create_directory(folder + "/empty");
       setup.model = folder + "/empty";
     },
     {"empty", "no checkpoint"}},
    {"a broken dictionary",
     [](const std::string& folder, ScoreSetup&) {
       std::ofstream(folder + "/dict.txt") << "onlyasymbol\n";
     },
     {"dict.txt", "1"}},
    {"a placement for another model",
     [](const std::string& folder, ScoreSetup& setup) {
       std::ofstream(folder + "/p.json") << "{\"experts\": [[0]]}";
       setup.placement = folder + "/p.json";
     },
     {"p.json", "places 1 experts"}},
    {"no placement file",
     [](const std::string& folder, ScoreSetup& setup) { setup.placement = folder + "/none"; },
     {"none"}},
    {"no input",
     [](const std::string& folder, ScoreSetup& setup) { setup.input = folder + "/no.jsonl"; },
     {"no.jsonl"}},
    {"a buffer too small for a row",
     [](const std::string&, ScoreSetup& setup) { setup.exchange_buffer_bytes = 8; },
     {"--exchange-buffer", "at least"}},
    {"more top log-probs than tokens",
     [](const std::string&, ScoreSetup& setup) { setup.top_logprobs = 100000; },
     {"--top-logprobs", "vocabulary"}},
    {"no JSON", kNothing, {":1"}, "fairseq/moe_fp32", "nonsense\n"},
    {"JSON cut off", kNothing, {":1"}, "fairseq/moe_fp32", "{\"id\":1,\"token_ids\":[5"},
    {"no id", kNothing, {":1", "id"}, "fairseq/moe_fp32", "{\"token_ids\":[5]}\n"},
    {"no content", kNothing, {":1", "token_ids"}, "fairseq/moe_fp32", "{\"id\":1}\n"},
    {"an id twice",
     kNothing,
     {":2"},
     "fairseq/moe_fp32",
     "{\"id\":1,\"token_ids\":[5]}\n{\"id\":1,\"token_ids\":[6]}\n"},
    {"a token outside the vocabulary",
     kNothing,
     {":1", "70000"},
     "fairseq/moe_fp32",
     "{\"id\":1,\"token_ids\":[5,70000]}\n"},
    {"padding as a token",
     kNothing,
     {":1", "<pad>"},
     "fairseq/moe_fp32",
     "{\"id\":1,\"token_ids\":[5,1]}\n"},
    {"a text without a tokenizer",
     kNothing,
     {":1", "tokenizer"},
     "fairseq/moe_fp32",
     "{\"id\":1,\"text\":\"a\"}\n"},
};

class WrongInputTest : public testing::TestWithParam<WrongInput> {};

/// The message of the agreed error that a run ends with.
std::string message_of(const ScoreSetup& setup, const std::string& output) {
  ScoreOptions options;
  options.run = run_options(setup);
  options.input = input_path(setup);
  options.output = output;
  options.top_logprobs = setup.top_logprobs;
  try {
    run_as_threads(setup, [&](Backend& backend, Communicator& world, ProgressSink& progress) {
      run_score(options, backend, world, progress);
    });
  } catch (const AgreedError& error) {
    return error.what();
  }
  return "";
}

TEST_P(WrongInputTest, EndsInOneAgreedErrorAndLeavesNothing) {
  const WrongInput& wrong = GetParam();
  for (const int ranks : {1, 3}) {
    const TempFolder folder;
    fs::copy(test_data(wrong.model), folder.path("model"));
    ScoreSetup setup;
    setup.num_ranks = ranks;
    setup.model = folder.path("model");
    setup.input = folder.write("in.jsonl", wrong.requests);
    wrong.spoil(folder.path("model"), setup);
    fs::create_directory(folder.path("out"));
    const auto begin = std::chrono::steady_clock::now();
    const std::string message = message_of(setup, folder.path("out/results.jsonl"));
    ASSERT_NE(message, "") << "accepted on " << ranks << " ranks";
    for (const std::string& part : wrong.parts) {
      EXPECT_NE(message.find(part), std::string::npos) << "no '" << part << "' in " << message;
    }
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
    EXPECT_TRUE(fs::is_empty(folder.path("out"))) << "files are left over";
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
  }
}

INSTANTIATE_TEST_SUITE_P(All, WrongInputTest, testing::ValuesIn(kWrongInputs),
                         [](const testing::TestParamInfo<WrongInput>& test) {
                           std::string name = test.param.name;
                           std::ranges::replace_if(
                               name, [](char c) { return !std::isalnum(c); }, '_');
                           return name;
                         });

}  // namespace
}  // namespace switchyard
