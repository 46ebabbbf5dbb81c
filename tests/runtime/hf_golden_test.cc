// Families of Hugging Face against their reference implementations: log-probs, and the same bits
// for every number of ranks and every size of steps.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/runtime/golden_case.h"
#include "tests/runtime/score_runner.h"

namespace switchyard {
namespace {

std::vector<GoldenCheck> score_checks() {
  std::vector<GoldenCheck> all;
  for (const std::string& folder : case_folders("hf")) {
    for (GoldenCheck& check : golden_checks(folder, "score")) all.push_back(std::move(check));
  }
  return all;
}

ScoreSetup setup_of(const GoldenCheck& check) {
  ScoreSetup setup;
  setup.model = check.folder;
  setup.input = check.input;
  return setup;
}

double tolerance_of(const GoldenCheck& check) {
  return check.tolerance.at("logprob_abs").to_number<double>();
}

std::string expected_path(const GoldenCheck& check) {
  return test_data(check.folder + "/" + check.expected.as_string().c_str());
}

bool is_latent(const GoldenCheck& check) {
  return check.folder.find("deepseek-v2") != std::string::npos ||
         check.folder.find("deepseek-v3") != std::string::npos ||
         check.folder.find("deepseek3") != std::string::npos ||
         check.folder.find("kimi") != std::string::npos;
}

class HfGoldenTest : public testing::TestWithParam<GoldenCheck> {};

TEST_P(HfGoldenTest, LogProbsAreTheReferencesAndTheSameOnAnyRanks) {
  ScoreSetup setup = setup_of(GetParam());
  const std::string alone = score(setup);
  EXPECT_EQ(compare_files(alone, expected_path(GetParam()), tolerance_of(GetParam())), "");
  int64_t batch = 70;
#if defined(__SANITIZE_ADDRESS__)
  const std::vector<int> all_ranks = {3};  // the sanitizers' runs look at memory, not at numbers
#else
  const std::vector<int> all_ranks = {2, 3, 4, 8};
#endif
  for (const int num_ranks : all_ranks) {
    setup.num_ranks = num_ranks;
    setup.max_batch_tokens = batch;
    setup.exchange_buffer_bytes = 40000;
    batch /= 3;
    EXPECT_EQ(score(setup), alone) << setup.text();
  }
}

TEST_P(HfGoldenTest, LatentAttentionHasTwoForms) {
  if (!is_latent(GetParam())) return;
  ScoreSetup setup = setup_of(GetParam());
  const std::string expanded = score(setup);
  setup.attention_form = AttentionForm::kAbsorbed;
  const std::string absorbed = score(setup);
  EXPECT_NE(absorbed, expanded) << "the forms round differently";
  EXPECT_EQ(compare_files(absorbed, expected_path(GetParam()), tolerance_of(GetParam())), "");
  setup.num_ranks = 3;
  setup.max_batch_tokens = 40;
  EXPECT_EQ(score(setup), absorbed);
}

INSTANTIATE_TEST_SUITE_P(Cases, HfGoldenTest, testing::ValuesIn(score_checks()),
                         [](const testing::TestParamInfo<GoldenCheck>& test) {
                           std::string name = test.param.folder.substr(3);
                           std::ranges::replace_if(
                               name, [](char c) { return std::isalnum(c) == 0; }, '_');
                           return name + "_" + std::to_string(test.index);
                         });

/// The device-like backend runs one case of each kind of attention, router and storage.
class HfStrictTest : public testing::TestWithParam<const char*> {};

TEST_P(HfStrictTest, ADeviceLikeBackendGivesTheSameBits) {
  ScoreSetup setup;
  setup.model = GetParam();
  const std::string expected = score(setup);
  setup.backend = BackendKind::kStrict;
  setup.num_ranks = 2;
  setup.max_batch_tokens = 100;
  EXPECT_EQ(score(setup), expected);
}

INSTANTIATE_TEST_SUITE_P(Cases, HfStrictTest,
                         testing::Values("hf/gpt-oss-mxfp4", "hf/deepseek-v3-fp8",
                                         "hf/llama-moe-v1-uneven", "hf/phimoe-longrope",
                                         "hf/qwen2-moe-step2-bf16", "hf/granitemoe", "hf/xglm"));

}  // namespace
}  // namespace switchyard
