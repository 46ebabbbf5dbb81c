// Tokenizers of released families, small ones, against what the reference library gives.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <fstream>
#include <string>

#include "runtime/tokenizer/json/tokenizer_json.h"

namespace switchyard {
namespace {

using Ids = std::vector<int32_t>;

class TokenizerJsonGolden : public testing::TestWithParam<const char*> {};

TEST_P(TokenizerJsonGolden, GivesTheReferencesIdsAndTexts) {
  const std::string folder = std::string(SWITCHYARD_TEST_DATA) + "/tokenizers/json_" + GetParam();
  const std::unique_ptr<Tokenizer> tokenizer = load_tokenizer_json(folder + "/tokenizer.json");
  std::ifstream file(folder + "/expected.jsonl");
  int num_cases = 0;
  for (std::string line; std::getline(file, line); ++num_cases) {
    const boost::json::value expected = boost::json::parse(line);
    const std::string text(expected.at("text").as_string());
    const Ids ids = boost::json::value_to<Ids>(expected.at("ids"));
    const Ids plain = boost::json::value_to<Ids>(expected.at("ids_no_special"));
    EXPECT_EQ(tokenizer->encode(text, SpecialTokens::kAdd), ids) << line;
    EXPECT_EQ(tokenizer->encode(text, SpecialTokens::kNone), plain) << line;
    EXPECT_EQ(tokenizer->decode(plain, SpecialText::kKeep), expected.at("decoded").as_string());
    EXPECT_EQ(tokenizer->decode(ids, SpecialText::kSkip),
              expected.at("decoded_skip_special").as_string());
    for (const int32_t id : ids) EXPECT_LT(id, tokenizer->vocab_size());
  }
  EXPECT_GT(num_cases, 100);
}

INSTANTIATE_TEST_SUITE_P(Families, TokenizerJsonGolden,
                         testing::Values("added_tokens", "deepseek_llm_style", "gpt_neox_style",
                                         "llama2_legacy_style", "llama2_metaspace_style",
                                         "llama3_style", "split_behaviours"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace switchyard
